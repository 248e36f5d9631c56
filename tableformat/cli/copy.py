"""`cp`: an artifact, a version, or rows of a table, from one store to another."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from typing import Any, Final

import tableformat
from tableformat.cli.output import columns_text, emit, emit_json, note, size_text
from tableformat.errors import InvalidInputError, message

__all__ = ["EXAMPLES", "MORE", "add_arguments", "run_cp"]

EXAMPLES: Final = (
    "tableformat cp 'my-store#digits' s3://bucket/datasets",
    "tableformat cp 's3://bucket/datasets#digits:v0' my-copy",
    "tableformat cp 'my-store#digits/images' 'my-copy#zeros' --where label=0 --columns path,label",
)
MORE: Final = """SOURCE is STORE#NAME for the artifact, with all its versions, messages and aliases; STORE#NAME:VERSION for one version; and
STORE#NAME[:VERSION]/TABLE, --where or --columns for rows of one table, which become a version of their own. Whole versions keep
their digest. Only what the target lacks is moved, and compared with its digest on the way; run again after a failure, it goes on."""
_TEST: Final = re.compile(r"(.+?)(==|!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": lambda column, value: column == value, "==": lambda column, value: column == value, "!=": lambda column, value: column != value,
    ">": lambda column, value: column > value, ">=": lambda column, value: column >= value,
    "<": lambda column, value: column < value, "<=": lambda column, value: column <= value,
}  # fmt: skip


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `cp`, but for those that many commands have."""
    command.add_argument("source", metavar="SOURCE", help="what to copy: STORE#NAME[:VERSION][/TABLE]; quote it")
    command.add_argument(
        "target", metavar="TARGET", help="the store to copy into, made where there is none, or STORE#NAME"
    )
    command.add_argument(
        "--where", metavar="TEST", action="append", default=[],
        help="only rows for which NAME=VALUE holds (or !=, <, <=, >, >=); may be repeated: then all must hold",
    )  # fmt: skip
    command.add_argument("--message", metavar="TEXT", help="what to say about the version that rows become")
    command.add_argument("--no-joins", dest="joins", action="store_const", const="leave", default="copy",
                         help="leave versions of other artifacts that joined tables read")  # fmt: skip


def run_cp(options: argparse.Namespace) -> int:
    """Versions or rows go from one store to another."""
    done = tableformat.cp(
        options.source, options.target, where=_predicate(options.where), columns=options.columns, message=options.message, joins=options.joins,
        allow=options.allow, progress=not options.quiet,
    )  # fmt: skip
    for one in done.left:
        note(f"left: {one}")
    if options.json:
        emit_json(_json(done))
        return 0
    rows = [
        [
            "rows" if version.source is None else f"v{version.source}", f"{version.name}:v{version.slot}", version.digest[7:19],
            "copied" if version.created else "was there",
        ]
        for version in done.versions
    ]  # fmt: skip
    emit(*columns_text(["source", "target", "digest", ""], rows))
    told = f"{size_text(done.bytes_moved)} moved"
    if done.blobs_there:
        told += f", {done.blobs_there:,} media ({size_text(done.bytes_there)}) were there"
    if done.blobs_erased:
        told += f", {done.blobs_erased:,} were erased"
    if done.aliases:
        told += " · aliases: " + ", ".join(f"{alias} → {version}" for alias, version in sorted(done.aliases.items()))
    emit(told)
    return 0


def _json(done: Any) -> dict[str, Any]:
    told = {name: getattr(done, name) for name in done.__slots__}
    versions = [{name: getattr(version, name) for name in version.__slots__} for version in done.versions]
    return {**told, "versions": versions, "left": list(done.left)}


def _predicate(tests: list[str]) -> Any:
    """What all of `tests` say together; None without any. A value is JSON where it is that, else text."""
    found: Any = None
    for test in tests:
        parts = _TEST.fullmatch(test)
        if parts is None:
            raise InvalidInputError(
                message("reading --where", expected="NAME=VALUE, or !=, <, <=, >, >=", got=repr(test)[:200])
            )
        try:
            value = json.loads(parts[3])
        except ValueError:
            value = parts[3]
        one = (
            tableformat.col(parts[1]).is_null()
            if value is None
            else _COMPARE[parts[2]](tableformat.col(parts[1]), value)
        )
        if value is None and parts[2] == "!=":
            one = ~one
        found = one if found is None else found & one
    return found

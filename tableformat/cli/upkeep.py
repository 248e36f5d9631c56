"""The commands that keep a store: gc, expire, erase, repair."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

import tableformat
from tableformat.cli.address import open_table, split_address
from tableformat.cli.exits import Exit
from tableformat.cli.output import emit, emit_json, note, size_text
from tableformat.errors import InvalidInputError, UsageError, message

__all__ = ["run_erase", "run_expire", "run_gc", "run_repair"]

_DAY = 24 * 3600
_SHOWN = 100


def run_gc(options: argparse.Namespace) -> int:
    """Collect garbage, or tell what there is."""
    store = tableformat.open_store(options.store, create=False)
    given: dict[str, Any] = {} if options.grace is None else {"grace": options.grace * _DAY}
    if options.delete and options.repack is not None:
        given["repack"] = options.repack
    with _Teller(options) as say:
        report = store.gc(not options.delete, exclusive=options.exclusive, progress=say, **given)
    if options.json:
        emit_json(dataclasses.asdict(report))
        return Exit.OK
    for word, amounts in (
        ("nothing reaches", report.condemned),
        ("too young to tell", report.young),
        ("deleted", report.deleted),
    ):
        for kind, amount in amounts.items():
            emit(f"{word}: {amount.objects:,} {kind}, {size_text(amount.bytes)}")
    if report.unknown.objects:
        note(f"{report.unknown.objects:,} files are none of the format, and are left alone")
    emit(_state_text(report, options.delete))
    return Exit.OK


def _state_text(report: Any, delete: bool) -> str:
    condemned, deleted = report.total("condemned"), report.total("deleted")
    when = "" if report.ready is None else time.strftime(" on %Y-%m-%d %H:%M UTC", time.gmtime(report.ready))
    match report.state:
        case "clean":
            return f"clean · {report.versions:,} versions, {report.reached:,} objects"
        case "planned" if not delete:
            return f"{size_text(condemned.bytes)} in {condemned.objects:,} objects could go · --delete makes a plan"
        case "planned":
            gone = f"{size_text(deleted.bytes)} deleted · " if deleted.objects else ""
            return f"{gone}{size_text(condemned.bytes)} in {condemned.objects:,} objects planned · they go{when}"
        case "waiting":
            return f"a plan for {size_text(condemned.bytes)} waits · its objects go{when}"
        case "busy":
            return "another collector is at work; nothing was done"
        case _:
            return f"{size_text(deleted.bytes)} in {deleted.objects:,} objects deleted"


def run_expire(options: argparse.Namespace) -> int:
    """Delete old versions."""
    place = split_address(options.address)
    name, _, version = place.selection.partition(":")
    if (options.keep_last is None) == (not version) or place.entry is not None or "@" in name:
        raise UsageError(
            message("expiring versions", path=options.address, expected="STORE#NAME with --keep-last, or STORE#NAME:vN", got="neither, or both")
        )  # fmt: skip
    store = tableformat.open_store(place.root, create=False)
    found = store.expire(
        name, options.keep_last, versions=[version] if version else None, dry_run=options.dry_run, force=options.force
    )
    if options.json:
        emit_json(dataclasses.asdict(found))
        return Exit.OK
    for slot, why in found.pinned:
        emit(f"v{slot} {'goes though it' if options.force else 'stays: it'} is pinned by {why}")
    word = "would expire" if found.dry_run else "expired"
    emit(f"{name}: {len(found.expired):,} versions {word}" + "".join(f" v{slot}" for slot in found.expired[:_SHOWN]))
    return Exit.OK


def run_erase(options: argparse.Namespace) -> int:
    """Erase media or rows."""
    table: dict[str, Any] = {}
    root = options.address
    if options.key or "#" in root:
        place = split_address(options.address)
        if place.entry is None or place.version is not None or options.digests or not options.key:
            raise UsageError(
                message("erasing", path=options.address, expected="STORE#NAME/ENTRY and keys, or STORE and digests", got="something else",
                        todo="rows go from all versions, and media from the whole store")
            )  # fmt: skip
        root = place.root
        rows = open_table(options.address)
        table = {"table": f"{place.selection}/{place.entry}", "keys": [_key(text, rows) for text in options.key]}
    store = tableformat.open_store(root, create=False)
    with _Teller(options) as say:
        report = store.erase(tuple(options.digests), **table, dry_run=not options.delete, progress=say)
    if options.json:
        emit_json(dataclasses.asdict(report))
        return Exit.OK if report.ok else Exit.PARTIAL
    for line in report.left[:_SHOWN]:
        emit(f"left: {line}")
    for line in report.unreached:
        note(f"not reached: {line}")
    if not (report.rows or report.digests or report.files or report.left):
        emit(f"nothing found: no {'stored row has these keys' if table else 'bytes in the store have these digests'}")
        return Exit.OK
    if table:
        new = (
            f"new: {_listed(report.committed)} · gone"
            if options.delete
            else "versions that would go, the newest for a new one"
        )
        emit(f"{report.rows:,} stored rows · {new}: {_listed(report.expired)}")
    word = "erased" if options.delete else "found; --delete erases them"
    emit(
        f"{len(report.digests):,} blobs of {size_text(report.bytes)} in {report.packs:,} packs and {report.files:,} files {word}"
    )
    return Exit.OK if report.ok else Exit.PARTIAL


def run_repair(options: argparse.Namespace) -> int:
    """Bring back what is damaged."""
    root, _, name = options.address.partition("#")
    store = tableformat.open_store(root, create=False, allow=options.allow)
    with _Teller(options) as say:
        report = store.repair(
            [tableformat.open_store(one, create=False) for one in options.sources],
            artifact=name or None, dry_run=options.dry_run, progress=say,
        )  # fmt: skip
    if options.json:
        emit_json(dataclasses.asdict(report))
        return Exit.OK if report.ok else Exit.DAMAGED
    for path in report.repaired[:_SHOWN]:
        emit(f"{'can be repaired' if report.dry_run else 'repaired'}: {path}")
    for line in report.lost[:_SHOWN]:
        emit(f"lost: {line}")
    emit(
        f"{len(report.repaired):,} repaired, {len(report.lost):,} lost · {size_text(report.bytes)} in {report.checked:,} files looked at"
    )
    return Exit.OK if report.ok else Exit.DAMAGED


def _key(text: str, table: Any) -> Any:
    """A key as it is typed: of one column as its text, in whatever type the column has; of several as JSON, a list or an object."""
    types = {name: table.arrow_schema.field(name).type for name in table.key}
    if len(types) < 2:
        return _value(text, next(iter(types.values()), pa.string()))
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, Mapping) and found.keys() == types.keys():
        return {name: _value(value, types[name]) for name, value in found.items()}
    if isinstance(found, list) and len(found) == len(types):
        return [_value(value, type_) for value, type_ in zip(found, types.values(), strict=True)]
    raise InvalidInputError(
        message(
            "reading a key",
            expected=f"JSON with values of {', '.join(types)}, such as '[\"a\", 7]'",
            got=ascii(text)[:80],
        )
    )


def _value(value: Any, type_: pa.DataType) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return pa.array([value]).cast(type_)[0].as_py()
    except pa.ArrowException as error:
        raise InvalidInputError(message("reading a key", expected=str(type_), got=ascii(value)[:80])) from error


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") or "none"


class _Teller:
    """One line on standard error that is written over, where a person watches."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._on = not options.quiet and sys.stderr.isatty()
        self._last = 0.0

    def __enter__(self) -> Callable[[str], None]:
        return self._say

    def __exit__(self, *_: object) -> None:
        if self._on:
            sys.stderr.write("\r\x1b[K")

    def _say(self, text: str) -> None:
        if self._on and time.monotonic() - self._last > 0.1:
            self._last = time.monotonic()
            sys.stderr.write("\r\x1b[K" + ascii(text)[1:-1][:100])
            sys.stderr.flush()

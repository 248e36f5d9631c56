"""The commands about what lies outside of a store: `add-reference`, `own`, `download`, and `verify --references`."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

import tableformat
from tableformat.cli.address import split_address
from tableformat.cli.exits import Exit
from tableformat.cli.output import emit, emit_json, note, size_text
from tableformat.errors import InvalidInputError, UsageError, message

__all__ = [
    "add_allow",
    "arguments_of_add_reference",
    "arguments_of_download",
    "arguments_of_own",
    "run_add_reference",
    "run_download",
    "run_own",
    "verify_references",
]

ADD_REFERENCE: Final = (
    "tableformat add-reference s3://bucket/images/ 'my-store#photos'",
    "tableformat add-reference s3://bucket/images/ 'my-store#photos/raw' --checksum",
    "tableformat add-reference s3://bucket/images/ 'my-store#photos/pictures' --table --kind image",
)  # fmt: skip
OWN: Final = (
    "tableformat own 'my-store#photos/pictures' image --dry-run",
    "tableformat own 'my-store#photos/pictures' image --where label=cat --on-changed collect",
)
DOWNLOAD: Final = (
    "tableformat download 'my-store#photos' photos-folder --allow s3://bucket/images/",
    "tableformat download 'my-store#photos:v3' photos-folder --no-references",
)
_SHOWN: Final = 100


def add_allow(command: argparse.ArgumentParser) -> None:
    """`--allow`, wherever references may be followed."""
    command.add_argument(
        "--allow",
        metavar="PREFIX",
        action="append",
        default=[],
        help="a URL prefix below which references may be followed, such as s3://bucket/images/; may be repeated "
        "(TABLEFORMAT_ALLOW names others)",
    )


def arguments_of_add_reference(command: argparse.ArgumentParser) -> None:
    """The arguments of `add-reference`."""
    command.add_argument("url", metavar="URL", help="an object, or the prefix of many")
    command.add_argument(
        "address", metavar="ADDRESS", help="STORE#NAME[/ENTRY]; ENTRY is by default the last part of URL"
    )
    command.add_argument("--checksum", action="store_true", help="read every object, and keep its digest")
    command.add_argument("--table", action="store_true", help="make a table with a row and media for each object")
    command.add_argument("--kind", default="image", help="the kind of media of the table (default: image)")
    command.add_argument("--message", metavar="TEXT", default="", help="what to say about the version")


def arguments_of_own(command: argparse.ArgumentParser) -> None:
    """The arguments of `own`."""
    command.add_argument("address", metavar="ADDRESS", help="a table: STORE#NAME/ENTRY")
    command.add_argument("column", metavar="COLUMN", help="its column of media")
    command.add_argument(
        "--where", metavar="NAME=VALUE", action="append", default=[], help="only rows with this value; may be repeated"
    )
    command.add_argument("--limit", metavar="N", type=int, help="at most so many references; call again to go on")
    command.add_argument("--dry-run", action="store_true", help="tell requests and bytes, and do nothing")
    command.add_argument(
        "--on-changed",
        choices=("raise", "collect"),
        default="raise",
        help="end at a reference that changed or is gone (default), or leave it as it is and tell it",
    )
    command.add_argument("--message", metavar="TEXT", default="", help="what to say about the version")
    add_allow(command)


def arguments_of_download(command: argparse.ArgumentParser) -> None:
    """The arguments of `download`."""
    command.add_argument("address", metavar="ADDRESS", help="the version")
    command.add_argument("target", metavar="FOLDER", help="where to write; made where it is not there")
    command.add_argument(
        "--no-references", dest="references", action="store_false", help="read nothing outside of the store"
    )
    add_allow(command)


def run_add_reference(options: argparse.Namespace) -> int:
    """A new version with references beside what the newest holds."""
    place = split_address(options.address)
    store = tableformat.open_store(place.root)
    with store.draft(place.name, base="latest", message=options.message) as draft:
        if options.table:
            name = place.entry or options.url.rstrip("/").rpartition("/")[2]
            draft.add_references(name, options.url, kind=options.kind, progress=not options.quiet)
        else:
            name = draft.add_reference(options.url, place.entry, checksum=options.checksum, progress=not options.quiet)
    artifact = draft.commit()
    if options.json:
        emit_json({"name": artifact.name, "version": artifact.version, "entry": name, "created": draft.created})
    else:
        emit(f"{artifact.name}:{artifact.version}/{name}: {artifact[name]!r}")
    return Exit.OK


def run_own(options: argparse.Namespace) -> int:
    """A new version in which references of one column are owned."""
    place = split_address(options.address)
    if place.entry is None:
        raise UsageError(
            message("owning references", path=options.address, expected="the address of a table, STORE#NAME/ENTRY")
        )
    store = tableformat.open_store(place.root, create=False, allow=options.allow)
    draft = store.draft(place.name, base="latest", message=options.message)
    try:
        done = draft.own(
            place.entry, options.column, dry_run=options.dry_run, on_changed=options.on_changed, limit=options.limit,
            progress=not options.quiet, **_equals(options.where),
        )  # fmt: skip
        version = None if options.dry_run else draft.commit().version
    finally:
        draft.discard()
    problems = [{"place": problem.place, "text": problem.text, "kind": problem.kind} for problem in done.problems]
    if options.json:
        emit_json({
            "references": done.references, "owned": done.owned, "requests": done.requests, "bytes": done.bytes,
            "unknown_sizes": done.unknown_sizes, "failed": done.failed, "problems": problems, "version": version,
        })  # fmt: skip
        return Exit.DAMAGED if done.failed else Exit.OK
    for problem in done.problems[:_SHOWN]:
        note(str(problem))
    unknown = f", and {done.unknown_sizes:,} of unknown size" if done.unknown_sizes else ""
    verb = "would own" if options.dry_run else "owned"
    emit(
        f"{verb} {done.owned:,} of {done.references:,} references: {size_text(done.bytes)}{unknown} in {done.requests:,} requests"
    )
    return Exit.DAMAGED if done.failed else Exit.OK


def run_download(options: argparse.Namespace) -> int:
    """The files of one version."""
    place = split_address(options.address)
    if place.entry is not None:
        raise UsageError(
            message(
                "downloading",
                path=options.address,
                expected="the address of a version",
                got=f"an entry, {place.entry!r}",
            )
        )
    artifact = tableformat.open_store(place.root, create=False, allow=options.allow)[place.selection]
    done = artifact.download(options.target, references=options.references, progress=not options.quiet)
    if options.json:
        emit_json({"files": done.files, "bytes": done.bytes, "present": done.present})
    else:
        emit(f"{options.target}: {done.files:,} files written, {size_text(done.bytes)}; {done.present:,} were there")
    return Exit.OK


def verify_references(options: argparse.Namespace) -> int:
    """`verify --references`: what became of everything that a version points at."""
    place = split_address(options.address)
    store = tableformat.open_store(place.root, create=False, allow=options.allow)
    drift = store.verify_references(place.selection, progress=not options.quiet)
    code = Exit.OK if drift.ok else Exit.DAMAGED
    if options.json:
        emit_json({"ok": drift.ok, **drift.counts, "references": drift.table.to_pylist()})
        return code
    for line in drift.table.slice(0, _SHOWN).to_pylist():
        where = line["entry"] if line["column"] is None else f"{line['entry']}, {line['column']} of row {line['row']}"
        emit(
            f"{line['state']}: {line['uri']} ({where}) · expected {line['expected']}, found {line['found'] or 'nothing'}"
        )
    if drift.table.num_rows > _SHOWN:
        emit(f"… and {drift.table.num_rows - _SHOWN:,} more (--json lists them)")
    emit(f"{place.selection}: " + ", ".join(f"{count:,} {state}" for state, count in drift.counts.items()))
    return code


def _equals(tests: list[str]) -> dict[str, Any]:
    """The values that `--where` names: JSON where it is that, else text."""
    found = {}
    for test in tests:
        name, sign, value = test.partition("=")
        if not sign or not name:
            raise InvalidInputError(message("reading --where", expected="NAME=VALUE", got=repr(test)))
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found

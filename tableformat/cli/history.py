"""The commands on the history of an artifact: `log`, `rollback`, and what `show` tells of a version's changes."""

from __future__ import annotations

import argparse
import json
from typing import Any

import tableformat
from tableformat.cli.address import split_address
from tableformat.cli.output import columns_text, emit, emit_json, note, size_text
from tableformat.errors import UsageError, message

__all__ = ["changes_json", "changes_lines", "run_log", "run_rollback"]


def run_log(options: argparse.Namespace) -> int:
    """The versions of an artifact, newest first, with what each commit stored."""
    place = split_address(options.address)
    if place.entry is not None or place.version is not None:
        raise UsageError(
            message(
                "reading a log", path=options.address, expected="the address of an artifact, such as my-store#digits"
            )
        )
    store = tableformat.open_store(place.root, create=False)
    versions = store.log(place.name, options.number)
    names: dict[str, list[str]] = {}
    for alias, version in sorted(store.aliases(place.name).items()):
        names.setdefault(version, []).append(alias)
    if options.json:
        emit_json([_version_json(version, names.get(f"v{version.slot}", [])) for version in versions])
        return 0
    rows = [
        [
            f"v{version.slot}", version.time[:16].replace("T", " "), str(version.report.get("rows", 0)),
            size_text(version.report.get("bytes_new", 0)), size_text(version.report.get("bytes_shared", 0)), ", ".join(names.get(f"v{version.slot}", [])), version.message,
        ]
        for version in versions
    ]  # fmt: skip
    header = ["version", "committed (UTC)", "rows written", "new", "deduplicated", "aliases", "message"]
    emit(*columns_text(header, rows, right=(2, 3, 4)))
    return 0


def _version_json(version: Any, aliases: list[str]) -> dict[str, Any]:
    return {
        "version": f"v{version.slot}",
        "digest": version.root,
        "base": version.base,
        "predecessor": version.predecessor,
        "time": version.time,
        "message": version.message,
        "producer": json.loads(version.producer),
        "report": version.report,
        "aliases": aliases,
    }


def run_rollback(options: argparse.Namespace) -> int:
    """An old version becomes the newest."""
    place = split_address(options.address)
    if place.entry is not None or place.version is None:
        raise UsageError(
            message(
                "rolling back", path=options.address, expected="the address of a version, such as my-store#digits:v3"
            )
        )
    store = tableformat.open_store(place.root, create=False)
    newest = store[place.name]
    made = store.rollback(place.name, place.version, options.message)
    if made.slot == newest.slot:
        note(f"nothing to do: {place.name}:{newest.version} has that content")
    if options.json:
        emit_json(
            {"name": made.name, "version": made.version, "digest": made.digest, "created": made.slot != newest.slot}
        )
    else:
        emit(f"{made.name}:{made.version} is {place.selection} again")
    return 0


def changes_json(changes: Any) -> dict[str, Any]:
    """What a version changed, for programs."""
    return {
        "since": changes.since,
        "type": not changes.is_same_type,
        "metadata": not changes.is_same_metadata,
        "entries": [{name: getattr(entry, name) for name in entry.__slots__} for entry in changes.entries],
    }


def changes_lines(changes: Any) -> list[str]:
    """What a version changed, for people; nothing for the first version."""
    if changes.since is None:
        return []
    said = [what for what, same in (("type", changes.is_same_type), ("metadata", changes.is_same_metadata)) if not same]
    title = f"since {changes.since}" + (f" (other {' and '.join(said)})" if said else "")
    if not changes.entries:
        return ["", f"{title}: no entry differs"]
    rows = [
        [
            entry.name, entry.change, f"+{entry.rows_added:,}" if entry.rows_added else "", f"−{entry.rows_removed:,}" if entry.rows_removed else "",
            *([size_text(entry.bytes_new), size_text(entry.bytes_shared)] if entry.kind == "table" else ["", ""]), _columns(entry),
        ]
        for entry in changes.entries
    ]  # fmt: skip
    return ["", *columns_text([title, "", "rows", "", "new", "shared", "columns"], rows, right=(2, 3, 4, 5))]


def _columns(entry: Any) -> str:
    if entry.change != "changed":
        return ""
    return ", ".join([f"+{name}" for name in entry.columns_added] + [f"−{name}" for name in entry.columns_removed])

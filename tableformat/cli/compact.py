"""`compact`: the parts of tables stored again in fewer files, as a new version with the same content."""

from __future__ import annotations

import argparse

import tableformat
from tableformat.cli.address import split_address
from tableformat.cli.output import emit, emit_json, note, size_text
from tableformat.errors import UsageError, message

__all__ = ["run_compact"]


def run_compact(options: argparse.Namespace) -> int:
    """One table of the newest version, or all of them."""
    place = split_address(options.address)
    if place.version is not None and place.version != "latest":
        raise UsageError(
            message(
                "compacting",
                path=options.address,
                expected="the newest version: an address without one",
                got=place.version,
            )
        )
    store = tableformat.open_store(place.root, create=False)
    newest = store[place.name]
    made = store.compact(place.name, place.entry, plain=options.plain)
    created, stored = made.slot != newest.slot, int(made.report.get("bytes_new", 0))
    if options.json:
        told = {"name": made.name, "version": made.version, "digest": made.digest, "content": made.content_digest}
        emit_json({**told, "created": created, "bytes_new": stored if created else 0})
    elif created:
        emit(f"{made.name}:{made.version}: the same rows, {size_text(stored)} stored again")
    else:
        emit(f"{made.name}:{made.version}")
    if not created:
        note(
            "nothing to do: no part is worth storing again"
            + ("" if options.plain else "; --plain mends what other engines cannot read")
        )
    return 0

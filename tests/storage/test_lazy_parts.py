"""Parts out of a manifest, parsed when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tableformat.errors import CorruptError, FormatError
from tableformat.format.documents import Requires
from tableformat.format.manifest import Deletions, Part, PartFile, TableEntry
from tableformat.storage.backend import open_backend
from tableformat.storage.interface import Backend
from tableformat.storage.lazy_parts import LazyParts, load_parts
from tableformat.storage.manifests import write_items


def part(number: int, deleted: int = 0) -> Part:
    digest = f"sha256:{number:064x}"
    deletions = Deletions(digest, 10, deleted) if deleted else None
    return Part(number + 5, number * 8, (PartFile(digest, 100, 10, digest),), {"1": digest}, {}, deletions)


def listed(backend: Backend, parts: Sequence[Part], *, leaves: bool = True) -> TableEntry:
    """An entry with these parts, in leaves or inline."""
    items = write_items(backend, [one.to_json() for one in parts], inline_bytes=0 if leaves else 1 << 20)
    return replace(TableEntry.empty(), rows=sum(one.visible_rows for one in parts), parts=items)


@pytest.mark.parametrize("leaves", [False, True])
def test_parts_are_those_of_the_list(tmp_path: Path, leaves: bool) -> None:
    """By number, from the end, as slices and in order, parts are what was written; outside there is none."""
    parts = [part(number) for number in range(150)]
    backend = open_backend(str(tmp_path))
    found = load_parts(backend, listed(backend, parts, leaves=leaves), "a/b")
    assert isinstance(found, LazyParts) == leaves
    assert (len(found), found[7], found[-1]) == (150, parts[7], parts[149])
    assert list(found) == parts
    assert list(found[3:9:2]) == parts[3:9:2]
    with pytest.raises(IndexError):
        found[150]
    if isinstance(found, LazyParts):
        assert found.row_counts.tolist() == [one.rows for one in parts]
        assert found.total_bytes == sum(one.bytes for one in parts)


def test_only_what_is_asked_for_is_parsed(tmp_path: Path) -> None:
    """A part that is malformed is told when it is asked for, not before."""
    backend = open_backend(str(tmp_path))
    items = [part(number).to_json() for number in range(5)]
    items[3]["files"] = "none"
    entry = replace(TableEntry.empty(), parts=write_items(backend, items, inline_bytes=0))
    found = load_parts(backend, entry, "a/b")
    assert found[4] == part(4)
    with pytest.raises(FormatError, match="a/b"):
        found[3]


def test_rows_that_are_deleted_are_counted(tmp_path: Path) -> None:
    """Where rows are deleted all parts are parsed; a list that keeps quiet about them is corrupt."""
    backend = open_backend(str(tmp_path))
    parts = [part(1), part(2, deleted=3)]
    entry = listed(backend, parts)
    assert load_parts(backend, replace(entry, requires=Requires(("deletions",))), "a/b") == tuple(parts)
    quiet = load_parts(backend, entry, "a/b")
    assert quiet[0] == parts[0]
    with pytest.raises(CorruptError, match="7 rows"):
        quiet[1]


def test_lists_without_counts_are_parsed(tmp_path: Path) -> None:
    """A leaf in which a part's rows are no number says nothing by itself."""
    backend = open_backend(str(tmp_path))
    items = [{**part(1).to_json(), "rows": "6"}]
    entry = replace(TableEntry.empty(), parts=write_items(backend, items, inline_bytes=0))
    with pytest.raises(FormatError, match="malformed"):
        load_parts(backend, entry, "a/b")

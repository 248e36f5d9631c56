"""Compaction stores rows again in fewer files: the same rows, the same content digest, another version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import Image, col
from tests.table.edit.tables import entry_of, files_of, parts_of, rows_of, write


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def edited(store: tableformat.Store, **options: Any) -> None:
    """A table with deletions, column files, renamed columns and small parts."""
    write(store, pa.table({"id": range(100), "x": np.arange(100) * 0.5}), part_rows=32, **options)
    with store.draft("a", base="latest") as draft:
        draft.delete("t", col("id").is_in([1, 2, 70]))
        draft.add_columns("t", {"y": [f"y{i}" for i in range(97)]})
        draft.rename_columns("t", {"x": "z"})
        for first in (200, 210):
            with draft.table("t", mode="append") as table:
                table.extend({"id": number, "z": 0.0, "y": "new"} for number in range(first, first + 5))


@pytest.mark.parametrize("key", [None, "id"])
def test_all_of_it_becomes_plain(store: tableformat.Store, key: str | None) -> None:
    """With `plain` the parts are those of a fresh write, and the content digest is the one before. [EDIT-20] [EDIT-21]"""
    edited(store, key=key)
    before = store["a"]
    with store.draft("a", base="latest") as draft:
        draft.compact("t", plain=True)
    after = store["a"]
    assert (after.slot, draft.created) == (before.slot + 1, True)
    assert after.content_digest == before.content_digest
    assert rows_of(after["t"]) == rows_of(before["t"])
    assert entry_of(after["t"]).plain
    assert entry_of(after["t"]).requires.read == ()
    with (
        store.draft("fresh") as draft,
        draft.table("t", schema=after["t"].schema, key=key or (), part_rows=32) as table,
    ):
        table.extend(after["t"].to_arrow())
    assert [part.rows for part in parts_of(after["t"])] == [part.rows for part in parts_of(store["fresh"]["t"])]
    assert store.verify("a").problem_count == 0


def test_nothing_to_do_makes_no_version(store: tableformat.Store) -> None:
    """A table that is plain, and one compacted twice, stay as they are."""
    write(store)
    assert store.compact("a").slot == 0
    edited(store)
    first = store.compact("a", "t", plain=True)
    assert store.compact("a", "t", plain=True).slot == first.slot
    assert store.compact("a").slot == first.slot


def test_only_what_is_worth_it(store: tableformat.Store) -> None:
    """Worn parts and runs of small ones are stored again, others stay; one deleted row is no reason. [EDIT-2]"""
    write(store, pa.table({"id": range(128)}), part_rows=32)
    with store.draft("a", base="latest") as draft:
        draft.delete("t", col("id") == 5)
        draft.delete("t", (col("id") >= 32) & (col("id") < 40))
        for number in (200, 201):
            with draft.table("t", mode="append") as table:
                table.append(id=number)
    before = store["a"]
    old = parts_of(before["t"])
    made = store.compact("a", "t")
    assert made.content_digest == before.content_digest
    new = parts_of(made["t"])
    assert [(part.rows, part.deletions is not None) for part in new] == [
        (32, True),
        (24, False),
        (32, False),
        (32, False),
        (2, False),
    ]
    assert (new[0], *new[2:4]) == (old[0], *old[2:4])
    assert entry_of(made["t"]).requires.read == ("deletions",)
    assert rows_of(made["t"]) == rows_of(before["t"])
    assert store.verify("a").problem_count == 0


def test_column_files_are_folded_in(store: tableformat.Store) -> None:
    """A part of more than two files is stored again as one."""
    write(store)
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", {"p": list(range(20))})
        assert draft.compact("t").parts_rewritten == 0
        draft.add_columns("t", {"q": list(range(20))})
        assert draft.compact("t").parts_rewritten == 3
        assert [len(part.files) for part in parts_of(draft["t"])] == [1, 1, 1]
    assert store.verify("a").problem_count == 0


def test_packs_are_left_alone(store: tableformat.Store) -> None:
    """No media move: cells point where they did, and the list of objects names what they point at."""
    images = np.random.default_rng(2).integers(0, 255, (6, 30, 30, 3), np.uint8)
    for number, pixels in enumerate(images):
        with (
            store.draft("a", base="latest" if number else None) as draft,
            draft.table("t", mode="append" if number else "create") as table,
        ):
            table.append(id=number, image=Image(pixels))
    before = store["a"]["t"]
    assert entry_of(before).objects.count == 6
    with store.draft("a", base="latest") as draft:
        draft.delete("t", col("id") == 0)
    made = store.compact("a", plain=True)
    assert entry_of(made["t"]).objects.count == 5
    assert len(parts_of(made["t"])) == 1
    assert all((np.asarray(row["image"].to_pil()) == images[row["id"]]).all() for row in made["t"])
    assert store.verify("a").problem_count == 0


def test_parts_that_come_out_the_same_cost_nothing(store: tableformat.Store) -> None:
    """Full parts keep their files when all of the table is made plain."""
    write(store, pa.table({"id": range(64)}), part_rows=16)
    with store.draft("a", base="latest") as draft:
        draft.delete("t", col("id") == 63)
    before = files_of(store)
    made = store.compact("a", plain=True)
    assert len(files_of(store) - before) == 1
    assert made.report["bytes_new"] == parts_of(made["t"])[-1].stored_bytes

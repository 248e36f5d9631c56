"""Upserts: rows over those with the same key, or added; what was not given stays, and what is the same stays where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import Box, Classes, ClassType, Image, ImageType
from tableformat.errors import KeyValueError, SchemaError, UsageError
from tests.table.edit.tables import entry_of, files_of, fresh_digest, parts_of, rows_of, write
from tests.table.inline_placer import TINY_PNG


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def test_rows_come_to_the_end_in_the_order_given(store: tableformat.Store) -> None:
    """Rows that changed or are new stand behind all others, in the order given; the parts that were there stay. [EDIT-8]"""
    write(store, key="id")
    before = files_of(store)
    with store.draft("a", base="latest") as draft:
        done = draft.upsert("t", [{"id": 30, "name": "new"}, {"id": 4, "name": "four", "score": 4.5}, {"id": 29}])
    assert (done.inserted, done.updated, done.unchanged) == (2, 1, 0)
    table = store["a"]["t"]
    assert [row["id"] for row in rows_of(table)] == [*(i for i in range(20) if i != 4), 30, 4, 29]
    assert rows_of(table)[-3:] == [
        {"id": 30, "name": "new", "score": None},
        {"id": 4, "name": "four", "score": 4.5},
        {"id": 29, "name": None, "score": None},
    ]
    assert before <= files_of(store)
    assert len(files_of(store) - before) == 2
    assert table.content_digest == fresh_digest(store, table)
    assert store.verify("a").problem_count == 0


def test_columns_that_are_not_given_stay(store: tableformat.Store) -> None:
    """A row keeps the values of columns that it was not given; each row may have been given others. [EDIT-9]"""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        draft.add_column("t", "flag", bool, default=True)
        draft.upsert("t", [{"id": 1, "name": None}, {"id": 2, "score": 7.0}, {"id": 99}, {"id": 3, "flag": False}])
        assert rows_of(draft["t"])[-4:] == [
            {"id": 1, "name": None, "score": 0.5, "flag": True},
            {"id": 2, "name": "n2", "score": 7.0, "flag": True},
            {"id": 99, "name": None, "score": None, "flag": True},
            {"id": 3, "name": "n3", "score": 1.5, "flag": False},
        ]


def test_rows_that_are_the_same_change_nothing(store: tableformat.Store) -> None:
    """Rows equal to what is there stay where they are; an upsert of nothing else gives the same entry. [EDIT-10]"""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        before = entry_of(draft["t"])
        done = draft.upsert("t", rows_of(draft["t"])[5:9])
        assert (done.updated, done.unchanged, done.bytes_new) == (0, 4, 0)
        assert entry_of(draft["t"]) == before
        assert draft.upsert("t", [{"id": 3}, {"id": 4, "score": 2.0}, {"id": 5, "score": 0.0}]).unchanged == 2
    write(store, pa.table({"id": [1], "x": [0.0]}), key="id")
    with store.draft("a", base="latest") as draft:
        assert draft.upsert("t", [{"id": 1, "x": -0.0}]).updated == 1  # other bits are another value


@pytest.mark.parametrize("ids", [[21, 22], [22, 21], [3, 21]])
def test_whether_rows_ascend_is_told_again(store: tableformat.Store, ids: list[int]) -> None:
    """A table stays sorted only where the new rows ascend behind all others. [EDIT-3]"""
    write(store, key="id")
    assert entry_of(store["a"]["t"]).sorted
    with store.draft("a", base="latest") as draft:
        draft.upsert("t", [{"id": number, "name": "x"} for number in ids])
    assert entry_of(store["a"]["t"]).sorted is (ids == [21, 22])


FORMS: dict[str, Any] = {
    "arrow": pa.table({"id": pa.array([1, 50], pa.int32()), "score": pa.array([9, 9], pa.int8())}),
    "columns": {"id": [1, 50], "score": [9.0, 9.0]},
    "batches": [pa.record_batch({"id": [1], "score": [9.0]}), pa.record_batch({"id": [50], "score": [9.0]})],
    "rows": ({"id": number, "score": 9.0} for number in (1, 50)),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_any_form(store: tableformat.Store, form: str) -> None:
    """Frames, columns, batches and rows do the same."""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        draft.upsert("t", FORMS[form] if form != "rows" else [{"id": number, "score": 9.0} for number in (1, 50)])
        assert rows_of(draft["t"])[-2:] == [
            {"id": 1, "name": "n1", "score": 9.0},
            {"id": 50, "name": None, "score": 9.0},
        ]


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "key twice": ([{"id": 1}, {"id": 2}, {"id": 1, "score": 3.0}], KeyValueError, "id=1 stands in row 0 already"),
    "key missing": ([{"id": 1}, {"name": "x"}, {"id": None}], KeyValueError, "(?s)2 rows without.*row 1"),
    "key missing in Arrow": (pa.table({"name": ["x"]}), KeyValueError, "1 rows without"),
    "key null in Arrow": (pa.table({"id": [1, None, None]}), KeyValueError, "(?s)2 rows without.*row 1.*row 2"),
    "key of another type": ([{"id": "one"}], SchemaError, "id"),
    "key of another Arrow type": (pa.table({"id": ["one"]}), SchemaError, "id"),
    "unknown column": ([{"id": 1, "nam": "x"}], SchemaError, "name"),
    "value of another type": ([{"id": 1, "score": "high"}], SchemaError, "score"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_change_nothing(store: tableformat.Store, case: str) -> None:
    """Keys that are missing, null, twice or of another type are told with their rows, and nothing has changed. [EDIT-11]"""
    write(store, key="id")
    rows, kind, text = BAD[case]
    with store.draft("a", base="latest") as draft:
        with pytest.raises(kind, match=text):
            draft.upsert("t", rows)
        assert draft.upsert("t", [{"id": 1}]).unchanged == 1
    assert draft.created is False


def test_a_unique_key_is_needed(store: tableformat.Store) -> None:
    """Without a key, or with one that was not proven unique, there is no row with the same key."""
    write(store)
    with store.draft("a", base="latest") as draft, pytest.raises(UsageError, match="no key"):
        draft.upsert("t", [{"id": 1}])
    write(store, key="id", unique=False)
    with store.draft("a", base="latest") as draft, pytest.raises(UsageError, match="not proven unique"):
        draft.upsert("t", [{"id": 1}])


def test_columns_that_are_never_null_need_a_value(store: tableformat.Store) -> None:
    """A row with a new key must be given every column that holds no null; one with an old key need not."""
    schema = pa.schema([pa.field("id", pa.int64(), False), pa.field("x", pa.int64(), False), ("y", pa.string())])
    write(store, pa.table({"id": [1, 2], "x": [5, 6], "y": ["a", "b"]}), key="id", schema=schema)
    with store.draft("a", base="latest") as draft:
        with pytest.raises(SchemaError, match="x"):
            draft.upsert("t", [{"id": 3, "y": "c"}])
        draft.upsert("t", [{"id": 2, "y": "c"}])
        assert rows_of(draft["t"]) == [{"id": 1, "x": 5, "y": "a"}, {"id": 2, "x": 6, "y": "c"}]


def test_media_bring_their_annotations(store: tableformat.Store) -> None:
    """New images are stored with their boxes; the boxes of an image that was replaced are gone, packs of both are named. [EDIT-4]"""
    big = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3), np.uint8)
    box = Box(1, xyxy=(0, 0, 5, 5))
    with (
        store.draft("a") as draft,
        draft.table("t", schema={"id": int, "image": ImageType(Classes({1: "cat"}))}, key="id") as table,
    ):
        table.append(id=1, image=Image(big[0], boxes={"truth": [box]}))
        table.append(id=2, image=Image(big[1], boxes={"truth": [box]}))
    assert store["a"]["t"].source.entry.objects.count == 1
    with store.draft("a", base="latest") as draft:
        assert draft.upsert("t", [{"id": 1, "image": Image(big[2])}, {"id": 2}]).updated == 1
    table = store["a"]["t"]
    assert [row["id"] for row in table] == [2, 1]
    assert len(table[0]["image"].boxes["truth"]) == 1
    assert not table[1]["image"].boxes
    assert (np.asarray(table[1]["image"].to_pil()) == big[2]).all()
    assert entry_of(table).objects.count == 2
    assert store.verify("a").problem_count == 0


def test_annotations_may_be_new(store: tableformat.Store) -> None:
    """Boxes on an image bring the column for them, which is null in the rows before."""
    with store.draft("a") as draft, draft.table("t", schema={"id": int, "image": ImageType()}, key="id") as table:
        table.append(id=1, image=Image(TINY_PNG))
    with store.draft("a", base="latest") as draft:
        draft.upsert(
            "t", [{"id": 2, "image": Image(TINY_PNG, boxes={"truth": [Box(1, xyxy=(0, 0, 1, 1), unit="fraction")]})}]
        )
    table = store["a"]["t"]
    assert table.schema.names == ["id", "image", "image_boxes"]
    assert [len(row["image"].boxes or ()) for row in table] == [0, 1]
    assert store.verify("a").problem_count == 0


def test_class_ids_are_checked(store: tableformat.Store) -> None:
    """Ids outside of the class set of the table's column are errors, as when it was written."""
    with (
        store.draft("a") as draft,
        draft.table("t", schema={"id": int, "label": ClassType(Classes({0: "cat"}))}, key="id") as table,
    ):
        table.append(id=1, label=0)
    with store.draft("a", base="latest") as draft, pytest.raises(SchemaError, match="label"):
        draft.upsert("t", [{"id": 1, "label": 7}])


def test_scattered_changes_cost_little(store: tableformat.Store) -> None:
    """Changing one column in a few rows all over a table stores a small file for each part, and those rows."""
    rows = pa.table({"id": np.arange(40_000), "text": [f"{i:060}" for i in range(40_000)]})
    write(store, rows, key="id", part_rows=None)
    whole = sum(part.stored_bytes for part in parts_of(store["a"]["t"]))
    with store.draft("a", base="latest") as draft:
        done = draft.upsert("t", {"id": [5, 13_000, 33_333], "text": ["a", "b", "c"]})
    assert done.updated == 3
    touched = [part for part in parts_of(store["a"]["t"]) if part.deletions is not None]
    assert len(touched) == 3
    assert all(part.deletions.size < 1000 for part in touched if part.deletions is not None)
    assert done.bytes_new < whole // 50

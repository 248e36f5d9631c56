"""Changes of the schema write no parts: readers find columns by id and give what the schema says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import Box, Image, ImageType
from tableformat.errors import ExistsError, KeyValueError, NotFoundError, SchemaError
from tests.table.edit.tables import entry_of, files_of, fresh_digest, rows_of, write
from tests.table.inline_placer import TINY_PNG

CHANGES: dict[str, Any] = {
    "add": lambda draft: draft.add_column("t", "flag", bool, default=True),
    "add null": lambda draft: draft.add_column("t", "note", str),
    "drop": lambda draft: draft.drop_columns("t", "name"),
    "rename": lambda draft: draft.rename_columns("t", {"id": "number"}),
    "reorder": lambda draft: draft.reorder_columns("t", ["score"]),
    "widen": lambda draft: draft.widen_columns("t", {"small": pa.int64(), "time": pa.timestamp("us")}),
    "all": lambda draft: [change(draft) for name, change in CHANGES.items() if name != "all"],
}


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def data(rows: int = 20) -> pa.Table:
    numbers = range(rows)
    return pa.table(
        {
            "id": numbers,
            "name": [f"n{i}" for i in numbers],
            "score": [i / 2 for i in numbers],
            "small": pa.array(numbers, pa.int16()),
            "time": pa.array(numbers, pa.timestamp("ms")),
        }
    )


@pytest.mark.parametrize("change", CHANGES)
def test_parts_stay_as_they_are(store: tableformat.Store, change: str) -> None:
    """No file is written, the list of parts is the same, and the digest is that of a fresh write. [EDIT-16]"""
    write(store, data(), key="id")
    before, parts = files_of(store), entry_of(store["a"]["t"]).parts
    with store.draft("a", base="latest") as draft:
        CHANGES[change](draft)
    table = store["a"]["t"]
    assert files_of(store) == before
    assert entry_of(table).parts == parts
    assert not entry_of(table).plain
    assert table.content_digest == fresh_digest(store, table)
    assert store.verify("a").problem_count == 0


def test_all_changes_at_once(store: tableformat.Store) -> None:
    """What a reader gets after all of them, the key included."""
    write(store, data(3), key="id")
    with store.draft("a", base="latest") as draft:
        CHANGES["add"](draft)
        CHANGES["rename"](draft)
        CHANGES["reorder"](draft)
        draft.drop_columns("t", ["time"])
    table = store["a"]["t"]
    assert table.key == ("number",)
    assert rows_of(table)[2] == {"score": 1.0, "number": 2, "name": "n2", "small": 2, "flag": True}
    assert table.columns == ["score", "number", "name", "small", "flag"]


def test_filters_see_wider_times(store: tableformat.Store) -> None:
    """Statistics that count in the unit in which a part was written leave out no row of a finer one."""
    write(store, data(), key="id")
    with store.draft("a", base="latest") as draft:
        draft.widen_columns("t", {"time": pa.timestamp("us"), "small": pa.float64()})
    table = store["a"]["t"]
    wanted = np.datetime64(11, "ms").astype("datetime64[us]")
    assert [row["id"] for row in table.where(tableformat.col("time") == wanted)] == [11]
    assert [row["id"] for row in table.where(tableformat.col("small") >= 18.5)] == [19]


def test_wider_keys_are_still_found(store: tableformat.Store) -> None:
    """Rows are found by a key whose type was widened after parts were written."""
    write(store, pa.table({"t": pa.array(range(20), pa.timestamp("ms")), "x": range(20)}), key="t")
    with store.draft("a", base="latest") as draft:
        draft.widen_columns("t", {"t": pa.timestamp("us")})
    with store.draft("a", base="latest") as draft:
        done = draft.upsert("t", pa.table({"t": pa.array([3000, 3001], pa.timestamp("us")), "x": [30, 31]}))
    assert (done.updated, done.inserted) == (1, 1)
    with (
        pytest.raises(KeyValueError, match="t="),
        store.draft("a", base="latest") as draft,
        draft.table("t", mode="append") as table,
    ):
        table.extend(pa.table({"t": pa.array([4000], pa.timestamp("us")), "x": [0]}))
    assert store.verify("a").problem_count == 0


def test_a_name_comes_back_with_a_new_id(store: tableformat.Store) -> None:
    """A column that is added under the name of one that was dropped has none of its values. [EDIT-17]"""
    write(store)
    with store.draft("a", base="latest") as draft:
        old = draft["t"].schema["name"].id
        draft.drop_columns("t", "name")
        draft.add_column("t", "name", str)
        assert draft["t"].schema["name"].id != old
        assert {row["name"] for row in rows_of(draft["t"])} == {None}
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", {"more": list(range(20))})
        draft.drop_columns("t", "more")
        draft.add_columns("t", {"more": [f"{i}" for i in range(20)]})
    assert store["a"]["t"][7]["more"] == "7"
    assert store.verify("a").problem_count == 0


def test_annotations_follow_their_media(store: tableformat.Store) -> None:
    """Renaming media renames their boxes and keeps them tied, dropping media drops them; a key can only be renamed. [EDIT-18]"""
    box = Box(1, xyxy=(0, 0, 1, 1), unit="fraction")
    with store.draft("a") as draft, draft.table("t", schema={"id": int, "image": ImageType()}, key="id") as table:
        table.append(id=1, image=Image(TINY_PNG, boxes={"truth": [box]}))
    with store.draft("a", base="latest") as draft:
        draft.rename_columns("t", {"image": "photo", "id": "key"})
        assert draft["t"].schema.names == ["key", "photo", "photo_boxes"]
        assert draft["t"][0]["photo"].boxes["truth"][0].class_id == 1
        draft.upsert("t", [{"key": 2, "photo": Image(TINY_PNG, boxes={"truth": [box, box]})}])
        assert len(draft["t"][1]["photo"].boxes["truth"]) == 2
    assert store.verify("a").problem_count == 0
    with store.draft("a", base="latest") as draft:
        with pytest.raises(SchemaError, match="not of the key"):
            draft.drop_columns("t", ["photo", "key"])
        draft.drop_columns("t", "photo")
        assert draft["t"].schema.names == ["key"]
    assert store.verify("a").problem_count == 0


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "narrower": (
        lambda draft: draft.widen_columns("t", {"id": pa.int32(), "score": pa.float32()}),
        SchemaError,
        "(?s)id.*score",
    ),
    "another sort": (lambda draft: draft.widen_columns("t", {"name": pa.int64()}), SchemaError, "name"),
    "a value that does not fit": (lambda draft: draft.widen_columns("t", {"big": pa.float64()}), SchemaError, "big"),
    "never null without a default": (
        lambda draft: draft.add_column("t", "x", pa.field("x", pa.int64(), False)),
        SchemaError,
        "x",
    ),
    "a default of another type": (lambda draft: draft.add_column("t", "x", int, default="one"), SchemaError, "x"),
    "a name that is taken": (lambda draft: draft.add_column("t", "name", int), ExistsError, "name"),
    "renamed to one that is taken": (lambda draft: draft.rename_columns("t", {"name": "score"}), SchemaError, "score"),
    "renaming what is not there": (lambda draft: draft.rename_columns("t", {"nam": "x"}), NotFoundError, "name"),
    "dropping what is not there": (lambda draft: draft.drop_columns("t", ["nam"]), NotFoundError, "name"),
    "reordering what is not there": (lambda draft: draft.reorder_columns("t", ["nam"]), NotFoundError, "name"),
    "widening what is not there": (lambda draft: draft.widen_columns("t", {"nam": pa.int64()}), NotFoundError, "name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_lose_values_is_refused(store: tableformat.Store, case: str) -> None:
    """Types that hold less, values that do not fit, and names that cannot be are refused with the reason. [EDIT-19]"""
    write(store, data().append_column("big", pa.array([2**53 + 1] * 20)), key="id")
    change, kind, text = REFUSED[case]
    with store.draft("a", base="latest") as draft, pytest.raises(kind, match=text):
        change(draft)
    assert draft.created is False


@pytest.mark.parametrize("rows", [0, 5, 70_000, 131_072])
def test_digests_of_defaults_are_told_unread(store: tableformat.Store, rows: int) -> None:
    """The digest of a column with a default is right for any number of blocks."""
    write(store, pa.table({"id": np.arange(rows)}), part_rows=None)
    with store.draft("a", base="latest") as draft:
        draft.add_column("t", "x", str, default="é")
    table = store["a"]["t"]
    assert table.content_digest == fresh_digest(store, table)


def test_a_change_to_the_same_changes_nothing(store: tableformat.Store) -> None:
    """Widening to the type that is there, and an order that is there, make no new version."""
    write(store)
    with store.draft("a", base="latest") as draft:
        draft.widen_columns("t", {"score": pa.float64()})
        draft.reorder_columns("t", ["id", "name"])
        draft.rename_columns("t", {})
    assert draft.created is False

"""Rows are taken out by a filter or by key: a small file beside each part touched, and nothing where nothing goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import col
from tableformat.errors import InvalidInputError, KeyValueError, NotFoundError, SchemaError, UsageError
from tableformat.table.edit.opened import stored_rows
from tests.table.edit.tables import entry_of, files_of, fresh_digest, parts_of, rows_of, write


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def test_rows_that_match_go(store: tableformat.Store) -> None:
    """A filter takes out the rows for which it is true; one deletion file is written for each part touched. [EDIT-1]"""
    write(store)
    before = files_of(store)
    with store.draft("a", base="latest") as draft:
        assert draft.delete("t", col("id").is_in([3, 4, 12])).deleted == 3
    table = store["a"]["t"]
    assert [row["id"] for row in rows_of(table)] == [i for i in range(20) if i not in (3, 4, 12)]
    assert [None if part.deletions is None else part.deletions.rows for part in parts_of(table)] == [2, 1, None]
    assert len(files_of(store) - before) == 2
    assert table.content_digest == fresh_digest(store, table)
    assert entry_of(table).requires.read == ("deletions",)
    assert not entry_of(table).plain
    assert store.verify("a").problem_count == 0


def test_filters_by_name(store: tableformat.Store) -> None:
    """Columns may be named as in `Table.where`, and the expression as `where=`."""
    write(store)
    with store.draft("a", base="latest") as draft:
        assert draft.delete("t", name="n5").deleted == 1
        assert draft.delete("t", where=col("id") > 17).deleted == 2
        assert len(draft["t"]) == 17


def test_a_part_has_one_deletion_file(store: tableformat.Store) -> None:
    """A second deletion in a part names all rows that are gone, by their stored numbers. [EDIT-7]"""
    write(store)
    for gone in ([1, 5], [2, 7]):
        with store.draft("a", base="latest") as draft:
            draft.delete("t", col("id").is_in(gone))
    [first, *_] = parts_of(store["a"]["t"])
    assert first.deletions is not None
    assert first.deletions.rows == 4
    assert [row["id"] for row in rows_of(store["a"]["t"])][:5] == [0, 3, 4, 6, 8]


def test_little_that_is_left_is_stored_again(store: tableformat.Store) -> None:
    """A part of which less than a fourth stays is stored again with those rows, and one of which nothing stays is gone. [EDIT-5]"""
    write(store)
    with store.draft("a", base="latest") as draft:
        done = draft.delete("t", col("id").is_in([*range(7), *range(8, 16)]))
    assert (done.deleted, done.parts_rewritten) == (15, 1)
    table = store["a"]["t"]
    assert [(part.rows, part.deletions) for part in parts_of(table)] == [(1, None), (4, None)]
    assert [row["id"] for row in rows_of(table)] == [7, 16, 17, 18, 19]
    assert entry_of(table).plain
    assert entry_of(table).requires.read == ()


def test_all_rows_may_go(store: tableformat.Store) -> None:
    """A table without rows keeps its columns and key, and can be filled again."""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        assert draft.delete("t", col("id") >= 0).deleted == 20
        assert rows_of(draft["t"]) == []
        draft.upsert("t", [{"id": 1}])
    assert rows_of(store["a"]["t"]) == [{"id": 1, "name": None, "score": None}]
    assert store.verify("a").problem_count == 0


def test_a_filter_that_matches_nothing_changes_nothing(store: tableformat.Store) -> None:
    """Where no row goes, the version is not a new one."""
    write(store)
    with store.draft("a", base="latest") as draft:
        assert draft.delete("t", col("id") > 100).deleted == 0
    assert draft.created is False


KEYS: dict[str, Any] = {
    "list": [3, 4, 99],
    "numpy": np.array([3, 4, 99]),
    "arrow": pa.array([3, 4, 99], pa.int32()),
    "rows": [{"id": 3}, {"id": 4, "name": "is not looked at"}, {"id": 99}],
    "table": pa.table({"id": [3, 4, 99], "other": [0, 0, 0]}),
    "twice": [3, 3, 4, 99, 99],
    "tuples": [(3,), (4,), (99,)],
}


@pytest.mark.parametrize("form", KEYS)
def test_keys_in_any_form(store: tableformat.Store, form: str) -> None:
    """Keys come as values, arrays or rows; those that are not there are counted, each once."""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        done = draft.delete("t", keys=KEYS[form])
    assert (done.deleted, done.missing) == (2, 1)
    assert len(store["a"]["t"]) == 18


def test_keys_of_two_columns(store: tableformat.Store) -> None:
    """Keys of several columns are tuples or mappings."""
    write(store, key=["id", "name"])
    with store.draft("a", base="latest") as draft:
        done = draft.delete("t", keys=[(3, "n3"), (4, "n5"), {"id": 5, "name": "n5"}])
    assert (done.deleted, done.missing) == (2, 1)


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nothing named": ({}, InvalidInputError, "a filter, or keys="),
    "both": ({"keys": [1], "id": 1}, InvalidInputError, "both"),
    "another type": ({"keys": ["x"]}, SchemaError, "id"),
    "one text": ({"keys": "abc"}, KeyValueError, "single str"),
    "too many values": ({"keys": [(1, 2)]}, KeyValueError, "a value for each"),
    "rows without the key": ({"keys": [{"name": "n1"}]}, KeyValueError, "missing"),
    "null": ({"keys": [1, None]}, SchemaError, "id"),
    "unknown column": ({"idd": 1}, NotFoundError, "id"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_calls_change_nothing(store: tableformat.Store, case: str) -> None:
    """A call that names no rows, or keys that cannot be, raises and leaves the draft as it was. [EDIT-6]"""
    write(
        store,
        key="id",
        schema=pa.schema([pa.field("id", pa.int64(), False), ("name", pa.string()), ("score", pa.float64())]),
    )
    arguments, kind, text = BAD[case]
    with store.draft("a", base="latest") as draft:
        with pytest.raises(kind, match=text):
            draft.delete("t", **arguments)
        assert len(draft["t"]) == 20
    assert draft.created is False


def test_keys_need_a_key(store: tableformat.Store) -> None:
    """A table without a key has no rows by key, and an entry that is not there no rows at all."""
    write(store)
    with store.draft("a", base="latest") as draft:
        with pytest.raises(UsageError, match="a table with a key"):
            draft.delete("t", keys=[1])
        with pytest.raises(NotFoundError):
            draft.delete("u", keys=[1])


def test_visible_rows_become_stored_rows() -> None:
    """Counting past deleted rows gives the row that is stored."""
    hidden = np.array([0, 1, 4, 9])
    kept = np.setdiff1d(np.arange(12), hidden)
    assert stored_rows(hidden, np.arange(8)).tolist() == kept.tolist()
    assert stored_rows(np.empty(0, np.int64), np.array([3])).tolist() == [3]

"""Stored rows are read again from whatever files hold their columns, under the names that they have now."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.table.stored_rows import iter_stored
from tests.table.edited_tables import FileSpec, store_part

OLD = Schema.from_user(pa.schema({"id": pa.int64(), "name": pa.string(), "score": pa.float64()}))
NEW = OLD.with_renamed({"name": "title"}).with_reordered(["score", "id", "title"])
ROWS = {"id": list(range(40)), "name": [f"n{row}" for row in range(40)], "score": [row / 2 for row in range(40)]}


def test_columns_are_found_by_id_in_any_file(tmp_path: Path) -> None:
    """A part of one file of older names, and a part of two files, give the same rows under the names of today."""
    backend = open_backend(str(tmp_path))
    one = store_part(backend, [FileSpec(OLD, ROWS)]).part
    scores = Schema(tuple(column for column in OLD.columns if column.name == "score"))
    two = store_part(
        backend,
        [
            FileSpec(OLD, {**ROWS, "score": [0.0] * 40}, only=("id", "name")),
            FileSpec(scores, {"score": ROWS["score"]}, only=("score",)),
        ],
    ).part
    expected = [{"score": row / 2, "id": row, "title": f"n{row}"} for row in range(40)]
    for part in (one, two):
        tables = list(iter_stored(backend, NEW, [part]))
        assert [row for table in tables for row in table.to_pylist()] == expected
    [*groups] = iter_stored(backend, NEW, [one], ["title"])
    assert [group.column_names for group in groups] == [["title"]] * 3
    assert sum(group.num_rows for group in groups) == 40

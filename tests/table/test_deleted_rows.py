"""Rows that are no longer visible: numbers and batches without them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import CorruptError, NotFoundError
from tableformat.storage.backend import open_backend
from tableformat.table.batches import rows_only
from tableformat.table.deleted_rows import DeletedRows, load_deletions
from tests.sample_store import scalars
from tests.table.edited_tables import BASE, FileSpec, base_columns, store_part

GONE = st.sets(st.integers(0, 39)).map(sorted)


def deleted(rows: list[int]) -> DeletedRows:
    return DeletedRows(np.array(rows, np.int64))


@given(GONE)
def test_numbers_of_visible_rows(gone: list[int]) -> None:
    """The n-th visible row is the n-th stored row that is not deleted; runs of rows count what is left. [READ-12]"""
    left = [row for row in range(40) if row not in gone]
    assert deleted(gone).stored(np.arange(len(left), dtype=np.int64)).tolist() == left
    starts = np.array([0, 7, 7, 30, 40], np.int64)
    sizes = [sum(low <= row < high for row in left) for low, high in itertools.pairwise(starts)]
    assert deleted(gone).visible_sizes(starts) == sizes


@given(GONE, st.integers(0, 20), st.integers(0, 60))
def test_batches_without_deleted_rows(gone: list[int], low: int, extra: int) -> None:
    """Columns of every type lose exactly the deleted rows, wherever the batch begins. [READ-12]"""
    whole = scalars(40).combine_chunks().to_batches()[0]
    nested = pa.array(
        [None if row % 5 == 3 else [[row] * (row % 3), []] for row in range(40)], pa.list_(pa.list_(pa.int64()))
    )
    floats = pa.array([[row / 2] * (row % 4) for row in range(40)], pa.list_(pa.float32()))
    whole = whole.append_column("nested", nested).append_column("floats", floats).slice(low, 20)
    numbers = [row for row in range(low, low + whole.num_rows) if row not in gone]
    found = deleted([*gone, 100 + extra]).drop(whole, low)
    wanted = whole.take(pa.array([row - low for row in numbers], pa.int64()))
    assert sum(batch.num_rows for batch in found) == len(numbers)
    if found:
        table = pa.Table.from_batches(found).combine_chunks()
        assert (
            table.drop_columns(["f64"]).to_pylist() == pa.Table.from_batches([wanted]).drop_columns(["f64"]).to_pylist()
        )
        assert table.schema == whole.schema
        table.validate(full=True)
    assert sum(batch.num_rows for batch in deleted(gone).drop(rows_only(20), low)) == sum(
        row not in gone for row in range(low, low + 20)
    )


def test_few_deleted_rows_cost_no_copy() -> None:
    """Where thousands of rows stand between deleted ones, batches are slices of what was read."""
    batch = pa.record_batch({"x": np.arange(100_000)})
    found = deleted([10, 50_000, 99_999]).drop(batch, 0)
    assert [one.num_rows for one in found] == [10, 49_989, 49_998]
    assert found[1].column(0).buffers()[1].address == batch.column(0).buffers()[1].address


def test_deletion_files_are_read_once_they_are_needed(tmp_path: Path) -> None:
    """A part without deletions has none; a file that is gone, or another one, is told with its path. [READ-13]"""
    backend = open_backend(str(tmp_path))
    plain = store_part(backend, [FileSpec(BASE, base_columns(0, 20))]).part
    part = store_part(backend, [FileSpec(BASE, base_columns(0, 20))], [3, 4]).part
    assert load_deletions(backend, plain) is None
    assert list(load_deletions(backend, part)) == [3, 4]  # type: ignore[arg-type]
    assert part.deletions is not None
    path = tmp_path / part.deletions.path
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(CorruptError, match=part.deletions.path):
        load_deletions(backend, part)
    path.unlink()
    with pytest.raises(NotFoundError):
        load_deletions(backend, part)

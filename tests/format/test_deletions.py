"""Deletion files: what is written comes back, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.digest import digest_of
from tableformat.errors import CorruptError, FormatError, InvalidInputError, LimitError
from tableformat.format.deletions import MAX_DELETED_ROWS, Deletions, decode_deletions, encode_deletions

ROWS = st.lists(st.integers(0, 200_000), min_size=1, max_size=50)


@given(ROWS)
def test_deletions_come_back(rows: list[int]) -> None:
    """The numbers ascend, each once, whatever order they were given in, and the same rows give the same file. [PART-17]"""
    data, deletions = encode_deletions(rows)
    found = decode_deletions(data, deletions, 200_001, "x")
    assert found.tolist() == sorted(set(rows))
    assert (deletions.rows, deletions.size, deletions.digest) == (len(set(rows)), len(data), digest_of(data))
    assert encode_deletions(np.array(rows[::-1]))[0] == data
    assert Deletions.from_json(deletions.to_json(), 200_001) == deletions


def test_deletion_files_are_plain_parquet() -> None:
    """One column `row` of int64 that may not be null: any engine reads it. [PART-17]"""
    data, _ = encode_deletions([5, 1])
    table = pq.read_table(pa.BufferReader(data))
    assert table.schema.equals(pa.schema([pa.field("row", pa.int64(), nullable=False)]))
    assert table.column("row").to_pylist() == [1, 5]


def file_of(values: Any, name: str = "row", type_: Any = None) -> tuple[bytes, Deletions]:
    sink = pa.BufferOutputStream()
    array = pa.array(values, type_ or pa.int64())
    pq.write_table(pa.table({name: array}), sink)
    data = sink.getvalue().to_pybytes()
    return data, Deletions(digest_of(data), len(data), len(array))


@pytest.mark.parametrize(
    ("values", "name", "type_"),
    [
        ([2, 1], "row", None), ([1, 1], "row", None), ([-1, 1], "row", None), ([1, 10], "row", None), ([1, None], "row", None),
        ([1, 2], "rows", None), ([1, 2], "row", pa.int32()), (["1"], "row", pa.string()),
    ],
)  # fmt: skip
def test_other_files_are_refused(values: Any, name: str, type_: Any) -> None:
    """Numbers that do not ascend, that a part of ten rows does not have, null, or of another column or type. [PART-17]"""
    data, deletions = file_of(values, name, type_)
    with pytest.raises(FormatError):
        decode_deletions(data, deletions, 10, "x")


def test_damage_is_told() -> None:
    """Another byte, another length, another count: nothing is taken from such a file. [READ-13]"""
    data, deletions = encode_deletions([1, 2, 3])
    flipped = bytes([data[20] ^ 1 if at == 20 else byte for at, byte in enumerate(data)])
    for wrong in (flipped, data[:-1], data + b"x", b""):
        with pytest.raises(CorruptError):
            decode_deletions(wrong, deletions, 10, "x")
    with pytest.raises(FormatError):
        decode_deletions(data, replace(deletions, rows=2), 10, "x")
    with pytest.raises(FormatError):
        decode_deletions(b"PAR1", Deletions(digest_of(b"PAR1"), 4, 1), 10, "x")


def test_too_many_are_refused() -> None:
    """A file that says to delete more than a reader holds is refused before it is read. [READ-8]"""
    data, deletions = encode_deletions([1])
    for change in ({"rows": MAX_DELETED_ROWS + 1}, {"size": 1 << 30}):
        with pytest.raises(LimitError):
            decode_deletions(data, replace(deletions, **change), 1 << 40, "x")
    for rows in ([], [-1]):
        with pytest.raises(InvalidInputError):
            encode_deletions(rows)

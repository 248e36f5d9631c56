"""Equality of values, whole columns at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.value_digest import value_digest
from tableformat.table.diff.values import differing, encoded, rows_encoded
from tests.table.diff.diff_tables import VALUES


@given(st.data(), st.sampled_from(VALUES), st.integers(0, 3))
def test_values_differ_where_their_digests_do(
    data: st.DataObject, typed: tuple[pa.DataType, list[object]], skip: int
) -> None:
    """Two values are equal where a column of one has the value digest of a column of the other, sliced or not. [DIFF-1]"""
    type_, pool = typed
    rows = data.draw(st.lists(st.tuples(st.sampled_from(pool), st.sampled_from(pool)), max_size=8))
    one, other = (pa.array([row[side] for row in rows], type_).slice(skip) for side in (0, 1))
    wanted = [
        value_digest(one.slice(row, 1)) != value_digest(other.slice(row, 1)) for row in range(max(len(rows) - skip, 0))
    ]
    assert differing(one, other).tolist() == wanted
    texts = zip(encoded(one).to_pylist(), encoded(other).to_pylist(), strict=True)
    assert [mine != theirs for mine, theirs in texts] == wanted


def test_what_lies_under_nulls_does_not_count() -> None:
    """Nulls are equal whatever stands in their place."""
    one, other = (
        pa.Array.from_buffers(
            pa.int32(), 2, [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([left, 7], "<i4").tobytes())]
        )
        for left in (1, 2)
    )
    assert one.to_pylist() == other.to_pylist() == [None, 7]
    assert not differing(one, other).any()
    assert encoded(one).equals(encoded(other))


@pytest.mark.parametrize("pair", [(["a", "bc"], ["ab", "c"]), ([None, ""], ["", None]), (["", "a"], ["a", ""])])
def test_rows_of_several_columns_do_not_run_together(pair: tuple[list[str | None], list[str | None]]) -> None:
    """Where a value ends can be told, and null is not empty."""
    columns = [pa.array(values, pa.string()) for values in zip(*pair, strict=True)]
    assert len(set(rows_encoded(columns, 2).to_pylist())) == 2


def test_rows_without_columns_are_equal() -> None:
    """There is one text for all of them."""
    assert rows_encoded([], 2).to_pylist() == [b"", b""]

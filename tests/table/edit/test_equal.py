"""Rows are equal where their value digests would be: at any depth, by bits, and for media by what they show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.media.cells import build_cells
from tableformat.format.value_digest import value_digest
from tableformat.table.edit.equal import equal_rows
from tests.table.edit.model import TYPES

DEEP: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    **TYPES,
    "map": (
        pa.map_(pa.string(), pa.int8()),
        st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 2)), max_size=2),
    ),
    "fixed": (pa.list_(pa.float32(), 2), st.lists(st.sampled_from([0.0, -0.0, 1.0, math.nan]), min_size=2, max_size=2)),
    "deep": (
        pa.list_(pa.struct([("x", pa.list_(pa.string()))])),
        st.lists(st.fixed_dictionaries({"x": st.none() | st.lists(st.sampled_from("ab"), max_size=2)}), max_size=2),
    ),
    "half": (pa.float16(), st.sampled_from([np.float16(0.5), np.float16(-0.0), np.float16(0.0)])),
    "nothing": (pa.struct([]), st.just({})),
}


@given(st.data(), st.sampled_from(sorted(DEEP)))
def test_equal_rows_have_equal_digests(data: Any, kind: str) -> None:
    """Row by row, arrays are equal exactly where the digests of their rows are; slices are no matter."""
    type_, values = DEEP[kind]
    rows = data.draw(st.lists(st.tuples(st.none() | values, st.none() | values, st.booleans()), max_size=8))
    one = pa.array([None, *(left for left, _, _ in rows)], type_).slice(1)
    other = pa.array([*(left if same else right for left, right, same in rows), None], type_).slice(0, len(rows))
    expected = [value_digest(one.slice(at, 1)) == value_digest(other.slice(at, 1)) for at in range(len(rows))]
    assert equal_rows(one, other).tolist() == expected


@pytest.mark.parametrize("where", ["pack", "inline"])
def test_media_are_compared_by_what_they_show(where: str) -> None:
    """The same bytes in another place are the same; other bytes in the same place are not."""
    digests = [f"SHA-256:{digit * 64}" for digit in "ab"]

    def cells(checksum: str, uri: str) -> pa.Array:
        if where == "inline":
            return build_cells("image", 1, inline=[uri.encode()], checksum=[checksum])
        return build_cells(
            "image", 1, uri=pa.array([uri]), offset=pa.array([0]), size=np.array([3]), checksum=[checksum]
        )

    assert equal_rows(cells(digests[0], "x"), cells(digests[0], "y")).tolist() == [True]
    assert equal_rows(cells(digests[0], "x"), cells(digests[1], "x")).tolist() == [False]

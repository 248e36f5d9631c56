"""Decoded bytes depend on values alone: not on slices, on chunks, nor on what lies below a null."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.sizes import decoded_bytes, row_bytes

TEXTS = pa.array(["aaaa", "b"])
SECOND = pa.array([True, False])
OFFSETS = pa.array([0, 1, 2], pa.int32())


@pytest.mark.parametrize(
    ("array", "sizes"),
    [
        (pa.array([1, None], pa.int32()), [4, 4]),
        (pa.array([True, False]), [1, 1]),
        (pa.array(["äb", "", None]), [7, 4, 4]),
        (pa.array([b"abc"], pa.binary(3)), [3]),
        (pa.array([[1, 2], [], None], pa.list_(pa.int16())), [8, 4, 4]),
        (pa.array([["a"], None], pa.list_(pa.string())), [9, 4]),
        (pa.array([[1, 2], None], pa.list_(pa.int16(), 2)), [4, 4]),
        (pa.array([["ab"], None], pa.list_(pa.string(), 1)), [6, 4]),
        (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int8())), [10, 4]),
        (pa.array([{"a": "x", "b": 1}, None], pa.struct({"a": pa.string(), "b": pa.int8()})), [6, 5]),
        (pa.nulls(2, pa.string()), [4, 4]),
        (pa.array([], pa.list_(pa.string())), []),
    ],
    ids=str,
)
def test_sizes_of_each_type(array, sizes):
    """Texts and lists count four bytes beside what they hold, fixed widths their width, nulls as empty values."""
    assert row_bytes(array).tolist() == sizes
    assert decoded_bytes(array) == sum(sizes)


@pytest.mark.parametrize(
    "array",
    [
        pa.StructArray.from_arrays([TEXTS], ["x"], mask=SECOND),
        pa.ListArray.from_arrays(OFFSETS, TEXTS, mask=SECOND),
        pa.FixedSizeListArray.from_arrays(TEXTS, 1, mask=SECOND),
        pa.MapArray.from_arrays(OFFSETS, TEXTS, TEXTS, mask=SECOND),
        pa.StringArray.from_buffers(2, TEXTS.buffers()[1], TEXTS.buffers()[2], pa.py_buffer(b"\x02")),
        pa.StructArray.from_arrays([pa.StructArray.from_arrays([TEXTS], ["x"])], ["y"], mask=SECOND),
    ],
    ids=lambda array: str(array.type),
)
def test_nothing_below_a_null_counts(array):
    """Arrow lets any bytes lie under a null; they never reach a file, and must not move a cut."""
    clean = pa.array(array.to_pylist(), array.type)
    assert row_bytes(array).tolist() == row_bytes(clean).tolist()
    assert decoded_bytes(array) == decoded_bytes(clean)


ITEMS = st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3)
TYPE = pa.struct({"a": pa.list_(pa.string()), "m": pa.map_(pa.string(), pa.float64())})
ROWS = st.fixed_dictionaries({"a": ITEMS, "m": st.none() | st.just([("k", 1.5)])}) | st.none()


@given(st.lists(ROWS, max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_slices_add_up(values, start, count):
    """A slice has the bytes of its rows, and the rows of an array add up to its bytes."""
    array = pa.array(values, TYPE)
    piece = array.slice(min(start, len(array)), count)
    fresh = pa.array(piece.to_pylist(), TYPE)
    assert row_bytes(piece).tolist() == row_bytes(fresh).tolist()
    assert decoded_bytes(piece) == decoded_bytes(fresh) == int(row_bytes(piece).sum())

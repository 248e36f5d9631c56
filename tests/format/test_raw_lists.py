"""Lists of one length are read as they lie: the same values as pyarrow's, or left to it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.leaves import Leaves
from tableformat.format.pages import chunk_start, iter_pages
from tableformat.format.raw_lists import are_regular, raw_lists, read_raw

ROWS = 3000
SIZES = [1, 2, 3, 5, 7, 8, 9, 10, 13, 16, 17, 31, 63, 64, 65, 100, 512, 768]


def lists(size: int, type_: pa.DataType, *, fixed: bool, rows: int = ROWS, nullable: bool = True) -> pa.Table:
    item = pa.field("element", type_, nullable=nullable)
    random_ = np.random.default_rng(size)
    numbers = pa.array(random_.integers(-1000, 1000, rows * size).astype(type_.to_pandas_dtype()))
    if fixed:
        column = pa.FixedSizeListArray.from_arrays(numbers, type=pa.list_(item, size))
    else:
        column = pa.ListArray.from_arrays(np.arange(0, rows * size + 1, size, dtype=np.int32), numbers, pa.list_(item))
    return pa.table([column], pa.schema([pa.field("x", column.type, nullable=nullable)]))


def written(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    made = {"compression": "none", "use_dictionary": False, "write_page_checksum": True, "write_page_index": True}
    pq.write_table(table, sink, **{**made, **options})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read(data: bytes, *, is_verified: bool = False, groups: Sequence[int] | None = None) -> pa.Array | None:
    """The column of a file, as it lies; None where it does not."""
    metadata = pq.read_metadata(pa.BufferReader(data))
    physical = metadata.schema.to_arrow_schema()
    found = raw_lists(physical, Leaves.of_schema(physical))
    if not found:
        return None
    groups = range(metadata.num_row_groups) if groups is None else groups
    view = memoryview(data)
    column = found[0]
    numbers = read_raw(column, metadata, groups, lambda at, n: view[at : at + n], "x", is_verified=is_verified)
    return (
        None if numbers is None else column.array(numbers, sum(metadata.row_group(group).num_rows for group in groups))
    )


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_lists_of_one_length_are_read_as_they_lie(size: int, fixed: bool) -> None:
    """For every length the values are those that were written, over several pages and row groups."""
    table = lists(size, pa.float32(), fixed=fixed)
    data = written(table, row_group_size=1300, data_page_size=20_000)
    found = read(data)
    assert found is not None
    found.validate(full=True)
    assert found.equals(table.column(0).combine_chunks())
    assert read(data, groups=[1]).equals(table.column(0).slice(1300, 1300).combine_chunks())


@pytest.mark.parametrize("type_", [pa.float32(), pa.float64(), pa.int32(), pa.int64()])
@pytest.mark.parametrize("nullable", [False, True])
def test_all_widths_are_read(type_: pa.DataType, nullable: bool) -> None:
    """Numbers of four and eight bytes, nullable by their type or not, begin at a multiple of 64 bytes."""
    for fixed in (False, True):
        table = lists(10, type_, fixed=fixed, nullable=nullable)
        found = read(written(table, store_schema=True))
        assert found is not None
        assert found.equals(table.column(0).combine_chunks())
        assert found.type == table.column(0).type
        assert found.values.buffers()[1].address % 64 == 0


OTHERS: dict[str, tuple[pa.Table, dict[str, Any]]] = {
    "compressed": (lists(10, pa.float32(), fixed=False), {"compression": "zstd"}),
    "a dictionary": (lists(10, pa.float32(), fixed=False), {"use_dictionary": True}),
    "differences": (lists(10, pa.int64(), fixed=False), {"column_encoding": {"x.list.element": "DELTA_BINARY_PACKED"}}),
    "pages of version 2": (lists(10, pa.float32(), fixed=False), {"data_page_version": "2.0"}),
    "a null list": (pa.table({"x": pa.array([[1.0]] * 2000 + [None] + [[2.0]] * 1999, pa.list_(pa.float32()))}), {}),
    "an empty list": (pa.table({"x": pa.array([[1.0]] * 2000 + [[]] + [[2.0]] * 1999, pa.list_(pa.float32()))}), {}),
    "a null in a list": (pa.table({"x": pa.array([[1.0, 2.0]] * 2000 + [[None, 2.0]], pa.list_(pa.float32()))}), {}),
    "a null of fixed size": (pa.table({"x": pa.array([[1.0]] * 2000 + [None], pa.list_(pa.float32(), 1))}), {}),
    "one list longer, one shorter": (pa.table({"x": pa.array([[1.0] * 3] * 2000 + [[1.0] * 4, [1.0] * 2], pa.list_(pa.float32()))}), {}),
    "lists of other lengths": (pa.table({"x": pa.array([[1.0] * (n % 5) for n in range(2000)], pa.list_(pa.float32()))}), {}),
    "no rows": (lists(3, pa.float32(), fixed=False, rows=0), {}),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_all_else_is_left_to_pyarrow(what: str) -> None:
    """Where one value or level is otherwise, nothing is read."""
    table, options = OTHERS[what]
    assert read(written(table, **options)) is None
    assert read(written(table, **options), is_verified=True) is None


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.string()), pa.list_(pa.uint32()), pa.list_(pa.list_(pa.float32())), pa.float32(), pa.list_(pa.float16(), 2)]
)  # fmt: skip
def test_other_types_are_not_tried(type_: pa.DataType) -> None:
    """Only lists of floats and whole numbers whose bytes in Parquet are those in Arrow are looked at."""
    schema = pa.schema([("x", type_)])
    assert raw_lists(schema, Leaves.of_schema(schema)) == {}


def test_a_damaged_page_is_left_to_pyarrow() -> None:
    """A page whose bytes are not those of its checksum, or that has none, is not taken over."""
    table = lists(10, pa.float32(), fixed=False)
    data = bytearray(written(table, data_page_size=20_000))
    chunk = pq.read_metadata(pa.BufferReader(bytes(data))).row_group(0).column(0)
    pages = list(
        iter_pages(lambda at, n: bytes(data[at : at + n]), chunk_start(chunk), chunk.total_compressed_size, "x")
    )
    assert len(pages) > 3
    data[pages[2].start + pages[2].stored - 1] ^= 1
    assert read(bytes(data)) is None
    assert read(bytes(data), is_verified=True) is not None
    assert read(written(table, write_page_checksum=False)) is None


@pytest.mark.parametrize("change", [2, -2])
def test_definition_levels_are_of_all_values(change: int) -> None:
    """A run of definition levels that is longer or shorter than the page has values is not taken over, nor one of another level."""
    data = bytearray(written(lists(10, pa.float32(), fixed=False, rows=100)))
    chunk = pq.read_metadata(pa.BufferReader(bytes(data))).row_group(0).column(0)
    page = next(
        iter_pages(lambda at, n: bytes(data[at : at + n]), chunk_start(chunk), chunk.total_compressed_size, "x")
    )
    levels = page.start + 4 + int.from_bytes(data[page.start : page.start + 4], "little") + 4
    assert data[levels : levels + 3] == varint(1000 << 1) + bytes([3])
    assert read(bytes(data), is_verified=True) is not None
    data[levels] += change
    assert read(bytes(data), is_verified=True) is None
    data[levels] -= change
    data[levels + 2] = 2
    assert read(bytes(data), is_verified=True) is None


def test_no_change_of_a_file_breaks_the_reader() -> None:
    """Whatever bytes a chunk is made of, the answer is a valid array or none, and no longer than the file."""
    whole = written(lists(10, pa.float32(), fixed=False, rows=400), data_page_size=2000)
    chunk = pq.read_metadata(pa.BufferReader(whole)).row_group(0).column(0)
    start, length = chunk_start(chunk), chunk.total_compressed_size
    random_ = random.Random(1)
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(random_.choice([1, 1, 3])):
            data[start + random_.randrange(length) if random_.random() < 0.4 else start + random_.randrange(60)] = random_.randrange(256)  # fmt: skip
        found = read(bytes(data), is_verified=True)
        if found is not None:
            found.validate(full=True)
            assert (len(found), len(found.values)) == (400, 4000)


def encoded(levels: Sequence[int], cuts: Sequence[tuple[bool, int]]) -> bytes:
    """Levels in Parquet's hybrid: runs where the levels to come are equal and a run is wanted, else packed bits."""
    out, at = bytearray(), 0
    choices = iter(cuts)
    while at < len(levels):
        as_run, length = next(choices, (False, 1))
        same = 1
        while at + same < len(levels) and levels[at + same] == levels[at] and same < length * 8:
            same += 1
        if as_run:
            out += varint(same << 1) + bytes([levels[at]])
            at += same
        else:
            bits = np.zeros(8 * length, np.uint8)
            there = levels[at : at + 8 * length]
            bits[: len(there)] = there
            out += varint(length << 1 | 1) + np.packbits(bits, bitorder="little").tobytes()
            at += 8 * length
    return bytes(out)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


CUTS = st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=40) | st.just([(True, 60)] * 500)


@given(size=st.integers(1, 40), rows=st.integers(1, 30), cuts=CUTS)
def test_regular_levels_are_known_however_they_are_cut(size: int, rows: int, cuts: list[tuple[bool, int]]) -> None:
    """Runs and packed bits in any mixture are told to be lists of one length, if they are few."""
    levels = [int(place % size > 0) for place in range(size * rows)]
    data = encoded(levels, cuts)
    assert are_regular(data, len(levels), size) or len(data) > 256
    assert not are_regular(data[:-1], len(levels), size)
    assert not are_regular(data + b"\0", len(levels), size)


@given(size=st.integers(2, 12), rows=st.integers(1, 400), cuts=CUTS, place=st.integers(0), period=st.booleans())
def test_no_other_levels_are_taken_for_regular(
    size: int, rows: int, cuts: list[tuple[bool, int]], place: int, period: bool
) -> None:
    """One level changed anywhere, in a stream of any cut or in one that repeats itself, is found."""
    levels = [int(at % size > 0) for at in range(size * rows)]
    levels[place % len(levels)] ^= 1
    data = encoded(levels, [(False, size)] * len(levels) if period else cuts)
    assert not are_regular(data, len(levels), size)


@pytest.mark.parametrize("size", [2, 3, 8, 10])
@pytest.mark.parametrize("cuts", [[(True, 60)], [(False, 1)], [(True, 60), (False, 1)]], ids=["runs", "bits", "both"])
def test_each_level_counts(size: int, cuts: list[tuple[bool, int]]) -> None:
    """Whichever level is another, in runs or in packed bits, that is found."""
    regular = [int(at % size > 0) for at in range(size * 24)]
    assert are_regular(encoded(regular, cuts * 200), len(regular), size)
    for place in range(len(regular)):
        levels = [*regular]
        levels[place] ^= 1
        assert not are_regular(encoded(levels, cuts * 200), len(levels), size)

"""Lists of one length whose numbers lie in a Parquet file as they do in memory: embeddings, scores of classes, boxes, tensors.

A reader of Parquet takes such a column apart level by level: 100M floats in lists of ten take 0.5 s, of which nine tenths tell what is
known before, that each list has ten. Here it is the levels that are checked, by periods of their bytes, and the numbers are copied
(spec/decisions/019-lists-of-one-length.md). What is not exactly so is left to pyarrow, errors included.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.errors import CorruptError
from tableformat.format.leaves import Leaves
from tableformat.format.pages import Page, chunk_start, iter_pages
from tableformat.format.thrift import MALFORMED_THRIFT, read_varint

__all__ = ["RawList", "are_regular", "raw_lists", "read_raw"]

_PLAIN: Final = 0
_RLE: Final = 3
_TYPES: Final = {pa.float32(): "FLOAT", pa.float64(): "DOUBLE", pa.int32(): "INT32", pa.int64(): "INT64"}
_MOST_RUNS: Final = 256  # that are read one by one
_MOST_GROUPS: Final = 512  # of 8 levels, in one run: pyarrow writes 63 at most
_SHARED_ROWS: Final = 1 << 17  # up to so many, columns of equally long lists share where each begins

View = Callable[[int, int], memoryview]
"""(offset, length) → the bytes there; fewer at the end of the file."""


@dataclass(frozen=True, slots=True)
class RawList:
    """A column of lists that may lie so, as its type tells."""

    leaf: int
    """The number of its leaf."""
    name: str
    type: pa.DataType
    """A list, or one of fixed size, of numbers."""

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return int(self.type.value_type.bit_width) // 8

    @property
    def physical(self) -> str:
        """What Parquet calls its numbers."""
        return _TYPES[self.type.value_type]

    @property
    def size(self) -> int | None:
        """The length of each list, where the type tells it."""
        return int(self.type.list_size) if pa.types.is_fixed_size_list(self.type) else None

    def array(self, numbers: pa.Array, rows: int) -> pa.Array:
        """The column of `rows` lists, equally long, that `numbers` fill."""
        buffers = [None] if self.size is not None else [None, _offsets(rows, len(numbers) // rows)]
        return pa.Array.from_buffers(self.type, rows, buffers, null_count=0, children=[numbers])


def raw_lists(schema: pa.Schema, leaves: Leaves) -> dict[int, RawList]:
    """By its leaf, each column of an Arrow schema that may lie so."""
    found = {}
    for field in schema:
        type_ = field.type
        if (pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_)) and type_.value_type in _TYPES:
            leaf = leaves.of_column[field.name][0]
            found[leaf] = RawList(leaf, field.name, type_)
    return found


def read_raw(
    column: RawList, metadata: pq.FileMetaData, groups: Sequence[int], view: View, path: str, *, is_verified: bool
) -> pa.Array | None:
    """The numbers of a column in some row groups, one after another; None where they do not lie as `RawList.array` needs them.

    The pages are checked against their CRC-32, unless the bytes are verified already. Holds the numbers, and for a moment the pages too.
    """
    level = metadata.schema.column(column.leaf)
    if level.max_repetition_level != 1 or level.physical_type != column.physical:
        return None
    chunks = []
    size = column.size
    for group in groups:
        row_group = metadata.row_group(group)
        chunk, rows = row_group.column(column.leaf), row_group.num_rows
        if chunk.compression != "UNCOMPRESSED" or not rows or chunk.num_values % rows:
            return None
        size = chunk.num_values // rows if size is None else size
        if not size or chunk.num_values != rows * size or chunk.num_values * column.width > chunk.total_compressed_size:
            return None
        chunks.append(chunk)
    total = sum(chunk.num_values for chunk in chunks)
    if size is None or total > np.iinfo(np.int32).max:
        return None
    numbers = column.type.value_type
    values: list[pa.Array] = [pa.nulls(0, numbers)]
    try:
        for chunk in chunks:
            count = 0
            for piece in _pieces(chunk, size, level.max_definition_level, column.width, view, path, is_verified):
                if piece is None:
                    return None
                found = len(piece) // column.width
                values.append(pa.Array.from_buffers(numbers, found, [None, pa.py_buffer(piece)], null_count=0))
                count += found
            if count != chunk.num_values:
                return None
    except CorruptError:
        return None
    return pa.concat_arrays(values)  # which copies: pages begin anywhere, arrays at multiples of 64


def _pieces(
    chunk: Any, size: int, definition: int, width: int, view: View, path: str, is_verified: bool
) -> Iterator[memoryview | None]:
    """The numbers of each page of a chunk; None for a page that is not made so."""

    def read(offset: int, length: int) -> bytes:
        return bytes(view(offset, length))

    start, length = chunk_start(chunk), chunk.total_compressed_size
    for page in iter_pages(read, start, length, path):
        count = page.head.get(1, 0)
        if not _is_plain(page) or count <= 0 or count % size or page.start + page.stored > start + length:
            yield None
            return
        data = view(page.start, page.stored)
        if not is_verified and (page.crc is None or zlib.crc32(data) != page.crc):
            yield None
            return
        yield _values(data, count, size, definition, width)


def _is_plain(page: Page) -> bool:
    head = page.head
    return (
        page.kind == 0 and page.stored == page.decoded and head.get(2) == _PLAIN and head.get(3) == head.get(4) == _RLE
    )


def _values(data: memoryview, count: int, size: int, definition: int, width: int) -> memoryview | None:
    """The numbers of a page: all of them there, in lists of `size`."""
    first = data[4 : 4 + int.from_bytes(data[:4], "little")]
    at = 4 + len(first)
    second = data[at + 4 : at + 4 + int.from_bytes(data[at : at + 4], "little")]
    values = data[at + 4 + len(second) :]
    if (
        len(values) != count * width
        or not _are_all(second, count, definition)
        or not are_regular(bytes(first), count, size)
    ):
        return None
    return values


def _are_all(levels: memoryview, count: int, level: int) -> bool:
    """Whether levels are one run of `count` times `level`."""
    try:
        head, at = read_varint(levels, 0)  # type: ignore[arg-type]
    except MALFORMED_THRIFT:
        return False
    return head == count << 1 and bytes(levels[at:]) == bytes([level])


def are_regular(levels: bytes, count: int, size: int) -> bool:
    """Whether `count` repetition levels of 0 and 1, in Parquet's hybrid of runs and packed bits, are those of lists of `size`: a 0,
    `size - 1` times 1, and so on. False also where that would take long to tell.

    Runs are read one by one up to two places where a list begins. What lies between is then looked for again and again: equal bytes are
    equal runs.
    """
    at = position = before = since = 0
    try:
        for _ in range(_MOST_RUNS):
            if position >= count:
                break
            found = _run(levels, at, position, count, size)
            if found is None:
                return False
            at, position = found
            if position % size == 0:
                period, values = levels[before:at], position - since
                times = (count - position) // values
                for fewer in range(min(times, 3)):
                    whole = times - fewer
                    if whole * len(period) <= len(levels) - at and levels.startswith(period * whole, at):
                        at, position = at + whole * len(period), position + whole * values
                        break
                before, since = at, position
    except MALFORMED_THRIFT:
        return False
    return position == count and at == len(levels)


def _run(levels: bytes, at: int, position: int, count: int, size: int) -> tuple[int, int] | None:
    """Where the run at `at` ends, and the place of the level after it; None where its levels are not those of lists of `size`."""
    head, at = read_varint(levels, at)
    length, phase = head >> 1, position % size
    if head & 1:
        there = min(8 * length, count - position)
        if not 0 < length <= _MOST_GROUPS or at + length > len(levels):
            return None
        bits = int.from_bytes(levels[at : at + length], "little") & ((1 << there) - 1)
        return (at + length, position + there) if bits == _packed(phase, there, size) else None
    if not length or position + length > count:
        return None
    if levels[at] == 1:
        fits = phase > 0 and phase + length <= size
    else:
        fits = levels[at] == 0 and phase == 0 and (size == 1 or length == 1)
    return (at + 1, position + length) if fits else None


@lru_cache(maxsize=1024)
def _packed(phase: int, count: int, size: int) -> int:
    """The next `count` levels of lists of `size` from the place `phase` of one on, the first in the lowest bit."""
    return ((1 << count) - 1) ^ sum(1 << place for place in range(-phase % size, count, size))


def _offsets(rows: int, size: int) -> pa.Buffer:
    """Where each of `rows` lists of `size` begins, and the last one ends."""
    if rows > _SHARED_ROWS:
        return pa.py_buffer(np.arange(0, rows * size + 1, size, dtype=np.int32))
    most = min(1 << rows.bit_length(), np.iinfo(np.int32).max // size)
    return _shared_offsets(most, size).slice(0, 4 * (rows + 1))


@lru_cache(maxsize=8)
def _shared_offsets(rows: int, size: int) -> pa.Buffer:
    return pa.py_buffer(np.arange(0, rows * size + 1, size, dtype=np.int32))

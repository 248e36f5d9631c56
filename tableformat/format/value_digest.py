"""Value digests: the SHA-256 of the values of a column, whatever their chunks, offsets, padding or encoding.

A *unit* is a run of rows. Each node of a column's type tree (spec/digests.md) has up to three streams of bytes that grow
with the rows: the positions of its nulls, the lengths of its lists or strings, and the bytes of its values. The digest of
the unit is the SHA-256 of the number of rows followed by the digest of every stream in pre-order. Streams are fed slice
by slice, so no more than a slice is ever held.

A media cell counts as what it shows, not where it lies: its digest stands in for `uri`, `offset`, `size` and `inline`, so
packing, inlining and compression of the stored bytes change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.digest import PREFIX
from tableformat.format.cells import CellRewriter, fields_of

__all__ = ["BLOCK_ROWS", "ColumnChain", "UnitDigest", "identity_of", "value_digest"]

BLOCK_ROWS: Final = 65_536
"""Rows of a table that one link of a column's chain covers, counted from the first row of the table."""


class _Hash(Protocol):
    def update(self, data: Any, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> Self: ...


class _Node:
    """The streams of one node, and its children."""

    __slots__ = ("_lengths", "_nulls", "_values", "children", "seen", "type")

    def __init__(self, type_: pa.DataType) -> None:
        self.type = type_
        self.seen = 0
        self._nulls: _Hash = hashlib.sha256()
        self._lengths: _Hash | None = None
        self._values: _Hash | None = None
        self.children: list[_Node] = []
        if pa.types.is_struct(type_):
            self.children = [_Node(field.type) for field in type_]
        elif pa.types.is_map(type_):
            self._lengths = hashlib.sha256()
            self.children = [_Node(type_.key_type), _Node(type_.item_type)]
        elif pa.types.is_list(type_) or pa.types.is_large_list(type_):
            self._lengths = hashlib.sha256()
            self.children = [_Node(type_.value_type)]
        elif pa.types.is_fixed_size_list(type_):
            self.children = [_Node(type_.value_type)]
        elif pa.types.is_string(type_) or pa.types.is_binary(type_):
            self._lengths = hashlib.sha256()
            self._values = hashlib.sha256()
        else:
            self._values = hashlib.sha256()

    def copy(self) -> _Node:
        other = _Node.__new__(_Node)
        other.type, other.seen, other._nulls = self.type, self.seen, self._nulls.copy()
        other._lengths = None if self._lengths is None else self._lengths.copy()
        other._values = None if self._values is None else self._values.copy()
        other.children = [child.copy() for child in self.children]
        return other

    def update(self, array: pa.Array) -> None:
        count = len(array)
        if array.null_count:
            mask = np.asarray(array.is_null())
            positions = np.flatnonzero(mask).astype("<u8") + np.uint64(self.seen)
            self._nulls.update(positions.tobytes())
            array = array.drop_null() if not pa.types.is_struct(self.type) else array.filter(array.is_valid())
        self.seen += count
        if not len(array):
            return
        if pa.types.is_struct(self.type):
            for index, child in enumerate(self.children):
                child.update(array.field(index))
        elif self._lengths is not None and self.children:
            offsets = np.asarray(array.offsets)
            self._lengths.update(np.diff(offsets).astype("<u4").data)
            start, stop = int(offsets[0]), int(offsets[-1])
            if pa.types.is_map(self.type):
                self.children[0].update(array.keys.slice(start, stop - start))
                self.children[1].update(array.items.slice(start, stop - start))
            else:
                self.children[0].update(array.values.slice(start, stop - start))
        elif self.children:  # a list of fixed size
            size = self.type.list_size
            self.children[0].update(array.values.slice(array.offset * size, len(array) * size))
        elif self._lengths is not None:
            offsets_buffer, data = array.buffers()[1], array.buffers()[2]
            offsets = np.frombuffer(offsets_buffer, "<i4", len(array) + 1, array.offset * 4)
            assert self._values is not None
            self._lengths.update(np.diff(offsets).astype("<u4").data)
            if data is not None:
                self._values.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
        else:
            assert self._values is not None
            self._values.update(_fixed_bytes(array))

    def digests(self) -> Iterator[bytes]:
        yield self._nulls.digest()
        if self._lengths is not None:
            yield self._lengths.digest()
        if self._values is not None:
            yield self._values.digest()
        for child in self.children:
            yield from child.digests()


def _fixed_bytes(array: pa.Array) -> Any:
    """The little-endian bytes of an array of fixed width that holds no nulls; a bool takes a byte."""
    if pa.types.is_boolean(array.type):
        return np.asarray(array.cast(pa.uint8())).data
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    if data is None or not width:
        return b""
    return memoryview(data)[array.offset * width : (array.offset + len(array)) * width]


class UnitDigest:
    """The value digest of one column over one unit of rows, fed in slices."""

    __slots__ = ("_identity", "_node", "_type")

    def __init__(self, type_: pa.DataType) -> None:
        self._identity = identity_of(type_)
        self._type = self._identity.type if self._identity else type_
        self._node = _Node(self._type)

    def update(self, array: pa.Array) -> None:
        """Feed the next rows; `array` has the storage type that was given."""
        self._node.update(self._identity.convert(array) if self._identity else array)

    def copy(self) -> UnitDigest:
        """Another one with the same rows so far."""
        other = UnitDigest.__new__(UnitDigest)
        other._identity, other._type, other._node = self._identity, self._type, self._node.copy()
        return other

    def digest_bytes(self) -> bytes:
        """The 32 bytes of the digest of the rows so far."""
        final = hashlib.sha256(self._node.seen.to_bytes(8, "little"))
        for part in self._node.digests():
            final.update(part)
        return final.digest()

    def digest(self) -> str:
        """The digest of the rows so far, as `sha256:<hex>`."""
        return PREFIX + self.digest_bytes().hex()


def value_digest(array: pa.Array | pa.ChunkedArray) -> str:
    """The value digest of all rows of `array` as one unit."""
    unit = UnitDigest(array.type)
    for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
        unit.update(chunk)
    return unit.digest()


class ColumnChain:
    """The digest of a whole column, which can be continued: a chain over blocks of `BLOCK_ROWS` rows.

    `link(0)` is 32 zero bytes; `link(k) = SHA-256(link(k-1) + digest of block k)`; the digest of the column takes one more
    link for the rows after the last full block, where there are any. Appending needs the last link and those rows only.
    """

    __slots__ = ("_block", "_left", "_type", "link", "rows")

    def __init__(self, type_: pa.DataType, rows: int = 0, link: bytes = bytes(32)) -> None:
        if rows % BLOCK_ROWS:
            raise ValueError("a chain is continued at a block's edge")
        self._type = type_
        self.rows = rows
        """Rows that the full blocks and the open one hold."""
        self.link = link
        """The last link: over the full blocks alone."""
        self._block = UnitDigest(type_)
        self._left = BLOCK_ROWS

    def copy(self) -> ColumnChain:
        """Another one with the same rows so far."""
        other = ColumnChain.__new__(ColumnChain)
        other._type, other.rows, other.link = self._type, self.rows, self.link
        other._block, other._left = self._block.copy(), self._left
        return other

    def update(self, array: pa.Array) -> None:
        """Feed the next rows of the column."""
        start = 0
        while start < len(array):
            piece = array.slice(start, self._left)
            self._block.update(piece)
            start += len(piece)
            self.rows += len(piece)
            self._left -= len(piece)
            if not self._left:
                self.link = hashlib.sha256(self.link + self._block.digest_bytes()).digest()
                self._block, self._left = UnitDigest(self._type), BLOCK_ROWS

    def digest(self) -> str:
        """The digest of the column so far, as `sha256:<hex>`."""
        if self._left == BLOCK_ROWS:
            return PREFIX + self.link.hex()
        return PREFIX + hashlib.sha256(self.link + self._block.digest_bytes()).hexdigest()


_PLACEMENT: Final = frozenset({"file", "digest", "encoding", "version_id"})
"""Fields of a cell that say where and how its bytes lie."""


def identity_of(type_: pa.DataType) -> CellRewriter | None:
    """The form in which values of a storage type are compared: cells by what they show. None where it is the type itself."""
    return CellRewriter.plan(type_, _identity_type, _cell_identity)


def _identity_type(type_: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field("identity", pa.string()), *(field for field in type_ if field.name not in _PLACEMENT)])


def _cell_identity(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """What a cell shows: its SHA-256 where it is known, else where it points and what was known of it; then its facts."""
    by_name = fields_of(array)
    file = by_name["file"]
    parts = fields_of(file)
    uri, offset, size, checksum = (parts[name] for name in ("uri", "offset", "size", "checksum"))
    checksum = pc.if_else(file.is_valid(), checksum, None) if file.null_count else checksum
    shown = pc.coalesce(by_name["digest"], checksum) if by_name["digest"].null_count < len(array) else checksum
    hashed = pc.fill_null(pc.starts_with(shown, "SHA-256:"), False)
    if not pc.all(hashed).as_py():
        place = pc.binary_join_element_wise(
            pc.fill_null(uri, ""),
            pc.fill_null(pc.cast(offset, pa.string()), ""),
            pc.fill_null(pc.cast(size, pa.string()), ""),
            pc.fill_null(checksum, ""),
            "\n",
        )
        shown = pc.if_else(hashed, shown, place)
    kept = [by_name[field.name] for field in list(type_)[1:]]
    return pa.StructArray.from_arrays(
        [shown, *kept], fields=list(type_), mask=array.is_null() if array.null_count else None
    )

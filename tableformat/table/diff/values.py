"""Equality of stored values, whole columns at a time: as value digests have it (spec/digests.md), so that NaN equals NaN of the
same bits, 0.0 is not -0.0, and nothing that lies under a null counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.format.types.arrays import list_parts, struct_parts

__all__ = ["differing", "encoded", "rows_encoded"]

Mask = npt.NDArray[np.bool_]
_EMPTY = pa.scalar(b"", pa.binary())


def differing(one: pa.Array, other: pa.Array) -> Mask:
    """Where two arrays of one storage type and one length are not equal."""
    valid, valid_other = _valid(one), _valid(other)
    if valid is None and valid_other is None:
        return _values_differ(one, other)
    count = len(one)
    valid = np.ones(count, np.bool_) if valid is None else valid
    valid_other = np.ones(count, np.bool_) if valid_other is None else valid_other
    both = np.flatnonzero(valid & valid_other)
    apart: Mask = valid != valid_other
    if len(both):
        rows = pa.array(both)
        apart[both] = _values_differ(one.take(rows), other.take(rows))
    return apart


def _valid(array: pa.Array) -> Mask | None:
    return np.asarray(array.is_valid()) if array.null_count else None


def _values_differ(one: pa.Array, other: pa.Array) -> Mask:
    """The same of arrays without nulls."""
    types, type_ = pa.types, one.type
    if types.is_struct(type_):
        apart: Mask = np.zeros(len(one), np.bool_)
        for mine, theirs in zip(one.flatten(), other.flatten(), strict=True):
            apart |= differing(mine, theirs)
        return apart
    if types.is_string(type_) or types.is_binary(type_):
        return np.asarray(pc.not_equal(one, other))
    if types.is_nested(type_):
        return _lists_differ(one, other)
    mine, theirs = _bytes_of(one), _bytes_of(other)
    if mine.shape[1] in (1, 2, 4, 8):
        word = np.dtype(f"u{mine.shape[1]}")
        return np.asarray(mine.view(word)[:, 0] != theirs.view(word)[:, 0])
    return np.asarray((mine != theirs).any(axis=1))


def _lists_differ(one: pa.Array, other: pa.Array) -> Mask:
    if pa.types.is_map(one.type):
        return np.asarray(pc.not_equal(encoded(one), encoded(other)))
    lengths, elements = list_parts(one)
    other_lengths, other_elements = list_parts(other)
    apart: Mask = lengths != other_lengths
    if apart.any():
        return np.asarray(pc.not_equal(encoded(one), encoded(other)))
    below = differing(elements, other_elements)
    if below.any():
        owners = np.repeat(np.arange(len(lengths)), lengths)
        apart[owners[below]] = True
    return apart


def _bytes_of(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of each value of fixed width, a row of them each; what lies under nulls is anything."""
    if pa.types.is_boolean(array.type):
        return np.ascontiguousarray(np.asarray(array.cast(pa.uint8()).fill_null(0))).reshape(-1, 1)
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    if data is None or not width or not len(array):
        return np.zeros((len(array), width), np.uint8)
    return np.frombuffer(data, np.uint8, len(array) * width, array.offset * width).reshape(len(array), width)


def rows_encoded(columns: list[pa.Array], rows: int) -> pa.Array:
    """For each row, one text of bytes that is equal where all of its values are."""
    if not columns:
        return pa.array([b""] * rows, pa.binary())
    return _together([encoded(column) for column in columns])


def encoded(array: pa.Array) -> pa.Array:
    """For each value a text of bytes, without nulls: equal for equal values of the type alone, and none begins another."""
    types, type_ = pa.types, array.type
    valid = _valid(array)
    flags = np.ones(len(array), np.uint8) if valid is None else valid.astype(np.uint8)
    if types.is_struct(type_):
        parts = list(struct_parts(array).values())
        return _together([_fixed(flags[:, None]), *(encoded(part) for part in parts)])
    if types.is_string(type_) or types.is_binary(type_):
        filled = (array.fill_null("") if types.is_string(type_) else array.fill_null(b"")).cast(pa.binary())
        lengths = np.asarray(pc.binary_length(filled)).astype("<u4")
        return _together([_headed(flags, lengths), filled])
    if types.is_nested(type_):
        return _encoded_lists(array, flags)
    data = _bytes_of(array)
    if valid is not None:
        data = np.where(valid[:, None], data, np.uint8(0))
    return _fixed(np.concatenate([flags[:, None], data], axis=1))


def _encoded_lists(array: pa.Array, flags: npt.NDArray[np.uint8]) -> pa.Array:
    lengths, elements = list_parts(array)
    below = encoded(elements)
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    offsets = _offsets_of(below)[ends]
    body = pa.Array.from_buffers(
        pa.binary(), len(lengths), [None, pa.py_buffer(offsets.astype(np.int32)), below.buffers()[2]]
    )
    return _together([_headed(flags, lengths.astype("<u4")), body])


def _offsets_of(array: pa.Array) -> npt.NDArray[np.int32]:
    return np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)


def _headed(flags: npt.NDArray[np.uint8], lengths: npt.NDArray[Any]) -> pa.Array:
    return _fixed(np.concatenate([flags[:, None], lengths.view(np.uint8).reshape(-1, 4)], axis=1))


def _fixed(data: npt.NDArray[np.uint8]) -> pa.Array:
    """Rows of bytes as binary values of one length."""
    count, width = data.shape
    offsets = (
        np.arange(0, (count + 1) * width, width, dtype=np.int32)[: count + 1]
        if width
        else np.zeros(count + 1, np.int32)
    )
    return pa.Array.from_buffers(
        pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    )


def _together(pieces: list[pa.Array]) -> pa.Array:
    if len(pieces) == 1:
        return pieces[0]
    return pc.binary_join_element_wise(*pieces, _EMPTY)

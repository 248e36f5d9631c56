"""Decoded bytes of rows: a count that depends on the values alone, so that what is cut by it is cut the same always.

Strings count their bytes and four more, lists four more than their items, anything of fixed width its width, a null as
much as an empty value. Chunks, offsets and validity bitmaps do not count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["decoded_bytes", "row_bytes"]


def decoded_bytes(array: pa.Array) -> int:
    """The decoded bytes of all values of a storage array."""
    type_, count = array.type, len(array)
    if not count:
        return 0
    if pa.types.is_struct(type_):
        return sum(decoded_bytes(array.field(index)) for index in range(type_.num_fields))
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        offsets = np.frombuffer(array.buffers()[1], np.int32, count + 1, array.offset * 4)
        return int(offsets[-1]) - int(offsets[0]) + 4 * count
    if pa.types.is_map(type_) or pa.types.is_list(type_):
        offsets = array.offsets
        start, stop = offsets[0].as_py(), offsets[-1].as_py()
        children = [array.keys, array.items] if pa.types.is_map(type_) else [array.values]
        return sum(decoded_bytes(child.slice(start, stop - start)) for child in children) + 4 * count
    if pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        return decoded_bytes(array.values.slice(array.offset * size, count * size))
    return max(type_.bit_width // 8, 1) * count


def row_bytes(array: pa.Array) -> npt.NDArray[np.int64]:
    """The decoded bytes of each value of a storage array."""
    type_, count = array.type, len(array)
    total = np.zeros(count, np.int64)
    if not count:
        return total
    if pa.types.is_struct(type_):
        for index in range(type_.num_fields):
            total += row_bytes(array.field(index))
    elif pa.types.is_string(type_) or pa.types.is_binary(type_):
        offsets = np.frombuffer(array.buffers()[1], np.int32, count + 1, array.offset * 4)
        total += np.diff(offsets) + 4
    elif pa.types.is_map(type_) or pa.types.is_list(type_):
        offsets = np.asarray(array.offsets).astype(np.int64)
        start, stop = int(offsets[0]), int(offsets[-1])
        total += 4
        for child in [array.keys, array.items] if pa.types.is_map(type_) else [array.values]:
            sums = np.concatenate([[0], np.cumsum(row_bytes(child.slice(start, stop - start)))])
            total += sums[offsets[1:] - start] - sums[offsets[:-1] - start]
    elif pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        child = row_bytes(array.values.slice(array.offset * size, count * size))
        total += child.reshape(count, size).sum(axis=1) if size else 0
    else:
        total += max(type_.bit_width // 8, 1)
    return total

"""Decoded bytes of rows: a count that depends on the values alone, so that what is cut by it is cut the same always.

Strings count their bytes and four more, lists four more than their items, anything of fixed width its width, a null as
much as an empty value. Chunks, offsets and validity bitmaps do not count.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["decoded_bytes", "row_bytes", "struct_children"]


def decoded_bytes(array: pa.Array) -> int:
    """The decoded bytes of all values of a storage array."""
    type_, count = array.type, len(array)
    if not count:
        return 0
    if pa.types.is_struct(type_):
        return sum(map(decoded_bytes, struct_children(array)))
    if array.null_count and not _is_flat(type_):  # whatever lies below a null does not count
        return int(row_bytes(array).sum())
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        offsets = np.frombuffer(array.buffers()[1], np.int32, count + 1, array.offset * 4)
        return int(offsets[-1]) - int(offsets[0]) + 4 * count
    if pa.types.is_map(type_) or pa.types.is_list(type_):
        offsets = array.offsets
        start, stop = int(offsets[0].as_py()), int(offsets[-1].as_py())
        children = [array.keys, array.items] if pa.types.is_map(type_) else [array.values]
        return sum(decoded_bytes(child.slice(start, stop - start)) for child in children) + 4 * count
    if pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        return decoded_bytes(array.values.slice(array.offset * size, count * size))
    return max(int(type_.bit_width) // 8, 1) * count


def row_bytes(array: pa.Array) -> npt.NDArray[np.int64]:
    """The decoded bytes of each value of a storage array."""
    type_, count = array.type, len(array)
    total = np.zeros(count, np.int64)
    if not count:
        return total
    if pa.types.is_struct(type_):
        for child in struct_children(array):
            total += row_bytes(child)
    elif pa.types.is_string(type_) or pa.types.is_binary(type_):
        offsets = np.frombuffer(array.buffers()[1], np.int32, count + 1, array.offset * 4)
        total += np.diff(offsets) * _present(array) + 4
    elif pa.types.is_map(type_) or pa.types.is_list(type_):
        offsets = np.asarray(array.offsets).astype(np.int64)
        start, stop = int(offsets[0]), int(offsets[-1])
        total += 4
        for child in [array.keys, array.items] if pa.types.is_map(type_) else [array.values]:
            sums = np.concatenate([[0], np.cumsum(row_bytes(child.slice(start, stop - start)))])
            total += (sums[offsets[1:] - start] - sums[offsets[:-1] - start]) * _present(array)
    elif pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        child = row_bytes(array.values.slice(array.offset * size, count * size))
        rows = child.reshape(count, size).sum(axis=1) if size else total
        empty = size * decoded_bytes(pa.nulls(1, type_.value_type)) if array.null_count else 0
        total += np.where(_present(array), rows, empty)
    else:
        total += max(type_.bit_width // 8, 1)
    return total


def _is_flat(type_: pa.DataType) -> bool:
    """Whether values of the type have one width, null or not."""
    return not (type_.num_fields or pa.types.is_string(type_) or pa.types.is_binary(type_))


def struct_children(array: pa.StructArray) -> list[pa.Array]:
    """The fields of a struct array, null where the struct is."""
    return array.flatten() if array.null_count else [array.field(index) for index in range(array.type.num_fields)]


def _present(array: pa.Array) -> npt.NDArray[np.bool_] | np.bool_:
    """Where values are not null; True where none is."""
    return np.asarray(array.is_valid()) if array.null_count else np.True_

"""Arrow arrays taken apart and put together again, whatever their offsets and whatever lies under their nulls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "array_of",
    "first_null",
    "list_array",
    "list_parts",
    "map_array",
    "normal",
    "null_mask",
    "nulls",
    "numpy_of",
    "one_chunk",
    "struct_array",
    "struct_parts",
    "tensor_array",
]

Lengths = npt.NDArray[np.int64]


def array_of(values: npt.NDArray[Any]) -> pa.Array:
    """Numbers, which are shared, or truth values as an array. `pa.array` imports pandas where it is installed, for 0.15 s."""
    if values.dtype == np.bool_:
        return pa.Array.from_buffers(
            pa.bool_(), len(values), [None, pa.py_buffer(np.packbits(values, bitorder="little"))]
        )
    numbers = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, numbers])


def numpy_of(array: pa.Array) -> npt.NDArray[Any]:
    """Whole numbers without nulls, shared. `np.asarray` imports pandas as `pa.array` does."""
    numbers = array.buffers()[1]
    if numbers is None:
        return np.empty(0, str(array.type))
    return np.frombuffer(numbers, str(array.type), len(array), array.offset * array.type.bit_width // 8)


def normal(array: pa.Array) -> pa.Array:
    """The same values without extension type, dictionary, runs, large offsets or views, at this level."""
    t = pa.types
    while True:
        data_type = array.type
        if isinstance(data_type, pa.BaseExtensionType):
            array = array.storage
        elif t.is_dictionary(data_type):
            array = array.dictionary_decode()
        elif t.is_run_end_encoded(data_type):
            array = pc.run_end_decode(array)
        elif t.is_large_string(data_type) or t.is_string_view(data_type):
            return array.cast(pa.string())
        elif t.is_large_binary(data_type) or t.is_binary_view(data_type):
            return array.cast(pa.binary())
        elif t.is_list_view(data_type) or t.is_large_list_view(data_type):
            return array.cast(pa.large_list(data_type.value_field))
        else:
            return array


def null_mask(array: pa.Array) -> pa.Array | None:
    """True where `array` is null; None where it has no nulls."""
    return array.is_null() if array.null_count else None


def first_null(array: pa.Array) -> int | None:
    """The index of the first null, if there is one."""
    return pc.index(array.is_null(), True).as_py() if array.null_count else None


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The values of a column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def list_parts(array: pa.Array) -> tuple[Lengths, pa.Array]:
    """The length of each list, 0 for null, and the elements of all lists that are not null, one after the other."""
    if pa.types.is_fixed_size_list(array.type):
        lengths = np.full(len(array), array.type.list_size, np.int64)
    elif pa.types.is_map(array.type):
        lengths = np.diff(np.asarray(array.offsets)).astype(np.int64)
    else:
        lengths = np.asarray(pc.list_value_length(array).fill_null(0)).astype(np.int64)
    if array.null_count:
        lengths[np.asarray(array.is_null())] = 0
    if pa.types.is_map(array.type):
        # Keys and items of a map are those of the whole buffer: cut to what the slice and its valid cells use.
        offsets = np.asarray(array.offsets)
        entries = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
        if not array.null_count:
            return lengths, entries.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        return lengths, entries.take(pa.array(_positions(offsets[:-1].astype(np.int64), lengths)))
    return lengths, array.flatten()


def _positions(starts: Lengths, lengths: Lengths) -> Lengths:
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def owner(lengths: Lengths) -> Callable[[int], int]:
    """From the index of an element to the index of the list that holds it."""
    ends = np.cumsum(lengths)
    return lambda index: int(np.searchsorted(ends, index, side="right"))


def _offsets(lengths: Lengths) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return pa.array(offsets.astype(np.int32))


def list_array(data_type: pa.DataType, lengths: Lengths, elements: pa.Array, mask: pa.Array | None) -> pa.Array:
    """Lists of `data_type`, a list or fixed-size list, from what `list_parts` gives."""
    if pa.types.is_fixed_size_list(data_type):
        size = data_type.list_size
        if mask is not None:
            # Elements stand under null lists too: nulls where they may, else the zeros of an empty buffer.
            filler = blank(elements.type, size) if not data_type.value_field.nullable else nulls(size, elements.type)
            valid = np.asarray(mask.cast(pa.uint8())) == 0
            starts = np.where(valid, np.cumsum(valid) * size - size, len(elements))
            elements = pa.concat_arrays([elements, filler]).take(
                pa.array(_positions(starts, np.full(len(mask), size, np.int64)))
            )
        return pa.FixedSizeListArray.from_arrays(elements, type=data_type, mask=mask)
    return pa.ListArray.from_arrays(_offsets(lengths), elements, type=data_type, mask=mask)


def map_array(
    data_type: pa.DataType, lengths: Lengths, keys: pa.Array, items: pa.Array, mask: pa.Array | None
) -> pa.Array:
    """A map from the number of entries of each cell and the keys and items of all."""
    return pa.MapArray.from_arrays(_offsets(lengths), keys, items, type=data_type, mask=mask)


def blank(data_type: pa.DataType, count: int) -> pa.Array:
    """Zeros of a fixed-width type, or empty values: what lies under a null of a type that holds no nulls."""
    if pa.types.is_struct(data_type):
        return pa.StructArray.from_arrays([blank(field.type, count) for field in data_type], fields=list(data_type))
    if pa.types.is_fixed_size_list(data_type):
        return pa.FixedSizeListArray.from_arrays(
            blank(data_type.value_type, count * data_type.list_size), type=data_type
        )
    if pa.types.is_nested(data_type):
        return pa.array([[]] * count, data_type)
    width = 0 if data_type in (pa.string(), pa.binary()) else data_type.bit_width
    if not width:
        return pa.array([""] * count, pa.string()).cast(data_type)
    return pa.Array.from_buffers(data_type, count, [None, pa.py_buffer(bytes((width * count + 7) // 8))])


def nulls(count: int, data_type: pa.DataType) -> pa.Array:
    """Nulls of a type, with blanks under them where the type wants values: `pa.nulls` puts nulls there."""
    mask = pa.repeat(pa.scalar(True), count)
    if pa.types.is_struct(data_type):
        return struct_array(data_type, [nulls(count, field.type) for field in data_type], count, mask)
    if pa.types.is_fixed_size_list(data_type):
        return list_array(data_type, np.zeros(count, np.int64), nulls(0, data_type.value_type), mask)
    return pa.nulls(count, data_type)


def struct_parts(array: pa.Array) -> dict[str, pa.Array]:
    """The fields of a struct by name; null where the struct is."""
    return {field.name: part for field, part in zip(array.type, array.flatten(), strict=True)}


def struct_array(data_type: pa.DataType, parts: list[pa.Array], count: int, mask: pa.Array | None) -> pa.Array:
    """A struct of `count` values from its fields."""
    assert all(len(part) == count for part in parts)
    fields = list(data_type)
    whole = [part if field.nullable else _filled(part) for field, part in zip(fields, parts, strict=True)]
    return pa.StructArray.from_arrays(whole, fields=fields, mask=mask)


def _filled(array: pa.Array) -> pa.Array:
    """`array` with blanks for its nulls, which lie under nulls of the struct around it: Parquet writers want it so."""
    if not array.null_count:
        return array
    places = np.arange(len(array))
    places[np.asarray(array.is_null())] = len(array)
    return pa.concat_arrays([array, blank(array.type, 1)]).take(pa.array(places))


def tensor_array(data_type: pa.DataType, arrays: list[Any], mask: pa.Array | None) -> pa.Array:
    """Cells of a tensor column from numpy arrays of its dtype; None where `mask` is true."""
    present = [array for array in arrays if array is not None]
    fixed = pa.types.is_fixed_size_list(data_type)
    inner = data_type if fixed else data_type.field("data").type
    flat = np.concatenate([array.reshape(-1) for array in present]) if present else np.empty(0)
    elements = pa.array(flat, inner.value_type)
    if fixed:
        return list_array(data_type, np.full(len(arrays), data_type.list_size, np.int64), elements, mask)
    sizes = np.array([0 if array is None else array.size for array in arrays], np.int64)
    dims = np.array([0 if array is None else array.ndim for array in arrays], np.int64)
    shapes = pa.array([size for array in present for size in array.shape], pa.int32())
    data = list_array(inner, sizes, elements, None)
    return struct_array(
        data_type, [data, list_array(data_type.field("shape").type, dims, shapes, None)], len(arrays), mask
    )

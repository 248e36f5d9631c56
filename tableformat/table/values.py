"""Stored arrays into the Python values of rows, column by column.

What comes back: Python's own numbers, texts, bytes, dates, times and decimals; numpy arrays for tensors, which share the
column's memory and are read-only; decoded JSON; ids of classes as integers; dicts for structs and maps; and media by a
callback, with what is said about them. Times in nanoseconds are numpy's, since Python's have microseconds.
"""

# ruff: noqa: ARG001 - the functions of one table of rules share a signature
from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.format.schema import Schema
from tableformat.format.types import (
    ClassType,
    Field,
    FixedListType,
    IntervalType,
    JsonType,
    ListType,
    MapType,
    MediaType,
    NullType,
    ScalarType,
    StructType,
    TensorType,
    UuidType,
)
from tableformat.format.types.arrays import list_parts, struct_parts
from tableformat.format.types.base import ColumnType
from tableformat.table.json_values import decode_json

__all__ = ["MediaValues", "column_values", "to_python"]

MediaValues = Callable[[MediaType, pa.Array, Mapping[str, pa.Array]], list[Any]]
"""Makes media of stored cells, None of null. The mapping holds the stored columns that annotate them, by role."""


def column_values(schema: Schema, arrays: Sequence[pa.Array], media: MediaValues) -> dict[str, list[Any]]:
    """The values of a batch by column: `arrays` are those of `schema`, in order. Annotations become part of their media."""
    return _together(schema.columns, arrays, media)


def _together(fields: Sequence[Field], arrays: Sequence[pa.Array], media: MediaValues) -> dict[str, list[Any]]:
    names = {field.name for field in fields if isinstance(field.type, MediaType)}
    said: dict[str, dict[str, pa.Array]] = {}
    for field, array in zip(fields, arrays, strict=True):
        if field.annotates is not None and field.annotates[0] in names:
            column, role = field.annotates
            said.setdefault(column, {})[role] = array
    values = {}
    for field, array in zip(fields, arrays, strict=True):
        if isinstance(field.type, MediaType):
            values[field.name] = media(field.type, array, said.get(field.name, {}))
        elif field.annotates is None or field.annotates[0] not in names:
            values[field.name] = to_python(field.type, array, media)
    return values


def to_python(type_: ColumnType, array: pa.Array | pa.ChunkedArray, media: MediaValues) -> list[Any]:
    """The Python values of a stored column or node of `type_`."""
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in to_python(type_, chunk, media)]
    rule = _RULES[type(type_)]
    values: list[Any] = rule(type_, array, media)
    return values


def _scalar(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    data_type = type_.data_type
    if array.null_count == len(array):
        return [None] * len(array)
    if pa.types.is_duration(data_type):
        return _times(array.view(data_type), f"m8[{data_type.unit}]")
    if pa.types.is_timestamp(data_type):
        return _times(array, f"M8[{data_type.unit}]")
    if pa.types.is_date32(data_type):
        return _days(array)
    if pa.types.is_time(data_type) and data_type.unit == "ns":
        return _clock_times(array)
    if not array.null_count and (pa.types.is_integer(data_type) or pa.types.is_floating(data_type)):
        values: list[Any] = array.to_numpy().tolist()
        return values
    return list(array.to_pylist())


def _times(array: pa.Array, dtype: str) -> list[Any]:
    if not dtype.endswith("[ns]"):
        try:
            return list(array.to_pylist())
        except (ValueError, OverflowError):
            pass  # a year that Python does not have
    numbers = array.view(pa.int64()).fill_null(0).to_numpy().view(dtype)
    return [value if valid else None for value, valid in zip(numbers, array.is_valid().to_pylist(), strict=True)]


def _days(array: pa.Array) -> list[Any]:
    try:
        return list(array.to_pylist())
    except (ValueError, OverflowError):  # a year that Python does not have
        numbers = array.view(pa.int32()).cast(pa.int64()).fill_null(0).to_numpy().view("M8[D]")
        return [value if valid else None for value, valid in zip(numbers, array.is_valid().to_pylist(), strict=True)]


def _clock_times(array: pa.Array) -> list[Any]:
    """Times of day in nanoseconds as numpy spans since midnight: Python's times have microseconds."""
    numbers = array.view(pa.int64()).fill_null(0).to_numpy().view("m8[ns]")
    return [value if valid else None for value, valid in zip(numbers, array.is_valid().to_pylist(), strict=True)]


def _plain(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    return list(array.to_pylist())


def _uuid(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    return [None if value is None else uuid.UUID(bytes=value) for value in array.to_pylist()]


def _interval(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    return [
        None if value is None else pa.MonthDayNano([value["months"], value["days"], value["nanos"]])
        for value in array.to_pylist()
    ]


def _json(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    return [decode_json(text) for text in array.to_pylist()]


def _tensor(type_: TensorType, array: pa.Array, media: MediaValues) -> list[Any]:
    valid = array.is_valid().to_pylist()
    if type_.shape is not None:
        _, elements = list_parts(array)
        cells = iter(_numpy(elements).reshape(-1, *type_.shape))
        return [next(cells) if here else None for here in valid]
    parts = struct_parts(array)
    counts, elements = list_parts(parts["data"])
    dims, sizes = list_parts(parts["shape"])
    numbers, ends, shape = _numpy(elements), np.cumsum(counts), sizes.to_pylist()
    starts = np.concatenate([[0], np.cumsum(dims)]).tolist()
    return [
        numbers[end - count : end].reshape(shape[first:last]) if here else None
        for here, count, end, (first, last) in zip(valid, counts.tolist(), ends.tolist(), pairwise(starts), strict=True)
    ]


def _numpy(elements: pa.Array) -> Any:
    numbers = elements.to_numpy(zero_copy_only=False)
    numbers.flags.writeable = False  # bools are unpacked into fresh memory; all tensors behave alike
    return numbers


def _list(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    if not len(array):
        return []
    lengths, elements = list_parts(array)
    values, ends = to_python(type_.item.type, elements, media), np.cumsum(lengths).tolist()
    lists = [values[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
    return _with_nulls(lists, array)


def _struct(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    parts = struct_parts(array)
    columns = _together(type_.fields, [parts[field.name] for field in type_.fields], media)
    names = list(columns)
    return _with_nulls([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)], array)


def _map(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    if not len(array):
        return []
    lengths, entries = list_parts(array)
    keys, items = entries.flatten()
    names, values = to_python(type_.key.type, keys, media), to_python(type_.value.type, items, media)
    ends = np.cumsum(lengths).tolist()
    dicts = [
        dict(zip(names[end - length : end], values[end - length : end], strict=True))
        for end, length in zip(ends, lengths.tolist(), strict=True)
    ]
    return _with_nulls(dicts, array)


def _with_nulls(values: list[Any], array: pa.Array) -> list[Any]:
    if not array.null_count:
        return values
    return [value if valid else None for value, valid in zip(values, array.is_valid().to_pylist(), strict=True)]


def _media(type_: Any, array: pa.Array, media: MediaValues) -> list[Any]:
    return media(type_, array, {})


_RULES: Final[dict[type, Callable[[Any, pa.Array, MediaValues], list[Any]]]] = {
    ScalarType: _scalar,
    UuidType: _uuid,
    IntervalType: _interval,
    JsonType: _json,
    ClassType: _plain,
    NullType: _plain,
    ListType: _list,
    FixedListType: _list,
    StructType: _struct,
    MapType: _map,
    TensorType: _tensor,
    MediaType: _media,
}

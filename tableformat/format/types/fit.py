"""Arrow arrays into the storage form of a column type, losing nothing: the one place where data are converted.

Whatever does not fit raises `SchemaError` with the column, the row, and both types. Media are handed to a hook.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.format.types.arrays import (
    first_null,
    list_array,
    list_parts,
    map_array,
    normal,
    null_mask,
    nulls,
    owner,
    struct_array,
    struct_parts,
)
from tableformat.format.types.base import ColumnType, Field, NullType
from tableformat.format.types.fit_scalar import (
    Fitting,
    MediaHook,
    fail_types,
    fit_class,
    fit_interval,
    fit_json,
    fit_null,
    fit_scalar,
    fit_uuid,
)
from tableformat.format.types.media import ClassType, MediaType
from tableformat.format.types.nearest import nearest
from tableformat.format.types.nested import FixedListType, ListType, MapType, StructType
from tableformat.format.types.scalar import IntervalType, JsonType, ScalarType, UuidType
from tableformat.format.types.tensor import TensorType
from tableformat.format.types.where import Where

__all__ = ["Fitting", "MediaHook", "fit_field"]


def fit_field(field: Field, array: pa.Array, where: Where, how: Fitting, parent: pa.Array | None = None) -> pa.Array:
    """`array` as storage of `field`. Nulls are refused where the field has none, but for those under a null of `parent`."""
    fitted = (
        _fit(field.type, normal(array), where, how)
        if array.type != field.type.storage() or _deep(field.type)
        else array
    )
    if not field.nullable and fitted.null_count:
        missing = fitted.is_null()
        bad = missing if parent is None else pc.and_(missing, parent.is_valid())
        index = pc.index(bad, True).as_py()
        if index >= 0:
            where.fail(
                index,
                expected=f"{field.type}, never null",
                got="null",
                todo="give a value, or declare the column nullable",
            )
    return fitted


def _deep(type_: ColumnType) -> bool:
    """Whether an array of the right Arrow type still has to be looked at."""
    if isinstance(type_, MediaType | JsonType | ClassType | TensorType):
        return True
    return any(_deep(field.type) or not field.nullable for field in type_.fields)


def _fit(type_: ColumnType, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    storage = type_.storage()
    if (
        isinstance(type_, MediaType)
        and array.type != storage
        and how.media is not None
        and not pa.types.is_null(array.type)
    ):
        return how.media(type_, array, where)
    if array.null_count == len(array):
        return nulls(len(array), storage)
    return _FITTERS[type(type_)](type_, array, where, how)


def _fit_list(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if not _is_list(array.type):
        fail_types(type_, array, where)
    lengths, elements = list_parts(array)
    if isinstance(type_, FixedListType):
        wrong = lengths != type_.size
        if array.null_count:
            wrong &= np.asarray(array.is_valid())
        if wrong.any():
            index = int(wrong.argmax())
            where.fail(index, expected=type_, got=f"a list of {lengths[index]}", todo="declare a list of any length")
    fitted = fit_field(type_.item, elements, where.child("[]", owner(lengths)), how)
    return list_array(type_.storage(), lengths, fitted, null_mask(array))


def _fit_struct(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if pa.types.is_map(array.type) and not list_parts(array)[0].any():
        array = pa.array([None if empty else {} for empty in array.is_null().to_pylist()], pa.struct([]))
    if not pa.types.is_struct(array.type):
        fail_types(type_, array, where)
    given = struct_parts(array)
    fitted = []
    for field in type_.fields:
        part = given.pop(field.name, None)
        part = pa.nulls(len(array)) if part is None else part
        fitted.append(fit_field(field, part, where.child(f".{field.name}"), how, array if array.null_count else None))
    for name, part in given.items():
        if part.null_count < len(part):
            index = pc.index(part.is_valid(), True).as_py()
            where.fail(
                index,
                expected=type_,
                got=f"the unknown field {name!r}",
                todo=nearest(name, [f.name for f in type_.fields]),
            )
    return struct_array(type_.storage(), fitted, len(array), null_mask(array))


def _fit_map(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    source = array.type
    pairs = _is_list(source) and pa.types.is_struct(source.value_type) and source.value_type.num_fields == 2
    if not pa.types.is_map(source) and not pairs:
        fail_types(type_, array, where)
    lengths, entries = list_parts(array)
    if (index := first_null(entries)) is not None:
        where.child("{}", owner(lengths)).fail(index, expected="an entry with a key", got="null")
    below = owner(lengths)
    keys, items = entries.flatten()
    keys = fit_field(type_.key, keys, where.child("{key}", below), how)
    items = fit_field(type_.value, items, where.child("{value}", below), how)
    return map_array(type_.storage(), lengths, keys, items, null_mask(array))


def _fit_tensor(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if type_.shape is None:
        return _fit_any_shape(type_, array, where, how)
    mask, level, elements = null_mask(array), where, array
    valid = array.drop_null() if mask is not None else array
    if mask is not None:
        positions = np.flatnonzero(np.asarray(array.is_valid()))
        level = where.child("", lambda index: int(positions[index]))
    elements, shape = valid, list(type_.shape)
    if pa.types.is_fixed_size_list(array.type) and not _is_list(array.type.value_type):
        shape = [type_.size]
    for size in shape:
        if not _is_list(elements.type):
            fail_types(type_, array, where)
        lengths, below = list_parts(elements)
        if (lengths != size).any():
            index = int((lengths != size).argmax())
            level.fail(
                index, expected=type_, got=f"{lengths[index]} elements where {size} belong", todo="declare shape=None"
            )
        level, elements = level.child("[]", owner(lengths)), normal(below)
    flat = _fit_elements(type_, elements, level, how)
    return list_array(type_.storage(), np.full(len(array), type_.size, np.int64), flat, mask)


def _fit_any_shape(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if pa.types.is_fixed_size_list(array.type) and how.stored:
        fail_types(type_, array, where)  # the shape stands in the older schema: see `widen_tensors`
    names = {field.name for field in array.type} if pa.types.is_struct(array.type) else set()
    if names != {"data", "shape"}:
        fail_types(type_, array, where)
    parts = struct_parts(array)
    data, shape = normal(parts["data"]), normal(parts["shape"])
    if not _is_list(data.type) or not _is_list(shape.type):
        fail_types(type_, array, where)
    counts, elements = list_parts(data)
    dims, sizes = list_parts(shape)
    level = where.child(".data", owner(counts))
    flat = _fit_elements(type_, elements, level, how)
    exact = fit_field(
        Field("element", ScalarType(pa.int32()), nullable=False), sizes, where.child(".shape", owner(dims)), how
    )
    for index, (count, cell) in enumerate(zip(counts.tolist(), _cells(dims, exact), strict=True)):
        product = 1
        for size in cell:
            product *= size
        if array[index].is_valid and (product != count or min(cell, default=0) < 0):
            where.fail(index, expected=f"{count} elements in a shape of that many", got=f"the shape {cell}")
    storage = type_.storage()
    lists = [
        list_array(storage.field("data").type, counts, flat, None),
        list_array(storage.field("shape").type, dims, exact, None),
    ]
    return struct_array(storage, lists, len(array), null_mask(array))


def _cells(lengths: Any, elements: pa.Array) -> list[list[int]]:
    values, ends = elements.to_pylist(), np.cumsum(lengths).tolist()
    return [values[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]


def _fit_elements(type_: TensorType, elements: pa.Array, where: Where, how: Fitting) -> pa.Array:
    return fit_field(Field("element", ScalarType(type_.element), nullable=False), elements, where, how)


def _fit_media(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if array.type != type_.storage():
        fail_types(type_, array, where)
    return array if how.stored or how.media is None else how.media(type_, array, where)


def _is_list(data_type: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_list(data_type) or t.is_large_list(data_type) or t.is_fixed_size_list(data_type))


_FITTERS: Final[dict[type, Callable[[Any, pa.Array, Where, Fitting], pa.Array]]] = {
    ScalarType: fit_scalar,
    UuidType: fit_uuid,
    IntervalType: fit_interval,
    JsonType: fit_json,
    ClassType: fit_class,
    NullType: fit_null,
    ListType: _fit_list,
    FixedListType: _fit_list,
    StructType: _fit_struct,
    MapType: _fit_map,
    TensorType: _fit_tensor,
    MediaType: _fit_media,
}

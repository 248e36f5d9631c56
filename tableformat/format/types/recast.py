"""Stored arrays of one type into the storage of a wider one: what a writer does to parts when a column widens."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tableformat.format.types.arrays import (
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
from tableformat.format.types.base import Field
from tableformat.format.types.fit import Fitting, fit_field
from tableformat.format.types.nested import FixedListType, ListType, MapType, StructType
from tableformat.format.types.scalar import ScalarType
from tableformat.format.types.tensor import TensorType
from tableformat.format.types.where import Where

__all__ = ["recast"]

_STORED = Fitting(stored=True)


def recast(before: Field, after: Field, array: pa.Array, where: Where) -> pa.Array:
    """`array`, stored as `before`, in the storage of `after`. Raises `SchemaError` where a value would be lost."""
    array = normal(array)
    storage = after.type.storage()
    if before.same_shape(after) and array.type == storage:
        return array
    if array.null_count == len(array) and after.nullable:
        return nulls(len(array), storage)
    old, new, mask = before.type, after.type, null_mask(array)
    if isinstance(old, TensorType) and isinstance(new, TensorType) and old.shape is not None and new.shape is None:
        return _any_shape(old, new, array, where)
    if isinstance(old, StructType) and isinstance(new, StructType) and pa.types.is_struct(array.type):
        return _struct(old, after, array, where)
    lists = isinstance(old, ListType | FixedListType) and isinstance(new, ListType)
    if lists or (isinstance(old, FixedListType) and isinstance(new, FixedListType) and old.size == new.size):
        lengths, elements = list_parts(array)
        cast = recast(old.fields[0], new.fields[0], elements, where.child("[]", owner(lengths)))
        return list_array(storage, lengths, cast, mask)
    if isinstance(old, MapType) and isinstance(new, MapType):
        lengths, entries = list_parts(array)
        keys, items = entries.flatten()
        below = owner(lengths)
        keys = recast(old.key, new.key, keys, where.child("{key}", below))
        return map_array(
            storage, lengths, keys, recast(old.value, new.value, items, where.child("{value}", below)), mask
        )
    return fit_field(after, array, where, _STORED)


def _struct(old: StructType, after: Field, array: pa.Array, where: Where) -> pa.Array:
    parts = struct_parts(array)
    by_id = {field.id: field for field in old.fields if field.id is not None}
    by_name = {field.name: field for field in old.fields}
    cast = []
    for field in after.type.fields:
        source = (by_id.get(field.id) if field.id is not None else None) or by_name.get(field.name)
        if source is None or source.name not in parts:
            cast.append(nulls(len(array), field.type.storage()))
        else:
            cast.append(recast(source, field, parts[source.name], where.child(f".{field.name}")))
    return struct_array(after.type.storage(), cast, len(array), null_mask(array))


def _any_shape(old: TensorType, new: TensorType, array: pa.Array, where: Where) -> pa.Array:
    assert old.shape is not None
    storage, mask = new.storage(), null_mask(array)
    element = Field("element", ScalarType(new.element), nullable=False)
    lengths, flat = list_parts(array)
    flat = fit_field(element, flat, where.child("[]", owner(lengths)), _STORED)
    dims = np.where(lengths > 0, len(old.shape), 0)
    shape = pa.array(np.tile(np.array(old.shape, np.int32), int((lengths > 0).sum())))
    data = list_array(storage.field("data").type, lengths, flat, None)
    return struct_array(storage, [data, list_array(storage.field("shape").type, dims, shape, None)], len(array), mask)

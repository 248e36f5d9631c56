"""How two types meet: the narrowest type that holds the values of both, or none."""

# ruff: noqa: ARG001 - the functions of one table of rules share a signature
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from tableformat.format.types.base import ColumnType, Field, NullType
from tableformat.format.types.media import ClassType, MediaType
from tableformat.format.types.names import fold
from tableformat.format.types.nested import FixedListType, ListType, MapType, StructType
from tableformat.format.types.scalar import SIMPLE, ScalarType
from tableformat.format.types.tensor import TensorType

__all__ = ["is_value_checked", "unify_fields", "unify_types"]

_UNITS: Final = ("s", "ms", "us", "ns")


def unify_types(left: ColumnType, right: ColumnType, new_fields: bool = True) -> ColumnType | None:
    """The type that holds the values of both, with the ids of `left`; None where there is none.

    Symmetric but for ids, the order of fields, and which time zone stays. Fields of structs that only `right` has are
    added where `new_fields`; those that only one has become nullable.
    """
    if left == right or (isinstance(right, NullType) and not isinstance(left, NullType)):
        return _with_empty(left, right)
    if isinstance(left, NullType):
        return _with_empty(right, left)
    rule = _RULES.get((type(left), type(right)))
    return None if rule is None else rule(left, right, new_fields)


def unify_fields(left: Field, right: Field, new_fields: bool = True) -> Field | None:
    """The field that holds the values of both, with the name, id and annotation of `left`."""
    unified = unify_types(left.type, right.type, new_fields)
    if unified is None or left.annotates != right.annotates:
        return None
    return replace(left, type=unified, nullable=left.nullable or right.nullable)


def is_value_checked(before: ColumnType, after: ColumnType) -> bool:
    """Whether widening `before` to `after` may fail for some values: integers to floats, times to finer units."""
    if isinstance(before, ScalarType) and isinstance(after, ScalarType):
        old, new = before.data_type, after.data_type
        if pa.types.is_integer(old) and pa.types.is_floating(new):
            return bool(old.bit_width > {16: 8, 32: 16, 64: 32}[new.bit_width])
        return bool(pa.types.is_temporal(old) and pa.types.is_timestamp(new) and old.unit != new.unit)
    if isinstance(before, TensorType) and isinstance(after, TensorType):
        return is_value_checked(ScalarType(before.element), ScalarType(after.element))
    if isinstance(before, StructType) and isinstance(after, StructType):
        old_fields = {field.name: field for field in before.fields}
        return any(
            is_value_checked(old_fields[field.name].type, field.type)
            for field in after.fields
            if field.name in old_fields
        )
    return any(is_value_checked(a.type, b.type) for a, b in zip(before.fields, after.fields, strict=False))


def _with_empty(type_: ColumnType, null: ColumnType) -> ColumnType | None:
    """`type_` meets a column of nothing, or of nothing but empty dicts, which only structs and maps can hold."""
    if isinstance(null, NullType) and null.empty and not isinstance(type_, StructType | MapType):
        return null if isinstance(type_, NullType) else None
    return type_


def _scalars(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    assert isinstance(left, ScalarType)
    assert isinstance(right, ScalarType)
    unified = _scalar(left.data_type, right.data_type)
    return None if unified is None else ScalarType(unified)


def _scalar(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    t = pa.types
    if _is_number(left) and _is_number(right):
        if t.is_integer(left) and t.is_integer(right) and t.is_signed_integer(left) != t.is_signed_integer(right):
            wider = max(left, right, key=lambda data_type: data_type.bit_width)
            if t.is_unsigned_integer(wider) and wider.bit_width == 64:
                return None  # numpy would say float64, which holds neither
            if pa.uint64() in (left, right):
                return None
        return SIMPLE[str(np.promote_types(left.to_pandas_dtype(), right.to_pandas_dtype()))]
    if t.is_timestamp(left) and t.is_timestamp(right) and (left.tz is None) == (right.tz is None):
        return pa.timestamp(max(left.unit, right.unit, key=_UNITS.index), left.tz)
    if t.is_time(left) and t.is_time(right):
        unit = max(left.unit, right.unit, key=_UNITS.index)
        return pa.time32(unit) if unit == "ms" else pa.time64(unit)
    if t.is_decimal(left) and t.is_decimal(right):
        scale = max(left.scale, right.scale)
        precision = max(left.precision - left.scale, right.precision - right.scale) + scale
        if precision > 76:
            return None
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return None


def _is_number(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type))


def _tensors(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    assert isinstance(left, TensorType)
    assert isinstance(right, TensorType)
    dtype = left.element if left.dtype == right.dtype else _scalar(left.element, right.element)
    return None if dtype is None else TensorType(dtype, left.shape if left.shape == right.shape else None)


def _lists(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    item = unify_fields(left.fields[0], right.fields[0], new_fields)
    if item is None:
        return None
    if isinstance(left, FixedListType) and isinstance(right, FixedListType) and left.size == right.size:
        return FixedListType(item, left.size)
    return ListType(item)


def _maps(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    key = unify_fields(left.fields[0], right.fields[0], new_fields)
    value = unify_fields(left.fields[1], right.fields[1], new_fields)
    return None if key is None or value is None else MapType(key, value)


def _structs(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    fields = unify_all(left.fields, right.fields, new_fields)
    return None if fields is None else StructType(tuple(fields))


def unify_all(left: tuple[Field, ...], right: tuple[Field, ...], new_fields: bool) -> list[Field] | None:
    """The fields of both, those of `left` first, but annotations right after what they annotate."""
    others = {field.name: field for field in right}
    unified: list[Field] = []
    for field in left:
        other = others.pop(field.name, None)
        both = replace(field, nullable=True) if other is None else unify_fields(field, other, new_fields)
        if both is None:
            return None
        unified.append(both)
    taken = {fold(field.name) for field in unified}
    for field in others.values():
        if not new_fields or fold(field.name) in taken:
            return None
        insert_field(unified, replace(field, nullable=True))
    return unified


def insert_field(fields: list[Field], field: Field) -> None:
    """Add `field` at the end; an annotation right after what it annotates and the annotations that stand there."""
    if field.annotates is None:
        fields.append(field)
        return
    column = field.annotates[0]
    at = next((index for index, other in enumerate(fields) if other.name == column), len(fields) - 1) + 1
    while at < len(fields) and (beside := fields[at].annotates) is not None and beside[0] == column:
        at += 1
    fields.insert(at, field)


def _classes(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    assert isinstance(left, ClassType)
    assert isinstance(right, ClassType)
    ids = (
        _scalar(SIMPLE[left.id_type], SIMPLE[right.id_type]) if left.id_type != right.id_type else SIMPLE[left.id_type]
    )
    if left.classes != right.classes or ids is None:
        return None
    return ClassType(left.source or right.source or left.classes, ids, left.strict and right.strict)


def _class_ids(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    """Plain integers in a column of classes: they are checked against the set as they are written."""
    declared, plain = (left, right) if isinstance(left, ClassType) else (right, left)
    fits = isinstance(plain, ScalarType) and pa.types.is_integer(plain.data_type) and declared is left
    return declared if fits else None


def _media(left: ColumnType, right: ColumnType, new_fields: bool) -> ColumnType | None:
    assert isinstance(left, MediaType)
    assert isinstance(right, MediaType)
    if left.media != right.media:
        return None
    if right.classes is None and not right.layers:
        return left
    if left.classes is None and not left.layers:
        return right
    return None  # two class sets: they are never mixed silently


_RULES: Final[dict[tuple[type, type], Callable[[ColumnType, ColumnType, bool], ColumnType | None]]] = {
    (ScalarType, ScalarType): _scalars,
    (TensorType, TensorType): _tensors,
    (ListType, ListType): _lists,
    (ListType, FixedListType): _lists,
    (FixedListType, ListType): _lists,
    (FixedListType, FixedListType): _lists,
    (StructType, StructType): _structs,
    (MapType, MapType): _maps,
    (ClassType, ClassType): _classes,
    (ClassType, ScalarType): _class_ids,
    (MediaType, MediaType): _media,
}

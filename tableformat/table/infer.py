"""The type that Python values say they have, and the array they make: the table of spec/inference.md.

Values are looked at by column, and by class rather than one by one: `set(map(type, values))` costs 16 ns a value where a
loop costs a hundred. Only an error is searched for value by value.
"""

# ruff: noqa: ARG001 - the functions of one table of rules share a signature
from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from tableformat.errors import LimitError, SchemaError, message
from tableformat.format.types import (
    Field,
    IntervalType,
    ListType,
    MediaType,
    NullType,
    ScalarType,
    StructType,
    TensorType,
    UuidType,
    Where,
)
from tableformat.format.types.arrays import list_array, owner, struct_array
from tableformat.format.types.base import MAX_NESTING, ColumnType
from tableformat.format.types.fit import Fitting, fit_field
from tableformat.format.types.names import check_name, check_names
from tableformat.format.types.scalar import SIMPLE
from tableformat.format.types.widen import insert_field, unify_types
from tableformat.table.annotations import annotation_fields
from tableformat.table.families import ADVICE, families_of, family, is_number, lengths_of, mask_of, without_odd_nulls
from tableformat.table.tensors import numpy_arrays, tensor_storage

__all__ = ["MAX_KEYS", "Inferred", "infer"]

MAX_KEYS: Final = 256
"""Most keys of dicts that become a struct. Beyond it they are rather data than names."""

_MIXED: Final = "declare JsonType() for mixed values, or one type and convert them"


class Inferred(NamedTuple):
    """What a column of values turned out to be."""

    type: ColumnType
    array: pa.Array | None
    """The values in the storage of `type`; None where media are among them, which have to be placed first."""


def infer(values: Sequence[Any], where: Where, depth: int = 0, families: set[str] | None = None) -> Inferred:
    """The type of `values` and, unless it holds media, their array. Raises `SchemaError` naming the first misfit's row.

    `families` are those of the values, where they are known already and nulls are None.
    """
    if depth > MAX_NESTING:
        raise LimitError(
            message(f"storing column {where.column!r}", expected=f"at most {MAX_NESTING} levels of lists and dicts")
        )
    if families is None:
        families = families_of(values)
        if "null" in families:
            families.discard("null")
            values = without_odd_nulls(values)
    if not families:
        return _nothing(len(values))
    if "enum" in families:
        values = [value.name if isinstance(value, enum.Enum) else value for value in values]
        families = (families - {"enum"}) | {"str"}
    if all(map(is_number, families)):
        return _numbers(values, families, where)
    if len(families) == 1:
        [name] = families
        rule = _RULES.get(name)
        if rule is not None:
            return rule(values, where, depth)
        if name.startswith("media:"):
            return Inferred(MediaType(name[6:]), None)
    elif families <= {"datetime", "datetime:ns"}:
        return _times(values, where, depth)
    elif families <= {"timedelta", "timedelta:ns"}:
        return _scalar(pa.duration("ns"))(values, where, depth)
    elif "arrow" in families:
        return _arrow(values, where, depth)
    return _misfit(values, where)


def _nothing(count: int) -> Inferred:
    return Inferred(NullType(), pa.nulls(count, pa.string()))


def _misfit(values: Sequence[Any], where: Where) -> Inferred:
    """Raise for the first value that is of no family, or not of the first one's."""
    first: str | None = None
    for index, value in enumerate(values):
        name = family(type(value))
        if name == "null":
            continue
        kind = type(value).__name__
        if name == "other":
            todo = ADVICE.get(kind, "convert it to values the format has, or declare JsonType()")
            where.fail(index, expected="a value that can be stored", got=f"{kind} ({_short(value)})", todo=todo)
        if first is None:
            first, first_kind = name, kind
        elif name != first and not (is_number(name) and is_number(first)):
            where.fail(index, expected=first_kind, got=f"{kind} ({_short(value)})", todo=_MIXED)
    return where.fail(None, expected="values of one type", got=", ".join(sorted(families_of(values))), todo=_MIXED)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


# -- scalars -----------------------------------------------------------------------------------------------------------


def convert(values: Sequence[Any], data_type: pa.DataType, where: Where, shown: Any, todo: str = _MIXED) -> pa.Array:
    """`values` as an array of `data_type`; raises for the first value that Arrow does not take."""
    try:
        return pa.array(values, data_type)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        index = first_failing(values, lambda part: pa.array(part, data_type))
        got = str(error) if index is None else f"{type(values[index]).__name__} ({_short(values[index])})"
        raise where.error(index, expected=shown, got=got, todo=todo) from error


def first_failing(values: Sequence[Any], attempt: Callable[[Sequence[Any]], object]) -> int | None:
    """The index of the first value for which `attempt` raises, by halving; None where it does not raise for all."""
    start, stop = 0, len(values)
    if not _raises(values, attempt):
        return None
    while stop - start > 1:
        middle = (start + stop) // 2
        if _raises(values[start:middle], attempt):
            stop = middle
        else:
            start = middle
    return start


def _raises(values: Sequence[Any], attempt: Callable[[Sequence[Any]], object]) -> bool:
    try:
        attempt(values)
    except Exception:  # noqa: BLE001 - whatever it was, it is raised again by who asked
        return True
    return False


def _numbers(values: Sequence[Any], families: set[str], where: Where) -> Inferred:
    unified: ColumnType | None = None
    for name in sorted(families):
        dtype = {"int": "int64", "float": "float64"}.get(name, name.removeprefix("numpy:"))
        if dtype not in SIMPLE:
            index = next(i for i, value in enumerate(values) if family(type(value)) == name)
            where.fail(
                index, expected="a number that can be stored", got=dtype, todo=ADVICE.get(dtype, "convert it first")
            )
        one = ScalarType(SIMPLE[dtype])
        unified = one if unified is None else unify_types(unified, one)
        if unified is None:
            where.fail(None, expected="integers of one sign", got=", ".join(sorted(families)), todo="declare the type")
    assert isinstance(unified, ScalarType)
    todo = (
        "declare pa.uint64(), a decimal or JsonType()"
        if pa.types.is_integer(unified.data_type)
        else "declare a decimal or JsonType()"
    )
    return Inferred(unified, convert(values, unified.data_type, where, unified, todo))


def _scalar(data_type: pa.DataType, type_: ColumnType | None = None) -> Callable[[Sequence[Any], Where, int], Inferred]:
    shown = type_ or ScalarType(data_type)

    def rule(values: Sequence[Any], where: Where, depth: int) -> Inferred:
        array = convert(values, data_type, where, shown)
        if array.type != shown.storage():
            array = fit_field(Field(where.column, shown), array, where, Fitting())
        return Inferred(shown, array)

    return rule


def _decimals(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    try:
        array = pa.array(values)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        index = first_failing(values, pa.array)
        got = "digits that no decimal of 76 holds together" if index is None else _short(values[index])
        raise where.error(
            index, expected="finite decimals of at most 76 digits", got=got, todo="declare a float"
        ) from error
    return Inferred(ScalarType(array.type), array)


def _times(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    present = [value for value in values if value is not None]
    naive = set(map(type, map(attrgetter("tzinfo"), present)))
    if type(None) in naive and len(naive) > 1:
        first = present[0].tzinfo is None
        index = next(i for i, value in enumerate(values) if value is not None and (value.tzinfo is None) != first)
        expected, got = ("naive times", "an aware one") if first else ("aware times", "a naive one")
        where.fail(
            index, expected=expected, got=f"{got} ({_short(values[index])})", todo="give all times a zone, or none"
        )
    unit = "ns" if "datetime:ns" in families_of(present) else "us"
    data_type = pa.timestamp(unit, None if type(None) in naive else "UTC")
    shown = ScalarType(data_type)
    return Inferred(shown, convert(values, data_type, where, shown))


def _clock_times(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    for index, value in enumerate(values):
        if value is not None and value.tzinfo is not None:
            where.fail(
                index, expected="a time without a zone", got=_short(value), todo="store a datetime, or drop the zone"
            )
    return _scalar(pa.time64("us"))(values, where, depth)


_DATE_UNITS: Final = {"Y", "M", "W", "D"}
_TIME_UNITS: Final = {"h": "ms", "m": "ms", "s": "ms", "ms": "ms", "us": "us", "ns": "ns"}
_SPAN_UNITS: Final = {"W": "s", "D": "s", "h": "s", "m": "s", "s": "s", "ms": "ms", "us": "us", "ns": "ns"}


def _numpy_times(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    """numpy's datetimes and spans of time: the unit is part of their type, NaT is null."""
    present = [value for value in values if value is not None and not np.isnat(value)]
    if not present:
        return _nothing(len(values))
    units = {np.datetime_data(value.dtype)[0] for value in present}
    span = isinstance(present[0], np.timedelta64)
    if not span and units <= _DATE_UNITS:
        unit, data_type = "D", pa.date32()
    else:
        known = _SPAN_UNITS if span else _TIME_UNITS
        if units - known.keys():
            index = next(i for i, v in enumerate(values) if v is not None and np.datetime_data(v.dtype)[0] not in known)
            where.fail(index, expected=" | ".join(known), got=f"{_short(values[index])}", todo="convert with .astype")
        unit = max((known[one] for one in units), key=("s", "ms", "us", "ns").index)
        data_type = pa.duration(unit) if span else pa.timestamp(unit)
    kind = "m8" if span else "M8"
    nat = np.array("NaT", f"{kind}[{unit}]")
    array = pa.array(np.array([nat if value is None else value for value in values], f"{kind}[{unit}]"), data_type)
    shown = ScalarType(data_type)
    return Inferred(shown, fit_field(Field(where.column, shown), array, where, Fitting()))


def _arrow(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    return infer([value.as_py() if isinstance(value, pa.Scalar) else value for value in values], where, depth)


# -- nested ------------------------------------------------------------------------------------------------------------

_ELEMENT: Final[dict[type, tuple[pa.DataType, set[type]]]] = {
    float: (pa.float64(), {float, int, np.float64, type(None)}),
    int: (pa.int64(), {int, type(None)}),
    str: (pa.string(), {str, type(None)}),
    bool: (pa.bool_(), {bool, type(None)}),
}
"""By the class of the first element: the type of all, if all are of these classes."""


def _lists(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    quick = _quick_lists(values)
    if quick is not None:
        return quick
    mask = mask_of(values)
    present = values if mask is None else [value for value in values if value is not None]
    flat = list(chain.from_iterable(present))
    lengths = lengths_of(values)
    inner = infer(flat, where.child("[]", owner(lengths)), depth + 1)
    type_ = ListType(Field("element", inner.type))
    if inner.array is None:
        check_no_annotations(flat, inner.type, where.child("[]", owner(lengths)))
        return Inferred(type_, None)
    return Inferred(type_, list_array(type_.storage(), lengths, inner.array, mask))


def _quick_lists(values: Sequence[Any]) -> Inferred | None:
    """Lists of plain values in one conversion, where that is sure to hide nothing; else None."""
    first = next((value[0] for value in values if value), None)
    if type(first) not in _ELEMENT:
        return None
    data_type, classes = _ELEMENT[type(first)]
    type_ = ListType(Field("element", ScalarType(data_type)))
    if type(first) is not float and not _classes_below(values) <= classes:
        return None
    try:
        array = pa.array(values, type_.storage())
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None
    if type(first) is float:
        # Arrow takes a bool for 1.0 where a float stood before. Without a 0 or a 1 among the numbers there was none, and
        # the look at all classes, which costs as much as the conversion, is saved.
        numbers = np.asarray(array.values)
        if ((numbers == 0) | (numbers == 1)).any() and not _classes_below(values) <= classes:
            return None
    return Inferred(type_, array)


def _classes_below(values: Sequence[Any]) -> set[type]:
    return set(map(type, chain.from_iterable(filter(None, values))))


def _dicts(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    present = [value for value in values if value is not None]
    keys: dict[Any, None] = dict.fromkeys(chain.from_iterable(present))
    if not keys:
        empty = NullType("struct")
        return Inferred(empty, pa.array([None if value is None else [] for value in values], empty.storage()))
    if len(keys) > MAX_KEYS:
        where.fail(
            None, expected=f"dicts of at most {MAX_KEYS} keys", got=f"{len(keys)} keys",
            todo="declare a map, such as dict[str, float], or JsonType()",
        )  # fmt: skip
    for key in keys:
        if not isinstance(key, str):
            index = next(i for i, value in enumerate(values) if value is not None and key in value)
            kind = type(key).__name__
            where.fail(
                index,
                expected="dicts with text as keys",
                got=f"the key {key!r} ({kind})",
                todo="declare a map, such as dict[int, str]",
            )
    names = {key: check_name(key) for key in keys}
    check_names(names.values(), f"the dicts of column {where.column!r}")
    fields: list[Field] = []
    arrays: list[pa.Array | None] = []
    annotated: list[tuple[Field, list[Any]]] = []
    for key, name in names.items():
        below = [None if value is None else value.get(key) for value in values]
        inner = infer(below, where.child(f".{name}"), depth + 1)
        fields.append(Field(name, inner.type))
        arrays.append(inner.array)
        media = fields[-1]
        if isinstance(media.type, MediaType):
            annotated.append((media, below))
    for media, below in annotated:
        for added in annotation_fields(media, below, fields):
            insert_field(fields, added)
    type_ = StructType(tuple(fields))
    ready = [array for array in arrays if array is not None]
    if len(ready) < len(arrays):
        return Inferred(type_, None)
    return Inferred(type_, struct_array(type_.storage(), ready, len(values), mask_of(values)))


def check_no_annotations(values: Sequence[Any], type_: ColumnType, where: Where) -> None:
    """Media right inside a list or a map has nowhere to keep boxes and captions: refuse those that have some."""
    if not isinstance(type_, MediaType):
        return
    for added in annotation_fields(Field("media", type_), values, ()):
        assert added.annotates is not None
        role = added.annotates[1]
        index = next(i for i, value in enumerate(values) if getattr(value, role, None))
        where.fail(index, expected="media without annotations", got=role, todo='wrap it in a dict: {"image": image}')


# -- arrays ------------------------------------------------------------------------------------------------------------


def _arrays(values: Sequence[Any], where: Where, depth: int) -> Inferred:
    arrays = numpy_arrays(values, where)
    present = [array for array in arrays if array is not None]
    dims = {array.ndim for array in present}
    if 0 in dims:
        if dims != {0}:
            index = next(
                i for i, array in enumerate(arrays) if array is not None and (array.ndim == 0) != (present[0].ndim == 0)
            )
            where.fail(index, expected="arrays, or single values", got="both", todo="give all of them dimensions")
        return infer([None if array is None else array[()] for array in arrays], where, depth)
    unified: ColumnType | None = None
    for array in {(array.dtype.name, array.shape): array for array in present}.values():
        one = TensorType(array.dtype.name, array.shape if array.size else None)
        unified = one if unified is None else unify_types(unified, one)
        if unified is None:
            where.fail(
                None,
                expected="arrays of one type",
                got=", ".join(sorted({str(a.dtype) for a in present})),
                todo="convert with .astype",
            )
    assert isinstance(unified, TensorType)
    return Inferred(unified, tensor_storage(unified, arrays, where))


_RULES: Final[dict[str, Callable[[Sequence[Any], Where, int], Inferred]]] = {
    "bool": _scalar(pa.bool_()),
    "str": _scalar(pa.string()),
    "bytes": _scalar(pa.binary()),
    "date": _scalar(pa.date32()),
    "datetime": _times,
    "datetime:ns": _times,
    "time": _clock_times,
    "timedelta": _scalar(pa.duration("us")),
    "timedelta:ns": _scalar(pa.duration("ns")),
    "decimal": _decimals,
    "uuid": _scalar(pa.uuid(), UuidType()),
    "interval": _scalar(pa.month_day_nano_interval(), IntervalType()),
    "datetime64": _numpy_times,
    "timedelta64": _numpy_times,
    "arrow": _arrow,
    "array": _arrays,
    "list": _lists,
    "dict": _dicts,
}


def misfit(where: Where, values: Sequence[Any], known: ColumnType, given: ColumnType) -> SchemaError:
    """The error for a batch whose type does not meet the column's: the row of its first value, and both types."""
    index = next((i for i, value in enumerate(values) if value is not None), None)
    return where.error(index, expected=known, got=given, todo=_MIXED)

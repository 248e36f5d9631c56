"""Arrow arrays into the storage of scalar types: which conversions lose nothing, and which value does not survive one."""

# ruff: noqa: ARG001 - the functions of one table of rules share a signature
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.format.types.arrays import null_mask, struct_array
from tableformat.format.types.base import ColumnType
from tableformat.format.types.media import MediaType
from tableformat.format.types.scalar import ScalarType
from tableformat.format.types.where import Where

__all__ = [
    "Fitting",
    "MediaHook",
    "fail_types",
    "fit_class",
    "fit_interval",
    "fit_json",
    "fit_null",
    "fit_scalar",
    "fit_uuid",
]

MediaHook = Callable[[MediaType, pa.Array, Where], pa.Array]
"""Makes cells of Arrow data that stand in a media column."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What a conversion is for."""

    media: MediaHook | None = None
    """Makes media cells; without it only finished cells pass."""
    stored: bool = False
    """The data are in storage form already, of an older schema: integers may be durations, texts JSON."""
    rounding: bool = False
    """Floats may be rounded to a narrower float: for Python's floats, which have one width only."""
    known_ids: Callable[[str], Any] | None = None
    """From the digest of a class set to the ids it holds, for types that carry no set themselves."""


def fit_scalar(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    target: pa.DataType = type_.data_type
    source: pa.DataType = array.type
    if source == type_.storage() and (how.stored or source == target):
        return array
    if not _may_cast(source, target):
        fail_types(type_, array, where)
    try:
        cast = array.cast(target)
    except pa.ArrowException:
        cast = None
    lossy = cast is not None and pa.types.is_floating(target) and _loses(array, cast, how)
    if cast is None or lossy:
        index = _first_failing(array, target, how)
        where.fail(
            index,
            expected=type_,
            got=f"{array[index].as_py()!r} ({source})" if index is not None else source,
            todo="declare a wider type",
        )
    return cast.view(pa.int64()) if pa.types.is_duration(target) else cast


def _may_cast(source: pa.DataType, target: pa.DataType) -> bool:
    """Which conversions are between like and like; whether each value survives is for the cast to say."""
    t = pa.types
    if t.is_integer(target) or t.is_floating(target):
        return bool(t.is_integer(source) or t.is_floating(source))
    if t.is_decimal(target):
        return bool(t.is_decimal(source) or t.is_integer(source))
    if t.is_timestamp(target):
        return bool(t.is_timestamp(source)) and (source.tz is None) == (target.tz is None)
    if t.is_fixed_size_binary(target):
        return bool(t.is_binary(source) or t.is_fixed_size_binary(source))
    if t.is_binary(target):
        return bool(t.is_fixed_size_binary(source))
    return any(
        is_it(target) and is_it(source)
        for is_it in (t.is_boolean, t.is_string, t.is_binary, t.is_date, t.is_time, t.is_duration)
    )


def _loses(array: pa.Array, cast: pa.Array, how: Fitting) -> bool:
    """Whether a cast to floats changed a value: rounded it, made an integer another one, or overflowed to infinity."""
    if pa.types.is_integer(array.type):
        limit = {16: 2**11, 32: 2**24, 64: 2**53}[cast.type.bit_width]
        ends = pc.min_max(array)
        return bool(ends["min"].as_py() is not None and (ends["min"].as_py() < -limit or ends["max"].as_py() > limit))
    if array.type.bit_width <= cast.type.bit_width:
        return False
    back, given = cast.cast(array.type), array
    if how.rounding:
        return bool(pc.any(pc.and_(pc.is_finite(given), pc.invert(pc.is_finite(back)))).as_py())
    same = pc.or_(pc.equal(back, given), pc.and_(pc.is_nan(back), pc.is_nan(given)))
    return not pc.all(same).as_py()


def _first_failing(array: pa.Array, target: pa.DataType, how: Fitting) -> int | None:
    """The first value that does not survive the cast, found by halving: a batch of n takes 2n of work."""
    start, stop = 0, len(array)
    if not _fails(array, target, how):
        return None
    while stop - start > 1:
        middle = (start + stop) // 2
        if _fails(array.slice(start, middle - start), target, how):
            stop = middle
        else:
            start = middle
    return start


def _fails(array: pa.Array, target: pa.DataType, how: Fitting) -> bool:
    try:
        cast = array.cast(target)
    except pa.ArrowException:
        return True
    return pa.types.is_floating(target) and _loses(array, cast, how)


def fit_uuid(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if array.type != pa.binary(16):
        fail_types(type_, array, where)
    return array


_INTERVAL: Final = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])


def fit_interval(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if array.type == type_.storage():
        return array
    if array.type != pa.month_day_nano_interval():
        fail_types(type_, array, where)
    values = np.frombuffer(array.buffers()[1], _INTERVAL)[array.offset : array.offset + len(array)]
    parts = [pa.array(np.ascontiguousarray(values[name])) for name in ("months", "days", "nanos")]
    return struct_array(type_.storage(), parts, len(array), null_mask(array))


def fit_json(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if not pa.types.is_string(array.type):
        fail_types(type_, array, where)
    if not how.stored:
        for text in array.unique().to_pylist():
            try:
                if text is not None:
                    json.loads(text, parse_constant=_refuse)
            except (ValueError, RecursionError):
                index = pc.index(array, text).as_py()
                where.fail(
                    index,
                    expected="JSON text",
                    got=repr(text)[:200],
                    todo="encode the values with json.dumps, or declare a string",
                )
    return array


def _refuse(token: str) -> None:
    raise ValueError(token)


def fit_class(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if not pa.types.is_integer(array.type):
        fail_types(type_, array, where)
    ids = fit_scalar(ScalarType(type_.storage()), array, where, how)
    if type_.strict and not how.stored:
        known = type_.source if type_.source is not None else how.known_ids(type_.classes) if how.known_ids else None
        if known is not None:
            used = ids.unique().drop_null().to_pylist()
            if unknown := set(used) - set(known):
                index = pc.index(ids, pa.scalar(min(unknown), ids.type)).as_py()
                where.fail(
                    index,
                    expected="an id of the class set",
                    got=min(unknown),
                    todo="add it to the set, or declare strict=False",
                )
    return ids


def fit_null(type_: Any, array: pa.Array, where: Where, how: Fitting) -> pa.Array:
    if array.type == type_.storage():
        return array
    return fail_types(type_, array, where)


def fail_types(type_: ColumnType, array: pa.Array, where: Where) -> Any:
    index = pc.index(array.is_valid(), True).as_py()
    return where.fail(
        None if index < 0 else index, expected=type_, got=array.type, todo="convert the column, or declare its type"
    )

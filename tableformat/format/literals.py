"""Literals of expressions fitted to the type of a column, exactly: which comparison with a value of that type says the same.

`age > 2.5` on integers becomes `age >= 3`, `byte > 300` is false, and a time in nanoseconds beside a column of milliseconds
is compared on the column's own grid. So a filter needs no cast that could round, and what it keeps and what statistics let
a reader skip are decided by the same number. Literals beside a column of floats are rounded to the column's precision.
"""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import SchemaError, message
from tableformat.format.expr import Operator, is_nan_literal
from tableformat.format.types import ClassType, ColumnType, JsonType, MediaType, ScalarType, UuidType

__all__ = ["Fitted", "Order", "fit", "order_of", "scalar_of"]

Order = int | float | str | bytes
"""A value in the order of its column: whole units for numbers that have a grid, else the value itself."""

Fitted = bool | tuple[Operator, Order]
"""A comparison that says the same, or the one answer that it has for every value that is not null."""

_UNITS_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH: Final = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - naive, as the column is; aware literals use the next
_EPOCH_UTC: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_FLOATS: Final[dict[int, Any]] = {16: np.float16, 32: np.float32, 64: np.float64}


@dataclass(frozen=True, slots=True)
class _Grid:
    """Values of a type as whole numbers, and the least and the greatest of them."""

    least: int
    most: int


def fit(op: Operator, literal: Any, type_: ColumnType, column: str) -> Fitted:
    """The comparison of a column of `type_` with `literal`. Raises `SchemaError`, naming both types, where there is none."""
    storage = type_.storage()
    if isinstance(type_, (MediaType, JsonType)) or (pa.types.is_nested(storage)):
        raise _refusal(literal, type_, column)
    if is_nan_literal(literal) and not isinstance(literal, (np.datetime64, np.timedelta64)):
        return op == "!="
    grid = _grid(storage)
    if grid is not None:
        units = _units(literal, type_, storage, column)
        return op == "!=" if units is None else _fit_grid(op, units, grid)
    if pa.types.is_floating(storage):
        return _fit_float(op, literal, storage, type_, column)
    if pa.types.is_string(storage) and isinstance(literal, str):
        return op, literal
    if pa.types.is_binary(storage) and isinstance(literal, bytes):
        return op, literal
    if pa.types.is_fixed_size_binary(storage):
        data = _uuid_bytes(literal) if isinstance(type_, UuidType) else literal
        if isinstance(data, bytes):
            if len(data) == storage.byte_width:
                return op, data
            if op in ("==", "!="):
                return op == "!="
    raise _refusal(literal, type_, column)


def scalar_of(value: Order, storage: pa.DataType) -> pa.Scalar:
    """The scalar of the storage type that stands at `value` in the column's order."""
    types = pa.types
    if types.is_decimal(storage):
        return pa.scalar(decimal.Decimal(int(value)).scaleb(-storage.scale, decimal.Context(prec=80)), storage)
    if types.is_boolean(storage):
        return pa.scalar(bool(value), storage)
    if types.is_temporal(storage):
        return pa.scalar(int(value), pa.int32() if storage.bit_width == 32 else pa.int64()).cast(storage)
    if types.is_float16(storage):
        return pa.scalar(value, pa.float32())  # no kernel compares halves: they are widened
    return pa.scalar(value, storage)


def order_of(value: Any, storage: pa.DataType) -> Order | None:
    """A bound from a Parquet footer, as pyarrow gives its raw value, in the column's order; None where it is not usable."""
    types = pa.types
    if types.is_decimal(storage):
        return (
            int(value.scaleb(storage.scale, decimal.Context(prec=80))) if isinstance(value, decimal.Decimal) else None
        )
    if types.is_boolean(storage) or types.is_integer(storage) or types.is_temporal(storage):
        return int(value) if isinstance(value, int) else None
    if types.is_floating(storage):
        return float(value) if isinstance(value, float) and not math.isnan(value) else None
    if types.is_string(storage):
        return value if isinstance(value, str) else None
    return value if isinstance(value, bytes) else None


def _grid(storage: pa.DataType) -> _Grid | None:
    types = pa.types
    if types.is_boolean(storage):
        return _Grid(0, 1)
    if types.is_decimal(storage):
        return _Grid(-(10**storage.precision) + 1, 10**storage.precision - 1)
    if types.is_unsigned_integer(storage):
        return _Grid(0, 2**storage.bit_width - 1)
    if types.is_integer(storage) or types.is_temporal(storage):
        return _Grid(-(2 ** (storage.bit_width - 1)), 2 ** (storage.bit_width - 1) - 1)
    return None


def _fit_grid(op: Operator, units: Fraction | float, grid: _Grid) -> Fitted:
    if isinstance(units, float):  # an infinity: past every value on the grid
        above = units > 0
        return {"==": False, "!=": True, "<": above, "<=": above, ">": not above, ">=": not above}[op]
    if op in ("==", "!="):
        if units.denominator == 1 and grid.least <= units <= grid.most:
            return op, int(units)
        return op == "!="
    if op in ("<", "<="):
        most = math.ceil(units) - 1 if op == "<" else math.floor(units)
        return most >= grid.least if not grid.least <= most < grid.most else ("<=", most)
    least = math.floor(units) + 1 if op == ">" else math.ceil(units)
    return least <= grid.most if not grid.least < least <= grid.most else (">=", least)


def _fit_float(op: Operator, literal: Any, storage: pa.DataType, type_: ColumnType, column: str) -> Fitted:
    if isinstance(literal, bool) or not isinstance(literal, (int, float, decimal.Decimal)):
        raise _refusal(literal, type_, column)
    value = _as_float(literal)
    with np.errstate(over="ignore"):
        rounded = float(_FLOATS[storage.bit_width](value))
    if math.isinf(rounded) and not (isinstance(literal, (float, decimal.Decimal)) and math.isinf(literal)):
        # A finite literal past the greatest value of the type: the infinity itself lies beyond it.
        if op in ("==", "!="):
            return op == "!="
        op = ("<" if rounded > 0 else "<=") if op in ("<", "<=") else (">=" if rounded > 0 else ">")
    return op, rounded


def _as_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _units(literal: Any, type_: ColumnType, storage: pa.DataType, column: str) -> Fraction | float | None:
    """The literal in whole units of the column, exactly; an infinity as a float; None for a time that is none (NaT)."""
    types = pa.types
    logical = type_.data_type if isinstance(type_, ScalarType) else storage
    if types.is_boolean(logical):
        if isinstance(literal, bool):
            return Fraction(literal)
    elif types.is_integer(logical) or isinstance(type_, ClassType) or types.is_decimal(logical):
        if isinstance(literal, float) and math.isinf(literal):
            return literal
        if isinstance(literal, (int, float, decimal.Decimal)) and not isinstance(literal, bool):
            number = Fraction(literal)
            return number * 10**storage.scale if types.is_decimal(storage) else number
    elif types.is_temporal(logical):
        return _time_units(literal, logical, type_, column)
    raise _refusal(literal, type_, column)


def _time_units(literal: Any, logical: pa.DataType, type_: ColumnType, column: str) -> Fraction | None:
    types = pa.types
    if types.is_date(logical):
        if isinstance(literal, datetime.date) and not isinstance(literal, datetime.datetime):
            return Fraction((literal - _EPOCH.date()).days)
        if isinstance(literal, np.datetime64) and np.datetime_data(literal)[0] == "D":
            return None if np.isnat(literal) else Fraction(int(literal.astype(np.int64)) * np.datetime_data(literal)[1])
        raise _refusal(literal, type_, column)
    scale = _UNITS_PER_SECOND[logical.unit]
    if types.is_timestamp(logical):
        if isinstance(literal, datetime.datetime) and (literal.tzinfo is not None) == (logical.tz is not None):
            return _seconds(literal - (_EPOCH if literal.tzinfo is None else _EPOCH_UTC)) * scale
        if isinstance(literal, np.datetime64) and logical.tz is None:
            return _numpy_units(literal, "datetime64", scale)
    elif types.is_duration(logical):
        if isinstance(literal, datetime.timedelta):
            return _seconds(literal) * scale
        if isinstance(literal, np.timedelta64):
            return _numpy_units(literal, "timedelta64", scale)
    elif isinstance(literal, datetime.time) and literal.tzinfo is None:
        seconds = (literal.hour * 60 + literal.minute) * 60 + literal.second
        return (seconds + Fraction(literal.microsecond, 10**6)) * scale
    raise _refusal(literal, type_, column)


def _seconds(span: datetime.timedelta) -> Fraction:
    return Fraction(span.days * 86_400 + span.seconds) + Fraction(span.microseconds, 10**6)


_NUMPY_SECONDS: Final = {
    "W": Fraction(604_800), "D": Fraction(86_400), "h": Fraction(3600), "m": Fraction(60), "s": Fraction(1),
    "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9), "ps": Fraction(1, 10**12),
    "fs": Fraction(1, 10**15), "as": Fraction(1, 10**18),
}  # fmt: skip


def _numpy_units(literal: Any, name: str, scale: int) -> Fraction | None:
    if np.isnat(literal):
        return None
    unit, step = np.datetime_data(literal)
    if unit in ("Y", "M"):  # months have no fixed length; as a date they begin on a day
        literal, unit, step = literal.astype(f"{name}[D]"), "D", 1
    return int(literal.astype(np.int64)) * step * _NUMPY_SECONDS[unit] * scale


def _uuid_bytes(literal: Any) -> Any:
    if isinstance(literal, uuid.UUID):
        return literal.bytes
    try:
        return uuid.UUID(literal).bytes if isinstance(literal, str) else literal
    except ValueError:
        return None


def _refusal(literal: Any, type_: ColumnType, column: str) -> SchemaError:
    todo = None
    if isinstance(type_, MediaType):
        todo = f"compare a field, such as col('{column}.format'), or use .is_null()"
    elif isinstance(literal, datetime.datetime) and pa.types.is_timestamp(type_.storage()):
        todo = "give the time a zone" if literal.tzinfo is None else "give a time without a zone"
    shown = f"{type(literal).__name__} {repr(literal)[:60]}"
    return SchemaError(
        message(f"comparing column {column!r}", expected=f"a value that compares with {type_}", got=shown, todo=todo)
    )

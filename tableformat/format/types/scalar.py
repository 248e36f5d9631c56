"""Scalar types: numbers, text, bytes, times, decimals, UUIDs, intervals and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from tableformat.document import Json
from tableformat.errors import SchemaError, message
from tableformat.format.types.base import ColumnType

__all__ = ["INTERVAL_STORAGE", "SIMPLE", "IntervalType", "JsonType", "ScalarType", "UuidType", "check_zone"]

SIMPLE: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
}
"""The scalar types that have no parameter, by their name in a manifest."""
_NAMES: Final = {data_type: name for name, data_type in SIMPLE.items()}

INTERVAL_STORAGE: Final[pa.StructType] = pa.struct(
    [
        pa.field("months", pa.int32(), nullable=False),
        pa.field("days", pa.int32(), nullable=False),
        pa.field("nanos", pa.int64(), nullable=False),
    ]
)
"""What a calendar interval is in Parquet, whose own INTERVAL has milliseconds only and no statistics."""

_UNITS: Final = {
    "timestamp": ("ms", "us", "ns"),
    "time": ("ms", "us", "ns"),
    "duration": ("s", "ms", "us", "ns"),
}


@dataclass(frozen=True, slots=True)
class ScalarType(ColumnType):
    """A type that Arrow and Parquet both have. `data_type` is normalised: see `from_arrow`."""

    data_type: pa.DataType

    def __post_init__(self) -> None:
        if self.data_type not in _NAMES and _parametric(self.data_type) is None:
            raise SchemaError(
                message(
                    "declaring a type",
                    expected="a scalar type of the format",
                    got=self.data_type,
                    todo="use from_arrow",
                )
            )

    def storage(self) -> pa.DataType:
        # Parquet has no duration: an integer that every engine reads, and its unit in our schema.
        return pa.int64() if pa.types.is_duration(self.data_type) else self.data_type

    def arrow(self) -> pa.DataType:
        return self.data_type

    def to_json(self) -> Json:
        return _NAMES.get(self.data_type) or _parametric(self.data_type)


@dataclass(frozen=True, slots=True)
class UuidType(ColumnType):
    """A UUID: 16 bytes in Parquet, `arrow.uuid` in Arrow, `uuid.UUID` in Python."""

    def storage(self) -> pa.DataType:
        return pa.binary(16)

    def arrow(self) -> pa.DataType:
        return pa.uuid()

    def to_json(self) -> Json:
        return "uuid"


@dataclass(frozen=True, slots=True)
class IntervalType(ColumnType):
    """A calendar interval of months, days and nanoseconds: a struct of three integers in Parquet."""

    def storage(self) -> pa.DataType:
        return INTERVAL_STORAGE

    def to_json(self) -> Json:
        return "interval"


@dataclass(frozen=True, slots=True)
class JsonType(ColumnType):
    """Any JSON value, kept as its text: the one type for mixed columns. Null is null, and the JSON text `null` is not."""

    def storage(self) -> pa.DataType:
        return pa.string()

    def arrow(self) -> pa.DataType:
        return pa.json_()

    @property
    def is_plain(self) -> bool:
        return False

    def to_json(self) -> Json:
        return "json"


def _parametric(data_type: pa.DataType) -> Json:
    """The JSON form of a scalar type that has parameters; None where the format has no such type."""
    types = pa.types
    if types.is_fixed_size_binary(data_type):
        return {"fixed_binary": data_type.byte_width}
    if types.is_decimal128(data_type) or (types.is_decimal256(data_type) and data_type.precision > 38):
        return {"decimal": {"precision": data_type.precision, "scale": data_type.scale}}
    for name, is_it in _UNIT_TESTS:
        if is_it(data_type) and data_type.unit in _UNITS[name]:
            zone = getattr(data_type, "tz", None)
            return {name: data_type.unit if zone is None else {"unit": data_type.unit, "zone": zone}}
    return None


_UNIT_TESTS: Final[tuple[tuple[str, Callable[[pa.DataType], bool]], ...]] = (
    ("timestamp", pa.types.is_timestamp),
    ("time", pa.types.is_time),
    ("duration", pa.types.is_duration),
)


def check_zone(zone: Any) -> str:
    """`zone` itself, where it has the form of an IANA zone or of an offset such as `+02:00`."""
    if (
        isinstance(zone, str)
        and zone
        and len(zone) <= 64
        and zone.isascii()
        and all(c.isalnum() or c in "+-_/:" for c in zone)
    ):
        return zone
    raise SchemaError(message("declaring a timestamp", expected="an IANA time zone or an offset", got=repr(zone)[:80]))

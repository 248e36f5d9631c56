"""Statistics of a column in one part, as they stand in the manifest: what lets a filter skip the part unread.

Only of top-level columns of numbers, dates and times, and of strings where they are the key: other texts are data, may be
personal, and stay in the part. They are bounds: `min` and `max` may be wider than the rows, never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tableformat.document import JsonObject
from tableformat.format.schema import Schema

__all__ = ["ColumnStats", "stats_columns", "stats_value"]


def stats_columns(schema: Schema, key: Sequence[str] = ()) -> list[int]:
    """Positions of the columns of which statistics are kept."""
    return [
        index
        for index, field in enumerate(schema.arrow_schema())
        if _has_stats(field.type) or (field.name in key and pa.types.is_string(field.type))
    ]


def _has_stats(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(type_) or types.is_float32(type_) or types.is_float64(type_) or types.is_boolean(type_)
        or types.is_date(type_) or types.is_timestamp(type_) or types.is_time(type_) or types.is_duration(type_)
    )  # fmt: skip


class ColumnStats:
    """Bounds and null count of one column, fed in slices."""

    __slots__ = ("_max", "_min", "_type", "nulls")

    def __init__(self, type_: pa.DataType) -> None:
        self._type = type_
        self._min: Any = None
        self._max: Any = None
        self.nulls = 0

    def update(self, array: pa.Array) -> None:
        """Feed the next rows of the column."""
        self.nulls += array.null_count
        if not _is_plain(array.type):
            width = array.type.bit_width
            array = array.view(pa.int32() if width == 32 else pa.int64())
        bounds = pc.min_max(array)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if low is None or (isinstance(low, float) and math.isnan(low)):  # nothing but nulls and NaN
            return
        self._min = low if self._min is None else min(self._min, low)
        self._max = high if self._max is None else max(self._max, high)

    def to_json(self) -> JsonObject:
        """`min` and `max` as texts (null where there is no value but NaN) and `nulls`."""
        return {"max": _text(self._max), "min": _text(self._min), "nulls": self.nulls}


def _is_plain(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_string(type_)
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else str(int(value))


def stats_value(text: str, type_: pa.DataType) -> pa.Scalar:
    """The bound in `text` as a scalar of the column's storage type: times are whole numbers of the column's unit."""
    if pa.types.is_string(type_):
        return pa.scalar(text, type_)
    if pa.types.is_floating(type_):
        return pa.scalar(float(text), type_)
    if _is_plain(type_):
        return pa.scalar(bool(int(text)) if pa.types.is_boolean(type_) else int(text), type_)
    return pa.scalar(int(text), pa.int32() if type_.bit_width == 32 else pa.int64()).cast(type_)

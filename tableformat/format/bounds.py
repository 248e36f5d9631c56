"""What is known of the values of a column in some rows without reading them: from a manifest, or from a Parquet footer.

Everything is a bound and may be wider than the rows. What is not known is None, and a reader then assumes the worst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.document import JsonObject
from tableformat.format.literals import Order, order_of

__all__ = ["UNKNOWN", "Bounds", "bounds_of_group", "bounds_of_part"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one column over some rows. NaN is outside of them and may always occur among floats."""

    least: Order | None = None
    """No value is below it."""
    most: Order | None = None
    """No value is above it."""
    nulls: int | None = None
    """How many are null, or more than are: a row that was deleted still counts."""
    rows: int | None = None
    """How many rows there are at most."""

    @property
    def may_have_null(self) -> bool:
        """Whether a value may be null."""
        return self.nulls is None or self.nulls > 0

    @property
    def may_have_value(self) -> bool:
        """Whether a value may be other than null."""
        return self.nulls is None or self.rows is None or self.nulls < self.rows


UNKNOWN: Final = Bounds()


def bounds_of_part(stats: Mapping[str, JsonObject], column_id: int | None, storage: pa.DataType, rows: int) -> Bounds:
    """The bounds that a manifest keeps of a top-level column in one part; `UNKNOWN` where it keeps none that make sense."""
    stat = stats.get(str(column_id))
    if not isinstance(stat, Mapping):
        return UNKNOWN
    nulls = stat.get("nulls")
    nulls = nulls if isinstance(nulls, int) and not isinstance(nulls, bool) and nulls >= 0 else None
    least, most = (_from_text(stat.get(name), storage) for name in ("min", "max"))
    if least is not None and most is not None and least > most:  # type: ignore[operator]  # both of one type
        return UNKNOWN
    return Bounds(least, most, nulls, rows)


def _from_text(text: Any, storage: pa.DataType) -> Order | None:
    if not isinstance(text, str):
        return None
    if pa.types.is_string(storage):
        return text
    try:
        value: Any = float(text) if pa.types.is_floating(storage) else int(text)
    except ValueError:
        return None
    return order_of(value, storage)


def bounds_of_group(group: pq.RowGroupMetaData, leaf: int | None, storage: pa.DataType) -> Bounds:
    """The bounds that a Parquet footer keeps of the leaf column number `leaf` in one row group."""
    if leaf is None:
        return UNKNOWN
    chunk = group.column(leaf)
    stats = chunk.statistics
    if stats is None:
        return UNKNOWN
    nulls = stats.null_count if stats.has_null_count else None
    if not stats.has_min_max or not _same_unit(stats, storage):
        return Bounds(None, None, nulls, group.num_rows)
    try:
        if pa.types.is_decimal(storage) or pa.types.is_string(storage):
            low, high = stats.min, stats.max
        else:
            low, high = stats.min_raw, stats.max_raw
    except (pa.ArrowException, ValueError, OverflowError):  # text that is no UTF-8, and their like
        return Bounds(None, None, nulls, group.num_rows)
    if pa.types.is_unsigned_integer(storage):
        # The raw value is the signed integer that Parquet stores in its place.
        low, high = (value % 2**storage.bit_width if isinstance(value, int) else None for value in (low, high))
    least, most = order_of(low, storage), order_of(high, storage)
    if least is None or most is None or least > most:  # type: ignore[operator]  # both of one type
        return Bounds(None, None, nulls, group.num_rows)
    return Bounds(least, most, nulls, group.num_rows)


def _same_unit(stats: Any, storage: pa.DataType) -> bool:
    """Whether whole numbers in the file count what they count in the Arrow type."""
    if not (pa.types.is_timestamp(storage) or pa.types.is_time(storage)):
        return True
    unit = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}.get(storage.unit)
    return unit is not None and f"timeUnit={unit}" in str(stats.logical_type)

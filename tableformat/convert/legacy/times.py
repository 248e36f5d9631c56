"""Times as they were written over the years: milliseconds since 1970, nanoseconds, floats, ISO texts; all become UTC.

Milliseconds are the rule. A number that is no year from 1 to 9999 in milliseconds is in the next smaller unit: microseconds,
nanoseconds, and so on; this recovers the nanoseconds that some releases wrote under the same type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["are_milliseconds", "nanoseconds", "time_array"]

_LOW: Final = -62_135_596_800_000
_HIGH: Final = 253_402_300_799_999
_MAX: Final = 10**30  # attoseconds
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS: Final = pa.timestamp("us", "UTC")
_NANOS: Final = pa.timestamp("ns", "UTC")


def time_array(values: Sequence[Any], *, nanos: bool = False) -> pa.Array:
    """The times of cells: integers, floats, ISO texts and None. In microseconds, to which finer values are rounded, or with
    `nanos` in nanoseconds. Raises `ValueError` for what is no time, or lies outside of what the unit holds."""
    quick = None if nanos else _quick(values)
    if quick is not None:
        return quick
    parsed = [None if value is None else nanoseconds(value) for value in values]
    if not nanos:
        return pa.array([None if value is None else _rounded(value, 1000) for value in parsed], pa.int64()).cast(
            _MICROS
        )
    try:
        return pa.array([None if value is None else _rounded(value, 1) for value in parsed], pa.int64()).cast(_NANOS)
    except OverflowError as error:
        raise ValueError("a time outside of the years 1677 to 2262") from error


def are_milliseconds(values: Sequence[Any]) -> bool:
    """Whether all of `values` are None or integers that are milliseconds of the years 1 to 9999: the common case."""
    numbers = [value for value in values if value is not None]
    return set(map(type, numbers)) <= {int} and (not numbers or (min(numbers) >= _LOW and max(numbers) <= _HIGH))


def _quick(values: Sequence[Any]) -> pa.Array | None:
    """Whole milliseconds, all of them in range, at once."""
    if not are_milliseconds(values):
        return None
    return pc.multiply(pa.array(values, pa.int64()), 1000).cast(_MICROS)


def nanoseconds(value: Any) -> Fraction | int:
    """The nanoseconds since 1970 of one cell. Raises `ValueError` for what is no time."""
    if isinstance(value, str):
        return _of_text(value)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        raise ValueError(f"{value!r:.80} is no time")
    if abs(value) > _MAX:
        raise ValueError("a number too large for a time in any unit")
    number = Fraction(value)  # of milliseconds, at last
    while not _LOW <= number <= _HIGH:
        number /= 1000
    exact = number * 1_000_000
    return int(exact) if exact.denominator == 1 else exact


def _of_text(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.80} is no time") from error
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (found - _EPOCH) // timedelta(microseconds=1) * 1000


def _rounded(value: Fraction | int, unit: int) -> int:
    return round(Fraction(value, unit)) if isinstance(value, int) else round(value / unit)

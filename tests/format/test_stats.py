"""Statistics are bounds: never narrower than the values, and texts that say each value exactly."""

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.schema import Schema
from tableformat.format.stats import ColumnStats, stats_columns, stats_value

DAY = datetime.date(2026, 1, 2)
MOMENT = datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001 - naive is meant


def stats_of(*arrays):
    stats = ColumnStats(arrays[0].type)
    for array in arrays:
        stats.update(array)
    return stats.to_json()


@pytest.mark.parametrize(
    ("array", "low", "high"),
    [
        (pa.array([3, None, -2]), "-2", "3"),
        (pa.array([2**64 - 1, 0], pa.uint64()), "0", str(2**64 - 1)),
        (pa.array([-(2**63)], pa.int64()), str(-(2**63)), str(-(2**63))),
        (pa.array([1.5, math.nan, -0.0]), "-0.0", "1.5"),
        (pa.array([math.inf, -math.inf]), "-inf", "inf"),
        (pa.array([True, False]), "0", "1"),
        (pa.array([DAY]), str((DAY - datetime.date(1970, 1, 1)).days), str((DAY - datetime.date(1970, 1, 1)).days)),
        (pa.array([MOMENT], pa.timestamp("us")), "-1", "-1"),
        (pa.array([MOMENT], pa.timestamp("ns", "UTC")), "-1000", "-1000"),
        (pa.array([datetime.time(0, 0, 1)], pa.time32("ms")), "1000", "1000"),
        (pa.array(["b", "é", "a"]), "a", "é"),
        (pa.array([None], pa.int8()), None, None),
        (pa.array([math.nan]), None, None),
        (pa.array([], pa.int8()), None, None),
    ],
    ids=str,
)
def test_bounds(array, low, high):
    """The least and greatest value as text, in the column's own unit; null where there is nothing but NaN and null."""
    assert stats_of(array) == {"min": low, "max": high, "nulls": array.null_count}
    for text in (low, high):
        if text is not None:
            assert stats_value(text, array.type).type == array.type


@given(st.lists(st.lists(st.none() | st.floats(width=32), max_size=4), min_size=1, max_size=4))
def test_bounds_of_floats_hold(chunks):
    """However the rows are fed, every float that is not NaN lies between the bounds, which are floats of the column."""
    arrays = [pa.array(chunk, pa.float32()) for chunk in chunks]
    said = stats_of(*arrays)
    values = [value for chunk in chunks for value in chunk if value is not None and not math.isnan(value)]
    assert said["nulls"] == sum(value is None for chunk in chunks for value in chunk)
    if values:
        assert stats_value(said["min"], pa.float32()).as_py() == min(values)
        assert stats_value(said["max"], pa.float32()).as_py() == max(values)
    else:
        assert (said["min"], said["max"]) == (None, None)


def test_columns_with_statistics():
    """Numbers and times at the top have statistics; of texts only the key has; nested and fat columns have none."""
    schema = Schema.from_user(
        pa.schema({"i": pa.int8(), "s": pa.string(), "b": pa.binary(), "l": pa.list_(pa.int8()), "h": pa.float16(), "t": pa.timestamp("s")})
    )  # fmt: skip
    names = schema.names
    assert [names[index] for index in stats_columns(schema)] == ["i", "t"]
    assert [names[index] for index in stats_columns(schema, ["s"])] == ["i", "s", "t"]


def test_a_nan_among_numbers_hides_nothing():
    """A NaN in one slice leaves the bounds of the others."""
    assert stats_of(pa.array([math.nan]), pa.array([np.float64(1)]))["min"] == "1.0"

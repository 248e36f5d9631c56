"""Tests of reading values: what comes back beside what `test_build` sends round."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pyarrow as pa
import pytest

from tableformat.format.schema import Schema
from tableformat.format.types import Field, JsonType, TensorType, Where, type_from_arrow
from tableformat.table.build import build, build_columns
from tableformat.table.values import column_values, to_python
from tests.table.inline_placer import InlinePlacer, read_media


def test_times_in_nanoseconds_are_numpys() -> None:
    """Python's times end at microseconds; those that have more come back as numpy's."""
    array = pa.array([1, None], pa.int64()).cast(pa.timestamp("ns"))
    assert to_python(type_from_arrow(array.type), array, read_media) == [np.datetime64(1, "ns"), None]
    spans = pa.array([1, None], pa.int64())
    assert to_python(type_from_arrow(pa.duration("ns")), spans, read_media) == [np.timedelta64(1, "ns"), None]


def test_years_that_python_lacks_are_numpys() -> None:
    """A time beyond year 9999 is read, not an error."""
    array = pa.array([np.datetime64("12000-01-01", "ms")])
    assert to_python(type_from_arrow(array.type), array, read_media) == [np.datetime64("12000-01-01", "ms")]


def test_zone_of_a_time_stays() -> None:
    """An aware time comes back aware, at the same instant."""
    schema = Schema.from_user({"t": pa.timestamp("us", "Europe/Berlin")})
    noon = datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.UTC)
    (value,) = column_values(schema, build_columns(schema, {"t": [noon]}, InlinePlacer()), read_media)["t"]
    assert value == noon
    assert value.utcoffset() == datetime.timedelta(hours=2)


def test_tensors_share_memory_and_cannot_be_changed() -> None:
    """A tensor is a view of its column: writing to it raises."""
    field = Field("c", TensorType("float32", (2,)))
    array = build(field, [np.ones(2, np.float32)], InlinePlacer(), Where("c"))
    (value,) = to_python(field.type, array, read_media)
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 2


def test_json_keeps_lone_surrogates_and_key_order() -> None:
    """Any JSON comes back equal, also text that no UTF-8 can hold."""
    field = Field("c", JsonType())
    values = [{"b": 1, "a": "\ud800"}, None, [1, "ä"]]
    array = build(field, values, InlinePlacer(), Where("c"))
    assert to_python(field.type, array, read_media) == values
    assert list(to_python(field.type, array, read_media)[0]) == ["b", "a"]


def test_chunked_arrays_are_one_column() -> None:
    """The values of all chunks follow each other."""
    array = pa.chunked_array([[1, 2], [3]])
    assert to_python(type_from_arrow(pa.int64()), array, read_media) == [1, 2, 3]


def test_a_thousand_small_rows_cost_milliseconds() -> None:
    """1,000 rows of three columns take a few milliseconds (3 on a quiet machine)."""
    schema = Schema.from_user({"a": int, "b": str, "c": list[float]})
    rows = {"a": list(range(1000)), "b": [str(i) for i in range(1000)], "c": [[0.5, 1.5]] * 1000}
    arrays = build_columns(schema, rows, InlinePlacer())
    best = min(_seconds(schema, arrays) for _ in range(7))
    assert column_values(schema, arrays, read_media) == rows
    assert best < 0.02  # room for a loaded machine


def _seconds(schema: Schema, arrays: list[pa.Array]) -> float:
    start = time.perf_counter()
    column_values(schema, arrays, read_media)
    return time.perf_counter() - start

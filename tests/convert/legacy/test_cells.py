from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.convert.legacy.cells import MisfitError, Plan, plan_column
from tableformat.convert.legacy.json_text import json_text, levels_of
from tableformat.convert.legacy.profile import Profile
from tableformat.convert.legacy.types import Declared, declared_columns, read_declared

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def plan_of(cells: list[Any], declared: Any = None) -> Plan:
    profile = Profile(Declared() if declared is None else read_declared(declared))
    profile.observe(cells)
    return plan_column(profile)


def time_type(name: str = "timestamp", class_name: str | None = None) -> dict[str, Any]:
    return {"wb_type": name, "params": {"class_name": class_name}} if class_name else {"wb_type": name}


@pytest.mark.parametrize(
    ("cells", "label"),
    [
        ([1, None], "int64"), ([2**63], "uint64"), ([-1, 2**63], "decimal128(38, 0)"), ([10**38], "json"), ([1, 2.5], "float64"),
        ([2**53 + 1, 2.5], "json"), ([float("nan"), None], "float64"), ([True], "bool"), ([True, 1], "json"), (["a"], "string"),
        (["\ud800"], "json"), ([[1], []], "list<int64>"), ([[1, "a"]], "json"), ([[[1.0]], None], "list<list<float64>>"),
        ([{"a": 1}, {"a": None}], "struct<a: int64>"), ([{"a": 1}, {}], "json"), ([{"a": 1}, {"b": 1}], "json"), ([{}], "json"),
        ([{"": 1}], "json"), ([{"a": 1, "A": 2}], "json"), ([None], "string"), ([], "string"), ([{str(i): 1 for i in range(300)}], "json"),
    ],
)  # fmt: skip
def test_types_hold_each_cell(cells: list[Any], label: str) -> None:
    """The type of a column is the narrowest that holds each of its cells. [LEGACY-11]"""
    assert plan_of(cells).label == label


@given(cells=st.lists(VALUES, max_size=6))
def test_no_cell_changes(cells: list[Any]) -> None:
    """Whatever cells hold comes back by value, and by type but for integers among floats. [LEGACY-11]"""
    plan = plan_of(cells)
    found = plan.python(cells)
    assert len(plan.array(cells)) == len(cells)
    for one, other in zip(cells, found, strict=True):
        wanted = json.loads(json_text(one)) if plan.is_json else one
        assert same(wanted, other), (one, other, plan.label)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, int) and isinstance(other, Decimal):
        return one == int(other)
    return repr(one) == repr(other) or (type(one) is int and type(other) is float and one == other)


def test_a_block_that_does_not_fit_is_refused() -> None:
    """A plan never bends a cell: what it was not made for ends the attempt."""
    for cells, more in (
        ([1], [1.0]),
        ([1], [True]),
        ([1.5], [True]),
        (["a"], [1]),
        ([1], [2**63]),
        ([[1]], [[1.0]]),
        ([{"a": 1}], [{"b": 1}]),
        (["a"], ["\ud800"]),
    ):
        with pytest.raises(MisfitError):
            plan_of(cells).array(more)


def test_times_of_all_eras() -> None:
    """Milliseconds, nanoseconds, fractions and ISO texts, in UTC; nanoseconds are kept where they fit. [LEGACY-12]"""
    plan = plan_of([1577836801000, None, -1], time_type())
    assert plan.python([1577836801000, None, -1]) == [
        datetime(2020, 1, 1, 0, 0, 1, tzinfo=UTC),
        None,
        datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    ]
    nanos = [1577934245123456789, 1577934245123]
    assert plan_of(nanos, time_type()).array(nanos).cast(pa.int64()).to_pylist() == [
        1577934245123456789,
        1577934245123000000,
    ]
    far = [1577934245123456789, 253402300799999]
    assert plan_of(far, time_type()).array(far).to_pylist()[0] == datetime(2020, 1, 2, 3, 4, 5, 123457, tzinfo=UTC)
    assert any("rounded" in note for note in plan_of(far, time_type()).notes)
    parts = [1577934245123.4568]
    assert plan_of(parts, time_type()).python(parts) == [datetime(2020, 1, 2, 3, 4, 5, 123457, tzinfo=UTC)]
    old = ["2020-01-02T03:04:05", "2020-01-02T03:04:05+01:00", 1577836800000]
    assert plan_of(old, time_type("pythonObject", "datetime")).python(old)[1] == datetime(
        2020, 1, 2, 2, 4, 5, tzinfo=UTC
    )


def test_times_that_are_none() -> None:
    """A declared time that the cells contradict is what the cells are."""
    for cells, label in ((["soon"], "string"), ([True], "bool"), ([1, "soon"], "json"), ([float("inf")], "float64")):
        assert plan_of(cells, time_type()).label == label


def test_times_inside_of_lists() -> None:
    """Declared times are times at any depth."""
    plan = plan_of([[1577836800000]], {"wb_type": "list", "params": {"element_type": {"wb_type": "timestamp"}}})
    assert plan.python([[1577836800000]]) == [[datetime(2020, 1, 1, tzinfo=UTC)]]


def test_bytes_that_were_written_as_text() -> None:
    """Bytes are the bytes of the UTF-8."""
    assert plan_of(["é"], time_type("pythonObject", "bytes")).python(["é"]) == ["é".encode()]


def test_columns_without_a_value_are_what_is_declared() -> None:
    """Null to the end is a column of the declared type, else text."""
    assert plan_of([None], {"wb_type": "number"}).label == "double"
    assert plan_of([None], {"wb_type": "image-file"}).media == "image"
    assert plan_of([None], {"wb_type": "any"}).label == "string"


def test_json_of_what_json_lacks() -> None:
    """NaN and infinities are objects, lone surrogates escapes, and nesting has a bound."""
    assert json_text([float("nan"), float("-inf")]) == '[{"$float":"NaN"},{"$float":"-Infinity"}]'
    assert json.loads(json_text("\ud800é")) == "\ud800é"
    deep: Any = 0
    for _ in range(101):
        deep = [deep]
    assert levels_of(deep) == 101
    told: list[int] = []
    plan = plan_of([deep, 1])
    assert plan.array([deep, 1], lambda index, why: told.append(index)).to_pylist() == [None, "1"]
    assert told == [0]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"wb_type": "union", "params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}}, "number"),
        ({"wb_type": "union", "params": {"allowed_types": [{"wb_type": "string"}, {"wb_type": "number"}]}}, "union"),
        ({"wb_type": "wandb.Image"}, "image-file"), ({"wb_type": "object", "params": {"class_name": "date"}}, "pythonObject"),
        ({"wb_type": 3}, "unknown"), ("x", "unknown"), (None, "unknown"), ({"wb_type": "new"}, "new"), ({"wb_type": "union"}, "none"),
    ],
)  # fmt: skip
def test_declared_types_of_all_eras(node: Any, name: str) -> None:
    """Old names are the new ones, an optional type is its type, and what is unknown declares nothing."""
    assert read_declared(node).name == name


def test_declared_columns() -> None:
    """Types are found by the name of the column as text, under either name of the root; nesting has a bound."""
    for root in ("typedDict", "dictionary"):
        assert declared_columns({"wb_type": root, "params": {"type_map": {"0": {"wb_type": "timestamp"}}}})["0"].is_time
    deep: Any = {"wb_type": "number"}
    for _ in range(500):
        deep = {"wb_type": "list", "params": {"element_type": deep}}
    assert declared_columns({"wb_type": "typedDict", "params": {"type_map": {"x": deep}}})["x"].name == "list"
    assert declared_columns(None) == {}


def test_numpy_is_not_needed_for_plain_columns() -> None:
    """Python values of nanosecond times are NumPy's, since Python's have microseconds."""
    [value] = plan_of([1577934245123456789], time_type()).python([1577934245123456789])
    assert value == np.datetime64(1577934245123456789, "ns")

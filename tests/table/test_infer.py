"""Tests of inference: the array beside the type, widening from batch to batch, and what batches cannot change."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import LimitError, SchemaError
from tableformat.format.schema import Schema
from tableformat.format.types import Where
from tableformat.table.build import build_columns
from tableformat.table.infer import infer
from tableformat.table.inference import TableInference
from tableformat.table.values import column_values
from tests.table.inline_placer import InlinePlacer, read_media

VALUES = st.recursive(
    st.none()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.text(max_size=2)
    | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=4))
def test_any_values_are_stored_or_refused_with_their_row(values: list[Any]) -> None:
    """Whatever Python values come, there is a valid array that holds them, or a SchemaError that says where."""
    try:
        found = infer(values, Where("c", 5))
    except SchemaError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "column 'c" in refusal
        return
    assert found.array is not None
    found.array.validate(full=True)
    assert found.array.type == found.type.storage()
    assert len(found.array) == len(values)
    assert [value is None for value in values] == found.array.is_null().to_pylist()


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, 0.5, True, 1, None]), max_size=3), max_size=4))
def test_a_bool_never_hides_among_floats(values: list[list[Any]]) -> None:
    """The quick way for lists of floats finds every bool that the slow way finds."""
    flat = [item for value in values for item in value]
    mixed = any(type(item) is bool for item in flat) and any(type(item) in (int, float) for item in flat)
    try:
        infer(values, Where("c"))
        assert not mixed
    except SchemaError:
        assert mixed


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([pd.NA, 1, None], "int64"),
        ([pd.NaT, datetime.date(2020, 1, 1)], "date"),
        ([pd.Timestamp("2020-01-01T00:00:00.000000001")], "timestamp[ns]"),
        ([pd.Timestamp("2020-01-01", tz="Europe/Berlin")], "timestamp[ns, UTC]"),
        ([pd.Timedelta(1, "ns")], "duration[ns]"),
        ([np.datetime64("2020-01-01"), np.datetime64("NaT")], "date"),
        ([np.datetime64("2020-01-01T00", "h")], "timestamp[ms]"),
        ([np.timedelta64(3, "D")], "duration[s]"),
        ([np.int8(1), np.uint8(2)], "int16"),
        ([np.float16(1), np.float32(2)], "float32"),
        ([np.float32(1), 2], "float64"),
        ([np.array(1, np.int16)], "int16"),
        ([np.zeros((2, 3)), None], "tensor<float64, [2, 3]>"),
        ([np.zeros((2, 3), np.int8), np.zeros(4, np.float32)], "tensor<float32, any shape>"),
        ([pa.scalar(1), pa.scalar(None)], "int64"),
        ([decimal.Decimal("1.50"), decimal.Decimal(100)], "decimal[5, 2]"),
    ],
)
def test_values_of_other_libraries(values: list[Any], expected: str) -> None:
    """numpy's scalars and arrays, pandas' missing values and times, and Arrow's scalars have types of their own."""
    found = infer(values, Where("c"))
    assert str(found.type) == expected
    assert found.array is not None
    assert found.array.type == found.type.storage()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, "x"], "row 1 · expected int, got str"),
        ([1, None, True], "row 2 · expected int, got bool"),
        ([None, 1 + 2j], "row 1"),
        ([{1, 2}], "sorted"),
        (
            [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],  # noqa: DTZ001
            "row 1 · expected naive times",
        ),
        ([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1)], "row 1 · expected date, got datetime"),  # noqa: DTZ001
        ([1.5, 2**53 + 1], "row 1 · expected float64"),
        ([2**63], "row 0 · expected int64"),
        ([np.uint64(1), -1], "integers of one sign"),
        ([{"a": 1}, {2: 1}], "row 1 · expected dicts with text as keys"),
        ([{"a": 1, "A": 1}], "differ in more than case"),
        ([{str(n): n for n in range(257)}], "at most 256 keys"),
        ([np.array(["a"])], "row 0 · expected an array of numbers"),
        ([np.array(1), np.zeros(2)], "row 1 · expected arrays, or single values"),
        ([[1], [[2]]], "column 'c[]', row 1"),
        (["\ud800"], "row 0"),
        ([decimal.Decimal("NaN")], "finite decimals"),
        ([object()], "row 0 · expected a value that can be stored, got object"),
    ],
)
def test_refusals_say_which_row(values: list[Any], said: str) -> None:
    """What has no type raises, with the row of the first value that does not go with those before."""
    with pytest.raises(SchemaError) as raised:
        infer(values, Where("c"))
    assert said in str(raised.value)


def test_nesting_ends() -> None:
    """Lists nested without end are refused before anything overflows."""
    value: list[Any] = []
    for _ in range(100):
        value = [value]
    with pytest.raises(LimitError):
        infer([value], Where("c"))


def follow(*batches: dict[str, list[Any]], **options: Any) -> TableInference:
    """A table's inference after these batches."""
    inference = TableInference(**options)
    row = 0
    for batch in batches:
        inference.accept(inference.observe(batch, row))
        row += len(next(iter(batch.values())))
    return inference


def types_of(inference: TableInference) -> dict[str, str]:
    return {column.name: str(column.type) for column in inference.schema.columns}


def test_columns_widen_from_batch_to_batch() -> None:
    """Open columns settle at the first value, integers become floats, fixed shapes any shape; ids stay."""
    first = {"a": [None], "b": [1], "c": [[]], "d": [np.zeros(2)], "e": [np.int8(1)]}
    before = follow(first)
    after = follow(first, {"a": ["x"], "b": [1.5], "c": [[1]], "d": [np.zeros(3)], "e": [np.int16(1)]})
    assert types_of(before) == {"a": "null", "b": "int64", "c": "list<null>", "d": "tensor<float64, [2]>", "e": "int8"}
    assert types_of(after) == {
        "a": "string", "b": "float64", "c": "list<int64>", "d": "tensor<float64, any shape>", "e": "int16"
    }  # fmt: skip
    assert [column.id for column in before.schema.columns] == [column.id for column in after.schema.columns]


def test_batches_of_narrower_values_are_stored_in_the_wider_column() -> None:
    """A batch whose own type is narrower than the column's, tensors included, becomes an array of the column's."""
    inference = follow({"a": [1.5], "t": [np.zeros(2)], "l": [[1.5]], "d": [{"x": 1, "y": "a"}]})
    rows = {"a": [2], "t": [np.ones((1, 3), np.int8)], "l": [[1]], "d": [{"x": 2}]}
    observed = inference.observe(rows, 1)
    arrays = build_columns(observed.schema, rows, InlinePlacer(), 1, observed.ready)
    values = column_values(observed.schema, arrays, read_media)
    assert (values["a"], values["l"], values["d"]) == ([2.0], [[1.0]], [{"x": 2, "y": None}])
    assert values["t"][0].tolist() == [[1.0, 1.0, 1.0]]
    with pytest.raises(SchemaError, match="column 'a', row 1 · expected float64"):
        inference.observe({"a": [2**53 + 1]}, 1)


def test_what_changed_is_told() -> None:
    """The writer hears of each change, and whether values written before may turn out not to fit."""
    inference = follow({"a": [1], "b": [None]})
    observed = inference.observe({"a": [1.5], "b": ["x"]}, 1)
    assert [(change.path, change.what, change.value_checked) for change in observed.evolution.changes] == [
        ("a", "type", True),
        ("b", "settled", False),
    ]
    assert observed.evolution.must_rewrite
    assert not inference.observe({"a": [2], "b": [None]}, 1).evolution.must_rewrite


def test_a_refused_batch_changes_nothing() -> None:
    """After an error the schema is what it was, and the next batch goes on."""
    inference = follow({"a": [1], "b": [1]})
    before = inference.schema
    with pytest.raises(SchemaError, match=r"column 'b', row 1 · expected int64, got string"):
        inference.observe({"a": [1.5], "b": ["x"]}, 1)
    assert inference.schema == before


def test_unknown_columns_and_keys_need_leave() -> None:
    """A column or a key first seen later raises with the nearest name, unless new columns are allowed."""
    first = {"label": [1], "box": [{"left": 1}]}
    with pytest.raises(SchemaError, match="did you mean 'label'"):
        follow(first, {"lable": [1]})
    with pytest.raises(SchemaError, match=r"column 'box', row 1 .*did you mean 'left'"):
        follow(first, {"box": [{"lift": 1}]})
    allowed = follow(first, {"other": [1], "box": [{"lift": 1}]}, new_columns=True)
    assert types_of(allowed) == {"label": "int64", "box": "struct<left: int64, lift: int64>", "other": "int64"}


def test_declared_columns_keep_their_types() -> None:
    """What was declared does not widen; a column declared as null is open."""
    schema = Schema.from_user({"a": pa.int8(), "b": pa.null()})
    inference = follow({"a": [1], "b": [1]}, known=schema, declared=True)
    assert types_of(inference) == {"a": "int8", "b": "int64"}
    rows = {"a": [300], "b": [1]}
    with pytest.raises(SchemaError, match="row 1 · expected int8"):
        build_columns(inference.observe(rows, 1).schema, rows, InlinePlacer(), 1)


def test_inherited_columns_widen_only_when_they_must() -> None:
    """Values that fit the type of an earlier version leave it as it is; others widen it."""
    schema = Schema.from_user({"a": pa.int8(), "b": pa.float32(), "c": dict[str, int], "d": pa.uint64()})
    rows = {"a": [5], "b": [0.5], "c": [{"x": 1}], "d": [2**64 - 1]}
    kept = follow(rows, known=schema)
    assert kept.schema == schema
    assert [array.to_pylist() for array in build_columns(schema, rows, InlinePlacer())] == [
        [5],
        [0.5],
        [[("x", 1)]],
        [2**64 - 1],
    ]
    assert types_of(follow({"a": [300], "b": [0.1]}, known=schema))["a"] == "int64"


def test_columns_that_saw_nothing_are_settled_at_the_end() -> None:
    """A column of nulls is a string, one of empty lists a list of strings, one of empty dicts a map of strings."""
    inference = follow({"a": [None], "b": [[]], "c": [{}], "d": [{"x": None}]})
    schema, paths = inference.schema.settled()
    assert [str(column.type) for column in schema.columns] == [
        "string", "list<string>", "map<string, string>", "struct<x: string>"
    ]  # fmt: skip
    assert paths == ["a", "b[]", "c", "d.x"]
    assert types_of(follow({"c": [{}]}, {"c": [{"x": 1}]}))["c"] == "struct<x: int64>"


@given(
    st.lists(
        st.sampled_from([None, 1, 2.5, [1], [2.5], [], {"a": 1}, {"a": 2.5, "b": "x"}, {}, "x", np.int8(1)]), max_size=4
    )
)
def test_batches_do_not_matter(values: list[Any]) -> None:
    """Rows one by one or all at once: the same type, or an error both times."""

    def outcome(batches: list[dict[str, list[Any]]]) -> object:
        try:
            return types_of(follow(*batches, new_columns=True))
        except SchemaError:
            return "refused"

    assert outcome([{"c": values}]) == outcome([{"c": []}, *({"c": [value]} for value in values)])

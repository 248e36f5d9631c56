"""Tests of taking Arrow data in: lossless casts, media, and the logical form going round."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from tableformat.errors import SchemaError
from tableformat.format.media.image import Image
from tableformat.format.media.kinds import cell_type
from tableformat.format.schema import Schema
from tableformat.format.types import Field, ImageType, JsonType, TensorType, Where, type_from_user
from tableformat.table.adopt import adopt, adopt_columns, schema_of_arrow
from tableformat.table.build import build
from tableformat.table.logical import Logical
from tableformat.table.values import to_python
from tests.table.inline_placer import TINY_PNG, InlinePlacer, read_media
from tests.table.type_strategies import columns, same


def take(declared: Any, array: pa.Array, uris: str | None = None) -> pa.Array:
    """`array` adopted into a column `c` of a type as users declare it, from row 10 on."""
    return adopt(Field("c", type_from_user(declared)), array, InlinePlacer(), Where("c", 10), uris)


def given_out(field: Field, stored: pa.Array) -> pa.RecordBatch:
    """A stored column as users of Arrow are given it."""
    return Logical(Schema((field,)), lambda cells: cells).convert([stored], len(stored))


@given(columns())
def test_logical_form_goes_round(column: tuple[Field, list[Any]]) -> None:
    """Stored values, given out in their logical Arrow type and adopted again, are the same values."""
    field, values = column
    stored = build(field, values, InlinePlacer(), Where("c"))
    logical = given_out(field, stored).column(0)
    logical.validate(full=True)
    assert logical.type == field.type.arrow()
    again = adopt(field, logical, InlinePlacer(), Where("c"))
    assert again.type == field.type.storage()
    assert same(values, to_python(field.type, again, read_media))
    sliced = adopt(field, logical.slice(1), InlinePlacer(), Where("c"))
    assert same(values[1:], to_python(field.type, sliced, read_media))


@given(columns())
def test_logical_schema_says_the_whole_type(column: tuple[Field, list[Any]]) -> None:
    """What `to_arrow` gives names its types well enough to be declared again."""
    field, values = column
    stored = build(field, values, InlinePlacer(), Where("c"))
    again = schema_of_arrow(given_out(field, stored).schema)
    assert again.columns[0].type == field.type


@pytest.mark.parametrize(
    ("array", "type_", "values"),
    [
        (pa.array(["a", None, "a"]).dictionary_encode(), pa.string(), ["a", None, "a"]),
        (pa.array(["a", None], pa.large_string()), pa.string(), ["a", None]),
        (pa.array(["a", None], pa.string_view()), pa.string(), ["a", None]),
        (pa.array([b"a"], pa.binary_view()), pa.binary(), [b"a"]),
        (pa.array([[1], None], pa.large_list(pa.int64())), pa.list_(pa.int64()), [[1], None]),
        (pa.array([[1], None], pa.list_view(pa.int64())), pa.list_(pa.int64()), [[1], None]),
        (pa.array([1, 2], pa.int32()), pa.int64(), [1, 2]),
        (pa.array([1, None], pa.int64()), pa.float64(), [1.0, None]),
        (pa.array([1.0, None]), pa.int64(), [1, None]),
        (pa.array([0, 86_400_000], pa.date64()), pa.date32(), [datetime.date(1970, 1, 1), datetime.date(1970, 1, 2)]),
        (pa.array([1], pa.timestamp("s")), pa.timestamp("ms"), [datetime.datetime(1970, 1, 1, 0, 0, 1)]),  # noqa: DTZ001
        (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), pa.string(), ["a", "a", "b"]),
        (pa.nulls(2), pa.int64(), [None, None]),
        (pa.array([{"a": 1}]), pa.struct([("a", pa.int64()), ("b", pa.string())]), [{"a": 1, "b": None}]),
    ],
)
def test_other_spellings_are_normalised(array: pa.Array, type_: pa.DataType, values: list[Any]) -> None:
    """Dictionaries, runs, views, large offsets and narrower types become the plain type with the same values."""
    stored = take(type_, array)
    assert stored.type == type_from_user(type_).storage()
    assert stored.to_pylist() == values


@pytest.mark.parametrize(
    ("array", "declared", "said"),
    [
        (pa.array([1, 2**53 + 1]), float, ["row 11", "float64", "int64"]),
        (pa.array([1, 300]), pa.int8(), ["row 11", "int8", "300"]),
        (pa.array([1.0, 0.1]), pa.float32(), ["row 11", "float32", "0.1"]),
        (pa.array([1.0, 1.5]), int, ["row 11", "int64", "1.5"]),
        (pa.array(["a"]), int, ["row 10", "int64", "string"]),
        (pa.array([b"a"]), str, ["row 10", "string", "binary"]),
        (pa.array([True]), int, ["row 10", "int64", "bool"]),
        (pa.array([None, 1], pa.timestamp("us")), pa.timestamp("us", "UTC"), ["row 11", "UTC"]),
        (pa.array([[1], [2, 300]]), list[np.int8], ["c[]", "row 11", "300"]),
        (pa.array([{"a": 1}, {"a": 2, "z": 3}]), {"a": int}, ["row 11", "unknown field 'z'"]),
        (pa.array(["1", "{"]), JsonType(), ["row 11", "JSON"]),
        (pa.array([[1.0, 2.0], [1.0]]), TensorType("float64", (2,)), ["row 11", "shape=None"]),
        (pa.array([[1.0, None]]), TensorType("float64", (2,)), ["row 10", "never null"]),
    ],
)
def test_what_would_be_lost_is_refused(array: pa.Array, declared: Any, said: list[str]) -> None:
    """A value that the column cannot hold exactly raises with column, row and both types."""
    with pytest.raises(SchemaError) as raised:
        take(declared, array)
    assert [text for text in said if text not in str(raised.value)] == []


def test_media_columns_take_bytes_structs_and_cells() -> None:
    """Binary, {bytes, path} structs and cells of ours become cells; null stays null."""
    for array in (
        pa.array([TINY_PNG, None]),
        pa.array([TINY_PNG, None], pa.large_binary()),
        pa.array([{"bytes": TINY_PNG, "path": None}, None], pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ):
        cells = take(ImageType(), array)
        assert cells.type == cell_type("image")
        assert cells.field("file").field("inline").to_pylist()[0] == TINY_PNG
        assert cells.is_valid().to_pylist() == [True, False]
    assert take(ImageType(), cells).equals(cells)
    nested = take(list[Image], pa.array([[TINY_PNG], None]))
    assert nested.flatten().field("file").field("inline").to_pylist() == [TINY_PNG]


def test_texts_in_a_media_column_need_uris() -> None:
    """Whether texts are files to own or places to point at is said, never guessed."""
    with pytest.raises(SchemaError, match='uris="own"'):
        take(ImageType(), pa.array(["s3://bucket/a.png"]))
    cells = take(ImageType(), pa.array(["s3://bucket/a.png"]), "refer")
    assert cells.field("file").field("uri").to_pylist() == ["s3://bucket/a.png"]


def test_columns_of_a_batch_are_matched_by_name() -> None:
    """Order does not matter, missing columns are null, unknown and repeated ones raise."""
    schema = Schema.from_user({"a": int, "b": str})
    batch = pa.table({"b": ["x"], "a": [1]})
    assert [array.to_pylist() for array in adopt_columns(schema, batch, InlinePlacer())] == [[1], ["x"]]
    assert [array.to_pylist() for array in adopt_columns(schema, pa.table({"a": [1]}), InlinePlacer())] == [[1], [None]]
    with pytest.raises(SchemaError, match="did you mean 'a'"):
        adopt_columns(schema, pa.table({"aa": [1]}), InlinePlacer())
    with pytest.raises(SchemaError, match="names of their own"):
        adopt_columns(schema, pa.table([[1], [1]], names=["a", "a"]), InlinePlacer())

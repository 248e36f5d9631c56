"""Tests of building stored arrays from Python values: round trips, refusals, annotations."""

from __future__ import annotations

import decimal
import enum
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from tableformat.errors import SchemaError
from tableformat.format.media.boxes import Box
from tableformat.format.media.classes import Classes
from tableformat.format.media.image import Image
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, Field, ImageType, JsonType, TensorType, Where, type_from_user
from tableformat.table.build import build, build_columns
from tableformat.table.inference import TableInference
from tableformat.table.values import column_values, to_python
from tests.table.inline_placer import TINY_PNG, InlinePlacer, read_media, tiny_image
from tests.table.type_strategies import columns, same


def put(declared: Any, values: list[Any], row0: int = 0) -> pa.Array:
    """The stored array of `values` in a column `c` of a type as users declare it."""
    return build(Field("c", type_from_user(declared)), values, InlinePlacer(), Where("c", row0))


@given(columns())
def test_values_of_every_type_come_back(column: tuple[Field, list[Any]]) -> None:
    """Python values, stored and read, are the values, and the array is a valid one of the storage type."""
    field, values = column
    array = build(field, values, InlinePlacer(), Where("c"))
    array.validate(full=True)
    assert array.type == field.type.storage()
    assert same(values, to_python(field.type, array, read_media))


@given(columns())
def test_values_survive_parquet_with_ids(column: tuple[Field, list[Any]]) -> None:
    """A part with field ids on every node gives the values back, also from the middle of a column."""
    field, values = column
    schema = Schema((field,)).with_ids()
    table = pa.Table.from_arrays(build_columns(schema, {"c": values}, InlinePlacer()), schema=schema.arrow_schema())
    sink = io.BytesIO()
    pq.write_table(table, sink)
    read = pq.read_table(sink, schema=schema.arrow_schema()).column(0).combine_chunks()
    assert same(values, to_python(field.type, read, read_media))
    assert same(values[1:], to_python(field.type, read.slice(1), read_media))


@pytest.mark.parametrize(
    ("declared", "values", "expected", "got"),
    [
        (int, [1, "x"], "row 11", "str"),
        (int, [1, 1.5], "row 11", "1.5"),
        (pa.int8(), [1, 300], "row 11", "300"),
        (str, ["a", b"b"], "row 11", "bytes"),
        (bool, [True, 1], "row 11", "int"),
        (float, [1.5, 2**53 + 1], "row 11", str(2**53 + 1)),
        (pa.float32(), [1.0, 1e300], "row 11", "1e+300"),
        (list[int], [[1], [2, "x"]], "row 11", "str"),
        ({"a": int}, [{"a": 1}, {"b": 1}], "row 11", "unknown field 'b'"),
        (dict[str, int], [{"a": 1}, {"a": "x"}], "row 11", "str"),
        (TensorType("float32", (2,)), [np.zeros(2), np.zeros(3)], "row 11", "[3]"),
        (JsonType(), [1, float("nan")], "row 11", "nan"),
        (JsonType(), [1, {2: 3}], "row 11", "key 2"),
        (pa.decimal128(4, 2), [decimal.Decimal("1.5"), decimal.Decimal("1.234")], "row 11", "1.234"),
        (ImageType(), [tiny_image(), 3.5], "row 11", "float"),
    ],
)
def test_misfit_names_column_row_and_types(declared: Any, values: list[Any], expected: str, got: str) -> None:
    """A value that does not fit raises with the column, its row in the table, and what it was."""
    with pytest.raises(SchemaError, match="column 'c") as raised:
        put(declared, values, row0=10)
    assert expected in str(raised.value)
    assert got in str(raised.value)


def test_null_is_refused_where_the_column_has_none() -> None:
    """A missing value is null where it may be, and an error where it may not."""
    schema = Schema.from_user(pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.int64())]))
    assert [a.to_pylist() for a in build_columns(schema, {"a": [1]}, InlinePlacer())] == [[1], [None]]
    with pytest.raises(SchemaError, match="column 'a', row 7"):
        build_columns(schema, {"b": [1]}, InlinePlacer(), row0=7)


def test_null_below_a_null_struct_is_no_null() -> None:
    """Fields that are never null may stand in a struct that is."""
    field = Field("c", type_from_user(pa.struct([pa.field("x", pa.int64(), nullable=False)])))
    assert build(field, [None, {"x": 1}], InlinePlacer(), Where("c")).to_pylist() == [None, {"x": 1}]
    with pytest.raises(SchemaError, match=r"c\.x"):
        build(field, [{"x": None}], InlinePlacer(), Where("c"))


def test_declared_types_take_what_inference_does_not() -> None:
    """Large unsigned numbers, integers as decimals, enums as their values, floats rounded to the width declared."""
    number = enum.IntEnum("number", {"ONE": 1})
    assert put(pa.uint64(), [2**64 - 1]).to_pylist() == [2**64 - 1]
    assert put(pa.decimal128(5, 1), [1, decimal.Decimal("2.5")]).to_pylist() == [
        decimal.Decimal("1.0"),
        decimal.Decimal("2.5"),
    ]
    assert put(pa.int8(), [number.ONE, 2]).to_pylist() == [1, 2]
    assert put(str, [number.ONE]).to_pylist() == ["ONE"]
    assert put(pa.float32(), [0.1]).to_pylist() == [float(np.float32(0.1))]
    assert put(dict[int, str], [{1: "a"}]).to_pylist() == [[(1, "a")]]


def test_class_ids_are_checked_against_the_set() -> None:
    """An id outside of the class set raises, unless the column is not strict."""
    classes = Classes({0: "cat", 1: "dog"})
    assert put(ClassType(classes), [1, None, 0]).to_pylist() == [1, None, 0]
    with pytest.raises(SchemaError, match=r"row 1 .*got 2"):
        put(ClassType(classes), [1, 2])
    assert put(ClassType(classes, strict=False), [2]).to_pylist() == [2]


def test_annotations_become_columns_beside_their_media_and_come_back() -> None:
    """Boxes, masks, captions and class sets stand in columns of their own, and are one object with the image again."""
    classes = Classes({3: "cat"})
    boxes = {"truth": [Box(3, xyxy=(0, 0, 1, 1), unit="pixel", scores={"p": 0.5})]}
    rows = {
        "image": [tiny_image(), tiny_image(boxes=boxes, caption="two", classes=classes), None],
        "other": [{"inner": tiny_image(caption="deep")}, None, {"inner": None}],
        "masked": [tiny_image(masks={"m": np.ones((2, 2), np.uint8)}), None, tiny_image()],
    }
    inference = TableInference()
    inference.accept(inference.observe(rows))
    schema = inference.schema
    assert schema.names == ["image", "image_boxes", "image_caption", "image_classes", "other", "masked", "masked_masks"]
    place = InlinePlacer()
    arrays = build_columns(schema, rows, place)
    assert [array.type for array in arrays] == [column.type.storage() for column in schema.columns]
    values = column_values(schema, arrays, read_media)
    assert list(values) == ["image", "other", "masked"]
    assert values["image"][1].boxes == {"truth": tuple(boxes["truth"])}
    assert values["image"][1].caption == "two"
    assert values["image"][1].classes_digest == classes.digest
    assert values["other"][0]["inner"].caption == "deep"
    assert values["masked"][0].masks["m"].to_numpy().tolist() == [[1, 1], [1, 1]]
    assert values["image"][2] is None
    assert place.sets == {classes.digest: classes}


def test_box_outside_of_the_declared_set_raises() -> None:
    """Class ids of boxes are those of the set declared for their layer."""
    schema = Schema.from_user({"image": ImageType(classes={"truth": Classes({0: "cat"})})})
    place = InlinePlacer()
    place.place_classes([Classes({0: "cat"})], Where("image"))
    inference = TableInference(schema, declared=True)
    rows = {"image": [tiny_image(boxes={"truth": [Box(7, xyxy=(0, 0, 1, 1), unit="pixel")]})]}
    inference.accept(inference.observe(rows))
    with pytest.raises(SchemaError, match="got 7 in layer 'truth'"):
        build_columns(inference.schema, rows, place)


def test_annotations_inside_a_list_are_refused() -> None:
    """A list of images has nowhere to keep captions: the error says to wrap them in dicts."""
    with pytest.raises(SchemaError, match="wrap it in a dict"):
        put(list[Image], [[tiny_image(caption="x")]])
    rows = {"c": [[{"image": tiny_image(caption="x")}]]}
    inference = TableInference()
    inference.accept(inference.observe(rows))
    arrays = build_columns(inference.schema, rows, InlinePlacer())
    assert column_values(inference.schema, arrays, read_media)["c"][0][0]["image"].caption == "x"


def test_nothing_is_placed_before_plain_columns_fit() -> None:
    """A fault in a plain column is found before any media are taken."""
    place = InlinePlacer()
    schema = Schema.from_user({"image": ImageType(), "n": int})
    with pytest.raises(SchemaError, match="column 'n'"):
        build_columns(schema, {"image": [TINY_PNG], "n": ["x"]}, place)
    assert place.calls == []


def test_unknown_column_names_the_nearest() -> None:
    """A column that the table does not have raises with the nearest name."""
    with pytest.raises(SchemaError, match="did you mean 'label'"):
        build_columns(Schema.from_user({"label": int}), {"lable": [1]}, InlinePlacer())

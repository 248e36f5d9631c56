"""Defaults of columns: any value of a column's type as text, and back."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pyarrow as pa
import pytest

import tableformat
from tableformat.errors import FormatError, SchemaError
from tableformat.format.defaults import MAX_DEFAULT, check_default, default_array, encode_default
from tableformat.format.schema import Schema
from tableformat.format.types import Field, field_from_user

VALUES: list[tuple[Any, Any, str]] = [
    (pa.int8(), -1, "-1"), (pa.int64(), 2**53 - 1, "9007199254740991"), (pa.int64(), 2**53, '"9007199254740992"'),
    (pa.bool_(), False, "false"), (pa.float64(), 0.1, '"0.1"'), (pa.float64(), float("-inf"), '"-inf"'), (pa.float16(), 0.5, '"0.5"'),
    (pa.string(), "ä\n", '"\\u00e4\\n"'), (pa.binary(), b"\xff", '"/w=="'), (pa.binary(2), b"ab", '"YWI="'),
    (pa.decimal128(5, 2), decimal.Decimal("1.5"), '"1.50"'), (pa.date32(), datetime.date(1970, 1, 3), "2"),
    (pa.time64("us"), datetime.time(0, 0, 1), "1000000"), (pa.timestamp("ms", "UTC"), datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC), "0"),
    (datetime.timedelta, datetime.timedelta(seconds=1), "1000000"), (pa.list_(pa.timestamp("ms")), [None, datetime.datetime(1970, 1, 1)], "[null,0]"),  # noqa: DTZ001
    (pa.struct([("b", pa.int8()), ("a", pa.string())]), {"a": "x", "b": None}, '{"a":"x","b":null}'),
    (pa.map_(pa.string(), pa.float32()), [("k", 1.0)], '[["k","1.0"]]'), (pa.uuid(), b"0" * 16, '"MDAwMDAwMDAwMDAwMDAwMA=="'),
    (tableformat.JsonType(), '{"a":1}', '"{\\"a\\":1}"'), (tableformat.TensorType("int8", (2,)), [1, 2], "[1,2]"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value", "text"), VALUES, ids=[f"{type_} {text}" for type_, _, text in VALUES])
def test_values_as_text(type_: Any, value: Any, text: str) -> None:
    """Each value has one text, which gives the value again, any number of times. [SCHEMA-13]"""
    schema = Schema.from_user({"x": int}).with_added("d", type_, default=value)
    column = schema["d"]
    assert column.default == text
    again = Schema.from_json(schema.to_json())["d"]
    assert again == column
    found = default_array(again, 3)
    assert found.type == column.type.storage()
    assert len(set(map(str, found.to_pylist()))) == 1
    assert encode_default(found.slice(1, 1), column) == text
    assert default_array(again, 0).type == found.type


def test_no_default_is_null() -> None:
    """A column without one reads as null. [SCHEMA-13]"""
    column = Schema.from_user({"d": pa.struct([pa.field("a", pa.int8(), nullable=False)])})["d"]
    assert default_array(column, 2).to_pylist() == [None, None]
    assert encode_default(None, column) is None


@pytest.mark.parametrize(
    ("type_", "value"),
    [(pa.int8(), 300), (pa.int8(), "x"), (pa.string(), 1), (tableformat.ImageType(), b""), (pa.string(), "x" * MAX_DEFAULT)],
    ids=str,
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(type_: Any, value: Any) -> None:
    """Another type, a value out of bounds, media, and texts that are too long, with the name of the column."""
    with pytest.raises(SchemaError, match="d"):
        encode_default(value, field_from_user("d", type_))
    with pytest.raises(SchemaError, match="one value"):
        encode_default(pa.array([1, 2]), Field("d", field_from_user("d", pa.int64()).type))


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (pa.int8(), "300"), (pa.int8(), '"x"'), (pa.int8(), "1.5"), (pa.int8(), "true"), (pa.int8(), "{"), (pa.int8(), " 1"), (pa.int8(), "null"),
        (pa.bool_(), "1"), (pa.float64(), "1"), (pa.string(), "1"), (pa.binary(), '"*"'), (pa.list_(pa.int8()), '{"a":1}'),
        (pa.struct([("a", pa.int8())]), "[]"), (pa.decimal128(5, 2), '"x"'), (pa.string(), '"' + "x" * MAX_DEFAULT + '"'),
        (tableformat.ImageType(), "null"), (pa.map_(pa.string(), pa.int8()), "[1]"), (pa.list_(pa.int8()), "[" * 3000),
    ],
    ids=str,
)  # fmt: skip
def test_texts_that_are_no_default_are_refused(type_: Any, text: str) -> None:
    """What a store may hold is not trusted: other types, other forms of the same value, and what is no JSON. [SCHEMA-14]"""
    schema = Schema.from_user({"d": type_}).to_json()
    schema["columns"][0]["default"] = text
    with pytest.raises(FormatError):
        Schema.from_json(schema)
    check_default(Field("d", field_from_user("d", type_).type), "x")

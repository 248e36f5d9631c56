"""What stands in a file: a digest that tells files apart, and older types of a column."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat.document import encode_document
from tableformat.errors import CorruptError, SchemaError
from tableformat.format.physical import find_columns, id_of, schema_digest, stored_field
from tableformat.format.schema import Schema
from tests.sample_store import MEDIA_SCHEMA, scalars


def read_back(schema: pa.Schema) -> pa.Schema:
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    return pq.read_metadata(pa.BufferReader(sink.getvalue())).schema.to_arrow_schema()


def test_the_digest_of_a_file_is_that_of_its_schema() -> None:
    """What a writer says of a file and what a reader finds in its footer are the same, for every type. [PART-16]"""
    for schema in (Schema.from_user(scalars(1).schema), Schema.from_user(MEDIA_SCHEMA)):
        arrow = schema.arrow_schema()
        assert schema_digest(read_back(arrow)) == schema_digest(arrow)


def test_anything_that_matters_changes_the_digest() -> None:
    """Names, order, types, nulls and ids, at any depth. [PART-16]"""
    base = pa.schema([pa.field("a", pa.list_(pa.int8())), pa.field("b", pa.struct([("c", pa.string())]))])
    others = [
        pa.schema([base.field(1), base.field(0)]), base.set(0, pa.field("A", pa.list_(pa.int8()))),
        base.set(0, pa.field("a", pa.list_(pa.int16()))), base.set(0, pa.field("a", pa.list_(pa.int8()), nullable=False)),
        base.set(0, pa.field("a", pa.list_(pa.int8(), 3))), base.set(0, base.field(0).with_metadata({"PARQUET:field_id": "1"})),
        base.set(1, pa.field("b", pa.struct([pa.field("c", pa.string(), nullable=False)]))), base.remove(1),
    ]  # fmt: skip
    assert len({schema_digest(one) for one in (base, *others)}) == len(others) + 1
    assert schema_digest(base.with_metadata({"x": "y"})) == schema_digest(base)


def test_columns_by_id() -> None:
    """Positions by field id; what has none is not found, and an id that stands twice is a fault. [PART-18]"""
    arrow = Schema.from_user({"x": int, "y": str}).arrow_schema()
    assert find_columns(arrow) == {id_of(arrow.field(0)): 0, id_of(arrow.field(1)): 1}
    assert find_columns(pa.schema([("x", pa.int64())])) == {}
    with pytest.raises(CorruptError, match="twice"):
        find_columns(pa.schema([arrow.field(0), arrow.field(0).with_name("z")]))
    assert id_of(pa.field("x", pa.int64(), metadata={"PARQUET:field_id": "-1"})) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.int32(), pa.int64()), (pa.int32(), pa.float64()), (pa.list_(pa.int8(), 2), pa.list_(pa.int32())), (pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int64())),
        (tableformat.TensorType("bool", (2,)), tableformat.TensorType("bool", (2,))), (tableformat.TensorType("int8"), tableformat.TensorType("float64")),
        (pa.struct([("a", pa.list_(pa.float32()))]), pa.struct([("a", pa.list_(pa.float64())), ("b", pa.date32())])),
        (tableformat.ClassType("sha256:" + "0" * 64, "int8"), tableformat.ClassType("sha256:" + "0" * 64, "int32")),
    ],
    ids=str,
)  # fmt: skip
def test_older_types_are_known_again(before: Any, after: Any) -> None:
    """From the type in a file and that of the table follows what the column was. [PART-18]"""
    schema = Schema.from_user({"x": before})
    wide = schema.with_widened({"x": after})
    found = stored_field(wide["x"], read_back(schema.arrow_schema()).field(0))
    assert found.type.storage() == schema["x"].type.storage()
    assert encode_document(found.without_ids().to_json()) == encode_document(schema["x"].without_ids().to_json())


@pytest.mark.parametrize(
    ("physical", "type_"),
    [
        (pa.string(), int), (pa.int64(), pa.int32()), (pa.float64(), int), (pa.list_(pa.string()), list[int]), (pa.int8(), list[int]),
        (pa.int8(), str), (pa.struct([("a", pa.string())]), tableformat.ImageType()), (pa.string(), tableformat.TensorType("int8", (2,))),
        (pa.int64(), tableformat.JsonType()), (pa.timestamp("ns"), pa.timestamp("us")), (pa.large_string(), str),
    ],
    ids=str,
)  # fmt: skip
def test_types_that_do_not_widen_are_refused(physical: pa.DataType, type_: Any) -> None:
    """A file whose column the table's type does not hold is not read as that column. [PART-18]"""
    with pytest.raises(SchemaError):
        stored_field(Schema.from_user({"x": type_})["x"], pa.field("x", physical))

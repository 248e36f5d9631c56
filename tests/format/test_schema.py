"""Tests of schemas: ids, evolution, casts of stored data."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.document import decode_document, encode_document
from tableformat.errors import FormatError, LimitError, NotFoundError, SchemaError
from tableformat.format.ids import all_ids, derived_ids
from tableformat.format.schema import Schema, cast_table
from tableformat.format.types import FIELD_ID, Field, ImageType, NullType, TensorType, walk
from tableformat.format.types.widen import is_value_checked
from tableformat.table.build import build_columns
from tableformat.table.values import column_values
from tests.table.inline_placer import InlinePlacer, read_media
from tests.table.type_strategies import columns, same, typed_fields

FIELDS = typed_fields().map(lambda typed: typed[0])


@given(FIELDS, FIELDS)
def test_document_goes_round(one: Field, two: Field) -> None:
    """A schema survives its canonical document, ids and all."""
    schema = Schema((one, Field("other", two.type, two.nullable))).with_ids()
    assert Schema.from_json(decode_document(encode_document(schema.to_json()), "x")) == schema


@given(FIELDS)
def test_every_node_has_an_id_in_parquet(field: Field) -> None:
    """Every node has an id that no other has, and Parquet holds exactly these ids."""
    schema = Schema((field, Field("image", ImageType()))).with_ids()
    sink = io.BytesIO()
    pq.write_table(schema.arrow_schema().empty_table(), sink, store_schema=False)
    stored = _stored_ids(pq.read_schema(sink))
    assert stored == all_ids(schema.columns)
    nodes = [node for column in schema.columns for node in walk(column)]
    assert len(stored) == len(nodes) + sum(len(derived_ids(node)) for node in nodes)


def _stored_ids(fields: Any) -> set[int]:
    found: set[int] = set()
    for field in fields:
        if field.metadata and FIELD_ID in field.metadata:
            found.add(int(field.metadata[FIELD_ID]))
        if pa.types.is_map(field.type):
            found |= _stored_ids([field.type.key_field, field.type.item_field])
        elif pa.types.is_nested(field.type):
            found |= _stored_ids([field.type.field(index) for index in range(field.type.num_fields)])
    return found


def test_two_writers_who_add_a_column_agree() -> None:
    """The id of a column depends on its path alone, not on what stands beside it."""
    one = Schema.from_user({"a": int, "new": {"x": int}})
    two = Schema.from_user({"b": str, "c": str, "new": {"x": int}})
    assert one["new"] == two["new"]
    assert one["new"].id != one["a"].id


def test_a_column_added_again_has_another_id() -> None:
    """A column that was removed is retired: the next of its name is another column, however often."""
    first = Schema.from_user({"a": int, "b": int})
    second = Schema.from_user({"b": int}).inherit(first)
    assert second["b"].id == first["b"].id
    assert second.retired == {first["a"].id}
    third = Schema.from_user({"a": int, "b": int}).inherit(second)
    assert third["a"].id not in {first["a"].id, first["b"].id}
    fourth = Schema.from_user({"a": int}).inherit(Schema.from_user({"b": int}).inherit(third))
    assert fourth["a"].id not in {first["a"].id, third["a"].id}
    assert Schema.from_json(fourth.to_json()) == fourth


def test_ids_are_inherited_by_name_where_types_meet() -> None:
    """A table written whole keeps the ids of columns and fields that are still the same, and no others."""
    first = Schema.from_user({"n": pa.int32(), "s": {"x": int, "y": int}, "t": str})
    second = Schema.from_user({"t": int, "s": {"y": float, "z": str}, "n": int}).inherit(first)
    assert second["n"].id == first["n"].id
    assert second["s"].id == first["s"].id
    assert second["s"].type.fields[0].id == first["s"].type.fields[1].id
    assert second["t"].id not in all_ids(first.columns)
    assert second.retired == {first["t"].id, first["s"].type.fields[0].id}


@given(columns())
def test_widening_and_casting_lose_nothing(column: tuple[Field, list[Any]]) -> None:
    """Stored values, cast to a schema with other columns and nullable nodes, are the same values."""
    field, values = column
    before = Schema((field,)).with_ids()
    other = Schema((Field("new", NullType()), Field(field.name, field.type, nullable=True))).settled()[0]
    evolution = before.unify(other)
    arrays = build_columns(before, {"c": values}, InlinePlacer())
    table = cast_table(pa.Table.from_arrays(arrays, schema=before.arrow_schema()), before, evolution.schema)
    assert table.schema.equals(evolution.schema.arrow_schema(), check_metadata=True)
    found = column_values(evolution.schema, [c.combine_chunks() for c in table.columns], read_media)
    assert same(values, found["c"])
    assert found["new"] == [None] * len(values)


@given(typed_fields(depth=1), typed_fields(depth=1), st.data())
def test_values_survive_any_widening(one: Any, two: Any, data: st.DataObject) -> None:
    """Where two types meet, values stored in one are read from the common type, unless a checked step refuses them."""
    before, given_schema = Schema((one[0],)).with_ids(), Schema((two[0],))
    try:
        after = before.unify(given_schema).schema
    except SchemaError:
        return
    values = data.draw(st.lists(one[1], max_size=3))
    stored = pa.Table.from_arrays(build_columns(before, {"c": values}, InlinePlacer()), schema=before.arrow_schema())
    checked = is_value_checked(before.columns[0].type, after.columns[0].type)
    try:
        table = cast_table(stored, before, after)
    except SchemaError:
        assert checked
        return
    for column in table.columns:
        column.validate(full=True)
    assert table.schema.equals(after.arrow_schema(), check_metadata=True)
    assert [value is None for value in values] == table.column(0).is_null().to_pylist()


@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        (int, float, [1, None, 2**53]),
        (pa.int8(), pa.int32(), [1, None]),
        (list[np.int8], list[int], [[1], None, []]),
        ({"a": int}, {"a": float, "b": str}, [{"a": 1}, None]),
        (TensorType("int8", (2,)), TensorType("float32"), [np.array([1, 2], np.int8), None]),
        (pa.list_(pa.int8(), 2), list[int], [[1, 2], None]),
        (dict[str, np.int8], dict[str, int], [{"a": 1}, {}, None]),
        (pa.null(), list[str], [None, None]),
    ],
)
def test_cast_keeps_values(old: Any, new: Any, values: list[Any]) -> None:
    """Each step of widening gives the values back from the wider column."""
    before = Schema.from_user({"c": old})
    after = before.unify(Schema.from_user({"c": new})).schema
    stored = pa.Table.from_arrays(build_columns(before, {"c": values}, InlinePlacer()), schema=before.arrow_schema())
    table = cast_table(stored, before, after)
    found = column_values(after, [table.column(0).combine_chunks()], read_media)["c"]
    assert len(found) == len(values)
    for value, expected in zip(found, values, strict=True):
        if isinstance(expected, dict) and isinstance(old, dict):
            assert value == {**expected, "b": None}
        elif isinstance(expected, np.ndarray):
            assert value.tolist() == expected.tolist()
        else:
            assert value == expected


def test_empty_dicts_become_structs() -> None:
    """A column that held empty dicts only, stored as maps, becomes the struct that came later."""
    before = Schema((Field("c", NullType("struct")),)).with_ids()
    after = before.unify(Schema.from_user({"c": {"a": int}})).schema
    stored = pa.table({"c": pa.array([[], None], pa.map_(pa.string(), pa.string()))})
    assert cast_table(stored, before, after).column(0).to_pylist() == [{"a": None}, None]


def test_cast_refuses_what_would_be_lost() -> None:
    """An integer that is no float, met when old parts are rewritten, raises with its row."""
    before = Schema.from_user({"c": int})
    evolution = before.unify(Schema.from_user({"c": float}))
    assert evolution.value_checked
    with pytest.raises(SchemaError, match="column 'c', row 41"):
        cast_table(pa.table({"c": pa.chunked_array([[1], [2**53 + 1]])}), before, evolution.schema, row0=40)


def test_renamed_columns_are_found_by_id() -> None:
    """A column with the same id under another name is the same column."""
    before = Schema.from_user({"old": int})
    after = Schema((Field("new", before["old"].type, id=before["old"].id),))
    assert cast_table(pa.table({"old": [1]}), before, after).to_pydict() == {"new": [1]}


def test_sibling_columns_stand_right_after_their_media() -> None:
    """A column that annotates, when it comes later, is placed beside what it annotates."""
    before = Schema.from_user({"image": ImageType(), "label": int})
    caption = Field("image_caption", Schema.from_user({"x": str})["x"].type, annotates=("image", "caption"))
    after = before.unify(Schema((before["image"], caption))).schema
    assert after.names == ["image", "image_caption", "label"]
    assert list(after.siblings("image")) == ["caption"]


def test_unknown_columns_name_the_nearest() -> None:
    """Asking for a column that is not there says which one is near."""
    schema = Schema.from_user({"label": int})
    with pytest.raises(NotFoundError, match="did you mean 'label'"):
        schema["lable"]
    with pytest.raises(SchemaError, match="did you mean 'label'"):
        schema.unify(Schema.from_user({"lable": int}), new_columns=False)


def test_open_columns_are_not_written() -> None:
    """A column that saw no value has no form in a manifest until it is settled."""
    schema = Schema.from_user(pa.schema([pa.field("a", pa.null()), pa.field("b", pa.list_(pa.null()))]))
    with pytest.raises(SchemaError, match="no value was seen"):
        schema.to_json()
    settled, paths = schema.settled()
    assert (paths, [str(column.type) for column in settled]) == (["a", "b[]"], ["string", "list<string>"])
    assert Schema.from_json(settled.to_json()) == settled


@given(
    st.binary(max_size=60) | st.just(b'{"columns":[{"id":1,"name":"a","nullable":true,"type":"int8"}]}'),
    st.integers(0, 60),
    st.integers(0, 255),
)
def test_damaged_documents_are_refused(data: bytes, place: int, byte: int) -> None:
    """Any bytes at all give a schema or an error of ours."""
    damaged = data[:place] + bytes([byte]) + data[place + 1 :]
    try:
        schema = Schema.from_json(decode_document(damaged, "x"))
    except (FormatError, LimitError):
        return
    assert Schema.from_json(schema.to_json()) == schema

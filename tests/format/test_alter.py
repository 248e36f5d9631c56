"""Schemas altered: ids stay with their columns, and none is given twice."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tableformat
from tableformat.errors import NotFoundError, SchemaError
from tableformat.format.ids import all_ids
from tableformat.format.schema import Schema
from tableformat.format.types import Field

PICTURES = Schema.from_user(
    [
        Field("id", tableformat.format.types.type_from_user(int), nullable=False),
        Field("image", tableformat.ImageType()),
        Field("image_caption", tableformat.format.types.type_from_user(str), annotates=("image", "caption")),
        Field("tags", tableformat.format.types.type_from_user(list[str])),
    ]
)


def ids(schema: Schema) -> dict[str, int | None]:
    return {column.name: column.id for column in schema.columns}


def test_a_column_that_comes_again_is_another() -> None:
    """Dropped ids are retired, at every depth, and a column of the same name has the next generation. [SCHEMA-9] [SCHEMA-15]"""
    dropped = PICTURES.with_dropped(["tags"])
    assert dropped.retired == {PICTURES["tags"].id, PICTURES["tags"].type.fields[0].id}
    again = dropped.with_added("tags", list[str])
    assert not all_ids((again["tags"],)) & all_ids((PICTURES["tags"],))
    assert Schema.from_json(again.to_json()) == again


def test_renaming_keeps_ids() -> None:
    """A renamed column is the same column, and takes the annotations along that are named after it. [SCHEMA-15]"""
    renamed = PICTURES.with_renamed({"image": "photo", "id": "tags", "tags": "id"})
    assert renamed.names == ["tags", "photo", "photo_caption", "id"]
    assert renamed["photo_caption"].annotates == ("photo", "caption")
    assert list(ids(renamed).values()) == list(ids(PICTURES).values())
    other = PICTURES.with_renamed({"image_caption": "said"})
    assert other.with_renamed({"image": "photo"}).names == ["id", "photo", "said", "tags"]
    with pytest.raises(SchemaError, match="id"):
        PICTURES.with_renamed({"tags": "ID"})
    with pytest.raises(NotFoundError, match="tags"):
        PICTURES.with_renamed({"tag": "x"})


def test_order_and_annotations() -> None:
    """The columns named come first, and annotations stay behind their media; a medium that is dropped takes them along."""
    assert PICTURES.with_reordered(["tags", "image"]).names == ["tags", "image", "image_caption", "id"]
    assert PICTURES.with_reordered([]).names == PICTURES.names
    assert PICTURES.with_dropped(["image"]).names == ["id", "tags"]
    with pytest.raises(SchemaError, match="once"):
        PICTURES.with_reordered(["id", "id"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.int32(), pa.int64()), (pa.int64(), pa.float64()), (pa.float32(), pa.float64()), (pa.timestamp("ms"), pa.timestamp("us")),
        (pa.list_(pa.int8()), pa.list_(pa.int64())), (pa.list_(pa.int8(), 2), pa.list_(pa.int8())),
        (pa.struct([("a", pa.int8())]), pa.struct([("a", pa.int16()), ("b", pa.string())])), (pa.decimal128(5, 2), pa.decimal128(9, 3)),
        (tableformat.TensorType("int8", (2,)), tableformat.TensorType("float32", (2,))),
    ],
    ids=str,
)  # fmt: skip
def test_widening(before: Any, after: Any) -> None:
    """Each step of the table of evolution is taken, with the ids of the nodes that were there. [SCHEMA-11] [SCHEMA-12] [SCHEMA-15]"""
    schema = Schema.from_user({"x": before})
    wide = schema.with_widened({"x": after})
    assert wide["x"].type.storage() == Schema.from_user({"x": after})["x"].type.storage()
    assert all_ids((schema["x"],)) <= all_ids((wide["x"],))
    assert wide["x"].id == schema["x"].id
    if before != after:
        with pytest.raises(SchemaError, match="does not hold"):
            wide.with_widened({"x": before})


def test_what_cannot_be_widened_is_told_at_once() -> None:
    """Every column at fault, with both types; a tensor whose shape would be forgotten is one. [SCHEMA-11]"""
    schema = Schema.from_user({"a": int, "b": str, "t": tableformat.TensorType("int8", (2, 3)), "ok": pa.int8()})
    with pytest.raises(SchemaError) as refusal:
        schema.with_widened({"a": pa.int8(), "b": int, "t": tableformat.TensorType("int8"), "ok": pa.int16()})
    assert all(text in str(refusal.value) for text in ("'a' is int64", "'b' is string", "'t' is tensor"))
    assert "'ok'" not in str(refusal.value)


def test_defaults_follow_their_column() -> None:
    """A default is cast with its column, and stays through a renaming. [SCHEMA-13]"""
    schema = Schema.from_user({"x": int}).with_added("n", pa.int32(), default=7).with_widened({"n": pa.float64()})
    assert schema.with_renamed({"n": "m"})["m"].default == '"7.0"'
    never_null = schema.with_added("f", Field("f", schema["x"].type, nullable=False), default=1)
    assert not never_null["f"].nullable
    assert never_null.with_widened({"f": pa.field("f", pa.int64(), nullable=True)})["f"].nullable
    with pytest.raises(SchemaError, match="default"):
        schema.with_added("f", Field("f", schema["x"].type, nullable=False))
    with pytest.raises(SchemaError, match="no column has"):
        schema.with_added("X", int)


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "drop", "rename", "reorder"]), st.integers(0, 3), st.integers(0, 3)),
        max_size=12,
    )
)
def test_no_id_is_given_twice(changes: list[tuple[str, int, int]]) -> None:
    """Whatever is done in whatever order, a new column has an id that the table never had. [SCHEMA-9]"""
    schema = Schema.from_user({"c0": int, "c1": list[int]})
    ever = all_ids(schema.columns)
    for what, one, other in changes:
        name, target = f"c{one}", f"c{other}"
        if what == "add" and name not in schema:
            schema = schema.with_added(name, dict[str, int])
            new = all_ids((schema[name],))
            assert not new & ever
            ever |= new
        elif what == "drop" and name in schema:
            schema = schema.with_dropped([name])
        elif what == "rename" and name in schema and target not in schema:
            schema = schema.with_renamed({name: target})
        elif what == "reorder" and name in schema:
            schema = schema.with_reordered([name])
        assert schema.retired | all_ids(schema.columns) == ever
        assert Schema.from_json(schema.to_json()) == schema

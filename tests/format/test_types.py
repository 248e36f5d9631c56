"""Tests of column types: their JSON, their Arrow forms, what users may write, how two meet."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import FormatError, LimitError, SchemaError
from tableformat.format.media.classes import Classes
from tableformat.format.media.image import Image
from tableformat.format.media.kinds import MEDIA_KINDS, SIBLING_ROLES, cell_type, sibling_type
from tableformat.format.types import (
    ClassType,
    Field,
    ImageType,
    MediaType,
    TensorType,
    sibling_column_type,
    type_from_arrow,
    type_from_json,
    type_from_user,
)
from tableformat.format.types.arrays import blank, nulls
from tableformat.format.types.declare import arrow_metadata, field_from_arrow
from tableformat.format.types.widen import unify_types
from tests.table.type_strategies import typed_fields

FIELDS = typed_fields().map(lambda typed: typed[0])


@given(FIELDS)
def test_json_goes_round(field: Field) -> None:
    """The JSON form of a type is read as the same type, and its name for people is short text."""
    assert type_from_json(field.type.to_json()) == field.type
    assert "{" not in str(field.type)


@given(FIELDS)
def test_arrow_goes_round_with_metadata(field: Field) -> None:
    """An Arrow field with our metadata is the same field; without, one of the same Arrow type."""
    arrow = field.arrow().with_metadata(arrow_metadata(field))
    assert field_from_arrow(arrow).type == field.type
    assert type_from_arrow(field.type.arrow()).storage() == field.type.storage()


@given(FIELDS)
def test_a_type_meets_itself(field: Field) -> None:
    """Widening a type by itself changes nothing."""
    assert unify_types(field.type, field.type) == field.type


@given(FIELDS, FIELDS)
def test_meeting_is_symmetric(left: Field, right: Field) -> None:
    """Whichever comes first, two types meet in one, and meeting once more changes nothing."""
    one, two = unify_types(left.type, right.type), unify_types(right.type, left.type)
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        assert unify_types(one, two) == one
        assert unify_types(one, left.type) == one


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "media",
                        "list",
                        "struct",
                        "type",
                        "nullable",
                        "map",
                        "key",
                        "value",
                        "tensor",
                        "dtype",
                        "id",
                        "name",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json_is_a_type_or_an_error(value: Any) -> None:
    """Whatever a store holds, reading a type gives one, or an error of ours."""
    try:
        found = type_from_json(value)
    except (FormatError, LimitError):
        return
    assert found.to_json() == value


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (int, "int64"), (float, "float64"), (str, "string"), (bytes, "binary"), (bool, "bool"), (uuid.UUID, "uuid"),
        (datetime.date, "date"), (datetime.datetime, "timestamp[us]"), (datetime.timedelta, "duration[us]"),
        (np.float32, "float32"), (np.dtype("uint8"), "uint8"), (pa.int8(), "int8"), (list[int], "list<int64>"),
        (dict[str, float], "map<string, float64>"), (int | None, "int64"), ({"a": int, "b": [str][0]}, "struct<a: int64, b: string>"),
        (Image, "image"), (list[Image], "list<image>"), (TensorType(np.float32, (2,)), "tensor<float32, [2]>"),
        (TensorType(pa.float16()), "tensor<float16, any shape>"), (pa.fixed_shape_tensor(pa.int8(), [2]), "tensor<int8, [2]>"),
    ],
)  # fmt: skip
def test_what_users_write(declared: Any, expected: str) -> None:
    """Python types, numpy dtypes, Arrow types, media classes and mappings all say a type."""
    assert str(type_from_user(declared)) == expected


@pytest.mark.parametrize(
    "declared",
    [
        object,
        "int64",
        3,
        {},
        set[int],
        pa.sparse_union([pa.field("a", pa.int8())]),
        pa.opaque(pa.binary(), "x", "y"),
        pa.list_(pa.int8(), 0),
    ],
)
def test_what_means_no_type_is_refused(declared: Any) -> None:
    """What means no type raises, and says what does."""
    with pytest.raises(SchemaError):
        type_from_user(declared)


@pytest.mark.parametrize(
    "arguments", [("float128", None), ("str", None), ("int8", ()), ("int8", (0,)), ("int8", (2, None))]
)
def test_tensors_have_numbers_and_sizes(arguments: tuple[Any, Any]) -> None:
    """A tensor has elements of known types, and dimensions of 1 or more where its shape is fixed."""
    with pytest.raises(SchemaError):
        TensorType(*arguments)


def test_class_sets_are_named_by_digest() -> None:
    """Types hold the digest of a class set and hand the set itself to whoever stores it."""
    cats, dogs = Classes({0: "cat"}), Classes({0: "dog"})
    assert ClassType(cats) == ClassType(cats.digest)
    assert ClassType(cats).source is cats
    layered = ImageType(classes={"truth": cats, "": dogs})
    assert (layered.class_set("truth"), layered.class_set("other")) == (cats.digest, dogs.digest)
    assert layered.sources == (cats, dogs)
    assert ImageType(classes=cats).to_json() == {"media": "image", "classes": cats.digest}
    for wrong in ({0: "cat"}, 5, {"truth": "cat"}):
        with pytest.raises(SchemaError):
            ImageType(classes=wrong)
    with pytest.raises(SchemaError):
        ClassType({0: "cat"})


def test_two_class_sets_never_meet() -> None:
    """Columns of two class sets are never mixed; a column without one takes that of the other."""
    cats, dogs = Classes({0: "cat"}), Classes({0: "dog"})
    assert unify_types(ClassType(cats), ClassType(dogs)) is None
    assert unify_types(ImageType(cats), ImageType(dogs)) is None
    assert unify_types(ImageType(), ImageType(dogs)) == ImageType(dogs)


def test_media_types_have_the_frozen_structs() -> None:
    """Media columns and those beside them have the storage types of the media chapter."""
    assert [MediaType(kind).storage() for kind in MEDIA_KINDS] == [cell_type(kind) for kind in MEDIA_KINDS]
    assert [sibling_column_type(role).storage() for role in SIBLING_ROLES] == [
        sibling_type(role) for role in SIBLING_ROLES
    ]


def test_damaged_metadata_of_an_arrow_field_is_refused() -> None:
    """Metadata in our name that are no document raise; those of another type are passed over."""
    with pytest.raises(SchemaError, match="damaged metadata"):
        field_from_arrow(pa.field("a", pa.int8(), metadata={b"tableformat": b"{"}))
    stale = pa.field("a", pa.int8()).with_metadata(arrow_metadata(Field("a", ImageType())))
    assert str(field_from_arrow(stale).type) == "int8"


@given(FIELDS)
def test_blanks_and_nulls_are_valid(field: Field) -> None:
    """What lies under a null is a valid array of the type."""
    storage = field.type.storage()
    for array in (blank(storage, 2), nulls(2, storage)):
        array.validate(full=True)
        assert array.type == storage
        assert len(array) == 2
    assert nulls(2, storage).null_count == 2

"""Column types from what users declare: Arrow types, Python types, numpy dtypes, media classes, or a type itself."""

from __future__ import annotations

import datetime
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.document import decode_document, encode_document
from tableformat.errors import FormatError, SchemaError, message
from tableformat.format.media.kinds import MEDIA_KINDS
from tableformat.format.types.base import MAX_NESTING, ColumnType, Field, NullType
from tableformat.format.types.codec import type_from_json
from tableformat.format.types.media import MediaType
from tableformat.format.types.names import check_name, check_names
from tableformat.format.types.nested import FixedListType, ListType, MapType, StructType, element
from tableformat.format.types.scalar import IntervalType, JsonType, ScalarType, UuidType, check_zone
from tableformat.format.types.tensor import TensorType

__all__ = [
    "TYPE_KEY",
    "arrow_metadata",
    "field_from_arrow",
    "field_from_user",
    "fields_from_user",
    "type_from_arrow",
    "type_from_user",
]

TYPE_KEY: Final = b"tableformat"
"""The metadata key of an Arrow field, in memory only, that says what Arrow cannot: media, classes, annotations."""

_PYTHON: Final[dict[object, ColumnType]] = {
    bool: ScalarType(pa.bool_()),
    int: ScalarType(pa.int64()),
    float: ScalarType(pa.float64()),
    str: ScalarType(pa.string()),
    bytes: ScalarType(pa.binary()),
    datetime.date: ScalarType(pa.date32()),
    datetime.datetime: ScalarType(pa.timestamp("us")),
    datetime.time: ScalarType(pa.time64("us")),
    datetime.timedelta: ScalarType(pa.duration("us")),
    uuid.UUID: UuidType(),
}


def field_from_user(name: Any, declared: Any) -> Field:
    """The column `name` with whatever a user may write for its type; nullable unless an Arrow field says otherwise."""
    if isinstance(declared, pa.Field):
        return replace(field_from_arrow(declared), name=check_name(name))
    if isinstance(declared, Field):
        return replace(declared, name=check_name(name))
    return Field(check_name(name), type_from_user(declared))


def type_from_user(declared: Any, depth: int = 0) -> ColumnType:
    """The type that `declared` means. Raises `SchemaError` where it means none."""
    _check_depth(depth)
    if isinstance(declared, ColumnType):
        return declared
    if isinstance(declared, pa.DataType):
        return type_from_arrow(declared, depth)
    if (kind := getattr(declared, "kind", None)) in MEDIA_KINDS and isinstance(declared, type):
        return MediaType(typing.cast("str", kind))
    try:
        if declared in _PYTHON:
            return _PYTHON[declared]
    except TypeError:
        pass  # not hashable, so no Python type
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin is list and len(arguments) == 1:
        return ListType(element(type_from_user(arguments[0], depth + 1)))
    if origin is dict and len(arguments) == 2:
        key = Field("key", type_from_user(arguments[0], depth + 1), nullable=False)
        return MapType(key, Field("value", type_from_user(arguments[1], depth + 1)))
    if origin in (typing.Union, types.UnionType) and len(others := [a for a in arguments if a is not type(None)]) == 1:
        return type_from_user(others[0], depth)
    if isinstance(declared, Mapping) and declared:
        fields = tuple(Field(check_name(name), type_from_user(inner, depth + 1)) for name, inner in declared.items())
        check_names((field.name for field in fields), "a struct")
        return StructType(fields)
    if isinstance(declared, np.dtype) or (isinstance(declared, type) and issubclass(declared, np.generic)):
        try:
            return type_from_arrow(pa.from_numpy_dtype(declared), depth)
        except (pa.ArrowException, TypeError, ValueError):
            pass  # a dtype that Arrow does not have
    raise SchemaError(
        message(
            "declaring a column",
            expected="an Arrow type, a Python type, or one such as ImageType(), TensorType(dtype, shape), JsonType()",
            got=repr(declared)[:200],
        )
    )


def field_from_arrow(field: pa.Field, depth: int = 0) -> Field:
    """The field that an Arrow field means. What `to_arrow` wrote into its metadata is taken where it fits the type."""
    name = check_name(field.name)
    saved = (field.metadata or {}).get(TYPE_KEY)
    if saved is None:
        return Field(name, type_from_arrow(field.type, depth), field.nullable)
    try:
        document = decode_document(saved, f"the metadata of column {name!r}")
        known = type_from_json(document.get("type"))
    except FormatError as error:
        raise SchemaError(message("declaring a column", path=name, got=f"damaged metadata: {error}")) from error
    if known.storage() != field.type and known.arrow() != field.type:
        # The column was cast since: what it is now counts.
        return Field(name, type_from_arrow(field.type, depth), field.nullable)
    annotates = document.get("annotates")
    fits = isinstance(annotates, list) and len(annotates) == 2 and all(isinstance(part, str) for part in annotates)
    return Field(name, known, field.nullable, annotates=(annotates[0], annotates[1]) if fits and annotates else None)


def arrow_metadata(field: Field) -> dict[bytes, bytes]:
    """The metadata from which `field_from_arrow` makes `field` again; ids stay out, they belong to one table."""
    bare = field.without_ids()
    document: dict[str, Any] = {"type": bare.type.to_json()}
    if bare.annotates is not None:
        document["annotates"] = list(bare.annotates)
    return {TYPE_KEY: encode_document(document)}


def type_from_arrow(data_type: pa.DataType, depth: int = 0) -> ColumnType:
    """The type that an Arrow type means, normalised (spec/schema.md, "Normalisation").

    Raises `SchemaError` for unions and for extension types that the format does not have.
    """
    _check_depth(depth)
    t = pa.types
    if isinstance(data_type, pa.BaseExtensionType):
        return _extension(data_type)
    if t.is_null(data_type):
        return NullType()
    if t.is_dictionary(data_type) or t.is_run_end_encoded(data_type):
        return type_from_arrow(data_type.value_type, depth)
    if t.is_fixed_size_list(data_type):
        item = _element(data_type.value_field, depth)
        return FixedListType(item, data_type.list_size)
    if (
        t.is_list(data_type)
        or t.is_large_list(data_type)
        or t.is_list_view(data_type)
        or t.is_large_list_view(data_type)
    ):
        return ListType(_element(data_type.value_field, depth))
    if t.is_struct(data_type):
        fields = tuple(field_from_arrow(field, depth + 1) for field in data_type)
        check_names((field.name for field in fields), "a struct")
        return StructType(fields)
    if t.is_map(data_type):
        key = Field("key", type_from_arrow(data_type.key_type, depth + 1), nullable=False)
        return MapType(key, _element(data_type.item_field, depth, "value"))
    return _scalar(data_type)


def _element(field: pa.Field, depth: int, name: str = "element") -> Field:
    # Names of elements say nothing and may be empty: only the metadata and the type of the field are read.
    return replace(field_from_arrow(field.with_name(name), depth + 1), name=name)


def _scalar(data_type: pa.DataType) -> ColumnType:
    t = pa.types
    if t.is_large_string(data_type) or t.is_string_view(data_type):
        return ScalarType(pa.string())
    if t.is_large_binary(data_type) or t.is_binary_view(data_type):
        return ScalarType(pa.binary())
    if t.is_date64(data_type):
        return ScalarType(pa.date32())
    if t.is_timestamp(data_type):
        zone = None if data_type.tz is None else check_zone(data_type.tz)
        return ScalarType(pa.timestamp("ms" if data_type.unit == "s" else data_type.unit, zone))
    if t.is_time32(data_type):
        return ScalarType(pa.time32("ms"))
    if t.is_decimal(data_type):
        precision, scale = data_type.precision, data_type.scale
        if scale < 0:
            raise SchemaError(message("declaring a column", expected="a decimal of scale 0 or more", got=data_type))
        return ScalarType(pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale))
    if data_type == pa.month_day_nano_interval():
        return IntervalType()
    try:
        return ScalarType(data_type)
    except SchemaError as error:
        raise SchemaError(
            message(
                "declaring a column",
                expected="a type of the format",
                got=data_type,
                todo="JsonType() takes mixed values",
            )
        ) from error


def _extension(data_type: Any) -> ColumnType:
    if data_type == pa.uuid():
        return UuidType()
    if isinstance(data_type, pa.FixedShapeTensorType):
        if data_type.permutation not in (None, list(range(len(data_type.shape)))):
            raise SchemaError(
                message(
                    "declaring a column",
                    expected="a tensor in row-major order",
                    got="permuted dimensions",
                    todo="transpose the arrays",
                )
            )
        return TensorType(data_type.value_type, data_type.shape)
    if data_type.extension_name == "arrow.json":
        return JsonType()
    if data_type.extension_name == "arrow.bool8":
        return ScalarType(pa.bool_())
    raise SchemaError(
        message(
            "declaring a column",
            expected="a type of the format",
            got=f"the extension type {data_type.extension_name}",
            todo=f"cast the column to its storage type {data_type.storage_type}",
        )
    )


def _check_depth(depth: int) -> None:
    if depth > MAX_NESTING:
        raise SchemaError(message("declaring a column", expected=f"at most {MAX_NESTING} levels of types"))


def fields_from_user(schema: pa.Schema | Mapping[str, Any] | Sequence[Field]) -> list[Field]:
    """The columns of a schema as users write it."""
    if isinstance(schema, pa.Schema):
        return [field_from_arrow(field) for field in schema]
    if isinstance(schema, Mapping):
        return [field_from_user(name, declared) for name, declared in schema.items()]
    if isinstance(schema, Sequence) and all(isinstance(field, Field) for field in schema):
        return list(schema)
    raise SchemaError(
        message(
            "declaring a schema", expected="a pyarrow.Schema, or a mapping of name to type", got=type(schema).__name__
        )
    )

"""What a Parquet file of a part holds: one digest for its columns as they stand there, and what each of them was.

Columns of a part are found by field id. Their names, order and types may be older than those of the table, which was
altered since: the digest tells such files from others without opening one (spec/part.md, "Older schemas").
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tableformat.digest import digest_of
from tableformat.document import JsonObject, encode_document
from tableformat.errors import CorruptError, SchemaError, message
from tableformat.format.types import (
    FIELD_ID,
    ClassType,
    Field,
    FixedListType,
    ListType,
    MapType,
    ScalarType,
    StructType,
    TensorType,
)
from tableformat.format.types.base import ColumnType
from tableformat.format.types.tensor import DTYPES
from tableformat.format.types.widen import unify_fields

__all__ = ["find_columns", "id_of", "schema_digest", "stored_field"]


def schema_digest(schema: pa.Schema) -> str:
    """The digest of the columns of a file: names, order, storage types, which of them may be null, and field ids."""
    return digest_of(encode_document({"columns": [_describe(field) for field in schema]}))


def _describe(field: pa.Field) -> JsonObject:
    described: JsonObject = {"name": field.name, "nullable": field.nullable, "type": _type_text(field.type)}
    if (number := id_of(field)) is not None:
        described["id"] = number
    if inner := _children(field.type):
        described["fields"] = [_describe(child) for child in inner]
    return described


def _type_text(type_: pa.DataType) -> str:
    if pa.types.is_struct(type_):
        return "struct"
    if pa.types.is_map(type_):
        return "map"
    if pa.types.is_fixed_size_list(type_):
        return f"fixed_size_list[{type_.list_size}]"
    return "list" if pa.types.is_list(type_) else str(type_)


def _children(type_: pa.DataType) -> list[pa.Field]:
    if pa.types.is_struct(type_):
        return list(type_)
    if pa.types.is_map(type_):
        return [type_.key_field, type_.item_field]
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return [type_.value_field]
    return []


def id_of(field: pa.Field) -> int | None:
    """The field id of a Parquet node, as pyarrow reads it; None without one."""
    text = (field.metadata or {}).get(FIELD_ID)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def find_columns(schema: pa.Schema) -> dict[int, int]:
    """By field id, the position of each column of a file. Raises `CorruptError` where two have one id."""
    found: dict[int, int] = {}
    for index, field in enumerate(schema):
        if (number := id_of(field)) is None:
            continue
        if number in found:
            raise CorruptError(
                message("opening a part", expected="columns whose field ids differ", got=f"{number} twice")
            )
        found[number] = index
    return found


def stored_field(field: Field, physical: pa.Field) -> Field:
    """What the column `physical` of a file was before it became `field`, which holds all of its values.

    Raises `SchemaError` where the table's type does not hold what the file's type holds.
    """
    before = Field(field.name, _before(field.type, physical.type), True, field.id, field.annotates)
    wide = unify_fields(before, field)
    if wide is None or wide.type.storage() != field.type.storage():
        raise SchemaError(
            message(
                "opening a part", expected=f"a column that widens to {field.name!r}, {field.type}", got=physical.type
            )
        )
    return before


def _before(after: ColumnType, physical: pa.DataType) -> ColumnType:
    """The type whose storage is `physical`, as near to `after` as may be; `after` itself where nothing else is known."""
    if isinstance(after, ScalarType) and not pa.types.is_nested(physical):
        return after if after.storage() == physical else ScalarType(physical)
    if isinstance(after, ClassType) and pa.types.is_integer(physical):
        return ClassType(after.source or after.classes, str(physical), after.strict)
    if isinstance(after, StructType) and pa.types.is_struct(physical):
        return _before_struct(after, physical)
    if isinstance(after, ListType | FixedListType) and pa.types.is_list(physical):
        return ListType(_before_field(after.fields[0], physical.value_field))
    if isinstance(after, ListType | FixedListType) and pa.types.is_fixed_size_list(physical):
        return FixedListType(_before_field(after.fields[0], physical.value_field), physical.list_size)
    if isinstance(after, MapType) and pa.types.is_map(physical):
        return MapType(_before_field(after.key, physical.key_field), _before_field(after.value, physical.item_field))
    if isinstance(after, TensorType) and after.storage() != physical:
        return _before_tensor(after, physical)
    if after.storage() != physical:
        raise SchemaError(message("opening a part", expected=f"a column stored as {after.storage()}", got=physical))
    return after


def _before_struct(after: StructType, physical: pa.DataType) -> StructType:
    by_id: dict[Any, Field] = {inner.id: inner for inner in after.fields if inner.id is not None}
    by_name = {inner.name: inner for inner in after.fields}
    fields = []
    for child in physical:
        inner = by_id.get(id_of(child)) or by_name.get(child.name)
        if inner is not None:  # a field that the table no longer has is not read
            fields.append(_before_field(inner, child, name=child.name))
    return StructType(tuple(fields)) if fields else after


def _before_field(after: Field, physical: pa.Field, name: str | None = None) -> Field:
    type_ = _before(after.type, physical.type)
    return Field(name or after.name, type_, physical.nullable, after.id, after.annotates)


def _before_tensor(after: TensorType, physical: pa.DataType) -> ColumnType:
    """Tensors keep their shape: how a flat list was cut is not told by a file."""
    for dtype in DTYPES:
        if (before := TensorType(dtype, after.shape)).storage() == physical:
            return before
    raise SchemaError(message("opening a part", expected=f"a column that widens to {after}", got=physical))

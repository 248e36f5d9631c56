"""Nested types: lists, lists of one length, structs and maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from tableformat.document import Json
from tableformat.errors import SchemaError, message
from tableformat.format.types.base import ColumnType, Field

__all__ = ["FixedListType", "ListType", "MapType", "StructType", "element"]


def element(type_: ColumnType, nullable: bool = True) -> Field:
    """The field of a list's elements, under the name that Parquet gives it."""
    return Field("element", type_, nullable)


@dataclass(frozen=True, slots=True)
class ListType(ColumnType):
    """Lists of any length."""

    item: Field

    def storage(self) -> pa.DataType:
        return pa.list_(self.item.storage())

    def arrow(self) -> pa.DataType:
        return pa.list_(self.item.arrow())

    def to_json(self) -> Json:
        return {"list": self.item.node_json()}

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.item,)

    def with_fields(self, fields: Sequence[Field]) -> ColumnType:
        (item,) = fields
        return ListType(item)


@dataclass(frozen=True, slots=True)
class FixedListType(ColumnType):
    """Lists of one length; 1 or more, since Parquet readers disagree on lists of no elements."""

    item: Field
    size: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 2**31 - 1:
            raise SchemaError(
                message("declaring a fixed list", expected="a size of 1 or more", got=self.size, todo="use a list")
            )

    def storage(self) -> pa.DataType:
        return pa.list_(self.item.storage(), self.size)

    def arrow(self) -> pa.DataType:
        return pa.list_(self.item.arrow(), self.size)

    def to_json(self) -> Json:
        return {"fixed_list": {"item": self.item.node_json(), "size": self.size}}

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.item,)

    def with_fields(self, fields: Sequence[Field]) -> ColumnType:
        (item,) = fields
        return FixedListType(item, self.size)


@dataclass(frozen=True, slots=True)
class StructType(ColumnType):
    """Named fields, one or more, since Parquet has no group without children."""

    struct_fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        if not self.struct_fields:
            raise SchemaError(message("declaring a struct", expected="one field or more", got="none"))

    def storage(self) -> pa.DataType:
        return pa.struct([field.storage() for field in self.struct_fields])

    def arrow(self) -> pa.DataType:
        return pa.struct([field.arrow() for field in self.struct_fields])

    def to_json(self) -> Json:
        return {"struct": [field.to_json() for field in self.struct_fields]}

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.struct_fields

    def with_fields(self, fields: Sequence[Field]) -> ColumnType:
        return StructType(tuple(fields))


@dataclass(frozen=True, slots=True)
class MapType(ColumnType):
    """Keys, never null, each with a value. A key stands once in a cell; the order of the keys is kept."""

    key: Field
    value: Field

    def __post_init__(self) -> None:
        if self.key.nullable or self.key.type.fields:
            raise SchemaError(
                message("declaring a map", expected="scalar keys that are not nullable", got=self.key.type)
            )

    def storage(self) -> pa.DataType:
        return pa.map_(self.key.storage(), self.value.storage())

    def arrow(self) -> pa.DataType:
        return pa.map_(self.key.arrow(), self.value.arrow())

    def to_json(self) -> Json:
        return {"map": {"key": self.key.node_json(), "value": self.value.node_json()}}

    @property
    def fields(self) -> tuple[Field, ...]:
        return (self.key, self.value)

    def with_fields(self, fields: Sequence[Field]) -> ColumnType:
        key, value = fields
        return MapType(key, value)

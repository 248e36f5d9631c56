"""What every column type can do, and `Field`: a named, nullable node of a schema with its id."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from tableformat.document import Json, JsonObject

__all__ = ["FIELD_ID", "MAX_NESTING", "ColumnType", "Field", "NullType", "walk"]

FIELD_ID: Final = b"PARQUET:field_id"
"""Arrow's metadata key for the id of a Parquet node."""
MAX_NESTING: Final = 20
"""Deepest nesting of a type. JSON documents end at 64 levels, and a level of a schema takes up to three."""


class ColumnType(ABC):
    """The type of a column or of a node inside one. Values: equal types are equal, ids of nodes included.

    `storage()` is what stands in Parquet: plain Arrow, no extension names. `arrow()` is what a user of Arrow is given.
    """

    __slots__ = ()

    @abstractmethod
    def storage(self) -> pa.DataType:
        """The physical Arrow type, the same in every part of a table."""

    def arrow(self) -> pa.DataType:
        """The logical Arrow type: equal to `storage()` but for tensors, JSON, durations and UUIDs, at any depth."""
        return self.storage()

    @abstractmethod
    def to_json(self) -> Json:
        """The form in a manifest (spec/schema.md)."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The nodes one level down that have ids of their own."""
        return ()

    def with_fields(self, fields: Sequence[Field]) -> ColumnType:
        """A copy with other nodes one level down, as many as `fields` has now unless this is a struct."""
        assert not fields
        return self

    @property
    def is_plain(self) -> bool:
        """Whether Arrow's own conversion of Python values is enough: no media, tensors, JSON or classes at any depth."""
        return all(field.type.is_plain for field in self.fields)

    def __str__(self) -> str:
        return _short(self.to_json())


@dataclass(frozen=True, slots=True)
class Field:
    """A column, a field of a struct, an element of a list, a key or value of a map."""

    name: str
    """Its name, in NFC; `element`, `key` and `value` below lists and maps."""
    type: ColumnType
    nullable: bool = True
    """Whether it may be null where its parent is not."""
    id: int | None = None
    """`PARQUET:field_id`, 1 to 2^31 - 1; None until a schema has given one."""
    annotates: tuple[str, str] | None = None
    """The media column or field beside this one that it annotates, and in which role: `("image", "boxes")`."""
    default: str | None = None
    """Of a column: the value of rows that were written without it, as canonical JSON text (format/defaults.py); None: null.
    Like ids it is history, and no part of a shape."""

    def storage(self) -> pa.Field:
        """The physical Arrow field, without ids."""
        storage = self.type.storage()
        # A fixed-size list that may not be null, under a struct that is, is written by pyarrow and cannot be read by it.
        # Parquet calls them all optional, and this schema knows better.
        return pa.field(self.name, storage, self.nullable or pa.types.is_fixed_size_list(storage))

    def arrow(self) -> pa.Field:
        """The logical Arrow field, without ids."""
        return pa.field(self.name, self.type.arrow(), self.nullable)

    def to_json(self) -> JsonObject:
        """The form in a manifest. The id is left out while there is none."""
        value: JsonObject = {"name": self.name, **self.node_json()}
        if self.annotates is not None:
            value["annotates"] = {"column": self.annotates[0], "role": self.annotates[1]}
        if self.default is not None:
            value["default"] = self.default
        return value

    def node_json(self) -> JsonObject:
        """The form of an element, key or value, whose name says nothing."""
        value: JsonObject = {"type": self.type.to_json(), "nullable": self.nullable}
        if self.id is not None:
            value["id"] = self.id
        return value

    def without_ids(self) -> Field:
        """The same field with no ids at any depth, and no default: for comparing shapes."""
        inner = self.type.fields
        type_ = self.type.with_fields([field.without_ids() for field in inner]) if inner else self.type
        return replace(self, id=None, default=None, type=type_)

    def same_shape(self, other: Field) -> bool:
        """Whether both are equal but for ids."""
        return self == other or self.without_ids() == other.without_ids()


@dataclass(frozen=True, slots=True)
class NullType(ColumnType):
    """No value was seen yet. Never in a manifest: settled as a string at the latest when the table is closed."""

    empty: str = ""
    """`struct` where empty dicts were seen, which settle as a map of strings; else empty."""

    def storage(self) -> pa.DataType:
        return pa.map_(pa.string(), pa.string()) if self.empty == "struct" else pa.string()

    def to_json(self) -> Json:
        return "null"


def walk(field: Field) -> list[Field]:
    """`field` and every node below it that has an id of its own, in order."""
    return [field, *(node for inner in field.type.fields for node in walk(inner))]


def _short(value: Any) -> str:
    """A type as people write it: `list<int64>`, `struct<a: string, b: media image>`."""
    if isinstance(value, str):
        return value
    if "media" in value:
        return str(value["media"])
    [(name, inner)] = value.items()
    if name == "struct":
        return "struct<" + ", ".join(f"{field['name']}: {_short(field['type'])}" for field in inner) + ">"
    if name == "list":
        return f"list<{_short(inner['type'])}>"
    if name == "map":
        return f"map<{_short(inner['key']['type'])}, {_short(inner['value']['type'])}>"
    if name == "fixed_list":
        return f"list<{_short(inner['item']['type'])}>[{inner['size']}]"
    if name == "tensor":
        return f"tensor<{inner['dtype']}, {inner.get('shape', 'any shape')}>"
    if name == "class":
        return f"class<{inner['storage']}>"
    if isinstance(inner, dict):
        return f"{name}[{', '.join(str(part) for part in inner.values())}]"
    return f"{name}[{inner}]"

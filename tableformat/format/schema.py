"""Schema: the columns of a table with their types and ids, their JSON form, their Arrow form, and how they evolve.

The law is spec/schema.md. A schema is a value: every change makes another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from tableformat.document import JsonObject
from tableformat.errors import FormatError, NotFoundError, SchemaError, UnsupportedError, message
from tableformat.format import alter
from tableformat.format.defaults import check_default
from tableformat.format.ids import all_ids, assign_ids, escape, inherit_ids, storage_field
from tableformat.format.types import Field, MapType, NullType, ScalarType, Where, fields_from_json
from tableformat.format.types.arrays import nulls
from tableformat.format.types.base import ColumnType
from tableformat.format.types.declare import arrow_metadata, fields_from_user, type_from_arrow
from tableformat.format.types.names import check_names
from tableformat.format.types.nearest import nearest
from tableformat.format.types.recast import recast
from tableformat.format.types.widen import insert_field, is_value_checked, unify_fields

__all__ = ["Change", "Column", "Evolution", "Schema", "cast_table"]

Column = Field
"""A column is a field at the top."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a schema and what it became."""

    path: str
    """The column or node, as in messages: `scores[]`, `person.name`."""
    what: str
    """`added`, `settled` (a type at last), `type`, or `nullable`."""
    before: str
    """The type before, as text; empty where the node is new."""
    after: str
    """The type now, as text."""
    value_checked: bool
    """Whether values already written may turn out not to fit: only a cast tells."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """A schema that holds the values of two, and what that changed in the first."""

    schema: Schema
    changes: tuple[Change, ...]
    """Empty where the first schema can stay. Any change makes parts differ, so sealed parts are to be rewritten."""

    @property
    def must_rewrite(self) -> bool:
        """Whether parts written under the first schema have another Parquet schema than the unified one."""
        return bool(self.changes)

    @property
    def value_checked(self) -> bool:
        """Whether rewriting them may fail for some values."""
        return any(change.value_checked for change in self.changes)


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table, in order. Names differ under NFC and case folding; ids differ at every depth."""

    columns: tuple[Column, ...] = ()
    retired: frozenset[int] = frozenset()
    """Ids that the table had once and no longer has. They are never given again."""

    def __post_init__(self) -> None:
        check_names((column.name for column in self.columns), "a table")

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        return any(column.name == name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        """The column `name`; raises `NotFoundError` with the nearest name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise NotFoundError(
            message(
                "looking up a column", expected="a column of the table", got=repr(name), todo=nearest(name, self.names)
            )
        )

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]

    def siblings(self, name: str) -> dict[str, Column]:
        """The columns that annotate the media column `name`, by role."""
        return {
            column.annotates[1]: column
            for column in self.columns
            if column.annotates is not None and column.annotates[0] == name
        }

    # -- from and to other forms

    @classmethod
    def from_user(cls, schema: Schema | pa.Schema | Mapping[str, Any] | Sequence[Column]) -> Schema:
        """The schema that a user declares, with ids. An Arrow column of type null stays open until a value is seen."""
        if isinstance(schema, Schema):
            return schema.with_ids()
        return cls(tuple(fields_from_user(schema))).with_ids()

    @classmethod
    def from_json(cls, value: Any) -> Schema:
        """The schema in a manifest. Raises `FormatError`, or `UnsupportedError` for types and keys of a newer format."""
        doing = "reading a schema"
        if not isinstance(value, dict) or not isinstance(value.get("columns"), list):
            raise FormatError(message(doing, expected="an object with columns", got=repr(value)[:200]))
        if unknown := value.keys() - {"columns", "retired"}:
            raise UnsupportedError(message(doing, got=f"the unknown key {min(unknown)!r}", todo="upgrade the library"))
        retired = value.get("retired", [])
        if not isinstance(retired, list) or not all(type(number) is int and 1 <= number < 2**31 for number in retired):
            raise FormatError(message(doing, path="retired", expected="a list of ids", got=repr(retired)[:200]))
        columns = fields_from_json(value["columns"], "columns")
        _check_ids(columns, set(retired))
        for column in columns:
            check_default(column, f"columns.{column.name}.default")
        return cls(columns, frozenset(retired))

    def to_json(self) -> JsonObject:
        """The form in a manifest. Raises `SchemaError` while a column has no type: see `settled`."""
        for column in self.columns:
            if open_ := next((node for node in _nodes(column) if isinstance(node.type, NullType)), None):
                raise SchemaError(
                    message(
                        "writing a schema", path=column.name, expected="a type", got=f"{open_.type} (no value was seen)"
                    )
                )
        value: JsonObject = {"columns": [column.to_json() for column in self.columns]}
        if self.retired:
            value["retired"] = sorted(self.retired)
        return value

    def arrow_schema(self) -> pa.Schema:
        """The physical schema of every part: storage types, with the id of each node where ids were given."""
        return pa.schema([storage_field(column) for column in self.columns])

    def logical_schema(self) -> pa.Schema:
        """The schema that users of Arrow are given. Metadata say what Arrow cannot, so that `from_user` takes it back."""
        fields = []
        for column in self.columns:
            field = column.arrow()
            bare = column.annotates is None and type_from_arrow(field.type) == column.without_ids().type
            fields.append(field if bare else field.with_metadata(arrow_metadata(column)))
        return pa.schema(fields)

    # -- ids

    def with_ids(self) -> Schema:
        """The same schema with an id for each node that has none (spec/schema.md, "Ids")."""
        taken = all_ids(self.columns) | self.retired
        return replace(self, columns=tuple(assign_ids(column, escape(column.name), taken) for column in self.columns))

    def inherit(self, previous: Schema) -> Schema:
        """This schema, which replaces `previous`, with its ids.

        Columns keep theirs by name where the old type and the new one have a type in common; all other ids of `previous`
        are retired, and its retired ids stay so.
        """
        before = {column.name: column for column in previous.columns}
        columns = []
        for column in self.columns:
            old = before.get(column.name)
            meets = old is not None and unify_fields(replace(old, annotates=column.annotates), column) is not None
            columns.append(inherit_ids(column, old) if old is not None and meets else column.without_ids())
        kept = all_ids(tuple(columns))
        retired = {node for column in previous.columns for node in _own_ids(column)} - kept
        return Schema(tuple(columns), previous.retired | retired).with_ids()

    # -- changes

    def unify(self, other: Schema, *, new_columns: bool = True) -> Evolution:
        """The schema that holds the values of both, with the ids of this one, and what changed.

        Columns that only `other` has are added, nullable; those that only this one has stay. Raises `SchemaError` where
        two types have none in common, and, without `new_columns`, for a column or field that is not here.
        """
        others = {column.name: column for column in other.columns}
        columns, changes = [], []
        for column in self.columns:
            given = others.pop(column.name, None)
            if given is None:
                columns.append(column)
                continue
            unified = unify_fields(replace(column, nullable=column.nullable), given, new_columns)
            if unified is None:
                Where(column.name).fail(
                    None, expected=column.type, got=given.type, todo="declare the type; JsonType() takes mixed values"
                )
            columns.append(unified)
            changes += list_changes(column, unified, column.name)
        for column in others.values():
            if not new_columns:
                raise unknown_column(column.name, self.names)
            insert_field(columns, replace(column, nullable=True).without_ids())
            changes.append(Change(column.name, "added", "", str(column.type), value_checked=False))
        schema = Schema(tuple(columns), self.retired)
        return Evolution(
            schema.with_ids() if any(column.id for column in self.columns) or not self.columns else schema,
            tuple(changes),
        )

    def with_added(self, name: str, type_: Any, *, default: Any = None) -> Schema:
        """A column more, at the end: `type_` is what `from_user` takes for one, or a `Field`. Rows that have none read as `default`.

        Its id is one that the table never had. Raises `SchemaError` for a name that is taken, a column that may not be null and
        has no default, and a default that does not fit.
        """
        return replace(self, columns=(*self.columns, alter.added(self.columns, name, type_, default))).with_ids()

    def with_dropped(self, names: Iterable[str]) -> Schema:
        """Without these columns and what annotates them; their ids are retired. Raises `NotFoundError` for a name that is not there."""
        gone = alter.dropped(self.columns, [self[name] for name in names])
        kept = tuple(column for column in self.columns if column.name not in gone)
        retired = {number for column in self.columns if column.name in gone for number in _own_ids(column)}
        return replace(self, columns=kept, retired=self.retired | retired)

    def with_renamed(self, names: Mapping[str, str]) -> Schema:
        """Other names for some columns, by old name; annotations that are named after their column follow it. Ids stay.

        Raises `NotFoundError` for a name that is not there, `SchemaError` where two columns would have one name.
        """
        return replace(self, columns=alter.renamed(self.columns, {self[old].name: new for old, new in names.items()}))

    def with_reordered(self, names: Sequence[str]) -> Schema:
        """The columns `names` first, in this order, then the others in theirs; annotations stay behind what they annotate."""
        return replace(self, columns=alter.reordered(self.columns, [self[name] for name in names]))

    def with_widened(self, types: Mapping[str, Any]) -> Schema:
        """Wider types for some columns; an Arrow field or `Field` that is nullable makes the column so. Ids and defaults stay.

        Raises `SchemaError`, naming every column at fault and why, where a type does not hold all values of the old one. Whether
        the values that are there fit a step that `is_value_checked` is for the caller to see.
        """
        return replace(
            self, columns=alter.widened(self.columns, {self[n].name: t for n, t in types.items()})
        ).with_ids()

    def settled(self) -> tuple[Schema, list[str]]:
        """This schema with a type for every node that never saw a value, and the paths of those nodes.

        A column of nulls is a string, a list of nothing a list of strings, a column of empty dicts a map of strings.
        """
        paths: list[str] = []
        columns = tuple(_settle(column, column.name, paths) for column in self.columns)
        return replace(self, columns=columns).with_ids(), paths


def unknown_column(name: str, names: Iterable[str]) -> SchemaError:
    """The error for a column that the table does not have."""
    todo = f"{nearest(name, names)} · new_columns=True adds columns"
    return SchemaError(
        message("storing rows", expected="columns of the table", got=f"the unknown column {name!r}", todo=todo)
    )


def cast_table(table: pa.Table, before: Schema, after: Schema, row0: int = 0) -> pa.Table:
    """Stored data of the schema `before` in the storage of `after`, which widens it.

    Columns are found by id, or by name where there are no ids; missing ones are null. Raises `SchemaError` with column and
    row (counted from `row0`) where a value would be lost. Columns that need no change are shared, not copied.
    """
    by_id = {column.id: column for column in before.columns if column.id is not None}
    by_name = {column.name: column for column in before.columns}
    target, arrays = after.arrow_schema(), []
    for column in after.columns:
        old = by_id.get(column.id) if column.id is not None and by_id else by_name.get(column.name)
        if old is None:
            if not column.nullable and len(table):
                Where(column.name, row0).fail(0, expected=f"{column.type}, never null", got="no such column before")
            arrays.append(pa.chunked_array([nulls(len(table), column.type.storage())]))
            continue
        chunks, row = [], row0
        for chunk in table.column(old.name).chunks:
            chunks.append(recast(old, column, chunk, Where(column.name, row)))
            row += len(chunk)
        arrays.append(pa.chunked_array(chunks, column.type.storage()))
    return pa.Table.from_arrays(arrays, schema=target)


def list_changes(before: Field, after: Field, path: str) -> list[Change]:
    """What differs between two fields that were unified, each node by its path."""
    found: list[Change] = []
    if before.nullable != after.nullable:
        found.append(Change(path, "nullable", str(before.type), str(after.type), value_checked=False))
    if isinstance(before.type, NullType) and not isinstance(after.type, NullType):
        return [*found, Change(path, "settled", "", str(after.type), value_checked=False)]
    old_inner = {field.name: field for field in before.type.fields}
    new_inner = after.type.fields
    if type(before.type) is not type(after.type) or (not new_inner and before.type != after.type):
        checked = is_value_checked(before.type, after.type)
        found.append(Change(path, "type", str(before.type), str(after.type), checked))
    for field in new_inner:
        below = path + _suffix(after.type, field.name)
        if field.name in old_inner:
            found += list_changes(old_inner[field.name], field, below)
        else:
            found.append(Change(below, "added", "", str(field.type), value_checked=False))
    return found


def _suffix(parent: ColumnType, name: str) -> str:
    if isinstance(parent, MapType):
        return f"{{{name}}}"
    return (
        "[]" if name == "element" and len(parent.fields) == 1 and not hasattr(parent, "struct_fields") else f".{name}"
    )


def _settle(field: Field, path: str, paths: list[str]) -> Field:
    if isinstance(field.type, NullType):
        paths.append(path)
        text = ScalarType(pa.string())
        if field.type.empty:
            return replace(field, type=MapType(Field("key", text, nullable=False), Field("value", text)))
        return replace(field, type=text)
    inner = [_settle(child, path + _suffix(field.type, child.name), paths) for child in field.type.fields]
    return replace(field, type=field.type.with_fields(inner)) if inner else field


def _nodes(field: Field) -> Iterator[Field]:
    yield field
    for child in field.type.fields:
        yield from _nodes(child)


def _own_ids(field: Field) -> set[int]:
    return {node.id for node in _nodes(field) if node.id is not None}


def _check_ids(columns: tuple[Field, ...], retired: set[int]) -> None:
    """Every node of a stored schema has an id, and no two have the same."""
    seen = set(retired)
    for column in columns:
        for node in _nodes(column):
            if node.id is None:
                raise FormatError(
                    message("reading a schema", path=column.name, expected="an id on every node", got="none")
                )
            if node.id in seen:
                raise FormatError(
                    message("reading a schema", path=column.name, expected="ids that differ", got=f"{node.id} twice")
                )
            seen.add(node.id)

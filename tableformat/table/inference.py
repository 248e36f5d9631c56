"""TableInference: the schema of a table while its rows arrive, widened batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from itertools import chain
from typing import Any

import pyarrow as pa

from tableformat.errors import SchemaError
from tableformat.format.schema import Column, Evolution, Schema, unknown_column
from tableformat.format.types import (
    ClassType,
    Field,
    FixedListType,
    JsonType,
    ListType,
    MapType,
    MediaType,
    NullType,
    ScalarType,
    StructType,
    Where,
    walk,
)
from tableformat.format.types.base import ColumnType
from tableformat.format.types.fit import Fitting, fit_field
from tableformat.format.types.names import check_name
from tableformat.format.types.nearest import nearest
from tableformat.format.types.recast import recast
from tableformat.format.types.widen import insert_field, unify_types
from tableformat.table.annotations import annotation_fields
from tableformat.table.infer import infer, misfit

__all__ = ["Observed", "TableInference"]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a batch of Python values makes of a schema."""

    evolution: Evolution
    """The schema that holds the rows so far and this batch, and what changed."""
    ready: Mapping[str, pa.Array] = dataclass_field(default_factory=dict, repr=False)
    """Columns that were converted while they were looked at, for `build_columns`."""

    @property
    def schema(self) -> Schema:
        """The schema that holds the rows so far and this batch."""
        return self.evolution.schema


class TableInference:
    """Follows the schema of a table. `declared` columns keep their types; others are what their values are.

    Columns of `known` that are not declared, such as those of an earlier version, may widen. Columns first seen after the
    first batch raise unless `new_columns`; without `declared` and `known`, the first batch says which columns there are.
    Columns of what is said about media (boxes, masks, captions, class sets) come as they are needed.
    """

    def __init__(self, known: Schema | None = None, *, declared: bool = False, new_columns: bool = False) -> None:
        self._schema = Schema() if known is None else known.with_ids()
        self._fixed = {column.name for column in self._schema.columns} if declared else set()
        self._inherited = {column.name for column in self._schema.columns} - self._fixed
        self._open = known is None
        self._new_columns = new_columns

    @property
    def schema(self) -> Schema:
        """The schema that holds all batches that were accepted; columns may still be without a type (`Schema.settled`)."""
        return self._schema

    def observe(self, columns: Mapping[str, Sequence[Any]], row0: int = 0) -> Observed:
        """What `columns`, a batch of Python values beginning at row `row0` of the table, makes of the schema.

        Changes nothing: `accept` does. Raises `SchemaError` with column, row and both types.
        """
        found = {column.name: column for column in self._schema.columns}
        ready: dict[str, pa.Array] = {}
        for given, values in columns.items():
            name = given if given in found else check_name(given)
            where = Where(name, row0)
            column = found.get(name)
            if column is None:
                if not self._open and not self._new_columns:
                    raise unknown_column(name, self._schema.names)
                one = infer(values, where)
                found[name], array = Column(name, one.type), one.array
            elif column.annotates is not None or (name in self._fixed and not isinstance(column.type, NullType)):
                found[name], array = annotate(column, values), None
            else:
                found[name], array = self._meet(column, values, where)
            if array is not None:
                ready[name] = array
        widened = list(found.values())
        for given, values in columns.items():
            column = found[given if given in found else check_name(given)]
            for added in annotation_fields(column, values, widened):
                insert_field(widened, added)
        return Observed(self._schema.unify(Schema(tuple(widened))), ready)

    def _meet(self, column: Column, values: Sequence[Any], where: Where) -> tuple[Column, pa.Array | None]:
        """`column` wide enough for `values`, and their array where it was made on the way."""
        inherited = column.name in self._inherited
        if inherited and not _is_inferable(column.type):
            return annotate(column, values), None
        try:
            one = infer(values, where)
        except SchemaError:
            if inherited:  # what cannot be inferred may still fit the type it has: large unsigned numbers, say
                return column, None
            raise
        if inherited and _is_alike(column.type, one.type):
            try:
                return column, fit_field(replace(column, nullable=True), one.array, where, Fitting())
            except SchemaError:
                pass  # then the column widens
        unified = unify_types(column.type, one.type, self._new_columns)
        if unified is not None:
            wide = replace(column, type=unified)
            if one.array is None:
                return wide, None
            return wide, recast(Field(column.name, one.type), replace(wide, nullable=True), one.array, where)
        if not self._new_columns and unify_types(column.type, one.type) is not None:
            key, known = unknown_field(column.type, one.type)
            index = next((index for index, value in enumerate(values) if holds_key(value, key)), None)
            where.fail(index, expected="the keys that dicts had before", got=f"the unknown key {key!r}",
                       todo=f"{nearest(key, known)} · new_columns=True adds keys")  # fmt: skip
        raise misfit(where, values, column.type, one.type)

    def restore(self, schema: Schema) -> None:
        """Before the first batch: go on from the schema that another had, which followed the same table."""
        self._schema, self._open = schema, False

    def accept(self, observed: Observed) -> None:
        """Take over what `observe` found."""
        self._schema = observed.schema
        self._open = False


def annotate(field: Field, values: Sequence[Any]) -> Field:
    """`field` with the fields that the media below it, inside of structs, ask for beside themselves."""
    if not any(isinstance(node.type, MediaType) for node in walk(field)):
        return field
    present = [value for value in values if value is not None]
    if isinstance(field.type, StructType) and all(isinstance(value, Mapping) for value in present):
        fields = [annotate(child, [value.get(child.name) for value in present]) for child in field.type.fields]
        for child in field.type.fields:
            for added in annotation_fields(child, [value.get(child.name) for value in present], fields):
                insert_field(fields, added)
        return replace(field, type=StructType(tuple(fields)))
    if isinstance(field.type, ListType | FixedListType) and all(isinstance(value, list | tuple) for value in present):
        return replace(
            field, type=field.type.with_fields([annotate(field.type.item, list(chain.from_iterable(present)))])
        )
    if isinstance(field.type, MapType) and all(isinstance(value, Mapping) for value in present):
        below = [item for value in present for item in value.values()]
        return replace(field, type=field.type.with_fields([field.type.key, annotate(field.type.value, below)]))
    return field  # not of this type: building says so


def holds_key(value: Any, key: str) -> bool:
    """Whether a dict in `value`, or below it, has the key."""
    if isinstance(value, Mapping):
        return key in value or any(holds_key(inner, key) for inner in value.values())
    return isinstance(value, list | tuple) and any(holds_key(inner, key) for inner in value)


def unknown_field(known: ColumnType, given: ColumnType) -> tuple[str, list[str]]:
    """The first field that only `given` has, and the names that stand there in `known`."""
    names = [field.name for field in known.fields]
    before = {field.name: field for field in known.fields}
    for field in given.fields:
        if field.name not in before:
            return field.name, names
        found, there = unknown_field(before[field.name].type, field.type)
        if found:
            return found, there
    return "", names


def _is_inferable(type_: ColumnType) -> bool:
    """Whether values by themselves have types such as this: no JSON, maps or classes at any depth."""
    return not isinstance(type_, JsonType | MapType | ClassType | FixedListType) and all(
        _is_inferable(field.type) for field in type_.fields
    )


def _is_alike(known: ColumnType, given: ColumnType) -> bool:
    """Whether values may stay in the type a column has, if they fit: numbers of one sort, times, decimals."""
    if not (isinstance(known, ScalarType) and isinstance(given, ScalarType)):
        return False
    old, new, t = known.data_type, given.data_type, pa.types
    if t.is_duration(old) or t.is_duration(new):
        return False  # stored as integers, whose unit a cast would not see
    return not (t.is_integer(old) and t.is_floating(new))

"""Where the columns of a table stand in a file whose names, order or types are older: found by field id, cast losslessly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from tableformat.errors import CorruptError, SchemaError, message
from tableformat.format.bound import Leaf
from tableformat.format.bounds import UNKNOWN, Bounds, bounds_of_part
from tableformat.format.defaults import default_array
from tableformat.format.leaves import Leaves
from tableformat.format.physical import find_columns, stored_field
from tableformat.format.raw_lists import raw_lists
from tableformat.format.schema import Schema
from tableformat.format.stats import ColumnStats, stats_columns
from tableformat.format.types import Field, Where
from tableformat.format.types.recast import recast

__all__ = ["ColumnPlace", "FileColumns", "as_widened", "default_bounds"]


@dataclass(frozen=True, slots=True)
class ColumnPlace:
    """One column of the table in one file."""

    field: Field
    """The column as the table has it."""
    name: str
    """Its name in the file."""
    position: int
    """Its place among the columns of the file."""
    storage: pa.DataType
    """Its type in the file."""
    before: Field | None
    """What it was in the file; None where it needs no cast."""

    def read(self, column: pa.Array, path: str) -> pa.Array:
        """The values, as they stand in the file, in the storage type of the table. Shares what needs no cast."""
        if self.before is None:
            return column
        try:
            return recast(self.before, self.field, column, Where(self.field.name))
        except SchemaError as error:
            raise SchemaError(f"{error} · in {path}") from error

    def bounds(self, bounds: Bounds, leaf: Leaf) -> Bounds:
        """Bounds of the values in the file, as bounds of the table's: numbers widen, other values stay unknown."""
        if self.before is None:
            return bounds
        if len(leaf.path) > 1:
            return UNKNOWN
        if as_widened(self.storage, leaf.storage):
            return bounds
        return Bounds(None, None, bounds.nulls, bounds.rows)


_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating)


def as_widened(before: pa.DataType, after: pa.DataType) -> bool:
    """Whether a bound of the type `before`, told in its own units, is the same bound of the type `after`."""
    return before == after or all(any(is_one(type_) for is_one in _NUMBERS) for type_ in (before, after))


class FileColumns:
    """The columns of all files that have one physical schema. Shared; safe from many threads."""

    def __init__(self, physical: pa.Schema, schema: Schema) -> None:
        self.physical = physical
        self.leaves = Leaves.of_schema(physical)
        """The leaf columns of the file, by the names that they have in it."""
        self.raw_lists = raw_lists(physical, self.leaves)
        """Its columns of lists that may lie in the file as they do in memory, by their leaf."""
        self._schema = schema
        self._positions = find_columns(physical)
        self._places: dict[str, ColumnPlace] = {}
        self._schemas: dict[tuple[str, ...], pa.Schema] = {}  # the last one

    def fields_of(self, names: Iterable[str]) -> pa.Schema:
        """Some of the columns of the file, by the names that they have in it, in its order."""
        asked = tuple(names)
        if (found := self._schemas.get(asked)) is None:
            wanted = set(asked)
            found = pa.schema([field for field in self.physical if field.name in wanted])
            self._schemas = {asked: found}
        return found

    def place(self, name: str, path: str) -> ColumnPlace:
        """Where the column `name` of the table stands. Raises `CorruptError` where the file at `path` has no column of its id,
        or one of a type that the table's type does not hold."""
        if (found := self._places.get(name)) is None:
            found = self._places[name] = self._find(self._schema[name], path)
        return found

    def _find(self, field: Field, path: str) -> ColumnPlace:
        position = self._positions.get(field.id or 0)
        if position is None:
            raise CorruptError(
                message("opening a part", path=path, expected=f"a column of the id {field.id}, which is {field.name!r}",
                        got=f"columns {self.physical.names}"[:300], todo="verify the store")
            )  # fmt: skip
        physical = self.physical.field(position)
        before = None
        if physical.type != field.type.storage():
            try:
                before = stored_field(field, physical)
            except SchemaError as error:
                raise CorruptError(
                    message("opening a part", path=path, expected=f"column {field.name!r} of a type that widens to {field.type}",
                            got=physical.type, todo="verify the store")
                ) from error  # fmt: skip
        return ColumnPlace(field, physical.name, position, physical.type, before)

    def leaves_of(self, places: Sequence[ColumnPlace]) -> list[int]:
        """The numbers of all leaves of some columns, in the order of the file."""
        return [number for place in sorted(places, key=_position) for number in self.leaves.of_column[place.name]]


def _position(place: ColumnPlace) -> int:
    return place.position


def default_bounds(field: Field, rows: int) -> Bounds:
    """What is known of a column that is absent in `rows` rows, which all have its default."""
    if field.default is None:
        return Bounds(None, None, rows, rows)
    if not stats_columns(Schema((field,)), [field.name]):
        return Bounds(None, None, 0, rows)
    array = default_array(field, 1)
    stats = ColumnStats(array.type)
    stats.update(array)
    told = {str(field.id): {**stats.to_json(), "nulls": 0}}
    return bounds_of_part(told, field.id, array.type, rows)

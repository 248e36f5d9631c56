"""What was found, made into rows: the values of both tables are fetched for the rows that are shown, and for no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import SchemaError, message
from tableformat.format.schema import Schema
from tableformat.format.types import Field, ListType, ScalarType, StructType, Where
from tableformat.format.types.names import fold
from tableformat.format.types.recast import recast
from tableformat.table.arrow_out import inlined_cells
from tableformat.table.batches import select
from tableformat.table.diff.columns import common_field
from tableformat.table.diff.compute import Comparison
from tableformat.table.diff.entries import ABSENT, Records
from tableformat.table.diff.sides import DiffSide
from tableformat.table.logical import Logical, absolute_cells
from tableformat.table.rows import MediaMode, Row, decode_columns, visible_columns
from tableformat.table.selection import Positions

__all__ = ["ShownRows"]

_FIXED: Final = ("change", "changed", "count", "before", "after")
_WORDS: Final = pa.array(["added", "removed", "changed", "same"])
_LEAST: Final = 1024
_MOST: Final = 1 << 16
_TEXT: Final = ScalarType(pa.string())


class ShownRows:
    """Makes rows from records. Immutable; holds nothing between calls."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._names = pa.array([pair.name for pair in comparison.columns.pairs], pa.string())
        self._keys = [_key_field(comparison, number) for number in range(len(comparison.on))]
        self.key_names = tuple(field.name for field in self._keys)
        self.schema = self._make_schema()
        self.arrow_schema = self.schema.logical_schema()
        self.batch_rows = self._count_rows()
        self._changed_type = pa.list_(pa.field("element", pa.string(), nullable=False))

    def _make_schema(self) -> Schema:
        sides = [
            Field(
                name, StructType(tuple(replace(column.without_ids(), nullable=True) for column in side.schema.columns))
            )
            for name, side in zip(("before", "after"), self._comparison.sides, strict=True)
            if side.schema.columns
        ]
        change = Field("change", _TEXT, nullable=False)
        if not self._comparison.on:
            return Schema((change, Field("count", ScalarType(pa.int64()), nullable=False), *sides))
        changed = Field("changed", ListType(Field("element", _TEXT, nullable=False)))
        return Schema((change, *self._keys, changed, *sides))

    def _count_rows(self) -> int:
        """Rows of a batch: as many as take a part of the memory."""
        widths = 16.0
        for side in self._comparison.sides:
            entry = side.source.entry
            widths += sum(part.bytes for part in side.source.parts()) / max(entry.rows, 1)
        return int(np.clip(self._comparison.memory / 16 / widths, _LEAST, _MOST))

    # -- for users of Arrow

    def batch(self, records: Records, names: Sequence[str], media: str, *, is_there: bool) -> pa.RecordBatch:
        """The columns `names` of some records, as users of Arrow are given them."""
        fetched = self._fetch(records, names, is_there=is_there)
        made: list[pa.Array] = []
        for name in names:
            if name == "change":
                made.append(fetched.changes())
            elif name == "changed":
                made.append(self._changed(fetched))
            elif name == "count":
                made.append(pa.array(records["count"]))
            elif name in ("before", "after"):
                made.append(self._struct(int(name == "after"), fetched, media))
            else:
                made.append(self._key(self.key_names.index(name), fetched, media))
        return pa.RecordBatch.from_arrays(made, schema=pa.schema([self.arrow_schema.field(name) for name in names]))

    def _fetch(self, records: Records, names: Sequence[str], *, is_there: bool) -> _Fetched:
        """The values that `names` need, each of them read once."""
        numbers = [records["other"], records["at"]] if is_there else [records["at"], np.full(len(records), ABSENT)]
        batches = []
        for number, side in enumerate(self._comparison.sides):
            wanted = list(side.schema.names) if ("before", "after")[number] in names else []
            wanted += [
                pair.column(number)
                for pair, name in zip(self._comparison.on, self.key_names, strict=True)
                if name in names
            ]
            batches.append(side.take(numbers[number], list(dict.fromkeys(wanted))))
        return _Fetched(records, numbers, batches)

    def _changed(self, fetched: _Fetched) -> pa.Array:
        mask = fetched.records["mask"]
        bits = np.unpackbits(np.ascontiguousarray(mask).view(np.uint8), axis=1, bitorder="little")[
            :, : len(self._names)
        ]
        ends = np.zeros(len(mask) + 1, np.int32)
        np.cumsum(bits.sum(axis=1), out=ends[1:])
        names = self._names.take(pa.array(np.nonzero(bits)[1]))
        alone = (fetched.numbers[0] == ABSENT) | (fetched.numbers[1] == ABSENT)
        return pa.ListArray.from_arrays(pa.array(ends), names, type=self._changed_type, mask=pa.array(alone))

    def _struct(self, number: int, fetched: _Fetched, media: str) -> pa.Array:
        side = self._comparison.sides[number]
        given = select(fetched.batches[number], side.schema.names)
        schema = Schema(tuple(replace(column, nullable=True) for column in side.schema.columns))
        logical = _logical(side, schema, given, media)
        type_ = self.arrow_schema.field(("before", "after")[number]).type
        absent = pa.array(fetched.numbers[number] == ABSENT)
        return pa.StructArray.from_arrays(logical.columns, fields=list(type_), mask=absent)

    def _key(self, place: int, fetched: _Fetched, media: str) -> pa.Array:
        """The key of each row: that of the second table where it has the row."""
        schema = Schema((self._keys[place],))
        pieces = [
            _logical(side, schema, self._own_keys(place, number, fetched), media).column(0)
            for number, side in enumerate(self._comparison.sides)
        ]
        rows = len(fetched.records)
        chosen = np.arange(rows) + np.where(fetched.numbers[1] != ABSENT, rows, 0)
        return pa.concat_arrays(pieces).take(pa.array(chosen))

    def _own_keys(self, place: int, number: int, fetched: _Fetched) -> pa.RecordBatch:
        """A key column of side 0 or 1 in the type of the diff."""
        side, name = self._comparison.sides[number], self._comparison.on[place].column(number)
        before = replace(side.source.entry.schema[name].without_ids(), nullable=True)
        array = fetched.batches[number].column(name)
        target = self._keys[place]
        if before.type != target.type:
            array = recast(before, target, array, Where(name))
        return pa.RecordBatch.from_arrays([array], [target.name])

    # -- for people

    def rows(self, records: Records, media: MediaMode, first: int, *, is_there: bool) -> list[Row]:
        """Some records as rows, counted from `first`."""
        fetched = self._fetch(records, self.schema.names, is_there=is_there)
        values: dict[str, Sequence[Any]] = {"change": fetched.changes().to_pylist()}
        if self._comparison.on:
            for place, name in enumerate(self.key_names):
                values[name] = self._key_values(place, fetched, media)
            values["changed"] = self._changed(fetched).to_pylist()
        else:
            values["count"] = records["count"].tolist()
        for number, name in enumerate(("before", "after")):
            if name in self.schema:
                values[name] = _side_rows(self._comparison.sides[number], number, fetched, media)
        places = {name: place for place, name in enumerate(values)}
        return [Row(places, row, first + at) for at, row in enumerate(zip(*values.values(), strict=True))]

    def _key_values(self, place: int, fetched: _Fetched, media: MediaMode) -> list[Any]:
        pieces = []
        for number, side in enumerate(self._comparison.sides):
            given = self._own_keys(place, number, fetched)
            schema = Schema((self._keys[place],))
            pieces.append(decode_columns(schema, given.columns, side.reading.cells, media)[self.key_names[place]])
        rows = fetched.numbers[1].tolist()
        return [after if row != ABSENT else before for before, after, row in zip(*pieces, rows, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _Fetched:
    """Some records, and the values of both tables that belong to them."""

    records: Records
    numbers: list[Positions]
    """The rows of both sides, `ABSENT` where there is none."""
    batches: list[pa.RecordBatch]
    """Their columns in storage types; nulls where there is no row."""

    def changes(self) -> pa.Array:
        """The word of each record."""
        words = np.where(self.records["mask"].any(axis=1), 2, 3)
        words = np.where(self.numbers[0] == ABSENT, 0, np.where(self.numbers[1] == ABSENT, 1, words))
        return _WORDS.take(pa.array(words))


def _side_rows(side: DiffSide, number: int, fetched: _Fetched, media: MediaMode) -> list[Row | None]:
    rows = fetched.numbers[number]
    kept = np.flatnonzero(rows != ABSENT)
    given = select(fetched.batches[number], side.schema.names).take(pa.array(kept))
    values = decode_columns(side.schema, given.columns, side.reading.cells, media)
    places = {column.name: place for place, column in enumerate(visible_columns(side.schema))}
    tuples = zip(*values.values(), strict=True)
    indices = side.table_rows(rows[kept]).tolist()
    made = iter([Row(places, row, index) for row, index in zip(tuples, indices, strict=True)])
    return [None if row == ABSENT else next(made) for row in rows.tolist()]


def _logical(side: DiffSide, schema: Schema, given: pa.RecordBatch, media: str) -> pa.RecordBatch:
    prefix = side.source.cells_prefix
    prefix = prefix if prefix is not None else side.source.backend.uri("data") + "/"
    cells = absolute_cells(prefix) if media == "cells" else inlined_cells(side.reading.cells)
    return Logical(schema, cells).convert(given.columns, given.num_rows)


def _key_field(comparison: Comparison, place: int) -> Field:
    """A key column of the diff: of a type that holds both, under a name that nothing else has."""
    pair = comparison.on[place]
    left, right = (side.source.entry.schema[pair.column(number)] for number, side in enumerate(comparison.sides))
    found = common_field(left, right)
    if found is None:
        raise SchemaError(
            message("comparing tables", expected=f"keys {pair.left!r} and {pair.right!r} of types that one type holds",
                    got=f"{left.type} before, {right.type} after", todo="widen one of the columns")
        )  # fmt: skip
    name = found.name
    while fold(name) in {fold(taken) for taken in _FIXED}:
        name += "_key"
    return replace(found, name=name, annotates=None)

"""What a join needs of each of its sides: rows in order, rows by number, and values for people.

A side is a table with a selection, or another join (`join.Join`). Columns are named as in its schema, annotations of media
included; batches are in storage types.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tableformat.format.bound import Bound
from tableformat.format.expr import Predicate
from tableformat.format.media.classes import Classes
from tableformat.format.schema import Schema
from tableformat.storage.versionfile import Input
from tableformat.table.arrow_out import inlined_cells
from tableformat.table.batches import joined, rows_only
from tableformat.table.join.index import BYTES_A_ROW, table_bytes
from tableformat.table.logical import Logical, absolute_cells
from tableformat.table.reading import Piece
from tableformat.table.rows import MediaMode, Row, decode_columns, sub_schema, visible_columns
from tableformat.table.selection import Filter, Indices, Positions, RowRange, Selection, Sliced
from tableformat.table.table import Table

__all__ = ["Side", "SideFacts", "TableSide", "positions"]


@dataclass(frozen=True, slots=True)
class SideFacts:
    """What is known of a side without reading its rows; what a plan is made from."""

    label: str
    """How messages and plans call it."""
    rows: int | None
    """The number of rows, or None behind a filter or for a join."""
    row_bytes: float
    """Decoded bytes that a row of the columns that are read takes, about."""
    is_unique: bool
    """Whether no two rows have one key."""
    is_sorted: bool
    """Whether rows come in strictly ascending order of the key."""
    key_digest: str | None
    """The digest of the key sequence, where this is all of a keyed table and the key is that of the join."""
    index_row_bytes: float = BYTES_A_ROW
    """What an index of the keys takes for each row, about."""

    @property
    def bytes(self) -> float:
        """Decoded bytes of all rows, about; without a number of rows, more than any budget."""
        return float("inf") if self.rows is None else self.rows * self.row_bytes


class Side(ABC):
    """Rows that are joined. Immutable, safe from many threads."""

    schema: Schema

    @abstractmethod
    def facts(self, key: Sequence[str], columns: Sequence[str]) -> SideFacts:
        """What is known when `columns` are read and `key` is joined on. Reads the footer of one part at most."""

    def index_row_bytes(self, key: str) -> float:  # noqa: ARG002 - of joins nothing is known
        """What an index of a column of int64 takes for each row, about, as far as statistics tell."""
        return BYTES_A_ROW

    @abstractmethod
    def pieces(self, columns: Sequence[str], memory: int, coded: Collection[str] = ()) -> Iterator[Piece]:
        """The rows in order; `Piece.rows` are numbers that `take` accepts. Holds about `memory` bytes where it has to. `coded` as
        `Reading.pieces` has it."""

    @abstractmethod
    def take(self, rows: Positions, columns: Sequence[str], memory: int) -> pa.RecordBatch:
        """The rows with these numbers, ascending, repetitions included."""

    @abstractmethod
    def where(self, predicate: Predicate) -> Side:
        """Those of the rows for which `predicate` is true. Keeps the numbers of rows, and `take` as it is."""

    @abstractmethod
    def slice(self, start: int, stop: int | None) -> Side:
        """A run of the rows."""

    @abstractmethod
    def bind(self, predicate: Predicate) -> Bound:
        """The predicate over the columns."""

    @abstractmethod
    def class_id(self, digest: str, name: str) -> int | None:
        """The id that a class set of the side has for a name."""

    @abstractmethod
    def hidden(self) -> list[str]:
        """Names of columns beside those of the schema that `decode` needs; a join says there which rows meet."""

    @abstractmethod
    def decode(self, batch: pa.RecordBatch, numbers: Sequence[int], media: MediaMode) -> list[Row]:
        """The rows of a batch, whose columns are of the schema, and the hidden ones."""

    @abstractmethod
    def flatten(self, row: Row) -> dict[str, Any]:
        """The values of a row that `decode` made, by the names that columns have in the schema."""

    @abstractmethod
    def classes_of(self, column: str, layer: str | None) -> Classes | None:
        """What `Table.classes_of` tells of a column."""

    @abstractmethod
    def logical(self, columns: Sequence[str], arrays: Sequence[pa.Array], media: str) -> list[pa.Array]:
        """The columns as users of Arrow are given them."""

    @abstractmethod
    def inputs(self) -> list[Input]:
        """The versions that it reads."""

    def absent(self, columns: Sequence[str], count: int) -> pa.RecordBatch:
        """`count` rows that are not there: nulls throughout."""
        if not columns:
            return rows_only(count)
        arrow = self.schema.arrow_schema()
        fields = [pa.field(name, pa.int64()) if name.startswith("\0") else arrow.field(name) for name in columns]
        return pa.RecordBatch.from_arrays([pa.nulls(count, field.type) for field in fields], schema=pa.schema(fields))


class TableSide(Side):
    """A table, or a selection of one."""

    def __init__(self, table: Table, selection: Selection | None = None) -> None:
        self.table = table
        # A table that is filled by hand may go on; what is joined are the rows that it has now.
        self._selection = selection if selection is not None else table._selection
        self._reading = table._reading
        self._source = table.source
        self.schema = table.schema
        self._converters: dict[tuple[str, tuple[str, ...]], Logical] = {}  # the last one

    @property
    def count(self) -> int | None:
        """The number of rows; None behind a filter."""
        return self._selection.count(self._source.entry.rows) if self._selection.is_counted else None

    @property
    def label(self) -> str:
        """What messages call the table."""
        return self._source.address

    def as_table(self) -> Table:
        """The table, with the filters that were pushed to it."""
        return Table(self._source, self._selection, reading=self._reading)

    def facts(self, key: Sequence[str], columns: Sequence[str]) -> SideFacts:
        entry, selection = self._source.entry, self._selection
        rows = selection.count(entry.rows) if selection.is_counted else None
        steps = selection.steps
        keyed = bool(entry.table_key) and sorted(key) == sorted(entry.table_key)
        in_order = all(
            isinstance(step, Filter)
            or (isinstance(step, RowRange) and step.step > 0)
            or (isinstance(step, Sliced) and (step.step or 1) > 0)
            for step in steps
        )
        repeats = any(isinstance(step, Indices) for step in steps) or not (in_order or selection.is_counted)
        return SideFacts(
            label=self._source.address,
            rows=rows,
            row_bytes=self._reading.row_bytes(columns),
            is_unique=keyed and entry.unique and not repeats,
            is_sorted=list(key) == list(entry.table_key) and bool(key) and entry.sorted and in_order,
            key_digest=entry.key_digest if list(key) == list(entry.table_key) and entry.unique and not steps else None,
        )

    def index_row_bytes(self, key: str) -> float:
        rows, span = self.count, self._reading.span_of(key)
        if not rows or span is None:
            return BYTES_A_ROW
        return table_bytes(rows, span) / rows

    def pieces(self, columns: Sequence[str], memory: int, coded: Collection[str] = ()) -> Iterator[Piece]:  # noqa: ARG002 - a scan holds a fixed amount
        return self._reading.pieces(self._selection.steps, list(columns), coded)

    def take(self, rows: Positions, columns: Sequence[str], memory: int) -> pa.RecordBatch:  # noqa: ARG002 - as above
        found = [piece.batch for piece in self._reading.pieces([Indices(rows)], list(columns))]
        return joined(found) if found else self.absent(columns, 0)

    def where(self, predicate: Predicate) -> TableSide:
        return TableSide(self.table, self._selection.with_filter(predicate))

    def slice(self, start: int, stop: int | None) -> TableSide:
        return TableSide(self.table, self._selection.with_slice(start, stop, None, self._source.entry.rows))

    def bind(self, predicate: Predicate) -> Bound:
        return self._reading.bind(predicate)

    def class_id(self, digest: str, name: str) -> int | None:
        classes = self._source.classes(digest)
        return next((number for number in classes if classes.names[number] == name), None)

    def hidden(self) -> list[str]:
        return []

    def decode(self, batch: pa.RecordBatch, numbers: Sequence[int], media: MediaMode) -> list[Row]:
        schema = self._of(batch.schema.names)
        values = decode_columns(schema, batch.columns, self._reading.cells, media)
        places = {column.name: place for place, column in enumerate(visible_columns(schema))}
        if not places:
            return [Row(places, (), number) for number in numbers]
        return [
            Row(places, row, number) for number, row in zip(numbers, zip(*values.values(), strict=True), strict=True)
        ]

    def flatten(self, row: Row) -> dict[str, Any]:
        return dict(row)

    def classes_of(self, column: str, layer: str | None) -> Classes | None:
        return self.table.classes_of(column, layer)

    def logical(self, columns: Sequence[str], arrays: Sequence[pa.Array], media: str) -> list[pa.Array]:
        if not columns:
            return []
        asked = (media, tuple(columns))
        converter = self._converters.get(asked)
        if converter is None:
            prefix = self._source.cells_prefix
            prefix = prefix if prefix is not None else self._source.backend.uri("data") + "/"
            cells = absolute_cells(prefix) if media == "cells" else inlined_cells(self._reading.cells)
            self._converters = {asked: (converter := Logical(self._of(columns), cells))}
        return converter.columns(arrays)

    def _of(self, columns: Sequence[str]) -> Schema:
        """The schema of these columns, each once and as they stand: annotations only where they are named."""
        found = {column.name: column for column in sub_schema(self.schema, [*columns]).columns}
        return Schema(tuple(found[name] for name in columns))

    def inputs(self) -> list[Input]:
        return [self._source.input] if self._source.input is not None else []


def positions(rows: range | Positions) -> Positions:
    """Row numbers as an array."""
    return np.arange(rows.start, rows.stop, rows.step, dtype=np.int64) if isinstance(rows, range) else rows

"""`Opened`: a table that is about to be edited, with the two ways of counting its rows.

A reader counts visible rows; deletions name stored rows of a part. Here is where one becomes the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.interface import Backend
from tableformat.table.batches import joined, rows_only
from tableformat.table.deleted_rows import load_deletions
from tableformat.table.part_reader import PartReader
from tableformat.table.reading import Piece, Reading
from tableformat.table.selection import Indices, Positions, RowRange
from tableformat.table.source import TableSource

__all__ = ["CHUNK_BYTES", "Opened", "stored_rows"]

CHUNK_BYTES: Final = 64 << 20
"""Decoded bytes of rows that an edit holds at a time, about."""
_MAX_CHUNK: Final = 1 << 20
_MIN_CHUNK: Final = 1024


class Opened:
    """A table as it stands before an edit. Holds the list of its parts, and what a `Reading` holds."""

    def __init__(self, source: TableSource, name: str) -> None:
        self.source = source
        self.name = name
        """What messages call the table."""
        self.reading = Reading(source)
        self.parts: tuple[Part, ...] = tuple(source.parts())
        self.starts: Positions = np.zeros(len(self.parts) + 1, np.int64)
        """The number of the first visible row of each part, and the number of all at the end."""
        np.cumsum([part.visible_rows for part in self.parts], out=self.starts[1:])

    @property
    def entry(self) -> TableEntry:
        """The entry as it stands."""
        return self.source.entry

    @property
    def backend(self) -> Backend:
        """Where its bytes lie."""
        return self.source.backend

    @property
    def rows(self) -> int:
        """Its visible rows."""
        return self.entry.rows

    # Rows

    def scan(self, columns: Sequence[str], rows: range | None = None) -> Iterator[Piece]:
        """Visible rows in order, with `columns` in storage types; all of them where `rows` is None."""
        rows = range(self.rows) if rows is None else rows
        if not columns:  # nothing is read for rows without columns
            return iter([Piece(rows_only(len(rows)), rows)] if len(rows) else [])
        return self.reading.pieces([RowRange(rows.start, rows.stop)], list(columns)) if len(rows) else iter(())

    def gather(self, rows: Positions, columns: Sequence[str]) -> pa.RecordBatch:
        """The visible rows `rows`, in this order, with `columns` in storage types; holds them all."""
        if not columns:
            return rows_only(len(rows))
        if (rows[1:] < rows[:-1]).any():  # in order, each row group is read once and not for every run of rows
            order = np.argsort(rows, kind="stable")
            places = np.empty(len(order), np.int64)
            places[order] = np.arange(len(order))
            return self.gather(rows[order], columns).take(pa.array(places))
        found = [piece.batch for piece in self.reading.pieces([Indices(rows)], list(columns))]
        if found:
            return joined(found)
        fields = [self.entry.schema.arrow_schema().field(name) for name in columns]
        return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in fields], schema=pa.schema(fields))

    def chunk_rows(self) -> int:
        """How many whole rows are held at a time."""
        width = sum(part.bytes for part in self.parts) / max(sum(part.rows for part in self.parts), 1)
        return int(np.clip(CHUNK_BYTES / max(width, 1), _MIN_CHUNK, _MAX_CHUNK))

    # Parts

    def part_rows(self, number: int) -> range:
        """The visible rows of a part."""
        return range(int(self.starts[number]), int(self.starts[number + 1]))

    def by_part(self, rows: Positions) -> Iterator[tuple[int, Positions]]:
        """Ascending visible rows as (number of the part, visible rows counted from its first)."""
        numbers = np.searchsorted(self.starts, rows, "right") - 1
        found, begins = np.unique(numbers, return_index=True)
        for number, own in zip(found.tolist(), np.split(rows, begins[1:]), strict=True):
            yield number, own - self.starts[number]

    def group_starts(self, part: Part) -> Positions:
        """The first stored row of each row group of a part's first file, and the number of all: reads a footer."""
        entry = self.entry
        reader = PartReader(self.backend, entry.schema, self.source.limits, is_plain=entry.plain)
        first = [column.name for column in entry.schema.columns if part.file_of(column.id or 0) is part.files[0]]
        return reader.open(part, first[:1]).starts

    def hidden(self, number: int) -> Positions:
        """The stored rows of a part that are deleted, ascending."""
        found = load_deletions(self.backend, self.parts[number])
        return np.empty(0, np.int64) if found is None else found

    def runs(self, numbers: Iterable[int]) -> Iterator[range]:
        """The visible rows of parts, ascending numbers, as few ranges as may be."""
        run: range | None = None
        for number in numbers:
            rows = self.part_rows(number)
            if run is not None and rows.start == run.stop:
                run = range(run.start, rows.stop)
                continue
            if run:
                yield run
            run = rows
        if run:
            yield run


def stored_rows(hidden: Positions, visible: Positions) -> Positions:
    """The stored row behind each visible row of a part, of which the stored rows `hidden` (ascending) are deleted."""
    return visible + np.searchsorted(hidden - np.arange(len(hidden)), visible, "right")

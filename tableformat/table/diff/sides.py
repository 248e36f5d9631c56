"""One side of a diff: a table or a selection of one, whose rows are counted from 0 in the order of the selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.table.batches import joined, rows_only
from tableformat.table.diff.kept import Kept
from tableformat.table.join.pairs import take_rows
from tableformat.table.reading import Piece, Reading
from tableformat.table.selection import Filter, Indices, Positions, RowRange, Step
from tableformat.table.table import Table

__all__ = ["DiffSide", "Ranges", "Rows", "merged_ranges", "whole"]

_SCAN_ROWS: Final = 4096
"""Runs of fewer rows are fetched as single rows, many runs at a time."""
_TAKE_ROWS: Final = 1 << 17
_SHARE: Final = 10
"""Of the memory: what a scan may read ahead, and as much for row groups of single rows."""

Ranges = Any
"""Runs of rows, as an int64 array of shape (n, 2): the first row of each, and the row behind the last."""

Rows = tuple[Positions, pa.RecordBatch]
"""Numbers of rows of a side, and their columns in storage types."""


class DiffSide:
    """Rows by number. Immutable; safe from many threads.

    Behind a filter it holds 8 bytes for each row that the filter leaves.
    """

    def __init__(self, table: Table, memory: int) -> None:
        # A table that is filled by hand may go on; what is compared are the rows that it has now.
        limits = table.source.limits
        share = memory // _SHARE
        self.source = replace(
            table.source,
            limits=replace(limits, flight_bytes=min(limits.flight_bytes, share), cache_bytes=min(limits.cache_bytes, share)),
        )  # fmt: skip
        self.reading = Reading(self.source)
        self.schema = table.schema
        self.selection = table._selection
        self.label = self.source.address
        self.key = table.key
        self._step, self._numbers = self._resolved(table._selection.steps)
        self.rows = self._count()
        self.kept: Kept | None = None
        """Rows that need not be read again; whoever compares the sides fills it."""

    @property
    def is_whole(self) -> bool:
        """Whether it has all rows of the table, in their order."""
        return not self.selection.steps

    def _resolved(self, steps: Sequence[Step]) -> tuple[range, Positions | None]:
        """The numbers in the table of its rows: a range, or each of them."""
        if not steps:
            return range(self.source.entry.rows), None
        first = steps[0]
        if len(steps) == 1 and isinstance(first, RowRange):
            return first.rows, None
        if len(steps) == 1 and isinstance(first, Indices):
            return range(0), first.rows
        return range(0), self.reading.row_numbers(steps)

    def _count(self) -> int:
        return len(self._step) if self._numbers is None else len(self._numbers)

    @property
    def is_filtered(self) -> bool:
        """Whether some rows of the table may be missing for what they hold."""
        return any(isinstance(step, Filter) for step in self.selection.steps)

    @property
    def has_repeats(self) -> bool:
        """Whether a row of the table may stand in it twice."""
        return self._numbers is not None and len(np.unique(self._numbers)) < len(self._numbers)

    def table_rows(self, rows: Positions) -> Positions:
        """The numbers in the table of rows of this side."""
        if self._numbers is not None:
            return self._numbers[rows]
        return self._step.start + rows * self._step.step

    def stream(self, ranges: Ranges, columns: Sequence[str]) -> Iterator[Rows]:
        """The rows of `ranges`, in that order, with `columns` in storage types. Holds what a scan reads ahead."""
        for start, stop, rows in self._tasks(ranges):
            if rows is not None:
                for at in range(0, len(rows), _TAKE_ROWS):
                    some = rows[at : at + _TAKE_ROWS]
                    yield some, self.take(some, columns)
                continue
            at = start
            for piece in self._scan(start, stop, columns):
                yield np.arange(at, at + len(piece.rows), dtype=np.int64), piece.batch
                at += len(piece.rows)

    def _tasks(self, ranges: Ranges) -> Iterator[tuple[int, int, Positions | None]]:
        """(first, behind the last, None) of a long run, or (0, 0, rows) of many short ones."""
        short: list[Positions] = []
        held = 0
        for start, stop in merged_ranges(ranges).tolist():
            if self._numbers is None and stop - start >= _SCAN_ROWS:
                if short:
                    yield 0, 0, np.concatenate(short)
                    short, held = [], 0
                yield start, stop, None
                continue
            for begin in range(start, stop, _TAKE_ROWS):
                short.append(np.arange(begin, min(begin + _TAKE_ROWS, stop), dtype=np.int64))
                held += len(short[-1])
                if held >= _TAKE_ROWS:
                    yield 0, 0, np.concatenate(short)
                    short, held = [], 0
        if short:
            yield 0, 0, np.concatenate(short)

    def _scan(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Piece]:
        chosen = self._step[start:stop]
        return self.reading.pieces([RowRange(chosen.start, chosen.stop, chosen.step)], list(columns))

    def take(self, rows: Positions, columns: Sequence[str]) -> pa.RecordBatch:
        """The rows with these numbers, in this order; rows of nulls for -1. Reads each row group that holds some once."""
        wanted, places = np.unique(rows, return_inverse=True)
        if len(wanted) and wanted[0] < 0:
            wanted, places = wanted[1:], places - 1
        found = self._fetch(wanted, columns)
        if len(wanted) == len(rows) and (places[1:] > places[:-1]).all():
            return found
        return take_rows(found, places)

    def _fetch(self, rows: Positions, columns: Sequence[str]) -> pa.RecordBatch:
        """Ascending rows, each once."""
        if not columns:
            return rows_only(len(rows))
        found = self.kept.find(rows, columns) if self.kept is not None else None
        if found is None:
            return self._read(rows, columns)
        there, kept = found
        if there.all():
            return kept
        places = np.empty(len(rows), np.int64)
        places[there], places[~there] = np.arange(len(kept)), np.arange(len(kept), len(rows))
        return joined([kept, self._read(rows[~there], columns)]).take(pa.array(places))

    def _read(self, rows: Positions, columns: Sequence[str]) -> pa.RecordBatch:
        found = [piece for step in self._steps(rows) for piece in self._pieces_of(step, columns)] if len(rows) else []
        if found:
            return joined(found)
        storage = self.reading.storage
        fields = [storage.field(name) for name in columns]
        return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in fields], schema=pa.schema(fields))

    def _steps(self, rows: Positions) -> Iterator[Positions]:
        """The same rows by their numbers in the table, cut where what lies between is worth leaving out."""
        numbers = self.table_rows(rows)
        if len(numbers) < 2 or (numbers[1:] <= numbers[:-1]).any():
            yield numbers
            return
        cuts = np.flatnonzero(np.diff(numbers) > max(self.source.entry.layout.group_rows, _SCAN_ROWS)) + 1
        alone: list[Positions] = []
        for some in np.split(numbers, cuts):
            if some[-1] - some[0] >= _SCAN_ROWS:
                if alone:
                    yield np.concatenate(alone)
                    alone = []
                yield some
            else:
                alone.append(some)
        if alone:
            yield np.concatenate(alone)

    def _pieces_of(self, numbers: Positions, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the table: picked out of a scan, where some stand in every row group, else fetched one by one."""
        low, high = int(numbers[0]), int(numbers[-1]) + 1
        close = max(self.source.entry.layout.group_rows, _SCAN_ROWS)
        if high - low < _SCAN_ROWS or (numbers[1:] <= numbers[:-1]).any() or (np.diff(numbers) > close).any():
            yield from (piece.batch for piece in self.reading.pieces([Indices(numbers)], list(columns)))
            return
        for piece in self.reading.pieces([RowRange(low, high)], list(columns)):
            inside = numbers[
                np.searchsorted(numbers, piece.rows[0]) : np.searchsorted(numbers, piece.rows[-1], "right")
            ]
            if len(inside) == len(piece.rows):
                yield piece.batch
            elif len(inside):
                yield piece.batch.take(pa.array(inside - piece.rows[0]))


def whole(rows: int) -> Ranges:
    """All rows of a side of so many."""
    return np.array([[0, rows]] if rows else np.empty((0, 2)), np.int64)


def merged_ranges(ranges: Ranges) -> Ranges:
    """The same rows in the same order, in runs as long as can be."""
    if len(ranges) < 2:
        return ranges
    begins = np.flatnonzero(np.append(True, ranges[1:, 0] != ranges[:-1, 1]))
    ends = np.append(begins[1:], len(ranges)) - 1
    return np.stack([ranges[begins, 0], ranges[ends, 1]], axis=1)

"""Rows that differ, kept while both tables are matched, so that they need not be read a second time. Only while they are few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tableformat.table.batches import joined, select
from tableformat.table.selection import Positions

__all__ = ["Kept"]


class Kept:
    """Rows of one side by number, in storage types. Filled by one thread, then read by any. Keeps nothing past `max_bytes`."""

    def __init__(self, schema: pa.Schema, max_bytes: int) -> None:
        self._schema = schema
        self._left = max_bytes
        self._batches: list[pa.RecordBatch] = []
        self._numbers: list[Positions] = []
        self._rows = np.empty(0, np.int64)

    @property
    def columns(self) -> list[str]:
        """The columns of its rows."""
        names: list[str] = self._schema.names
        return names

    def add(self, numbers: Positions, arrays: Sequence[pa.Array]) -> None:
        """More rows: their numbers and columns."""
        batch = pa.RecordBatch.from_arrays(list(arrays), schema=self._schema)
        self._left -= batch.nbytes
        if self._left < 0:
            self._batches, self._numbers = [], []
        elif len(numbers):
            # A copy: a slice would hold the whole window that it was cut from.
            self._batches.append(batch.take(pa.array(np.arange(len(numbers)))))
            self._numbers.append(numbers)

    def finish(self) -> None:
        """No more rows come."""
        if self._batches:
            rows = np.concatenate(self._numbers)
            order = np.argsort(rows)
            self._rows = rows[order]
            self._batches = [joined(self._batches).take(pa.array(order))]

    def find(
        self, rows: Positions, columns: Sequence[str]
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], pa.RecordBatch] | None:
        """Which of some ascending rows are kept, and these; None where none is, or not with all of the columns."""
        if not len(self._rows) or not set(columns) <= set(self.columns):
            return None
        places = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        there = self._rows[places] == rows
        if not there.any():
            return None
        return there, select(self._batches[0], columns).take(pa.array(places[there]))

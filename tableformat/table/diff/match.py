"""Rows of two sides matched by a unique key, in bounded memory.

Versions of a table mostly have their rows in nearly one order. So both sides are read side by side in windows; what meets within is
compared at once and forgotten, and what does not is carried into the next window. Where more is carried than may be held, it
is divided by a hash of the key into temporary files, and matched there at the end (spec/diff.md, "Reading").
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.table.batches import joined
from tableformat.table.diff.found import Found
from tableformat.table.diff.partitions import Partition, Partitions
from tableformat.table.diff.tally import Tally
from tableformat.table.join.index import KeyIndex
from tableformat.table.selection import Positions

__all__ = ["Matcher"]

_WINDOW_ROWS: Final = 1 << 16
_WINDOW_BYTES: Final = 8 << 20
_CARRIED: Final = 0.05
"""Of the memory: what may be carried of each side."""
_HELD: Final = 0.2
"""Of the memory: what one side of a partition may take, beside its index."""


Keeper = Callable[[int, pa.RecordBatch], None]
"""Takes rows of side 0 or 1 that differ."""


class Matcher:
    """Matches batches of two sides, each with `keys` normalised key columns, the columns compared in their forms, others that are
    carried, and, last, the number of the row. With `is_sorted` both come in ascending order of the one key column. Holds about half of `memory` at most.
    """

    def __init__(
        self, keys: int, tally: Tally, found: Found, memory: int, *, is_sorted: bool = False, keep: Keeper | None = None
    ) -> None:
        self._keys, self._tally, self._found = keys, tally, found
        self._compared = len(tally.columns)
        self._keep = keep
        self._is_sorted = is_sorted and keys == 1
        self._memory = memory
        self._put_aside: Partitions | None = None

    def run(self, left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]) -> None:
        """Match all rows."""
        streams = [_Stream(left), _Stream(right)]
        held: list[pa.RecordBatch | None] = [None, None]
        while not all(stream.is_done for stream in streams):
            windows = self._windows(streams, held)
            if windows[0] is not None and windows[1] is not None:
                held = self._settled(streams, windows, self._match(windows[0], windows[1]))
            else:
                held = windows
            if any(batch is not None and batch.nbytes > self._memory * _CARRIED for batch in held):
                held = self._aside(held)
        if self._put_aside is None:
            self._unmatched(held)
            return
        self._aside(held)
        for partition in self._put_aside.finish(int(self._memory * _HELD)):
            self._match_partition(partition)

    def _windows(
        self, streams: Sequence[_Stream], held: Sequence[pa.RecordBatch | None]
    ) -> list[pa.RecordBatch | None]:
        """What is held of each side and the next rows: as many as are held, so that carrying costs no more than reading."""
        rows = max(_WINDOW_ROWS, *(batch.num_rows for batch in held if batch is not None), 0)
        size = max(min(_WINDOW_BYTES, self._memory // 20), *(batch.nbytes for batch in held if batch is not None), 0)
        behind = _side_behind(streams) if self._is_sorted else None
        return [
            _together([batch, *(stream.take(rows, size) if behind is None or side == behind else [])])
            for side, (batch, stream) in enumerate(zip(held, streams, strict=True))
        ]

    def _settled(
        self, streams: Sequence[_Stream], windows: Sequence[pa.RecordBatch | None], rest: tuple[Positions, Positions]
    ) -> list[pa.RecordBatch | None]:
        """The rows that may still meet. In sorted tables those below the last key that was read of both cannot."""
        left: list[pa.RecordBatch | None] = [_some(batch, rows) for batch, rows in zip(windows, rest, strict=True)]
        if not self._is_sorted or any(stream.is_done for stream in streams):
            return left
        last = min(stream.last for stream in streams)
        for side, batch in enumerate(left):
            assert batch is not None
            column = batch.column(0)
            over = np.flatnonzero(np.asarray(pc.greater(column, pa.scalar(last, column.type))))
            first = int(over[0]) if len(over) else batch.num_rows
            self._unmatched([batch.slice(0, first) if side == one else None for one in (0, 1)])
            left[side] = batch.slice(first)
        return left

    def _aside(self, carried: Sequence[pa.RecordBatch | None]) -> list[pa.RecordBatch | None]:
        if self._put_aside is None:
            self._put_aside = Partitions(self._keys, secrets.randbits(64))
        for side, batch in enumerate(carried):
            if batch is not None:
                self._put_aside.add(side, batch)
        return [None, None]

    def _match(self, left: pa.RecordBatch, right: pa.RecordBatch) -> tuple[Positions, Positions]:
        """Record what meets; the rows of both that do not."""
        keys = [list(batch.columns[: self._keys]) for batch in (left, right)]
        if left.num_rows == right.num_rows and all(one.equals(other) for one, other in zip(*keys, strict=True)):
            rows = np.arange(left.num_rows, dtype=np.int64)
            self._record(left, right, rows, rows)
            return rows[:0], rows[:0]
        return self._match_index(left, right, KeyIndex(keys[1]), keys[0])

    def _match_index(
        self, left: pa.RecordBatch, right: pa.RecordBatch, index: KeyIndex, keys: list[pa.Array]
    ) -> tuple[Positions, Positions]:
        matches = index.match(keys)
        rows = np.flatnonzero(matches.counts)
        met = index.order[matches.starts[rows]]
        self._record(left, right, rows, met)
        alone = np.ones(right.num_rows, np.bool_)
        alone[met] = False
        return np.flatnonzero(matches.counts == 0), np.flatnonzero(alone)

    def _record(self, left: pa.RecordBatch, right: pa.RecordBatch, rows: Positions, met: Positions) -> None:
        one, other = _some(left, rows), _some(right, met)
        numbers = [np.asarray(batch.column(batch.num_columns - 1)) for batch in (one, other)]
        places = range(self._keys, self._keys + self._compared)
        changed, masks = self._tally.compare(
            range(self._compared),
            [one.column(place) for place in places],
            [other.column(place) for place in places],
            len(rows),
        )
        self._found.add_pairs(numbers[0], numbers[1], changed, masks)
        if self._keep is not None and len(changed):
            for side, batch in enumerate((one, other)):
                self._keep(side, _some(batch, changed))

    def _match_partition(self, partition: Partition) -> None:
        """The smaller side is held, the other streams past."""
        held = int(partition.bytes[1] > partition.bytes[0])
        there = _together([*partition.batches(held)])
        index = KeyIndex(there.columns[: self._keys]) if there is not None else None
        alone = np.ones(there.num_rows if there is not None else 0, np.bool_)
        for batch in partition.batches(1 - held):
            if there is None or index is None:
                self._unmatched([None, batch] if held == 0 else [batch, None])
                continue
            matches = index.match(batch.columns[: self._keys])
            rows = np.flatnonzero(matches.counts)
            met = index.order[matches.starts[rows]]
            alone[met] = False
            if held:
                self._record(batch, there, rows, met)
            else:
                self._record(there, batch, met, rows)
            rest = _some(batch, np.flatnonzero(matches.counts == 0))
            self._unmatched([rest, None] if held else [None, rest])
        if there is not None:
            rest = _some(there, np.flatnonzero(alone))
            self._unmatched([None, rest] if held else [rest, None])

    def _unmatched(self, batches: Sequence[pa.RecordBatch | None]) -> None:
        for side, batch in enumerate(batches):
            if batch is not None and batch.num_rows:
                self._found.add_alone(side, np.asarray(batch.column(batch.num_columns - 1)))
                if self._keep is not None:
                    self._keep(side, batch)


class _Stream:
    """Batches taken some rows at a time."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._taken: pa.RecordBatch | None = None
        self.is_done = False

    @property
    def last(self) -> Any:
        """The key of the last row taken; None before the first."""
        return None if self._taken is None else self._taken.column(0)[self._taken.num_rows - 1].as_py()

    def take(self, rows: int, size: int) -> list[pa.RecordBatch]:
        """Batches of about `rows` rows or `size` bytes, whichever is less; fewer at the end."""
        found: list[pa.RecordBatch] = []
        count = held = 0
        while not self.is_done and count < rows and held < size:
            batch = next(self._batches, None)
            if batch is None:
                self.is_done = True
                break
            if batch.num_rows:
                found.append(batch)
                count += batch.num_rows
                held += batch.nbytes
        if found:
            self._taken = found[-1].slice(found[-1].num_rows - 1)
        return found


def _side_behind(streams: Sequence[_Stream]) -> int | None:
    """The side whose last key is the lesser; None where both are to be read."""
    left, right = streams
    if left.is_done or right.is_done or left.last is None or right.last is None or left.last == right.last:
        return None
    return int(right.last < left.last)


def _together(batches: Sequence[pa.RecordBatch | None]) -> pa.RecordBatch | None:
    kept = [batch for batch in batches if batch is not None and batch.num_rows]
    return joined(kept) if kept else None


def _some(batch: pa.RecordBatch | None, rows: Positions) -> pa.RecordBatch:
    """The rows of a batch at `rows`: a slice where they are neighbours."""
    assert batch is not None
    if not len(rows):
        return batch.slice(0, 0)
    first = int(rows[0])
    if int(rows[-1]) - first + 1 == len(rows) and (rows[1:] - rows[:-1] == 1).all():
        return batch.slice(first, len(rows))
    return batch.take(pa.array(rows))

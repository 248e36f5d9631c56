"""Pairs of rows that a join makes, and how keys that were looked up become pairs, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.table.batches import rows_only
from tableformat.table.join.index import Matches
from tableformat.table.selection import Positions

__all__ = [
    "KINDS",
    "How",
    "Pairs",
    "keeps_left",
    "keeps_right",
    "number_rows",
    "numbers_of",
    "pair_runs",
    "take_rows",
    "unmatched",
    "unnumbered",
]

How = Literal["inner", "left", "right", "outer", "semi", "anti"]
KINDS: Final = ("inner", "left", "right", "outer", "semi", "anti")
RUN_ROWS: Final = 1 << 17
"""Pairs that are made at a time, however often keys stand."""
_ZEROS: Final[Positions] = np.broadcast_to(np.int64(0), 1 << 40)  # eight bytes in memory


def keeps_left(how: How) -> bool:
    """Whether rows of the left without a match are kept beside the others."""
    return how in ("left", "outer")


def keeps_right(how: How) -> bool:
    """Whether rows of the right without a match are kept."""
    return how in ("right", "outer")


def unnumbered(count: int) -> Positions:
    """`count` zeros, where nobody asks for the numbers of rows. They take no memory, and cannot be written to."""
    return _ZEROS[:count]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A run of rows of a join: batches of one length, with nulls where a side has no row."""

    left: pa.RecordBatch
    left_rows: Positions
    """The number of each row on the left; -1 for none."""
    right: pa.RecordBatch
    right_rows: Positions

    def __len__(self) -> int:
        return len(self.left_rows)

    def slice(self, start: int, stop: int) -> Pairs:
        """Some of the rows, neighbours."""
        count = stop - start
        return Pairs(
            self.left.slice(start, count),
            self.left_rows[start:stop],
            self.right.slice(start, count),
            self.right_rows[start:stop],
        )

    def take(self, rows: Positions) -> Pairs:
        """Some of the rows."""
        return Pairs(
            take_rows(self.left, rows), self.left_rows[rows], take_rows(self.right, rows), self.right_rows[rows]
        )


def take_rows(batch: pa.RecordBatch, rows: Positions) -> pa.RecordBatch:
    """The rows of a batch at `rows`; nulls where that is -1."""
    if not batch.num_columns:
        return rows_only(len(rows))
    count = len(rows)
    if count == batch.num_rows and count and rows[0] == 0 and rows[-1] == count - 1 and _is_run(rows):
        return batch
    missing = rows < 0
    indices = pa.array(rows, mask=missing) if missing.any() else pa.array(rows)
    if not batch.num_rows:
        arrays = [pa.nulls(count, column.type) for column in batch.columns]
    else:
        arrays = [column.take(indices) for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _is_run(rows: Positions) -> bool:
    return bool((rows[1:] - rows[:-1] == 1).all())


def number_rows(numbers: range | Positions, rows: Positions) -> Positions:
    """`numbers` at `rows`; -1 where that is -1."""
    if isinstance(numbers, range):
        if not numbers.start and numbers.step == 1:
            return rows
        return np.where(rows < 0, np.int64(-1), rows * numbers.step + numbers.start)
    if not len(numbers):
        return np.full(len(rows), -1, np.int64)
    return np.where(rows < 0, np.int64(-1), numbers[rows])


def numbers_of(runs: Sequence[range | Positions]) -> range | Positions:
    """The row numbers of runs that follow each other, at least one: a range where they are one."""
    first, last = runs[0], runs[-1]
    if isinstance(first, range) and isinstance(last, range) and len(first) and first.step == 1:
        whole = range(first.start, last.stop)
        if len(whole) == sum(map(len, runs)) and all(isinstance(run, range) and run.step == 1 for run in runs):
            return whole
    return np.concatenate([np.asarray(run, np.int64) for run in runs])


def pair_runs(matches: Matches, how: How) -> Iterator[tuple[Positions, Positions]]:
    """Runs of (row that was looked up, place in the index or -1), in the order of the rows that were looked up.

    Of `right` and `outer` only what the looked-up side decides: their unmatched rows of the other side come after. For
    `semi` and `anti` there is no place.
    """
    counts = matches.counts
    if how in ("semi", "anti"):
        rows = np.flatnonzero(counts > 0 if how == "semi" else counts == 0)
        yield rows, np.full(len(rows), -1, np.int64)
        return
    made = np.maximum(counts, 1) if keeps_left(how) else counts
    if not len(made):
        return
    if made.max() <= 1:
        rows = np.flatnonzero(made)
        yield rows, np.where(counts[rows] > 0, matches.starts[rows], np.int64(-1))
        return
    ends = np.cumsum(made)
    for begin in range(0, int(ends[-1]), RUN_ROWS):
        wanted = np.arange(begin, min(begin + RUN_ROWS, int(ends[-1])), dtype=np.int64)
        rows = np.searchsorted(ends, wanted, "right")
        within = wanted - (ends[rows] - made[rows])
        yield rows, np.where(counts[rows] > 0, matches.starts[rows] + within, np.int64(-1))


def unmatched(matched: npt.NDArray[np.bool_]) -> Iterator[Positions]:
    """The rows that are not marked, a run at a time."""
    rows = np.flatnonzero(~matched)
    for begin in range(0, len(rows), RUN_ROWS):
        yield rows[begin : begin + RUN_ROWS]

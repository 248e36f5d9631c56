"""What a diff found, row by row, in 24 bytes and more: which rows of both sides belong together, and which columns changed.

Held in memory up to a bound, then as sorted runs in a temporary file; read back in order, a bounded slice at a time.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from tableformat.table.selection import Positions

__all__ = ["ABSENT", "Entries", "Records", "mask_words"]

ABSENT = -1
"""In place of the number of a row where there is none."""

Records = Any
"""A structured array: `at`, the row that decides the order; `other`, the row of the other side, or `ABSENT`; `count`; `mask`."""

_SLICE_ROWS = 1 << 18


def mask_words(columns: int) -> int:
    """Words of 64 bits that hold a bit for each column."""
    return max(1, -(-columns // 64))


class Entries:
    """Records in ascending order of `at`. Filled first, by one thread, then read by any number of iterators.

    Where `runs`, a record stands for `count` pairs of rows, each the one after the last; else for one row that is there `count`
    times. Holds up to `max_bytes`, and a slice of records while they are read.
    """

    def __init__(self, words: int, max_bytes: int, *, runs: bool) -> None:
        self._type = np.dtype([("at", "<i8"), ("other", "<i8"), ("count", "<i8"), ("mask", "<u8", (words,))])
        self._max_bytes = max_bytes
        self._is_run = runs
        self._pending: list[Records] = []
        self._pending_bytes = 0
        self._spill: IO[bytes] | None = None
        self._runs: list[tuple[int, int]] = []
        self._whole: Records | None = None
        self._last = -1
        self.rows = 0
        """How many rows the records stand for."""

    def add(self, at: Any, other: Any, count: Any = 1, mask: Any = 0) -> None:
        """More records; any of the arrays may be one value for all."""
        made = np.empty(len(at), self._type)
        if not len(made):
            return
        made["at"], made["other"], made["count"], made["mask"] = at, other, count, mask
        self.rows += int(made["count"].sum()) if self._is_run else len(made)
        self._last = max(self._last, int(made["at"].max()))
        self._pending.append(made)
        self._pending_bytes += made.nbytes
        if self._pending_bytes > self._max_bytes:
            self._flush()

    def _flush(self) -> None:
        made = self._sorted()
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(prefix="tableformat-diff-")  # noqa: SIM115 - as long as this object
            weakref.finalize(self, self._spill.close)
        start = self._runs[-1][1] if self._runs else 0
        self._spill.write(memoryview(made).cast("B"))
        self._runs.append((start, start + len(made)))
        self._pending, self._pending_bytes = [], 0

    def _sorted(self) -> Records:
        made = np.concatenate(self._pending) if self._pending else np.empty(0, self._type)
        return made[np.argsort(made["at"], kind="stable")]

    def finish(self) -> None:
        """No more records come."""
        if self._spill is None:
            self._whole = self._sorted()
            self._pending = []
        else:
            if self._pending:
                self._flush()
            self._spill.flush()

    def slices(self) -> Iterator[Records]:
        """All records in order."""
        if self._whole is not None:
            for start in range(0, len(self._whole), _SLICE_ROWS):
                yield self._whole[start : start + _SLICE_ROWS]
            return
        assert self._spill is not None
        stored = np.memmap(self._spill, self._type, "r")
        runs = [stored[start:stop] for start, stop in self._runs]
        for low in range(0, self._last + 1, _SLICE_ROWS):  # a row stands in one record, or in two
            pieces = []
            for run in runs:
                start, stop = np.searchsorted(run["at"], [low, low + _SLICE_ROWS])
                pieces.append(np.asarray(run[start:stop]))
            found = np.concatenate(pieces)
            if len(found):
                yield found[np.argsort(found["at"], kind="stable")]

    def expanded(self) -> Iterator[Records]:
        """All records in order, runs as a record for each of their rows, at most 262,144 at a time."""
        for some in self.slices():
            if not self._is_run or (some["count"] == 1).all():
                yield some
                continue
            ends = np.cumsum(some["count"])
            for start in range(0, int(ends[-1]), _SLICE_ROWS):
                places = np.arange(start, min(start + _SLICE_ROWS, int(ends[-1])), dtype=np.int64)
                of = np.searchsorted(ends, places, "right")
                within: Positions = places - (ends[of] - some["count"][of])
                made = some[of]
                made["at"] += within
                made["other"] += np.where(made["other"] == ABSENT, 0, within)
                made["count"] = 1
                yield made

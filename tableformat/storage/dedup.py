"""Which blobs a writer has seen, and where it put them: a dictionary of the recent ones, sorted runs of the rest.

Memory is bounded whatever the number of blobs: 65,536 recent ones, runs of up to half a million blobs in memory (at most
about 50 MB, since four of a size are merged), longer ones in temporary files of 52 bytes a blob.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tableformat.storage.digest_runs import Run, digest_array, merge_runs

__all__ = ["RECENT_BLOBS", "Places", "SeenBlobs"]

RECENT_BLOBS: Final = 65_536
"""How many blobs stand in the dictionary before they become a run."""
_SPILL_ROWS: Final = 1 << 19
_FAN_IN: Final = 4

Places = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Slot, offset and size of a batch of blobs, each of shape (n,)."""


class SeenBlobs:
    """The blobs of one writing session by digest. One batch at a time: `reserve`, then `settle`.

    A batch is reserved whole by a single pass in C over the dictionary, which finds repeats within the batch and among the
    recent blobs at once; only what that leaves is looked up in the runs.
    """

    def __init__(self, recent_blobs: int = RECENT_BLOBS, spill_rows: int = _SPILL_ROWS) -> None:
        self._limit = recent_blobs
        self._spill_rows = spill_rows
        self._recent: dict[bytes, int] = {}
        self._base = self._next = 0
        self._slot = np.empty(0, np.int32)
        self._offset = np.empty(0, np.int64)
        self._size = np.empty(0, np.int64)
        self._own = np.empty(0, np.bool_)  # whether the place was written by this writer, not found elsewhere
        self._levels: list[list[Run]] = []

    def reserve(self, digests: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """An ordinal for each of `digests`, and whether it is the first of its kind among the recent ones and the batch."""
        count = len(digests)
        mine = np.arange(self._next, self._next + count)
        ordinals = np.fromiter(
            map(self._recent.setdefault, digests, range(self._next, self._next + count)), np.int64, count
        )
        self._next += count
        return ordinals, ordinals == mine

    def find_older(self, wanted: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], Places]:
        """Of digests of shape (n, 32) that are not recent: which were seen before, and their places where so."""
        return find_in_runs([run for level in self._levels for run in level], wanted)

    def settle(self, ordinals: npt.NDArray[np.int64], places: Places, own: npt.NDArray[np.bool_]) -> Places:
        """Record the batch just reserved, and return its places with those of the repeats filled in.

        `places` are right where a blob was the first of its kind; `own` says which of those were written now.
        """
        end = self._next - self._base
        start = end - len(ordinals)
        if end > len(self._slot):
            room = max(end, 2 * len(self._slot))
            self._slot, self._offset, self._size, self._own = (
                np.concatenate([old[:start], np.empty(room - start, old.dtype)])
                for old in (self._slot, self._offset, self._size, self._own)
            )
        self._slot[start:end], self._offset[start:end], self._size[start:end] = places
        self._own[start:end] = own
        at = ordinals - self._base
        found = (self._slot[at], self._offset[at], self._size[at])
        self._slot[start:end], self._offset[start:end], self._size[start:end] = found
        if len(self._recent) >= self._limit or end > 4 * self._limit:
            self._freeze()
        return found

    @property
    def has_older(self) -> bool:
        """Whether there are blobs that are not recent."""
        return any(self._levels)

    def forget(self) -> None:
        """Drop all that was seen."""
        self._recent.clear()
        self._base = self._next
        self._levels.clear()

    def add_own(self, blobs: Sequence[tuple[bytes, int, int, int]]) -> None:
        """Blobs that are there from before, with slot, offset and size: as if they had been settled as own."""
        if blobs:
            digests, slot, offset, size = zip(*blobs, strict=True)
            places = np.array(slot, np.int32), np.array(offset, np.int64), np.array(size, np.int64)
            self._push(Run.from_arrays(digest_array(digests), *places), 0)

    def own_runs(self) -> list[Run]:
        """Runs that together hold every blob written by this writer once."""
        self._freeze()
        return [run for level in self._levels for run in level]

    def _freeze(self) -> None:
        """Turn the recent blobs into a run, and merge runs so that few are left to search."""
        at = np.fromiter(self._recent.values(), np.int64, len(self._recent)) - self._base
        own = self._own[at]
        if own.any():
            digests = digest_array(list(self._recent))[own]
            at = at[own]
            self._push(Run.from_arrays(digests, self._slot[at], self._offset[at], self._size[at]), 0)
        self._recent.clear()
        self._base = self._next

    def _push(self, run: Run, level: int) -> None:
        while len(self._levels) <= level:
            self._levels.append([])
        self._levels[level].append(run)
        if len(self._levels[level]) == _FAN_IN:
            runs, self._levels[level] = self._levels[level], []
            self._push(merge_runs(runs, self._spill_rows), level + 1)


def find_in_runs(runs: Sequence[Run], wanted: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], Places]:
    """Which of the digests of shape (n, 32) stand in one of `runs`, and the places there."""
    count = len(wanted)
    hit = np.zeros(count, np.bool_)
    slot, offset, size = np.zeros(count, np.int32), np.zeros(count, np.int64), np.zeros(count, np.int64)
    open_rows = np.arange(count)
    for run in runs:
        position = run.find(wanted[open_rows])
        found = position >= 0
        rows, at = open_rows[found], position[found]
        here = run.rows[at]
        hit[rows] = True
        slot[rows], offset[rows], size[rows] = here["slot"], here["offset"], here["size"]
        open_rows = open_rows[~found]
        if not len(open_rows):
            break
    return hit, (slot, offset, size)

"""What was found so far: pairs of rows, rows of one side, in the order in which a diff shows them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from tableformat.table.diff.entries import ABSENT, Entries
from tableformat.table.diff.plan import runs_beside, runs_of
from tableformat.table.diff.sides import Ranges
from tableformat.table.selection import Positions

__all__ = ["Found", "Keep"]

Keep = Literal["changed", "all"]
"""Rows that differ, or all."""


class Found:
    """Collects records: those of rows that the right side has, and those of rows that it has not.

    Holds up to `max_bytes`; the rest is in temporary files.
    """

    def __init__(self, words: int, keep: Keep, max_bytes: int, *, runs: bool = True) -> None:
        self.keeps_same = keep == "all"
        self.there = Entries(words, max_bytes, runs=runs)
        """By row of the right; `other` is the row of the left, or `ABSENT` for one that was added."""
        self.gone = Entries(words, max_bytes // 4, runs=runs)
        """By row of the left: what was removed."""
        self.added = self.removed = 0

    def add_pairs(self, left: Positions, right: Positions, changed: Positions, masks: npt.NDArray[np.uint64]) -> None:
        """Pairs of rows, of which those at `changed` differ."""
        self.there.add(right[changed], left[changed], 1, masks)
        if self.keeps_same:
            equal = np.ones(len(left), np.bool_)
            equal[changed] = False
            self._add_same(left[equal], right[equal])

    def _add_same(self, left: Positions, right: Positions) -> None:
        if len(left):
            order = np.argsort(right, kind="stable")
            self.add_same_runs(*runs_beside(left[order], right[order]))

    def add_same_runs(self, left: Ranges, right: Ranges) -> None:
        """Pairs of rows that are equal, as runs."""
        if self.keeps_same:
            self.there.add(right[:, 0], left[:, 0], right[:, 1] - right[:, 0])

    def add_same(self, left: Positions, right: Positions, counts: Positions) -> None:
        """Rows that both have, so many times each."""
        if self.keeps_same:
            self.there.add(right, left, counts)

    def add_alone(self, side: int, rows: Positions, counts: Positions | None = None) -> None:
        """Rows of side 0 or 1 that the other does not have; with `counts`, so many times each."""
        if counts is None:
            total = len(rows)
            ranges = runs_of(np.sort(rows))
            rows, counts = ranges[:, 0], ranges[:, 1] - ranges[:, 0]
        else:
            total = int(counts.sum())
        if side:
            self.added += total
            self.there.add(rows, ABSENT, counts)
        else:
            self.removed += total
            self.gone.add(rows, ABSENT, counts)

    def finish(self) -> None:
        """No more is found."""
        self.there.finish()
        self.gone.finish()

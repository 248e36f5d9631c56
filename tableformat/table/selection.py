"""Which rows and columns of a table: a small frozen value. Selections of selections are composed here and nothing is read.

Steps apply one after the other to the rows of the table. Until the first filter the number of rows is known, so ranges and
indices are resolved at once and merge into one step; after a filter they wait until rows are asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tableformat.errors import UsageError, message
from tableformat.format.expr import And, Predicate

__all__ = ["Filter", "Indices", "Picked", "Positions", "RowRange", "Selection", "Sliced", "Step", "as_positions"]

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowRange:
    """The rows `range(start, stop, step)` of the table; only ever the first step. May go backwards."""

    start: int
    stop: int
    step: int = 1

    @property
    def rows(self) -> range:
        """The numbers of the rows."""
        return range(self.start, self.stop, self.step)


@dataclass(frozen=True, slots=True, eq=False)
class Indices:
    """These rows of the table, in this order, with repetitions; only ever the first step."""

    rows: Positions


@dataclass(frozen=True, slots=True)
class Filter:
    """The rows for which a predicate is true."""

    predicate: Predicate


@dataclass(frozen=True, slots=True)
class Sliced:
    """`[start:stop:step]` of the rows that a filter leaves, as Python slices."""

    start: int | None
    stop: int | None
    step: int | None = None

    @property
    def needs_count(self) -> bool:
        """Whether it can be told only when all rows before it have been counted."""
        return any((bound or 0) < 0 for bound in (self.start, self.stop, self.step))


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Rows by their position among those that a filter leaves; not negative."""

    positions: Positions


Step = RowRange | Indices | Filter | Sliced | Picked


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Rows by `steps`, of which no two neighbours could be one, and columns by name."""

    columns: tuple[str, ...] | None = None
    """The columns shown, in this order, without the annotations that follow their media; None for all."""
    steps: tuple[Step, ...] = ()

    @property
    def is_counted(self) -> bool:
        """Whether the number of rows is known without reading any."""
        return not any(isinstance(step, Filter) for step in self.steps)

    def count(self, table_rows: int) -> int:
        """The number of rows of a selection that is counted, of a table of `table_rows` rows."""
        assert self.is_counted
        return len(self.steps[0].rows) if self.steps else table_rows  # type: ignore[union-attr]  # no filter, so a range or indices

    def with_columns(self, columns: Sequence[str]) -> Selection:
        """The same rows with these columns."""
        return replace(self, columns=tuple(columns))

    def with_filter(self, predicate: Predicate) -> Selection:
        """Those of the rows for which `predicate` is true."""
        if self.steps and isinstance(last := self.steps[-1], Filter):
            return replace(self, steps=(*self.steps[:-1], Filter(And(last.predicate, predicate))))
        return replace(self, steps=(*self.steps, Filter(predicate)))

    def with_slice(self, start: int | None, stop: int | None, step: int | None, table_rows: int) -> Selection:
        """`[start:stop:step]` of the rows."""
        if step == 0:
            raise UsageError(message("slicing a table", expected="a step other than 0", got=0))
        if not self.is_counted:
            return replace(self, steps=(*self.steps, Sliced(start, stop, step)))
        chosen = slice(start, stop, step)
        if self.steps and isinstance(first := self.steps[0], Indices):
            return replace(self, steps=(Indices(first.rows[chosen]),))
        before = self.steps[0].rows if self.steps and isinstance(self.steps[0], RowRange) else range(table_rows)
        rows = before[chosen]
        return replace(self, steps=(RowRange(rows.start, rows.stop, rows.step),))

    def with_positions(self, positions: Positions) -> Selection:
        """The rows at `positions`, which are not negative and, where the rows are counted, below their number."""
        if not self.is_counted:
            return replace(self, steps=(*self.steps, Picked(positions)))
        if not self.steps:
            return replace(self, steps=(Indices(positions),))
        first = self.steps[0]
        if isinstance(first, Indices):
            return replace(self, steps=(Indices(first.rows[positions]),))
        assert isinstance(first, RowRange)
        return replace(self, steps=(Indices(first.start + positions * first.step),))

    def with_rows(self, rows: Positions, kept_steps: Sequence[Step]) -> Selection:
        """The selection that `rows` of the table and then `kept_steps` are: its first steps, carried out."""
        return replace(self, steps=(Indices(rows), *kept_steps))


def as_positions(indices: Any, count: int | None) -> Positions:
    """Row positions as users give them, checked against `count` (None: unknown), negative ones counted from the end.

    Takes lists, ranges, numpy and Arrow arrays of integers, and numpy arrays of bools of the table's length. Raises
    `IndexError` where one is outside, `UsageError` for anything else.
    """
    if isinstance(indices, range):
        array = np.arange(indices.start, indices.stop, indices.step, dtype=np.int64)
    else:
        if hasattr(indices, "to_numpy"):
            indices = indices.to_numpy()
        array = np.asarray(indices if isinstance(indices, (np.ndarray, list, tuple)) else list(indices))
    if array.dtype == np.bool_ and array.ndim == 1:
        if count is None or len(array) != count:
            raise UsageError(message("taking rows", expected="a mask as long as the table", got=f"{len(array)} bools"))
        return np.flatnonzero(array).astype(np.int64)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(
            message("taking rows", expected="a list of whole numbers", got=f"{array.dtype} of shape {array.shape}")
        )
    array = array.astype(np.int64)
    if count is None:
        if (least := int(array.min())) < 0:
            raise UsageError(message("taking rows of a filtered table", expected="positions from 0", got=least))
        return array
    outside = (array >= count) | (array < -count)
    if outside.any():
        raise IndexError(
            message("taking rows", expected=f"positions below {count}", got=int(array[int(np.argmax(outside))]))
        )
    return np.where(array < 0, array + count, array)


def as_index(value: Any) -> int:
    """`value` as an integer; raises `UsageError` where it is none."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise UsageError(
            message("looking up a row", expected="a whole number or a slice", got=f"{value!r} ({type(value).__name__})")
        ) from error

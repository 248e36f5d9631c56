"""Plans of reads: which parts, which units of them and which rows. Pure: sizes come in, nothing is opened.

All rows here are visible ones: a part counts as many as are left of it. A *unit* is a run of rows of a part that is read
as a whole: a row group, or several where columns stand in several files. A `Span` is some rows of one part, read in one
go. Parts and units of which statistics show that no row can match are left out, and on any doubt they stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from tableformat.format.manifest import Part
from tableformat.storage.lazy_parts import LazyParts
from tableformat.table.selection import Positions

__all__ = [
    "SPAN_BYTES",
    "GroupRows",
    "PartRows",
    "Span",
    "part_starts",
    "plan_parts",
    "plan_spans",
    "plan_take",
    "plan_take_groups",
    "plan_units",
    "rows_within",
    "sorted_run",
    "total_bytes",
]

SPAN_BYTES: Final = 4 << 20
"""Decoded bytes that one task reads for single rows, where row groups are smaller: large enough that opening a file costs little."""
_SCAN_BYTES: Final = 8 << 20  # the same, of a scan: two columns of 10M rows took 80 ms so, and 95 by 4 MiB


@dataclass(frozen=True, slots=True)
class PartRows:
    """Rows of one part: `range(start, stop, step)`, counted from its first row; `step` may be negative."""

    part: int
    """Position of the part in the table."""
    first: int
    """The number in the table of the part's first row."""
    start: int
    stop: int
    step: int

    def __len__(self) -> int:
        return len(range(self.start, self.stop, self.step))


@dataclass(frozen=True, slots=True)
class Span:
    """Units of one part that are read together, and which of their rows are wanted."""

    part: int
    units: tuple[int, ...]
    """Numbers of the units, neighbours, ascending."""
    first: int
    """The number in the table of their first row."""
    start: int
    """The wanted rows are `range(start, stop, step)`, counted from their first row."""
    stop: int
    step: int

    @property
    def rows(self) -> range:
        """The wanted rows, counted from the first of the units."""
        return range(self.start, self.stop, self.step)


@dataclass(frozen=True, slots=True)
class GroupRows:
    """Single rows of one row group."""

    group: int
    rows: Positions
    """Counted from the group's first row, ascending."""


def part_starts(parts: Sequence[Part]) -> Positions:
    """The number in the table of each part's first row, and the number of all rows at the end."""
    starts = np.zeros(len(parts) + 1, np.int64)
    counts = parts.row_counts if isinstance(parts, LazyParts) else [part.visible_rows for part in parts]
    np.cumsum(counts, out=starts[1:])
    return starts


def total_bytes(parts: Sequence[Part]) -> int:
    """Decoded bytes of all parts."""
    return parts.total_bytes if isinstance(parts, LazyParts) else sum(part.bytes for part in parts)


def plan_parts(
    parts: Sequence[Part], starts: Positions, rows: range, may_match: Callable[[Part], bool] | None = None
) -> Iterator[PartRows]:
    """The parts that hold `rows` of the table, in the order of `rows`, without those that cannot match."""
    if not len(rows):
        return
    ascending = rows.step > 0
    low, high = (rows[0], rows[-1]) if ascending else (rows[-1], rows[0])
    begin = int(np.searchsorted(starts, low, "right")) - 1
    end = int(np.searchsorted(starts, high, "right"))
    for number in range(begin, end) if ascending else range(end - 1, begin - 1, -1):
        part = parts[number]
        first = int(starts[number])
        wanted = rows_within(rows, first, int(starts[number + 1]))
        if len(wanted) and (may_match is None or may_match(part)):
            yield PartRows(number, first, wanted.start - first, wanted.stop - first, wanted.step)


def sorted_run(parts: Sequence[Part], low_may: Callable[[Part], bool], high_may: Callable[[Part], bool]) -> range:
    """The numbers of the parts among which all lie that may match, of a table whose parts ascend by a column.

    `low_may` says whether rows with values up to those of a part may match, `high_may` whether rows with values from those of a
    part on may: of ascending parts the first is false and then true, the second true and then false. Asks of few parts.
    """
    first = bisect_left(parts, True, key=low_may)
    last = bisect_left(parts, True, lo=first, key=lambda part: not high_may(part))
    return range(first, last)


def rows_within(rows: range, low: int, high: int) -> range:
    """The members of `rows` from `low` up to `high`, as a range of the same step."""
    step = abs(rows.step)
    if rows.step > 0:
        first = max(rows.start, rows.start + -(-(low - rows.start) // step) * step)
        return range(first, min(rows.stop, high), step)
    top = rows.start
    first = min(top, top - -(-(top - (high - 1)) // step) * step)
    return range(first, max(rows.stop, low - 1), -step)


def plan_units(
    sizes: Sequence[int], wanted: PartRows, may_match: Callable[[int], bool] | None = None
) -> Iterator[tuple[int, int, range]]:
    """The units of a part that hold wanted rows and may match, in order: (unit, first row in the part, rows in the part)."""
    rows = range(wanted.start, wanted.stop, wanted.step)
    numbers = range(len(sizes))
    ends = list(accumulate(sizes))
    for number in numbers if wanted.step > 0 else reversed(numbers):
        high = ends[number]
        low = high - sizes[number]
        found = rows_within(rows, low, high)
        if len(found) and (may_match is None or may_match(number)):
            yield number, low, found


def plan_spans(
    sizes: Sequence[int], wanted: PartRows, row_bytes: float, may_match: Callable[[int], bool] | None = None
) -> Iterator[Span]:
    """The units of a part that are to be read, `sizes` rows each; neighbours joined up to 8 MiB at `row_bytes` decoded bytes a row."""
    most = max(int(_SCAN_BYTES / max(row_bytes, 0.01)), 1)
    run: list[tuple[int, int, range]] = []
    held = 0
    for unit, low, rows in plan_units(sizes, wanted, may_match):
        count = sizes[unit]
        joins = run and wanted.step > 0 and unit == run[-1][0] + 1 and held + count <= most
        if run and not joins:
            yield _span(wanted, run)
            run, held = [], 0
        run.append((unit, low, rows))
        held += count
    if run:
        yield _span(wanted, run)


def _span(wanted: PartRows, run: list[tuple[int, int, range]]) -> Span:
    low = run[0][1]
    start, stop = run[0][2].start - low, run[-1][2].stop - low
    return Span(wanted.part, tuple(unit for unit, _, _ in run), wanted.first + low, start, stop, wanted.step)


def plan_take(starts: Positions, rows: Positions) -> tuple[Positions, Positions]:
    """For sorted `rows` of the table: the parts that hold some, ascending, and where the rows of each begin in `rows`."""
    of_part = np.searchsorted(starts, rows, "right") - 1
    parts, begins = np.unique(of_part, return_index=True)
    return parts.astype(np.int64), np.append(begins, len(rows)).astype(np.int64)


def plan_take_groups(starts: Positions, rows: Positions) -> Iterator[GroupRows]:
    """For sorted stored `rows` of a part: the rows of each row group that holds some. `starts` are those of the row groups."""
    groups, begins = plan_take(starts, rows)
    for place, group in enumerate(groups.tolist()):
        yield GroupRows(group, rows[begins[place] : begins[place + 1]] - starts[group])

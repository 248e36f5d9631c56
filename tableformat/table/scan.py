"""Plans of reads: which parts, which row groups and which rows of them. Pure: footers come in, nothing is opened.

A `Span` is some rows of one part, read in one go. Parts and row groups whose statistics show that no row can match are left
out, and on any doubt they stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from tableformat.format.bound import Bound, BoundsOf, Leaf
from tableformat.format.bounds import UNKNOWN, Bounds, bounds_of_group, bounds_of_part
from tableformat.format.manifest import Part
from tableformat.table.leaves import Leaves
from tableformat.table.selection import Positions

__all__ = [
    "SPAN_BYTES",
    "GroupRows",
    "PartRows",
    "Span",
    "part_starts",
    "plan_groups",
    "plan_parts",
    "plan_spans",
    "plan_take",
    "plan_take_groups",
]

SPAN_BYTES: Final = 4 << 20
"""Decoded bytes that one task reads, where row groups are smaller: large enough that opening a file costs little."""


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


@dataclass(frozen=True, slots=True)
class Span:
    """Row groups of one part that are read together, and which of their rows are wanted."""

    part: int
    groups: tuple[int, ...]
    """Numbers of the row groups, neighbours, ascending."""
    first: int
    """The number in the table of their first row."""
    start: int
    """The wanted rows are `range(start, stop, step)`, counted from their first row."""
    stop: int
    step: int

    @property
    def rows(self) -> range:
        """The wanted rows, counted from the first of the groups."""
        return range(self.start, self.stop, self.step)


@dataclass(frozen=True, slots=True)
class GroupRows:
    """Single rows of one row group."""

    part: int
    group: int
    rows: Positions
    """Counted from the group's first row, ascending."""


def part_starts(parts: Sequence[Part]) -> Positions:
    """The number in the table of each part's first row, and the number of all rows at the end."""
    starts = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([part.rows for part in parts], out=starts[1:])
    return starts


def plan_parts(parts: Sequence[Part], starts: Positions, rows: range, where: Bound | None = None) -> Iterator[PartRows]:
    """The parts that hold `rows` of the table, in the order of `rows`, without those that cannot match `where`."""
    if not len(rows):
        return
    ascending = rows.step > 0
    low, high = (rows[0], rows[-1]) if ascending else (rows[-1], rows[0])
    begin = int(np.searchsorted(starts, low, "right")) - 1
    end = int(np.searchsorted(starts, high, "right"))
    for number in range(begin, end) if ascending else range(end - 1, begin - 1, -1):
        part = parts[number]
        first = int(starts[number])
        wanted = _rows_within(rows, first, first + part.rows)
        if len(wanted) and (where is None or where.may_match(_part_bounds(part))):
            yield PartRows(number, first, wanted.start - first, wanted.stop - first, wanted.step)


def _part_bounds(part: Part) -> BoundsOf:
    """What the manifest tells of the columns of a part; nothing of fields below them."""

    def bounds_of(leaf: Leaf) -> Bounds:
        return UNKNOWN if len(leaf.path) > 1 else bounds_of_part(part.stats, leaf.column_id, leaf.storage, part.rows)

    return bounds_of


def _group_bounds(group: pq.RowGroupMetaData, leaves: Leaves | None) -> BoundsOf:
    """What a footer tells of the leaves of a row group."""
    known = leaves.of_path if leaves is not None else {}
    return lambda leaf: bounds_of_group(group, known.get(leaf.path), leaf.storage)


def _rows_within(rows: range, low: int, high: int) -> range:
    """The members of `rows` from `low` up to `high`, as a range of the same step."""
    step = abs(rows.step)
    if rows.step > 0:
        first = max(rows.start, rows.start + -(-(low - rows.start) // step) * step)
        return range(first, min(rows.stop, high), step)
    top = rows.start
    first = min(top, top - -(-(top - (high - 1)) // step) * step)
    return range(first, max(rows.stop, low - 1), -step)


def plan_groups(
    metadata: pq.FileMetaData, wanted: PartRows, where: Bound | None = None, leaves: Leaves | None = None
) -> Iterator[tuple[int, int, range]]:
    """The row groups of a part that hold wanted rows and may match, in order: (group, first row in the part, rows in the part)."""
    rows = range(wanted.start, wanted.stop, wanted.step)
    numbers = range(metadata.num_row_groups)
    sizes = [metadata.row_group(number).num_rows for number in numbers]
    ends = list(accumulate(sizes))
    for number in numbers if wanted.step > 0 else reversed(numbers):
        high = ends[number]
        low = high - sizes[number]
        found = _rows_within(rows, low, high)
        if not len(found):
            continue
        if where is not None and not where.may_match(_group_bounds(metadata.row_group(number), leaves)):
            continue
        yield number, low, found


def plan_spans(
    metadata: pq.FileMetaData,
    wanted: PartRows,
    row_bytes: float,
    where: Bound | None = None,
    leaves: Leaves | None = None,
) -> Iterator[Span]:
    """The row groups of a part that are to be read, neighbours joined up to `SPAN_BYTES` at `row_bytes` decoded bytes a row."""
    most = max(int(SPAN_BYTES / max(row_bytes, 0.01)), 1)
    run: list[tuple[int, int, range]] = []
    held = 0
    for group, low, rows in plan_groups(metadata, wanted, where, leaves):
        count = metadata.row_group(group).num_rows
        joins = run and wanted.step > 0 and group == run[-1][0] + 1 and held + count <= most
        if run and not joins:
            yield _span(wanted, run)
            run, held = [], 0
        run.append((group, low, rows))
        held += count
    if run:
        yield _span(wanted, run)


def _span(wanted: PartRows, run: list[tuple[int, int, range]]) -> Span:
    low = run[0][1]
    start, stop = run[0][2].start - low, run[-1][2].stop - low
    return Span(wanted.part, tuple(group for group, _, _ in run), wanted.first + low, start, stop, wanted.step)


def plan_take(starts: Positions, rows: Positions) -> tuple[Positions, Positions]:
    """For sorted `rows` of the table: the parts that hold some, ascending, and where the rows of each begin in `rows`."""
    of_part = np.searchsorted(starts, rows, "right") - 1
    parts, begins = np.unique(of_part, return_index=True)
    return parts.astype(np.int64), np.append(begins, len(rows)).astype(np.int64)


def plan_take_groups(metadata: pq.FileMetaData, part: int, rows: Positions) -> Iterator[GroupRows]:
    """For sorted `rows`, counted from the first row of the part: the rows of each row group that holds some."""
    starts = np.zeros(metadata.num_row_groups + 1, np.int64)
    np.cumsum([metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)], out=starts[1:])
    groups, begins = plan_take(starts, rows)
    for place, group in enumerate(groups.tolist()):
        yield GroupRows(part, group, rows[begins[place] : begins[place + 1]] - starts[group])

"""Single rows of a table that lies elsewhere: footers of many parts together, and row groups that stand near each other in one request.

Where rows are drawn at random from a table, most row groups hold some, and those of small rows (an image is a cell of 40
bytes) are small: a request for each would cost more than the bytes between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa

from tableformat.format.manifest import Part
from tableformat.format.pages import chunk_start
from tableformat.storage.ranges import MAX_MERGED_BYTES
from tableformat.table.batches import joined
from tableformat.table.group_cache import GroupCache
from tableformat.table.open_part import OpenFile, OpenPart
from tableformat.table.ordered import TAKE_THREADS, run_ordered
from tableformat.table.part_reader import PartReader
from tableformat.table.scan import GroupRows, plan_take, plan_take_groups
from tableformat.table.selection import Positions

__all__ = ["Extent", "Taken", "iter_distant", "plan_runs"]

_RUN_BYTES: Final = 24 << 20
"""Decoded bytes that one task reads, where row groups are smaller."""
_FLIGHT_BYTES: Final = 4 * _RUN_BYTES
_PARTS: Final = 64
"""Parts whose footers are asked for together."""

Taken = tuple[Sequence[str], list[pa.Array]]
"""Names of columns, and their values in some of the rows."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the columns of a row group lie in its file."""

    start: int
    """The first byte."""
    end: int
    """Behind the last byte."""
    wanted: int
    """How many bytes of those are theirs."""
    decoded: int
    """How many they are decoded, about."""


def plan_runs(extents: Sequence[Extent]) -> Iterator[range]:
    """Row groups, by their place in `extents`, that are fetched together: up to 8 MiB of a file and 24 MiB decoded, of which at
    least three quarters are wanted. One that is longer by itself is a run."""
    low, wanted, decoded = 0, 0, 0
    for place, extent in enumerate(extents):
        span = extent.end - extents[low].start
        wanted, decoded = wanted + extent.wanted, decoded + extent.decoded
        follows = place > low and extents[place - 1].end <= extent.start
        fits = span <= MAX_MERGED_BYTES and decoded <= _RUN_BYTES and 3 * span <= 4 * wanted
        if place > low and not (follows and fits):
            yield range(low, place)
            low, wanted, decoded = place, extent.wanted, extent.decoded
    if len(extents):
        yield range(low, len(extents))


def iter_distant(
    reader: PartReader, cache: GroupCache, parts: Sequence[Part], starts: Positions, rows: Positions, columns: list[str]
) -> Iterator[Taken]:
    """The values of `rows`, ascending, of a table whose parts begin at `starts`: in their order for each column.

    Columns of row groups come from `cache` and go there. Up to 16 requests are under way at the same time, for up to 96 MiB of
    decoded rows, or one row group that has more.
    """
    numbers, begins = plan_take(starts, rows)
    for at in range(0, len(numbers), _PARTS):
        chosen = numbers[at : at + _PARTS].tolist()
        reader.read_footers([parts[number] for number in chosen], columns)
        tasks: list[tuple[Callable[[], list[Taken]], int]] = []
        for place, number in enumerate(chosen, at):
            inside = rows[begins[place] : begins[place + 1]] - starts[number]
            opened = reader.open(parts[number], columns)
            stored = opened.stored_rows(inside)
            for file in opened.files:
                tasks += _file_tasks(reader, cache, file, number, list(plan_take_groups(file.starts, stored)))
            if opened.absent:
                tasks.append((partial(_defaults, opened, len(stored)), 0))
        most = max(size for _, size in tasks)
        threads = int(np.clip(_FLIGHT_BYTES // max(most, 1), 1, TAKE_THREADS))
        for taken in run_ordered(((run, 0.0) for run, _ in tasks), 0.0, threads):
            yield from taken


def _defaults(opened: OpenPart, rows: int) -> list[Taken]:
    return [(list(opened.absent), [opened.default(name, rows) for name in opened.absent])]


def _file_tasks(
    reader: PartReader, cache: GroupCache, file: OpenFile, number: int, groups: list[GroupRows]
) -> Iterator[tuple[Callable[[], list[Taken]], int]]:
    """What is to be done for rows of a file, in their order, each with the bytes that it decodes. A task has the row groups of
    one run, and those between them that are held."""

    def task(low: int, high: int, whole: tuple[int, int] | None) -> Callable[[], list[Taken]]:
        return partial(_read, reader, cache, file, number, groups[low:high], whole)

    missing = [
        place for place, group in enumerate(groups) if len(cache.get_many(number, group.group, file.names)) < len(file.names)
    ]  # fmt: skip
    extents = [_extent(file, groups[place].group) for place in missing]
    done = 0
    for run in plan_runs(extents):
        low, high = missing[run[0]], missing[run[-1]] + 1
        if done < low:
            yield task(done, low, None), 0
        start = extents[run[0]].start
        whole = (start, extents[run[-1]].end - start) if len(run) > 1 else None
        yield task(low, high, whole), sum(extents[place].decoded for place in run)
        done = high
    if done < len(groups):
        yield task(done, len(groups), None), 0


def _extent(file: OpenFile, group: int) -> Extent:
    metadata = file.metadata.row_group(group)
    chunks = [metadata.column(number) for number in file.leaf_numbers(file.names)]
    starts = [chunk_start(chunk) for chunk in chunks]
    ends = [start + chunk.total_compressed_size for start, chunk in zip(starts, chunks, strict=True)]
    wanted = sum(chunk.total_compressed_size for chunk in chunks)
    return Extent(min(starts), max(ends), wanted, int(file.row_bytes(file.names) * metadata.num_rows))


def _read(
    reader: PartReader, cache: GroupCache, file: OpenFile, number: int, groups: list[GroupRows], whole: tuple[int, int] | None
) -> list[Taken]:  # fmt: skip
    held = {group.group: cache.get_many(number, group.group, file.names) for group in groups}
    missing = [group for group, found in held.items() if len(found) < len(file.names)]
    if missing:
        names = [name for name in file.names if any(name not in held[group] for group in missing)]
        source = reader.fetch(file, missing, names, whole)
        for group in missing:
            batch = joined(reader.read_groups(file, [group], names, True, source))
            for name in names:
                held[group][name] = batch.column(name)
                cache.put(number, group, name, held[group][name])
    return [(file.names, [_picked(held[group.group][name], group.rows) for name in file.names]) for group in groups]


def _picked(array: pa.Array, rows: Positions) -> pa.Array:
    """Some rows of an array, ascending, in memory of their own: the row group need not be held for them."""
    return array.take(pa.array(rows))

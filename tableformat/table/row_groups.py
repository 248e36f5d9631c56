"""Single rows of a table by the row groups that hold them, several of which are read at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Final

import numpy as np
import pyarrow as pa

from tableformat.format.manifest import Part
from tableformat.table.batches import joined
from tableformat.table.distant_rows import Taken, iter_distant
from tableformat.table.group_cache import GroupCache
from tableformat.table.open_part import OpenFile, OpenPart
from tableformat.table.ordered import run_ordered
from tableformat.table.part_reader import PartReader
from tableformat.table.scan import SPAN_BYTES, GroupRows, plan_take, plan_take_groups
from tableformat.table.selection import Positions

__all__ = ["iter_taken"]

_LOOK_AHEAD: Final = 64
"""Runs of row groups of local files of which it is asked whether they are held, before threads begin to read."""


@dataclass(frozen=True, slots=True)
class _Task:
    """Some rows of a few row groups of one file, or defaults for those of a part."""

    run: Callable[[bool], list[Taken]]
    """Read them; columns at the same time where that is true."""
    is_held: bool
    """Whether nothing has to be read for it."""


def iter_taken(
    reader: PartReader,
    cache: GroupCache,
    parts: Sequence[Part],
    starts: Positions,
    rows: Positions,
    columns: list[str],
    *,
    is_local: bool,
) -> Iterator[Taken]:
    """The values of `rows`, ascending, of a table whose parts begin at `starts`: in their order for each column.

    Columns of row groups come from `cache` and go there. Two local runs of up to 4 MiB are decoded at the same time; of those that have
    to travel see `iter_distant`.
    """
    if not is_local:
        yield from iter_distant(reader, cache, parts, starts, rows, columns)
        return
    tasks = _tasks(reader, cache, parts, starts, rows, columns)
    while ahead := list(islice(tasks, _LOOK_AHEAD)):
        if len(ahead) == 1 or all(task.is_held for task in ahead):  # a thread costs more than what is held
            yield from chain.from_iterable(task.run(True) for task in ahead)
        else:
            runs = ((partial(task.run, False), 0.0) for task in ahead)
            yield from chain.from_iterable(run_ordered(runs, 0.0))


def _tasks(
    reader: PartReader, cache: GroupCache, parts: Sequence[Part], starts: Positions, rows: Positions, columns: list[str]
) -> Iterator[_Task]:
    numbers, begins = plan_take(starts, rows)
    for place, number in enumerate(numbers.tolist()):
        opened = reader.open(parts[number], columns)
        inside = opened.stored_rows(rows[begins[place] : begins[place + 1]] - starts[number])
        for file in opened.files:
            for groups in _runs(file, plan_take_groups(file.starts, inside)):
                is_held = all(
                    len(cache.get_many(number, group.group, file.names)) == len(file.names) for group in groups
                )
                yield _Task(_group_task(cache, opened, file, number, groups), is_held)
        if opened.absent:
            yield _Task(_default_task(opened, len(inside)), True)


def _runs(file: OpenFile, groups: Iterable[GroupRows]) -> Iterator[list[GroupRows]]:
    """The row groups that one task reads: some together, since each call has its price."""
    most = SPAN_BYTES / max(file.row_bytes(file.names), 0.01)
    run: list[GroupRows] = []
    held = 0
    for group in groups:
        rows = int(file.starts[group.group + 1] - file.starts[group.group])
        if run and held + rows > most:
            yield run
            run, held = [], 0
        run.append(group)
        held += rows
    if run:
        yield run


def _group_task(
    cache: GroupCache, opened: OpenPart, file: OpenFile, number: int, groups: Sequence[GroupRows]
) -> Callable[[bool], list[Taken]]:
    def run(threads: bool) -> list[Taken]:
        columns = _columns(cache, opened, file, number, [group.group for group in groups], threads)
        return [
            (file.names, _rows_of([found[name] for name in file.names], group.rows))
            for found, group in zip(columns, groups, strict=True)
        ]

    return run


def _rows_of(arrays: Sequence[pa.Array], rows: Positions) -> list[pa.Array]:
    if (np.diff(rows) == 1).all():
        return [array.slice(int(rows[0]), len(rows)) for array in arrays]
    chosen = pa.array(rows)
    return [array.take(chosen) for array in arrays]


def _default_task(opened: OpenPart, rows: int) -> Callable[[bool], list[Taken]]:
    return lambda _: [(list(opened.absent), [opened.default(name, rows) for name in opened.absent])]


def _columns(
    cache: GroupCache, opened: OpenPart, file: OpenFile, number: int, groups: Sequence[int], threads: bool
) -> list[dict[str, pa.Array]]:
    """Of each row group the whole columns that are asked for of its file, from the cache where they are there."""
    held = [cache.get_many(number, group, file.names) for group in groups]
    missing = [name for name in file.names if any(name not in found for found in held)]
    if missing:
        wanted = [place for place, found in enumerate(held) if any(name not in found for name in missing)]
        batch = joined(opened.read_groups(file, [groups[place] for place in wanted], missing, threads))
        at = 0
        for place in wanted:
            group = groups[place]
            rows = int(file.starts[group + 1] - file.starts[group])
            for name, array in zip(missing, batch.columns, strict=True):
                held[place][name] = array.slice(at, rows)
                cache.put(number, group, name, held[place][name])
            at += rows
    return held

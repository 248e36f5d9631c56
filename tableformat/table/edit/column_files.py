"""Columns stored beside parts that are there: one file for each part, of as many rows, and nothing else is touched.

Rows come as a reader counts them; where rows of a part are deleted, something has to stand in their place: null, or in a
column that holds none the value of a neighbour. Row groups end where those of the part end (spec/editing.md, "Adding columns").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tableformat.document import JsonObject
from tableformat.errors import UsageError
from tableformat.format.manifest import Part
from tableformat.format.part import MAX_GROUP_BYTES, Layout, plan_group_rows
from tableformat.format.schema import Schema
from tableformat.format.sizes import decoded_bytes
from tableformat.format.types.arrays import nulls
from tableformat.format.value_digest import ColumnChain
from tableformat.table.edit.chain import chain_digests
from tableformat.table.edit.opened import Opened
from tableformat.table.lanes import Failure
from tableformat.table.part_lanes import PartLanes
from tableformat.table.reuse import kept_files
from tableformat.table.selection import Positions

__all__ = ["ColumnFiles", "store_columns"]

Arrays = Sequence[pa.Array]


@dataclass(frozen=True, slots=True)
class ColumnFiles:
    """Parts with new columns beside the old ones."""

    parts: tuple[Part, ...]
    digests: dict[str, JsonObject]
    """Of the new columns, by id as text, as an entry holds them."""
    bytes_new: int


def store_columns(table: Opened, new: Schema, replaced: frozenset[int], batches: Iterator[Arrays]) -> ColumnFiles:
    """Store the columns of `new`, which have ids, beside the parts of `table`; `batches` are its visible rows, in order.

    Columns of the parts whose ids are in `replaced` or in `new` are no longer read from where they were. Reads nothing but
    deletions. Holds a row group, and what the lanes of a writer do.
    """
    failure = Failure()
    lanes = PartLanes(table.backend, new, failure)
    lanes.layout = table.entry.layout
    rows = _Rows(new, batches)
    try:
        for number, part in enumerate(table.parts):
            _store_beside(lanes, table, number, part, rows)
        rows.end()
        lanes.close()
    except BaseException as error:
        failure.set(error)
        lanes.abort()
        raise
    ids = [column.id or 0 for column in new.columns]
    made = [part for part in lanes.parts if part is not None]
    parts = [_beside(old, added, ids, replaced) for old, added in zip(table.parts, made, strict=True)]
    return ColumnFiles(tuple(parts), chain_digests(rows.chains), lanes.new_bytes)


def _beside(old: Part, added: Part, ids: Sequence[int], replaced: frozenset[int]) -> Part:
    """The part with the file of `added` beside those of its files that are still read."""
    gone = {str(number) for number in (*ids, *replaced)}
    values = {number: value for number, value in old.values.items() if number not in gone}
    kept = kept_files(old, [int(number) for number in values])
    columns = tuple(sorted(ids)) if kept else None
    return replace(
        old,
        bytes=old.bytes + added.bytes,
        files=(*kept, replace(added.files[0], columns=columns)),
        values={**values, **added.values},
        stats={**{number: stat for number, stat in old.stats.items() if number not in gone}, **added.stats},
    )


def _store_beside(lanes: PartLanes, table: Opened, number: int, part: Part, rows: _Rows) -> None:
    cut = lanes.open_part()
    hidden = table.hidden(number)
    for low, high in _groups(table, part):
        own = hidden[np.searchsorted(hidden, low) : np.searchsorted(hidden, high)] - low
        arrays = rows.take(high - low - len(own))
        if len(own):
            arrays = [_spread(array, own, high - low, rows.pad(at)) for at, array in enumerate(arrays)]
        for group in _bounded(pa.Table.from_arrays(arrays, schema=lanes.arrow), table.entry.layout):
            lanes.add(cut, group, _size(group))
    lanes.end(cut)


def _groups(table: Opened, part: Part) -> Iterator[tuple[int, int]]:
    """Where the row groups of a part begin and end, in stored rows: by count, unless bytes may have ended some sooner."""
    if part.bytes <= MAX_GROUP_BYTES:
        step = table.entry.layout.group_rows
        yield from ((low, min(low + step, part.rows)) for low in range(0, part.rows, step))
        return
    starts = table.group_starts(part)
    yield from zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)


def _bounded(group: pa.Table, layout: Layout) -> Iterator[pa.Table]:
    """The rows of a group in such as these columns ask for: smaller ones where they are fat."""
    widest = max((decoded_bytes(column.chunk(0)) for column in group.columns if column.num_chunks), default=0)
    step = min(layout.group_rows, plan_group_rows(widest / max(group.num_rows, 1)))
    while step > 1 and _size(group) / max(group.num_rows, 1) * step > MAX_GROUP_BYTES:
        step //= 2
    for first in range(0, group.num_rows, step):
        yield group.slice(first, step).combine_chunks() if group.num_rows > step else group


def _size(group: pa.Table) -> int:
    return sum(decoded_bytes(chunk) for column in group.columns for chunk in column.chunks)


def _spread(array: pa.Array, hidden: Positions, rows: int, pad: pa.Array) -> pa.Array:
    """`array` over `rows` stored rows, of which `hidden` are deleted and get `pad`."""
    places = np.zeros(rows, np.int64)
    is_hidden = np.zeros(rows, np.bool_)
    is_hidden[hidden] = True
    places[~is_hidden] = np.arange(len(array))
    places[is_hidden] = len(array)
    return pa.concat_arrays([array, pad]).take(pa.array(places))


class _Rows:
    """Batches of storage arrays, taken a number of rows at a time; digests what goes by."""

    def __init__(self, schema: Schema, batches: Iterator[Arrays]) -> None:
        self._batches = batches
        self._schema = schema
        self._held: list[Arrays] = []
        self._rows = 0
        self._last: list[pa.Array] = [nulls(1, column.type.storage()) for column in schema.columns]
        self.chains = {str(column.id): ColumnChain(column.type.storage()) for column in schema.columns}

    def take(self, count: int) -> list[pa.Array]:
        """The next `count` rows of each column."""
        while self._rows < count:
            batch = next(self._batches, None)
            if batch is None:
                raise UsageError("the rows of a column ended before those of its table")
            if batch and len(batch[0]):
                self._held.append(batch)
                self._rows += len(batch[0])
        taken: list[Arrays] = []
        left = count
        while left:
            batch = self._held.pop(0)
            some = len(batch[0])
            if some > left:
                self._held.insert(0, [array.slice(left) for array in batch])
            taken.append([array.slice(0, left) for array in batch])
            left -= min(some, left)
        self._rows -= count
        arrays = [
            pa.concat_arrays([batch[at] for batch in taken]) if taken else pa.array([], column.type.storage())
            for at, column in enumerate(self._schema.columns)
        ]
        for chain, array in zip(self.chains.values(), arrays, strict=True):
            chain.update(array)
        if count:
            self._last = [array.slice(count - 1, 1) for array in arrays]
        return arrays

    def pad(self, at: int) -> pa.Array:
        """What stands in a column where no row is seen: null, or what can be had."""
        column = self._schema.columns[at]
        if column.nullable:
            return nulls(1, column.type.storage())
        return self._last[at]

    def end(self) -> None:
        """All rows were taken; raises `UsageError` where there are more."""
        if self._rows or any(batch and len(batch[0]) for batch in self._batches):
            raise UsageError("a column has more rows than its table")

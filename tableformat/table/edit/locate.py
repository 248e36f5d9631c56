"""Where the rows with given keys stand: by statistics first, then by reading key columns only, and only where they may be."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.format.manifest import Part
from tableformat.table.edit.opened import Opened
from tableformat.table.join.index import KeyIndex
from tableformat.table.join.keys import KeyPair
from tableformat.table.selection import Positions

__all__ = ["KEYS_AT_ONCE", "KeyChunk", "find_rows"]

KEYS_AT_ONCE: Final = 1 << 21
"""Keys that are looked for in one pass over the table: at most about 64 MiB and their values."""

KeyChunk = tuple[int, Sequence[pa.Array]]
"""Number of the first row, and its key columns, in the storage types of side 0 of the pairs."""


def find_rows(
    table: Opened, pairs: Sequence[KeyPair], chunks: Iterable[KeyChunk], distinct: Callable[[int], object] | None = None
) -> Iterator[tuple[Positions, Positions]]:
    """Runs of (visible row of the table, number of a row in `chunks` with the same key).

    `pairs` have what is looked for on the left and the table on the right. Each chunk costs a pass over the key columns of the
    parts whose statistics leave room for one of its keys. Of several rows in a chunk with one key the first is told;
    `distinct` is called with how many different keys each chunk has.
    """
    names = [pair.right for pair in pairs]
    for first, columns in chunks:
        keys = [pair.normalise(0, column) for pair, column in zip(pairs, columns, strict=True)]
        index = KeyIndex(keys)
        if distinct is not None:
            distinct(len(index) if index.is_unique else len(np.unique(index.match(keys).starts)))
        may_hold = _bounded(table, pairs[0], columns[0])
        for rows in table.runs(number for number, part in enumerate(table.parts) if may_hold(part)):
            for piece in table.scan(names, rows):
                there = [pair.normalise(1, piece.batch.column(name)) for pair, name in zip(pairs, names, strict=True)]
                matches = index.match(there)
                hit = np.flatnonzero(matches.counts)
                if len(hit):
                    yield np.asarray(piece.rows, np.int64)[hit], first + index.order[matches.starts[hit]]


def _bounded(table: Opened, pair: KeyPair, column: pa.Array) -> Callable[[Part], bool]:
    """Whether a part may hold one of the values of `column`, as far as its statistics tell."""
    field = table.entry.schema[pair.right]
    storage = field.type.storage()
    stat_of = str(field.id)
    if pa.types.is_string(storage):
        values: list[Any] = sorted(set(column.drop_null().to_pylist()))
        read: Callable[[str], Any] = str
    elif _counts_alike(column.type, storage, table.entry.plain):
        words = column.view(pa.int32()) if storage.bit_width == 32 and not pa.types.is_integer(storage) else column
        whole = words if pa.types.is_integer(words.type) else words.view(pa.int64())
        values, read = np.unique(np.asarray(whole.drop_null())).tolist(), int
    else:
        return lambda part: True  # noqa: ARG005

    def may_hold(part: Part) -> bool:
        stat = part.stats.get(stat_of)
        if not stat or stat.get("min") is None or stat.get("max") is None:
            return True
        at = bisect.bisect_left(values, read(stat["min"]))
        return at < len(values) and values[at] <= read(stat["max"])

    return may_hold


def _counts_alike(given: pa.DataType, storage: pa.DataType, is_plain: bool) -> bool:
    """Whether whole numbers stand behind both types and the statistics, and count the same: parts that are older than a finer
    unit of a column count in theirs."""
    if pa.types.is_integer(given) and pa.types.is_integer(storage):
        return True
    return bool(is_plain and given == storage and (pa.types.is_timestamp(storage) or pa.types.is_date(storage)))

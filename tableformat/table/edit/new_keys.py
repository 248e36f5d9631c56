"""Proof that rows which are added to a keyed table have keys of their own, without reading more than may hold the same.

Statistics of the key in the manifest leave out parts in which no new key can stand: where keys grow with time that is all of
them. Of the others the keys alone are read, hashed, and compared with the hashes of the new ones; rows of equal hash are
compared as values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import Problem
from tableformat.format.bounds import bounds_of_part
from tableformat.format.keys import Hashes, key_hashes
from tableformat.format.literals import Order
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.interface import Backend
from tableformat.table.edit.chain import iter_rows, last_parts, source_of
from tableformat.table.key_check import RUN_ROWS, ascends
from tableformat.table.reading import Reading

__all__ = ["equal_keys", "follows"]

_PARTS_AT_A_TIME: Final = 256
_MAX_SUSPECTS: Final = 1 << 16
_MAX_SHOWN: Final = 10

Parts = Callable[[], Iterable[Part]]
"""Gives the parts from the first on, each time."""
Keys = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _New:
    """Some of the new keys: hashes, and where the values of the first key column lie."""

    hashes: Hashes
    """Sorted."""
    least: Order | None
    """No value is below it; None: not known."""
    most: Order | None
    """No value is above it."""
    points: npt.NDArray[np.int64] | None
    """The values themselves, sorted, where they are whole numbers."""

    def may_meet(self, least: Order | None, most: Order | None) -> bool:
        """Whether one of the values may be from `least` to `most`."""
        if least is None or most is None or self.least is None or self.most is None:
            return True
        if self.least > most or least > self.most:  # type: ignore[operator]  # both of one column
            return False
        if self.points is None or not isinstance(least, int):
            return True
        place = int(np.searchsorted(self.points, least, "left"))
        return place < len(self.points) and bool(self.points[place] <= most)


def _bounds(entry: TableEntry, part: Part) -> tuple[Order | None, Order | None]:
    """What the manifest tells of the first key column of a part. Of times nothing, where parts may be older than their unit:
    bounds count in the unit in which a part was written."""
    column = entry.schema[entry.table_key[0]]
    if pa.types.is_timestamp(column.type.storage()) and "field-ids" in entry.requires.read:
        return None, None
    known = bounds_of_part(part.stats, column.id, column.type.storage(), part.rows)
    return known.least, known.most


def follows(backend: Backend, entry: TableEntry, parts: Sequence[Part]) -> bool:
    """Whether every key of the parts `parts`, which ascend, is above every key of `entry`, which ascend, too.

    Told by statistics where they are kept; else the last key of the one and the first of the other are read.
    """
    new = [part for part in parts if part.visible_rows]
    if not new or not entry.rows:
        return True
    last = last_parts(backend, entry, 1)[0]  # those behind it show no row
    most, least = _bounds(entry, last)[1], _bounds(entry, new[0])[0]
    if most is not None and least is not None and most < least:  # type: ignore[operator]  # both of one column
        return True
    names = list(entry.table_key)
    *_, before = iter_rows(backend, entry, entry.rows - 1, names)
    after = next(batch for batch in _key_batches(backend, entry, new[:1]) if batch.num_rows)
    return ascends([pa.concat_arrays([before.column(name)[-1:], after.column(name)[:1]]) for name in names])


def equal_keys(backend: Backend, entry: TableEntry, old: Parts, new: Sequence[Part]) -> list[Problem]:
    """Keys that stand in the parts `old` and in the parts `new` of tables with the schema and key of `entry`: at most ten, each
    with its rows, counted among the rows of `old` and of `new`.

    Holds the hashes of 2M new keys (16 MiB, and as much for whole numbers) and what a scan of the key does; more new keys than
    that take one pass over `old` for each 2M.
    """
    found: list[Problem] = []
    for some in _iter_new(backend, entry, new):
        suspects: dict[Keys, int] = {}
        for row, key in _suspected(backend, entry, _may_meet(entry, old(), some), some.hashes):
            suspects[key] = row
            if len(suspects) >= _MAX_SUSPECTS:
                break
        if suspects:
            hashes = _hashes_of(entry, list(suspects))
            found += _described(entry, suspects, _suspected(backend, entry, _numbered(new), hashes))
        if len(found) >= _MAX_SHOWN:
            break
    return found[:_MAX_SHOWN]


def _iter_new(backend: Backend, entry: TableEntry, new: Sequence[Part]) -> Iterator[_New]:
    held: list[list[pa.Array]] = []
    rows = 0
    for batch in _key_batches(backend, entry, new):
        held.append(batch.columns)
        rows += batch.num_rows
        if rows >= RUN_ROWS:
            yield _gathered(entry, new, held)
            held, rows = [], 0
    if rows:
        yield _gathered(entry, new, held)


def _gathered(entry: TableEntry, new: Sequence[Part], held: list[list[pa.Array]]) -> _New:
    hashes = np.sort(np.concatenate([key_hashes(columns) for columns in held]))
    if pa.types.is_signed_integer(held[0][0].type):
        points = np.sort(np.concatenate([np.asarray(columns[0]).astype(np.int64) for columns in held]))
        return _New(hashes, int(points[0]), int(points[-1]), points)
    known = [_bounds(entry, part) for part in new]
    lows, highs = [low for low, _ in known], [high for _, high in known]
    if None in lows or None in highs:
        return _New(hashes, None, None, None)
    return _New(hashes, min(lows), max(highs), None)  # type: ignore[type-var]  # no None is left


def _may_meet(entry: TableEntry, old: Iterable[Part], some: _New) -> Iterator[tuple[int, Part]]:
    """The parts in which one of the keys may stand, with the number of the first row of each."""
    return ((row, part) for row, part in _numbered(old) if some.may_meet(*_bounds(entry, part)))


def _numbered(parts: Iterable[Part]) -> Iterator[tuple[int, Part]]:
    row = 0
    for part in parts:
        if part.visible_rows:
            yield row, part
        row += part.visible_rows


def _suspected(
    backend: Backend, entry: TableEntry, parts: Iterable[tuple[int, Part]], hashes: Hashes
) -> Iterator[tuple[int, Keys]]:
    """The keys in `parts` whose hash is one of `hashes`, with their rows."""
    source = iter(parts)
    while some := list(islice(source, _PARTS_AT_A_TIME)):
        starts = np.cumsum([0, *(part.visible_rows for _, part in some)])
        shift = [first - int(start) for (first, _), start in zip(some, starts, strict=False)]
        row = 0
        for batch in _key_batches(backend, entry, [part for _, part in some]):
            found = key_hashes(batch.columns)
            places = np.minimum(np.searchsorted(hashes, found), len(hashes) - 1)
            inside = np.flatnonzero(hashes[places] == found)
            picked = [column.take(pa.array(inside)).to_pylist() for column in batch.columns]
            for place, key in zip((inside + row).tolist(), zip(*picked, strict=True), strict=True):
                yield place + shift[int(np.searchsorted(starts, place, "right")) - 1], key
            row += batch.num_rows


def _key_batches(backend: Backend, entry: TableEntry, parts: Sequence[Part]) -> Iterator[pa.RecordBatch]:
    for piece in Reading(source_of(backend, entry, parts)).pieces([], list(entry.table_key)):
        yield piece.batch


def _hashes_of(entry: TableEntry, keys: Sequence[Keys]) -> Hashes:
    types = [entry.schema[name].type.storage() for name in entry.table_key]
    return np.sort(
        key_hashes([pa.array(values, type_) for values, type_ in zip(zip(*keys, strict=True), types, strict=True)])
    )


def _described(entry: TableEntry, old: dict[Keys, int], new: Iterable[tuple[int, Keys]]) -> Iterator[Problem]:
    for row, key in new:
        if key in old:
            shown = ", ".join(f"{name}={value!r}" for name, value in zip(entry.table_key, key, strict=True))
            yield Problem(f"row {row}", f"{shown[:200]} stands in row {old[key]} already", "duplicate-key")

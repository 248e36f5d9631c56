"""The right side is held, with an index of its keys, and the left streams past it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tableformat.table.batches import batch_of, rows_only, select
from tableformat.table.join.index import KeyIndex, index_bytes
from tableformat.table.join.keys import KeyPair
from tableformat.table.join.pairs import (
    How,
    Pairs,
    keeps_left,
    keeps_right,
    number_rows,
    numbers_of,
    pair_runs,
    take_rows,
    unmatched,
)
from tableformat.table.join.sides import Side, positions
from tableformat.table.reading import Piece
from tableformat.table.selection import Positions

__all__ = ["Held", "TooLargeError", "hold", "iter_lookup", "keys_of"]


class TooLargeError(Exception):
    """A side that was to be held takes more than was expected; never leaves this package."""


class Held:
    """Rows of the right side in memory, by key."""

    def __init__(self, batch: pa.RecordBatch, rows: range | Positions, index: KeyIndex) -> None:
        self.batch = batch
        """The columns that are wanted."""
        self.rows = rows
        """The number of each row."""
        self.index = index

    def pairs(
        self, piece: Piece, columns: Sequence[str], keys: Sequence[pa.Array], how: How
    ) -> Iterator[tuple[Pairs, Positions]]:
        """What rows of the left meet, and which of the held rows they were (-1 for none); bounded runs."""
        own = select(piece.batch, columns) if columns else rows_only(len(piece.rows))
        if self.index.is_table:
            yield self._single(own, positions(piece.rows), self.index.find_rows(keys[0]).astype(np.int64), how)
            return
        numbers = positions(piece.rows)
        for rows, places in pair_runs(self.index.match(keys), how):
            held = number_rows(self.index.order, places)
            yield (
                Pairs(take_rows(own, rows), numbers[rows], take_rows(self.batch, held), number_rows(self.rows, held)),
                held,
            )

    def _single(self, own: pa.RecordBatch, numbers: Positions, held: Positions, how: How) -> tuple[Pairs, Positions]:
        """The same where each row of the left meets one at most: the number of its partner, or -1, is given."""
        if not keeps_left(how):
            kept = held < 0 if how == "anti" else held >= 0
            if not kept.all():
                numbers, held = numbers[kept], held[kept]
                own = own.filter(pa.array(kept)) if own.num_columns else rows_only(len(held))
            if how in ("semi", "anti"):
                held = np.full(len(held), -1, np.int64)
                return Pairs(own, numbers, rows_only(len(held)), held), held
        return Pairs(own, numbers, take_rows(self.batch, held), number_rows(self.rows, held)), held


def hold(
    pieces: Iterator[Piece], side: Side, number: int, pairs: Sequence[KeyPair], columns: Sequence[str], limit: float
) -> Held:
    """The rows of `pieces` of a side (0 or 1), which have its key columns and `columns`.

    Raises `TooLargeError` where they take more than `limit` bytes.
    """
    names = [pair.column(number) for pair in pairs]
    arrays: dict[str, list[pa.Array]] = {name: [] for name in columns}
    keys: list[list[pa.Array]] = [[] for _ in pairs]
    plain = [pair.is_plain(number) and name in arrays for pair, name in zip(pairs, names, strict=True)]
    numbers: list[range | Positions] = []
    size = 0
    for piece in pieces:
        numbers.append(piece.rows)
        for name in columns:
            arrays[name].append(piece.batch.column(name))
            size += arrays[name][-1].nbytes
        for pair, name, held, is_plain in zip(pairs, names, keys, plain, strict=True):
            if not is_plain:  # else the column itself is its key
                held.append(pair.normalise(number, piece.batch.column(name)))
                size += held[-1].nbytes
        if size > limit:
            raise TooLargeError
    if not numbers:
        none = side.absent(names, 0)
        normal = [pair.normalise(number, none.column(name)) for pair, name in zip(pairs, names, strict=True)]
        return Held(side.absent(columns, 0), np.empty(0, np.int64), KeyIndex(normal))
    rows = numbers_of(numbers)
    # One column after the other: at no time is more than one of them there twice.
    whole = {name: pa.concat_arrays(_taken(arrays[name])) for name in columns}
    normal = [
        whole[name] if is_plain else pa.concat_arrays(_taken(held))
        for name, held, is_plain in zip(names, keys, plain, strict=True)
    ]
    if size + index_bytes(normal) > limit:
        raise TooLargeError
    batch = batch_of(list(whole.values()), columns, side.absent(columns, 0).schema, len(rows))
    return Held(batch, rows, KeyIndex(normal))


def _taken(arrays: list[pa.Array]) -> list[pa.Array]:
    """What a list holds, which then holds it no longer."""
    found = arrays[:]
    arrays.clear()
    return found


def keys_of(piece: Piece, number: int, pairs: Sequence[KeyPair]) -> list[pa.Array]:
    """The normalised keys of rows of side 0 or 1."""
    return [pair.normalise(number, piece.batch.column(pair.column(number))) for pair in pairs]


def iter_lookup(
    left: Side,
    right: Side,
    pairs: Sequence[KeyPair],
    how: How,
    left_columns: Sequence[str],
    right_columns: Sequence[str],
    memory: int,
    limit: float,
) -> Iterator[Pairs]:
    """The rows in order. Holds the right side, at most `limit` bytes of it, else raises `TooLargeError` before the first row."""
    keys = [[pair.column(number) for pair in pairs] for number in (0, 1)]
    wanted = [] if how in ("semi", "anti") else list(right_columns)
    needed = list(dict.fromkeys([*wanted, *keys[1]]))
    held = hold(right.pieces(needed, memory), right, 1, pairs, wanted, limit)
    matched = np.zeros(len(held.rows), np.bool_) if keeps_right(how) else None
    for piece in left.pieces(list(dict.fromkeys([*left_columns, *keys[0]])), memory):
        for run, places in held.pairs(piece, left_columns, keys_of(piece, 0, pairs), how):
            if matched is not None:
                matched[places[places >= 0]] = True
            if len(run):
                yield run
    if matched is not None:
        for rows in unmatched(matched):
            yield Pairs(
                left.absent(left_columns, len(rows)),
                np.full(len(rows), -1, np.int64),
                take_rows(held.batch, rows),
                number_rows(held.rows, rows),
            )

"""Two sides in ascending order of unique keys: one pass over both, side by side. Vectorised by windows.

A window ends at the lesser of the two last keys that were read, so that whatever meets lies in one window on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.table.batches import joined, rows_only, select
from tableformat.table.join.index import KeyIndex, Matches
from tableformat.table.join.keys import KeyPair
from tableformat.table.join.lookup import keys_of
from tableformat.table.join.pairs import How, Pairs, keeps_right, number_rows, pair_runs, take_rows
from tableformat.table.join.sides import Side, positions
from tableformat.table.reading import Piece
from tableformat.table.selection import Positions

__all__ = ["iter_merged"]

_LEAST_ROWS: Final = 1 << 15
"""Pieces are put together to about so many rows: a window costs the same few calls however short it is."""


def iter_merged(
    left: Side,
    right: Side,
    pairs: Sequence[KeyPair],
    how: How,
    left_columns: Sequence[str],
    right_columns: Sequence[str],
    memory: int,
) -> Iterator[Pairs]:
    """The rows in order. Holds a window of each side. `right` and `outer` read both sides' keys, and the right, once more."""
    wanted = [] if how in ("semi", "anti") else list(right_columns)
    for own, other, matches, order in _windows(left, right, pairs, left_columns, wanted, memory):
        bare = select(own.batch, left_columns) if left_columns else rows_only(len(own.rows))
        numbers = positions(own.rows)
        others = select(other.batch, wanted) if wanted else rows_only(len(other.rows))
        other_numbers = positions(other.rows)
        for rows, places in pair_runs(matches, how):
            if len(rows):
                met = places if order is None else number_rows(order, places)
                yield Pairs(
                    take_rows(bare, rows), numbers[rows], take_rows(others, met), number_rows(other_numbers, met)
                )
    if keeps_right(how):
        flipped = tuple(_flipped(pair) for pair in pairs)
        for run in iter_merged(right, left, flipped, "anti", right_columns, [], memory):
            yield Pairs(left.absent(left_columns, len(run)), run.right_rows, run.left, run.left_rows)


def _flipped(pair: KeyPair) -> KeyPair:
    return KeyPair(pair.right, pair.left, pair.is_word, pair.is_ordered, pair.normalise_right, pair.normalise_left)


def _windows(
    left: Side, right: Side, pairs: Sequence[KeyPair], left_columns: Sequence[str], right_columns: Sequence[str], memory: int
) -> Iterator[tuple[Piece, Piece, Matches, Positions | None]]:  # fmt: skip
    """Runs of the left, the run of the right that may meet them, and what meets; the last as places, or places of an order."""
    one = _Cursor(left, 0, pairs, left_columns, memory)
    other = _Cursor(right, 1, pairs, right_columns, memory)
    is_word = len(pairs) == 1 and pairs[0].is_word
    while one.fill():
        if not other.fill():
            own = one.take(len(one))
            none = np.zeros(len(own.rows), np.int64)
            yield own, other.take(0), Matches(none, none), None
            continue
        last = min(one.key(-1), other.key(-1))
        mine, theirs = one.count_to(last), other.count_to(last)
        own_keys, other_keys = one.keys(mine), other.keys(theirs)
        own, met = one.take(mine), other.take(theirs)
        if not mine:
            continue  # keys of the right that are below all of the left
        if is_word:
            yield own, met, _match_words(own_keys[0], other_keys[0]), None
        else:
            index = KeyIndex(other_keys)
            yield own, met, index.match(own_keys), index.order


def _match_words(own: pa.Array, other: pa.Array) -> Matches:
    """What meets of ascending numbers, each of them once."""
    wanted, there = np.asarray(own), np.asarray(other)
    if len(wanted) == len(there) and bool((wanted == there).all()):
        return Matches(np.arange(len(wanted), dtype=np.int64), np.ones(len(wanted), np.int64))
    if not len(there):
        none = np.zeros(len(wanted), np.int64)
        return Matches(none, none)
    places = np.searchsorted(there, wanted)
    inside = np.minimum(places, len(there) - 1)
    return Matches(inside, (there[inside] == wanted).astype(np.int64))


class _Cursor:
    """One side, of which the rows of some pieces are held and taken from the front."""

    def __init__(self, side: Side, number: int, pairs: Sequence[KeyPair], columns: Sequence[str], memory: int) -> None:
        self._side, self._number, self._pairs = side, number, pairs
        names = [pair.column(number) for pair in pairs]
        self._names = list(dict.fromkeys([*columns, *names]))
        self._pieces = side.pieces(self._names, memory)
        self._piece: Piece | None = None
        self._keys: list[pa.Array] = []

    def __len__(self) -> int:
        return 0 if self._piece is None else len(self._piece.rows)

    def fill(self) -> bool:
        """See that rows are held; whether there are any."""
        if len(self):
            return True
        found: list[Piece] = []
        rows = 0
        for piece in self._pieces:
            found.append(piece)
            rows += len(piece.rows)
            if rows >= _LEAST_ROWS:
                break
        if not found:
            return False
        batch = joined([piece.batch for piece in found])
        self._piece = Piece(batch, np.concatenate([positions(piece.rows) for piece in found]))
        self._keys = keys_of(self._piece, self._number, self._pairs)
        return True

    def key(self, row: int) -> tuple[Any, ...]:
        """The key of a row that is held."""
        return tuple(key[row % len(key)].as_py() for key in self._keys)

    def keys(self, count: int) -> list[pa.Array]:
        """The keys of the first rows that are held."""
        return [key.slice(0, count) for key in self._keys]

    def count_to(self, last: tuple[Any, ...]) -> int:
        """How many of the rows that are held have keys up to `last`."""
        if len(self._keys) == 1 and self._keys[0].type == pa.int64():
            return int(np.searchsorted(np.asarray(self._keys[0]), last[0], "right"))
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) <= last:
                low = middle + 1
            else:
                high = middle
        return low

    def take(self, count: int) -> Piece:
        """The first rows that are held, which are held no longer."""
        piece = self._piece
        if piece is None:
            return Piece(self._side.absent(self._names, 0), np.empty(0, np.int64))
        taken = piece.slice(0, count)
        self._piece = piece.slice(count, len(piece.rows))
        self._keys = [key.slice(count) for key in self._keys]
        return taken

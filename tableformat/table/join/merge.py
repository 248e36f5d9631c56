"""Two sides in ascending order of unique keys: one pass over both, side by side. Vectorised by windows.

A window ends at the lesser of the two last keys that were read, so that whatever meets lies in one window on both sides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

_DENSE: Final = 8
_LEAST_ROWS: Final = 1 << 17
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
    """The rows in order. Holds a window of each side. `right` and `outer` read the keys of both, and the columns of the right,
    once more.

    One thread puts windows together: beside the threads that decode, more of them wait for the interpreter's lock longer than
    they work (measured on 2 cores: 3.0 s with two, 2.0 s with none, of 10M × 9M rows).
    """
    wanted = [] if how in ("semi", "anti") else list(right_columns)
    work = _Work(how, list(left_columns), wanted, len(pairs) == 1 and pairs[0].is_word)
    for window in _windows(left, right, pairs, left_columns, wanted, memory):
        yield from work.pairs(window)
    if keeps_right(how):
        flipped = tuple(_flipped(pair) for pair in pairs)
        for run in iter_merged(right, left, flipped, "anti", right_columns, [], memory):
            yield Pairs(left.absent(left_columns, len(run)), run.right_rows, run.left, run.left_rows)


def _flipped(pair: KeyPair) -> KeyPair:
    return KeyPair(pair.right, pair.left, pair.is_word, pair.is_ordered, pair.normalise_right, pair.normalise_left)


@dataclass(frozen=True, slots=True)
class _Window:
    """A run of the left, the run of the right that may meet it, and the keys of both."""

    own: list[Piece]
    own_keys: list[pa.Array]
    other: list[Piece]
    other_keys: list[pa.Array]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done with each window."""

    how: How
    left_columns: list[str]
    right_columns: list[str]
    is_word: bool

    def pairs(self, window: _Window) -> list[Pairs]:
        """The rows of a window."""
        if not len(window.other_keys[0]):
            none = np.zeros(len(window.own_keys[0]), np.int64)
            matches, order = Matches(none, none), None
        elif self.is_word:
            matches, order = _match_words(window.own_keys[0], window.other_keys[0]), None
        else:
            index = KeyIndex(window.other_keys)
            matches, order = index.match(window.own_keys), index.order
        own, numbers = _together(window.own, self.left_columns)
        others, other_numbers = _together(window.other, self.right_columns)
        found = []
        for rows, places in pair_runs(matches, self.how):
            if len(rows):
                met = places if order is None else number_rows(order, places)
                found.append(
                    Pairs(
                        take_rows(own, rows),
                        number_rows(numbers, rows),
                        take_rows(others, met),
                        number_rows(other_numbers, met),
                    )
                )
        return found


def _together(pieces: list[Piece], columns: list[str]) -> tuple[pa.RecordBatch, range | Positions]:
    count = sum(len(piece.rows) for piece in pieces)
    batch = joined([select(piece.batch, columns) for piece in pieces]) if columns and pieces else rows_only(count)
    return batch, _numbers([piece.rows for piece in pieces])


def _numbers(runs: list[range | Positions]) -> range | Positions:
    """Row numbers of pieces that follow each other: a range where they are one."""
    first, last = runs[0], runs[-1]
    if isinstance(first, range) and isinstance(last, range) and len(first) and first.step == 1:
        whole = range(first.start, last.stop)
        if len(whole) == sum(map(len, runs)) and all(isinstance(run, range) and run.step == 1 for run in runs):
            return whole
    return np.concatenate([positions(run) for run in runs])


def _windows(
    left: Side, right: Side, pairs: Sequence[KeyPair], left_columns: Sequence[str], right_columns: Sequence[str], memory: int
) -> Iterator[_Window]:  # fmt: skip
    one = _Cursor(left, 0, pairs, left_columns, memory)
    other = _Cursor(right, 1, pairs, right_columns, memory)
    while one.fill():
        if not other.fill():
            own_keys, own = one.take(len(one))
            yield _Window(own, own_keys, [other.nothing()], [key.slice(0, 0) for key in own_keys])
            continue
        last = min(one.key(-1), other.key(-1))
        own_keys, own = one.take(one.count_to(last))
        other_keys, met = other.take(other.count_to(last))
        if own:  # else these keys of the right are below all of the left
            yield _Window(own, own_keys, met or [other.nothing()], other_keys)


def _match_words(own: pa.Array, other: pa.Array) -> Matches:
    """What meets of ascending numbers, each of them once."""
    wanted, there = np.asarray(own), np.asarray(other)
    if len(wanted) == len(there) and bool((wanted == there).all()):
        return Matches(np.arange(len(wanted), dtype=np.int64), np.ones(len(wanted), np.int64))
    low = int(min(wanted[0], there[0]))
    span = int(max(wanted[-1], there[-1])) - low + 1
    if span <= _DENSE * (
        len(wanted) + len(there)
    ):  # a table of the numbers between: several times faster than a search
        table = np.full(span, -1, np.int32)
        table[there - low] = np.arange(len(there), dtype=np.int32)
        places = table[wanted - low].astype(np.int64)
        return Matches(places, (places >= 0).astype(np.int64))
    places = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    return Matches(places, (there[places] == wanted).astype(np.int64))


class _Cursor:
    """One side, of which the rows of some pieces are held and taken from the front."""

    def __init__(self, side: Side, number: int, pairs: Sequence[KeyPair], columns: Sequence[str], memory: int) -> None:
        self._side, self._number, self._pairs = side, number, pairs
        names = [pair.column(number) for pair in pairs]
        self._names = list(dict.fromkeys([*columns, *names]))
        self._source = side.pieces(self._names, memory)
        self._pieces: deque[Piece] = deque()
        self._keys: list[pa.Array] = []

    def __len__(self) -> int:
        return len(self._keys[0]) if self._keys else 0

    def fill(self) -> bool:
        """See that rows are held; whether there are any."""
        if len(self):
            return True
        keys: list[list[pa.Array]] = []
        rows = 0
        for piece in self._source:
            self._pieces.append(piece)
            keys.append(keys_of(piece, self._number, self._pairs))
            rows += len(piece.rows)
            if rows >= _LEAST_ROWS:
                break
        self._keys = [pa.concat_arrays(list(column)) for column in zip(*keys, strict=True)]
        return bool(rows)

    def nothing(self) -> Piece:
        """No rows of this side."""
        return Piece(self._side.absent(self._names, 0), np.empty(0, np.int64))

    def key(self, row: int) -> tuple[Any, ...]:
        """The key of a row that is held."""
        return tuple(key[row % len(key)].as_py() for key in self._keys)

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

    def take(self, count: int) -> tuple[list[pa.Array], list[Piece]]:
        """The first rows that are held, which are held no longer: their keys, and their pieces."""
        keys = [key.slice(0, count) for key in self._keys]
        self._keys = [key.slice(count) for key in self._keys]
        taken = []
        while count:
            piece = self._pieces.popleft()
            if len(piece.rows) > count:
                self._pieces.appendleft(piece.slice(count, len(piece.rows)))
                piece = piece.slice(0, count)
            taken.append(piece)
            count -= len(piece.rows)
        return keys, taken

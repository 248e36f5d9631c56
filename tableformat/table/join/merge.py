"""Two sides in ascending order of unique keys: one pass over both, side by side. Vectorised by windows.

A window ends at the lesser of the two last keys that were read, so that whatever meets lies in one window on both sides. Of
each side the rows that meet are kept, piece by piece as they were decoded: then row n of one meets row n of the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.format.types.arrays import array_of, numpy_of
from tableformat.table.batches import decoded, joined, rows_only, select
from tableformat.table.join.aligned import zipped
from tableformat.table.join.index import KeyIndex
from tableformat.table.join.keys import KeyPair
from tableformat.table.join.lookup import keys_of
from tableformat.table.join.pairs import How, Pairs, keeps_left, keeps_right, number_rows, numbers_of, take_rows
from tableformat.table.join.sides import Side, positions
from tableformat.table.reading import Piece
from tableformat.table.selection import Positions

__all__ = ["iter_merged"]

_DENSE: Final = 8
_LEAST_ROWS: Final = 1 << 17
"""Keys are compared by about so many rows: a window costs the same few calls however short it is."""
_SMALL_ROWS: Final = 1 << 12
"""Pieces of fewer rows are put together before they are handed on."""

_Mask = npt.NDArray[np.bool_]


def iter_merged(
    left: Side,
    right: Side,
    pairs: Sequence[KeyPair],
    how: How,
    left_columns: Sequence[str],
    right_columns: Sequence[str],
    memory: int,
    *,
    numbered: bool = True,
) -> Iterator[Pairs]:
    """The rows in order. Holds a window of each side. `right` and `outer` read the keys of both, and the columns of the right,
    once more.

    One thread puts windows together: beside the threads that decode, more of them wait for the interpreter's lock longer than
    they work (measured on 2 cores: 3.0 s with two, 2.0 s with none, of 10M × 9M rows).
    """
    wanted = [] if how in ("semi", "anti") else list(right_columns)
    work = _Work(how, list(left_columns), wanted, len(pairs) == 1 and pairs[0].is_word, numbered)
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
    """A run of the left, the run of the right that may meet it, and the keys of both. Other columns of text may be coded."""

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
    numbered: bool

    def pairs(self, window: _Window) -> Iterator[Pairs]:
        """The rows of a window."""
        met, met_by = self._meeting(window)
        if self.how in ("semi", "anti"):
            for piece in self._kept(window.own, met if self.how == "semi" else ~met, self.left_columns):
                count = len(piece.rows)
                yield Pairs(piece.batch, positions(piece.rows), rows_only(count), np.full(count, -1, np.int64))
        elif not keeps_left(self.how) or met.all():
            own = self._kept(window.own, met, self.left_columns)
            yield from zipped(own, self._kept(window.other, met_by, self.right_columns), numbered=self.numbered)
        else:
            yield self._with_unmatched(window, met, met_by)

    def _with_unmatched(self, window: _Window, met: _Mask, met_by: _Mask) -> Pairs:
        """All rows of the left, some of them without a match."""
        own, other = _together(window.own, self.left_columns), _together(window.other, self.right_columns)
        places = np.full(len(met), -1, np.int64)
        places[met] = np.flatnonzero(met_by)
        return Pairs(own.batch, positions(own.rows), take_rows(other.batch, places), number_rows(other.rows, places))

    def _meeting(self, window: _Window) -> tuple[_Mask, _Mask]:
        """Which rows of the left meet one of the right, and which of the right are met: equally many, in one order."""
        own, other = window.own_keys, window.other_keys
        if not len(other[0]):
            return np.zeros(len(own[0]), np.bool_), np.zeros(0, np.bool_)
        if self.is_word:
            return _meeting_words(numpy_of(own[0]), numpy_of(other[0]))
        index = KeyIndex(other)
        found = index.match(own)
        met = found.counts > 0
        met_by = np.zeros(len(other[0]), np.bool_)
        met_by[index.order[found.starts[met]]] = True
        return met, met_by

    def _kept(self, pieces: list[Piece], mask: _Mask, columns: list[str]) -> Iterator[Piece]:
        """The rows for which the mask is true, as pieces that are not all small, with some of the columns."""
        kept = pieces if mask.all() else self._masked(pieces, mask, columns)
        small: list[Piece] = []
        held = 0
        for piece in kept:
            if not len(piece.rows):
                continue
            small.append(piece)
            held += len(piece.rows)
            if held >= _SMALL_ROWS:
                yield _together(small, columns)
                small, held = [], 0
        if small:
            yield _together(small, columns)

    def _masked(self, pieces: list[Piece], mask: _Mask, columns: list[str]) -> Iterator[Piece]:
        """Those rows, by one call for all pieces: after each call Arrow has to wait for the interpreter, which other threads use."""
        count = int(np.count_nonzero(mask))
        numbers = positions(numbers_of([piece.rows for piece in pieces]))[mask] if self.numbered else range(count)
        if not columns:
            yield Piece(rows_only(count), numbers)
            return
        batches = [select(piece.batch, columns) for piece in pieces]
        if any(batch.schema != batches[0].schema for batch in batches[1:]):
            batches = [decoded(batch) for batch in batches]
        at = 0
        for batch in decoded(pa.Table.from_batches(batches).filter(array_of(mask))).to_batches():
            yield Piece(batch, numbers[at : at + batch.num_rows])
            at += batch.num_rows


def _together(pieces: list[Piece], columns: list[str]) -> Piece:
    """The rows of all of them, with some of the columns, text as such."""
    numbers = numbers_of([piece.rows for piece in pieces])
    if not columns:
        return Piece(rows_only(len(numbers)), numbers)
    return Piece(joined([decoded(select(piece.batch, columns)) for piece in pieces]), numbers)


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


def _meeting_words(own: Positions, other: Positions) -> tuple[_Mask, _Mask]:
    """What meets of ascending numbers, each of them once."""
    if len(own) == len(other) and bool((own == other).all()):
        return np.ones(len(own), np.bool_), np.ones(len(other), np.bool_)
    low = int(min(own[0], other[0]))
    span = int(max(own[-1], other[-1])) - low + 1
    if span > _DENSE * (len(own) + len(other)):
        return _found(own, other), _found(other, own)
    table = np.zeros(span, np.bool_)  # of the numbers between: several times faster than a search
    table[other - low] = True
    met = table[own - low]
    if np.count_nonzero(met) == len(other):
        return met, np.ones(len(other), np.bool_)
    table[:] = False
    table[own - low] = True
    return met, table[other - low]


def _found(wanted: Positions, there: Positions) -> _Mask:
    places = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    found: _Mask = there[places] == wanted
    return found


def _is_text(side: Side, name: str) -> bool:
    return not name.startswith("\0") and bool(pa.types.is_string(side.schema[name].storage().type))


class _Cursor:
    """One side, of which the rows of some pieces are held and taken from the front."""

    def __init__(self, side: Side, number: int, pairs: Sequence[KeyPair], columns: Sequence[str], memory: int) -> None:
        self._side, self._number, self._pairs = side, number, pairs
        names = [pair.column(number) for pair in pairs]
        self._names = list(dict.fromkeys([*columns, *names]))
        texts = [name for name in columns if name not in names and _is_text(side, name)]
        self._source = side.pieces(self._names, memory, texts)
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
            return int(np.searchsorted(numpy_of(self._keys[0]), last[0], "right"))
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

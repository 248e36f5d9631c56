"""`KeyIndex`: the rows of one side by their keys, in numpy arrays, and the rows that each key of another side meets.

Numbers that lie close together, as ids do, are looked up in a table of all numbers between. Other rows are sorted by a 64-bit
code of their key. One column of whole numbers, dates, times, bools or floats is coded as it is
mixed, and equal codes are equal keys; other keys are hashed with a random seed, and then every run of equal codes is
compared as values when it is built and again when it is met, so that no collision ever joins two rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tableformat.errors import LimitError, message
from tableformat.table.selection import Positions

__all__ = ["BYTES_A_ROW", "Codes", "KeyIndex", "Matches", "index_bytes", "key_codes", "table_bytes"]

Codes = npt.NDArray[np.uint64]

BYTES_A_ROW: Final = 32
"""What an index holds for each row, at most, while it is built: codes, their order, and the table of places."""

_U64 = np.uint64
_MIX_1: Final = _U64(0xFF51AFD7ED558CCD)  # the finaliser of MurmurHash3: a bijection of 64-bit words
_MIX_2: Final = _U64(0xC4CEB9FE1A85EC53)
_SHIFT: Final = _U64(33)
_DENSE: Final = 8  # numbers that fill an eighth of the space between them are looked up in a table of it
_SMALL: Final = 1 << 16
_LONG: Final = 512  # bytes from which on a value is hashed by itself
_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class Matches:
    """For each row that was looked up, a run of the index's `order`."""

    starts: Positions
    counts: Positions
    """How many rows it meets; 0 for a key that is null."""


class KeyIndex:
    """The rows of some normalised key columns (see `keys.KeyPair`), by key. Immutable; rows whose key is null are left out."""

    def __init__(self, columns: Sequence[pa.Array]) -> None:
        self._exact = len(columns) == 1 and columns[0].type == pa.int64()
        rows = np.flatnonzero(valid_rows(columns)) if any(column.null_count for column in columns) else None
        kept = list(columns) if rows is None else [column.take(pa.array(rows)) for column in columns]
        self._seed = 0
        self._table: npt.NDArray[np.int32] | None = None
        self._low = 0
        self._keys: list[pa.Array] = []
        self._run_ends: Positions | None = None
        self.is_unique = True
        """Whether no two rows have one key."""
        self._count = len(kept[0])
        self._rows = rows
        is_placed = self._exact and self._place_numbers(np.asarray(kept[0]))
        order = self._sort_numbers(np.asarray(kept[0])) if is_placed else self._sort(kept)
        self._local = order
        self._order = order if rows is None or order is None else rows[order]

    @property
    def order(self) -> Positions:
        """The rows, those of one key together, in ascending order within it."""
        if self._order is None:  # numbers that are all different stand in a table by themselves
            self._order = np.arange(self._count, dtype=np.int64) if self._rows is None else self._rows
        return self._order

    @property
    def is_table(self) -> bool:
        """Whether `find_rows` works: numbers that lie close together, and all of them different."""
        return self._table is not None and self.is_unique

    def find_rows(self, words: pa.Array) -> npt.NDArray[np.signedinteger[Any]]:
        """For each number the row that has it, or -1; of an index that `is_table`. Null meets none."""
        assert self._table is not None
        numbers = _words(words).view(np.int64)
        if not len(numbers):
            return np.empty(0, np.int32)
        if int(numbers.min()) >= self._low and int(numbers.max()) <= self._low + len(self._table) - 1:
            places = self._table[numbers - self._low]
        else:
            inside = (numbers >= self._low) & (numbers <= self._low + len(self._table) - 1)
            places = np.full(len(numbers), -1, np.int32)
            places[inside] = self._table[numbers[inside] - self._low]
        if words.null_count:
            places[np.asarray(words.is_null())] = -1
        return places if self._rows is None else np.where(places < 0, np.int64(-1), self._rows[places])

    def _place_numbers(self, words: Positions) -> bool:
        """Make a table of numbers that lie close together, which replaces codes; whether they do."""
        bounds = _dense_bounds(words)
        if bounds is None:
            return False
        self._low, self._table = bounds[0], np.full(bounds[1] - bounds[0] + 1, -1, np.int32)
        for at in range(0, len(words), _SMALL):
            some = words[at : at + _SMALL]
            self._table[some - self._low] = np.arange(at, at + len(some), dtype=np.int32)
        return True

    def _sort_numbers(self, words: Positions) -> Positions | None:
        """The order of numbers of which there is a table; None where they are all different."""
        assert self._table is not None
        low, count = self._low, len(words)
        if np.count_nonzero(self._table != -1) == count:
            return None
        order = np.argsort(words, kind="stable")
        in_order = words[order]
        firsts = self._find_runs(in_order)
        self._table[in_order[firsts] - low] = firsts
        return order

    def _sort(self, kept: list[pa.Array]) -> Positions:
        """The order by code, under a seed for which equal codes are equal keys."""
        for _ in range(_ATTEMPTS):
            self._seed = 0 if self._exact else secrets.randbits(64)
            codes = self._codes(kept)
            order = np.argsort(codes, kind="stable")
            self._sorted = codes[order]
            if self._exact or self._runs_are_pure(kept, order):
                break
        else:
            raise LimitError(message("indexing the keys of a join", got="collisions under every seed that was tried"))
        self._keys = [] if self._exact else kept
        self._bits = max(min(len(order).bit_length(), 28), 1)
        prefixes = (self._sorted >> _U64(64 - self._bits)).astype(np.int64)
        self._starts = np.searchsorted(prefixes, np.arange((1 << self._bits) + 1)).astype(np.int64)
        self._find_runs(self._sorted)
        return order

    def _find_runs(self, in_order: npt.NDArray[Any]) -> Positions:
        """Where runs of equal values begin; remembers where the run of each place ends."""
        changes = np.flatnonzero(in_order[1:] != in_order[:-1]) + 1 if len(in_order) else np.empty(0, np.int64)
        self.is_unique = len(changes) + 1 >= len(in_order)
        if not self.is_unique:
            bounds = np.append(changes, len(in_order))
            self._run_ends = np.repeat(bounds, np.diff(bounds, prepend=0))
        return np.concatenate([np.zeros(1, np.int64), changes])

    def __len__(self) -> int:
        return self._count

    def run_starts(self) -> Positions:
        """Where in `order` the rows of each key begin."""
        if self._run_ends is None:
            return np.arange(self._count, dtype=np.int64)
        return np.flatnonzero(np.append(True, self._run_ends[1:] != self._run_ends[:-1]))[: self._count]

    def match(self, columns: Sequence[pa.Array]) -> Matches:
        """The rows that each key of `columns`, normalised like those of the index, meets."""
        count = len(columns[0])
        starts, counts = np.zeros(count, np.int64), np.zeros(count, np.int64)
        if not self._count:
            return Matches(starts, counts)
        rows: Any = np.flatnonzero(valid_rows(columns)) if any(column.null_count for column in columns) else None
        kept = list(columns) if rows is None else [column.take(pa.array(rows)) for column in columns]
        hit, at = self._find_numbers(np.asarray(kept[0])) if self._table is not None else self._find(kept)
        into = hit if rows is None else rows[hit]
        starts[into] = at
        counts[into] = 1 if self._run_ends is None else self._run_ends[at] - at
        return Matches(starts, counts)

    def _find_numbers(self, words: Positions) -> tuple[Positions, Positions]:
        """Which of the numbers are there, and at which place."""
        assert self._table is not None
        inside = np.flatnonzero((words >= self._low) & (words <= self._low + len(self._table) - 1))
        places = self._table[(words if len(inside) == len(words) else words[inside]) - self._low]
        found = places >= 0
        return inside[found], places[found].astype(np.int64)

    def _find(self, kept: list[pa.Array]) -> tuple[Positions, Positions]:
        """Which of the keys are there, and at which place."""
        codes = self._codes(kept)
        prefixes = (codes >> _U64(64 - self._bits)).astype(np.int64)
        place, end = self._starts[prefixes], self._starts[prefixes + 1]
        asked = np.flatnonzero(place < end)
        place, end, wanted = place[asked], end[asked], codes[asked]
        found_rows, found_places = [asked[:0]], [place[:0]]
        while len(asked):  # one more place of each bucket in each round; on average there is one in all
            here = self._sorted[place]
            equal = here == wanted
            found_rows.append(asked[equal])
            found_places.append(place[equal])
            place = place + 1
            more = np.flatnonzero((here < wanted) & (place < end))
            asked, place, end, wanted = asked[more], place[more], end[more], wanted[more]
        hit, at = np.concatenate(found_rows), np.concatenate(found_places)
        if not self._exact and len(hit):
            same = self._are_equal(kept, hit, at)
            hit, at = hit[same], at[same]
        return hit, at

    def _are_equal(self, columns: list[pa.Array], rows: Positions, places: Positions) -> npt.NDArray[np.bool_]:
        """Whether the key of each of `rows` of `columns` is that of the index's row at the place."""
        assert self._local is not None  # of what is not a table
        return _equal_rows(columns, rows, self._keys, self._local[places])

    def _runs_are_pure(self, columns: list[pa.Array], order: Positions) -> bool:
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if not len(same):
            return True
        return bool(_equal_rows(columns, order[same], columns, order[same + 1]).all())

    # -- codes

    def _codes(self, columns: Sequence[pa.Array]) -> Codes:
        return _mixed(_words(columns[0])) if self._exact else key_codes(columns, self._seed)


def index_bytes(columns: Sequence[pa.Array]) -> int:
    """What an index of these keys holds at most, while it is built and then. Reads them once or twice; holds an eighth of that."""
    rows = len(columns[0])
    if len(columns) > 1 or columns[0].type != pa.int64() or columns[0].null_count:
        return rows * BYTES_A_ROW
    words = np.asarray(columns[0])
    bounds = _dense_bounds(words)
    if bounds is None:
        return rows * BYTES_A_ROW
    is_there = np.zeros(bounds[1] - bounds[0] + 1, np.bool_)
    for at in range(0, rows, _SMALL):
        is_there[words[at : at + _SMALL] - bounds[0]] = True
    return 5 * len(is_there) if np.count_nonzero(is_there) == rows else rows * BYTES_A_ROW


def table_bytes(rows: int, span: int) -> int:
    """What an index of `rows` numbers takes that lie within `span`, should they all be different."""
    return 5 * span if rows <= span < _DENSE * rows + _SMALL else rows * BYTES_A_ROW


def _dense_bounds(words: Positions) -> tuple[int, int] | None:
    """The least and the most of numbers that lie close together; None where they do not."""
    if not len(words):
        return None
    low, high = int(words.min()), int(words.max())
    return (low, high) if high - low < _DENSE * len(words) + _SMALL else None


def key_codes(columns: Sequence[pa.Array], seed: int) -> Codes:
    """A 64-bit hash of the key of each row; the columns are normalised (see `keys.KeyPair`) and hold no nulls."""
    total = np.full(len(columns[0]), seed, np.uint64)
    for column in columns:
        hashed = _words(column) if column.type == pa.int64() else hash_bytes(column, seed)
        total = _mixed(total ^ _mixed(hashed)) + _MIX_1
    return total


def valid_rows(columns: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
    """Where no column is null."""
    valid: npt.NDArray[np.bool_] = np.ones(len(columns[0]), np.bool_)
    for column in columns:
        if column.null_count:
            valid &= np.asarray(column.is_valid())
    return valid


def _equal_rows(
    one: list[pa.Array], rows: Positions, other: list[pa.Array], others: Positions
) -> npt.NDArray[np.bool_]:
    equal: npt.NDArray[np.bool_] = np.ones(len(rows), np.bool_)
    for mine, theirs in zip(one, other, strict=True):
        equal &= np.asarray(pc.equal(mine.take(pa.array(rows)), theirs.take(pa.array(others))))
    return equal


def _words(column: pa.Array) -> Codes:
    return np.asarray(column.fill_null(0) if column.null_count else column).view(np.uint64)


def _mixed(words: Codes) -> Codes:
    mixed = words ^ (words >> _SHIFT)
    mixed *= _MIX_1
    mixed ^= mixed >> _SHIFT
    mixed *= _MIX_2
    mixed ^= mixed >> _SHIFT
    return mixed


def hash_bytes(column: pa.Array, seed: int) -> Codes:
    """A 64-bit hash of each value of a binary column without nulls: all values together, eight bytes at a time."""
    count = len(column)
    _, offsets_buffer, data = column.buffers()
    if not count:
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset : column.offset + count + 1].astype(np.int64)
    begins, lengths = offsets[:-1], np.diff(offsets)
    raw = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    padded = np.empty(len(raw) + 8, np.uint8)
    padded[: len(raw)], padded[len(raw) :] = raw, 0
    begins = begins - offsets[0]
    at_any: Codes = np.ndarray((len(raw) + 1,), "<u8", padded.data, 0, (1,))  # the eight bytes from any byte on
    total = _mixed(lengths.astype(np.uint64) ^ _U64(seed))
    rows: Any = np.flatnonzero(lengths <= _LONG)
    done = 0
    while len(rows):
        left = lengths[rows] - done
        rows, left = rows[left > 0], left[left > 0]
        word = at_any[begins[rows] + done]
        short = left < 8
        word[short] &= (_U64(1) << (left[short].astype(np.uint64) * _U64(8))) - _U64(1)
        total[rows] = _mixed(total[rows] ^ word) + _MIX_2
        done += 8
    for row in np.flatnonzero(lengths > _LONG).tolist():
        begin = int(begins[row])
        total[row] = xxhash.xxh3_64_intdigest(padded[begin : begin + int(lengths[row])].data, seed)
    return total

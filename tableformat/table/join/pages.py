"""The first rows of a join: a few rows of the left, and of the right only the parts and row groups that may meet them.

Runs of the left are short at first and grow, so that the first page is cheap and a long read is not cut small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.format.expr import Predicate, all_of, col
from tableformat.table.batches import joined, rows_only, select
from tableformat.table.join.index import BYTES_A_ROW, KeyIndex, valid_rows
from tableformat.table.join.keys import KeyPair
from tableformat.table.join.lookup import Held, TooLargeError, hold, keys_of
from tableformat.table.join.pairs import How, Pairs, keeps_right, take_rows
from tableformat.table.join.sides import Side, TableSide, positions
from tableformat.table.reading import Piece

__all__ = ["iter_pages", "iter_unmatched"]

_FIRST_ROWS: Final = 128
_MOST_ROWS: Final = 1 << 16
_DENSE: Final = 16
_FILTER_VALUES: Final = 1024
"""Keys up to which the right side is filtered by them as values, so that statistics may skip most of it."""


def iter_pages(
    left: Side,
    right: Side,
    pairs: Sequence[KeyPair],
    how: How,
    left_columns: Sequence[str],
    right_columns: Sequence[str],
    memory: int,
    limit: float,
    first_rows: int = _FIRST_ROWS,
) -> Iterator[Pairs]:
    """The rows in order. Holds a run of the left, and what it meets on the right: at most `limit` bytes, or what one row meets."""
    needed = list(dict.fromkeys([*left_columns, *(pair.left for pair in pairs)]))
    for piece in _left_runs(left, needed, memory, max(1, min(first_rows, _MOST_ROWS))):
        yield from _page(piece, right, pairs, how, left_columns, right_columns, memory, limit)
    if keeps_right(how):
        yield from iter_unmatched(left, right, pairs, left_columns, right_columns, memory, limit)


def _left_runs(left: Side, columns: list[str], memory: int, size: int) -> Iterator[Piece]:
    """The left in runs of `size`, which grows. The first ones are read alone: a scan of all would read ahead."""
    if isinstance(left, TableSide) and (count := left.count) is not None:
        at = 0
        while at < count and size < _MOST_ROWS:
            yield from _runs(left.slice(at, at + size).pieces(columns, memory), size)
            at += size
            size = min(size * 4, _MOST_ROWS)
        left = left.slice(at, None)
    yield from _runs(left.pieces(columns, memory), size)


def _runs(pieces: Iterator[Piece], size: int) -> Iterator[Piece]:
    """The same rows in runs of `size`, which doubles; short pieces are put together."""
    waiting: list[Piece] = []
    held = 0
    for piece in pieces:
        at = 0
        while at < len(piece.rows):
            step = min(size - held, len(piece.rows) - at)
            waiting.append(piece.slice(at, at + step))
            held += step
            at += step
            if held == size:
                yield _together(waiting)
                waiting, held, size = [], 0, min(size * 4, _MOST_ROWS)
    if waiting:
        yield _together(waiting)


def _together(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    return Piece(joined([piece.batch for piece in pieces]), np.concatenate([positions(piece.rows) for piece in pieces]))


def _page(
    piece: Piece, right: Side, pairs: Sequence[KeyPair], how: How, left_columns: Sequence[str],
    right_columns: Sequence[str], memory: int, limit: float,
) -> Iterator[Pairs]:  # fmt: skip
    keys = keys_of(piece, 0, pairs)
    try:
        held = _partners(piece, keys, right, pairs, [] if how in ("semi", "anti") else right_columns, memory, limit)
    except TooLargeError:
        half = len(piece.rows) // 2
        if half:
            for part in (piece.slice(0, half), piece.slice(half, len(piece.rows))):
                yield from _page(part, right, pairs, how, left_columns, right_columns, memory, limit)
        else:
            yield from _row(piece, keys, right, pairs, how, left_columns, right_columns, memory)
        return
    for run, _ in held.pairs(piece, left_columns, keys, how):
        if len(run):
            yield run


def _row(
    piece: Piece, keys: list[pa.Array], right: Side, pairs: Sequence[KeyPair], how: How, left_columns: Sequence[str],
    right_columns: Sequence[str], memory: int,
) -> Iterator[Pairs]:  # fmt: skip
    """What one row meets, where that is more than may be held: in the order of the right it is the order of the join.

    It does meet some, so that of `semi` it is kept, of `anti` it is not, and no kind keeps it alone.
    """
    own = select(piece.batch, left_columns) if left_columns else rows_only(1)
    number = positions(piece.rows)
    if how in ("semi", "anti"):
        if how == "semi":
            yield Pairs(own, number, rows_only(1), np.full(1, -1, np.int64))
        return
    index = KeyIndex(keys)
    names = [pair.right for pair in pairs]
    for found in right.pieces(list(dict.fromkeys([*right_columns, *names])), memory):
        rows = np.flatnonzero(index.match(keys_of(found, 1, pairs)).counts)
        if len(rows):
            met = select(found.batch, right_columns) if right_columns else rows_only(len(found.rows))
            yield Pairs(
                take_rows(own, np.zeros(len(rows), np.int64)),
                np.full(len(rows), number[0]),
                take_rows(met, rows),
                positions(found.rows)[rows],
            )


def _partners(
    piece: Piece, keys: list[pa.Array], right: Side, pairs: Sequence[KeyPair], columns: Sequence[str], memory: int, limit: float
) -> Held:  # fmt: skip
    """The rows of the right that rows of the left meet, and few others."""
    names = [pair.right for pair in pairs]
    needed = list(dict.fromkeys([*columns, *names]))
    predicate = _predicate(piece, keys, right, pairs)
    if predicate is not None:
        return hold(right.where(predicate).pieces(needed, memory), right, 1, pairs, columns, limit)
    index = KeyIndex(keys)

    def meeting() -> Iterator[Piece]:
        for found in right.pieces(names, memory):
            rows = np.flatnonzero(index.match(keys_of(found, 1, pairs)).counts)
            if len(rows):
                yield Piece(found.batch.take(pa.array(rows)), positions(found.rows)[rows])

    alone = hold(meeting(), right, 1, pairs, [], limit)
    if not columns:
        return alone
    batch = right.take(positions(alone.rows), columns, memory)
    if batch.nbytes > limit:
        raise TooLargeError
    return Held(batch, alone.rows, alone.index)


def _predicate(piece: Piece, keys: list[pa.Array], right: Side, pairs: Sequence[KeyPair]) -> Predicate | None:
    """A filter of the right by the values of the keys; None where they are too many, or of types that are no literals, or
    where the right is a join, whose rows have other numbers behind a filter."""
    if not isinstance(right, TableSide):
        return None
    tests = []
    valid = pa.array(valid_rows(keys))
    for pair in pairs:
        column = piece.batch.column(pair.left)
        if not _is_literal(column.type) or not _is_literal(right.schema[pair.right].type.arrow()):
            continue
        values = pc.unique(column.filter(valid))
        if (
            pa.types.is_integer(values.type)
            and len(values)
            and _is_dense(bounds := pc.min_max(values).as_py(), len(values))
        ):
            tests.append(col(pair.right).between(bounds["min"], bounds["max"]))  # some rows more, and fewer tests
        elif len(values) <= _FILTER_VALUES:
            tests.append(col(pair.right).is_in(values.to_pylist()))
    return all_of(tests)


def _is_dense(bounds: dict[str, int], count: int) -> bool:
    return bounds["max"] - bounds["min"] < _DENSE * count


def _is_literal(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(type_) or types.is_string(type_) or types.is_binary(type_) or types.is_date(type_))


def iter_unmatched(
    left: Side, right: Side, pairs: Sequence[KeyPair], left_columns: Sequence[str], right_columns: Sequence[str],
    memory: int, limit: float,
) -> Iterator[Pairs]:  # fmt: skip
    """The rows of the right that meet none, in order. Holds keys of the left, at most `limit` bytes of them at a time; where
    there are more, a bit for each row of the right."""
    names = [pair.right for pair in pairs]
    needed = list(dict.fromkeys([*right_columns, *names]))
    chunks = _key_chunks(left.pieces([pair.left for pair in pairs], memory), pairs, limit)
    index, marked = next(chunks, None), _Marks()
    for another in chunks:
        marked.add(_counts(right, names, pairs, another, memory))
    at = 0
    for piece in right.pieces(needed, memory):
        count = len(piece.rows)
        free = ~marked.between(at, at + count)
        if index is not None:
            free &= index.match(keys_of(piece, 1, pairs)).counts == 0
        rows = np.flatnonzero(free)
        at += count
        if len(rows):
            batch = take_rows(select(piece.batch, right_columns) if right_columns else rows_only(count), rows)
            yield Pairs(
                left.absent(left_columns, len(rows)),
                np.full(len(rows), -1, np.int64),
                batch,
                positions(piece.rows)[rows],
            )


def _counts(
    right: Side, names: list[str], pairs: Sequence[KeyPair], index: KeyIndex, memory: int
) -> Iterator[npt.NDArray[np.bool_]]:
    for piece in right.pieces(names, memory):
        yield index.match(keys_of(piece, 1, pairs)).counts > 0


def _key_chunks(pieces: Iterator[Piece], pairs: Sequence[KeyPair], limit: float) -> Iterator[KeyIndex]:
    held: list[list[pa.Array]] = []
    size = 0.0
    for piece in pieces:
        keys = keys_of(piece, 0, pairs)
        held.append(keys)
        size += sum(key.nbytes for key in keys) + len(piece.rows) * BYTES_A_ROW
        if size > limit:
            yield KeyIndex([pa.concat_arrays(list(column)) for column in zip(*held, strict=True)])
            held, size = [], 0.0
    if held:
        yield KeyIndex([pa.concat_arrays(list(column)) for column in zip(*held, strict=True)])


class _Marks:
    """Rows that are marked, a bit each."""

    def __init__(self) -> None:
        self._bits = np.empty(0, np.uint8)

    def add(self, masks: Iterator[npt.NDArray[np.bool_]]) -> None:
        """Mark the rows of consecutive masks."""
        at = 0
        for mask in masks:
            before = self.between(at, at + len(mask))
            self._set(at, before | mask)
            at += len(mask)

    def _set(self, at: int, mask: npt.NDArray[np.bool_]) -> None:
        first, last = at // 8, -(-(at + len(mask)) // 8)
        if last > len(self._bits):
            self._bits = np.concatenate(
                [self._bits, np.zeros(max(last, 2 * len(self._bits)) - len(self._bits), np.uint8)]
            )
        bits = np.unpackbits(self._bits[first:last])
        bits[at - 8 * first : at - 8 * first + len(mask)] = mask
        self._bits[first:last] = np.packbits(bits)

    def between(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Whether each row of a run is marked."""
        found = np.zeros(stop - start, np.bool_)
        first = start // 8
        bits = np.unpackbits(self._bits[first : -(-stop // 8)])[start - 8 * first : stop - 8 * first]
        found[: len(bits)] = bits
        return found

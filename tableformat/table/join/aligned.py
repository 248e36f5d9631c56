"""Two tables with one sequence of unique keys: row n of one meets row n of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tableformat.table.batches import rows_only
from tableformat.table.join.keys import KeyPair
from tableformat.table.join.pairs import How, Pairs, unnumbered
from tableformat.table.join.sides import Side, positions
from tableformat.table.reading import Piece

__all__ = ["iter_aligned", "zipped"]


def iter_aligned(
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
    """The rows in order. Every row has its match, so all kinds but `semi` and `anti` are the same. Holds one batch of each.

    A key column of the right that is wanted beside that of the left is not read: equal digests of both key sequences say that it is
    the same.
    """
    if how == "anti":
        return
    if how == "semi":
        for piece in left.pieces(left_columns, memory):
            count = len(piece.rows)
            yield Pairs(piece.batch, positions(piece.rows), rows_only(count), np.full(count, -1, np.int64))
        return
    same = _same_columns(left, right, pairs, left_columns, right_columns)
    others = [name for name in right_columns if name not in same]
    if not others or not left_columns:  # the rows of one side are those of the other
        one, columns = (left, left_columns) if left_columns else (right, others)
        for piece in one.pieces(columns, memory):
            rows, bare = _numbers(piece, numbered=numbered), rows_only(len(piece.rows))
            found = Pairs(piece.batch, rows, bare, rows) if one is left else Pairs(bare, rows, piece.batch, rows)
            yield _with_same(found, same, right_columns)
        return
    for found in zipped(left.pieces(left_columns, memory), right.pieces(others, memory), numbered=numbered):
        yield _with_same(found, same, right_columns)


def _same_columns(
    left: Side, right: Side, pairs: Sequence[KeyPair], left_columns: Sequence[str], right_columns: Sequence[str]
) -> dict[str, str]:
    """Of the columns of the right those that the left has, too, and by which name: keys of one type."""
    return {
        pair.right: pair.left
        for pair in pairs
        if pair.left in left_columns
        and pair.right in right_columns
        and left.schema[pair.left].storage().type == right.schema[pair.right].storage().type
    }


def _with_same(found: Pairs, same: dict[str, str], columns: Sequence[str]) -> Pairs:
    if not same:
        return found
    arrays = [found.left.column(same[name]) if name in same else found.right.column(name) for name in columns]
    return Pairs(found.left, found.left_rows, pa.RecordBatch.from_arrays(arrays, list(columns)), found.right_rows)


def _numbers(piece: Piece, *, numbered: bool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return positions(piece.rows) if numbered else unnumbered(len(piece.rows))


def zipped(left: Iterator[Piece], right: Iterator[Piece], *, numbered: bool = True) -> Iterator[Pairs]:
    """Row n of one beside row n of the other, of which there are equally many; cut where a piece of either ends, not copied."""
    other: Piece | None = None
    for piece in left:
        at, count = 0, len(piece.rows)
        while at < count:
            if other is None or not len(other.rows):
                other = next(right)
            step = min(count - at, len(other.rows))
            own = piece if step == count else piece.slice(at, at + step)
            met = other if step == len(other.rows) else other.slice(0, step)
            yield Pairs(own.batch, _numbers(own, numbered=numbered), met.batch, _numbers(met, numbered=numbered))
            other = None if met is other else other.slice(step, len(other.rows))
            at += step

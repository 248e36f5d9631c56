"""Two tables with one sequence of unique keys: row n of one meets row n of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tableformat.table.batches import rows_only
from tableformat.table.join.pairs import How, Pairs
from tableformat.table.join.sides import Side, positions
from tableformat.table.reading import Piece

__all__ = ["iter_aligned", "zipped"]


def iter_aligned(
    left: Side, right: Side, how: How, left_columns: Sequence[str], right_columns: Sequence[str], memory: int
) -> Iterator[Pairs]:
    """The rows in order. Every row has its match, so all kinds but `semi` and `anti` are the same. Holds one batch of each."""
    if how == "anti":
        return
    if how == "semi":
        for piece in left.pieces(left_columns, memory):
            count = len(piece.rows)
            yield Pairs(piece.batch, positions(piece.rows), rows_only(count), np.full(count, -1, np.int64))
        return
    if not right_columns or not left_columns:  # the rows of one side are those of the other
        one, columns = (left, left_columns) if left_columns else (right, right_columns)
        for piece in one.pieces(columns, memory):
            rows, bare = positions(piece.rows), rows_only(len(piece.rows))
            yield Pairs(piece.batch, rows, bare, rows) if one is left else Pairs(bare, rows, piece.batch, rows)
        return
    yield from zipped(left.pieces(left_columns, memory), right.pieces(right_columns, memory))


def zipped(left: Iterator[Piece], right: Iterator[Piece]) -> Iterator[Pairs]:
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
            yield Pairs(own.batch, positions(own.rows), met.batch, positions(met.rows))
            other = None if met is other else other.slice(step, len(other.rows))
            at += step

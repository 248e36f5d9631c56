"""Rows without a key: how often each stands on both sides, in bounded memory.

A row becomes one text of bytes that only equal rows have. Where the texts of all rows do not fit, they are divided by a hash into temporary
files first. The first rows of one side meet the first equal ones of the other; what is left over are the last ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from tableformat.table.batches import joined
from tableformat.table.diff.found import Found
from tableformat.table.diff.partitions import Partitions
from tableformat.table.join.index import BYTES_A_ROW, KeyIndex

__all__ = ["count_rows"]

_HELD: Final = 0.25
"""Of the memory: the texts of the rows that are looked at together, with an index of them."""


def count_rows(left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch], found: Found, memory: int) -> None:
    """Record what one side has more often than the other. Batches have the text of each row and its number.

    Holds about half of `memory`.
    """
    limit = int(memory * _HELD)
    held: list[list[pa.RecordBatch]] = [[], []]
    size = 0
    aside: Partitions | None = None
    for side, stream in enumerate((left, right)):
        for batch in stream:
            if aside is not None:
                aside.add(side, batch)
                continue
            held[side].append(batch)
            size += _size(batch)
            if size > limit:
                aside = _put_aside(held)
    if aside is None:
        _count(held[0], held[1], found)
        return
    for partition in aside.finish(limit // 2, both=True):
        _count(list(partition.batches(0)), list(partition.batches(1)), found)


def _size(batch: pa.RecordBatch) -> int:
    size: int = batch.nbytes + batch.num_rows * BYTES_A_ROW
    return size


def _put_aside(held: list[list[pa.RecordBatch]]) -> Partitions:
    aside = Partitions(1, secrets.randbits(64))
    for side, batches in enumerate(held):
        for batch in batches:
            aside.add(side, batch)
        batches.clear()
    return aside


def _count(left: list[pa.RecordBatch], right: list[pa.RecordBatch], found: Found) -> None:
    if not left and not right:
        return
    both = joined([*left, *right])
    rows = np.asarray(both.column(1))
    own = sum(batch.num_rows for batch in left)
    index = KeyIndex([both.column(0)])
    starts = index.run_starts()
    sizes = np.diff(np.append(starts, len(rows)))
    # Rows of one text stand together, in the order in which they came: those of the left first.
    of_left = np.add.reduceat((index.order < own).astype(np.int64), starts)
    of_right = sizes - of_left
    more = np.flatnonzero(of_right > of_left)
    found.add_alone(1, rows[index.order[starts[more] + 2 * of_left[more]]], of_right[more] - of_left[more])
    more = np.flatnonzero(of_left > of_right)
    found.add_alone(0, rows[index.order[starts[more] + of_right[more]]], of_left[more] - of_right[more])
    least = np.minimum(of_left, of_right)
    both_have = np.flatnonzero(least)
    found.add_same(
        rows[index.order[starts[both_have]]],
        rows[index.order[starts[both_have] + of_left[both_have]]],
        least[both_have],
    )

"""Pairs of rows compared, column by column, and what is counted meanwhile: how many values changed, by how much, into what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.table.diff.columns import ColumnPair, Form
from tableformat.table.diff.entries import mask_words
from tableformat.table.diff.values import differing
from tableformat.table.selection import Positions

__all__ = ["ColumnTally", "Tally"]

Numbers = npt.NDArray[np.float64]


@dataclass(slots=True)
class ColumnTally:
    """What was counted of one column, over the rows that changed."""

    changed: int = 0
    total: float = 0.0
    """The differences after − before of numbers, added up; those that are not finite left out."""
    numbers: int = 0
    """How many differences that are."""
    largest: float = 0.0
    """The one farthest from zero."""
    transitions: Counter[tuple[Any, Any]] = field(default_factory=Counter)


class Tally:
    """Counts changes; belongs to one thread. Holds a counter of transitions for each column of classes or bools."""

    def __init__(self, pairs: Sequence[ColumnPair]) -> None:
        self._pairs = pairs
        self.words = mask_words(len(pairs))
        self.columns = [ColumnTally() for _ in pairs]
        self.matched = 0
        """Pairs of rows that were found, also those that are equal by digest."""
        self.changed = 0
        """Those of them that differ."""

    def compare(
        self, places: Sequence[int], left: Sequence[pa.Array], right: Sequence[pa.Array], rows: int
    ) -> tuple[Positions, npt.NDArray[np.uint64]]:
        """Compare the columns `places` of `rows` pairs, in their forms: the rows that differ, and a bit for each column that does."""
        apart = [differing(one, other) for one, other in zip(left, right, strict=True)]
        self.matched += rows
        changed: npt.NDArray[np.bool_] = np.zeros(rows, np.bool_)
        for mask in apart:
            changed |= mask
        found = np.flatnonzero(changed)
        masks = np.zeros((len(found), self.words), np.uint64)
        for place, one, other, mask in zip(places, left, right, apart, strict=True):
            if len(found) and mask.any():
                masks[mask[found], place // 64] |= np.uint64(1 << (place % 64))
                rows_of = pa.array(np.flatnonzero(mask))
                self._count(place, one.take(rows_of), other.take(rows_of))
        self.changed += len(found)
        return found, masks

    def _count(self, place: int, before: pa.Array, after: pa.Array) -> None:
        pair, tally = self._pairs[place], self.columns[place]
        tally.changed += len(before)
        if pair.left.numbers is not None:
            differences = _differences(pair.left, before, pair.right, after)
            if len(differences):
                tally.total += float(differences.sum())
                tally.numbers += len(differences)
                low, high = float(differences.min()), float(differences.max())
                tally.largest = max(tally.largest, high, low, key=lambda value: (abs(value), value))
        if pair.left.names:
            tally.transitions.update(_transitions(before, after))


def _differences(left: Form, before: pa.Array, right: Form, after: pa.Array) -> Numbers:
    """after − before where both are numbers and the difference is finite. Integers are subtracted exactly, then rounded."""
    one, other = left.numbers_of(before), right.numbers_of(after)
    if one.null_count or other.null_count:
        both = pa.array(np.flatnonzero(np.asarray(one.is_valid()) & np.asarray(other.is_valid())))
        one, other = one.take(both), other.take(both)
    if pa.types.is_integer(one.type):
        kind = pa.uint64() if pa.types.is_unsigned_integer(one.type) else pa.int64()
        return _integer_differences(np.asarray(one.cast(kind)), np.asarray(other.cast(kind)))
    with np.errstate(all="ignore"):
        found: Numbers = np.asarray(other.cast(pa.float64())) - np.asarray(one.cast(pa.float64()))
    return found[np.isfinite(found)]


def _integer_differences(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> Numbers:
    up = after >= before
    high, low = np.where(up, after, before).view(np.uint64), np.where(up, before, after).view(np.uint64)
    sizes = (high - low).astype(np.float64)  # modulo 2^64, which no difference reaches
    found: Numbers = np.where(up, sizes, -sizes)
    return found


def _transitions(before: pa.Array, after: pa.Array) -> dict[tuple[Any, Any], int]:
    one, other = (array.dictionary_encode(null_encoding="encode") for array in (before, after))
    codes = np.asarray(one.indices).astype(np.int64) * max(len(other.dictionary), 1) + np.asarray(other.indices)
    found, counts = np.unique(codes, return_counts=True)
    values, others = one.dictionary.to_pylist(), other.dictionary.to_pylist()
    return {
        (values[code // len(others)], others[code % len(others)]): count
        for code, count in zip(found.tolist(), counts.tolist(), strict=True)
    }

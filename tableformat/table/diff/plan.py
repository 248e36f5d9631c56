"""Which rows of two tables are known to be equal or to stand beside each other, from their manifests alone. Pure.

Parts with equal key columns hold the rows of the same keys in one order: they meet row by row, and of them only the columns whose
tokens differ are read. Of two parts that differ in deleted rows alone, the rows visible in both meet so. All other rows are left
to be matched by key.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tableformat.table.diff.sides import Ranges, merged_ranges, whole
from tableformat.table.selection import Positions

__all__ = ["Aligned", "Plan", "StoredPart", "plan_parts", "plan_rows", "runs_beside", "runs_of"]

_NO_ROWS: Final = np.empty((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """What a manifest says of one part, as far as it is compared."""

    first: int
    """The number of its first visible row."""
    rows: int
    """Visible rows."""
    stored: int
    """Stored rows."""
    key: Hashable
    """Equal for parts whose stored keys are equal, in one order."""
    columns: tuple[Hashable, ...]
    """The same of each column that is compared."""
    deletions: Hashable
    """The same of the rows that are deleted."""
    load_deleted: Callable[[], Positions]
    """The numbers of the deleted rows among those stored, ascending."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """Runs of rows of both sides that have the same keys, row by row."""

    left: Ranges
    right: Ranges
    """As many rows as on the left, run by run."""
    columns: tuple[int, ...]
    """Which of the compared columns may differ; of the others all values are equal."""

    @property
    def rows(self) -> int:
        """The number of pairs."""
        return int((self.left[:, 1] - self.left[:, 0]).sum())


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be read."""

    aligned: tuple[Aligned, ...]
    left: Ranges
    """Rows of the left that may meet any row in `right`."""
    right: Ranges


@dataclass(slots=True)
class _Found:
    aligned: dict[tuple[int, ...], list[tuple[Ranges, Ranges]]] = field(default_factory=lambda: defaultdict(list))
    left: list[Ranges] = field(default_factory=list)
    right: list[Ranges] = field(default_factory=list)

    def plan(self) -> Plan:
        runs = []
        for columns, pairs in self.aligned.items():
            left, right = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
            runs.append(Aligned(*_merged_pairs(left, right), columns))
        return Plan(tuple(runs), _in_order(self.left), _in_order(self.right))


def plan_rows(left_rows: int, right_rows: int) -> Plan:
    """The plan where nothing is known: all rows are matched."""
    return Plan((), whole(left_rows), whole(right_rows))


def plan_parts(left: Sequence[StoredPart], right: Sequence[StoredPart]) -> Plan:
    """The plan for two tables. Loads deleted rows of parts whose keys are equal and whose deletions are not."""
    found = _Found()
    rest_left, rest_right = list(left), list(right)
    for token in (lambda part: (part.key, part.columns, part.deletions), lambda part: (part.key, part.deletions), lambda part: part.key):  # fmt: skip
        pairs, rest_left, rest_right = _pairs(rest_left, rest_right, token)
        for one, other in pairs:
            columns = tuple(
                place
                for place, (mine, theirs) in enumerate(zip(one.columns, other.columns, strict=True))
                if mine != theirs
            )
            if one.deletions == other.deletions:
                found.aligned[columns].append((_visible(one), _visible(other)))
            else:
                _add_visible(found, one, other, columns)
    found.left += [_visible(part) for part in rest_left]
    found.right += [_visible(part) for part in rest_right]
    return found.plan()


def _pairs(
    left: list[StoredPart], right: list[StoredPart], token: Callable[[StoredPart], Hashable]
) -> tuple[list[tuple[StoredPart, StoredPart]], list[StoredPart], list[StoredPart]]:
    """Parts with equal tokens, the first of one side with the first of the other, and those that are left."""
    waiting: dict[Hashable, deque[StoredPart]] = defaultdict(deque)
    for part in left:
        waiting[token(part)].append(part)
    pairs, rest = [], []
    for part in right:
        there = waiting.get(token(part))
        if there:
            pairs.append((there.popleft(), part))
        else:
            rest.append(part)
    return pairs, sorted((part for parts in waiting.values() for part in parts), key=lambda part: part.first), rest


def _visible(part: StoredPart) -> Ranges:
    return np.array([[part.first, part.first + part.rows]], np.int64)


def _add_visible(found: _Found, one: StoredPart, other: StoredPart, columns: tuple[int, ...]) -> None:
    """Two parts with one sequence of stored keys: those visible in both meet, the others are left."""
    masks, numbers = [], []
    for part in (one, other):
        visible = np.ones(part.stored, np.bool_)
        visible[part.load_deleted()] = False
        masks.append(visible)
        numbers.append(np.cumsum(visible) - 1 + part.first)
    both = np.flatnonzero(masks[0] & masks[1])
    if len(both):
        found.aligned[columns].append(runs_beside(numbers[0][both], numbers[1][both]))
    found.left.append(runs_of(numbers[0][masks[0] & ~masks[1]]))
    found.right.append(runs_of(numbers[1][masks[1] & ~masks[0]]))


def runs_of(rows: Positions) -> Ranges:
    """Ascending rows as runs."""
    return merged_ranges(np.stack([rows, rows + 1], axis=1))


def runs_beside(left: Positions, right: Positions) -> tuple[Ranges, Ranges]:
    """Pairs of rows as runs in which both sides go on row by row."""
    breaks = np.flatnonzero((left[1:] - left[:-1] != 1) | (right[1:] - right[:-1] != 1)) + 1
    begins = np.append(0, breaks)
    ends = np.append(breaks, len(left)) - 1
    return np.stack([left[begins], left[ends] + 1], axis=1), np.stack([right[begins], right[ends] + 1], axis=1)


def _merged_pairs(left: Ranges, right: Ranges) -> tuple[Ranges, Ranges]:
    """Runs of both sides in the order of the right, as long as can be."""
    order = np.argsort(right[:, 0], kind="stable")
    left, right = left[order], right[order]
    breaks = np.flatnonzero((left[1:, 0] != left[:-1, 1]) | (right[1:, 0] != right[:-1, 1])) + 1
    begins = np.append(0, breaks)
    ends = np.append(breaks, len(left)) - 1
    return (
        np.stack([left[begins, 0], left[ends, 1]], axis=1),
        np.stack([right[begins, 0], right[ends, 1]], axis=1),
    )


def _in_order(ranges: list[Ranges]) -> Ranges:
    together = np.concatenate([_NO_ROWS, *ranges])
    return merged_ranges(together[np.argsort(together[:, 0], kind="stable")])

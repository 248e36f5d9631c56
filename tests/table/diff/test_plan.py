"""Which rows a plan takes for equal, for beside each other, and for unknown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tableformat.table.diff.plan import Plan, StoredPart, plan_parts, plan_rows, runs_beside


def parts(*given: tuple[str, str, int, Sequence[int]]) -> list[StoredPart]:
    """Parts by the token of their key, those of their columns in one text, stored rows, and deleted rows."""
    found, first = [], 0
    for key, columns, stored, deleted in given:
        visible = stored - len(deleted)
        load = lambda deleted=deleted: np.array(deleted, np.int64)  # noqa: E731 - bound now
        found.append(StoredPart(first, visible, stored, key, tuple(columns), tuple(deleted), load))
        first += visible
    return found


def told(plan: Plan) -> tuple[object, ...]:
    aligned = [(one.columns, one.left.tolist(), one.right.tolist()) for one in plan.aligned]
    return aligned, plan.left.tolist(), plan.right.tolist()


def test_equal_parts_need_no_reading() -> None:
    """Parts with equal tokens meet wherever they stand; neighbours become one run."""
    left = parts(("k1", "ab", 10, ()), ("k2", "ab", 10, ()), ("k3", "ab", 5, ()))
    right = parts(("k3", "ab", 5, ()), ("k1", "ab", 10, ()), ("k2", "ab", 10, ()))
    assert told(plan_parts(left, right)) == ([((), [[20, 25], [0, 20]], [[0, 5], [5, 25]])], [], [])


def test_equal_keys_need_the_columns_that_differ() -> None:
    """Parts with equal keys meet row by row; those columns are named whose tokens differ."""
    left = parts(("k1", "abc", 10, ()), ("k2", "abc", 10, ()))
    right = parts(("k1", "abX", 10, ()), ("k2", "Yaa", 10, ()))
    assert told(plan_parts(left, right)) == (
        [((2,), [[0, 10]], [[0, 10]]), ((0, 1, 2), [[10, 20]], [[10, 20]])],
        [],
        [],
    )


def test_the_best_pairs_are_found_first() -> None:
    """Among parts with equal keys, as there are where the key was never proven, equal ones meet."""
    left = parts(("k", "a", 10, ()), ("k", "b", 10, ()))
    right = parts(("k", "b", 10, ()), ("k", "a", 10, ()))
    assert [one.columns for one in plan_parts(left, right).aligned] == [()]


def test_other_deletions_leave_rows_over() -> None:
    """Stored rows visible in both meet; those visible in one are left."""
    left, right = parts(("k", "a", 6, (1, 2))), parts(("k", "a", 6, (2, 4)))
    assert told(plan_parts(left, right)) == (
        [((), [[0, 1], [1, 2], [3, 4]], [[0, 1], [2, 3], [3, 4]])],
        [[2, 3]],
        [[1, 2]],
    )
    everything_gone = parts(("k", "a", 3, (0, 1))), parts(("k", "a", 3, (2,)))
    assert told(plan_parts(*everything_gone)) == ([], [[0, 1]], [[0, 2]])


def test_everything_else_is_left() -> None:
    """Parts with other keys are matched by key, in the order of rows; without manifests all rows are."""
    left, right = parts(("k1", "a", 4, ()), ("k2", "a", 4, ()), ("k3", "a", 4, ())), parts(("k2", "a", 4, ()))
    assert told(plan_parts(left, right)) == ([((), [[4, 8]], [[0, 4]])], [[0, 4], [8, 12]], [])
    assert told(plan_rows(3, 0)) == ([], [[0, 3]], [])


def test_runs_break_where_either_side_jumps() -> None:
    """Pairs of rows become runs in which both sides count up."""
    left, right = runs_beside(np.array([0, 1, 2, 5, 6]), np.array([3, 4, 7, 8, 9]))
    assert left.tolist() == [[0, 2], [2, 3], [5, 7]]
    assert right.tolist() == [[3, 5], [7, 8], [8, 10]]

"""The names of a join's columns when both sides stand in one row (spec/joined.md, "Names")."""

from __future__ import annotations

from collections.abc import Sequence

from tableformat.format.types.names import fold

__all__ = ["flat_names"]


def flat_names(left: Sequence[str], right: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flattened names of the columns of both sides, in order.

    A name that only one side has stays. One that both have, by the rule that tells names apart in a table, gets `_0` on the left
    and `_1` on the right, as often as it takes until no other column has it.
    """
    shared = {fold(name) for name in left} & {fold(name) for name in right}
    taken = {fold(name) for name in (*left, *right) if fold(name) not in shared} | shared
    flat: list[list[str]] = [[], []]
    for side, names in enumerate((left, right)):
        for name in names:
            given = name
            if fold(name) in shared:
                given = f"{name}_{side}"
                while fold(given) in taken:
                    given = f"{given}_{side}"
                taken.add(fold(given))
            flat[side].append(given)
    return flat[0], flat[1]

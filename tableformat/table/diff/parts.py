"""What the manifests of two tables say of their parts, in the form that a plan is made from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Final

import numpy as np

from tableformat.format.manifest import Part
from tableformat.format.types import Field
from tableformat.table.deleted_rows import load_deletions
from tableformat.table.diff.columns import ColumnPair, Skip
from tableformat.table.diff.plan import Plan, StoredPart, plan_parts, plan_rows
from tableformat.table.diff.sides import DiffSide
from tableformat.table.selection import Positions

__all__ = ["plan_sides"]

_OLDER: Final = "field-ids"
"""The feature of tables with files whose columns may be of older types than the schema's."""

Compared = tuple[str, str, Skip]
"""A column by its names on both sides, and what says that its values are equal."""


def plan_sides(
    left: DiffSide, right: DiffSide, key: Sequence[Compared], pairs: Sequence[ColumnPair], *, skips: bool
) -> Plan:
    """The plan for two sides; without a key, parts are equal where all columns are. Reads manifests, no rows."""
    if not (skips and _is_stored(left) and _is_stored(right)):
        return plan_rows(left.rows, right.rows)
    compared: list[Compared] = [(pair.name, pair.name, pair.skip) for pair in pairs]
    keyed = [*key] or compared
    exact = not any(_OLDER in side.source.entry.requires.read for side in (left, right))
    return plan_parts(
        *(_parts(side, place, keyed, compared if key else [], exact=exact) for place, side in enumerate((left, right)))
    )


def _is_stored(side: DiffSide) -> bool:
    """Whether all of a table of a store is read, so that the manifest speaks of its rows."""
    return side.is_whole and bool(side.source.entry.columns)


def _parts(
    side: DiffSide, place: int, keyed: Sequence[Compared], compared: Sequence[Compared], *, exact: bool
) -> list[StoredPart]:
    schema = side.source.entry.schema
    fields = [(schema[one[place]], one[2]) for one in keyed], [(schema[one[place]], one[2]) for one in compared]
    found = []
    first = 0
    for number, part in enumerate(side.source.parts()):
        key, columns = (
            tuple(_token(part, field, skip, (place, number), exact=exact) for field, skip in some) for some in fields
        )
        if part.visible_rows:
            gone = part.deletions.digest if part.deletions is not None else None
            found.append(
                StoredPart(first, part.visible_rows, part.rows, key, columns, gone, partial(_deleted, side, part))
            )
        first += part.visible_rows
    return found


def _token(part: Part, field: Field, skip: Skip, here: tuple[int, int], *, exact: bool) -> Hashable:
    """Something that is equal for parts of two tables only where the values of the column are."""
    assert field.id is not None
    file = part.file_of(field.id)
    if skip == "nothing":
        return here
    if file is None:
        default = getattr(field, "default", None)
        return ("default", default) if skip == "values" or default is None else here
    digest = part.values[str(field.id)]
    if exact and skip == "values":
        return digest
    # The types in the file may be others than those of the schema: the same in files that are written alike.
    return (file.schema or file.digest, field.id, digest)


def _deleted(side: DiffSide, part: Part) -> Positions:
    found = load_deletions(side.source.backend, part)
    return np.empty(0, np.int64) if found is None else found

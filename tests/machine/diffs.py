"""What a dict makes of two versions of a table: the rows of their diff."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.machine.model import shown
from tests.table.edit.model import Row, TableModel

__all__ = ["compared_columns", "counted_rows", "expected_diff", "found_rows", "keys_compare"]

_NUMBERS = ("int32", "int64", "float64")


def keys_compare(before: TableModel, after: TableModel) -> bool:
    """Whether the types of the keys have one in common."""
    return all(_common(before.types[name], after.types[name]) is not None for name in before.key)


def compared_columns(before: TableModel, after: TableModel) -> dict[str, str]:
    """The columns outside of the key that both have, in the order of `after`, with the type in which they are compared."""
    found = {}
    for name, kind in after.types.items():
        if name in before.types and name not in after.key:
            common = _common(before.types[name], kind)
            if common is not None:
                found[name] = common
    return found


def _common(one: str, other: str) -> str | None:
    if one in _NUMBERS and other in _NUMBERS:
        return max(one, other, key=_NUMBERS.index)
    return one if one == other else None


def _as(value: Any, kind: str) -> str:
    return shown(float(value) if kind == "float64" and value is not None else value)


def expected_diff(before: TableModel, after: TableModel, keep: str) -> list[Row]:
    """The rows of the diff of two tables with one key, in order."""
    columns = compared_columns(before, after)
    old = {before.key_of(row): row for row in before.rows}
    found = []
    for row in after.rows:
        other = old.get(after.key_of(row))
        changed = None
        if other is not None:
            changed = [name for name, kind in columns.items() if _as(other[name], kind) != _as(row[name], kind)]
        change = "added" if changed is None else "changed" if changed else "same"
        if keep == "all" or change != "same":
            found.append(_row(change, after, row, changed, other, row))
    there = {after.key_of(row) for row in after.rows}
    found += [_row("removed", before, row, None, row, None) for row in before.rows if before.key_of(row) not in there]
    return found


def _row(
    change: str, side: TableModel, row: Row, changed: list[str] | None, before: Row | None, after: Row | None
) -> Row:
    return {
        "change": change,
        **{name: row[name] for name in side.key},
        "changed": changed,
        "before": before,
        "after": after,
    }


def counted_rows(before: TableModel, after: TableModel, keep: str) -> Counter[tuple[str, str]]:
    """How many rows without a key were added, removed or are the same, by their values in the columns that are compared."""
    columns = compared_columns(before, after)
    sides = [
        Counter(shown([_as(row[name], kind) for name, kind in columns.items()]) for row in side.rows)
        for side in (before, after)
    ]
    found: Counter[tuple[str, str]] = Counter()
    for text in {*sides[0], *sides[1]}:
        old, new = sides[0][text], sides[1][text]
        found["added", text] = max(0, new - old)
        found["removed", text] = max(0, old - new)
        found["same", text] = min(new, old) if keep == "all" else 0
    return +found


def found_rows(rows: list[Row], before: TableModel, after: TableModel) -> Counter[tuple[str, str]]:
    """The same of the rows of a diff."""
    columns = compared_columns(before, after)
    found: Counter[tuple[str, str]] = Counter()
    for row in rows:
        side = row["before"] if row["after"] is None else row["after"]
        found[row["change"], shown([_as(side[name], kind) for name, kind in columns.items()])] += row["count"]
    return found

"""Merging a draft with what was committed since it began: entry by entry, three ways.

Of base, ours and theirs: what one side changed is taken; what both changed to the same is taken; anything else is a
conflict that names the entry and both sides (spec/versions.md, "Rebase").
"""

from __future__ import annotations

from collections.abc import Mapping

from tableformat.document import JsonObject, encode_document
from tableformat.errors import ConflictError, Problem, message

__all__ = ["merge_entries", "merge_value"]

Items = Mapping[str, JsonObject]


def merge_entries(base: Items, ours: Items, theirs: Items, doing: str) -> dict[str, JsonObject]:
    """The entries after both changes to `base`; raises `ConflictError` naming every entry that both changed."""
    merged: dict[str, JsonObject] = {}
    conflicts: list[Problem] = []
    for name in sorted({*base, *ours, *theirs}):
        before, mine, other = base.get(name), ours.get(name), theirs.get(name)
        if _same(mine, other) or _same(before, other):
            chosen = mine
        elif _same(before, mine):
            chosen = other
        else:
            conflicts.append(
                Problem(
                    f"entry {name!r}",
                    f"this draft {_change(before, mine)} it, the newest version {_change(before, other)} it",
                    "conflict",
                )
            )
            continue
        if chosen is not None:
            merged[name] = chosen
    if conflicts:
        listed = "; ".join(str(problem) for problem in conflicts[:10])
        raise ConflictError(
            message(
                doing, expected="entries that one side changed", got=listed, todo="draft again from the newest version"
            )
        )
    return merged


def merge_value(base: str, ours: str, theirs: str, what: str, doing: str) -> str:
    """The type or metadata after both changes; raises `ConflictError` where both changed it."""
    if ours == theirs or base == theirs:
        return ours
    if base == ours:
        return theirs
    raise ConflictError(
        message(
            doing,
            expected=f"{what} that one side changed",
            got=f"{what} changed here and in the newest version",
            todo="draft again from the newest version",
        )
    )


def _same(one: JsonObject | None, other: JsonObject | None) -> bool:
    if one is None or other is None:
        return one is other
    return encode_document(one) == encode_document(other)


def _change(before: JsonObject | None, after: JsonObject | None) -> str:
    if after is None:
        return "removed"
    return "added" if before is None else "changed"

"""Merging a draft with what was committed since it began: entry by entry, three ways.

Of base, ours and theirs: what one side changed is taken; what both changed to the same is taken; where both added rows to one
table, those of ours come behind those of theirs; anything else is a conflict that names the entry and both sides
(spec/versions.md, "Rebase").
"""

from __future__ import annotations

from collections.abc import Mapping

from tableformat.document import JsonObject, encode_document
from tableformat.entries import item_of
from tableformat.errors import ConflictError, Problem, message
from tableformat.format.manifest import TableEntry
from tableformat.storage.interface import Backend
from tableformat.table.edit.append import rebased

__all__ = ["merge_entries", "merge_value"]

Items = Mapping[str, JsonObject]


def merge_entries(
    base: Items, ours: Items, theirs: Items, doing: str, backend: Backend | None = None
) -> dict[str, JsonObject]:
    """The entries after both changes to `base`; raises `ConflictError` naming every entry that both changed.

    With `backend`, where the tables lie, two appends to one table are no conflict; what it reads of them, `rebased` tells.
    """
    merged: dict[str, JsonObject] = {}
    conflicts: list[Problem] = []
    for name in sorted({*base, *ours, *theirs}):
        before, mine, other = base.get(name), ours.get(name), theirs.get(name)
        if _same(before, other) or (_same(mine, other) and not _adds_rows(backend, before, mine)):
            chosen = mine
        elif _same(before, mine):
            chosen = other
        else:
            both = _both_appends(backend, name, before, mine, other)
            if isinstance(both, str) and _same(mine, other):
                both = mine or {}
            if isinstance(both, str):
                sides = f"this draft {_change(before, mine)} it, the newest version {_change(before, other)} it"
                conflicts.append(Problem(f"entry {name!r}", sides + both, "conflict"))
                continue
            chosen = both
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


def _adds_rows(backend: Backend | None, before: JsonObject | None, after: JsonObject | None) -> bool:
    """Whether a side may have added rows that may stand twice: the same done by both is then done twice, not once."""
    if backend is None or before is None or after is None or {before.get("kind"), after.get("kind")} != {"table"}:
        return False
    return not after["table_key"] and before["rows"] < after["rows"]


def _both_appends(
    backend: Backend | None, name: str, before: JsonObject | None, mine: JsonObject | None, other: JsonObject | None
) -> JsonObject | str:
    """The entry of a table to which both sides added rows; else why it is a conflict, to be put behind the sides."""
    if backend is None or before is None or mine is None or other is None:
        return ""
    if {item.get("kind") for item in (before, mine, other)} != {"table"}:
        return ""
    base, ours, theirs = (TableEntry.from_json(item, name) for item in (before, mine, other))
    merged = rebased(backend, base, ours, theirs, name)
    return f": {merged}" if isinstance(merged, str) else item_of(name, "table", merged.content, merged.to_json())


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

"""A store as dicts and lists: versions of an artifact, drafts of the next one, and what comes of two at once.

Rows, columns and their order are the model's own. What tells an entry from another one, and the parts in which a table is stored, are
taken from the store as opaque tokens: spec/versions.md merges by them, and the model says what has to come of that.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tableformat.document import encode_document
from tests.table.edit.model import TYPES, TableModel
from tests.table.edit.tables import entry_of, parts_of

__all__ = ["Conflict", "DraftModel", "Entry", "VersionModel", "content_of", "merge", "observe", "shown"]

_EVENTS = itertools.count()


@dataclass(frozen=True)
class Entry:
    """What stands under one name: a table, or anything else that is equal or not."""

    table: TableModel | None
    """Its rows; never changed once they stand here."""
    token: bytes
    """Equal for entries that are one and the same."""
    parts: tuple[bytes, ...] = ()
    """The parts of a table, in order."""
    shape: bytes = b""
    """All of a table but its rows and how they are stored."""
    events: tuple[tuple[str, int], ...] = ()
    """How a table came to be: every change that it ever saw, with what it was; merged ones in the order of the merge."""

    def __repr__(self) -> str:
        return f"Entry({self.table!r})"

    def after(self, what: str, before: Entry | None) -> Entry:
        """This one, which a change made of `before`, or of nothing."""
        events = before.events if before is not None else ()
        if before is None or before.token != self.token:
            events = (*events, (what, next(_EVENTS)))
        return replace(self, events=events)


Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class VersionModel:
    """What one version holds."""

    entries: Entries
    number: int = 0
    """Of the metadata, `{"n": number}`; 0 for none."""
    root: str = ""
    """Its digest, for addresses."""
    message: str = ""

    @property
    def content(self) -> Any:
        """Equal for versions with the same content."""
        return self.number, {name: content_of(entry) for name, entry in self.entries.items()}


@dataclass
class DraftModel:
    """A draft, with what the model says that it holds."""

    draft: Any
    base: VersionModel | None
    """None for a draft that inherits nothing, and for the first version."""
    inherits: bool
    entries: dict[str, Entry] = field(default_factory=dict)
    number: int = 0
    sets: set[str] = field(default_factory=set)
    """Entries that it has set and that are no tables."""
    stored_again: bool = False
    """Whether a compaction rewrote parts: then the version is new though its content is not."""

    @property
    def version(self) -> VersionModel:
        """What it would be, if nobody else commits."""
        return VersionModel(dict(self.entries), self.number, "", self.draft.message)


class Conflict(Exception):
    """What both sides changed: names of entries, or `metadata`."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


def observe(table: Any, model: TableModel) -> Entry:
    """The table as it stands now in a draft or a version; the model is copied."""
    entry = entry_of(table)
    document = entry.to_json()
    shape = {name: document[name] for name in ("schema", "layout", "table_key", "unique")}
    parts = tuple(encode_document(part.to_json()) for part in parts_of(table))
    return Entry(copy.deepcopy(model), encode_document(document), parts, encode_document(shape))


def shown(value: Any) -> str:
    """A value as text that tells 0.0 from -0.0 and 1 from 1.0, whatever the order of fields."""
    return repr({name: shown(value[name]) for name in sorted(value)}) if isinstance(value, dict) else repr(value)


def content_of(entry: Entry) -> Any:
    """Equal for tables with the same columns, key and rows in the same order."""
    table = entry.table
    if table is None:
        return entry.token
    columns = tuple((name, str(TYPES[kind][0])) for name, kind in table.types.items())
    return columns, table.key, tuple(tuple(shown(row[name]) for name in table.types) for row in table.rows)


# Two at once


def merge(base: VersionModel | None, ours: VersionModel, theirs: VersionModel) -> VersionModel:
    """What both changes to `base` make together, rows of ours behind those of theirs; raises `Conflict`."""
    before = base.entries if base is not None else {}
    first = base.number if base is not None else 0
    if ours.number not in (first, theirs.number) and theirs.number != first:
        raise Conflict(["metadata"])
    found, conflicts = {}, []
    for name in sorted({*before, *ours.entries, *theirs.entries}):
        try:
            entry = _merged(before.get(name), ours.entries.get(name), theirs.entries.get(name), name)
        except Conflict as conflict:
            conflicts += conflict.names
            continue
        if entry is not None:
            found[name] = entry
    if conflicts:
        raise Conflict(conflicts)
    return VersionModel(found, theirs.number if ours.number == first else ours.number, "", ours.message)


def _merged(base: Entry | None, ours: Entry | None, theirs: Entry | None, name: str) -> Entry | None:
    if _same(base, theirs):
        return ours
    if _same(base, ours):
        return theirs
    both = None
    if base is not None and ours is not None and theirs is not None and base.table and ours.table and theirs.table:
        both = _both(base, ours, theirs)
    if _same(ours, theirs):
        added = both is not None and not both.table.key if both is not None and both.table else False
        return both if added else ours
    if both is None:
        raise Conflict([name])
    return both


def _both(base: Entry, ours: Entry, theirs: Entry) -> Entry | None:
    """The rows of both, where both added some and the keys differ."""
    count = len(base.parts)
    added = all(side.shape == base.shape and side.parts[:count] == base.parts for side in (ours, theirs))
    _check_events(base, ours, theirs, added=added)
    assert base.table is not None
    assert ours.table is not None
    assert theirs.table is not None
    if not added:
        return None
    rows = len(base.table.rows)
    mine, others = ours.table.rows[rows:], theirs.table.rows[rows:]
    if base.table.key and {base.table.key_of(row) for row in mine} & {base.table.key_of(row) for row in others}:
        return None
    table = copy.deepcopy(theirs.table)
    table.rows += copy.deepcopy(mine)
    table.added = max(ours.table.added, theirs.table.added)
    events = (*theirs.events, *ours.events[len(base.events) :])
    return Entry(table, b"", events=events)


def _check_events(base: Entry, ours: Entry, theirs: Entry, *, added: bool) -> None:
    """Where a side did nothing but append, its parts have to say so; where rows that were there are no more, they must not."""
    for side in (ours, theirs):
        if side.events[: len(base.events)] == base.events:
            only = all(what.startswith("append") for what, _ in side.events[len(base.events) :])
            assert not only or (side.parts[: len(base.parts)] == base.parts and side.shape == base.shape)
        assert base.table is not None
        assert side.table is not None
        kept = [shown(row) for row in side.table.rows[: len(base.table.rows)]]
        assert not added or kept == [shown(row) for row in base.table.rows]


def _same(one: Entry | None, other: Entry | None) -> bool:
    return one is other if one is None or other is None else one.token == other.token

"""What a version changed, and going back: differences of two manifests, and an old version as a new one.

Manifests alone are read: entries, and the lists of parts of the tables that differ. Equal leaves of these lists are told by
their digests. How rows differ, not only how many, `diff` tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from tableformat.artifact import Artifact, manifest_of
from tableformat.context import StoreContext
from tableformat.document import JsonObject, encode_document
from tableformat.entries import content_of_item
from tableformat.errors import NotFoundError
from tableformat.errors import message as explain
from tableformat.format.documents import utc_text
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items
from tableformat.storage.names import Selector
from tableformat.storage.sessions import WriterSession
from tableformat.storage.versions import Slot, VersionFile

__all__ = ["Changes", "EntryChange", "changes_of", "roll_back"]

_NO_REPORT: Final[JsonObject] = {"rows": 0, "bytes_new": 0, "bytes_shared": 0, "blobs_new": 0, "blobs_shared": 0}


@dataclass(frozen=True, slots=True)
class EntryChange:
    """How one entry differs between two versions."""

    name: str
    """Name of the entry."""
    kind: str
    """Its kind in the later version; in the earlier one, where it was removed."""
    change: Literal["added", "removed", "changed", "stored again"]
    """`stored again`: the content is the same, and lies in other files, as after a compaction."""
    rows: int | None = None
    """Rows of a table in the later version; None for other kinds, and where it was removed."""
    rows_before: int | None = None
    """Rows of a table in the earlier version; None for other kinds, and where it was added."""
    rows_added: int = 0
    """Rows in parts that the earlier version lacks."""
    rows_removed: int = 0
    """Rows in parts that the later version lacks, and rows that were deleted from parts that both have."""
    columns_added: tuple[str, ...] = ()
    """Columns that the earlier version lacks."""
    columns_removed: tuple[str, ...] = ()
    """Columns that the later version lacks; one that was renamed is none of them."""
    bytes_new: int = 0
    """Bytes of the part files that the earlier version lacks."""
    bytes_shared: int = 0
    """Bytes of the part files that both have."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a version added to, and removed from, another one."""

    version: str
    """The version, as `name:v3` or `name@sha256:…`."""
    since: str | None
    """The version that it is compared with; None: with nothing, since it is the first."""
    entries: tuple[EntryChange, ...]
    """The entries that differ, by name."""
    is_same_type: bool
    """Whether the types are equal."""
    is_same_metadata: bool
    """Whether the metadata are equal."""

    @property
    def rows_added(self) -> int:
        """Of all tables."""
        return sum(entry.rows_added for entry in self.entries)

    @property
    def rows_removed(self) -> int:
        """Of all tables."""
        return sum(entry.rows_removed for entry in self.entries)

    @property
    def bytes_new(self) -> int:
        """Bytes of part files, of all tables that differ."""
        return sum(entry.bytes_new for entry in self.entries)

    @property
    def bytes_shared(self) -> int:
        """Bytes of part files, of all tables that differ."""
        return sum(entry.bytes_shared for entry in self.entries)


def changes_of(artifact: Artifact, since: Artifact | None = None) -> Changes:
    """What `artifact` changed since another version: by default the one before it that was not deleted; nothing before the first,
    or where `artifact` was opened by digest.

    Reads the manifests of both, and holds the entries, and about 100 bytes for each part of a table that differs.
    """
    since = since or _before(artifact)
    backend = artifact.context.backend
    there = backend if since is None else since.context.backend
    old = {} if since is None else {item["name"]: item for item in since.items_raw()}
    new = {item["name"]: item for item in artifact.items_raw()}
    names = [name for name in sorted({*old, *new}) if not _same(old.get(name), new.get(name))]
    return Changes(
        _shown(artifact),
        None if since is None else _shown(since),
        tuple(_change(backend, there, name, old.get(name), new.get(name)) for name in names),
        since is None or since.manifest.type == artifact.manifest.type,
        since is None or since.manifest.metadata == artifact.manifest.metadata,
    )


def _before(artifact: Artifact) -> Artifact | None:
    if not artifact.slot:
        return None
    for slot in artifact.context.versions(artifact.name).iterate(artifact.slot - 1):
        if isinstance(slot, VersionFile):
            return Artifact(artifact.context, artifact.name, slot)
    return None


def _shown(artifact: Artifact) -> str:
    version = artifact.version
    return f"{artifact.name}:{version}" if version else f"{artifact.name}@{artifact.digest}"


def _same(one: JsonObject | None, other: JsonObject | None) -> bool:
    return one is not None and other is not None and encode_document(one) == encode_document(other)


def _change(
    backend: Backend, old_backend: Backend, name: str, old: JsonObject | None, new: JsonObject | None
) -> EntryChange:
    item = new or old or {}
    word: Literal["added", "removed", "changed", "stored again"] = (
        "added" if old is None else "removed" if new is None else "changed"
    )
    if old is not None and new is not None and content_of_item(old) == content_of_item(new):
        word = "stored again"
    change = EntryChange(name, item["kind"], word)
    tables = [TableEntry.from_json(one, name) if one and one["kind"] == "table" else None for one in (old, new)]
    if not any(tables):
        return change
    return _table_change(change, old_backend, backend, *tables)


def _table_change(
    change: EntryChange, old_backend: Backend, backend: Backend, old: TableEntry | None, new: TableEntry | None
) -> EntryChange:
    before, after = (entry or TableEntry.empty() for entry in (old, new))
    there = {part.key: part for part in _parts(old_backend, before.parts, change.name)}
    files = {file.digest for part in there.values() for file in part.files}
    added = removed = bytes_new = bytes_shared = 0
    for part in _parts(backend, after.parts, change.name):
        known = there.pop(part.key, None)
        if known is None:
            added += part.visible_rows
        else:
            removed += max(0, known.visible_rows - part.visible_rows)
            added += max(0, part.visible_rows - known.visible_rows)
        for file in part.files:
            if file.digest in files:
                bytes_shared += file.size
            else:
                bytes_new += file.size
        if part.deletions is not None and (known is None or known.deletions != part.deletions):
            bytes_new += part.deletions.size
    removed += sum(part.visible_rows for part in there.values())
    if change.change == "stored again":
        added = removed = 0
    ids = [{column.id: column.name for column in entry.schema.columns} for entry in (before, after)]
    return dataclasses.replace(
        change,
        rows=None if new is None else new.rows,
        rows_before=None if old is None else old.rows,
        rows_added=added,
        rows_removed=removed,
        columns_added=tuple(name for number, name in ids[1].items() if number not in ids[0]),
        columns_removed=tuple(name for number, name in ids[0].items() if number not in ids[1]),
        bytes_new=bytes_new,
        bytes_shared=bytes_shared,
    )


def _parts(backend: Backend, listed: ItemList, place: str) -> Iterator[Part]:
    return (Part.from_json(item, place) for item in iter_items(backend, listed))


def roll_back(context: StoreContext, name: str, selector: Selector, message: str | None) -> tuple[Artifact, bool]:
    """Commit a version again, as the next: the same root, so the same digest. Returns it, and whether it was made: where the newest
    version has the same content, that one is returned.

    Comes after whatever was committed meanwhile, and replaces it. Raises `NotFoundError` where there is no such version.
    """
    found = context.find_slot(name, selector.digest) if selector.digest else context.resolve(name, selector)
    if found is None:
        raise NotFoundError(explain(f"rolling back {name!r}", expected="one of its versions", got=selector.digest))
    content = manifest_of(context, found).content
    session = WriterSession(context.backend, name, context.ensure)
    session.begin()

    def next_body(body: VersionFile, head: Slot | None) -> VersionFile | None:
        same = isinstance(head, VersionFile) and manifest_of(context, head).content == content
        return None if same else body

    try:
        outcome = session.publish(context.versions(name), _again(found, message), next_body)
    finally:
        session.end()
    return Artifact(context, name, outcome.version), outcome.created


def _again(version: VersionFile, message: str | None) -> VersionFile:
    """The body of a commit that publishes the root of `version` once more."""
    return VersionFile(
        root=version.root,
        root_size=version.root_size,
        time=utc_text(datetime.now(UTC)),
        base=version.root,
        message=f"rolled back to v{version.slot}" if message is None else message,
        requires=version.requires,
        inline=version.inline,
        report=dict(_NO_REPORT),
    )

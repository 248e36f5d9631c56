"""Erasure from a whole store: media by their digest, and rows of a table with all that they point at.

Media are blobs, and leave their packs (storage/collect/erase.py). The values of a row stand in a part, and no part can change without
another version digest: so the rows are taken out in a new version, the versions that had them become tombstones, and their parts go
at once (spec/collection.md, "Erasure"). What names the rest goes last, so an erasure that broke off is gone on with by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tableformat.context import StoreContext
from tableformat.digest import PREFIX
from tableformat.draft import Draft
from tableformat.errors import InvalidInputError, NotFoundError, UsageError, message
from tableformat.format.cells import has_cells
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.collect.collector import SESSION_S
from tableformat.storage.collect.erase import erase_blobs, find_cells, is_erased, mark_erased
from tableformat.storage.collect.marks import mark
from tableformat.storage.collect.paths import kind_of
from tableformat.storage.collect.reach import Reach
from tableformat.storage.collect.row_keys import RowKeys
from tableformat.storage.collect.stored_cells import (
    digest_bytes,
    iter_entries,
    iter_part_cells,
    iter_part_rows,
    iter_stored,
    while_there,
)
from tableformat.storage.manifests import iter_items
from tableformat.storage.versions import Slot, VersionFile

__all__ = ["UNREACHED", "ErasureReport", "erase_media", "erase_rows"]

UNREACHED: Final = (
    "copies of the store, other stores, and files that were exported or downloaded from this one",
    "what references point at, and the sources that media or legacy artifacts were imported from",
    "snapshots, backups and old object versions that the place of the bytes keeps by itself",
    "drafts that are being written now, and sessions that can be resumed: erase again when they have ended",
    "what a writer that failed left behind, such as rows in parts of no version: gc deletes it",
    "other tables into which rows were written again: erase them there",
)
"""What no erasure reaches, told with every report."""
_ORDER: Final = ("parts", "leaves", "roots")
"""Kinds of objects, each before what names it."""
Say = Callable[[str], None]
MakeDraft = Callable[[str], Draft]


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure did, or would do."""

    dry_run: bool
    """Whether nothing was changed."""
    digests: tuple[str, ...] = ()
    """Digests of the stored bytes that were found and erased."""
    packs: int = 0
    """Packs that were written again without them."""
    files: int = 0
    """Objects that were deleted: large blobs, parts, leaves and roots."""
    bytes: int = 0
    """Bytes of erased blobs."""
    rows: int = 0
    """Stored rows that held the keys, each part counted once."""
    committed: tuple[str, ...] = ()
    """New versions without the rows, as `name:v4`."""
    expired: tuple[str, ...] = ()
    """Versions that became tombstones, since their parts held the rows. Parts of versions that were deleted before are erased, too."""
    left: tuple[str, ...] = ()
    """What still holds such bytes, or may: places in parts and manifests, and packs that are damaged."""
    unreached: tuple[str, ...] = UNREACHED
    """What this cannot reach."""

    @property
    def ok(self) -> bool:
        """Whether nothing is left inside of the store."""
        return not self.left


def erase_media(
    context: StoreContext, digests: Iterable[str], *, dry_run: bool = False, say: Say = lambda _: None
) -> ErasureReport:
    """Erase media, files and class sets by their digest. Where such bytes stand inside a part or a manifest the report tells so."""
    try:
        wanted = frozenset(digest_bytes([digests] if isinstance(digests, str) else digests))
    except ValueError as error:
        raise InvalidInputError(
            message("erasing", expected="digests as sha256:… with 64 hex digits", got=str(error)[:100])
        ) from error
    if not wanted:
        raise InvalidInputError(message("erasing", expected="digests, or a table and keys", got="nothing"))
    found = find_cells(context.backend, wanted, say)
    return _erased(context, found.stored, found.inline, dry_run, say)


def _erased(
    context: StoreContext, stored: frozenset[bytes], inline: Sequence[str], dry_run: bool, say: Say
) -> ErasureReport:
    done = erase_blobs(context.backend, stored, dry_run=dry_run, say=say)
    return ErasureReport(
        dry_run,
        tuple(sorted(PREFIX + digest.hex() for digest in done.digests)),
        done.packs,
        done.files,
        done.bytes,
        left=(*inline, *done.unreadable),
    )


def erase_rows(
    context: StoreContext,
    draft: MakeDraft,
    artifact: str,
    table: str,
    keys: Sequence[Any],
    *,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> ErasureReport:
    """Erase the rows of a keyed table with these keys from every version, and the media that they own.

    In this order: a new version of each artifact whose newest has a part with such rows (of the table, or of a copy of it); tombstones
    for every version that has one; the media, wherever else they are used; then those parts, and the leaves and roots that nothing else
    needs. Where a pack cannot be read it ends before the last step, and tells so. Versions that were deleted before count, as far as they are still there: so what an erasure that broke off left, the next one does.
    Reads the key and media columns of every part of the table, in all versions. Raises `NotFoundError` where there is no such table,
    `UsageError` for one without a key, `KeyValueError` for keys of another type.
    """
    hit = _Rows(context, table, list(keys))
    for name, version in iter_stored(context.backend, [artifact]):
        hit.look(name, version)
    if hit.keys is None:
        raise NotFoundError(
            message("erasing rows", path=f"{context.root}#{artifact}", expected=f"a table {table!r}", got="none")
        )
    holding = dict(_holding(context, hit.files))
    expired = tuple(
        f"{name}:v{slot}" for (name, slot), (version, _) in holding.items() if isinstance(version, VersionFile)
    )
    if dry_run:
        report = _erased(context, frozenset(hit.media), (), True, say)
        return replace(report, rows=hit.rows, expired=expired, files=report.files + len(hit.files))
    committed = tuple(_without(draft, name, tables, hit.keys.keys) for name, tables in _newest(context, holding))
    reached = [(name, version, _paths(context, version)) for (name, _), (version, _) in holding.items()]
    for name, version, _ in reached:
        say(f"expiring {name}:v{version.slot}")
        context.versions(name).expire(version.slot)
    report = replace(
        _erased(context, frozenset(hit.media), (), False, say), rows=hit.rows, committed=committed, expired=expired
    )
    if report.left:  # packs that cannot be read: the parts tell what is to be erased in them
        held = "the parts with the rows: kept until all packs can be read · repair the store, and erase again"
        return replace(report, left=(held, *report.left))
    files, left = _drop(context, [path for _, _, paths in reached for path in paths], hit.files, say)
    return replace(
        report,
        files=report.files + files,
        left=tuple(left),
    )


class _Rows:
    """Finds the stored rows with some keys, those that were deleted since included."""

    def __init__(self, context: StoreContext, table: str, keys: list[Any]) -> None:
        self._context, self._table, self._given = context, table, keys
        self._seen: set[str] = set()
        self.keys: RowKeys | None = None
        """The keys, as the table in the newest version has them."""
        self.rows = 0
        self.files: set[str] = set()
        """Digests of the files of parts that hold such rows."""
        self.media: set[bytes] = set()
        """Digests of the blobs that they own."""

    def look(self, name: str, version: Slot) -> None:
        for item in while_there(version, iter_entries(self._context.backend, version)):
            if item.get("name") != self._table or item.get("kind") != "table":
                continue
            entry = TableEntry.from_json(item, f"{name}:v{version.slot}/{self._table}")
            names = self._names(entry, f"{name}:v{version.slot}/{self._table}")
            for part_item in while_there(version, iter_items(self._context.backend, entry.parts)):
                part = Part.from_json(part_item, self._table)
                files = {file.digest for file in part.files}
                if not files <= self._seen:
                    self._seen |= files
                    self._look_at(version, entry, part, names)

    def _names(self, entry: TableEntry, place: str) -> tuple[str, ...]:
        """The columns of the key: those of the newest version, which is looked at first; its own, where it has others."""
        types = {column.name: column.type.storage() for column in entry.schema.columns}
        names = self.keys.names if self.keys is not None and types.keys() >= set(self.keys.names) else entry.table_key
        if not names or (self.keys is not None and len(names) != len(self.keys.names)):
            raise UsageError(
                message("erasing rows", path=place, expected="a table with a key", got="one without, or with another",
                        todo="delete the rows, compact, expire the old versions, and collect")
            )  # fmt: skip
        if self.keys is None:
            self.keys = RowKeys(names, [types[name] for name in names], self._given, place)
        return names

    def _look_at(self, version: Slot, entry: TableEntry, part: Part, names: Sequence[str]) -> None:
        try:
            self._look_in(entry, part, names)
        except NotFoundError:
            if isinstance(version, VersionFile):
                raise
            gone = {file.digest for file in part.files if is_erased(self._context.backend, file.digest)}
            self.files |= gone  # by an erasure that broke off, maybe: what names them goes, too

    def _look_in(self, entry: TableEntry, part: Part, names: Sequence[str]) -> None:
        assert self.keys is not None
        backend = self._context.backend
        found: list[npt.NDArray[np.int64]] = []
        for first, _, columns in iter_part_rows(backend, entry, part, names):
            if columns.keys() >= set(names):  # a part from before a column of the key was added has no such row
                mask = self.keys.find([columns[name] for name in names])
                found.append(np.flatnonzero(mask) + first)
        rows = np.concatenate(found) if found else np.zeros(0, np.int64)
        if not len(rows):
            return
        self.rows += len(rows)
        self.files |= {file.digest for file in part.files}
        if any(has_cells(column.type.storage()) for column in entry.schema.columns):
            for cells in iter_part_cells(backend, entry, part):
                for at in np.flatnonzero(np.isin(cells.rows, rows)).tolist():
                    uri = cells.uris[at]
                    if uri is not None and "://" not in uri and not cells.is_inline[at]:
                        self.media.add(cells.checksums[at].tobytes())


Holding = Mapping[tuple[str, int], tuple[Slot, tuple[str, ...]]]
"""By artifact and slot, a version and its tables with parts that hold such rows."""


def _holding(context: StoreContext, files: set[str]) -> Iterator[tuple[tuple[str, int], tuple[Slot, tuple[str, ...]]]]:
    for name, version in iter_stored(context.backend):
        tables = []
        for item in while_there(version, iter_entries(context.backend, version)):
            if item.get("kind") == "table":
                entry = TableEntry.from_json(item, str(item.get("name")))
                parts = while_there(version, iter_items(context.backend, entry.parts))
                if any(file["digest"] in files for part in parts for file in part["files"]):
                    tables.append(str(item["name"]))
        if tables:
            yield (name, version.slot), (version, tuple(tables))


def _newest(context: StoreContext, holding: Holding) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The artifacts whose newest version holds such rows, with its tables."""
    for name in dict.fromkeys(name for name, _ in holding):
        newest = context.versions(name).newest()
        if newest is not None and (name, newest.slot) in holding:
            yield name, holding[name, newest.slot][1]


def _without(make: MakeDraft, name: str, tables: Sequence[str], keys: Sequence[Any]) -> str:
    """A new version in which the rows are gone from the parts, not only from sight."""
    with make(name) as draft:
        for table in tables:
            draft.delete(table, keys=list(keys))
            draft.compact(table, plain=True)
    assert draft.committed is not None
    return f"{name}:{draft.committed.version}"


def _paths(context: StoreContext, version: Slot) -> list[str]:
    inline = version.inline if isinstance(version, VersionFile) else None
    paths = while_there(version, Reach(context.backend).paths(version.root, inline))
    return [path for path in paths if kind_of(path) in _ORDER]


def _drop(context: StoreContext, paths: Iterable[str], files: set[str], say: Say) -> tuple[int, list[str]]:
    """Delete what only versions that are gone reached; how many, and the parts with the rows that something still reaches. What names
    others goes after them."""
    backend = context.backend
    going = sorted(dict.fromkeys(paths), key=lambda path: _ORDER.index(str(kind_of(path))))
    reached = mark(backend, now=0.0, deadline=SESSION_S).reached
    kept = reached.contains(going).tolist()
    holding = {f"data/{digest.removeprefix(PREFIX)}.parquet" for digest in files}
    left = [
        f"{path}: a session that can be resumed names it"
        for path, is_kept in zip(going, kept, strict=True)
        if is_kept and path in holding
    ]
    free = (path for path, is_kept in zip(going, kept, strict=True) if not is_kept)
    dropped = [path for path in free if backend.size(path) is not None]
    for path in dropped:
        say(f"deleting {path}")
        mark_erased(backend, path.rpartition("/")[2].split(".", 1)[0])
        backend.delete(path)
    return len(dropped), left

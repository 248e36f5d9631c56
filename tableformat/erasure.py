"""Erasure from a whole store: media by their digest, and rows of a table with all that they point at.

Media are blobs, and leave their packs (storage/collect/erase.py). The values of a row stand in a part, and no part can change without
another version digest: so the rows are taken out in a new version, the versions that had them become tombstones, and their parts go
at once (spec/collection.md, "Erasure").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.context import StoreContext
from tableformat.digest import PREFIX
from tableformat.draft import Draft
from tableformat.errors import InvalidInputError, NotFoundError, UsageError, message
from tableformat.format.cells import has_cells
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.collect.collector import SESSION_S
from tableformat.storage.collect.erase import erase_blobs, find_cells, mark_erased
from tableformat.storage.collect.marks import mark
from tableformat.storage.collect.paths import kind_of
from tableformat.storage.collect.reach import Reach
from tableformat.storage.collect.stored_cells import (
    digest_bytes,
    iter_entries,
    iter_live,
    iter_part_cells,
    iter_part_rows,
)
from tableformat.storage.manifests import iter_items
from tableformat.storage.versions import VersionFile

__all__ = ["UNREACHED", "ErasureReport", "erase_media", "erase_rows"]

UNREACHED: Final = (
    "copies of the store, other stores, and files that were exported or downloaded from this one",
    "what references point at, and the sources that media or legacy artifacts were imported from",
    "snapshots, backups and old object versions that the place of the bytes keeps by itself",
    "drafts that are being written now, and sessions that can be resumed: erase again when they have ended",
)
"""What no erasure reaches, told with every report."""
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
    """Versions that became tombstones, since their parts held the rows."""
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
    for every version that has one; then those parts, and the leaves and roots that nothing else needs; then the media, wherever else
    they are used. Reads the key and media columns of every part of the table, in all versions. Raises `NotFoundError` where there is no
    such table, `UsageError` for one without a key.
    """
    hit = _Rows(context, artifact, table, list(keys))
    for name, version in iter_live(context.backend, [artifact]):
        hit.look(name, version)
    if not hit.is_there:
        raise NotFoundError(
            message("erasing rows", path=f"{context.root}#{artifact}", expected=f"a table {table!r}", got="none")
        )
    holding = dict(_holding(context, hit.files))
    if dry_run:
        report = _erased(context, frozenset(hit.media), (), True, say)
        expired = tuple(f"{name}:v{slot}" for name, slot in holding)
        return replace(report, rows=hit.rows, expired=expired, files=report.files + len(hit.files))
    committed = tuple(_without(draft, name, tables, keys) for name, tables in _newest(context, holding))
    reached = [(name, version, _paths(context, version)) for (name, _), (version, _) in holding.items()]
    for name, version, _ in reached:
        say(f"expiring {name}:v{version.slot}")
        context.versions(name).expire(version.slot)
    files, left = _drop(context, [path for _, _, paths in reached for path in paths], hit.files, say)
    report = _erased(context, frozenset(hit.media), left, False, say)
    return replace(
        report,
        rows=hit.rows,
        committed=committed,
        expired=tuple(f"{name}:v{version.slot}" for name, version, _ in reached),
        files=report.files + files,
    )


class _Rows:
    """Finds the stored rows with some keys, those that were deleted since included."""

    def __init__(self, context: StoreContext, artifact: str, table: str, keys: list[Any]) -> None:
        self._context, self._table, self._keys = context, table, keys
        self._artifact = artifact
        self._seen: set[str] = set()
        self.is_there = False
        self.rows = 0
        self.files: set[str] = set()
        """Digests of the files of parts that hold such rows."""
        self.media: set[bytes] = set()
        """Digests of the blobs that they own."""

    def look(self, name: str, version: VersionFile) -> None:
        for item in iter_entries(self._context.backend, version):
            if item.get("name") != self._table or item.get("kind") != "table":
                continue
            self.is_there = True
            entry = TableEntry.from_json(item, f"{name}:v{version.slot}/{self._table}")
            if not entry.table_key:
                raise UsageError(
                    message("erasing rows", path=f"{name}:v{version.slot}/{self._table}", expected="a table with a key", got="one without",
                            todo="delete the rows, compact, expire the old versions, and collect")
                )  # fmt: skip
            for part_item in iter_items(self._context.backend, entry.parts):
                part = Part.from_json(part_item, self._table)
                names = {file.digest for file in part.files}
                if not names <= self._seen:
                    self._seen |= names
                    self._look_in(entry, part)

    def _look_in(self, entry: TableEntry, part: Part) -> None:
        backend = self._context.backend
        found: list[npt.NDArray[np.int64]] = []
        for first, _, columns in iter_part_rows(backend, entry, part, entry.table_key):
            mask = self._matches([columns[name] for name in entry.table_key])
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

    def _matches(self, arrays: list[pa.Array]) -> npt.NDArray[np.bool_]:
        if len(arrays) == 1:
            wanted = pa.array(self._keys, arrays[0].type)
            return np.asarray(pc.is_in(arrays[0], value_set=wanted))
        keys = {tuple(key) for key in self._keys}
        rows = zip(*(array.to_pylist() for array in arrays), strict=True)
        return np.fromiter((row in keys for row in rows), np.bool_, len(arrays[0]))


Holding = Mapping[tuple[str, int], tuple[VersionFile, tuple[str, ...]]]
"""By artifact and slot, a version and its tables with parts that hold such rows."""


def _holding(
    context: StoreContext, files: set[str]
) -> Iterator[tuple[tuple[str, int], tuple[VersionFile, tuple[str, ...]]]]:
    for name, version in iter_live(context.backend):
        tables = []
        for item in iter_entries(context.backend, version):
            if item.get("kind") == "table":
                entry = TableEntry.from_json(item, str(item.get("name")))
                parts = iter_items(context.backend, entry.parts)
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


def _paths(context: StoreContext, version: VersionFile) -> list[str]:
    reach = Reach(context.backend)
    return [path for path in reach.paths(version.root, version.inline) if kind_of(path) in ("roots", "leaves", "parts")]


def _drop(context: StoreContext, paths: Iterable[str], files: set[str], say: Say) -> tuple[int, list[str]]:
    """Delete what only versions that are gone reached; how many, and the parts with the rows that something still reaches."""
    backend = context.backend
    going = list(dict.fromkeys(paths))
    reached = mark(backend, now=0.0, deadline=SESSION_S).reached
    kept = reached.contains(going).tolist()
    holding = {f"data/{digest.removeprefix(PREFIX)}.parquet" for digest in files}
    left = [
        f"{path}: a session that can be resumed names it"
        for path, is_kept in zip(going, kept, strict=True)
        if is_kept and path in holding
    ]
    dropped = [path for path, is_kept in zip(going, kept, strict=True) if not is_kept]
    for path in dropped:
        say(f"deleting {path}")
        mark_erased(backend, path.rpartition("/")[2].split(".", 1)[0])
        backend.delete(path)
    return len(dropped), left

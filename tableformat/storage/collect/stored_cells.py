"""The media cells of versions as they are stored: every part that some version names is read once, deleted rows included.

Used where it must be known which blobs are pointed at: packing again, and erasure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.errors import NotFoundError
from tableformat.format.cells import fields_of, has_cells
from tableformat.format.manifest import Manifest, Part, TableEntry
from tableformat.storage.collect.marks import artifact_names, live_versions_of
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items, read_root, root_path
from tableformat.storage.verify_blobs import Digests
from tableformat.storage.verify_cells import iter_cells, raw_digests
from tableformat.storage.verify_rows import PartRows, open_files
from tableformat.storage.versions import Slot, Tombstone, VersionFile, Versions

__all__ = [
    "Cells",
    "StoredTable",
    "digest_bytes",
    "iter_deleted",
    "iter_entries",
    "iter_live",
    "iter_part_cells",
    "iter_part_rows",
    "iter_stored",
    "while_there",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Some cells of one column of a part. Arrays of equal length."""

    column: str
    rows: npt.NDArray[np.int64]
    """Their rows, counted from the first stored row of the part."""
    uris: list[str | None]
    checksums: Digests
    """SHA-256 of the stored bytes, zeros where it is not told."""
    digests: Digests
    """SHA-256 of the media where the stored bytes are encoded, else zeros."""
    is_inline: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table of a version."""

    artifact: str
    version: VersionFile
    name: str
    entry: TableEntry

    @property
    def address(self) -> str:
        """`name:v3/entry`."""
        return f"{self.artifact}:v{self.version.slot}/{self.name}"


def iter_live(backend: Backend, names: Collection[str] | None = None) -> Iterator[tuple[str, VersionFile]]:
    """The versions of all artifacts, or of those named, that are no tombstones."""
    for name in artifact_names(backend):
        if names is None or name in names:
            for version in live_versions_of(backend, name):
                yield name, version


def iter_deleted(backend: Backend, names: Collection[str] | None = None) -> Iterator[tuple[str, Tombstone]]:
    """The tombstones of all artifacts, or of those named, of versions whose root is still there: so may be what it names."""
    for name in artifact_names(backend):
        if names is None or name in names:
            versions = Versions(backend, name)
            head = versions.head()
            for slot in () if head is None else versions.iterate(head.slot):
                if isinstance(slot, Tombstone) and backend.size(root_path(slot.root)) is not None:
                    yield name, slot


def iter_stored(backend: Backend, names: Collection[str] | None = None) -> Iterator[tuple[str, Slot]]:
    """`iter_live`, then `iter_deleted`."""
    yield from iter_live(backend, names)
    yield from iter_deleted(backend, names)


def iter_entries(backend: Backend, version: Slot) -> Iterator[JsonObject]:
    """The items of a version's entries, or of those of one that was deleted."""
    inline = version.inline if isinstance(version, VersionFile) else None
    manifest = read_root(backend, version.root) if inline is None else Manifest.from_json(inline, f"v{version.slot}")
    return iter_items(backend, manifest.entries)


def while_there(version: Slot, found: Iterable[T]) -> Iterator[T]:
    """`found` of a version; of one that was deleted up to the first file that is gone."""
    try:
        yield from found
    except NotFoundError:
        if isinstance(version, VersionFile):
            raise


def iter_part_rows(
    backend: Backend, entry: TableEntry, part: Part, columns: Collection[str]
) -> Iterator[tuple[int, int, dict[str, pa.Array]]]:
    """The stored rows of a part: first row, how many, and those of `columns` that the part has."""
    sizes = [backend.size(file.path) for file in part.files]
    if None in sizes:
        raise NotFoundError(f"{part.files[sizes.index(None)].path}: no such file; repair the store first")
    files = open_files(backend, part, entry.schema, [size or 0 for size in sizes], entry.plain and len(part.files) == 1)
    chosen = [
        dataclasses.replace(file, places={name: place for name, place in file.places.items() if name in columns})
        for file in files
    ]
    if any(file.places for file in chosen):
        at = 0
        for rows, found in PartRows(backend, part, chosen):
            yield at, rows, found
            at += rows


def iter_part_cells(backend: Backend, entry: TableEntry, part: Part) -> Iterator[Cells]:
    """The cells of a part at any depth, a run of rows at a time."""
    columns = [column.name for column in entry.schema.columns if has_cells(column.type.storage())]
    if not columns:
        return
    for first, rows, found in iter_part_rows(backend, entry, part, columns):
        numbers = np.arange(first, first + rows)
        for name, array in found.items():
            for cells, at in iter_cells(array, numbers):
                yield _cells(name, cells, at)


def _cells(column: str, cells: pa.StructArray, rows: npt.NDArray[np.int64]) -> Cells:
    outer = fields_of(cells)
    inner = fields_of(outer["file"])
    checksums, _ = raw_digests(inner["checksum"])
    digests, _ = raw_digests(_prefixed(outer["digest"]))
    inline: Any = np.asarray(inner["inline"].is_valid())
    return Cells(column, rows, inner["uri"].to_pylist(), checksums, digests, inline)


def _prefixed(digests: pa.Array) -> pa.Array:
    """Digests in the spelling of checksums, whichever of the two they have."""
    return pa.array(
        [None if one is None else f"SHA-256:{one.split(':', 1)[-1]}" for one in digests.to_pylist()], pa.string()
    )


def digest_bytes(digests: Iterable[str]) -> set[bytes]:
    """Digests `sha256:…` (or `SHA-256:…`, or 64 hex digits) as 32 bytes each; raises `ValueError` for other texts."""
    found = set()
    for digest in digests:
        raw = bytes.fromhex(digest.removeprefix(PREFIX).removeprefix("SHA-256:"))
        if len(raw) != 32:
            raise ValueError(digest)
        found.add(raw)
    return found

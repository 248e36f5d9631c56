"""Packs that are mostly dead, written again: which they are, and how their blobs are saved when the sweep comes.

Which blobs are alive only the cells can tell, so this reads the media columns of every part of every version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tableformat.document import encode_document
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.blob_reader import read_pack_directory
from tableformat.storage.collect.documents import Amount
from tableformat.storage.collect.packs import LooseBlob, Places, drop_file, read_blobs, tell_moved, write_packs
from tableformat.storage.collect.path_set import PathSet
from tableformat.storage.collect.paths import kind_of, uri_of
from tableformat.storage.collect.stored_cells import iter_entries, iter_live, iter_part_cells
from tableformat.storage.interface import Backend
from tableformat.storage.locations import DATA
from tableformat.storage.manifests import iter_items

__all__ = ["Repacking", "live_blobs"]

_HEX = re.compile(rb"[0-9a-f]{64}")
_STRAIGHTENED = 64
Say = Callable[[str], None]


def live_blobs(backend: Backend, say: Say = lambda _: None) -> PathSet:
    """The digests (as hex) of all blobs that the cells and entries of versions point at; a few others may be among them.

    Cells of deleted rows count: their part may be read again where a version before has the row. Reads the media columns of
    every part once. Holds a `PathSet`, and the digests of all parts.
    """
    found = PathSet()
    seen: set[str] = set()
    for name, version in iter_live(backend):
        for item in iter_entries(backend, version):
            where = f"{name}:v{version.slot}/{item.get('name')}"
            if item.get("kind") != "table":  # every digest in it, whatever it is the digest of
                found.update(text.decode("ascii") for text in _HEX.findall(encode_document(item)))
                continue
            entry = TableEntry.from_json(item, where)
            if not entry.objects.count:
                continue
            say(f"looking through {where}")
            for part_item in iter_items(backend, entry.parts):
                part = Part.from_json(part_item, where)
                for cells in _fresh_cells(backend, entry, part, seen):
                    found.update(digest.hex() for digest in cells.checksums.tolist())
    return found


def _fresh_cells(backend: Backend, entry: TableEntry, part: Part, seen: set[str]) -> Iterator[Any]:
    """The cells of a part, unless all of its files were read before."""
    files = {file.digest for file in part.files}
    if not files <= seen:
        seen |= files
        yield from iter_part_cells(backend, entry, part)


class Repacking:
    """Finds the packs of which less than `share` is alive, and saves what is alive in them. See `Collector.run`."""

    def __init__(self, backend: Backend, share: float, say: Say = lambda _: None) -> None:
        self._backend = backend
        self._share = share
        self._say = say

    def candidates(self) -> list[str]:
        """The paths of packs that hold something alive, but less than the share of their bytes. Reads all directories of packs."""
        live = live_blobs(self._backend, self._say)
        found = []
        for info in list(self._backend.list("data/packs")):
            uri = uri_of(info.path)
            if uri is None or kind_of(info.path) != "packs":
                continue
            blobs = read_pack_directory(self._backend, uri)
            alive = live.contains([blob.digest.hex() for blob in blobs]).tolist()
            size = sum(blob.size for blob, is_alive in zip(blobs, alive, strict=True) if is_alive)
            if any(alive) and size < self._share * sum(blob.size for blob in blobs):
                found.append(info.path)
        return sorted(found)

    def save(self, paths: Sequence[str]) -> dict[str, Amount]:
        """Put what is alive by now in the packs `paths` into others, say where in moved/, and delete them; what was deleted."""
        live = live_blobs(self._backend, self._say)
        deleted = Amount()
        for start in range(0, len(paths), _STRAIGHTENED):
            some = [path for path in paths[start : start + _STRAIGHTENED] if self._backend.size(path) is not None]
            held: dict[str, list[bytes]] = {}
            places = write_packs(self._backend, self._alive(some, live, held))
            moves: dict[str, Places] = {uri: {digest: places[digest] for digest in own} for uri, own in held.items()}
            tell_moved(self._backend, {uri: told for uri, told in moves.items() if told})
            for uri in held:
                self._say(f"deleting {DATA}{uri}")
                deleted = deleted.plus(drop_file(self._backend, uri))
        return {"packs": deleted} if deleted.objects else {}

    def _alive(self, paths: Sequence[str], live: PathSet, held: dict[str, list[bytes]]) -> Iterator[LooseBlob]:
        for path in paths:
            uri = path.removeprefix(DATA)
            self._say(f"writing again {path}")
            blobs = read_blobs(self._backend, uri)
            alive = live.contains([blob.digest.hex() for blob in blobs]).tolist()
            staying = [blob for blob, is_alive in zip(blobs, alive, strict=True) if is_alive]
            held[uri] = [blob.digest for blob in staying]
            yield from staying

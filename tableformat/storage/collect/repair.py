"""Repair: objects that are missing or damaged, brought back from another store that has them, byte for byte or blob by blob.

Every object is named by its content, so a copy is right where its digest is, wherever it comes from.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from tableformat.document import JsonObject
from tableformat.errors import FormatError, NotFoundError, TableformatError
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.pack import decode_directory
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.collect.marks import artifact_names
from tableformat.storage.collect.packs import (
    LooseBlob,
    drop_file,
    read_blobs,
    read_places,
    tell_moved,
    write_packs,
)
from tableformat.storage.collect.paths import kind_of, uri_of
from tableformat.storage.collect.reach import Reach
from tableformat.storage.collect.stored_cells import digest_bytes, iter_entries, iter_live, iter_part_cells
from tableformat.storage.digest_runs import digest_array
from tableformat.storage.index import read_leaf, read_newest_index
from tableformat.storage.interface import Backend
from tableformat.storage.large import sums_path
from tableformat.storage.locations import DATA, MIB, Location, blob_uri
from tableformat.storage.manifests import iter_items, root_path
from tableformat.storage.moved import moved_path
from tableformat.storage.names import encode_name
from tableformat.storage.series import Series
from tableformat.storage.versions import Tombstone, VersionFile, decode_slot

__all__ = ["RepairReport", "Repairer"]

_PIECE: Final = 8 << 20
_MAX_VERSION: Final = 4 << 20
_TOGETHER: Final = 64
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found and did."""

    dry_run: bool
    checked: int
    """Files that were read and compared."""
    bytes: int
    """Bytes of them."""
    repaired: tuple[str, ...]
    """Paths that were missing or damaged and are right now (in a dry run: that the source has)."""
    lost: tuple[str, ...]
    """Those for which no source has a copy, with what is known."""

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or damaged any more."""
        return not self.lost


class Repairer:
    """Repairs one store from others. `sources` are asked in order; `fetch` gets the bytes of a blob from elsewhere, or None."""

    def __init__(
        self,
        backend: Backend,
        sources: Iterable[Backend] = (),
        *,
        fetch: Callable[[bytes], bytes | None] = lambda _: None,
        dry_run: bool = False,
        say: Say = lambda _: None,
    ) -> None:
        self._backend = backend
        self._sources = list(sources)
        self._fetch = fetch
        self._dry_run = dry_run
        self._say = say
        self._repaired: list[str] = []
        self._lost: list[str] = []
        self._done: set[str] = set()
        self._checked = self._bytes = 0
        self._lock = threading.Lock()
        self._pointed: dict[str, set[bytes]] | None = None

    def run(self, names: Iterable[str] | None = None) -> RepairReport:
        """Look at every object of the versions of all artifacts, or of those named, from the top down; bring back what can be.

        Reads all of them. Holds a pack, three times, and the paths of all objects.
        """
        for name in list(artifact_names(self._backend)) if names is None else names:
            for version in self._versions(name):
                self._version(version)
        return RepairReport(self._dry_run, self._checked, self._bytes, tuple(self._repaired), tuple(self._lost))

    # Versions

    def _versions(self, name: str) -> Iterator[VersionFile]:
        """Every version file that can be read or brought back, from slot 0 on; one that is missing below others is brought back, too."""
        folder = f"artifacts/{encode_name(name)}/versions"
        series = Series(self._backend, folder, limit=_MAX_VERSION)
        listed = [info.path for info in self._backend.list(folder)]
        last = max((int(path[-25:-5]) for path in listed if path[-25:-5].isdigit()), default=-1)
        for slot in range(last + 1):
            path = series.path(slot)
            found = self._slot(path, slot, self._backend.read_or_none(path))
            if isinstance(found, VersionFile):
                yield found

    def _slot(self, path: str, slot: int, data: bytes | None) -> VersionFile | Tombstone | None:
        self._checked += 1
        problem = "no such file"
        if data is not None:
            try:
                return decode_slot(data, path, slot)
            except FormatError as error:
                problem = str(error)
        for source in self._sources:
            copy = source.read_or_none(path)
            try:
                found = None if copy is None else decode_slot(copy, path, slot)
            except FormatError:
                continue
            if copy is not None and found is not None:
                self._bring(path, copy)
                return found
        self._lost.append(f"{path}: {problem}")
        return None

    def _version(self, version: VersionFile) -> None:
        """Its root and leaves first, since only they tell the rest; a leaf that cannot be had hides what it names."""
        paths = Reach(self._backend, lambda path: self._backend.size(path) is not None).paths(
            version.root, version.inline
        )
        waiting: list[str] = []
        try:
            with ThreadPoolExecutor(2, "tableformat-repair") as helpers:
                for path in paths:
                    if kind_of(path) in ("roots", "leaves"):
                        self._check(path)  # before the walk goes on and reads it
                    elif path not in self._done:
                        waiting.append(path)
                    if len(waiting) >= _TOGETHER:
                        list(helpers.map(self._check, waiting))
                        waiting = []
                list(helpers.map(self._check, waiting))
        except (FormatError, NotFoundError) as error:
            self._lost.append(f"{root_path(version.root)}: {error}")

    # Objects

    def _check(self, path: str) -> None:
        """See that the object at `path` is right, or bring it back."""
        with self._lock:
            if path in self._done:
                return
            self._done.add(path)
        kind = kind_of(path)
        if kind in ("moved", "sums", None):
            return
        self._say(path)
        uri = uri_of(path)
        state = self._state(path)
        if state == "right" or (
            state == "missing" and uri is not None and self._backend.size(moved_path(uri)) is not None
        ):
            if state == "right" and kind == "blobs":
                self._check_sums(str(uri))
            return
        if not (self._bring_whole(path) or (kind == "packs" and self._bring_blobs(str(uri), state))):
            if kind == "blobs" and self._bring_blob(str(uri)):
                return
            self._lost.append(f"{path}: {state}")

    def _state(self, path: str) -> str:
        size = self._backend.size(path)
        if size is None:
            return "missing"
        whole = hashlib.sha256()
        try:
            for start in range(0, size, _PIECE):
                whole.update(self._backend.read(path, start, min(_PIECE, size - start)))
        except (FormatError, NotFoundError):
            return "damaged"
        self._checked += 1
        self._bytes += size
        return "right" if whole.hexdigest() == _stem(path) else "damaged"

    def _bring_whole(self, path: str) -> bool:
        """Copy the object of this name from a source that has it right."""
        for source in self._sources:
            size = source.size(path)
            if size is None or not self._copy(source, path, size):
                continue
            self._repaired.append(path)
            if kind_of(path) == "blobs":
                self._check_sums(str(uri_of(path)))
            return True
        return False

    def _copy(self, source: Backend, path: str, size: int) -> bool:
        """Copy an object, if it is what its name says."""
        whole = hashlib.sha256()
        with self._backend.writer(path) if not self._dry_run else nullcontext() as sink:
            for start in range(0, size, _PIECE):
                piece = source.read(path, start, min(_PIECE, size - start))
                whole.update(piece)
                if sink is not None:
                    sink.write(piece)
            if whole.hexdigest() == _stem(path):
                if sink is not None:
                    sink.commit(path)
                return True
        return False

    def _bring(self, path: str, data: bytes) -> None:
        if not self._dry_run:
            self._backend.overwrite(path, data)
        self._repaired.append(path)

    def _check_sums(self, uri: str) -> None:
        """The sums of a large blob are made again from the blob itself."""
        size = self._backend.size(DATA + uri) or 0
        sums = b"".join(
            hashlib.sha256(self._backend.read(DATA + uri, start, min(MIB, size - start))).digest()
            for start in range(0, size, MIB)
        )
        if self._backend.read_or_none(sums_path(uri)) != sums:
            self._bring(sums_path(uri), sums)

    # Blob by blob

    def _bring_blobs(self, uri: str, state: str) -> bool:
        """Put what is right of a damaged pack, and what others have of the rest, into another pack behind a moved/ file."""
        wanted = self._wanted_of(uri)
        if wanted is None:
            return False
        damaged: set[bytes] = set()
        blobs: list[LooseBlob] = []
        if state == "damaged":
            try:
                blobs = read_blobs(self._backend, uri, damaged=damaged)
            except FormatError:
                blobs = []
        have = {blob.digest for blob in blobs}
        for digest, ext in wanted.items():
            if digest not in have and (data := self._elsewhere(digest)) is not None:
                blobs.append(LooseBlob(digest, ext, data))
                have.add(digest)
        missing = [digest for digest in wanted if digest not in have]
        if missing or not have:
            self._lost += [f"{DATA}{uri}: sha256:{digest.hex()}" for digest in missing]
            return False
        if not self._dry_run:
            places = write_packs(self._backend, blobs)
            tell_moved(self._backend, {uri: {digest: places[digest] for digest in wanted}})
            drop_file(self._backend, uri)
        self._repaired.append(DATA + uri)
        return True

    def _wanted_of(self, uri: str) -> dict[bytes, str] | None:
        """What a pack should hold: by its own directory, or where that is gone by the cells that point into it."""
        try:
            data = self._backend.read(DATA + uri)
            return {blob.digest: blob.ext for blob in decode_directory(data, len(data), uri)}
        except (FormatError, NotFoundError):
            return dict.fromkeys(self._cells_of(uri), "bin") or None

    def _cells_of(self, uri: str) -> set[bytes]:
        """The digests that cells expect in a pack, directly or by way of moved/ files. Reads the media columns of all versions, once; holds
        the digests of all blobs."""
        with self._lock:
            if self._pointed is None:
                self._pointed = {}
                for name, version in iter_live(self._backend):
                    for item in iter_entries(self._backend, version):
                        self._point(item, f"{name}:v{version.slot}")
                self._point_on(set().union(*self._pointed.values()))
        return self._pointed.get(uri, set())

    def _point_on(self, needed: set[bytes]) -> None:
        """Where moved/ files say that blobs which some cell needs lie now. What was erased lies nowhere, and is not brought back."""
        assert self._pointed is not None
        for info in list(self._backend.list("moved")):
            if kind_of(info.path) == "moved":
                for digest, place in read_places(self._backend, info.path).items():
                    if place is not None and digest in needed:
                        self._pointed.setdefault(place.uri, set()).add(digest)

    def _point(self, item: JsonObject, place: str) -> None:
        assert self._pointed is not None
        if item.get("kind") != "table":
            where = item.get("place")
            if isinstance(where, dict):
                self._pointed.setdefault(str(where.get("uri")), set()).update(digest_bytes([str(item.get("digest"))]))
            return
        entry = TableEntry.from_json(item, place)
        for part_item in iter_items(self._backend, entry.parts) if entry.objects.count else ():
            for cells in iter_part_cells(self._backend, entry, Part.from_json(part_item, place)):
                for one, digest in zip(cells.uris, cells.checksums.tolist(), strict=True):
                    if one is not None and "://" not in one:
                        self._pointed.setdefault(one, set()).add(digest)

    def _bring_blob(self, uri: str) -> bool:
        digest = bytes.fromhex(_stem(uri))
        data = self._elsewhere(digest)
        if data is None:
            return False
        sums = b"".join(hashlib.sha256(data[at : at + MIB]).digest() for at in range(0, len(data), MIB))
        self._bring(sums_path(uri), sums)
        self._bring(DATA + uri, data)
        return True

    def _elsewhere(self, digest: bytes) -> bytes | None:
        """The bytes of a blob: from the index of this store or of a source, as an object of its own there, or by `fetch`."""
        for source in (self._backend, *self._sources):
            place = _locate(source, digest)
            if place is not None:
                try:
                    return BlobReader(source).read_many([(place.uri, place.offset, place.size, digest)])[0]
                except (FormatError, NotFoundError):
                    continue
        data = self._fetch(digest)
        return data if data is not None and hashlib.sha256(data).digest() == digest else None


def _locate(backend: Backend, digest: bytes) -> Location | None:
    uri = blob_uri(digest.hex())
    size = backend.size(DATA + uri)
    if size is not None:
        return Location(uri, 0, size)
    try:
        _, document = read_newest_index(backend)
        for leaf in document.leaves:
            if leaf.first <= digest.hex() <= leaf.last:
                table = read_leaf(backend, leaf)
                [position] = table.run.find(digest_array([digest])).tolist()
                if position >= 0:
                    row = table.run.rows[position]
                    return Location(table.uris[row["slot"]], int(row["offset"]), int(row["size"]))
    except (TableformatError, ValueError):
        return None
    return None


def _stem(path: str) -> str:
    return path.rpartition("/")[2].split(".", 1)[0]

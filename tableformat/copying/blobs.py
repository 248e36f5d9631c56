"""Packs and large blobs, from one store to another: as files where the target has nothing of them, else only what it lacks.

The cells that point at a file keep its uri, since a version digest speaks of it. Where the target has the blobs of a file
elsewhere, those that it lacks go into packs of their own, and moved/ tells where all of them are (spec/blobs.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

import numpy as np

from tableformat.copying.objects import Mover, Work
from tableformat.errors import NotFoundError, message
from tableformat.storage.blob_reader import BlobReader, read_pack_directory
from tableformat.storage.blobs import BlobWriter, Placed
from tableformat.storage.dedup import SeenBlobs
from tableformat.storage.digest_runs import digest_array
from tableformat.storage.index import publish_index
from tableformat.storage.large import sums_path
from tableformat.storage.location_table import MAX_TABLE_BYTES, LocationTable, decode_locations
from tableformat.storage.locations import DATA, MIB, Location, stem_of
from tableformat.storage.moved import moved_path, write_moved
from tableformat.storage.store_blobs import StoreBlobs

__all__ = ["BlobMover"]

_SHARED_PART: Final = 16
"""A file of which the target has less than one part in so many is copied as it is: its readers need no moved/ file then."""
_BATCH_BYTES: Final = 16 * MIB
_SEAL_BYTES: Final = 64 * MIB
_WINDOW: Final = 64


@dataclass(frozen=True, slots=True)
class _Blob:
    """One blob of a file of the source."""

    digest: bytes
    ext: str
    offset: int
    size: int
    is_erased: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the source that the target lacks."""

    uri: str
    blobs: tuple[_Blob, ...]
    is_gone: bool
    """Whether the source has its blobs elsewhere, too."""
    told: LocationTable | None
    """The moved/ file that the target has for it."""


class BlobMover:
    """Copies the files that cells point at. Belongs to one thread; the files themselves travel on the threads of `work`.

    Holds the index of the target (up to 256 MiB), the directories of 64 packs, 20 MiB of blobs on their way, and up to
    50 MB of digests of what was copied.
    """

    def __init__(self, mover: Mover, work: Work) -> None:
        self._mover, self._work = mover, work
        self._reader = BlobReader(mover.source)
        self._names: list[str] = []
        self._slots: dict[str, int] = {}
        self._index = StoreBlobs(mover.target, self._slot_of)
        self._copied = SeenBlobs()
        self._writer: BlobWriter | None = None
        self._waiting: list[tuple[_File, dict[bytes, Location | None], list[_Blob], Placed]] = []
        self._waiting_bytes = 0
        self.blobs_there = 0
        """How many blobs the target had in other files."""
        self.bytes_there = 0
        """Their bytes."""
        self.blobs_erased = 0
        """How many blobs were erased, at the source or at the target, and so are not copied."""

    def copy(self, uris: Iterable[str]) -> None:
        """Let the target have all of `uris`, durably when this returns. Raises as `Mover.write` does."""
        new = (uri for uri in uris if self._mover.is_new(stem_of(uri)))
        while window := list(islice(new, _WINDOW)):
            missing = [file for file in self._work.map(self._look, window) if file is not None]
            for file in missing:
                self._copy_file(file)
        self._settle()
        self._work.drain()

    def publish(self) -> None:
        """After a commit: tell later writers of the target what was copied since the last call."""
        if self._writer is not None:
            self._writer.close()
            self._writer.publish_index()
            self._writer = None
        publish_index(self._mover.target, self._copied.own_runs(), self._names)
        self._copied = SeenBlobs()

    def abort(self) -> None:
        """Stop. What was written stays, for another run or for a collection."""
        if self._writer is not None:
            self._writer.abort()

    # What there is

    def _look(self, uri: str) -> _File | None:
        """What is to be done for a file; None where the target has it. Runs on any thread."""
        target = self._mover.target
        if self._mover.is_there(DATA + uri) and (uri.startswith("packs/") or target.size(sums_path(uri)) is not None):
            return None
        told = target.read_or_none(moved_path(uri), limit=MAX_TABLE_BYTES)
        table = None if told is None else decode_locations(told, f"{target.root}/{moved_path(uri)}", erased=True)
        size = self._mover.source.size(DATA + uri)
        if size is None:
            return _File(uri, self._moved_blobs(uri), True, table)
        if uri.startswith("blobs/"):
            return _File(uri, (_Blob(bytes.fromhex(stem_of(uri)), "bin", 0, size),), False, table)
        found = read_pack_directory(self._mover.source, uri)
        return _File(uri, tuple(_Blob(one.digest, one.ext, one.offset, one.size) for one in found), False, table)

    def _moved_blobs(self, uri: str) -> tuple[_Blob, ...]:
        """The blobs of a file that the source has moved elsewhere."""
        path = moved_path(uri)
        data = self._mover.source.read_or_none(path, limit=MAX_TABLE_BYTES)
        if data is None:
            raise NotFoundError(
                message("copying blobs", path=f"{self._mover.source.root}/{DATA}{uri}", expected=f"the file, or {path}", got="neither",
                        todo="run verify on the version that is copied, and restore the file first")
            )  # fmt: skip
        table = decode_locations(data, f"{self._mover.source.root}/{path}", erased=True)
        digests, rows = table.run.digests(), table.run.rows
        return tuple(
            _Blob(digests[row].tobytes(), "bin", 0, int(rows["size"][row]), bool(rows["slot"][row] < 0))
            for row in range(len(rows))
        )

    def _places(self, file: _File) -> dict[bytes, Location | None]:
        """By digest, what of a file the target has elsewhere; None for what was erased there or at the source."""
        found: dict[bytes, Location | None] = {blob.digest: None for blob in file.blobs if blob.is_erased}
        if file.told is not None:
            found |= self._told_places(file, file.told)
        open_ = [blob for blob in file.blobs if blob.digest not in found]
        if open_:
            wanted = digest_array([blob.digest for blob in open_])
            hit, (slot, offset, size) = self._index.find(wanted, self._work.threads)
            for row in np.flatnonzero(hit).tolist():
                uri = self._names[int(slot[row])]
                if uri != file.uri and int(size[row]) == open_[row].size:
                    found[open_[row].digest] = Location(uri, int(offset[row]), int(size[row]))
        return found

    def _told_places(self, file: _File, table: LocationTable) -> dict[bytes, Location | None]:
        """What the moved/ file of the target says, as far as the files are there."""
        found: dict[bytes, Location | None] = {}
        digests = [blob.digest for blob in file.blobs]
        there: dict[str, int | None] = {}
        for digest, at in zip(digests, table.run.find(digest_array(digests)).tolist(), strict=True):
            if at < 0:
                continue
            row = table.run.rows[at]
            if row["slot"] < 0:
                found[digest] = None
                continue
            place = Location(table.uris[row["slot"]], int(row["offset"]), int(row["size"]))
            if place.uri not in there:
                there[place.uri] = self._mover.target.size(DATA + place.uri)
            length = there[place.uri]
            if length is not None and length >= place.offset + place.size:
                found[digest] = place
        return found

    # Copying

    def _copy_file(self, file: _File) -> None:
        places = self._places(file)
        total = sum(blob.size for blob in file.blobs)
        shared = sum(blob.size for blob in file.blobs if places.get(blob.digest) is not None)
        erased = sum(1 for blob in file.blobs if blob.digest in places and places[blob.digest] is None)
        if file.is_gone or erased or (file.told is not None and shared) or (shared and shared * _SHARED_PART >= total):
            self._relocate(file, places, shared, erased)
            return
        self._work.submit(
            partial(self._mover.write, DATA + file.uri, stem_of(file.uri), with_sums=file.uri.startswith("blobs/"))
        )
        self._note(file)

    def _note(self, file: _File) -> None:
        """What is copied as it is goes into the index after the commit."""
        if not file.blobs:
            return
        digests = [blob.digest for blob in file.blobs]
        ordinals, fresh = self._copied.reserve(digests)
        if self._copied.has_older:
            fresh &= ~self._copied.find_older(digest_array(digests))[0]
        slot = np.full(len(digests), self._slot_of(file.uri), np.int32)
        offset, size = (np.array([getattr(blob, name) for blob in file.blobs], np.int64) for name in ("offset", "size"))
        self._copied.settle(ordinals, (slot, offset, size), fresh)

    def _relocate(self, file: _File, places: dict[bytes, Location | None], shared: int, erased: int) -> None:
        """Store what the target lacks of a file in packs of its own; moved/ follows when these are durable."""
        lacking = [blob for blob in file.blobs if blob.digest not in places]
        self.blobs_there += len(places) - erased
        self.bytes_there += shared
        self.blobs_erased += erased
        if self._writer is None:
            self._writer = BlobWriter(self._mover.target, dedup="artifact")  # looks nowhere: that was done
        at = 0
        while at < len(lacking) or at == 0:
            stop, size = at, 0
            while stop < len(lacking) and (size < _BATCH_BYTES or stop == at):
                size += lacking[stop].size
                stop += 1
            some = lacking[at:stop]
            data = self._reader.read_many([(file.uri, blob.offset, blob.size, blob.digest) for blob in some])
            placed = self._writer.put_many(data, [blob.ext for blob in some] or "bin", [blob.digest for blob in some])
            self._mover.counted(size, 0)
            self._waiting.append((file, places, some, placed))
            self._waiting_bytes += size
            at = max(stop, 1)
        if self._waiting_bytes >= _SEAL_BYTES:
            self._settle()

    def _settle(self) -> None:
        """Make the packs that were begun durable, and tell in moved/ where the blobs of each file are."""
        if not self._waiting or self._writer is None:
            return
        self._writer.seal()
        files: dict[str, dict[bytes, Location | None]] = {}
        for file, places, blobs, placed in self._waiting:
            told = files.setdefault(file.uri, dict(places))
            uris: list[str] = self._writer.uris(placed.slot).to_pylist()
            for blob, uri, offset in zip(blobs, uris, placed.offset.tolist(), strict=True):
                told[blob.digest] = Location(uri, offset, blob.size)
        for uri, told in files.items():
            write_moved(self._mover.target, uri, told)
        self._waiting, self._waiting_bytes = [], 0

    def _slot_of(self, uri: str) -> int:
        slot = self._slots.setdefault(uri, len(self._names))
        if slot == len(self._names):
            self._names.append(uri)
        return slot

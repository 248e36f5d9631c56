"""Verification of what cells point at: packs, single blobs with their sums, and whether each cell's range is a blob there.

A file is read and hashed once, however many cells point into it. The directories of the last few packs are kept as arrays
(about 50 bytes a blob, 3 MB a pack at most), so a column of cells is compared by whole arrays.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from tableformat.errors import (
    BackendError,
    CorruptError,
    ErasedError,
    FormatError,
    LimitError,
    NotFoundError,
    TableformatError,
)
from tableformat.format.frame import decode_frame
from tableformat.format.pack import MAX_DIRECTORY_BYTES, MAX_PACK_BYTES, PackedBlob
from tableformat.storage.blob_reader import BlobReader, read_pack_directory
from tableformat.storage.interface import Backend
from tableformat.storage.large import check_sums, sums_path
from tableformat.storage.locations import DATA, MIB, is_owned_uri, stem_of
from tableformat.storage.verify_hashes import hash_pack, hash_single
from tableformat.storage.verify_report import Findings

__all__ = ["BlobFile", "BlobVerifier", "Digests"]

_MAX_FILE_BYTES: Final = MAX_PACK_BYTES + 2 * MAX_DIRECTORY_BYTES  # headers repeat what the directory says
_KEPT: Final = 16
_BATCH_BYTES: Final = 16 << 20
_MOVED_ROWS: Final = 4096

Digests = npt.NDArray[np.void]
"""Digests as an array of 32 raw bytes each."""


@dataclass(frozen=True, slots=True)
class BlobFile:
    """What is known of a pack or single blob after its file was read."""

    uri: str
    """Relative to `data/`."""
    state: str
    """`there`, `moved` (the file is gone, a moved/ file may tell), or `unreadable`."""
    offsets: npt.NDArray[np.int64]
    """Where its blobs begin, ascending."""
    sizes: npt.NDArray[np.int64]
    """How long they are."""
    digests: Digests
    """Their digests."""
    damaged: npt.NDArray[np.bool_]
    """Which of them have other bytes than their digest says."""


_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, "V32"), np.zeros(0, np.bool_))


class BlobVerifier:
    """Verifies the packs and single blobs of one store. Safe from many threads.

    Holds a few pieces of a file for each thread that calls it, where the backend is not local a pack (up to about 80 MB); the
    directories of the last 16 packs and of damaged ones, and the uris of all that were read. Idle threads of `helpers` share
    in the hashing; it may be the pool that calls.
    """

    def __init__(self, backend: Backend, findings: Findings, helpers: Executor) -> None:
        self._backend = backend
        self._findings = findings
        self._helpers = helpers
        self._reader = BlobReader(backend)
        self._kept: OrderedDict[str, BlobFile] = OrderedDict()
        self._damaged: dict[str, BlobFile] = {}
        self._lock = threading.Lock()
        self._at_work: dict[str, threading.Lock] = {}
        self.seen: set[str] = set()
        """The uris of the files that were read."""

    def check_file(self, uri: str) -> BlobFile | None:
        """Read the file at the relative `uri`, report what is wrong in it, and say what it holds; the bytes are read once.

        None for a `uri` that names no owned file, which is reported too.
        """
        if not is_owned_uri(uri):
            self._findings.add(
                repr(uri)[:120],
                "a uri of owned bytes is packs/<2 hex>/<sha256>.zip or blobs/<2 hex>/<sha256>",
                "format",
            )
            return None
        found = self._known(uri)
        if found is not None:
            return found
        with self._lock:
            at_work = self._at_work.setdefault(uri, threading.Lock())
        with at_work:
            found = self._known(uri)
            if found is None:
                is_pack = uri.startswith("packs/")
                if uri in self.seen:  # whole then, and forgotten since
                    found = (
                        self._read_directory(uri) if is_pack else self._single(uri, self._backend.size(DATA + uri) or 0)
                    )
                else:
                    found = self._read_pack(uri) if is_pack else self._read_single(uri)
                self._keep(found)
        return found

    def _known(self, uri: str) -> BlobFile | None:
        with self._lock:
            if uri in self._kept:
                self._kept.move_to_end(uri)
            return self._kept.get(uri) or self._damaged.get(uri)

    def _keep(self, file: BlobFile) -> None:
        with self._lock:
            self.seen.add(file.uri)
            if file.state != "there" or file.damaged.any():
                self._damaged[file.uri] = file
            else:
                self._kept[file.uri] = file
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._at_work.pop(file.uri, None)

    def check_ranges(
        self,
        uri: str,
        offsets: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        digests: Digests,
        rows: Sequence[str],
    ) -> None:
        """Compare cells that point into one file with what it holds; `rows` says for each cell where it stands.

        A digest of zeros stands for one that the cell does not tell.
        """
        file = self.check_file(uri)
        path = DATA + uri
        if file is None:
            self._findings.hit(path, "cells point at no file of a store", rows[0], len(rows))
        elif file.state == "moved":
            self._check_moved(uri, offsets, sizes, digests, rows)
        elif file.state == "unreadable":
            self._findings.hit(path, "its blobs cannot be told", rows[0], len(rows))
        else:
            self._compare(file, offsets, sizes, digests, rows)

    def check_frame(
        self, uri: str | None, offset: int, size: int, stored: bytes | None, digest: bytes, inline: bytes | None
    ) -> None:
        """Decode a zstd frame and compare what comes out with `digest`; raises `FormatError` where it differs."""
        frame = inline if inline is not None else self._reader.read_many([(str(uri), offset, size, stored)])[0]
        decode_frame(frame, digest, "inline" if uri is None else f"{DATA}{uri} bytes {offset}–{offset + size}")

    # Within

    def _compare(
        self,
        file: BlobFile,
        offsets: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        digests: Digests,
        rows: Sequence[str],
    ) -> None:
        path = DATA + file.uri
        place = np.minimum(np.searchsorted(file.offsets, offsets), max(len(file.offsets) - 1, 0))
        if not len(file.offsets):
            right = np.zeros(len(offsets), np.bool_)
        else:
            told = digests != np.zeros((), "V32")
            right = (
                (file.offsets[place] == offsets)
                & (file.sizes[place] == sizes)
                & (~told | (file.digests[place] == digests))
            )
        for row in np.flatnonzero(~right).tolist():
            text = f"bytes {offsets[row]}–{int(offsets[row]) + int(sizes[row])} are no blob of it with the digest sha256:{digests[row].tobytes().hex()}"
            self._findings.hit(path, text, rows[row])
        hurt = np.flatnonzero(right & file.damaged[place]) if len(file.offsets) else np.zeros(0, np.int64)
        for row in hurt.tolist():
            self._findings.hit(path, _damage(offsets[row], sizes[row], digests[row]), rows[row])

    def _check_moved(
        self,
        uri: str,
        offsets: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        digests: Digests,
        rows: Sequence[str],
    ) -> None:
        """Read blobs from where they were moved to, a few at a time; each is compared with its digest."""
        requests = [
            (uri, int(offset), int(size), digest.tobytes())
            for offset, size, digest in zip(offsets, sizes, digests, strict=True)
        ]
        at = 0
        while at < len(requests):
            stop, held = at, 0
            while stop < len(requests) and stop - at < _MOVED_ROWS and (held < _BATCH_BYTES or stop == at):
                held += requests[stop][2]
                stop += 1
            for row, text in self._unreadable(requests[at:stop]):
                self._findings.hit(DATA + uri, text, rows[at + row])
            at = stop

    def _unreadable(self, requests: list[tuple[str, int, int, bytes]]) -> list[tuple[int, str]]:
        try:
            datas = self._reader.read_many(requests)
        except BackendError:
            raise
        except TableformatError as error:
            if len(requests) == 1:
                if isinstance(error, ErasedError):
                    self._findings.count(erased=1)
                    return []
                return [(0, str(error))]
            middle = len(requests) // 2
            return self._unreadable(requests[:middle]) + [
                (row + middle, text) for row, text in self._unreadable(requests[middle:])
            ]
        self._findings.count(blobs=len(datas))
        self._findings.read(DATA + requests[0][0], sum(map(len, datas)))
        return []

    def _read_pack(self, uri: str) -> BlobFile:
        path = DATA + uri
        size = self._backend.size(path)
        if size is None:
            return self._gone(uri)
        if size > _MAX_FILE_BYTES:
            self._findings.add(path, f"a pack has at most {_MAX_FILE_BYTES} bytes, this has {size}", LimitError.kind)
            return BlobFile(uri, "unreadable", *_NONE)
        try:
            found = hash_pack(self._backend, path, size, self._helpers, partial(self._findings.read, path))
        except (FormatError, NotFoundError) as error:
            self._findings.add(path, str(error), error.kind)
            return BlobFile(uri, "unreadable", *_NONE)
        self._findings.read(path, 0, files=1)
        if found.digest != stem_of(uri):
            self._findings.add(path, "the SHA-256 of the file is not its name")
        if found.problem is not None:
            self._findings.add(path, str(found.problem), found.problem.kind)
        if not found.is_told:
            return BlobFile(uri, "unreadable", *_NONE)
        self._findings.count(blobs=len(found.blobs))
        return _packed(uri, found.blobs, found.damaged)

    def _read_directory(self, uri: str) -> BlobFile:
        try:
            blobs = read_pack_directory(self._backend, uri)
        except (FormatError, NotFoundError) as error:  # changed since it was read
            self._findings.add(DATA + uri, str(error), error.kind)
            return BlobFile(uri, "unreadable", *_NONE)
        return _packed(uri, blobs, np.zeros(len(blobs), np.bool_))

    def _read_single(self, uri: str) -> BlobFile:
        path = DATA + uri
        size = self._backend.size(path)
        if size is None:
            return self._gone(uri)
        sums = self._read_sums(uri, size)
        try:
            found = hash_single(self._backend, path, size, sums, self._helpers, partial(self._findings.read, path))
        except (CorruptError, NotFoundError) as error:
            self._findings.add(path, str(error), error.kind)
            return BlobFile(uri, "unreadable", *_NONE)
        self._findings.read(path, 0, files=1)
        self._findings.count(blobs=1)
        wrong, damaged = found.wrong, found.digest != stem_of(uri)
        if damaged:
            where = f"; of its MiBs {wrong[:20]} differ from their sums" if wrong else ""
            self._findings.add(path, f"the SHA-256 of the file is not its name{where}")
        elif wrong:
            self._findings.add(
                sums_path(uri), f"the sums of the MiBs {wrong[:20]} are not those of the blob, which is whole"
            )
        return self._single(uri, size, damaged)

    def _read_sums(self, uri: str, size: int) -> bytes | None:
        path = sums_path(uri)
        try:
            sums = self._backend.read_or_none(path, limit=-(-size // MIB) * 32 + 64)
            if sums is None:
                self._findings.add(path, "no such file, so ranges of the blob cannot be checked", NotFoundError.kind)
                return None
            self._findings.read(path, len(sums), files=1)
            return check_sums(sums, size, path)
        except (FormatError, LimitError, NotFoundError) as error:
            self._findings.add(path, str(error), error.kind)
            return None

    @staticmethod
    def _single(uri: str, size: int, damaged: bool = False) -> BlobFile:
        digest = np.frombuffer(bytes.fromhex(stem_of(uri)), "V32")
        return BlobFile(uri, "there", np.zeros(1, np.int64), np.array([size], np.int64), digest, np.array([damaged]))

    def _gone(self, uri: str) -> BlobFile:
        moved = f"moved/{stem_of(uri)}.parquet"
        if self._backend.size(moved) is None:
            self._findings.add(
                DATA + uri, f"no such file, and no {moved} that tells where its blobs went", NotFoundError.kind
            )
            return BlobFile(uri, "unreadable", *_NONE)
        return BlobFile(uri, "moved", *_NONE)


def _packed(uri: str, blobs: Sequence[PackedBlob], damaged: npt.NDArray[np.bool_]) -> BlobFile:
    return BlobFile(
        uri,
        "there",
        np.array([blob.offset for blob in blobs], np.int64),
        np.array([blob.size for blob in blobs], np.int64),
        np.frombuffer(b"".join(blob.digest for blob in blobs), "V32") if blobs else _NONE[2],
        damaged,
    )


def _damage(offset: int, size: int, digest: np.void) -> str:
    return f"bytes {offset}–{offset + size} are not those with the digest sha256:{digest.tobytes().hex()}"

"""`BlobReader`: blobs out, many at once, each checked against its digest; found again where they were moved.

In the normal case a blob is where its cell says, and costs one range read that may be merged with its neighbours.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from hashlib import sha256
from typing import BinaryIO, Final, cast

from tableformat.errors import CorruptError, NotFoundError, message
from tableformat.format.pack import (
    END_BYTES,
    MAX_BLOB_BYTES,
    PackedBlob,
    decode_directory,
    directory_range,
)
from tableformat.storage.blob_file import LargeBlobFile
from tableformat.storage.interface import Backend
from tableformat.storage.large import check_sums, sums_path
from tableformat.storage.locations import DATA, Location, is_owned_uri, stem_of
from tableformat.storage.moved import MAX_HOPS, follow_moved

__all__ = ["BlobReader", "BlobRequest", "read_pack_directory"]

BlobRequest = tuple[str, int, int, bytes | None]
"""Relative uri, offset, size, and the SHA-256 (32 bytes) of those bytes where it is known."""

_HASHED_BYTES: Final = 256 << 10
_TAIL_BYTES: Final = 64 << 10  # holds the directories of packs of up to about 560 blobs


class BlobReader:
    """Reads the blobs of one store. Holds nothing between calls but the uris it has checked; safe from many threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: set[str] = set()

    def read_many(self, requests: Sequence[BlobRequest], *, verify: bool = True) -> list[bytes]:
        """The bytes of each request, in order; holds them all. With `verify`, each is checked against its digest if given.

        Raises `CorruptError` naming file and range where bytes differ from their digest twice, where a uri is none of an
        owned file, or where a range cannot be in such a file; `NotFoundError` where a file is gone and no moved/ file tells.
        """
        return self._read(requests, verify, MAX_HOPS)

    def open_range(self, uri: str, offset: int, size: int, digest: bytes | None) -> BinaryIO:
        """The bytes of one blob as a seekable binary file.

        Up to 8 MiB they are read and checked now. A larger blob is read by whole MiB as they are asked for, each checked
        against its sum; only the sums are read now.
        """
        if size <= MAX_BLOB_BYTES:
            return io.BytesIO(self.read_many([(uri, offset, size, digest)])[0])
        place = self._locate(Location(uri, offset, size), digest)
        if place.size != size or not place.uri.startswith("blobs/"):
            raise CorruptError(
                message(
                    "opening a large blob",
                    path=place.uri,
                    expected=f"a file of its own of {size} bytes",
                    got=f"{place.size} bytes",
                )
            )
        sums = self._backend.read_or_none(sums_path(place.uri))
        if sums is None:
            raise CorruptError(
                message(
                    "opening a large blob",
                    path=sums_path(place.uri),
                    expected="the sums of its MiBs",
                    got="no such file",
                )
            )
        return cast(
            "BinaryIO", LargeBlobFile(self._backend, place.uri, size, check_sums(sums, size, sums_path(place.uri)))
        )

    def _read(self, requests: Sequence[BlobRequest], verify: bool, hops: int) -> list[bytes]:
        self._check(requests)
        if not (verify and self._backend.is_local):
            return self._read_run(requests, verify, hops)
        # Hashed while they are in the processor's cache: 60 µs a blob of 75 KB, where runs of 4 MiB take 86.
        datas: list[bytes] = []
        start = size = 0
        for stop, request in enumerate(requests, start=1):
            size += request[2]
            if size >= _HASHED_BYTES or stop == len(requests):
                datas += self._read_run(requests[start:stop], verify, hops)
                start, size = stop, 0
        return datas

    def _read_run(self, requests: Sequence[BlobRequest], verify: bool, hops: int) -> list[bytes]:
        try:
            datas = self._backend.read_ranges([(DATA + uri, offset, size) for uri, offset, size, _ in requests])
        except NotFoundError:
            datas = self._read_moved(requests, hops)
        if verify:
            wrong = [
                row
                for row, (data, request) in enumerate(zip(datas, requests, strict=True))
                if sha256(data).digest() != request[3] and request[3] is not None
            ]
            for row in wrong:
                datas[row] = self._read_again(requests[row])
        return datas

    def _check(self, requests: Sequence[BlobRequest]) -> None:
        """Refuse what no writer can have written, before anything is asked of the backend."""
        doing = "reading a blob"
        for uri in {request[0] for request in requests} - self._known:
            stem_of(uri)
            self._known.add(uri)
        sizes = [request[2] for request in requests]
        if not sizes or (
            min(sizes) >= 0 and max(sizes) <= MAX_BLOB_BYTES and min(request[1] for request in requests) >= 0
        ):
            return
        for uri, offset, size, _ in requests:
            place = (offset, offset + size)
            if offset < 0 or size < 0 or (size > MAX_BLOB_BYTES and not uri.startswith("blobs/")):
                raise CorruptError(
                    message(doing, path=uri, byte_range=place, expected="a range within the bounds of a pack")
                )
            if size > MAX_BLOB_BYTES:
                length = self._backend.size(DATA + uri)
                if length is not None and place[1] > length:
                    raise CorruptError(
                        message(
                            doing, path=uri, byte_range=place, expected="a range of the file", got=f"{length} bytes"
                        )
                    )

    def _read_moved(self, requests: Sequence[BlobRequest], hops: int) -> list[bytes]:
        """Read where some files are gone: what is still in its place from there, the rest from where it was moved."""
        missing = {uri for uri in {request[0] for request in requests} if self._backend.size(DATA + uri) is None}
        datas: list[bytes] = [b""] * len(requests)
        here = [row for row, request in enumerate(requests) if request[0] not in missing]
        for row, data in zip(
            here,
            self._backend.read_ranges([(DATA + requests[row][0], *requests[row][1:3]) for row in here]),
            strict=True,
        ):
            datas[row] = data
        for uri in sorted(missing):
            rows = [row for row, request in enumerate(requests) if request[0] == uri]
            places = self._hop(uri, [requests[row][3] for row in rows], hops)
            moved = [
                (place.uri, place.offset, place.size, requests[row][3]) for row, place in zip(rows, places, strict=True)
            ]
            for row, data in zip(rows, self._read(moved, True, hops - 1), strict=True):
                datas[row] = data
        return datas

    def _hop(self, uri: str, digests: Sequence[bytes | None], hops: int) -> list[Location]:
        if hops == 0 or None in digests:
            wanted = "a digest, by which it could be found" if hops else f"at most {MAX_HOPS} moves"
            raise NotFoundError(
                message("following a moved/ file", path=uri, expected=wanted, got="a file that is gone")
            )
        return follow_moved(self._backend, uri, cast("Sequence[bytes]", digests))

    def _locate(self, place: Location, digest: bytes | None) -> Location:
        """Where a large blob is now; its file is as long as its place says."""
        for hops in range(MAX_HOPS, -1, -1):
            length = self._backend.size(DATA + place.uri) if is_owned_uri(place.uri) else -1
            if length is not None:
                if length != place.size or place.offset:
                    raise CorruptError(
                        message(
                            "opening a large blob",
                            path=place.uri,
                            expected=f"a file of {place.size} bytes",
                            got=f"{length}",
                        )
                    )
                return place
            (place,) = self._hop(place.uri, [digest], hops)
        raise AssertionError("the last hop raises")  # pragma: no cover

    def _read_again(self, request: BlobRequest) -> bytes:
        """Read a blob once more that did not fit its digest: bytes can change on their way as well as where they lie."""
        uri, offset, size, digest = request
        data = self._backend.read(DATA + uri, offset, size)
        found = sha256(data).digest()
        if digest is not None and found != digest:
            raise CorruptError(
                message("reading a blob", path=DATA + uri, byte_range=(offset, offset + size), expected=f"sha256:{digest.hex()}",
                        got=f"sha256:{found.hex()}", todo="restore the file from a copy, or write the blob again")
            )  # fmt: skip
        return data


def read_pack_directory(backend: Backend, uri: str) -> tuple[PackedBlob, ...]:
    """The blobs of the pack at the relative `uri`, in order, from its directory: one or two range reads.

    Raises `CorruptError` for a directory that the format refuses, `NotFoundError` where the pack is not there.
    """
    stem_of(uri)
    path = DATA + uri
    size = backend.size(path)
    if size is None:
        raise NotFoundError(message("reading the directory of a pack", path=path, got="no such file"))
    if size < END_BYTES:
        raise CorruptError(
            message(
                "reading the directory of a pack",
                path=path,
                expected=f"at least {END_BYTES} bytes",
                got=f"{size} bytes",
            )
        )
    tail = backend.read(path, max(0, size - _TAIL_BYTES), min(size, _TAIL_BYTES))
    start, length = directory_range(tail[-END_BYTES:], size, path)
    if length + END_BYTES > len(tail):
        tail = backend.read(path, start, size - start)
    return decode_directory(tail, size, path)

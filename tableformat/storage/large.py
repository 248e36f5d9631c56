"""Large blobs: one object each, `data/blobs/ab/<sha256>`, with the SHA-256 of each MiB beside it in `<sha256>.sums`.

The sums let a reader check a range without the whole; they are written first, so an object is never without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from tableformat.digest import Bytes
from tableformat.errors import CorruptError, message
from tableformat.storage.interface import Backend
from tableformat.storage.locations import DATA, MIB, blob_uri

__all__ = ["SUM_BYTES", "BlobObject", "check_sums", "sums_path", "write_large"]

SUM_BYTES = 32


@dataclass(frozen=True, slots=True)
class BlobObject:
    """One large blob that is written, named and durable."""

    digest: bytes
    """SHA-256 of its bytes, 32 bytes."""
    uri: str
    """Its relative uri, `blobs/ab/<sha256>`."""
    size: int
    """Length in bytes."""


def sums_path(uri: str) -> str:
    """Where the sums of the large blob at the relative `uri` lie in the store."""
    return f"{DATA}{uri}.sums"


def write_large(
    backend: Backend, chunks: Iterator[Bytes], helper: Executor, is_known: Callable[[bytes], bool]
) -> tuple[BlobObject, bool]:
    """Write the blob that `chunks` (each 1 MiB but the last) make, and tell whether it was written.

    It is not where `is_known(digest)`, asked at the end of the stream, says that the store has it. Holds one chunk where
    the backend is local. The whole is hashed by `helper` beside the sums.
    """
    whole = hashlib.sha256()
    sums: list[bytes] = []
    with backend.writer(DATA + "blobs/blob") as sink:
        for chunk in chunks:
            hashed = helper.submit(whole.update, chunk)
            try:
                sums.append(hashlib.sha256(chunk).digest())
                sink.write(chunk)
            finally:
                hashed.result()
        blob = BlobObject(whole.digest(), blob_uri(whole.hexdigest()), sink.size)
        if is_known(blob.digest):
            return blob, False
        backend.put(sums_path(blob.uri), b"".join(sums))
        sink.commit(DATA + blob.uri)
    return blob, True


def check_sums(sums: Bytes, size: int, path: str) -> bytes:
    """`sums` themselves where they are those of a blob of `size` bytes by their length; raises `CorruptError` where not."""
    expected = -(-size // MIB) * SUM_BYTES
    if len(sums) != expected:
        raise CorruptError(
            message(
                "reading the sums of a large blob", path=path, expected=f"{expected} bytes", got=f"{len(sums)} bytes"
            )
        )
    return bytes(sums)

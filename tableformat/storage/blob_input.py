"""What callers hand to a blob writer, made uniform: bytes and views, batches, digests, streams."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from hashlib import sha256
from typing import BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

from tableformat.digest import Bytes
from tableformat.errors import InvalidInputError, message
from tableformat.format.pack import check_ext

__all__ = ["Source", "as_bytes", "check_exts", "cuts_of", "hash_batches", "read_upto"]

_BATCH_BYTES: Final = 4 << 20
_BATCH_BLOBS: Final = 4096
_THREADED_BYTES: Final = 24 << 10  # mean size from which threads gain more than they cost

Batch = tuple[int, int, Sequence[bytes], Sequence[int] | None]
"""Begin and end of a batch, the digests of its blobs and, where they were made along the way, their CRCs."""


def as_bytes(datas: Sequence[Bytes]) -> Sequence[Bytes]:
    """`datas` with views of anything but plain bytes made views of bytes, so that `len` counts bytes.

    Raises `InvalidInputError` for the first value that has no contiguous bytes.
    """
    if set(map(type, datas)) <= {bytes}:
        return datas
    views: list[Bytes] = []
    for position, data in enumerate(datas):
        try:
            # A text would be a mistake; numbers and other things have no buffer and raise by themselves.
            views.append(data if type(data) is bytes else memoryview(data).cast("B"))
        except TypeError as error:
            raise InvalidInputError(
                message("storing blobs", expected=f"contiguous bytes in item {position}", got=type(data).__name__)
            ) from error
    return views


def check_exts(exts: str | Sequence[str], count: int) -> None:
    """Raise `InvalidInputError` unless `exts` is one extension, or `count` of them."""
    for ext in {exts} if isinstance(exts, str) else set(exts):
        check_ext(ext)
    if not isinstance(exts, str) and len(exts) != count:
        raise InvalidInputError(
            message("storing blobs", expected=f"{count} extensions, or one for all", got=f"{len(exts)}")
        )


def cuts_of(size: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Batches (begin, end) of about 4 MiB and at most 4,096 blobs, for blobs of these sizes."""
    if not len(size):
        return []
    ends = np.cumsum(size)
    cuts: list[tuple[int, int]] = []
    a = 0
    while a < len(size):
        before = int(ends[a - 1]) if a else 0
        b = min(max(int(np.searchsorted(ends, before + _BATCH_BYTES)) + 1, a + 1), a + _BATCH_BLOBS, len(size))
        cuts.append((a, b))
        a = b
    return cuts


def hash_batches(
    views: Sequence[Bytes], cuts: Sequence[tuple[int, int]], digests: Sequence[bytes] | None, helpers: Executor
) -> Iterator[Batch]:
    """The batches in order. Longer blobs are hashed by `helpers`, ahead of the caller."""
    if digests is not None:
        for a, b in cuts:
            yield a, b, digests[a:b], None
    elif sum(map(len, views)) < _THREADED_BYTES * len(views):
        for a, b in cuts:
            yield a, b, [sha256(view).digest() for view in views[a:b]], None
    else:
        for (a, b), (names, crcs) in zip(cuts, helpers.map(_hash_both, [views[a:b] for a, b in cuts]), strict=True):
            yield a, b, names, crcs


def _hash_both(views: Sequence[Bytes]) -> tuple[list[bytes], list[int]]:
    # Back to back, so that the CRC finds the blob in the cache of the core that hashed it.
    both = [(sha256(view).digest(), zlib.crc32(view)) for view in views]
    return [digest for digest, _ in both], [crc for _, crc in both]


def read_upto(file: BinaryIO, count: int) -> bytes:
    """`count` bytes, or all that is left; a raw file may give less at each call."""
    pieces: list[bytes] = []
    while count and (piece := file.read(count)):
        if not isinstance(piece, bytes):
            raise InvalidInputError(
                message("storing a stream", expected="a file opened in binary mode", got=type(piece).__name__)
            )
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Source:
    """Chunks of a stream, with their length so far, and the error that reading them raised: that one is the caller's."""

    def __init__(self, chunks: Iterator[Bytes]) -> None:
        self._chunks = chunks
        self.size = 0
        self.error: BaseException | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Bytes:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise
        self.size += len(chunk)
        return chunk

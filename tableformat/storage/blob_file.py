"""A large blob as a file object: ranges are fetched by whole MiB, and each MiB is checked against its sum."""

from __future__ import annotations

import io
from hashlib import sha256

from tableformat.errors import CorruptError, UsageError, message
from tableformat.storage.interface import Backend
from tableformat.storage.large import SUM_BYTES
from tableformat.storage.locations import DATA, MIB

__all__ = ["LargeBlobFile"]


class LargeBlobFile(io.RawIOBase):
    """Reads the large blob at the relative `uri`, of `size` bytes and with `sums`. Holds the last 1 MiB that was read.

    Reads give all the bytes asked for unless the blob ends. Raises `CorruptError` for a MiB that does not fit its sum.
    """

    def __init__(self, backend: Backend, uri: str, size: int, sums: bytes) -> None:
        super().__init__()
        self._backend = backend
        self._path = DATA + uri
        self._size = size
        self._sums = sums
        self._position = 0
        self._number = -1
        self._block = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise UsageError(
                message("seeking in a blob", path=self._path, expected="a place from 0", got=start + offset)
            )
        self._position = start + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider than any caller
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        done = 0
        while done < count:
            number, start = divmod(self._position, MIB)
            piece = memoryview(self._load(number))[start : start + count - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return count

    def _load(self, number: int) -> bytes:
        if number != self._number:
            begin = number * MIB
            end = min(begin + MIB, self._size)
            block = self._backend.read(self._path, begin, end - begin)
            wanted = self._sums[number * SUM_BYTES : (number + 1) * SUM_BYTES]
            if sha256(block).digest() != wanted:
                raise CorruptError(
                    message("reading a range of a large blob", path=self._path, byte_range=(begin, end), expected=f"sha256:{wanted.hex()}",
                            got=f"sha256:{sha256(block).hexdigest()}", todo="restore the file from a copy")
                )  # fmt: skip
            self._number, self._block = number, block
        return self._block

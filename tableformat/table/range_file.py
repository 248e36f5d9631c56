"""A Parquet file that lies elsewhere, as a file object: the column chunks that will be read are fetched beforehand, together."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence

from tableformat.storage.interface import Backend
from tableformat.storage.ranges import plan_ranges

__all__ = ["RangeFile"]


class RangeFile(io.RawIOBase):
    """Serves reads from ranges held in memory, and from the backend what lies outside of them. Belongs to one thread."""

    def __init__(self, backend: Backend, path: str, size: int, held: Sequence[tuple[int, bytes]]) -> None:
        """`held` are (offset, bytes), which do not overlap."""
        super().__init__()
        self._backend = backend
        self._path = path
        self._size = size
        self._held = sorted(held)
        self._starts = [start for start, _ in self._held]
        self._position = 0

    @classmethod
    def fetch(cls, backend: Backend, path: str, size: int, ranges: Sequence[tuple[int, int]]) -> RangeFile:
        """The file at `path` with `ranges` of (offset, length) in memory, by one `read_ranges`.

        What lies between ranges that one request fetches is held too: whoever reads them may merge them in its own way.
        """
        wanted = [(path, first, length) for first, length in ranges if first >= 0 and length > 0 and first + length <= size]  # fmt: skip
        fetches = [(path, fetch.offset, fetch.length) for fetch in plan_ranges(wanted).fetches]
        datas = backend.read_ranges(fetches)
        return cls(backend, path, size, [(first, data) for (_, first, _), data in zip(fetches, datas, strict=True)])

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place in the file."""
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes; fewer only at the end of the file."""
        end = self._size if size < 0 else min(self._position + size, self._size)
        start, self._position = self._position, max(end, self._position)
        pieces: list[bytes] = []
        while start < end:
            place = bisect_right(self._starts, start) - 1
            first, data = self._held[place] if place >= 0 else (0, b"")
            if start < first + len(data):
                piece = data[start - first : end - first]
            else:  # up to what is held next
                stop = min(end, self._starts[place + 1]) if place + 1 < len(self._starts) else end
                piece = self._backend.read(self._path, start, stop - start)
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

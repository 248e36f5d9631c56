"""A Parquet file that lies elsewhere, as a file object: the column chunks that will be read are fetched beforehand, together."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence

from tableformat.storage.interface import Backend

__all__ = ["RangeFile"]


class RangeFile(io.RawIOBase):
    """Serves reads from ranges held in memory, and from the backend what lies outside of them. Belongs to one thread."""

    def __init__(self, backend: Backend, path: str, size: int, held: Sequence[tuple[int, bytes]]) -> None:
        super().__init__()
        self._backend = backend
        self._path = path
        self._size = size
        self._held = sorted(held)
        self._starts = [start for start, _ in self._held]
        self._position = 0

    @classmethod
    def fetch(cls, backend: Backend, path: str, size: int, ranges: Sequence[tuple[int, int]]) -> RangeFile:
        """The file at `path` with `ranges` of (offset, length) in memory, by one `read_ranges`."""
        wanted = sorted(
            {(first, length) for first, length in ranges if first >= 0 and length > 0 and first + length <= size}
        )
        datas = backend.read_ranges([(path, first, length) for first, length in wanted])
        return cls(backend, path, size, [(first, data) for (first, _), data in zip(wanted, datas, strict=True)])

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
        if end <= start:
            return b""
        place = bisect_right(self._starts, start) - 1
        if place >= 0:
            first, data = self._held[place]
            if end <= first + len(data):
                return data[start - first : end - first]
        return self._backend.read(self._path, start, end - start)

"""Decoded columns of row groups, kept for reads of single rows: the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import pyarrow as pa

__all__ = ["GroupCache"]

Key = tuple[int, int, str]
"""(part, row group, column)."""


class GroupCache:
    """Holds at most `max_bytes` of columns. Safe from many threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[Key, tuple[pa.Array, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get_many(self, part: int, group: int, columns: Sequence[str]) -> dict[str, pa.Array]:
        """Those of the columns that are held."""
        found = {}
        with self._lock:
            held = self._held
            for column in columns:
                key = (part, group, column)
                if (entry := held.get(key)) is not None:
                    held.move_to_end(key)
                    found[column] = entry[0]
        return found

    def put(self, part: int, group: int, column: str, array: pa.Array) -> None:
        """Keep a column; nothing where it alone has more bytes than may be held."""
        size = array.nbytes
        if size > self._max_bytes:
            return
        with self._lock:
            before = self._held.pop((part, group, column), None)
            self._bytes += size - (before[1] if before else 0)
            self._held[(part, group, column)] = (array, size)
            while self._bytes > self._max_bytes:
                self._bytes -= self._held.popitem(last=False)[1][1]

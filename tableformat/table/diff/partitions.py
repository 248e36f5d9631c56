"""Rows put aside in temporary files, divided by a hash of their keys, so that what belongs together comes back together.

Each side has a file for each partition, of Arrow batches. A partition that is still too large is divided again by other bits.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.table.join.index import key_codes

__all__ = ["Partition", "Partitions"]

_BITS: Final = 5
_COUNT: Final = 1 << _BITS
_MAX_DEPTH: Final = 8


class Partitions:
    """Rows of two sides on disk. `keys` is the number of key columns, which are the first of each batch. Holds no rows."""

    def __init__(self, keys: int, seed: int, depth: int = 0) -> None:
        self._keys, self._seed, self._depth = keys, seed, depth
        self._folder = tempfile.mkdtemp(prefix="tableformat-diff-")
        self._finalizer = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._writers: dict[tuple[int, int], Any] = {}
        self._bytes = np.zeros((2, _COUNT), np.int64)

    def add(self, side: int, batch: pa.RecordBatch) -> None:
        """More rows of side 0 or 1."""
        if not batch.num_rows:
            return
        codes = key_codes(batch.columns[: self._keys], self._seed)
        numbers = ((codes >> np.uint64(64 - _BITS * (self._depth + 1))) & np.uint64(_COUNT - 1)).astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=_COUNT))
        divided = batch.take(pa.array(order))
        for number in range(_COUNT):
            start = int(ends[number - 1]) if number else 0
            if start < ends[number]:
                self._write(side, number, divided.slice(start, int(ends[number]) - start))

    def _write(self, side: int, number: int, batch: pa.RecordBatch) -> None:
        writer = self._writers.get((side, number))
        if writer is None:
            sink = pa.OSFile(self._path(side, number), "wb")
            writer = self._writers[(side, number)] = (sink, pa.ipc.new_stream(sink, batch.schema))
        writer[1].write_batch(batch)
        self._bytes[side, number] += batch.nbytes

    def _path(self, side: int, number: int) -> str:
        return os.path.join(self._folder, f"{side}-{number}")

    def finish(self, max_bytes: int, *, both: bool = False) -> Iterator[Partition]:
        """The partitions, each once; of `max_bytes` at most on the smaller side, or on both together, as far as dividing helps."""
        self._close()
        for number in range(_COUNT):
            found = Partition([self._path(side, number) for side in (0, 1)], self._bytes[:, number].tolist())
            size = sum(found.bytes) if both else min(found.bytes)
            if size <= max_bytes or self._depth == _MAX_DEPTH:
                yield found
            else:
                below = Partitions(self._keys, self._seed, self._depth + 1)
                for side in (0, 1):
                    for batch in found.batches(side):
                        below.add(side, batch)
                yield from below.finish(max_bytes, both=both)
                below.close()
            found.remove()
        self.close()

    def _close(self) -> None:
        for sink, writer in self._writers.values():
            writer.close()
            sink.close()
        self._writers = {}

    def close(self) -> None:
        """Drop everything."""
        self._close()
        self._finalizer()


class Partition:
    """Rows of both sides, one of which holds no key that stands in another partition."""

    def __init__(self, paths: list[str], sizes: list[int]) -> None:
        self._paths = paths
        self.bytes = sizes
        """What each side takes in memory."""

    def batches(self, side: int) -> Iterator[pa.RecordBatch]:
        """The rows of a side, in the order in which they were added."""
        if self.bytes[side]:
            with pa.OSFile(self._paths[side], "rb") as source, pa.ipc.open_stream(source) as reader:
                yield from reader

    def remove(self) -> None:
        """Delete the files."""
        for path in self._paths:
            if os.path.exists(path):
                os.remove(path)

"""Files of blobs read through once, each byte hashed twice: for the name of the file, and for the blob or MiB it belongs to.

The first is a chain, so one thread goes along the file; the second falls apart into pieces, which threads that have nothing
else to do take over. So the last file of a store, or the only one, takes all processors too.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tableformat.errors import CorruptError, FormatError
from tableformat.format.pack import (
    END_BYTES,
    PackedBlob,
    check_entries,
    decode_directory,
    directory_range,
    local_headers,
)
from tableformat.storage.interface import Backend
from tableformat.storage.large import SUM_BYTES
from tableformat.storage.locations import MIB

__all__ = ["HashedPack", "HashedSingle", "OnRead", "hash_pack", "hash_single"]

_PIECE: Final = 2 << 20
_LARGE_PIECE: Final = 8 << 20  # of a blob on another machine: a request each
_AHEAD: Final = 4

T = TypeVar("T")

OnRead = Callable[[int], None]
"""Told of so many more bytes that were read."""


@dataclass(slots=True)
class HashedPack:
    """A pack whose every byte was read."""

    digest: str
    """The SHA-256 of the file, in hex."""
    blobs: tuple[PackedBlob, ...] = ()
    """What its directory tells."""
    damaged: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Which of the blobs have other bytes than their digest says."""
    problem: FormatError | None = None
    """The first thing that is wrong inside of it."""
    is_told: bool = False
    """Whether the directory could be read."""


@dataclass(slots=True)
class HashedSingle:
    """A blob of its own whose every byte was read."""

    digest: str
    """The SHA-256 of the file, in hex."""
    wrong: list[int]
    """The numbers of the MiBs that have another sum."""


class _Once(Generic[T]):
    """A task that is let go of when it runs: a pool keeps what it was given, cancelled or not, until a thread comes by."""

    __slots__ = ("_tasks",)

    def __init__(self, task: Callable[[], T]) -> None:
        self._tasks = [task]

    def __call__(self) -> T:
        return self._tasks.pop()()


class _Beside(Generic[T]):
    """Tasks that idle threads of a pool may take; what none of them has begun, the caller does itself.

    So a task that runs in the pool can wait for others of the same pool: it waits only for those that run.
    """

    def __init__(self, helpers: Executor) -> None:
        self._helpers = helpers
        self._waiting: deque[tuple[_Once[T], Future[T]]] = deque()

    def add(self, task: Callable[[], T]) -> Iterator[T]:
        """Leave a task to whoever has time. Results of earlier ones come out, in their order."""
        once = _Once(task)
        self._waiting.append((once, self._helpers.submit(once)))
        if len(self._waiting) > _AHEAD:
            yield self._result()

    def rest(self) -> Iterator[T]:
        """The results that are left."""
        while self._waiting:
            yield self._result()

    def _result(self) -> T:
        task, future = self._waiting.popleft()
        return task() if future.cancel() else future.result()


def hash_pack(backend: Backend, path: str, size: int, helpers: Executor, on_read: OnRead) -> HashedPack:
    """Read the pack at `path` once, all `size` bytes of it, and compare every one of them.

    Runs on the calling thread and on those of `helpers` that are idle. Holds some pieces of 2 MiB and the directory where
    the backend is local, elsewhere the whole pack, which is one request. Raises what the backend raises.
    """
    data = None if backend.is_local else memoryview(backend.read(path))
    found = HashedPack("")
    if data is not None:
        size = len(data)

    def read(first: int, end: int) -> bytes | memoryview:
        on_read(end - first)
        return data[first:end] if data is not None else backend.read(path, first, end - first)

    whole = hashlib.sha256()
    tail: bytes | memoryview = b""
    try:
        last = read(max(0, size - END_BYTES), size)
        start, length = directory_range(last, size, path)
        tail = b"".join([read(start, start + length), last])
        found.blobs = decode_directory(tail, size, path)
        found.is_told = True
    except FormatError as error:
        found.problem = error
        for first in range(0, size, _PIECE):
            whole.update(read(first, min(first + _PIECE, size)))
    if found.is_told:
        _hash_entries(found, read, whole.update, helpers, path)
        whole.update(tail)
    found.digest = whole.hexdigest()
    return found


def _hash_entries(
    found: HashedPack,
    read: Callable[[int, int], bytes | memoryview],
    update: Callable[[bytes | memoryview], None],
    helpers: Executor,
    path: str,
) -> None:
    blobs, headers = found.blobs, local_headers(found.blobs)
    found.damaged = np.zeros(len(blobs), np.bool_)
    beside: _Beside[list[tuple[int, bool, CorruptError]]] = _Beside(helpers)

    def note(results: Iterator[list[tuple[int, bool, CorruptError]]]) -> None:
        for problems in results:
            for number, is_damaged, problem in problems:
                found.damaged[number] = is_damaged
                found.problem = found.problem or problem

    for low, high in _runs(blobs):
        start = 0 if low == 0 else blobs[low - 1].offset + blobs[low - 1].size
        data = read(start, blobs[high - 1].offset + blobs[high - 1].size)
        task = partial(_check, data, start, blobs[low:high], headers[low:high], path, low)
        note(beside.add(task))
        update(data)
    note(beside.rest())


def _check(
    data: bytes | memoryview, start: int, blobs: Sequence[PackedBlob], headers: Sequence[bytes], path: str, low: int
) -> list[tuple[int, bool, CorruptError]]:
    return [(low + number, hurt, error) for number, hurt, error in check_entries(data, start, blobs, headers, path)]


def _runs(blobs: Sequence[PackedBlob]) -> Iterator[tuple[int, int]]:
    """Neighbouring entries that make up a piece."""
    low = begin = 0
    for number, blob in enumerate(blobs):
        end = blob.offset + blob.size
        if end - begin >= _PIECE or number + 1 == len(blobs):
            yield low, number + 1
            low, begin = number + 1, end


def hash_single(
    backend: Backend, path: str, size: int, sums: bytes | None, helpers: Executor, on_read: OnRead
) -> HashedSingle:
    """Read the blob at `path` once, all `size` bytes of it, and compare each of its MiBs with its sum, where there are any.

    Runs on the calling thread and on those of `helpers` that are idle. Holds a few pieces, of 2 MiB where the backend is
    local and 8 elsewhere. Raises what the backend raises.
    """
    whole = hashlib.sha256()
    wrong: list[int] = []
    beside: _Beside[list[int]] = _Beside(helpers)
    piece = _PIECE if backend.is_local else _LARGE_PIECE
    for start in range(0, size, piece):
        data = backend.read(path, start, min(piece, size - start))
        on_read(len(data))
        if sums is not None:
            for found in beside.add(partial(_wrong_sums, data, start // MIB, sums)):
                wrong += found
        whole.update(data)
    for found in beside.rest():
        wrong += found
    return HashedSingle(whole.hexdigest(), wrong)


def _wrong_sums(data: bytes, first: int, sums: bytes) -> list[int]:
    view = memoryview(data)
    told = (sums[at : at + SUM_BYTES] for at in range(first * SUM_BYTES, len(sums), SUM_BYTES))
    pieces = (view[at : at + MIB] for at in range(0, len(view), MIB))
    return [
        first + number
        for number, (part, sum_) in enumerate(zip(pieces, told, strict=False))
        if hashlib.sha256(part).digest() != sum_
    ]

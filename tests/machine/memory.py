"""A backend in memory with a clock of its own, and the same as one process uses it: with failures, death, and company.

Time stands still unless it is told to pass, so that a week takes no longer than a call.
"""

from __future__ import annotations

import contextlib
import datetime as dates
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import tableformat.draft
import tableformat.history
from tableformat.digest import Bytes
from tableformat.errors import CorruptError, NotFoundError, UsageError
from tableformat.storage import sessions, versions
from tableformat.storage.aliases import Aliases
from tableformat.storage.collect import collections, collector, watch
from tableformat.storage.interface import Backend, Names, ObjectInfo, Sink, check_path
from tableformat.storage.ranges import Range
from tableformat.storage.series import Series
from tableformat.testing import FaultBackend
from tableformat.testing.faults import Fault

__all__ = ["Clock", "Killed", "MemoryBackend", "ProcessBackend"]


class Clock:
    """The time of the backend, and what each process takes it for."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0
        """Seconds since 1970, by the clock of the backend."""
        self.skew = 0.0
        """Seconds by which the clock of the process that runs is ahead."""

    def time(self) -> float:
        """What the clock on the wall says."""
        return self.now + self.skew

    def monotonic(self) -> float:
        """What has passed, whatever the clock on the wall says."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @contextlib.contextmanager
    def rules(self) -> Iterator[None]:
        """Let the library go by this clock."""
        clock = self

        class Skewed(dates.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return dates.datetime.fromtimestamp(clock.time(), tz)

        time = SimpleNamespace(time=self.time, monotonic=self.monotonic, sleep=self.sleep)
        with contextlib.ExitStack() as stack:
            for module in (sessions, collections, collector, watch):
                stack.enter_context(mock.patch.object(module, "time", time))
            for module in (sessions, collector, watch, tableformat.draft, tableformat.history):
                stack.enter_context(mock.patch.object(module, "datetime", Skewed))
            for made in (versions.Versions, Series, Aliases):
                if "sleep" in (made.__init__.__kwdefaults__ or {}):
                    stack.enter_context(mock.patch.dict(made.__init__.__kwdefaults__, sleep=self.sleep))
            stack.enter_context(mock.patch.object(watch.CollectionWatch.__init__, "__defaults__", (self.sleep,)))
            yield


class MemoryBackend(Backend):
    """Objects in a dict, each with the time at which it was written."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.objects: dict[str, tuple[bytes, float]] = {}

    @property
    def root(self) -> str:
        return "memory://machine"

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        found = self.objects.get(check_path(path))
        if found is None:
            raise NotFoundError(f"reading {path}")
        data = found[0][offset:] if length is None else found[0][offset : offset + length]
        if length is not None and len(data) < length:
            raise CorruptError(f"reading {path}: too short")
        return data

    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        found = self.objects.get(check_path(path))
        return None if found is None else found[0]

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self.read(path, offset, length) for path, offset, length in ranges]

    def size(self, path: str) -> int | None:
        found = self.objects.get(check_path(path))
        return None if found is None else len(found[0])

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        start = f"{prefix}/" if prefix else ""
        for path, (data, written) in sorted(self.objects.items()):
            if path.startswith(start):
                yield ObjectInfo(path, len(data), written)

    def list_folders(self, prefix: str) -> Names:
        start = f"{prefix}/" if prefix else ""
        rests = [path.removeprefix(start) for path in self.objects if path.startswith(start)]
        return sorted({rest.split("/")[0] for rest in rests if "/" in rest})

    def create(self, path: str, data: Bytes) -> bool:
        if check_path(path) in self.objects:
            return False
        self.objects[path] = (bytes(data), self.clock.now)
        return True

    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        self.objects[check_path(path)] = (b"".join(chunks), self.clock.now)

    def writer(self, path_hint: str = "data") -> Sink:
        return _MemorySink(self)

    def delete(self, path: str) -> None:
        self.objects.pop(check_path(path), None)

    def probe(self) -> None:
        pass

    def uri(self, path: str) -> str:
        return f"{self.root}/{path}"


class _MemorySink(Sink):
    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self._file: io.BytesIO | None = io.BytesIO()

    @property
    def size(self) -> int:
        return 0 if self._file is None else self._file.tell()

    def write(self, chunk: Bytes) -> None:
        self._open().write(chunk)

    def commit(self, path: str) -> None:
        self._backend.put(path, self._open().getvalue())
        self._file = None

    def abort(self) -> None:
        self._file = None

    def _open(self) -> io.BytesIO:
        if self._file is None:
            raise UsageError("a sink that is over")
        return self._file


class Killed(BaseException):
    """The process is no more: nothing that it does from here on reaches the store."""


class ProcessBackend(FaultBackend):
    """The store as one process sees it. It may die at a call, or somebody else may act just before one."""

    is_dead = False
    _left = _thread = 0
    _meeting: Callable[[], None] | None = None

    def die(self, nth: int, *, answered: bool) -> None:
        """Be killed at the nth call from now; `answered` tells whether that call takes place before."""
        if answered:
            self.fail("*", nth, "after", error=self._killed)
        self.fail("*", nth, "before", times=1 << 60, error=self._killed)

    def meet(self, nth: int, action: Callable[[], None]) -> None:
        """Let `action` take place just before the nth call from now of this thread."""
        self._left, self._meeting, self._thread = nth, action, threading.get_ident()

    def calm(self) -> None:
        """Nothing more is to happen."""
        self.faults.clear()
        self._meeting = None

    def _killed(self) -> BaseException:
        self.is_dead = True
        return Killed()

    def _due(self, operation: str, path: str) -> Fault | None:
        meeting = self._meeting
        if meeting is not None and threading.get_ident() == self._thread:
            self._left -= 1
            if self._left <= 0:
                self._meeting = None
                meeting()
        return super()._due(operation, path)

"""A backend that fails on purpose: at the n-th call of an operation, before or after it took effect, or half way.

The ways are those of the world: the request never arrived; it arrived and the answer was lost; it broke off; it took long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from tableformat.digest import Bytes
from tableformat.errors import StoreUnavailableError
from tableformat.storage.backend import Backend, ObjectInfo, Sink
from tableformat.storage.interface import Names
from tableformat.storage.ranges import Range

__all__ = ["Fault", "FaultBackend"]

T = TypeVar("T")
When = Literal["before", "after", "short", "slow"]
_SLOW_SECONDS = 0.1


@dataclass(slots=True)
class Fault:
    """One failure that is to happen. Counts down as it is met."""

    operation: str
    """Name of a method of `Backend`, or `sink.write`, `sink.commit`; `*` for any."""
    nth: int = 1
    """Which call of it fails, counted from 1 when the fault was set."""
    when: When = "before"
    """Before it took effect; after (the answer is lost); `short`: a read returns half of the bytes without an error,
    a write leaves half of them and raises; `slow`: nothing fails, a tenth of a second later."""
    times: int = 1
    """How many calls in a row fail."""
    error: Callable[[], BaseException] = lambda: StoreUnavailableError("injected fault")
    """Makes what is raised."""
    path: str = ""
    """Only calls whose path holds this text count."""


class FaultBackend(Backend):
    """`inner`, with failures set by `fail`. `calls` lists (operation, path) as they were made."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        """The backend that does the work."""
        self.calls: list[tuple[str, str]] = []
        """Every call, in order; for operations on many paths the first of them."""
        self.faults: list[Fault] = []
        """Those still to come."""
        self.is_local = inner.is_local
        self._lock = threading.Lock()

    def fail(
        self,
        operation: str,
        nth: int = 1,
        when: When = "before",
        *,
        times: int = 1,
        path: str = "",
        error: Callable[[], BaseException] | None = None,
    ) -> Fault:
        """Set a failure; see `Fault`."""
        fault = Fault(operation, nth, when, times, path=path)
        if error is not None:
            fault.error = error
        self.faults.append(fault)
        return fault

    def count(self, operation: str, path: str = "") -> int:
        """How many calls of `operation` there were on paths that hold `path`."""
        return sum(1 for name, where in self.calls if name == operation and path in where)

    @property
    def root(self) -> str:
        """That of `inner`."""
        return self.inner.root

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Of `inner`."""
        return self._do("read", path, lambda: self.inner.read(path, offset, length), _half)

    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        """Of `inner`."""
        return self._do("read_or_none", path, lambda: self.inner.read_or_none(path, limit=limit), _half)

    def read_many_or_none(self, paths: Sequence[str], *, limit: int | None = None) -> list[bytes | None]:
        """Of `inner`."""
        return self._do(
            "read_many_or_none",
            paths[0] if paths else "",
            lambda: self.inner.read_many_or_none(paths, limit=limit),
            lambda found: [_half(data) for data in found],
        )

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """Of `inner`."""
        return self._do(
            "read_ranges",
            ranges[0][0] if ranges else "",
            lambda: self.inner.read_ranges(ranges),
            lambda found: [_half(data) for data in found],
        )

    def size(self, path: str) -> int | None:
        """Of `inner`."""
        return self._do("size", path, lambda: self.inner.size(path), _half_size)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Of `inner`."""
        yield from self._do("list", prefix, lambda: self.inner.list(prefix), lambda found: found)

    def list_folders(self, prefix: str) -> Names:
        """Of `inner`."""
        return self._do("list_folders", prefix, lambda: self.inner.list_folders(prefix), lambda found: found)

    def create(self, path: str, data: Bytes) -> bool:
        """Of `inner`."""
        return self._write("create", path, data, self.inner.create)

    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        """Of `inner`; counted as `put`."""
        self._write("put", path, b"".join(chunks), self.inner.put)

    def overwrite(self, path: str, data: Bytes) -> None:
        """Of `inner`."""
        self._write("overwrite", path, data, self.inner.overwrite)

    def writer(self, path_hint: str = "data") -> Sink:
        """Of `inner`."""
        return self._do("writer", path_hint, lambda: _FaultSink(self, self.inner.writer(path_hint)), lambda sink: sink)

    def delete(self, path: str) -> None:
        """Of `inner`."""
        self._do("delete", path, lambda: self.inner.delete(path), lambda _: None)

    def probe(self) -> None:
        """Of `inner`."""
        self._do("probe", "", self.inner.probe, lambda _: None)

    def uri(self, path: str) -> str:
        """Of `inner`."""
        return self.inner.uri(path)

    def local_path(self, path: str) -> str | None:
        """Of `inner`."""
        return self.inner.local_path(path)

    def _due(self, operation: str, path: str) -> Fault | None:
        """The fault that this call meets; records the call."""
        with self._lock:
            self.calls.append((operation, path))
            for fault in self.faults:
                if fault.operation not in (operation, "*") or fault.path not in path:
                    continue
                fault.nth -= 1
                if fault.nth > 0:
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                break
            else:
                return None
        if fault.when != "slow":
            return fault
        time.sleep(_SLOW_SECONDS)
        return None

    def _do(self, operation: str, path: str, call: Callable[[], T], halve: Callable[[T], T]) -> T:
        fault = self._due(operation, path)
        if fault is not None and fault.when == "before":
            raise fault.error()
        found = call()
        if fault is not None and fault.when == "after":
            raise fault.error()
        return found if fault is None else halve(found)

    def _write(self, operation: str, path: str, data: Bytes, call: Callable[[str, Bytes], T]) -> T:
        fault = self._due(operation, path)
        if fault is None:
            return call(path, data)
        if fault.when != "before":
            call(path, data if fault.when == "after" else bytes(data)[: len(data) // 2])
        raise fault.error()


class _FaultSink(Sink):
    """A sink whose `write` and `commit` meet the faults of its backend."""

    def __init__(self, backend: FaultBackend, inner: Sink) -> None:
        self._backend = backend
        self._inner = inner

    @property
    def size(self) -> int:
        return self._inner.size

    def write(self, chunk: Bytes) -> None:
        self._backend._write("sink.write", "", chunk, lambda _, data: self._inner.write(data))

    def commit(self, path: str) -> None:
        self._backend._do("sink.commit", path, lambda: self._inner.commit(path), lambda _: None)

    def abort(self) -> None:
        self._inner.abort()


B = TypeVar("B", bound=bytes | None)


def _half(data: B) -> B:
    return data if data is None else cast("B", data[: len(data) // 2])


def _half_size(size: int | None) -> int | None:
    return None if size is None else size // 2

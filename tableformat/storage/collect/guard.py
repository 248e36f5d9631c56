"""`GuardedBackend`: the backend of one writing session, on which what a collection condemns is not there.

Everything else passes. A condemned object that is written all the same is kept first (watch.py), so no writer of parts, packs
or manifests has to know of collections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tableformat.digest import Bytes
from tableformat.storage.collect.watch import CollectionWatch
from tableformat.storage.interface import Backend, Names, ObjectInfo, Sink
from tableformat.storage.ranges import Range

__all__ = ["GuardedBackend"]


class GuardedBackend(Backend):
    """`inner`, seen by a session. `begin` is called before the first write of an object that is named by its content.

    Pickles as `inner`.
    """

    def __init__(self, inner: Backend, watch: CollectionWatch, begin: Callable[[], None]) -> None:
        self._inner = inner
        self._watch = watch
        self._begin = begin
        self.is_local = inner.is_local
        self.is_read_only = inner.is_read_only

    @property
    def root(self) -> str:
        """That of the store."""
        return self._inner.root

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Backend.read`."""
        return self._inner.read(path, offset, length)

    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        """See `Backend.read_or_none`."""
        return self._inner.read_or_none(path, limit=limit)

    def read_many_or_none(self, paths: Sequence[str], *, limit: int | None = None) -> list[bytes | None]:
        """See `Backend.read_many_or_none`."""
        return self._inner.read_many_or_none(paths, limit=limit)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See `Backend.read_ranges`."""
        return self._inner.read_ranges(ranges)

    def size(self, path: str) -> int | None:
        """The length in bytes; None where nothing is, and where what is there must not be counted on."""
        return None if self._watch.is_condemned(path) else self._inner.size(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `Backend.list`."""
        return self._inner.list(prefix)

    def list_folders(self, prefix: str) -> Names:
        """See `Backend.list_folders`."""
        return self._inner.list_folders(prefix)

    def create(self, path: str, data: Bytes) -> bool:
        """See `Backend.create`."""
        return self._inner.create(path, data)

    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        """See `Backend.put_chunks`."""
        self._before(path)
        self._inner.put_chunks(path, chunks)

    def overwrite(self, path: str, data: Bytes) -> None:
        """See `Backend.overwrite`."""
        self._watch.need((path,))  # a moved/ file that is condemned is kept first
        self._inner.overwrite(path, data)

    def writer(self, path_hint: str = "data") -> Sink:
        """See `Backend.writer`."""
        return _GuardedSink(self._inner.writer(path_hint), self._before)

    def delete(self, path: str) -> None:
        """See `Backend.delete`."""
        self._inner.delete(path)

    def delete_many(self, paths: Sequence[str]) -> None:
        """See `Backend.delete_many`."""
        self._inner.delete_many(paths)

    def probe(self) -> None:
        """See `Backend.probe`."""
        self._inner.probe()

    def uri(self, path: str) -> str:
        """See `Backend.uri`."""
        return self._inner.uri(path)

    def local_path(self, path: str) -> str | None:
        """See `Backend.local_path`."""
        return self._inner.local_path(path)

    def _before(self, path: str) -> None:
        self._begin()
        self._watch.need((path,))

    def __reduce__(self) -> Any:
        return _unguarded, (self._inner,)


def _unguarded(inner: Backend) -> Backend:
    return inner


class _GuardedSink(Sink):
    """A sink that sees to its name before it is given."""

    def __init__(self, inner: Sink, before: Callable[[str], None]) -> None:
        self._inner = inner
        self._before = before

    @property
    def size(self) -> int:
        return self._inner.size

    def write(self, chunk: Bytes) -> None:
        self._inner.write(chunk)

    def commit(self, path: str) -> None:
        self._before(path)
        self._inner.commit(path)

    def abort(self) -> None:
        self._inner.abort()

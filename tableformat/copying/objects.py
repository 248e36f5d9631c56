"""Objects that are named by their content, from one store to another: what the target has stays, the rest is hashed on its way.

A few objects travel at a time. The first error ends the work, when those under way have ended.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self, TypeVar

from tableformat.errors import CorruptError, NotFoundError, message
from tableformat.progress import Meter
from tableformat.storage.interface import Backend
from tableformat.storage.large import sums_path
from tableformat.storage.locations import DATA, MIB

__all__ = ["CHUNK_BYTES", "Mover", "Work"]

CHUNK_BYTES: Final = 8 * MIB
"""What is read at once; an object up to this long is written in one request."""
T = TypeVar("T")
S = TypeVar("S")


class Work:
    """A few threads that carry out what is submitted, in no order. Use it as a context manager: it waits at the end."""

    def __init__(self, workers: int) -> None:
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix="tableformat-copy")
        """The threads themselves, for look-ups that take an executor."""
        self._limit = 4 * workers
        self._pending: deque[Future[object]] = deque()

    def map(self, function: Callable[[S], T], values: Iterable[S]) -> Iterator[T]:
        """`function` of each value, in order; some values ahead of what was taken."""
        ahead: deque[Future[T]] = deque()
        for value in values:
            ahead.append(self.threads.submit(function, value))
            if len(ahead) >= self._limit:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def submit(self, call: Callable[[], object]) -> None:
        """Carry out `call` soon; waits while many are waiting, and raises what an earlier one raised."""
        while len(self._pending) >= self._limit:
            self._pending.popleft().result()
        self._pending.append(self.threads.submit(call))

    def drain(self) -> None:
        """Wait for all that was submitted; raises the first error."""
        while self._pending:
            self._pending.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.threads.shutdown(wait=True, cancel_futures=True)


class Mover:
    """Copies objects from `source` to `target`, each at most once. Safe from many threads.

    Holds 8 MiB for each object under way, and where the target is remote what its sink holds; and 32 bytes for each object seen.
    """

    def __init__(self, source: Backend, target: Backend, meter: Meter) -> None:
        self.source = source
        """Where the bytes are."""
        self.target = target
        """Where they go."""
        self._meter = meter
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()
        self.files_moved = 0
        """How many objects were written."""
        self.files_there = 0
        """How many the target had."""
        self.bytes_moved = 0
        """Bytes that were written."""

    def is_new(self, stem: str) -> bool:
        """Whether this is the first time that the object with this SHA-256 (64 hex digits) is asked for."""
        name = bytes.fromhex(stem)
        with self._lock:
            if name in self._seen:
                return False
            self._seen.add(name)
        return True

    def is_there(self, path: str, size: int | None = None) -> bool:
        """Whether the target holds the object, with the length `size` where that is known: what is named by its content and has
        its length is taken for whole."""
        found = self.target.size(path)
        there = found is not None and size in (None, found)
        if there:
            with self._lock:
                self.files_there += 1
        return there

    def counted(self, size: int, files: int = 1) -> None:
        """So much was written."""
        with self._lock:
            self.files_moved += files
            self.bytes_moved += size
            self._meter.step(size)

    def copy(self, path: str, digest: str, size: int | None = None) -> None:
        """The object at `path`, whose SHA-256 is `digest` (`sha256:…`), unless the target has it or it was asked for before."""
        stem = digest.removeprefix("sha256:")
        if self.is_new(stem) and not self.is_there(path, size):
            self.write(path, stem, size)

    def write(self, path: str, stem: str, size: int | None = None, *, with_sums: bool = False) -> None:
        """Read the object, compare it with its digest and length, and only then give it its name at the target.

        `with_sums`: those of a large blob are written before it. Raises `NotFoundError` or `CorruptError` naming the file of the
        source; the target has nothing then.
        """
        length = self.source.size(path)
        if length is None:
            raise NotFoundError(
                message("copying an object", path=self._shown(path), expected="a file", got="none", todo=_MEND)
            )
        if size is not None and length != size:
            raise CorruptError(message("copying an object", path=self._shown(path), expected=f"{size} bytes", got=f"{length} bytes", todo=_MEND))  # fmt: skip
        if length <= CHUNK_BYTES and not with_sums:
            data = self.source.read(path, 0, length)
            self._compare(path, stem, hashlib.sha256(data).hexdigest())
            self.target.put(path, data)
        else:
            self._stream(path, stem, length, with_sums)
        self.counted(length)

    def _stream(self, path: str, stem: str, length: int, with_sums: bool) -> None:
        whole, sums = hashlib.sha256(), []
        with self.target.writer(path) as sink:
            for start in range(0, length, CHUNK_BYTES):
                chunk = self.source.read(path, start, min(CHUNK_BYTES, length - start))
                whole.update(chunk)
                if with_sums:
                    sums += [hashlib.sha256(chunk[at : at + MIB]).digest() for at in range(0, len(chunk), MIB)]
                sink.write(chunk)
            self._compare(path, stem, whole.hexdigest())
            if with_sums:
                self.target.put(sums_path(path.removeprefix(DATA)), b"".join(sums))
            sink.commit(path)

    def _compare(self, path: str, stem: str, found: str) -> None:
        if found != stem:
            raise CorruptError(
                message("copying an object", path=self._shown(path), expected=f"sha256:{stem}", got=f"sha256:{found}", todo=_MEND)
            )  # fmt: skip

    def _shown(self, path: str) -> str:
        return f"{self.source.root}/{path}"


_MEND: Final = "run verify on the version that is copied, and mend it first; what was copied so far is not copied again"

"""What a store asks of the place where its bytes lie: `Backend`, and `Sink` for bytes that come in a stream.

The rest of the library sees bytes by path and nothing else, so every promise that commits rest on is made here, and
tested by `tableformat.testing.BackendTests` on each implementation:

- `create` is one request that refuses when the path exists; it decides races between writers;
- a reader sees all of an object or nothing of it; a range that was not wholly read is an error, never short bytes;
- what `create`, `put`, `overwrite` and `Sink.commit` returned from survives power loss;
- errors are those of `tableformat.errors`, without credentials in their text.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from tableformat.digest import Bytes
from tableformat.errors import IllegalNameError, message
from tableformat.storage.ranges import Range

__all__ = ["MAX_PATH_BYTES", "TEMPORARY_PREFIX", "Backend", "Names", "ObjectInfo", "Sink", "check_path"]

Names = list[str]
"""A list of names; spelled so because `Backend.list` hides the builtin within the class."""

MAX_PATH_BYTES: Final = 640
"""Longest path inside a store. S3 takes keys of 1,024 bytes; the rest is left to the root. Ours stay below 560."""
TEMPORARY_PREFIX: Final = ".tmp-"
"""Begins the last segment of a file that is being written locally; such a file belongs to no version."""

# Printable ASCII without the characters that some file system or URL gives a meaning to.
_SEGMENT = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._!=,+@~ -]+"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


def check_path(path: str) -> str:
    """`path` itself if it is a path inside a store; raises `IllegalNameError` if it is not.

    Such a path is relative ASCII with `/` between segments; no segment is empty, `.` or `..`, and none holds a
    backslash, a control character or one of `: * ? " < > | # % &` and their like.
    """
    if len(path) > MAX_PATH_BYTES or _PATH.fullmatch(path) is None:
        raise IllegalNameError(
            message(
                "addressing an object in a store",
                path=repr(path)[:200],
                expected=f"a relative path of plain ASCII segments, at most {MAX_PATH_BYTES} bytes",
            )
        )
    return path


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One line of a listing."""

    path: str
    """Path inside the store."""
    size: int
    """Bytes."""
    modified: float | None
    """When it was written, in seconds since 1970 by the clock of the backend; None where that is not told."""


class Sink(abc.ABC):
    """Bytes on their way to an object whose name is known only at the end. Belongs to one thread at a time.

    Once an operation failed the sink stays failed: `commit` raises `UsageError`. Leaving the `with` block without
    `commit` aborts.
    """

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """How many bytes were written so far."""

    @abc.abstractmethod
    def write(self, chunk: Bytes) -> None:
        """Append `chunk`; its memory may be reused after the return."""

    @abc.abstractmethod
    def commit(self, path: str) -> None:
        """Give the bytes their name, durably; an object of that name is replaced. Syncs in the calling thread."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Drop the bytes. May be called twice, and after `commit`, where it does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class Backend(abc.ABC):
    """Bytes by path under one root. Safe to use from many threads, and after a fork.

    Paths are those of `check_path`; any other raises `IllegalNameError` before anything is touched. Pickles as the URL
    without credentials. All methods may raise `StorePermissionError`, `StoreUnavailableError` or `BackendError`.
    """

    is_local: bool = False
    """Whether answers come from this machine: then a refusal for space or rights is known to have had no effect."""

    is_read_only: bool = False
    """Whether every write raises `StorePermissionError`: HTTP, and chains of file systems."""

    @property
    @abc.abstractmethod
    def root(self) -> str:
        """The URL of the root, or the absolute path of a local one; without credentials."""

    # Reading

    @abc.abstractmethod
    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset` on (None: all that follow).

        Raises `NotFoundError` where nothing is, `CorruptError` where the object ends sooner.
        """

    @abc.abstractmethod
    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        """The whole object, or None where nothing is. Raises `LimitError` if it has more than `limit` bytes, having
        held no more than those."""

    def read_many_or_none(self, paths: Sequence[str], *, limit: int | None = None) -> list[bytes | None]:
        """`read_or_none` of each, in order; at the same time where a request has to travel."""
        return [self.read_or_none(path, limit=limit) for path in paths]

    @abc.abstractmethod
    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of each range, in the order asked; holds them all, and where requests are merged the gaps too.

        Raises `NotFoundError` or `CorruptError` for the first range that cannot be had whole.
        """

    @abc.abstractmethod
    def size(self, path: str) -> int | None:
        """The length in bytes; None where nothing is."""

    @abc.abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object below the folder `prefix` ("": the root), uncached. A missing folder is empty.

        Yields objects of foreign names that `check_path` accepts, and skips others. Holds one listing of the folder
        where the backend is remote: ask folder by folder where that is large. Decides nothing but collections.
        """

    @abc.abstractmethod
    def list_folders(self, prefix: str) -> Names:
        """The names, sorted, of the folders directly in the folder `prefix`."""

    # Writing

    @abc.abstractmethod
    def create(self, path: str, data: Bytes) -> bool:
        """Write the object if there is none: True if this call made it, False if it was there. One request.

        An error leaves open whether it was made: the caller reads it back. Never replaces, never leaves half of it.
        For small documents (at most `MAX_CREATE_BYTES` where the backend is remote).
        """

    def put(self, path: str, data: Bytes) -> None:
        """Write an object that is named by its content. Whatever stood there is replaced as a whole; safe to repeat."""
        self.put_chunks(path, (data,))

    @abc.abstractmethod
    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        """`put` of the chunks one after the other, without joining them where that can be avoided."""

    def overwrite(self, path: str, data: Bytes) -> None:
        """Replace an object as a whole. For hints and tombstones: all others are created once."""
        self.put_chunks(path, (data,))

    @abc.abstractmethod
    def writer(self, path_hint: str = "data") -> Sink:
        """A sink for one object that will lie near `path_hint`. Holds up to 80 MiB in memory where the backend is remote, and
        more in a temporary file."""

    @abc.abstractmethod
    def delete(self, path: str) -> None:
        """Remove an object; no error where nothing is."""

    def delete_many(self, paths: Sequence[str]) -> None:
        """Remove each; stops at the first error."""
        for path in paths:
            self.delete(path)

    @abc.abstractmethod
    def probe(self) -> None:
        """Prove that `create` refuses a second time and leaves the first bytes; raises `BackendError` if not.

        Once for each backend object; free where this library brings its own `create`. Leaves nothing behind.
        """

    def create_proven(self, path: str, data: Bytes) -> None:
        """`create` of an object under a random name, which serves as the first half of what `probe` does: afterwards that is done.

        Raises what either raises; where it is `probe`'s verdict, the object is gone again.
        """
        self.create(path, data)

    def abort_uploads(self, older_than: float) -> int:  # noqa: ARG002 - of those that have some
        """Give up uploads in several requests that began before `older_than` (seconds since 1970) and were never completed: a
        writer that was killed leaves them, no listing shows them, and they are paid for. How many there were; 0 where there is
        no such thing, or where they may not be listed."""
        return 0

    # For other programs

    @abc.abstractmethod
    def uri(self, path: str) -> str:
        """Where another engine finds the object: an absolute path locally, a URL elsewhere."""

    def local_path(self, path: str) -> str | None:
        """The file of the operating system that holds the object; None where there is no such thing."""
        check_path(path)
        return None

"""Open files of one local root: a bounded cache of descriptors for reading, which never leads out of the root.

Two rules hold here. A descriptor is closed when nobody uses it any more, not when the cache lets it go: each is owned
by a `Handle`, and Python's reference counts are the leases. And a cached descriptor is used only while its path still
names the same file (one `stat` per file and call), so nothing stale is ever read.

`os.pread` moves no shared position, so threads and forked children may read from one descriptor at the same time.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable

from tableformat.errors import AccessRefusedError, message

__all__ = ["Descriptors", "Handle"]

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Handle:
    """One open file; closed when the last reference goes."""

    __slots__ = ("fd", "identity", "is_file", "size")

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self.fd = fd
        """Open for reading as long as this object lives."""
        self.identity = (status.st_dev, status.st_ino, status.st_size)
        """What makes it the same file, of the same length."""
        self.is_file = stat.S_ISREG(status.st_mode)
        """False for a folder, a device, a pipe."""
        self.size = status.st_size
        """Bytes when it was opened."""

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)


class Descriptors:
    """Opens files below `root`, and keeps at most `capacity` of them open. Safe for threads and after a fork."""

    def __init__(self, root: str, capacity: int = 128) -> None:
        self._root = root
        self._capacity = capacity
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._handles: OrderedDict[str, Handle] = OrderedDict()
        self._inside: set[str] = set()
        self._real_root = ""

    def get(self, path: str) -> Handle:
        """The open file at `path` (relative, checked by the caller). Raises `OSError`, `AccessRefusedError`."""
        if self._pid != os.getpid():  # a lock that another thread of the parent held would never be released here
            self._reset()
        full = f"{self._root}/{path}"
        with self._lock:
            handle = self._handles.get(path)
            if handle is not None:
                self._handles.move_to_end(path)
        if handle is not None:
            status = os.lstat(full)
            if handle.identity == (status.st_dev, status.st_ino, status.st_size):
                return handle
        handle = self.open(path)
        dropped: list[Handle] = []  # closed outside of the lock
        with self._lock:
            old = self._handles.pop(path, None)
            if old is not None:
                dropped.append(old)
            self._handles[path] = handle
            while len(self._handles) > self._capacity:
                dropped.append(self._handles.popitem(last=False)[1])
        return handle

    def open(self, path: str) -> Handle:
        """A new handle, which the cache does not keep. Raises `FileNotFoundError` for anything but a regular file."""
        full = f"{self._root}/{path}"
        self.check_inside(path)
        try:
            fd = os.open(full, _FLAGS)
        except OSError as error:
            # A symlink in last place: inside the root it is somebody's own arrangement, outside of it a way out.
            if error.errno != errno.ELOOP:
                raise
            real = os.path.realpath(full)
            if not self._is_inside(real):
                raise self._refusal(path, real) from error
            fd = os.open(real, _FLAGS)
        handle = Handle(fd, os.fstat(fd))
        if not handle.is_file:
            raise FileNotFoundError(errno.ENOENT, "not a regular file", full)
        return handle

    def clear(self) -> None:
        """Let all cached descriptors go."""
        with self._lock:
            handles, self._handles = self._handles, OrderedDict()
        handles.clear()

    def check_inside(self, path: str) -> None:
        """Refuse a path whose folder a symbolic link leads out of the root; looked at once for each folder."""
        folder = path.rpartition("/")[0]
        if folder in self._inside:
            return
        real = os.path.realpath(f"{self._root}/{folder}" if folder else self._root)
        if not self._is_inside(real):
            raise self._refusal(path, real)
        if os.path.isdir(real):  # one that is made later may yet turn out to be a symlink
            self._inside.add(folder)

    def _is_inside(self, real: str) -> bool:
        if not self._real_root:
            self._real_root = os.path.realpath(self._root)
        return real == self._real_root or real.startswith(self._real_root.rstrip("/") + "/")

    def _refusal(self, path: str, real: str) -> AccessRefusedError:
        return AccessRefusedError(
            message(
                "opening a file of a store",
                path=f"{self._root}/{path}",
                expected="a file below the root",
                got=f"a symbolic link to {real}",
                todo="open the place itself as a store if its content is to be trusted",
            )
        )

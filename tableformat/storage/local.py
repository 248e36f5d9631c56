"""A store in a folder of this machine.

Nothing is written in place. New bytes go to a temporary file on the same file system, are synced, and get their name
by `link` (which refuses if the name is taken: that is what makes a commit atomic) or by `rename` (which replaces);
then the folder is synced, and every folder above it that this process has not synced before. fsspec's own local file
system does neither: its `mode="create"` was seen to let several writers win.

A sync that failed is never repeated: the kernel may have dropped the pages, and the second would lie.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence

from tableformat.digest import Bytes
from tableformat.errors import BackendError, InvalidInputError, LimitError, TableformatError, UsageError, message
from tableformat.storage.descriptors import Descriptors, Handle
from tableformat.storage.faults import fault, short_read
from tableformat.storage.interface import TEMPORARY_PREFIX, Backend, Names, ObjectInfo, Sink, check_path
from tableformat.storage.ranges import Range

__all__ = ["LocalBackend"]

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_SESSIONS = "sessions/"
_MAX_HELD = 64
"""Handles that one call of `read_ranges` keeps beside the cache, so that a call over many files stays bounded."""


class LocalBackend(Backend):
    """Bytes below the folder `root`, which need not exist until the first write. Every write is synced.

    Holds at most 128 open files. Safe for threads and after a fork; pickles as the root.
    """

    is_local: bool = True

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)
        self._files = Descriptors(self._root)
        self._synced: set[str] = set()

    def __reduce__(self) -> tuple[type[LocalBackend], tuple[str]]:
        return LocalBackend, (self._root,)

    def __repr__(self) -> str:
        return f"LocalBackend({self._root!r})"

    @property
    def root(self) -> str:
        """The absolute path of the folder."""
        return self._root

    # Reading

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Backend.read`."""
        check_path(path)
        try:
            handle = self._files.get(path)
            if length is None:
                length = max(0, handle.size - offset)
            return self._pread(handle, path, offset, length)
        except TableformatError:
            raise
        except OSError as error:
            raise fault(error, "reading", self._full(path)) from error

    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        """See `Backend.read_or_none`."""
        check_path(path)
        try:
            handle = self._files.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except TableformatError:
            raise
        except OSError as error:
            raise fault(error, "reading", self._full(path)) from error
        if limit is not None and handle.size > limit:
            raise LimitError(
                message("reading", path=self._full(path), expected=f"at most {limit} bytes", got=f"{handle.size} bytes")
            )
        try:
            return self._pread(handle, path, 0, handle.size)
        except OSError as error:
            raise fault(error, "reading", self._full(path)) from error

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See `Backend.read_ranges`. One system call per range, nothing merged: the page cache is near."""
        # The hot path of reading media: about a microsecond per range on top of the copy.
        pread = os.pread
        held: dict[str, Handle] = {}
        out: list[bytes] = []
        append = out.append
        last: str | None = None
        fd, size = -1, 0
        path, offset, length = "", 0, 0
        try:
            for path, offset, length in ranges:
                if path != last:
                    handle = held.get(path)
                    if handle is None:
                        check_path(path)
                        if len(held) >= _MAX_HELD:
                            held.clear()
                        handle = held[path] = self._files.get(path)
                    fd, size = handle.fd, handle.size
                    last = path
                # Compared first: the memory for a length that somebody made up is not to be asked for.
                data = pread(fd, length, offset) if offset + length <= size else b""
                if len(data) != length:
                    data = self._pread(held[path], path, offset, length, data)
                append(data)
        except TableformatError:
            raise
        except OSError as error:
            if offset < 0 or length < 0:
                raise _negative(path, offset, length) from error
            raise fault(error, "reading", self._full(path), (offset, offset + length)) from error
        return out

    def size(self, path: str) -> int | None:
        """See `Backend.size`."""
        check_path(path)
        try:
            return self._files.open(path).size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except TableformatError:
            raise
        except OSError as error:
            raise fault(error, "looking for", self._full(path)) from error

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `Backend.list`. In the order of names, folder by folder; symbolic links are passed over."""
        folders = [check_path(prefix) if prefix else ""]
        while folders:
            folder = folders.pop()
            below: list[str] = []
            for entry in self._scan(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    check_path(path)
                except ValueError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(path)
                elif entry.is_file(follow_symlinks=False):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # went away while we looked
                        continue
                    yield ObjectInfo(path, status.st_size, status.st_mtime)
            folders.extend(reversed(below))

    def list_folders(self, prefix: str) -> Names:
        """See `Backend.list_folders`."""
        folder = check_path(prefix) if prefix else ""
        return [entry.name for entry in self._scan(folder) if entry.is_dir(follow_symlinks=False)]

    # Writing

    def create(self, path: str, data: Bytes) -> bool:
        """See `Backend.create`."""
        check_path(path)
        self._files.check_inside(path)
        full = self._full(path)
        folder = os.path.dirname(full)
        temporary = ""
        try:
            temporary = self._write_temporary(folder, (data,))
            try:
                os.link(temporary, full)
                made = True
            except FileExistsError:
                made = False
            _sync_folder(folder)  # also when it was there: its maker may not have come so far
        except OSError as error:
            if temporary and error.errno in _NO_LINKS:
                raise BackendError(
                    message(
                        "creating", path=full, expected="a file system with hard links", got=str(error),
                        todo="without them two writers cannot be kept apart: choose another place",
                    )
                ) from error  # fmt: skip
            raise fault(error, "creating", full) from error
        finally:
            if temporary:
                _remove(temporary)
        return made

    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        """See `Backend.put_chunks`."""
        check_path(path)
        self._files.check_inside(path)
        full = self._full(path)
        temporary = ""
        try:
            temporary = self._write_temporary(os.path.dirname(full), chunks)
            os.replace(temporary, full)
            temporary = ""
            _sync_folder(os.path.dirname(full))
        except OSError as error:
            raise fault(error, "writing", full) from error
        finally:
            if temporary:
                _remove(temporary)

    def writer(self, path_hint: str = "data") -> Sink:
        """See `Backend.writer`. The bytes go to a temporary file in `sessions/`."""
        check_path(path_hint)
        return _LocalSink(self)

    def delete(self, path: str) -> None:
        """See `Backend.delete`."""
        check_path(path)
        self._files.check_inside(path)
        try:
            os.unlink(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise fault(error, "deleting", self._full(path)) from error
        folder = os.path.dirname(path)
        if path.startswith(_SESSIONS) and folder + "/" != _SESSIONS:
            # A session's folder belongs to one writer, who leaves it here; no other folder is ever removed, since another
            # writer may be about to use it.
            with contextlib.suppress(OSError):
                os.rmdir(self._full(folder))

    def probe(self) -> None:
        """Nothing to prove: `link` refuses by itself."""

    def uri(self, path: str) -> str:
        """The absolute path."""
        return self._full(check_path(path))

    def local_path(self, path: str) -> str | None:
        """The absolute path."""
        return self._full(check_path(path))

    # Within

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if self._root != "/" else f"/{path}"

    def _pread(self, handle: Handle, path: str, offset: int, length: int, start: bytes = b"") -> bytes:
        """`length` bytes from `offset`, of which `start` is there already; one call may return less than was asked."""
        if offset < 0 or length < 0:
            raise _negative(path, offset, length)
        if offset + length > handle.size:
            raise short_read(self._full(path), offset, length, max(0, handle.size - offset))
        pieces, got = [start] if start else [], len(start)  # a single piece is handed on, not copied
        while got < length:
            piece = os.pread(handle.fd, length - got, offset + got)
            if not piece:
                raise short_read(self._full(path), offset, length, got)
            pieces.append(piece)
            got += len(piece)
        return b"".join(pieces)

    def _scan(self, folder: str) -> Sequence[os.DirEntry[str]]:
        full = self._full(folder) if folder else self._root
        self._files.check_inside(f"{folder}/" if folder else "")
        try:
            with os.scandir(full) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise fault(error, "listing", full) from error

    def _open_temporary(self, folder: str) -> tuple[str, int]:
        """A new file in `folder`, which is made if it is missing, and its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        temporary = f"{folder}/{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        if folder in self._synced:
            try:
                return temporary, os.open(temporary, flags, 0o666)
            except FileNotFoundError:  # somebody removed the folder
                self._synced.clear()
        self._make_folders(folder)
        return temporary, os.open(temporary, flags, 0o666)

    def _make_folders(self, folder: str) -> None:
        """Make `folder` and those above it durable: each is synced once, those outside the root only if made here."""
        missing: list[str] = []
        here = folder
        while here not in self._synced and not _is_folder(here):
            missing.append(here)
            here = os.path.dirname(here)
        for name in reversed(missing):
            try:
                os.mkdir(name)
            except FileExistsError:
                pass  # another writer was quicker; its name is made durable below all the same
        made = set(missing)
        here = folder
        while here not in self._synced and (here in made or len(here) > len(self._root)):
            _sync_folder(os.path.dirname(here))
            self._synced.add(here)
            here = os.path.dirname(here)

    def _write_temporary(self, folder: str, chunks: Sequence[Bytes]) -> str:
        """The name of a new synced file in `folder` that holds `chunks`. It is gone again if this raises."""
        temporary, fd = self._open_temporary(folder)
        try:
            try:
                for chunk in chunks:
                    _write(fd, chunk)
                os.fsync(fd)
            finally:
                os.close(fd)
        except BaseException:
            _remove(temporary)
            raise
        return temporary


class _LocalSink(Sink):
    """A temporary file in `sessions/` that is renamed at the end."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._size = 0
        self._failed = False
        self._pid = os.getpid()
        folder = backend._full("sessions")
        try:
            self._temporary, self._fd = backend._open_temporary(folder)
        except OSError as error:
            raise fault(error, "opening a temporary file in", folder) from error

    @property
    def size(self) -> int:
        return self._size

    def write(self, chunk: Bytes) -> None:
        self._check_open()
        try:
            _write(self._fd, chunk)
        except BaseException as error:
            self._failed = True
            if isinstance(error, OSError):
                raise fault(error, "writing", self._temporary) from error
            raise
        self._size += chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)

    def commit(self, path: str) -> None:
        check_path(path)
        self._check_open()
        self._backend._files.check_inside(path)
        full = self._backend._full(path)
        folder = os.path.dirname(full)
        self._failed = True  # until all of it went well
        try:
            os.fsync(self._fd)
            fd, self._fd = self._fd, -1
            os.close(fd)
            if folder not in self._backend._synced:
                self._backend._make_folders(folder)
            try:
                os.replace(self._temporary, full)
            except FileNotFoundError:  # somebody removed the folder
                self._backend._synced.clear()
                self._backend._make_folders(folder)
                os.replace(self._temporary, full)
            self._temporary = ""
            _sync_folder(folder)
        except OSError as error:
            raise fault(error, "writing", full) from error
        finally:
            self.abort()

    def abort(self) -> None:
        self._failed = True
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        temporary, self._temporary = self._temporary, ""
        if temporary and self._pid == os.getpid():  # a forked child has a copy of this object, the file is its parent's
            _remove(temporary)

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.abort()

    def _check_open(self) -> None:
        if self._failed:
            raise UsageError(
                message("writing an object", path=self._backend.root, expected="an open sink",
                        got="one that failed or was closed before", todo="write the bytes to a new sink")
            )  # fmt: skip


def _negative(path: str, offset: int, length: int) -> InvalidInputError:
    return InvalidInputError(
        message("reading", path=path, expected="an offset and a length of at least 0", got=(offset, length))
    )


def _write(fd: int, chunk: Bytes) -> None:
    view = memoryview(chunk).cast("B")
    while view:  # a write may take less than it was given
        view = view[os.write(fd, view) :]


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such thing
            raise
    finally:
        os.close(fd)


def _is_folder(full: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(full).st_mode)
    except FileNotFoundError:
        return False


def _remove(temporary: str) -> None:
    try:
        os.unlink(temporary)
    except OSError:
        pass  # the collector finds it by its name

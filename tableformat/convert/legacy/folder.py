"""A folder of files that is not trusted: of this machine, or at any URL; its files by relative path, and nothing outside.

URLs go through pyarrow, which takes every file system that fsspec knows; credentials come from the environment, as usual.
"""

from __future__ import annotations

import abc
import errno
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import pyarrow.fs as pafs

from tableformat.errors import (
    BackendError,
    IllegalNameError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    StorePermissionError,
    message,
)

__all__ = ["Folder", "check_relative", "open_folder"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_MAX_DEPTH: Final = 64
_PLAIN: Final = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*"
)  # sure to be fine, and most are


def check_relative(path: Any) -> str:
    """`path` itself, if it leads to a file below its root on every system. Raises `IllegalNameError`: absolute, with `..`,
    a drive letter, a backslash or a zero byte."""
    if type(path) is str and _PLAIN.fullmatch(path):
        return path
    problem = None
    if not isinstance(path, str) or not path or "\0" in path:
        problem = "no path"
    elif path.startswith("/") or _DRIVE.match(path) or "://" in path:
        problem = "an absolute path"
    elif "\\" in path:
        problem = "a backslash"
    elif any(segment in ("", ".", "..") for segment in path.split("/")):
        problem = "a step that leaves its folder, or an empty one"
    if problem is not None:
        raise IllegalNameError(
            message(
                "reading a legacy artifact", path=repr(path)[:200], expected="a path below the artifact", got=problem
            )
        )
    assert isinstance(path, str)
    return path


class Folder(abc.ABC):
    """Files by relative path with `/`. All methods refuse paths that `check_relative` refuses."""

    root: str
    """Where it lies."""

    @abc.abstractmethod
    def size(self, path: str) -> int | None:
        """The bytes of a file; None where there is none."""

    @abc.abstractmethod
    def open(self, path: str) -> BinaryIO:
        """A file, opened for reading. Raises `NotFoundError`, or `IllegalNameError` for a link that leaves the folder."""

    @abc.abstractmethod
    def files(self) -> Iterator[tuple[str, int | None]]:
        """The path of each file and its bytes, in order of name; follows no links to folders, and tells no size of links."""

    @abc.abstractmethod
    def folders(self) -> list[str]:
        """The names of the folders directly in it, sorted."""

    @abc.abstractmethod
    def below(self, name: str) -> Folder:
        """The folder `name` in it."""

    @abc.abstractmethod
    def beside(self) -> Folder | None:
        """The folder that holds this one."""

    def read(self, path: str, limit: int | None = None) -> bytes:
        """A whole file. Raises `LimitError` where it has more than `limit` bytes."""
        with self.open(path) as file:
            data = file.read() if limit is None else file.read(limit + 1)
        if limit is not None and len(data) > limit:
            raise LimitError(
                message("reading a file of a legacy artifact", path=path, expected=f"at most {limit} bytes", got="more")
            )
        return data

    def local(self, path: str) -> str | None:
        """The file of this machine at `path`, checked as `open` does; None where it lies elsewhere."""
        check_relative(path)
        return None

    @property
    def name(self) -> str:
        """Its own name."""
        return self.root.rstrip("/").rpartition("/")[2]


def open_folder(url: str | os.PathLike[str]) -> Folder:
    """The folder at a path of this machine, or at any URL that fsspec knows. Raises `NotFoundError`."""
    text = os.fspath(url)
    if not text or "\0" in text:
        raise InvalidInputError(message("reading a legacy artifact", expected="a path or a URL", got=repr(text)[:200]))
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if _URL.match(text):
        return _RemoteFolder.at(text)
    if not os.path.isdir(text):
        raise NotFoundError(message("reading a legacy artifact", path=text, expected="a folder", got="nothing there"))
    return _LocalFolder(os.path.abspath(text))


class _LocalFolder(Folder):
    def __init__(self, root: str) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._safe: dict[str, bool] = {}

    def size(self, path: str) -> int | None:
        try:
            found = os.stat(self._full(path))
        except (NotFoundError, IllegalNameError, OSError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, path: str) -> BinaryIO:
        return os.fdopen(self._descriptor(path)[0], "rb", buffering=0)

    def read(self, path: str, limit: int | None = None) -> bytes:
        descriptor, size = self._descriptor(path)
        try:
            if limit is not None and size > limit:
                raise LimitError(
                    message(
                        "reading a file of a legacy artifact", path=path, expected=f"at most {limit} bytes", got=size
                    )
                )
            data = os.read(descriptor, size + 1)
            while chunk := os.read(descriptor, 1 << 24) if len(data) != size else b"":
                data += chunk
        finally:
            os.close(descriptor)
        return data

    def local(self, path: str) -> str | None:
        os.close(self._descriptor(path)[0])
        return self._full(path)

    def _full(self, path: str) -> str:
        """The path in the file system. Raises `IllegalNameError` where a folder on the way is a link that leaves the root."""
        parent = check_relative(path).rpartition("/")[0]
        safe = self._safe.get(parent)
        if safe is None:
            safe = self._safe[parent] = self._holds(os.path.join(self.root, *parent.split("/")))
        full = os.path.join(self.root, *path.split("/"))
        if not safe or (os.path.islink(full) and not self._holds(full)):
            raise IllegalNameError(
                message(
                    "reading a legacy artifact",
                    path=path,
                    expected="a path below the artifact",
                    got="a link that leaves it",
                )
            )
        return full

    def _holds(self, full: str) -> bool:
        real = os.path.realpath(full)
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

    def _descriptor(self, path: str) -> tuple[int, int]:
        """An open descriptor, and the bytes of the file."""
        parent = check_relative(path).rpartition("/")[0]
        try:
            if self._safe.get(parent):
                try:
                    return self._regular(os.open(f"{self.root}/{path}", _FLAGS | _NO_LINK), path)
                except OSError as error:
                    if error.errno != errno.ELOOP:
                        raise
            return self._regular(os.open(self._full(path), _FLAGS), path)
        except FileNotFoundError as error:
            raise NotFoundError(
                message("reading a legacy artifact", path=path, expected="a file", got="nothing there")
            ) from error
        except PermissionError as error:
            raise StorePermissionError(message("reading a legacy artifact", path=path, got=error.strerror)) from error
        except OSError as error:
            raise BackendError(message("reading a legacy artifact", path=path, got=error.strerror)) from error

    @staticmethod
    def _regular(descriptor: int, path: str) -> tuple[int, int]:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise NotFoundError(
                message("reading a legacy artifact", path=path, expected="a file", got="a folder, a pipe or a device")
            )
        return descriptor, found.st_size

    def files(self) -> Iterator[tuple[str, int | None]]:
        yield from self._walk(self.root, "", 0)

    def _walk(self, folder: str, prefix: str, depth: int) -> Iterator[tuple[str, int | None]]:
        if depth > _MAX_DEPTH:
            raise LimitError(
                message(
                    "reading a legacy artifact",
                    path=prefix,
                    expected=f"at most {_MAX_DEPTH} levels of folders",
                    got="more",
                )
            )
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            raise BackendError(
                message("reading a legacy artifact", path=prefix or folder, got=error.strerror)
            ) from error
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(entry.path, f"{prefix}{entry.name}/", depth + 1)
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name, entry.stat(follow_symlinks=False).st_size
            else:
                yield prefix + entry.name, None

    def folders(self) -> list[str]:
        with os.scandir(self.root) as listing:
            return sorted(entry.name for entry in listing if entry.is_dir(follow_symlinks=False))

    def below(self, name: str) -> Folder:
        return _LocalFolder(os.path.join(self.root, check_relative(name)))

    def beside(self) -> Folder | None:
        parent = os.path.dirname(self.root)
        return _LocalFolder(parent) if parent and parent != self.root else None


class _RemoteFolder(Folder):
    def __init__(self, root: str, fs: Any, place: str) -> None:
        self.root, self._fs, self._place = root, fs, place.rstrip("/")

    @classmethod
    def at(cls, url: str) -> Folder:
        """The folder at a URL."""
        try:
            fs, place = pafs.FileSystem.from_uri(url if url.startswith("fsspec+") else f"fsspec+{url}")
            found = fs.get_file_info(place)
        except (OSError, ValueError, ImportError, NotImplementedError) as error:
            raise BackendError(message("reading a legacy artifact", path=url, got=str(error)[:200])) from error
        if found.type != pafs.FileType.Directory:
            raise NotFoundError(
                message("reading a legacy artifact", path=url, expected="a folder", got=str(found.type))
            )
        return cls(url, fs, place)

    def _full(self, path: str) -> str:
        return f"{self._place}/{check_relative(path)}"

    def size(self, path: str) -> int | None:
        try:
            found = self._fs.get_file_info(self._full(path))
        except (OSError, IllegalNameError):
            return None
        return int(found.size) if found.type == pafs.FileType.File else None

    def open(self, path: str) -> BinaryIO:
        try:
            file: BinaryIO = self._fs.open_input_file(self._full(path))
        except FileNotFoundError as error:
            raise NotFoundError(
                message("reading a legacy artifact", path=path, expected="a file", got="nothing there")
            ) from error
        except OSError as error:
            raise BackendError(message("reading a legacy artifact", path=path, got=str(error)[:200])) from error
        return file

    def files(self) -> Iterator[tuple[str, int | None]]:
        for path, found in self._list(recursive=True):
            if found.type == pafs.FileType.File:
                yield path, int(found.size)

    def folders(self) -> list[str]:
        return [path for path, found in self._list(recursive=False) if found.type == pafs.FileType.Directory]

    def _list(self, *, recursive: bool) -> list[tuple[str, Any]]:
        try:
            infos = self._fs.get_file_info(pafs.FileSelector(self._place, recursive=recursive))
        except OSError as error:
            raise BackendError(message("listing a legacy artifact", path=self.root, got=str(error)[:200])) from error
        base = f"{self._place.lstrip('/')}/"
        pairs = ((info.path.lstrip("/"), info) for info in infos)
        return sorted(
            ((path.removeprefix(base), info) for path, info in pairs if path.startswith(base)), key=lambda pair: pair[0]
        )

    def below(self, name: str) -> Folder:
        return _RemoteFolder(f"{self.root.rstrip('/')}/{check_relative(name)}", self._fs, f"{self._place}/{name}")

    def beside(self) -> Folder | None:
        head, _, last = self._place.rpartition("/")
        if not last or not head:
            return None
        return _RemoteFolder(self.root.rstrip("/").rpartition("/")[0], self._fs, head)

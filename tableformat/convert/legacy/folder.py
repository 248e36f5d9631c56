"""A folder of files that is not trusted: of this machine, or at any URL that fsspec knows; its files by relative path, and
nothing outside.
"""

from __future__ import annotations

import abc
import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

from tableformat.errors import (
    BackendError,
    IllegalNameError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    StorePermissionError,
    message,
)
from tableformat.storage.foreign import ForeignFolder, Options

__all__ = ["Folder", "Options", "check_relative", "is_plain_path", "open_folder", "split_url"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# An artifact may be called `x:v0`, and the name of its manifest begins so; where drives are, files cannot.
_DRIVE: Final = re.compile(r"[A-Za-z]:" if os.name == "nt" else r"[A-Za-z]:(?!v\d+(?:\.wandb_manifest\.json)?(?:/|\Z))")
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_MAX_DEPTH: Final = 64
_SMALL: Final = 1 << 16  # bytes that are asked for at once: most files have fewer
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


def is_plain_path(path: str) -> bool:
    """Whether `path` is one of those that need no second look: most are."""
    return _PLAIN.fullmatch(path) is not None


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

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Each of `paths` whole, in order; all at once where requests travel. Holds them all."""
        return [self.read(path) for path in paths]

    def local(self, path: str) -> str | None:
        """The file of this machine at `path`, checked as `open` does; None where it lies elsewhere."""
        check_relative(path)
        return None

    @property
    def name(self) -> str:
        """Its own name."""
        return self.root.rstrip("/").rpartition("/")[2]


def open_folder(
    url: str | os.PathLike[str], storage_options: Options | None = None, *, is_there: bool = True
) -> Folder:
    """The folder at a path of this machine, or at any URL that fsspec knows. Raises `NotFoundError`, but for a URL where
    `is_there` is false: some places have files and cannot tell that they are folders."""
    text = os.fspath(url)
    if not text or "\0" in text:
        raise InvalidInputError(message("reading a legacy artifact", expected="a path or a URL", got=repr(text)[:200]))
    if text.startswith("file://") and "::" not in text:
        text = text.removeprefix("file://")
    found: Folder
    if _URL.match(text) or "::" in text:
        files = ForeignFolder.at(text, storage_options)
        found, exists = _RemoteFolder(files), not is_there or files.is_folder()
    else:
        text = os.path.expanduser(text)
        found, exists = _LocalFolder(os.path.abspath(text)), os.path.isdir(text)
    if not exists:
        raise NotFoundError(
            message("reading a legacy artifact", path=found.root, expected="a folder", got="nothing there, or a file")
        )
    return found


def split_url(url: str) -> tuple[str, str]:
    """The folder of a path or URL, and the last segment. In a chain of file systems (`zip://a/b::s3://c/d`) it is the first
    with a path that has segments: there, `a`, and `b`."""
    links = url.rstrip("/").split("::")
    at = next((number for number, link in enumerate(links) if link.partition("://")[2]), 0)
    scheme, mark, path = links[at].rpartition("://")
    head, slash, last = path.rpartition("/")
    links[at] = f"{scheme}{mark}{head or slash or ('' if mark else '.')}"
    return "::".join(links), last


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

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        found = []
        start, flags, open_, read, close = f"{self.root}/", _FLAGS | _NO_LINK, os.open, os.read, os.close
        for path in paths:
            if not self._safe.get(path.rpartition("/")[0]) or not is_plain_path(path):
                found.append(self.read(path))  # the first of a folder, which is looked at then
                continue
            try:
                descriptor = open_(start + path, flags)
            except OSError:
                found.append(self.read(path))
                continue
            try:
                data = read(descriptor, _SMALL)
            except OSError:  # a folder
                data = b""
            finally:
                close(descriptor)
            found.append(data if 0 < len(data) < _SMALL else self.read(path))
        return found

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
    def __init__(self, files: ForeignFolder) -> None:
        self.root, self._files = files.url, files

    @property
    def name(self) -> str:
        return self._files.name

    def size(self, path: str) -> int | None:
        try:
            return self._files.size(check_relative(path))
        except (IllegalNameError, StorePermissionError):
            return None

    def open(self, path: str) -> BinaryIO:
        return self._files.open(check_relative(path))

    def read(self, path: str, limit: int | None = None) -> bytes:
        return self._files.read(check_relative(path), limit)

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        return self._files.read_all([check_relative(path) for path in paths])

    def files(self) -> Iterator[tuple[str, int | None]]:
        yield from self._files.files()

    def folders(self) -> list[str]:
        return self._files.folders()

    def below(self, name: str) -> Folder:
        return _RemoteFolder(self._files.below(check_relative(name)))

    def beside(self) -> Folder | None:
        above = self._files.above()
        return None if above is None else _RemoteFolder(above)

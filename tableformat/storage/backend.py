"""Where the bytes of a store lie: `open_backend` makes a `Backend` from a URL. The only file that knows fsspec.

A folder of this machine is served by `LocalBackend`, without fsspec; every other URL by a file system of fsspec that
this object owns alone: no listing cache (nothing here is ever decided by a stale listing), not shared through fsspec's
own cache of instances, and made anew after a fork, where fsspec's event loop does not survive.

Only arguments that fsspec's file systems agree on are used, and by keyword: s3fs takes the second positional argument
of `cat_file` for a version id.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from tableformat.digest import Bytes
from tableformat.errors import (
    BackendError,
    InvalidInputError,
    LimitError,
    MissingExtraError,
    TableformatError,
    UsageError,
    message,
)
from tableformat.storage.faults import fault, http_status, says_exists, scrub, short_read
from tableformat.storage.interface import Backend, Names, ObjectInfo, Sink, check_path
from tableformat.storage.local import LocalBackend
from tableformat.storage.ranges import Range, cut, plan_ranges

__all__ = [
    "MAX_CREATE_BYTES",
    "Backend",
    "FsspecBackend",
    "LocalBackend",
    "ObjectInfo",
    "Options",
    "Sink",
    "check_path",
    "open_backend",
]

Options = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""What fsspec calls storage options, or an importable function that returns them; only the function is ever pickled."""

MAX_CREATE_BYTES: Final = 8 << 20
"""Longest object that `create` takes remotely: far below where s3fs and gcsfs begin to send an object in several requests,
which some servers complete without looking at the condition."""

# Their `mode="create"` is one conditional request (or, in memory, under our lock). Elsewhere it may be a look and then
# a write, which a probe cannot tell from the real thing.
_ATOMIC_CREATE: Final = frozenset({"memory", "s3", "s3a", "gs", "gcs"})
_WRAPPERS: Final = frozenset(
    {"asynclocal", "blockcache", "cached", "dir", "filecache", "generic", "reference", "simplecache", "local+cache"}
)
_EXTRAS: Final = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}
_MEMORY_LOCK = threading.RLock()
_DELETE_THREADS: Final = 16


def open_backend(
    url: str | os.PathLike[str], storage_options: Options | None = None, *, trust_create: bool = False
) -> Backend:
    """The backend for the root `url`: a path or `file://` URL of this machine, or any URL that fsspec knows.

    Moves no bytes. `trust_create` lets writers onto a file system whose create-if-absent this library does not know to
    be atomic. Raises `InvalidInputError` for chained URLs (`::`), caching wrappers, and URLs with a query.
    """
    text = os.fspath(url)
    doing = "opening the place of a store"
    if not text or "\0" in text:
        raise InvalidInputError(message(doing, expected="a path or a URL", got=repr(text)[:200]))
    scheme, colon, rest = text.partition("://")
    if not colon:
        if "::" in text:
            raise InvalidInputError(
                message(doing, path=scrub(text), expected="one place", got="a chain of file systems")
            )
        return LocalBackend(os.path.expanduser(text))
    scheme = scheme.lower()
    if "::" in text or scheme in _WRAPPERS:
        raise InvalidInputError(
            message(doing, path=scrub(text), expected="the place itself", got="a wrapper or a chain of file systems",
                    todo="caches and wrappers may drop the condition on which commits rest")
        )  # fmt: skip
    if scheme in ("file", "local"):
        return LocalBackend(rest if rest.startswith("/") else os.path.expanduser(rest))
    if "?" in rest or "#" in rest:
        raise InvalidInputError(
            message(doing, path=scrub(text), expected="a root URL without a query or a fragment",
                    todo="pass credentials as storage_options; an address with # names something inside a store")
        )  # fmt: skip
    return FsspecBackend(scheme, rest.rstrip("/"), storage_options, trust_create)


def open_url(url: str, storage_options: Options | None = None) -> BinaryIO:
    """A file at any URL that fsspec knows, or a local path, opened for reading; bytes move as it is read.

    Decides nothing about what may be opened: the caller has. Raises the errors of `tableformat.errors`.
    """
    options = storage_options() if callable(storage_options) else storage_options
    import fsspec

    try:
        file: BinaryIO = fsspec.open(url, "rb", **(options or {})).open()
    except Exception as error:
        raise fault(error, "opening a URL", scrub(url)) from error
    return file


class FsspecBackend(Backend):
    """Bytes at a URL, through a file system of fsspec. Made by `open_backend`.

    Sinks hold their bytes in memory until they are committed. Pickles without options, unless they are a function.
    """

    def __init__(self, scheme: str, place: str, options: Options | None, trust_create: bool = False) -> None:
        self._scheme = scheme
        self._place = place
        self._options = options
        self._trust_create = trust_create
        self._root = scrub(f"{scheme}://{place}")
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._opened: tuple[Any, str] | None = None
        self._probed = False

    def __reduce__(self) -> tuple[type[FsspecBackend], tuple[str, str, Options | None, bool]]:
        place = self._place.rpartition("@")[2] if "@" in self._place.partition("/")[0] else self._place
        return FsspecBackend, (
            self._scheme,
            place,
            self._options if callable(self._options) else None,
            self._trust_create,
        )

    def __repr__(self) -> str:
        return f"FsspecBackend({self._root!r})"

    @property
    def root(self) -> str:
        """The URL, without credentials."""
        return self._root

    # Reading

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Backend.read`."""
        check_path(path)
        if length is not None:
            return self.read_ranges([(path, offset, length)])[0] if length else self._read_nothing(path, offset)
        if offset < 0:
            raise InvalidInputError(message("reading", path=path, expected="an offset of at least 0", got=offset))
        fs, base = self._fs()
        try:
            return bytes(fs.cat_file(f"{base}/{path}", **({"start": offset} if offset else {})))
        except Exception as error:  # of whatever class the client has; mapped
            if http_status(error) == 416:  # begins at or past the end
                return b""
            raise fault(error, "reading", self.uri(path)) from error

    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        """See `Backend.read_or_none`. One request: a bounded range even where the whole is wanted."""
        return self.read_many_or_none([path], limit=limit)[0]

    def read_many_or_none(self, paths: Sequence[str], *, limit: int | None = None) -> list[bytes | None]:
        """See `Backend.read_many_or_none`. All requests are sent at once, in the client's own batches."""
        for path in paths:
            check_path(path)
        if not paths:
            return []
        fs, base = self._fs()
        fulls = [f"{base}/{path}" for path in paths]
        end = (1 << 40) if limit is None else limit + 1
        try:
            answers = fs.cat_ranges(fulls, [0] * len(fulls), [end] * len(fulls), on_error="return")
        except Exception as error:
            raise fault(error, "reading", self.uri(paths[0])) from error
        found: list[bytes | None] = []
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, BaseException):
                if http_status(answer) == 416:  # a range of an object without bytes
                    found.append(b"")
                    continue
                if isinstance(answer, FileNotFoundError) or http_status(answer) == 404:
                    found.append(None)
                    continue
                raise fault(answer, "reading", self.uri(path)) from answer
            if limit is not None and len(answer) > limit:
                raise LimitError(message("reading", path=self.uri(path), expected=f"at most {limit} bytes", got="more"))
            found.append(bytes(answer))
        return found

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See `Backend.read_ranges`. Neighbours are merged (`ranges.plan_ranges`), requests are sent together."""
        for path in {path for path, _, _ in ranges}:
            check_path(path)
        plan = plan_ranges(ranges)
        if not plan.fetches:
            return cut(plan, ())
        fs, base = self._fs()
        paths = [f"{base}/{fetch.path}" for fetch in plan.fetches]
        starts = [fetch.offset for fetch in plan.fetches]
        ends = [fetch.offset + fetch.length for fetch in plan.fetches]
        try:
            answers = fs.cat_ranges(paths, starts, ends, on_error="return")
        except Exception as error:
            raise fault(error, "reading", self.uri(plan.fetches[0].path)) from error
        for fetch, answer in zip(plan.fetches, answers, strict=True):
            if isinstance(answer, BaseException):
                if http_status(answer) == 416:
                    raise short_read(self.uri(fetch.path), fetch.offset, fetch.length, 0) from answer
                raise fault(
                    answer, "reading", self.uri(fetch.path), (fetch.offset, fetch.offset + fetch.length)
                ) from answer
            if len(answer) != fetch.length:  # stores answer a range past the end with what there is, without a word
                raise short_read(self.uri(fetch.path), fetch.offset, fetch.length, len(answer))
        return cut(plan, answers)

    def size(self, path: str) -> int | None:
        """See `Backend.size`."""
        check_path(path)
        fs, base = self._fs()
        try:
            info = fs.info(f"{base}/{path}")
        except FileNotFoundError:
            return None
        except Exception as error:
            raise fault(error, "looking for", self.uri(path)) from error
        return int(info["size"]) if info.get("type") == "file" and info.get("size") is not None else None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `Backend.list`."""
        fs, base = self._fs()
        folder = f"{base}/{check_path(prefix)}" if prefix else base
        try:
            found = fs.find(folder, detail=True)
        except FileNotFoundError:
            return
        except Exception as error:
            raise fault(error, "listing", self.uri(prefix) if prefix else self._root) from error
        for name, info in found.items():
            path = name[len(base) :].lstrip("/")
            if path == prefix:  # an object of that very name is no folder
                continue
            try:
                check_path(path)
            except ValueError:
                continue
            yield ObjectInfo(path, int(info.get("size") or 0), _modified(info))

    def list_folders(self, prefix: str) -> Names:
        """See `Backend.list_folders`."""
        fs, base = self._fs()
        folder = f"{base}/{check_path(prefix)}" if prefix else base
        try:
            found = fs.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise fault(error, "listing", self.uri(prefix) if prefix else self._root) from error
        names = {info["name"].rstrip("/").rpartition("/")[2] for info in found if info.get("type") == "directory"}
        return sorted(names - {""})

    # Writing

    def create(self, path: str, data: Bytes) -> bool:
        """See `Backend.create`."""
        check_path(path)
        if len(data) > MAX_CREATE_BYTES:
            raise LimitError(
                message("creating", path=self.uri(path), expected=f"at most {MAX_CREATE_BYTES} bytes", got=len(data))
            )
        fs, base = self._fs()
        full = f"{base}/{path}"
        try:
            if self._scheme == "memory":
                with _MEMORY_LOCK:
                    if fs.isfile(full):
                        return False
                    fs.pipe_file(full, bytes(data))
            else:
                self._make_folder(fs, full)
                fs.pipe_file(full, bytes(data), mode="create")
        except Exception as error:  # "it exists" comes in many classes; mapped
            if says_exists(error):
                return False
            raise fault(error, "creating", self.uri(path)) from error
        return True

    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        """See `Backend.put_chunks`. Joins the chunks: a second copy of the bytes is held while they travel."""
        check_path(path)
        fs, base = self._fs()
        full = f"{base}/{path}"
        data = bytes(chunks[0]) if len(chunks) == 1 else b"".join(chunks)
        options: dict[str, Any] = {}
        if self._scheme in ("gs", "gcs") and b"--==0==" in data:
            # gcsfs sends small objects with this fixed boundary, and content that holds it arrives cut off. As long as
            # `chunksize` is no longer than the data it uses another kind of request, which has no boundary.
            options["chunksize"] = min(len(data), 48 << 20)
        try:
            if self._scheme == "memory":
                with _MEMORY_LOCK:
                    fs.pipe_file(full, data)
            else:
                self._make_folder(fs, full)
                fs.pipe_file(full, data, **options)
        except Exception as error:
            raise fault(error, "writing", self.uri(path)) from error

    def writer(self, path_hint: str = "data") -> Sink:
        """See `Backend.writer`. One request at the end."""
        check_path(path_hint)
        return _MemorySink(self)

    def delete(self, path: str) -> None:
        """See `Backend.delete`."""
        check_path(path)
        fs, base = self._fs()
        try:
            fs.rm_file(f"{base}/{path}")
        except FileNotFoundError:
            return
        except Exception as error:
            if http_status(error) == 404:
                return
            raise fault(error, "deleting", self.uri(path)) from error

    def delete_many(self, paths: Sequence[str]) -> None:
        """See `Backend.delete_many`. Up to 16 requests at the same time."""
        for path in paths:
            check_path(path)
        with ThreadPoolExecutor(_DELETE_THREADS) as threads:
            requests = [threads.submit(self.delete, path) for path in paths]
            for future in requests:
                future.result()

    def probe(self) -> None:
        """See `Backend.probe`. Four requests, once for each object."""
        if self._scheme == "memory" or (self._probed and self._pid == os.getpid()):
            return
        doing = "checking that two writers can be kept apart"
        todo = "write from one place at a time to another kind of store, and copy it here"
        if self._scheme not in _ATOMIC_CREATE and not self._trust_create:
            raise BackendError(
                message(doing, path=self._root, expected="a file system that creates only what is absent, such as s3 or gs",
                        got=f"{self._scheme}, of which this is not known", todo=f"{todo}, or open it with trust_create=True")
            )  # fmt: skip
        path = f"sessions/probe-{secrets.token_hex(16)}/probe"
        first, second = (secrets.token_hex(16).encode() for _ in range(2))
        try:
            self.create(path, first)
            refused = not self.create(path, second)
            kept = self.read(path) == first
        finally:
            try:
                self.delete(path)
            except TableformatError:
                pass  # a few bytes in `sessions/`, which the collector finds
        if not (refused and kept):
            raise BackendError(
                message(doing, path=self._root, expected="the second creation of one object to be refused",
                        got="it succeeded" if not refused else "the object was replaced all the same", todo=todo)
            )  # fmt: skip
        self._probed = True

    def uri(self, path: str) -> str:
        """The URL of the object, without credentials."""
        return f"{self._root}/{check_path(path)}"

    # Within

    def _fs(self) -> tuple[Any, str]:
        """The file system of this process, and the root as it names it."""
        if self._pid != os.getpid():
            self._reset()
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened
                if opened is None:
                    opened = self._opened = self._open()
        return opened

    def _open(self) -> tuple[Any, str]:
        options = dict(self._options() if callable(self._options) else self._options or {})
        doing = "opening the place of a store"
        import fsspec  # a third of this library's import time, and stores on this machine do without

        try:
            fs, base = fsspec.core.url_to_fs(
                f"{self._scheme}://{self._place}",
                **{**options, "use_listings_cache": False, "skip_instance_cache": True},
            )
        except ImportError as error:
            package, extra = _EXTRAS.get(self._scheme, (f"for {self._scheme}:// URLs", "all"))
            raise MissingExtraError(doing, package, extra) from error
        except Exception as error:
            if self._scheme not in fsspec.available_protocols():
                raise InvalidInputError(
                    message(doing, path=self._root, got=f"the unknown scheme {self._scheme!r}")
                ) from error
            raise fault(error, doing, self._root) from error
        return fs, str(base).rstrip("/")

    def _make_folder(self, fs: Any, full: str) -> None:
        if self._scheme not in _ATOMIC_CREATE:  # those have no folders to make
            fs.makedirs(full.rpartition("/")[0], exist_ok=True)

    def _read_nothing(self, path: str, offset: int) -> bytes:
        """An empty range asks for no bytes, but the object has to be there and reach so far."""
        size = self.size(path)
        if size is None:
            raise fault(FileNotFoundError("no such object"), "reading", self.uri(path))
        if offset < 0 or offset > size:
            raise short_read(self.uri(path), offset, 0, 0)
        return b""


class _MemorySink(Sink):
    """Chunks that are sent as one object at the end."""

    def __init__(self, backend: FsspecBackend) -> None:
        self._backend = backend
        self._chunks: list[bytes] = []
        self._size = 0
        self._done = False

    @property
    def size(self) -> int:
        return self._size

    def write(self, chunk: Bytes) -> None:
        self._check_open()
        copy = bytes(chunk)
        self._chunks.append(copy)
        self._size += len(copy)

    def commit(self, path: str) -> None:
        check_path(path)
        self._check_open()
        chunks, self._chunks, self._done = self._chunks, [], True
        self._backend.put_chunks(path, chunks)

    def abort(self) -> None:
        self._done = True
        self._chunks = []

    def _check_open(self) -> None:
        if self._done:
            raise UsageError(
                message("writing an object", path=self._backend.root, expected="an open sink",
                        got="one that failed or was closed before", todo="write the bytes to a new sink")
            )  # fmt: skip


def _modified(info: Mapping[str, Any]) -> float | None:
    """The time of writing in a listing: s3fs says `LastModified`, gcsfs `updated`, others `mtime` or `created`."""
    for key in ("LastModified", "updated", "mtime", "modified", "created"):
        value = info.get(key)
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return None

"""`FsspecBackend`: bytes at a URL, through a file system of fsspec that stores of this library alone use.

Only arguments that fsspec's file systems agree on are used, and by keyword: s3fs takes the second positional argument
of `cat_file` for a version id. Every read is a range, even of a whole object (s3fs would ask for its length first), and
every answer's length is compared with what was asked.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from tableformat.digest import Bytes
from tableformat.errors import (
    BackendError,
    InvalidInputError,
    LimitError,
    StorePermissionError,
    TableformatError,
    message,
)
from tableformat.storage.faults import broke_off, fault, http_status, says_exists, scrub, short_read
from tableformat.storage.interface import Backend, Names, ObjectInfo, Sink, check_path
from tableformat.storage.ranges import Fetch, Range, cut, plan_ranges
from tableformat.storage.remote.accelerator import Accelerator, accelerator_of
from tableformat.storage.remote.gcs import BOUNDARY
from tableformat.storage.remote.opening import ATOMIC_CREATE, CACHES, GCS, HTTP, S3, Options, open_file_system
from tableformat.storage.remote.probe import check_known, prove_create, prove_second
from tableformat.storage.remote.sink import RemoteSink
from tableformat.storage.remote.uploads import abort_uploads

__all__ = ["MAX_CREATE_BYTES", "FsspecBackend"]

Answer = bytes | BaseException
Answers = list[Answer]  # spelled so because `FsspecBackend.list` hides the builtin within the class
Pieces = list[bytes]

MAX_CREATE_BYTES: Final = 8 << 20
"""Longest object that `create` takes: far below where s3fs and gcsfs begin to send an object in several requests, which
some servers complete without looking at the condition."""

_MEMORY_LOCK = threading.RLock()
_left_behind: Final[list[object]] = []
"""File systems of a parent process: ending them here would wait for an event loop whose thread did not come along."""
_DELETE_THREADS: Final = 16
_ALL: Final = 1 << 40
"""The end of a range that means the whole object."""
_ONE_REQUEST_BYTES: Final = 160 << 20
"""Up to here an object is one PUT: a pack and a part are."""
_PIECE_BYTES: Final = 16 << 20
"""Longer ones are read from a file and sent in pieces of this size, a few at a time."""
_PIECES: Final = 4
_MOST_PIECES: Final = 9_000
# What is named by its content may be kept by a cache on this machine; what changes is asked for at its source.
_CACHEABLE: Final = "data/"


class FsspecBackend(Backend):
    """Bytes at a URL. Made by `open_backend`; pickles without options, unless they are a function.

    A sink holds up to 80 MiB in memory and longer objects in a temporary file; `read_ranges` what it returns, and gaps.
    Chains and HTTP are read-only: every write raises `StorePermissionError`.
    """

    def __init__(
        self, scheme: str, place: str, options: Options | None, trust_create: bool = False, chain: str = ""
    ) -> None:
        self._scheme = scheme
        self._place = place
        self._options = options
        self._trust_create = trust_create
        self._chain = chain
        self._cache = chain.count("::") == 1 and chain.removesuffix("::") in CACHES
        self._root = scrub(f"{chain}{scheme}://{place}")
        self.is_read_only = bool(chain) or scheme in HTTP
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._opened: tuple[Any, str] | None = None
        self._accelerator: Accelerator | None = None
        self._probed = False

    def __reduce__(self) -> tuple[type[FsspecBackend], tuple[str, str, Options | None, bool, str]]:
        place = self._place.rpartition("@")[2] if "@" in self._place.partition("/")[0] else self._place
        options = self._options if callable(self._options) else None
        return FsspecBackend, (self._scheme, place, options, self._trust_create, self._chain)

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
        (answer,) = self._answers([(path, offset, _ALL)])
        if isinstance(answer, BaseException):
            if http_status(answer) == 416:  # begins at or past the end
                return b""
            raise fault(answer, "reading", self.uri(path)) from answer
        return answer

    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        """See `Backend.read_or_none`. One request: a bounded range even where the whole is wanted."""
        return self.read_many_or_none([path], limit=limit)[0]

    def read_many_or_none(self, paths: Sequence[str], *, limit: int | None = None) -> list[bytes | None]:
        """See `Backend.read_many_or_none`. All requests are sent at once, in the client's own batches."""
        for path in paths:
            check_path(path)
        end = _ALL if limit is None else limit + 1
        answers = self._answers([(path, 0, end) for path in paths])
        return [self._document(path, answer, limit) for path, answer in zip(paths, answers, strict=True)]

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """See `Backend.read_ranges`. Neighbours are merged (`ranges.plan_ranges`), requests are sent together."""
        for path in {path for path, _, _ in ranges}:
            check_path(path)
        plan = plan_ranges(ranges)
        return cut(plan, self._fetched(plan.fetches))

    def size(self, path: str) -> int | None:
        """See `Backend.size`."""
        check_path(path)
        fs, base = self._fs()
        try:
            info = fs.info(f"{base}/{path}")
        except FileNotFoundError:
            return None
        except Exception as error:
            if http_status(error) == 404:
                return None
            raise fault(error, "looking for", self.uri(path)) from error
        if info.get("type") != "file" or info.get("size") is None or str(info.get("url", "")).endswith("/"):
            return None
        return int(info["size"])

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `Backend.list`."""
        for name, info in self._listed("find", prefix).items():
            path = name[len(self._fs()[1]) :].lstrip("/")
            if path == prefix:  # an object of that very name is no folder
                continue
            try:
                check_path(path)
            except ValueError:
                continue
            yield ObjectInfo(path, int(info.get("size") or 0), _modified(info))

    def list_folders(self, prefix: str) -> Names:
        """See `Backend.list_folders`."""
        found = self._listed("ls", prefix) or ()
        names = {info["name"].rstrip("/").rpartition("/")[2] for info in found if info.get("type") == "directory"}
        return sorted(names - {""})

    # Writing

    def create(self, path: str, data: Bytes) -> bool:
        """See `Backend.create`."""
        self._check_writable("creating", path)
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
                fs.pipe_file(full, bytes(data), mode="create", **self._one_request(data, len(data)))
        except Exception as error:  # "it exists" comes in many classes; mapped
            if says_exists(error):
                return False
            raise fault(error, "creating", self.uri(path)) from error
        return True

    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        """See `Backend.put_chunks`. Joins the chunks: a second copy of the bytes is held while they travel."""
        check_path(path)
        self._send_bytes(path, chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def writer(self, path_hint: str = "data") -> Sink:
        """See `Backend.writer`. One request at the end for objects of up to 80 MiB, in pieces above."""
        self._check_writable("writing", path_hint)
        return RemoteSink(self._root, self._send_bytes, self._send_file)

    def delete(self, path: str) -> None:
        """See `Backend.delete`."""
        self._check_writable("deleting", path)
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
        if self._is_proven():
            return
        self._check_writable("checking that two writers can be kept apart", "sessions")
        check_known(self, known=self._scheme in ATOMIC_CREATE or self._trust_create, scheme=self._scheme)
        prove_create(self)
        self._probed = True

    def create_proven(self, path: str, data: Bytes) -> None:
        """See `Backend.create_proven`. Two requests more than `create` at its first call, unless `probe` came before."""
        if self._is_proven():
            self.create(path, data)
            return
        check_known(self, known=self._scheme in ATOMIC_CREATE or self._trust_create, scheme=self._scheme)
        if not self.create(path, data):  # an attempt whose answer was lost may have had other bytes
            self.probe()
            return
        try:
            prove_second(self, path, data)
        except BackendError:
            with contextlib.suppress(TableformatError):  # what is left is found by the collector
                self.delete(path)
            raise
        self._probed = True

    def _is_proven(self) -> bool:
        return self._scheme == "memory" or (self._probed and self._pid == os.getpid())

    def abort_uploads(self, older_than: float) -> int:
        """See `Backend.abort_uploads`."""
        self._check_writable("giving up uploads", "data")
        return abort_uploads(*self._fs(), older_than) if self._scheme in S3 else 0

    def uri(self, path: str) -> str:
        """The URL of the object, without credentials."""
        return f"{self._root}/{check_path(path)}"

    # Within: reading

    def _answers(self, ranges: Sequence[Range]) -> Answers:
        """For each (path, first, end) the bytes there, or what the client raised; sent together."""
        if not ranges:
            return []
        fs, base = self._fs()
        found: Answers | None = None
        if self._accelerator is not None:
            found = self._accelerator.read(ranges)
        elif self._cache:
            found = self._from_cache(fs, base, ranges)
        if found is None:
            found = self._asked(self._source(fs), base, ranges)
        # A body that broke off says nothing of the object: one more question, where the client asked none itself.
        again = [place for place, answer in enumerate(found) if isinstance(answer, BaseException) and broke_off(answer)]
        if again:
            repeated = self._asked(self._source(fs), base, [ranges[place] for place in again])
            for place, answer in zip(again, repeated, strict=True):
                found[place] = answer
        return found

    def _from_cache(self, fs: Any, base: str, ranges: Sequence[Range]) -> Answers | None:
        """The ranges by way of the cache; None where it does not have all of them, or they may change at their source.

        A cache shows files to other threads and processes while it fetches them: what it has too little of is asked for.
        """
        if not all(path.startswith(_CACHEABLE) and end - first <= _ONE_REQUEST_BYTES for path, first, end in ranges):
            return None
        with self._lock:
            found = self._asked(fs, base, ranges)
        whole = all(
            not isinstance(answer, BaseException) and len(answer) == end - first
            for answer, (_, first, end) in zip(found, ranges, strict=True)
        )
        return found if whole else None

    def _asked(self, fs: Any, base: str, ranges: Sequence[Range]) -> Answers:
        paths = [f"{base}/{path}" for path, _, _ in ranges]
        try:
            answers = fs.cat_ranges(
                paths, [first for _, first, _ in ranges], [end for _, _, end in ranges], on_error="return"
            )
        except Exception as error:  # noqa: BLE001 - each question has this answer
            return [error] * len(paths)
        return [answer if isinstance(answer, BaseException) else bytes(answer) for answer in answers]

    def _document(self, path: str, answer: Answer, limit: int | None) -> bytes | None:
        if isinstance(answer, BaseException):
            if http_status(answer) == 416:  # a range of an object without bytes
                return b""
            if isinstance(answer, FileNotFoundError | IsADirectoryError) or http_status(answer) == 404:
                return None
            raise fault(answer, "reading", self.uri(path)) from answer
        if limit is not None and len(answer) > limit:
            raise LimitError(message("reading", path=self.uri(path), expected=f"at most {limit} bytes", got="more"))
        return answer

    def _fetched(self, fetches: Sequence[Fetch]) -> Pieces:
        asked = [(fetch.path, fetch.offset, fetch.offset + fetch.length) for fetch in fetches]
        found: Pieces = []
        for fetch, answer in zip(fetches, self._answers(asked), strict=True):
            if isinstance(answer, BaseException):
                place = (fetch.offset, fetch.offset + fetch.length)
                if http_status(answer) == 416:
                    raise short_read(self.uri(fetch.path), fetch.offset, fetch.length, 0) from answer
                raise fault(answer, "reading", self.uri(fetch.path), place) from answer
            if len(answer) != fetch.length:  # stores answer a range past the end with what there is, without a word
                raise short_read(self.uri(fetch.path), fetch.offset, fetch.length, len(answer))
            found.append(answer)
        return found

    def _read_nothing(self, path: str, offset: int) -> bytes:
        """An empty range asks for no bytes, but the object has to be there and reach so far."""
        size = self.size(path)
        if size is None:
            raise fault(FileNotFoundError("no such object"), "reading", self.uri(path))
        if offset < 0 or offset > size:
            raise short_read(self.uri(path), offset, 0, 0)
        return b""

    def _listed(self, method: str, prefix: str) -> Any:
        fs, base = self._fs()
        folder = f"{base}/{check_path(prefix)}" if prefix else base
        if self._scheme in HTTP:
            raise BackendError(
                message("listing", path=self.uri(prefix) if prefix else self._root, expected="a place that can be listed",
                        got=f"{self._scheme}, which has no listings", todo="name the artifact: reading needs no listing")
            )  # fmt: skip
        try:
            return getattr(self._source(fs), method)(folder, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise fault(error, "listing", self.uri(prefix) if prefix else self._root) from error

    # Within: writing

    def _check_writable(self, doing: str, path: str) -> None:
        check_path(path)
        if self.is_read_only:
            raise StorePermissionError(
                message(doing, path=self.uri(path), expected="a place that takes writes",
                        got="a chain of file systems" if self._chain else f"{self._scheme}, which is read here and not written",
                        todo="open the store itself; wrappers may drop the condition on which commits rest")
            )  # fmt: skip

    def _one_request(self, data: Bytes, size: int) -> dict[str, Any]:
        """Arguments with which the client sends up to 160 MiB in one request, and what it would cut off in another way."""
        if self._scheme in S3:
            return {"chunksize": _ONE_REQUEST_BYTES // 2} if size < _ONE_REQUEST_BYTES else {}
        if self._scheme in GCS:
            # `size` compares what arrived with what was sent. Content that holds the boundary goes by the other sort of
            # request, which has none: used where `chunksize` is no longer than the data.
            chunk = min(size, 48 << 20) if BOUNDARY in bytes_like(data) else _ONE_REQUEST_BYTES
            return {"chunksize": chunk, "consistency": "size"}
        return {}

    def _send_bytes(self, path: str, data: Bytes) -> None:
        self._check_writable("writing", path)
        fs, base = self._fs()
        full = f"{base}/{path}"
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        try:
            if self._scheme == "memory":
                with _MEMORY_LOCK:
                    fs.pipe_file(full, bytes(data))
            else:
                self._make_folder(fs, full)
                sent = data if isinstance(data, bytes | bytearray) else bytes(data)
                fs.pipe_file(full, sent, **self._one_request(sent, size))
        except Exception as error:
            raise fault(error, "writing", self.uri(path)) from error

    def _send_file(self, path: str, name: str) -> None:
        self._check_writable("writing", path)
        fs, base = self._fs()
        full = f"{base}/{path}"
        piece = max(_PIECE_BYTES, -(-os.path.getsize(name) // _MOST_PIECES))
        options: dict[str, Any] = {"chunksize": piece} if self._scheme in S3 | GCS else {}
        if self._scheme in S3:
            options["max_concurrency"] = _PIECES
        try:
            self._make_folder(fs, full)
            fs.put_file(name, full, **options)
        except Exception as error:
            raise fault(error, "writing", self.uri(path)) from error

    def _make_folder(self, fs: Any, full: str) -> None:
        if self._scheme not in ATOMIC_CREATE:  # those have no folders to make
            fs.makedirs(full.rpartition("/")[0], exist_ok=True)

    # Within: the file system

    def _fs(self) -> tuple[Any, str]:
        """The file system of this process, and the root as it names it."""
        if self._pid != os.getpid():
            _left_behind.append(self._opened)
            self._reset()
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened
                if opened is None:
                    opened = open_file_system(f"{self._chain}{self._scheme}://{self._place}", self._options)
                    if not self._chain and self._scheme in S3:
                        self._accelerator = accelerator_of(*opened)
                    self._opened = opened
        return opened

    def _source(self, fs: Any) -> Any:
        """The file system below a cache; any other itself."""
        return fs.fs if self._cache else fs


def bytes_like(data: Bytes) -> bytes | bytearray:
    """`data` as something that can be searched."""
    return data if isinstance(data, bytes | bytearray) else bytes(data)


def _modified(info: Mapping[str, Any]) -> float | None:
    """The time of writing in a listing: s3fs says `LastModified`, gcsfs `updated`, others `mtime` or `created`."""
    for key in ("LastModified", "updated", "last_modified", "mtime", "modified", "created"):
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

"""`Outside`: the one door through which references are followed. It asks the policy, maps moved prefixes, opens, and compares.

Each opened store has one. Whoever refers to something in a draft of that store object has allowed it there, folder by folder.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, BinaryIO, Final, NamedTuple, cast

from tableformat.errors import (
    AccessRefusedError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    ReferenceChangedError,
    message,
)
from tableformat.format.reference import (
    HTTP,
    LOCAL,
    NOTHING,
    Known,
    Reach,
    State,
    compare,
    is_allowed,
    moved_url,
    normal_prefixes,
    own_prefixes,
    refusal,
    scheme_of,
    shown,
)
from tableformat.format.reference_leaf import Listed
from tableformat.storage.backend import open_file_system
from tableformat.storage.faults import fault
from tableformat.storage.outside.http import HttpFile, HttpReader
from tableformat.storage.outside.listing import known_of_info, list_below
from tableformat.storage.outside.local_files import check_contained, known_of_file, list_files, open_file
from tableformat.storage.outside.pinned import PinnedFile, pinned_info, version_option

__all__ = ["ENVIRONMENT", "MAX_BYTES", "Outside", "Wanted"]

ENVIRONMENT: Final = "TABLEFORMAT_ALLOW"
"""The environment variable that allows URL prefixes in every store of a process; white space stands between them."""
MAX_BYTES: Final = 1 << 30
"""Most bytes of one reference that are read at once; open longer ones as files."""
_DOING: Final = "opening a reference"
_MAX_GRANTS: Final = 4096
_MAX_FILE_SYSTEMS: Final = 64
_THREADS: Final = 16
_BLOCK: Final = 1 << 20
_FAMILIES: Final = ({"s3", "s3a"}, {"gs", "gcs"}, {"az", "abfs", "abfss"})

Options = Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None


class Wanted(NamedTuple):
    """One reference to read."""

    url: str
    offset: int | None = None
    """First byte of a range; None for the whole object."""
    size: int | None = None
    """Bytes of the range, or of the object where they are known."""
    known: Known = NOTHING
    """What was known of the object."""
    digest: bytes | None = None
    """SHA-256 of the bytes that are read, where it is known."""


class Outside:
    """Follows references for the store at `root`. Safe between threads and after a fork; pickles without credentials.

    `allow` are URL prefixes, `moves` pairs of an old and a new prefix, whose new ones are allowed, too. `options` go to file
    systems of the store's own kind, or of any kind where the store is local; never to HTTP. `http` is for tests.
    """

    def __init__(
        self,
        root: str,
        allow: Sequence[str] = (),
        moves: Sequence[tuple[str, str]] = (),
        options: Options = None,
        http: HttpReader | None = None,
    ) -> None:
        doing = "opening a store"
        self._root = root
        self._allow = normal_prefixes(allow, doing)
        self._moves = tuple((normal_prefixes([old], doing)[0], normal_prefixes([new], doing)[0]) for old, new in moves)
        self._options = options
        named = normal_prefixes(os.environ.get(ENVIRONMENT, "").split(), f"reading {ENVIRONMENT}")
        self._prefixes = (*self._allow, *named, *(new for _, new in self._moves))
        self._http = http or HttpReader(self.check)
        self._granted: dict[str, None] = {}
        self._systems: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    @property
    def allow(self) -> tuple[str, ...]:
        """The prefixes that the caller gave."""
        return self._allow

    @property
    def moves(self) -> tuple[tuple[str, str], ...]:
        """The pairs of prefixes that the caller gave."""
        return self._moves

    @property
    def reach(self) -> Reach:
        """What a pickle holds of it."""
        return Reach(self._allow, self._moves, self._options if callable(self._options) else None)

    def __reduce__(self) -> Any:
        return Outside, (self._root, *self.reach[:3])

    def __repr__(self) -> str:
        return f"<Outside of {self._root}, allow={list(self._allow)}>"

    # The policy

    def check(self, url: str) -> None:
        """Raise `AccessRefusedError` unless `url`, as it will be opened, is allowed. Looks nothing up."""
        refused = refusal(url, self._root, (*self._prefixes, *self._granted))
        if refused is not None:
            got, todo = refused
            allowed = ", ".join(self._prefixes)[:300] or "nothing outside of the store"
            raise AccessRefusedError(
                message(_DOING, path=shown(url), expected=f"what was allowed ({allowed})", got=got, todo=todo)
            )

    def where(self, url: str) -> str:
        """The URL that a reference is opened by: moved prefixes replaced, and checked."""
        moved = moved_url(url, self._moves)
        self.check(moved)
        return moved

    def compare(self, url: str, known: Known, now: Known) -> State:
        """What became of a reference, from what was known and what is told now."""
        return compare(known, now, moved=moved_url(url, self._moves) != url)

    def grant(self, url: str, *, below: bool = False) -> None:
        """The person who refers to `url` has allowed its folder (`below`: what lies below it) for this opened store.

        Raises `AccessRefusedError` for what no reader could ever open. After 4,096 folders no more are remembered.
        """
        moved = moved_url(url, self._moves)
        folder = moved if below else moved.rpartition("/")[0] + "/"
        refused = refusal(moved, self._root, (*self._prefixes, moved))
        if refused is not None:
            raise AccessRefusedError(message("referring to a URL", path=shown(moved), got=refused[0], todo=refused[1]))
        if len(self._granted) < _MAX_GRANTS and not is_allowed(moved, (*self._prefixes, *self._granted)):
            with self._lock:
                self._granted = {**self._granted, (folder if folder.partition("://")[2].strip("/") else moved): None}

    # One object

    def info(self, url: str) -> Known:
        """What is told of the object now; one request. Raises `NotFoundError` where it is gone, or is a folder."""
        place = self.where(url)
        scheme = scheme_of(place)
        if scheme in HTTP:
            return self._http.head(place)
        if scheme in LOCAL:
            with open_file(self._contained(place), _DOING) as file:
                return known_of_file(os.fstat(file.fileno()))
        fs, path = self._system(place)
        return self._info(fs, path, place)

    def _info(self, fs: Any, path: str, place: str) -> Known:
        try:
            info = fs.info(path)
        except Exception as error:  # of whatever class the client has; mapped
            raise fault(error, _DOING, shown(place)) from error
        if info.get("type", "file") != "file":
            raise NotFoundError(message(_DOING, path=shown(place), expected="an object", got="a folder"))
        return known_of_info(info)

    def _now(self, fs: Any, path: str, place: str, known: Known, moved: bool) -> tuple[Known, dict[str, str]]:
        """What is told of the object that `known` was, and what reads its bytes: nothing special, or its version by name, where
        the bucket has that and it is no longer the newest. Raises `ReferenceChangedError` and `NotFoundError`."""
        version = None if moved else known.version
        try:
            now = self._info(fs, path, place)
            if compare(known, now, moved=moved) != "changed":
                return now, {}
        except NotFoundError:
            if version is None or (pinned := pinned_info(fs, path, version, shown(place))) is None:
                raise
        else:
            pinned = None if version is None else pinned_info(fs, path, version, shown(place))
        if version is None or pinned is None or compare(known, pinned) == "changed":
            raise _changed(place, known.told(), (now if pinned is None else pinned).told())
        return pinned, version_option(fs, version)

    def open(self, url: str, known: Known = NOTHING) -> BinaryIO:
        """A seekable file over the object, after comparing it with what was known: `ReferenceChangedError` tells both sides.

        Digests are compared by `read` alone. Bytes move as the file is read; close it.
        """
        place = self.where(url)
        return self._open(place, known, place != url)

    def _open(self, place: str, known: Known, moved: bool) -> BinaryIO:
        scheme = scheme_of(place)
        if scheme in HTTP:
            remote = self._http.open(place)
            _compared(remote, remote.known, known, place, moved)
            return cast("BinaryIO", io.BufferedReader(remote, _BLOCK))
        if scheme in LOCAL:
            file = open_file(self._contained(place), _DOING)
            _compared(file, known_of_file(os.fstat(file.fileno())), known, place, moved)
            return file
        fs, path = self._system(place)
        if known != Known(digest=known.digest):
            now, option = self._now(fs, path, place, known, moved)
            if option and known.version is not None and now.size is not None:
                pinned = PinnedFile(fs, path, known.version, now.size, shown(place))
                return cast("BinaryIO", io.BufferedReader(pinned, _BLOCK))
        try:
            opened: BinaryIO = fs.open(path, "rb")
        except Exception as error:
            raise fault(error, _DOING, shown(place)) from error
        return opened

    def read(self, wanted: Wanted, limit: int = MAX_BYTES) -> bytes:
        """The bytes of one reference, compared with all that was known of them.

        Raises `ReferenceChangedError` with both sides, `NotFoundError` where it is gone, `LimitError` above `limit` bytes.
        """
        url, _, size, known, digest = wanted
        if (size or 0) > limit:
            raise LimitError(message(_DOING, path=shown(url), expected=f"at most {limit} bytes", got=size))
        place = self.where(url)
        moved = place != url
        if digest is None:
            return self._read(place, wanted, known, limit, moved)
        try:  # the digest says all, so nothing is asked before
            return self._read(place, wanted, Known(digest=known.digest), limit, moved)
        except (ReferenceChangedError, NotFoundError):
            if known.version is None or moved:
                raise
            return self._read(place, wanted, known, limit, moved)

    def _read(self, place: str, wanted: Wanted, known: Known, limit: int, moved: bool) -> bytes:
        _, offset, size, told, digest = wanted
        try:
            data = self._bytes(place, offset or 0, size, known, limit, moved)
        except NotFoundError as error:
            raise NotFoundError(
                message(_DOING, path=shown(place), expected=f"the object that was referred to ({told.told()})", got="nothing there",
                        todo="restore it, or open with map={old: new} where it was moved")
            ) from error  # fmt: skip
        if len(data) > limit:
            raise LimitError(message(_DOING, path=shown(place), expected=f"at most {limit} bytes", got="more"))
        if size is not None and len(data) != size:
            raise _changed(place, f"{size} bytes", f"{len(data)} bytes")
        if digest is not None and (found := sha256(data).digest()) != digest:
            raise _changed(place, f"sha256:{digest.hex()}", f"sha256:{found.hex()}")
        return data

    def read_many(self, wanted: Sequence[Wanted], limit: int = MAX_BYTES) -> list[bytes]:
        """`read` of each, in order; up to 16 at the same time. Holds them all. Raises the first error."""
        if len(wanted) < 2:
            return [self.read(one, limit) for one in wanted]
        with ThreadPoolExecutor(min(_THREADS, len(wanted)), "reference") as threads:
            return list(threads.map(lambda one: self.read(one, limit), wanted))

    def _bytes(self, place: str, offset: int, size: int | None, known: Known, limit: int, moved: bool) -> bytes:
        scheme = scheme_of(place)
        end = None if size is None else offset + size
        if scheme not in HTTP and scheme not in LOCAL:
            fs, path = self._system(place)
            option: dict[str, str] = {}
            if known != Known(digest=known.digest) or size is None:
                now, option = self._now(fs, path, place, known, moved)
                if size is None and (now.size or 0) - offset > limit:
                    raise LimitError(
                        message(_DOING, path=shown(place), expected=f"at most {limit} bytes", got=now.size)
                    )
            try:
                # A byte more than is known of a whole object: one that has grown is told from one that has not.
                last = None if end is None else end + (known.size is not None)
                return bytes(fs.cat_file(path, start=offset, end=last, **option))
            except Exception as error:
                raise fault(error, _DOING, shown(place)) from error
        with self._open(place, known, moved) as file:
            if offset:
                file.seek(offset)
            count = limit + 1 if size is None else size + (known.size is not None)
            pieces = []
            while count and (piece := file.read(min(count, 8 * _BLOCK))):
                pieces.append(piece)
                count -= len(piece)
            return b"".join(pieces)

    # Many

    def list(self, prefix: str, after: str | None = None) -> Iterator[Listed]:
        """The objects below `prefix`, sorted by path, with what the listing tells; no request per object.

        Holds a page of the listing on S3, Google and local disks, all of it elsewhere. Raises `NotFoundError` where nothing
        is below it, `StoreUnavailableError` where it is interrupted: nothing was taken then.
        """
        place = self.where(prefix)
        scheme = scheme_of(place)
        if scheme in HTTP:
            raise InvalidInputError(
                message("listing what lies below a prefix", path=shown(place), expected="a file system or a bucket", got="a web server, which lists nothing",
                        todo="refer to its files one by one")
            )  # fmt: skip
        if scheme in LOCAL:
            real = self._contained(place)
            if not os.path.isdir(real):
                raise NotFoundError(message("listing a folder", path=shown(place), expected="a folder", got="a file"))
            found = list_files(real, after)
        else:
            found = list_below(*self._system(place), shown(place), after)
        count = 0
        for count, one in enumerate(found, 1):  # noqa: B007 - counted
            yield one
        if not count and after is None:
            raise NotFoundError(
                message("listing what lies below a prefix", path=shown(place), expected="objects", got="none")
            )

    # Within

    def _contained(self, place: str) -> str:
        return check_contained(place, (*self._prefixes, *self._granted, *own_prefixes(self._root)), _DOING)

    def _system(self, place: str) -> tuple[Any, str]:
        """The file system behind a URL, one for each host or bucket, and the path as it names it."""
        end = place.find("/", place.find("://") + 3)
        key = place if end < 0 else place[:end]
        with self._lock:
            if self._pid != os.getpid():  # the event loops of fsspec do not survive a fork
                self._systems, self._pid = {}, os.getpid()
            fs = self._systems.get(key)
            if fs is None:
                if len(self._systems) >= _MAX_FILE_SYSTEMS:
                    self._systems.pop(next(iter(self._systems)))
                fs, _ = open_file_system(key + "/" if end >= 0 else place, self.options_for(place))
                self._systems[key] = fs
        return fs, str(fs._strip_protocol(place))

    def options_for(self, url: str) -> Options:
        """The options that the file system of `url` is opened with: those of the store, for its own kind of place; of a local
        store, for every other. None go to web servers, which may be anybody's."""
        scheme, home = scheme_of(url), scheme_of(self._root.rpartition("::")[2])
        same = not home or home == scheme or any({home, scheme} <= family for family in _FAMILIES)
        return self._options if same and scheme not in HTTP else None


def _compared(file: BinaryIO | HttpFile | None, now: Known, known: Known, place: str, moved: bool) -> None:
    """Close `file` and raise `ReferenceChangedError` where what is told of it now is not what was known."""
    if compare(known, now, moved=moved) == "changed":
        if file is not None:
            file.close()
        raise _changed(place, known.told(), now.told())


def _changed(place: str, expected: str, found: str) -> ReferenceChangedError:
    return ReferenceChangedError(
        message(_DOING, path=shown(place), expected=f"{expected}, as when it was referred to", got=found,
                todo="restore the object, or refer to it again in a new version")
    )  # fmt: skip

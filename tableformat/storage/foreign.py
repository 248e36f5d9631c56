"""Folders of files that are of no store, at any URL that fsspec knows, chains such as `zip://…::s3://…` included: for reading.

Names are those of their makers, so nothing here promises what a `Backend` does. Sizes are asked for once: make one object
for one job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from tableformat.errors import LimitError, NotFoundError, TableformatError, message
from tableformat.storage.faults import fault, scrub
from tableformat.storage.remote.opening import Options, open_file_system

__all__ = ["ForeignFolder", "Options"]

_DOING = "reading foreign files"


class ForeignFolder:
    """The files below one place. Paths are relative, with `/`; the caller has checked that they stay below it.

    Every method raises `BackendError` and its kin for what the file system says, without credentials in the text.
    """

    def __init__(self, fs: Any, place: str, url: str) -> None:
        self._fs, self._place = fs, place.rstrip("/")
        self.url = url
        """Where it lies, without credentials."""
        self._sizes: dict[str, int | None] = {}

    @classmethod
    def at(cls, url: str, storage_options: Options | None = None) -> ForeignFolder:
        """The folder at `url`, which need not be there. Moves no bytes, but where a file system opens an archive."""
        fs, place = open_file_system(url, storage_options)
        return cls(fs, place, scrub(url))

    @property
    def name(self) -> str:
        """The last segment of its path; empty for a root."""
        return self._place.rpartition("/")[2]

    def is_folder(self) -> bool:
        """Whether there is a folder, or anything below it."""
        return not self._place or bool(self._call(self._fs.isdir, self._place))

    def size(self, path: str) -> int | None:
        """The bytes of a file; None where there is none, or where they are not told. Asked once for each file."""
        if path not in self._sizes:
            try:
                info = self._call(self._fs.info, self._full(path))
            except NotFoundError:
                info = {}
            is_file = info.get("type") == "file"
            self._sizes[path] = int(info["size"]) if is_file and info.get("size") is not None else None
        return self._sizes[path]

    def open(self, path: str) -> BinaryIO:
        """A file, opened for reading; bytes move as it is read."""
        file: BinaryIO = self._call(self._fs.open, self._full(path), "rb")
        return file

    def read(self, path: str, limit: int | None = None) -> bytes:
        """A whole file, in one request. Raises `LimitError` where it has more than `limit` bytes."""
        data = bytes(self._call(self._fs.cat_file, self._full(path), **({} if limit is None else {"end": limit + 1})))
        if limit is not None and len(data) > limit:
            raise LimitError(message(_DOING, path=path, expected=f"at most {limit} bytes", got="more"))
        return data

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Each file whole, in order, all asked for at once where requests travel. Holds them all."""
        none = [None] * len(paths)
        full = [self._full(path) for path in paths]
        return [bytes(data) for data in self._call(self._fs.cat_ranges, full, none, none, on_error="raise")]

    def files(self) -> Iterator[tuple[str, int | None]]:
        """The path of each file below it and its bytes, by name."""
        found = self._call(self._fs.find, self._place, detail=True)
        listed = {self._relative(info["name"]): info.get("size") for info in found.values() if info["type"] == "file"}
        self._sizes.update(listed)
        yield from sorted((path, size) for path, size in listed.items() if path)

    def folders(self) -> list[str]:
        """The names of the folders directly in it, sorted."""
        found = self._call(self._fs.ls, self._place, detail=True)
        names = {self._relative(info["name"].rstrip("/")) for info in found if info["type"] == "directory"}
        return sorted(name for name in names if name and "/" not in name)

    def below(self, name: str) -> ForeignFolder:
        """The folder `name` in it."""
        return ForeignFolder(self._fs, self._full(name), f"{self.url.rstrip('/')}/{name}")

    def above(self) -> ForeignFolder | None:
        """The folder that holds this one; None for a root."""
        head, _, last = self._place.rpartition("/")
        is_root = not last or head.endswith("/") or not head.strip("/")
        return None if is_root else ForeignFolder(self._fs, head, self.url)

    def _full(self, path: str) -> str:
        return f"{self._place}/{path}" if self._place else path

    def _relative(self, name: str) -> str:
        base = self._place.strip("/")
        plain = name.lstrip("/")
        if not base:
            return plain
        return plain[len(base) + 1 :] if plain.startswith(f"{base}/") else ""

    def _call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except TableformatError:
            raise
        except Exception as error:  # of whatever class the client has
            raise fault(error, _DOING, self.url) from error

"""One version of an object, where the bucket keeps versions: S3 by its version id, Google by its generation.

The server is asked for the version by name and has to tell the same name back: one that passes over what it does not know would give
the newest bytes. Other file systems have no versions here.
"""

from __future__ import annotations

import io
from typing import Any, Final

from tableformat.errors import BackendError, NotFoundError, StorePermissionError
from tableformat.format.reference import Known
from tableformat.storage.faults import fault, http_status
from tableformat.storage.outside.listing import known_of_info

__all__ = ["PinnedFile", "pinned_info", "version_option"]

_DOING: Final = "opening a version of a reference"
_REFUSED: Final = (400, 405)  # of S3: no id of a version; the mark of a deletion
_FIELDS: Final = {"ETag": "ETag", "VersionId": "VersionId", "LastModified": "LastModified", "ContentLength": "size"}


def version_option(fs: Any, version: str) -> dict[str, str]:
    """How `cat_file` of a file system is told a version; empty where it has none."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    if "s3" in protocols and hasattr(fs, "call_s3"):
        return {"version_id": version}
    if "gs" in protocols and hasattr(fs, "call") and version.isascii() and version.isdecimal():
        return {"generation": version}
    return {}


def pinned_info(fs: Any, path: str, version: str, shown: str) -> Known | None:
    """What is told of a version of the object at `path`; one request. None where there is no such version, where nobody may look at
    it, and where the file system has none. Raises the errors of `tableformat.errors` where nobody answers."""
    option = version_option(fs, version)
    if not option:
        return None
    try:
        found = _asked(fs, path, option)
    except Exception as error:  # of whatever class the client has; mapped
        told = fault(error, _DOING, shown)
        if isinstance(told, NotFoundError | StorePermissionError) or http_status(error) in _REFUSED:
            return None
        raise told from error
    return found if found.version == version else None


def _asked(fs: Any, path: str, option: dict[str, str]) -> Known:
    bucket, _, key = path.partition("/")
    if "version_id" in option:
        head = fs.call_s3("head_object", Bucket=bucket, Key=key, VersionId=option["version_id"])
        return known_of_info({name: head[field] for field, name in _FIELDS.items() if field in head})
    item = fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True, **option)
    return known_of_info({**item, "size": int(item.get("size", 0))})


class PinnedFile(io.RawIOBase):
    """A version of an object as a file: one request for each read, so put a buffer around it."""

    def __init__(self, fs: Any, path: str, version: str, size: int, shown: str) -> None:
        super().__init__()
        self._fs, self._path, self._option = fs, path, version_option(fs, version)
        self._size, self._shown, self._position = size, shown, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place in the object; nothing is read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """The next bytes; 0 at the end. Raises the errors of `tableformat.errors`."""
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        try:
            data = bytes(self._fs.cat_file(self._path, start=self._position, end=end, **self._option))
        except Exception as error:
            raise fault(error, _DOING, self._shown) from error
        if len(data) != end - self._position:
            raise BackendError(f"{_DOING} · {self._shown} · expected {end - self._position} bytes, got {len(data)}")
        view[: len(data)] = data
        self._position = end
        return len(data)

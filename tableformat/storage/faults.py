"""What went wrong below: exceptions of the operating system and of fsspec's file systems as errors of this library.

The same refusal comes in many shapes: s3fs turns a failed precondition into `FileExistsError` on some servers and
into `OSError(EINVAL)` on others, gcsfs raises its own `HttpError`. So the HTTP status is looked for first, along the
chain of causes, and the class second. Texts are scrubbed: signed URLs and user-info are credentials.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Final

from tableformat.errors import (
    BackendError,
    CorruptError,
    NotFoundError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
    TableformatError,
    message,
)

__all__ = ["broke_off", "fault", "http_status", "says_exists", "scrub", "short_read"]

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR}
_LATER: Final = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EMFILE,
    errno.ENETUNREACH,
    errno.ENFILE,
    errno.EPIPE,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
# Of libraries that are not imported here: botocore, aiohttp, google-auth.
_DENIED_NAMES: Final = re.compile(
    r"NoCredentials|PartialCredentials|CredentialRetrieval|RefreshError|DefaultCredentials"
)
_LATER_NAMES: Final = re.compile(
    r"EndpointConnection|ConnectionClosed|ConnectTimeout|ReadTimeout|ClientConnect|ServerDisconnected|ServerTimeout"
    r"|ClientPayload|ClientOSError|IncompleteBody|ResponseStream|IncompleteRead|HTTPClientError|Timeout"
    r"|ProxyError|ChunkedEncoding|ContentDecoding|ResponseParser"
)
_BROKEN_NAMES: Final = re.compile(
    r"ClientPayload|IncompleteBody|IncompleteRead|ResponseStream|ChunkedEncoding|ServerDisconnected|ConnectionClosed"
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@'\"]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]*")


def scrub(text: str) -> str:
    """`text` without what may be a credential: the user-info and the query of every URL in it."""
    return _QUERY.sub(r"\1?…", _USER_INFO.sub("…@", text))


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an error reports, itself or by what caused it; None if there is none."""
    for seen in _chain(error):
        if _BROKEN_NAMES.search(type(seen).__name__):  # aiohttp calls a body that broke off a 400
            return None
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(status, int):
                return status
        for name in ("status", "code", "status_code"):
            status = getattr(seen, name, None)
            if isinstance(status, int) and 300 <= status < 600:
                return status
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, the latest first."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def says_exists(error: BaseException) -> bool:
    """Whether the answer to a conditional create was that the object exists: 412, or the file system's own word."""
    status = http_status(error)
    return status == 412 if status is not None else isinstance(error, FileExistsError)


def broke_off(error: BaseException) -> bool:
    """Whether the answer to a request began and did not end, which says nothing of the object."""
    return http_status(error) is None and any(_BROKEN_NAMES.search(type(one).__name__) for one in _chain(error))


def fault(error: BaseException, doing: str, path: str, byte_range: tuple[int, int] | None = None) -> TableformatError:
    """The error of this library for `error`, which came up while `doing` something to `path` (already scrubbed)."""
    if isinstance(error, TableformatError):
        return error
    got = scrub(f"{type(error).__name__}: {error}")[:400]
    kind, todo = _kind(error)
    return kind(message(doing, path=path, byte_range=byte_range, got=got, todo=todo))


def short_read(path: str, offset: int, length: int, got: int) -> CorruptError:
    """The error for a range that ended too soon."""
    return CorruptError(
        message(
            "reading", path=path, byte_range=(offset, offset + length), expected=f"{length} bytes", got=f"{got} bytes"
        )
    )


def _kind(error: BaseException) -> tuple[type[TableformatError], str | None]:
    status = http_status(error)
    number = error.errno if isinstance(error, OSError) else None
    name = type(error).__name__
    if status == 404 or isinstance(error, FileNotFoundError) or number in _ABSENT:
        return NotFoundError, None
    if status in (401, 403) or isinstance(error, PermissionError) or number in _DENIED or _DENIED_NAMES.search(name):
        return StorePermissionError, "check the rights and credentials for this place"
    if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # all that gcsfs leaves of a 403
        return StorePermissionError, "check the rights and credentials for this place"
    if status == 507 or number in _FULL:
        return StoreFullError, "free some space and try again; nothing that was committed is lost"
    if (status is not None and (status >= 500 or status in (408, 409, 429))) or number in _LATER:
        return StoreUnavailableError, "try again later"
    if isinstance(error, TimeoutError | ConnectionError) or _LATER_NAMES.search(name):
        return StoreUnavailableError, "try again later"
    return BackendError, None

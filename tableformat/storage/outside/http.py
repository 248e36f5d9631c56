"""Reading over HTTP where a hostile store may have chosen the URL: each hop is checked, and the checked address is dialled.

Not fsspec's client: that follows redirects by itself and looks names up again when it connects. No cookies, no proxies, no
credentials are ever sent; bodies come as they are (`identity`).
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self
from urllib.parse import quote, urljoin, urlsplit

from tableformat.errors import (
    AccessRefusedError,
    BackendError,
    CorruptError,
    LimitError,
    NotFoundError,
    StorePermissionError,
    StoreUnavailableError,
    TableformatError,
    message,
)
from tableformat.format.reference import HTTP, Known, normal_etag, scheme_of, shown
from tableformat.storage.outside.addresses import Dial, Resolve, checked_addresses, dial, resolve

__all__ = ["HttpFile", "HttpReader"]

_MAX_HOPS: Final = 10
_TIMEOUT_S: Final = 30.0
_DOING: Final = "opening a reference"
CheckHop = Callable[[str], None]
"""Raises where a URL must not be opened."""


class HttpReader:
    """Opens URLs of `http` and `https`. `check` sees every hop; `lookup` and `connect` are for tests. Safe between threads."""

    def __init__(
        self, check: CheckHop, *, lookup: Resolve = resolve, connect: Dial = dial, context: ssl.SSLContext | None = None
    ) -> None:
        self._check = check
        self._lookup = lookup
        self._connect = connect
        self._context = context

    def head(self, url: str) -> Known:
        """What the server tells of the object: one request, or two where it does not answer HEAD."""
        answer = self._follow("HEAD", url, {})
        if answer.status in (403, 405, 501):  # signed or old servers answer GET alone
            answer.close()
            answer = self._follow("GET", url, {"Range": "bytes=0-0"})
        with answer:
            return _known(_good(answer, url))

    def open(self, url: str) -> HttpFile:
        """A seekable file over the object, and what was told of it in `HttpFile.known`; one request until somebody seeks."""
        return HttpFile(self, url)

    def get(self, url: str, offset: int, etag: str | None) -> _Answer:
        """The object from `offset` on. With `etag`, raises `CorruptError` where it is another object by now."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        answer = self._follow("GET", url, headers)
        if offset and answer.status == 416:
            answer.close()
            return _Answer(None, None, 416, {})
        _good(answer, url)
        found = normal_etag(answer.headers.get("etag"))
        if etag is not None and found is not None and found != etag:
            answer.close()
            raise CorruptError(
                message(
                    "reading a reference",
                    path=shown(url),
                    expected=f"etag {etag}, as when it was opened",
                    got=f"etag {found}",
                )
            )
        if offset and answer.status == 200:  # the server does not know ranges
            answer.skip(offset)
        return answer

    def _follow(self, method: str, url: str, headers: dict[str, str]) -> _Answer:
        for _ in range(_MAX_HOPS):
            answer = self._ask(method, url, headers)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            with answer:
                target = urljoin(url, answer.headers.get("location", "").strip())
            if scheme_of(target) not in HTTP or target == url:
                raise AccessRefusedError(
                    message(_DOING, path=shown(url), expected="a redirect to http or https", got=shown(target),
                            todo="nothing allows it: refer to the object itself")
                )  # fmt: skip
            url = target
        raise BackendError(message(_DOING, path=shown(url), expected=f"at most {_MAX_HOPS} redirects", got="more"))

    def _ask(self, method: str, url: str, headers: dict[str, str]) -> _Answer:
        """One request, no redirects. The address that is dialled is one of those that were checked."""
        self._check(url)
        try:
            parts = urlsplit(url)
            host, secure = (parts.hostname or "").rstrip("."), parts.scheme.lower() == "https"
            port = parts.port or (443 if secure else 80)
        except ValueError as error:
            raise AccessRefusedError(message(_DOING, path=shown(url), got=f"not a URL: {error}")) from error
        addresses = checked_addresses(host, port, shown(url), _DOING, self._lookup)
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{parts.query}" if parts.query else "")
        name = f"[{host}]" if ":" in host else host
        named = name if port == (443 if secure else 80) else f"{name}:{port}"
        try:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
            connection.sock = self._dialled(addresses, port, host if secure else None)
            connection.request(
                method,
                target,
                headers={"Host": named, "Accept-Encoding": "identity", "User-Agent": "tableformat", **headers},
            )
            response = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, TableformatError):
                raise
            raise StoreUnavailableError(
                message(
                    _DOING, path=shown(url), got=f"{type(error).__name__}: {str(error)[:200]}", todo="try again later"
                )
            ) from error
        return _Answer(
            connection, response, response.status, {name.lower(): text for name, text in response.getheaders()}
        )

    def _dialled(self, addresses: list[str], port: int, tls_name: str | None) -> socket.socket:
        problem: OSError | None = None
        for address in addresses:
            try:
                plain = self._connect(address, port, _TIMEOUT_S)
            except OSError as error:
                problem = error
                continue
            if tls_name is None:
                return plain
            return (self._context or ssl.create_default_context()).wrap_socket(plain, server_hostname=tls_name)
        raise problem or OSError("no address answered")


class _Answer:
    """One answer: status, headers in lower case, and the body as it comes."""

    def __init__(self, connection: Any, response: Any, status: int, headers: dict[str, str]) -> None:
        self._connection, self._response = connection, response
        self.status, self.headers = status, headers

    def read(self, count: int) -> bytes:
        """At most `count` bytes of the body; nothing at its end. Raises `StoreUnavailableError` where it breaks off."""
        if self._response is None:
            return b""
        try:
            data: bytes = self._response.read(count)
            left = self._response.length
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailableError(
                message(
                    "reading a reference", got=f"{type(error).__name__}: {str(error)[:200]}", todo="try again later"
                )
            ) from error
        if not data and count and left:  # http.client ends a body that was cut off without a word
            raise StoreUnavailableError(
                message("reading a reference", expected=f"{left} bytes more", got="the end", todo="try again later")
            )
        return data

    def skip(self, count: int) -> None:
        while count > 0:
            data = self.read(min(count, 1 << 20))
            if not data:
                return
            count -= len(data)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HttpFile(io.RawIOBase):
    """The object behind a URL as a file: read on as long as nobody seeks, one request more for each jump."""

    def __init__(self, reader: HttpReader, url: str) -> None:
        super().__init__()
        self._reader, self._url, self._position = reader, url, 0
        self._answer: _Answer | None = reader.get(url, 0, None)
        self._at = 0
        self.known = _known(self._answer)
        """What the server told of the object when it was opened."""

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always; each seek costs a request."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place in the object."""
        if whence == io.SEEK_END and self.known.size is None:
            raise LimitError(
                message("reading a reference", path=shown(self._url), expected="a known length", got="none")
            )
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.known.size or 0}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """The next bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not len(view) or (self.known.size is not None and self._position >= self.known.size):
            return 0
        if self._answer is None or self._at != self._position:
            if self._answer is not None:
                self._answer.close()
            self._answer = self._reader.get(self._url, self._position, self.known.etag)
            self._at = self._position
        data = self._answer.read(len(view))
        view[: len(data)] = data
        self._at = self._position = self._position + len(data)
        return len(data)

    def close(self) -> None:
        """End the connection."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        super().close()


def _good(answer: _Answer, url: str) -> _Answer:
    """The answer, if it holds the object; else the error that its status stands for."""
    status = answer.status
    if 200 <= status < 300:
        return answer
    answer.close()
    kind = (
        NotFoundError
        if status in (404, 410)
        else StorePermissionError
        if status in (401, 403, 407)
        else StoreUnavailableError
        if status >= 500 or status in (408, 425, 429)
        else BackendError
    )
    raise kind(message(_DOING, path=shown(url), expected="the object", got=f"HTTP status {status}"))


def _known(answer: _Answer) -> Known:
    headers = answer.headers
    length = (
        headers.get("content-range", "").rpartition("/")[2]
        if answer.status == 206
        else headers.get("content-length", "")
    )
    version = headers.get("x-amz-version-id") or headers.get("x-goog-generation")
    return Known(
        int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else None,
        normal_etag(headers.get("etag")),
        None if version in (None, "null") else version,
        _modified(headers.get("last-modified")),
    )


def _modified(text: str | None) -> int | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, OverflowError):
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()) * 1_000_000

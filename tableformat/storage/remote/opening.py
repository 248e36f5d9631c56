"""File systems of fsspec, made as a store needs them: no listing caches, no sharing with others, bounded waits, one layer of retries.

What a client does by default is made for browsing: listings that stay stale for ever, one instance for all callers that
name the same bucket, ten connections, retries of one layer multiplied by those of the next. Whatever the caller says in
`storage_options` goes before what is set here.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, BinaryIO, Final

from tableformat.errors import InvalidInputError, MissingExtraError, message
from tableformat.storage.faults import fault, scrub

__all__ = ["ATOMIC_CREATE", "AZURE", "CACHES", "GCS", "HTTP", "S3", "Options", "open_any", "open_file_system"]

Options = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""What fsspec calls storage options, or an importable function that returns them; only the function is ever pickled."""

S3: Final = frozenset({"s3", "s3a"})
GCS: Final = frozenset({"gs", "gcs"})
AZURE: Final = frozenset({"abfs", "abfss", "az"})
HTTP: Final = frozenset({"http", "https"})
CACHES: Final = frozenset({"blockcache", "cached", "filecache", "simplecache"})
"""Wrappers that keep what they read on this machine."""
ATOMIC_CREATE: Final = S3 | GCS | AZURE | {"memory"}
"""Their `mode="create"` is one conditional request (or, in memory, under our lock). Elsewhere it may be a look and then
a write, which a probe cannot tell from the real thing."""

_EXTRAS: Final = {
    **dict.fromkeys(S3, ("s3fs", "s3")),
    **dict.fromkeys(GCS, ("gcsfs", "gcs")),
    **dict.fromkeys(AZURE, ("adlfs", "azure")),
    **dict.fromkeys(HTTP, ("aiohttp", "http")),
}
# Making a client of S3 costs a third of a second of processor time. They are used by stores of this library alone.
_made: Final[OrderedDict[bytes, Any]] = OrderedDict()
_made_lock = threading.Lock()
_MOST_MADE: Final = 16
_TELLING: Final = ("AWS_", "BOTO", "FSSPEC_", "GCSFS_", "GOOGLE_", "HTTP", "http", "STORAGE_EMULATOR")
"""How the names of variables begin from which clients take credentials and addresses."""
_CONNECTIONS: Final = 64
_S3_ATTEMPTS: Final = 4
_CONNECT_SECONDS: Final = 10
_SILENCE_SECONDS: Final = 30
"""How long a server may say nothing. The clients' own bounds are five minutes for a whole request, however long it is."""


def open_file_system(url: str, options: Options | None) -> tuple[Any, str]:
    """The file system of `url` and the root as it names it. A chain (`simplecache::s3://…`) takes nested options, as in
    fsspec: `{"s3": {…}, "simplecache": {…}}`.

    Raises `MissingExtraError`, `InvalidInputError` for a scheme that nobody knows, and errors of the client.
    """
    import fsspec
    import fsspec.core  # a third of this library's import time, and stores on this machine do without

    given = dict(options() if callable(options) else options or {})
    doing = "opening the place of a store"
    try:
        if "::" in url:
            fs, base = _open_chain(url, given)
        else:
            fs, base = _open_one(url, given)
    except ImportError as error:
        scheme = protocol_of(url.rpartition("::")[2])
        package, extra = _EXTRAS.get(scheme, (f"for {scheme}:// URLs", "all"))
        raise MissingExtraError(doing, package, extra) from error
    except Exception as error:  # of whatever class the client has; mapped
        scheme = protocol_of(url.rpartition("::")[2])
        if scheme not in fsspec.available_protocols():
            raise InvalidInputError(message(doing, path=scrub(url), got=f"the unknown scheme {scheme!r}")) from error
        raise fault(error, doing, scrub(url)) from error
    return fs, str(base).rstrip("/")


def open_any(url: str, options: Options | None) -> BinaryIO:
    """A file at any URL, opened for reading. Decides nothing about what may be opened."""
    import fsspec

    try:
        file: BinaryIO = fsspec.open(url, "rb", **(dict(options() if callable(options) else options or {}))).open()
    except Exception as error:
        raise fault(error, "opening a URL", scrub(url)) from error
    return file


def protocol_of(url: str) -> str:
    """The scheme of a URL; `file` where there is none."""
    scheme, colon, _ = url.partition("://")
    return scheme.lower() if colon else "file"


def _open_one(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    import fsspec.core

    scheme = protocol_of(url)
    settled = _settled(scheme, options)
    if scheme in HTTP:
        from tableformat.storage.remote.http import RangedHttp

        return RangedHttp(**settled), url
    if scheme not in S3 | GCS:
        fs, base = fsspec.core.url_to_fs(url, **settled)
        return fs, str(base)
    key = _key(scheme, options)
    with _made_lock:
        fs = _made.get(key) if key is not None else None
        if fs is None:
            fs = _make(scheme, url, settled)
            if key is not None:
                _made[key] = fs
                while len(_made) > _MOST_MADE:
                    _made.popitem(last=False)
    return fs, str(fs._strip_protocol(url))


def _unlock() -> None:
    """In a forked child: a thread that held the lock did not come along."""
    global _made_lock
    _made_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def _make(scheme: str, url: str, settled: dict[str, Any]) -> Any:
    import fsspec.core

    if scheme in GCS:
        from tableformat.storage.remote.gcs import file_system_class

        return file_system_class()(**settled)
    fs, _ = fsspec.core.url_to_fs(url, **settled)
    # botocore repeats; s3fs on top of that would repeat each repetition, and a third layer in its reads again.
    fs.retries = 1
    return fs


def _key(scheme: str, options: dict[str, Any]) -> bytes | None:
    """What two file systems have in common that may be one: options, environment and process. None: it cannot be told."""
    told = {name: value for name, value in os.environ.items() if name.startswith(_TELLING)}
    try:
        text = json.dumps([scheme, options, told, os.getpid()], sort_keys=True)
    except (TypeError, ValueError):
        return None
    return sha256(text.encode()).digest()


def _open_chain(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    """A chain, for reading. The file system below a cache is made by us; other chains as fsspec makes them."""
    import fsspec
    import fsspec.core

    outer, _, rest = url.partition("::")
    if outer not in CACHES or "::" in rest:
        fs, base = fsspec.core.url_to_fs(url, **options)
        return fs, str(base)
    scheme = protocol_of(rest)
    target, base = _open_one(rest, dict(options.get(scheme, {})))
    own = {name: value for name, value in options.items() if name not in (scheme, outer)}
    cache = fsspec.get_filesystem_class(outer)
    return cache(fs=target, skip_instance_cache=True, **own, **options.get(outer, {})), base


def _settled(scheme: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options with ours beside them; never cached listings, never a shared instance."""
    made: dict[str, Any] = {**options, "use_listings_cache": False, "skip_instance_cache": True}
    if scheme in S3:
        config = {
            "max_pool_connections": _CONNECTIONS,
            "retries": {"mode": "standard", "total_max_attempts": _S3_ATTEMPTS},
        }
        made["config_kwargs"] = {**config, **(options.get("config_kwargs") or {})}
    elif scheme in GCS:
        made.setdefault("requests_timeout", _silence())
    elif scheme in HTTP:
        made["client_kwargs"] = {"timeout": _silence(), **(options.get("client_kwargs") or {})}
    return made


def _silence() -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)

"""Where the bytes of a store lie: `open_backend` makes a `Backend` from a URL.

A folder of this machine is served by `LocalBackend`, without fsspec; every other URL by a file system of fsspec
(`storage/remote/`) that this library alone uses: no listing cache (nothing here is ever decided by a stale listing), not
shared through fsspec's own cache of instances, and made anew after a fork, where fsspec's event loop does not survive.
"""

from __future__ import annotations

import os
import re
from typing import BinaryIO, Final

from tableformat.errors import InvalidInputError, message
from tableformat.storage.faults import scrub
from tableformat.storage.interface import Backend, ObjectInfo, Sink, check_path
from tableformat.storage.local import LocalBackend
from tableformat.storage.remote.fsspec_backend import MAX_CREATE_BYTES, FsspecBackend
from tableformat.storage.remote.opening import AZURE, CACHES, GCS, HTTP, S3, Options, open_any, open_file_system

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
    "open_file_system",
    "open_url",
]

_PASSWORD: Final = re.compile(r"://[^/]*:[^/]*@")
_WITHOUT_USERS: Final = S3 | GCS | AZURE | HTTP | {"memory"}
"""Schemes whose clients take user-info for a part of a name, and repeat it."""
# Without a target they name nothing; below another scheme they are a chain.
_WRAPPERS: Final = CACHES | {"asynclocal", "dir", "generic", "reference", "local+cache"}


def open_backend(
    url: str | os.PathLike[str], storage_options: Options | None = None, *, trust_create: bool = False
) -> Backend:
    """The backend for the root `url`: a path or `file://` URL of this machine, or any URL that fsspec knows.

    Moves no bytes. HTTP(S) URLs and chains such as `simplecache::s3://…` can be read and not written. `trust_create` lets
    writers onto a file system whose create-if-absent this library does not know to be atomic. Raises `InvalidInputError`
    for wrappers without a target, and URLs with a password or a query.
    """
    text = os.fspath(url)
    doing = "opening the place of a store"
    if not text or "\0" in text:
        raise InvalidInputError(message(doing, expected="a path or a URL", got=repr(text)[:200]))
    chain, colons, target = text.rpartition("::")
    scheme, colon, rest = target.partition("://")
    if not colon:
        if colons:
            scheme, rest = "file", os.path.abspath(os.path.expanduser(target))
        else:
            return LocalBackend(os.path.expanduser(text))
    scheme = scheme.lower()
    if scheme in _WRAPPERS:
        raise InvalidInputError(
            message(doing, path=scrub(text), expected="a place, or a chain that ends in one", got="a wrapper without a target",
                    todo="for a cache on this machine: simplecache::s3://…, for reading")
        )  # fmt: skip
    if scheme in _WITHOUT_USERS and _PASSWORD.search(text) is not None:
        raise InvalidInputError(
            message(doing, path=f"{scheme}://…", expected="a URL without a password in it", got="user-info",
                    todo="pass credentials as storage_options, which are never written or shown")
        )  # fmt: skip
    if "?" in rest or "#" in rest:
        raise InvalidInputError(
            message(doing, path=scrub(text), expected="a root URL without a query or a fragment",
                    todo="pass credentials as storage_options; an address with # names something inside a store")
        )  # fmt: skip
    if scheme in ("file", "local") and not colons:
        return LocalBackend(rest if rest.startswith("/") else os.path.expanduser(rest))
    return FsspecBackend(scheme, rest.rstrip("/"), storage_options, trust_create, chain + colons)


def open_url(url: str, storage_options: Options | None = None) -> BinaryIO:
    """A file at any URL that fsspec knows, or a local path, opened for reading; bytes move as it is read.

    Decides nothing about what may be opened: the caller has. Raises the errors of `tableformat.errors`.
    """
    return open_any(url, storage_options)

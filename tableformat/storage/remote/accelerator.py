"""obstore, where it is installed, for reads from S3: the same ranges with a fraction of the processor's time.

Reads only. Its wrapper for fsspec overwrites where it should create, so no commit goes near it. It signs with the
credentials that s3fs found and asks the same endpoint; whatever it cannot answer, s3fs is asked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tableformat.storage.ranges import Range

__all__ = ["Accelerator", "accelerator_of"]

_SWITCH: Final = "TABLEFORMAT_OBSTORE"
"""Set to 0 in the environment to read through s3fs alone."""
_KNOWN: Final = frozenset(
    {"anon", "client_kwargs", "config_kwargs", "endpoint_url", "key", "secret", "skip_instance_cache", "token",
     "use_listings_cache", "use_ssl"}
)  # fmt: skip
_KNOWN_CLIENT: Final = frozenset({"endpoint_url", "region_name"})
_KNOWN_CONFIG: Final = frozenset({"connect_timeout", "max_pool_connections", "read_timeout", "retries"})


_SECONDS: Final = 30
"""For a whole request, which is seldom longer than 8 MiB."""
_MOST_FAILURES: Final = 3
"""In a row, after which it is not asked any more."""
_homes: Final[list[int]] = []
"""The process whose threads obstore runs on. A forked child has its memory and not the threads, and would wait for ever."""


class Accelerator:
    """Ranges of the objects of one bucket, read by obstore on the event loop of the file system."""

    def __init__(self, store: Any, prefix: str, loop: Any) -> None:
        self._store = store
        self._prefix = prefix
        self._loop = loop
        self._failures = 0

    def read(self, ranges: Sequence[Range]) -> list[bytes | BaseException] | None:
        """For each (path, first, end) its bytes, or `FileNotFoundError`; None where the other client is to be asked."""
        import fsspec.asyn

        if self._failures >= _MOST_FAILURES:
            return None
        try:
            found: list[bytes | BaseException] = fsspec.asyn.sync(self._loop, self._gather, ranges)
        except Exception:  # noqa: BLE001 - its errors say less than those of the client that is asked next
            self._failures += 1
            return None
        self._failures = 0
        return found

    async def _gather(self, ranges: Sequence[Range]) -> list[bytes | BaseException]:
        import asyncio

        return list(await asyncio.gather(*(self._one(*wanted) for wanted in ranges)))

    async def _one(self, path: str, first: int, end: int) -> bytes | BaseException:
        import obstore

        try:
            return bytes(await obstore.get_range_async(self._store, self._prefix + path, start=first, end=end))
        except FileNotFoundError as error:
            return error


def accelerator_of(fs: Any, base: str) -> Accelerator | None:
    """The accelerator beside `fs`, an s3fs file system with the root `base`; None where obstore is not there, is switched
    off, or would not do the same as `fs`."""
    try:
        from obstore.store import S3Store
    except ImportError:
        return None
    bucket, _, prefix = base.partition("/")
    if (_homes or [os.getpid()])[0] != os.getpid():
        return None
    try:
        if os.environ.get(_SWITCH, "1") == "0" or not _is_plain(fs):
            return None
        fs.connect()
        waits = float((fs.config_kwargs or {}).get("read_timeout", _SECONDS))
        endpoint, region = fs._s3.meta.endpoint_url, fs._s3.meta.region_name
        settings: dict[str, Any] = {"skip_signature": True} if fs.anon else {"credential_provider": _Credentials(fs)}
        store = S3Store(
            bucket,
            endpoint=endpoint,
            region=region or "us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": str(endpoint).startswith("http://"), "timeout": f"{waits:g}s", "connect_timeout": "10s"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
            **settings,
        )  # fmt: skip
    except Exception:  # noqa: BLE001 - the other client is there
        return None
    _homes[:] = [os.getpid()]
    return Accelerator(store, f"{prefix}/" if prefix else "", fs.loop)


def _is_plain(fs: Any) -> bool:
    """Whether all that `fs` was told is something that obstore can be told too."""
    options = {name for name, value in fs.storage_options.items() if value is not None}
    client = set(fs.client_kwargs or {})
    return options <= _KNOWN and client <= _KNOWN_CLIENT and set(fs.config_kwargs or {}) <= _KNOWN_CONFIG


class _Credentials:
    """What s3fs signs with, as obstore asks for it."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    async def __call__(self) -> dict[str, Any]:
        if self._fs.key and self._fs.secret:  # given, and then the session has none
            return {
                "access_key_id": self._fs.key, "secret_access_key": self._fs.secret, "token": self._fs.token, "expires_at": None,
            }  # fmt: skip
        found = await (await self._fs.session.get_credentials()).get_frozen_credentials()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            # botocore renews what has less than ten minutes to live; obstore asks again when five are left.
            "expires_at": None if found.token is None else datetime.now(UTC) + timedelta(minutes=10),
        }

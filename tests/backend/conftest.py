"""Object stores for the tests of this folder: each is started once for a test process, when it is first asked for."""

from __future__ import annotations

import asyncio
import os
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tableformat.testing.servers import Server, ServerMissingError, gcs_server, moto_server, rados_gateway


def _started(make: Callable[[], AbstractContextManager[Server]]) -> Iterator[Server]:
    try:
        manager = make()
        server = manager.__enter__()
    except ServerMissingError as missing:
        if os.environ.get("TABLEFORMAT_SERVERS") == "required":
            raise
        pytest.skip(str(missing))
    try:
        yield server
    finally:
        manager.__exit__(None, None, None)


@pytest.fixture(scope="session")
def rgw() -> Iterator[Server]:
    """Ceph's RADOS Gateway."""
    yield from _started(rados_gateway)


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """moto."""
    yield from _started(moto_server)


@pytest.fixture(scope="session")
def gcs() -> Iterator[Server]:
    """The JSON API of Google Cloud Storage."""
    yield from _started(gcs_server)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients repeat as they always do, and wait a hundredth of the time between."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 100)

    for name in ("gcsfs.retry", "aiobotocore.endpoint", "s3fs.core"):
        module = pytest.importorskip(name)
        shim = types.ModuleType("asyncio")
        shim.__dict__.update({**vars(asyncio), "sleep": sleep})
        monkeypatch.setattr(module, "asyncio", shim)


@pytest.fixture(params=["rgw", "gcs"])
def server(request: pytest.FixtureRequest) -> Server:
    """An S3 server, then a GCS server."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["rgw", "moto", "gcs"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Each server in turn."""
    return request.getfixturevalue(request.param)

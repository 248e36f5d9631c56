"""The proxy that the tests of remote stores look through: it leaves nothing behind."""

import contextlib
import gc
import socket

import pytest

from tableformat.testing.proxy import Proxy


@pytest.mark.parametrize("round_", range(20))
def test_a_proxy_that_ends_closes_its_connections(round_: int, recwarn: pytest.WarningsRecorder) -> None:
    """However far a connection had come, its socket is closed when the proxy ends: none is left to the collector."""
    with contextlib.ExitStack() as clients, socket.create_server(("127.0.0.1", 0)) as upstream:
        with Proxy(upstream.getsockname()[1]) as proxy:
            for number in range(round_ % 5 + 1):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
                client.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" if number % 2 else b"GET")
        gc.collect()
        assert [str(one.message) for one in recwarn if issubclass(one.category, ResourceWarning)] == []

"""A web server on this machine, reached under names and addresses of the public internet: only the dialling is ours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tableformat.storage.outside.http import HttpReader

PUBLIC = "93.184.216.34"
"""An address that is public; connections to it come to the server."""


@dataclass
class Web:
    """What the server answers, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Bodies by path."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Targets by path."""
    redirect_status: int = 302
    etags: dict[str, str] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=lambda: {"images.example": [PUBLIC]})
    """What a name resolves to; a list is given out item by item, the last for ever, if `rebinds`."""
    rebinds: bool = False
    knows_ranges: bool = True
    breaks_after: int | None = None
    """Bytes of a body after which the connection ends."""
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    port: int = 0

    def reader(self, check: Callable[[str], None] = lambda url: None) -> HttpReader:
        return HttpReader(check, lookup=self.lookup, connect=self.connect)

    def lookup(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        found = self.names.get(host)
        if found is None:
            return [
                info[4][0]
                for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            ]
        if self.rebinds and len(found) > 1:
            return [found.pop(0)]
        return found

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.dialled.append(address)
        assert address == PUBLIC, f"a connection to {address}"
        return socket.create_connection(("127.0.0.1", self.port), timeout)


@contextmanager
def serving() -> Iterator[Web]:
    """A server for the block."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            web.requests.append(f"{self.command} {self.path}")
            web.headers.append(dict(self.headers))
            if self.path in web.redirects:
                self.send_response(web.redirect_status)
                self.send_header("Location", web.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = web.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            first, total = 0, len(data)
            wanted = self.headers.get("Range") if web.knows_ranges else None
            if wanted is not None:
                begin, _, end = wanted.removeprefix("bytes=").partition("-")
                first = int(begin)
                if first >= total:
                    self.send_error(416)
                    return
                data = data[first : int(end) + 1 if end else total]
            self.send_response(206 if wanted is not None else 200)
            self.send_header("Content-Length", str(len(data)))
            if wanted is not None:
                self.send_header("Content-Range", f"bytes {first}-{first + len(data) - 1}/{total}")
            if self.path in web.etags:
                self.send_header("ETag", web.etags[self.path])
            self.end_headers()
            if body:
                self.wfile.write(data if web.breaks_after is None else data[: web.breaks_after])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A proxy for HTTP on this machine that counts what goes through, adds latency, and makes requests fail on purpose.

    with Proxy(server.port) as proxy:
        proxy.fail("lost", method="PUT", path="versions/")
        …
        assert len(proxy.requests) <= 3

It hands bodies on whole, so what it holds is what is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self

__all__ = ["Action", "Proxy", "Request"]

Action = Literal["status", "lost", "reset", "reset-half", "truncate", "flip", "stall"]
"""`status`: an answer with that status, nothing done · `lost`: done, and the answer lost · `reset`, `reset-half`: the
connection broken before, or after half of the body was sent on · `truncate`: the answer's body cut in half · `flip`: one bit
of it changed · `stall`: nothing, until the client gives up."""

_SLOW_DOWN: Final = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>injected</Message></Error>'
_CODES: Final = {409: b"ConditionalRequestConflict", 412: b"PreconditionFailed", 403: b"AccessDenied", 503: b"SlowDown"}
_WITHOUT_BODY: Final = {204, 304}


@dataclass(slots=True)
class Request:
    """One request that arrived."""

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case."""
    sent: int = 0
    """Bytes of its body."""
    received: int = 0
    """Bytes of the answer's body."""
    status: int = 0
    """Of the answer; 0 if there was none."""
    action: str | None = None
    """The fault it met."""
    began: float = 0.0
    """Seconds, by the clock of `time.monotonic`."""
    ended: float = 0.0


@dataclass(slots=True)
class _Rule:
    action: Action
    method: str | None
    path: re.Pattern[str] | None
    nth: int
    times: int
    status: int

    def meets(self, request: Request) -> bool:
        if (self.method and request.method != self.method) or (self.path and not self.path.search(request.path)):
            return False
        self.nth -= 1
        if self.nth > 0 or self.times <= 0:
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class _Head:
    """The first lines of a request or an answer."""

    raw: bytes
    first: str
    fields: dict[str, str] = field(default_factory=dict)


class Proxy:
    """Listens on `port` (chosen) of 127.0.0.1 and hands requests on to `upstream`, each on a connection of its own."""

    def __init__(self, upstream: int, *, latency: float = 0.0) -> None:
        self.upstream = upstream
        self.latency = latency
        """Seconds that each answer waits."""
        self.port = 0
        self.requests: list[Request] = []
        """All that arrived, in that order."""
        self._rules: list[_Rule] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._ready = threading.Event()
        self._clients: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def fail(
        self, action: Action, *, method: str | None = None, path: str | None = None, nth: int = 1, times: int = 1, status: int = 503
    ) -> None:  # fmt: skip
        """Let `times` requests fail from the `nth` on that has this method and whose path matches this expression."""
        self._rules.append(_Rule(action, method, re.compile(path) if path else None, nth, times, status))

    def heal(self) -> None:
        """Take back every fault that is still to come."""
        self._rules.clear()

    def clear(self) -> None:
        """Forget the requests so far."""
        self.requests = []

    def count(self, method: str | None = None, path: str = "") -> int:
        """How many requests there were with this method and this expression in their path."""
        return len(self._chosen(method, path))

    def received(self, method: str | None = None, path: str = "") -> int:
        """The bytes of the answers' bodies."""
        return sum(request.received for request in self._chosen(method, path))

    def most_in_flight(self, method: str | None = None, path: str = "") -> int:
        """How many requests were under way at the same time, at most."""
        chosen = self._chosen(method, path)
        turns = sorted([(request.began, 1) for request in chosen] + [(request.ended, -1) for request in chosen])
        most = now = 0
        for _, turn in turns:
            now += turn
            most = max(most, now)
        return most

    def round_trips(self) -> int:
        """How many requests followed one another at least: the longest chain in which each began when another had ended."""
        longest: list[tuple[float, int]] = []
        for request in sorted(self.requests, key=lambda one: one.ended):
            before = max((depth for ended, depth in longest if ended <= request.began), default=0)
            longest.append((request.ended, before + 1))
        return max((depth for _, depth in longest), default=0)

    def _chosen(self, method: str | None, path: str) -> list[Request]:
        return [
            one for one in list(self.requests) if method in (None, one.method) and (not path or re.search(path, one.path))
        ]  # fmt: skip

    # Within: the loop's thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 20))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        for listening in server.sockets:
            self._loop.remove_reader(listening)
        self._loop.run_until_complete(_turns())  # what was just accepted has a task then, whose end closes it
        server.close()  # not before: it lets fall what is not attached to it yet
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(_turns())  # sockets are closed a turn after their transport
        self._loop.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._client(reader, writer))
        self._clients.add(task)

        def end(task: asyncio.Task[None]) -> None:
            """Close the connection here: a task that is cancelled before it began closes nothing."""
            self._clients.discard(task)
            if task.cancelled():
                writer.transport.abort()
            else:
                writer.close()

        task.add_done_callback(end)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _no_delay(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._request(reader, writer):
                pass

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; False where the connection ends with it."""
        head = await _read_head(reader)
        method, path, _ = head.first.split(" ", 2)
        request = Request(method, path, head.fields, began=time.monotonic())
        rule = next((one for one in self._rules if one.meets(request)), None)
        request.action = rule.action if rule else None
        self.requests.append(request)
        try:
            if head.fields.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                head.raw = re.sub(rb"(?i)expect:[^\r]*\r\n", b"", head.raw)
            if rule is not None and rule.action in ("reset", "reset-half"):
                await self._break(rule, head, reader, writer)
                return False
            body = await _read_body(reader, head.fields)
            request.sent = len(body)
            if rule is not None and rule.action == "stall":
                await asyncio.sleep(3600)
            if rule is not None and rule.action == "status":
                text = _SLOW_DOWN % _CODES.get(rule.status, b"InternalError") if method != "HEAD" else b""
                writer.write(b"HTTP/1.1 %d Injected\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % (rule.status, len(text)) + text)  # fmt: skip
                await writer.drain()
                request.status = rule.status
                return True
            return await self._hand_on(request, rule, head, body, writer)
        finally:
            request.ended = time.monotonic()

    async def _hand_on(self, request: Request, rule: _Rule | None, head: _Head, body: bytes, writer: asyncio.StreamWriter) -> bool:  # fmt: skip
        if self.latency:
            await asyncio.sleep(self.latency)
        async with _connected(self.upstream) as (up_reader, up_writer):
            up_writer.write(head.raw + body)
            await up_writer.drain()
            answer = await _read_head(up_reader)
            while " 100 " in answer.first:
                answer = await _read_head(up_reader)
            status = int(answer.first.split(" ")[1])
            has_body = request.method != "HEAD" and status not in _WITHOUT_BODY
            data = await _read_body(up_reader, answer.fields, to_end=True) if has_body else b""
        action = rule.action if rule else None
        if action == "lost":
            _reset(writer)
            return False
        request.status, request.received = status, len(data)
        request.ended = time.monotonic()  # before the client can see the answer and go on
        if action == "truncate":
            writer.write(answer.raw + data[: len(data) // 2])
            await writer.drain()
            return False
        if action == "flip" and data:
            data = data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
        writer.write(answer.raw + data)
        await writer.drain()
        kept = "content-length" in answer.fields or "transfer-encoding" in answer.fields or not has_body
        return kept and "close" not in (answer.fields.get("connection", "").lower(), head.fields.get("connection", "").lower())  # fmt: skip

    async def _break(self, rule: _Rule, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # fmt: skip
        if rule.action == "reset-half":
            half = await reader.readexactly(int(head.fields.get("content-length", "0")) // 2)
            async with _connected(self.upstream) as (_, up_writer):
                up_writer.write(head.raw + half)
                await up_writer.drain()
        _reset(writer)


async def _turns() -> None:
    """Let whatever is due in the loop have its turn, and what follows from it."""
    for _ in range(5):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    _no_delay(writer)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return _Head(raw, first, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def _read_body(reader: asyncio.StreamReader, fields: dict[str, str], *, to_end: bool = False) -> bytes:
    """The body as it travels: chunks with their lengths where it is chunked."""
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    if "chunked" not in fields.get("transfer-encoding", ""):
        return await reader.read() if to_end else b""
    pieces = []
    while True:
        line = await reader.readline()
        size = int(line.split(b";")[0], 16)
        pieces += [line, await reader.readexactly(size + 2)]
        if size == 0:
            return b"".join(pieces)


def _no_delay(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset, not politely."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

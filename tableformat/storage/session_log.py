"""The log of a session that has a name: a series of create-only records, each of which says who wrote it.

Whoever creates the next record holds the session. So a writer that was taken for dead, and goes on, finds the number of its
next record taken and stops: nothing that two processes do can be mixed (spec/versions.md, "Sessions with a name").
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tableformat.document import JsonObject, decode_document
from tableformat.errors import IllegalNameError, TableformatError, UsageError, message
from tableformat.format.documents import Fields, encode_sealed, unsealed, utc_text
from tableformat.storage.holder import Holder
from tableformat.storage.interface import Backend
from tableformat.storage.names import check_name, decode_name, encode_name
from tableformat.storage.series import Series

__all__ = [
    "BEAT_S",
    "LEASE_S",
    "Begin",
    "Record",
    "SessionLog",
    "folder_of",
    "iter_names",
    "iter_records",
    "read_done",
    "remove_session",
]

LEASE_S: Final = 300
"""Seconds after its last record in which a holder on another machine counts as alive."""
BEAT_S: Final = 60
"""A holder that has nothing else to say writes a record after so many seconds."""
MAX_RECORD_BYTES: Final = 64 << 20
_TOGETHER: Final = 64
_HEX: Final = re.compile(r"[0-9a-f]{32}")
_EVENTS: Final = frozenset({"open", "beat", "parts", "seal", "drop", "commit", "release"})
_MAX_DONE_BYTES: Final = 16 << 20


def folder_of(name: str) -> str:
    """The folder of the session `name`. Raises `IllegalNameError` for what is no name: the grammar is that of artifacts, but
    for 32 hex digits, which are what sessions without a name are called."""
    if _HEX.fullmatch(check_name(name, "id of a session")):
        raise IllegalNameError(
            message("naming a session", expected="a name that is not 32 hex digits, which sessions without one have", got=repr(name))
        )  # fmt: skip
    return f"sessions/{encode_name(name)}"


def iter_names(backend: Backend) -> Iterator[str]:
    """The names of the sessions that have one, committed ones included. Lists a folder."""
    for segment in backend.list_folders("sessions"):
        try:
            name = decode_name(segment)
        except IllegalNameError:
            continue  # not ours
        if not _HEX.fullmatch(name):
            yield name


@dataclass(frozen=True, slots=True)
class Begin:
    """The document `begin.json` of a session that has a name."""

    id: str
    """32 hex digits: those of this session and of no other one of its name."""
    name: str
    artifact: str
    time: str
    base: str | None = None
    """What the draft was to be based on, in the words of its maker."""
    base_slot: int | None = None
    """The slot that this meant when the session began; None where there was no version."""
    base_root: str | None = None
    newest_slot: int | None = None
    """The newest version at that time: what tables take their ids, layout and parts from."""
    newest_root: str | None = None

    def to_json(self) -> JsonObject:
        """The document."""
        return {
            "artifact": self.artifact, "base": self.base, "base_root": self.base_root, "base_slot": self.base_slot, "format": 1, "kind": "session",
            "name": self.name, "newest_root": self.newest_root, "newest_slot": self.newest_slot, "session": self.id, "time": self.time,
        }  # fmt: skip

    @classmethod
    def decode(cls, data: bytes, path: str) -> Begin:
        """Read the document; raises `FormatError`, or `UnsupportedError` for a later format."""
        fields = Fields(unsealed(decode_document(data, path), path), path, "session")
        base = fields.take("base")
        if not isinstance(base, str | None):
            raise fields.bad("base", "text or null", base)
        return cls(
            fields.id("session"), fields.text("name"), fields.text("artifact"), fields.time("time"), base,
            fields.integer_or_none("base_slot"), fields.digest_or_none("base_root"),
            fields.integer_or_none("newest_slot"), fields.digest_or_none("newest_root"),
        )  # fmt: skip

    @classmethod
    def read(cls, backend: Backend, name: str) -> Begin | None:
        """The beginning of the session `name`; None where it has not begun, or was committed or discarded."""
        path = f"{folder_of(name)}/begin.json"
        data = backend.read_or_none(path, limit=1 << 20)
        return None if data is None else cls.decode(data, f"{backend.root}/{path}")

    @property
    def age_s(self) -> float:
        """Seconds since it began, by the clocks of its maker and of this machine."""
        return _seconds_since(self.time)


def read_done(backend: Backend, name: str) -> JsonObject | None:
    """What the session `name` was committed as: `artifact`, `slot`, `root`, `base`, `tables`; None where it was not."""
    path = f"{folder_of(name)}/done.json"
    data = backend.read_or_none(path, limit=_MAX_DONE_BYTES)
    if data is None:
        return None
    fields = Fields(unsealed(decode_document(data, path), path), f"{backend.root}/{path}", "session-done")
    return {
        "artifact": fields.text("artifact"), "slot": fields.integer("slot"), "root": fields.digest("root"),
        "session": fields.id("session"), "base": fields.take("base"), "tables": fields.objects("tables"), "time": fields.time("time"),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One document of the log."""

    number: int
    event: str
    """`open`, `beat`, `parts`, `seal`, `drop`, `commit` or `release`."""
    holder: Holder
    time: str
    """When it was written, by the clock of the holder."""
    since: str
    """When the holder opened the session."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """What else it says."""

    @classmethod
    def decode(cls, data: bytes, path: str, session: str, number: int) -> Record:
        """Read a record; raises `FormatError` where it is none, or one of another session or number."""
        fields = Fields(unsealed(decode_document(data, path), path), path, "session-record")
        if (found := fields.id("session")) != session:
            raise fields.bad("session", session, found)
        if (there := fields.integer("number")) != number:
            raise fields.bad("number", str(number), there)
        if (event := fields.text("event")) not in _EVENTS:
            raise fields.bad("event", ", ".join(sorted(_EVENTS)), event)
        holder = Holder.from_json(fields.take("holder"), path)
        return cls(number, event, holder, fields.time("time"), fields.time("since"), fields.rest())

    def held_by(self, here: Holder) -> str | None:
        """Who holds the session, if somebody else does as far as `here` can see: a sentence about them; else None."""
        if self.event == "release":
            return None
        is_gone = self.holder.is_gone(here)
        quiet = _seconds_since(self.time)
        if is_gone or (is_gone is None and quiet > LEASE_S):
            return None
        told = f"{self.holder}, since {self.since}"
        return told if is_gone is False else f"{told}, last heard of {max(0, round(quiet))} s ago"


def iter_records(backend: Backend, begin: Begin) -> Iterator[Record]:
    """The log of a session from its first record. Reads 64 at a time, and holds those."""
    series = _series(backend, begin)
    number = 0
    while True:
        for data in series.read_many(number, number + _TOGETHER - 1):
            if data is None:
                return
            yield Record.decode(data, f"{backend.root}/{series.path(number)}", begin.id, number)
            number += 1


def _series(backend: Backend, begin: Begin) -> Series:
    return Series(backend, f"{folder_of(begin.name)}/{begin.id}", limit=MAX_RECORD_BYTES)


class SessionLog:
    """The log in the hands of this process, which holds the session until `release`, or until it is taken from it.

    A thread of its own keeps it alive. Safe from many threads.
    """

    def __init__(self, backend: Backend, begin: Begin, records: list[Record]) -> None:
        self._backend = backend
        self.begin: Final = begin
        self._series = _series(backend, begin)
        self._next = records[-1].number + 1 if records else 0
        self._here = Holder.here()
        self._since = _now()
        self._lock = threading.Lock()
        self._taken: str | None = None
        self._written = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_over = False

    @classmethod
    def open(cls, backend: Backend, begin: Begin) -> tuple[SessionLog, list[Record]]:
        """Take the session: its log and the records so far. Raises `UsageError` naming who holds it, where somebody does."""
        records = list(iter_records(backend, begin))
        log = cls(backend, begin, records)
        if records and (told := records[-1].held_by(log._here)) is not None:
            raise UsageError(_held(begin.name, told))
        log.append("open")
        log._thread = threading.Thread(target=log._beat, name="tableformat-session", daemon=True)
        log._thread.start()
        return log, records

    @staticmethod
    def create(backend: Backend, name: str, make: Callable[[str], Begin]) -> Begin:
        """The beginning of the session `name`: the one that `make` gives for a new id, or what another writer made first."""
        begin = make(uuid.uuid4().hex)
        backend.create(f"{folder_of(name)}/begin.json", encode_sealed(begin.to_json()))
        return Begin.read(backend, name) or begin

    def append(self, event: str, **body: Any) -> None:
        """Write the next record. Raises `UsageError` where another process has taken the session: nothing was written then."""
        with self._lock:
            self._append(event, body)

    def _append(self, event: str, body: Mapping[str, Any]) -> None:
        self.check()
        document = {
            **body, "event": event, "format": 1, "holder": self._here.to_json(), "kind": "session-record", "nonce": uuid.uuid4().hex,
            "number": self._next, "session": self.begin.id, "since": self._since, "time": _now(),
        }  # fmt: skip
        other = self._series.create(self._next, encode_sealed(document), lambda found: False)  # noqa: ARG005 - it is ours if it is equal
        if other is not None:
            path = self._series.path(self._next)
            found = Record.decode(other, path, self.begin.id, self._next)
            self._taken = f"{found.holder}, since {found.since}"
            self.check()
        self._next += 1
        self._written = time.monotonic()

    def check(self) -> None:
        """Raise `UsageError` where another process is known to have taken the session."""
        if self._taken is not None:
            raise UsageError(_held(self.begin.name, self._taken))

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S / 4):
            try:
                with self._lock:  # a beat after the release would hold the session again
                    if time.monotonic() - self._written >= BEAT_S and not self._stop.is_set():
                        self._append("beat", {})
            except UsageError:
                return  # told at the next record of the owner
            except TableformatError:
                continue  # the store is away for a moment: the lease is longer than that

    def release(self) -> None:
        """Give the session back, for whoever opens it next. What fails is passed over: the lease ends by itself. May be called twice."""
        if self._stop.is_set():
            return
        with self._lock:
            try:
                if self._taken is None:
                    self._append("release", {})
            except TableformatError:
                pass
            self._stop.set()
        self._end()

    def finish(self, done: JsonObject) -> None:
        """Write that the session was committed, and remove its log."""
        path = f"{folder_of(self.begin.name)}/done.json"
        document = {**done, "format": 1, "kind": "session-done", "session": self.begin.id, "time": _now()}
        self._backend.overwrite(path, encode_sealed(document))
        self._end()
        _delete(self._backend, self.begin.name, f"{folder_of(self.begin.name)}/{self.begin.id}")
        self._is_over = True

    def remove(self) -> None:
        """Drop the session, unless another process has taken it meanwhile. May be called twice."""
        self._end()
        if not self._is_over and self._series.read(self._next) is None:
            _delete(self._backend, self.begin.name, f"{folder_of(self.begin.name)}/{self.begin.id}")
            self._is_over = True

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None


def remove_session(backend: Backend, name: str) -> None:
    """Drop the session `name` whoever holds it, and what is known of its commit. What it stored stays for a collection."""
    _delete(backend, name, folder_of(name))


def _delete(backend: Backend, name: str, folder: str) -> None:
    """Delete the beginning first: what a crash leaves is no session any more, and is collected."""
    backend.delete(f"{folder_of(name)}/begin.json")
    for found in sorted(backend.list(folder), key=lambda one: one.path, reverse=True):
        backend.delete(found.path)


def _held(name: str, told: str) -> str:
    return message(
        f"using the session {name!r}", expected="one process at a time", got=f"{told} holds it",
        todo=f"wait for it, or end it; a process of another machine counts as dead {LEASE_S} s after its last sign",
    )  # fmt: skip


def _now() -> str:
    return utc_text(datetime.now(UTC))


def _seconds_since(text: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()

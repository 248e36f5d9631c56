"""The log of a session: records in order, one holder at a time, whatever requests are lost."""

from __future__ import annotations

from typing import Any

import pytest

from tableformat.errors import CorruptError, FormatError, IllegalNameError, StoreUnavailableError, UsageError
from tableformat.storage import session_log
from tableformat.storage.backend import open_backend
from tableformat.storage.session_log import (
    Begin,
    Record,
    SessionLog,
    folder_of,
    iter_names,
    iter_records,
    read_done,
    remove_session,
)
from tableformat.testing.faults import FaultBackend

TIME = "2026-11-22T09:00:00.000000Z"


@pytest.fixture
def backend(store_url: str) -> FaultBackend:
    return FaultBackend(open_backend(store_url))


def begin(backend: Any, name: str = "s") -> Begin:
    return SessionLog.create(backend, name, lambda id_: Begin(id_, name, "a", TIME, "latest", 1, "sha256:" + "0" * 64))


def events(backend: Any, begun: Begin) -> list[str]:
    return [record.event for record in iter_records(backend, begun)]


def test_the_first_beginning_counts(backend: FaultBackend) -> None:
    """Two that begin a session of one name have the same one; it is read back as it was written."""
    first, second = begin(backend), begin(backend)
    assert first == second == Begin.read(backend, "s")
    assert Begin.read(backend, "other") is None
    assert list(iter_names(backend)) == ["s"]


def test_records_are_read_in_order(backend: FaultBackend) -> None:
    """A log of more records than are read at once comes back whole, with what each says."""
    begun = begin(backend)
    log, before = SessionLog.open(backend, begun)
    for number in range(70):
        log.append("seal", value=number)
    log.release()
    log.release()
    records = list(iter_records(backend, begun))
    assert before == []
    assert [record.event for record in records] == ["open", *["seal"] * 70, "release"]
    assert [record.body["value"] for record in records[1:-1]] == [*range(70)]
    assert [record.number for record in records] == [*range(72)]


def test_whoever_is_overtaken_stops(backend: FaultBackend) -> None:
    """Where another has created the next record, nothing more is written, and the error names it. [VERSIONS-34]"""
    begun = begin(backend)
    log, records = SessionLog.open(backend, begun)
    records = list(iter_records(backend, begun))
    other = SessionLog(backend, begun, records)
    other.append("open")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"process \d+ of"):
            log.append("seal")
    with pytest.raises(UsageError):
        log.check()
    log.release()
    assert events(backend, begun) == ["open", "open"]


def test_lost_replies_are_no_other_holder(backend: FaultBackend) -> None:
    """A record whose answer was lost is found to be there, once."""
    begun = begin(backend)
    log, _ = SessionLog.open(backend, begun)
    backend.fail("create", error=lambda: StoreUnavailableError("lost"), when="after")
    log.append("seal")
    log.release()
    assert events(backend, begun) == ["open", "seal", "release"]


def test_a_quiet_holder_says_that_it_lives(backend: FaultBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that writes nothing else writes beats, and none once it has released the session."""
    monkeypatch.setattr(session_log, "BEAT_S", 0.02)
    begun = begin(backend)
    log, _ = SessionLog.open(backend, begun)
    log._stop.wait(0.5)
    log.release()
    found = events(backend, begun)
    assert found[:2] == ["open", "beat"]
    assert found[-1] == "release"
    assert found.count("beat") == len(found) - 2


def test_no_beat_follows_a_release(backend: FaultBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat that was about to be written when the session was released is not written: it would hold the session again."""
    begun = begin(backend)
    log, _ = SessionLog.open(backend, begun)
    log.release()
    monkeypatch.setattr(session_log, "BEAT_S", 0)
    waits = iter([False, True])
    monkeypatch.setattr(log._stop, "wait", lambda _: next(waits))
    log._beat()
    assert events(backend, begun) == ["open", "release"]


def test_what_is_over_is_removed(backend: FaultBackend) -> None:
    """After a commit one document is left, which says as what; after a removal none."""
    begun = begin(backend)
    log, _ = SessionLog.open(backend, begun)
    log.finish({"artifact": "a", "base": None, "root": "sha256:" + "1" * 64, "slot": 3, "tables": []})
    assert [one.path for one in backend.list("sessions")] == ["sessions/s/done.json"]
    done = read_done(backend, "s")
    assert done is not None
    assert (done["slot"], done["artifact"], done["session"]) == (3, "a", begun.id)
    begin(backend)
    remove_session(backend, "s")
    assert list(backend.list("sessions")) == []
    assert read_done(backend, "s") is None


def test_damage_is_told_with_its_place(backend: FaultBackend) -> None:
    """A record that was changed, or is another session's, is refused, naming the file."""
    begun = begin(backend)
    log, _ = SessionLog.open(backend, begun)
    log.release()
    path = f"{folder_of('s')}/{begun.id}/00000000000000000000.json"
    data = backend.read(path)
    with pytest.raises(FormatError, match="session: "):
        Record.decode(data, "here", "f" * 32, 0)
    with pytest.raises(FormatError, match="number: "):
        Record.decode(data, "here", begun.id, 1)
    backend.overwrite(path, data.replace(b'"open"', b'"beat"'))
    with pytest.raises(CorruptError, match=r"00000000000000000000\.json"):
        SessionLog.open(backend, begun)


@pytest.mark.parametrize("name", ["a/b", "0123456789abcdef" * 2, "latest"])
def test_names(name: str) -> None:
    """What is no name of a session is no folder. [VERSIONS-37]"""
    with pytest.raises(IllegalNameError):
        folder_of(name)
    assert folder_of("Night.1") == "sessions/!night.1"

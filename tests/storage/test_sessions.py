"""Sessions: there before the first byte, gone after the last, and too old to commit after a week."""

import json

import pytest

from tableformat.errors import StorePermissionError, UnsupportedError, UsageError
from tableformat.storage import sessions
from tableformat.storage.backend import open_backend
from tableformat.storage.sessions import DEADLINE_S, WriterSession
from tableformat.testing.faults import FaultBackend


@pytest.fixture
def backend(store_url):
    return FaultBackend(open_backend(store_url))


def test_a_session_is_written_once(backend):
    """`begin` makes the store, then the session's object; called again it does nothing."""
    ensured = []
    session = WriterSession(backend, "animals", lambda: ensured.append(1))
    assert not session.has_begun
    session.begin()
    session.begin()
    document = json.loads(backend.read(session.path))
    assert (document["kind"], document["artifact"], document["session"]) == ("session", "animals", session.id)
    assert (ensured, session.has_begun, backend.count("create")) == ([1], True, 1)


def test_the_end_removes_it(backend):
    """After `end` nothing is left; a session that never began writes nothing at all."""
    session = WriterSession(backend, "animals")
    session.end()
    assert backend.calls == []
    session.begin()
    session.end()
    session.end()
    assert (backend.read_or_none(session.path), session.has_begun) == (None, False)


def test_an_end_that_fails_is_left_to_the_collector(backend):
    """Where the object cannot be removed, `end` says nothing: the work is done."""
    session = WriterSession(backend, "animals")
    session.begin()
    backend.fail("delete", error=lambda: StorePermissionError("no"))
    session.end()
    assert backend.read_or_none(session.path) is not None


def test_a_session_that_could_not_begin_begins_again(backend):
    """After an error of the store, `begin` may be called again."""
    session = WriterSession(backend, "animals")
    backend.fail("create", error=lambda: StorePermissionError("no"))
    with pytest.raises(StorePermissionError):
        session.begin()
    assert not session.has_begun
    session.begin()
    assert session.has_begun


def test_old_sessions_do_not_commit(backend, monkeypatch):
    """Past the deadline a commit is refused, and what to do is said."""
    session = WriterSession(backend, "animals")
    session.check_deadline()
    session.begin()
    session.check_deadline()
    now = sessions.time.monotonic()
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now + DEADLINE_S + 1)
    with pytest.raises(UsageError, match="draft again"):
        session.check_deadline()


def test_a_plan_that_cannot_be_read_stops_a_writer(backend):
    """A plan of a collection of a later format stops the session before anything is stored. [COLLECT-19]"""
    backend.put("gc/00000000000000000000/plan.json", b'{"format":2,"kind":"plan"}')
    session = WriterSession(backend, "animals")
    with pytest.raises(UnsupportedError, match=r"plan\.json"):
        session.begin()
    assert not session.has_begun

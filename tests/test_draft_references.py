"""Tables of references that are listed in a session: a listing that broke off, or a process that was killed, goes on where it was."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.errors import BackendError, InvalidInputError, NotFoundError, UsageError
from tests import referring

COUNT = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    referring.fill(tmp_path / "images", COUNT)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    referring.often(monkeypatch.setattr)


def unbroken(root: Path, folder: Path) -> str:
    """The content digest of a run in one piece, without a session."""
    draft = referring.run(root, folder, "refer", 0, session=None)
    assert draft.committed is not None
    return draft.committed.content_digest


def test_kills(tmp_path: Path, folder: Path) -> None:
    """Killed again and again it lists on behind its last seal, and comes to the content of an unbroken run. [REF-22]"""
    root, sealed = tmp_path / "killed", []
    for steps in (90, 70):
        child = referring.run_apart(root, folder, "refer", steps)
        assert child.returncode == -signal.SIGKILL, child.stderr
        sealed.append(tableformat.open_store(root).session(referring.SESSION).tables["t"].rows)
    assert 0 < sealed[0] < sealed[1]
    child = referring.run_apart(root, folder, "refer", 0)
    assert child.returncode == 0, child.stderr
    store = tableformat.open_store(root, create=False, allow=[folder.as_uri()])
    assert store["a"].content_digest == unbroken(tmp_path / "unbroken", folder)
    assert store["a"]["t"].num_rows == sum(number % 7 != 0 for number in range(COUNT))
    assert store.verify("a").ok
    assert store.verify_references("a").ok


def test_a_listing_that_breaks_off(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sealed before a listing broke off stays, in this draft and for the next one; nothing half is committed. [REF-17] [REF-22]"""
    store = tableformat.open_store(tmp_path / "store")
    outside, begun, left = store.context.outside, [], [100]
    whole = outside.list

    def broken(prefix: str, after: str | None = None) -> Iterator[Any]:
        begun.append(after)
        for one in whole(prefix, after):
            left[0] -= 1
            if not left[0]:
                raise BackendError("the listing broke off")
            yield one

    monkeypatch.setattr(outside, "list", broken)
    with pytest.raises(UsageError, match="write it again, or remove"), store.draft("a", session="s") as draft:
        with pytest.raises(BackendError):
            referring.refer(draft, folder.as_uri())
        left[0] = 40
        with pytest.raises(BackendError):
            referring.refer(draft, folder.as_uri())
    assert "a" not in store
    rows = store.session("s").tables["t"].rows
    with store.draft("a", session="s") as draft:
        assert referring.refer(draft, folder.as_uri()) == store.session("s").tables["t"].rows > rows > 0
    assert begun[0] is None
    assert None not in begun[1:]
    assert sorted(begun[1:]) == begun[1:]
    assert store["a"].content_digest == unbroken(tmp_path / "unbroken", folder)


def test_a_session_that_ended(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its commit the session answers without a listing; before it, a table that was closed lists what came behind its end."""
    store = tableformat.open_store(tmp_path / "store")
    with pytest.raises(KeyError), store.draft("a", session="s") as draft:
        rows = referring.refer(draft, folder.as_uri())
        raise KeyError
    with store.draft("a", session="s") as draft:
        assert referring.refer(draft, folder.as_uri()) == rows
    monkeypatch.setattr(store.context.outside, "list", None)
    with store.draft("a", session="s") as draft:
        assert draft.committed is not None
        assert referring.refer(draft, folder.as_uri()) == rows
        assert draft.add_reference(f"{folder.as_uri()}/none") == "none"
        assert draft.add_file(folder / "none", "other") == "other"
        assert draft.add_dir(folder / "none") == []
    assert list(store["a"]) == ["t"]


def test_a_table_that_was_to_be_replaced(tmp_path: Path, folder: Path) -> None:
    """Where the new one cannot be made, no commit leaves the old one out by itself."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        referring.refer(draft, folder.as_uri())
    drafting = store.draft("a", base="latest")
    with pytest.raises(UsageError, match="remove"), drafting as draft, pytest.raises(NotFoundError):
        draft.add_references("t", f"{folder.as_uri()}/none", mode="replace")
    assert [one.slot for one in store.versions("a")] == [0]


def test_another_prefix_is_refused(tmp_path: Path, folder: Path) -> None:
    """A session goes on with the prefix that it was begun with; where nothing was sealed, nothing is left to go on with."""
    store = tableformat.open_store(tmp_path / "store")
    with pytest.raises(KeyError), store.draft("a", session="s") as draft:
        referring.refer(draft, f"{folder.as_uri()}/cats")
        raise KeyError
    with store.draft("a", session="s") as draft:
        with pytest.raises(InvalidInputError, match="images/cats"):
            referring.refer(draft, f"{folder.as_uri()}/dogs")
        draft.remove("t")
        with pytest.raises(NotFoundError):
            referring.refer(draft, f"{folder.as_uri()}/none")
        assert referring.refer(draft, f"{folder.as_uri()}/dogs") > 0
    assert store["a"]["t"][0]["label"] == "0000"

"""Owning in a session: what was fetched is not fetched again, whatever ended the process, and the end is that of an unbroken run."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

import tableformat
from tableformat.errors import InvalidInputError, NotFoundError, ReferenceChangedError, UsageError
from tests import referring

COUNT = 160
KEPT = [number for number in range(COUNT) if number % 7]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    referring.fill(tmp_path / "images", COUNT)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    referring.often(monkeypatch.setattr)


@pytest.fixture
def root(tmp_path: Path, folder: Path) -> Path:
    """A store with a table of references."""
    referring.run(tmp_path / "store", folder, "refer", 0, session=None)
    return tmp_path / "store"


def fetched(root: Path) -> Counter[str]:
    """How often each reference was fetched."""
    return Counter(Path(f"{root}.fetched").read_text().split())


def test_kills(tmp_path: Path, folder: Path, root: Path) -> None:
    """Killed again and again and collected between, it fetches no more than what was not sealed, and comes to the content of an unbroken run. [REF-23]"""
    shutil.copytree(root, tmp_path / "killed")
    whole = referring.run(root, folder, "own", 0, session=None).committed
    for steps in (50, 40, 40):
        child = referring.run_apart(tmp_path / "killed", folder, "own", steps)
        assert child.returncode == -signal.SIGKILL, child.stderr
        tableformat.open_store(tmp_path / "killed").gc(dry_run=False, exclusive=True, grace=0)
    child = referring.run_apart(tmp_path / "killed", folder, "own", 0)
    assert child.returncode == 0, child.stderr
    store = tableformat.open_store(tmp_path / "killed", create=False)
    assert whole is not None
    assert store["a"].content_digest == whole.content_digest
    assert list(store["a"]) == list(whole) == ["t"]
    again = sum(fetched(tmp_path / "killed").values()) - len(KEPT)
    assert len(fetched(tmp_path / "killed")) == len(KEPT)
    assert 0 <= again <= 3 * referring.BATCH
    rows = [(row["image"].bytes(), row["image_origin"]["uri"]) for row in store["a"]["t"].rows()]
    assert all(data == Path(uri.removeprefix("file://")).read_bytes() for data, uri in rows)
    assert store.verify("a").ok
    assert store.sessions() == []


def test_what_was_owned_is_told_in_the_end(folder: Path, root: Path) -> None:
    """Counts and problems are those of all runs together; a session that was committed tells the counts, and fetches nothing. [REF-18]"""
    (folder / "dogs" / "00008.png").write_bytes(b"shrunk")
    (folder / "cats" / "00157.png").unlink()
    with (
        pytest.raises(KeyError),
        tableformat.open_store(root, allow=[str(folder)]).draft("a", base="latest", session="s") as draft,
    ):
        told = referring.take(draft)
        raise KeyError
    assert sum(one.owned for one in told) == len(KEPT) - 2
    store = tableformat.open_store(root, allow=[str(folder)])
    store.context.outside.read = None  # type: ignore[method-assign,assignment]
    with store.draft("a", base="latest", session="s") as draft:
        again = referring.take(draft)
    assert again == told
    assert [problem.kind for one in again for problem in one.problems] == [
        "reference-changed",
        "not-found",
        "reference-changed",
    ]
    with store.draft("a", base="latest", session="s") as draft:
        last = referring.take(draft)
    assert [(one.owned, one.failed, one.bytes) for one in last] == [(one.owned, one.failed, one.bytes) for one in told]
    assert len(KEPT) - 2 == sum(row["image"].reference is None for row in store["a"]["t"].rows())


def test_what_changed_ends_it_and_it_goes_on(folder: Path, root: Path) -> None:
    """A reference that changed ends owning; what came before it stays sealed, and when it is restored the rest is fetched."""
    path = folder / "dogs" / "00100.png"
    data, times = path.read_bytes(), path.stat()
    path.write_bytes(b"shrunk")
    store = tableformat.open_store(root, allow=[str(folder)])
    before = store["a"]["t"].content_digest
    with store.draft("a", base="latest", session="s") as draft:
        with pytest.raises(ReferenceChangedError, match="6 bytes"):
            draft.own("t", "image", progress=False)
        assert draft["t"].content_digest == before
        name = "t (owning image)"
        assert 0 < store.session("s").tables[name].rows < len(KEPT)
        assert store.session("s")[name][0]["image"].reference is None
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert draft.own("t", "image", progress=False).owned == len(KEPT)
    assert draft.committed is not None
    assert all(row["image"].reference is None for row in draft.committed["t"].rows())


def test_another_way_of_owning(folder: Path, root: Path) -> None:
    """What was collected is not raised over in a later run without being told; and a half of it holds no commit up."""
    (folder / "dogs" / "00008.png").unlink()
    store = tableformat.open_store(root, allow=[str(folder)])
    with pytest.raises(KeyError), store.draft("a", base="latest", session="s") as draft:
        draft.own("t", "image", on_changed="collect", progress=False)
        raise KeyError
    with store.draft("a", base="latest", session="s") as draft:
        with pytest.raises(InvalidInputError, match="collect"):
            draft.own("t", "image", progress=False)
        draft.remove("t (owning image)")
        with pytest.raises(NotFoundError):
            draft.own("t", "image", progress=False)
        done = draft.own("t", "image", limit=5, progress=False)
        assert (done.owned, done.references) == (5, len(KEPT))
    assert draft.created
    assert sum(row["image"].reference is None for row in store["a"]["t"].rows()) == 5
    with pytest.raises(UsageError, match="was not committed"), store.draft("a", base="latest", session="s") as draft:
        draft.own("t", "image", limit=7)

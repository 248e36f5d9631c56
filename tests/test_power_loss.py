"""Power may fail at any commit: what was synced by then, and nothing else, makes every committed version.

The system calls of a run on a real folder are recorded, and for the moment of each commit a folder is made that holds exactly what
survives: a file whose bytes were synced before it got its name, in folders of which each was synced after the name was given.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tests.fault_jobs import JOBS, prepare, run_alone


class Recorder:
    """What was done with files below a folder: `write`, `sync`, `name` (link or rename) and `folder` (made), in order."""

    def __init__(self, root: str, patch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str, str]] = []
        self._root, self._lock = root, threading.Lock()
        self._real = {name: getattr(os, name) for name in ("write", "fsync", "link", "replace", "mkdir")}
        patch.setattr(os, "write", lambda fd, data: self._on_file("write", fd, data))
        patch.setattr(os, "fsync", lambda fd: self._on_file("fsync", fd))
        patch.setattr(os, "link", lambda one, other, **rest: self._on_name("link", one, other, **rest))
        patch.setattr(os, "replace", lambda one, other, **rest: self._on_name("replace", one, other, **rest))
        patch.setattr(os, "mkdir", self._on_folder)

    def _note(self, what: str, path: str, other: str = "") -> None:
        if path.startswith(self._root):
            with self._lock:
                self.events.append((what, path, other))

    def _on_file(self, call: str, fd: int, *data: Any) -> Any:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if call == "write":
            self._note("write", path)
            return self._real["write"](fd, *data)
        done = self._real["fsync"](fd)
        self._note("sync", path)  # after the call: only then it holds
        return done

    def _on_name(self, call: str, one: Any, other: Any, **rest: Any) -> None:
        self._note("name", str(one), str(other))  # before the call: whoever sees the name may act on it
        self._real[call](one, other, **rest)

    def _on_folder(self, path: Any, *rest: Any, **more: Any) -> None:
        self._real["mkdir"](path, *rest, **more)
        self._note("folder", str(path))

    def survivors(self, moment: int) -> Iterator[str]:
        """The names that are there, with their bytes, when power fails before event number `moment`."""
        synced: set[str] = set()
        names: dict[str, bool] = {}  # by path of a file or folder: whether its name was synced
        whole: dict[str, bool] = {}
        for what, path, other in self.events[:moment]:
            if what == "write":
                synced.discard(path)
            elif what == "sync":
                synced.add(path)
                for name in names:
                    names[name] |= os.path.dirname(name) == path
            elif what == "folder":
                names[path] = False
            elif what == "name":
                whole[other], names[other] = path in synced, False
        for path, is_whole in whole.items():
            above = [path]
            while len(above[-1]) > len(self._root):
                above.append(os.path.dirname(above[-1]))
            if is_whole and all(names.get(name, True) for name in above):
                yield path


DELETING = ("expire", "gc", "erase media", "erase rows")


@pytest.mark.parametrize("name", [name for name in JOBS if name not in DELETING])
def test_committed_versions_survive(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment when a version file gets its name, all that the version reaches is durable; after its commit it is so itself. [VERSIONS-8] [LAYOUT-16]"""
    folder = tmp_path / "job"
    with monkeypatch.context() as patch:
        recorder = Recorder(str(tmp_path), patch)
        prepare(name, folder)
        run_alone(name, folder)
    commits = [
        (at, other) for at, (what, _, other) in enumerate(recorder.events) if what == "name" and "/versions/" in other
    ]
    assert len(commits) >= 2
    for number, (at, path) in enumerate(commits):
        survived = set(recorder.survivors(at))
        assert {earlier for _, earlier in commits[:number]} <= survived
        check_version(path, survived, folder, tmp_path / f"after-{number}")
    assert {path for _, path in commits} <= set(recorder.survivors(len(recorder.events)))


@pytest.mark.parametrize("name", [name for name in DELETING if name != "expire"])
def test_deletions_wait_for_what_takes_their_place(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a pack, part, leaf or root goes, what leads around it is durable: packs with the rest, moved/ files, tombstones. [COLLECT-12]"""
    root, unlink, checked = tmp_path / "job" / "store", os.unlink, 0

    def delete(path: Any, **rest: Any) -> None:
        nonlocal checked
        if "/data/" in str(path) or "/manifests/" in str(path):
            place = tmp_path / f"before-{checked}"
            for one in recorder.survivors(len(recorder.events)):
                if one != str(path) and one.startswith(str(root)) and os.path.exists(one):
                    target = place / Path(one).relative_to(root)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(one, target)
            check_versions(place)
            checked += 1
        unlink(path, **rest)

    root.parent.mkdir()
    with monkeypatch.context() as patch:
        recorder = Recorder(str(root.parent), patch)
        prepare(name, tmp_path / "job")
        patch.setattr(os, "unlink", delete)
        run_alone(name, tmp_path / "job")
    assert checked >= 1


def check_versions(place: Path) -> None:
    """Every version of the store that was not deleted verifies."""
    store = tableformat.open_store(place, create=False)
    versions = [f"{artifact}:v{version.slot}" for artifact in store for version in store.versions(artifact)]
    assert versions
    for version in versions:
        assert [str(one) for one in store.verify(version, workers=1).problems if "hint.json" not in str(one)] == []


def check_version(path: str, survived: set[str], folder: Path, place: Path) -> None:
    """The version whose file is `path` verifies in a store that holds it and what survived."""
    root, _, inside = path.partition("/artifacts/")
    artifact, _, file = inside.partition("/versions/")
    for one in {*survived, path}:
        if one.startswith(root + "/") and os.path.exists(one):
            target = place / Path(one).relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one, target)
    slot = int(file.removesuffix(".json"))
    problems = tableformat.open_store(place, create=False).verify(f"{artifact}:v{slot}", workers=1).problems
    aside = ("/aliases/", "hint.json")  # these come after it, and may be newer than what power left
    assert [str(problem) for problem in problems if not any(word in str(problem) for word in aside)] == []


def test_what_is_not_synced_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder tells: a name given to bytes that were not synced, or in a folder that was not, does not survive."""
    folder = tmp_path / "store"
    folder.mkdir()
    with monkeypatch.context() as patch:
        recorder = Recorder(str(folder), patch)
        for name, syncs in (("both", True), ("none", False)):
            fd = os.open(folder / f"{name}.tmp", os.O_WRONLY | os.O_CREAT)
            os.write(fd, b"x")
            if syncs:
                os.fsync(fd)
            os.close(fd)
            os.replace(folder / f"{name}.tmp", folder / name)
        before = list(recorder.survivors(len(recorder.events)))
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    assert before == []
    assert list(recorder.survivors(len(recorder.events))) == [str(folder / "both")]

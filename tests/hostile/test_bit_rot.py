"""A flip anywhere in a store of edited tables, references and sessions is reported, and never read as data.

`tests/test_verify.py` does so for tables as they are written first; here are deletions, column files, lists of references in leaves,
and the records of a session that was interrupted. Every byte in the long form.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.errors import FormatError, TableformatError
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.backend import open_backend
from tableformat.storage.session_log import Begin, SessionLog, iter_records
from tableformat.verify import verify_version
from tests.figures import note
from tests.hostile.samples import items_of, reference_item, write_small
from tests.publishing import TIME, publish
from tests.sample_store import plain

SESSION = "interrupted"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose version `v2` has something of every kind of file, and a session with a name."""
    root = tmp_path_factory.mktemp("rot") / "store"
    store = write_small(root)
    items = [item for item in items_of(store) if item["name"] in ("classes", "e", "file", "t")]
    publish(store, "all", sorted([*items, reference_item(store, 70)], key=lambda item: item["name"]))
    backend = store.context.backend
    begin = SessionLog.create(backend, SESSION, lambda id_: Begin(id_, SESSION, "all", TIME))
    log, _ = SessionLog.open(backend, begin)
    log.append("seal", tables=[])
    log.release()
    return root


def kinds_of(root: Path) -> dict[str, list[str]]:
    """The files of the version `all`, by what they are."""
    store = tableformat.open_store(root)
    [item] = [item for item in items_of(store, "all") if item["name"] == "e"]
    entry = TableEntry.from_json(item, "e")
    parts = [Part.from_json(one, "e") for one in entry.parts.items]
    [references] = [item for item in items_of(store, "all") if item["name"] == "refs"]
    return {
        "deletions": [part.deletions.path for part in parts if part.deletions is not None],
        "column files": [file.path for part in parts for file in part.files if file.columns is not None],
        "references": [f"manifests/{leaf['digest'][7:]}.parquet" for leaf in references["leaves"]["items"]],
        "root": [f"manifests/{store['all'].digest[7:]}.json"],
        "version": [str(next((root / "artifacts/all/versions").iterdir()).relative_to(root))],
    }


def sessions_of(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in sorted((root / "sessions").rglob("*.json")) if SESSION in str(path)]


def read_all(root: Path) -> Any:
    artifact = tableformat.open_store(root, create=False)["all"]
    references = [repr(one) for one in artifact["refs"].listed()]
    return {name: plain(artifact[name]) for name in ("classes", "e", "file", "t")}, references


def read_session(root: Path) -> Any:
    backend = open_backend(str(root))
    begin = Begin.read(backend, SESSION)
    assert begin is not None
    return begin, [(record.event, record.time) for record in iter_records(backend, begin)]


def flips(path: Path, places: Iterator[int] | range, seed: int = 0) -> Iterator[int]:
    """Flip a bit of each byte in turn, give its place, and put it back."""
    chance = random.Random(seed)
    data = path.read_bytes()
    for at in places:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])
        yield at
    path.write_bytes(data)


def check_version(root: Path, said: Any, file: str, places: range) -> None:
    """Verify tells of every flip of the file, and reading raises or is right."""
    missed, wrong = [], []
    for at in flips(root / file, places):
        problems = verify_version(open_backend(str(root)), "all", 0, workers=1).problems
        missed += [] if any(problem.place.startswith(file) for problem in problems) else [at]
        try:
            wrong += [] if read_all(root) == said else [at]
        except TableformatError:
            continue
    assert (missed, wrong) == ([], [])


def check_session(root: Path, said: Any, file: str, places: range) -> None:
    """A flip in a document of a session is an error when it is opened, and never another session."""
    wrong = []
    for at in flips(root / file, places):
        try:
            wrong += [] if read_session(root) == said else [at]
        except (FormatError, TableformatError):
            continue
    assert wrong == []


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "store")
    return tmp_path / "store"


KINDS = ("deletions", "column files", "references", "root", "version")


def test_the_store_has_them_all(sound: Path) -> None:
    """Each kind of file is there, the store verifies clean, and the session is read."""
    found = kinds_of(sound)
    assert [kind for kind in KINDS if not found[kind]] == []
    assert verify_version(open_backend(str(sound)), "all", 0).problems == ()
    assert [event for event, _ in read_session(sound)[1]] == ["open", "seal", "release"]
    assert len(sessions_of(sound)) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_flips_are_told_and_not_read(root: Path, kind: str) -> None:
    """A dozen flips of a file of each kind: all are told under its name, and none is read as data."""
    file = kinds_of(root)[kind][0]
    size = (root / file).stat().st_size
    check_version(root, read_all(root), file, range(size // 24, size, max(size // 12, 1)))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_flip_is_told_and_not_read(root: Path, kind: str) -> None:
    """The same for every byte of every file of each kind."""
    said = read_all(root)
    sizes = {file: (root / file).stat().st_size for file in kinds_of(root)[kind]}
    for file, size in sizes.items():
        check_version(root, said, file, range(size))
    note(f"flips, {kind}", files=len(sizes), flips=sum(sizes.values()), missed=0)


def test_flips_of_sessions_are_told(root: Path) -> None:
    """Flips of the beginning of a session and of its records, every 16th byte: an error, or what was written."""
    said = read_session(root)
    for file in sessions_of(root):
        check_session(root, said, file, range(0, (root / file).stat().st_size, 16))


@pytest.mark.long
def test_every_flip_of_a_session_is_told(root: Path) -> None:
    """The same for every byte."""
    said = read_session(root)
    sizes = {file: (root / file).stat().st_size for file in sessions_of(root)}
    for file, size in sizes.items():
        check_session(root, said, file, range(size))
    note("flips, session", files=len(sizes), flips=sum(sizes.values()), missed=0)

"""Symbolic links in a local store: those that lead out of its root are followed by nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import tableformat
from tableformat.errors import AccessRefusedError, TableformatError
from tableformat.storage.backend import open_backend
from tests.hostile.reading import read_store
from tests.hostile.samples import write_small

CANARY = b"the content of a file outside of the store"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("links") / "store"
    write_small(root)
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "store")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(CANARY)
    return tmp_path / "store"


FILES = ("tableformat.json", "artifacts/a/hint.json", "artifacts/a/versions/*1.json", "artifacts/a/aliases/best/*.json", "manifests/*.json", "data/*.parquet",
         "data/packs/*/*.zip", "index/0/*.json", "index/leaves/*.parquet")  # fmt: skip
FOLDERS = ("artifacts", "artifacts/a", "artifacts/a/versions", "manifests", "data", "data/packs", "index")


@pytest.mark.parametrize("pattern", FILES)
def test_files_that_are_links_out_are_refused(root: Path, tmp_path: Path, pattern: str) -> None:
    """Every file of a store replaced by a link to a copy of itself outside: none is read, each way raises, its target stays. [LAYOUT-17]"""
    for number, path in enumerate(sorted(root.glob(pattern))):
        target = tmp_path / "outside" / f"copy{number}"
        shutil.move(path, target)
        path.symlink_to(target)
        before = target.read_bytes()
        backend = open_backend(str(root))
        relative = str(path.relative_to(root))
        for action in (
            backend.read,
            backend.read_or_none,
            backend.size,
            lambda name, backend=backend: backend.read_ranges([(name, 0, 1)]),
        ):
            with pytest.raises(AccessRefusedError):
                action(relative)
        assert relative not in {info.path for info in backend.list()}
        assert target.read_bytes() == before
    read_store(str(root))


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_that_are_links_out_are_refused(root: Path, tmp_path: Path, folder: str) -> None:
    """The same for folders: nothing behind them is read, written, listed or deleted. [LAYOUT-17]"""
    outside = tmp_path / "outside" / "folder"
    shutil.move(root / folder, outside)
    (root / folder).symlink_to(outside, target_is_directory=True)
    before = {str(path): path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    backend = open_backend(str(root))
    for action in (
        lambda: backend.put(f"{folder}/x", b"x"),
        lambda: backend.create(f"{folder}/x", b"x"),
        lambda: backend.delete(f"{folder}/x"),
        lambda: backend.read_or_none(f"{folder}/x"),
        lambda: list(backend.list(folder)),
    ):
        with pytest.raises(AccessRefusedError):
            action()
    assert not any(info.path.startswith(f"{folder}/") for info in backend.list())
    store = tableformat.open_store(root)
    with pytest.raises(TableformatError), store.draft("a") as draft:
        draft.add(tableformat.File(b"x" * 5000), "f")
        draft.add([{"x": 1}], "t")
    assert {str(path): path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


def test_links_inside_are_somebodys_own_arrangement(root: Path) -> None:
    """A file that is a link to another place below the root is read."""
    part = next(iter(sorted((root / "data").glob("*.parquet"))))
    moved = root / "data" / "elsewhere"
    shutil.move(part, moved)
    part.symlink_to(moved)
    assert open_backend(str(root)).read(f"data/{part.name}") == moved.read_bytes()


@pytest.mark.parametrize("odd", ["folder", "pipe", "loop", "dangling", "device"])
def test_what_is_no_file_is_not_there(root: Path, tmp_path: Path, odd: str) -> None:
    """A folder, a pipe, a device, a link to nothing or to itself in the place of a file ends in an error, and nothing waits for it."""
    for path in [
        next(iter(sorted((root / "data").glob("*.parquet")))),
        next(iter(sorted((root / "manifests").glob("*.json")))),
        root / "artifacts/a/hint.json",
    ]:
        path.unlink(missing_ok=True)
        if odd == "folder":
            path.mkdir()
        elif odd == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to({"loop": path, "dangling": tmp_path / "outside" / "none", "device": Path("/dev/zero")}[odd])
    refused = read_store(str(root))
    assert refused


def test_downloads_follow_no_links(root: Path, tmp_path: Path) -> None:
    """What lies in the target of a download as a link to elsewhere is not written through. [REF-20]"""
    target = tmp_path / "target"
    target.mkdir()
    secret = tmp_path / "outside" / "secret"
    for name in ("file", "file.bin", "cover", "cover.png", "e.parquet", "t.parquet", "classes.json"):
        (target / name).symlink_to(secret)
    try:
        tableformat.open_store(root)["a"].download(target, progress=False)
    except TableformatError:
        pass
    assert secret.read_bytes() == CANARY

"""Folders of foreign files: on this machine and at any URL, in archives, with storage options; and what a URL is made of."""

from __future__ import annotations

import json
import os
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import tableformat
from tableformat.cli import main
from tableformat.convert.legacy import convert_wandb
from tableformat.convert.legacy.folder import open_folder, split_url
from tableformat.errors import BackendError, IllegalNameError, InvalidInputError, LimitError, NotFoundError
from tests.convert.legacy.making import PNG, image_cell, make, table_text

FILES = {
    "t.table.json": table_text(["i"], [[image_cell("media/a b.png")]]),
    "media/a b.png": PNG,
    "media/c.png": PNG,
    "notes.txt": b"x" * 100_000,
}


@pytest.fixture(params=["local", "memory", "zip"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a folder that holds the artifact `x-v0` and its manifest."""
    root = make(tmp_path / "in" / "x-v0", FILES).parent
    if request.param == "local":
        yield str(root)
    elif request.param == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for path in root.rglob("*"):
                archive.write(path, f"deep/{path.relative_to(root)}")
        yield f"zip://deep::file://{tmp_path / 'a.zip'}"
    else:
        name = f"legacy-{uuid.uuid4().hex}"
        fsspec.filesystem("memory").put(str(root), f"/{name}", recursive=True)
        yield f"memory://{name}"
        fsspec.filesystem("memory").rm(f"/{name}", recursive=True)


def test_what_a_folder_holds(url: str) -> None:
    """Files with their sizes, folders, neighbours; what leads out, or is too long, is refused."""
    folder = open_folder(url).below("x-v0")
    assert dict(folder.files()) == {path: len(data) for path, data in FILES.items()}
    assert (folder.name, folder.folders()) == ("x-v0", ["media"])
    above = folder.beside()
    assert above is not None
    assert above.folders() == ["x-v0"]
    assert [folder.read(path) for path in FILES] == folder.read_all(list(FILES)) == list(FILES.values())
    assert (folder.size("notes.txt"), folder.size("gone"), folder.size("media"), folder.size("../x")) == (
        100_000,
        None,
        None,
        None,
    )
    with folder.open("media/c.png") as file:
        assert file.read() == PNG
    with pytest.raises(LimitError):
        folder.read("notes.txt", 99_999)
    for path in ("../in/x-v0/notes.txt", "/etc/passwd", "a//b"):
        for read in (folder.read, folder.open, lambda path: folder.read_all([path])):
            with pytest.raises(IllegalNameError):
                read(path)
    for read in (folder.read, lambda path: folder.read_all(["notes.txt", path])):
        with pytest.raises(NotFoundError):
            read("media/gone.png")
    with pytest.raises(NotFoundError):
        open_folder(url.replace("in", "none").replace("deep", "none").replace("legacy", "none"))


def test_an_artifact_anywhere(url: str, tmp_path: Path) -> None:
    """An artifact, a folder of them and a single table convert from every file system, chains included."""
    store = tableformat.open_store(tmp_path / "store")
    assert convert_wandb(url, store, progress=False).target_of("x:v0") == "x:v0"
    head, mark, rest = url.partition("::")
    one = convert_wandb(f"{head}/x-v0/t.table.json{mark}{rest}", store, artifact="one", progress=False)
    assert [entry.entry for entry in one.artifacts[0].entries] == ["t"]
    assert store["one"]["t"][0]["i"].bytes() == PNG
    table = tableformat.read_table(f"{head}/x-v0/t.table.json{mark}{rest}")
    assert table[0]["i"].bytes() == PNG
    assert table.to_arrow(media="bytes")["i"][0]["file"]["inline"].as_py() == PNG


def test_storage_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They go to the file system of the source: from Python, as JSON on the command line, or in a file; never into a message."""
    root = make(tmp_path / "in" / "x-v0", {"t.table.json": table_text(["a"], [[1]])})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(root / "t.table.json", "x-v0/t.table.json")
    options: dict[str, Any] = {"fo": str(tmp_path / "a.zip")}
    store = tableformat.open_store(tmp_path / "store")
    assert convert_wandb("zip://x-v0", store, storage_options=options, progress=False).rows == 1
    assert convert_wandb("zip://x-v0", store, storage_options=lambda: options, artifact="y", progress=False).rows == 1
    assert len(tableformat.read_table("zip://x-v0/t.table.json", options)) == 1
    (tmp_path / "options.json").write_text(json.dumps(options))
    for given in (json.dumps(options), str(tmp_path / "options.json")):
        assert main(["convert", "zip://x-v0", str(tmp_path / uuid.uuid4().hex), "-q", "--storage-options", given]) == 0
    for wrong in ('{"key": "secret"', "[1]", str(tmp_path / "none.json")):
        assert main(["convert", "zip://x-v0", str(tmp_path / "no"), "-q", "--storage-options", wrong]) == 2
    assert "secret" not in capsys.readouterr().err
    with pytest.raises((BackendError, InvalidInputError)):
        convert_wandb("nosuchscheme://x-v0", store, progress=False)


@pytest.mark.parametrize(
    ("url", "head", "last"),
    [
        ("x.json", ".", "x.json"), ("/x.json", "/", "x.json"), ("a/b.json", "a", "b.json"), ("s3://b/a/t.json", "s3://b/a", "t.json"),
        ("memory://t.json", "memory://", "t.json"), ("file:///t.json", "file:///", "t.json"), ("a/b/", "a", "b"),
        ("zip://t.json::file:///x.zip", "zip://::file:///x.zip", "t.json"), ("zip://a/t.json::s3://b/x.zip", "zip://a::s3://b/x.zip", "t.json"),
        ("simplecache::s3://b/a/t.json", "simplecache::s3://b/a", "t.json"),
    ],
)  # fmt: skip
def test_parts_of_a_url(url: str, head: str, last: str) -> None:
    """The last segment is that of the first link of a chain that has a path."""
    assert split_url(url) == (head, last)


def test_files_that_are_none_are_not_read(tmp_path: Path) -> None:
    """A folder and a pipe under the name of a file are no files, read one by one or many at a time."""
    folder = open_folder(make(tmp_path / "x-v0", {"d/a.txt": b"a", "d/e/b.txt": b"b"}))
    os.mkfifo(tmp_path / "x-v0" / "d" / "pipe")
    assert folder.read_all(["d/a.txt", "d/a.txt"]) == [b"a", b"a"]
    for path in ("d/e", "d/pipe"):
        with pytest.raises(NotFoundError):
            folder.read_all(["d/a.txt", path])

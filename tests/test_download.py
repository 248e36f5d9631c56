"""Downloading a version: whole, verified, resumable, and never outside of the folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat import Image
from tableformat.document import encode_document
from tableformat.download import download
from tableformat.errors import AccessRefusedError, CorruptError, ExistsError, InvalidInputError, ReferenceChangedError
from tableformat.format.media.png import encode_png

PNGS = [encode_png(np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)) for number in range(4)]


@pytest.fixture
def bucket() -> Iterator[str]:
    name = f"bucket-{uuid.uuid4().hex}"
    memory = fsspec.filesystem("memory")
    for number, png in enumerate(PNGS):
        memory.pipe_file(f"/{name}/cats/{number}.png", png)
    yield f"memory://{name}"
    memory.rm(f"/{name}", recursive=True)


@pytest.fixture
def artifact(tmp_path: Path, bucket: str) -> tableformat.Artifact:
    """A version with an entry of each kind."""
    (tmp_path / "big.bin").write_bytes(np.random.default_rng(0).bytes(9 << 20))
    with tableformat.open_store(tmp_path / "store").draft("a") as draft:
        draft.add_file(tmp_path / "big.bin", "files/big.bin")
        draft.add_reference(bucket, "all", checksum=True)
        draft.add_reference(f"{bucket}/cats/0.png", "one.png")
        draft.add(Image(PNGS[0]), "picture")
        draft.add(tableformat.Classes(["cat", "dog"]), "classes")
        with draft.table("t") as table:
            table.append(image=Image(PNGS[1]))
            table.append(image=Image.refer(f"{bucket}/cats/2.png"))
        draft.add(tableformat.JoinedTable("t", "t", on="image"), "joined")
    return draft.commit()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_that_a_version_holds(artifact: tableformat.Artifact, tmp_path: Path) -> None:
    """Files, media, class sets, references and tables, each under its name; a second call writes nothing. [REF-21]"""
    steps: list[int] = []
    done = artifact.download(tmp_path / "out", progress=lambda done, total, doing: steps.append(done))
    found = files(tmp_path / "out")
    assert sorted(found) == sorted(
        [
            "files/big.bin",
            *(f"all/cats/{n}.png" for n in range(4)),
            "one.png",
            "picture.png",
            "classes.json",
            "t.parquet",
        ]
    )
    assert found["files/big.bin"] == (tmp_path / "big.bin").read_bytes()
    assert (found["all/cats/3.png"], found["picture.png"]) == (PNGS[3], PNGS[0])
    cells = pq.read_table(tmp_path / "out" / "t.parquet").column("image").to_pylist()
    assert [cell["file"]["inline"] for cell in cells] == PNGS[1:3]
    assert (done.files, done.present, steps[-1]) == (9, 0, done.bytes)
    assert (artifact.download(tmp_path / "out", progress=False).files, files(tmp_path / "out")) == (0, found)


def test_references_may_be_left_out(artifact: tableformat.Artifact, tmp_path: Path, bucket: str) -> None:
    """With `references=False` nothing outside of the store is read, and cells keep their URLs."""
    other = tableformat.open_store(tmp_path / "store", create=False)["a"]
    with pytest.raises(AccessRefusedError):
        other.download(tmp_path / "first", progress=False)
    other.download(tmp_path / "out", references=False, progress=False)
    assert sorted(files(tmp_path / "out")) == ["classes.json", "files/big.bin", "picture.png", "t.parquet"]
    cells = pq.read_table(tmp_path / "out" / "t.parquet").column("image").to_pylist()
    assert [cell["file"]["inline"] for cell in cells] == [PNGS[1], None]
    assert cells[1]["file"]["uri"] == f"{bucket}/cats/2.png"


def test_an_interrupted_download_goes_on(artifact: tableformat.Artifact, tmp_path: Path) -> None:
    """What has its name is whole; a part of a file is gone on with, and compared with its digest as a whole. [REF-21]"""
    whole = (tmp_path / "big.bin").read_bytes()
    folder = tmp_path / "out" / "files"
    folder.mkdir(parents=True)
    partial = folder / "big.bin.tableformat-part"
    partial.write_bytes(whole[: 5 << 20])
    assert artifact.download(tmp_path / "out", progress=False).bytes < len(whole) - (4 << 20) + 100_000
    assert (folder / "big.bin").read_bytes() == whole
    assert not partial.exists()
    (folder / "big.bin").write_bytes(b"damaged".ljust(len(whole)))
    (tmp_path / "out" / "t.parquet").write_bytes(b"damaged")
    assert artifact.download(tmp_path / "out", progress=False).files == 2
    assert (folder / "big.bin").read_bytes() == whole
    (folder / "big.bin").unlink()
    partial.write_bytes(b"wrong" * 1000)
    with pytest.raises(CorruptError):
        artifact.download(tmp_path / "out", progress=False)
    assert artifact.download(tmp_path / "out", progress=False).files == 1


def test_changed_references_are_not_downloaded(artifact: tableformat.Artifact, tmp_path: Path, bucket: str) -> None:
    """A reference that is another object by now raises, and no file has its name."""
    fsspec.filesystem("memory").pipe_file(f"/{bucket.removeprefix('memory://')}/cats/3.png", PNGS[0][:-1] + b"x")
    with pytest.raises(ReferenceChangedError):
        artifact.download(tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "all" / "cats" / "3.png").exists()


HOSTILE = ["../out.txt", "/etc/x", "a/../../x", "..", "a//b", "./a", "a\\..\\b", "C:\\x", "a\x00b", "a\nb", ""]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_inside(artifact: tableformat.Artifact, tmp_path: Path, name: str) -> None:
    """Whatever the names of entries and references say, nothing is written outside of the folder. [REF-20]"""
    for entries in ({name: artifact["picture"]}, {name: artifact["t"]}, {name: artifact["classes"]}):
        with pytest.raises(AccessRefusedError, match="nothing allows it"):
            download(entries, str(tmp_path / "deep" / "out"), progress=False)
    assert files(tmp_path / "deep") == {}


@pytest.mark.parametrize("path", HOSTILE[:9])
def test_hostile_paths_of_references(artifact: tableformat.Artifact, tmp_path: Path, path: str, bucket: str) -> None:
    """A list of references that was forged is not followed out of the folder either. [REF-20]"""
    from tableformat.format.reference import Known
    from tableformat.format.reference_leaf import Listed
    from tableformat.storage.reference_lists import write_references
    from tableformat.table.references import open_references

    fields = write_references(
        artifact.context.backend, f"{bucket}/", [Listed(path, Known(1)), Listed("zz", Known(1))]
    ).to_json()
    found = open_references({**fields, "name": "all"}, "forged", artifact.context.backend, artifact["all"]._reader)
    assert encode_document(fields)
    with pytest.raises(AccessRefusedError):
        download({"all": found}, str(tmp_path / "deep" / "out"), progress=False)
    assert files(tmp_path / "deep") == {}


def test_links_in_the_folder_are_not_followed(artifact: tableformat.Artifact, tmp_path: Path) -> None:
    """A folder in the target that is a link to elsewhere is refused, and a link in the place of a file replaced. [REF-20]"""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "files").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccessRefusedError, match="link"):
        artifact.download(tmp_path / "out", progress=False)
    assert files(tmp_path / "elsewhere") == {}
    (tmp_path / "out" / "files").unlink()
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "out" / "picture.png").symlink_to(tmp_path / "victim")
    artifact.download(tmp_path / "out", progress=False)
    assert (tmp_path / "victim").read_bytes() == b"kept"
    assert (tmp_path / "out" / "picture.png").read_bytes() == PNGS[0]


def test_names_that_meet(artifact: tableformat.Artifact, tmp_path: Path) -> None:
    """Two entries with one file name, and a file in the place of a folder, are told."""
    with pytest.raises(InvalidInputError, match=r"'picture' and 'picture\.png'"):
        download(
            {"picture": artifact["picture"], "picture.png": artifact["picture"]}, str(tmp_path / "a"), progress=False
        )
    with pytest.raises(ExistsError):
        download({"x.png": artifact["picture"], "x.png/y": artifact["picture"]}, str(tmp_path / "b"), progress=False)

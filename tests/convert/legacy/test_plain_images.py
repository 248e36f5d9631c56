"""Images read many at a time: the same table as one by one, and anything odd goes the other way."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import tableformat
from tableformat.convert.legacy import convert_wandb
from tableformat.convert.legacy.folder import open_folder
from tableformat.convert.legacy.plain_images import PlainImages, pieces_of
from tableformat.convert.legacy.source import SourceArtifact
from tests.convert.legacy.making import PNG, entry, image_cell, make, table_text


def jpeg() -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(np.zeros((4, 5, 3), np.uint8)).save(file, "jpeg")
    return file.getvalue()


def opened(tmp_path: Path, files: dict[str, bytes], refs: dict[str, Any] | None = None) -> SourceArtifact:
    return SourceArtifact.open(open_folder(make(tmp_path / "x:v0", files, refs)))


def test_both_ways_give_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain images, nulls and repetitions among them, become the cells that they become one by one."""
    pictures = {f"media/{n}.png": tableformat.Image(np.full((4, 5, 3), n, np.uint8)).bytes() for n in range(20)}
    pictures["media/j.jpg"] = jpeg()
    cells: list[Any] = [image_cell(path, data, format=path[-3:]) for path, data in pictures.items()]
    rows = [[number, cell] for number, cell in enumerate([*cells, None, cells[3]])]
    root = make(tmp_path / "x:v0", {"t.table.json": table_text(["id", "i"], rows), **pictures})
    found = []
    for name in ("many", "single"):
        store = tableformat.open_store(tmp_path / name)
        report = convert_wandb(root, store, progress=False)
        assert report.warnings == []
        found.append((store["x"]["t"].content_digest, store["x"]["t"].to_arrow().to_pylist()))
        monkeypatch.setattr("tableformat.convert.legacy.media_files.MediaReader.reads_many", False)
    assert found[0][0] == found[1][0]
    assert [row["i_more"] for row in found[0][1]] == [None] * 23
    assert [None if row["i"] is None else row["i"]["width"] for row in found[0][1]] == [5] * 21 + [None, 5]


@pytest.mark.parametrize(
    "cell",
    [
        image_cell("a.png", b"other"), image_cell("a.png", width=6), image_cell("a.png", format="PNG"), image_cell("gone.png"),
        image_cell("../a.png"), image_cell("a.png", caption="x"), image_cell("text.png", b"text"), image_cell("cut.png", PNG[:-4]),
        {"_type": "audio-file", "path": "a.png"}, image_cell("ref.png"), image_cell("lies.png"), [1],
        {"_type": "image-file", "path": "lies.png"},
    ],
)  # fmt: skip
def test_what_is_odd_goes_the_other_way(tmp_path: Path, cell: Any) -> None:
    """A cell that says more, or something else than its file, ends the reading of many."""
    files = {"a.png": PNG, "text.png": b"text", "cut.png": PNG[:-4], "ref.png": PNG}
    artifact = opened(tmp_path, files, {"ref.png": entry(PNG, ref="s3://b/ref.png"), "lies.png": entry(PNG + b" ")})
    (tmp_path / "x:v0" / "lies.png").write_bytes(PNG)
    good = image_cell("a.png")
    assert PlainImages.read([good, None], artifact) == PlainImages([PNG, None], ["a.png", None])
    assert PlainImages.read([good, cell], artifact) is None


def test_without_a_sha256_the_manifest_decides(tmp_path: Path) -> None:
    """Cells of the first releases tell no digest: then that of the manifest is compared, and none where there is none."""
    cell = {"_type": "image-file", "path": "a.png"}
    assert PlainImages.read([cell], opened(tmp_path, {"a.png": PNG})) is not None
    other = entry(b"x" * len(PNG))
    assert PlainImages.read([cell], opened(tmp_path, {"a.png": PNG}, {"a.png": other})) is None
    bare = SourceArtifact.open(open_folder(make(tmp_path / "y:v0", {"a.png": PNG}, manifest=False)))
    assert PlainImages.read([cell], bare) is not None


def test_pieces_are_bounded(tmp_path: Path) -> None:
    """A block is read in pieces whose files have about 4 MiB, and all its rows are in one of them."""
    artifact = opened(tmp_path, {"a.bin": bytes(1 << 20), "b.bin": b"x"})
    cells = [{"path": "a.bin"}, {"path": "b.bin"}, None] * 10
    pieces = pieces_of([cells, [{"path": 3}] * 30], artifact, 30)
    assert [start for start, _ in pieces] == [0, *(end for _, end in pieces[:-1])]
    assert pieces[-1][1] == 30
    assert max(sum(cell == {"path": "a.bin"} for cell in cells[start:end]) for start, end in pieces) == 4
    assert pieces_of([[]], artifact, 0) == []


def test_media_of_many_bytes_are_counted(tmp_path: Path) -> None:
    """What was read is in the report, each repetition within a piece once."""
    cell = image_cell("a.png")
    root = make(tmp_path / "x:v0", {"t.table.json": table_text(["i"], [[cell], [cell]]), "a.png": PNG})
    store = tableformat.open_store(tmp_path / "store")
    told = json.loads(json.dumps(convert_wandb(root, store, progress=False).to_json()))
    assert told["artifacts"][0]["bytes_in"] >= len(PNG)
    assert [entry["entry"] for entry in told["artifacts"][0]["entries"]] == ["t"]

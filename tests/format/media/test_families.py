"""Sounds, documents, models and plain files: what they take and what they tell."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from tableformat.errors import InvalidInputError, MediaError
from tableformat.format.media import Audio, File, Html, Media, Molecule, Object3D, Plotly, Video
from tableformat.format.media.formats import extension_of, format_of_name
from tests.format.media.samples import DOCUMENTS, SOUNDS


def test_sounds_of_arrays_come_back() -> None:
    """Nothing is scaled; rate, channels, frames and duration are told. [MEDIA-20]"""
    samples = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
    audio = Audio(samples, sample_rate=2)
    assert np.array_equal(audio.to_numpy(), samples)
    assert (audio.sample_rate, audio.channels, audio.frames, audio.duration_seconds) == (2, 2, 4, 2.0)
    assert Audio(samples, np.int64(2)).prepare(check="decode").content_type == "audio/wav"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((np.zeros(3, np.int16),), "sample_rate="),
        (([0.0, 1.0], 8000), "asarray"),
        ((np.zeros(3, np.int16), 0.5), "whole number"),
    ],
)
def test_unclear_sounds_are_refused(args: tuple[object, ...], why: str) -> None:
    """No rate, lists and odd rates raise."""
    with pytest.raises(MediaError, match=why):
        Audio(*args)


def test_other_sounds_are_not_decoded() -> None:
    """FLAC is kept verbatim; decoding it is another library's."""
    audio = Audio(SOUNDS["flac"])
    assert audio.prepare(check="decode").data == SOUNDS["flac"]
    with pytest.raises(MediaError, match="another library"):
        audio.to_numpy()


def test_videos_of_arrays_are_refused() -> None:
    """There is no lossless format that everyone opens, and the error says so."""
    with pytest.raises(MediaError, match="encode it first"):
        Video(np.zeros((2, 2, 2, 3), np.uint8))


def test_html_is_text_or_path(tmp_path: Path) -> None:
    """Text with a tag is the document; other text is its path."""
    (tmp_path / "a.html").write_text("<p>hé</p>", encoding="utf-8")
    for html in (
        Html("<p>hé</p>"),
        Html(str(tmp_path / "a.html")),
        Html(io.StringIO("<p>hé</p>")),
        Html("<p>hé</p>".encode()),
    ):
        assert html.text() == "<p>hé</p>"
        assert html.prepare().content_type == "text/html"
    assert Html("<p>".encode("utf-16")).text() == "<p>"
    for bad in (b"<p>\xff</p>", b" ", b"<p>\0"):
        with pytest.raises(MediaError):
            Html(bad).prepare()


@pytest.mark.parametrize("columns", [3, 4, 6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_become_ply(columns: int, dtype: type) -> None:
    """Points are binary PLY in their own precision, with categories or colours."""
    points = np.arange(2 * columns).reshape(2, columns).astype(dtype)
    data = Object3D(points).prepare().data
    assert data is not None
    header, body = data.split(b"end_header\n")
    assert b"element vertex 2" in header
    assert (b"property float x" in header) is (dtype is np.float32)
    size = {3: 3 * dtype().itemsize, 4: 3 * dtype().itemsize + 4, 6: 3 * dtype().itemsize + 3}[columns]
    assert len(body) == 2 * size
    assert np.frombuffer(body[:size][: 3 * dtype().itemsize], dtype).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "points",
    [np.zeros((2, 5)), np.zeros((0, 3)), np.zeros((2, 3), complex), np.full((2, 6), 300.0), np.full((1, 4), 0.5)],
)
def test_bad_points_are_refused(points: np.ndarray) -> None:
    """Other shapes, no points, and colours outside of a byte raise."""
    with pytest.raises(MediaError):
        Object3D(points)


def test_scenes_are_json() -> None:
    """An old scene is kept as JSON, arrays in it as lists."""
    scene = Object3D({"type": "lidar/beta", "points": np.zeros((1, 3))})
    assert json.loads(scene.bytes()) == {"type": "lidar/beta", "points": [[0.0, 0.0, 0.0]]}
    assert scene.format == "pts.json"
    for bad in ({"boxes": []}, {"points": [float("nan")]}):
        with pytest.raises(MediaError):
            Object3D(bad)


def test_names_tell_formats(tmp_path: Path) -> None:
    """A molecule's file name decides where the text does not; format= does for bytes."""
    path = tmp_path / "water.pqr"
    path.write_bytes(DOCUMENTS["pdb"][1])
    assert Molecule(path).format == "pqr"
    assert Molecule(b"water\n1\n", format="gro").format == "gro"
    assert Molecule(DOCUMENTS["sdf"][1]).format == "sdf"


def test_figures_become_json() -> None:
    """Whatever has to_json, and a mapping, are stored as Plotly's JSON."""

    class Figure:
        def to_json(self) -> str:
            return '{"data": [{"y": [1, 2]}]}'

    assert (
        Plotly(Figure()).to_dict() == Plotly({"data": [{"y": np.array([1, 2])}]}).to_dict() == {"data": [{"y": [1, 2]}]}
    )
    assert Plotly(Figure()).prepare().ext == "json"
    for bad in (b"[]", b'{"layout": 1}', b"{"):
        with pytest.raises(MediaError):
            Plotly(bad).prepare()


def test_files_keep_their_name(tmp_path: Path) -> None:
    """The last part of a path or URL, or the name given; it tells the type."""
    (tmp_path / "a.csv").write_bytes(b"1,2")
    prepared = File(tmp_path / "a.csv").prepare()
    assert (prepared.fields, prepared.content_type, prepared.ext) == (
        {"format": "csv", "name": "a.csv"},
        "text/csv",
        "csv",
    )
    assert File(b"x", "notes.md").prepare().content_type == "text/markdown"
    assert File(b"x").prepare().fields == {"format": None}
    assert File("https://host/a/b.bin?x=1").name == "b.bin"
    assert File.refer("s3://b/c.tar").prepare().fields["name"] == "c.tar"
    assert File(File(b"x", "n")).name == "n"
    assert Media.from_cell("file", {"file": {"inline": b""}, "name": "kept"}).prepare().fields == {"name": "kept"}
    for bad in ("", "a/b", "a\0"):
        with pytest.raises(InvalidInputError, match="name"):
            File(b"x", bad)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("image", "a/B.JPEG", ("jpeg", "image/jpeg", "jpg")), ("image", "a.wav", (None, "application/octet-stream", "bin")), ("video", "a.gif", ("gif", "image/gif", "gif")),
        ("object3d", "a.pts.json", ("pts.json", "application/json", "pts.json")), ("file", "a.tar.gz", ("gz", "application/gzip", "gz")), ("file", "README", (None, "application/octet-stream", "bin")),
        ("plotly", "fig.json", ("plotly", "application/vnd.plotly.v1+json", "json")), ("image", "", (None, "application/octet-stream", "bin")),
    ],
)  # fmt: skip
def test_names_suggest_formats(kind: str, name: str, expected: tuple[object, ...]) -> None:
    """The extension suggests a format of the kind, or nothing."""
    assert format_of_name(kind, name) == expected
    assert extension_of("a.b/c") == extension_of("c.é") == ""

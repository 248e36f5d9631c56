"""Headers: every format is recognised, every cut is noticed, any bytes give an answer or a MediaError."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tableformat.errors import MediaError
from tableformat.format.media.headers import FileView, check_header, check_headers
from tableformat.format.media.kinds import MEDIA_KINDS, OUTER_FIELDS
from tests.format.media.samples import DOCUMENTS, IMAGES, PNG, SOUNDS, VIDEOS, pillow

EVERYTHING = [
    *(("image", word, data) for word, data in IMAGES.items()),
    *(("audio", word, data) for word, data in SOUNDS.items()),
    *(("video", word, data) for word, data in VIDEOS.items()),
    *((kind, word, data) for word, (kind, data) in DOCUMENTS.items()),
]
CUT = [
    (kind, word, data)
    for kind, word, data in EVERYTHING
    if word in {*IMAGES, *VIDEOS, "wav", "opus", "aiff", "glb", "stl", "sdf", "plotly"}
]


@pytest.mark.parametrize(("kind", "word", "data"), EVERYTHING, ids=[word for _, word, _ in EVERYTHING])
def test_every_format_is_recognised(kind: str, word: str, data: bytes) -> None:
    """A whole file of each format gives its word, and only fields that its kind has."""
    header = check_header(kind, data)
    assert header.format == header.fields["format"] == word
    assert header.content_type
    assert header.ext
    assert set(header.fields) <= set(OUTER_FIELDS[kind])


@pytest.mark.parametrize("word", IMAGES)
def test_images_tell_their_size(word: str) -> None:
    """Width and height are those of the stored pixels."""
    fields = check_header("image", IMAGES[word]).fields
    assert (fields["width"], fields["height"]) == (3, 2)


@pytest.mark.parametrize("word", SOUNDS)
def test_sounds_tell_rate_and_frames(word: str) -> None:
    """Sample rate, channels and frames come from the header."""
    fields = check_header("audio", SOUNDS[word]).fields
    rate = {"opus": 48000, "mp3": 44100}.get(word, 8000)
    frames = 2304 if word == "mp3" else 4
    assert (fields["sample_rate"], fields["channels"], fields["frames"]) == (rate, 2, frames)


@pytest.mark.parametrize("word", VIDEOS)
def test_videos_tell_size_and_duration(word: str) -> None:
    """Width, height and microseconds come from the header."""
    fields = check_header("video", VIDEOS[word]).fields
    assert (fields["width"], fields["height"], fields["duration_us"]) == (320, 240, 1_500_000)


@pytest.mark.parametrize(("kind", "word", "data"), CUT, ids=[word for _, word, _ in CUT])
def test_cut_files_are_noticed(kind: str, word: str, data: bytes) -> None:
    """A file cut in its middle is truncated, and the error says so or that it is no such media."""
    with pytest.raises(MediaError):
        check_header(kind, data[: len(data) * 2 // 3])


@pytest.mark.parametrize(("kind", "word", "data"), EVERYTHING, ids=[word for _, word, _ in EVERYTHING])
def test_every_cut_gives_an_answer_or_a_media_error(kind: str, word: str, data: bytes) -> None:
    """Cut at any byte, a file gives a header or a MediaError, nothing else."""
    for end in range(len(data)):
        told = ""
        try:
            word = check_header(kind, data[:end], path="x").format
        except MediaError as error:
            word, told = None, str(error)
        assert word is not None or "expected" in told


@settings(max_examples=200)
@given(st.sampled_from(EVERYTHING), st.data())
def test_damaged_files_give_an_answer_or_a_media_error(sample: tuple[str, str, bytes], data: st.DataObject) -> None:
    """With some bytes changed, a file gives fields that fit their cell, or a MediaError."""
    kind, _, whole = sample
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        fields = check_header(kind, bytes(damaged)).fields
    except MediaError:
        return
    assert all(value is None or isinstance(value, str) or 0 <= value < 2**63 for value in fields.values())


@given(st.sampled_from(MEDIA_KINDS), st.binary(max_size=200))
def test_any_bytes_give_an_answer_or_a_media_error(kind: str, data: bytes) -> None:
    """Arbitrary bytes never raise anything but MediaError."""
    with contextlib.suppress(MediaError):
        assert check_header(kind, data).ext


@pytest.mark.parametrize("padding", [b"\0" * 10, b"trailer"])
def test_bytes_after_the_end_are_allowed(padding: bytes) -> None:
    """Cameras and tools append bytes to PNG and JPEG files; the image is whole all the same."""
    for word in ("png", "jpeg"):
        assert check_header("image", IMAGES[word] + padding).format == word


def test_end_marker_of_a_thumbnail_is_not_the_end() -> None:
    """A JPEG cut off is noticed although the thumbnail in its EXIF data has an end marker of its own."""
    thumbnail = b"\xff\xe1\x00\x0eExif\0\0\xff\xd8\xff\xd9\0\0"
    data = IMAGES["jpeg"][:2] + thumbnail + IMAGES["jpeg"][2:]
    assert check_header("image", data).fields["width"] == 3
    with pytest.raises(MediaError, match="truncated"):
        check_header("image", data[:-10])


def test_error_names_file_and_content() -> None:
    """The message says what was expected and what the bytes start with."""
    with pytest.raises(
        MediaError, match=r"reading an image · cats/1\.png · expected an encoded image .* start with b'hello'"
    ):
        check_header("image", b"hello", path="cats/1.png")


def test_hint_decides_among_texts() -> None:
    """A PQR file looks like a PDB file; its name tells."""
    data = DOCUMENTS["pdb"][1]
    assert check_header("molecule", data, hint="pqr").format == "pqr"
    assert check_header("file", b"a,b\n", hint="csv").content_type == "text/csv"


def test_large_files_are_checked_by_parts(tmp_path: Path) -> None:
    """A view of a file gives the headers that its bytes give."""
    for kind, word, data in EVERYTHING:
        (tmp_path / "x").write_bytes(data)
        view = FileView(str(tmp_path / "x"))
        assert check_header(kind, view).fields == check_header(kind, data).fields, word
        assert view[-1] == data[-1]
        assert view.find(data[-3:]) == data.find(data[-3:])
        assert view.rfind(b"\1absent\2") == view.find(b"\1absent\2") == -1
        view.close()


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary()])
def test_png_columns_are_checked_as_a_whole(type_: pa.DataType) -> None:
    """The values of a column of PNG images that are not null give arrays of sizes, slices too."""
    array = pa.array([b"", PNG, None, PNG], type_).slice(1)
    columns = check_headers("image", array)
    assert columns.exts == "png"
    assert columns.errors == {}
    assert [list(columns.fields[name]) for name in ("width", "height", "format")] == [[3, 3], [2, 2], ["png", "png"]]
    assert columns.content_types == ["image/png", "image/png"]


def test_mixed_columns_collect_their_errors() -> None:
    """Each bad value has its error by its position in the array, and is null in the columns."""
    array = pa.array([PNG, None, b"text", pillow("JPEG"), PNG[:-4]], pa.binary())
    columns = check_headers("image", array)
    assert sorted(columns.errors) == [2, 4]
    assert columns.fields["format"] == ["png", None, "jpeg", None]
    assert columns.exts == ["png", "bin", "jpg", "bin"]
    assert check_headers("image", array, check="none").errors == {}
    assert check_headers("image", pa.array([None], pa.binary())).content_types == []

"""Media: where bytes come from, when they are read, what is refused, how values compare and travel."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest

from tableformat.errors import FormatError, InvalidInputError, MediaError, UsageError
from tableformat.format.media import Audio, Cell, File, Html, Image, Media, Video
from tableformat.format.media.kinds import MEDIA_KINDS
from tableformat.format.media.prepared import LARGE_BYTES
from tests.format.media.samples import IMAGES, PNG, SOUNDS, VIDEOS

CHECKSUM = "SHA-256:" + "ab" * 32


class Source:
    """Stands for an opened table; counts its reads."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    def read(self, cell: Cell) -> bytes:
        self.reads += 1
        return self.data

    def open(self, cell: Cell) -> io.BytesIO:
        return io.BytesIO(self.read(cell))


def stored(**file: object) -> dict[str, object]:
    """An image cell as Arrow gives it."""
    return {
        "file": {"uri": "packs/ab/x.zip", "offset": 5, "size": len(PNG), "checksum": CHECKSUM, **file},
        "width": 3,
        "height": 2,
        "format": "png",
    }


def test_paths_are_read_when_prepared(tmp_path: Path) -> None:
    """Making media of a path reads nothing; prepare reads and checks; text and PathLike are alike. [MEDIA-7]"""
    path = tmp_path / "a.png"
    images = [Image(str(path)), Image(path), Image(path.as_uri())]
    path.write_bytes(PNG)
    for image in images:
        assert image.path == str(path)
        prepared = image.prepare()
        assert (prepared.data, prepared.size, prepared.content_type, prepared.ext) == (
            PNG,
            len(PNG),
            "image/png",
            "png",
        )
        assert prepared.fields == {"width": 3, "height": 2, "format": "png"}
        assert image == Image(PNG)
        assert image.bytes() == PNG


@pytest.mark.parametrize(
    "data",
    [bytearray(PNG), memoryview(PNG), io.BytesIO(PNG), Image(PNG)],
    ids=["bytearray", "memoryview", "file", "image"],
)
def test_bytes_come_in_many_forms(data: object) -> None:
    """Buffers and open files are read at once, and equal the image of the bytes."""
    image = Image(data)
    assert image == Image(PNG)
    assert hash(image) == hash(Image(PNG))


def test_later_changes_of_a_buffer_do_not_matter() -> None:
    """What was given is what is stored."""
    buffer = bytearray(PNG)
    image = Image(buffer)
    buffer[:] = bytes(len(buffer))
    assert image.prepare().data == PNG


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("missing.png", "No such file"),
        (".", "folder"),
        ("a\0b", "zero byte"),
        (io.StringIO("x"), "opened for bytes"),
        (3.5, "float"),
    ],
)
def test_what_is_no_media_is_refused(value: object, why: str) -> None:
    """Missing files, folders and values of other types raise MediaError."""
    with pytest.raises(MediaError, match=why):
        Image(value).prepare()


@pytest.mark.parametrize(
    ("make", "data"),
    [(Image, SOUNDS["wav"]), (Audio, PNG), (Video, b"text"), (Image, PNG[:-1]), (Image, b""), (Html, b"\xff\xff")],
)
def test_wrong_kinds_are_refused(make: type[Media], data: bytes) -> None:
    """Bytes of another kind and cut ones raise, unless nothing is to be checked."""
    with pytest.raises(MediaError, match="expected"):
        make(data).prepare()
    assert make(data).prepare(check="none").data == data


def test_decode_finds_a_damaged_middle() -> None:
    """A header cannot tell of damage inside; decoding does."""
    damaged = PNG[:45] + b"\0\0" + PNG[47:]
    assert Image(damaged).prepare().fields["width"] == 3
    with pytest.raises(MediaError, match="checksum"):
        Image(damaged).prepare(check="decode")
    assert Image(PNG).prepare(check="decode").data == PNG
    with pytest.raises(InvalidInputError, match=r"header \| decode"):
        Image(PNG).prepare(check="full")


def test_large_files_are_left_to_be_streamed(tmp_path: Path) -> None:
    """Above 8 MiB a file is checked by its ends and named, not held."""
    path = tmp_path / "a.png"
    path.write_bytes(PNG[:-12] + bytes(LARGE_BYTES) + PNG[-12:])
    prepared = Image(path).prepare()
    assert (prepared.data, prepared.path, prepared.size) == (None, str(path), len(PNG) + LARGE_BYTES)
    assert prepared.fields["width"] == 3
    assert Image(path).digest == Image(path.read_bytes()).digest


def test_urls_are_fetched_through_the_opener() -> None:
    """A URL is owned: its bytes come from the opener given, and without one nothing is opened."""
    image = Image("s3://bucket/a.png")
    assert image.path == "s3://bucket/a.png"
    assert (image.width, image.size, image.digest, image.content_type) == (None, None, None, "image/png")
    assert image.prepare(lambda url: io.BytesIO(PNG)).data == PNG
    assert image.bytes(lambda url: io.BytesIO(PNG)) == PNG
    with pytest.raises(UsageError, match="open_url"):
        image.prepare()


def test_large_urls_go_through_a_temporary_file() -> None:
    """Above 8 MiB a URL's bytes wait in a file that lives as long as the prepared value."""
    data = PNG[:-12] + bytes(LARGE_BYTES) + PNG[-12:]
    prepared = Image("s3://bucket/a.png").prepare(lambda url: io.BytesIO(data))
    assert prepared.path is not None
    path = Path(prepared.path)
    assert path.stat().st_size == len(data)
    del prepared
    assert not path.exists()


def test_references_read_nothing() -> None:
    """refer keeps the URL and what is known of it; prepare passes it on."""
    image = Image.refer("s3://bucket/a/b.jpg", size=9, checksum="ETAG:abc", version_id="7", width=3, caption="cat")
    prepared = image.prepare()
    assert prepared.refer is not None
    assert prepared.refer == image.reference == ("s3://bucket/a/b.jpg", None, 9, "ETAG:abc", "7")
    assert (prepared.data, prepared.content_type, prepared.ext) == (None, "image/jpeg", "jpg")
    assert prepared.fields == {"format": "jpeg", "width": 3}
    assert (image.caption, image.width, image.height, image.digest, image.size) == ("cat", 3, None, None, 9)
    assert image == Image.refer("s3://bucket/a/b.jpg", size=9, checksum="ETAG:abc", version_id="7", caption="cat")
    assert Image.refer("s3://b/a", checksum=CHECKSUM).digest == "sha256:" + "ab" * 32
    ranged = Image.refer("s3://b/a.tar", offset=2, size=3)
    assert ranged.bytes(lambda url: io.BytesIO(b"0123456")) == b"234"


@pytest.mark.parametrize("options", [{"offset": 3}, {"size": -1}, {"checksum": "md5:1"}, {"frames": 3}])
def test_bad_references_are_refused(options: dict[str, object]) -> None:
    """Ranges without a size, unknown checksums and fields of other kinds raise."""
    with pytest.raises(InvalidInputError):
        Image.refer("s3://bucket/a.jpg", **options)


def test_cells_are_read_through_their_source() -> None:
    """Fields of a cell need no read; bytes come from the source; prepare of it reads nothing either. [MEDIA-12]"""
    source = Source(PNG)
    image = Media.from_cell("image", stored(), source)
    assert isinstance(image, Image)
    assert (image.width, image.format, image.size, image.digest) == (3, "png", len(PNG), "sha256:" + "ab" * 32)
    prepared = image.prepare()
    assert prepared.source is not None
    assert prepared.source.reader is source
    assert (prepared.source.uri, prepared.source.offset) == ("packs/ab/x.zip", 5)
    assert Image(image, caption="again").prepare().source == prepared.source
    assert source.reads == 0
    assert image.bytes() == PNG
    with image.open() as file:
        assert file.read(4) == PNG[:4]
    assert source.reads == 2


def test_inline_bytes_need_no_source_and_are_compared() -> None:
    """Inline bytes win over a uri, and differ from their checksum only once. [MEDIA-4]"""
    digest = "SHA-256:" + Image(PNG).digest.removeprefix("sha256:")
    image = Media.from_cell("image", stored(inline=PNG, checksum=digest))
    assert image.bytes() == PNG
    with image.open() as file:
        assert file.read() == PNG
    with pytest.raises(FormatError, match="verify"):
        Media.from_cell("image", stored(inline=PNG)).bytes()
    with pytest.raises(UsageError, match="table"):
        Media.from_cell("image", stored()).bytes()


def test_cells_that_point_outside_are_references() -> None:
    """A cell with an absolute uri stays a reference in another table."""
    prepared = Media.from_cell("image", stored(uri="s3://b/a.png")).prepare()
    assert prepared.refer is not None
    assert prepared.refer.uri == "s3://b/a.png"


@pytest.mark.parametrize(
    "value",
    [
        Image(PNG, caption="a"),
        Image.refer("s3://b/a.png"),
        Image("/tmp/a.png"),
        Audio(SOUNDS["wav"]),
        File(b"x", "n.txt"),
    ],
)
def test_media_travel_between_processes(value: Media) -> None:
    """Media pickle as they are."""
    again = pickle.loads(pickle.dumps(value))
    assert type(again) is type(value)
    assert again._notes() == value._notes()
    assert repr(again) == repr(value)


def test_equality_looks_at_bytes_and_annotations() -> None:
    """Equal bytes and captions are equal; other bytes, captions, kinds and values are not."""
    assert Image(PNG) == Image(PNG)
    assert Image(PNG) != Image(IMAGES["jpeg"])
    assert Image(PNG) != Image(PNG, caption="a")
    assert Image(PNG) != File(PNG)
    assert Image(PNG) != PNG


def test_kinds_do_not_mix() -> None:
    """An image is not made of a sound."""
    with pytest.raises(InvalidInputError, match="media of kind image"):
        Image(Audio(SOUNDS["wav"]))


def test_every_kind_has_its_class() -> None:
    """A cell of each kind gives media of that kind."""
    for kind in MEDIA_KINDS:
        assert Media.from_cell(kind, {"file": {"inline": b""}}).kind == kind


def test_repr_is_one_line() -> None:
    """What it is, in one line, also for what cannot be read."""
    assert repr(Image(PNG)) == f"<Image png, 3×2, {len(PNG)} bytes>"
    assert repr(Image.refer("s3://b/a.png")) == "Image.refer('s3://b/a.png')"
    assert repr(Image("a.png")) == "Image('a.png')"
    assert repr(Image(b"x")) == "<Image of 1 bytes, unreadable>"
    assert "8000 Hz" in repr(Audio(SOUNDS["wav"]))


def test_videos_are_taken_verbatim() -> None:
    """A video's bytes stay as they are, and its header gives size and duration."""
    video = Video(VIDEOS["mp4"])
    assert (video.width, video.height, video.duration_us) == (320, 240, 1_500_000)
    assert video.prepare().data == VIDEOS["mp4"]

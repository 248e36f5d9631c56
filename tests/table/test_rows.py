"""Rows as Python values: frozen mappings, media lazy or as bytes, annotations with their media, references only if allowed."""

from __future__ import annotations

import io
import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tableformat.errors import AccessRefusedError, CorruptError, FormatError, LimitError, NotFoundError, UsageError
from tableformat.format.limits import Limits
from tableformat.format.media.boxes import Box
from tableformat.format.media.cells import build_cells, checksums
from tableformat.format.media.image import Image
from tableformat.format.media.png import encode_png
from tableformat.format.media.siblings import boxes_array
from tableformat.format.types import Field, ImageType, MediaType, StructType, sibling_column_type
from tableformat.format.types.nested import ListType
from tableformat.storage.backend import open_backend
from tableformat.table.rows import Row
from tableformat.table.source import is_allowed
from tableformat.table.table import Table
from tests.table.reading_tables import image_cells, store_table

PNGS = [encode_png(np.full((2, 2), n, np.uint8)) for n in range(20)]
IMAGES: list[bytes | None] = [None if n == 3 else png for n, png in enumerate(PNGS)]


def image_table(url: Path, **source: Any) -> Table:
    """Twenty images in a pack, the fourth of them null, with boxes and a caption."""
    backend = open_backend(str(url))
    boxes = boxes_array([None if n % 2 else {"truth": (Box(n, xyxy=(0, 0, 1, 1)),)} for n in range(20)])
    schema = {
        "id": int,
        "image": ImageType(),
        "image_boxes": Field("image_boxes", sibling_column_type("boxes"), annotates=("image", "boxes")),
        "image_caption": Field("image_caption", sibling_column_type("caption"), annotates=("image", "caption")),
    }
    columns = {
        "id": list(range(20)),
        "image": image_cells(backend, IMAGES),
        "image_boxes": boxes,
        "image_caption": [f"number {n}" for n in range(20)],
    }
    return store_table(url, schema, columns, part_rows=7, **source)


def test_a_row_is_a_frozen_mapping() -> None:
    """A row has its columns in order, its number, equality by value, and cannot be changed."""
    row = Row({"a": 0, "b": 1}, (1, "x"), 5)
    assert dict(row) == row.to_dict() == {"a": 1, "b": "x"}
    assert (list(row), len(row), row.index, "a" in row, row.get("c")) == (["a", "b"], 2, 5, True, None)
    assert row == Row({"a": 0, "b": 1}, (1, "x"), 9)
    assert pickle.loads(pickle.dumps(row)) == row
    assert repr(row) == "<Row 5: a: 1, b: 'x'>"
    with pytest.raises(UsageError, match="read-only"):
        row.index = 3
    with pytest.raises(TypeError):
        row["a"] = 2  # type: ignore[index]
    with pytest.raises(NotFoundError, match="there are"):
        row["c"]


def test_media_are_objects_with_their_annotations(tmp_path: Path) -> None:
    """Annotations are part of their image and no column of a row; bytes are read when they are asked for."""
    table = image_table(tmp_path)
    assert table.columns == ["id", "image"]
    row = table[4]
    image = row["image"]
    assert isinstance(image, Image)
    assert (image.width, image.caption, image.boxes["truth"][0].class_id) == (2, "number 4", 4)
    assert image.bytes() == PNGS[4]
    assert table[3]["image"] is None
    assert table[5]["image"].boxes == {}
    assert [row["image"].bytes() for row in table[:3]] == PNGS[:3]


def test_annotations_follow_their_image(tmp_path: Path) -> None:
    """Selecting an image brings its annotations; an annotation alone is a column like any other."""
    table = image_table(tmp_path)
    assert table.select("image")[4]["image"].caption == "number 4"
    assert table.select("image").arrow_schema.names == ["image", "image_boxes", "image_caption"]
    assert table.select("image_caption")[4] == {"image_caption": "number 4"}
    assert [row.index for row in table.where(image_caption="number 7")] == [7]


def test_rows_with_bytes(tmp_path: Path) -> None:
    """With `media="bytes"` the bytes of every image stand in the rows, in the order asked for, whatever the budget."""
    table = image_table(tmp_path)
    assert [row["image"] for row in table.rows(media="bytes")] == IMAGES
    wanted = [19, 3, 0, 19]
    assert [row["image"] for row in table.take(wanted).rows(media="bytes")] == [IMAGES[n] for n in wanted]
    small = image_table(tmp_path, limits=Limits(media_bytes=100))
    assert [row["image"] for row in small.rows(media="bytes")] == IMAGES


def test_damaged_image(tmp_path: Path) -> None:
    """Bytes that differ from their digest are never handed out, singly or many at once. [READ-9]"""
    table = image_table(tmp_path)
    (pack,) = (tmp_path / "data" / "packs").rglob("*.zip")
    data = pack.read_bytes()
    pack.unlink()
    pack.write_bytes(data.replace(PNGS[5][-30:-20], b"0123456789"))
    assert table[4]["image"].bytes() == PNGS[4]
    with pytest.raises(CorruptError, match="packs/"):
        table[5]["image"].bytes()
    with pytest.raises(CorruptError, match="packs/"):
        list(table.rows(media="bytes"))


def test_cells_leave_with_absolute_uris(tmp_path: Path) -> None:
    """Outside of the library a cell can be followed from anywhere, and with `media="bytes"` it holds its bytes. [READ-10]"""
    table = image_table(tmp_path)
    cells = table.to_arrow().column("image").to_pylist()
    assert cells[3] is None
    file = cells[4]["file"]
    assert Path(file["uri"]).read_bytes()[file["offset"] : file["offset"] + file["size"]] == PNGS[4]
    inlined = table.to_arrow(media="bytes").column("image").to_pylist()
    assert [None if cell is None else cell["file"]["inline"] for cell in inlined] == IMAGES
    assert inlined[4]["file"]["uri"] is None
    assert inlined[4]["file"]["checksum"] == file["checksum"]


def test_media_inside_structs(tmp_path: Path) -> None:
    """Media at depth are media, too, lazily or as bytes."""
    backend = open_backend(str(tmp_path))
    cells = image_cells(backend, PNGS[:4])
    inner = StructType((Field("name", MediaType("image")),))
    lists = pa.ListArray.from_arrays(
        [0, 1, 1, 4], pa.StructArray.from_arrays([cells], fields=[pa.field("name", cells.type)])
    )
    schema = {"views": ListType(Field("element", inner))}
    table = store_table(tmp_path, schema, {"views": lists.cast(ListType(Field("element", inner)).storage())})
    assert table[2]["views"][1]["name"].bytes() == PNGS[2]
    assert [[view["name"] for view in row["views"]] for row in table.rows(media="bytes")] == [PNGS[:1], [], PNGS[1:4]]
    assert table.to_arrow(media="bytes").column("views")[0][0]["name"]["file"]["inline"].as_py() == PNGS[0]


def reference_table(url: Path, cells: pa.StructArray, **source: Any) -> Table:
    return store_table(url, {"image": ImageType()}, {"image": cells}, **source)


def test_references_are_opened_only_where_allowed(tmp_path: Path) -> None:
    """A reference outside of what the caller allowed is refused by name and never opened; an allowed one is read and compared. [READ-11]"""
    opened: list[str] = []

    def open_url(url: str) -> io.BytesIO:
        opened.append(url)
        return io.BytesIO(PNGS[0])

    digest = checksums([sha256(PNGS[0]).digest()])[0].as_py()
    cells = build_cells(
        "image",
        3,
        uri=["s3://mine/a.png", "s3://other/b.png", "s3://mine/c.png"],
        size=[len(PNGS[0]), None, 3],
        checksum=[digest, None, None],
    )
    table = reference_table(tmp_path, cells, allow=("s3://mine/",), open_url=open_url)
    assert table[0]["image"].bytes() == PNGS[0]
    with pytest.raises(AccessRefusedError, match=r"allow=\['s3://other/'\]"):
        table[1]["image"].bytes()
    with pytest.raises(CorruptError, match="3 bytes"):
        table[2]["image"].bytes()
    assert set(opened) == {"s3://mine/a.png", "s3://mine/c.png"}
    with pytest.raises(AccessRefusedError):
        list(table[1:2].rows(media="bytes"))
    assert [row["image"] for row in table[:1].rows(media="bytes")] == PNGS[:1]
    with pytest.raises(UsageError, match="opens URLs"):
        reference_table(tmp_path, cells, allow=("s3://mine",))[0]["image"].bytes()


@pytest.mark.parametrize(
    ("url", "allow", "expected"),
    [
        ("s3://a/b/c", "s3://a/b", True),
        ("s3://a/b", "s3://a/b", True),
        ("s3://a/bc", "s3://a/b", False),
        ("s3://a/b/../c", "s3://a/b", False),
        ("s3://a/b/%2e%2e/c", "s3://a/b", False),
        ("s3://a/b/c::file:///etc/passwd", "s3://a/b", False),
        ("simplecache::s3://a/b", "s3://a", False),
        ("https://user@a/b", "https://user@a", False),
        ("https://a.evil.com/x", "https://a", False),
        ("s3://a/x", "s3://", True),
        ("file:///etc/passwd", "s3://", False),
        ("/etc/passwd", "/etc", False),
        ("s3://a/b\\..\\c", "s3://a", False),
    ],
)
def test_prefixes(url: str, allow: str, expected: bool) -> None:
    """A prefix covers what lies below it, segment by segment, and no address that could lead elsewhere. [READ-11]"""
    assert is_allowed(url, [allow]) is expected


@pytest.mark.parametrize("uri", ["../secret", "/etc/passwd", "packs/../../x.zip", "packs/ab/x.zip", ""])
def test_relative_uris_that_leave_the_store(tmp_path: Path, uri: str) -> None:
    """A relative uri that is not in the grammar of the store is refused on every way out. [READ-10]"""
    cells = build_cells("image", 1, uri=[uri], offset=[0], size=[3])
    table = reference_table(tmp_path, cells)
    with pytest.raises((CorruptError, FormatError)):
        table[0]["image"].bytes()
    with pytest.raises((CorruptError, FormatError)):
        list(table.rows(media="bytes"))
    with pytest.raises((CorruptError, FormatError)):
        table.to_arrow()


def zstd_cells(data: bytes, claimed: bytes | None = None) -> pa.StructArray:
    stored = pa.compress(data, "zstd", asbytes=True)
    digest = checksums([sha256(data if claimed is None else claimed).digest()])
    return build_cells(
        "image",
        1,
        inline=[stored],
        size=[len(stored)],
        checksum=checksums([sha256(stored).digest()]),
        digest=digest,
        encoding="zstd",
    )


def test_encoded_cells(tmp_path: Path) -> None:
    """A cell that is stored as a zstd frame comes out as its media, compared with its digest and bounded. [READ-9] [READ-8]"""
    data = PNGS[0] * 100
    table = reference_table(tmp_path, zstd_cells(data))
    assert table[0]["image"].bytes() == data
    assert [row["image"] for row in table.rows(media="bytes")] == [data]
    assert table[0]["image"].open().read(5) == data[:5]
    with pytest.raises(CorruptError):
        reference_table(tmp_path, zstd_cells(data, b"other"))[0]["image"].bytes()
    with pytest.raises(LimitError, match="decoded_media_bytes"):
        reference_table(tmp_path, zstd_cells(bytes(1 << 22)), limits=Limits(decoded_media_bytes=1 << 20))[0][
            "image"
        ].bytes()


def test_media_as_files(tmp_path: Path) -> None:
    """A cell opens as a seekable file."""
    with image_table(tmp_path)[7]["image"].open() as file:
        file.seek(1)
        assert file.read(3) == b"PNG"

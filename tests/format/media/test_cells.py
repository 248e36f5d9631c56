"""Media columns: built from columns of fields, read back as media, with what stands beside them."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pyarrow as pa
import pytest

from tableformat.errors import FormatError, SchemaError
from tableformat.format.media import Box, Cell, Classes, Image, Mask
from tableformat.format.media.cells import build_cells, checksums, prepare_many, read_cells
from tableformat.format.media.kinds import MEDIA_KINDS, SIBLING_ROLES, cell_type, sibling_type
from tableformat.format.media.siblings import boxes_array, captions_array, classes_array, flatten_masks, masks_array
from tests.format.media.samples import PNG

DIGEST = bytes(range(32))


class Source:
    """Stands for an opened table."""

    def read(self, cell: Cell) -> bytes:
        return PNG

    def open(self, cell: Cell) -> io.BytesIO:
        return io.BytesIO(PNG)

    def classes(self, digest: str) -> Classes:
        assert digest == CLASSES.digest
        return CLASSES


CLASSES = Classes(["cat", "dog"])
BOXES = [
    {
        "a": (Box(1, xyxy=(0, 0, 2, 2), caption="x", scores={"p": 0.5}), Box(None, xywh=(1, 1, 1, 1), unit="pixel")),
        "b": (),
    },
    None,
    {},
    {"a": (Box(0, cxcywh=(0.5, 0.5, 0.25, 0.3), unit="fraction", extra={"track": 7}),)},
]


@pytest.mark.parametrize("kind", MEDIA_KINDS)
def test_cells_have_the_six_fields_and_their_own(kind: str) -> None:
    """Every cell begins with the fields of FILE, by name and type, all nullable. [MEDIA-1]"""
    type_ = cell_type(kind)
    file = type_.field("file").type
    assert [(field.name, str(field.type)) for field in file] == [
        ("uri", "string"), ("offset", "int64"), ("size", "int64"), ("content_type", "string"), ("checksum", "string"), ("inline", "binary"),
    ]  # fmt: skip
    assert [field.name for field in type_][:4] == ["file", "digest", "encoding", "version_id"]
    assert all(field.nullable for field in [*file, *type_])
    assert build_cells(kind, 2).type == type_


def test_unknown_kinds_and_roles_are_refused() -> None:
    """A kind or role that the specification does not know raises."""
    for call, name in ((cell_type, "smell"), (sibling_type, "smell")):
        with pytest.raises(SchemaError, match="smell"):
            call(name)
    assert all(sibling_type(role) for role in SIBLING_ROLES)


def test_cells_are_built_from_columns() -> None:
    """Lists, numpy arrays, Arrow arrays and single values make the struct; rows that are not valid are null."""
    cells = build_cells(
        "image", 3, uri=["packs/a.zip"] * 3, offset=np.array([0, 5, 9]), size=pa.array([5, 4, 3], pa.int32()), content_type="image/png",
        checksum=checksums([DIGEST] * 3), width=np.array([3, 0, 1], np.int32), format="png", valid=[True, False, True],
    )  # fmt: skip
    assert cells.is_valid().to_pylist() == [True, False, True]
    assert cells[2].as_py() == {
        "file": {"uri": "packs/a.zip", "offset": 9, "size": 3, "content_type": "image/png", "checksum": "SHA-256:" + DIGEST.hex(), "inline": None},
        "digest": None, "encoding": None, "version_id": None, "width": 1, "height": None, "format": "png",
    }  # fmt: skip
    cells.validate(full=True)
    with pytest.raises(TypeError, match="no field frames"):
        build_cells("image", 1, frames=[1])


def test_checksums_are_text() -> None:
    """Raw digests, as a list or as an array, become the text of the cell; none gives an empty array."""
    expected = ["SHA-256:" + DIGEST.hex(), "SHA-256:" + bytes(32).hex()]
    assert checksums([DIGEST, bytes(32)]).to_pylist() == expected
    assert checksums(np.frombuffer(DIGEST + bytes(32), np.uint8).reshape(2, 32)).to_pylist() == expected
    assert checksums([]).to_pylist() == []


def test_cells_come_back_as_media() -> None:
    """Each row is a media object that knows its fields and reads through the source; null is None, slices too."""
    cells = build_cells(
        "image",
        4,
        uri="packs/a.zip",
        offset=[0, 0, 1, 2],
        size=len(PNG),
        width=[1, 2, 3, 4],
        format="png",
        valid=[True, True, False, True],
    )
    images = read_cells("image", cells.slice(1), Source())
    assert [image and image.fields["width"] for image in images] == [2, None, 4]
    assert images[0] is not None
    assert images[0].bytes() == PNG
    held = read_cells("image", cells, Source(), data=[b"a", None, None, b"d"])
    assert held[3] is not None
    assert held[3].bytes() == b"d"
    assert held[3].prepare().source is not None
    again = pickle.loads(pickle.dumps(images[2]))
    assert (again.fields["width"], again.cell.offset) == (4, 2)


def test_bad_cells_raise_when_looked_at() -> None:
    """A cell against the specification raises for its own row only. [MEDIA-2]"""
    cells = build_cells("image", 2, uri=[None, "a"])
    bad, good = read_cells("image", cells, None)
    assert good is not None
    assert good.cell is not None
    with pytest.raises(FormatError, match="neither"):
        bad.cell  # noqa: B018


def test_boxes_come_back() -> None:
    """Layers of boxes survive their column, null and empty ones apart. [MEDIA-13]"""
    array = boxes_array(BOXES)
    assert array.type == sibling_type("boxes")
    array.validate(full=True)
    cells = build_cells("image", 4, uri="a", size=1)
    images = read_cells("image", cells, None, boxes=array)
    for image, expected in zip(images, BOXES, strict=True):
        assert isinstance(image, Image)
        assert image.boxes == (expected or {})
        assert image.has_boxes == (expected is not None)
    assert boxes_array([None]).to_pylist() == [None]
    assert boxes_array([]).to_pylist() == []


def test_everything_beside_an_image_comes_back() -> None:
    """Masks, captions and class sets are read with the image, and an image can be stored again with all of them. [MEDIA-13]"""
    mask = Mask(np.array([[0, 1, 1], [1, 0, 0]], np.uint8))
    given = [Image(PNG, masks={"m": mask, "n": mask}, caption="c", classes=CLASSES), Image(PNG), Image(PNG, masks={})]
    flat = flatten_masks([image.masks if image.has_masks else None for image in given])
    prepared = prepare_many(flat.masks)
    data = [item.data for item in prepared if item is not None]
    stored = build_cells(
        "image", len(data), inline=data, size=[len(one) for one in data], width=3, height=2, format="png"
    )
    masks = masks_array(flat, stored)
    assert masks.type == sibling_type("masks")
    cells = build_cells("image", 3, uri="a", size=1)
    images = read_cells(
        "image", cells, Source(), masks=masks, captions=captions_array(given), classes=classes_array(given)
    )
    first, second, third = images
    assert isinstance(first, Image)
    assert isinstance(second, Image)
    assert isinstance(third, Image)
    assert list(first.masks) == ["m", "n"]
    assert np.array_equal(first.masks["n"].to_numpy(), mask.to_numpy())
    assert first.masks["m"].prepare().source is not None
    assert (first.caption, first.classes, first.classes_digest) == ("c", CLASSES, CLASSES.digest)
    assert (second.has_masks, third.has_masks, second.caption, second.classes) == (False, True, None, None)
    whole = pickle.loads(pickle.dumps(read_cells("image", cells, None, masks=masks, classes=CLASSES.digest)[0]))
    assert whole.classes == CLASSES.digest
    assert list(whole.masks) == ["m", "n"]


def test_masks_of_slices_come_back() -> None:
    """A slice of a column of masks gives the masks of its rows."""
    cells = build_cells("image", 3, uri=["a", "b", "c"])
    masks = masks_array(flatten_masks([{"x": Mask(b"")}, {"y": Mask(b""), "z": Mask(b"")}]), cells)
    (image,) = read_cells("image", build_cells("image", 2, uri="i").slice(1), None, masks=masks.slice(1))
    assert isinstance(image, Image)
    assert {name: mask.cell.uri for name, mask in image.masks.items() if mask.cell} == {"y": "b", "z": "c"}


def test_errors_are_collected_when_asked() -> None:
    """What is wrong is told by position, or raised."""
    errors: dict[int, Exception] = {}
    prepared = prepare_many([Image(PNG), None, Image(b"x")], errors=errors)
    assert [item is not None for item in prepared] == [True, False, False]
    assert list(errors) == [2]
    with pytest.raises(ValueError, match="reading an image"):
        prepare_many([Image(b"x")])

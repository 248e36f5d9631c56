"""Entries that are no tables: their fields are written and read back, and damage is named."""

import pyarrow as pa
import pytest

from tableformat import Box, Classes, Image
from tableformat.entries import (
    classes_fields,
    content_of_item,
    file_cell,
    file_fields,
    item_of,
    media_fields,
    media_row,
    place_of,
    read_classes,
)
from tableformat.errors import CorruptError, FormatError
from tableformat.table.build import build_columns
from tableformat.table.inference import TableInference
from tests.table.inline_placer import TINY_PNG, InlinePlacer

CLASSES = Classes(["cat", "dog"])
PLACE = {"uri": "packs/ab/x.zip", "offset": 3, "size": 4}


def refuse(place):
    pytest.fail("nothing is to be read")


def media_item(media):
    observed = TableInference().observe({"media": [media]})
    row = build_columns(observed.schema, {"media": [media]}, InlinePlacer(), 0, observed.ready)
    content, fields = media_fields(media.kind, observed.schema.with_ids(), row)
    return item_of("m", "media", content, fields), row


def test_items_name_themselves():
    """An item holds its name, its key, its kind and its content digest beside its fields."""
    item = item_of("a", "file", "sha256:1", {"size": 3})
    assert item == {"name": "a", "key": "a", "kind": "file", "content": "sha256:1", "size": 3}
    assert content_of_item(item) == "sha256:1"


def test_entries_without_content_digest_have_that_of_their_json():
    """Kinds that are not known count by every field they have."""
    one, two = {"kind": "new", "x": 1}, {"kind": "new", "x": 2}
    assert content_of_item(one) == content_of_item(dict(one)) != content_of_item(two)


def test_class_sets_come_back_inline_and_from_a_blob():
    """A short set stands in its entry, a long one at a place; either is compared with its digest."""
    assert read_classes(classes_fields(CLASSES, None), refuse, "here") == CLASSES
    assert read_classes(classes_fields(CLASSES, PLACE), lambda place: CLASSES.encode(), "here") == CLASSES


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({**classes_fields(CLASSES, None), "digest": "sha256:" + "0" * 64}, CorruptError),
        ({"digest": CLASSES.digest}, FormatError),
        ({"digest": CLASSES.digest, "place": {"uri": 3}}, FormatError),
        ({"digest": CLASSES.digest, "document": [1]}, FormatError),
    ],
)
def test_damaged_class_sets_are_refused(fields, error):
    """Another digest, or no document where one should be, is an error that names the entry."""
    with pytest.raises(error, match="here"):
        read_classes(fields, refuse, "here")


def test_files_say_where_they_lie():
    """The entry of a file gives the cell through which it is read."""
    item = file_fields("sha256:" + "a" * 64, 4, "text/plain", "a.txt", PLACE)
    assert place_of(item, "here") == PLACE
    cell = file_cell(item, "here")
    assert cell["file"] == {
        "uri": PLACE["uri"],
        "offset": 3,
        "size": 4,
        "content_type": "text/plain",
        "checksum": "SHA-256:" + "a" * 64,
    }
    with pytest.raises(FormatError, match="here"):
        place_of({"place": None}, "here")


@pytest.mark.parametrize(
    "lie",
    [
        {"size": [4]}, {"size": -1}, {"size": True}, {"content_type": 3}, {"file_name": ["a"]}, {"digest": "sha256:../a"}, {"digest": None},
        {"place": {**PLACE, "offset": "3"}},
    ],
)  # fmt: skip
def test_fields_of_files_have_their_types(lie):
    """An entry of a file with a field of another type is refused before anything is made of it."""
    item = file_fields("sha256:" + "a" * 64, 4, "text/plain", "a.txt", PLACE)
    with pytest.raises(FormatError):
        file_cell({**item, **lie}, "here")


BOXES = {"truth": [Box(1, xyxy=(0, 0, 1, 1), scores={"sure": 0.5})]}


@pytest.mark.parametrize(
    "media", [Image(TINY_PNG), Image(TINY_PNG, caption="c", boxes=BOXES)], ids=["bare", "annotated"]
)
def test_media_come_back(media):
    """A single medium is a row of one, with its annotations."""
    item, row = media_item(media)
    schema, arrays = media_row(item, "here")
    assert [array.to_pylist() for array in arrays] == [array.to_pylist() for array in row]
    assert schema.names[0] == "media"


def test_content_of_media_depends_on_what_it_shows():
    """The same bytes have one content digest; other bytes, and other captions, another."""
    same = {media_item(Image(TINY_PNG))[0]["content"], media_item(Image(bytes(TINY_PNG)))[0]["content"]}
    assert len(same) == 1
    assert media_item(Image(TINY_PNG, caption="c"))[0]["content"] not in same


@pytest.mark.parametrize(
    "change", [{"row": "{"}, {"row": "[]"}, {"row": "{}"}, {"row": None}, {"schema": {}}, {"row": '{"media": 3}'}]
)
def test_damaged_media_are_refused(change):
    """A row that is no row of its schema is a format error."""
    item, _ = media_item(Image(TINY_PNG))
    with pytest.raises(FormatError):
        media_row({**item, **change}, "here")


def test_arrays_of_a_row_have_the_types_of_its_schema():
    """What is read has the storage types that readers of tables expect."""
    item, _ = media_item(Image(TINY_PNG))
    schema, arrays = media_row(item, "here")
    assert [array.type for array in arrays] == [column.type.storage() for column in schema.columns]
    assert all(isinstance(array, pa.Array) for array in arrays)

"""What a draft is writing: kinds of objects, the session around them, and what is left when it ends."""

import threading

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tableformat import Audio, Classes, File, Html, Image, Molecule, Plotly, Video, open_store
from tableformat.errors import InvalidInputError, MediaError, NotFoundError
from tests.table.inline_placer import TINY_PNG
from tests.threads import no_thread_stays

RNG = np.random.default_rng(3)
ROWS = [{"x": 1}, {"x": 2}]


@pytest.fixture
def store(store_url):
    return open_store(store_url)


def committed(store, obj, name="o"):
    with store.draft("a") as draft:
        assert draft.add(obj, name) is obj
    return open_store(store.root)["a"][name]


def sessions_of(store):
    return [found.path for found in store.context.backend.list("sessions")]


@pytest.mark.parametrize(
    "obj",
    [
        pa.table({"x": [1, 2]}), pa.table({"x": [1, 2]}).to_batches()[0], pd.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [1, 2]}),
        {"x": [1, 2]}, ROWS,
    ],
    ids=lambda obj: type(obj).__module__ + "." + type(obj).__name__,
)  # fmt: skip
def test_rows_become_tables(store, obj):
    """Frames, Arrow data, columns by name and lists of rows are stored as tables."""
    assert [row.to_dict() for row in committed(store, obj)] == ROWS


@pytest.mark.parametrize(
    "media",
    [
        Image(TINY_PNG), Image(TINY_PNG, caption="ä"), Image(RNG.integers(0, 256, (60, 60), np.uint8)), Audio(np.arange(4000, dtype=np.int16), 8000),
        Html(b"<p>hi</p>" * 1000), Plotly(b'{"data": [], "layout": {}}'), Molecule(b"HEADER\nATOM      1  N   MET A   1\nEND\n", format="pdb"),
    ],
    ids=lambda media: type(media).__name__,
)  # fmt: skip
def test_single_media_come_back(store, media):
    """Media of each kind are entries of their own, equal to what was given, whatever their size."""
    found = committed(store, media)
    assert type(found) is type(media)
    assert (found, found.bytes(), found.caption, found.content_type) == (
        media,
        media.bytes(),
        media.caption,
        media.content_type,
    )


def test_annotated_images_come_back(store):
    """Boxes, masks, caption and classes of a single image are kept with it."""
    classes = Classes({1: "cat", 2: "dog"})
    image = Image(
        RNG.integers(0, 256, (40, 40), np.uint8),
        caption="two",
        classes=classes,
        boxes={"truth": [{"position": {"minX": 0, "minY": 0, "maxX": 9, "maxY": 9}, "domain": "pixel", "class_id": 1}]},
        masks={"seg": {"mask_data": np.ones((40, 40), np.uint8)}},
    )
    found = committed(store, image)
    assert found == image
    assert (found.classes, found.boxes.keys(), found.masks["seg"].to_numpy().sum()) == (classes, {"truth"}, 1600)


@pytest.mark.parametrize("size", [0, 10, 5000, (8 << 20) + 7])
@pytest.mark.parametrize("way", ["path", "File of path", "File of bytes"])
def test_files_come_back(store, tmp_path, size, way):
    """A file is stored whole from its path or bytes, with its name, in the tier of its size."""
    data = RNG.bytes(size)
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    obj = path if way == "path" else File(path if way == "File of path" else data)
    found = committed(store, obj)
    assert isinstance(found, File)
    assert (found.bytes(), found.size, found.name) == (data, size, None if way == "File of bytes" else "notes.txt")
    if way != "File of bytes":
        assert found.content_type == "text/plain"


@pytest.mark.parametrize("count", [1, 5000])
def test_class_sets_come_back(store, count):
    """Short sets stand in their entry, long ones in a pack."""
    classes = Classes([f"class {n}" for n in range(count)])
    assert committed(store, classes) == classes


@pytest.mark.parametrize(
    "obj", [3, None, object(), [1, 2], (), lambda: 1, File.refer("s3://b/k")], ids=lambda value: type(value).__name__
)
def test_objects_of_other_kinds_are_refused(store, obj):
    """What is no table, medium, class set or file is refused with what is taken; the draft goes on."""
    with store.draft("a") as draft:
        with pytest.raises(InvalidInputError):
            draft.add(obj, "o")
        assert list(draft) == []


def test_folders_and_missing_files_are_refused(store, tmp_path):
    """A path that is no readable file is an error that names it."""
    with store.draft("a") as draft:
        with pytest.raises(InvalidInputError, match="a folder"):
            draft.add(tmp_path, "o")
        with pytest.raises((MediaError, NotFoundError), match="gone"):
            draft.add(tmp_path / "gone", "o")
        with pytest.raises(MediaError):
            draft.add(Video(b"no video"), "o")
        assert list(draft) == []


def test_reading_and_opening_write_nothing(store):
    """A draft that stores nothing makes neither a session nor a store, and one that is discarded leaves no session."""
    store.draft("a").discard()
    assert store.context.backend.read_or_none("tableformat.json") is None
    draft = store.draft("a")
    draft.add(File(RNG.bytes(5000)), "f")
    assert len(sessions_of(store)) == 1
    draft.discard()
    assert sessions_of(store) == []
    with store.draft("a") as draft:
        draft.add(File(RNG.bytes(5000)), "f")
    assert sessions_of(store) == []


@pytest.mark.parametrize("end", ["commit", "discard"])
def test_no_thread_outlives_its_draft(store, end):
    """Whatever was open, the end of a draft ends its threads."""
    before = threading.active_count()
    draft = store.draft("a")
    for name in ("one", "two"):
        writer = draft.table(name, part_rows=100)
        for number in range(500):
            writer.append(n=number, f=File(RNG.bytes(2000)))
    getattr(draft, end)()
    assert no_thread_stays(before)


@pytest.mark.parametrize("dedup", ["all", "", None])
def test_unknown_dedup_is_refused(store, dedup):
    """A word that says nothing about deduplication is refused before anything is stored."""
    with pytest.raises(InvalidInputError, match="dedup"):
        store.draft("a", dedup=dedup).discard()


def test_unused_class_sets_of_removed_tables_still_harm_nothing(store):
    """A table that was removed leaves the rest of the draft whole."""
    with store.draft("a") as draft:
        draft.add(Classes(["a"]), "c")
        draft.add(ROWS, "t")
        draft.remove("c")
    assert list(draft.committed)[-1] == "t"
    assert len(draft.committed["t"]) == 2

"""What is wrong is said clearly, nothing half-done shows, and everything can be used afterwards.

One test for each line of bad input that a user meets; the details stand beside the modules.
"""

import random
import shutil

import numpy as np
import pyarrow as pa
import pytest

from tableformat import Audio, Box, Classes, ClassType, File, Image, ImageType, open_store
from tableformat.errors import (
    ExistsError,
    IllegalNameError,
    InvalidInputError,
    KeyValueError,
    MediaError,
    NotAStoreError,
    NotFoundError,
    SchemaError,
    TableformatError,
)
from tableformat.format.media.png import encode_png
from tests.table.inline_placer import TINY_PNG

PICTURES = [encode_png(np.random.default_rng(n).integers(0, 256, (40, 40), np.uint8)) for n in range(20)]


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store")
    with store.draft("old") as draft:
        draft.add([{"x": 1}], "t")
    return store


def check_refused(store, error, said, act):
    """`act(draft, writer)` raises `error` that says `said`; the writer, the draft and the store go on as if it had not been."""
    with store.draft("a") as draft:
        with draft.table("t", {"id": pa.int64(), "img": ImageType()}, key="id") as writer:
            writer.append(id=1, img=None)
            with pytest.raises(error, match=said) as caught:
                act(draft, writer)
            assert isinstance(caught.value, TableformatError)
            assert " · " in str(caught.value)
            assert store.artifacts() == ["old"]
            writer.append(id=2, img=Image(TINY_PNG))
        assert list(draft) == ["t"]
    assert [row["id"] for row in draft.committed["t"]] == [1, 2]
    assert store.artifacts() == ["a", "old"]


LINES = {
    "no image": (MediaError, "'img'|image", lambda draft, writer: writer.append(id=3, img=b"text")),
    "a truncated image": (MediaError, "image", lambda draft, writer: writer.append(id=3, img=Image(PICTURES[0][:-5]))),
    "a truncated image in Arrow data": (MediaError, "'img', row 2", lambda draft, writer: writer.extend(pa.table({"id": [3, 4], "img": [TINY_PNG, PICTURES[0][:90]]}))),
    "an image that is not there": (MediaError, "gone.png", lambda draft, writer: writer.append(id=3, img=Image("/gone.png"))),
    "a sound for an image": (InvalidInputError, "image", lambda draft, writer: writer.append(id=3, img=Audio(np.zeros(9, np.int16), 8000))),
    "an unknown column": (SchemaError, "imgg.*img", lambda draft, writer: writer.append(id=3, imgg=None)),
    "a value of another type": (SchemaError, "'id', row 1.*int64.*string", lambda draft, writer: writer.append(id="three", img=None)),
    "a missing key": (KeyValueError, "'id'", lambda draft, writer: writer.append(img=None)),
    "a null key": (KeyValueError, "row 1, column 'id'", lambda draft, writer: writer.append(id=None, img=None)),
    "an illegal entry name": (IllegalNameError, r"\.\.", lambda draft, writer: draft.add([{"x": 1}], "../t")),
    "a name that is taken": (ExistsError, "replace", lambda draft, writer: draft.add([{"x": 1}], "t")),
    "an object that is none of ours": (InvalidInputError, "object", lambda draft, writer: draft.add(object(), "o")),
    "an unknown input": (NotFoundError, "nope", lambda draft, writer: draft.use("nope:v3")),
    "a reference with a secret": (InvalidInputError, "user", lambda draft, writer: writer.append(id=3, img=Image.refer("https://user:secret@host/a.png"))),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_bad_input(store, line):
    """The error is of the right class and says what, where and what was expected; nothing of it stays."""
    check_refused(store, *LINES[line])


def test_a_secret_is_never_repeated(store):
    """The error about a reference that carries a secret does not show the secret."""
    with pytest.raises(InvalidInputError) as caught:
        Image.refer("https://user:hunter2@host/a.png")
    assert "hunter2" not in str(caught.value)


def test_duplicate_keys(store):
    """Equal keys are found when the table is closed; the draft goes on without it."""
    with store.draft("a") as draft:
        with pytest.raises(KeyValueError, match="every key once"), draft.table("t", key="id") as writer:
            writer.extend([{"id": 2}, {"id": 1}, {"id": 2}])
        draft.add([{"id": 1}], "t")
    assert len(draft.committed["t"]) == 1


def test_class_ids_outside_of_their_set(store):
    """An id that the class set does not have is refused with its row, unless it may be."""
    classes = Classes(["cat", "dog"])
    with store.draft("a") as draft:
        with draft.table("t", {"c": ClassType(classes)}) as writer:
            writer.append(c=1)
            writer.append(c=7)  # of the right type: its value is looked at with its batch
            with pytest.raises(InvalidInputError, match=r"row 1.*7|7.*row 1"):
                writer.close()
            writer.append(c=0)
        with draft.table("loose", {"c": ClassType(classes, strict=False)}) as writer:
            writer.append(c=7)
    assert [row["c"] for row in draft.committed["t"]] == [1, 0]
    assert [row["c"] for row in draft.committed["loose"]] == [7]


@pytest.mark.parametrize("what", ["folder of files", "file", "truncated marker"])
def test_places_that_are_no_store(tmp_path, what):
    """Where something else lies the error is ours, and what lies there stays."""
    place = tmp_path / "place"
    if what == "file":
        place.write_bytes(b"x")
    else:
        place.mkdir()
        (place / ("tableformat.json" if what == "truncated marker" else "photo.jpg")).write_bytes(b'{"format":')
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(TableformatError) as caught, open_store(place).draft("a") as draft:
        draft.add([{"x": 1}], "t")
    assert what != "folder of files" or isinstance(caught.value, NotAStoreError)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def read_all(root):
    """Everything that a version holds, as plain values."""
    artifact = open_store(root, create=False)["a"]
    rows = [(row["n"], row["img"].bytes(), row["img"].caption, row["text"], row["tags"]) for row in artifact["t"]]
    return (
        rows,
        artifact["file"].bytes(),
        artifact["single"].bytes(),
        list(artifact["classes"].names.items()),
        artifact.metadata,
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A store, what it holds, and its files."""
    root = tmp_path_factory.mktemp("sound") / "store"
    with open_store(root).draft("a", metadata={"k": 1}) as draft:
        with draft.table("t", key="n", part_rows=64) as writer:
            for n in range(200):
                writer.append(
                    n=n, img=Image(PICTURES[n % 20], caption=str(n)), text="x" * (n % 9), tags=["t"] * (n % 3)
                )
        draft.add(File(bytes(range(256)) * 10), "file")
        draft.add(Image(TINY_PNG), "single")
        draft.add(Classes(["cat", "dog"]), "classes")
    return root, read_all(root)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "longer"])
def test_damage_anywhere_is_noticed_or_harmless(sound, tmp_path, damage):
    """Whatever happens to a file of the store, a read gives the right values or raises an error of ours."""
    root, whole = sound
    here = tmp_path / "store"
    shutil.copytree(root, here)
    files = sorted(path for path in here.rglob("*") if path.is_file())
    chance = random.Random(damage)
    wrong, raised = [], 0
    for _ in range(60 if damage in ("flip", "cut") else 1):
        for path in files if damage not in ("flip", "cut") else chance.sample(files, 3):
            data = path.read_bytes()
            at = chance.randrange(len(data))
            if damage == "gone":
                path.unlink()
            else:
                path.write_bytes(
                    {
                        "flip": data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :],
                        "cut": data[:at],
                        "empty": b"",
                        "longer": data + b"\0",
                    }[damage]
                )
            try:
                if read_all(here) != whole:
                    wrong.append((path.relative_to(here), at))
            except TableformatError:
                raised += 1
            except Exception as error:
                wrong.append((path.relative_to(here), at, repr(error)[:200]))
            path.write_bytes(data)
    assert wrong == []
    assert raised > 0
    assert read_all(here) == whole


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        lambda: Image(TINY_PNG, caption="\ud800"),
        lambda: Image(TINY_PNG, boxes={"\ud800": [Box(1, xyxy=(1, 2, 3, 4))]}),
        lambda: Image(TINY_PNG, boxes={"layer": [Box(1, xyxy=(1, 2, 3, 4), caption="\ud800")]}),
        lambda: Image(TINY_PNG, boxes={"layer": [Box(1, xyxy=(1, 2, 3, 4), scores={"\ud800": 1.0})]}),
        lambda: Image.refer("s3://bucket/\ud800"),
        lambda: File(b"bytes", name="\ud800"),
    ],
    ids=["text", "caption", "layer", "box", "score", "url", "file"],
)
def test_lone_surrogates_are_refused(tmp_path, value):
    """Text that no UTF-8 can hold is an error of ours wherever it stands, and the writer goes on."""
    with open_store(tmp_path / "store").draft("a") as draft, draft.table("t", new_columns=True) as table:
        table.append(x=1)
        with pytest.raises(InvalidInputError, match=r"surrogate|UTF-8|ud800"):
            table.append(x=2, y=value() if callable(value) else value)
        table.append(x=3)
    assert [row["x"] for row in draft.committed["t"]] == [1, 3]

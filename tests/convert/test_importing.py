"""`import_folder`, `import_file`, `import_files`: which files become which entries."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat import convert, errors


@pytest.fixture
def store(store_url: str) -> tableformat.Store:
    """An empty store, local and in memory."""
    return tableformat.open_store(store_url)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder for sources."""
    folder = tmp_path / "sources"
    folder.mkdir()
    return folder


def test_folder_of_digits(store: tableformat.Store, digits: Path) -> None:
    """Folders that are numbers keep them as ids; rows come in the order of paths, and the path is the key."""
    done = convert.import_folder(store, "digits", digits, message="all of them")
    assert (done.created, [(one.entry, one.rows, one.left_out) for one in done.entries]) == (True, [("images", 600, 0)])
    table = done.artifact["images"]
    assert (table.columns, table.key, done.artifact.message) == (["path", "label", "image"], ("path",), "all of them")
    paths = [row["path"] for row in table.select("path")]
    assert paths == sorted(path.relative_to(digits).as_posix() for path in digits.glob("*/*.png"))
    classes = table.classes_of("label")
    assert classes is not None
    assert dict(classes.names) == {digit: str(digit) for digit in range(10)}
    assert done.artifact["classes/images"] == classes
    row = table[123]
    assert row["image"].bytes() == (digits / row["path"]).read_bytes()
    assert str(row["label"]) == row["path"].partition("/")[0]


def test_same_again_is_nothing_new(store: tableformat.Store, digits: Path) -> None:
    """An import of what is there makes no version."""
    assert convert.import_folder(store, "digits", digits / "1").created
    assert not convert.import_folder(store, "digits", digits / "1").created


def test_folder_names_are_classes(store: tableformat.Store, here: Path, digits: Path) -> None:
    """Names are numbered in order; files in the folder itself have no label; deeper folders belong to the first."""
    data = (digits / "1" / "0001.png").read_bytes()
    for path in ("dog/x.png", "cat/a/b/y.png", "z.PNG", ".hidden/q.png", "dog/.DS_Store", "_tmp/r.png"):
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_bytes(data)
    (here / "empty").mkdir()
    table = convert.import_folder(store, "pets", here, table="t").artifact["t"]
    classes = table.classes_of("label")
    assert classes is not None
    assert dict(classes.names) == {0: "cat", 1: "dog"}
    assert [(row["path"], row["label"]) for row in table] == [("cat/a/b/y.png", 0), ("dog/x.png", 1), ("z.PNG", None)]
    assert convert.import_folder(store, "bare", here, table="t", labels=False).artifact["t"].columns == [
        "path",
        "image",
    ]


def test_kinds_of_media(store: tableformat.Store, here: Path, digits: Path) -> None:
    """Several kinds ask for a choice; `file` takes everything with its name."""
    (here / "a.png").write_bytes((digits / "1" / "0001.png").read_bytes())
    (here / "b.html").write_text("<p>hello</p>")
    (here / "c.log").write_text("line")
    with pytest.raises(errors.InvalidInputError, match=r"1 of html, 1 of image · choose one with --media \(media='"):
        convert.import_folder(store, "n", here)
    done = convert.import_folder(store, "n", here, media="html")
    assert (done.entries[0].left_out, done.artifact["sources"][0]["html"].bytes()) == (2, b"<p>hello</p>")
    files = convert.import_folder(store, "n", here, media="file").artifact["sources"]
    assert [(row["path"], row["file"].name) for row in files] == [(name, name) for name in ("a.png", "b.html", "c.log")]
    with pytest.raises(errors.NotFoundError, match="files of audio"):
        convert.import_folder(store, "n", here, media="audio")
    with pytest.raises(errors.InvalidInputError, match="a kind of media"):
        convert.import_folder(store, "n", here, media="smell")


def test_unreadable_media(store: tableformat.Store, here: Path, digits: Path) -> None:
    """A broken file is named by the error, or skipped and named in the result."""
    data = (digits / "1" / "0001.png").read_bytes()
    (here / "a.png").write_bytes(data)
    (here / "b.png").write_bytes(b"not an image")
    (here / "c.png").write_bytes(b"")
    (here / "d.png").write_bytes(data[:-5])
    with pytest.raises(errors.MediaError, match=r"b\.png"):
        convert.import_folder(store, "n", here)
    assert "n" not in store
    [told] = convert.import_folder(store, "n", here, on_error="skip").entries
    assert (told.rows, told.skipped_count, [problem.place for problem in told.skipped]) == (
        1,
        3,
        ["b.png", "c.png", "d.png"],
    )
    with pytest.raises(errors.InvalidInputError, match="on_error"):
        convert.import_folder(store, "n", here, on_error="ignore")


def test_links_to_folders_are_left_out(store: tableformat.Store, here: Path, digits: Path, tmp_path: Path) -> None:
    """A link to a folder, which may lead in a circle, is not followed; one to a file is read."""
    (here / "circle").symlink_to(here)
    (here / "link.png").symlink_to(digits / "1" / "0001.png")
    assert [row["path"] for row in convert.import_folder(store, "n", here, table="t").artifact["t"]] == ["link.png"]


@pytest.mark.parametrize("name", ["bad\nname.png", "bad\u202ename.png", b"bad\xff.png"])
def test_names_that_are_no_text(name: str | bytes, store: tableformat.Store, here: Path) -> None:
    """A file whose name has control characters, or bytes that are no UTF-8, is refused with the name escaped."""
    folder = str(here).encode() if isinstance(name, bytes) else str(here)
    with open(f"{folder}/{name}" if isinstance(name, str) else folder + b"/" + name, "wb"):
        pass
    with pytest.raises(errors.InvalidInputError, match="rename it") as caught:
        convert.import_folder(store, "n", here)
    assert str(caught.value).isprintable()


def test_files_become_entries(store: tableformat.Store, here: Path, digits: Path) -> None:
    """Rows become tables named without extensions; other files entries with their whole name, media among them."""
    (here / "a.b.csv").write_text("x\n1\n")
    with gzip.open(here / "c.jsonl.gz", "wt") as file:
        file.write('{"x": 2}\n')
    (here / "e.tsv").write_text("x\ty\n1,5\t2\n")
    pq.write_table(pa.table({"x": [3]}), here / "d.parquet")
    (here / "w.bin").write_bytes(b"w")
    (here / "i.png").write_bytes((digits / "1" / "0001.png").read_bytes())
    artifact = convert.import_files(
        store, "n", [here / name for name in ("a.b.csv", "c.jsonl.gz", "d.parquet", "e.tsv", "w.bin", "i.png")]
    ).artifact
    assert dict(artifact.kinds()) == {
        "a.b": "table",
        "c": "table",
        "d": "table",
        "e": "table",
        "w.bin": "file",
        "i.png": "media",
    }
    assert [artifact[name].to_arrow().to_pylist() for name in ("a.b", "c", "d", "e")] == [
        [{"x": 1}],
        [{"x": 2}],
        [{"x": 3}],
        [{"x": "1,5", "y": 2}],
    ]
    assert (artifact["w.bin"].bytes(), artifact["i.png"].width) == (b"w", 8)
    with pytest.raises(errors.ExistsError):
        convert.import_files(store, "n", [here / "w.bin", here / "w.bin"])


def test_folder_of_rows(store: tableformat.Store, here: Path) -> None:
    """Files of one format are one table, in order of name; other files are counted; several formats ask for a choice."""
    (here / "sub").mkdir()
    for name, value in (("b.csv", "2"), ("a.csv", "1"), ("sub/c.csv", "x")):
        (here / name).write_text(f"v\n{value}\n")
    (here / "notes.txt").write_text("notes")
    done = convert.import_folder(store, "n", here)
    assert (done.entries[0].left_out, done.artifact["sources"].get_column("v")) == (1, ["1", "2", "x"])
    (here / "d.jsonl").write_text('{"v": 1}\n')
    with pytest.raises(errors.InvalidInputError, match="csv, jsonl"):
        convert.import_folder(store, "n", here)
    assert len(convert.import_folder(store, "n", here, format="jsonl").artifact["sources"]) == 1


def test_several_files_as_one_table(store: tableformat.Store, here: Path) -> None:
    """With a name for the table, all sources follow each other in it, one that is given twice too."""
    (here / "a.csv").write_text("x\n1\n")
    (here / "b.csv").write_text("x,y\n2.5,z\n")
    table = convert.import_files(store, "n", [here / "a.csv", here / "b.csv", here / "a.csv"], table="t").artifact["t"]
    assert table.to_arrow().to_pydict() == {"x": [1.0, 2.5, 1.0], "y": [None, "z", None]}


def test_media_win_over_rows(store: tableformat.Store, here: Path, digits: Path) -> None:
    """A table beside images is left out and counted."""
    (here / "a.png").write_bytes((digits / "1" / "0001.png").read_bytes())
    (here / "labels.csv").write_text("x\n1\n")
    [told] = convert.import_folder(store, "n", here, table="t").entries
    assert (told.rows, told.left_out) == (1, 1)


def test_sources_that_are_refused(store: tableformat.Store, here: Path) -> None:
    """What is not there, is of the wrong sort, or mixes formats in one table, is told before anything is written."""
    (here / "a.csv").write_text("x\n1\n")
    (here / "w.bin").write_bytes(b"w")
    for call, error, told in (
        (lambda: convert.import_files(store, "n", []), errors.UsageError, "a file or a folder"),
        (lambda: convert.import_file(store, "n", here / "gone.csv"), errors.NotFoundError, "nothing there"),
        (lambda: convert.import_file(store, "n", here), errors.NotFoundError, "got a folder"),
        (lambda: convert.import_folder(store, "n", here / "a.csv"), errors.NotFoundError, "got a file"),
        (
            lambda: convert.import_files(store, "n", [here / "a.csv", here / "w.bin"], table="t"),
            errors.InvalidInputError,
            r"w\.bin",
        ),
        (
            lambda: convert.import_file(store, "n", here / "w.bin", format="xml"),
            errors.InvalidInputError,
            "csv, tsv, jsonl, parquet",
        ),
        (lambda: convert.import_file(store, "n", here / "w.bin", format="parquet"), errors.TableformatError, "w"),
    ):
        with pytest.raises(error, match=told):
            call()
    assert store.artifacts() == []

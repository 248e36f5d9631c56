"""`read_table` of a `*.table.json`: opened by its beginning, read when its rows are asked for, media where they lie."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tableformat
from tableformat.convert import read_wandb_table
from tableformat.convert.legacy import convert_wandb, reading, source_document
from tableformat.errors import CorruptError, FormatError, InvalidInputError, NotFoundError
from tests.convert.legacy.legacy import LEGACY
from tests.convert.legacy.making import PNG, image_cell, make, table_text


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many bytes of tables were read so far."""
    total = [0]
    plain = reading.TableText._read_head

    def counted(self: Any, stream: Any) -> None:
        file = stream._file

        class Counting:
            def read(self, size: int) -> bytes:
                data: bytes = file.read(size)
                total[0] += len(data)
                return data

        stream._file = Counting()
        plain(self, stream)

    monkeypatch.setattr(reading.TableText, "_read_head", counted)
    return lambda: total[0]


def large(tmp_path: Path, rows: int = 200_000) -> Path:
    """A table of about 45 bytes a row, whose last row is of another type."""
    data = [[number, f"name {number}" + "x" * 20] for number in range(rows)] + [[0.5, "last"]]
    return make(tmp_path / "x:v0", {"t.table.json": table_text(["id", "name"], data)}) / "t.table.json"


def test_it_behaves_as_a_table(tmp_path: Path) -> None:
    """Head, select, where, batches, Arrow, rows and pickles are those of any table."""
    rows = [[number, f"n{number % 3}", None if number == 4 else number / 2] for number in range(100)]
    path = make(tmp_path / "x:v0", {"t.table.json": table_text(["id", "name", "f"], rows)}) / "t.table.json"
    table = tableformat.read_table(path)
    assert isinstance(table, tableformat.Table)
    assert table.columns == ["id", "name", "f"]
    assert table.head(2).to_arrow().to_pylist() == [
        {"id": 0, "name": "n0", "f": 0.0},
        {"id": 1, "name": "n1", "f": 0.5},
    ]
    assert (len(table), table[-1]["id"], table[10:12].get_column("id")) == (100, 99, [10, 11])
    assert table.where(name="n1").select("id").to_arrow()["id"].to_pylist() == list(range(1, 100, 3))
    assert table.where(tableformat.col("f").is_null()).get_column("id") == [4]
    assert [batch.num_rows for batch in table.batches(batch_rows=40)] == [40, 40, 20]
    assert len(table.head(500)) == 100
    for one in (table, table.where(id=7)):
        assert pickle.loads(pickle.dumps(one)).get_column("id") == one.get_column("id")
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("copy") as draft:
        draft.add(table, "t")
        draft.commit()
    assert store["copy"]["t"].to_arrow().equals(table.to_arrow())


def test_nothing_but_the_beginning_is_read(tmp_path: Path, reads: Callable[[], int]) -> None:
    """Opening, columns, the first rows and the way it looks read a bounded part; the first question for more reads it all, once."""
    path = large(tmp_path)
    assert path.stat().st_size > 8 << 20
    table = tableformat.read_table(path)
    assert reads() <= 1 << 20
    assert (table.columns, table.head(3).get_column("id")) == (["id", "name"], [0, 1, 2])
    assert "at least 500 rows" in repr(table)
    assert "at least" in table._repr_html_()
    assert reads() <= 4 << 20
    assert (len(table), table.get_column("id")[-1]) == (200_001, 0.5)
    after = reads()
    assert (table.head(3).get_column("id"), "200,001 rows" in repr(table)) == ([0.0, 1.0, 2.0], True)
    assert "200,001" in table._repr_html_()
    assert reads() == after


def test_media_stay_where_they_are(tmp_path: Path) -> None:
    """Cells point at the files of the artifact, which are opened when they are read and compared with what was told."""
    mask = tableformat.Mask(np.ones((4, 5), np.uint8)).bytes()
    overlays = {
        "boxes": {"b": [{"position": {"minX": 0, "maxX": 1, "minY": 0, "maxY": 1}, "class_id": 1}]},
        "masks": {"m": {"_type": "mask", "path": "media/m.png"}, "gone": {"_type": "mask", "path": "gone.png"}},
    }
    cells = [
        image_cell("a b.png", caption="one", **overlays),
        image_cell("wrong.png", b"other"),
        image_cell("gone.png"),
        None,
    ]
    files = {
        "t.table.json": table_text(["i"], [[cell] for cell in cells]),
        "a b.png": PNG,
        "wrong.png": PNG,
        "media/m.png": mask,
    }
    table = tableformat.read_table(make(tmp_path / "x:v0", files) / "t.table.json")
    first, wrong, gone, none = (row["i"] for row in table)
    assert first.reference.uri.startswith("file:///")
    assert (first.width, first.height, first.caption, first.bytes()) == (5, 4, "one", PNG)
    assert first.boxes["b"][0].class_id == 1
    assert first.masks["m"].to_numpy().sum() == 20
    assert (gone, none) == (None, None)
    with pytest.raises(CorruptError):
        wrong.bytes()
    (tmp_path / "x:v0" / "a b.png").unlink()
    with pytest.raises(NotFoundError):
        first.bytes()


def test_media_of_another_artifact(tmp_path: Path) -> None:
    """What the manifest names elsewhere is found in the artifacts that lie beside."""
    table = tableformat.read_table(
        LEGACY / "cross_artifact" / "artifacts" / "predictions-v0" / "309383ae3b83771ae18f.table.json"
    )
    images = [value for row in table for value in row.values() if isinstance(value, tableformat.Image)]
    assert images
    assert all(image.to_pil().size == (image.width, image.height) for image in images)


def test_every_fixture_reads(caplog: pytest.LogCaptureFixture) -> None:
    """Each table of the fixtures that has columns is read straight from its file, to its last row."""
    read = 0
    with caplog.at_level(logging.CRITICAL):
        for path in sorted(LEGACY.glob("*/artifacts/*/*.table.json")):
            value = json.loads(path.read_text())
            if isinstance(value, dict) and value.get("_type") == "table" and value["columns"]:
                table = tableformat.read_table(path)
                assert sum(batch.num_rows for batch in table.batches()) == len(value["data"])
                read += 1
    assert read > 60


def test_oddities_go_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with rows is told with its place, and strictly it is an error."""
    data: list[list[Any]] = [[1], *([[1, 2]] * 30)]
    path = make(tmp_path / "x:v0", {"t.table.json": table_text(["a"], data)}) / "t.table.json"
    with caplog.at_level(logging.WARNING, "tableformat"):
        assert len(tableformat.read_table(path)) == 31
    assert "row 1: 2 cells for 1 columns" in caplog.text
    assert "more oddities" in caplog.text
    with pytest.raises(InvalidInputError):
        read_wandb_table(path, strict=True)
    clean = make(tmp_path / "y:v0", {"t.table.json": table_text(["a"], [[1]])}) / "t.table.json"
    assert read_wandb_table(clean, strict=True).get_column("a") == [1]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"columns": [], "data": []}', b'{"columns": 3, "data": []}', b'{"_type": "classes", "columns": ["a"], "data": []}', b'{"columns": ["a"], "data": 3}'],
)  # fmt: skip
def test_what_is_no_table(tmp_path: Path, data: bytes) -> None:
    """It is refused when it is opened."""
    path = make(tmp_path / "x:v0", {"t.table.json": data}) / "t.table.json"
    with pytest.raises(FormatError):
        tableformat.read_table(path)
    with pytest.raises(NotFoundError):
        tableformat.read_table(tmp_path / "none.table.json")
    with pytest.raises(FormatError):
        read_wandb_table(tmp_path)


def test_columns_behind_the_rows(tmp_path: Path, reads: Callable[[], int]) -> None:
    """Where the names of the columns stand behind the rows, they are known when all was read."""
    rows = [[number, "x" * 50] for number in range(60_000)]
    text = json.dumps({"data": rows, "columns": ["a", "b"]}).encode()
    table = tableformat.read_table(make(tmp_path / "x:v0", {"t.table.json": text}) / "t.table.json")
    assert reads() <= 1 << 20
    assert (table.columns, len(table)) == (["a", "b"], 60_000)


@pytest.mark.parametrize(
    "case", ["scalars", "timestamps", "mixed_types", "nested", "ndarrays", "image_overlays", "cifar_images"]
)
def test_the_cells_are_those_of_a_conversion(tmp_path: Path, case: str) -> None:
    """Types and values are the same; media have the same bytes, digests and annotations. [LEGACY-22]"""
    [root] = (LEGACY / case / "artifacts").glob("*/")
    store = tableformat.open_store(tmp_path / "store")
    report = convert_wandb(root, store, progress=False)
    target = report.artifacts[0].target
    assert target is not None
    for entry, told in source_document(store[target])["tables"].items():
        converted, read = store[target][entry], tableformat.read_table(root / told["path"])
        assert read.schema.names == converted.schema.names
        for one, other in zip(converted.rows(), read.rows(), strict=True):
            for name in one:
                first, second = one[name], other[name]
                if isinstance(first, tableformat.Media):
                    assert (second.digest, second.caption) == (first.digest, first.caption)
                    assert second.bytes() == first.bytes()
                    if isinstance(first, tableformat.Image):
                        assert (first.boxes, first.masks.keys()) == (second.boxes, second.masks.keys())
                        assert [m.bytes() for m in first.masks.values()] == [m.bytes() for m in second.masks.values()]
                elif isinstance(first, np.ndarray):
                    assert np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
                elif not name.endswith("_more"):
                    assert str(first) == str(second)

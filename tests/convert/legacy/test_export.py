from __future__ import annotations

import datetime
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tableformat
from tableformat.convert.legacy import convert_wandb, export_wandb
from tableformat.errors import ExistsError, IllegalNameError

CLASSES = tableformat.Classes({0: "cat", 1: "dog"})
NOON = datetime.datetime(2020, 1, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)


def row_of(number: int) -> dict[str, Any]:
    pixels = np.full((8, 9, 3), number, np.uint8)
    box = tableformat.Box(1, cxcywh=(4, 4, 2, 2), unit="pixel", scores={"p": 0.5}, caption="x", extra={"mine": 1})
    mask = np.full((8, 9), number % 2, np.uint8)
    return {
        "id": number, "f": number * 0.5 if number else None, "name": f"n{number} é", "flag": bool(number % 2), "when": NOON, "day": datetime.date(2020, 1, 2),
        "image": tableformat.Image(pixels, caption=f"c{number}", boxes={"gt": [box]}, masks={"m": mask}, classes=CLASSES),
        "arr": np.full((2, 3), number, np.float32), "tags": ["a", "b"][:number], "meta": {"x": number, "y": "z"},
        "audio": tableformat.Audio(np.full(80, number, np.int16), 8000), "big": Decimal(2**70),
    }  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> tableformat.Table:
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft, draft.table("t") as table:
        for number in range(3):
            table.append(row_of(number))
    found: tableformat.Table = store["a"]["t"]
    return found


def test_there_and_back(tmp_path: Path, table: tableformat.Table) -> None:
    """What is exported converts back to the same cells, media and annotations."""
    told = export_wandb(table, tmp_path / "out", name="t", progress=False)
    assert (told.rows, told.notes) == (3, [])
    store = tableformat.open_store(tmp_path / "store")
    report = convert_wandb(tmp_path / "out", store, artifact="back", strict=True, progress=False)
    assert report.is_complete
    for number, row in enumerate(store["back"]["t"].rows()):
        wanted = row_of(number)
        for name in ("id", "f", "name", "flag", "when", "tags", "meta", "big"):
            assert row[name] == wanted[name]
        assert row["day"] == datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
        assert np.array_equal(row["arr"], wanted["arr"])
        assert row["arr"].dtype == np.float32
        image = row["image"]
        assert image.digest == wanted["image"].digest
        assert image.caption == f"c{number}"
        assert image.boxes["gt"] == wanted["image"].boxes["gt"]
        assert np.array_equal(image.masks["m"].to_numpy(), wanted["image"].masks["m"].to_numpy())
        assert image.classes == CLASSES
        assert row["audio"].bytes() == wanted["audio"].bytes()


def test_the_form_of_the_file(tmp_path: Path, table: tableformat.Table) -> None:
    """Keys are sorted and ASCII, types optional, counts true; equal media are one file."""
    told = export_wandb(table.select("id", "image"), tmp_path / "out", name="t", progress=False)
    text = Path(told.path).read_text(encoding="ascii")
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert (document["ncols"], document["nrows"], document["log_mode"]) == (2, 3, "IMMUTABLE")
    assert document["column_types"]["params"]["type_map"]["id"] == {
        "params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]},
        "wb_type": "union",
    }
    assert len(list((tmp_path / "out" / "media" / "images" / "mask").iterdir())) == 2


def test_what_the_old_format_does_not_hold(tmp_path: Path) -> None:
    """Each loss is told: bytes, references, nulls among arrays, decimals, times without a zone."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft, draft.table("t") as table:
        table.append(
            raw=b"\xff",
            image=tableformat.Image.refer("s3://b/a.png"),
            arr=np.zeros(2),
            d=Decimal("1.5"),
            t=NOON.replace(tzinfo=None),
        )
        table.append(raw=None, image=None, arr=None, d=None, t=None)
    told = export_wandb(store["a"]["t"], tmp_path / "out", progress=False)
    assert len(told.notes) == 5
    [first, second] = json.loads(Path(told.path).read_text())["data"]
    assert first == ["/w==", None, None, 1.5, 1577880000123.456]
    assert second == [None] * 5


def test_places_that_are_taken(tmp_path: Path, table: tableformat.Table) -> None:
    """A folder that holds something, and a name that is a path, are refused."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("x")
    with pytest.raises(ExistsError):
        export_wandb(table, tmp_path / "out", progress=False)
    with pytest.raises(IllegalNameError):
        export_wandb(table, tmp_path / "new", name="../x", progress=False)


def test_the_reader_of_the_sdk_takes_it(tmp_path: Path, table: tableformat.Table) -> None:
    """The SDK's own reader gives the same cells back; skipped where it is not installed."""
    wandb = pytest.importorskip("wandb")
    told = export_wandb(table, tmp_path / "out", name="t", progress=False)

    class Entry:
        def __init__(self, path: str) -> None:
            self._path = path

        def download(self) -> str:
            return os.path.join(tmp_path, "out", self._path)

    class Artifact:
        get_entry = Entry

        def get(self, path: str) -> Any:
            value = json.loads((tmp_path / "out" / path).read_text())
            return wandb.sdk.data_types.base_types.wb_value.WBValue.init_from_json(value, self)

    found = wandb.Table.from_json(json.loads(Path(told.path).read_text()), Artifact())
    for number, row in enumerate(found.data):
        cells, wanted = dict(zip(found.columns, row, strict=True)), row_of(number)
        for name in ("id", "f", "name", "flag", "when", "tags", "meta", "big"):
            assert cells[name] == wanted[name]
        assert np.array_equal(cells["arr"], wanted["arr"])
        assert cells["image"]._width == 9

"""`export_table`: rows and media as files, complete or not at all, and never outside of the target."""

from __future__ import annotations

import datetime
import decimal
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tableformat
from tableformat import convert, errors
from tableformat.convert.file_names import create_file, safe_path

PNG = tableformat.Image(np.arange(64, dtype=np.uint8).reshape(8, 8)).bytes()


def table_of(tmp_path: Path, rows: Any, schema: Any = None) -> tableformat.Table:
    """A stored table with these rows."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("n") as draft, draft.table("t", schema) as table:
        table.extend(rows)
    return store["n"]["t"]


ROWS = pa.table(
    {
        "i": pa.array([1, None], pa.int32()),
        "f": pa.array([1.5, float("nan")]),
        "s": ["é \"q\"\n", ""],
        "b": [b"\x00\xff", None],
        "l": [[1, None], []],
        "st": [{"x": 1, "y": "z"}, None],
        "m": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "ns": pa.array([1_577_836_800_000_000_001, None], pa.timestamp("ns", "UTC")),
        "d": [datetime.date(2026, 11, 22), None],
        "dec": [decimal.Decimal("1.10"), None],
        "j": pa.array(['{"a": [1]}', None], pa.json_(pa.string())),
    }
)  # fmt: skip


def test_parquet(tmp_path: Path) -> None:
    """Parquet holds the rows as they are, nanoseconds and NaN included, without our metadata."""
    table = table_of(tmp_path, ROWS)
    done = convert.export_table(table, tmp_path / "o.parquet")
    assert (done.path, done.rows, done.media) == (str(tmp_path / "o.parquet"), 2, 0)
    back = pq.read_table(tmp_path / "o.parquet")
    assert back.drop_columns(["f", "j"]).equals(ROWS.cast(back.schema).drop_columns(["f", "j"]))
    assert np.isnan(back.column("f")[1].as_py())
    assert all(field.metadata is None or set(field.metadata) <= {b"PARQUET:field_id"} for field in back.schema)


def test_jsonl(tmp_path: Path) -> None:
    """JSON lines hold nested values and decoded JSON; bytes are base64, NaN is null, times are ISO 8601."""
    convert.export_table(table_of(tmp_path, ROWS), tmp_path / "o.jsonl")
    first, second = map(json.loads, (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines())
    assert first == {
        "i": 1, "f": 1.5, "s": 'é "q"\n', "b": "AP8=", "l": [1, None], "st": {"x": 1, "y": "z"}, "m": {"k": 1},
        "ns": "2020-01-01T00:00:00.000000001Z", "d": "2026-11-22", "dec": "1.10", "j": {"a": [1]},
    }  # fmt: skip
    assert second == {**dict.fromkeys(first), "s": "", "l": []}


def test_csv(tmp_path: Path) -> None:
    """CSV holds text: nested values as JSON, null as nothing, an empty text as quotes."""
    convert.export_table(table_of(tmp_path, ROWS), tmp_path / "o.csv")
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(ROWS.column_names, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    back = pyarrow.csv.read_csv(
        tmp_path / "o.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True), convert_options=options
    ).to_pylist()
    assert back[0] == {
        "i": "1", "f": "1.5", "s": 'é "q"\n', "b": "AP8=", "l": "[1, null]", "st": '{"x": 1, "y": "z"}', "m": '{"k": 1}',
        "ns": "2020-01-01T00:00:00.000000001Z", "d": "2026-11-22", "dec": "1.10", "j": '{"a": [1]}',
    }  # fmt: skip
    assert back[1] == {**dict.fromkeys(ROWS.column_names), "f": "nan", "s": "", "l": "[]"}


@pytest.mark.parametrize("row_format", ["parquet", "csv", "jsonl"])
def test_no_rows(row_format: str, tmp_path: Path) -> None:
    """An empty selection is written too."""
    table = table_of(tmp_path, {"x": [1]}).where(x=2)
    assert convert.export_table(table, tmp_path / f"o.{row_format}").rows == 0
    assert (tmp_path / f"o.{row_format}").exists()


def test_media(tmp_path: Path) -> None:
    """Media become files named by `path`, or by row number; nulls and references leave none; selections are exported alone."""
    big = os.urandom(9 << 20)
    rows = [
        {"path": "a/one.PNG", "image": tableformat.Image(PNG), "file": tableformat.File(big, "big.bin"), "n": 1},
        {"path": None, "image": None, "file": None, "n": 2},
        {
            "path": "two",
            "image": tableformat.Image.refer("https://example.com/x.png"),
            "file": tableformat.File(b"x", "x"),
            "n": 3,
        },
        {"path": None, "image": tableformat.Image(PNG), "file": tableformat.File(b"y"), "n": 4},
    ]
    table = table_of(
        tmp_path, rows, {"path": str, "image": tableformat.ImageType(), "file": tableformat.FileType(), "n": int}
    )
    done = convert.export_table(table, tmp_path / "out", format="jsonl", progress=False)
    assert (done.rows, done.media, done.left) == (4, 5, 1)
    told = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert [row["image"] for row in told] == [
        "image/a/one.PNG",
        None,
        "https://example.com/x.png",
        "image/00000003.png",
    ]
    assert [row["file"] for row in told] == ["file/a/one.PNG", None, "file/two", "file/00000003.bin"]
    assert (tmp_path / "out" / "image" / "a" / "one.PNG").read_bytes() == PNG
    assert (tmp_path / "out" / "file" / "a" / "one.PNG").read_bytes() == big
    assert convert.export_table(table.where(n=4).select("image"), tmp_path / "one").media == 1
    assert convert.export_table(table.select("n"), tmp_path / "n.csv").rows == 4


HOSTILE = [
    "../../escape.png", "/etc/passwd.png", "..\\..\\x.png", "C:\\x.png", "a/../../b.png", "con.png", "NUL", "x\x00y.png", "x\ny.png", "a:b.png", "~/.ssh/x.png",
    "trailing. ", ".", "..", "", "/", "//host/share.png", "\u202egnp.exe", "x" * 5000 + ".png", "é" * 300, "a/b/" * 100 + "c.png", "file://x", "LPT1.txt/x", "dup.png", "DUP.png", "dup.png",
    "dup.png/inside.png", "rows.parquet", "-rf", "$(reboot)", "%2e%2e/x",
]  # fmt: skip


def test_hostile_names(tmp_path: Path) -> None:
    """Whatever names a table holds, files land inside of the target, each row has its own, and nothing else is touched."""
    outside = tmp_path / "canary"
    outside.mkdir()
    rows = [{"path": name, "image": tableformat.Image(PNG)} for name in HOSTILE]
    table = table_of(tmp_path, rows)
    before = sorted(path for path in tmp_path.rglob("*") if "store" not in path.parts)
    done = convert.export_table(table, outside / "out")
    files = [path for path in (outside / "out").rglob("*") if path.is_file()]
    assert (done.media, len(files)) == (len(HOSTILE), len(HOSTILE) + 1)
    assert (
        sorted(
            path
            for path in tmp_path.rglob("*")
            if "store" not in path.parts and outside / "out" not in [path, *path.parents]
        )
        == before
    )
    told = pq.read_table(outside / "out" / "rows.parquet").column("image").to_pylist()
    assert len(set(told)) == len(HOSTILE)
    assert all(
        (outside / "out" / name).resolve().is_relative_to((outside / "out" / "image").resolve())
        and (outside / "out" / name).read_bytes() == PNG
        for name in told
    )


@pytest.mark.parametrize("column", ["rows.parquet", "classes.json", "../up", "a/b", "CON", "Rows.CSV"])
def test_hostile_columns(column: str, tmp_path: Path) -> None:
    """The name of a column leads nowhere either, and meets no file of ours."""
    done = convert.export_table(table_of(tmp_path, [{column: tableformat.Image(PNG)}]), tmp_path / "out")
    [name] = pq.read_table(done.path).column(column).to_pylist()
    assert (tmp_path / "out" / name).read_bytes() == PNG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_links_in_the_target_are_not_followed(tmp_path: Path) -> None:
    """With `force`, a link that lies where media go is replaced, and what it leads to is left alone."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "image").symlink_to(tmp_path / "elsewhere")
    table = table_of(tmp_path, [{"image": tableformat.Image(PNG)}])
    convert.export_table(table, tmp_path / "out", force=True)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "out" / "image" / "00000000.png").read_bytes() == PNG
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.ExistsError, match="got a link"):
        convert.export_table(table, tmp_path / "link", force=True)


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    """Where a blob cannot be read, neither the target nor a part of it appears, and what was there stays."""
    store = tableformat.open_store(tmp_path / "store")
    noise = [tableformat.File(os.urandom(2000), f"{number}") for number in range(5)]
    with store.draft("f") as draft, draft.table("t") as writer:
        for file in noise:
            writer.append(file=file)
    [pack] = (tmp_path / "store" / "data" / "packs").rglob("*.zip")
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    data[1000] ^= 1
    pack.write_bytes(data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(errors.CorruptError):
        convert.export_table(store["f"]["t"], tmp_path / "out", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_classes(tmp_path: Path) -> None:
    """Ids are written as they are, with their names beside them, or as names."""
    classes = tableformat.Classes({3: "cat", 5: "dog"})
    schema = {"label": tableformat.ClassType(classes), "image": tableformat.ImageType()}
    table = table_of(tmp_path, [{"label": 5, "image": tableformat.Image(PNG)}, {"label": None, "image": None}], schema)
    done = convert.export_table(table, tmp_path / "ids")
    assert pq.read_table(done.path).column("label").to_pylist() == [5, None]
    assert json.loads((tmp_path / "ids" / "classes.json").read_text()) == {"label": {"3": "cat", "5": "dog"}}
    convert.export_table(table.select("label"), tmp_path / "o.csv", class_names=True)
    assert (tmp_path / "o.csv").read_text() == '"label"\n"dog"\n\n'


@given(st.text(max_size=200))
def test_safe_paths(name: str) -> None:
    """Any text becomes a relative path of plain segments, and a safe path stays what it is."""
    path = safe_path(name)
    segments = path.split("/") if path else []
    assert all(
        segment not in ("", ".", "..") and segment.isprintable() and len(segment.encode()) <= 130
        for segment in segments
    )
    assert not any(mark in path for mark in '\\:*?"<>|\0')
    assert safe_path(path) == path


def test_files_that_share_a_name(tmp_path: Path) -> None:
    """A name that is taken gets the number of the row."""
    assert [create_file(str(tmp_path), "f", "a.png", row) for row in (1, 2, 2)] == [
        "f/a.png",
        "f/2-a.png",
        "f/2-2-a.png",
    ]
    assert create_file(str(tmp_path), "f", "a.png/b.png", 4) == "f/4-b.png"
    assert create_file(str(tmp_path), "f", "", 5) == "f/5-unnamed"

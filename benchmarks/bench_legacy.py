"""Converting legacy tables: beside DuckDB's JSON reader on the same file, memory at twelve times the size, and images beside
the SDK's own reader, where a Python that has it is named by `TABLEFORMAT_BENCH_SDK` or is this one."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, folder_bytes, main
from tableformat.convert.legacy import convert_wandb

DUCKDB = "DuckDB read_json, Parquet"
SDK = "the SDK's get"


def _table(folder: Path, rows: int) -> Path:
    """A table of six columns, about 80 bytes a row, as the SDK writes it."""
    path = folder / "t.table.json"
    rng = random.Random(1)
    types = {
        name: {"wb_type": kind}
        for name, kind in (
            ("id", "number"),
            ("name", "string"),
            ("a", "number"),
            ("b", "number"),
            ("flag", "boolean"),
            ("label", "string"),
        )
    }
    head = {
        "_type": "table",
        "column_types": {"params": {"type_map": types}, "wb_type": "typedDict"},
        "columns": list(types),
    }
    with path.open("w", encoding="ascii") as file:
        file.write(json.dumps(head)[:-1] + ', "data": [')
        for row in range(rows):
            cells = [
                row,
                f"row-{row:07d}",
                rng.random(),
                rng.gauss(0, 1),
                bool(row & 1),
                data.LABELS[row % len(data.LABELS)],
            ]
            file.write((", " if row else "") + json.dumps(cells))
        file.write(f'], "log_mode": "IMMUTABLE", "ncols": 6, "nrows": {rows}}}')
    return path


def _convert(run: Run, path: Path) -> None:
    with run.timed():
        report = convert_wandb(path, run.folder / "store", artifact="legacy", progress=False)
    run.counts["rows"] = report.rows
    run.counts["bytes_on_disk"] = folder_bytes(run.folder)


def _duckdb(run: Run, path: Path) -> None:
    import duckdb

    rows = f"SELECT unnest(data) AS r FROM read_json('{path}', maximum_object_size=2147483647, columns={{'data': 'JSON[][]'}})"
    columns = "r[1]::BIGINT AS id, r[2]->>'$' AS name, r[3]::DOUBLE AS a, r[4]::DOUBLE AS b, r[5]::BOOLEAN AS flag, r[6]->>'$' AS label"
    target = run.folder / "t.parquet"
    with run.timed():
        duckdb.sql(f"COPY (SELECT {columns} FROM ({rows})) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    run.counts["rows"] = len(tableformat.read_table(target))
    run.counts["bytes_on_disk"] = folder_bytes(run.folder)


def table(size: data.Size, folder: Path) -> Job:
    """A table of a million rows."""
    rows = size.batch_rows // 10
    path = _table(folder, rows)
    contenders = {DUCKDB: lambda run: _duckdb(run, path), "convert": lambda run: _convert(run, path)}
    goals = [Goal("convert", "seconds", 1.0, "at most", (DUCKDB,)), Goal("convert", "peak_bytes", 150e6, "at most")]
    return Job("table", f"a table.json of {rows:,} rows and {path.stat().st_size / 1e6:,.0f} MB", contenders, goals)


def memory(size: data.Size, folder: Path) -> Job:
    """Twelve times the rows: what is held does not grow."""
    rows = size.batch_rows // 10 * 12
    path = _table(folder, rows)
    contenders = {"convert": lambda run: _convert(run, path)}
    what = f"a table.json of {rows:,} rows and {path.stat().st_size / 1e6:,.0f} MB"
    return Job("memory", what, contenders, [Goal("convert", "peak_bytes", 150e6, "at most")], isolate=True)


def _artifact_of_images(root: Path, pngs: Sequence[bytes]) -> list[str]:
    """An artifact with a table of images as the SDK writes it, its manifest beside it; the paths of the images."""
    (root / "media" / "images").mkdir(parents=True)
    rows, contents, paths = [], {}, []
    for number, png in enumerate(pngs):
        path = f"media/images/{hashlib.sha256(png).hexdigest()[:20]}.png"
        (root / path).write_bytes(png)
        width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
        cell = {
            "_type": "image-file",
            "format": "png",
            "height": height,
            "path": path,
            "sha256": hashlib.sha256(png).hexdigest(),
            "width": width,
        }
        rows.append([number, cell])
        contents[path] = _manifest_line(png)
        paths.append(path)
    types = {"id": {"wb_type": "number"}, "image": {"wb_type": "image-file"}}
    text = json.dumps(
        {"_type": "table", "column_types": {"wb_type": "typedDict", "params": {"type_map": types}}, "columns": ["id", "image"],
         "data": rows, "ncols": 2, "nrows": len(rows)}
    ).encode()  # fmt: skip
    (root / "t.table.json").write_bytes(text)
    contents["t.table.json"] = _manifest_line(text)
    document = {
        "version": 1,
        "storagePolicy": "wandb-storage-policy-v1",
        "storagePolicyConfig": {"storageLayout": "V2"},
        "contents": contents,
    }
    root.with_name(f"{root.name}.wandb_manifest.json").write_text(json.dumps(document))
    return paths


def _manifest_line(data: bytes) -> dict[str, Any]:
    return {"digest": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(), "size": len(data)}


def _sdk() -> str | None:
    """A Python that has the SDK: the one that `TABLEFORMAT_BENCH_SDK` names, this one, or none."""
    named = os.environ.get("TABLEFORMAT_BENCH_SDK")
    return named or (sys.executable if importlib.util.find_spec("wandb") is not None else None)


def images(size: data.Size, folder: Path) -> Job:
    """An artifact of small images, one file each."""
    pngs = data.pngs(max(size.pngs // 5, 50))
    root = folder / "images-v0"
    paths = _artifact_of_images(root, pngs)
    python = _sdk()

    def convert(run: Run) -> None:
        with run.timed():
            report = convert_wandb(root, run.folder / "store", progress=False)
        run.counts["rows"] = report.rows

    def read(run: Run) -> None:
        with run.timed():
            for path in paths:
                assert hashlib.sha256((root / path).read_bytes()).hexdigest().startswith(path[13:33])
        run.counts["rows"] = len(paths)

    def get(run: Run) -> None:
        program = str(Path(__file__).with_name("legacy_sdk.py"))
        assert python is not None
        done = subprocess.run([python, program, str(root), "t"], capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.strip().splitlines()[-1])
        run.seconds, run.counts["rows"] = told["seconds"], told["rows"]

    contenders = {"read and hash each file": read, "convert": convert}
    what, goals = f"an artifact of {len(pngs):,} small images", [Goal("convert", "us_per_row", 60, "at most")]
    if python is None:
        what += "; the SDK is not installed"
    else:
        contenders[SDK] = get
        goals.append(Goal("convert", "seconds", 0.1, "at most", (SDK,)))
    return Job("images", what, contenders, goals)


JOBS = {"table": table, "memory": memory, "images": images}

if __name__ == "__main__":
    main("bench_legacy", JOBS)

"""Converting legacy tables: beside DuckDB's JSON reader on the same file, memory at ten times the size, and images."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, folder_bytes, main
from tableformat.convert.legacy import convert_wandb

DUCKDB = "DuckDB read_json, Parquet"


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


def images(size: data.Size, folder: Path) -> Job:
    """An artifact of small images, one file each."""
    pngs = data.pngs(max(size.pngs // 5, 50))
    root = folder / "images-v0"
    (root / "media" / "images").mkdir(parents=True)
    rows = []
    for number, png in enumerate(pngs):
        digest = hashlib.sha256(png).hexdigest()
        path = f"media/images/{digest[:20]}.png"
        (root / path).write_bytes(png)
        rows.append(
            [
                number,
                {"_type": "image-file", "format": "png", "height": 32, "width": 32, "path": path, "sha256": digest},
            ]
        )
    (root / "t.table.json").write_text(
        json.dumps({"_type": "table", "columns": ["id", "image"], "data": rows, "ncols": 2, "nrows": len(rows)})
    )

    def convert(run: Run) -> None:
        with run.timed():
            report = convert_wandb(root, run.folder / "store", progress=False)
        run.counts["rows"] = report.rows

    def read(run: Run) -> None:
        with run.timed():
            for _, cell in rows:
                assert hashlib.sha256((root / cell["path"]).read_bytes()).hexdigest() == cell["sha256"]  # type: ignore[call-overload]  # the cells are dicts
        run.counts["rows"] = len(rows)

    goals = [Goal("convert", "us_per_row", 60, "at most")]
    return Job(
        "images",
        f"an artifact of {len(pngs):,} small images",
        {"read and hash each file": read, "convert": convert},
        goals,
    )


JOBS = {"table": table, "memory": memory, "images": images}

if __name__ == "__main__":
    main("bench_legacy", JOBS)

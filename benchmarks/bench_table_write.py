"""Writing tables without media, beside pyarrow's writer, and beside lists that are converted by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

import tableformat
from benchmarks import data, rivals
from benchmarks.harness import Goal, Job, Run, folder_bytes, main

WRITER = "pyarrow ParquetWriter"
LISTS = "lists, then convert"


@contextlib.contextmanager
def _predictions(run: Run, schema: pa.Schema | None = data.PREDICTIONS) -> Iterator[Any]:
    """A writer of the table of one new version, committed on the way out."""
    with (
        tableformat.open_store(str(run.folder)).draft("model") as draft,
        draft.table("predictions", schema=schema) as table,
    ):
        yield table


def _count(run: Run) -> None:
    run.counts["rows"] = len(tableformat.open_store(str(run.folder))["model"]["predictions"])
    run.counts["bytes_on_disk"] = folder_bytes(run.folder)


def _extend(run: Run, rows: int) -> None:
    with run.timed(), _predictions(run) as table:
        for batch in data.iter_prediction_batches(rows):
            table.extend(batch)
    _count(run)


def batches(size: data.Size, folder: Path) -> Job:
    """Predictions by Arrow batches: the time."""
    rows = size.batch_rows
    next(data.iter_prediction_batches(1))  # drawn before anything is timed

    def limit(run: Run) -> None:
        with run.timed():
            run.counts["rows"] = rivals.parquet_writer(run.folder, data.iter_prediction_batches(rows))
        run.counts["bytes_on_disk"] = folder_bytes(run.folder)

    def extend(run: Run) -> None:
        _extend(run, rows)

    goals = [
        Goal("extend", "seconds", 1.15, "at most", (WRITER,)),
        Goal("extend", "bytes_on_disk", 1.15, "at most", (WRITER,)),  # floats that do not shrink are not compressed
    ]
    return Job("batches", f"{rows:,} predictions by Arrow batches", {WRITER: limit, "extend": extend}, goals)


def _memory(name: str, rows: int) -> Job:
    next(data.iter_prediction_batches(1))

    def extend(run: Run) -> None:
        _extend(run, rows)

    goals = [Goal("extend", "peak_bytes", 150e6, "at most")]
    return Job(
        name, f"{rows:,} predictions by Arrow batches: memory above baseline", {"extend": extend}, goals, isolate=True
    )


def memory(size: data.Size, folder: Path) -> Job:
    """Predictions by Arrow batches: the memory."""
    return _memory("memory", size.batch_rows)


def memory_tenfold(size: data.Size, folder: Path) -> Job:
    """Ten times as many predictions, in the same memory."""
    return _memory("memory-tenfold", size.memory_rows)


def appends(size: data.Size, folder: Path) -> Job:
    """Predictions one by one."""
    rows = data.prediction_rows(size.append_rows)

    def limit(run: Run) -> None:
        with run.timed():
            run.counts["rows"] = rivals.lists_then_convert(run.folder, rows)

    def append(run: Run) -> None:
        with run.timed(), _predictions(run) as table:
            for row in rows:
                table.append(row)
        _count(run)

    def append_keywords(run: Run) -> None:
        with run.timed(), _predictions(run) as table:
            for row in rows:
                table.append(**row)
        _count(run)

    def append_inferred(run: Run) -> None:
        with run.timed(), _predictions(run, None) as table:
            for row in rows:
                table.append(row)
        _count(run)

    contenders = {
        LISTS: limit,
        "append(dict)": append,
        "append(**row)": append_keywords,
        "append, schema inferred": append_inferred,
    }
    goals = [Goal(name, "rows_per_second", 0.45, "at least", (LISTS,)) for name in ("append(dict)", "append(**row)")]
    return Job("appends", f"{len(rows):,} predictions, one append each", contenders, goals)


JOBS = {"batches": batches, "memory": memory, "memory-tenfold": memory_tenfold, "appends": appends}

if __name__ == "__main__":
    main("bench_table_write", JOBS)

"""Reading all rows of a table, beside pyarrow's two readers on the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tableformat
from benchmarks import data, rivals
from benchmarks.harness import Goal, Job, Run, main

ITER, DATASET = "ParquetFile.iter_batches", "pyarrow dataset"


def _scan(name: str, what: str, columns: Sequence[str] | None, size: data.Size, folder: Path) -> Job:
    store = tableformat.open_store(str(folder))
    with store.draft("model") as draft, draft.table("predictions", schema=data.PREDICTIONS) as writer:
        for batch in data.iter_prediction_batches(size.batch_rows):
            writer.extend(batch)
    table = store["model"]["predictions"]
    parts = sorted((folder / "data").glob("*.parquet"))

    def batches(run: Run) -> None:
        with run.timed():
            run.counts["rows"] = sum(
                batch.num_rows for batch in table.batches(columns=None if columns is None else list(columns))
            )

    def iter_batches(run: Run) -> None:
        with run.timed():
            run.counts["rows"] = rivals.scan_iter_batches(parts, columns)

    def dataset(run: Run) -> None:
        with run.timed():
            run.counts["rows"] = rivals.scan_dataset(parts, columns)

    contenders = {"batches": batches, ITER: iter_batches, DATASET: dataset}
    goals = [Goal("batches", "seconds", 1.1, "at most", (ITER, DATASET))]
    return Job(name, f"{size.batch_rows:,} predictions, {what}, {len(parts)} parts", contenders, goals)


def all_columns(size: data.Size, folder: Path) -> Job:
    """Every column."""
    return _scan("all-columns", "all columns", None, size, folder)


def two_columns(size: data.Size, folder: Path) -> Job:
    """The id and the score."""
    return _scan("two-columns", "two columns", ["id", "score"], size, folder)


JOBS = {"all-columns": all_columns, "two-columns": two_columns}

if __name__ == "__main__":
    main("bench_scan", JOBS)

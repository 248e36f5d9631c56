"""Reading all rows of a table, beside pyarrow's two readers on the same parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

import tableformat
from benchmarks import data, rivals
from benchmarks.harness import Goal, Job, Run, main

ITER, DATASET = "ParquetFile.iter_batches", "pyarrow dataset"


def _scan(
    name: str, what: str, stream: Iterable[pa.RecordBatch], folder: Path, columns: Sequence[str] | None = None, at_most: float = 1.1
) -> Job:  # fmt: skip
    store = tableformat.open_store(str(folder))
    with store.draft("model") as draft, draft.table("rows") as writer:
        for batch in stream:
            writer.extend(batch)
    table = store["model"]["rows"]
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
    goals = [Goal("batches", "seconds", at_most, "at most", (ITER, DATASET))]
    return Job(name, f"{len(table):,} {what}, {len(parts)} parts", contenders, goals)


def all_columns(size: data.Size, folder: Path) -> Job:
    """Every column."""
    return _scan("all-columns", "predictions, all columns", data.iter_prediction_batches(size.batch_rows), folder)


def two_columns(size: data.Size, folder: Path) -> Job:
    """The id and the score."""
    stream = data.iter_prediction_batches(size.batch_rows)
    return _scan("two-columns", "predictions, two columns", stream, folder, ["id", "score"])


def embeddings(size: data.Size, folder: Path) -> Job:
    """Rows whose bytes are almost all in a list of 256 floats."""
    stream = data.iter_embedding_batches(size.batch_rows // 10)
    return _scan("embeddings", "embeddings of 256 float32", stream, folder, at_most=0.6)


JOBS = {"all-columns": all_columns, "two-columns": two_columns, "embeddings": embeddings}

if __name__ == "__main__":
    main("bench_scan", JOBS)

"""Edits of a keyed table that is there: what they store, beside writing the table whole, and a new column beside a table of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import tableformat
from benchmarks import data
from benchmarks.bench_rewrite import FIRST, write
from benchmarks.harness import Goal, Job, Run, folder_bytes, main

ALONE = "the column alone"
_BATCH_ROWS = 65_536

Edit = Callable[[tableformat.Draft], Any]


def edit_copy(run: Run, before: Path, edit: Edit) -> tableformat.Draft:
    """A copy of the store at `before` with one more version; the commit is timed, the copy is not."""
    shutil.copytree(before, run.folder, dirs_exist_ok=True)
    store = tableformat.open_store(str(run.folder))
    with run.timed(), store.draft("measured", base="latest") as draft:
        edit(draft)
    return draft


def _job(
    size: data.Size, folder: Path, name: str, what: str, edit: Edit, goals: list[Goal], *, prepare: Edit | None = None
) -> Job:
    """The first write of the table beside an edit of it: all files count, those of manifests too."""
    table = data.measured_table(size.keyed_rows)
    before = folder / name
    write(before, table)
    whole = folder_bytes(before)
    if prepare is not None:
        with tableformat.open_store(str(before)).draft("measured", base="latest") as draft:
            prepare(draft)
    there = folder_bytes(before)

    def first(run: Run) -> None:
        with run.timed():
            write(run.folder, table)
        run.counts.update(rows=len(table), bytes_added=folder_bytes(run.folder))

    def again(run: Run) -> None:
        edit_copy(run, before, edit)
        added = folder_bytes(run.folder) - there
        run.counts.update(rows=len(table), bytes_added=added, added_share=added / whole)

    return Job(name, f"{len(table):,} rows of 5 columns, {what}", {FIRST: first, "edit": again}, goals)


def _scattered(table: pa.Table, share: float) -> pa.Table:
    """Some rows all over the table with another score: key and score alone."""
    random = np.random.default_rng(11)
    rows = np.sort(random.choice(len(table), max(int(len(table) * share), 1), replace=False))
    return pa.table({"id": table["id"].take(pa.array(rows)), "score": random.random(len(rows))})


def upsert(size: data.Size, folder: Path) -> Job:
    """0.01 % of the rows get another value in one column."""
    rows = _scattered(data.measured_table(size.keyed_rows), 0.0001)
    goals = [Goal("edit", "added_share", 0.01, "at most")]
    return _job(size, folder, "upsert", f"{len(rows)} scattered rows upserted", lambda d: d.upsert("rows", rows), goals)


def delete(size: data.Size, folder: Path) -> Job:
    """0.1 % of the rows are deleted by key."""
    keys = _scattered(data.measured_table(size.keyed_rows), 0.001)["id"]
    goals = [Goal("edit", "added_share", 0.01, "at most")]
    return _job(
        size, folder, "delete", f"{len(keys)} scattered rows deleted", lambda d: d.delete("rows", keys=keys), goals
    )


def compact(size: data.Size, folder: Path) -> Job:
    """A table with deletions and a column file is made plain."""
    rows = _scattered(data.measured_table(size.keyed_rows), 0.001)

    def prepare(draft: tableformat.Draft) -> None:
        draft.delete("rows", keys=rows["id"])
        draft.add_columns("rows", {"more": np.arange(len(draft["rows"]))})

    goals = [Goal("edit", "seconds", 1.5, "at most", (FIRST,))]
    edit: Edit = lambda draft: draft.compact("rows", plain=True)  # noqa: E731
    return _job(size, folder, "compact", "compacted to plain", edit, goals, prepare=prepare)


def _added(size: data.Size, folder: Path, name: str, what: str, give: Callable[[pa.Table], Any]) -> Job:
    """A column of predictions added to the table, beside a table that holds nothing else."""
    table = data.measured_table(size.keyed_rows)
    predictions = np.random.default_rng(12).random(len(table)).astype(np.float32)
    given = give(table.select(["id"]).append_column("prediction", pa.array(predictions)))
    before = folder / name
    write(before, table)
    there = folder_bytes(before)

    def alone(run: Run) -> None:
        own = pa.table({"prediction": predictions})
        with (
            run.timed(),
            tableformat.open_store(str(run.folder)).draft("measured") as draft,
            draft.table("rows") as writer,
        ):
            for batch in own.to_batches(max_chunksize=_BATCH_ROWS):
                writer.extend(batch)
        run.counts.update(rows=len(table), bytes_added=folder_bytes(run.folder))

    def added(run: Run) -> None:
        edit_copy(run, before, lambda draft: draft.add_columns("rows", given))
        run.counts.update(rows=len(table), bytes_added=folder_bytes(run.folder) - there)

    goals = [Goal("edit", "bytes_added", 1.1, "at most", (ALONE,))]
    return Job(name, f"{len(table):,} rows, {what}", {ALONE: alone, "edit": added}, goals)


def add_column(size: data.Size, folder: Path) -> Job:
    """Predictions in the order of the table."""
    return _added(size, folder, "add-column", "a column in its order", lambda rows: rows.select(["prediction"]))


def join_column(size: data.Size, folder: Path) -> Job:
    """Predictions with keys, in any order."""

    def shuffled(rows: pa.Table) -> pa.Table:
        return rows.take(pa.array(np.random.default_rng(13).permutation(len(rows))))

    return _added(size, folder, "join-column", "a column by key, shuffled", shuffled)


JOBS = {
    "upsert": upsert,
    "delete": delete,
    "add-column": add_column,
    "join-column": join_column,
    "compact": compact,
}

if __name__ == "__main__":
    main("bench_edit", JOBS)

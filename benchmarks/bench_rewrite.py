"""A keyed table written again whole: what an edit of its source costs in bytes and in time, beside writing it for the first time.

The digest of values, by which parts are found, is measured beside plain SHA-256 over as many bytes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, folder_bytes, main
from tableformat.format.value_digest import UnitDigest

FIRST = "first write"
SHA = "SHA-256"
_BATCH_ROWS = 65_536
_GROUP_ROWS = 4_096


def write(folder: Path, table: pa.Table, *, sort: bool = False) -> tableformat.Draft:
    """One version of the table."""
    with (
        tableformat.open_store(str(folder)).draft("measured") as draft,
        draft.table("rows", key="id", sort_by_key=sort) as writer,
    ):
        for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
            writer.extend(batch)
    return draft


def _job(
    size: data.Size, folder: Path, name: str, what: str, edit: Callable[[pa.Table], pa.Table], goals: list[Goal],
    *, sort: bool = False, column: str | None = None,
) -> Job:  # fmt: skip
    """The first write of a table beside that of an edited one over it: all files count, those of manifests too."""
    table = data.measured_table(size.keyed_rows)
    edited = edit(table)
    before = folder / name
    write(before, table)
    whole = folder_bytes(before)
    own = column_bytes(before, column) if column else 0

    def first(run: Run) -> None:
        with run.timed():
            write(run.folder, edited, sort=sort)
        run.counts.update(rows=len(edited), bytes_added=folder_bytes(run.folder))

    def again(run: Run) -> None:
        shutil.copytree(before, run.folder, dirs_exist_ok=True)
        with run.timed():
            write(run.folder, edited, sort=sort)
        added = folder_bytes(run.folder) - whole
        run.counts.update(rows=len(edited), bytes_added=added, added_share=added / whole)
        if own:
            run.counts.update(column_bytes=own, added_per_column=added / own)

    return Job(name, f"{size.keyed_rows:,} rows of 5 columns, {what}", {FIRST: first, "again": again}, goals)


def column_bytes(folder: Path, name: str) -> int:
    """What the column takes in the part files: its pages, compressed."""
    total = 0
    for path in (folder / "data").glob("*.parquet"):
        metadata = pq.read_metadata(path)
        chunks = (
            metadata.row_group(group).column(column)
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
        )
        total += sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] == name)
    return total


def same(size: data.Size, folder: Path) -> Job:
    """Nothing changed."""
    goals = [
        Goal("again", "seconds", 1 / 3, "at most", (FIRST,)),
        Goal("again", "bytes_added", 0, "at most"),
    ]
    return _job(size, folder, "same", "the same again", lambda table: table, goals)


def neighbourhood(size: data.Size, folder: Path) -> Job:
    """One row inserted, a hundred neighbours deleted."""

    def edit(table: pa.Table) -> pa.Table:
        third, fifth = len(table) // 3, len(table) // 5
        new = table.slice(7, 1).set_column(0, data.MEASURED.field("id"), pa.array([2 * fifth - 1]))
        kept = [table.slice(0, fifth), new, table.slice(fifth, third - fifth), table.slice(third + 100)]
        return pa.concat_tables(kept).combine_chunks()

    goals = [Goal("again", "added_share", 0.03, "at most")]
    return _job(size, folder, "neighbourhood", "one inserted, 100 neighbours deleted", edit, goals)


def _column(name: str) -> Callable[[data.Size, Path], Job]:
    def make(size: data.Size, folder: Path) -> Job:
        def edit(table: pa.Table) -> pa.Table:
            order = pa.array(np.random.default_rng(9).permutation(len(table)))
            at = table.schema.get_field_index(name)
            return table.set_column(at, table.schema.field(at), table[name].take(order).combine_chunks())

        goals = [Goal("again", "added_per_column", 1.2, "at most")]
        return _job(size, folder, f"column-{name}", f"{name} changed in every row", edit, goals, column=name)

    make.__doc__ = f"Every value of `{name}` changed."
    return make


def other_order(size: data.Size, folder: Path) -> Job:
    """The same rows in another order, sorted by the writer."""

    def edit(table: pa.Table) -> pa.Table:
        return table.take(pa.array(np.random.default_rng(9).permutation(len(table)))).combine_chunks()

    goals = [Goal("again", "bytes_added", 0, "at most")]
    return _job(size, folder, "other-order", "the same in another order, sort_by_key=True", edit, goals, sort=True)


def digests(size: data.Size, folder: Path) -> Job:
    """The value digests of all columns, a row group at a time, in one thread."""
    table = data.measured_table(size.keyed_rows).combine_chunks()
    plain = bytes(table.nbytes)

    def sha(run: Run) -> None:
        with run.timed():
            hashlib.sha256(plain)
        run.counts.update(rows=len(table), bytes_per_second=len(plain) / run.seconds)

    def values(run: Run) -> None:
        with run.timed():
            for column in table.columns:
                unit = UnitDigest(column.type)
                for start in range(0, len(table), _GROUP_ROWS):
                    for chunk in column.slice(start, _GROUP_ROWS).chunks:
                        unit.update(chunk)
                unit.digest()
        run.counts.update(rows=len(table), bytes_per_second=table.nbytes / run.seconds)

    goals = [
        Goal("value digests", "bytes_per_second", 1e9, "at least"),
        Goal("value digests", "bytes_per_second", 0.75, "at least", (SHA,)),
    ]
    return Job("digests", f"value digests of {len(table):,} rows", {SHA: sha, "value digests": values}, goals)


JOBS = {
    "same": same,
    "neighbourhood": neighbourhood,
    "column-count": _column("count"),
    "column-score": _column("score"),
    "column-vector": _column("vector"),
    "other-order": other_order,
    "digests": digests,
}

if __name__ == "__main__":
    main("bench_rewrite", JOBS)

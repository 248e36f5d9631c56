"""Joined tables: first rows, full streams of sorted, aligned and shuffled tables, beside DuckDB on the same Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, main

FIRST = 100
DUCKDB, DUCKDB_ORDERED, BY_HAND = "DuckDB", "DuckDB, order by", "semi-join by hand"
DECODED = "both sides decoded, not joined"
THREADS, FILES = 2, 8
_SPLITS = np.array(["test", "train"], object)


def _images(ids: np.ndarray, seed: int) -> Iterator[pa.RecordBatch]:
    """The left side: id, label, split, weight."""
    random = np.random.default_rng(seed)
    for start in range(0, len(ids), data.BATCH_ROWS):
        some = ids[start : start + data.BATCH_ROWS]
        labels = np.array(data.LABELS, object)[random.integers(0, len(data.LABELS), len(some))]
        columns = {
            "id": some,
            "label": labels,
            "split": _SPLITS[some % 2],
            "weight": random.random(len(some)).astype(np.float32),
        }
        yield pa.RecordBatch.from_pydict(columns)


def _predictions(ids: np.ndarray, seed: int, *, wide: bool) -> Iterator[pa.RecordBatch]:
    """The right side: id, predicted, score, margin; a wide one with the scores of ten classes, too."""
    random = np.random.default_rng(seed)
    for start in range(0, len(ids), data.BATCH_ROWS):
        some = ids[start : start + data.BATCH_ROWS]
        scores = random.random((2, len(some))).astype(np.float32)
        columns = {
            "id": some,
            "predicted": random.integers(0, 10, len(some), np.int32),
            "score": scores[0],
            "margin": scores[1],
        }
        if wide:
            ends = pa.array(np.arange(0, 10 * len(some) + 1, 10, dtype=np.int32))
            columns["scores"] = pa.ListArray.from_arrays(
                ends, pa.array(random.random(10 * len(some)).astype(np.float32))
            )
        yield pa.RecordBatch.from_pydict(columns)


class _Tables:
    """A store with `images` and `predictions`, and where the Parquet files of both lie."""

    def __init__(self, folder: Path, left: np.ndarray, right: np.ndarray, *, key: bool, wide: bool = False) -> None:
        self.store = tableformat.open_store(str(folder))
        with self.store.draft("a") as draft:
            for name, batches in (("images", _images(left, 1)), ("predictions", _predictions(right, 2, wide=wide))):
                with draft.table(name, key="id" if key else None) as table:
                    for batch in batches:
                        table.extend(batch)
            draft.add(tableformat.JoinedTable("images", "predictions", on="id"), "joined")
        self.files = [self.store["a"][name].files() for name in ("images", "predictions")]

    def opened(self) -> tableformat.JoinedTable:
        """The joined table, opened again: nothing of it is in memory."""
        joined: tableformat.JoinedTable = tableformat.open_store(self.store.root)["a"]["joined"]
        return joined

    def sql(self, tail: str = "") -> str:
        """The join in SQL, over the same files."""
        left, right = (f"read_parquet({files})" for files in self.files)
        return f"select l.*, r.* from {left} l join {right} r on l.id = r.id {tail}"

    def by_hand(self) -> int:
        """The first rows as one writes it for the occasion: some of the left, then only what matches on the right."""
        head = next(pq.ParquetFile(self.files[0][0]).iter_batches(FIRST))
        ids = head.column("id")
        wanted = pa.dataset.dataset(self.files[1]).to_table(filter=pa.dataset.field("id").isin(ids))
        joined = pa.Table.from_batches([head]).join(wanted, "id", join_type="inner")
        return len(joined)


def _duckdb(sql: str, memory: str | None = None, limit: int | None = None) -> Callable[[Run], None]:
    def run(turn: Run) -> None:
        settings: dict[str, Any] = {"threads": 2}
        if memory is not None:
            settings |= {"memory_limit": memory, "temp_directory": str(turn.folder), "preserve_insertion_order": False}
        with turn.timed(), duckdb.connect(config=settings) as connection:
            reader = connection.sql(sql).to_arrow_reader(1 << 16)
            turn.counts["rows"] = sum(batch.num_rows for batch in reader)

    return run


def _decode(files: Sequence[str]) -> int:
    return sum(pq.ParquetFile(file).reader.read_all(use_threads=False).num_rows for file in files)


def _decoded(tables: _Tables) -> Callable[[Run], None]:
    """What any join on pyarrow costs at least: all columns of both sides, two threads, nothing checked, nothing kept."""

    def run(turn: Run) -> None:
        with turn.timed(), ThreadPoolExecutor(THREADS) as pool:
            sides = [
                pool.map(_decode, [files[at : at + FILES] for at in range(0, len(files), FILES)])
                for files in tables.files
            ]
            counts = [sum(side) for side in sides]
        turn.counts["rows"] = counts[1]  # each row of the right meets one of the left

    return run


def _stream(tables: _Tables, **options: Any) -> Callable[[Run], None]:
    def run(turn: Run) -> None:
        joined = tables.opened()
        with turn.timed():
            turn.counts["rows"] = sum(batch.num_rows for batch in joined.batches(**options))

    return run


def _first(tables: _Tables, *, again: bool = False) -> Callable[[Run], None]:
    def run(turn: Run) -> None:
        joined = tables.opened()
        if again:
            joined.head(FIRST).to_arrow()
        with turn.timed():
            turn.counts["rows"] = joined.head(FIRST).to_arrow().num_rows

    return run


def _what(size: data.Size, text: str) -> str:
    return f"{size.batch_rows:,} × {size.batch_rows:,} rows, int64 key, {text}"


def open_(size: data.Size, folder: Path) -> Job:
    """Opening the joined table of a version."""
    ids = np.arange(size.batch_rows)
    tables = _Tables(folder, ids, ids, key=True)

    def run(turn: Run) -> None:
        artifact = tableformat.open_store(tables.store.root)["a"]
        with turn.timed():
            turn.counts["rows"] = len(artifact["joined"].columns)

    return Job("open", _what(size, "opened in a version"), {"open": run}, [Goal("open", "seconds", 0.005, "at most")])


def first_rows(size: data.Size, folder: Path) -> Job:
    """The first 100 rows in left order, right side shuffled: a cold handle, and the same page again."""
    ids = np.arange(size.batch_rows)
    tables = _Tables(folder, ids, np.random.default_rng(3).permutation(ids), key=False)

    def by_hand(turn: Run) -> None:
        with turn.timed():
            turn.counts["rows"] = tables.by_hand()

    contenders = {
        "head": _first(tables), "head again": _first(tables, again=True), BY_HAND: by_hand,
        DUCKDB_ORDERED: _duckdb(tables.sql(f"order by l.file_row_number limit {FIRST}").replace("l.*, r.*", "l.* exclude (file_row_number), r.*").replace("]) l", "], file_row_number=true) l")),
    }  # fmt: skip
    goals = [
        Goal("head", "seconds", 0.2, "at most"), Goal("head", "peak_bytes", 80e6, "at most"), Goal("head again", "seconds", 0.05, "at most"),
    ]  # fmt: skip
    return Job("first-rows", _what(size, "first 100 rows, right side shuffled"), contenders, goals, isolate=True)


def first_rows_sorted(size: data.Size, folder: Path) -> Job:
    """The first 100 rows, both sides sorted by the key."""
    ids = np.arange(size.batch_rows)
    tables = _Tables(folder, ids, ids[ids % 10 > 0], key=True)
    contenders = {"head": _first(tables), DUCKDB: _duckdb(tables.sql(f"limit {FIRST}"))}
    goals = [Goal("head", "seconds", 0.05, "at most")]
    return Job("first-rows-sorted", _what(size, "first 100 rows, right side sorted"), contenders, goals, isolate=True)


def merged(size: data.Size, folder: Path) -> Job:
    """All rows, both sides sorted, nine in ten of the left with a match."""
    ids = np.arange(size.batch_rows)
    tables = _Tables(folder, ids, ids[ids % 10 > 0], key=True, wide=True)
    contenders = {"batches": _stream(tables), DUCKDB: _duckdb(tables.sql()), DECODED: _decoded(tables)}
    goals = [Goal("batches", "rows_per_second", 1.5, "at least", (DUCKDB,))]
    return Job("sorted", _what(size, "all rows, both sides sorted"), contenders, goals, isolate=True)


def aligned(size: data.Size, folder: Path) -> Job:
    """All rows, both sides with the same keys in the same order."""
    ids = np.random.default_rng(4).permutation(size.batch_rows)
    tables = _Tables(folder, ids, ids, key=True, wide=True)
    contenders = {"batches": _stream(tables), DUCKDB: _duckdb(tables.sql()), DECODED: _decoded(tables)}
    goals = [Goal("batches", "rows_per_second", 1.5, "at least", (DUCKDB,))]
    return Job("aligned", _what(size, "all rows, aligned"), contenders, goals, isolate=True)


def _shuffled(size: data.Size, folder: Path) -> _Tables:
    ids = np.arange(size.batch_rows)
    return _Tables(folder, ids, np.random.default_rng(3).permutation(ids), key=False)


def shuffled(size: data.Size, folder: Path) -> Job:
    """All rows in any order, keys of the right shuffled, within 512 MB."""
    tables = _shuffled(size, folder)
    contenders = {"batches": _stream(tables, memory="512 MB", ordered=False), DUCKDB: _duckdb(tables.sql(), "512MB")}
    goals = [Goal("batches", "seconds", 1.3, "at most", (DUCKDB,)), Goal("batches", "peak_bytes", 662e6, "at most")]
    return Job("shuffled", _what(size, "all rows, right side shuffled, 512 MB"), contenders, goals, isolate=True)


def shuffled_ordered(size: data.Size, folder: Path) -> Job:
    """The same in the order of the left."""
    tables = _shuffled(size, folder)
    ordered = tables.sql("order by l.filename, l.file_row_number").replace(
        "]) l", "], file_row_number=true, filename=true) l"
    )
    contenders = {"batches": _stream(tables, memory="512 MB"), DUCKDB_ORDERED: _duckdb(ordered, "512MB")}
    goals = [
        Goal("batches", "seconds", 1.3, "at most", (DUCKDB_ORDERED,)),
        Goal("batches", "peak_bytes", 662e6, "at most"),
    ]
    return Job(
        "shuffled-ordered",
        _what(size, "all rows in left order, right side shuffled, 512 MB"),
        contenders,
        goals,
        isolate=True,
    )


def tenfold(size: data.Size, folder: Path) -> Job:
    """Ten rows of the left for each of the right, within 1 GB: does it complete, and inside the bound?"""
    ids = np.random.default_rng(5).integers(0, size.batch_rows, size.memory_rows)
    tables = _Tables(folder, ids, np.random.default_rng(3).permutation(size.batch_rows), key=False)
    contenders = {"batches": _stream(tables, memory="1 GB", ordered=False)}
    what = f"{size.memory_rows:,} × {size.batch_rows:,} rows, int64 key, 1 GB"
    return Job("tenfold", what, contenders, [Goal("batches", "peak_bytes", 1.15e9, "at most")], isolate=True)


JOBS = {
    "open": open_, "first-rows": first_rows, "first-rows-sorted": first_rows_sorted, "sorted": merged, "aligned": aligned,
    "shuffled": shuffled, "shuffled-ordered": shuffled_ordered, "tenfold": tenfold,
}  # fmt: skip

if __name__ == "__main__":
    main("bench_joined", JOBS)

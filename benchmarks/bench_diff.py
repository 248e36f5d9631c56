"""Diffs of two versions of a keyed table, changed in one neighbourhood, scattered, and shuffled, beside DuckDB's full outer join."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, main

DUCKDB = "DuckDB"
COLUMNS = ("text", "score", "level", "vector")
_SHARE = 1000  # one row in so many is changed


@cache
def _texts() -> pa.Array:
    """Texts of about 60 characters."""
    random = np.random.default_rng(7)
    words = np.array(
        ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"], object
    )
    return pa.array([f"{' '.join(words[random.integers(0, 10, 9)])} {number:05d}" for number in range(1 << 16)])


def _batches(ids: np.ndarray, changed: np.ndarray) -> Iterator[pa.RecordBatch]:
    """The rows of these ids, the same in every version but for `changed` (sorted ids), whose scores and levels differ."""
    for start in range(0, len(ids), data.BATCH_ROWS):
        some = ids[start : start + data.BATCH_ROWS]
        mixed = (some.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)
        is_changed = np.isin(some, changed)
        values = mixed.astype(np.float64) / 2.0**53
        vector = (values[:, None] * np.arange(1, 9)).astype(np.float32)
        yield pa.RecordBatch.from_pydict(
            {
                "id": some,
                "text": _texts().take(pa.array((mixed % np.uint64(1 << 16)).astype(np.int64))),
                "score": values + is_changed,
                "level": (mixed % np.uint64(100)).astype(np.int64) + is_changed,
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vector.reshape(-1)), 8),
            }
        )


class _Versions:
    """Two versions of a table in one store, and the same rows as one Parquet file each, as DuckDB's pages advise to write them."""

    def __init__(
        self, folder: Path, before: np.ndarray, after: np.ndarray, changed: np.ndarray, *, key: str | None
    ) -> None:
        self.store = tableformat.open_store(str(folder / "store"))
        self.files = []
        for number, (ids, some) in enumerate(((before, changed[:0]), (after, changed))):
            with self.store.draft("a") as draft, draft.table("t", key=key) as table:
                for batch in _batches(ids, some):
                    table.extend(batch)
            self.files.append(str(folder / f"{number}.parquet"))
            _write_plain(self.files[-1], _batches(ids, some))
        self.addresses = [f"{self.store.root}#a:v{number}/t" for number in (0, 1)]
        self.stored = sum(self._stored(address) for address in self.addresses)

    @staticmethod
    def _stored(address: str) -> int:
        return sum(part.stored_bytes for part in tableformat.read_table(address).source.parts())

    def sql(self) -> str:
        """The diff in SQL: both rows of each key that differ."""
        before, after = (f"read_parquet('{file}')" for file in self.files)
        differs = " or ".join(f"l.{name} is distinct from r.{name}" for name in COLUMNS)
        return (
            f"select l, r, {', '.join(f'l.{name} is distinct from r.{name}' for name in COLUMNS)} "
            f"from {before} l full join {after} r on l.id = r.id where l.id is null or r.id is null or {differs}"
        )


def _write_plain(path: str, batches: Iterator[pa.RecordBatch]) -> None:
    first = next(batches)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for batch in itertools.chain([first], batches):
            writer.write_batch(batch, row_group_size=122_880)


def _diff(versions: _Versions, on: str | None) -> Callable[[Run], None]:
    def run(turn: Run) -> None:
        before = _read_bytes()
        with turn.timed():
            found = tableformat.diff(*versions.addresses, on=on)
            turn.counts["rows"] = sum(batch.num_rows for batch in found.batches())
        turn.counts["read_share"] = (_read_bytes() - before) / versions.stored

    return run


def _read_bytes() -> int:
    """Bytes that this process has asked the system to read so far."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))


def _duckdb(versions: _Versions, memory: str = "512MB") -> Callable[[Run], None]:
    def run(turn: Run) -> None:
        settings = {
            "threads": 2,
            "memory_limit": memory,
            "temp_directory": str(turn.folder),
            "preserve_insertion_order": False,
        }
        with turn.timed(), duckdb.connect(config=settings) as connection:
            reader = connection.sql(versions.sql()).to_arrow_reader(1 << 16)
            turn.counts["rows"] = sum(batch.num_rows for batch in reader)
        turn.counts["read_share"] = 0

    return run


def _ids(size: data.Size) -> np.ndarray:
    return np.arange(size.batch_rows, dtype=np.int64)


def neighbourhood(size: data.Size, folder: Path) -> Job:
    """One row in a thousand changed, all beside each other."""
    ids = _ids(size)
    middle, count = len(ids) // 2, max(len(ids) // _SHARE, 1)
    versions = _Versions(folder, ids, ids, ids[middle : middle + count], key="id")
    contenders = {"diff": _diff(versions, None), DUCKDB: _duckdb(versions)}
    goals = [Goal("diff", "seconds", 1.0, "at most"), Goal("diff", "read_share", 0.05, "at most")]
    return Job("neighbourhood", f"2 × {len(ids):,} rows, 0.1 % changed in one place", contenders, goals, isolate=True)


def _scattered(ids: np.ndarray) -> np.ndarray:
    return np.sort(np.random.default_rng(5).choice(ids, max(len(ids) // _SHARE, 1), replace=False))


_GOALS = [Goal("diff", "seconds", 2.0, "at most", (DUCKDB,)), Goal("diff", "peak_bytes", 512 << 20, "at most")]


def scattered(size: data.Size, folder: Path) -> Job:
    """One row in a thousand changed, anywhere."""
    ids = _ids(size)
    versions = _Versions(folder, ids, ids, _scattered(ids), key="id")
    contenders = {"diff": _diff(versions, None), DUCKDB: _duckdb(versions)}
    return Job("scattered", f"2 × {len(ids):,} rows, 0.1 % changed anywhere", contenders, _GOALS, isolate=True)


def edited(size: data.Size, folder: Path) -> Job:
    """One row in a thousand changed, as many removed and as many added, anywhere: keys stand elsewhere."""
    ids = _ids(size)
    rest = np.setdiff1d(ids, np.random.default_rng(6).choice(ids, max(len(ids) // _SHARE, 1), replace=False))
    before, after = ids[ids % _SHARE != 3], rest
    versions = _Versions(folder, before, after, _scattered(ids), key="id")
    contenders = {"diff": _diff(versions, None), DUCKDB: _duckdb(versions)}
    what = f"2 × {len(ids):,} rows, 0.1 % changed, removed and added anywhere"
    return Job("edited", what, contenders, _GOALS, isolate=True)


def shuffled(size: data.Size, folder: Path) -> Job:
    """The same rows in another order, without a key, compared by `on="id"`; one row in a thousand changed."""
    ids = _ids(size)
    versions = _Versions(folder, ids, np.random.default_rng(3).permutation(ids), _scattered(ids), key=None)
    contenders = {"diff": _diff(versions, "id"), DUCKDB: _duckdb(versions)}
    return Job("shuffled", f"2 × {len(ids):,} rows in two orders, 0.1 % changed", contenders, _GOALS, isolate=True)


JOBS = {"neighbourhood": neighbourhood, "scattered": scattered, "edited": edited, "shuffled": shuffled}

if __name__ == "__main__":
    main("bench_diff", JOBS)

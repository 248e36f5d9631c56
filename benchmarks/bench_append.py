"""Appends: what a thousand rows cost, behind few rows and behind very many, after few versions and after ten thousand."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, folder_bytes, main

ROWS = 1000
"""Rows of one append."""
_BATCH = 1 << 20


def _narrow(start: int, rows: int) -> pa.Table:
    numbers = np.arange(start, start + rows)
    return pa.table({"id": numbers, "score": (numbers % 1000).astype(np.float32)})


def _wide(start: int, rows: int) -> pa.Table:
    """id, text of about 60 characters, float, int, eight floats: about 100 bytes a row."""
    random = np.random.default_rng(start)
    text = [f"{number:08d} " + random.bytes(26).hex() for number in range(start, start + rows)]
    eight = pa.FixedSizeListArray.from_arrays(pa.array(random.random(rows * 8, np.float32)), 8)
    return pa.table(
        {"id": np.arange(start, start + rows), "text": text, "score": random.random(rows), "count": random.integers(0, 1 << 40, rows), "v": eight}
    )  # fmt: skip


def _write(store: tableformat.Store, rows: int, made: Callable[[int, int], pa.Table], key: str | None = "id") -> None:
    with store.draft("a") as draft, draft.table("t", key=key) as table:
        for start in range(0, rows, _BATCH):
            table.extend(made(start, min(_BATCH, rows - start)))


def _append(store: tableformat.Store, made: Callable[[int, int], pa.Table]) -> None:
    more = made(store["a"]["t"].num_rows, ROWS)
    with store.draft("a", base="latest") as draft, draft.table("t", mode="append") as table:
        table.extend(more)


def _build(root: Path, rows: int, appends: int) -> None:
    """A table, and versions of it, written by another process: this one remembers nothing of them."""
    process = multiprocessing.get_context("spawn").Process(target=_build_here, args=(root, rows, appends))
    process.start()
    process.join()
    assert process.exitcode == 0


def _build_here(root: Path, rows: int, appends: int) -> None:
    store = tableformat.open_store(root)
    _write(store, rows, _narrow)
    for _ in range(appends):
        _append(store, _narrow)


def _now(root: Path) -> int:
    """The time that a file written from now on has at least, in nanoseconds; what was written before has an earlier one."""
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    clock = root.with_name("clock")
    clock.touch()
    return clock.stat().st_mtime_ns


def _turns(stores: Mapping[str, Path]) -> dict[str, Callable[[Run], None]]:
    """For each store: the first append of a process, which reads back the rows since the last full block, and the next one."""

    def turn(root: Path, before: int) -> Callable[[Run], None]:
        def append(run: Run) -> None:
            store = tableformat.open_store(root)
            for _ in range(before):
                _append(store, _narrow)
            since = _now(root)
            with run.timed():
                _append(tableformat.open_store(root), _narrow)
            # Added up when the append is over: a walk through forty thousand files before it would leave the processor's caches
            # cold, and those of a store with few files warm.
            run.counts.update(rows=ROWS, bytes_added=folder_bytes(root, since=since))

        return append

    warm = stores[next(iter(stores))].parent / "warm"
    _build_here(warm, ROWS, 1)  # so that no turn waits for imports
    named = {f"{name}, first": turn(root, 0) for name, root in stores.items()}
    return named | {f"{name}, next": turn(root, 1) for name, root in stores.items()}


def long_table(size: data.Size, folder: Path) -> Job:
    """Behind very many rows and a hundred versions, and behind few. The stores stay, and grow by each turn."""
    rows, versions = size.memory_rows, min(100, size.append_rows // 100)
    _build(folder / "long", rows, versions)
    _build(folder / "short", ROWS, 1)
    goals = [
        Goal("long, first", "seconds", 0.1, "at most"),
        Goal("long, next", "seconds", 1.3, "at most", ("short, next",)),
        Goal("long, first", "peak_bytes", 64e6, "at most"),
    ]
    what = f"{ROWS:,} rows appended to {rows:,} rows with a key and {versions} versions, and to a short table"
    stores = {"long": folder / "long", "short": folder / "short"}
    return Job("long-table", what, _turns(stores), goals, isolate=True)


def versions(size: data.Size, folder: Path) -> Job:
    """After thousands of versions: an append, beside one of the first, and the opening of the newest, its table included."""
    count = size.append_rows // 100
    _build(folder / "many", ROWS, count)
    _build(folder / "few", ROWS, 2)

    def opened(run: Run) -> None:
        with run.timed():
            table = tableformat.open_store(folder / "many")["a"]["t"]
        run.counts.update(rows=min(table.num_rows, ROWS))

    what = f"{ROWS:,} rows appended after {count:,} versions of the same table, and after 3; the newest opened"
    goals = [
        Goal("many, next", "seconds", 1.3, "at most", ("few, next",)),
        Goal("many, first", "seconds", 0.1, "at most"),
        Goal("many, opened", "seconds", 0.02, "at most"),
    ]
    turns = _turns({"many": folder / "many", "few": folder / "few"}) | {"many, opened": opened}
    return Job("versions", what, turns, goals, isolate=True)


def keyed(size: data.Size, folder: Path) -> Job:
    """Bytes that an append adds to a keyed table of wide rows."""
    rows = size.keyed_rows

    def turn(run: Run) -> None:
        store = tableformat.open_store(run.folder)
        _write(store, rows, _wide)
        whole = folder_bytes(run.folder)
        with run.timed():
            _append(store, _wide)
        added = folder_bytes(run.folder) - whole
        run.counts.update(rows=ROWS, bytes_added=added, bytes_of_table=whole, added_percent=100 * added / whole)

    what = f"{ROWS:,} rows appended to {rows:,} with a key"
    return Job("keyed", what, {"append": turn}, [Goal("append", "added_percent", 1.5, "at most")])


JOBS = {"long-table": long_table, "versions": versions, "keyed": keyed}

if __name__ == "__main__":
    main("bench_append", JOBS)

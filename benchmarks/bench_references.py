"""References to objects that stay in a bucket: how fast they are taken, what they weigh, what a look-up reads.

The bucket is a client that makes up pages as S3 gives them, so that what is measured is what comes after the listing.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, folder_bytes, main
from tableformat.storage.outside.listing import list_below
from tableformat.storage.reference_lists import write_references

PREFIX = "s3://bucket/train/"
ADD, AFTER, LIST = "add_reference", "after the listing", "listing alone"
TABLE, SESSION, LOOK_UP = "add_references", "in a session", "look-up"
_WRITTEN = datetime(2026, 11, 22, tzinfo=UTC)


class Pages:
    """The client of a bucket that holds `count` objects: names of 34 characters, MD5 tags, sizes of a few kilobytes."""

    protocol = ("s3", "s3a")
    version_aware = False

    def __init__(self, count: int) -> None:
        self.count = count

    def call_s3(self, method: str, **options: Any) -> dict[str, Any]:
        assert method == "list_objects_v2"
        first = int(options.get("ContinuationToken", "0"))
        last = min(first + options["MaxKeys"], self.count)
        items = [
            {
                "Key": f"train/n{number // 1300:08d}/n{number // 1300:08d}_{number:08d}.JPEG",
                "Size": 2000 + number * 7919 % 200_000,
                "ETag": f'"{hashlib.md5(b"%d" % number).hexdigest()}"',
                "LastModified": _WRITTEN + timedelta(seconds=number // 40),
            }
            for number in range(first, last)
        ]
        return {"Contents": items, "IsTruncated": last < self.count, "NextContinuationToken": str(last)}

    def _strip_protocol(self, url: str) -> str:
        return url.removeprefix("s3://")


def _store(folder: Path, count: int) -> tableformat.Store:
    """A store for which the bucket is what `Pages` makes up."""
    store = tableformat.open_store(folder)
    store.context.outside._systems["s3://bucket"] = Pages(count)
    return store


def add(size: data.Size, folder: Path) -> Job:
    """An entry of as many references as the size has rows to append."""
    count = size.append_rows

    def list_only(run: Run) -> None:
        with run.timed():
            run.counts["rows"] = sum(1 for _ in list_below(Pages(count), "bucket/train", PREFIX))

    def write(run: Run) -> None:
        store = _store(run.folder, count)
        with run.timed(), store.draft("a") as draft:
            draft.add_reference(PREFIX, "all", progress=False)
        run.counts["rows"] = len(store["a"]["all"])
        run.counts["bytes_per_entry"] = folder_bytes(run.folder) / count

    def write_listed(run: Run) -> None:
        store = _store(run.folder, count)
        listed = list(list_below(Pages(count), "bucket/train", PREFIX))
        store.context.ensure()
        with run.timed():
            run.counts["rows"] = write_references(store.context.backend, PREFIX, iter(listed)).count

    goals = [
        Goal(AFTER, "rows_per_second", 50_000, "at least"),
        Goal(ADD, "peak_bytes", 300e6, "at most"),
        Goal(ADD, "bytes_per_entry", 40, "at most"),
    ]
    return Job(
        "add",
        f"{count:,} references by listing",
        {LIST: list_only, AFTER: write_listed, ADD: write},
        goals,
        isolate=True,
    )


def table(size: data.Size, folder: Path) -> Job:
    """A keyed table with a media column by reference, and a label from the path; also in a session that can be gone on with."""
    count = 5 * size.append_rows

    def write(run: Run, session: str | None = None) -> None:
        store = _store(run.folder, count)
        with run.timed(), store.draft("a", session=session) as draft:
            draft.add_references("t", PREFIX, lambda path: {"label": path[:9]}, progress=False)
        run.counts["rows"] = len(store["a"]["t"])
        run.counts["bytes_per_entry"] = folder_bytes(run.folder) / count

    goals = [Goal(name, "peak_bytes", 300e6, "at most") for name in (TABLE, SESSION)]
    contenders = {TABLE: write, SESSION: lambda run: write(run, "nightly")}
    return Job("table", f"{count:,} references as a keyed table", contenders, goals, isolate=True)


def look_up(size: data.Size, folder: Path) -> Job:
    """One of as many references as the size has rows in batches, by its path, with a cold handle."""
    count = size.batch_rows
    with _store(folder / "store", count).draft("a") as draft:
        draft.add_reference(PREFIX, "all", progress=False)
    random = np.random.default_rng(11)

    def find(run: Run) -> None:
        number = int(random.integers(count))
        store = tableformat.open_store(folder / "store")
        backend, read = store.context.backend, [0]
        whole, many = backend.read_or_none, backend.read_many_or_none

        def counted(path: str, **options: Any) -> bytes | None:
            found = whole(path, **options)
            read[0] += len(found or b"")
            return found

        def counted_many(paths: Any, **options: Any) -> list[bytes | None]:
            found = many(paths, **options)
            read[0] += sum(len(one or b"") for one in found)
            return found

        backend.read_or_none, backend.read_many_or_none = counted, counted_many  # type: ignore[method-assign]
        with run.timed():
            known = store["a"]["all"].known(f"n{number // 1300:08d}/n{number // 1300:08d}_{number:08d}.JPEG")
        assert known is not None
        assert known.size == 2000 + number * 7919 % 200_000
        run.counts.update(rows=1, bytes_read=read[0])

    goal = Goal(LOOK_UP, "bytes_read", 2e6, "at most")
    return Job("look-up", f"one of {count:,} references, its artifact just opened", {LOOK_UP: find}, [goal])


JOBS = {"add": add, "table": table, "look-up": look_up}

if __name__ == "__main__":
    main("bench_references", JOBS)

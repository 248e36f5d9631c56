"""Verification beside the least that it can be: reading every file once and computing its SHA-256, one file after the other."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tableformat
from benchmarks import data
from benchmarks.bench_media_write import write_rows
from benchmarks.harness import Goal, Job, Run, main

_PIECE = 4 << 20


def jpeg_images(size: data.Size, folder: Path) -> Job:
    """Photographs in packs: each byte is hashed as part of its blob and of its pack."""
    images = data.jpegs(size.jpegs)
    write_rows(str(folder / "store"), images, data.labels(len(images)))
    return _job("jpegs", f"a version of {len(images):,} JPEGs", folder / "store", len(images))


def rows(size: data.Size, folder: Path) -> Job:
    """A table without media: rows are decoded and their values digested, column by column."""
    store = tableformat.open_store(folder / "store")
    with store.draft("keyed") as draft, draft.table("items", schema=data.KEYED_SCHEMA, key="id") as writer:
        writer.extend(data.keyed_table(size.keyed_rows))
    return _job("rows", f"a version of {size.keyed_rows:,} rows", folder / "store", size.keyed_rows, goal=False)


def _job(name: str, what: str, root: Path, count: int, *, goal: bool = True) -> Job:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    total = sum(path.stat().st_size for path in files)

    def verify(run: Run) -> None:
        store = tableformat.open_store(root, create=False)
        with run.timed():
            report = store.verify()
        assert report.ok
        run.counts.update(rows=count, bytes_read=total)

    def sample(run: Run) -> None:
        store = tableformat.open_store(root, create=False)
        with run.timed():
            report = store.verify(sample=0.1)
        assert report.ok
        run.counts.update(rows=count, bytes_read=report.bytes)

    def sha256(run: Run) -> None:
        with run.timed():
            for path in files:
                whole = hashlib.sha256()
                with path.open("rb") as file:
                    while piece := file.read(_PIECE):
                        whole.update(piece)
        run.counts.update(rows=count, bytes_read=total)

    # 0.7 of its speed is 1 / 0.7 of its time.
    goals = [Goal("verify", "seconds", 1 / 0.7, "at most", ("SHA-256 of every file",))] if goal else []
    return Job(name, what, {"verify": verify, "verify a tenth": sample, "SHA-256 of every file": sha256}, goals)


JOBS = {"jpegs": jpeg_images, "rows": rows}

if __name__ == "__main__":
    main("bench_verify", JOBS)

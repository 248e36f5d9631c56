"""Reading rows at random with the bytes of their images, digests checked, beside `pread` and SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import tableformat
from benchmarks import data, rivals
from benchmarks.bench_media_write import write_rows
from benchmarks.harness import Goal, Job, Run, main

LIMIT = "pread + SHA-256"
TAKE = "take"


def _take(name: str, what: str, images: Sequence[bytes], taken: int, goal: Goal, folder: Path) -> Job:
    labels = data.labels(len(images))
    write_rows(str(folder / "store"), images, labels)
    table = tableformat.open_store(str(folder / "store"))["images"]["train"]
    (folder / "limit").mkdir()
    rivals.hash_and_append(folder / "limit", images, labels)
    descriptor = os.open(folder / "limit" / "blobs", os.O_RDONLY)
    ends = np.cumsum([len(image) for image in images])
    random = np.random.default_rng(6)

    def draw() -> list[int]:
        return [int(number) for number in random.choice(len(images), min(taken, len(images)), replace=False)]

    def take(run: Run) -> None:
        wanted = draw()
        with run.timed():
            rows = [(row["id"], row["image"]) for row in table.take(wanted).rows(media="bytes")]
        assert rows == [(number, images[number]) for number in wanted]
        run.counts["rows"] = len(rows)

    def limit(run: Run) -> None:
        ranges = [
            (int(ends[number]) - len(images[number]), len(images[number]), hashlib.sha256(images[number]).digest())
            for number in draw()
        ]
        with run.timed():
            run.counts["rows"] = len(list(rivals.pread_and_check(descriptor, ranges)))

    return Job(
        name,
        f"{min(taken, len(images)):,} random rows of {len(images):,} with {what}",
        {LIMIT: limit, TAKE: take},
        [goal],
    )


def small(size: data.Size, folder: Path) -> Job:
    """PNGs of 2 to 2.5 KB."""
    goal = Goal(TAKE, "us_per_row", 12.0, "at most")
    return _take("small", "PNGs of 2–2.5 KB", data.pngs(size.pngs), size.taken_rows, goal, folder)


def large(size: data.Size, folder: Path) -> Job:
    """JPEGs of 50 to 100 KB."""
    goal = Goal(TAKE, "seconds", 1.3, "at most", (LIMIT,))
    return _take("large", "JPEGs of 50–100 KB", data.jpegs(size.jpegs), size.taken_rows, goal, folder)


JOBS = {"small": small, "large": large}

if __name__ == "__main__":
    main("bench_take", JOBS)

"""Writing tables with images that are in memory already, beside hashing each and appending it to one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

import tableformat
from benchmarks import data, rivals
from benchmarks.harness import Goal, Job, Run, folder_bytes, main

LIMIT = "SHA-256 each, append to one file"
IMAGES = {"id": pa.int64(), "image": tableformat.ImageType(), "label": pa.string()}
BATCH = 1_000
"""Rows of one Arrow batch of images."""


def write_rows(url: str, images: Sequence[bytes], labels: Sequence[str]) -> None:
    """One version of one table, row by row."""
    with tableformat.open_store(url).draft("images") as draft, draft.table("train", schema=IMAGES) as table:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            table.append(id=number, image=tableformat.Image(image), label=label)


def write_batches(url: str, batches: Sequence[pa.RecordBatch]) -> None:
    """The same by Arrow batches that hold the bytes."""
    with tableformat.open_store(url).draft("images") as draft, draft.table("train", schema=IMAGES) as table:
        for batch in batches:
            table.extend(batch)


def as_batches(images: Sequence[bytes], labels: Sequence[str]) -> list[pa.RecordBatch]:
    """The rows as Arrow batches with a binary column."""
    return [
        pa.RecordBatch.from_pydict(
            {
                "id": pa.array(range(at, at + len(images[at : at + BATCH])), pa.int64()),
                "image": pa.array(images[at : at + BATCH], pa.binary()),
                "label": pa.array(labels[at : at + BATCH]),
            }
        )
        for at in range(0, len(images), BATCH)
    ]


def _job(name: str, what: str, images: Sequence[bytes], goals: dict[str, float]) -> Job:
    """The limit and the two ways of writing, of which those in `goals` are measured."""
    labels = data.labels(len(images))
    batches = as_batches(images, labels) if "extend" in goals else []

    def limit(run: Run) -> None:
        with run.timed():
            run.counts["rows"] = rivals.hash_and_append(run.folder, images, labels)
        run.counts["bytes_on_disk"] = folder_bytes(run.folder)

    def append(run: Run) -> None:
        with run.timed():
            write_rows(str(run.folder), images, labels)
        _count(run)

    def extend(run: Run) -> None:
        with run.timed():
            write_batches(str(run.folder), batches)
        _count(run)

    contenders = {LIMIT: limit} | {way: {"append": append, "extend": extend}[way] for way in goals}
    return Job(
        name,
        what,
        contenders,
        [Goal(way, "rows_per_second", bound, "at least", (LIMIT,)) for way, bound in goals.items()],
    )


def _count(run: Run) -> None:
    run.counts["rows"] = len(tableformat.open_store(str(run.folder))["images"]["train"])
    run.counts["bytes_on_disk"] = folder_bytes(run.folder)
    run.counts["files"] = sum(path.is_file() for path in run.folder.rglob("*"))


def small(size: data.Size, folder: Path) -> Job:
    """PNGs of 2 to 2.5 KB with an id and a label, row by row and by batches."""
    return _job(
        "small", f"{size.pngs:,} PNGs of 2–2.5 KB, id and label", data.pngs(size.pngs), {"append": 0.35, "extend": 0.6}
    )


def large(size: data.Size, folder: Path) -> Job:
    """JPEGs of 50 to 100 KB with an id and a label, row by row."""
    return _job("large", f"{size.jpegs:,} JPEGs of 50–100 KB, id and label", data.jpegs(size.jpegs), {"append": 0.6})


JOBS = {"small": small, "large": large}

if __name__ == "__main__":
    main("bench_media_write", JOBS)

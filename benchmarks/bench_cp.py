"""Copying an artifact into another store, beside the least that a safe copy of its files does: read, SHA-256, write, sync.

`shared`: into a store that has half of the images already, in packs of its own; what counts there is the bytes that move.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, folder_bytes, main

OURS = "copy_to"
LIMIT = "files"
SHARED = "copy_to, half is there"
AGAIN = "copy_to, all is there"
_CHUNK = 8 << 20


def _fill(root: Path, images: list[bytes]) -> tableformat.Store:
    store = tableformat.open_store(str(root))
    with store.draft("images") as draft, draft.table("t", {"id": int, "image": tableformat.ImageType()}) as table:
        for number, image in enumerate(images):
            table.append(id=number, image=image)
    return store


def _images(size: data.Size) -> list[bytes]:
    return [*data.pngs(size.pngs), *data.jpegs(size.jpegs)]


def _copy_files(source: Path, target: Path) -> None:
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            whole = hashlib.sha256()
            with open(Path(folder, name), "rb") as file, open(place / name, "wb") as out:
                while chunk := file.read(_CHUNK):
                    whole.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())


def push(size: data.Size, folder: Path) -> Job:
    """One version into an empty store."""
    images = _images(size)
    store = _fill(folder / "source", images)

    def ours(run: Run) -> None:
        with run.timed():
            copied = store.copy_to(str(run.folder / "target"), "images", progress=False)
        run.counts.update(rows=len(images), bytes_moved=copied.bytes_moved)

    def files(run: Run) -> None:
        with run.timed():
            _copy_files(folder / "source", run.folder / "target")
        run.counts.update(rows=len(images), bytes_moved=folder_bytes(run.folder))

    goal = Goal(OURS, "seconds", 1.25, "at most", (LIMIT,))
    return Job("push", f"{len(images):,} images, {folder_bytes(folder) >> 20} MiB", {LIMIT: files, OURS: ours}, [goal])


def shared(size: data.Size, folder: Path) -> Job:
    """One version into a store that has nothing, half, or all of its images."""
    images = _images(size)
    store = _fill(folder / "source", images)

    def into(there: list[bytes]) -> Callable[[Run], None]:
        def turn(run: Run) -> None:
            target = (
                _fill(run.folder / "target", there) if there else tableformat.open_store(str(run.folder / "target"))
            )
            with run.timed():
                copied = store.copy_to(target, "images", "copied", progress=False)
            run.counts.update(rows=len(images), bytes_moved=copied.bytes_moved, bytes_there=copied.bytes_there)

        return turn

    goals = [Goal(SHARED, "bytes_moved", 0.6, "at most", (OURS,)), Goal(AGAIN, "bytes_moved", 0.05, "at most", (OURS,))]
    contenders = {OURS: into([]), SHARED: into(images[::2]), AGAIN: into(images[::-1])}
    return Job("shared", f"{len(images):,} images", contenders, goals)


JOBS = {"push": push, "shared": shared}

if __name__ == "__main__":
    main("bench_cp", JOBS)

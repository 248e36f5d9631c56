"""A job that can be killed anywhere: `python -m tests.resuming STORE KIND ROWS` writes the rows of one kind in a session and commits.

It goes on where the last run was sealed. Seals are made as often as they can be, so that kills find many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

import tableformat
from tableformat import resumable
from tableformat.format.media.png import encode_png

CHUNK = 10_000
SESSION = "nightly-2026-11-22"


def rows_from(start: int, stop: int) -> pa.Table:
    """Rows of a table, by their numbers."""
    numbers = np.arange(start, stop)
    return pa.table(
        {"id": numbers * 7919 % 1_000_003, "text": pa.array(np.char.add("row ", numbers.astype(str))), "score": numbers / 7, "count": numbers % 100}
    )  # fmt: skip


def chunks(start: int, stop: int) -> Iterator[tuple[int, pa.Table]]:
    """Position behind each chunk, and its rows."""
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        yield last, rows_from(first, last)


def write_plain(draft: tableformat.Draft, rows: int) -> None:
    """Batches without a key; goes on by `rows_written`."""
    with draft.table("t", part_rows=min(20_000, rows // 10)) as table:
        for _, chunk in chunks(table.rows_written, rows):
            table.extend(chunk)


def write_keyed(draft: tableformat.Draft, rows: int) -> None:
    """Batches with a key whose parts are cut by it; goes on by the checkpoint."""
    with draft.table("t", key="id") as table:
        for position, chunk in chunks(table.checkpoint or 0, rows):
            table.extend(chunk, checkpoint=position)


def write_media(draft: tableformat.Draft, rows: int) -> None:
    """Images, one by one, of which every third comes again; and a second table."""
    with draft.table("t", key="id", part_rows=64) as table:
        for number in range(table.checkpoint or 0, rows):
            pixels = np.random.default_rng(number % (rows * 2 // 3)).integers(0, 256, (30, 30), np.uint8)
            table.append(id=number, image=tableformat.Image(encode_png(pixels), caption=str(number)))
            if number % 50 == 49:
                table.seal(number + 1)
    with draft.table("more") as table:
        for number in range(table.rows_written, rows):
            table.append(number=number if number < rows // 2 else number / 2)  # widens
            if number % 64 == 63:
                table.seal()
    draft.add(tableformat.Classes(["cat", "dog"]), "classes")


WRITE = {"plain": write_plain, "keyed": write_keyed, "media": write_media}


def run(root: str, kind: str, rows: int, session: str | None = SESSION) -> tableformat.Draft:
    """One run of the job, to its end."""
    store = tableformat.open_store(root)
    with store.draft("a", session=session) as draft:
        if draft.committed is None:
            WRITE[kind](draft, rows)
    return draft


if __name__ == "__main__":
    resumable.LEAST_S = 0.0  # type: ignore[misc]
    print("ready", flush=True)
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]))

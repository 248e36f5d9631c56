"""A nightly job that resumes: it scores rows for hours, may be killed at any moment, and is simply started again.

    python examples/nightly/score.py STORE [NIGHT] [--die-after BATCHES]

Every batch of scores is given with a checkpoint: how many batches came before. When the job is started again for the same night, the
draft goes on behind the last rows that were safe; a night that was committed is not scored twice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

import tableformat

BATCHES, ROWS = 20, 5_000


def score(batch: int) -> pa.Table:
    """A model at work: the scores of the inputs of one batch."""
    random = np.random.default_rng(batch)
    return pa.table({"id": np.arange(batch * ROWS, (batch + 1) * ROWS), "score": random.random(ROWS, np.float32)})


def batches(start: int) -> Iterator[tuple[int, pa.Table]]:
    """Batches from `start` on, each with the number of batches up to and including it."""
    for batch in range(start, BATCHES):
        yield batch + 1, score(batch)


def main(root: str, night: str = "2026-11-22", die_after: int | None = None) -> None:
    """Score what is left of a night, and commit."""
    store = tableformat.open_store(root)
    producer = {"run": night, "job_type": "score"}
    with (
        store.draft("scores", session=f"nightly-{night}", producer=producer) as draft,
        draft.table("scores", key="id") as table,
    ):
        start = table.checkpoint or 0
        print(f"{start} of {BATCHES} batches are there, {table.rows_written} rows")
        for done, rows in batches(start):
            table.extend(rows, checkpoint=done)
            if done % 5 == 0:
                table.seal(done)  # by itself it seals about every minute; this job is over sooner
            if done == die_after:
                os.kill(os.getpid(), 9)
    print(f"{draft.committed}" if draft.created else f"{draft.committed}: was there already")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    last = int(arguments.pop()) if "--die-after" in arguments else None
    main(*(argument for argument in arguments if argument != "--die-after"), die_after=last)

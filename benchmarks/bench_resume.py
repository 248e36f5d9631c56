"""Sessions: what seals cost a writer that is never killed, and what going on costs one that was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tableformat
from benchmarks import data
from benchmarks.harness import Goal, Job, Run, main


def _write(table: tableformat.TableWriter, rows: int, *, checkpoints: bool) -> None:
    done = 0
    for batch in data.iter_prediction_batches(rows):
        done += batch.num_rows
        if checkpoints:
            table.extend(batch, checkpoint=done)
        else:
            table.extend(batch)


def _turn(rows: int, key: str | None, session: str | None, *, checkpoints: bool = False) -> Callable[[Run], None]:
    def write(run: Run) -> None:
        store = tableformat.open_store(run.folder)
        with run.timed(), store.draft("a", session=session) as draft, draft.table("t", key=key) as table:
            _write(table, rows, checkpoints=checkpoints)
        run.counts.update(rows=store["a"]["t"].num_rows)

    return write


def _sealing(name: str, key: str | None, rows: int) -> Job:
    contenders = {
        "without": _turn(rows, key, None),
        "session": _turn(rows, key, "s"),
        "checkpoints": _turn(rows, key, "s", checkpoints=True),
    }
    goals = [Goal(one, "seconds", 1.05, "at most", ("without",)) for one in ("session", "checkpoints")]
    what = f"{rows:,} predictions by Arrow batches{' with a key' if key else ''}: without a session, in one, with a checkpoint for each batch"
    return Job(name, what, contenders, goals)


def batches(size: data.Size, folder: Path) -> Job:
    """Rows without a key, in large parts."""
    return _sealing("batches", None, size.batch_rows)


def keyed(size: data.Size, folder: Path) -> Job:
    """Rows with a key, in many small parts."""
    return _sealing("keyed", "id", size.batch_rows)


def resume(size: data.Size, folder: Path) -> Job:
    """A session with all rows sealed is opened, and its table goes on: the log, the footers, the keys and the last block are read."""
    rows = size.batch_rows

    def turn(key: str | None) -> Callable[[Run], None]:
        def again(run: Run) -> None:
            store = tableformat.open_store(run.folder)
            try:
                with store.draft("a", session="s") as draft, draft.table("t", key=key) as table:
                    _write(table, rows, checkpoints=True)
                    table.seal(rows)
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                pass
            with run.timed():
                draft = store.draft("a", session="s")
                table = draft.table("t", key=key)
                run.counts.update(rows=table.rows_written)
            draft.discard()

        return again

    goals = [Goal("without a key", "seconds", 0.25, "at most")]
    return Job(
        "resume",
        f"a session of {rows:,} sealed rows is gone on with",
        {"without a key": turn(None), "with a key": turn("id")},
        goals,
    )


JOBS = {"batches": batches, "keyed": keyed, "resume": resume}

if __name__ == "__main__":
    main("bench_resume", JOBS)

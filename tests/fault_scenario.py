"""What a writer does, from the first draft to a second version, and how it is stopped: by a failing call, or by SIGKILL.

Run in the process of the test, or in another that may die.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

import tableformat
from tableformat.context import StoreContext
from tableformat.storage.backend import open_backend
from tableformat.store import Store
from tableformat.testing import FaultBackend

__all__ = [
    "FIRST",
    "MORE",
    "NAME",
    "SCHEMA",
    "SECOND",
    "When",
    "add_rows",
    "commit_alone",
    "killed",
    "open_with_faults",
    "read_rows",
    "run",
]

NAME = "runs"
SCHEMA = {"id": pa.int64(), "image": tableformat.ImageType()}
FIRST = range(6)
SECOND = range(4, 12)
MORE = range(20, 23)
When = Literal["before", "after", "short"]


def open_with_faults(root: str | Path) -> tuple[Store, FaultBackend]:
    """The store at `root`, and the backend through which it is used."""
    backend = FaultBackend(open_backend(str(root)))
    return Store(StoreContext(backend, None)), backend


def add_rows(draft: Any, name: str, ids: range, **options: Any) -> None:
    """A table with a picture of 3 KB for each id."""
    with draft.table(name, SCHEMA, key="id", **options) as table:
        for row in ids:
            table.append(id=row, image=np.random.default_rng(row).integers(0, 255, (32, 32, 3), np.uint8))


def run(store: Store) -> None:
    """Two versions, an alias, and everything read back."""
    with store.draft(NAME, message="first") as draft:
        add_rows(draft, "first", FIRST)
    store.set_alias(NAME, "best", "v0")
    with store.draft(NAME, base="latest", message="second") as draft:
        add_rows(draft, "second", SECOND)
        add_rows(draft, "first", MORE, mode="append")
    read_rows(store, "latest", "first")
    read_rows(store, "best", "first")
    read_rows(store, "v1", "second")


def read_rows(store: Store, version: str, name: str) -> list[tuple[int, str]]:
    """The ids of a table and the digests of its pictures, all bytes read."""
    table = store[f"{NAME}:{version}" if version != "latest" else NAME][name]
    return [(row["id"], tableformat.Image(row["image"].bytes()).digest) for row in table.rows()]


def killed(root: str, nth: int, when: Literal["before", "after"]) -> None:
    """Run the scenario and die by SIGKILL at its nth call of the backend that changes something."""
    store, backend = open_with_faults(root)

    def die() -> BaseException:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    calls = 0
    meet = backend._due

    def due(operation: str, path: str) -> Any:
        nonlocal calls
        if operation in ("create", "put", "overwrite", "sink.write", "sink.commit", "delete"):
            calls += 1
            if calls == nth:
                backend.fail(operation, 1, when, error=die)
        return meet(operation, path)

    backend._due = due  # type: ignore[method-assign]  # counts what changes something, whatever it is
    run(store)


def commit_alone(root: str, name: str, barrier: Any, base: str | None, rounds: int) -> None:
    """Commit a version with one table of its own in each round, at the same time as others that wait at `barrier`."""
    store = tableformat.open_store(root)
    for number in range(rounds):
        draft = store.draft(NAME, base=base)
        with draft.table(f"{name}-{number}") as table:
            table.append(id=number, who=name)
        barrier.wait(60)
        draft.commit()

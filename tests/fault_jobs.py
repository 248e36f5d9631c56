"""Small jobs that change a store, each stopped at every call of its backend: by a failing call, or by SIGKILL.

A job has a folder with two stores: `store`, whose backend fails, and `other`. Before it, both hold versions that must stay as they
are. The same functions run in the process of the test, and in others that may die.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tableformat
from tableformat import col
from tableformat.context import StoreContext
from tableformat.erasure import ErasureReport
from tableformat.errors import TableformatError
from tableformat.storage.backend import open_backend
from tableformat.storage.interface import TEMPORARY_PREFIX
from tableformat.store import Store
from tableformat.testing import FaultBackend

__all__ = [
    "CHANGING",
    "JOBS",
    "KillWhen",
    "State",
    "check_job",
    "killed_at",
    "open_faulty",
    "prepare",
    "run_alone",
    "state_of",
]

SCHEMA = {"id": pa.int64(), "image": tableformat.ImageType()}
CHANGING = ("create", "put", "overwrite", "sink.write", "sink.commit", "delete")
KillWhen = Literal["before", "torn", "after"]
State = dict[str, dict[int, tuple[str, str]]]
"""By store and artifact, message and content digest of each of its versions that was not deleted, by slot."""
GONE = 1
"""The row that is erased."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is there before, and what is done then."""

    prepare: Callable[[tableformat.Store, tableformat.Store], None]
    run: Callable[[tableformat.Store, tableformat.Store], None]
    is_done: Callable[[tableformat.Store, tableformat.Store], bool] = lambda store, other: True
    """Whether nothing is left to do, beside the versions."""


def _rows(draft: Any, name: str, ids: range, **options: Any) -> None:
    with draft.table(name, SCHEMA, key="id", **options) as table:
        for row in ids:
            table.append(id=row, image=_picture(row))


def _picture(row: int) -> Any:
    return np.random.default_rng(row).integers(0, 255, (24, 24, 3), np.uint8)


def _first(store: tableformat.Store, other: tableformat.Store) -> None:
    with store.draft("a", message="first") as draft:
        _rows(draft, "t", range(4))


def _write(store: tableformat.Store, other: tableformat.Store) -> None:
    with store.draft("a", message="whole") as draft:
        draft.add(tableformat.Classes(["cat"]), "classes")
        _rows(draft, "t", range(2, 5))
    store.set_alias("a", "best", "v1")


def _append(store: tableformat.Store, other: tableformat.Store) -> None:
    with store.draft("a", base="latest", message="more") as draft:
        _rows(draft, "t", range(10, 12), mode="append")
    assert [row["id"] for row in store["a"]["t"].rows()] == [0, 1, 2, 3, 10, 11]


def _edit(store: tableformat.Store, other: tableformat.Store) -> None:
    with store.draft("a", base="latest", message="edit") as draft:
        draft.upsert("t", [{"id": 1, "image": np.zeros((4, 4, 3), np.uint8)}])
        draft.delete("t", col("id") == 2)
        draft.add_column("t", "score", pa.float64(), 0.5)


def _many(store: tableformat.Store, other: tableformat.Store) -> None:
    _first(store, other)
    for number in range(2):
        with store.draft("a", base="latest", message=f"more {number}") as draft:
            _rows(draft, "t", range(10 * number + 10, 10 * number + 13), mode="append")
    with store.draft("a", base="latest", message="fewer") as draft:
        draft.delete("t", col("id") < 2)


def _compact(store: tableformat.Store, other: tableformat.Store) -> None:
    store.compact("a", plain=True, message="compacted")


def _elsewhere(store: tableformat.Store, other: tableformat.Store) -> None:
    """The other store holds two versions, and this one some of its pictures."""
    _first(other, store)
    with other.draft("a", base="latest", message="more") as draft:
        _rows(draft, "more", range(3, 6))
    other.set_alias("a", "best", "v0")
    with store.draft("mine", message="mine") as draft:
        _rows(draft, "t", range(2))


def _push(store: tableformat.Store, other: tableformat.Store) -> None:
    other.copy_to(store, "a", workers=1, progress=False)
    assert store.aliases("a") == {"best": "v0"}


def _pull(store: tableformat.Store, other: tableformat.Store) -> None:
    store.copy_to(other, "a", workers=1, progress=False)


def _push_rows(store: tableformat.Store, other: tableformat.Store) -> None:
    with store.draft("few", message="some") as draft:
        draft.add(other["a:v1"]["t"].where(col("id") > 1), "t")


def _garbage(store: tableformat.Store, other: tableformat.Store) -> None:
    """Versions of which the first ones expired, packs of which little is needed, and what a writer left that gave up."""
    _many(store, other)
    with store.draft("b", message="one picture") as draft:
        _rows(draft, "t", range(3, 4))
    with contextlib.suppress(ZeroDivisionError), store.draft("c") as draft:
        _rows(draft, "t", range(30, 33))
        raise ZeroDivisionError
    with store.draft("a", message="anew") as draft:
        _rows(draft, "t", range(50, 52))
    store.expire("a", keep_last=1)


def _collect(store: tableformat.Store, other: tableformat.Store) -> None:
    for _ in range(2):  # the second plan sees what the first one left, such as a collection that broke off
        store.gc(dry_run=False, grace=0, exclusive=True, repack=0.9)


def _is_collected(store: tableformat.Store, other: tableformat.Store) -> bool:
    report = store.gc(grace=0, exclusive=True)
    return (report.state, report.total("condemned").objects) == ("clean", 0)


def _expire(store: tableformat.Store, other: tableformat.Store) -> None:
    store.expire("a", keep_last=2)


def _personal(store: tableformat.Store, other: tableformat.Store) -> None:
    """Rows in several versions, in a copy of the table, and in a version that expired before."""
    _first(store, other)
    with store.draft("a", base="latest", message="more") as draft:
        _rows(draft, "t", range(10, 12), mode="append")
    with store.draft("copy", message="a copy") as draft:
        draft.add(store["a:v0"]["t"], "t")
    with store.draft("copy", message="another") as draft:
        _rows(draft, "t", range(70, 71))
    store.expire("copy", versions=["v0"])
    with store.draft("copy", message="a part") as draft:
        draft.add(store["a:v1"]["t"], "mine")


def _digest() -> str:
    return tableformat.Image(_picture(GONE)).digest


def _all_gone(report: ErasureReport) -> None:
    """A report that tells what is left says, as an error does, that the job is not done."""
    if not report.ok:
        raise TableformatError(f"left: {report.left}")


def _erase_media(store: tableformat.Store, other: tableformat.Store) -> None:
    _all_gone(store.erase(_digest()))


def _erase_rows(store: tableformat.Store, other: tableformat.Store) -> None:
    _all_gone(store.erase(table="a/t", keys=[GONE]))


def _is_media_erased(store: tableformat.Store, other: tableformat.Store) -> bool:
    report = store.erase(_digest(), dry_run=True)
    data = tableformat.Image(_picture(GONE)).bytes()
    return not report.digests and not any(data in path.read_bytes() for path in _files(store))


def _is_row_erased(store: tableformat.Store, other: tableformat.Store) -> bool:
    parts = [pq.read_table(path) for path in Path(store.root, "data").glob("*.parquet")]
    held = any(GONE in part.column("id").to_pylist() for part in parts if "id" in part.column_names)
    report = store.erase(table="a/t", keys=[GONE], dry_run=True)
    return not held and (report.rows, report.files) == (0, 0) and _is_media_erased(store, other)


def _files(store: tableformat.Store) -> list[Path]:
    return [path for path in Path(store.root).rglob("*") if path.is_file()]


def _roll_back(store: tableformat.Store, other: tableformat.Store) -> None:
    store.rollback("a", "v0", "back")


JOBS = {
    "write": Job(_first, _write), "append": Job(_first, _append), "edit": Job(_first, _edit), "compact": Job(_many, _compact),
    "push": Job(_elsewhere, _push), "pull": Job(_many, _pull), "rollback": Job(_many, _roll_back), "push rows": Job(_elsewhere, _push_rows),
    "expire": Job(_many, _expire), "gc": Job(_garbage, _collect, _is_collected),
    "erase media": Job(_personal, _erase_media, _is_media_erased), "erase rows": Job(_personal, _erase_rows, _is_row_erased),
}  # fmt: skip


def prepare(name: str, folder: Path) -> None:
    """Make the stores of a job as they are before it."""
    JOBS[name].prepare(*_stores(folder))


def _stores(folder: Path) -> tuple[tableformat.Store, tableformat.Store]:
    return tableformat.open_store(folder / "store"), tableformat.open_store(folder / "other")


def open_faulty(folder: Path) -> tuple[Store, FaultBackend]:
    """The store of a job, and the backend through which it is used."""
    backend = FaultBackend(open_backend(str(folder / "store")))
    return Store(StoreContext(backend, None)), backend


def run_alone(name: str, folder: Path, store: tableformat.Store | None = None) -> None:
    """Run a job, on the store as anybody opens it where none is given."""
    JOBS[name].run(store or tableformat.open_store(folder / "store"), tableformat.open_store(folder / "other"))


def state_of(folder: Path) -> State:
    """What both stores hold, every byte of it verified."""
    found: State = {}
    for which in ("store", "other"):
        if not (folder / which / "tableformat.json").exists():
            continue
        store = tableformat.open_store(folder / which, create=False)
        for artifact in store:
            versions = store.versions(artifact)
            for version in versions:
                assert store.verify(f"{artifact}:v{version.slot}", workers=1).problems == ()
            found[f"{which}/{artifact}"] = {
                version.slot: (version.message, store[f"{artifact}:v{version.slot}"].content_digest)
                for version in versions
            }
    return found


def check_job(name: str, folder: Path, before: State, after: State, *, finished: bool) -> None:
    """Whatever became of a job: what was there is there, but for what it deletes; what is new is what an undisturbed run makes, and
    came in that order; and a further run completes it."""
    found = state_of(folder)
    for key, versions in found.items():
        old, new = before.get(key, {}), after[key]
        assert versions
        assert all(versions[slot] == (new.get(slot) or old.get(slot)) for slot in versions)
        assert all(slot in versions for slot in new if slot in old or slot < max(versions))
    assert found.keys() >= before.keys()
    is_done = JOBS[name].is_done(*_stores(folder))
    assert not finished or (found == after and is_done)
    if found != after or not is_done:
        run_alone(name, folder)
        assert state_of(folder) == after
        assert JOBS[name].is_done(*_stores(folder))


def killed_at(name: str, folder: str, nth: int, when: KillWhen) -> None:
    """Run a job and die by SIGKILL at its nth call that changes something: before it, half way, or after it. `nth` 0: never."""
    store, backend = open_faulty(Path(folder))

    def die() -> BaseException:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    calls, meet = 0, backend._due

    def due(operation: str, path: str) -> Any:
        nonlocal calls
        if operation in CHANGING:
            calls += 1
            if calls == nth and when == "torn" and operation != "sink.write":
                # Half of a document never has its name; what lies there is the file that would have got it.
                place = Path(folder, "store", path).with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-torn")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(b'{"half":')
                die()
            if calls == nth:
                backend.fail(operation, 1, "short" if when == "torn" else when, error=die)
        return meet(operation, path)

    backend._due = due  # type: ignore[method-assign]  # counts what changes something, whatever it is
    run_alone(name, Path(folder), store)


def copy_folder(source: Path, target: Path) -> Path:
    """The stores of a job, as they were prepared."""
    shutil.copytree(source, target)
    return target

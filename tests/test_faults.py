"""Every call of the backend fails once, and a writer is killed at every one that changes something.

The outcome is success or one of our errors; the store opens, every version in it verifies clean and is what was written, and
the next writer goes on.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.errors import TableformatError
from tableformat.storage.backend import open_backend
from tableformat.verify import verify_version
from tests.fault_scenario import FIRST, NAME, SECOND, When, add_rows, commit_alone, killed, open_with_faults, read_rows, run

CHANGING = ("create", "put", "overwrite", "writer", "sink.write", "sink.commit")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an undisturbed run makes: its calls, and its rows."""
    store, backend = open_with_faults(tmp_path_factory.mktemp("faults") / "store")
    run(store)
    return {"calls": [operation for operation, _ in backend.calls], "first": read_rows(store, "v0", "first"), "second": read_rows(store, "v1", "second")}


def check_store(root: Path, written: dict[str, Any], *, finished: bool) -> int:
    """The invariants of a store after anything; returns how many versions there are."""
    store = tableformat.open_store(root)
    versions = store.versions(NAME) if NAME in store.artifacts() else []
    assert [version.slot for version in versions] == list(range(len(versions)))
    assert [version.message for version in versions] == ["first", "second"][: len(versions)]
    for version in versions:
        assert verify_version(open_backend(str(root)), NAME, version.slot, workers=1).problems == ()
        assert read_rows(store, f"v{version.slot}", "first") == written["first"]
    if len(versions) > 1:
        assert read_rows(store, "v1", "second") == written["second"]
    assert not finished or len(versions) == 2
    with store.draft("next") as draft:
        add_rows(draft, "first", range(2))
    assert len(store["next"]["first"]) == 2
    return len(versions)


def disturb(root: Path, written: dict[str, Any], operation: str, nth: int, when: When) -> bool:
    """Run with one failure; returns whether the run came to its end."""
    store, backend = open_with_faults(root)
    backend.fail(operation, nth, when)
    try:
        run(store)
        finished = True
    except TableformatError:
        finished = False
    check_store(root, written, finished=finished)
    return finished


def points(calls: list[str], whens: tuple[When, ...]) -> Iterator[tuple[str, int, When]]:
    """Each call of a run as (operation, which of its sort, how it fails)."""
    seen: dict[str, int] = {}
    for operation in calls:
        seen[operation] = seen.get(operation, 0) + 1
        for when in whens:
            yield operation, seen[operation], when


def test_every_call_may_fail(written: dict[str, Any], tmp_path: Path) -> None:
    """Each call of the backend fails once, in one of three ways in turn: success or our error, and the store is whole."""
    everything = list(points(written["calls"], ("before", "after", "short")))
    chosen = [everything[3 * at + at % 3] for at in range(len(everything) // 3)]
    ended = [disturb(tmp_path / str(number), written, *point) for number, point in enumerate(chosen)]
    assert any(ended)
    assert not all(ended)


@pytest.mark.long
def test_every_call_may_fail_in_every_way(written: dict[str, Any], tmp_path: Path) -> None:
    """Each call fails in each of the three ways."""
    for number, point in enumerate(points(written["calls"], ("before", "after", "short"))):
        disturb(tmp_path / str(number), written, *point)


def test_lost_answers_are_no_lost_versions(written: dict[str, Any], tmp_path: Path) -> None:
    """Where the answer to a commit is lost, the version is there and the writer says so."""
    for number in (1, 2, 3):
        assert disturb(tmp_path / str(number), written, "create", number, "after")


def start_server() -> Any:
    """Processes that are forked from one which has imported everything and started no thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fault_scenario"])
    return context


def kill_at(root: Path, points: list[tuple[int, Any]]) -> list[int | None]:
    """Run one process for each point, two at a time; gives their exit codes."""
    context = start_server()
    processes = [context.Process(target=killed, args=(str(root / f"{nth}-{when}"), nth, when)) for nth, when in points]
    for at in range(0, len(processes), 2):
        for process in processes[at : at + 2]:
            process.start()
        for process in processes[at : at + 2]:
            process.join(60)
    return [process.exitcode for process in processes]


def test_writers_may_be_killed_anywhere(written: dict[str, Any], tmp_path: Path) -> None:
    """A writer that dies before or after each call that changes something leaves a store in which nothing is half there."""
    count = sum(operation in CHANGING and operation != "writer" for operation in written["calls"])
    assert 2 * count >= 60
    chosen: list[tuple[int, Any]] = [(nth, when) for nth in range(1, count + 1) for when in ("before", "after")]
    codes = kill_at(tmp_path, chosen)
    assert codes.count(-signal.SIGKILL) >= 60
    assert set(codes) <= {-signal.SIGKILL, 0}  # 0: another order of calls had fewer of them
    found = [check_store(tmp_path / f"{nth}-{when}", written, finished=code == 0) for (nth, when), code in zip(chosen, codes, strict=True)]
    assert set(found) == {0, 1, 2}


@pytest.mark.parametrize("base", [None, "latest"])
def test_two_processes_that_commit_at_once_make_two_versions(tmp_path: Path, base: str | None) -> None:
    """No version is lost: each round gives two, and with a base the second holds what the first added."""
    context, rounds = start_server(), 5
    store = tableformat.open_store(tmp_path / "store")
    with store.draft(NAME) as draft:
        add_rows(draft, "first", FIRST)
    barrier = context.Barrier(2)
    processes = [context.Process(target=commit_alone, args=(store.root, name, barrier, base, rounds)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    versions = store.versions(NAME)
    assert len(versions) == 1 + 2 * rounds
    assert all(verify_version(open_backend(store.root), NAME, version.slot, workers=1).ok for version in versions)
    tables = {f"{name}-{number}" for name in "ab" for number in range(rounds)}
    if base is not None:
        assert set(store[NAME]) == {"first", *tables}
    else:
        assert {name for version in versions[1:] for name in store[f"{NAME}:v{version.slot}"]} == tables


def test_scenario_is_what_it_says(written: dict[str, Any]) -> None:
    """The undisturbed run writes two versions of the ids that it names, sharing the pictures that both hold."""
    assert [row for row, _ in written["first"]] == list(FIRST)
    assert [row for row, _ in written["second"]] == list(SECOND)
    assert written["first"][4:] == written["second"][:2]

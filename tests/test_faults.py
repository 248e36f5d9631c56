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
from tests.fault_scenario import (
    FIRST,
    MORE,
    NAME,
    SECOND,
    When,
    add_rows,
    commit_alone,
    killed,
    open_with_faults,
    read_rows,
    run,
)
from tests.figures import note

FEW = 5
"""Of the many writes into a stream, which are much alike, one in this many is disturbed by default."""
CHANGING = ("create", "put", "overwrite", "writer", "sink.write", "sink.commit")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an undisturbed run makes: its calls, and its rows."""
    store, backend = open_with_faults(tmp_path_factory.mktemp("faults") / "store")
    run(store)
    return {
        "calls": [operation for operation, _ in backend.calls],
        "first": read_rows(store, "v0", "first"),
        "grown": read_rows(store, "v1", "first"),
        "second": read_rows(store, "v1", "second"),
    }


def check_store(root: Path, written: dict[str, Any], *, finished: bool) -> int:
    """The invariants of a store after anything; returns how many versions there are."""
    store = tableformat.open_store(root)
    versions = store.versions(NAME) if NAME in store.artifacts() else []
    assert [version.slot for version in versions] == list(range(len(versions)))
    assert [version.message for version in versions] == ["first", "second"][: len(versions)]
    for version in versions:
        assert verify_version(open_backend(str(root)), NAME, version.slot, workers=1).problems == ()
        assert read_rows(store, f"v{version.slot}", "first") == written["grown" if version.slot else "first"]
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


def points(calls: list[str]) -> Iterator[list[tuple[str, int, When]]]:
    """For each call of a run, the ways in which it may fail: operation, which of its sort, when."""
    seen: dict[str, int] = {}
    for operation in calls:
        seen[operation] = seen.get(operation, 0) + 1
        # A document that is created, put or overwritten is there whole or not at all: that much a backend promises.
        whens: tuple[When, ...] = ("before", "after") if operation in CHANGING else ("before", "after", "short")
        yield [(operation, seen[operation], when) for when in whens]


def test_every_call_may_fail(written: dict[str, Any], tmp_path: Path) -> None:
    """Each call of the backend fails once, before or after it took effect, or reading too little, in turn: success or our error, and the store is whole."""
    chosen = [ways[number % len(ways)] for number, ways in enumerate(points(written["calls"]))]
    chosen = [point for point in chosen if point[0] != "sink.write" or point[1] % FEW == 0]
    ended = [disturb(tmp_path / str(number), written, *point) for number, point in enumerate(chosen)]
    assert any(ended)
    assert not all(ended)


@pytest.mark.long
def test_every_call_may_fail_in_every_way(written: dict[str, Any], tmp_path: Path) -> None:
    """Each call fails in each way that it may: most of them end the run."""
    all_points = [point for ways in points(written["calls"]) for point in ways]
    ended = [disturb(tmp_path / str(number), written, *point) for number, point in enumerate(all_points)]
    note("faults of a writer of two versions", points=len(ended), finished=sum(ended))
    assert not all(ended)


def test_lost_answers_are_no_lost_versions(written: dict[str, Any], tmp_path: Path) -> None:
    """Where the answer to a commit, or to the move of an alias, is lost, it took place and the writer says so."""
    for number, path in enumerate(("v0", "v1", "aliases")):
        store, backend = open_with_faults(tmp_path / str(number))
        nth, where = (int(path[1:]) + 1, "/versions/") if path != "aliases" else (1, "/aliases/")
        backend.fail("create", nth, "after", path=where)
        run(store)
        assert backend.faults == []
        assert check_store(tmp_path / str(number), written, finished=True) == 2


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


def check_kills(root: Path, written: dict[str, Any], chosen: list[tuple[int, Any]]) -> int:
    """Kill a process at each point, and check what each left; returns how many died there."""
    codes = kill_at(root, chosen)
    assert codes.count(-signal.SIGKILL) >= min(60, len(chosen) - 5)
    assert set(codes) <= {-signal.SIGKILL, 0}  # 0: another order of calls had fewer of them
    found = [
        check_store(root / f"{nth}-{when}", written, finished=code == 0)
        for (nth, when), code in zip(chosen, codes, strict=True)
    ]
    assert set(found) == {0, 1, 2}
    return codes.count(-signal.SIGKILL)


def changes(written: dict[str, Any]) -> list[str]:
    return [operation for operation in written["calls"] if operation in CHANGING and operation != "writer"]


def test_writers_may_be_killed_anywhere(written: dict[str, Any], tmp_path: Path) -> None:
    """A writer that dies before or after a call that changes something leaves a store in which nothing is half there."""
    numbered = list(enumerate(changes(written), start=1))
    few = [(nth, "before") for nth, operation in numbered if operation != "sink.write" or nth % FEW == 0]
    # After a call is before the next one, but for what the writer would have done between.
    check_kills(
        tmp_path, written, [*few, *((nth, "after") for nth, operation in numbered if operation != "sink.write")]
    )


@pytest.mark.long
def test_writers_may_be_killed_before_and_after_everything(written: dict[str, Any], tmp_path: Path) -> None:
    """The same before and after each call."""
    every = [(nth, when) for nth in range(1, len(changes(written)) + 1) for when in ("before", "after")]
    died = check_kills(tmp_path, written, every)
    note("kills of a writer of two versions", points=len(every), died=died)
    assert died >= len(every) - 5


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
    assert [row for row, _ in written["grown"]] == [*FIRST, *MORE]
    assert [row for row, _ in written["second"]] == list(SECOND)
    assert written["first"][4:] == written["second"][:2]

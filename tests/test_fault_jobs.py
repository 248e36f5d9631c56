"""Each call of the backend fails once, and each that changes something is the last one of its process, in jobs that change a store.

Whatever becomes of a job: success, or one of our errors; the stores can be read, what was committed is there and verifies clean, and
running the job again completes it.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.errors import StoreUnavailableError, TableformatError
from tests.fault_jobs import (
    CHANGING,
    JOBS,
    State,
    check_job,
    copy_folder,
    killed_at,
    open_faulty,
    prepare,
    run_alone,
    state_of,
)
from tests.figures import note

DISTURBED = 5
"""Points of each job that are disturbed by default."""
KILLS = 3
"""Kills of each job by default."""
KILLED = tuple(name for name in JOBS if name != "pull")  # which changes the other store
RANDOMLY = ("write", "append", "compact", "push", "gc", "erase rows")
RANDOM_KILLS = 200
"""Kills at random times, of each sort of job, in the long form."""


@pytest.fixture(scope="module", params=JOBS)
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job, its stores before it, and what an undisturbed run calls and makes."""
    return make_job(request.param, tmp_path_factory.mktemp("job"))


def make_job(name: str, folder: Path) -> dict[str, Any]:
    prepare(name, folder / "before")
    store, backend = open_faulty(copy_folder(folder / "before", folder / "after"))
    run_alone(name, folder / "after", store)
    calls = [operation for operation, _ in backend.calls]
    return {
        "name": name,
        "folder": folder,
        "calls": calls,
        "before": state_of(folder / "before"),
        "after": state_of(folder / "after"),
    }


def points(calls: list[str]) -> Iterator[tuple[str, int, Any]]:
    """Every call in every way: not arrived, timed out, answer lost, cut off (where a backend does not promise the whole), slow."""
    seen: dict[str, int] = {}
    for operation in calls:
        seen[operation] = seen.get(operation, 0) + 1
        for when in ("before", "timeout", "after", "slow", *(() if operation in CHANGING else ("short",))):
            yield operation, seen[operation], when


def disturb(job: dict[str, Any], folder: Path, operation: str, nth: int, when: Any) -> bool:
    """Run with one failure; returns whether the run came to its end."""
    store, backend = open_faulty(copy_folder(job["folder"] / "before", folder))
    if when == "timeout":
        backend.fail(operation, nth, "before", error=lambda: StoreUnavailableError("timed out"))
    else:
        backend.fail(operation, nth, when)
    try:
        run_alone(job["name"], folder, store)
        finished = True
    except TableformatError:
        finished = False
    assert finished or when != "slow"
    check_job(job["name"], folder, job["before"], job["after"], finished=finished)
    return finished


def test_calls_may_fail(job: dict[str, Any], tmp_path: Path) -> None:
    """Some calls of each job, spread over it, fail in one way after the other."""
    every = list(points(job["calls"]))
    chosen = random.Random(job["name"]).sample(every, DISTURBED)
    ended = [disturb(job, tmp_path / str(number), *point) for number, point in enumerate(chosen)]
    assert len(ended) == DISTURBED


@pytest.mark.long
def test_every_call_may_fail_in_every_way(job: dict[str, Any], tmp_path: Path) -> None:
    """Every call of each job fails in every way."""
    every = list(points(job["calls"]))
    ended = [disturb(job, tmp_path / str(number), *point) for number, point in enumerate(every)]
    note(f"faults, {job['name']}", points=len(ended), finished=sum(ended))
    assert any(ended)


# Kills


def start_server() -> Any:
    """Processes that are forked from one which has imported everything and started no thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fault_jobs", "tableformat.staging", "tableformat.copying.copy"])
    return context


def kill(job: dict[str, Any], folder: Path, nth: int, when: Any) -> bool:
    """Run the job in a process that dies; returns whether it came to its end before."""
    copy_folder(job["folder"] / "before", folder)
    process = start_server().Process(target=killed_at, args=(job["name"], str(folder), nth, when))
    process.start()
    process.join(600)
    assert process.exitcode in (0, -signal.SIGKILL)
    check_job(job["name"], folder, job["before"], job["after"], finished=process.exitcode == 0)
    return process.exitcode == 0


def changing(job: dict[str, Any]) -> int:
    return sum(operation in CHANGING for operation in job["calls"])


def test_jobs_may_be_killed(job: dict[str, Any], tmp_path: Path) -> None:
    """Each job dies before, within and after some call that changes something, and is gone on with."""
    if job["name"] not in KILLED:
        assert changing(job) == 0
        return
    numbers = random.Random(job["name"]).sample(range(1, changing(job) + 1), min(KILLS, changing(job)))
    ended = [
        kill(job, tmp_path / str(nth), nth, ("before", "torn", "after")[place % 3]) for place, nth in enumerate(numbers)
    ]
    assert not all(ended)


@pytest.mark.long
@pytest.mark.parametrize("job", KILLED, indirect=True)
def test_jobs_may_be_killed_at_every_change(job: dict[str, Any], tmp_path: Path) -> None:
    """Before, within and after every call that changes something."""
    every = [(nth, when) for nth in range(1, changing(job) + 1) for when in ("before", "torn", "after")]
    ended = [kill(job, tmp_path / f"{nth}-{when}", nth, when) for nth, when in every]
    note(f"kills, {job['name']}", points=len(ended), died=len(ended) - sum(ended))
    assert sum(ended) <= len(ended) // 10  # another order of calls had fewer of them


@pytest.mark.long
@pytest.mark.parametrize("job", RANDOMLY, indirect=True)
def test_jobs_may_be_killed_at_any_time(job: dict[str, Any], tmp_path: Path) -> None:
    """200 kills of each sort of job at random times of its run."""
    moments, died, seconds = random.Random(job["name"]), 0, 600.0
    for number in range(RANDOM_KILLS + 1):  # the first one is not killed, and tells how long a run takes
        folder = copy_folder(job["folder"] / "before", tmp_path / str(number))
        process = start_server().Process(target=killed_at, args=(job["name"], str(folder), 0, "before"))
        began = time.monotonic()
        process.start()
        timer = threading.Timer(moments.random() * seconds if number else seconds, process.kill)
        timer.start()
        process.join(600)
        timer.cancel()
        assert process.exitcode in (0, -signal.SIGKILL)
        if process.exitcode == 0:
            seconds = time.monotonic() - began
        died += process.exitcode != 0
        check_job(job["name"], folder, job["before"], job["after"], finished=process.exitcode == 0)
        shutil.rmtree(folder)
    note(f"kills at random times, {job['name']}", points=RANDOM_KILLS, died=died)
    assert died >= RANDOM_KILLS // 4


def test_jobs_are_what_they_say(job: dict[str, Any]) -> None:
    """An undisturbed job changes one of the stores, and none of the versions that it does not delete."""
    before: State = job["before"]
    after: State = job["after"]
    assert job["calls"]
    assert before != after or job["name"] in ("gc", "erase media")
    for key, versions in before.items():
        assert all(after[key].get(slot, version) == version for slot, version in versions.items())
    assert JOBS[job["name"]].is_done(
        *(tableformat.open_store(job["folder"] / "after" / which) for which in ("store", "other"))
    )

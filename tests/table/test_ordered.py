"""Tasks by a few threads: in order, within a budget, on threads that all scans of a process share."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tableformat.table import ordered
from tableformat.table.ordered import run_ordered


def names(count: int) -> Iterator[tuple[Callable[[], str], float]]:
    """Tasks that say which thread they ran in."""

    def task() -> str:
        time.sleep(0.001)
        return threading.current_thread().name

    return ((task, 1.0) for _ in range(count))


def scan_threads() -> int:
    return sum(thread.name.startswith("tableformat-") for thread in threading.enumerate())


@pytest.mark.parametrize("threads", [None, 1, 5])
def test_results_come_in_the_order_of_the_tasks(threads: int | None) -> None:
    """However long each takes, and whichever thread it has."""

    def task(number: int) -> Callable[[], int]:
        return lambda: (time.sleep(0.003 * (number % 3)), number)[1]

    found = list(run_ordered(((task(n), 1.0) for n in range(40)), 4.0, threads))
    assert found == list(range(40))


def test_scans_under_way_share_their_threads() -> None:
    """Two at once run on one pool, as many threads as there are cores but at most four; the last to end ends it."""
    one, other = run_ordered(names(30), 4.0), run_ordered(names(30), 4.0)
    first = [next(one), next(other)]
    found = {*first, *one, *other}
    assert 1 <= len(found) <= 4
    assert len({name.rsplit("_", 1)[0] for name in found}) == 1
    assert ordered._decoders._pool is None


def test_a_single_task_takes_no_thread() -> None:
    """It runs in the thread that asks."""
    assert list(run_ordered(names(1), 4.0)) == [threading.current_thread().name]


def test_a_scan_inside_a_task_waits_for_no_other_task() -> None:
    """What one of the shared threads asks for runs in it: all of them may be waiting otherwise."""

    def outer() -> list[str]:
        return [threading.current_thread().name, *run_ordered(names(3), 4.0)]

    for found in run_ordered(((outer, 1.0) for _ in range(12)), 100.0):
        assert len(set(found)) == 1


def test_a_consumer_that_stops_leaves_nothing_behind() -> None:
    """Tasks that were not begun are dropped, and the threads end."""
    begun: list[int] = []

    def task(number: int) -> Callable[[], None]:
        return lambda: (begun.append(number), time.sleep(0.01))[1]

    scan = run_ordered(((task(n), 1.0) for n in range(1000)), 50.0)
    next(scan)
    scan.close()
    deadline = time.monotonic() + 5
    while scan_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(begun) < 60
    assert not scan_threads()


def test_the_first_error_is_raised_in_its_place() -> None:
    """Results before it come first."""

    def task(number: int) -> Callable[[], int]:
        return lambda: 6 // (number - 3)

    found: list[int] = []
    with pytest.raises(ZeroDivisionError):
        found.extend(run_ordered(((task(n), 1.0) for n in range(9)), 4.0))
    assert ordered._decoders._pool is None


def _in_child(results: Any) -> None:
    results.put(list(run_ordered(((lambda n=n: n, 1.0) for n in range(5)), 4.0)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_begins_its_own_threads() -> None:
    """Also where the other is in the middle of a scan, whose threads it does not have."""
    scan = run_ordered(names(50), 4.0)
    next(scan)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(results,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert results.get() == list(range(5))
    assert len(list(scan)) == 49

"""Lanes do jobs in order beside the caller, within a budget, and fail once for good."""

import sys
import threading
import time

import pytest

from tableformat.table.lanes import Budget, Failure, Lane


def test_jobs_are_done_in_order_in_one_other_thread():
    """What is submitted first is done first; `close` waits for all of it."""
    failure, done = Failure(), []
    lane = Lane("test", failure)
    for number in range(500):
        lane.submit(lambda number=number: done.append((number, threading.get_ident())))
    lane.close()
    assert [number for number, _ in done] == list(range(500))
    assert {ident for _, ident in done} != {threading.get_ident()}
    assert len({ident for _, ident in done}) == 1


def test_two_threads_that_submit_at_once_share_one_lane():
    """The caller and another lane may both give a lane its first job: there is one thread all the same."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            lane, start, idents = Lane("test", Failure()), threading.Barrier(2), []

            def submit(lane=lane, start=start, idents=idents):
                start.wait()
                for _ in range(3):
                    lane.submit(lambda: idents.append(threading.get_ident()))

            other = threading.Thread(target=submit)
            other.start()
            submit()
            other.join()
            lane.close()
            assert len(idents) == 6
            assert len(set(idents)) == 1
    finally:
        sys.setswitchinterval(interval)


def test_the_first_failure_is_kept_and_nothing_is_done_after_it():
    """Jobs behind the one that failed are passed over in every lane, and each check raises the same error."""
    failure, done = Failure(), []
    one, two = Lane("one", failure), Lane("two", failure)
    first = OSError("first")

    def fail():
        raise first

    one.submit(fail)
    one.close()
    failure.set(OSError("second"))
    two.submit(lambda: done.append(1))
    two.close()
    assert done == []
    for _ in range(2):
        with pytest.raises(OSError, match="first") as caught:
            failure.check()
        assert caught.value is first


def test_a_budget_holds_the_caller_back():
    """No more bytes are in flight than the budget has, but for a single job that is larger than all of it."""
    failure, flying, most = Failure(), [0], [0]
    budget, lane, gate = Budget(100, failure), Lane("test", failure), threading.Event()

    def job(size):
        gate.wait()
        flying[0] -= size

    def produce():
        for size in [40, 40, 40, 500, 10]:
            lane.submit(lambda size=size: job(size), budget, size)
            flying[0] += size
            most[0] = max(most[0], flying[0])

    producer = threading.Thread(target=produce)
    producer.start()
    time.sleep(0.05)
    assert flying[0] == 80
    gate.set()
    producer.join(10)
    lane.close()
    assert not producer.is_alive()
    assert flying[0] == 0
    assert most[0] <= 500


def test_a_failure_frees_who_waits():
    """A caller that waits for room goes on when a lane has failed, and learns of it."""
    failure = Failure()
    budget, lane = Budget(1, failure), Lane("test", failure)
    gate = threading.Event()

    def fail():
        gate.wait()
        raise OSError("full")

    lane.submit(fail, budget, 1)
    waiting = threading.Thread(target=lambda: lane.submit(lambda: None, budget, 1))
    waiting.start()
    gate.set()
    waiting.join(10)
    assert not waiting.is_alive()
    lane.close()
    with pytest.raises(OSError, match="full"):
        failure.check()


def test_a_lane_without_jobs_has_no_thread():
    """Lanes cost nothing before their first job, and closing them twice is allowed."""
    before = threading.active_count()
    lane = Lane("test", Failure())
    lane.close()
    assert threading.active_count() == before
    lane.submit(lambda: None)
    lane.close()
    lane.close()
    assert threading.active_count() == before


def test_flush_waits_for_what_was_submitted():
    """After `flush` all jobs so far are done, and the lane takes more; without a job it returns at once."""
    lane, done = Lane("test", Failure()), []
    lane.flush()
    for turn in range(3):
        lane.submit(lambda turn=turn: (time.sleep(0.01), done.append(turn)))
        lane.flush()
        assert done == list(range(turn + 1))
    lane.close()


def test_flush_returns_after_a_failure():
    """Jobs that are passed over count as done: whoever flushes a failed lane is not left waiting."""
    failure, done = Failure(), []
    lane, gate = Lane("test", failure), threading.Event()
    lane.submit(gate.wait)
    lane.submit(lambda: done.append(1))
    failure.set(OSError("full"))
    gate.set()
    lane.flush()
    lane.close()
    assert done == []


def test_waiting_for_room_takes_none():
    """`wait` returns when so many bytes would fit, and leaves the budget as it is."""
    budget = Budget(100, Failure())
    budget.take(60)
    budget.wait(40)
    budget.take(40)
    passed = threading.Event()
    waiting = threading.Thread(target=lambda: (budget.wait(50), passed.set()))
    waiting.start()
    assert not passed.wait(0.05)
    budget.give(60)
    waiting.join(10)
    assert passed.is_set()

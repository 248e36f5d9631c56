"""Lanes: work that goes on beside the caller, in order, within a budget of bytes.

Encoding Parquet, hashing and writing are C calls that release the interpreter's lock, so each gets a thread of its own
and a writer overlaps them with the making of the next rows. The first failure is kept, raised at the next call, and
nothing after it is done: a writer fails once and stays failed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["Budget", "Failure", "Lane"]

_Job = tuple[Callable[[], object], "Budget | None", int]  # a job of size -1 is done even after a failure


class Failure:
    """The first error of a writer's lanes, and the condition on which they all wait."""

    def __init__(self) -> None:
        self.changed: Final = threading.Condition()
        self.error: BaseException | None = None

    def set(self, error: BaseException) -> None:
        """Keep `error`, if it is the first; nothing waits any more."""
        with self.changed:
            if self.error is None:
                self.error = error
            self.changed.notify_all()

    def check(self) -> None:
        """Raise the first error of any lane."""
        if self.error is not None:
            raise self.error


class Budget:
    """Bytes in flight. One job is always let through, however large."""

    def __init__(self, limit: int, failure: Failure) -> None:
        self._limit: Final = limit
        self._used = 0
        self._failure = failure

    def take(self, size: int) -> None:
        """Wait until `size` more bytes fit, or all others are done, or a lane has failed."""
        with self._failure.changed:
            self._wait(size)
            self._used += size

    def wait(self, size: int) -> None:
        """Wait as `take` does, and take nothing."""
        with self._failure.changed:
            self._wait(size)

    def _wait(self, size: int) -> None:
        self._failure.changed.wait_for(
            lambda: self._failure.error is not None or not self._used or self._used + size <= self._limit
        )

    def give(self, size: int) -> None:
        """`size` bytes are done with."""
        with self._failure.changed:
            self._used -= size
            self._failure.changed.notify_all()


class Lane:
    """A thread that does jobs one after another. Starts with its first job and ends with `close`."""

    def __init__(self, name: str, failure: Failure) -> None:
        self._name = name
        self._failure = failure
        self._jobs: deque[_Job | None] = deque()
        self._ready = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], object], budget: Budget | None = None, size: int = 0) -> None:
        """Do `job` after those before it; first waits while `size` more bytes would pass the budget."""
        if budget is not None:
            budget.take(size)
        with self._ready:
            if self._thread is None:  # a lane is given jobs by the caller and by other lanes: only one may start it
                self._thread = threading.Thread(target=self._run, name=f"tableformat-{self._name}", daemon=True)
                self._thread.start()
            self._jobs.append((job, budget, size))
            self._ready.notify()

    def flush(self) -> None:
        """Wait until the jobs so far are done, or passed over because a lane has failed. Does not raise."""
        done = threading.Event()
        with self._ready:
            if self._thread is None:
                return
            self._jobs.append((done.set, None, -1))
            self._ready.notify()
        done.wait()

    def close(self) -> None:
        """Wait until all jobs are done and the thread has ended. Does not raise; see `Failure.check`."""
        if self._thread is not None:
            with self._ready:
                self._jobs.append(None)
                self._ready.notify()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._jobs)
                entry = self._jobs.popleft()
            if entry is None:
                return
            job, budget, size = entry
            try:
                if self._failure.error is None or size < 0:
                    job()
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, whatever it is
                self._failure.set(error)
            finally:
                del job, entry
                if budget is not None:
                    budget.give(size)

"""Tasks carried out by a few threads, their results in the order of the tasks, within a budget of bytes."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import Final, TypeVar

__all__ = ["LOCAL_FLIGHT_BYTES", "REMOTE_THREADS", "TAKE_THREADS", "run_ordered"]

LOCAL_FLIGHT_BYTES: Final = 32 << 20
"""Decoded bytes that a scan of files of this machine reads ahead at most: what is used again soon is still mapped, and in the cache of
the processor. 10M × 9M joined rows took 3.5 s of processor time in a new process with 64 MiB, and 2.6 s with 16 or 32."""
REMOTE_THREADS: Final = 8
"""Threads of a scan where each request has to travel."""
TAKE_THREADS: Final = 16
"""Threads that fetch row groups for single rows where each request has to travel: of each, a few rows are kept."""
_LOCAL_THREADS: Final = (2, 4)
# Threads that decode, of the whole process: one for each core, but 2 at least and 4 at most, since they share the interpreter's lock.
# Two scans at once, as of a join, are slower with threads of their own: 10M × 9M joined rows took 1.45 s, and 1.31 s so.

T = TypeVar("T")


def run_ordered(
    tasks: Iterable[tuple[Callable[[], T], float]], budget_bytes: float, threads: int | None = None
) -> Iterator[T]:
    """The result of each task, in order. A task comes with the bytes that its result will hold, about.

    Tasks are begun ahead of the consumer while all begun and not yet consumed stay within `budget_bytes`, and at least
    `threads` of them in any case. None: two, by the threads that all scans of files of this machine share. A single task runs in the
    calling thread, and so do all that one of those threads asks for. When the consumer stops, tasks that have not
    begun are dropped. The first error of a task is raised in its place.
    """
    waiting = iter(tasks)
    first = list(islice(waiting, 2))
    if len(first) < 2 or (threads is None and _decoders.is_one_of_them()):
        for task, _ in chain(first, waiting):
            yield task()
        return
    with _own_pool(threads) if threads else _decoders.lent() as pool:
        yield from _results(pool, chain(first, waiting), budget_bytes, threads or _LOCAL_THREADS[0])


def _results(
    pool: ThreadPoolExecutor, tasks: Iterable[tuple[Callable[[], T], float]], budget_bytes: float, least: int
) -> Iterator[T]:
    begun: deque[tuple[Future[T], float]] = deque()
    held = 0.0
    try:
        for task, size in tasks:
            while len(begun) > least and held + size > budget_bytes:
                future, freed = begun.popleft()
                yield future.result()
                held -= freed
            begun.append((pool.submit(task), size))
            held += size
            # A result that is ready goes out first: the plan of a long table need not be finished before its first row.
            while len(begun) > least and begun[0][0].done():
                future, freed = begun.popleft()
                yield future.result()
                held -= freed
        while begun:
            yield begun.popleft()[0].result()
    finally:
        for future, _ in begun:
            future.cancel()


@contextmanager
def _own_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="tableformat-fetch")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Decoders:
    """The threads that decode files of this machine: there while a scan is under way, and the same for all that are. A forked process,
    to which threads do not come along, begins its own."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._scans = 0
        self._lock = threading.RLock()  # the collector may end a scan that was left while this thread begins one
        self._own = threading.local()

    @contextmanager
    def lent(self) -> Iterator[ThreadPoolExecutor]:
        """The pool, for one scan; the last one ends it."""
        with self._lock:
            self._scans += 1
            if self._pool is None:
                count = min(max(os.cpu_count() or 1, _LOCAL_THREADS[0]), _LOCAL_THREADS[1])
                self._pool = ThreadPoolExecutor(count, thread_name_prefix="tableformat-scan", initializer=self._mark)
            pool, process = self._pool, os.getpid()
        try:
            yield pool
        finally:
            with self._lock:
                if process == os.getpid():  # else another process lent it
                    self._scans -= 1
                    if not self._scans:
                        self._pool = None
                        pool.shutdown(wait=False)

    def is_one_of_them(self) -> bool:
        """Whether the calling thread is one: it must not wait for the others."""
        return getattr(self._own, "is_decoder", False)

    def _mark(self) -> None:
        self._own.is_decoder = True


_decoders = _Decoders()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_decoders.__init__)  # type: ignore[misc]  # as if new

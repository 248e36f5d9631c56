"""Tasks carried out by a few threads, their results in the order of the tasks, within a budget of bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Final, TypeVar

__all__ = ["LOCAL_THREADS", "REMOTE_THREADS", "TAKE_THREADS", "run_ordered"]

LOCAL_THREADS: Final = 2
"""Threads of a scan of files of this machine. Decoding leaves the interpreter's lock; each thread holds what it decodes."""
REMOTE_THREADS: Final = 8
"""Threads of a scan where each request has to travel."""

TAKE_THREADS: Final = 16
"""Threads that fetch row groups for single rows where each request has to travel: of each, a few rows are kept."""

T = TypeVar("T")


def run_ordered(
    tasks: Iterable[tuple[Callable[[], T], float]], budget_bytes: float, threads: int = LOCAL_THREADS
) -> Iterator[T]:
    """The result of each task, in order. A task comes with the bytes that its result will hold, about.

    Tasks are begun ahead of the consumer while all begun and not yet consumed stay within `budget_bytes`, and at least
    `threads` of them in any case. A single task runs in the calling thread. When the consumer stops, tasks that have not
    begun are dropped. The first error of a task is raised in its place.
    """
    waiting = iter(tasks)
    first = list(islice(waiting, 2))
    if len(first) < 2:
        for task, _ in first:
            yield task()
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="tableformat-scan")
    begun: deque[tuple[Future[T], float]] = deque()
    held = 0.0
    try:
        for task, size in chain(first, waiting):
            while len(begun) > threads and held + size > budget_bytes:
                future, freed = begun.popleft()
                yield future.result()
                held -= freed
            begun.append((pool.submit(task), size))
            held += size
            # A result that is ready goes out first: the plan of a long table need not be finished before its first row.
            while len(begun) > threads and begun[0][0].done():
                future, freed = begun.popleft()
                yield future.result()
                held -= freed
        while begun:
            yield begun.popleft()[0].result()
    finally:
        for future, _ in begun:
            future.cancel()
        pool.shutdown(wait=False, cancel_futures=True)

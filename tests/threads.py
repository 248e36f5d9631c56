"""Threads that are to be gone."""

from __future__ import annotations

import threading
import time

__all__ = ["no_thread_stays"]


def no_thread_stays(before: int) -> bool:
    """Whether there are no more threads than `before`, now or within ten seconds: those that read end when they are told to, and nobody
    waits for them."""
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    return threading.active_count() <= before

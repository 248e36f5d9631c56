"""Progress of long jobs: a bar where a person watches, one log line a minute where none does, or a call of one's own.

A bar is drawn on standard error when that is a terminal, or in a notebook. Elsewhere (cron, CI, a service) a job that lasts
writes a line a minute to `logging.getLogger("tableformat")`, and one that ends within the first minute writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Literal, Self, TextIO

from tableformat.log import logger

__all__ = ["Meter", "Progress", "Unit"]

Progress = bool | Callable[[int, int | None, str], None]
"""What long calls take as `progress=`: True (bar or log), False (nothing), or a function that is called as the job goes on
with what is done, what there is to do (None: not known) and what is being done."""

Unit = Literal["rows", "files", "bytes"]
"""What is counted."""

_DRAW_SECONDS: Final = 0.1
_LOG_SECONDS: Final = 60.0
_QUIET_SECONDS: Final = 0.3  # what is over sooner draws nothing
_BAR: Final = 24


class Meter:
    """Counts the steps of one job and shows them; use it as a context manager. Not safe between threads."""

    def __init__(
        self,
        doing: str,
        total: int | None = None,
        unit: Unit = "rows",
        progress: Progress = True,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doing, self._total, self._unit, self._clock = doing, total, unit, clock
        self._stream = stream if stream is not None else sys.stderr
        self._call = progress if callable(progress) else None
        self._draws = progress is True and is_watched(self._stream)
        self._logs = progress is True and not self._draws
        self._begun = clock()
        self._due = self._begun + (_LOG_SECONDS if self._logs else _QUIET_SECONDS if self._draws else 0.0)
        self._drawn = 0
        self._done = 0

    @property
    def done(self) -> int:
        """How much was counted."""
        return self._done

    def step(self, count: int = 1) -> None:
        """So much more is done. Cheap: shows something ten times a second at most, logs once a minute."""
        self.at(self._done + count)

    def at(self, done: int, total: int | None = None) -> None:
        """So much is done in all; `total` where it has become known."""
        self._done = done
        if total is not None:
            self._total = total
        now = self._clock()
        if now < self._due:
            return
        if self._call is not None:
            self._due = now + _DRAW_SECONDS
            self._call(self._done, self._total, self._doing)
        elif self._draws:
            self._due = now + _DRAW_SECONDS
            self._draw(now)
        elif self._logs:
            self._due = now + _LOG_SECONDS
            logger.info("%s", self.line(now))

    def line(self, now: float) -> str:
        """What is said: `importing: 1,200 of 5,000 rows (24 %), 300 rows/s`."""
        amount = f"{amount_text(self._done, self._unit)}"
        if self._total:
            amount = f"{amount_text(self._done, self._unit, bare=True)} of {amount_text(self._total, self._unit)} ({100 * self._done // self._total} %)"
        seconds = now - self._begun
        rate = f", {amount_text(round(self._done / seconds), self._unit)}/s" if seconds >= 1 and self._done else ""
        return f"{self._doing}: {amount}{rate}"

    def _draw(self, now: float) -> None:
        filled = min(_BAR * self._done // self._total, _BAR) if self._total else 0
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] " if self._total else ""
        text = (bar + self.line(now))[:118]
        self._write("\r" + text.ljust(self._drawn))
        self._drawn = len(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a terminal that went away does not end the job
            self._draws = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
        if self._call is not None and kind is None:
            self._call(self._done, self._total, self._doing)


def is_watched(stream: Any) -> bool:
    """Whether a person sees what is written to `stream` at once: a terminal, or a notebook."""
    try:
        if stream.isatty():
            return True
    except (AttributeError, ValueError):
        return False
    kernel = sys.modules.get("IPython")  # asked only where it is loaded anyway
    shell = kernel.get_ipython() if kernel is not None and hasattr(kernel, "get_ipython") else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def amount_text(amount: int, unit: Unit, *, bare: bool = False) -> str:
    """An amount for people: `1,200 rows`, `3.4 MB`. `bare` leaves out a unit that is said elsewhere."""
    if unit != "bytes":
        return f"{amount:,}" if bare else f"{amount:,} {unit}"
    size = float(amount)
    for name in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {name}" if name == "B" else f"{size:.1f} {name}"
        size /= 1000
    return f"{size:.1f} TB"

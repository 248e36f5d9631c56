"""Progress: a bar on a terminal, a line a minute in a log, a call of one's own, or nothing."""

from __future__ import annotations

import io
import logging

import pytest

from tableformat.progress import Meter, amount_text


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bar_on_a_terminal() -> None:
    """A bar with amounts is drawn and redrawn on one line, and wiped at the end."""
    stream, clock = Terminal(), Clock()
    with Meter("importing", 200, "rows", stream=stream, clock=clock) as meter:
        meter.step(10)
        assert stream.getvalue() == ""  # too soon: short jobs draw nothing
        clock.now += 2
        meter.step(90)
        assert stream.getvalue() == "\r[############............] importing: 100 of 200 rows (50 %), 50 rows/s"
        meter.step(50)
        assert stream.getvalue().count("\r") == 1  # drawn ten times a second at most
    assert stream.getvalue().endswith(" \r")


def test_log_line_a_minute_where_nobody_watches(caplog: pytest.LogCaptureFixture) -> None:
    """Without a terminal a line a minute goes to the log, and nothing to the stream."""
    stream, clock = io.StringIO(), Clock()
    with (
        caplog.at_level(logging.INFO, "tableformat"),
        Meter("verifying", None, "bytes", stream=stream, clock=clock) as meter,
    ):
        for _ in range(150):
            clock.now += 1
            meter.step(1_000_000)
    assert stream.getvalue() == ""
    assert [record.getMessage() for record in caplog.records] == [
        "verifying: 60.0 MB, 1.0 MB/s",
        "verifying: 120.0 MB, 1.0 MB/s",
    ]


def test_function_is_called(caplog: pytest.LogCaptureFixture) -> None:
    """A function gets what is done, the total and what is being done, and always the end; its exceptions pass."""
    calls: list[tuple[int, int | None, str]] = []
    clock = Clock()
    with (
        caplog.at_level(logging.INFO, "tableformat"),
        Meter("reading", 3, "files", lambda *call: calls.append(call), stream=Terminal(), clock=clock) as meter,
    ):
        for _ in range(3):
            clock.now += 1
            meter.step()
    assert calls == [(1, 3, "reading"), (2, 3, "reading"), (3, 3, "reading"), (3, 3, "reading")]
    assert caplog.records == []

    def stop(*_: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError), Meter("reading", None, "files", stop) as meter:
        meter.step()


def test_false_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """`progress=False` draws and logs nothing, and still counts."""
    stream, clock = Terminal(), Clock()
    with (
        caplog.at_level(logging.INFO, "tableformat"),
        Meter("x", 1, progress=False, stream=stream, clock=clock) as meter,
    ):
        clock.now += 100
        meter.at(7)
    assert (stream.getvalue(), caplog.records, meter.done) == ("", [], 7)


def test_terminal_that_goes_away() -> None:
    """A stream that fails, or is closed, does not end the job."""
    stream, clock = Terminal(), Clock()
    with Meter("x", 1, stream=stream, clock=clock) as meter:
        clock.now += 1
        stream.close()
        meter.step()
    assert meter.done == 1


def test_amounts() -> None:
    """Bytes in decimal units, others counted."""
    assert [amount_text(size, "bytes") for size in (0, 999, 1000, 1_234_567, 5_000_000_000, 10**16)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "5.0 GB",
        "10000.0 TB",
    ]
    assert amount_text(1_234_567, "rows") == "1,234,567 rows"

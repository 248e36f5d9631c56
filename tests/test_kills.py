"""A job in a session is killed at random moments and started again until it ends: it is as if it had never been killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tableformat
from tests import resuming
from tests.figures import note

ROOT = Path(__file__).resolve().parent.parent


def start(root: Path, kind: str, rows: int) -> subprocess.Popen[str]:
    """The job in a process of its own, which has said that it begins."""
    command = [sys.executable, "-m", "tests.resuming", str(root), kind, str(rows)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", child.communicate()
    return child


def kill_until_done(root: Path, kind: str, rows: int, kills: int, longest: float, seed: int) -> int:
    """Start the job, and kill it after up to `longest` seconds, until it was killed `kills` times; then let it end. How often it was killed."""
    chance, killed = random.Random(seed), 0
    while True:
        with start(root, kind, rows) as child:
            if killed < kills:
                time.sleep(chance.uniform(0, longest))
                child.kill()
            _, errors = child.communicate()
        if child.returncode == -signal.SIGKILL:
            killed += 1
            continue
        assert child.returncode == 0, errors
        return killed


def check(root: Path, expected: str) -> None:
    """The version has the content of an unbroken run, is the only one, and every byte of it is right."""
    store = tableformat.open_store(root, create=False)
    assert [version.slot for version in store.versions("a")] == [0]
    assert store["a"].content_digest == expected
    report = store.verify("a")
    assert report.ok, report.problems
    assert store.sessions() == []


@pytest.mark.parametrize(
    ("kind", "rows", "longest"), [("plain", 60_000, 0.8), ("keyed", 60_000, 0.8), ("media", 300, 1.2)]
)
def test_kills(tmp_path: Path, kind: str, rows: int, longest: float) -> None:
    """Killed up to five times, the job ends with the content digest of a run that was not killed."""
    unbroken = resuming.run(str(tmp_path / "unbroken"), kind, rows)
    assert unbroken.committed is not None
    kill_until_done(tmp_path / "killed", kind, rows, 2 if kind == "plain" else 1, longest, 7)
    check(tmp_path / "killed", unbroken.committed.content_digest)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["plain", "keyed"])
def test_many_kills(tmp_path: Path, kind: str) -> None:
    """Killed 100 times for each kind while it writes 1,000,000 rows, again and again, the job always ends with the same content digest."""
    began = time.monotonic()
    unbroken = resuming.run(str(tmp_path / "unbroken"), kind, 1_000_000)
    assert unbroken.committed is not None
    longest = (time.monotonic() - began) * 0.8
    left, turn = 100, 0
    while left > 0:
        root = tmp_path / f"killed-{turn}"
        left -= kill_until_done(root, kind, 1_000_000, min(left, 5), longest, turn)
        turn += 1
        check(root, unbroken.committed.content_digest)
    note(f"kills of a session, {kind}", kills=100, versions=turn)

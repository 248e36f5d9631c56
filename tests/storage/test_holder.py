"""Who holds a session, and whether that process can be seen to have ended."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from tableformat.errors import FormatError
from tableformat.storage.holder import Holder


def test_this_process_lives() -> None:
    """A process knows itself, and tells a later one of its number from itself."""
    here = Holder.here()
    assert here.pid == os.getpid()
    assert here.is_gone(here) is False
    assert dataclasses.replace(here, began="another").is_gone(here) is True
    assert str(here) == f"process {os.getpid()} of {here.host}"


def test_children_are_seen_to_end() -> None:
    """Another process of this machine lives until it ends, whether its parent has noticed or not; a later one of its number is another."""
    here = Holder.here()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(open('/proc/self/stat').read().split()[21], flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    began = child.stdout.readline().strip()
    there = Holder(here.host, here.place, child.pid, began)
    assert there.is_gone(here) is False
    assert dataclasses.replace(there, began="1").is_gone(here) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert there.is_gone(here) is True  # nobody has collected it
    child.communicate()
    assert there.is_gone(here) is True


def test_other_machines_cannot_be_seen() -> None:
    """A process of another machine, boot or namespace is neither alive nor gone."""
    here = Holder.here()
    assert Holder("elsewhere", here.place, here.pid, here.began).is_gone(here) is None
    assert Holder(here.host, "another boot", here.pid, here.began).is_gone(here) is None


def test_documents_of_holders() -> None:
    """A holder is read back as it was written; anything else is refused with the path."""
    here = Holder.here()
    assert Holder.from_json(here.to_json(), "p") == here
    for bad in (
        None,
        5,
        {},
        {**here.to_json(), "pid": -1},
        {**here.to_json(), "host": 7},
        {**here.to_json(), "pid": "1"},
    ):
        with pytest.raises(FormatError, match="the/path"):
            Holder.from_json(bad, "the/path")

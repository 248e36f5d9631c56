"""Sets of paths keep every path, in memory and out of it."""

from __future__ import annotations

import pytest

from tableformat.storage.collect import path_set
from tableformat.storage.collect.path_set import PathSet


def test_small_sets() -> None:
    """What was added is there, what was not is not; an empty set is false."""
    found = PathSet(["data/a", "data/b"])
    assert ("data/a" in found, "data/c" in found, 3 in found, bool(PathSet())) == (True, False, False, False)
    assert found.contains(["data/b", "x", "data/a"]).tolist() == [True, False, True]
    assert len(found) == 2


def test_sets_that_spill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are merged in memory, and then in a file, and nothing is lost on the way."""
    monkeypatch.setattr(path_set, "_BUFFER", 10)
    monkeypatch.setattr(path_set, "_SPILLED", 200)
    found = PathSet()
    for number in range(1000):
        found.add(f"data/{number % 700}")
    assert found.contains([f"data/{number}" for number in range(700)]).all()
    assert not found.contains([f"data/{number}" for number in range(700, 1400)]).any()
    assert 700 <= len(found) <= 1000

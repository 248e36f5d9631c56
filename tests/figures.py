"""The figures of long tests, kept beside those of the benchmarks: how much was tried, and what became of it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

__all__ = ["note"]

_FILE = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "faults.json"


def note(what: str, **figures: float) -> None:
    """Keep the figures of one long test in `benchmarks/results/faults.json`, in place of those of an earlier run."""
    with _FILE.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # other processes of the same run
        file.seek(0)
        told: dict[str, Any] = json.loads(file.read() or "{}")
        told[what] = figures
        file.truncate(0)
        file.write(json.dumps(told, indent=2, sort_keys=True) + "\n")

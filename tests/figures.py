"""The figures of long tests, kept beside those of the benchmarks: how much was tried, and what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["note"]

_FILE = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "faults.json"


def note(what: str, **figures: float) -> None:
    """Keep the figures of one long test in `benchmarks/results/faults.json`, in place of those of an earlier run."""
    told: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8")) if _FILE.exists() else {}
    told[what] = figures
    _FILE.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")

"""What an import did with each of its sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tableformat
from tableformat.errors import Problem

__all__ = ["Imported", "OnError", "Outcome"]

OnError = Literal["raise", "skip"]
"""What becomes of a file or row that cannot be stored: the import ends, or goes on without it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one entry was made of."""

    entry: str
    """Name of the entry."""
    rows: int
    """Rows of the table; 0 for a file."""
    left_out: tuple[str, ...] = ()
    """Some of the files of other kinds that lay beside those imported."""
    left_out_count: int = 0
    """How many there were."""
    skipped: tuple[Problem, ...] = ()
    """What could not be read and was skipped, the first thousand of it, by path or row."""
    skipped_count: int = 0
    """How much there was."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A finished import."""

    artifact: tableformat.Artifact
    """The version that was committed, or the newest one where nothing is new."""
    created: bool
    """Whether a version was made."""
    entries: tuple[Outcome, ...]
    """What was imported, in the order given."""

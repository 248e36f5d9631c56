"""What an import did with each of its sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import tableformat
from tableformat.errors import InvalidInputError, Problem, message

__all__ = ["Imported", "OnError", "Outcome", "Skipped"]

OnError = Literal["raise", "skip"]
"""What becomes of a file or row that cannot be stored: the import ends, or goes on without it."""

_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one entry was made of."""

    entry: str
    """Name of the entry."""
    rows: int | None
    """Rows of the table; None for a file."""
    left_out: int = 0
    """Files of other kinds that lay in the folder."""
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


@dataclass(slots=True)
class Skipped:
    """Notes what cannot be stored, or raises."""

    on_error: OnError
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise InvalidInputError(
                message("importing", expected="on_error 'raise' or 'skip'", got=repr(self.on_error)[:40])
            )

    def note(self, place: str, error: InvalidInputError) -> None:
        """`error` is about the file or row at `place`: raise it, or go on."""
        if self.on_error == "raise":
            raise error
        self.count += 1
        if len(self.problems) < _KEPT:
            self.problems.append(Problem(place, str(error), error.kind))

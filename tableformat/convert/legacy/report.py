"""What a conversion did: rows, cells, bytes, the type of each column, and all that was odd, with its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tableformat.errors import Problem

__all__ = ["ArtifactReport", "ColumnReport", "ConversionReport", "EntryReport"]

_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What became of one column."""

    name: str
    """Its name now."""
    original: Any
    """Its name before: text, or an integer."""
    declared: str
    """What it was declared to be."""
    type: str
    """What it is now."""
    notes: tuple[str, ...] = ()
    """Why, where that is worth a word."""


@dataclass(slots=True)
class EntryReport:
    """What became of one object of the artifact."""

    sources: list[str]
    """The files it was made from."""
    entry: str
    """Its name now."""
    kind: str
    """`table`, `classes`, `media`, `file`, `joined`, `references`."""
    rows: int | None = None
    """Rows of a table."""
    columns: list[ColumnReport] = field(default_factory=list)
    """Columns of a table."""


@dataclass(slots=True)
class ArtifactReport:
    """What became of one version of an artifact."""

    source: str
    """What it was called, `name:v3`."""
    target: str | None = None
    """The version it became, `name:v0`; None where it failed."""
    state: str = "failed"
    """`converted`, `unchanged` (an earlier run had done it), or `failed`."""
    error: str | None = None
    """Why it failed."""
    entries: list[EntryReport] = field(default_factory=list)
    """What it holds."""
    warnings: list[Problem] = field(default_factory=list)
    """What was wrong in the source, the first thousand of each kind."""
    notes: list[Problem] = field(default_factory=list)
    """What is good to know, and no fault."""
    not_carried: list[Problem] = field(default_factory=list)
    """What is in the source and not in the version, and why."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many warnings there were, by kind."""
    unresolved: list[str] = field(default_factory=list)
    """References to artifacts that were not at hand, each once."""
    bytes_in: int = 0
    """Bytes read."""
    bytes_out: int = 0
    """Bytes stored that the store did not have."""
    _missed: set[str] = field(default_factory=set, repr=False)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(entry.rows or 0 for entry in self.entries)

    @property
    def cells(self) -> int:
        """Cells of all tables."""
        return sum((entry.rows or 0) * len(entry.columns) for entry in self.entries)

    def warn(self, place: object, text: str, kind: str) -> None:
        """Something is wrong at `place`; without `strict`, the conversion goes on."""
        self.counts[kind] += 1
        if self.counts[kind] <= _KEPT:
            self.warnings.append(Problem(str(place), text, kind))

    def note(self, place: object, text: str, kind: str) -> None:
        """Something is worth knowing about `place`."""
        self.counts[kind] += 1
        if self.counts[kind] <= _KEPT:
            self.notes.append(Problem(str(place), text, kind))

    def warn_all(self, problems: list[Problem], place: str = "") -> None:
        """Warn of each of `problems`."""
        for problem in problems:
            self.warn(
                f"{place}, {problem.place}"
                if place and problem.place and problem.place != place
                else place or problem.place,
                problem.text,
                problem.kind,
            )

    def miss(self, place: object, uri: str) -> None:
        """A reference of `place` points into an artifact that is not at hand."""
        if uri not in self._missed:
            self._missed.add(uri)
            self.unresolved.append(uri)
        self.warn(place, f"{uri} is in an artifact that is not at hand; kept as a reference", "unresolved")

    def leave_out(self, place: object, why: str, kind: str = "left-out") -> None:
        """What is at `place` is not in the version."""
        self.counts[kind] += 1
        if self.counts[kind] <= _KEPT:
            self.not_carried.append(Problem(str(place), why, kind))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "source": self.source, "target": self.target, "state": self.state, "error": self.error, "rows": self.rows, "cells": self.cells,
            "bytes_in": self.bytes_in, "bytes_out": self.bytes_out, "unresolved": self.unresolved, "counts": dict(self.counts),
            "warnings": [_problem(problem) for problem in self.warnings], "notes": [_problem(problem) for problem in self.notes],
            "not_carried": [_problem(problem) for problem in self.not_carried],
            "entries": [
                {
                    "entry": entry.entry, "kind": entry.kind, "sources": entry.sources, "rows": entry.rows,
                    "columns": [
                        {"name": one.name, "original": one.original, "declared": one.declared, "type": one.type, "notes": list(one.notes)}
                        for one in entry.columns
                    ],
                }
                for entry in self.entries
            ],
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """As text for people."""
        target = f" → {self.target}" if self.target else ""
        yield f"{self.source}{target}: {self.state}, {self.rows:,} rows, {self.cells:,} cells, {self.bytes_in:,} bytes in, {self.bytes_out:,} new"
        if self.error:
            yield f"  error: {self.error}"
        for entry in self.entries:
            rows = "" if entry.rows is None else f", {entry.rows:,} rows"
            yield f"  {entry.kind} {entry.entry!r}{rows}, from {', '.join(entry.sources[:3])}{' …' if len(entry.sources) > 3 else ''}"
            for column in entry.columns:
                was = "" if column.original == column.name else f" (was {column.original!r})"
                notes = f": {'; '.join(column.notes)}" if column.notes else ""
                yield f"    {column.name}{was}: {column.declared} → {column.type}{notes}"
        for title, problems in (
            ("warning", self.warnings),
            ("note", self.notes),
            ("not carried over", self.not_carried),
        ):
            for problem in problems:
                yield f"  {title}: {problem}"
        for ref in self.unresolved:
            yield f"  unresolved: {ref}"


def _problem(problem: Problem) -> dict[str, str]:
    return {"place": problem.place, "text": problem.text, "kind": problem.kind}


@dataclass(slots=True)
class ConversionReport:
    """What a conversion of one artifact or of many did, in the order in which it was done."""

    artifacts: list[ArtifactReport] = field(default_factory=list)
    """One for each version of an artifact."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed."""
        return all(one.state != "failed" for one in self.artifacts)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(one.rows for one in self.artifacts)

    @property
    def cells(self) -> int:
        """Cells of all tables."""
        return sum(one.cells for one in self.artifacts)

    @property
    def warnings(self) -> list[Problem]:
        """All warnings, each with the artifact in its place."""
        return [
            Problem(f"{one.source}: {problem.place}", problem.text, problem.kind)
            for one in self.artifacts
            for problem in one.warnings
        ]

    def target_of(self, source: str) -> str | None:
        """What became of `name:v3`: the version's address in the store, `name:v0`; None where it failed or is not known."""
        return next((one.target for one in self.artifacts if one.source == source), None)

    def to_json(self) -> dict[str, Any]:
        """As JSON: totals, and a list of artifacts."""
        return {
            "complete": self.is_complete,
            "rows": self.rows,
            "cells": self.cells,
            "artifacts": [one.to_json() for one in self.artifacts],
        }

    def __str__(self) -> str:
        return "\n".join(line for one in self.artifacts for line in one.lines())

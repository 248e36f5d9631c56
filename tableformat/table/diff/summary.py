"""What a diff found, in numbers: for people as text, for programs as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tableformat.table.diff.columns import ColumnPair, SchemaChange
from tableformat.table.diff.tally import ColumnTally, Tally

__all__ = ["ColumnSummary", "Summary", "column_summaries"]

_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """What changed in one column, over the rows that both tables have."""

    name: str
    changed: int
    """Rows in which its value is another."""
    mean: float | None = None
    """Of numbers: the mean of after − before over the rows that changed; None where there was no finite difference."""
    largest: float | None = None
    """Of numbers: the difference farthest from zero."""
    transitions: tuple[tuple[Any, Any, int], ...] = ()
    """Of class ids and bools: (before, after, rows), most rows first; classes by name, None for null."""

    def to_json(self) -> dict[str, Any]:
        """The form in JSON."""
        told: dict[str, Any] = {"name": self.name, "changed": self.changed}
        if self.mean is not None:
            told |= {"mean": self.mean, "largest": self.largest}
        if self.transitions:
            told["transitions"] = [
                {"before": before, "after": after, "rows": rows} for before, after, rows in self.transitions
            ]
        return told


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a diff. Without a key a row that is there several times counts as often."""

    before: str
    """The address of the first table."""
    after: str
    on: tuple[str, ...]
    """The key; empty for multisets of rows."""
    added: int
    removed: int
    changed: int
    same: int
    columns: tuple[ColumnSummary, ...] = ()
    """Each column that was compared, in order; empty without a key."""
    schema: tuple[SchemaChange, ...] = ()
    """Columns that only one table has, or whose types differ."""

    @property
    def is_equal(self) -> bool:
        """Whether both tables hold the same rows and columns, in whatever order."""
        return not (self.added or self.removed or self.changed or self.schema)

    def to_json(self) -> dict[str, Any]:
        """The form in JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "on": list(self.on),
            "rows": {"added": self.added, "removed": self.removed, "changed": self.changed, "same": self.same},
            "columns": [column.to_json() for column in self.columns],
            "schema": [
                {
                    name: value
                    for name, value in (
                        ("column", one.column),
                        ("change", one.change),
                        ("before", one.before),
                        ("after", one.after),
                        ("reason", one.reason),
                    )
                    if value
                }
                for one in self.schema
            ],
        }

    def lines(self) -> list[str]:
        """The summary as lines of text."""
        counts = [f"{self.added:,} added", f"{self.removed:,} removed"]
        counts += [f"{self.changed:,} changed"] if self.on else []
        by = f"rows by {', '.join(self.on)}" if self.on else "multisets of rows"
        told = [f"{by}: {', '.join(counts)}, {self.same:,} the same"]
        told += [_schema_line(one) for one in self.schema]
        for column in self.columns:
            if column.changed:
                told.append(_column_line(column))
                told += _transition_lines(column)
        return told

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _schema_line(one: SchemaChange) -> str:
    types = " → ".join(text for text in (one.before, one.after) if text)
    return f"  column {one.column}: {one.change}" + (f", {types}" if types else "") + (f" ({one.reason})" if one.reason else "")  # fmt: skip


def _column_line(column: ColumnSummary) -> str:
    line = f"  {column.name}: {column.changed:,} changed"
    if column.mean is not None:
        line += f", mean {column.mean:+.6g}, largest {column.largest:+.6g}"
    return line


def _transition_lines(column: ColumnSummary) -> list[str]:
    shown = column.transitions[:_SHOWN]
    told = [f"    {_value(before)} → {_value(after)}: {rows:,}" for before, after, rows in shown]
    more = len(column.transitions) - len(shown)
    return [*told, f"    … {more:,} more"] if more else told


def _value(value: Any) -> str:
    return "null" if value is None else str(value)


def column_summaries(pairs: Sequence[ColumnPair], tally: Tally) -> tuple[ColumnSummary, ...]:
    """What was counted, for each column."""
    return tuple(_summary_of(pair, one) for pair, one in zip(pairs, tally.columns, strict=True))


def _summary_of(pair: ColumnPair, tally: ColumnTally) -> ColumnSummary:
    transitions = [
        (_shown(pair, before), _shown(pair, after), rows) for (before, after), rows in tally.transitions.items()
    ]
    transitions.sort(key=lambda one: (-one[2], str(one[0]), str(one[1])))
    if not tally.numbers:
        return ColumnSummary(pair.name, tally.changed, transitions=tuple(transitions))
    return ColumnSummary(pair.name, tally.changed, tally.total / tally.numbers, tally.largest, tuple(transitions))


def _shown(pair: ColumnPair, value: Any) -> Any:
    return None if value is None else pair.label(value)

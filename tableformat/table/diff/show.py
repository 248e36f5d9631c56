"""How a diff looks when it is printed: its summary and its first rows, as text or HTML. Nothing that came from a store is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from tableformat.errors import TableformatError
from tableformat.table.diff.summary import Summary
from tableformat.table.rows import Row
from tableformat.table.shown_text import clean, cut, escape, value_text

__all__ = ["change_line", "html_of_diff", "text_of_diff"]

_SHOWN: Final = 5
_CELL: Final = 32
_WIDTH: Final = 140
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "same": "="}


def text_of_diff(summary: Summary, rows: Iterator[Row], count: int) -> str:
    """One screen of text. Errors of reading are told, not raised."""
    lines = [f"<Diff {clean(summary.before)} → {clean(summary.after)}: {count:,} {'row' if count == 1 else 'rows'}>"]
    lines += [clean(line) for line in summary.lines()]
    return "\n".join([*lines, *_preview(rows, count)])


def _preview(rows: Iterator[Row], count: int) -> list[str]:
    try:
        shown = [cut(change_line(row), _WIDTH) for row in islice(rows, _SHOWN)]
    except (TableformatError, OSError) as error:
        return [f"(rows cannot be shown: {clean(str(error))[:300]})"]
    return [*shown, "…"] if count > len(shown) else shown


def change_line(row: Row) -> str:
    """A row of a diff in one line: `~ id=5  label: 1 → 2`."""
    shown = [_SIGNS[row["change"]]]
    if "count" in row:
        shown[0] += f" {row['count']} ×"
        return " ".join([*shown, _fields(row["after"] if row["after"] is not None else row["before"])])
    names = [name for name in row if name not in ("change", "changed", "before", "after")]
    shown.append(", ".join(f"{clean(name)}={_text(row[name])}" for name in names))
    if row["change"] == "changed":
        shown += [f" {clean(name)}: {_part(row, 'before', name)} → {_part(row, 'after', name)}" for name in row["changed"]]  # fmt: skip
    else:
        shown.append(" " + _fields(row["before"] if row.get("after") is None else row["after"], names))
    return " ".join(shown).rstrip()


def _part(row: Row, side: str, name: str) -> str:
    values = row[side]
    return _text(values[name]) if name in values else "…"  # an annotation is shown with its medium


def _fields(row: Any, left_out: list[str] | None = None) -> str:
    told = [] if row is None else [f"{clean(name)}={_text(value)}" for name, value in row.items() if name not in (left_out or [])]  # fmt: skip
    return ", ".join(told)


def _text(value: Any) -> str:
    return cut(value_text(value), _CELL)


def html_of_diff(summary: Summary, rows: Iterator[Row], count: int) -> str:
    """The same as HTML."""
    lines = "<br>".join(escape(line) for line in summary.lines())
    title = f"Diff {summary.before} → {summary.after}: {count:,} {'row' if count == 1 else 'rows'}"
    preview = "<br>".join(escape(line) for line in _preview(rows, count))
    return f"<div><p>{escape(title)}</p><p>{lines}</p><p><code>{preview}</code></p></div>"

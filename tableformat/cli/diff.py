"""The command `diff`: what changed between two tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Final

import tableformat
from tableformat.cli.address import open_table
from tableformat.cli.output import emit, emit_json, plain_value, short_value

__all__ = ["run_diff"]

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "same": "="}
_FIXED: Final = ("change", "changed", "count", "before", "after")


def run_diff(options: argparse.Namespace) -> int:
    """Added, removed and changed rows, and counts of them."""
    tables = [open_table(text) for text in (options.before, options.after)]
    diff = tableformat.diff(tables[0], tables[1], on=options.on or None, keep=options.keep, memory=options.memory)
    rows = iter(()) if options.summary else diff.head(options.limit).rows()
    if options.json:
        told: dict[str, Any] = {"summary": plain_value(diff.summary().to_json())}
        if not options.summary:
            told |= {"rows": [_row_json(row) for row in rows], "total": len(diff)}
        emit_json(told)
        return 0
    emit(*diff.summary().lines())
    if options.summary:
        return 0
    shown = 0
    for line in _lines(rows):
        emit(line)
        shown += 1
    if shown < len(diff):
        emit(f"… {shown:,} of {len(diff):,} rows")
    return 0


def _row_json(row: tableformat.Row) -> dict[str, Any]:
    return {name: plain_value(value) for name, value in row.items()}


def _lines(rows: Iterator[tableformat.Row]) -> Iterator[str]:
    for row in rows:
        if "count" in row:
            kept = row["before"] if row["after"] is None else row["after"]
            yield f"{_SIGNS[row['change']]} {row['count']} × {_fields(kept, ())}"
            continue
        keys = [name for name in row if name not in _FIXED]
        line = f"{_SIGNS[row['change']]} " + ", ".join(f"{name}={short_value(row[name])}" for name in keys)
        if row["change"] == "changed":
            line += "".join(f"  {name}: {_value(row['before'], name)} → {_value(row['after'], name)}" for name in row["changed"])  # fmt: skip
        elif kept := row["before"] if row["after"] is None else row["after"]:
            line += f"  {_fields(kept, keys)}"
        yield line.rstrip()


def _value(row: tableformat.Row, name: str) -> str:
    return short_value(row[name]) if name in row else "…"  # an annotation is part of its medium


def _fields(row: tableformat.Row, left_out: Any) -> str:
    return ", ".join(f"{name}={short_value(value)}" for name, value in row.items() if name not in left_out)

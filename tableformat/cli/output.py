"""What is printed: text for people, in which nothing from a store can move the cursor, or one JSON document for programs."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import tableformat

__all__ = [
    "clean",
    "columns_text",
    "emit",
    "emit_json",
    "note",
    "plain_value",
    "short_value",
    "size_text",
    "stored_text",
]

_JOINERS: Final = frozenset("\u200c\u200d")  # within words of many scripts, and harmless
_MAX_CELL: Final = 40


def clean(text: str) -> str:
    """`text` with everything escaped that is not shown as itself: control characters, line ends, bidirectional marks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in _JOINERS or not _is_unsafe(char) else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def emit(*lines: str) -> None:
    """Print lines on standard output. Each is one line, whatever stands in it."""
    for line in lines:
        sys.stdout.write(_encodable(clean(line), sys.stdout) + "\n")


def note(*lines: str) -> None:
    """Print lines beside the output, on standard error, with the name of the program."""
    for line in lines:
        sys.stderr.write(_encodable(f"tableformat: {clean(line)}", sys.stderr) + "\n")


def _encodable(text: str, stream: Any) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def emit_json(value: Any) -> None:
    """Print one JSON document, in ASCII."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False, default=str) + "\n")


def size_text(size: int | None) -> str:
    """Bytes for people: `3.4 MB`."""
    if size is None:
        return "?"
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def stored_text(report: Mapping[str, Any]) -> str:
    """What a commit stored, from its report: `3.4 MB new, 0 B of media deduplicated, 984,038 of 999,901 rows as before`."""
    new, shared, kept = (report.get(name, 0) for name in ("bytes_new", "bytes_shared", "rows_reused"))
    told = f"{size_text(new)} new, {size_text(shared)} of media deduplicated"
    if kept:
        return f"{told}, {kept:,} of {report.get('rows', 0):,} rows as before"
    if columns := report.get("bytes_reused", 0):
        return f"{told}, {size_text(columns)} of columns as before"
    return told


def columns_text(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Lines with aligned columns, cut to the width of the terminal where there is one; those in `right` are numbers."""
    table = [[clean(cell) for cell in row] for row in [list(header), *rows]]
    widths = [max(_width(row[place]) for row in table) for place in range(len(header))]
    to_right = set(right)
    limit = shutil.get_terminal_size((10_000, 24)).columns if sys.stdout.isatty() else 10_000
    lines = []
    for row in table:
        cells = [
            _pad(cell, width, place in to_right) for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        lines.append(line if len(line) <= limit else line[: limit - 1] + "…")
    return lines


def _width(text: str) -> int:
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1 for char in text
    )


def _pad(text: str, width: int, to_right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if to_right else text + space


def short_value(value: Any, class_name: str | None = None) -> str:
    """A value of a row as one short piece of text."""
    if value is None:
        return "null"
    if class_name is not None:
        return str(value) if class_name == str(value) else f"{value} {_cut(class_name)}"
    if isinstance(value, tableformat.Media):
        told = repr(value)
        return told[1:-1] if told.startswith("<") else _cut(told)
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if hasattr(value, "dtype") and hasattr(value, "shape") and value.shape:
        return f"{value.dtype}[{'×'.join(map(str, value.shape))}]"
    if isinstance(value, float):
        return f"{value:.6g}" if float(f"{value:.6g}") == value else repr(value)
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def plain_value(value: Any) -> Any:
    """A value of a row as JSON holds it. Of media it tells kind, format, size and digest, of bytes their number."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, tableformat.Media):
        reference = value.reference
        told = {
            "media": value.kind,
            "size": value.size,
            "digest": value.digest,
            "caption": value.caption,
            "uri": None if reference is None else reference.uri,
        }
        return {
            name: one
            for name, one in {**told, **{k: plain_value(v) for k, v in value.fields.items()}}.items()
            if one is not None
        }
    if isinstance(value, Mapping):
        return {str(name): plain_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(one) for one in value]
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if hasattr(value, "tolist"):  # arrays and numbers of numpy; its times would become numbers of nanoseconds
        return (
            str(value)
            if value.dtype.kind in "mM" and not value.shape
            else plain_value([*value] if value.dtype.kind in "mM" else value.tolist())
        )
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

"""Text of a store as it is shown: nothing in it moves the cursor, turns the line around or becomes a tag."""

from __future__ import annotations

import html
from typing import Any, Final

from tableformat.errors import TableformatError
from tableformat.table.rows import short

__all__ = ["CELL", "clean", "cut", "escape", "value_text"]

CELL: Final = 24
"""Characters of a value that are shown."""


def value_text(value: Any) -> str:
    """A value as a few words; one that cannot be read by the name of its error."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return clean(value)
    try:
        return short(value, CELL)
    except (TableformatError, OSError) as error:
        return f"<{type(error).__name__}>"


def clean(text: str) -> str:
    """Without what would move the cursor, colour the screen or turn the line around."""
    return "".join(char if char.isprintable() else "·" for char in text)


def cut(text: str, width: int) -> str:
    """At most `width` characters, the last of them an ellipsis where some are left out."""
    return text if len(text) <= width else text[: width - 1] + "…"


def escape(text: str) -> str:
    """Clean text for HTML, attributes included."""
    return html.escape(clean(text), quote=True)

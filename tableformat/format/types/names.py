"""Names of columns and fields: one spelling each, and no two that some engine would take for one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Final

from tableformat.errors import SchemaError, message

__all__ = ["MAX_NAME_BYTES", "check_name", "check_names", "fold"]

MAX_NAME_BYTES: Final = 1024
"""Longest name of a column, in UTF-8."""


def check_name(name: Any) -> str:
    """`name` in NFC. Raises `SchemaError` for what is no text, is empty, too long, or has control characters or surrogates."""
    doing = "naming a column"
    if not isinstance(name, str):
        raise SchemaError(message(doing, expected="text", got=f"{name!r} ({type(name).__name__})"))
    text = unicodedata.normalize("NFC", name)
    if not text:
        raise SchemaError(message(doing, expected="a name", got="an empty text"))
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise SchemaError(message(doing, expected="no control characters and no lone surrogates", got=repr(text)[:200]))
    if len(text.encode()) > MAX_NAME_BYTES:
        raise SchemaError(message(doing, expected=f"at most {MAX_NAME_BYTES} bytes", got=f"{len(text.encode())} bytes"))
    return text


def fold(name: str) -> str:
    """What names must differ in: DuckDB and others know no case, and file systems no normalisation form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_names(names: Iterable[str], place: str) -> None:
    """Raises `SchemaError` where two of `names`, which stand side by side in `place`, are one under NFC and case folding."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(fold(name), name)
        if other is not name:
            raise SchemaError(
                message(
                    f"naming the columns of {place}",
                    expected="names that differ in more than case",
                    got=f"{other!r} and {name!r}",
                )
            )
        seen[fold(name)] = name

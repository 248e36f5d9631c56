"""What fields that lie make of a reader: every exception that they can cause becomes one `FormatError` that says where."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from tableformat.errors import FormatError, TableformatError, message

__all__ = ["MALFORMED", "Telling", "json_object"]

MALFORMED: Final = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError, AssertionError, pa.ArrowException,
)  # fmt: skip
"""What Python and Arrow raise over values that are not what the specification says."""


class Telling:
    """In a `with` statement: what is `MALFORMED` inside is raised as a `FormatError` that names `path`; our own errors pass."""

    __slots__ = ("_doing", "_path")

    def __init__(self, doing: str, path: str) -> None:
        self._doing = doing
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, MALFORMED) and not isinstance(error, TableformatError):
            raise FormatError(
                message(self._doing, path=self._path, expected="what the specification says", got=ascii(error)[:300],
                        todo="verify the store")
            ) from error  # fmt: skip


def json_object(text: str, doing: str, path: str) -> dict[str, Any]:
    """The JSON object that somebody's text holds. Raises `FormatError` for any other text, and for nesting that Python refuses."""
    with Telling(doing, path):
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(f"{type(value).__name__} where an object is wanted")
        return value

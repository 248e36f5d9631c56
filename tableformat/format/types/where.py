"""Where a value stands, for messages: the column, the row of the table, and the way down into nested values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from tableformat.errors import SchemaError, message

__all__ = ["Where"]


@dataclass(frozen=True, slots=True)
class Where:
    """A column of a batch, or a node inside one. Indices are translated to rows only when an error is made."""

    column: str
    """The column as shown in messages: `image`, `person.name`, `scores[]`."""
    row0: int = 0
    """The position in the table of the first row of the batch."""
    to_row: Callable[[int], int] | None = None
    """From an index at this node to a row of the batch, counted from 0; None where they are the same."""

    def row(self, index: int) -> int:
        """The position in the table of the row that holds the value at `index` of this node."""
        return self.row0 + (index if self.to_row is None else self.to_row(index))

    def child(self, suffix: str, to_parent: Callable[[int], int] | None = None) -> Where:
        """A node below this one; `to_parent` leads from its index to the index of the value here that holds it."""
        if to_parent is None:
            return Where(self.column + suffix, self.row0, self.to_row)
        above = self.to_row
        if above is None:
            return Where(self.column + suffix, self.row0, to_parent)
        return Where(self.column + suffix, self.row0, lambda index: above(to_parent(index)))

    def error(self, index: int | None, *, expected: object, got: object, todo: str | None = None) -> SchemaError:
        """The error for the value at `index`; without an index, for the column as a whole."""
        place = f"column {self.column!r}" if index is None else f"column {self.column!r}, row {self.row(index)}"
        return SchemaError(message(f"storing {place}", expected=expected, got=got, todo=todo))

    def fail(self, index: int | None, *, expected: object, got: object, todo: str | None = None) -> NoReturn:
        """Raise `error`."""
        raise self.error(index, expected=expected, got=got, todo=todo)

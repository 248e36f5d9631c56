"""`DeferredTable`: a table of files that have to be brought into the format before they can be read, which waits until rows are
asked for.

What can be told from the beginning of a file is told from there: its columns, its first rows, how it looks. Whatever needs
all of it reads all of it, once, into a temporary place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from tableformat.table.selection import as_index
from tableformat.table.show import PREVIEW, html_of_table, text_of_table
from tableformat.table.source import TableSource
from tableformat.table.table import Table

__all__ = ["Deferred", "DeferredTable"]


class Deferred(Protocol):
    """Files that become a table."""

    def source(self) -> TableSource:
        """All of it; asked for once."""

    def first(self) -> Table | None:
        """Its first rows, of a bounded part of the files; None where they do not begin so. Asked for once."""

    def reopening(self) -> tuple[Callable[..., Table], tuple[Any, ...]]:
        """What a pickle holds: a function and its arguments, without credentials."""


class DeferredTable(Table):
    """A table that is made from foreign files when something of it is asked for that needs them whole.

    `columns`, `head` and the way it is shown come from the beginning of the files; until all was read, types there are those
    of the first rows, which later ones may widen.
    """

    def __init__(self, deferred: Deferred) -> None:
        self._deferred = deferred
        self._gate = threading.RLock()
        self._is_open = False
        self._first: list[Table | None] = []

    def __getattr__(self, name: str) -> Any:
        # Asked for what `Table.__init__` would have made.
        if not name.startswith("_") or name.endswith("_") or self.__dict__.get("_is_open", True):
            raise AttributeError(name)
        with self._gate:
            if not self._is_open:
                super().__init__(self._deferred.source())
                self._is_open = True
                self._first.clear()
        return object.__getattribute__(self, name)

    def _beginning(self) -> Table | None:
        with self._gate:
            if self._is_open:
                return None
            if not self._first:
                self._first.append(self._deferred.first())
            return self._first[0]

    @property
    def columns(self) -> list[str]:
        """The names of the columns of its rows."""
        first = self._beginning()
        return super().columns if first is None else first.columns

    def head(self, n: int = 10) -> Table:
        """The first `n` rows; of the beginning of the files, where they are there."""
        first = self._beginning()
        return super().head(n) if first is None or len(first) < as_index(n) else first.head(n)

    def __reduce__(self) -> tuple[Callable[..., Table], tuple[Any, ...]]:
        return self._deferred.reopening()

    def __repr__(self) -> str:
        first = self._beginning()
        if first is None:
            return super().__repr__()
        return _at_least(first, text_of_table(first, first.head(PREVIEW), len(first)))

    def _repr_html_(self) -> str:
        first = self._beginning()
        if first is None:
            return super()._repr_html_()
        return _at_least(first, html_of_table(first, first.head(PREVIEW), len(first)))


def _at_least(first: Table, text: str) -> str:
    """`text` with the number of rows as what is known of it."""
    return text.replace(f": {len(first):,} row", f": at least {len(first):,} row", 1)

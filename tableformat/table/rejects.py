"""Rows that do not fit: whether to raise, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

from tableformat.errors import InvalidInputError, Problem, message

__all__ = ["OnError", "Rejects"]

OnError = Literal["raise", "null", "skip", "collect"]
"""What to do with a row that does not fit."""
_REASON_CHARS: Final = 500


class Rejects:
    """The rows of one table that were not stored as given. Holds at most `max_errors` of them."""

    def __init__(self, on_error: OnError, max_errors: int, table: str) -> None:
        if on_error not in get_args(OnError):
            raise InvalidInputError(
                message(
                    f"opening table {table!r}",
                    expected="on_error " + " | ".join(get_args(OnError)),
                    got=repr(on_error)[:40],
                )
            )
        self._mode = on_error
        self._max = max_errors
        self._table = table
        self._rows: list[tuple[int, str, str]] = []
        self._places: list[tuple[int, bool]] = []  # of each: rows stored before it, and whether it was left out
        self.left_out = 0
        """Rows that were left out."""

    @property
    def raises(self) -> bool:
        """Whether the first fault is an error."""
        return self._mode == "raise"

    @property
    def rows(self) -> tuple[tuple[int, str, str], ...]:
        """Position among the rows given, column, reason."""
        return tuple(self._rows)

    def count_before(self, row: int) -> int:
        """How many of them came before stored row `row`."""
        return sum(stored < row for stored, _ in self._places)

    def left_out_of(self, count: int) -> int:
        """How many of the first `count` were left out."""
        return sum(is_out for _, is_out in self._places[:count])

    def restore(self, rows: Sequence[tuple[int, str, str]], left_out: int) -> None:
        """Before the first: those that another has noted of the same table, of which `left_out` were left out."""
        self._rows, self.left_out = list(rows), left_out
        self._places = [(0, index < left_out) for index in range(len(rows))]

    def add(self, row: int, column: str, error: InvalidInputError) -> bool:
        """Note a fault; returns whether the row is to be stored with null in `column`.

        Raises `error` itself with `on_error="raise"`, and `InvalidInputError` past `max_errors`.
        """
        if self._mode == "raise":
            raise error
        self._rows.append((row, column, str(error)[:_REASON_CHARS]))
        self._places.append((row - self.left_out, not (self._mode == "null" and column)))
        if len(self._rows) > self._max:
            problems = [Problem(f"row {row}, column {column!r}", reason) for row, column, reason in self._rows[:10]]
            raise InvalidInputError(
                message(f"writing table {self._table!r}", expected=f"at most max_errors={self._max} rows that do not fit", got="more",
                        todo="mend the source, or raise max_errors"),
                problems,
            )  # fmt: skip
        if self._mode == "null" and column:
            return True
        self.left_out += 1
        return False

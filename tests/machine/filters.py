"""Filters drawn for a model of a table, with what they say of a row of dicts."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tableformat import col
from tests.table.edit.model import TYPES, Row, TableModel

__all__ = ["draw_filter"]

Truth = Callable[[Row], bool | None]
"""True, false, or None for unknown."""
_COMPARED = ("int32", "int64", "float64", "string", "bool", "binary")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def draw_filter(draw: Any, model: TableModel, depth: int = 0) -> tuple[Any, Truth]:
    """An expression over columns of the model, and its truth for a row."""
    kind = draw(st.sampled_from(["compare", "compare", "in", "null", *(["not", "and", "or"] if depth < 2 else [])]))
    if kind == "not":
        expr, truth = draw_filter(draw, model, depth + 1)
        return ~expr, lambda row: None if (found := truth(row)) is None else not found
    if kind in ("and", "or"):
        (left, one), (right, other) = (draw_filter(draw, model, depth + 1) for _ in range(2))
        return (left & right, _both(one, other)) if kind == "and" else (left | right, _either(one, other))
    compared = [name for name, of in model.types.items() if of in _COMPARED]
    if kind == "null" or not compared:
        name = draw(st.sampled_from(list(model.types)))
        return col(name).is_null(), lambda row: row[name] is None
    name = draw(st.sampled_from(compared))
    if kind == "in":
        values = draw(st.lists(_value(model, name), max_size=4))
        return col(name).is_in(values), _among(name, values)
    word, value = draw(st.sampled_from(sorted(_OPERATORS))), draw(_value(model, name))
    compare = _OPERATORS[word]
    return compare(col(name), value), lambda row: None if row[name] is None else bool(compare(row[name], value))


def _value(model: TableModel, name: str) -> st.SearchStrategy[Any]:
    """A value of the column, mostly one that it holds."""
    there = [row[name] for row in model.rows if row[name] is not None]
    return st.sampled_from(there) if there else TYPES[model.types[name]][1]


def _among(name: str, values: list[Any]) -> Truth:
    return lambda row: None if row[name] is None else row[name] in values


def _both(one: Truth, other: Truth) -> Truth:
    def truth(row: Row) -> bool | None:
        found = (one(row), other(row))
        return False if False in found else None if None in found else True

    return truth


def _either(one: Truth, other: Truth) -> Truth:
    def truth(row: Row) -> bool | None:
        found = (one(row), other(row))
        return True if True in found else None if None in found else False

    return truth

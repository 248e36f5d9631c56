"""Column expressions: `col("score") > 0.5`, built without data, kept as values, and bound to a schema later.

Nothing is read or checked here: `bind` in `format/bound.py` finds the columns, fits the literals to their types and says
what a part's statistics let a reader skip. Comparisons with null are neither true nor false, and a filter keeps the rows
for which the expression is true (spec/reading.md, "Filters").
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, NoReturn

import numpy as np

from tableformat.document import JsonObject
from tableformat.errors import FormatError, InvalidInputError, LimitError, UsageError, message

__all__ = [
    "And",
    "ColumnExpr",
    "Compare",
    "IsIn",
    "IsNan",
    "IsNull",
    "Not",
    "Operator",
    "Or",
    "Predicate",
    "all_of",
    "col",
    "predicate_from_json",
]

Operator = Literal["==", "!=", "<", "<=", ">", ">="]

_MAX_DEPTH: Final = 200
"""Deepest nesting of a predicate that is read from JSON; Python's own stack ends near 1,000 frames."""


class Predicate:
    """What is true, false or unknown of a row. Combine with `&`, `|` and `~`; equal predicates are equal values.

    Frozen, hashable where its literals are, and picklable. `to_json` and `predicate_from_json` keep it as a document.
    """

    __slots__ = ()

    def __and__(self, other: object) -> Predicate:
        return And(self, other) if isinstance(other, Predicate) else NotImplemented

    def __or__(self, other: object) -> Predicate:
        return Or(self, other) if isinstance(other, Predicate) else NotImplemented

    def __invert__(self) -> Predicate:
        return Not(self)

    def __bool__(self) -> bool:
        raise UsageError(
            message("using an expression", expected="&, | or ~ between expressions, each in parentheses",
                    got="`and`, `or`, `not`, `in` or a chained comparison, which Python decides at once")
        )  # fmt: skip

    def to_json(self) -> JsonObject:
        """The predicate as a JSON object of texts, integers, bools and lists."""
        raise AssertionError(type(self))


@dataclass(frozen=True, slots=True)
class Compare(Predicate):
    """A column beside a literal, or beside another column (then `value` is a `ColumnExpr`)."""

    op: Operator
    column: str
    value: Any

    def __repr__(self) -> str:
        return f"col({self.column!r}) {self.op} {self.value!r}"

    # `ColumnExpr.__eq__` builds an expression, so the comparison that a dataclass brings would not do.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compare) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        is_column = isinstance(self.value, ColumnExpr)
        return self.op, self.column, is_column, self.value.name if is_column else self.value, type(self.value)

    def to_json(self) -> JsonObject:
        value = {"column": self.value.name} if isinstance(self.value, ColumnExpr) else _literal_json(self.value)
        return {"op": self.op, "column": self.column, "value": value}


@dataclass(frozen=True, slots=True)
class IsIn(Predicate):
    """A column whose value is one of `values`; None among them stands for null."""

    column: str
    values: tuple[Any, ...]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.values[:10])) + (
            f", … {len(self.values)} in all" if len(self.values) > 10 else ""
        )
        return f"col({self.column!r}).is_in([{shown}])"

    def to_json(self) -> JsonObject:
        return {"op": "in", "column": self.column, "values": [_literal_json(value) for value in self.values]}


@dataclass(frozen=True, slots=True)
class IsNull(Predicate):
    """A column that is null. Never unknown."""

    column: str

    def __repr__(self) -> str:
        return f"col({self.column!r}).is_null()"

    def to_json(self) -> JsonObject:
        return {"op": "null", "column": self.column}


@dataclass(frozen=True, slots=True)
class IsNan(Predicate):
    """A column of floats that is NaN; unknown where it is null."""

    column: str

    def __repr__(self) -> str:
        return f"col({self.column!r}).is_nan()"

    def to_json(self) -> JsonObject:
        return {"op": "nan", "column": self.column}


@dataclass(frozen=True, slots=True)
class And(Predicate):
    """Both hold."""

    left: Predicate
    right: Predicate

    def __repr__(self) -> str:
        return f"{_inner(self.left)} & {_inner(self.right)}"

    def to_json(self) -> JsonObject:
        return {"op": "and", "of": [self.left.to_json(), self.right.to_json()]}


@dataclass(frozen=True, slots=True)
class Or(Predicate):
    """One of both holds."""

    left: Predicate
    right: Predicate

    def __repr__(self) -> str:
        return f"{_inner(self.left)} | {_inner(self.right)}"

    def to_json(self) -> JsonObject:
        return {"op": "or", "of": [self.left.to_json(), self.right.to_json()]}


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    """It is false; where it is unknown, so is this."""

    inner: Predicate

    def __repr__(self) -> str:
        return f"~{_inner(self.inner)}"

    def to_json(self) -> JsonObject:
        return {"op": "not", "of": [self.inner.to_json()]}


def _inner(predicate: Predicate) -> str:
    text = repr(predicate)
    return text if isinstance(predicate, (IsIn, IsNull, IsNan, Not)) else f"({text})"


@dataclass(frozen=True, slots=True, eq=False)
class ColumnExpr:
    """A column in an expression, made by `col`. Comparisons with it give a `Predicate`."""

    name: str
    """A column, or a field of a struct column after a dot. A column whose own name has the dot wins."""

    __array_ufunc__: ClassVar[None] = None  # numpy's scalars leave `3 < col("x")` to the column

    def __repr__(self) -> str:
        return f"col({self.name!r})"

    def __eq__(self, other: object) -> Predicate:  # type: ignore[override]  # an expression, not an answer
        return IsNull(self.name) if other is None else Compare("==", self.name, _literal(other))

    def __ne__(self, other: object) -> Predicate:  # type: ignore[override]  # as above
        return Not(IsNull(self.name)) if other is None else Compare("!=", self.name, _literal(other))

    def __lt__(self, other: object) -> Predicate:
        return Compare("<", self.name, _literal(other))

    def __le__(self, other: object) -> Predicate:
        return Compare("<=", self.name, _literal(other))

    def __gt__(self, other: object) -> Predicate:
        return Compare(">", self.name, _literal(other))

    def __ge__(self, other: object) -> Predicate:
        return Compare(">=", self.name, _literal(other))

    def __hash__(self) -> int:
        return hash((ColumnExpr, self.name))

    def __bool__(self) -> bool:
        raise UsageError(
            message(
                "using a column as a condition",
                path=self.name,
                expected=f"a comparison such as col({self.name!r}) == True",
            )
        )

    def is_null(self) -> Predicate:
        """Whether the value is null."""
        return IsNull(self.name)

    def is_nan(self) -> Predicate:
        """Whether the value, of a column of floats, is NaN."""
        return IsNan(self.name)

    def is_in(self, values: Iterable[Any]) -> Predicate:
        """Whether the value equals one of `values`; None stands for null. NaN equals nothing."""
        if isinstance(values, (str, bytes)):
            raise UsageError(
                message("is_in", path=self.name, expected="a list of values", got=f"one value, {values!r}")
            )
        if hasattr(values, "to_pylist"):  # an Arrow array
            values = values.to_pylist()
        return IsIn(self.name, tuple(None if value is None else _literal(value) for value in values))

    def between(self, low: Any, high: Any) -> Predicate:
        """Whether `low <= value <= high`."""
        return And(self >= low, self <= high)


def col(name: str) -> ColumnExpr:
    """The column `name` for use in expressions; `col("box.width")` is the field `width` of the struct column `box`."""
    if not isinstance(name, str):
        raise UsageError(message("naming a column", expected="a text", got=repr(name)[:100]))
    return ColumnExpr(name)


def all_of(predicates: Iterable[Predicate]) -> Predicate | None:
    """All of `predicates`, joined by `&`; None where there are none."""
    joined: Predicate | None = None
    for predicate in predicates:
        joined = predicate if joined is None else And(joined, predicate)
    return joined


def _literal(value: Any) -> Any:
    """The value as one of the few Python types that literals have; raises `InvalidInputError` for others."""
    if isinstance(value, Predicate):
        _refuse(value)
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if hasattr(value, "as_py"):  # an Arrow scalar
        value = value.as_py()
    if type(value).__module__.partition(".")[0] == "pandas":
        if hasattr(value, "to_datetime64") and value.tzinfo is None:
            return value.to_datetime64()
        if hasattr(value, "to_timedelta64"):
            return value.to_timedelta64()
        if hasattr(value, "to_pydatetime"):
            return value.to_pydatetime(warn=False)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (ColumnExpr, *_TAGS)):
        return value
    return _refuse(value)


def _refuse(value: Any) -> NoReturn:
    raise InvalidInputError(
        message("comparing a column", expected="a number, text, bytes, date, time, UUID or another column",
                got=f"{repr(value)[:100]} ({type(value).__name__})")
    )  # fmt: skip


# How literals that JSON does not have are written: a tag and a text. Canonical documents hold no floats.
_TAGS: Final[dict[type, str]] = {
    bool: "",
    int: "int",
    float: "float",
    str: "",
    bytes: "bytes",
    datetime.datetime: "datetime",
    datetime.date: "date",
    datetime.time: "time",
    datetime.timedelta: "timedelta",
    decimal.Decimal: "decimal",
    uuid.UUID: "uuid",
}


def _literal_json(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else {"int": str(value)}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime.timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return {
            type(value).__name__: [
                str(int(value.astype(np.int64))),
                np.datetime_data(value)[0],
                np.datetime_data(value)[1],
            ]
        }
    if isinstance(value, (datetime.date, datetime.time)):
        return {_TAGS[datetime.datetime if isinstance(value, datetime.datetime) else type(value)]: value.isoformat()}
    return {_TAGS[type(value)]: str(value)}


def _literal_from_json(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str, int)):
        return value
    [(tag, text)] = value.items()
    if tag in ("datetime64", "timedelta64"):
        count, unit, step = text
        if unit == "generic":  # NaT without a unit
            return getattr(np, tag)("NaT")
        return getattr(np, tag)(int(count), (str(unit), int(step)))
    if tag == "timedelta":
        return datetime.timedelta(*map(int, text))
    return _PARSERS[tag](text)


_PARSERS: Final[dict[str, Any]] = {
    "int": int,
    "float": float,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    "column": ColumnExpr,
}


def predicate_from_json(value: Any, depth: int = 0) -> Predicate:
    """The predicate that `to_json` gave. Raises `FormatError` for anything else, `LimitError` where it is nested too deep."""
    doing = "reading an expression"
    if depth > _MAX_DEPTH:
        raise LimitError(message(doing, expected=f"nesting of at most {_MAX_DEPTH}"))
    try:
        found = _from_json(value, depth)
    except (KeyError, TypeError, ValueError, AttributeError, decimal.DecimalException) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            message(doing, expected="an expression of spec/reading.md", got=f"{repr(value)[:100]}: {error}")
        ) from error
    if found is None:
        raise FormatError(message(doing, expected="an expression of spec/reading.md", got=repr(value)[:100]))
    return found


def _from_json(value: Any, depth: int) -> Predicate | None:
    op = value["op"]
    if op in ("and", "or", "not"):
        inner = [predicate_from_json(part, depth + 1) for part in value["of"]]
        return Not(*inner) if op == "not" else (And if op == "and" else Or)(*inner)
    column = value["column"]
    if not isinstance(column, str):
        return None
    if op == "null":
        return IsNull(column)
    if op == "nan":
        return IsNan(column)
    if op == "in":
        return IsIn(column, tuple(_literal_from_json(item) for item in value["values"]))
    if op in ("==", "!=", "<", "<=", ">", ">="):
        return Compare(op, column, _literal_from_json(value["value"]))
    return None


def is_nan_literal(value: Any) -> bool:
    """Whether a literal is NaN or NaT, which equals nothing and is in no order."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    return isinstance(value, float) and math.isnan(value)

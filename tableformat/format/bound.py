"""Expressions bound to a schema: what rows they keep, and which runs of rows cannot hold one that is kept.

An expression is true, false or unknown of a row, as in SQL: unknown is what a comparison with null gives. `may_match`
asks of bounds whether any row could be true, and says yes on any doubt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import FormatError, NotFoundError, SchemaError, message
from tableformat.format.bounds import Bounds
from tableformat.format.expr import And, ColumnExpr, Compare, IsIn, IsNan, IsNull, Not, Operator, Or, Predicate
from tableformat.format.literals import Order, fit, scalar_of
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, ColumnType, Field, ScalarType, StructType
from tableformat.format.types.nearest import nearest

__all__ = ["Bound", "BoundsOf", "ClassIds", "Leaf", "bind", "find_leaf"]

BoundsOf = Callable[["Leaf"], Bounds]
"""The bounds of a column over some rows; `UNKNOWN` where nothing is known."""
ClassIds = Callable[[str, str], int | None]
"""(digest of a class set, name) → the id of the class, or None where the set has no such name."""

_KERNELS: dict[str, Callable[[Any, Any], Any]] = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
_NULL = pa.nulls(1, pa.bool_())[0]  # pa.scalar would import pandas, where that is installed: 200 ms


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column, or a field of structs below one."""

    path: tuple[str, ...]
    """The column and the fields below it."""
    column_id: int | None
    """The id of the column."""
    type: ColumnType
    storage: pa.DataType
    """The physical type of what the path leads to."""

    def value(self, batch: pa.RecordBatch | None) -> Any:
        """The array in `batch`; without one, the Arrow expression that stands for it."""
        if batch is None:
            found: Any = pc.field(*self.path)
        else:
            found = batch.column(self.path[0])
            if len(self.path) > 1:
                found = pc.struct_field(found, list(self.path[1:]))
        return found.cast(pa.float32()) if pa.types.is_float16(self.storage) else found


class _Node(ABC):
    """A bound expression."""

    __slots__ = ()

    @abstractmethod
    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        """True, false or null for each row; without a batch, the Arrow expression that gives them."""

    @abstractmethod
    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        """Whether any row with these bounds may be true, and whether any may be false."""

    @abstractmethod
    def leaves(self) -> Sequence[Leaf]:
        """What it compares."""


@dataclass(frozen=True, slots=True)
class _Compare(_Node):
    op: Operator
    leaf: Leaf
    value: Order

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        return _KERNELS[self.op](self.leaf.value(batch), scalar_of(self.value, self.leaf.storage))

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        bounds = bounds_of(self.leaf)
        if not bounds.may_have_value:
            return False, False
        value: Any = self.value
        low: Any = bounds.least
        high: Any = bounds.most
        # Whether some value may be below, equal to, or above the literal.
        below = low is None or low < value
        above = high is None or high > value
        equal = (low is None or low <= value) and (high is None or high >= value)
        nan = pa.types.is_floating(self.leaf.storage)  # NaN is none of the three: only `!=` is true of it
        true = {
            "==": equal,
            "!=": below or above or nan,
            "<": below,
            "<=": below or equal,
            ">": above,
            ">=": above or equal,
        }
        false = {"==": below or above, "!=": equal, "<": above or equal, "<=": above, ">": below or equal, ">=": below}
        return true[self.op], false[self.op] or (nan and self.op != "!=")

    def leaves(self) -> Sequence[Leaf]:
        return (self.leaf,)


@dataclass(frozen=True, slots=True)
class _Constant(_Node):
    """One answer for every value that is not null."""

    leaf: Leaf
    answer: bool

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        return pc.if_else(pc.is_null(self.leaf.value(batch)), _NULL, pa.scalar(self.answer))

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        has_value = bounds_of(self.leaf).may_have_value
        return has_value and self.answer, has_value and not self.answer

    def leaves(self) -> Sequence[Leaf]:
        return (self.leaf,)


@dataclass(frozen=True, slots=True)
class _In(_Node):
    leaf: Leaf
    values: tuple[Order, ...]
    with_null: bool

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        array = self.leaf.value(batch)
        type_ = pa.float32() if pa.types.is_float16(self.leaf.storage) else self.leaf.storage
        wanted = pa.array([scalar_of(value, self.leaf.storage) for value in self.values], type_)
        found = pc.is_in(array, value_set=wanted)
        return pc.if_else(pc.is_null(array), pa.scalar(True) if self.with_null else _NULL, found)

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        bounds = bounds_of(self.leaf)
        low: Any = bounds.least
        high: Any = bounds.most
        inside = any((low is None or low <= value) and (high is None or high >= value) for value in self.values)
        return (inside and bounds.may_have_value) or (self.with_null and bounds.may_have_null), bounds.may_have_value

    def leaves(self) -> Sequence[Leaf]:
        return (self.leaf,)


@dataclass(frozen=True, slots=True)
class _Null(_Node):
    leaf: Leaf

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        return pc.is_null(self.leaf.value(batch))

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        bounds = bounds_of(self.leaf)
        return bounds.may_have_null, bounds.may_have_value

    def leaves(self) -> Sequence[Leaf]:
        return (self.leaf,)


@dataclass(frozen=True, slots=True)
class _Nan(_Node):
    leaf: Leaf

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        return pc.is_nan(self.leaf.value(batch))

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        has_value = bounds_of(self.leaf).may_have_value
        return has_value, has_value

    def leaves(self) -> Sequence[Leaf]:
        return (self.leaf,)


@dataclass(frozen=True, slots=True)
class _Columns(_Node):
    """Two columns beside each other: nothing is skipped by bounds but what is null throughout."""

    op: Operator
    left: Leaf
    right: Leaf

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        return _KERNELS[self.op](self.left.value(batch), self.right.value(batch))

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        both = bounds_of(self.left).may_have_value and bounds_of(self.right).may_have_value
        return both, both

    def leaves(self) -> Sequence[Leaf]:
        return self.left, self.right


@dataclass(frozen=True, slots=True)
class _Pair(_Node):
    """Both, or one of both."""

    is_and: bool
    left: _Node
    right: _Node

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        kernel = pc.and_kleene if self.is_and else pc.or_kleene
        return kernel(self.left.evaluate(batch), self.right.evaluate(batch))

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        true, false = self.left.possible(bounds_of)
        also_true, also_false = self.right.possible(bounds_of)
        if self.is_and:
            return true and also_true, false or also_false
        return true or also_true, false and also_false

    def leaves(self) -> Sequence[Leaf]:
        return *self.left.leaves(), *self.right.leaves()


@dataclass(frozen=True, slots=True)
class _Not(_Node):
    inner: _Node

    def evaluate(self, batch: pa.RecordBatch | None) -> Any:
        return pc.invert(self.inner.evaluate(batch))

    def possible(self, bounds_of: BoundsOf) -> tuple[bool, bool]:
        true, false = self.inner.possible(bounds_of)
        return false, true

    def leaves(self) -> Sequence[Leaf]:
        return self.inner.leaves()


@dataclass(frozen=True, slots=True)
class Bound:
    """A predicate that fits a schema. Made by `bind`."""

    predicate: Predicate
    root: _Node

    @property
    def columns(self) -> tuple[str, ...]:
        """The top-level columns that it reads, each once, in the order of the expression."""
        return tuple(dict.fromkeys(leaf.path[0] for leaf in self.root.leaves()))

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Everything it compares."""
        return tuple(dict.fromkeys(self.root.leaves()))

    def expression(self) -> pc.Expression:
        """The same as an Arrow expression over columns in storage types, for datasets and other engines of Arrow."""
        return self.root.evaluate(None)

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """One value a row of `batch`, which has the storage types of the columns: true, false, or null where unknown."""
        return self.root.evaluate(batch)

    def may_match(self, bounds_of: BoundsOf) -> bool:
        """Whether a row with these bounds may be kept. False is certain."""
        try:
            return self.root.possible(bounds_of)[0]
        except TypeError:  # bounds of another type than the column's
            return True


def bind(predicate: Predicate, schema: Schema, class_ids: ClassIds | None = None) -> Bound:
    """Fit `predicate` to the columns of `schema`.

    Raises `NotFoundError` with the nearest name for a column that is not there, `SchemaError` naming both types for a
    comparison that has no meaning. `class_ids` lets texts stand for class ids.
    """
    return Bound(predicate, _bind(predicate, schema, class_ids))


def _bind(predicate: Predicate, schema: Schema, class_ids: ClassIds | None) -> _Node:
    if isinstance(predicate, (And, Or)):
        left, right = (_bind(part, schema, class_ids) for part in (predicate.left, predicate.right))
        return _Pair(isinstance(predicate, And), left, right)
    if isinstance(predicate, Not):
        return _Not(_bind(predicate.inner, schema, class_ids))
    if not isinstance(predicate, (Compare, IsIn, IsNull, IsNan)):
        raise FormatError(message("binding an expression", got=f"an unknown one, {type(predicate).__name__}"))
    leaf = find_leaf(schema, predicate.column)
    if isinstance(predicate, IsNull):
        return _Null(leaf)
    if isinstance(predicate, IsNan):
        if not pa.types.is_floating(leaf.storage):
            raise SchemaError(
                message(f"comparing column {predicate.column!r}", expected="a column of floats", got=leaf.type)
            )
        return _Nan(leaf)
    if isinstance(predicate, IsIn):
        fitted = [
            fit("==", _named(v, leaf, class_ids), leaf.type, predicate.column)
            for v in predicate.values
            if v is not None
        ]
        values = [x[1] for x in fitted if not isinstance(x, bool)]
        if pa.types.is_floating(leaf.storage) and 0 in values:  # the kernel looks values up by their bits
            values += [0.0, -0.0]
        return _In(leaf, tuple(values), None in predicate.values)
    if isinstance(predicate.value, ColumnExpr):
        return _bind_columns(predicate.op, leaf, find_leaf(schema, predicate.value.name), predicate)
    one = fit(predicate.op, _named(predicate.value, leaf, class_ids), leaf.type, predicate.column)
    return _Constant(leaf, one) if isinstance(one, bool) else _Compare(one[0], leaf, one[1])


def _bind_columns(op: Operator, left: Leaf, right: Leaf, predicate: Compare) -> _Node:
    numbers = all(pa.types.is_integer(leaf.storage) or pa.types.is_floating(leaf.storage) for leaf in (left, right))
    plain = all(not pa.types.is_nested(leaf.storage) for leaf in (left, right))
    logical = [leaf.type.data_type if isinstance(leaf.type, ScalarType) else None for leaf in (left, right)]
    mixed = any(
        isinstance(leaf.type, ClassType) or pa.types.is_duration(type_)
        for leaf, type_ in zip((left, right), logical, strict=True)
        if type_
    )
    if not plain or (left.type != right.type and (not numbers or mixed)):
        raise SchemaError(
            message(f"comparing column {predicate.column!r}", expected=f"a column that compares with {left.type}",
                    got=f"{predicate.value.name!r} of type {right.type}")
        )  # fmt: skip
    return _Columns(op, left, right)


def _named(value: Any, leaf: Leaf, class_ids: ClassIds | None) -> Any:
    """The id of the class that a text names in a column of classes."""
    if not isinstance(value, str) or not isinstance(leaf.type, ClassType) or class_ids is None:
        return value
    number = class_ids(leaf.type.classes, value)
    if number is None:
        raise NotFoundError(
            message(f"comparing column {leaf.path[0]!r}", expected="the name of a class", got=repr(value)[:100])
        )
    return number


def find_leaf(schema: Schema, name: str) -> Leaf:
    """What `name` leads to: a column, or fields of structs after dots. A name that is there as a whole wins."""
    found = _find(schema.columns, name)
    if found is None:
        names = [path for column in schema.columns for path in _paths(column, 0)]
        raise NotFoundError(
            message("filtering rows", expected="a column of the table", got=repr(name)[:200], todo=nearest(name, names))
        )
    column = schema[found[0].name]
    return Leaf(tuple(field.name for field in found), column.id, found[-1].type, found[-1].type.storage())


def _find(fields: Sequence[Field], name: str) -> list[Field] | None:
    for field in fields:
        if field.name == name:
            return [field]
    for field in sorted(fields, key=lambda one: -len(one.name)):
        if (
            name.startswith(field.name + ".")
            and (below := _find(_inner(field), name[len(field.name) + 1 :])) is not None
        ):
            return [field, *below]
    return None


def _inner(field: Field) -> Sequence[Field]:
    """The fields that a dot may lead to: of structs, and of the structs in which media and intervals are stored."""
    if isinstance(field.type, StructType):
        return field.type.fields
    storage = field.type.storage()
    if not pa.types.is_struct(storage):
        return ()
    return [
        Field(part.name, _Stored(part.type))
        if pa.types.is_nested(part.type)
        else Field(part.name, ScalarType(part.type))
        for part in storage
    ]


@dataclass(frozen=True, slots=True)
class _Stored(ColumnType):
    """A nested type inside the struct of a media cell or tensor, of which only fields can be compared."""

    data_type: pa.DataType

    def storage(self) -> pa.DataType:
        return self.data_type

    def to_json(self) -> Any:
        return str(self.data_type)


def _paths(field: Field, depth: int) -> list[str]:
    below = [path for inner in _inner(field) for path in _paths(inner, depth + 1)] if depth < 3 else []
    return [field.name, *(f"{field.name}.{path}" for path in below)]

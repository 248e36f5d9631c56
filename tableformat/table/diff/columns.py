"""Which columns of two tables are compared, and in which form (spec/diff.md, "Columns").

Columns meet by name. Their values are brought to one type first: the narrowest that holds both. Class ids of two class sets meet as names.
What has no type in common is told and not compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import NotFoundError, SchemaError, UsageError
from tableformat.format.media.classes import Classes
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, Field, MediaType, ScalarType
from tableformat.format.types.recast import recast
from tableformat.format.types.where import Where
from tableformat.format.types.widen import is_value_checked, unify_types
from tableformat.format.value_digest import identity_of
from tableformat.table.diff.values import encoded
from tableformat.table.source import TableSource

__all__ = ["ColumnPair", "Columns", "Form", "SchemaChange", "Skip", "common_field", "pair_columns"]

Told = Literal["added", "removed", "retyped", "class sets differ", "not compared"]
Skip = Literal["values", "files", "nothing"]
"""Equal value digests; one digest and one field id of files that are written alike; nothing."""
_MISFIT: Final = "misfit"


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of one side are brought to the form in which they are compared."""

    type: pa.DataType
    """The type of the form, the same on both sides."""
    convert: Callable[[pa.Array], pa.Array]
    """From an array of the column's storage type."""
    numbers: pa.DataType | None = None
    """The type of the numbers in it, where it holds numbers whose difference says something."""
    is_plain: bool = False
    """Whether the form of a value is the value as it is stored."""
    names: bool = False
    """Whether its values are few and have names, so that transitions are counted."""

    def numbers_of(self, array: pa.Array) -> pa.Array:
        """The numbers of an array in this form; null where there is none."""
        return array.field(0) if pa.types.is_struct(array.type) else array


@dataclass(frozen=True, slots=True)
class ColumnPair:
    """A column that both tables have, and how it is compared."""

    name: str
    left: Form
    right: Form
    skip: Skip
    """What says that the stored values of both are equal."""
    label: Callable[[Any], Any] = field(default=lambda value: value)
    """From a value of the form to what is shown of it, where `names`."""


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What is told of a column beside its values."""

    column: str
    change: Told
    before: str = ""
    """Its type before; empty for none."""
    after: str = ""
    reason: str = ""
    """Why it is not compared, where it is not."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What two schemas have in common."""

    pairs: tuple[ColumnPair, ...]
    """In the order of the right side."""
    changes: tuple[SchemaChange, ...]
    """In the order of the left side, then what was added."""


def pair_columns(
    left: Schema, right: Schema, left_source: TableSource, right_source: TableSource, key: tuple[tuple[str, str], ...]
) -> Columns:
    """The columns outside of the key that are compared, and what is to be told of the schemas. Reads class sets where two differ."""
    own = [column for column in left.columns if column.name not in {pair[0] for pair in key}]
    others = {column.name: column for column in right.columns if column.name not in {pair[1] for pair in key}}
    pairs: dict[str, ColumnPair] = {}
    changes: list[SchemaChange] = []
    apart = _class_sets_apart(left, right)
    for column in own:
        other = others.get(column.name)
        before = str(column.type)
        if other is None:
            changes.append(SchemaChange(column.name, "removed", before))
            continue
        after = str(other.type)
        if column.annotates is not None and column.annotates[0] in apart and column.annotates[1] != "caption":
            changes.append(SchemaChange(column.name, "not compared", before, after, f"the class sets of {column.annotates[0]!r} differ"))  # fmt: skip
            continue
        found, told = _pair(column, other, left_source, right_source)
        if told is not None:
            changes.append(told)
        if found is not None:
            pairs[column.name] = found
    changes += [
        SchemaChange(name, "added", "", str(column.type)) for name, column in others.items() if name not in left
    ]
    changes += [SchemaChange(name, "class sets differ", reason="boxes, masks and classes beside it are not compared") for name in sorted(apart)]  # fmt: skip
    return Columns(tuple(pairs[name] for name in others if name in pairs), tuple(changes))


def _class_sets_apart(left: Schema, right: Schema) -> set[str]:
    """The media columns that both have and whose annotations name ids of two class sets."""
    found = set()
    for column in left.columns:
        if isinstance(column.type, MediaType) and column.name in right:
            other = right[column.name].type
            if isinstance(other, MediaType) and (column.type.classes, column.type.layers) != (
                other.classes,
                other.layers,
            ):
                found.add(column.name)
    return found


def _pair(
    left: Field, right: Field, left_source: TableSource, right_source: TableSource
) -> tuple[ColumnPair | None, SchemaChange | None]:
    one, other = (side.without_ids().type for side in (left, right))
    told = SchemaChange(left.name, "retyped", str(one), str(other)) if str(one) != str(other) else None
    if isinstance(one, ClassType) and isinstance(other, ClassType):
        return _classes(left.name, one, other, left_source, right_source)
    if isinstance(one, MediaType) and isinstance(other, MediaType) and one.media == other.media:
        form = _stored(one.storage())
        return ColumnPair(left.name, form, form, "values"), None
    if isinstance(one, ClassType) or isinstance(other, ClassType):  # beside plain integers
        one, other = (ScalarType(side.storage()) if isinstance(side, ClassType) else side for side in (one, other))
    if one == other:
        form = _stored(one.storage())
        return ColumnPair(left.name, form, form, "values"), told
    common = unify_types(one, other)
    if common is None:
        return None, SchemaChange(
            left.name, "retyped", str(one), str(other), "no type holds the values of both: not compared"
        )
    checked = is_value_checked(one, common) or is_value_checked(other, common)
    target = Field(left.name, common)
    forms = [_widened(Field(left.name, side), target, place, checked) for place, side in enumerate((one, other))]
    return ColumnPair(left.name, forms[0], forms[1], "files"), told


def common_field(left: Field, right: Field) -> Field | None:
    """The field, nullable and without ids, that holds the values of both; with the name of `right`."""
    one, other = (side.without_ids().type for side in (left, right))
    common = unify_types(one, other) or unify_types(other, one)
    return None if common is None else Field(right.name, common)


def _stored(storage: pa.DataType) -> Form:
    """Values of one storage type: as they are, but cells by what they show."""
    rewriter = identity_of(storage)
    if rewriter is not None:
        return Form(rewriter.type, rewriter.convert)
    return Form(storage, lambda array: array, _numbers(storage), True, pa.types.is_boolean(storage))


def _numbers(type_: pa.DataType) -> pa.DataType | None:
    types = pa.types
    return type_ if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_) else None


def _widened(before: Field, target: Field, side: int, checked: bool) -> Form:
    """Values brought to a wider type. Those that it cannot hold equal nothing on the other side."""
    plain = _stored(target.type.storage())

    def widen(array: pa.Array) -> pa.Array:
        return plain.convert(recast(before, target, array, Where(before.name)))

    if not checked:
        return replace(plain, convert=widen, is_plain=False, names=False)
    both = pa.struct([("value", plain.type), (_MISFIT, pa.binary())])
    mark = pa.scalar(bytes([side]), pa.binary())

    def convert(array: pa.Array) -> pa.Array:
        fits = np.ones(len(array), np.bool_)
        _find_misfits(widen, array, 0, fits)
        if fits.all():
            return pa.StructArray.from_arrays([widen(array), pa.nulls(len(array), pa.binary())], fields=list(both))
        kept = array.take(pa.array(np.arange(len(array)), mask=~fits))
        marks = pc.binary_join_element_wise(mark, encoded(array), pa.scalar(b"", pa.binary()))
        marks = pc.if_else(pa.array(fits), pa.scalar(None, pa.binary()), marks)
        return pa.StructArray.from_arrays([widen(kept), marks], fields=list(both))

    return Form(both, convert, plain.numbers)


def _find_misfits(widen: Callable[[pa.Array], pa.Array], array: pa.Array, start: int, fits: Any) -> None:
    """Mark the values that do not fit: halves are tried until one value is left."""
    if not len(array):
        return
    try:
        widen(array)
    except SchemaError:
        if len(array) == 1:
            fits[start] = False
            return
        half = len(array) // 2
        _find_misfits(widen, array.slice(0, half), start, fits)
        _find_misfits(widen, array.slice(half), start + half, fits)


def _classes(
    name: str, one: ClassType, other: ClassType, left_source: TableSource, right_source: TableSource
) -> tuple[ColumnPair | None, SchemaChange | None]:
    """Class ids: as numbers where both name one class set, else by name."""
    try:
        sets = [left_source.classes(one.classes), right_source.classes(other.classes)]
    except (NotFoundError, UsageError):  # of a table that is opened without its store
        sets = []
    if one.classes == other.classes:
        form = Form(pa.int64(), lambda array: array.cast(pa.int64()), names=True)
        names = dict(sets[0].names) if sets else {}
        skip: Skip = "values" if one.storage() == other.storage() else "files"
        return ColumnPair(name, form, form, skip, lambda value: names.get(value, value)), None
    told = SchemaChange(name, "class sets differ", one.classes, other.classes, "compared by the names of classes")
    if not sets:
        return None, replace(told, reason="the class sets cannot be read: not compared")
    forms = [Form(pa.string(), _by_name(side), names=True) for side in sets]
    return ColumnPair(name, forms[0], forms[1], "nothing"), told


def _by_name(classes: Classes) -> Callable[[pa.Array], pa.Array]:
    """From ids to names; an id without one is its number."""
    ids = pa.array(list(classes.names), pa.int64())
    names = pa.array(list(classes.names.values()), pa.string())

    def convert(array: pa.Array) -> pa.Array:
        numbers = array.cast(pa.int64())
        found = names.take(pc.index_in(numbers, ids))
        return pc.coalesce(found, numbers.cast(pa.string()))

    return convert

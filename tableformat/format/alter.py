"""Changes of a list of columns that touch no part: added, dropped, renamed, put in another order, widened.

Pure functions over columns; `Schema` has a method for each, which takes care of ids (spec/schema.md, "Altering").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tableformat.errors import SchemaError, message
from tableformat.format.defaults import default_array, default_text, encode_default
from tableformat.format.types import Field, MediaType, TensorType, Where, field_from_user, sibling_name
from tableformat.format.types.names import check_name, fold
from tableformat.format.types.recast import recast
from tableformat.format.types.widen import unify_fields

__all__ = ["added", "dropped", "renamed", "reordered", "widened"]

Columns = tuple[Field, ...]


def added(columns: Columns, name: str, type_: Any, default: Any) -> Field:
    """The column `name` to be added to `columns`, without ids."""
    field = field_from_user(name, type_).without_ids()
    if fold(field.name) in {fold(column.name) for column in columns}:
        raise SchemaError(
            message(f"adding column {name!r}", expected="a name that no column has", got=f"a column {name!r} is there",
                    todo="replace its values with add_columns(…, replace=True), or take another name")
        )  # fmt: skip
    text = None if default is None else encode_default(default, field)
    if text is None and not field.nullable:
        raise SchemaError(
            message(f"adding column {name!r}", expected="a default, or a column that may be null", got="neither",
                    todo="the rows that are there need a value")
        )  # fmt: skip
    return replace(field, default=text)


def dropped(columns: Columns, chosen: Sequence[Field]) -> set[str]:
    """The names of the columns that go: `chosen`, and the annotations of the media among them."""
    names = {column.name for column in chosen}
    media = {column.name for column in chosen if isinstance(column.type, MediaType)}
    return names | {column.name for column in columns if column.annotates is not None and column.annotates[0] in media}


def renamed(columns: Columns, names: Mapping[str, str]) -> Columns:
    """`columns` under other names; `names` is by old name."""
    checked = {old: check_name(new) for old, new in names.items()}
    for column in columns:
        if column.annotates is not None and column.annotates[0] in checked and column.name not in checked:
            media, role = column.annotates
            if column.name == sibling_name(media, role):
                checked[column.name] = sibling_name(checked[media], role)
    return tuple(_renamed(column, checked) for column in columns)


def _renamed(column: Field, names: Mapping[str, str]) -> Field:
    annotates = column.annotates
    if annotates is not None:
        annotates = (names.get(annotates[0], annotates[0]), annotates[1])
    return replace(column, name=names.get(column.name, column.name), annotates=annotates)


def reordered(columns: Columns, first: Sequence[Field]) -> Columns:
    """`first`, then the other columns in their order; the annotations of media right after their media."""
    if len({column.name for column in first}) != len(first):
        names = [column.name for column in first]
        raise SchemaError(message("reordering columns", expected="each column once", got=str(names)[:200]))
    chosen = {column.name for column in first}
    in_order = [*first, *(column for column in columns if column.name not in chosen)]
    beside: dict[str, list[Field]] = {}
    for column in in_order:
        if column.annotates is not None:
            beside.setdefault(column.annotates[0], []).append(column)
    found = [(column, *beside.get(column.name, ())) for column in in_order if column.annotates is None]
    return tuple(column for run in found for column in run)


def widened(columns: Columns, types: Mapping[str, Any]) -> Columns:
    """`columns` with wider types for some, by name; all that do not fit are told at once."""
    faults: list[str] = []
    found = tuple(
        _widened(column, types[column.name], faults) if column.name in types else column for column in columns
    )
    if faults:
        raise SchemaError(
            message("widening columns", expected="types that hold every value of the old ones", got="; ".join(faults),
                    todo="write another column with add_columns, and drop the old one")
        )  # fmt: skip
    return found


def _widened(column: Field, type_: Any, faults: list[str]) -> Field:
    nullable = column.nullable or (isinstance(type_, Field | pa.Field) and type_.nullable)
    wanted = replace(field_from_user(column.name, type_), nullable=nullable, annotates=column.annotates)
    unified = unify_fields(column, wanted)
    if unified is None or unified.type.storage() != wanted.type.storage() or unified.nullable != nullable:
        faults.append(f"{column.name!r} is {column.type}, which {wanted.type} does not hold")
        return column
    if _loses_shape(column, unified):
        faults.append(f"{column.name!r} is {column.type}: stored tensors of one shape do not tell it")
        return column
    if column.default is None:
        return unified
    one = recast(column, unified, default_array(column, 1), Where(column.name))
    return replace(unified, default=default_text(one[0], column.name))


def _loses_shape(before: Field, after: Field) -> bool:
    """Whether a tensor of one shape becomes one of any, at any depth."""
    if isinstance(before.type, TensorType) and isinstance(after.type, TensorType):
        return before.type.shape != after.type.shape
    below = {inner.name: inner for inner in after.type.fields}
    return any(_loses_shape(inner, below[inner.name]) for inner in before.type.fields if inner.name in below)

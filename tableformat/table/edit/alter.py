"""The schema of a table changed while its parts stay as they are: columns added, dropped, renamed, put in order, widened.

A part holds columns by id, in the types in which it was written; what a reader makes of that is said by the schema alone
(spec/schema.md). So these edits write no file but the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tableformat.document import JsonObject
from tableformat.errors import ExistsError, SchemaError, message
from tableformat.format.defaults import default_array
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry, needs_of
from tableformat.format.schema import Schema
from tableformat.format.types import Field
from tableformat.format.value_digest import BLOCK_ROWS
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items
from tableformat.table.edit.chain import chain_digests, end_chains, rechained

__all__ = ["add_column", "drop_columns", "rename_columns", "reorder_columns", "widen_columns"]


def add_column(backend: Backend, entry: TableEntry, name: str, type_: Any, default: Any = None) -> TableEntry:
    """The table with one column more, which has `default` in every row, or null. Reads and writes no rows."""
    if name in entry.schema:
        raise ExistsError(
            message(f"adding column {name!r}", expected="a new name", got="a column of the table",
                    todo="add_columns(…, replace=True) replaces its values")
        )  # fmt: skip
    return _altered(backend, entry, entry.schema.with_added(name, type_, default=default))


def drop_columns(backend: Backend, entry: TableEntry, names: str | Sequence[str]) -> TableEntry:
    """The table without these columns; annotations go with their media. Their bytes stay in the parts until these are
    stored again. Raises `SchemaError` for columns of the key."""
    wanted = [names] if isinstance(names, str) else list(names)
    if key := [name for name in wanted if name in entry.table_key]:
        raise SchemaError(
            message("dropping columns", expected="columns that are not of the key", got=", ".join(map(repr, key)),
                    todo="write the table again with another key")
        )  # fmt: skip
    return _altered(backend, entry, entry.schema.with_dropped(wanted))


def rename_columns(backend: Backend, entry: TableEntry, names: Mapping[str, str]) -> TableEntry:
    """The table with columns by other names: the key follows, and annotations follow their media."""
    key = tuple(names.get(name, name) for name in entry.table_key)
    return _altered(backend, replace(entry, table_key=key), entry.schema.with_renamed(dict(names)), entry)


def reorder_columns(backend: Backend, entry: TableEntry, names: Sequence[str]) -> TableEntry:
    """The table with the columns `names` first, in this order, and the others behind them in theirs."""
    return _altered(backend, entry, entry.schema.with_reordered(list(names)))


def widen_columns(backend: Backend, entry: TableEntry, types: Mapping[str, Any]) -> TableEntry:
    """The table with columns of wider types, in which every value is the same. Reads those columns, and writes no rows.

    Raises `SchemaError`, naming every column at fault, where a type does not hold what the old one does, or a value turns
    out not to fit: integers beyond 2^53 in a double, times that a finer unit cannot count.
    """
    schema = entry.schema.with_widened(dict(types))
    changed = [
        column.id
        for column in schema.columns
        if column.id is not None and not column.same_shape(_by_id(entry.schema, column.id))
    ]
    if not changed:
        return entry
    after = _altered(backend, entry, schema, digests=False)
    return replace(after, columns=rechained(backend, after, entry, 0, changed))


def _by_id(schema: Schema, number: int) -> Field:
    return next(column for column in schema.columns if column.id == number)


def _altered(
    backend: Backend, entry: TableEntry, schema: Schema, before: TableEntry | None = None, *, digests: bool = True
) -> TableEntry:
    """`entry` with another schema over the same parts; digests of columns that are new follow from their defaults."""
    if schema == entry.schema and (before is None or before.table_key == entry.table_key):
        return before or entry
    plain, requires = needs_of(schema, (Part.from_json(item, "parts") for item in iter_items(backend, entry.parts)))
    after = replace(entry, schema=schema, plain=plain, requires=requires)
    new = tuple(column for column in schema.columns if str(column.id) not in entry.columns)
    added = _default_digests(backend, entry, new) if new and digests else {}
    known = {**entry.columns, **added}
    return replace(after, columns={str(column.id): known[str(column.id)] for column in schema.columns})


def _default_digests(backend: Backend, entry: TableEntry, columns: Sequence[Field]) -> dict[str, JsonObject]:
    """The digests of columns that have their default in every row of `entry`."""
    full = entry.rows - entry.rows % BLOCK_ROWS
    nothing = replace(entry, schema=Schema(), columns={}, rows=full, parts=ItemList())
    chains = end_chains(backend, nothing, Schema(tuple(columns)))
    for column in columns:
        chains[str(column.id)].update(default_array(column, entry.rows - full))
    return chain_digests(chains)

"""Columns added to a table, or their values replaced: by data of as many rows, by data with keys, or by a function of its rows.

Only the new columns are written, in a file beside each part; nothing that is there is read, but the columns that a function
asks for or the keys by which data are joined (spec/editing.md, "Adding columns").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import ExistsError, InvalidInputError, KeyValueError, Problem, SchemaError, message
from tableformat.format.ids import inherit_ids
from tableformat.format.manifest import TableEntry
from tableformat.format.schema import Column, Schema
from tableformat.format.types import walk
from tableformat.format.types.arrays import nulls
from tableformat.format.types.widen import insert_field, unify_fields
from tableformat.storage.versionfile import Input
from tableformat.table.edit.column_files import store_columns
from tableformat.table.edit.column_source import feed_function, feed_rows, iter_given, peeked
from tableformat.table.edit.counts import Edited
from tableformat.table.edit.delete import iter_keys
from tableformat.table.edit.locate import find_rows
from tableformat.table.edit.opened import Opened
from tableformat.table.edit.staged import Staged, edit_options, staged
from tableformat.table.edit.storing import edited
from tableformat.table.join.keys import key_pairs
from tableformat.table.media_placer import MediaPlacer
from tableformat.table.selection import Positions
from tableformat.table.writer import TableWriter

__all__ = ["Added", "add_columns"]

_EXAMPLES: Final = 10
_CHUNK_ROWS: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Added:
    """What adding columns made."""

    entry: TableEntry
    counts: Edited
    inputs: tuple[Input, ...]
    """Versions whose media were copied."""


def add_columns(
    table: Opened,
    placer: MediaPlacer,
    data: Any,
    *,
    on: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    replace: bool = False,
    schema: Schema | None = None,
    options: Mapping[str, Any] | None = None,
) -> Added:
    """Add the columns of `data` to the table.

    `data` in any form that `TableWriter.extend` takes, or a mapping of column to array, has a row for each row of the table, in
    its order; with `on`, or where it holds the columns of the table's key, it is joined by these columns: its rows may come in
    any order, and rows of the table without one get null, which the counts tell. A function is called with batches of
    the table, of its columns `columns` or all, and returns as many rows, as a mapping of column to values or as Arrow data.
    `schema` declares columns; others are what their values are. `replace` says that columns which are there get new values.

    Raises `SchemaError` for another number of rows or a name that cannot be, `ExistsError` for columns that are there,
    `KeyValueError` for keys that are null, stand twice, or are not in the table; nothing has changed then. Holds what a writer does
    and, to join, eight bytes for each row of the table.
    """
    doing = f"adding columns to table {table.name!r}"
    adding = _Adding(table, doing, replace=replace)
    key: list[str] = []
    feed: Callable[[TableWriter], object]
    if callable(data):
        if on is not None:
            raise InvalidInputError(
                message(doing, expected="on= with data", got="on= with a function", todo="leave on= out")
            )
        feed = lambda writer: feed_function(table, writer, data, columns, doing)  # noqa: E731
    else:
        names, batches = peeked(iter_given(data, table.name))
        key = _join_columns(table, names, on)
        adding.check(name for name in (names if columns is None else columns) if name not in key)
        kept = None if columns is None else {*columns, *key}
        feed = partial(feed_rows, batches=batches, columns=kept, rows=None if key else table.rows, doing=doing)
    settings = edit_options(options or {}, doing, new_columns=schema is not None)
    with staged(table.name, placer, feed, schema=schema, key=key, options=settings) as given:
        return adding.run(given, key)


def _join_columns(table: Opened, names: Sequence[str], on: str | Sequence[str] | None) -> list[str]:
    """The columns by which data with the columns `names` are joined; none where they are aligned by row."""
    if on is not None:
        return [on] if isinstance(on, str) else list(on)
    key = table.entry.table_key
    return list(key) if key and set(key) <= set(names) else []


class _Adding:
    """One call of `add_columns`."""

    def __init__(self, table: Opened, doing: str, *, replace: bool) -> None:
        self._table, self._doing, self._replace = table, doing, replace

    def check(self, names: Iterable[str]) -> None:
        """Raise for new columns by names that are taken."""
        entry = self._table.entry
        taken = [name for name in names if name in entry.schema]
        if key := [name for name in taken if name in entry.table_key]:
            raise SchemaError(
                message(self._doing, expected="columns that are not of the key", got=f"{key}",
                        todo="upsert rows, or write the table again")
            )  # fmt: skip
        if taken and not self._replace:
            raise ExistsError(
                message(self._doing, expected="new columns", got=f"columns of the table: {taken}",
                        todo="pass replace=True to give them new values")
            )  # fmt: skip

    def run(self, given: Staged, key: list[str]) -> Added:
        """Store what was given, and make the entry."""
        table, entry = self._table, self._table.entry
        new = [column for column in given.schema if column.name not in key]
        if not new:
            raise SchemaError(
                message(self._doing, expected="at least one column", got=f"only {key}" if key else "none")
            )
        self.check(column.name for column in new)
        found = self._joined(given, key) if key else None
        missing = 0 if found is None else int(np.count_nonzero(found < 0))
        if missing:
            new = [with_changes(column, nullable=True) for column in new]
        schema, replaced = _schema_with(entry.schema, new)
        names = [column.name for column in new]
        own = Schema(tuple(schema[name] for name in names))
        batches = self._aligned(given, names) if found is None else self._matched(given, names, found)
        files = store_columns(table, own, replaced, batches)
        digests = {**entry.columns, **files.digests}
        after = edited(
            table.backend,
            entry,
            files.parts,
            schema=schema,
            columns={str(column.id): digests[str(column.id)] for column in schema},
            objects=given.objects,
        )
        return Added(after, Edited(missing=missing, columns=tuple(names), bytes_new=files.bytes_new), given.inputs)

    def _aligned(self, given: Staged, names: list[str]) -> Iterator[Sequence[pa.Array]]:
        for piece in given.rows.scan(names):
            yield piece.batch.columns

    def _matched(self, given: Staged, names: list[str], found: Positions) -> Iterator[Sequence[pa.Array]]:
        """The new columns in the order of the table's rows, null where nothing was given."""
        for first in range(0, len(found), _CHUNK_ROWS):
            numbers = found[first : first + _CHUNK_ROWS]
            hit = numbers >= 0
            batch = given.rows.gather(numbers[hit], names)
            places = pa.array(np.cumsum(hit) - 1, mask=~hit)
            yield [array.take(places) if len(array) else nulls(len(numbers), array.type) for array in batch.columns]

    def _joined(self, given: Staged, key: list[str]) -> Positions:
        """The number of the row given for each row of the table; -1 for none."""
        table = self._table
        pairs = key_pairs(key, given.schema, table.entry.schema, self._doing)
        found = np.full(table.rows, -1, np.int64)
        used = np.zeros(given.rows.rows, np.bool_)
        for rows, numbers in find_rows(table, pairs, iter_keys(given, key)):
            found[rows] = numbers
            used[numbers] = True
        if not used.all():
            self._raise_unknown(given, key, np.flatnonzero(~used))
        return found

    def _raise_unknown(self, given: Staged, key: list[str], unknown: Positions) -> None:
        shown = given.rows.gather(unknown[:_EXAMPLES], key).to_pylist()
        problems = [
            Problem(f"row {row}", ", ".join(f"{name}={value!r}" for name, value in values.items())[:200], "unknown-key")
            for row, values in zip(unknown.tolist(), shown, strict=False)
        ]
        raise KeyValueError(
            message(self._doing, expected="keys of the table", got=f"{len(unknown)} that it does not have",
                    todo="drop these rows, or upsert them"),
            problems,
        )  # fmt: skip


def _schema_with(before: Schema, new: Sequence[Column]) -> tuple[Schema, frozenset[int]]:
    """The schema with the columns `new`, and the ids of columns whose place a new one takes under an id of its own.

    A column that gets new values of a type in common with the old keeps its id; annotations come behind what they annotate.
    """
    columns, there = list(before.columns), {column.name: column for column in before}
    gone: list[Column] = []
    for column in new:
        bare = column.without_ids()
        old = there.get(column.name)
        if old is None:
            insert_field(columns, bare)
            continue
        same = unify_fields(with_changes(old, annotates=bare.annotates), bare) is not None
        gone += [] if same else [old]
        columns[columns.index(old)] = inherit_ids(bare, old) if same else bare
    retired = frozenset(node.id for column in gone for node in walk(column) if node.id is not None)
    schema = Schema(tuple(columns), before.retired | retired).with_ids()
    return schema, frozenset(column.id for column in gone if column.id is not None)

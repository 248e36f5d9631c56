"""Rows written over those with the same key, and added where there is none.

An update is a deletion and the whole row in a new part at the end of the table (spec/editing.md, "Upserting"). A row given
without a column keeps the value that it had; a row that ends up as it was changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import KeyValueError, Problem, SchemaError, UsageError, message
from tableformat.format.defaults import default_array
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.schema import Column, Schema
from tableformat.format.types.nearest import nearest
from tableformat.storage.versionfile import Input
from tableformat.table.edit.counts import Edited
from tableformat.table.edit.delete import flagged, iter_keys
from tableformat.table.edit.deletions import delete_rows
from tableformat.table.edit.equal import equal_rows
from tableformat.table.edit.locate import find_rows
from tableformat.table.edit.new_keys import follows
from tableformat.table.edit.opened import Opened
from tableformat.table.edit.staged import Staged, edit_options, staged
from tableformat.table.edit.storing import edited, store_rows
from tableformat.table.join.keys import key_pairs
from tableformat.table.media_placer import MediaPlacer
from tableformat.table.selection import Positions
from tableformat.table.sources import iter_source
from tableformat.table.writer import TableWriter

__all__ = ["Upserted", "upsert"]

_EXAMPLES: Final = 10
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Upserted:
    """What an upsert made."""

    entry: TableEntry
    counts: Edited
    inputs: tuple[Input, ...]
    """Versions whose media were copied."""


def upsert(table: Opened, placer: MediaPlacer, rows: Any, *, options: Mapping[str, Any] | None = None) -> Upserted:
    """Write `rows`, in any form that `TableWriter.extend` takes, over the rows with the same keys, or add them.

    They come to the end of the table in the order given. A column that a row lacks keeps its old value, and in a row with a new
    key it is the column's default, or null. Columns that the table lacks raise, but for annotations of its media.

    Raises `UsageError` for a table without a key that is proven unique, `KeyValueError` for keys that are missing, null or given
    twice, `SchemaError` for values that do not fit; nothing has changed then. Holds a batch of rows, 2M keys, and for each row
    given eight bytes, for each row of the table one.
    """
    doing = f"upserting into table {table.name!r}"
    key = list(table.entry.table_key)
    if not key or not table.entry.unique:
        got = "no key" if not key else "a key that was not proven unique"
        raise UsageError(
            message(doing, expected="a table with a unique key", got=got, todo="append, or write the table again")
        )
    feeding = _Feeding(table.entry.schema, key, doing)
    settings = edit_options(options or {}, doing)
    with staged(
        table.name, placer, lambda writer: feeding.feed(writer, rows), schema=feeding.schema, key=key, options=settings
    ) as given:
        return _Upsert(table, given, feeding, doing).run()


class _Feeding:
    """Writes rows into a writer with one column more: the number of the set of columns that a row was given with."""

    def __init__(self, schema: Schema, key: Sequence[str], doing: str) -> None:
        self._key, self._doing, self._table = list(key), doing, schema
        names = (f"given{'_' * count}" for count in range(len(schema) + 1))
        self.tag = next(name for name in names if name not in schema)
        loose = [column if column.name in key else replace(column, nullable=True, default=None) for column in schema]
        self.schema = Schema(tuple(loose), schema.retired).with_added(self.tag, pa.int32())
        self.shapes: dict[frozenset[str], int] = {}
        """The sets, by what they hold."""
        self._row = 0
        self._bad: list[Problem] = []
        self._bad_count = 0

    def feed(self, writer: TableWriter, rows: Any) -> None:
        """Write `rows`. All of them are looked at before keys that are missing or null raise."""
        for batch in iter_source(rows, writer.name):
            if isinstance(batch, pa.RecordBatch):
                self._feed_batch(writer, batch)
                continue
            for row in batch.rows:
                lacking = [name for name in self._key if row.get(name) is None]
                if self._fits([self._row] if lacking else [], lacking):
                    writer.append({**row, self.tag: self._shape(row)})
                self._row += 1
        if self._bad_count:
            raise KeyValueError(
                message(self._doing, expected="a value in every key column", got=f"{self._bad_count} rows without",
                        todo="fill or drop these rows"),
                self._bad,
            )  # fmt: skip

    def _feed_batch(self, writer: TableWriter, batch: pa.RecordBatch) -> None:
        lacking = [name for name in self._key if name not in batch.schema.names]
        nulls = np.zeros(batch.num_rows, np.bool_)
        for name in self._key:
            nulls |= np.asarray(batch.column(name).is_null()) if name not in lacking else True
        if self._fits((np.flatnonzero(nulls) + self._row).tolist(), lacking or self._key) and batch.num_rows:
            shape = pa.repeat(pa.scalar(self._shape(batch.schema.names), pa.int32()), batch.num_rows)
            writer.extend(batch.append_column(self.tag, shape))
        self._row += batch.num_rows

    def _fits(self, bad: Sequence[int], columns: Sequence[str]) -> bool:
        """Note rows without a key; False once there are any, from where on nothing needs to be written."""
        self._bad_count += len(bad)
        self._bad += [
            Problem(f"row {row}, column {columns[0]!r}", "the key is missing or null", "null-key")
            for row in bad[: _EXAMPLES - len(self._bad)]
        ]
        return not self._bad_count

    def _shape(self, names: Iterable[str]) -> int:
        given = frozenset(names)
        if given not in self.shapes and (unknown := sorted(name for name in given if name not in self._table)):
            todo = f"{nearest(unknown[0], self._table.names)} · add_column() and add_columns() add columns"
            got = f"the unknown columns {unknown}"[:300]
            raise SchemaError(message(self._doing, expected="columns of the table", got=got, todo=todo))
        return self.shapes.setdefault(given, len(self.shapes))

    def is_given(self, column: Column, shapes: npt.NDArray[np.int32]) -> Flags:
        """For each row, by the number of its set, whether it was given a value for `column`: media bring their annotations."""
        owners = {column.name, *(column.annotates or ("",))[:1]}
        given = np.array([bool(names & owners) for names in self.shapes], np.bool_)
        return given[shapes] if len(given) else np.zeros(0, np.bool_)


class _Upsert:
    """One upsert, from the staged rows on."""

    def __init__(self, table: Opened, given: Staged, feeding: _Feeding, doing: str) -> None:
        self._table, self._given, self._feeding, self._doing = table, given, feeding, doing
        own = {column.name: column for column in table.entry.schema}
        columns = tuple(own.get(column.name, column) for column in given.schema if column.name != feeding.tag)
        self._schema = Schema(columns, table.entry.schema.retired) if len(columns) > len(own) else table.entry.schema
        self._found = np.full(given.rows.rows, -1, np.int64)
        self._gone = np.zeros(table.rows, np.bool_)
        self._updated = self._inserted = 0

    def run(self) -> Upserted:
        """Find the rows, store what is new or different, take out what that replaces."""
        table, entry = self._table, self._table.entry
        key = list(entry.table_key)
        pairs = key_pairs(key, self._given.schema, entry.schema, self._doing)
        for rows, numbers in find_rows(table, pairs, iter_keys(self._given, key)):
            self._found[numbers] = rows
        stored = store_rows(table.backend, self._schema, entry.layout, key, self._batches())
        if not stored.rows:
            return Upserted(entry, Edited(unchanged=len(self._found)), ())
        thinned = delete_rows(table, flagged(table, self._gone))
        after = edited(
            table.backend,
            entry,
            [*thinned.parts, *stored.parts],
            schema=self._schema,
            first_row=table.rows if thinned.first_row is None else thinned.first_row,
            objects=self._given.objects,
            ascending=self._ascends(thinned.parts, stored.parts),
        )
        counts = Edited(
            inserted=self._inserted,
            updated=self._updated,
            unchanged=len(self._found) - self._inserted - self._updated,
            parts_rewritten=thinned.rewritten,
            bytes_new=thinned.bytes_new + stored.bytes_new,
        )
        return Upserted(after, counts, self._given.inputs)

    def _ascends(self, kept: Sequence[Part], new: Sequence[Part]) -> bool:
        """Whether the rows ascend by key with the new ones at the end."""
        entry = self._table.entry
        if not self._given.rows.entry.sorted or not (entry.sorted or not kept):
            return False
        if not kept:
            return True
        listed = ItemList(len(kept), items=tuple(part.to_json() for part in kept))
        before = replace(entry, rows=sum(part.visible_rows for part in kept), parts=listed)
        return follows(self._table.backend, before, new)

    # Rows

    def _batches(self) -> Iterator[Sequence[pa.Array]]:
        """The whole rows that are new or differ from what is there; notes which rows they replace."""
        step = self._table.chunk_rows()
        for first in range(0, len(self._found), step):
            rows = range(first, min(first + step, len(self._found)))
            yield from self._merged(
                self._given.rows.gather(np.arange(rows.start, rows.stop), self._given.schema.names),
                self._found[first : rows.stop],
            )

    def _merged(self, given: pa.RecordBatch, found: Positions) -> Iterator[Sequence[pa.Array]]:
        hit = np.flatnonzero(found >= 0)
        old = self._table.gather(found[hit], self._table.entry.schema.names)
        shapes = np.asarray(given.column(self._feeding.tag))
        kept = np.ones(len(found), np.bool_)
        kept[hit] = False
        arrays = []
        for column in self._schema:
            new, told = given.column(column.name), self._feeding.is_given(column, shapes)
            before = (
                old.column(column.name) if column.name in self._table.entry.schema else default_array(column, len(hit))
            )
            changed = hit[told[hit]]
            if len(changed):
                same = equal_rows(new.take(pa.array(changed)), before.take(pa.array(np.flatnonzero(told[hit]))))
                kept[changed[~same]] = True
            arrays.append(_chosen(column, new, told, before, hit))
        if not kept.any():
            return
        self._note(found, kept)
        rows = pa.array(np.flatnonzero(kept))
        whole = [array.take(rows) for array in arrays]
        self._check_nulls(whole)
        yield whole

    def _note(self, found: Positions, kept: Flags) -> None:
        replaced = found[kept & (found >= 0)]
        self._gone[replaced] = True
        self._updated += len(replaced)
        self._inserted += int(kept.sum()) - len(replaced)

    def _check_nulls(self, arrays: Sequence[pa.Array]) -> None:
        """Raise `SchemaError` where a row would have null in a column that holds none."""
        problems = [
            Problem(f"column {column.name!r}", f"{array.null_count} rows without a value", "null")
            for column, array in zip(self._schema, arrays, strict=True)
            if array.null_count and not column.nullable
        ]
        if problems:
            todo = "give these columns in every row with a new key"
            raise SchemaError(
                message(self._doing, expected="values where a column is never null", got="none", todo=todo), problems
            )


def _chosen(column: Column, new: pa.Array, told: Flags, before: pa.Array, hit: Positions) -> pa.Array:
    """Of each row the value given, or that it had (`before`, of the rows `hit`), or the default of the column."""
    if told.all():
        return new
    places = np.full(len(new), len(new) + len(before), np.int64)
    places[hit] = len(new) + np.arange(len(hit))
    places[told] = np.flatnonzero(told)
    return pa.concat_arrays([new, before, default_array(column, 1)]).take(pa.array(places))

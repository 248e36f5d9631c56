"""Rows taken out of a table: those that a filter matches, or those with given keys."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import KeyValueError, UsageError, message
from tableformat.format.expr import Predicate
from tableformat.format.manifest import TableEntry
from tableformat.format.schema import Schema
from tableformat.table.edit.counts import Edited
from tableformat.table.edit.deletions import delete_rows
from tableformat.table.edit.locate import KEYS_AT_ONCE, KeyChunk, find_rows
from tableformat.table.edit.opened import Opened
from tableformat.table.edit.staged import Staged, staged
from tableformat.table.edit.storing import edited
from tableformat.table.join.keys import key_pairs
from tableformat.table.media_placer import MediaPlacer
from tableformat.table.selection import Filter, Positions
from tableformat.table.sources import is_rows, iter_source
from tableformat.table.writer import TableWriter

__all__ = ["delete_keys", "delete_matches", "flagged", "iter_keys"]


def delete_matches(table: Opened, predicate: Predicate | None) -> tuple[TableEntry, Edited]:
    """Take out the rows for which `predicate` is true, and null is not; None takes out all.

    Reads the columns that it needs, of the parts whose statistics leave room for a match. Holds the numbers of the matching
    rows of one part.
    """
    if predicate is None:
        every = ((number, np.arange(part.visible_rows)) for number, part in enumerate(table.parts))
        return _taken_out(table, every)
    return _taken_out(table, _matches(table, predicate))


def _matches(table: Opened, predicate: Predicate) -> Iterator[tuple[int, Positions]]:
    """The matching rows of each part; pieces come in row order, some of a part and some of several."""
    waiting: list[Positions] = []
    number = -1
    for piece in table.reading.pieces([Filter(predicate)], []):
        for found, rows in table.by_part(np.asarray(piece.rows, np.int64)):
            if found != number and waiting:
                yield number, np.concatenate(waiting)
                waiting = []
            number = found
            waiting.append(rows)
    if waiting:
        yield number, np.concatenate(waiting)


def delete_keys(table: Opened, placer: MediaPlacer, keys: Any) -> tuple[TableEntry, Edited]:
    """Take out the rows with these keys; keys that are not there are counted as missing.

    `keys` are values (tuples or mappings for a key of several columns), an Arrow array, or rows with the key's columns and any
    others. Reads key columns only. Holds what `find_rows` does, and a byte for each row of the table and each key.
    """
    names = list(table.entry.table_key)
    doing = f"deleting from table {table.name!r} by key"
    if not names:
        raise UsageError(message(doing, expected="a table with a key", got="one without", todo="delete with a filter"))
    pairs = key_pairs(names, table.entry.schema, table.entry.schema, doing)
    schema = Schema(tuple(table.entry.schema[name] for name in names))
    gone = np.zeros(table.rows, np.bool_)
    distinct: list[int] = []
    with staged(table.name, placer, lambda writer: _feed(writer, names, keys, doing), schema=schema) as given:
        found = np.zeros(given.rows.rows, np.bool_)
        for rows, numbers in find_rows(table, pairs, iter_keys(given, names), distinct.append):
            gone[rows] = True
            found[numbers] = True
    entry, counts = _taken_out(table, flagged(table, gone))
    return entry, Edited(
        deleted=counts.deleted,
        missing=sum(distinct) - int(found.sum()),
        parts_rewritten=counts.parts_rewritten,
        bytes_new=counts.bytes_new,
    )


def flagged(table: Opened, flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Positions]]:
    """The rows of each part that are flagged, counted from its first; `flags` has one for each visible row."""
    for number in range(len(table.parts)):
        rows = table.part_rows(number)
        found = np.flatnonzero(flags[rows.start : rows.stop])
        if len(found):
            yield number, found


def iter_keys(given: Staged, names: Sequence[str]) -> Iterator[KeyChunk]:
    """The keys of staged rows, as many at a time as are looked for in one pass."""
    for first in range(0, given.rows.rows, KEYS_AT_ONCE):
        batches = [
            piece.batch for piece in given.rows.scan(names, range(first, min(first + KEYS_AT_ONCE, given.rows.rows)))
        ]
        yield first, [pa.concat_arrays([batch.column(name) for batch in batches]) for name in names]


def _taken_out(table: Opened, gone: Iterable[tuple[int, Positions]]) -> tuple[TableEntry, Edited]:
    """The entry without the rows `gone`; the same entry where there are none."""
    thinned = delete_rows(table, gone)
    if thinned.first_row is None:
        return table.entry, Edited()
    entry = edited(table.backend, table.entry, thinned.parts, first_row=thinned.first_row)
    return entry, Edited(deleted=thinned.rows, parts_rewritten=thinned.rewritten, bytes_new=thinned.bytes_new)


def _feed(writer: TableWriter, names: list[str], keys: Any, doing: str) -> None:
    """Write the key columns of whatever form keys came in."""
    if isinstance(keys, pa.Array | pa.ChunkedArray):
        keys = pa.table({names[0]: keys})
    if isinstance(keys, str | bytes) or not (is_rows(keys) or isinstance(keys, Iterable)):
        raise KeyValueError(message(doing, expected="keys=[…]", got=f"a single {type(keys).__name__}"))
    if not is_rows(keys):
        keys = [_row(names, key, doing) for key in (keys.tolist() if hasattr(keys, "tolist") else keys)]
    for batch in iter_source(keys, writer.name):
        if isinstance(batch, pa.RecordBatch):
            _check_names(names, batch.schema.names, doing)
            writer.extend(batch.select(names))
            continue
        for row in batch.rows:
            _check_names(names, row, doing)
            writer.append({name: row[name] for name in names})


def _check_names(names: Sequence[str], given: Container[str], doing: str) -> None:
    if missing := [name for name in names if name not in given]:
        raise KeyValueError(
            message(doing, expected=f"rows with the key columns {list(names)}", got=f"{missing} missing")
        )


def _row(names: list[str], key: Any, doing: str) -> Mapping[str, Any]:
    if isinstance(key, Mapping):
        return key
    values = key if isinstance(key, tuple | list) else (key,)
    if len(values) != len(names):
        raise KeyValueError(message(doing, expected=f"a value for each of {names}", got=f"the key {key!r}"[:120]))
    return dict(zip(names, values, strict=True))

"""Rows in order of their key, whatever order they come in, in memory that hardly grows with them.

Rows are gathered into runs of `RUN_BYTES`, each sorted and spilled in small batches to one temporary file, which has no
name where the system allows that, and so is gone however the process ends. At the end the runs are merged range by range:
the last keys of all batches, sorted, say which batches hold a key up to some bound, so those are read, sorted together and
handed on up to it. Rows of equal keys stay in the order they came in.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import Problem, SchemaError
from tableformat.format.keys import check_keys
from tableformat.format.schema import Schema, cast_table
from tableformat.format.types.arrays import one_chunk
from tableformat.table.evolving_stream import EvolvingStream, known_columns
from tableformat.table.key_check import ascends, key_not_unique
from tableformat.table.part_stream import StreamResult

__all__ = ["RUN_BYTES", "KeySort"]

RUN_BYTES: Final = 64 << 20
"""Arrow bytes of the rows that are sorted in memory."""
_BATCH_BYTES: Final = 64 << 10  # of a run, what is read at once
_RANGE_BYTES: Final = 16 << 20  # of all runs, what is merged at once
_MAX_SHOWN: Final = 10
_ROW: Final = " row"  # a column beside the others, of the names of none: the number of the row as it came


@dataclass(slots=True)
class _Run:
    """Sorted rows in the temporary file."""

    schema: Schema
    arrow: pa.Schema
    """What a batch holds: the columns of `schema` that have a type, and the number of the row."""
    places: list[tuple[int, int]]
    """Offset and length of each batch."""
    last_keys: pa.Table
    """Key and number of the last row of each batch."""
    next: int = 0
    """The batch that the merge reads next."""


class KeySort:
    """Stands before an `EvolvingStream` and hands it all rows at the end, in ascending order of the key.

    Holds a run while it is sorted (about three times `RUN_BYTES`), and 64 KiB and the keys of its batches for each run
    that was spilled: for 100 GB of rows about 200 MB. An error fails it for good.
    """

    def __init__(self, stream: EvolvingStream, key: Sequence[str], *, unique: bool) -> None:
        self._stream, self._key, self._unique = stream, list(key), unique
        self._schema = Schema()  # of the rows that wait
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._runs: list[_Run] = []
        self._spill: IO[bytes] | None = None
        self._spilled = 0
        self._rows = 0
        self._last: list[pa.Array] | None = None

    # Taking rows

    def write(self, schema: Schema, arrays: Sequence[pa.Array]) -> None:
        """Append storage arrays of `schema`. Raises `KeyValueError` where a key is null."""
        if not len(arrays[0]):
            return
        if schema != self._schema:
            self._end_run()
            self._schema = schema
        table = pa.Table.from_arrays(list(arrays), schema=schema.settled()[0].arrow_schema())
        check_keys(self._key, [one_chunk(table.column(name)) for name in self._key], self._rows)
        rows = pa.array(np.arange(self._rows, self._rows + table.num_rows, dtype=np.int64))
        self._waiting.append(table.append_column(_ROW, rows))
        self._waiting_bytes += sum(array.nbytes for array in arrays)
        self._rows += table.num_rows
        if self._waiting_bytes >= RUN_BYTES:
            self._end_run()

    def check(self, schema: Schema) -> None:
        """Raise `SchemaError` where a value so far does not fit the wider `schema`. Changes nothing; reads all rows."""
        wide = schema.settled()[0]
        for before, table in self._iter_all():
            known = known_columns(before)
            try:
                cast_table(table.select(known.names), known, wide)
            except SchemaError:
                for at, row in enumerate(table.column(_ROW).to_pylist()):  # rows do not stand in the order they came in
                    cast_table(table.slice(at, 1).select(known.names), known, wide, row)
                raise

    def _iter_all(self) -> Iterator[tuple[Schema, pa.Table]]:
        for run in self._runs:
            for place in run.places:
                yield run.schema, self._read(run, [place])
        for table in self._waiting:
            yield self._schema, table

    def _end_run(self) -> None:
        """Sort the rows that wait and spill them."""
        if not self._waiting_bytes:
            return
        table = self._take_waiting()
        step = max(1, int(_BATCH_BYTES * table.num_rows / max(table.nbytes, 1)))
        places, lasts = [], []
        for batch in table.to_batches(max_chunksize=step):
            places.append(self._append(batch.serialize()))
            lasts.append(batch.slice(batch.num_rows - 1))
        last_keys = pa.Table.from_batches(lasts).select([*self._key, _ROW]).combine_chunks()  # copies
        self._runs.append(_Run(self._schema, table.schema, places, last_keys))

    def _take_waiting(self) -> pa.Table:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return self._sorted(pa.concat_tables(waiting).combine_chunks())

    def _append(self, data: pa.Buffer) -> tuple[int, int]:
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(prefix="tableformat-sort-")  # noqa: SIM115 - `abort` closes it
        place = self._spilled, data.size
        self._spill.write(data)
        self._spilled += data.size
        return place

    def _read(self, run: _Run, places: Sequence[tuple[int, int]]) -> pa.Table:
        """Batches of a run that stand one behind the other."""
        assert self._spill is not None
        self._spill.seek(places[0][0])
        data = pa.py_buffer(self._spill.read(sum(length for _, length in places)))
        self._spill.seek(0, 2)
        pieces = (data.slice(offset - places[0][0], length) for offset, length in places)
        return pa.Table.from_batches([pa.ipc.read_record_batch(piece, run.arrow) for piece in pieces])

    def _sorted(self, table: pa.Table) -> pa.Table:
        """The rows in order of their key, equal ones in the order they came in."""
        if ascends([one_chunk(table.column(name)) for name in self._key]):
            return table
        keys = [(name, "ascending") for name in (*self._key, _ROW)]
        return table.take(pc.sort_indices(table, sort_keys=keys)).combine_chunks()

    # Handing them on

    def finish(self, schema: Schema) -> StreamResult:
        """Hand all rows on, in order, and end. Raises `KeyValueError` naming equal keys and their rows as they came."""
        try:
            self._hand_on(schema, self._iter_sorted(schema))
            self._close()
            return self._stream.finish(schema)
        except BaseException:
            self.abort()
            raise

    def _hand_on(self, schema: Schema, tables: Iterator[pa.Table]) -> None:
        problems: list[Problem] = []
        for table in tables:
            if self._unique:
                problems += itertools.islice(self._find_equal(table), _MAX_SHOWN - len(problems))
                if len(problems) >= _MAX_SHOWN:
                    break
            if not problems:
                self._stream.write(schema, [one_chunk(column) for column in table.drop_columns([_ROW]).columns])
        if problems:
            raise key_not_unique(self._key, problems)

    def _find_equal(self, table: pa.Table) -> Iterator[Problem]:
        """The rows whose key is that of the row before them."""
        columns = [one_chunk(table.column(name)) for name in (*self._key, _ROW)]
        if self._last is not None:
            columns = [pa.concat_arrays([last, column]) for last, column in zip(self._last, columns, strict=True)]
        self._last = [column.slice(len(column) - 1) for column in columns]
        same: Any = None
        for column in columns[:-1]:
            equal = pc.equal(column.slice(1), column.slice(0, len(column) - 1))
            same = equal if same is None else pc.and_(same, equal)
        for at in np.flatnonzero(np.asarray(same)).tolist():
            *key, row = (column[at + 1].as_py() for column in columns)
            shown = ", ".join(f"{name}={value!r}" for name, value in zip(self._key, key, strict=True))
            text = f"{shown[:200]} stands in row {columns[-1][at].as_py()} already"
            yield Problem(f"row {row}", text, "duplicate-key")

    def _iter_sorted(self, schema: Schema) -> Iterator[pa.Table]:
        """All rows in `schema` and in order, `_RANGE_BYTES` at a time."""
        if not self._runs:
            if self._waiting:
                yield self._cast(self._take_waiting(), self._schema, schema)
            return
        self._end_run()
        held: list[pa.Table] = []
        for bound, batches in self._plan_ranges(schema):
            for run, count in zip(self._runs, batches, strict=True):
                if places := run.places[run.next : count]:
                    held.append(self._cast(self._read(run, places), run.schema, schema))
                    run.next = count
            if not held:  # the last bound was the last row of all
                return
            merged = self._sorted(pa.concat_tables(held).combine_chunks())
            end = merged.num_rows if bound is None else pc.index(merged.column(_ROW), bound).as_py() + 1
            yield merged.slice(0, end)
            held = [merged.slice(end)] if end < merged.num_rows else []

    def _plan_ranges(self, schema: Schema) -> Iterator[tuple[int | None, list[int]]]:
        """Ranges of keys in ascending order: the number of the last row of each, None for the last range, and how many
        batches of each run hold all rows up to it."""
        arrow = schema.settled()[0].arrow_schema()
        lasts = [
            pa.Table.from_arrays(
                [
                    *(run.last_keys.column(name).cast(arrow.field(name).type) for name in self._key),
                    run.last_keys.column(_ROW),
                    pa.chunked_array([pa.array(np.full(len(run.places), number))]),
                    pa.chunked_array([pa.array([length for _, length in run.places], pa.int64())]),
                ],
                names=[*(f"k{at}" for at in range(len(self._key))), "row", "run", "bytes"],
            )
            for number, run in enumerate(self._runs)
        ]
        table = pa.concat_tables(lasts)
        names = [*(f"k{at}" for at in range(len(self._key))), "row"]
        order = np.asarray(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in names]))
        rows, runs, sizes = (np.asarray(table.column(name))[order] for name in ("row", "run", "bytes"))
        ends = np.searchsorted(np.cumsum(sizes), np.arange(_RANGE_BYTES, int(sizes.sum()), _RANGE_BYTES))
        counts = np.zeros(len(self._runs), np.int64)
        start = 0
        for end in np.unique(ends).tolist():
            counts += np.bincount(runs[start : end + 1], minlength=len(self._runs))
            start = end + 1
            # One batch more of each run: it begins at or before the bound, and ends behind it.
            yield int(rows[end]), (counts + 1).tolist()
        yield None, [len(run.places) for run in self._runs]

    @staticmethod
    def _cast(table: pa.Table, before: Schema, after: Schema) -> pa.Table:
        if before == after:
            return table
        known = known_columns(before)
        wide = cast_table(table.select(known.names), known, after.settled()[0])
        return wide.append_column(_ROW, table.column(_ROW))

    def abort(self) -> None:
        """Stop, and drop what was spilled. May be called twice."""
        self._close()
        self._stream.abort()

    def _close(self) -> None:
        self._waiting, self._runs = [], []
        if self._spill is not None:
            self._spill.close()
            self._spill = None

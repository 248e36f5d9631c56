"""A stream of parts whose schema may widen while rows arrive.

All parts of one call have one Parquet schema: readers of plain Parquet take the schema of the first file for all, and one
reads an int64 part followed by a double part as cut-off integers, without a word. So rows that were stored before the
schema widened are stored again: at once while they are few, else once, at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from tableformat.errors import SchemaError
from tableformat.format.manifest import TableEntry
from tableformat.format.part import Layout
from tableformat.format.schema import Schema, cast_table
from tableformat.format.types import NullType
from tableformat.log import logger
from tableformat.storage.interface import Backend
from tableformat.table.part_stream import Continuation, PartStream, StreamResult
from tableformat.table.resume import SealPoint, Segment
from tableformat.table.stored_rows import iter_stored

__all__ = ["EvolvingStream", "known_columns"]

_REPLAY_ROWS: Final = 1 << 18
"""Up to so many rows are stored again at once when the schema widens."""
_SAID_ROWS: Final = 10_000


class EvolvingStream:
    """Takes batches of schemas that only widen. An error fails it for good."""

    def __init__(
        self,
        backend: Backend,
        name: str,
        *,
        key: Sequence[str],
        unique: bool,
        part_rows: int | None,
        layout: Layout | None,
        before: TableEntry | None = None,
        after: Continuation | None = None,
    ) -> None:
        self._after = after
        self._backend, self._name, self._before = backend, name, before
        self._key, self._unique, self._part_rows, self._layout = list(key), unique, part_rows, layout
        self._schema = Schema()
        self._stream: PartStream | None = None
        self._done: list[tuple[Schema, StreamResult]] = []
        self._verdict: tuple[Schema, SchemaError | None] | None = None  # of the last `check`, until rows are written
        self._opened: list[PartStream] = []  # all there were, so that none is left running
        self._is_watched = False
        self._told = 0  # streams whose rows were all told by `safe`

    def write(self, schema: Schema, arrays: Sequence[pa.Array]) -> None:
        """Append storage arrays of `schema`, in which columns without a value yet may have no type."""
        self._stream_of(schema).write(arrays)
        self._verdict = None

    def check(self, schema: Schema) -> None:
        """Raise `SchemaError` where a value stored so far does not fit the wider `schema`. Changes nothing that shows, but
        ends the open part; reads all rows."""
        wide = schema.settled()[0]
        if self._verdict is None or self._verdict[0] != wide:
            try:
                self._try_cast(wide)
                self._verdict = wide, None
            except SchemaError as error:
                self._verdict = wide, error
        if (fault := self._verdict[1]) is not None:
            raise fault

    def _try_cast(self, wide: Schema) -> None:
        stream, waiting = self._stream, []
        if stream is not None and stream.rows:
            found = stream.take_back()
            if found is None:
                self._stream = None
                self._done.append((self._schema, stream.finish(prove=False)))
            else:
                waiting = found
                for table in found:
                    stream.write([_whole(column) for column in table.columns])
        row = 0
        for before, table in itertools.chain(self._stored(), ((self._schema, table) for table in waiting)):
            known = known_columns(before)
            cast_table(table.select(known.names), known, wide, row)
            row += table.num_rows

    def _stored(self) -> Iterator[tuple[Schema, pa.Table]]:
        for before, result in self._done:
            for table in iter_stored(self._backend, before.settled()[0], result.parts):
                yield before, table

    def _stream_of(self, schema: Schema) -> PartStream:
        settled = schema.settled()[0]
        if self._stream is not None and self._stream.schema != settled:
            self._widen(schema)
        if self._stream is None:
            self._schema, self._stream = schema, self._open(settled)
        return self._stream

    def _open(self, settled: Schema) -> PartStream:
        stream = PartStream(
            self._backend, settled, key=self._key, unique=self._unique, layout=self._layout, part_rows=self._part_rows,
            before=self._before, after=self._after,
        )  # fmt: skip
        self._opened.append(stream)
        if self._is_watched:
            stream.watch()
        return stream

    def _widen(self, schema: Schema) -> None:
        """Begin a stream of the wider schema, with the rows so far where they are few."""
        assert self._stream is not None
        stream, self._stream, was = self._stream, None, self._schema
        in_memory = stream.take_back()
        if in_memory is None:
            if stream.rows >= _SAID_ROWS:
                logger.info(
                    "table %r: the schema widened after %d rows, which are stored again", self._name, stream.rows
                )
            self._done.append((self._schema, stream.finish(prove=False)))
        else:
            stream.abort()
        is_short = sum(result.rows for _, result in self._done) <= _REPLAY_ROWS
        wide = self._replay(schema) if is_short else self._open(schema.settled()[0])
        before = sum(result.rows for _, result in self._done)
        for table in in_memory or ():
            _write_cast(wide, table, known_columns(was), wide.schema, before + wide.rows)
        self._schema, self._stream = schema, wide

    def _replay(self, schema: Schema) -> PartStream:
        """A stream with all rows that were stored so far, in `schema`."""
        settled = schema.settled()[0]
        stream = self._open(settled)
        done, self._done, self._told = self._done, [], 0
        row = 0
        for before, result in done:
            known = known_columns(before)
            for table in iter_stored(self._backend, before.settled()[0], result.parts, known.names):
                _write_cast(stream, table, known, settled, row)
                row += table.num_rows
        return stream

    # How far all is durable

    def watch(self) -> None:
        """Before the first row: remember where parts end, for `safe`."""
        self._is_watched = True

    def safe(self, rows: Collection[int] | None = None) -> SealPoint | None:
        """The last row up to which all is durable, if that is further than was told: of `rows`, where it is given, alone. Does not wait."""
        before = sum(result.rows for _, result in self._done)
        done = tuple(Segment(schema, result.layout, result.parts) for schema, result in self._done)
        wanted = None if rows is None else {row - before for row in rows}
        point = None if self._stream is None else self._stream.safe(wanted)
        if point is None:
            is_new = len(done) > self._told and (rows is None or before in rows)
            self._told = max(self._told, len(done)) if is_new else self._told
            return SealPoint(before, done, {}) if is_new else None
        self._told = len(done)
        here = replace(point.segments[0], schema=self._schema)
        return SealPoint(before + point.rows, (*done, here), {} if done else point.links)

    @property
    def rows(self) -> int:
        """Rows taken."""
        return sum(result.rows for _, result in self._done) + (0 if self._stream is None else self._stream.rows)

    @property
    def fill(self) -> tuple[int, float]:
        """See `PartStream.fill`, of the stream at hand."""
        return (0, 0.0) if self._stream is None else self._stream.fill

    def cut(self, *, wait: bool) -> None:
        """See `PartStream.cut`."""
        if self._stream is not None:
            self._stream.cut(wait=wait)

    def go_on(self, sealed: SealPoint) -> None:
        """Before the first row: go on behind the rows that an earlier stream has stored. Reads what `PartStream.go_on` does."""
        if len(sealed.segments) == 1 and sealed.links:
            [segment] = sealed.segments
            layout, self._layout = self._layout, segment.layout
            self._schema, self._stream = segment.schema, self._open(segment.schema.settled()[0])
            self._layout = layout
            self._stream.go_on(sealed)
            return
        for segment in sealed.segments:
            result = StreamResult(segment.layout, segment.parts, segment.rows, {}, ascending=False, new_bytes=0)
            self._done.append((segment.schema, result))
        self._told = len(self._done)

    def finish(self, schema: Schema) -> StreamResult:
        """Store what is left, and wait until all is durable; `schema` is the last. Raises `KeyValueError`."""
        stream = self._stream_of(schema)
        if self._done:
            if stream.rows:
                self._done.append((self._schema, stream.finish(prove=False)))
            else:
                stream.abort()
            stream = self._stream = self._replay(schema)
        return stream.finish()

    def abort(self) -> None:
        """Stop. May be called twice."""
        for stream in self._opened:
            stream.abort()


def known_columns(schema: Schema) -> Schema:
    """The columns that have a type."""
    return Schema(tuple(column for column in schema.columns if not isinstance(column.type, NullType)))


def _write_cast(stream: PartStream, table: pa.Table, before: Schema, after: Schema, row: int) -> None:
    """Write rows of an earlier schema, of which `table` may hold more columns than have a type."""
    wide = cast_table(table.select(before.names), before, after, row)
    stream.write([_whole(column) for column in wide.columns])


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)

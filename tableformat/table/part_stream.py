"""Rows in, parts out: where row groups and parts end, and the pipeline that encodes, hashes and stores them.

The caller's thread only slices Arrow data. Three lanes work beside it: one encodes row groups to Parquet, one hashes (the
values of every column, and the bytes of every file) and writes, one makes finished files durable. What is in flight stays
within `FLIGHT_BYTES`; nothing else grows with the rows but the list of finished parts (about a kilobyte each).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.format.keys import Cutter, Hashes, check_keys, key_hashes
from tableformat.format.manifest import Part, PartFile
from tableformat.format.part import MAX_GROUP_BYTES, Footer, Layout, PartEncoder, plan_group_rows
from tableformat.format.schema import Schema
from tableformat.format.sizes import decoded_bytes, row_bytes, struct_children
from tableformat.format.stats import ColumnStats, stats_columns
from tableformat.format.value_digest import ColumnChain, UnitDigest
from tableformat.storage.interface import Backend, Sink
from tableformat.table.key_check import KeyCheck
from tableformat.table.lanes import Budget, Failure, Lane

__all__ = ["FLIGHT_BYTES", "PartStream", "StreamResult"]

FLIGHT_BYTES: Final = 32 << 20
"""Decoded bytes of row groups on their way, besides the one that is being filled."""
_FILE_BYTES: Final = 16 << 20  # encoded bytes that wait to be hashed and written
_SAMPLE_ROWS: Final = 1024
_SAMPLE_BYTES: Final = 16 << 20
_ARRIVAL_ROWS: Final = 1 << 20
_KEY_ROWS: Final = 4096
_KEY_BYTES: Final = 4 << 20
# A keyed table is cut finely, so that an edit rewrites little: about every 4,096 rows at first, sooner where rows are fat.


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What a finished stream made."""

    layout: Layout
    parts: tuple[Part, ...]
    rows: int
    columns: dict[str, JsonObject]
    """By column id: `digest` of its values and `link` of its chain."""
    ascending: bool
    """Whether the keys ascend strictly; False without a key."""
    new_bytes: int
    """Bytes of the files written."""


class _OpenPart:
    """A part while the lanes work on it. Its fields belong to the lane that is named beside them."""

    def __init__(self, schema: Schema) -> None:
        arrow = schema.arrow_schema()
        self.encoder: PartEncoder | None = None  # encode lane
        self.hash = hashlib.sha256()  # store lane, as all below
        self.sink: Sink | None = None
        self.values = [UnitDigest(field.type) for field in arrow]
        self.stats = {index: ColumnStats(arrow.field(index).type) for index in stats_columns(schema)}
        self.rows = 0
        self.bytes = 0


class PartStream:
    """Takes storage arrays of one schema in row order and stores them as parts.

    Belongs to one thread. An error of a lane is raised by the next call, and by every one after it.
    """

    def __init__(
        self,
        backend: Backend,
        schema: Schema,
        *,
        key: Sequence[str] = (),
        unique: bool = True,
        layout: Layout | None = None,
        part_rows: int | None = None,
    ) -> None:
        self._backend = backend
        self.schema = schema
        self._arrow = schema.arrow_schema()
        self._json = {"schema": schema.to_json()}
        self._key = [self._arrow.get_field_index(name) for name in key]
        self._key_names = list(key)
        self._layout = layout
        self._wanted_rows = part_rows
        self._cutter: Cutter | None = None
        self._check = KeyCheck(list(key), unique=unique)
        self._failure = Failure()
        self._rows_budget, self._file_budget = Budget(FLIGHT_BYTES, self._failure), Budget(_FILE_BYTES, self._failure)
        self._encode, self._store, self._sync = (Lane(name, self._failure) for name in ("encode", "store", "sync"))
        self._chains = [ColumnChain(field.type) for field in self._arrow]
        self._waiting: list[pa.Table] = []  # rows before the layout is settled
        self._waiting_bytes = 0
        self._group: list[pa.Table] = []
        self._group_rows = self._group_bytes = 0
        self._part: _OpenPart | None = None
        self._part_rows = self._part_bytes = 0
        self._parts: list[Part | None] = []
        self._closed = False
        self._filled = 0  # rows that went into a row group
        self.rows = 0
        """Rows taken."""

    # The caller's thread: where groups and parts end

    def write(self, columns: Sequence[pa.Array]) -> None:
        """Append rows: one storage array for each column of the schema, of equal length, in its exact type."""
        self._failure.check()
        table = pa.Table.from_arrays(list(columns), schema=self._arrow)
        if not table.num_rows:
            return
        self.rows += table.num_rows
        if self._layout is not None:
            self._take(table)
            return
        self._waiting.append(table)
        self._waiting_bytes += _table_bytes(table)
        if self.rows >= _SAMPLE_ROWS or self._waiting_bytes >= _SAMPLE_BYTES:
            self._settle()

    def take_back(self) -> list[pa.Table] | None:
        """The rows so far, if none of them went into a row group yet; the stream is then as good as new."""
        if self._filled or self._layout is not None:
            return None
        waiting, self._waiting = self._waiting, []
        self.rows = self._waiting_bytes = 0
        return waiting

    def _settle(self) -> Layout:
        """Fix the layout from the first rows (spec/part.md, "Layout")."""
        if self._layout is None:
            waiting, self._waiting = self._waiting, []
            sample = pa.concat_tables(waiting).combine_chunks() if waiting else self._arrow.empty_table()
            widest, total = _sample_widths(sample)
            if self._key:
                rows = self._wanted_rows or _power_of_two(_KEY_BYTES / max(total, 1), 64, _KEY_ROWS)
            else:
                rows = self._wanted_rows or _ARRIVAL_ROWS
            self._layout = Layout(plan_group_rows(widest), rows, cut="key" if self._key else "arrival")
            for table in waiting:
                self._take(table)
        return self._layout

    def _take(self, table: pa.Table) -> None:
        layout = self._settle()
        if not self._key:
            self._fill(table)
            return
        columns = [table.column(index).combine_chunks() for index in self._key]
        columns = [column.chunk(0) if isinstance(column, pa.ChunkedArray) else column for column in columns]
        check_keys(self._key_names, columns, self._filled)
        hashes: Hashes = key_hashes(columns)
        self._check.add(columns, hashes)
        if self._cutter is None:
            self._cutter = Cutter(layout.part_rows)
        at = 0
        while at < len(hashes):
            end = self._cutter.next_end(hashes, at)
            stop = len(hashes) if end is None else end
            parts_before = len(self._parts)
            taken = self._fill(table.slice(at, stop - at), stop_at_part=True)
            self._cutter.advance(taken)
            at += taken
            if len(self._parts) > parts_before:  # the part grew too large in bytes
                self._cutter.start_part()
            elif end is not None and at == end:
                self._end_part()
                self._cutter.start_part()

    def _fill(self, table: pa.Table, *, stop_at_part: bool = False) -> int:
        """Move rows into the open row group, closing groups and parts as they fill; returns how many were taken."""
        layout = self._settle()
        at = 0
        while at < table.num_rows:
            room = layout.group_rows - self._group_rows
            if layout.cut == "arrival":
                room = min(room, layout.part_rows - self._part_rows - self._group_rows)
            piece = table.slice(at, room)
            size = _table_bytes(piece)
            if self._group_bytes + size > MAX_GROUP_BYTES:
                fitting = _fitting_rows(piece, MAX_GROUP_BYTES - self._group_bytes)
                piece = piece.slice(0, max(fitting, 0 if self._group_rows else 1))
                size = _table_bytes(piece)
            if piece.num_rows:
                self._group.append(piece)
            self._group_rows += piece.num_rows
            self._group_bytes += size
            self._filled += piece.num_rows
            at += piece.num_rows
            full_group = (
                self._group_rows >= layout.group_rows
                or not piece.num_rows
                or piece.num_rows < min(room, table.num_rows - at + piece.num_rows)
            )
            full_part = layout.cut == "arrival" and self._part_rows + self._group_rows >= layout.part_rows
            if full_group or full_part:
                self._end_group()
            if full_part or self._part_bytes >= layout.part_bytes:
                self._end_part()
                if stop_at_part:
                    break
        return at

    def _end_group(self) -> None:
        if not self._group_rows:
            return
        group = pa.concat_tables(self._group).combine_chunks()
        size = self._group_bytes
        if self._part is None:
            self._part = _OpenPart(self.schema)
        part = self._part
        self._part_rows += self._group_rows
        self._part_bytes += size
        self._group, self._group_rows, self._group_bytes = [], 0, 0
        self._encode.submit(lambda: self._encode_group(part, group), self._rows_budget, size)
        self._store.submit(lambda: self._digest_group(part, group, size), self._rows_budget, size)

    def _end_part(self) -> None:
        self._end_group()
        if self._part is None:
            return
        part, index = self._part, len(self._parts)
        self._parts.append(None)
        self._part, self._part_rows, self._part_bytes = None, 0, 0
        self._encode.submit(lambda: self._finish_encoding(part, index))

    # The lanes

    def _encode_group(self, part: _OpenPart, group: pa.Table) -> None:
        if part.encoder is None:

            def keep(piece: bytes) -> None:
                self._store.submit(lambda: self._store_bytes(part, piece), self._file_budget, len(piece))

            part.encoder = PartEncoder(self._arrow, self._settle(), self._json, keep)
        part.encoder.write(group)

    def _finish_encoding(self, part: _OpenPart, index: int) -> None:
        assert part.encoder is not None
        footer = part.encoder.close()
        part.encoder = None
        self._store.submit(lambda: self._finish_storing(part, index, footer))

    def _store_bytes(self, part: _OpenPart, piece: bytes) -> None:
        if part.sink is None:
            part.sink = self._backend.writer("data")
        part.hash.update(piece)
        part.sink.write(piece)

    def _digest_group(self, part: _OpenPart, group: pa.Table, size: int) -> None:
        for index, column in enumerate(group.columns):
            array = _one_chunk(column)
            part.values[index].update(array)
            self._chains[index].update(array)
            if index in part.stats:
                part.stats[index].update(array)
        part.rows += group.num_rows
        part.bytes += size

    def _finish_storing(self, part: _OpenPart, index: int, footer: Footer) -> None:
        assert part.sink is not None
        file = PartFile(PREFIX + part.hash.hexdigest(), footer.file_size, footer.size, footer.digest)
        ids = [str(column.id) for column in self.schema.columns]
        self._parts[index] = Part(
            part.rows,
            part.bytes,
            (file,),
            {ids[i]: unit.digest() for i, unit in enumerate(part.values)},
            {ids[i]: stats.to_json() for i, stats in part.stats.items()},
        )
        sink = part.sink
        self._sync.submit(lambda: sink.commit(file.path))
        part.sink = None

    # The end

    def finish(self, *, prove: bool = True) -> StreamResult:
        """Store what is left, wait until it is durable, and prove the key: raises `KeyValueError` if it is not unique."""
        try:
            layout = self._settle()
            self._end_part()
            self._close_lanes()
            self._failure.check()
            parts = tuple(part for part in self._parts if part is not None)
            if prove:
                self._check.finish(lambda: self._read_keys(parts))
            self._check.close()
        except BaseException:
            self.abort()
            raise
        self._closed = True
        columns = {
            str(column.id): {"digest": chain.digest(), "link": PREFIX + chain.link.hex()}
            for column, chain in zip(self.schema.columns, self._chains, strict=True)
        }
        ascending = bool(self._key) and self._check.ascending
        return StreamResult(layout, parts, self.rows, columns, ascending, sum(part.files[0].size for part in parts))

    def _close_lanes(self) -> None:
        for lane in (self._encode, self._store, self._sync):
            lane.close()

    def abort(self) -> None:
        """Stop the lanes; what was stored stays for the collector. May be called twice."""
        if not self._closed:
            self._closed = True
            self._failure.set(RuntimeError("the writer was stopped"))
            self._close_lanes()
            self._check.close()
            if self._part is not None and self._part.sink is not None:
                self._part.sink.abort()

    def read_back(self, parts: Sequence[Part], columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The stored rows again, a row group at a time, from parts that are durable."""
        for part in parts:
            path = part.files[0].path
            source: Any = self._backend.local_path(path) or pa.BufferReader(self._backend.read(path))
            with pq.ParquetFile(source, page_checksum_verification=True) as file:
                for index in range(file.num_row_groups):
                    yield file.read_row_group(index, columns=columns, use_threads=False)

    def _read_keys(self, parts: Sequence[Part]) -> Iterator[tuple[int, list[pa.Array]]]:
        row = 0
        for table in self.read_back(parts, self._key_names):
            yield row, [_one_chunk(table.column(name)) for name in self._key_names]
            row += table.num_rows


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else pa.array([], column.type)
    )


def _table_bytes(table: pa.Table) -> int:
    return sum(decoded_bytes(chunk) for column in table.columns for chunk in column.chunks)


def _fitting_rows(table: pa.Table, budget: int) -> int:
    """How many of the first rows fit in `budget` decoded bytes."""
    sizes = sum((row_bytes(_one_chunk(column)) for column in table.columns), np.zeros(table.num_rows, np.int64))
    return int(np.searchsorted(np.cumsum(sizes), budget, "right"))


def _sample_widths(sample: pa.Table) -> tuple[float, float]:
    """Decoded bytes a row of the widest leaf column and of all, over the rows that the layout is settled by."""
    rows = min(sample.num_rows, _SAMPLE_ROWS)
    if not rows:
        return 1.0, 1.0
    sizes = sum((row_bytes(_one_chunk(column)) for column in sample.columns), np.zeros(sample.num_rows, np.int64))
    rows = max(1, min(rows, int(np.searchsorted(np.cumsum(sizes), _SAMPLE_BYTES, "left")) + 1))
    widest = max((max(_leaf_bytes(_one_chunk(column.slice(0, rows)))) for column in sample.columns), default=1)
    return widest / rows, float(sizes[:rows].sum()) / rows


def _leaf_bytes(array: pa.Array) -> list[int]:
    """Decoded bytes of each leaf under an array."""
    if pa.types.is_struct(array.type) and array.type.num_fields:
        return [size for child in struct_children(array) for size in _leaf_bytes(child)]
    return [decoded_bytes(array)]


def _power_of_two(value: float, least: int, most: int) -> int:
    return min(max(1 << max(int(value).bit_length() - 1, 0), least), most)

"""Rows in, parts out: where row groups and parts end, in the caller's thread, which only slices Arrow data.

What becomes of them (digests, Parquet, files) is the business of the lanes beside it (`part_lanes`). Nothing grows with
the rows but the list of finished parts, about a kilobyte each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.format.keys import Cutter, Hashes, check_keys, key_hashes
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.part import MAX_GROUP_BYTES, Layout, plan_group_rows
from tableformat.format.schema import Schema
from tableformat.format.sizes import decoded_bytes, row_bytes, struct_children
from tableformat.format.types.arrays import one_chunk
from tableformat.format.value_digest import BLOCK_ROWS, ColumnChain
from tableformat.storage.interface import Backend
from tableformat.table.key_check import KeyCheck
from tableformat.table.lanes import Failure
from tableformat.table.part_lanes import FLIGHT_BYTES, CutPart, PartLanes
from tableformat.table.resume import SealPoint, Segment
from tableformat.table.reuse import Reuse, Reused
from tableformat.table.stored_rows import iter_stored, rows_from

__all__ = ["FLIGHT_BYTES", "Continuation", "PartStream", "StreamResult"]

_SAMPLE_ROWS: Final = 1024
_SAMPLE_BYTES: Final = 16 << 20
_ARRIVAL_ROWS: Final = 1 << 20
_KEY_ROWS: Final = 4096
_KEY_BYTES: Final = (512 << 10, 4 << 20)
# A keyed table is cut finely, so that an edit rewrites little: at first about every 4,096 rows, later where these are less than
# 512 KiB and sooner where they are more than 4 MiB.


@dataclass(frozen=True, slots=True)
class Continuation:
    """The rows of a table behind which those of a stream come."""

    rows: int
    """How many they are."""
    chains: Callable[[Schema], Sequence[ColumnChain]]
    """From the schema of the stream to the chains of its columns at their end."""


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
    """Bytes of the files written, those included that were there under the same name."""
    reused: Reused = field(default_factory=Reused)
    """What was taken from the version before."""


class PartStream:
    """Takes storage arrays of one schema in row order and stores them as parts.

    With `before`, the entry that the table replaces, parts and columns that it has are not stored again. Belongs to one
    thread. An error of a lane is raised by the next call, and by every one after it.
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
        before: TableEntry | None = None,
        after: Continuation | None = None,
    ) -> None:
        self._rows_before = 0 if after is None else after.rows
        self._backend = backend
        self.schema = schema
        self._key_names = list(key)
        self._layout = layout
        self._wanted_rows = part_rows
        self._cutter: Cutter | None = None
        self._check = KeyCheck(list(key), unique=unique)
        self._failure = Failure()
        reuse = Reuse(backend, before, schema) if before is not None and before.parts.count else None
        self._lanes = PartLanes(backend, schema, self._failure, reuse)
        self._lanes.layout = layout
        if after is not None:
            self._lanes.chains[:] = after.chains(schema)
        self._arrow = self._lanes.arrow
        self._key = [self._arrow.get_field_index(name) for name in key]
        self._waiting: list[pa.Table] = []  # rows before the layout is settled
        self._waiting_bytes = 0
        self._group: list[pa.Table] = []
        self._group_rows = self._group_bytes = 0
        self._part: CutPart | None = None
        self._part_rows = self._part_bytes = 0
        self._closed = False
        self._filled = 0  # rows that went into a row group
        self._points: deque[tuple[int, int, list[bytes]]] | None = (
            None  # parts and rows that were ended, links of the chains
        )
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
            planned = _least_target(total) if self._key else _ARRIVAL_ROWS
            rows = self._wanted_rows or planned
            self._layout = Layout(plan_group_rows(widest), rows, cut="key" if self._key else "arrival")
            self._lanes.layout = self._layout
            for table in waiting:
                self._take(table)
        return self._layout

    def _take(self, table: pa.Table) -> None:
        layout = self._settle()
        if not self._key:
            self._fill(table)
            return
        columns = [one_chunk(table.column(index)) for index in self._key]
        check_keys(self._key_names, columns, self._filled)
        hashes: Hashes = key_hashes(columns)
        self._check.add(columns, hashes)
        if self._cutter is None:
            self._cutter = Cutter(layout.part_rows, self._rows_before)
        at = 0
        while at < len(hashes):
            end = self._cutter.next_end(hashes, at)
            stop = len(hashes) if end is None else end
            parts_before = len(self._lanes.parts)
            taken = self._fill(table.slice(at, stop - at), stop_at_part=True)
            self._cutter.advance(taken)
            at += taken
            if len(self._lanes.parts) > parts_before:  # the part grew too large in bytes
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
            self._part = self._lanes.open_part()
        self._part_rows += self._group_rows
        self._part_bytes += size
        self._group, self._group_rows, self._group_bytes = [], 0, 0
        self._lanes.add(self._part, group, size)

    def _end_part(self) -> None:
        self._end_group()
        if self._part is not None:
            part, self._part, self._part_rows, self._part_bytes = self._part, None, 0, 0
            self._lanes.end(part)
            if self._points is not None:
                links: list[bytes] = []  # filled by a lane, when the chains have come so far
                self._points.append((len(self._lanes.parts), self._filled, links))
                self._lanes.mark(links.extend)

    # How far all is durable

    def watch(self) -> None:
        """From now on remember where parts end, for `safe`."""
        self._points = deque()

    def safe(self, rows: Collection[int] | None = None) -> SealPoint | None:
        """The last end of a part up to which all is durable, of those that were not told yet; of `rows`, where it is given, alone. Does not
        wait, but raises what a lane raised."""
        self._failure.check()
        finished, best = self._lanes.finished, None
        while self._points and self._points[0][0] <= finished and (self._points[0][2] or not self.schema.columns):
            point = self._points.popleft()
            best = point if rows is None or point[1] in rows else best
        if best is None:
            return None
        count, reached, links = best
        parts = tuple(part for part in self._lanes.parts[:count] if part is not None)
        told = {str(column.id): PREFIX + link.hex() for column, link in zip(self.schema.columns, links, strict=True)}
        return SealPoint(reached, (Segment(self.schema, self._settle(), parts),), told)

    @property
    def fill(self) -> tuple[int, float]:
        """Parts that were ended, and how full the open one is, from 0 to 1; in a table with a key its length is not known before."""
        if self._layout is None:
            return 0, 0.0
        rows = (self._part_rows + self._group_rows) / self._layout.part_rows
        size = (self._part_bytes + self._group_bytes) / self._layout.part_bytes
        return len(self._lanes.parts), max(rows, size)

    def cut(self, *, wait: bool) -> None:
        """End the open part here; with `wait`, until all is durable."""
        if self.rows > self._filled or self._part is not None or self._group_rows:
            self._settle()
            self._end_part()
            if self._cutter is not None:
                self._cutter.start_part()
        if wait:
            self._lanes.flush()

    def go_on(self, sealed: SealPoint) -> None:
        """Before the first row: go on behind rows that a stream of this schema and layout has stored. Reads the columns of the key, and the rows since
        the last full block."""
        parts = list(sealed.segments[0].parts)
        self._lanes.take_up(parts)
        self.rows = self._filled = sealed.rows
        for row, columns in self._read_keys(parts) if self._key else ():
            check_keys(self._key_names, columns, row)
            self._check.add(columns, key_hashes(columns))
        if self._key:
            self._cutter = Cutter(self._settle().part_rows, self._rows_before + sealed.rows)
        self._chain_on(parts, sealed)

    def _chain_on(self, parts: Sequence[Part], sealed: SealPoint) -> None:
        total = self._rows_before + sealed.rows
        start = max(total - total % BLOCK_ROWS - self._rows_before, 0)
        if start:
            self._lanes.chains[:] = [
                ColumnChain(field.type, self._rows_before + start, bytes.fromhex(sealed.links[str(column.id)].removeprefix(PREFIX)))
                for field, column in zip(self._arrow, self.schema.columns, strict=True)
            ]  # fmt: skip
        for table in rows_from(self._backend, self.schema, parts, start):
            for chain, column in zip(self._lanes.chains, table.columns, strict=True):
                chain.update(one_chunk(column))

    # The end

    def finish(self, *, prove: bool = True) -> StreamResult:
        """Store what is left, wait until it is durable, and prove the key: raises `KeyValueError` if it is not unique."""
        try:
            layout = self._settle()
            self._end_part()
            self._lanes.close()
            parts = tuple(part for part in self._lanes.parts if part is not None)
            if prove:
                self._check.finish(lambda: self._read_keys(parts))
            self._check.close()
        except BaseException:
            self.abort()
            raise
        self._closed = True
        columns = {
            str(column.id): {"digest": chain.digest(), "link": PREFIX + chain.link.hex()}
            for column, chain in zip(self.schema.columns, self._lanes.chains, strict=True)
        }
        ascending = bool(self._key) and self._check.ascending
        return StreamResult(layout, parts, self.rows, columns, ascending, self._lanes.new_bytes, self._lanes.reused)

    def abort(self) -> None:
        """Stop the lanes; what was stored stays for the collector. May be called twice."""
        if not self._closed:
            self._closed = True
            self._failure.set(RuntimeError("the writer was stopped"))
            self._lanes.abort()
            self._check.close()

    def read_back(self, parts: Sequence[Part], columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The stored rows again, a row group at a time, from parts that are durable."""
        return iter_stored(self._backend, self.schema, parts, columns)

    def _read_keys(self, parts: Sequence[Part]) -> Iterator[tuple[int, list[pa.Array]]]:
        row = 0
        for table in self.read_back(parts, self._key_names):
            yield row, [one_chunk(table.column(name)) for name in self._key_names]
            row += table.num_rows


def _table_bytes(table: pa.Table) -> int:
    return sum(decoded_bytes(chunk) for column in table.columns for chunk in column.chunks)


def _fitting_rows(table: pa.Table, budget: int) -> int:
    """How many of the first rows fit in `budget` decoded bytes."""
    sizes = sum((row_bytes(one_chunk(column)) for column in table.columns), np.zeros(table.num_rows, np.int64))
    return int(np.searchsorted(np.cumsum(sizes), budget, "right"))


def _sample_widths(sample: pa.Table) -> tuple[float, float]:
    """Decoded bytes a row of the widest leaf column and of all, over the rows that the layout is settled by."""
    rows = min(sample.num_rows, _SAMPLE_ROWS)
    if not rows:
        return 1.0, 1.0
    sizes = sum((row_bytes(one_chunk(column)) for column in sample.columns), np.zeros(sample.num_rows, np.int64))
    rows = max(1, min(rows, int(np.searchsorted(np.cumsum(sizes), _SAMPLE_BYTES, "left")) + 1))
    widest = max((max(_leaf_bytes(one_chunk(column.slice(0, rows)))) for column in sample.columns), default=1)
    return widest / rows, float(sizes[:rows].sum()) / rows


def _leaf_bytes(array: pa.Array) -> list[int]:
    """Decoded bytes of each leaf under an array."""
    if pa.types.is_struct(array.type) and array.type.num_fields:
        return [size for child in struct_children(array) for size in _leaf_bytes(child)]
    return [decoded_bytes(array)]


def _least_target(row_bytes: float) -> int:
    """Rows of the first parts of a keyed table whose rows take `row_bytes` decoded bytes on average."""
    least, most = (size / max(row_bytes, 1) for size in _KEY_BYTES)
    rows = int(max(least, min(most, _KEY_ROWS)))
    return min(max(1 << max(rows.bit_length() - 1, 0), 64), 65_536)

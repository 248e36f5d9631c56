"""Selections carried out: rows of parts as batches in storage types, in order, in bounded memory.

The first step of a selection decides what is read: a range streams through the parts, indices fetch single rows through a
cache of row groups. The first filter works where the rows are decoded, before columns that it does not need are read.
What follows works on the stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tableformat.format.bound import Bound, bind
from tableformat.format.expr import Predicate
from tableformat.format.manifest import Part
from tableformat.table.batches import batch_of, joined, select
from tableformat.table.cell_reader import CellReader
from tableformat.table.group_cache import GroupCache
from tableformat.table.ordered import LOCAL_THREADS, REMOTE_THREADS, run_ordered
from tableformat.table.part_reader import PartReader
from tableformat.table.scan import (
    SPAN_BYTES,
    PartRows,
    Span,
    part_starts,
    plan_parts,
    plan_spans,
    plan_take,
    plan_take_groups,
)
from tableformat.table.selection import Filter, Indices, Picked, Positions, RowRange, Sliced, Step
from tableformat.table.source import TableSource

__all__ = ["Piece", "Reading", "resolve"]

_TAKE_ROWS: Final = 1 << 16
_SMALL_BYTES: Final = (
    4 << 20
)  # decoded bytes of small parts that one task reads: handing over to a thread has its price
_MIN_TAKE_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of selected rows."""

    batch: pa.RecordBatch
    """The columns asked for, in storage types."""
    rows: range | Positions
    """The number of each row in the table."""

    def slice(self, start: int, stop: int, step: int = 1) -> Piece:
        """Some of its rows."""
        if step == 1:
            return Piece(self.batch.slice(start, stop - start), self.rows[start:stop])
        chosen = np.arange(start, stop, step, dtype=np.int64)
        return Piece(self.batch.take(pa.array(chosen)), self.rows[start:stop:step])


class Reading:
    """Reads the rows of one table. Shared by all selections of it; safe from many threads.

    Holds up to `Limits.cache_bytes` of decoded row groups for reads of single rows, and the footers of the last parts; each
    scan under way holds up to `Limits.flight_bytes`, and two row groups in any case.
    """

    def __init__(self, source: TableSource) -> None:
        self.source = source
        self.schema = source.entry.schema
        self.storage = self.schema.arrow_schema()
        self.cells = CellReader(source)
        """Reads what media cells point at."""
        self._parts = PartReader(source.backend, self.storage, source.limits, source.physical)
        self._cache = GroupCache(source.limits.cache_bytes)
        self._starts: Positions | None = None
        self._lock = threading.Lock()

    # -- what is known

    def parts(self) -> Sequence[Part]:
        """The parts of the table."""
        return self.source.parts()

    def starts(self) -> Positions:
        """The number of each part's first row."""
        if self._starts is None:
            self._starts = part_starts(self.parts())
        return self._starts

    def bind(self, predicate: Predicate) -> Bound:
        """The predicate over this table's columns. Reads class sets where texts stand for class ids."""

        def class_id(digest: str, name: str) -> int | None:
            classes = self.source.classes(digest)
            return next((number for number in classes if classes.names[number] == name), None)

        return bind(predicate, self.schema, class_id)

    # -- carrying out

    def pieces(self, steps: Sequence[Step], columns: Sequence[str]) -> Iterator[Piece]:
        """The selected rows, in order, with `columns`. No piece is empty."""
        steps = resolve(self, steps)
        first, rest = (steps[0], steps[1:]) if steps and isinstance(steps[0], (RowRange, Indices)) else (None, steps)
        where = self.bind(rest[0].predicate) if rest and isinstance(rest[0], Filter) else None
        later = list(rest[1 if where else 0 :])
        needed = self._with_filters(columns, later)
        if isinstance(first, Indices):
            stream = self._take(first.rows, needed, where)
        else:
            rows = first.rows if first is not None else range(self.source.entry.rows)
            stream = self._scan(rows, needed, where)
        for step in later:
            if isinstance(step, Filter):
                stream = self._filtered(stream, self.bind(step.predicate))
            else:
                assert isinstance(step, Sliced)  # positions were resolved, and nothing else comes after a filter
                stream = _sliced(stream, step)
        if len(needed) == len(columns):
            return stream
        return (Piece(select(piece.batch, columns), piece.rows) for piece in stream)

    def row_numbers(self, steps: Sequence[Step]) -> Positions:
        """The numbers in the table of the selected rows. Reads the columns that filters need; holds 8 bytes a row."""
        found = [np.asarray(piece.rows, dtype=np.int64) for piece in self.pieces(steps, [])]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def count(self, steps: Sequence[Step]) -> int:
        """How many rows are selected. Reads the columns that filters need."""
        return sum(len(piece.rows) for piece in self.pieces(steps, []))

    def _with_filters(self, columns: Sequence[str], later: Sequence[Step]) -> list[str]:
        filters = [self.bind(step.predicate).columns for step in later if isinstance(step, Filter)]
        return list(dict.fromkeys([*columns, *(name for names in filters for name in names)]))

    # -- ranges

    def _scan(self, rows: range, columns: list[str], where: Bound | None) -> Iterator[Piece]:
        threads = LOCAL_THREADS if self.source.backend.is_local else REMOTE_THREADS
        tasks = self._scan_tasks(rows, columns, where)
        for pieces in run_ordered(tasks, self.source.limits.flight_bytes, threads):
            yield from pieces

    def _scan_tasks(
        self, rows: range, columns: list[str], where: Bound | None
    ) -> Iterator[tuple[Callable[[], list[Piece]], float]]:
        parts = self.parts()
        # Where a request has to travel, each small part is a task of its own: more of them are under way at a time.
        most = _SMALL_BYTES if self.source.backend.is_local else 0
        small: list[PartRows] = []
        small_bytes = 0
        for wanted in plan_parts(parts, self.starts(), rows, where):
            part = parts[wanted.part]
            if part.bytes <= SPAN_BYTES:  # small parts are read together, and their footers there
                small.append(wanted)
                small_bytes += part.bytes
                if small_bytes >= most:
                    yield self._small_parts(small, columns, where), small_bytes
                    small, small_bytes = [], 0
                continue
            if small:
                yield self._small_parts(small, columns, where), small_bytes
                small, small_bytes = [], 0
            metadata = self._parts.metadata(part)
            row_bytes = self._parts.row_bytes(
                metadata, list(dict.fromkeys([*columns, *(where.columns if where else ())]))
            )
            for span in plan_spans(metadata, wanted, row_bytes, where, self._parts.leaves):
                yield (lambda span=span: self._read_span(span, columns, where)), row_bytes * _span_rows(metadata, span)  # type: ignore[misc]  # bound now
        if small:
            yield self._small_parts(small, columns, where), small_bytes

    def _small_parts(
        self, wanted: list[PartRows], columns: list[str], where: Bound | None
    ) -> Callable[[], list[Piece]]:
        return lambda: [piece for one in wanted for piece in self._read_part(one, columns, where)]

    def _read_part(self, wanted: PartRows, columns: list[str], where: Bound | None) -> list[Piece]:
        metadata = self._parts.metadata(self.parts()[wanted.part])
        spans = plan_spans(metadata, wanted, 1.0, where, self._parts.leaves)
        return [piece for span in spans for piece in self._read_span(span, columns, where)]

    def _read_span(self, span: Span, columns: list[str], where: Bound | None) -> list[Piece]:
        part = self.parts()[span.part]
        if where is None:
            return [
                piece for piece in _wanted(self._parts.read(part, span.groups, columns), span) if piece.batch.num_rows
            ]
        # The filter's columns first: where no row matches, the others are not read.
        tested = joined(self._parts.read(part, span.groups, where.columns))
        (found,) = _wanted([tested], span)
        mask = _true_rows(where.mask(found.batch))
        if not len(mask):
            return []
        others = [name for name in columns if name not in where.columns]
        read = joined(self._parts.read(part, span.groups, others)) if others else tested
        arrays = [(tested if name in where.columns else read).column(name) for name in columns]
        (piece,) = _wanted([batch_of(arrays, columns, self.storage, tested.num_rows)], span)
        return [_kept(piece, mask)]

    # -- single rows

    def _take(self, rows: Positions, columns: list[str], where: Bound | None) -> Iterator[Piece]:
        if not len(rows):
            return
        needed = list(dict.fromkeys([*columns, *(where.columns if where else ())]))
        total = sum(part.bytes for part in self.parts()) / max(self.source.entry.rows, 1)
        # One pass over the row groups for as many rows as fit in half of the budget.
        count = int(np.clip(self.source.limits.flight_bytes / 2 / max(total, 1), _MIN_TAKE_ROWS, _TAKE_ROWS))
        for at in range(0, len(rows), count):
            piece = self._gather(rows[at : at + count], needed)
            if where is not None:
                mask = _true_rows(where.mask(piece.batch))
                if not len(mask):
                    continue
                piece = _kept(piece, mask)
            yield Piece(select(piece.batch, columns), piece.rows) if len(needed) != len(columns) else piece

    def _gather(self, rows: Positions, columns: list[str]) -> Piece:
        """The batch of these rows, in this order."""
        ascending = len(rows) < 2 or bool((rows[1:] >= rows[:-1]).all())
        order = None if ascending else np.argsort(rows, kind="stable")
        wanted = rows if order is None else rows[order]
        parts, begins = plan_take(self.starts(), wanted)
        gathered: list[list[pa.Array]] = [[] for _ in columns]
        for place, number in enumerate(parts.tolist()):
            part = self.parts()[number]
            inside = wanted[begins[place] : begins[place + 1]] - self.starts()[number]
            for group in plan_take_groups(self._parts.metadata(part), number, inside):
                arrays = self._columns(part, number, group.group, columns)
                low = int(group.rows[0])
                if (np.diff(group.rows) == 1).all():
                    taken = [array.slice(low, len(group.rows)) for array in arrays]
                else:
                    chosen = pa.array(group.rows)
                    taken = [array.take(chosen) for array in arrays]
                for column, array in zip(gathered, taken, strict=True):
                    column.append(array)
        columns_of = [arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays) for arrays in gathered]
        if order is not None:
            back = np.empty(len(order), np.int64)
            back[order] = np.arange(len(order))
            places = pa.array(back)
            columns_of = [array.take(places) for array in columns_of]
        return Piece(batch_of(columns_of, columns, self.storage, len(rows)), rows)

    def _columns(self, part: Part, number: int, group: int, columns: list[str]) -> list[pa.Array]:
        """Whole columns of a row group, from the cache where they are there."""
        found = self._cache.get_many(number, group, columns)
        missing = [name for name in columns if name not in found]
        if missing:
            batch = joined(self._parts.read(part, [group], missing, threads=True))
            for name in missing:
                found[name] = batch.column(name)
                self._cache.put(number, group, name, found[name])
        return [found[name] for name in columns]

    def row(self, number: int, columns: list[str]) -> Piece:
        """One row of the table."""
        return self._gather(np.array([number], np.int64), columns)

    # -- streams

    def _filtered(self, stream: Iterator[Piece], where: Bound) -> Iterator[Piece]:
        for piece in stream:
            mask = _true_rows(where.mask(piece.batch))
            if len(mask):
                yield _kept(piece, mask)


def resolve(reading: Reading, steps: Sequence[Step]) -> list[Step]:
    """The same rows by steps that stream: positions and slices from the end become indices of the table, by reading what the
    filters before them need. Holds 8 bytes for each row that those filters leave."""
    last = max(
        (
            place
            for place, step in enumerate(steps)
            if isinstance(step, Picked) or (isinstance(step, Sliced) and step.needs_count)
        ),
        default=None,
    )
    if last is None:
        return list(steps)
    numbers = reading.row_numbers(steps[:last])
    step = steps[last]
    if isinstance(step, Sliced):
        rows = numbers[slice(step.start, step.stop, step.step)]
    else:
        assert isinstance(step, Picked)
        outside = step.positions >= len(numbers)
        if outside.any():
            raise IndexError(
                f"taking rows · expected positions below {len(numbers)}, got {int(step.positions[int(np.argmax(outside))])}"
            )
        rows = numbers[step.positions]
    return [Indices(rows), *steps[last + 1 :]]


def _sliced(stream: Iterator[Piece], step: Sliced) -> Iterator[Piece]:
    """`[start:stop:step]` of a stream, all of them not negative; reads no further than `stop`."""
    start, stride = step.start or 0, step.step or 1
    at = 0
    if step.stop is not None and step.stop <= start:
        return
    for piece in stream:
        size = len(piece.rows)
        first = start - at if at <= start else -(at - start) % stride
        last = size if step.stop is None else min(size, step.stop - at)
        if first < last:
            yield piece.slice(first, last, stride)
        at += size
        if step.stop is not None and at >= step.stop:
            return


def _wanted(batches: Sequence[pa.RecordBatch], span: Span) -> Iterator[Piece]:
    """The wanted rows of the batches of a span, in their order."""
    rows = span.rows
    total = sum(batch.num_rows for batch in batches)
    if rows.step == 1:
        at = 0
        for batch in batches:
            low, high = max(rows.start, at), min(rows.stop, at + batch.num_rows)
            if low < high:
                yield Piece(
                    batch if high - low == batch.num_rows else batch.slice(low - at, high - low),
                    range(span.first + low, span.first + high),
                )
            at += batch.num_rows
        return
    if total and len(rows):
        whole = joined(batches)
        chosen = np.arange(rows.start, rows.stop, rows.step, dtype=np.int64)
        yield Piece(whole.take(pa.array(chosen)), range(span.first + rows.start, span.first + rows.stop, rows.step))


def _true_rows(mask: pa.Array | pa.Scalar) -> Positions:
    """Where a mask is true: null is not."""
    return np.asarray(pc.indices_nonzero(mask)).astype(np.int64)


def _kept(piece: Piece, mask: Positions) -> Piece:
    if len(mask) == len(piece.rows):
        return piece
    rows = piece.rows
    chosen = rows[mask] if isinstance(rows, np.ndarray) else rows.start + mask * rows.step
    return Piece(piece.batch.take(pa.array(mask)), chosen)


def _span_rows(metadata: pq.FileMetaData, span: Span) -> int:
    return sum(metadata.row_group(group).num_rows for group in span.groups)

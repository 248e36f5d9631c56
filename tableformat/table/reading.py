"""Selections carried out: rows of parts as batches in storage types, in order, in bounded memory.

The first step of a selection decides what is read: a range streams through the parts, indices fetch single rows through a
cache of row groups. The first filter works where the rows are decoded, before columns that it does not need are read.
What follows works on the stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import CorruptError, message
from tableformat.format.bound import Bound, bind, find_leaf
from tableformat.format.bounds import UNKNOWN, Bounds
from tableformat.format.expr import Predicate
from tableformat.format.manifest import Part
from tableformat.table.batches import batch_of, joined, select
from tableformat.table.cell_reader import CellReader
from tableformat.table.group_cache import GroupCache
from tableformat.table.open_part import OpenPart
from tableformat.table.ordered import LOCAL_FLIGHT_BYTES, REMOTE_THREADS, run_ordered
from tableformat.table.part_reader import PartReader
from tableformat.table.recipe import duckdb_view
from tableformat.table.row_groups import iter_taken
from tableformat.table.scan import (
    PartRows,
    Span,
    part_starts,
    plan_parts,
    plan_spans,
    rows_within,
    sorted_run,
    total_bytes,
)
from tableformat.table.selection import Filter, Indices, Picked, Positions, RowRange, Sliced, Step
from tableformat.table.source import TableSource

__all__ = ["Piece", "Reading", "resolve"]

_TAKE_ROWS: Final = 1 << 16
_WHOLE_PART_BYTES: Final = 8 << 20  # decoded bytes of parts that one task opens and reads
_SMALL_BYTES: Final = 4 << 20
# Decoded bytes of small parts that one task reads: handing over to a thread has its price (10M × 9M joined rows took 6 % longer by 1 MiB).
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
    scan under way holds up to `Limits.flight_bytes`, and two row groups in any case; each read of single rows of a table that
    is not local up to 96 MiB, and one row group in any case.
    """

    def __init__(self, source: TableSource) -> None:
        self.source = source
        self.schema = source.entry.schema
        self.storage = self.schema.arrow_schema()
        self.cells = CellReader(source)
        """Reads what media cells point at."""
        self._parts = PartReader(
            source.backend, self.schema, source.limits, source.physical, is_plain=source.entry.plain
        )
        self._cache = GroupCache(source.limits.cache_bytes)
        self._starts: Positions | None = None
        self._lock = threading.Lock()

    # -- what is known

    def parts(self) -> Sequence[Part]:
        """The parts of the table."""
        return self.source.parts()

    def starts(self) -> Positions:
        """The number of each part's first row, and of all at the end. Raises `CorruptError` where the entry says another one."""
        if self._starts is None:
            starts, rows = part_starts(self.parts()), self.source.entry.rows
            if int(starts[-1]) != rows:
                raise CorruptError(
                    message("reading a table", path=self.source.address, expected=f"{rows} rows, as its entry says",
                            got=f"{starts[-1]} in its parts", todo="verify the store")
                )  # fmt: skip
            self._starts = starts
        return self._starts

    def bind(self, predicate: Predicate) -> Bound:
        """The predicate over this table's columns. Reads class sets where texts stand for class ids."""

        def class_id(digest: str, name: str) -> int | None:
            classes = self.source.classes(digest)
            return next((number for number in classes if classes.names[number] == name), None)

        return bind(predicate, self.schema, class_id)

    def row_bytes(self, columns: Sequence[str]) -> float:
        """Bytes that a row of the columns takes decoded, about: told by the first part that has rows. Reads its footers."""
        part = next((part for part in self.parts() if part.rows), None)
        return 1.0 if part is None or not columns else self._parts.open(part, columns).row_bytes(columns)

    def span_of(self, column: str) -> int | None:
        """How many whole numbers there are from the least to the most of a column of them, as the statistics of all parts
        tell; None where they do not."""
        leaf = find_leaf(self.schema, column)
        found = [self._parts.part_bounds(part)(leaf) for part in self.parts() if part.rows]
        lows, highs = [bounds.least for bounds in found], [bounds.most for bounds in found]
        if not found or not all(isinstance(value, int) for value in (*lows, *highs)):
            return None
        return int(max(highs)) - int(min(lows)) + 1  # type: ignore[type-var, arg-type]  # all are whole numbers

    def duckdb_view(self, name: str) -> str:
        """The statement that creates a view `name` of the table in DuckDB."""
        source = self.source
        return duckdb_view(
            name, self.schema, self.parts(), source.backend.uri, self._parts.columns_of, plain=source.entry.plain
        )

    # -- carrying out

    def pieces(self, steps: Sequence[Step], columns: Sequence[str], coded: Collection[str] = ()) -> Iterator[Piece]:
        """The selected rows, in order, with `columns`. No piece is empty. Columns of text in `coded` may come as a dictionary and numbers
        of it, a batch one way and the next another."""
        steps = resolve(self, steps)
        first, rest = (steps[0], steps[1:]) if steps and isinstance(steps[0], (RowRange, Indices)) else (None, steps)
        where = self.bind(rest[0].predicate) if rest and isinstance(rest[0], Filter) else None
        later = list(rest[1 if where else 0 :])
        needed = self._with_filters(columns, later)
        if isinstance(first, Indices):
            stream = self._take(first.rows, needed, where)
        else:
            rows = first.rows if first is not None else range(self.source.entry.rows)
            stream = self._scan(rows, needed, where, () if where or later else coded)
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

    def _scan(self, rows: range, columns: list[str], where: Bound | None, coded: Collection[str]) -> Iterator[Piece]:
        is_local, budget = self.source.backend.is_local, self.source.limits.flight_bytes
        budget = min(budget, LOCAL_FLIGHT_BYTES) if is_local else budget
        tasks = self._scan_tasks(rows, columns, where, coded)
        for pieces in run_ordered(tasks, budget, None if is_local else REMOTE_THREADS):
            yield from pieces

    def _scan_tasks(
        self, rows: range, columns: list[str], where: Bound | None, coded: Collection[str]
    ) -> Iterator[tuple[Callable[[], list[Piece]], float]]:
        parts = self.parts()
        # Where a request has to travel, each small part is a task of its own: more of them are under way at a time.
        most = _SMALL_BYTES if self.source.backend.is_local else 0
        small: list[PartRows] = []
        small_bytes = 0
        may_match = None if where is None else lambda part: where.may_match(self._parts.part_bounds(part))
        for wanted in plan_parts(parts, self.starts(), self._narrowed(rows, where), may_match):
            part = parts[wanted.part]
            if part.bytes <= _WHOLE_PART_BYTES:  # small parts are read together, and their footers there
                small.append(wanted)
                small_bytes += part.bytes
                if small_bytes >= most:
                    yield self._small_parts(small, columns, where, coded), small_bytes
                    small, small_bytes = [], 0
                continue
            if small:
                yield self._small_parts(small, columns, where, coded), small_bytes
                small, small_bytes = [], 0
            opened = self._open(part, columns, where)
            row_bytes, sizes = opened.row_bytes(opened.names), opened.sizes
            for span in plan_spans(sizes, wanted, row_bytes, opened.may_match(where)):
                rows_held = sum(sizes[unit] for unit in span.units)
                yield (lambda one=opened, span=span: _read_span(one, span, columns, where)), row_bytes * rows_held  # type: ignore[misc]  # bound now
        if small:
            yield self._small_parts(small, columns, where, coded), small_bytes

    def _narrowed(self, rows: range, where: Bound | None) -> range:
        """Those of `rows` among which all lie that a filter keeps, where the table is sorted by a column that it tests: by
        halving, so that few of many parts are asked for what they hold."""
        entry, parts = self.source.entry, self.parts()
        if where is None or not entry.sorted or not entry.table_key or "deletions" in entry.requires.read:
            return rows
        leaf = next((leaf for leaf in where.leaves if leaf.path == (entry.table_key[0],)), None)
        if leaf is None or not _has_total_order(leaf.storage):
            return rows

        def may(part: Part, *, is_low: bool) -> bool:
            found = self._parts.part_bounds(part)(leaf)
            assumed = Bounds(None, found.most, None, None) if is_low else Bounds(found.least, None, None, None)
            return where.may_match(lambda other: assumed if other == leaf else UNKNOWN)

        run = sorted_run(parts, lambda part: may(part, is_low=True), lambda part: may(part, is_low=False))
        starts = self.starts()
        return rows_within(rows, int(starts[run.start]), int(starts[run.stop]))

    def _small_parts(
        self, wanted: list[PartRows], columns: list[str], where: Bound | None, coded: Collection[str]
    ) -> Callable[[], list[Piece]]:
        return lambda: [piece for one in wanted for piece in self._read_part(one, columns, where, coded)]

    def _open(self, part: Part, columns: Sequence[str], where: Bound | None) -> OpenPart:
        return self._parts.open(part, [*columns, *(where.columns if where else ())])

    def _read_part(
        self, wanted: PartRows, columns: list[str], where: Bound | None, coded: Collection[str]
    ) -> list[Piece]:
        part = self.parts()[wanted.part]
        if where is None and len(wanted) == part.visible_rows:
            opened = self._parts.open(part, columns, whole=True, coded=coded)
        else:
            opened = self._open(part, columns, where)
        spans = plan_spans(opened.sizes, wanted, 1.0, opened.may_match(where))
        return [piece for span in spans for piece in _read_span(opened, span, columns, where)]

    # -- single rows

    def _take(self, rows: Positions, columns: list[str], where: Bound | None) -> Iterator[Piece]:
        if not len(rows):
            return
        needed = list(dict.fromkeys([*columns, *(where.columns if where else ())]))
        total = total_bytes(self.parts()) / max(self.source.entry.rows, 1)
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
        gathered: list[list[pa.Array]] = [[] for _ in columns]
        for names, taken in iter_taken(
            self._parts,
            self._cache,
            self.parts(),
            self.starts(),
            wanted,
            columns,
            is_local=self.source.backend.is_local,
        ):
            for name, array in zip(names, taken, strict=True):
                gathered[columns.index(name)].append(array)
        columns_of = [arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays) for arrays in gathered]
        if order is not None:
            back = np.empty(len(order), np.int64)
            back[order] = np.arange(len(order))
            places = pa.array(back)
            columns_of = [array.take(places) for array in columns_of]
        return Piece(batch_of(columns_of, columns, self.storage, len(rows)), rows)

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


def _read_span(opened: OpenPart, span: Span, columns: list[str], where: Bound | None) -> list[Piece]:
    if where is None:
        return [piece for piece in _wanted(opened.read(span.units, columns), span) if piece.batch.num_rows]
    # The filter's columns first: where no row of a unit matches, the others are not read of it. Deleted rows are left out at
    # the end, with those that do not match: each column is copied once.
    tested = joined(opened.read_stored(span.units, where.columns))
    stored, shown = opened.visible(span.units[0], _true_rows(where.mask(tested)))
    wanted = span.rows
    inside = (shown >= min(wanted[0], wanted[-1])) & (shown <= max(wanted[0], wanted[-1]))
    if abs(wanted.step) > 1:
        inside &= (shown - wanted.start) % wanted.step == 0
    if not inside.all():
        stored, shown = stored[inside], shown[inside]
    found = list(_units_kept(opened, span, columns, where.columns, tested, stored, span.first + shown))
    return found if wanted.step > 0 else [_reversed(piece) for piece in reversed(found)]


def _units_kept(
    opened: OpenPart,
    span: Span,
    columns: list[str],
    held: Sequence[str],
    tested: pa.RecordBatch,
    stored: Positions,
    rows: Positions,
) -> Iterator[Piece]:
    """The rows `stored` of a span, ascending and counted from its first, that are `rows` of the table. `tested` has the columns
    `held` of the whole span; of units that have none of the rows the others are not read."""
    if not len(stored):
        return
    others = [name for name in columns if name not in held]
    units, first = span.units, int(opened.starts[span.units[0]])
    ends = opened.starts[np.array(units) + 1] - first
    hit = np.unique(np.searchsorted(ends, stored, "right")) if others else np.arange(len(units))
    for run in np.split(hit, np.flatnonzero(np.diff(hit) > 1) + 1):
        low, high = int(opened.starts[units[run[0]]]) - first, int(ends[run[-1]])
        mine = tested.slice(low, high - low)
        read = joined(opened.read_stored(units[run[0] : run[-1] + 1], others)) if others else mine
        arrays = [(read if name in others else mine).column(name) for name in columns]
        begin, end = np.searchsorted(stored, [low, high], "left").tolist()
        batch = batch_of(arrays, columns, opened.storage, high - low)
        kept = batch if end - begin == high - low else batch.take(pa.array(stored[begin:end] - low))
        yield Piece(kept, rows[begin:end])


def _reversed(piece: Piece) -> Piece:
    return Piece(piece.batch.take(pa.array(np.arange(len(piece.rows))[::-1])), piece.rows[::-1])


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


def _has_total_order(type_: pa.DataType) -> bool:
    """Whether bounds of a type, and the order in which a table is sorted by it, are one order for sure."""
    types = pa.types
    return bool(types.is_integer(type_) or types.is_date(type_) or types.is_timestamp(type_) or types.is_string(type_))


def _true_rows(mask: pa.Array | pa.Scalar) -> Positions:
    """Where a mask is true: null is not."""
    return np.asarray(pc.indices_nonzero(mask)).astype(np.int64)


def _kept(piece: Piece, mask: Positions) -> Piece:
    if len(mask) == len(piece.rows):
        return piece
    rows = piece.rows
    chosen = rows[mask] if isinstance(rows, np.ndarray) else rows.start + mask * rows.step
    return Piece(piece.batch.take(pa.array(mask)), chosen)

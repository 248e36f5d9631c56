"""A join and a selection of its rows and columns: what `JoinedTable` holds, and a side of other joins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.format.bound import Bound
from tableformat.format.expr import Predicate
from tableformat.format.media.classes import Classes
from tableformat.storage.versionfile import Input
from tableformat.table.batches import joined
from tableformat.table.join.join import Join
from tableformat.table.join.pairs import Pairs, unnumbered
from tableformat.table.join.plan import Strategy
from tableformat.table.join.sides import Side, SideFacts
from tableformat.table.reading import Piece
from tableformat.table.rows import MediaMode, Row, sub_schema
from tableformat.table.selection import Filter, Picked, Positions, Sliced, Step

__all__ = ["Chosen"]

_PAGE_ROWS: Final = 4096
"""Rows from the first on that are read a page at a time."""
_GATHER_ROWS: Final = 1 << 16

Found = tuple[Pairs, Positions]
"""A run of rows, and their numbers in the join."""


class Chosen(Side):
    """Rows of a join by `steps`, and some of its columns. Immutable; shares the join with other selections of it."""

    def __init__(self, join: Join, columns: tuple[str, ...] | None = None, steps: tuple[Step, ...] = ()) -> None:
        self.join = join
        self.columns = columns
        self.steps = steps
        self.schema = join.schema if columns is None else sub_schema(join.schema, columns)

    # -- selecting

    def select(self, columns: Sequence[str]) -> Chosen:
        """The same rows with these columns."""
        return Chosen(self.join, tuple(columns), self.steps)

    def where(self, predicate: Predicate) -> Chosen:
        if self.steps:
            return Chosen(self.join, self.columns, (*self.steps, Filter(predicate)))
        join, rest = self.join.pushed(predicate)
        return Chosen(join, self.columns, () if rest is None else (Filter(rest),))

    def slice(self, start: int | None, stop: int | None, step: int | None = None) -> Chosen:
        return Chosen(self.join, self.columns, (*self.steps, Sliced(start, stop, step)))

    def pick(self, rows: Positions) -> Chosen:
        """The rows at these positions, none of them negative."""
        return Chosen(self.join, self.columns, (*self.steps, Picked(rows)))

    # -- rows

    def run(
        self,
        columns: Sequence[str],
        memory: int,
        *,
        ordered: bool = True,
        numbered: bool = True,
        strategy: Strategy | None = None,
    ) -> Iterator[Found]:
        """The rows, with `columns` of the join and those that filters need; in order, unless `ordered` is false; the numbers
        that rows have on both sides may be missing unless `numbered`."""
        steps = self._resolved(memory)
        filters = [self.join.bind(step.predicate) for step in steps if isinstance(step, Filter)]
        needed = list(dict.fromkeys([*columns, *(name for bound in filters for name in bound.columns)]))
        first = steps[0] if steps else None
        if isinstance(first, Picked):
            stream, steps = self._picked(first.positions, needed, memory), steps[1:]
        elif isinstance(first, Sliced) and strategy is None:
            stream, steps = self._window(first, needed, memory), steps[1:]
        else:
            asked = numbered or any(name.startswith("\0") for name in needed)
            runs = self.join.iter_pairs(
                needed, memory, ordered=ordered or bool(steps), numbered=asked, strategy=strategy
            )
            stream = _numbered(runs) if asked else ((run, unnumbered(len(run))) for run in runs)
        for step in steps:
            if isinstance(step, Filter):
                stream = self._filtered(stream, self.join.bind(step.predicate))
            else:
                assert isinstance(step, Sliced)  # positions were resolved
                stream = _sliced(stream, step)
        return stream

    def _resolved(self, memory: int) -> tuple[Step, ...]:
        """The same rows by steps that stream: positions, and slices from the end, become positions of the join."""
        last = max(
            (
                place
                for place, step in enumerate(self.steps)
                if (isinstance(step, Picked) and place) or (isinstance(step, Sliced) and step.needs_count)
            ),
            default=None,
        )
        if last is None:
            return self.steps
        step = self.steps[last]
        before = Chosen(self.join, self.columns, self.steps[:last])
        if isinstance(step, Sliced):
            chosen = slice(step.start, step.stop, step.step)
            if last == 0:
                rows = np.arange(self.join.count(memory), dtype=np.int64)[chosen]
            else:
                rows = before.row_numbers(memory)[chosen]
        else:
            assert isinstance(step, Picked)
            numbers = before.row_numbers(memory)
            outside = step.positions[step.positions >= len(numbers)]
            if len(outside):
                raise IndexError(f"taking rows · expected positions below {len(numbers)}, got {int(outside[0])}")
            rows = numbers[step.positions]
        return (Picked(rows), *self.steps[last + 1 :])

    def row_numbers(self, memory: int) -> Positions:
        """The number in the join of each row; holds 8 bytes a row."""
        found = [numbers for _, numbers in self.run([], memory)]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def count(self, memory: int) -> int:
        """The number of rows. Joins the keys, where nothing tells it."""
        if not self.steps:
            return self.join.count(memory)
        return sum(len(numbers) for _, numbers in self.run([], memory))

    def _window(self, step: Sliced, columns: Sequence[str], memory: int) -> Iterator[Found]:
        """A slice of the join, by reading as little as may be."""
        start, stop = step.start or 0, step.stop
        if stop is None or stop - start > _GATHER_ROWS:
            yield from _sliced(_numbered(self.join.iter_pairs(columns, memory)), step)
            return
        if start >= stop:
            return
        if stop <= _PAGE_ROWS:
            yield from _sliced(_numbered(iter(self.join.first_pairs(columns, memory, stop))), step)
            return
        if (part := self.join.window(start, stop, columns)) is not None:
            for run, numbers in _sliced(
                _numbered(iter(part.first_pairs(columns, memory, stop - start))), Sliced(0, None, step.step)
            ):
                yield run, numbers + start
            return
        rows = np.arange(start, stop, step.step or 1, dtype=np.int64)
        left, right = self.join.numbers(rows, memory, strict=False)
        if len(left):
            yield self.join.gather(left, right, columns, memory), rows[: len(left)]

    def _picked(self, rows: Positions, columns: Sequence[str], memory: int) -> Iterator[Found]:
        """Rows by number, in the order asked for."""
        if not len(rows):
            return
        order = np.argsort(rows, kind="stable")
        left, right = self.join.numbers(rows[order], memory)
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        left, right = left[back], right[back]
        for at in range(0, len(rows), _GATHER_ROWS):
            some = slice(at, at + _GATHER_ROWS)
            yield self.join.gather(left[some], right[some], columns, memory), rows[some]

    def _filtered(self, stream: Iterator[Found], bound: Bound) -> Iterator[Found]:
        for run, numbers in stream:
            mask = np.asarray(bound.mask(self.join.flat(run, bound.columns)).fill_null(False))
            rows = np.flatnonzero(mask)
            if len(rows) == len(run):
                yield run, numbers
            elif len(rows):
                yield run.take(rows), numbers[rows]

    # -- as a side

    def facts(self, key: Sequence[str], columns: Sequence[str]) -> SideFacts:  # noqa: ARG002 - a join has no key
        left, right = self.join.facts(columns)
        rows = left.rows if not self.steps and self.join.how == "left" and right.is_unique else None
        label = f"({left.label} {self.join.how} join {right.label})"
        return SideFacts(label, rows, left.row_bytes + right.row_bytes, False, False, None)

    def pieces(self, columns: Sequence[str], memory: int, coded: Collection[str] = ()) -> Iterator[Piece]:  # noqa: ARG002 - joins have none
        for run, numbers in self.run(columns, memory):
            yield Piece(self.join.flat(run, columns), numbers)

    def take(self, rows: Positions, columns: Sequence[str], memory: int) -> pa.RecordBatch:
        found = [self.join.flat(run, columns) for run, _ in self._picked(rows, columns, memory)]
        return joined(found) if found else self.absent(columns, 0)

    def bind(self, predicate: Predicate) -> Bound:
        return self.join.bind(predicate)

    def class_id(self, digest: str, name: str) -> int | None:
        return self.join.class_id(digest, name)

    def hidden(self) -> list[str]:
        return self.join.hidden()

    def decode(self, batch: pa.RecordBatch, numbers: Sequence[int], media: MediaMode) -> list[Row]:
        return self.join.decode(batch, numbers, media)

    def flatten(self, row: Row) -> dict[str, Any]:
        return self.join.flatten(row)

    def classes_of(self, column: str, layer: str | None) -> Classes | None:
        return self.join.classes_of(column, layer)

    def logical(self, columns: Sequence[str], arrays: Sequence[pa.Array], media: str) -> list[pa.Array]:
        return self.join.logical(columns, arrays, media)

    def inputs(self) -> list[Input]:
        return [*self.join.left.inputs(), *self.join.right.inputs()]


def _numbered(runs: Iterator[Pairs]) -> Iterator[Found]:
    at = 0
    for run in runs:
        yield run, np.arange(at, at + len(run), dtype=np.int64)
        at += len(run)


def _sliced(stream: Iterator[Found], step: Sliced) -> Iterator[Found]:
    """`[start:stop:step]` of a stream, none of them negative; reads no further than `stop`."""
    start, stride = step.start or 0, step.step or 1
    at = 0
    if step.stop is not None and step.stop <= start:
        return
    for run, numbers in stream:
        size = len(run)
        first = start - at if at <= start else -(at - start) % stride
        last = size if step.stop is None else min(size, step.stop - at)
        if first < last:
            if stride == 1:
                yield run.slice(first, last), numbers[first:last]
            else:
                rows = np.arange(first, last, stride, dtype=np.int64)
                yield run.take(rows), numbers[rows]
        at += size
        if step.stop is not None and at >= step.stop:
            return

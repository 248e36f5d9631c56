"""A diff carried out: plan, read what may differ, compare, count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tableformat.errors import SchemaError, message
from tableformat.format.cells import has_cells
from tableformat.table.batches import rows_only
from tableformat.table.diff.columns import ColumnPair, Columns, Skip
from tableformat.table.diff.counts import count_rows
from tableformat.table.diff.found import Found, Keep
from tableformat.table.diff.kept import Kept
from tableformat.table.diff.match import Matcher
from tableformat.table.diff.parts import plan_sides
from tableformat.table.diff.plan import Aligned, Plan
from tableformat.table.diff.sides import DiffSide, Ranges
from tableformat.table.diff.summary import Summary, column_summaries
from tableformat.table.diff.tally import Tally
from tableformat.table.diff.unique import is_proven, prove_unique
from tableformat.table.diff.values import rows_encoded
from tableformat.table.join.keys import KeyPair
from tableformat.table.selection import Positions

__all__ = ["Comparison", "Outcome", "compute"]

_FOUND: int = 8
"""A part of the memory: what may be held of what was found."""
_KEPT: int = 16
"""The same of the rows of each side that differ, so that they need not be read again."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What is compared with what."""

    left: DiffSide
    right: DiffSide
    on: tuple[KeyPair, ...]
    """The key; empty for multisets of rows."""
    columns: Columns
    keep: Keep
    memory: int
    """Bytes, about, that carrying it out may hold."""

    @property
    def sides(self) -> tuple[DiffSide, DiffSide]:
        """Before and after."""
        return self.left, self.right


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What was found."""

    found: Found
    summary: Summary


def compute(comparison: Comparison) -> Outcome:
    """Carry it out. Raises `KeyValueError` where the key is not one."""
    if not comparison.on and not comparison.columns.pairs:
        raise SchemaError(
            message("comparing tables without a key", path=f"{comparison.left.label} and {comparison.right.label}",
                    expected="a column that both have, of types with values in common", got="none", todo="name a key with on=")
        )  # fmt: skip
    tally = Tally(comparison.columns.pairs)
    found = Found(tally.words, comparison.keep, comparison.memory // _FOUND, runs=bool(comparison.on))
    if comparison.on:
        _compare_keyed(comparison, tally, found)
        same = tally.matched - tally.changed
    else:
        _compare_counts(comparison, found)
        same = comparison.right.rows - found.added
    found.finish()
    return Outcome(found, _summary(comparison, tally, found, same))


def _summary(comparison: Comparison, tally: Tally, found: Found, same: int) -> Summary:
    pairs = comparison.columns.pairs
    return Summary(
        before=comparison.left.label,
        after=comparison.right.label,
        on=tuple(pair.right for pair in comparison.on),
        added=found.added,
        removed=found.removed,
        changed=tally.changed,
        same=same,
        columns=column_summaries(pairs, tally) if comparison.on else (),
        schema=comparison.columns.changes,
    )


# With a key


def _compare_keyed(comparison: Comparison, tally: Tally, found: Found) -> None:
    on, pairs = comparison.on, comparison.columns.pairs
    for number, side in enumerate(comparison.sides):
        if not is_proven(side, [pair.column(number) for pair in on]):
            prove_unique(side, number, on)
    plan = plan_sides(comparison.left, comparison.right, _key_columns(comparison), pairs, skips=True)
    for aligned in plan.aligned:
        if aligned.columns:
            _compare_aligned(comparison, aligned, tally, found)
        else:
            tally.matched += aligned.rows
            found.add_same_runs(aligned.left, aligned.right)
    layouts = [_Layout(comparison, number) for number in (0, 1)]
    keeps = comparison.keep == "changed" and all(layout.is_complete for layout in layouts)
    for side, layout in zip(comparison.sides, layouts, strict=True):
        side.kept = layout.make_kept() if keeps else None
    matcher = Matcher(
        len(on),
        tally,
        found,
        comparison.memory,
        is_sorted=_are_sorted(comparison),
        keep=(lambda number, batch: layouts[number].keep(batch)) if keeps else None,
    )
    matcher.run(layouts[0].batches(plan.left, extras=keeps), layouts[1].batches(plan.right, extras=keeps))
    for side in comparison.sides if keeps else ():
        if side.kept is not None:
            side.kept.finish()


def _key_columns(comparison: Comparison) -> list[tuple[str, str, Skip]]:
    schemas = [side.source.entry.schema for side in comparison.sides]
    found: list[tuple[str, str, Skip]] = []
    for pair in comparison.on:
        same = schemas[0][pair.left].without_ids().type == schemas[1][pair.right].without_ids().type
        found.append((pair.left, pair.right, "values" if same else "files"))
    return found


def _are_sorted(comparison: Comparison) -> bool:
    """Whether both sides come in ascending order of one key column that compares alike on both."""
    on = comparison.on
    return (
        len(on) == 1
        and on[0].is_ordered
        and all(
            side.is_whole and side.source.entry.sorted and side.key == (pair_name,)
            for side, pair_name in zip(comparison.sides, (on[0].left, on[0].right), strict=True)
        )
    )


class _Layout:
    """The columns of the batches in which one side is matched: keys, forms, what is carried beside them, numbers."""

    def __init__(self, comparison: Comparison, number: int) -> None:
        self._side, self._number = comparison.sides[number], number
        self._on, self._pairs = comparison.on, comparison.columns.pairs
        self._keys = [pair.column(number) for pair in self._on]
        self._memory = comparison.memory
        forms = [pair.right if number else pair.left for pair in self._pairs]
        self._plain = {pair.name: len(self._keys) + place for place, (pair, form) in enumerate(zip(self._pairs, forms, strict=True)) if form.is_plain}  # fmt: skip
        wanted = dict.fromkeys([*self._side.schema.names, *self._keys])
        storage = self._side.source.entry.schema.arrow_schema()
        self._shown = pa.schema([storage.field(name).with_nullable(True) for name in wanted])
        self._carried = [name for name in wanted if name not in self._plain]

    @property
    def is_complete(self) -> bool:
        """Whether rows that differ can be kept: none has cells of media, which would be carried twice."""
        return not any(has_cells(self._shown.field(name).type) for name in self._carried)

    def make_kept(self) -> Kept:
        """What rows that differ are kept in."""
        return Kept(self._shown, self._memory // _KEPT)

    def batches(self, ranges: Ranges, *, extras: bool) -> Iterator[pa.RecordBatch]:
        """The rows of some ranges."""
        needed = list(dict.fromkeys([*self._keys, *(pair.name for pair in self._pairs), *(self._carried if extras else [])]))  # fmt: skip
        for rows, batch in self._side.stream(ranges, needed):
            keys = [pair.normalise(self._number, batch.column(name)) for pair, name in zip(self._on, self._keys, strict=True)]  # fmt: skip
            carried = [batch.column(name) for name in self._carried] if extras else []
            arrays = [*keys, *_forms(self._pairs, self._number, batch), *carried, pa.array(rows)]
            yield pa.RecordBatch.from_arrays(arrays, [str(place) for place in range(len(arrays))])

    def keep(self, batch: pa.RecordBatch) -> None:
        """Keep the rows of a batch."""
        first = len(self._keys) + len(self._pairs)
        places = {**self._plain, **{name: first + place for place, name in enumerate(self._carried)}}
        if self._side.kept is not None:
            arrays = [batch.column(places[name]) for name in self._shown.names]
            self._side.kept.add(np.asarray(batch.column(batch.num_columns - 1)), arrays)


def _forms(pairs: Sequence[ColumnPair], number: int, batch: pa.RecordBatch) -> list[pa.Array]:
    return [(pair.right if number else pair.left).convert(batch.column(pair.name)) for pair in pairs]


def _compare_aligned(comparison: Comparison, aligned: Aligned, tally: Tally, found: Found) -> None:
    """Rows that stand beside each other: only the columns that may differ are read."""
    pairs = [comparison.columns.pairs[place] for place in aligned.columns]
    names = [pair.name for pair in pairs]
    streams = [side.stream(ranges, names) for side, ranges in zip(comparison.sides, (aligned.left, aligned.right), strict=True)]  # fmt: skip
    for left_rows, left, right_rows, right in _beside(*streams):
        changed, masks = tally.compare(aligned.columns, _forms(pairs, 0, left), _forms(pairs, 1, right), len(left_rows))
        found.add_pairs(left_rows, right_rows, changed, masks)


def _beside(
    left: Iterator[tuple[Positions, pa.RecordBatch]], right: Iterator[tuple[Positions, pa.RecordBatch]]
) -> Iterator[tuple[Positions, pa.RecordBatch, Positions, pa.RecordBatch]]:
    """Two streams of as many rows in batches of one length."""
    rows, batch = np.empty(0, np.int64), rows_only(0)
    for own_rows, own in left:
        at = 0
        while at < len(own_rows):
            if not len(rows):
                rows, batch = next(right)
            step = min(len(own_rows) - at, len(rows))
            yield own_rows[at : at + step], own.slice(at, step), rows[:step], batch.slice(0, step)
            at += step
            rows, batch = rows[step:], batch.slice(step)


# Without a key


def _compare_counts(comparison: Comparison, found: Found) -> None:
    # Where rows that are the same are asked for, their counts are those of the whole tables.
    plan: Plan = plan_sides(comparison.left, comparison.right, [], comparison.columns.pairs, skips=comparison.keep != "all")  # fmt: skip
    streams = [_encoded_batches(comparison, number, ranges) for number, ranges in enumerate((plan.left, plan.right))]
    count_rows(streams[0], streams[1], found, comparison.memory)


def _encoded_batches(comparison: Comparison, number: int, ranges: Ranges) -> Iterator[pa.RecordBatch]:
    side, pairs = comparison.sides[number], comparison.columns.pairs
    for rows, batch in side.stream(ranges, [pair.name for pair in pairs]):
        texts = rows_encoded(_forms(pairs, number, batch), len(rows))
        yield pa.RecordBatch.from_arrays([texts, pa.array(rows)], ["0", "1"])

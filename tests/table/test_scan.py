"""Plans of reads: exactly the rows that are wanted, and nothing that statistics exclude."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.bound import bind
from tableformat.format.bounds import bounds_of_part
from tableformat.format.expr import col
from tableformat.format.leaves import Leaves
from tableformat.format.manifest import Deletions, Part, PartFile
from tableformat.format.schema import Schema
from tableformat.table.scan import (
    PartRows,
    part_starts,
    plan_parts,
    plan_spans,
    plan_take,
    plan_take_groups,
    sorted_run,
    total_bytes,
)

SCHEMA = Schema.from_user({"x": pa.int64()})
NAME = str(SCHEMA["x"].id)


def part(rows: int, low: int | None = None, high: int | None = None) -> Part:
    stats: dict[str, Any] = {} if low is None else {NAME: {"min": str(low), "max": str(high), "nulls": 0}}
    return Part(rows, rows * 8, (PartFile("sha256:" + "0" * 64, 100, 10, "sha256:" + "0" * 64),), {}, stats)


def cut(rows: int, unit_rows: int) -> list[int]:
    return [min(unit_rows, rows - low) for low in range(0, rows, unit_rows)]


RANGES = st.builds(
    slice,
    st.none() | st.integers(-40, 40),
    st.none() | st.integers(-40, 40),
    st.sampled_from([None, 1, 2, 3, 7, 30, -1, -2, -5]),
)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), RANGES)
def test_parts_of_a_range(sizes: list[int], chosen: slice) -> None:
    """The parts of a range hold exactly its rows, in its order, forwards and backwards."""
    parts = [part(size) for size in sizes]
    rows = range(sum(sizes))[chosen]
    planned = list(plan_parts(parts, part_starts(parts), rows))
    assert [wanted.first + row for wanted in planned for row in range(wanted.start, wanted.stop, wanted.step)] == list(
        rows
    )


@given(st.integers(1, 40), st.integers(1, 12), RANGES, st.sampled_from([0.01, 8.0, 1e6, 4e6]))
def test_spans_of_a_part(rows: int, group_rows: int, chosen: slice, row_bytes: float) -> None:
    """Spans of neighbouring units hold exactly the wanted rows, in order, and no unit is read twice."""
    sizes = cut(rows, group_rows)
    wanted = range(rows)[chosen]
    spans = list(plan_spans(sizes, PartRows(0, 100, wanted.start, wanted.stop, wanted.step), row_bytes))
    assert [span.first - 100 + row for span in spans for row in span.rows] == list(wanted)
    units = [unit for span in spans for unit in span.units]
    assert len(units) == len(set(units))
    for span in spans:
        size = sum(sizes[unit] for unit in span.units)
        assert all(0 <= row < size for row in span.rows)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.data())
def test_parts_of_single_rows(sizes: list[int], data: st.DataObject) -> None:
    """Each wanted row is looked for in the one part, and the one row group, that holds it."""
    total = sum(sizes)
    rows = np.array(
        sorted(data.draw(st.lists(st.integers(0, max(total - 1, 0)), max_size=12 if total else 0))), np.int64
    )
    starts = part_starts([part(size) for size in sizes])
    parts, begins = plan_take(starts, rows)
    ends = list(accumulate(sizes))
    for place, number in enumerate(parts.tolist()):
        inside = rows[begins[place] : begins[place + 1]]
        assert all(ends[number] - sizes[number] <= row < ends[number] for row in inside.tolist())
        begins_of = np.append(np.arange(0, sizes[number], 4), sizes[number])
        groups = list(plan_take_groups(begins_of, inside - starts[number]))
        assert [group.group * 4 + row for group in groups for row in group.rows.tolist()] == (
            inside - starts[number]
        ).tolist()


def test_parts_and_units_that_cannot_match_are_left_out() -> None:
    """What a plan is told cannot match is not in it, parts as well as units. [READ-6]"""
    parts = [part(10, 0, 9), part(10, 10, 19), part(10), part(10, 30, 39)]
    bound = bind(col("x") >= 30, SCHEMA)

    def may_match(one: Part) -> bool:
        return bound.may_match(lambda leaf: bounds_of_part(one.stats, leaf.column_id, leaf.storage, one.rows))

    assert [wanted.part for wanted in plan_parts(parts, part_starts(parts), range(40), may_match)] == [2, 3]
    spans = list(plan_spans([10] * 4, PartRows(0, 0, 0, 40, 1), 8.0, lambda unit: unit == 3))
    assert [span.units for span in spans] == [(3,)]


def test_deleted_rows_do_not_count() -> None:
    """The number of a row counts visible rows: a part has as many as are left of it. [READ-12]"""
    parts = [part(10), replace(part(10), deletions=Deletions("sha256:" + "0" * 64, 9, 4)), part(3)]
    assert part_starts(parts).tolist() == [0, 10, 16, 19]


def test_small_units_are_read_together() -> None:
    """Neighbours are joined up to 4 MiB, so that a file is opened once for many of them."""
    everything = PartRows(0, 0, 0, 100, 1)
    assert [span.units for span in plan_spans([10] * 10, everything, 8.0)] == [tuple(range(10))]
    assert len(list(plan_spans([10] * 10, everything, 1 << 20))) == 10


def test_leaves_of_a_schema() -> None:
    """Leaves are numbered as in the file; those below lists and maps are no bounds of rows."""
    schema = pa.schema(
        [
            ("a", pa.struct([("b", pa.int32()), ("c", pa.list_(pa.int8()))])),
            ("a.b", pa.string()),
            ("m", pa.map_(pa.string(), pa.int64())),
            ("z", pa.float64()),
        ]
    )
    leaves = Leaves.of_schema(schema)
    assert leaves.of_path == {("a", "b"): 0, ("a.b",): 2, ("z",): 5}
    assert leaves.of_columns(["m", "a"]) == [3, 4, 0, 1]
    assert leaves.widths == (4, 1, 0, 0, 8, 8)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True), st.integers(-2, 32), st.integers(-2, 32))
def test_runs_of_sorted_parts(values: list[int], low: int, high: int) -> None:
    """Of parts that ascend by a column exactly those are found that may hold what lies between two numbers, by asking few."""
    ends = sorted(values)
    parts = [part(1, start, end) for start, end in zip([ends[0], *ends], ends, strict=False)]
    asked: list[Part] = []

    def bound(one: Part, name: str) -> int:
        asked.append(one)
        return int(one.stats[NAME][name])

    run = sorted_run(parts, lambda one: bound(one, "max") >= low, lambda one: bound(one, "min") <= high)
    wanted = [n for n, one in enumerate(parts) if bound(one, "max") >= low and bound(one, "min") <= high]
    assert list(run) == wanted or (not wanted and not run)
    assert total_bytes(parts) == 8 * len(parts)


def test_few_of_many_sorted_parts_are_asked() -> None:
    """A thousand parts are halved ten times from either end."""
    parts = [part(1, number, number) for number in range(1000)]
    asked: list[int] = []

    def low_of(one: Part) -> int:
        asked.append(int(one.stats[NAME]["min"]))
        return asked[-1]

    assert sorted_run(parts, lambda one: low_of(one) >= 700, lambda one: low_of(one) <= 702) == range(700, 703)
    assert len(asked) <= 22

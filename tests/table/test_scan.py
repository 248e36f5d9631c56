"""Plans of reads: exactly the rows that are wanted, and nothing that statistics exclude."""

from __future__ import annotations

import io
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.bound import bind
from tableformat.format.expr import col
from tableformat.format.manifest import Part, PartFile
from tableformat.format.schema import Schema
from tableformat.table.leaves import Leaves
from tableformat.table.scan import PartRows, part_starts, plan_parts, plan_spans, plan_take, plan_take_groups

SCHEMA = Schema.from_user({"x": pa.int64()})
NAME = str(SCHEMA["x"].id)


def part(rows: int, low: int | None = None, high: int | None = None) -> Part:
    stats: dict[str, Any] = {} if low is None else {NAME: {"min": str(low), "max": str(high), "nulls": 0}}
    return Part(rows, rows * 8, (PartFile("sha256:" + "0" * 64, 100, 10, "sha256:" + "0" * 64),), {}, stats)


def footer(rows: int, group_rows: int) -> pq.FileMetaData:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": pa.array(range(rows), pa.int64())}), sink, row_group_size=group_rows)
    return pq.read_metadata(pa.BufferReader(sink.getvalue()))


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
    """Spans of neighbouring row groups hold exactly the wanted rows, in order, and no row group is read twice."""
    metadata = footer(rows, group_rows)
    wanted = range(rows)[chosen]
    spans = list(plan_spans(metadata, PartRows(0, 100, wanted.start, wanted.stop, wanted.step), row_bytes))
    assert [span.first - 100 + row for span in spans for row in span.rows] == list(wanted)
    groups = [group for span in spans for group in span.groups]
    assert len(groups) == len(set(groups))
    for span in spans:
        size = sum(metadata.row_group(group).num_rows for group in span.groups)
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
        groups = list(plan_take_groups(footer(sizes[number], 4), number, inside - starts[number]))
        assert [group.group * 4 + row for group in groups for row in group.rows.tolist()] == (
            inside - starts[number]
        ).tolist()


def test_parts_and_groups_that_cannot_match_are_left_out() -> None:
    """Statistics of the manifest leave out parts, those of a footer row groups; what has none stays. [READ-6]"""
    parts = [part(10, 0, 9), part(10, 10, 19), part(10), part(10, 30, 39)]
    bound = bind(col("x") >= 30, SCHEMA)
    assert [wanted.part for wanted in plan_parts(parts, part_starts(parts), range(40), bound)] == [2, 3]
    metadata = footer(40, 10)
    spans = list(plan_spans(metadata, PartRows(0, 0, 0, 40, 1), 8.0, bound, Leaves.of_schema(SCHEMA.arrow_schema())))
    assert [span.groups for span in spans] == [(3,)]


def test_small_row_groups_are_read_together() -> None:
    """Neighbours are joined up to 4 MiB, so that a file is opened once for many of them."""
    metadata = footer(100, 10)
    everything = PartRows(0, 0, 0, 100, 1)
    assert [span.groups for span in plan_spans(metadata, everything, 8.0)] == [tuple(range(10))]
    assert len(list(plan_spans(metadata, everything, 1 << 20))) == 10


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

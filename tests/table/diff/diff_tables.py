"""Pairs of tables for tests of diffs, what a dict makes of them, and what the library finds."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
from hypothesis import strategies as st

import tableformat
from tableformat.table.diff import compute, counts, entries, match, sides
from tableformat.table.table import Table
from tests.table.join.join_tables import PAYLOADS, fits
from tests.table.reading_tables import store_table

KEYS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [*range(-3, 12), 2**63 - 1, -(2**63)]),
    (pa.uint8(), [*range(12)]),
    (pa.string(), ["", "a", "A", "ä", "aaaaaaaa", "aaaaaaaab", "b", "c", "d", "z" * 40]),
    (pa.bool_(), [False, True]),
    (pa.binary(2), [b"ab", b"a\x00", b"\x00\x00"]),
    (pa.decimal128(6, 2), fits([0, 1, 2, 3, 4], pa.decimal128(6, 2))),
]
"""Types of keys, and values of them."""

VALUES: list[tuple[pa.DataType, list[Any]]] = [
    *PAYLOADS,
    (pa.int64(), [0, 1, 2**62, -(2**63), 2**63 - 1, None]),
    (pa.float64(), [0.0, -0.0, 1.5, float("nan"), float("inf"), None]),
    (pa.bool_(), [True, False, None]),
]
"""Types of other columns, and values of them."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Two tables as Arrow data, and how they are stored and compared."""

    before: pa.Table
    after: pa.Table
    keys: tuple[str, ...]
    part_rows: tuple[int, int]
    keyed: bool
    """Whether the key is that of the tables, or is named by `on=`."""

    def tables(self, folder: Path) -> list[Table]:
        """Both, stored."""
        key = self.keys if self.keyed else ()
        found = []
        for place, table in enumerate((self.before, self.after)):
            columns = {name: table.column(name).combine_chunks() for name in table.column_names}
            schema = {field.name: field.type for field in table.schema}
            one = store_table(folder / str(place), schema, columns, part_rows=self.part_rows[place], key=key)
            ordered = (self.keyed and list(zip(*(table.column(name).to_pylist() for name in key), strict=True))) or None
            is_sorted = ordered is not None and len(key) == 1 and ordered == sorted(ordered)
            found.append(Table(replace(one.source, entry=replace(one.source.entry, sorted=is_sorted), _parts=[])))
        return found


@st.composite
def cases(draw: st.DrawFn, *, keyed: bool = True) -> Case:
    """A table and what edits made of it: rows dropped, changed and added, perhaps in another order."""
    keys = [draw(st.sampled_from(KEYS)) for _ in range(draw(st.sampled_from([1, 1, 2])) if keyed else 0)]
    values = [draw(st.sampled_from(VALUES)) for _ in range(draw(st.integers(0 if keyed else 1, 3)))]
    names = [f"k{place}" for place in range(len(keys))] + [f"v{place}" for place in range(len(values))]
    types = [type_ for type_, _ in (*keys, *values)]
    key = st.tuples(*(st.sampled_from(pool) for _, pool in keys))
    value = st.tuples(*(st.sampled_from(pool) for _, pool in values))
    before = draw(st.lists(st.tuples(key, value), max_size=16, unique_by=(lambda row: row[0]) if keyed else None))
    after = []
    for row in before:
        edit = draw(st.sampled_from(["keep", "keep", "keep", "drop", "change"]))
        if edit != "drop":
            after.append((row[0], draw(value)) if edit == "change" else row)
    taken = {row[0] for row in (*before, *after)}
    for row in draw(st.lists(st.tuples(key, value), max_size=5, unique_by=(lambda row: row[0]) if keyed else None)):
        if not keyed or row[0] not in taken:
            after.insert(draw(st.integers(0, len(after))), row)
    order = draw(st.sampled_from(["as is", "as is", "sorted", "shuffled"]))
    if order == "shuffled":
        after = draw(st.permutations(after))
    if order == "sorted":
        before, after = (sorted(rows, key=lambda row: row[0]) for rows in (before, after))
    tables = [
        pa.table({name: pa.array([(*row[0], *row[1])[place] for row in rows], types[place]) for place, name in enumerate(names)})
        for rows in (before, after)
    ]  # fmt: skip
    parts = draw(st.sampled_from([1, 3, 100]))
    return Case(
        tables[0],
        tables[1],
        tuple(names[: len(keys)]),
        (parts, draw(st.sampled_from([parts, parts, 4]))),
        draw(st.booleans()),
    )


def same(one: Any, other: Any) -> bool:
    """Whether values are equal, NaN to NaN and 0.0 not to -0.0."""
    return repr(one) == repr(other)


def keyed_rows(case: Case, keep: str) -> list[Row]:
    """What a dict makes of it: the rows of the diff, in order."""
    before, after = ({tuple(map(repr, (row[name] for name in case.keys))): row for row in table.to_pylist()} for table in (case.before, case.after))  # fmt: skip
    found = []
    for key, row in after.items():
        old = before.get(key)
        changed = None if old is None else [name for name in row if not same(old[name], row[name])]
        change = "added" if changed is None else "changed" if changed else "same"
        if change != "same" or keep == "all":
            keys = {name: row[name] for name in case.keys}
            found.append({"change": change, **keys, "changed": changed, "before": old, "after": row})
    for key, row in before.items():
        if key not in after:
            keys = {name: row[name] for name in case.keys}
            found.append({"change": "removed", **keys, "changed": None, "before": row, "after": None})
    return found


def counted_rows(case: Case) -> list[Row]:
    """What a counter makes of tables without a key: all rows, in order."""
    numbers: list[dict[str, list[int]]] = [defaultdict(list), defaultdict(list)]
    rows = [case.before.to_pylist(), case.after.to_pylist()]
    for side in (0, 1):
        for number, row in enumerate(rows[side]):
            numbers[side][repr(row)].append(number)
    found: list[tuple[int, int, Row]] = []
    for text in dict.fromkeys([*numbers[1], *numbers[0]]):
        left, right = numbers[0][text], numbers[1][text]
        least = min(len(left), len(right))
        if least:
            found.append(
                (
                    1,
                    right[0],
                    {"change": "same", "count": least, "before": rows[0][left[0]], "after": rows[1][right[0]]},
                )
            )
        if len(right) > least:
            found.append(
                (
                    1,
                    right[least],
                    {"change": "added", "count": len(right) - least, "before": None, "after": rows[1][right[least]]},
                )
            )
        if len(left) > least:
            found.append(
                (
                    2,
                    left[least],
                    {"change": "removed", "count": len(left) - least, "before": rows[0][left[least]], "after": None},
                )
            )
    return [row for _, _, row in sorted(found, key=lambda one: one[:2])]


def expected_counts(rows: list[Row]) -> Counter[str]:
    """How many rows of each change."""
    found: Counter[str] = Counter()
    for row in rows:
        found[row["change"]] += row.get("count", 1)
    return found


@contextlib.contextmanager
def tiny_memory() -> Iterator[None]:
    """Windows of four rows, nothing carried, files for whatever was found: what a table of any size does in a few rows."""
    with (
        mock.patch.object(match, "_WINDOW_ROWS", 4), mock.patch.object(match, "_CARRIED", 0.0), mock.patch.object(match, "_HELD", 1e-6),
        mock.patch.object(counts, "_HELD", 1e-6), mock.patch.object(compute, "_FOUND", 1 << 40), mock.patch.object(compute, "_KEPT", 1 << 40), mock.patch.object(entries, "_SLICE_ROWS", 3),
        mock.patch.object(sides, "_SCAN_ROWS", 2), mock.patch.object(sides, "_TAKE_ROWS", 3),
    ):  # fmt: skip
        yield


@contextlib.contextmanager
def small_windows() -> Iterator[None]:
    """Windows of four rows, everything carried in memory."""
    with mock.patch.object(match, "_WINDOW_ROWS", 4), mock.patch.object(entries, "_SLICE_ROWS", 3):
        yield


MEMORIES = {"plenty": contextlib.nullcontext, "small windows": small_windows, "tiny": tiny_memory}
"""How much may be held, by name."""


def diff(tables: list[Table], case: Case, keep: str) -> tableformat.Diff:
    """The diff of a case."""
    on = list(case.keys) if case.keys and not case.keyed else None
    return tableformat.diff(tables[0], tables[1], on=on, keep=keep)  # type: ignore[arg-type]

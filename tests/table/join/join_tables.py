"""Pairs of tables for tests of joins, what DuckDB makes of them, and every way in which this library reads them."""

from __future__ import annotations

import datetime
import decimal
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import strategies as st

from tableformat.table.join.pairs import KINDS, How
from tableformat.table.join.plan import Strategy
from tableformat.table.joined import JoinedTable
from tableformat.table.table import Table
from tests.table.reading_tables import store_table

MEMORY = 512 << 20

_DAY = datetime.date(2020, 1, 1)
_NOON = datetime.datetime(2020, 1, 1, 12)  # noqa: DTZ001 - times without a zone are meant
_NUMBERS = [-1, 0, 1, 2, 3, 127, 2**31, 2**63 - 1, 2**63, 2**64 - 1]
_FLOATS = [0.0, -0.0, 1.5, -2.0, float("nan"), float("inf")]
_BYTES = [b"", b"\x00", b"a", b"ab", b"aaaaaaaa", b"aaaaaaaab", b"x" * 600]

KEY_TYPES: list[tuple[pa.DataType, pa.DataType, list[Any]]] = [
    (pa.int64(), pa.int64(), _NUMBERS),
    (pa.int8(), pa.uint16(), _NUMBERS),
    (pa.int32(), pa.int64(), _NUMBERS),
    (pa.uint64(), pa.int64(), _NUMBERS),
    (pa.uint64(), pa.uint64(), _NUMBERS),
    (pa.bool_(), pa.bool_(), [False, True]),
    (pa.float64(), pa.float64(), _FLOATS),
    (pa.float32(), pa.float64(), _FLOATS),
    (pa.string(), pa.string(), ["", "a", "A", "ä", "a\u0308", "aaaaaaaa", "aaaaaaaab", "z" * 600]),
    (pa.binary(), pa.binary(), _BYTES),
    (pa.binary(2), pa.binary(), [b"ab", b"a\x00", b"\x00\x00"]),
    (pa.date32(), pa.date32(), [_DAY, datetime.date(1969, 12, 31), datetime.date(2100, 2, 3)]),
    (pa.timestamp("us"), pa.timestamp("us"), [_NOON, _NOON + datetime.timedelta(microseconds=1)]),
    (pa.timestamp("ms"), pa.timestamp("us"), [_NOON, _NOON + datetime.timedelta(milliseconds=1)]),
    (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin"), [_NOON.replace(tzinfo=datetime.UTC)]),
    (pa.duration("ms"), pa.duration("us"), [datetime.timedelta(0), datetime.timedelta(days=-1), datetime.timedelta(milliseconds=5)]),
    (pa.time32("s"), pa.time64("us"), [datetime.time(0), datetime.time(12, 30, 5)]),
    (pa.decimal128(6, 2), pa.decimal128(9, 4), [decimal.Decimal(x) for x in ("0", "1.5", "-1.5", "99.99")]),
]  # fmt: skip
"""Types of both sides of a key, and values of which some fit each."""

PAYLOADS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int32(), [1, 2, None]),
    (pa.string(), ["p", "", None]),
    (pa.float16(), [np.float16(0.5), None]),
    (pa.timestamp("ns", "Europe/Berlin"), [1_600_000_000_123_456_789, None]),
    (pa.time64("ns"), [12_345_678_901, None]),
    (pa.decimal128(38, 10), [decimal.Decimal("1234567890.123456789"), None]),
    (pa.binary(3), [b"abc", None]),
    (pa.list_(pa.int16()), [[1, 2], [], None, [None]]),
    (pa.list_(pa.float32(), 2), [[1.0, 2.0], None]),
    (pa.struct([("x", pa.uint8()), ("X2", pa.list_(pa.binary(2)))]), [{"x": 200, "X2": [b"ab", None]}, {"x": None, "X2": None}, None]),
    (pa.map_(pa.string(), pa.date32()), [[("k", _DAY), ("l", None)], [], None]),
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Two tables as Arrow data, and how they are joined."""

    left: pa.Table
    right: pa.Table
    keys: int
    how: How
    part_rows: tuple[int, int]
    table_key: bool = False
    """Whether they are stored in ascending order of unique keys."""

    def names(self, side: int) -> list[str]:
        """The key columns of a side."""
        return [f"{'lr'[side]}k{place}" for place in range(self.keys)]

    def joined(self, folder: Path) -> JoinedTable:
        """The join of the two, stored."""
        sides = [
            stored(folder / f"{side}", table, self.part_rows[side], self.names(side) if self.table_key else [])
            for side, table in enumerate((self.left, self.right))
        ]
        return JoinedTable(sides[0], sides[1], on=list(zip(self.names(0), self.names(1), strict=True)), how=self.how)


def stored(folder: Path, table: pa.Table, part_rows: int, key: Sequence[str]) -> Table:
    """The rows in a store; with `key` as a table that is known to be sorted by it."""
    schema = {field.name: field.type for field in table.schema}
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    found = store_table(folder, schema, columns, part_rows=part_rows, key=key)
    if not key:
        return found
    return Table(replace(found.source, entry=replace(found.source.entry, sorted=True), _parts=[]))


def fits(values: list[Any], type_: pa.DataType) -> list[Any]:
    """Those of the values that the type can hold."""
    kept = []
    for value in values:
        try:
            pa.array([value], type_)
        except (pa.ArrowInvalid, OverflowError):
            continue
        kept.append(value)
    return kept


@st.composite
def cases(draw: st.DrawFn, *, table_key: bool = False) -> Case:
    """Tables of up to 24 rows with one or two keys, nulls and duplicates among them, and a payload on each side."""
    types = [
        one for one in KEY_TYPES if not table_key or not (pa.types.is_floating(one[0]) or pa.types.is_time(one[0]))
    ]
    keys = [draw(st.sampled_from(types)) for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]
    tables = []
    for side in (0, 1):
        counts = st.integers(0, 24) if not table_key else st.integers(0, 12)
        count = draw(counts)
        columns: dict[str, pa.Array] = {}
        for place, one in enumerate(keys):
            pool = fits(one[2], one[side])
            values = st.sampled_from(pool if table_key else [*pool, None])
            columns[f"{'lr'[side]}k{place}"] = pa.array([draw(values) for _ in range(count)], one[side])
        type_, pool = draw(st.sampled_from(PAYLOADS))
        columns["v"] = pa.array([draw(st.sampled_from(pool)) for _ in range(count)], type_)
        table = pa.table(columns)
        tables.append(ascending(table, list(columns)[:-1]) if table_key else table)
    part_rows = draw(st.sampled_from([1, 3, 100])), draw(st.sampled_from([1, 4, 100]))
    return Case(tables[0], tables[1], len(keys), draw(st.sampled_from(KINDS)), part_rows, table_key)


def ascending(table: pa.Table, keys: list[str]) -> pa.Table:
    """The first row of each key, in ascending order."""
    rows: dict[Any, int] = {}
    for row, key in enumerate(zip(*(table.column(name).to_pylist() for name in keys), strict=True)):
        rows.setdefault(key, row)
    chosen = [rows[key] for key in sorted(rows)]
    return table.take(pa.array(chosen, pa.int64()))


def oracle(case: Case) -> list[tuple[int, int]]:
    """What DuckDB makes of it: the numbers of the rows that meet, -1 for none, in the order that the format states."""
    with duckdb.connect() as connection:
        for name, table, keys in (("l", case.left, case.names(0)), ("r", case.right, case.names(1))):
            numbers = pa.array(np.arange(len(table)))
            # NaN equals nothing here, and itself in DuckDB.
            columns = {key: _without_nan(table.column(key)) for key in keys}
            connection.register(name, pa.table({"n": numbers, **columns}))
        on = " and ".join(f"l.{one} = r.{other}" for one, other in zip(case.names(0), case.names(1), strict=True))
        kind = {"outer": "full"}.get(case.how, case.how)
        shown = "l.n, -1" if case.how in ("semi", "anti") else "coalesce(l.n, -1), coalesce(r.n, -1)"
        order = "l.n" if case.how in ("semi", "anti") else "l.n nulls last, r.n"
        return connection.execute(f"select {shown} from l {kind} join r on {on} order by {order}").fetchall()


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(column.type):
        return column
    wide = column.cast(pa.float64())
    return pc.if_else(pc.is_nan(wide), pa.scalar(None, pa.float64()), wide)


def expected(case: Case, numbers: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """The rows with these numbers, by flattened names."""
    sides = [_counted(table).to_pylist() for table in (case.left, case.right)]
    both = case.how not in ("semi", "anti")
    rows = []
    for pair in numbers:
        row: dict[str, Any] = {}
        for side, (table, number) in enumerate(zip((case.left, case.right), pair, strict=True)):
            if side and not both:
                continue
            for name in table.column_names:
                flat = f"{name}_{side}" if name == "v" and both else name
                row[flat] = None if number < 0 else sides[side][number][name]
        rows.append(row)
    return rows


def _counted(table: pa.Table) -> pa.Table:
    """The table with durations as they are stored: as whole numbers of their unit."""
    for place, field in enumerate(table.schema):
        if pa.types.is_duration(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.int64()))
    return table


def read(
    joined: JoinedTable, strategy: Strategy | None, *, ordered: bool = True
) -> tuple[list[tuple[int, int]], list[dict[str, Any]]]:
    """The numbers of the rows that meet, and the rows, read in one way."""
    numbers: list[tuple[int, int]] = []
    rows: list[dict[str, Any]] = []
    names = joined.schema.names
    for run, _ in joined.chosen.run(names, MEMORY, ordered=ordered, strategy=strategy):
        numbers += zip(run.left_rows.tolist(), run.right_rows.tolist(), strict=True)
        rows += joined.chosen.join.flat(run, names).to_pylist()
    return numbers, rows


def same(one: list[Any], other: list[Any]) -> bool:
    """Whether rows are equal, NaN to NaN and 0.0 not to -0.0."""
    return len(one) == len(other) and all(repr(a) == repr(b) for a, b in itertools.zip_longest(one, other))

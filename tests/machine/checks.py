"""What holds of every table that a model describes, however it came to be, and all the ways to read it."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
from hypothesis import note
from hypothesis import strategies as st

from tableformat.format.manifest import needs_of
from tests.machine.filters import draw_filter
from tests.machine.model import shown
from tests.table.edit.model import Row, TableModel
from tests.table.edit.tables import entry_of, parts_of

__all__ = ["check_reads", "check_table"]


def check_table(table: Any, model: TableModel) -> None:
    """Columns, types and rows are those of the model, in order, and the entry tells the truth about them."""
    assert table.columns == list(model.types)
    assert table.arrow_schema.types == model.arrow_schema().types
    assert same_rows(table.to_arrow().to_pylist(), model.rows)
    assert (table.num_rows, table.key) == (len(model.rows), model.key)
    entry, parts = entry_of(table), parts_of(table)
    assert (entry.rows, entry.unique) == (len(model.rows), True) or not model.key
    keys = [model.key_of(row) for row in model.rows]
    assert not entry.sorted or all(one < other for one, other in itertools.pairwise(keys))
    assert (entry.plain, entry.requires) == needs_of(entry.schema, parts)
    assert set(entry.columns) == {str(column.id) for column in entry.schema}
    assert sum(part.visible_rows for part in parts) == len(model.rows)
    assert all(part.visible_rows for part in parts)


def same_rows(found: list[Row], expected: list[Row]) -> bool:
    """Whether rows are equal, bit by bit."""
    return [shown(row) for row in found] == [shown(row) for row in expected]


def check_reads(table: Any, model: TableModel, draw: Any) -> None:
    """Some ways to read, one behind the other: each step is done to the table and to the list."""
    rows = [dict(row) for row in model.rows]
    columns = list(model.types)
    for _ in range(draw(st.integers(1, 3))):
        table, rows, columns = _step(table, rows, columns, model, draw)
    _check_way(table, [{name: row[name] for name in columns} for row in rows], columns, draw)


def _step(
    table: Any, rows: list[Row], columns: list[str], model: TableModel, draw: Any
) -> tuple[Any, list[Row], list[str]]:
    step = draw(st.sampled_from(["where", "where", "take", "slice", "select", "shard", "head"]))
    count = len(rows)
    if step == "where":
        expr, truth = draw_filter(draw, model)
        note(f"  where {expr}")
        return table.where(expr), [row for row in rows if truth(row) is True], columns
    if step == "take" and count:
        places = draw(st.lists(st.integers(-count, count - 1), max_size=8))
        note(f"  take {places}")
        return table.take(places), [rows[place] for place in places], columns
    if step == "slice":
        bound = st.none() | st.integers(-count - 2, count + 2)
        chosen = slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3, -1, -2])))
        note(f"  slice {chosen}")
        return table[chosen], rows[chosen], columns
    if step == "select":
        names = draw(st.lists(st.sampled_from(columns), min_size=1, unique=True))
        note(f"  select {names}")
        return table.select(*names), rows, names
    if step == "shard":
        n = draw(st.integers(1, 4))
        note(f"  shards of {n}")
        shards = [table.shard(number, n) for number in range(n)]
        found = [row for shard in shards for row in shard.select(*columns).to_arrow().to_pylist()]
        assert same_rows(found, [{name: row[name] for name in columns} for row in rows])
        return table, rows, columns
    n = draw(st.integers(0, 5))
    return table.head(n), rows[:n], columns


def _check_way(table: Any, expected: list[Row], columns: list[str], draw: Any) -> None:
    way = draw(st.sampled_from(["arrow", "batches", "rows", "one", "stream", "length"]))
    note(f"  read as {way}")
    if way == "arrow":
        found = table.to_arrow().to_pylist()
    elif way == "batches":
        size = draw(st.integers(1, 5))
        batches = list(table.batches(batch_rows=size))
        assert all(batch.num_rows == size for batch in batches[:-1])
        found = [row for batch in batches for row in batch.to_pylist()]
    elif way == "rows":
        found = [dict(row) for row in table.rows()]
    elif way == "one":
        found = [dict(table[place]) for place in range(len(expected))]
        if expected:
            assert same_rows([dict(table[-1])], [expected[-1]])
    elif way == "stream":
        found = pa.table(table).to_pylist()
    else:
        assert (len(table), bool(table)) == (len(expected), bool(expected))
        return
    assert table.columns == columns
    assert same_rows(found, expected)

"""Tables that were edited, as other engines read them: DuckDB by the view, polars and pyarrow from what the library hands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from tableformat.errors import UnsupportedError, UsageError
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.table.table import Table
from tests.table.edited_tables import SAMPLES, FileSpec, edited_table, sample, store_part


def through_view(table: Table, query: str = 'select * from "the ""rows"""') -> pa.Table:
    connection = duckdb.connect()
    connection.execute(table.duckdb_view('the "rows"'))
    return connection.sql(query).to_arrow_table()


def in_order(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=lambda row: row["id"])


@pytest.mark.parametrize("name", SAMPLES)
def test_duckdb_reads_edited_tables_through_the_view(name: str, tmp_path: Path) -> None:
    """The view has the columns, the types and the rows that the library reads. [READ-15]"""
    table, want = sample(name, tmp_path)
    found = through_view(table)
    assert found.schema.names == table.arrow_schema.names
    assert in_order(found) == in_order(table.to_arrow()) == in_order(want)
    for column in table.columns:
        type_, wanted = found.schema.field(column).type, table.arrow_schema.field(column).type
        assert pa.types.is_nested(wanted) or type_ == wanted
    low = through_view(table, 'select count(*) as n from "the ""rows""" where id >= 30')
    assert low.column("n").to_pylist() == [pc.sum(pc.greater_equal(want.column("id"), 30)).as_py()]


@pytest.mark.parametrize("name", ["renamed", "column_added", "late_widened", "row_deleted"])
def test_polars_and_pyarrow_read_edited_tables(name: str, tmp_path: Path) -> None:
    """The recipes for other engines: the table itself is a stream of Arrow batches, which is right for every table. [READ-15]"""
    table, want = sample(name, tmp_path)
    assert polars.DataFrame(table).sort("id").to_dicts() == in_order(want)
    assert table.to_polars().sort("id").to_dicts() == in_order(want)
    reader = pa.RecordBatchReader.from_stream(table)
    assert in_order(reader.read_all()) == in_order(want)
    scanner = ds.Scanner.from_batches(pa.RecordBatchReader.from_stream(table), filter=ds.field("id") < 20)
    assert sorted(scanner.to_table().column("id").to_pylist()) == [
        i for i in sorted(want.column("id").to_pylist()) if i < 20
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_files_of_edited_tables_are_refused(name: str, tmp_path: Path) -> None:
    """`files` refuses and says why and what to do, unless it is forced."""
    table, _ = sample(name, tmp_path)
    assert table.why_not_plain
    with pytest.raises(UsageError, match="duckdb_view") as refusal:
        table.files()
    assert all(reason in str(refusal.value) for reason in table.why_not_plain)
    assert len(table.files(force=True)) == sum(len(part.files) for part in table.source.parts())


def test_an_entry_that_says_plain_of_other_parts_is_not_believed(tmp_path: Path) -> None:
    """Deleted rows and several files are seen in the parts themselves. [READ-15]"""
    for name in ("row_deleted", "everything"):
        table, _ = sample(name, tmp_path)
        source = replace(table.source, entry=replace(table.source.entry, plain=True), _parts=[])
        with pytest.raises(UsageError):
            Table(source).files()


def test_the_view_of_a_plain_table_is_its_files(tmp_path: Path) -> None:
    """Parts that are alike are one list; no footer is read for them."""
    schema = Schema.from_user({"id": pa.int64(), 'a "b"': pa.string()})
    backend = open_backend(str(tmp_path / "it's"))
    parts = [store_part(backend, [FileSpec(schema, {"id": [n], 'a "b"': ["x"]})]) for n in range(3)]
    table, want = edited_table(backend, schema, parts)
    assert table.duckdb_view().count("read_parquet") == 1
    assert through_view(table).to_pylist() == want.to_pylist()
    assert table.files() == [backend.uri(part.part.files[0].path) for part in parts]
    with pytest.raises(UsageError, match="selection"):
        table.head(1).duckdb_view()


def test_a_table_without_rows_has_a_view(tmp_path: Path) -> None:
    """The columns are there with their types, and no row."""
    backend = open_backend(str(tmp_path))
    schema = Schema.from_user({"id": pa.int64(), "t": pa.timestamp("us", "UTC"), "l": pa.list_(pa.decimal128(9, 2))})
    table, _ = edited_table(backend, schema, [])
    found = through_view(table)
    assert (found.num_rows, found.schema.names) == (0, ["id", "t", "l"])


DEFAULTS: Sequence[tuple[Any, Any]] = [
    (pa.int64(), 2**60), (pa.bool_(), True), (pa.float64(), float("inf")), (pa.float32(), 0.25), (pa.string(), "it's"),
    (pa.binary(), b"\x00'\xff"), (pa.date32(), 18_263), (pa.timestamp("us"), 1_577_836_800_000_001),
    (pa.timestamp("us", "UTC"), 1_577_836_800_000_001), (pa.decimal128(9, 2), "1.50"), (pa.list_(pa.int32()), [1, None]),
    (pa.struct([("a", pa.int8()), ("b", pa.string())]), {"a": 1, "b": None}), (pa.map_(pa.string(), pa.int8()), [("k", 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value"), DEFAULTS, ids=[str(type_) for type_, _ in DEFAULTS])
def test_defaults_stand_in_the_view(type_: pa.DataType, value: Any, tmp_path: Path) -> None:
    """A column that a part was written without has its default in DuckDB as it has in the library. [SCHEMA-13]"""
    backend = open_backend(str(tmp_path))
    before = Schema.from_user({"id": pa.int64()})
    scalar = pa.array([value], pa.string()).cast(type_) if pa.types.is_decimal(type_) else pa.array([value], type_)
    after = before.with_added("d", type_, default=scalar)
    table, want = edited_table(backend, after, [store_part(backend, [FileSpec(before, {"id": [1, 2]})])])
    assert table.to_arrow().to_pylist() == want.to_pylist()
    assert [row["d"] for row in want.to_pylist()] == scalar.to_pylist() * 2
    found = through_view(table).column("d").to_pylist()
    assert [dict(v) if pa.types.is_map(type_) else v for v in found] == [
        dict(v) if pa.types.is_map(type_) else v for v in want.column("d").to_pylist()
    ]


def test_structs_in_lists_are_cast_by_name(tmp_path: Path) -> None:
    """A struct below a list that got a field later shows null in it, in DuckDB as in the library."""
    backend = open_backend(str(tmp_path))
    before = Schema.from_user({"id": pa.int64(), "l": pa.list_(pa.struct([("a", pa.int8())]))})
    after = before.with_widened({"l": pa.list_(pa.struct([("a", pa.int32()), ("b", pa.string())]))})
    old = {"id": [1, 2, 3], "l": [[{"a": 1}, None], None, []]}
    table, want = edited_table(backend, after, [store_part(backend, [FileSpec(before, old)])])
    assert in_order(through_view(table)) == in_order(want) == in_order(table.to_arrow())


def test_a_type_that_duckdb_lacks_is_told(tmp_path: Path) -> None:
    """Where a cast would need it, the view is refused and names the type."""
    backend = open_backend(str(tmp_path))
    before = Schema.from_user({"id": pa.int64()})
    after = before.with_added("d", pa.decimal256(50, 3))
    table, _ = edited_table(backend, after, [store_part(backend, [FileSpec(before, {"id": [1]})])])
    with pytest.raises(UnsupportedError, match="decimal256"):
        table.duckdb_view()

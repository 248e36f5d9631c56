"""Tables as edits leave them, read in every way: the rows are those that are worked out value by value."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tableformat
from tableformat.errors import CorruptError, LimitError, SchemaError
from tableformat.format.expr import col
from tableformat.format.limits import Limits
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.table.joined import JoinedTable
from tableformat.table.open_part import OpenFile, unit_starts
from tableformat.table.table import Table
from tests.table.edited_tables import BASE, SAMPLES, FileSpec, base_columns, edited_table, sample, store_part


@pytest.fixture(scope="module", params=SAMPLES)
def edited(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Table, list[dict[str, Any]]]:
    table, want = sample(request.param, tmp_path_factory.mktemp("edited"))
    return table, want.to_pylist()


def values(table: Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.to_arrow().to_pylist()
    return found


def test_every_way_of_reading(edited: tuple[Table, list[dict[str, Any]]]) -> None:
    """Whole, by ranges, by positions, by rows, by shards, by sample, by columns: the same rows. [READ-12] [PART-18]"""
    table, rows = edited
    count = len(rows)
    assert len(table) == count
    assert values(table) == rows
    for chosen in (slice(None, None, -1), slice(3, -3, 7), slice(count - 2, 2, -5), slice(0, 0)):
        assert values(table[chosen]) == rows[chosen]
    picked = random.Random(1).choices(range(count), k=80)
    assert values(table.take(picked)) == [rows[row] for row in picked]
    assert [row.index for row in table.take(picked).rows()] == picked
    assert [row["id"] for row in table] == [row["id"] for row in rows]
    assert table[-1]["id"] == rows[-1]["id"]
    assert [row for part in range(3) for row in values(table.shard(part, 3))] == rows
    drawn = values(table.sample(20, seed=3))
    assert len(drawn) == 20
    assert all(row in rows for row in drawn)
    assert values(table.head(7)) == rows[:7]
    for name in table.columns:
        assert values(table.select(name)) == [{name: row[name]} for row in rows]
    assert sum(batch.num_rows for batch in table.select().batches()) == count
    assert all(batch.num_rows == 13 for batch in list(table.batches(batch_rows=13))[:-1])


def filters(rows: list[dict[str, Any]]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Filters of every column of numbers or texts, and the rows that they keep."""
    for name, one in rows[3].items():
        if isinstance(one, list | dict):
            continue
        known = [row[name] for row in rows if row[name] is not None]
        yield col(name).is_null(), [row for row in rows if row[name] is None]
        for value in {known[0], known[-1], known[len(known) // 2]}:
            yield col(name) == value, [row for row in rows if row[name] == value]
            yield col(name) > value, [row for row in rows if row[name] is not None and row[name] > value]
            yield col(name) != value, [row for row in rows if row[name] is not None and row[name] != value]


def test_filters(edited: tuple[Table, list[dict[str, Any]]]) -> None:
    """Statistics of older types and of absent columns leave out no row that a filter keeps. [READ-6] [READ-7]"""
    table, rows = edited
    for predicate, wanted in filters(rows):
        assert values(table.where(predicate)) == wanted
        assert values(table.where(predicate).select("id").head(3)) == [{"id": row["id"]} for row in wanted[:3]]
        assert len(table[5:40].where(predicate)) == sum(row in wanted for row in rows[5:40])
        assert values(table[::-3].where(predicate)) == [row for row in rows[::-3] if row in wanted]
        assert values(table[4:41:2].where(predicate)) == [row for row in rows[4:41:2] if row in wanted]
        assert table.where(predicate)._reading.row_numbers(table.where(predicate)._selection.steps).tolist() == [
            number for number, row in enumerate(rows) if row in wanted
        ]


def test_joins(edited: tuple[Table, list[dict[str, Any]]], tmp_path: Path) -> None:
    """A joined table reads its sides as they are shown."""
    table, rows = edited
    schema = Schema.from_user({"id": pa.int64(), "other": pa.string()})
    side = {"id": list(range(0, 200, 3)), "other": [f"o{row}" for row in range(0, 200, 3)]}
    other, _ = edited_table(tmp_path, schema, [store_part(open_backend(str(tmp_path)), [FileSpec(schema, side)])])
    joined = JoinedTable(table, other, on="id", how="inner")
    column = next(name for name in joined.columns if "other" in name)
    found = joined.to_arrow().column(column).to_pylist()
    assert sorted(found) == sorted(f"o{row['id']}" for row in rows if row["id"] % 3 == 0)


def test_only_the_files_that_are_needed_are_read(tmp_path: Path) -> None:
    """A column of one file is read though the other files of the part, and its deletions, were gone elsewhere. [PART-15]"""
    table, want = sample("column_added", tmp_path)
    first = table.source.parts()[0]
    (tmp_path / first.files[1].path).unlink()
    assert table.select("n").to_arrow().column("n").to_pylist() == want.column("n").to_pylist()
    with pytest.raises(tableformat.errors.NotFoundError):
        table.select("score").to_arrow()


def test_small_files_are_read_in_one_go(tmp_path: Path) -> None:
    """A scan of most columns of a table of small parts makes one read a part, one of few columns reads no pages of others; a file
    that is cut, changed in its footer or in a page is refused either way."""
    store = tableformat.open_store(tmp_path / "store")
    rows = pa.table({"id": np.arange(20_000), "name": [f"n{n % 7}" for n in range(20_000)], "x": np.arange(20_000) / 3})
    with store.draft("a") as draft, draft.table("t", key="id", part_rows=4096) as table:
        table.extend(rows)
    table = store["a"]["t"]
    reads: list[tuple[str, int]] = []
    backend = table.source.backend
    read = backend.read

    def counted(path: str, *where: Any) -> bytes:
        reads.append((path, where[-1]))
        return read(path, *where)

    backend.read = counted
    assert table.to_arrow().select(["id", "name", "x"]).to_pylist() == rows.to_pylist()
    parts = table._reading.parts()
    assert sorted(reads) == sorted((part.files[0].path, part.files[0].size) for part in parts)
    assert len(parts) > 2
    reads.clear()
    again = store["a"]["t"].select("name")
    assert again.to_arrow().to_pylist() == rows.select(["name"]).to_pylist()
    file = parts[1].files[0]
    where = Path(backend.local_path(file.path))
    whole = where.read_bytes()
    for change in (
        whole[:-9],
        whole[:-60] + bytes([whole[-60] ^ 1]) + whole[-59:],
        whole[:90] + bytes([whole[90] ^ 1]) + whole[91:],
    ):
        where.chmod(0o600)
        where.write_bytes(change)
        for columns in ([], ["name", "id"]):
            with pytest.raises(tableformat.errors.TableformatError, match=r"\.parquet"):
                tableformat.open_store(tmp_path / "store")["a"]["t"].select(*(columns or table.columns)).to_arrow()
    where.write_bytes(whole)
    assert len(tableformat.open_store(tmp_path / "store")["a"]["t"].to_arrow()) == 20_000


def test_what_is_left_out_is_not_read(tmp_path: Path) -> None:
    """Parts are left out by bounds in their older types, and by the default of a column that they do not have. [READ-6]"""
    widened, _ = sample("int_to_float", tmp_path / "w")
    old, _ = widened.source.parts()
    (tmp_path / "w" / old.files[0].path).unlink()
    assert values(widened.where(col("n") > 1e6)) == []
    added, want = sample("column_added", tmp_path / "a")
    for part in added.source.parts()[:2]:
        (tmp_path / "a" / part.files[0].path).unlink()
    found = values(added.where(col("flag") == "f3"))
    assert found == [row for row in want.to_pylist() if row["flag"] == "f3"]


def test_times_in_another_unit_are_bounded_right(tmp_path: Path) -> None:
    """Statistics in milliseconds of a column that counts microseconds now are read in milliseconds. [READ-6]"""
    backend = open_backend(str(tmp_path))
    before = Schema.from_user({"id": pa.int64(), "t": pa.timestamp("ms")})
    after = before.with_widened({"t": pa.timestamp("us")})
    stamps = [np.datetime64("2026-01-01T00:00:00", "ms") + row for row in range(30)]
    part = store_part(backend, [FileSpec(before, {"id": list(range(30)), "t": stamps})])
    table, want = edited_table(backend, after, [part])
    cut = np.datetime64("2026-01-01T00:00:00.010", "us")
    assert [row["id"] for row in table.where(col("t") >= cut)] == list(range(10, 30))
    assert values(table) == want.to_pylist()


def test_a_value_that_would_change_is_an_error(tmp_path: Path) -> None:
    """An integer that no float holds is told with its column and file, and not rounded. [SCHEMA-11]"""
    backend = open_backend(str(tmp_path))
    before = Schema.from_user({"n": pa.int64()})
    table, _ = edited_table(backend, before, [store_part(backend, [FileSpec(before, {"n": [2**53 + 1]})])])
    entry = replace(table.source.entry, schema=before.with_widened({"n": pa.float64()}), plain=False)
    with pytest.raises(SchemaError, match=r"'n'.*data/"):
        Table(replace(table.source, entry=entry, _parts=[])).to_arrow()


def test_wrong_manifests_are_refused(tmp_path: Path) -> None:
    """A file without the column that the manifest says it has, of another length, or of a type that does not widen. [PART-18] [READ-3]"""
    backend = open_backend(str(tmp_path))
    one = store_part(backend, [FileSpec(BASE, base_columns(0, 20))]).part
    table, _ = sample("renamed", backend)
    other = Schema.from_user({"z": pa.int64()})
    short = store_part(backend, [FileSpec(other, {"z": [1, 2]})]).part
    ids = [column.id or 0 for column in BASE.columns]

    def read(schema: Schema, part: Any) -> None:
        entry = replace(table.source.entry, schema=schema, rows=part.visible_rows, plain=False)
        Table(replace(table.source, entry=entry, load_parts=lambda: [part], _parts=[])).to_arrow()

    swapped = replace(one, files=short.files, rows=2)
    with pytest.raises(CorruptError, match="a column of the id"):
        read(BASE, swapped)
    with pytest.raises(CorruptError, match="20 rows"):
        read(BASE, replace(one, files=short.files))
    z = other["z"].id or 0
    both = (replace(one.files[0], columns=tuple(ids)), replace(short.files[0], columns=(z,)))
    wide = replace(BASE, columns=(*BASE.columns, *other.columns))
    with pytest.raises(CorruptError, match="20 rows"):
        read(wide, replace(one, files=both, values={**one.values, **short.values}))
    text = replace(BASE, columns=(replace(BASE["n"], type=BASE["name"].type),))
    with pytest.raises(CorruptError, match="widens"):
        read(text, one)
    read(BASE, one)


def test_defaults_are_bounded(tmp_path: Path) -> None:
    """A long default of many rows takes no more than a reader gives. [READ-8]"""
    backend = open_backend(str(tmp_path))
    schema = BASE.with_added("d", str, default="x" * 1000)
    part = store_part(backend, [FileSpec(BASE, base_columns(0, 200), group_rows=200)])
    table, _ = edited_table(backend, schema, [part], limits=Limits(row_group_bytes=100_000))
    with pytest.raises(LimitError, match="default"):
        table.to_arrow()
    assert len(table.select("id").to_arrow()) == 200


class Grouped(OpenFile):
    """A file of which nothing is known but where its row groups begin, and how wide a row is."""

    def __init__(self, starts: list[int], width: float) -> None:
        self.starts = np.array(starts, np.int64)
        self.names = []
        self.width = width

    def row_bytes(self, names: Any) -> float:
        return self.width


GROUPS = st.sets(st.integers(1, 99)).map(lambda inner: [0, *sorted(inner), 100])


@given(st.lists(GROUPS, min_size=1, max_size=3))
def test_units_end_where_row_groups_end(starts: list[list[int]]) -> None:
    """A unit ends where a row group of every file ends, so that none is read for two. [PART-15]"""
    found = unit_starts([Grouped(one, 8) for one in starts], 100)
    assert found.tolist() == sorted(set.intersection(*map(set, starts)))


def test_wide_units_are_cut() -> None:
    """Files whose row groups hardly ever end together are read by those of the widest; without files rows are counted off."""
    narrow, wide = Grouped([0, 60_000, 100_000], 8), Grouped([*range(0, 100_000, 7_000), 100_000], 4096)
    assert unit_starts([narrow, wide], 100_000).tolist() == wide.starts.tolist()
    assert unit_starts([], 100_000).tolist() == [0, 65_536, 100_000]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_part_is_read_right(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files with any row groups, any rows deleted, any column absent, renamed or widened. [READ-12] [PART-15] [PART-18]"""
    backend = open_backend(str(tmp_path_factory.mktemp("any")))
    schema = BASE
    parts = []
    for low in (0, 40, 80):
        count = data.draw(st.integers(1, 40))
        columns = dict(zip(schema.names, base_columns(low, low + count).values(), strict=False))
        cut = data.draw(st.integers(1, len(schema.names)))
        split = [schema.names[:cut], schema.names[cut:]]
        files = [
            FileSpec(schema, columns, names if len(split[1]) else None, data.draw(st.integers(1, 50)))
            for names in split
            if names
        ]
        parts.append(store_part(backend, files, sorted(data.draw(st.sets(st.integers(0, count - 1))))))
        change = data.draw(st.sampled_from(["rename", "widen", "reorder", "none"]))
        if change == "rename":
            schema = schema.with_renamed({schema.names[-1]: f"renamed{low}"})
        elif change == "widen":
            schema = schema.with_widened({name: pa.int64() for name in ("n",) if name in schema})
        elif change == "reorder":
            schema = replace(schema, columns=(*schema.columns[:1], *schema.columns[1:]))
    schema = schema.with_added("more", pa.int16(), default=data.draw(st.none() | st.integers(0, 9)))
    table, want = edited_table(backend, schema, parts)
    rows = want.to_pylist()
    assert values(table) == rows
    if rows:
        picked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20))
        assert values(table.take(picked)) == [rows[row] for row in picked]
    assert values(table.where(col("id") >= 45)) == [row for row in rows if row["id"] >= 45]


def test_a_file_is_opened_once_for_each_thread_that_reads_it(tmp_path: Path) -> None:
    """Row groups that are read one after another are read from one open file; after an error it is not used again."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft, draft.table("t") as table:
        table.extend(pa.table({"id": np.arange(300_000), "x": np.random.default_rng(1).random(300_000)}))
    reading = store["a"]["t"]._reading
    opened = reading._parts.open(reading.parts()[0], ["id"])
    file = opened.files[0]
    for unit in range(3):
        opened.read([unit], ["id"])
    assert len(file.idle) == 1
    source = file.idle[0].source
    source.close()
    with pytest.raises(ValueError, match="closed file"):
        opened.read([3], ["id"])
    assert not file.idle
    assert opened.read([3], ["id"])[0].num_rows == 65_536

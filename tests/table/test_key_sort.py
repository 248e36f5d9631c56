"""Rows sorted by their key, in memory or through a temporary file: every row once, in order, as it was given."""

from __future__ import annotations

import datetime
import decimal
import itertools
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import KeyValueError, SchemaError
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.storage.interface import Backend
from tableformat.table import key_sort
from tableformat.table.evolving_stream import EvolvingStream
from tableformat.table.key_sort import KeySort
from tableformat.table.part_stream import StreamResult
from tableformat.table.stored_rows import iter_stored

KEYS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "integer": (pa.int16(), st.integers(-500, 500)),
    "text": (pa.string(), st.text(max_size=6)),
    "bytes": (pa.binary(), st.binary(max_size=6)),
    "date": (pa.date32(), st.dates(datetime.date(1, 1, 1))),
    "time": (pa.timestamp("us"), st.datetimes()),
    "decimal": (pa.decimal128(9, 2), st.decimals(-9999, 9999, places=2)),
    "bool": (pa.bool_(), st.booleans()),
}


@pytest.fixture
def backend(tmp_path: Any) -> Backend:
    return open_backend(str(tmp_path / "store"))


@pytest.fixture(params=["in memory", "spilled"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Rows that are sorted in one piece, and rows that need many runs."""
    if request.param == "spilled":
        make_small(monkeypatch)
    return str(request.param)


def make_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(key_sort, "RUN_BYTES", 700)
    patch.setattr(key_sort, "_BATCH_BYTES", 90)
    patch.setattr(key_sort, "_RANGE_BYTES", 400)


def sort_of(backend: Backend, key: list[str], *, unique: bool = True) -> KeySort:
    stream = EvolvingStream(backend, "t", key=key, unique=unique, part_rows=64, layout=None)
    return KeySort(stream, key, unique=unique)


def sort(
    backend: Backend, batches: list[tuple[Schema, list[pa.Array]]], key: list[str], *, unique: bool = True
) -> StreamResult:
    sorting = sort_of(backend, key, unique=unique)
    for schema, arrays in batches:
        sorting.write(schema, arrays)
    return sorting.finish(batches[-1][0])


def rows_of(backend: Backend, schema: Schema, result: StreamResult) -> list[dict[str, Any]]:
    return [row for table in iter_stored(backend, schema, result.parts) for row in table.to_pylist()]


@given(
    st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=2, unique=True),
    st.data(),
    st.booleans(),
)
def test_any_rows_come_out_sorted(tmp_path_factory: Any, kinds: list[str], data: st.DataObject, spills: bool) -> None:
    """Rows of any key types, in batches of any size, come out in order; those of equal keys in the order they came."""
    backend = open_backend(str(tmp_path_factory.mktemp("store")))
    keys = data.draw(st.lists(st.tuples(*(KEYS[kind][1] for kind in kinds)), min_size=1, max_size=120))
    rows = [{**dict(zip(kinds, key, strict=True)), "n": at, "tags": ["x"] * (at % 3)} for at, key in enumerate(keys)]
    schema = Schema.from_user(
        pa.schema([*((kind, KEYS[kind][0]) for kind in kinds), ("n", pa.int64()), ("tags", pa.list_(pa.string()))])
    )
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=5))})
    batches = [
        (schema, [pa.array([row[f.name] for row in rows[low:high]], f.type) for f in schema.arrow_schema()])
        for low, high in itertools.pairwise(cuts)
    ]
    with pytest.MonkeyPatch.context() as patch:
        if spills:
            make_small(patch)
        result = sort(backend, batches, kinds, unique=False)
    assert rows_of(backend, schema, result) == sorted(rows, key=lambda row: tuple(row[kind] for kind in kinds))
    assert result.ascending == (len(set(keys)) == len(keys))


@pytest.mark.usefixtures("small")
def test_a_schema_that_widens_is_no_obstacle(backend: Backend) -> None:
    """Rows of narrower schemas are sorted among the others, and stored in the last; keys of other widths compare by value."""
    narrow = Schema.from_user(pa.schema({"id": pa.int32(), "x": pa.int64()}))
    wide = narrow.unify(Schema.from_user(pa.schema({"id": pa.int64(), "x": pa.float64(), "y": pa.string()}))).schema
    order = np.random.default_rng(1).permutation(400)
    first, second = order[:200].tolist(), order[200:].tolist()
    batches = [
        (narrow, [pa.array(first, pa.int32()), pa.array(first, pa.int64())]),
        (wide, [pa.array(second, pa.int64()), pa.array([at + 0.5 for at in second]), pa.array(["y"] * 200)]),
    ]
    result = sort(backend, batches, ["id"])
    rows = rows_of(backend, wide, result)
    assert [row["id"] for row in rows] == list(range(400))
    assert all(
        (row["x"], row["y"]) == ((row["id"] + 0.5, "y") if row["id"] in set(second) else (row["id"], None))
        for row in rows
    )


@pytest.mark.usefixtures("small")
def test_equal_keys_are_named_by_the_rows_as_they_came(backend: Backend) -> None:
    """Of keys that stand twice at most ten are told, each with both rows."""
    schema = Schema.from_user(pa.schema({"id": pa.int64()}))
    keys = [*range(300), *range(20, 50)]
    with pytest.raises(KeyValueError, match="unique") as caught:
        sort(backend, [(schema, [pa.array(keys)])], ["id"])
    assert [problem.place for problem in caught.value.problems] == [f"row {row}" for row in range(300, 310)]
    assert "id=20 stands in row 20 already" in caught.value.problems[0].text


def test_null_keys_are_named_at_once(backend: Backend) -> None:
    """A null in the key is refused when it is given, with its row."""
    schema = Schema.from_user(pa.schema({"id": pa.int64()}))
    sorting = sort_of(backend, ["id"])
    sorting.write(schema, [pa.array([3, 2])])
    with pytest.raises(KeyValueError) as caught:
        sorting.write(schema, [pa.array([1, None])])
    assert "row 3" in caught.value.problems[0].place
    sorting.abort()


@pytest.mark.usefixtures("small")
def test_values_that_do_not_fit_are_named_by_the_row_as_it_came(backend: Backend) -> None:
    """A wider schema is tried on all rows so far, spilled or not; the row of the value that does not fit is its own."""
    schema = Schema.from_user(pa.schema({"id": pa.int64(), "x": pa.int64()}))
    floats = schema.unify(Schema.from_user(pa.schema({"id": pa.int64(), "x": pa.float64()}))).schema
    order = np.random.default_rng(2).permutation(300)
    values = np.where(np.arange(300) == 217, 2**53 + 1, 1)
    sorting = sort_of(backend, ["id"])
    sorting.write(schema, [pa.array(order), pa.array(values)])
    with pytest.raises(SchemaError, match="217"):
        sorting.check(floats)
    sorting.check(schema)
    sorting.abort()


def test_no_file_stays(backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """What was spilled is gone after the end, and after an abort, and has no name meanwhile."""
    make_small(monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    schema = Schema.from_user(pa.schema({"id": pa.int64()}))
    before = len(os.listdir("/proc/self/fd"))
    for end in (lambda sorting: sorting.abort(), lambda sorting: sorting.finish(schema)):
        sorting = sort_of(backend, ["id"])
        sorting.write(schema, [pa.array(range(500, 0, -1))])
        assert [name for name in os.listdir(tmp_path) if "sort" in name] == []
        end(sorting)
        sorting.abort()
        assert len(os.listdir("/proc/self/fd")) <= before


def test_memory_is_bounded(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 64 MB keep a run of 8, its sorted copy and a few batches in memory, not the rows."""
    monkeypatch.setattr(key_sort, "RUN_BYTES", 8 << 20)
    schema = Schema.from_user(pa.schema({"id": pa.int64(), "x": pa.binary(1000)}))
    random = np.random.default_rng(3)
    data = pa.py_buffer(random.bytes(4_000_000))
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(1000), 4000, [None, data])
    keys = random.permutation(16 * 4000)
    sorting, most, base = sort_of(backend, ["id"]), 0, pa.total_allocated_bytes()
    for start in range(0, len(keys), 4000):
        sorting.write(schema, [pa.array(keys[start : start + 4000]), column.take(pa.array(range(4000)))])
        most = max(most, pa.total_allocated_bytes() - base)
    result = sorting.finish(schema)
    assert result.rows == len(keys)
    assert result.ascending
    assert most < 4 * key_sort.RUN_BYTES


def test_decimals_sort_by_value(backend: Backend) -> None:
    """Decimals compare as numbers, not as texts."""
    schema = Schema.from_user(pa.schema({"d": pa.decimal128(9, 2)}))
    given_ = [decimal.Decimal(text) for text in ("9.5", "10.25", "-1", "0")]
    result = sort(backend, [(schema, [pa.array(given_, pa.decimal128(9, 2))])], ["d"])
    assert [row["d"] for row in rows_of(backend, schema, result)] == sorted(given_)

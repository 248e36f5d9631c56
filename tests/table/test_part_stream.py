"""Rows become parts: the same rows the same bytes, within limits, in bounded memory, and failing once for good."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import KeyValueError, StoreFullError
from tableformat.format.part import MAX_GROUP_BYTES
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.table import part_stream
from tableformat.table.part_stream import FLIGHT_BYTES, PartStream
from tableformat.testing.faults import FaultBackend
from tests.threads import no_thread_stays

SCHEMA = Schema.from_user(pa.schema({"id": pa.int64(), "text": pa.string(), "tags": pa.list_(pa.string())}))
ARROW = SCHEMA.arrow_schema()
ROWS = 3000
_rng = np.random.default_rng(1)
TABLE = pa.Table.from_arrays(
    [
        pa.array(_rng.permutation(ROWS), pa.int64()),
        pa.array([None if i % 7 == 0 else "x" * (i % 50) for i in range(ROWS)]),
        pa.array([[f"t{i % 3}"] * (i % 4) if i % 5 else None for i in range(ROWS)], ARROW.field("tags").type),
    ],
    schema=ARROW,
)


def arrays_of(table):
    return [part_stream.one_chunk(column) for column in table.columns]


def stream_of(backend, table, cuts, **options):
    """Write `table` in batches that end at `cuts`."""
    stream = PartStream(backend, SCHEMA, **options)
    for start, stop in zip([0, *cuts], [*cuts, table.num_rows], strict=True):
        stream.write(arrays_of(table.slice(start, stop - start)))
    return stream.finish()


def files_of(result):
    return [part.files[0].digest for part in result.parts]


@pytest.fixture
def backend(tmp_path):
    return open_backend(str(tmp_path / "store"))


@given(
    st.lists(st.integers(0, ROWS), max_size=12).map(sorted),
    st.sampled_from(
        [{}, {"part_rows": 700}, {"key": ["id"]}, {"key": ["id"], "part_rows": 100}, {"key": ["id", "text"]}]
    ),
)
def test_the_same_rows_give_the_same_bytes(tmp_path_factory, cuts, options):
    """However rows are batched, parts, layout and digests are the same."""
    options = {**options, "unique": "text" not in options.get("key", [])}
    table = TABLE if options["unique"] else TABLE.set_column(1, ARROW.field("text"), TABLE["text"].fill_null(""))
    backend = open_backend(str(tmp_path_factory.mktemp("store")))
    whole, pieces = stream_of(backend, table, [], **options), stream_of(backend, table, cuts, **options)
    assert pieces == whole


def test_garbage_below_nulls_moves_nothing(backend):
    """Bytes under nulls, which Arrow allows, change neither where parts end nor what is in them."""
    schema = Schema.from_user(pa.schema({"a": pa.struct({"x": pa.string()})}))
    texts = pa.array(["y" * 5000] * 4000)
    mask = pa.array([i % 3 > 0 for i in range(4000)])
    dirty = pa.StructArray.from_arrays([texts], fields=list(schema.arrow_schema().field("a").type), mask=mask)
    clean = pa.array(dirty.to_pylist(), dirty.type)
    results = []
    for array in (dirty, clean):
        stream = PartStream(backend, schema)
        stream.write([array])
        results.append(stream.finish())
    assert results[0] == results[1]


@pytest.mark.parametrize("key", [(), ("id",)])
def test_row_groups_and_parts_keep_their_limits(backend, key):
    """Row groups have the rows of the layout at most, parts their rows, and all of them together every row in order."""
    result = stream_of(backend, TABLE, [1000], part_rows=256, key=key)
    assert [part.rows for part in result.parts][:-1] == [256] * (len(result.parts) - 1) or key
    read = []
    for part in result.parts:
        file = pq.ParquetFile(backend.local_path(part.files[0].path), page_checksum_verification=True)
        groups = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
        assert max(groups) <= result.layout.group_rows
        assert sum(groups) == part.rows
        if key:
            assert part.rows <= 2 * 256
        read.append(file.read())
        file.close()
    assert pa.concat_tables(read).cast(ARROW).equals(TABLE)
    assert result.rows == ROWS


def test_fat_rows_end_groups_by_bytes(backend):
    """A row group has at most 64 MiB of decoded data; a single row that has more stands alone."""
    schema = Schema.from_user(pa.schema({"b": pa.binary()}))
    sizes = [MAX_GROUP_BYTES + 5, 30 << 20, 30 << 20, 30 << 20, 10]
    stream = PartStream(backend, schema)
    for size in sizes:
        stream.write([pa.array([bytes(size)], pa.binary())])
    result = stream.finish()
    groups = [
        [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
        for file in (pq.ParquetFile(backend.local_path(part.files[0].path)) for part in result.parts)
    ]
    assert [rows for part in groups for rows in part] == [1, 2, 2]
    assert [len(value) for batch in stream.read_back(result.parts) for value in batch["b"].to_pylist()] == sizes


def test_the_layout_is_settled_by_the_first_rows_alone(backend):
    """Rows past the first thousand do not sway the layout, however they come."""
    schema = Schema.from_user(pa.schema({"b": pa.binary()}))
    small, large = pa.array([b"a" * 100] * 1024, pa.binary()), pa.array([bytes(100_000)] * 60, pa.binary())
    layouts = []
    for batches in (
        [small, large],
        [pa.concat_arrays([small, large])],
        [small.slice(0, 1023), pa.concat_arrays([small.slice(1023), large])],
    ):
        stream = PartStream(backend, schema)
        for batch in batches:
            stream.write([batch])
        layouts.append(stream.finish())
    assert layouts[0] == layouts[1] == layouts[2]


def test_large_rows_settle_the_layout_early(backend):
    """Sixteen MiB are enough to know the rows by, and the row that passes them is the last that counts, in any batching."""
    schema = Schema.from_user(pa.schema({"b": pa.binary()}))
    rows = [bytes(3 << 20)] * 7 + [b""] * 20
    results = []
    for step in (1, 4, 27):
        stream = PartStream(backend, schema)
        for start in range(0, len(rows), step):
            stream.write([pa.array(rows[start : start + step], pa.binary())])
        results.append(stream.finish())
    assert results[0] == results[1] == results[2]


def test_an_empty_stream_has_no_parts(backend):
    """No rows make no part, and the columns still have their digests."""
    result = PartStream(backend, SCHEMA).finish()
    assert (result.parts, result.rows, len(result.columns)) == ((), 0, 3)


def test_no_threads_stay(backend):
    """A stream that finished or was stopped leaves no thread behind."""
    before = threading.active_count()
    stream_of(backend, TABLE, [], part_rows=100)
    stream = PartStream(backend, SCHEMA, part_rows=100)
    stream.write(arrays_of(TABLE))
    stream.abort()
    stream.abort()
    assert no_thread_stays(before)


@pytest.mark.parametrize(
    ("operation", "nth"), [("writer", 1), ("sink.write", 2), ("sink.commit", 1), ("sink.commit", 3)]
)
def test_a_failing_lane_fails_the_stream_for_good(tmp_path, operation, nth):
    """The error of the store surfaces in a later call, again in each after that, and nothing finishes."""
    backend = FaultBackend(open_backend(str(tmp_path / "store")))
    backend.fail(operation, nth, error=lambda: StoreFullError("no space"))
    stream = PartStream(backend, SCHEMA, part_rows=200)
    with pytest.raises(StoreFullError, match="no space"):
        for start in range(0, ROWS, 100):
            stream.write(arrays_of(TABLE.slice(start, 100)))
        stream.finish()
    with pytest.raises(StoreFullError, match="no space"):
        stream.write(arrays_of(TABLE.slice(0, 100)))
    stream.abort()
    assert threading.active_count() < 50


def test_stopped_writes_leave_no_temporary_files(tmp_path):
    """A stream that is stopped in the middle of parts takes its unfinished files with it."""
    root = tmp_path / "store"
    schema = Schema.from_user(pa.schema({"b": pa.binary()}))
    streams = [PartStream(open_backend(str(root)), schema, part_rows=rows) for rows in (1 << 20, 2000, 3000)]
    for stream in streams:
        for _ in range(5):
            stream.write([pa.array([_rng.bytes(5000) for _ in range(1000)], pa.binary())])
        stream.abort()
    assert list((root / "sessions").glob("*")) == []


def test_duplicate_keys_are_found_at_the_end(backend):
    """Equal keys in different parts are named with their rows."""
    table = pa.concat_tables([TABLE, TABLE.slice(17, 1)])
    with pytest.raises(KeyValueError) as caught:
        stream_of(backend, table, [500], key=["id"], part_rows=64)
    assert caught.value.problems[0].place == f"row {ROWS}"
    assert "row 17" in caught.value.problems[0].text


def test_null_keys_name_their_row(backend):
    """A null in a key is refused with the row of the table it stands in."""
    table = TABLE.set_column(
        0, ARROW.field("id"), pa.chunked_array([pa.array([*range(ROWS - 2), None, 1], pa.int64())])
    )
    with pytest.raises(KeyValueError) as caught:
        stream_of(backend, table, [2000], key=["id"])
    assert f"row {ROWS - 2}" in caught.value.problems[0].place


def test_memory_is_bounded(backend):
    """A stream of 120 MB keeps no more Arrow memory than its row group, what is in flight, and what is encoded."""
    schema = Schema.from_user(pa.schema({"x": pa.binary(1000)}))
    data = _rng.bytes(4_000_000)
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(1000), 4000, [None, pa.py_buffer(data)])
    stream, most = PartStream(backend, schema, part_rows=10_000), 0
    base = pa.total_allocated_bytes()
    for _ in range(30):
        stream.write([array])
        most = max(most, pa.total_allocated_bytes() - base)
    result = stream.finish()
    assert result.rows == 120_000
    assert most < FLIGHT_BYTES + (48 << 20)


@pytest.mark.parametrize(
    ("width", "rows"), [(9, 32_768), (32, 16_384), (116, 4096), (1000, 4096), (2000, 2048), (1 << 17, 64)]
)
def test_parts_of_keyed_tables_begin_small(tmp_path, width, rows):
    """About 4,096 rows, more where that is less than 512 KiB, and fewer where it is more than 4 MiB."""
    schema = Schema.from_user(pa.schema({"id": pa.int64(), "raw": pa.binary(width - 8)}))
    stream = PartStream(open_backend(str(tmp_path / "store")), schema, key=["id"])
    raw = pa.array([bytes(width - 8)] * 1024, pa.binary(width - 8))
    stream.write([pa.array(np.arange(1024)), raw])
    assert stream.finish().layout.part_rows == rows

"""A schema that widens while rows arrive: one Parquet schema in all parts, and every value as it was given."""

import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tableformat.errors import KeyValueError, SchemaError, StoreFullError
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.table import evolving_stream
from tableformat.table.evolving_stream import EvolvingStream
from tableformat.testing.faults import FaultBackend
from tests.threads import no_thread_stays

OPTIONS = {"key": (), "unique": True, "part_rows": None, "layout": None}


@pytest.fixture
def backend(tmp_path):
    return open_backend(str(tmp_path / "store"))


@pytest.fixture(params=["replayed at once", "replayed at the end"], autouse=True)
def replay(request, monkeypatch):
    """Both ways of storing rows again."""
    if request.param == "replayed at the end":
        monkeypatch.setattr(evolving_stream, "_REPLAY_ROWS", -1)


def schema_of(**types):
    return Schema.from_user(pa.schema(types))


def arrays_of(schema, rows):
    return [pa.array([row.get(f.name) for row in rows], f.type) for f in schema.settled()[0].arrow_schema()]


def write_all(backend, batches, **options):
    """Write (schema, rows) batches, each schema holding the one before; returns the parts' tables and the result."""
    stream = EvolvingStream(backend, "t", **{**OPTIONS, **options})
    for schema, rows in batches:
        stream.write(schema, arrays_of(schema, rows))
    result = stream.finish(batches[-1][0])
    return [pq.read_table(backend.local_path(part.files[0].path)) for part in result.parts], result


INTS = schema_of(x=pa.int64())
FLOATS = INTS.unify(schema_of(x=pa.float64())).schema


@pytest.mark.parametrize("rows", [10, 5000])
@pytest.mark.parametrize("part_rows", [None, 700])
def test_int_to_float_after_sealed_parts(backend, rows, part_rows):
    """Integers that were stored before the first float are stored again as floats, in all parts."""
    first, later = [{"x": i} for i in range(rows)], [{"x": i + 0.5} for i in range(rows)]
    tables, result = write_all(backend, [(INTS, first), (FLOATS, later)], part_rows=part_rows)
    assert {table.schema.field("x").type for table in tables} == {pa.float64()}
    assert pa.concat_tables(tables)["x"].to_pylist() == [float(row["x"]) for row in first + later]
    assert result.rows == 2 * rows
    assert len({pq.read_schema(backend.local_path(part.files[0].path)) for part in result.parts}) == 1


def test_a_widened_table_has_the_bytes_of_one_written_wide(backend):
    """What was given in steps ends in the same parts and digests as what was given at once."""
    first, later = [{"x": i} for i in range(3000)], [{"x": i + 0.5} for i in range(3000)]
    _, stepwise = write_all(backend, [(INTS, first), (FLOATS, later)], part_rows=1000)
    _, at_once = write_all(
        backend, [(FLOATS, [{"x": float(row["x"])} for row in first]), (FLOATS, later)], part_rows=1000
    )
    assert stepwise == at_once


def test_columns_that_come_late_are_null_before(backend):
    """A new column is null in all rows before it, and each of several stands in every part."""
    one = schema_of(x=pa.int64())
    two = one.unify(schema_of(y=pa.string())).schema
    three = two.unify(schema_of(z=pa.list_(pa.int8()))).schema
    batches = [
        (one, [{"x": i} for i in range(2000)]),
        (two, [{"x": 1, "y": "a"}] * 2000),
        (three, [{"z": [1]}] * 2000),
    ]
    tables, _ = write_all(backend, batches, part_rows=900)
    assert {tuple(table.schema.names) for table in tables} == {("x", "y", "z")}
    rows = pa.concat_tables(tables).to_pylist()
    assert (
        rows
        == [{"x": i, "y": None, "z": None} for i in range(2000)]
        + [{"x": 1, "y": "a", "z": None}] * 2000
        + [{"x": None, "y": None, "z": [1]}] * 2000
    )


def test_null_columns_settle_at_the_first_value(backend):
    """A column of nothing but nulls takes the type of its first value; one without any becomes text."""
    unknown = schema_of(x=pa.int64(), y=pa.null(), never=pa.null())
    known = unknown.unify(schema_of(y=pa.float32())).schema
    tables, _ = write_all(backend, [(unknown, [{"x": 1}] * 3000), (known, [{"x": 2, "y": 0.5}] * 10)], part_rows=500)
    assert {(table.schema.field("y").type, table.schema.field("never").type) for table in tables} == {
        (pa.float32(), pa.string())
    }
    assert pa.concat_tables(tables)["y"].to_pylist() == [None] * 3000 + [0.5] * 10


def test_a_value_that_the_wider_type_does_not_hold_is_refused(backend):
    """An integer that no float holds exactly fails the widening, with its row, whenever it was stored."""
    before = threading.active_count()
    stream = EvolvingStream(backend, "t", **{**OPTIONS, "part_rows": 500})
    rows = [{"x": i} for i in range(3000)]
    rows[2345] = {"x": 2**53 + 1}
    stream.write(INTS, arrays_of(INTS, rows))
    with pytest.raises(SchemaError, match="2345"):
        stream.write(FLOATS, [pa.array([0.5])])
        stream.finish(FLOATS)
    stream.abort()
    assert no_thread_stays(before)


def test_keys_are_proven_over_all_steps(backend):
    """A key that is repeated after the schema widened is found, with its rows in the whole table."""
    wide = schema_of(k=pa.int64(), y=pa.string())
    narrow = schema_of(k=pa.int64())
    rows = [{"k": i} for i in range(3000)]
    with pytest.raises(KeyValueError) as caught:
        write_all(
            backend, [(narrow, rows), (narrow.unify(wide).schema, [{"k": 77, "y": "a"}])], key=("k",), part_rows=256
        )
    assert "row 3000" in str(caught.value.problems[0])
    assert "row 77" in str(caught.value.problems[0])


def test_failures_leave_no_threads(tmp_path):
    """Where the store fails while rows are stored again, the error surfaces and every lane ends."""
    before = threading.active_count()
    for nth in (3, 6, 9):
        backend = FaultBackend(open_backend(str(tmp_path / f"store{nth}")))
        backend.fail("sink.commit", nth, times=100, error=lambda: StoreFullError("no space"))
        stream = EvolvingStream(backend, "t", **{**OPTIONS, "part_rows": 500})
        with pytest.raises(StoreFullError):
            for schema in (INTS, FLOATS):
                for start in range(0, 3000, 100):
                    stream.write(schema, arrays_of(schema, [{"x": start + i} for i in range(100)]))
            stream.finish(FLOATS)
        stream.abort()
        assert no_thread_stays(before)

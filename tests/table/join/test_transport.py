"""Arrays that travel through an engine of SQL come back as they were."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tableformat.format.media.kinds import cell_type
from tableformat.table.join.transport import Transport
from tests.table.join.join_tables import PAYLOADS

TYPES: list[tuple[pa.DataType, list[Any]]] = [
    *PAYLOADS,
    (pa.uint64(), [2**64 - 1, None]),
    (pa.float32(), [float("inf"), None]),
    (pa.bool_(), [True, None]),
    (pa.date32(), [-1, None]),
    (pa.time32("ms"), [1, None]),
    (pa.binary(), [b"", b"\0", None]),
    (pa.struct([]), [{}, None]),
    (pa.struct([("a", pa.int8()), ("A", pa.int8())]), [{"a": 1, "A": None}, None]),
    (pa.list_(pa.list_(pa.binary(2), 2)), [[[b"ab", b"cd"], None], None, []]),
    (pa.list_(pa.struct([("m", pa.map_(pa.string(), pa.timestamp("ns")))])), [[{"m": [("k", 5)]}, None], None, []]),
    (cell_type("image"), [{"file": {"uri": "packs/ab", "offset": 2**40, "size": 5}, "width": 3}, None]),
    (pa.decimal256(60, 3), [None]),
]


@pytest.mark.parametrize(
    ("type_", "values"), TYPES, ids=lambda value: str(value)[:40] if isinstance(value, pa.DataType) else ""
)
@pytest.mark.parametrize("start", [0, 1])
def test_types_come_back(type_: pa.DataType, values: list[Any], start: int) -> None:
    """Values of each storage type, nulls among them, slices too, pass through DuckDB and are the same."""
    array = pa.array([values[0], *values], type_).slice(start)
    transport = Transport.of(type_)
    sent = transport.send(array)
    assert sent.type == transport.carried
    with duckdb.connect() as connection:
        connection.register("t", pa.table({"c": sent}))
        given = connection.sql("select c from t").to_arrow_table().column("c").combine_chunks()
    for came in (sent, given.chunk(0) if isinstance(given, pa.ChunkedArray) else given):
        back = transport.receive(came)
        back.validate(full=True)
        assert back.type == type_
        assert back.equals(array)

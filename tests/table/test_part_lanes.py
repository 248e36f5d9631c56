"""Parts that are held until it is known what of them is new: in bounded memory, failing once for good, leaving nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tableformat.errors import StoreFullError
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry, needs_of
from tableformat.format.part import FOOTER_KEY, Layout
from tableformat.format.schema import Schema
from tableformat.format.value_digest import value_digest
from tableformat.storage.backend import open_backend
from tableformat.storage.interface import Backend
from tableformat.table import reuse
from tableformat.table.part_lanes import FLIGHT_BYTES
from tableformat.table.part_stream import PartStream, StreamResult
from tableformat.testing.faults import FaultBackend
from tests.threads import no_thread_stays

SCHEMA = Schema.from_user(pa.schema({"id": pa.int64(), "text": pa.string(), "fat": pa.binary()}))
TYPES = SCHEMA.arrow_schema()
IDS = [str(column.id) for column in SCHEMA.columns]


@pytest.fixture
def backend(tmp_path: Any) -> Backend:
    return open_backend(str(tmp_path / "store"))


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are shared from the first part on, however small."""
    for name in ("_PLAIN_BYTES", "_LEAST_BYTES"):
        monkeypatch.setattr(reuse, name, -1)


def arrays(rows: int, *, text: str = "t", fat: bytes = b"f") -> list[pa.Array]:
    texts = [f"{text}{row % 5}" for row in range(rows)]
    return [pa.array(range(rows)), pa.array(texts), pa.array([fat * (row % 50) for row in range(rows)], pa.binary())]


def stream_of(backend: Backend, before: StreamResult | None = None, **options: Any) -> PartStream:
    return PartStream(backend, SCHEMA, **{"part_rows": 500, "before": before and entry_of(before), **options})


def entry_of(result: StreamResult) -> TableEntry:
    plain, requires = needs_of(SCHEMA, result.parts)
    items = ItemList(len(result.parts), items=tuple(part.to_json() for part in result.parts))
    return TableEntry(result.rows, SCHEMA, result.layout, parts=items, plain=plain, requires=requires)


def write(stream: PartStream, columns: list[pa.Array], step: int = 333) -> StreamResult:
    for start in range(0, len(columns[0]), step):
        stream.write([column.slice(start, step) for column in columns])
    return stream.finish()


def columns_of(backend: Backend, parts: tuple[Part, ...]) -> Iterator[tuple[int, pq.ParquetFile]]:
    for number, part in enumerate(parts):
        for file in part.files:
            with pq.ParquetFile(backend.local_path(file.path)) as opened:
                yield number, opened


def test_equal_parts_are_taken_over_and_others_stored(backend: Backend) -> None:
    """Parts before and behind a difference are the earlier ones; the digests of the whole columns are those of a fresh write."""
    first = write(stream_of(backend), arrays(3000))
    changed = arrays(3000)
    changed[0] = pa.array([-1 if row == 1234 else row for row in range(3000)])
    changed[1] = pa.array([f"{row}" if 1000 <= row < 1500 else f"t{row % 5}" for row in range(3000)])
    changed[2] = pa.array([b"" if 1000 <= row < 1500 else b"f" * (row % 50) for row in range(3000)], pa.binary())
    again = write(stream_of(backend, first), changed)
    assert [new is old or new == old for new, old in zip(again.parts, first.parts, strict=True)] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    assert (again.reused.parts, again.reused.rows) == (5, 2500)
    fresh = write(stream_of(backend), changed)
    assert (again.parts, again.columns, again.layout) == (fresh.parts, fresh.columns, fresh.layout)
    assert again.new_bytes == again.parts[2].files[0].size


@pytest.mark.usefixtures("sharing")
def test_what_differs_is_stored_beside_what_does_not(backend: Backend) -> None:
    """A file of the changed columns has those alone, in the order of the schema, and no key in its footer."""
    first = write(stream_of(backend), arrays(1000))
    changed = arrays(1000, text="u", fat=b"f")
    again = write(stream_of(backend, first), changed)
    assert [[file.columns for file in part.files] for part in again.parts] == [
        [tuple(sorted((int(IDS[0]), int(IDS[2])))), (int(IDS[1]),)]
    ] * 2
    opened = [file for number, file in columns_of(backend, again.parts) if number == 0]
    assert [file.schema_arrow.names for file in opened] == [["id", "text", "fat"], ["text"]]
    assert FOOTER_KEY in opened[0].metadata.metadata
    assert FOOTER_KEY not in opened[1].metadata.metadata
    assert again.parts[0].values[IDS[1]] == value_digest(changed[1].slice(0, 500))
    fresh = write(stream_of(backend), changed)
    assert [(part.values, part.stats, part.bytes) for part in again.parts] == [
        (part.values, part.stats, part.bytes) for part in fresh.parts
    ]
    assert [table["text"].to_pylist() for table in stream_of(backend).read_back(again.parts)] == [
        changed[1].slice(start, 500).to_pylist() for start in (0, 500)
    ]


def test_parts_that_wait_are_stored_whole_in_the_end(backend: Backend) -> None:
    """Where little was spared, parts that waited are stored as a fresh write stores them, in their places."""
    first = write(stream_of(backend), arrays(2000))
    changed = arrays(2000)
    changed[1] = pa.array(["other" if row in (3, 1200) else f"t{row % 5}" for row in range(2000)])
    again, fresh = write(stream_of(backend, first), changed), write(stream_of(backend), changed)
    assert (again.parts, again.columns) == (fresh.parts, fresh.columns)
    assert again.reused.parts == 2


@pytest.mark.parametrize("changes", [False, True])
def test_memory_is_bounded(backend: Backend, changes: bool) -> None:
    """A held part keeps its own bytes and what is in flight, not the rows, whether it is taken over or stored."""
    schema = Schema.from_user(pa.schema({"n": pa.int32(), "x": pa.binary(1000)}))
    data = np.random.default_rng(1).bytes(2_000_000)
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(1000), 2000, [None, pa.py_buffer(data)])
    layout = Layout(1024, 1 << 20, part_bytes=8 << 20)

    def run(before: TableEntry | None, shift: int) -> tuple[StreamResult, int]:
        stream, most, base = PartStream(backend, schema, layout=layout, before=before), 0, pa.total_allocated_bytes()
        for turn in range(60):
            stream.write([pa.array(np.full(2000, turn + shift, np.int32)), column.take(pa.array(range(2000)))])
            most = max(most, pa.total_allocated_bytes() - base)
        return stream.finish(), most

    first, _ = run(None, 0)
    entry = TableEntry(
        first.rows,
        schema,
        layout,
        parts=ItemList(len(first.parts), items=tuple(part.to_json() for part in first.parts)),
    )
    again, most = run(entry, 100 if changes else 0)
    assert again.reused.parts == (0 if changes else len(first.parts))
    assert most < (8 << 20) + 2 * FLIGHT_BYTES + (24 << 20)


@pytest.mark.parametrize(("operation", "nth"), [("writer", 1), ("sink.write", 2), ("sink.commit", 2)])
def test_a_failure_while_parts_are_held_fails_the_stream(tmp_path: Any, operation: str, nth: int) -> None:
    """The error of the store surfaces, no thread stays, and no unfinished file either."""
    root = tmp_path / "store"
    before = threading.active_count()
    first = write(stream_of(open_backend(str(root))), arrays(3000))
    faulty = FaultBackend(open_backend(str(root)))
    faulty.fail(operation, nth, error=lambda: StoreFullError("no space"))
    with pytest.raises(StoreFullError, match="no space"):
        write(stream_of(faulty, first), arrays(3000, text="u", fat=b"g"))
    assert no_thread_stays(before)
    assert list((root / "sessions").glob("*")) == []


def test_a_manifest_that_cannot_be_read_fails_the_stream(tmp_path: Any) -> None:
    """The list of earlier parts is read when the first part is held; an error there ends the writer, and its threads."""
    backend = open_backend(str(tmp_path / "store"))
    first = write(stream_of(backend), arrays(1000))
    entry = entry_of(first)
    broken = TableEntry(1, SCHEMA, first.layout, parts=ItemList(1, items=({"rows": "many"},)), requires=entry.requires)
    before = threading.active_count()
    with pytest.raises(Exception, match="malformed part"):
        write(PartStream(backend, SCHEMA, part_rows=500, before=broken), arrays(1000))
    assert no_thread_stays(before)

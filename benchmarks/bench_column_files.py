"""Reading tables as edits leave them, beside the same rows in parts of one file: columns in two files, rows deleted, widened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import data
from benchmarks.harness import Goal, Job, Run, main
from tableformat import Table, col
from tableformat.format.deletions import encode_deletions
from tableformat.format.manifest import Part, TableEntry, needs_of
from tableformat.format.part import Layout
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend
from tableformat.table.part_stream import PartStream
from tableformat.table.source import TableSource

ONE, SEVERAL, DELETED, WIDENED = "one file", "two files", "0.1 % deleted", "widened"
SCHEMA = Schema.from_user(data.PREDICTIONS)
FIRST, SECOND = (replace(SCHEMA, columns=SCHEMA.columns[low:high]) for low, high in ((0, 2), (2, 4)))
NARROW = Schema.from_user(data.PREDICTIONS.set(0, pa.field("id", pa.int32())))
LAYOUT = Layout(16_384, 1 << 19)
_EACH = 1000  # one row in so many is deleted


def _store(backend: Backend, schema: Schema, batches: Iterator[pa.RecordBatch]) -> tuple[Part, ...]:
    stream = PartStream(backend, schema, layout=LAYOUT)
    arrow = schema.arrow_schema()
    for batch in batches:
        stream.write([batch.column(field.name).cast(field.type) for field in arrow])
    return stream.finish().parts


def _table(backend: Backend, schema: Schema, parts: Sequence[Part]) -> Table:
    plain, requires = needs_of(schema, parts)
    entry = TableEntry(sum(part.visible_rows for part in parts), schema, LAYOUT, plain=plain, requires=requires)
    return Table(TableSource(backend, entry, lambda: parts, BlobReader(backend), "benchmark"))


def _several(backend: Backend, rows: int) -> Table:
    """The scores and the probabilities in a file beside that of the other columns."""
    halves = [_store(backend, schema, data.iter_prediction_batches(rows)) for schema in (FIRST, SECOND)]
    parts = []
    for one, other in zip(*halves, strict=True):
        files = [
            replace(part.files[0], columns=tuple(column.id or 0 for column in schema.columns))
            for part, schema in ((one, FIRST), (other, SECOND))
        ]
        values = {**one.values, **other.values}
        stats = {**one.stats, **other.stats}
        parts.append(Part(one.rows, one.bytes + other.bytes, tuple(files), values, stats))
    return _table(backend, SCHEMA, parts)


def _deleted(backend: Backend, rows: int) -> Table:
    """As many rows, and one more for each thousand, which are deleted."""
    parts = []
    random = np.random.default_rng(4)
    for part in _store(backend, SCHEMA, data.iter_prediction_batches(rows + rows // (_EACH - 1))):
        gone = random.choice(part.rows, max(part.rows // _EACH, 1), replace=False)
        content, deletions = encode_deletions(gone)
        backend.put(deletions.path, content)
        parts.append(replace(part, deletions=deletions))
    return _table(backend, SCHEMA, parts)


def _widened(backend: Backend, rows: int) -> Table:
    """Parts whose ids are int32 in a table of int64."""
    schema = NARROW.with_widened({"id": pa.int64()})
    return _table(backend, schema, _store(backend, NARROW, data.iter_prediction_batches(rows)))


def _tables(size: data.Size, folder: Path) -> dict[str, Table]:
    rows = size.batch_rows

    def backend(name: str) -> Backend:
        return open_backend(str(folder / name))

    plain = backend("one")
    deleted = _deleted(backend("deleted"), rows)
    return {
        ONE: _table(plain, SCHEMA, _store(plain, SCHEMA, data.iter_prediction_batches(len(deleted)))),
        SEVERAL: _several(backend("several"), len(deleted)),
        DELETED: deleted,
        WIDENED: _widened(backend("widened"), len(deleted)),
    }


def _job(name: str, what: str, size: data.Size, folder: Path, read: Callable[[Table], int]) -> Job:
    def contender(table: Table) -> Callable[[Run], None]:
        def turn(run: Run) -> None:
            with run.timed():
                run.counts["rows"] = read(table)

        return turn

    tables = _tables(size, folder)
    goals = [Goal(one, "seconds", round(1 / 0.9, 3), "at most", (ONE,)) for one in (SEVERAL, DELETED)]
    contenders = {one: contender(table) for one, table in tables.items()}
    return Job(name, f"{len(tables[ONE]):,} predictions, {what}", contenders, goals)


def scan(size: data.Size, folder: Path) -> Job:
    """All rows and columns."""
    return _job("scan", "all columns", size, folder, lambda t: sum(batch.num_rows for batch in t.batches()))


def two_columns(size: data.Size, folder: Path) -> Job:
    """One column of each file."""

    def read(table: Table) -> int:
        return sum(batch.num_rows for batch in table.batches(columns=["id", "score"]))

    return _job("two-columns", "the id and the score", size, folder, read)


def where(size: data.Size, folder: Path) -> Job:
    """About half of the rows by their score, with all columns."""

    def read(table: Table) -> int:
        found = sum(batch.num_rows for batch in table.where(col("score") > 0.5).batches())
        return len(table) if found else 0

    return _job("where", "those with a score above 0.5", size, folder, read)


def take(size: data.Size, folder: Path) -> Job:
    """Rows at random."""

    def read(table: Table) -> int:
        rows = np.random.default_rng(6).choice(len(table), size.taken_rows, replace=False)
        found = table.take(rows).to_arrow()
        assert pc.count(found.column("id")).as_py() == len(rows)
        return found.num_rows

    return _job("take", f"{size.taken_rows:,} rows at random", size, folder, read)


JOBS = {"scan": scan, "two-columns": two_columns, "where": where, "take": take}

if __name__ == "__main__":
    main("bench_column_files", JOBS)

"""The stored rows of parts again, for a writer that has to look at what it wrote: keys that seem equal, a wider schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.format.manifest import Part, PartFile
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.storage.interface import Backend
from tableformat.table.reuse import column_id

__all__ = ["iter_stored", "rows_from"]


def iter_stored(
    backend: Backend, schema: Schema, parts: Sequence[Part], names: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The stored rows of `parts`, which hold the columns of `schema` in their types: `names` of them, or all, under its names.

    In row order, a row group at a time, which is all that is held; of a part of several files the part.
    """
    arrow = schema.arrow_schema()
    digest = schema_digest(arrow)
    wanted = [arrow.field(name) for name in (arrow.names if names is None else names)]
    for part in parts:
        if len(part.files) == 1:
            yield from _iter_groups(backend, part.files[0], wanted, digest)
            continue
        columns: dict[str, pa.ChunkedArray] = {}
        for file in part.files:
            fields = [field for field in wanted if part.file_of(column_id(field)) is file]
            groups = list(_iter_groups(backend, file, fields, digest)) if fields else []
            columns.update({field.name: pa.concat_tables(groups).column(field.name) for field in fields})
        yield pa.table([columns[field.name] for field in wanted], names=[field.name for field in wanted])


def rows_from(backend: Backend, schema: Schema, parts: Sequence[Part], start: int) -> Iterator[pa.Table]:
    """`iter_stored` of all columns, from stored row `start` on; parts before it are not read."""
    row, at = 0, 0
    while at < len(parts) and row + parts[at].rows <= start:
        row += parts[at].rows
        at += 1
    for table in iter_stored(backend, schema, parts[at:]):
        if row + table.num_rows > start:
            yield table.slice(max(start - row, 0))
        row += table.num_rows


def _iter_groups(backend: Backend, file: PartFile, fields: Sequence[pa.Field], digest: str) -> Iterator[pa.Table]:
    source: Any = backend.local_path(file.path) or pa.BufferReader(backend.read(file.path))
    with pq.ParquetFile(source, page_checksum_verification=True) as opened:
        held = {column_id(field): field.name for field in opened.schema_arrow}
        told = [field.name for field in fields]
        names = told if file.schema == digest else [held[column_id(field)] for field in fields]
        for index in range(opened.num_row_groups):
            group = opened.read_row_group(index, columns=names, use_threads=False)
            yield pa.table([group.column(name) for name in names], names=told)

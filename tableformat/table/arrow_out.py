"""Selected rows on their way to other users of Arrow: batches of one length, and cells that hold their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pyarrow as pa

from tableformat.format.media.cells import checksums
from tableformat.format.schema import Schema
from tableformat.format.types import MediaType
from tableformat.table.batches import of_length
from tableformat.table.cell_reader import CellReader, cell_sizes
from tableformat.table.logical import CellConvert, Logical
from tableformat.table.reading import Piece

__all__ = ["inlined_cells", "iter_batches", "without_extensions"]


def iter_batches(
    pieces: Iterator[Piece], logical: Logical, batch_rows: int | None, schema: Schema, media_bytes: int | None
) -> Iterator[pa.RecordBatch]:
    """The rows of `pieces` as logical batches of `batch_rows` rows, or as long as they come; with `media_bytes` cut so that
    the media of a batch have no more than that, or are those of one row."""
    stream: Iterator[pa.RecordBatch] = (piece.batch for piece in pieces)
    if batch_rows is not None:
        stream = of_length(stream, max(int(batch_rows), 1))
    for batch in stream:
        for start, stop in _runs(batch, schema, media_bytes):
            part = batch if stop - start == batch.num_rows else batch.slice(start, stop - start)
            yield logical.convert(part.columns, part.num_rows)


def _runs(batch: pa.RecordBatch, schema: Schema, media_bytes: int | None) -> Iterator[tuple[int, int]]:
    sizes = (
        []
        if media_bytes is None
        else [cell_sizes(batch.column(column.name)) for column in schema.columns if isinstance(column.type, MediaType)]
    )
    if not sizes or media_bytes is None:
        yield 0, batch.num_rows
        return
    ends = np.cumsum(np.sum(sizes, axis=0))
    start = 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + media_bytes, "right")))
        yield start, stop
        start = stop


def inlined_cells(reader: CellReader) -> CellConvert:
    """A function that reads the bytes of cells and puts them `inline`, in place of what said where they lie."""

    def convert(array: pa.StructArray) -> pa.StructArray:
        datas = reader.read_array(array)
        known = [b"" if data is None else data for data in datas]
        mask = None if None not in datas else pa.array([data is None for data in datas])
        count = len(array)
        file = array.field("file")
        columns = {
            "uri": pa.nulls(count, pa.string()),
            "offset": pa.nulls(count, pa.int64()),
            "size": pa.array([len(data) for data in known], pa.int64()),
            "content_type": file.field("content_type"),
            "checksum": checksums([sha256(data).digest() for data in known]),
            "inline": pa.array(datas, pa.binary()),
        }
        inner = pa.StructArray.from_arrays(
            [columns[field.name] for field in file.type], fields=list(file.type), mask=mask
        )
        rest = [
            pa.nulls(count, field.type) if field.name in ("digest", "encoding") else array.field(field.name)
            for field in list(array.type)[1:]
        ]
        return pa.StructArray.from_arrays([inner, *rest], fields=list(array.type), mask=mask)

    return convert


def without_extensions(table: pa.Table) -> pa.Table:
    """The table with storage in place of Arrow's extension types, at any depth, for libraries that do not know them."""
    schema = pa.schema([pa.field(field.name, _plain(field.type), field.nullable) for field in table.schema])
    if schema.equals(table.schema, check_metadata=False):
        return table.replace_schema_metadata(None)
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        chunks = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in column.chunks]
        columns.append(
            pa.chunked_array(
                [chunk.cast(field.type) if chunk.type != field.type else chunk for chunk in chunks], field.type
            )
        )
    return pa.Table.from_arrays(columns, schema=schema)


def _plain(type_: pa.DataType) -> pa.DataType:
    if isinstance(type_, pa.BaseExtensionType):
        return _plain(type_.storage_type)
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_plain(field.type)) for field in type_])
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(type_.value_field.with_type(_plain(type_.value_type)), type_.list_size)
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, type_.item_field.with_type(_plain(type_.item_type)))
    if pa.types.is_list(type_):
        return pa.list_(type_.value_field.with_type(_plain(type_.value_type)))
    return type_

"""Small operations on record batches that Arrow has for tables only, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import pyarrow as pa

__all__ = ["batch_of", "decoded", "joined", "of_length", "rows_only", "select"]


def rows_only(rows: int) -> pa.RecordBatch:
    """A batch of `rows` rows without columns."""
    return pa.RecordBatch.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), rows, [None]))


def batch_of(arrays: Sequence[pa.Array], names: Sequence[str], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    """The columns `names` of `schema`, with `rows` rows."""
    if not names:
        return rows_only(rows)
    return pa.RecordBatch.from_arrays(list(arrays), schema=pa.schema([schema.field(name) for name in names]))


def select(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """Some of the columns, in this order."""
    if batch.schema.names == list(names):
        return batch
    return batch_of([batch.column(name) for name in names], names, batch.schema, batch.num_rows)


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows of all of them in one batch; at least one is given."""
    if len(batches) == 1:
        return batches[0]
    if not batches[0].num_columns:
        return rows_only(sum(batch.num_rows for batch in batches))
    return pa.concat_batches(batches)


_Rows = TypeVar("_Rows", pa.RecordBatch, pa.Table)


def decoded(rows: _Rows) -> _Rows:
    """The same rows without dictionaries, which the types of storage do not know."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            type_ = field.type.value_type
            rows = rows.set_column(place, field.with_type(type_), rows.column(place).cast(type_))
    return rows


def of_length(stream: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `rows`, but for the last."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in stream:
        at = 0
        while held + batch.num_rows - at >= rows:
            waiting.append(batch.slice(at, rows - held))
            at += rows - held
            yield joined(waiting)
            waiting, held = [], 0
        if at < batch.num_rows:
            waiting.append(batch.slice(at))
            held += batch.num_rows - at
    if waiting:
        yield joined(waiting)

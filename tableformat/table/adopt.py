"""Arrow data into stored arrays: cast without loss, media placed, annotations left as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tableformat.errors import SchemaError, message
from tableformat.format.defaults import default_array
from tableformat.format.schema import Schema, unknown_column
from tableformat.format.texts import check_texts
from tableformat.format.types import Field, MediaType, Where
from tableformat.format.types.arrays import normal, nulls
from tableformat.format.types.declare import fields_from_user
from tableformat.format.types.fit import Fitting, fit_field
from tableformat.table.placer import Placer

__all__ = ["adopt", "adopt_columns", "schema_of_arrow"]


def schema_of_arrow(schema: pa.Schema) -> Schema:
    """The schema that Arrow data have by themselves: normalised, and media where metadata of ours say so."""
    return Schema(tuple(fields_from_user(schema)))


def adopt_columns(
    schema: Schema, data: pa.RecordBatch | pa.Table, place: Placer, row0: int = 0, uris: str | None = None
) -> list[pa.Array]:
    """The stored arrays of Arrow data, one for each column of `schema`, in its order; missing columns are their default, or null."""
    for name in data.schema.names:
        if name not in schema:
            raise unknown_column(name, schema.names)
    if len(set(data.schema.names)) < len(data.schema.names):
        raise SchemaError(
            message("storing rows", expected="columns with names of their own", got=str(data.schema.names)[:300])
        )
    arrays = []
    for field in schema.columns:
        if field.default is not None and field.name not in data.schema.names:
            arrays.append(default_array(field, data.num_rows))
            continue
        given = data.column(field.name) if field.name in data.schema.names else pa.nulls(data.num_rows)
        arrays.append(adopt(field, given, place, Where(field.name, row0), uris))
    return arrays


def adopt(
    field: Field, array: pa.Array | pa.ChunkedArray, place: Placer | None, where: Where, uris: str | None = None
) -> pa.Array:
    """`array` in the storage of `field`.

    Into media columns go binary (owned), texts (`uris="own"` reads and stores them, `"refer"` points at them), structs of
    `bytes` and `path`, and cells of this format. Floats are not rounded here, integers not cut: what does not fit raises
    `SchemaError` with its row.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks)
    try:
        check_texts(array)
    except ValueError as error:
        where.fail(
            None, expected="text in UTF-8", got=str(error)[:200], todo="give bytes as binary, or decode them first"
        )
    hook = None if place is None else _hook(place, uris)
    how = Fitting(media=hook, known_ids=None if place is None else place.known_ids)
    return fit_field(field, array, where, how)


def _hook(place: Placer, uris: str | None) -> Any:
    def media(type_: MediaType, array: pa.Array, where: Where) -> pa.Array:
        array = normal(array)
        t = pa.types
        if t.is_null(array.type):
            return nulls(len(array), type_.storage())
        if t.is_binary(array.type) or t.is_fixed_size_binary(array.type):
            return place.place_binary(type_.media, array.cast(pa.binary()), where)
        if t.is_string(array.type):
            if uris not in ("own", "refer"):
                where.fail(
                    None, expected='uris="own" to read and store the files, or uris="refer" to point at them',
                    got=f"texts in a column of {type_} and uris={uris!r}", todo="say which",
                )  # fmt: skip
            return place.place_strings(type_.media, array, uris, where)
        if array.type == type_.storage() or _is_bytes_and_path(array.type):
            return place.place_struct(type_.media, array, where)
        return where.fail(
            None, expected="binary, texts, structs of bytes and path, or cells of this format", got=array.type
        )

    return media


def _is_bytes_and_path(data_type: pa.DataType) -> bool:
    names: Sequence[str] = [field.name for field in data_type] if pa.types.is_struct(data_type) else []
    return bool(names) and set(names) <= {"bytes", "path"}

"""Arrow batches as a file of rows: Parquet, CSV or JSON lines. What a format cannot hold is written in words, by rules.

CSV has text in each place: nested values as JSON, bytes in base64, null as nothing and an empty text as `""`. JSON has no
NaN, infinities or bytes: null, and base64. Times are ISO 8601 in both.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import uuid
from collections.abc import Iterator
from typing import Any, Final, Literal, Protocol

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from tableformat.errors import InvalidInputError, message

__all__ = ["EXPORT_FORMATS", "ExportFormat", "RowWriter", "json_value", "open_rows"]

ExportFormat = Literal["parquet", "csv", "jsonl"]
EXPORT_FORMATS: Final = ("parquet", "csv", "jsonl")
"""The formats, and the extensions of their files."""


class RowWriter(Protocol):
    """Takes batches of one schema and writes them to a file."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a batch."""

    def close(self) -> None:
        """Write what is left."""


def open_rows(path: str, row_format: str, schema: pa.Schema) -> RowWriter:
    """A writer of the new file `path`. Holds a row group of Parquet, or a batch."""
    if row_format == "parquet":
        return _ParquetRows(path, schema)
    if row_format == "csv":
        return _CsvRows(path, schema)
    if row_format == "jsonl":
        return _JsonRows(path, schema)
    raise InvalidInputError(
        message(
            "exporting a table",
            path=path,
            expected=f"a format among {', '.join(EXPORT_FORMATS)}",
            got=repr(row_format)[:40],
        )
    )


_GROUP_ROWS: Final = 65_536
_GROUP_BYTES: Final = 32 << 20


class _ParquetRows:
    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
        self._schema, self._held, self._rows, self._bytes = schema, list[pa.RecordBatch](), 0, 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self._schema), row_group_size=max(self._rows, 1))
        self._held, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


class _CsvRows:
    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._plain = [_is_plain(field.type) for field in schema]
        fields = [
            field if plain else pa.field(field.name, pa.string())
            for field, plain in zip(schema, self._plain, strict=True)
        ]
        self._schema = pa.schema(fields).remove_metadata()
        self._writer = pyarrow.csv.CSVWriter(path, self._schema)

    def write(self, batch: pa.RecordBatch) -> None:
        arrays = [
            column if plain else _in_words(column) for column, plain in zip(batch.columns, self._plain, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class _JsonRows:
    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._file = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed by close
        self._json = {field.name for field in schema if is_json(field.type)}

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.writelines(_encode(row) + "\n" for row in rows_of(batch, self._json))

    def close(self) -> None:
        self._file.close()


def rows_of(batch: pa.RecordBatch, json_columns: set[str]) -> Iterator[dict[str, Any]]:
    """The rows as JSON holds them; columns of JSON are decoded."""
    columns: list[list[Any]] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        values = _values(column)
        if name in json_columns:
            values = [None if value is None else json.loads(value) for value in values]
        elif not _is_json_already(column.type):
            values = [json_value(value) for value in values]
        columns.append(values)
    for row in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _is_json_already(type_: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_integer(type_) or t.is_string(type_) or t.is_boolean(type_) or t.is_timestamp(type_))


def is_json(type_: pa.DataType) -> bool:
    """Whether texts of this type are JSON."""
    return isinstance(type_, pa.BaseExtensionType) and type_.extension_name == "arrow.json"


def _is_plain(type_: pa.DataType) -> bool:
    """Whether Arrow's CSV writer takes the type and a reader gets the value back."""
    t = pa.types
    numbers = (
        t.is_integer(type_) or t.is_float32(type_) or t.is_float64(type_) or t.is_boolean(type_) or t.is_decimal(type_)
    )
    return bool(numbers or t.is_string(type_) or t.is_date(type_) or t.is_null(type_))


def _in_words(column: pa.Array) -> pa.Array:
    if is_json(column.type):
        return (
            column.cast(pa.string())
            if column.type.storage_type == pa.string()
            else pa.array(column.to_pylist(), pa.string())
        )
    return pa.array([_word(json_value(value)) for value in _values(column)], pa.string())


def _values(column: pa.Array) -> list[Any]:
    """The values as Python has them; times as text, since Python has no nanoseconds."""
    if pa.types.is_timestamp(column.type):
        text = column.cast(pa.string())
        return pa.compute.replace_substring(text, " ", "T").to_pylist()  # type: ignore[no-any-return]
    try:
        return column.to_pylist(maps_as_pydicts="lossy")  # type: ignore[no-any-return]
    except ValueError as error:  # a time of nanoseconds, or beyond Python's years
        raise InvalidInputError(
            message(
                "exporting a table",
                expected="values that Python has",
                got=str(error)[:200],
                todo="export it as Parquet",
            )
        ) from error


def _word(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return _encode(value)


def json_value(value: Any) -> Any:
    """A Python value, as Arrow gives it, as one that JSON has."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return {str(name): json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if hasattr(value, "tolist"):  # arrays and numbers of numpy
        return json_value(value.tolist())
    if hasattr(value, "isoformat"):  # pandas' times of nanoseconds
        return str(value.isoformat())
    return str(value)

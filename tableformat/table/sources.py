"""What `extend` takes, brought to two forms: Arrow record batches, and runs of rows as mappings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from tableformat.errors import InvalidInputError, SchemaError, message
from tableformat.table.table import Table

__all__ = ["RowBatch", "columns_of_frame", "is_rows", "iter_source"]

_CHUNK_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows as mappings of column to Python value."""

    rows: Iterable[Mapping[str, Any]]


def iter_source(data: Any, table: str, *, index: bool = False) -> Iterator[pa.RecordBatch | RowBatch]:
    """The rows of `data`, in order. Holds a batch at a time; raises `InvalidInputError` for what holds no rows."""
    if isinstance(data, Table):
        yield RowBatch(data.rows())
    elif isinstance(data, pa.RecordBatch):
        yield data
    elif isinstance(data, pa.Table):
        yield from data.to_batches(max_chunksize=_CHUNK_ROWS) or [_no_rows(data.schema)]
    elif isinstance(data, pa.RecordBatchReader):
        yield from _read(data)
    elif _is_pandas(data):
        yield from iter_source(columns_of_frame(data, index=index), table)
    elif hasattr(data, "__arrow_c_stream__"):
        yield from _read(pa.RecordBatchReader.from_stream(data))
    elif hasattr(data, "__arrow_c_array__"):
        yield pa.record_batch(data)
    elif isinstance(data, Mapping):
        yield RowBatch(_rows_of_columns(data, table))
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
        yield from _mixed(data, table)
    else:
        raise InvalidInputError(
            message(f"extending table {table!r}", expected="Arrow data, a data frame, a mapping of columns, or an iterable of rows",
                    got=type(data).__name__)
        )  # fmt: skip


def is_rows(data: Any) -> bool:
    """Whether `iter_source` would take `data` as a table: frames, Arrow data, columns by name, lists of mappings."""
    if isinstance(data, Table | pa.Table | pa.RecordBatch | pa.RecordBatchReader | Mapping) or _is_pandas(data):
        return True
    return hasattr(data, "__arrow_c_stream__") or (
        isinstance(data, list) and bool(data) and all(isinstance(row, Mapping) for row in data)
    )


def _read(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of a stream; one without rows where there are none, for its schema."""
    batch = None
    for batch in reader:
        yield batch
    if batch is None:
        yield _no_rows(reader.schema)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def _mixed(data: Iterable[Any], table: str) -> Iterator[pa.RecordBatch | RowBatch]:
    """An iterable whose items are rows, or themselves Arrow data."""
    for item in data:
        if isinstance(item, Mapping):
            yield RowBatch((item,))
        elif (
            isinstance(item, pa.RecordBatch | pa.Table)
            or hasattr(item, "__arrow_c_stream__")
            or hasattr(item, "__arrow_c_array__")
        ):
            yield from iter_source(item, table)
        else:
            raise InvalidInputError(
                message(
                    f"extending table {table!r}",
                    expected="mappings of column to value, or Arrow batches",
                    got=type(item).__name__,
                )
            )


def _rows_of_columns(data: Mapping[str, Any], table: str) -> Iterator[Mapping[str, Any]]:
    columns = {name: list(values) for name, values in data.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise SchemaError(
            message(f"extending table {table!r}", expected="columns of one length", got=str(lengths)[:300])
        )
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _is_pandas(data: Any) -> bool:
    return type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns")


def columns_of_frame(frame: Any, *, index: bool = False) -> pa.Table:
    """A pandas data frame as an Arrow table: NaN is null in columns of objects, and stays NaN in columns of floats.

    The index is dropped unless `index`. Holds the table. Raises `SchemaError` naming a column that Arrow does not take.
    """
    if index:
        frame = frame.reset_index()
    arrays, names = [], []
    for position, name in enumerate(frame.columns):
        series = frame.iloc[:, position]
        keeps_nan = getattr(series.dtype, "kind", "O") == "f" and type(series.dtype).__module__.startswith("numpy")
        try:
            arrays.append(pa.array(series, from_pandas=not keeps_nan))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise SchemaError(
                message(f"reading column {name!r} of a data frame", expected="values of one type", got=str(error)[:200],
                        todo="convert the column, or append its rows with a schema that declares JsonType()")
            ) from error  # fmt: skip
        names.append(str(name))
    return pa.Table.from_arrays([_one(array) for array in arrays], names=names)


def _one(array: Any) -> Any:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) and array.num_chunks == 1 else array

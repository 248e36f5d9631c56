"""What `add_columns` takes, brought to rows: frames, arrays by name, streams, and what functions of batches return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from tableformat.errors import SchemaError, message
from tableformat.format.types.nearest import nearest
from tableformat.table.edit.opened import Opened
from tableformat.table.sources import RowBatch, iter_source
from tableformat.table.table import Table
from tableformat.table.writer import TableWriter

__all__ = ["Given", "feed_function", "feed_rows", "iter_given", "peeked"]

Given: TypeAlias = "pa.RecordBatch | RowBatch"


def iter_given(data: Any, name: str) -> Iterator[Given]:
    """The rows of `data`, which may be a mapping of column to arrays of any dimensions: those are not made into Python values."""
    return iter_source(_as_arrow(data, name), name)


def peeked(batches: Iterator[Given]) -> tuple[list[str], Iterator[Given]]:
    """The names of the columns of the first rows, and all of the batches."""
    first = next(batches, None)
    if first is None:
        return [], iter(())
    if isinstance(first, pa.RecordBatch):
        return list(first.schema.names), chain([first], batches)
    rows = iter(first.rows)
    row = next(rows, None)
    if row is None:
        return peeked(batches)
    return list(row), chain([RowBatch(chain([row], rows))], batches)


def feed_rows(
    writer: TableWriter, batches: Iterable[Given], columns: set[str] | None, rows: int | None, doing: str
) -> None:
    """Write batches, those columns of them that are wanted; where `rows` is told, they must be so many."""
    for batch in batches:
        if isinstance(batch, pa.RecordBatch):
            names = [name for name in batch.schema.names if columns is None or name in columns]
            writer.extend(batch.select(names))
        else:
            for row in batch.rows:
                writer.append(row if columns is None else {name: row[name] for name in row if name in columns})
                if rows is not None and writer.rows_written > rows:  # it may be a stream without an end
                    break
        if rows is not None and writer.rows_written > rows:
            raise wrong_length(doing, rows, f"{writer.rows_written} or more")
    if rows is not None and writer.rows_written != rows:
        raise wrong_length(doing, rows, writer.rows_written)


def wrong_length(doing: str, rows: int, got: object) -> SchemaError:
    """The error for data that are not of the table's length."""
    return SchemaError(
        message(doing, expected=f"{rows} rows, one for each row of the table", got=got,
                todo="give rows in the order of the table, or with the columns of its key")
    )  # fmt: skip


def feed_function(
    table: Opened, writer: TableWriter, function: Callable[[Any], Any], columns: Sequence[str] | None, doing: str
) -> None:
    """Call `function` with the batches of a table, and write what it returns."""
    rows = Table(table.source, reading=table.reading)
    if columns is not None:
        for name in columns:
            if name not in table.entry.schema:
                todo = nearest(name, table.entry.schema.names)
                raise SchemaError(message(doing, expected="columns that the function reads", got=repr(name), todo=todo))
        rows = rows.select(*columns)
    first = 0
    for batch in rows.batches() if table.rows else [pa.RecordBatch.from_pylist([], rows.arrow_schema)]:
        result = _as_arrow(function(batch), doing)
        before = writer.rows_written
        if not (isinstance(result, Mapping) or hasattr(result, "__arrow_c_stream__") or hasattr(result, "__arrow_c_array__")
                or type(result).__module__.split(".")[0] == "pandas"):  # fmt: skip
            expected = "a mapping of new column to values, or Arrow data, from the function"
            raise SchemaError(message(doing, expected=expected, got=type(result).__name__))
        writer.extend(result)
        if writer.rows_written - before != batch.num_rows:
            place = f"rows {first}–{first + batch.num_rows}"
            raise SchemaError(
                message(
                    doing,
                    path=place,
                    expected=f"{batch.num_rows} rows from the function",
                    got=writer.rows_written - before,
                )
            )
        first += batch.num_rows


def _as_arrow(data: Any, name: str) -> Any:
    """A mapping of nothing but arrays as an Arrow batch; anything else as it is."""
    if not isinstance(data, Mapping) or not data:
        return data
    arrays = [_arrow_array(values) for values in data.values()]
    if any(array is None for array in arrays):
        return data
    lengths = {str(column): len(array) for column, array in zip(data, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise SchemaError(
            message(f"adding columns to {name}", expected="columns of one length", got=str(lengths)[:300])
        )
    return pa.table(arrays, names=list(data))


def _arrow_array(values: Any) -> Any:
    """An Arrow array of an array of numbers, without a Python object for each; None where there is no such thing."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, str | bytes | list | tuple) or not hasattr(values, "__array__"):
        return None
    array = np.asarray(values)
    if array.dtype.kind not in "biufmM" or not array.ndim or not array.dtype.isnative:
        return None
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array)) if len(array) else None

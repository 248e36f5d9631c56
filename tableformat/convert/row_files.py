"""Files of rows as a table: CSV, JSON lines and Parquet, several of one kind after each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

import tableformat
from tableformat.convert.csv_rows import CsvOptions, infer_csv, iter_csv
from tableformat.convert.file_kinds import RowFormat
from tableformat.convert.json_rows import iter_json
from tableformat.convert.outcome import OnError, Outcome, Skipped
from tableformat.errors import FormatError, InvalidInputError, TableformatError, message
from tableformat.progress import Meter, Progress

__all__ = ["write_rows"]


def write_rows(
    draft: tableformat.Draft,
    table: str,
    paths: Sequence[str],
    row_format: RowFormat,
    *,
    key: list[str] | None = None,
    on_error: OnError = "raise",
    null_values: Sequence[str] = (),
    json_columns: Sequence[str] = (),
    progress: Progress = True,
) -> Outcome:
    """Write the table `table` of `draft` with the rows of all `paths`, in that order. Memory is bounded.

    Parquet keeps its types. CSV is read twice, to give each column the narrowest type that keeps all its values as they are
    written; `null_values` are texts that mean null there. In JSON lines the library's own inference decides, and columns
    may appear later; `json_columns` are kept as JSON there, whatever they hold. Raises `InvalidInputError` naming the file; with `on_error="skip"` rows that do not fit are left out.
    """
    skipped = Skipped(on_error)
    bad_row = None if on_error == "raise" else lambda told: _note(skipped, told)
    options = CsvOptions("\t" if row_format == "tsv" else None, tuple(null_values), bad_row)
    schema = None
    if row_format in ("csv", "tsv"):
        schema = infer_csv(paths, options)
    elif row_format == "parquet" and len(paths) == 1:
        schema = tableformat.read_table(paths[0]).arrow_schema
    if json_columns:
        if row_format != "jsonl":
            raise InvalidInputError(
                message(
                    f"importing table {table!r}",
                    expected="JSON lines, where columns are to be kept as JSON",
                    got=row_format,
                )
            )
        schema = pa.schema([pa.field(name, pa.json_(pa.string())) for name in json_columns])
    settings: dict[str, Any] = {
        "on_error": "raise" if on_error == "raise" else "skip",
        "new_columns": row_format == "jsonl" or len(paths) > 1,
    }
    with (
        draft.table(table, schema=schema, key=key, **settings) as writer,
        Meter(f"importing {table}", None, "rows", progress) as meter,
    ):
        for path in paths:
            try:
                for batch in _batches(path, row_format, schema, options):
                    before = writer.rows_written
                    writer.extend(batch)
                    meter.step(writer.rows_written - before)
            except InvalidInputError as error:
                raise _with_file(error, path, table) from error
        rejected = [
            (f"row {row}" + (f", column {column!r}" if column else ""), reason)
            for row, column, reason in writer.rejected
        ]
        rows = writer.rows_written
    for place, reason in rejected:
        _note(skipped, f"{place}: {reason}")
    return Outcome(table, rows, 0, tuple(skipped.problems), skipped.count)


def _note(skipped: Skipped, told: str) -> bool:
    place, _, reason = told.partition(": ")
    skipped.note(place, InvalidInputError(reason))
    return True


def _batches(path: str, row_format: RowFormat, schema: pa.Schema | None, options: CsvOptions) -> Iterator[Any]:
    if row_format == "jsonl":
        yield from iter_json(path, as_rows=schema is not None)
    elif row_format == "parquet":
        yield from _parquet(path)
    elif schema is not None:
        yield from iter_csv(path, schema, options)


def _parquet(path: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from tableformat.read_table(path).batches()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, TableformatError):
            raise
        raise FormatError(
            message("reading a Parquet file", path=path, expected="a Parquet file", got=str(error)[:200])
        ) from error


def _with_file(error: InvalidInputError, path: str, table: str) -> InvalidInputError:
    """The error with the file in it, where it does not name it yet."""
    text = str(error).split("\n  ", 1)[0]
    return error if path in text else type(error)(f"importing {path} into table {table!r} · {text}", error.problems)

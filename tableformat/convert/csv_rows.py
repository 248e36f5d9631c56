"""CSV files as Arrow batches. Types are settled over the whole file before the first row is handed on.

A column gets the narrowest type that keeps every value as it is written: leading zeros, digits beyond 64 bits and mixed
columns stay text. Reading twice costs less than a column that changes its type half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tableformat.errors import InvalidInputError, NotFoundError, Problem, message

__all__ = ["CsvOptions", "infer_csv", "iter_csv"]

_BLOCK_BYTES: Final = 4 << 20
_INTEGER: Final = r"^-?(0|[1-9][0-9]{0,18})$"
_EXACT: Final = r"^-?(0|[1-9][0-9]{0,14})$"  # integers that a float64 holds, whatever they are
_FLOAT: Final = r"^(-?(0|[1-9][0-9]*)\.[0-9]*([eE][+-]?[0-9]+)?|-?\.[0-9]+([eE][+-]?[0-9]+)?|-?(0|[1-9][0-9]*)[eE][+-]?[0-9]+|-?(0|[1-9][0-9]{0,14})|-?[iI]nf(inity)?|[nN]a[nN])$"
_BOOL: Final = r"^(true|false|True|False|TRUE|FALSE)$"
_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_ZONE: Final = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"

_CANDIDATES: Final[tuple[tuple[pa.DataType, str], ...]] = (
    (pa.int64(), _INTEGER),
    (pa.float64(), _FLOAT),
    (pa.bool_(), _BOOL),
    (pa.date32(), _DATE),
    (pa.timestamp("us"), f"{_TIME}$"),
    (pa.timestamp("us", "UTC"), f"{_TIME}{_ZONE}$"),
)
"""The types that text may turn into, the first that fits being taken, and how their values are written."""


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How a CSV file is written."""

    delimiter: str | None = None
    """Between values; None: the comma, or what the header has in its place (`;`, a tab, `|`)."""
    null_values: tuple[str, ...] = ()
    """Texts that stand for null beside the empty one, such as `NA`."""
    bad_row: Callable[[str], bool] | None = field(default=None, compare=False)
    """Called for a row with too few or too many values, with what is wrong; True goes on without it."""


def infer_csv(paths: Sequence[str], options: CsvOptions) -> pa.Schema:
    """The columns of all `paths` together, with the type that holds every value of them. Reads them whole, a block at a time.

    A column without any value has the type null. Raises `InvalidInputError` for what is no CSV in UTF-8.
    """
    fitting: dict[str, list[tuple[pa.DataType, str]]] = {}
    seen: set[str] = set()
    for path in paths:
        for batch in _iter_text(path, options, quiet=True):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                left = fitting.setdefault(name, list(_CANDIDATES))
                values = column.drop_null()
                if len(values):
                    seen.add(name)
                    fitting[name] = [candidate for candidate in left if _fits(values, *candidate)]
    fields = []
    for name, left in fitting.items():
        fields.append(pa.field(name, pa.null() if name not in seen else left[0][0] if left else pa.string()))
    return pa.schema(fields)


def iter_csv(path: str, schema: pa.Schema, options: CsvOptions) -> Iterator[pa.RecordBatch]:
    """The rows of `path` in the types of `schema`, a block of 4 MiB at a time."""
    for batch in _iter_text(path, options):
        fields = [schema.field(name) for name in batch.schema.names]
        arrays = [
            column.cast(field.type) if field.type != pa.null() else pa.nulls(len(column))
            for column, field in zip(batch.columns, fields, strict=True)
        ]
        yield pa.record_batch(arrays, schema=pa.schema(fields))


def _fits(values: pa.Array, type_: pa.DataType, pattern: str) -> bool:
    if not pc.all(pc.match_substring_regex(values, pattern)).as_py():
        return False
    try:
        values.cast(type_)
    except pa.ArrowInvalid:  # a date that is none, an integer of more than 64 bits
        return False
    return True


def _iter_text(path: str, options: CsvOptions, *, quiet: bool = False) -> Iterator[pa.RecordBatch]:
    """The rows of `path`, every value as text, null where it is empty and unquoted."""
    parse = pyarrow.csv.ParseOptions(delimiter=options.delimiter or _sniff(path), newlines_in_values=True)
    if options.bad_row is not None:
        bad_row = options.bad_row
        parse.invalid_row_handler = lambda row: "skip" if quiet or bad_row(_told(row)) else "error"
    read = pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)  # so that a bad row has a number
    try:
        names = _header(path, parse)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=["", *options.null_values],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        with pyarrow.csv.open_csv(path, read, parse, convert) as reader:
            yield from reader
    except UnicodeDecodeError as error:
        raise _no_csv(path, "bytes that are not UTF-8") from error
    except pa.ArrowInvalid as error:
        raise _no_csv(path, str(error)[:300]) from error
    except OSError as error:
        raise NotFoundError(
            message(
                "reading a CSV file",
                path=path,
                expected="a file that can be read",
                got=error.strerror or str(error)[:200],
            )
        ) from error


def _header(path: str, parse: pyarrow.csv.ParseOptions) -> list[str]:
    plain = pyarrow.csv.ParseOptions(
        delimiter=parse.delimiter, newlines_in_values=True, invalid_row_handler=lambda _row: "skip"
    )
    with pyarrow.csv.open_csv(
        path, pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False), plain
    ) as reader:
        names: list[str] = reader.schema.names
    problems = [
        Problem(f"column {position}", "it has no name", "schema")
        for position, name in enumerate(names, start=1)
        if not name.strip()
    ]
    problems += [
        Problem(f"column {position}", f"its name {name!r} stands twice", "schema")
        for position, name in enumerate(names, start=1)
        if names.index(name) != position - 1
    ]
    if problems:
        raise InvalidInputError(
            message("reading a CSV file", path=path, expected="a first line that names each column", got="another"),
            problems,
        )
    return names


def _sniff(path: str) -> str:
    """The comma, or the one other delimiter that the first line has instead."""
    try:
        with pa.input_stream(path, compression="detect") as stream:
            first = stream.read(64 << 10).split(b"\n", 1)[0]
    except (pa.ArrowInvalid, OSError):
        return ","
    others = [mark for mark in (";", "\t", "|") if mark.encode() in first]
    return others[0] if b"," not in first and len(others) == 1 else ","


def _told(row: Any) -> str:
    place = f"row {row.number}" if row.number is not None else "a row"
    return f"{place}: expected {row.expected_columns} values, got {row.actual_columns}"


def _no_csv(path: str, got: str) -> InvalidInputError:
    return InvalidInputError(
        message(
            "reading a CSV file", path=path, expected="rows of as many values as the header names, in UTF-8", got=got
        )
    )

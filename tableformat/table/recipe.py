"""A table as a view of DuckDB: what gives its rows where its files, read as they are, would not.

Columns are found by field id and named and typed as the table has them, the files of one part are put side by side by
position, rows that were deleted are left out, and columns that a part was written without have their default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import pyarrow as pa

from tableformat.errors import UnsupportedError, message
from tableformat.format.defaults import default_array
from tableformat.format.file_columns import FileColumns
from tableformat.format.manifest import Part, PartFile
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.format.types import Field

__all__ = ["duckdb_view"]

ColumnsOf = Callable[[Part, PartFile], FileColumns]
"""The columns of a file of a part, as its own footer tells."""

_NAMES: Final = {
    pa.bool_(): "BOOLEAN", pa.int8(): "TINYINT", pa.int16(): "SMALLINT", pa.int32(): "INTEGER", pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT", pa.uint16(): "USMALLINT", pa.uint32(): "UINTEGER", pa.uint64(): "UBIGINT",
    pa.float16(): "FLOAT", pa.float32(): "FLOAT", pa.float64(): "DOUBLE", pa.string(): "VARCHAR", pa.binary(): "BLOB",
    pa.date32(): "DATE", pa.time32("ms"): "TIME", pa.time64("us"): "TIME", pa.time64("ns"): "TIME_NS",
}  # fmt: skip
_STAMPS: Final = {"ms": "TIMESTAMP", "us": "TIMESTAMP", "ns": "TIMESTAMP_NS"}


@dataclass(frozen=True, slots=True)
class _Arm:
    """Parts that are read by one SELECT: neighbours whose columns are chosen alike."""

    chosen: tuple[str, ...]
    """What is selected, in the order of the columns."""
    files: tuple[str, ...]
    """Of a part with one file and no deletions, its URL; else empty."""
    source: str
    """What a part alone is read from; empty where `files` has something."""


def duckdb_view(
    name: str, schema: Schema, parts: Sequence[Part], uri: Callable[[str], str], columns_of: ColumnsOf, *, plain: bool
) -> str:
    """The statement that creates a view `name` with the rows of a table in storage types; SQL keeps no order of rows.

    `uri` tells where another engine finds a file. Holds the text, which has a line or a few for each part. Raises
    `UnsupportedError` for a column that would need a cast to a type that DuckDB does not have.
    """
    own = schema_digest(schema.arrow_schema())
    arms = (_arm(part, schema, uri, columns_of, own if not plain else None) for part in parts if part.visible_rows)
    selects = []
    for (chosen, is_run), run in groupby(arms, lambda arm: (arm.chosen, bool(arm.files))):
        columns = ",\n  ".join(chosen)
        if is_run:
            listed = ",\n  ".join(_text(file) for arm in run for file in arm.files)
            selects.append(f"SELECT\n  {columns}\nFROM read_parquet([\n  {listed}\n])")
        else:
            selects += [f"SELECT\n  {columns}\nFROM {arm.source}" for arm in run]
    if not selects:
        nothing = ",\n  ".join(f"CAST(NULL AS {_type(c.type.storage())}) AS {_name(c.name)}" for c in schema.columns)
        selects = [f"SELECT\n  {nothing or 'NULL'}\nWHERE false"]
    body = "\nUNION ALL\n".join(selects)
    return f"CREATE OR REPLACE VIEW {_name(name)} AS\n{body};"


def _arm(part: Part, schema: Schema, uri: Callable[[str], str], columns_of: ColumnsOf, own: str | None) -> _Arm:
    file = part.files[0]
    is_one = len(part.files) == 1 and part.deletions is None
    if len(part.files) == 1 and file.columns is None and (own is None or file.schema == own):
        chosen = tuple(_name(column.name) for column in schema.columns)
    else:
        chosen = tuple(_select(part, column, columns_of) for column in schema.columns)
    return _Arm(chosen, (uri(file.path),) if is_one else (), "" if is_one else _source(part, schema, uri))


def _select(part: Part, column: Field, columns_of: ColumnsOf) -> str:
    """One column of a part: under its name in its file, cast where it was of another type, or its default."""
    target = _name(column.name)
    file = part.file_of(column.id or 0)
    if file is None:
        return f"CAST({_literal(column)} AS {_type(column.type.storage())}) AS {target}"
    place = columns_of(part, file).place(column.name, file.path)
    found = _name(place.name)
    if len(part.files) > 1:
        found = f"f{part.files.index(file)}.{found}"
    if place.storage != column.type.storage():
        return f"{_cast(found, place.storage, column.type.storage())} AS {target}"
    return found if found == target else f"{found} AS {target}"


def _source(part: Part, schema: Schema, uri: Callable[[str], str]) -> str:
    """What a part is read from that has several files, or deletions."""
    used = [file for file in part.files if any(part.file_of(column.id or 0) is file for column in schema.columns)]
    used = used or [part.files[0]]
    sources = []
    for file in used:
        numbered = ", file_row_number = true" if part.deletions is not None and file is used[0] else ""
        sources.append(f"read_parquet({_text(uri(file.path))}{numbered}) AS f{part.files.index(file)}")
    joined = "\n  POSITIONAL JOIN ".join(sources)
    if part.deletions is None:
        return joined
    first = part.files.index(used[0])
    deleted = f"SELECT row FROM read_parquet({_text(uri(part.deletions.path))})"  # noqa: S608 - quoted, and printed, not run
    return f"{joined}\nWHERE f{first}.file_row_number NOT IN ({deleted})"


def _cast(value: str, before: pa.DataType, after: pa.DataType) -> str:
    """`value` of the type `before` as `after`: structs by the names of their fields, lists item by item."""
    if pa.types.is_struct(after) and pa.types.is_struct(before):
        fields = []
        for field in after:
            place = before.get_field_index(field.name)
            inner = f"{value}.{_name(field.name)}"
            told = (
                f"CAST(NULL AS {_type(field.type)})"
                if place < 0
                else _cast(inner, before.field(place).type, field.type)
            )
            fields.append(f"{_text(field.name)}: {told}")
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE {{{', '.join(fields)}}} END"
    if _type(before) == _type(after):
        return value
    if pa.types.is_list(after) and pa.types.is_struct(after.value_type) and not pa.types.is_map(before):
        return f"[{_cast('item', before.value_type, after.value_type)} FOR item IN {value}]"
    return f"CAST({value} AS {_type(after)})"


def _literal(column: Field) -> str:
    """The default of a column, as SQL that casts to its type."""
    return _value(default_array(column, 1)[0])


def _value(scalar: pa.Scalar) -> str:
    type_ = scalar.type
    if not scalar.is_valid:
        return "NULL"
    if pa.types.is_struct(type_):
        return "{" + ", ".join(f"{_text(field.name)}: {_value(scalar[field.name])}" for field in type_) + "}"
    if pa.types.is_map(type_):
        pairs = [(_value(entry["key"]), _value(entry["value"])) for entry in scalar.values]
        return f"MAP {{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return "[" + ", ".join(_value(item) for item in scalar.values) + "]"
    value = scalar.as_py()
    if isinstance(value, bytes):
        return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"
    if pa.types.is_timestamp(type_) and type_.unit == "ns":
        return f"make_timestamp_ns({scalar.value})"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return _text(repr(value) if isinstance(value, float) else str(value))


def _type(type_: pa.DataType) -> str:
    """DuckDB's name of a storage type."""
    if pa.types.is_struct(type_):
        return f"STRUCT({', '.join(f'{_name(field.name)} {_type(field.type)}' for field in type_)})"
    if pa.types.is_map(type_):
        return f"MAP({_type(type_.key_type)}, {_type(type_.item_type)})"
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return f"{_type(type_.value_type)}[]"
    if pa.types.is_timestamp(type_):
        return "TIMESTAMP WITH TIME ZONE" if type_.tz is not None else _STAMPS[type_.unit]
    if pa.types.is_decimal(type_) and type_.precision <= 38:
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_fixed_size_binary(type_):
        return "BLOB"
    if type_ not in _NAMES:
        raise UnsupportedError(
            message("writing a view for DuckDB", got=f"a column of type {type_}", todo="read it as Arrow data")
        )
    return _NAMES[type_]


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

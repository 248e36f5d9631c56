"""Footers of Parquet files, looked at before pyarrow is asked about column chunks.

What a footer says of a chunk is turned into objects when it is asked for, and there a contradiction ends the process: the exception
meets code that lets none through. So what such objects are made of is compared with the schema first: that a chunk has its
description, is of the type of its column, is not encrypted, and has statistics of the right lengths.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

import pyarrow.parquet as pq

from tableformat.errors import FormatError, LimitError, TableformatError, message
from tableformat.format.footer_shape import shape_of
from tableformat.format.thrift import MALFORMED_THRIFT, list_head, read_bytes, read_field, read_number, skip

__all__ = ["check_footer"]

_TYPES: Final = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_WIDTHS: Final = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_MAX_CHUNKS: Final = 4 << 20
_INT32, _BINARY, _LIST, _STRUCT = 5, 8, 9, 12  # a field of another type is passed over, as pyarrow does
Column = tuple[int, int, int, int, int]
"""Of one leaf: its physical type, bytes of a value (0: any), most repetition and definition levels, whether it is BYTE_ARRAY."""
_CHECKED: dict[str, None] = {}
_KEPT: Final = 4096
_SHAPES: list[re.Pattern[bytes]] = []  # of footers that passed, the last first; replaced, never changed
_WALKED: dict[tuple[Column, ...], int] = {}  # how many were walked that have such columns
_SHAPE_AFTER: Final = (8, 64, 512)  # to make a shape takes as long as to walk ten footers or more
_MOST_SHAPES: Final = 8
_MOST_KINDS: Final = 256
_SHAPED_BYTES: Final = 32 << 10


def check_footer(data: bytes, metadata: pq.FileMetaData, path: str, *, digest: str | None = None) -> None:
    """Raise `FormatError` where `data`, the footer that `metadata` was read from, describes column chunks that cannot be.

    `digest` is that of the footer, where it was compared: footers that passed are not looked at again.
    """
    if digest is not None and digest in _CHECKED:
        return
    if any(shape.fullmatch(data) for shape in _SHAPES):
        return
    doing = "reading a Parquet footer"
    try:
        columns = _columns(metadata)
        _check(data, columns, path)
    except TableformatError:
        raise
    except MALFORMED_THRIFT as error:
        raise FormatError(
            message(doing, path=path, expected="the description of column chunks", got=str(error)[:200])
        ) from error
    with contextlib.suppress(*MALFORMED_THRIFT):
        _learn(data, tuple(columns))
    if digest is not None:
        while len(_CHECKED) >= _KEPT:
            _CHECKED.pop(next(iter(_CHECKED)), None)
        _CHECKED[digest] = None


def _learn(data: bytes, columns: tuple[Column, ...]) -> None:
    """Keep the shape of a footer that passed, where there were several of its kind."""
    global _SHAPES
    if columns not in _WALKED and len(_WALKED) >= _MOST_KINDS:
        _WALKED.clear()
    _WALKED[columns] = count = _WALKED.get(columns, 0) + 1
    if count in _SHAPE_AFTER and len(data) <= _SHAPED_BYTES and (shape := shape_of(data)) is not None:
        _SHAPES = [shape, *_SHAPES[: _MOST_SHAPES - 1]]


def _columns(metadata: pq.FileMetaData) -> list[Column]:
    schema = metadata.schema
    found = []
    for number in range(metadata.num_columns):
        column = schema.column(number)
        str(column.path)  # names are UTF-8, or this raises
        name = str(column.physical_type)
        width = _WIDTHS.get(name, int(column.length) if name == "FIXED_LEN_BYTE_ARRAY" else 0)
        levels = int(column.max_repetition_level), int(column.max_definition_level)
        found.append((_TYPES.index(name), width, *levels, int(name == "BYTE_ARRAY")))
    return found


def _check(data: bytes, columns: list[Column], path: str) -> None:
    """Walk `FileMetaData` to its row groups (field 4) and each of their chunks (field 1)."""
    at, number, chunks = 0, 0, 0
    while data[at]:
        number, kind, at = read_field(data, at, number)
        if number != 4 or kind != _LIST:
            at = skip(data, at, kind)
            continue
        groups, _, at = list_head(data, at, _STRUCT)
        for _ in range(groups):
            at = _check_group(data, at, columns)
            chunks += len(columns)
            if chunks > _MAX_CHUNKS:
                raise LimitError(
                    message("reading a Parquet footer", path=path, expected=f"at most {_MAX_CHUNKS} column chunks")
                )


def _check_group(data: bytes, at: int, columns: list[Column]) -> int:
    number, count = 0, -1
    while data[at]:
        number, kind, at = read_field(data, at, number)
        if number == 1 and kind == _LIST:
            count, _, at = list_head(data, at, _STRUCT)
            if count != len(columns):
                break
            for column in columns:
                at = _check_chunk(data, at, column)
        else:
            at = skip(data, at, kind)
    if count != len(columns):
        raise ValueError(f"a row group of {count} column chunks, where there are {len(columns)} columns")
    return at + 1


def _check_chunk(data: bytes, at: int, column: Column) -> int:
    number, described = 0, False
    while data[at]:
        number, kind, at = read_field(data, at, number)
        if number == 3 and kind == _STRUCT and not described:
            at = _check_description(data, at, column)
            described = True
        elif number in (3, 8, 9):
            raise ValueError("a column chunk that is encrypted, or described twice")
        else:
            at = skip(data, at, kind)
    if not described:
        raise ValueError("a column chunk without its description")
    return at + 1


def _check_description(data: bytes, at: int, column: Column) -> int:
    number, type_ = 0, -1
    while data[at]:
        number, kind, at = read_field(data, at, number)
        if number == 1 and kind == _INT32:
            type_, at = read_number(data, at)
        elif number == 12 and kind == _STRUCT:
            at = _check_statistics(data, at, column[1])
        elif number == 16 and kind == _STRUCT:
            at = _check_sizes(data, at, column)
        else:
            at = skip(data, at, kind)
    if type_ != column[0]:
        raise ValueError(f"a column chunk of type {type_}, where the column has {column[0]}")
    return at + 1


def _check_statistics(data: bytes, at: int, width: int) -> int:
    number = 0
    while data[at]:
        number, kind, at = read_field(data, at, number)
        if number in (1, 2, 5, 6) and kind == _BINARY:
            size, at = read_bytes(data, at)
            if width and size != width:
                raise ValueError(f"a least or greatest value of {size} bytes, where values have {width}")
        else:
            at = skip(data, at, kind)
    return at + 1


def _check_sizes(data: bytes, at: int, column: Column) -> int:
    number = 0
    while data[at]:
        number, kind, at = read_field(data, at, number)
        if number in (2, 3) and kind == _LIST:
            count, _, after = list_head(data, at, None)
            if count not in (0, column[number] + 1):
                raise ValueError(f"a histogram of {count} levels, where there are {column[number] + 1}")
            at = skip(data, at, kind)
            assert at >= after
        else:
            if number == 1 and not column[4]:
                raise ValueError("bytes of text in a column that has none")
            at = skip(data, at, kind)
    return at + 1

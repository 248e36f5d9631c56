"""JSON lines as Arrow batches, block by block; blocks that Arrow's reader would not take as written, as Python rows.

Arrow's reader is fast and has habits that are not ours: it takes texts that look like times for times, and large integers
for floats; it gives up on a column that mixes types without saying in which line; and lists that begin with null, before it
has seen a value in them, come out wrong (pyarrow 26: `{"a": [null, false]}` gives two times False, in an invalid array).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.json

from tableformat.errors import InvalidInputError, NotFoundError, message

__all__ = ["iter_json"]

_BLOCK_BYTES: Final = 8 << 20
_MAX_LINE_BYTES: Final = 256 << 20
_LARGE_INTEGER: Final = re.compile(
    rb"(?<![0-9.eE+])[0-9]{16,}(?![0-9.eE])"
)  # behind a point, digits are those of a float
_NULL_FIRST: Final = re.compile(rb"\[\s*null")


def iter_json(path: str, *, as_rows: bool = False) -> Iterator[Any]:
    """The objects of `path`, one a line, in order: record batches, and lists of rows where those would change a value,
    or always with `as_rows`.

    Holds a block of 8 MiB, or one longer line. Raises `InvalidInputError` with the number of the line.
    """
    texts: dict[str, pa.DataType] = {}
    for number, block in _iter_blocks(path):
        table = None if as_rows else _parse(block, texts)
        if table is None:
            yield _rows(path, number, block)
        else:
            yield from table.to_batches()


def _iter_blocks(path: str) -> Iterator[tuple[int, bytes]]:
    """Runs of whole lines, with the number of the first, counted from 1."""
    number, rest = 1, b""
    try:
        with pa.input_stream(path, compression="detect") as stream:
            while chunk := stream.read(_BLOCK_BYTES):
                head, newline, tail = chunk.rpartition(b"\n")
                if not newline:
                    rest += chunk
                    if len(rest) > _MAX_LINE_BYTES:
                        raise InvalidInputError(
                            message("reading JSON lines", path=f"{path} line {number}", expected="one object a line", got=f"a line of more than {_MAX_LINE_BYTES >> 20} MiB",
                                    todo="a JSON array is written as lines by: jq -c '.[]'")
                        )  # fmt: skip
                    continue
                block = rest + head + newline
                yield number, block
                number += block.count(b"\n")
                rest = tail
    except OSError as error:
        raise NotFoundError(
            message(
                "reading JSON lines",
                path=path,
                expected="a file that can be read",
                got=error.strerror or str(error)[:200],
            )
        ) from error
    if rest:
        yield number, rest


def _parse(block: bytes, texts: dict[str, pa.DataType]) -> pa.Table | None:
    """The block by Arrow's reader, or None where that would refuse it or change values.

    `texts` are the columns of which it has become known that texts in them look like times.
    """
    if _NULL_FIRST.search(block):
        return None
    try:
        block.decode("utf-8")  # Arrow's reader does not look
        table = _read(block, texts)
        looks_like_time = {
            field.name: _as_text(field.type) for field in table.schema if _as_text(field.type) != field.type
        }
        if looks_like_time:
            names = table.schema.names
            texts.update({name: type_ for name, type_ in looks_like_time.items() if _is_text_only(type_)})
            table = _read(block, {**texts, **looks_like_time}).select(names)
        table.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError, KeyError):
        return None
    if any(_has_float(field.type) for field in table.schema) and _LARGE_INTEGER.search(block):
        return None
    return table


def _read(block: bytes, texts: dict[str, pa.DataType]) -> pa.Table:
    options = pyarrow.json.ParseOptions(
        explicit_schema=pa.schema(list(texts.items())) if texts else None, unexpected_field_behavior="infer"
    )
    return pyarrow.json.read_json(
        pa.BufferReader(block), pyarrow.json.ReadOptions(block_size=max(len(block), 1)), options
    )


def _as_text(type_: pa.DataType) -> pa.DataType:
    """The type with text wherever it has a time; numbers inside are named as they are."""
    if pa.types.is_temporal(type_):
        return pa.string()
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, _as_text(field.type)) for field in type_])
    if pa.types.is_list(type_):
        return pa.list_(_as_text(type_.value_type))
    return type_


def _is_text_only(type_: pa.DataType) -> bool:
    """Whether naming this type for later blocks fixes nothing but texts."""
    if pa.types.is_struct(type_):
        return all(_is_text_only(field.type) for field in type_)
    return _is_text_only(type_.value_type) if pa.types.is_list(type_) else pa.types.is_string(type_)


def _has_float(type_: pa.DataType) -> bool:
    if pa.types.is_nested(type_):
        return any(_has_float(type_.field(position).type) for position in range(type_.num_fields))
    return bool(pa.types.is_floating(type_))


def _rows(path: str, number: int, block: bytes) -> list[dict[str, Any]]:
    rows = []
    for offset, line in enumerate(block.split(b"\n")):
        if not line.strip():
            continue
        place = f"{path} line {number + offset}"
        try:
            row = json.loads(line.decode("utf-8-sig"), object_pairs_hook=partial(_object, place))
        except (ValueError, RecursionError) as error:
            if isinstance(error, InvalidInputError):
                raise
            todo = (
                "a JSON array, or one object over many lines, is written as lines by: jq -c '.[]'  or  jq -c ."
                if number + offset == 1
                else None
            )
            raise InvalidInputError(
                message(
                    "reading JSON lines",
                    path=place,
                    expected="one JSON object a line, in UTF-8",
                    got=str(error)[:200],
                    todo=todo,
                )
            ) from error
        if not isinstance(row, dict):
            raise InvalidInputError(
                message(
                    "reading JSON lines",
                    path=place,
                    expected="a JSON object",
                    got=f"a value of type {type(row).__name__}",
                    todo="a JSON array is written as lines by: jq -c '.[]'",
                )
            )
        rows.append(row)
    return rows


def _object(place: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(
            message("reading JSON lines", path=place, expected="each name once in an object", got=f"{twice!r} twice")
        )
    return found

"""Defaults of columns: the one value that rows have which were written without the column, as text in its schema.

The text is canonical JSON of the value in the column's storage type (spec/schema.md, "Defaults"): bytes in base64, floats
and decimals as texts, times as counts of their unit, integers of 2^53 and more as texts, maps as lists of pairs.
"""

from __future__ import annotations

import base64
import binascii
import decimal
import json
from typing import Any, Final

import pyarrow as pa

from tableformat.errors import FormatError, SchemaError, message
from tableformat.format.types import Field, MediaType, Where
from tableformat.format.types.arrays import nulls
from tableformat.format.types.fit import Fitting, fit_field

__all__ = ["MAX_DEFAULT", "check_default", "default_array", "default_text", "encode_default"]

MAX_DEFAULT: Final = 4096
"""Longest text of a default: it stands in the schema, and in memory once a row."""
_MAX_INTEGER: Final = 2**53
_PLAIN: Final = Fitting()


def encode_default(value: Any, field: Field) -> str | None:
    """The text for `value`: a Python value, an Arrow scalar, or an Arrow array of one in the type of the column or its storage.

    None for null. Raises `SchemaError` where the value does not fit the column, and for media, which have no default.
    """
    where = Where(field.name)
    if isinstance(field.type, MediaType):
        where.fail(None, expected="no default for media", got=repr(value)[:80], todo="write the cells with add_columns")
    array = value if isinstance(value, pa.Array) else _array_of(value, field)
    if len(array) != 1:
        where.fail(None, expected="one value as the default", got=f"{len(array)} values")
    if array.type != field.type.storage():
        array = fit_field(field, array, where, _PLAIN)
    return default_text(array[0], field.name)


def _array_of(value: Any, field: Field) -> pa.Array:
    if isinstance(value, pa.Scalar):
        return pa.array([value.as_py()], value.type)
    logical = field.type.arrow()
    try:
        if isinstance(logical, pa.BaseExtensionType):
            return pa.array([value], logical.storage_type)
        return pa.array([value], logical)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            message(f"giving column {field.name!r} a default", expected=f"a value of type {field.type}",
                    got=f"{value!r:.80} ({str(error)[:120]})")
        ) from error  # fmt: skip


def default_text(scalar: pa.Scalar, name: str) -> str | None:
    """The text of a scalar of a storage type; None for null. Raises `SchemaError` where it is longer than `MAX_DEFAULT`."""
    if not scalar.is_valid:
        return None
    text = json.dumps(_encode(scalar), sort_keys=True, separators=(",", ":"))
    if len(text) > MAX_DEFAULT:
        raise SchemaError(
            message(f"giving column {name!r} a default", expected=f"at most {MAX_DEFAULT} characters of JSON", got=len(text),
                    todo="write the values with add_columns")
        )  # fmt: skip
    return text


def check_default(field: Field, place: str) -> None:
    """Raise `FormatError` naming `place` where the text of the default is no value of the column."""
    if field.default is None:
        return
    if len(field.default) > MAX_DEFAULT or isinstance(field.type, MediaType):
        raise FormatError(
            message("reading a schema", path=place, expected=f"at most {MAX_DEFAULT} characters, and none for media",
                    got=f"a default of {len(field.default)}")
        )  # fmt: skip
    one = _one(field)
    if default_text(one[0], field.name) != field.default:
        raise FormatError(
            message("reading a schema", path=place, expected="a default in its canonical form", got=field.default[:80])
        )


def default_array(field: Field, rows: int) -> pa.Array:
    """`rows` times the default of a column, in its storage type; nulls where it has none."""
    if field.default is None:
        return nulls(rows, field.type.storage())
    return pa.repeat(_one(field)[0], rows) if rows else _one(field).slice(0, 0)


def _one(field: Field) -> pa.Array:
    storage = field.type.storage()
    try:
        return pa.array([_decode(json.loads(field.default or "null"), storage)], storage)
    except (
        KeyError, TypeError, ValueError, ArithmeticError, binascii.Error, pa.ArrowException, RecursionError,
    ) as error:  # fmt: skip
        raise FormatError(
            message("reading a schema", path=f"{field.name}.default", expected=f"a value of type {field.type}",
                    got=f"{error!r}"[:200])
        ) from error  # fmt: skip


def _encode(scalar: Any) -> Any:
    type_ = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_struct(type_):
        return {field.name: _encode(scalar[field.name]) for field in type_}
    if pa.types.is_map(type_):
        return [[_encode(entry["key"]), _encode(entry["value"])] for entry in scalar.values.cast(_entries(type_))]
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return [_encode(item) for item in scalar.values]
    if pa.types.is_temporal(type_):
        return _encode_integer(scalar.value)
    value = scalar.as_py()
    if pa.types.is_integer(type_):
        return _encode_integer(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if pa.types.is_floating(type_):
        return repr(float(value))
    return format(value, "f") if pa.types.is_decimal(type_) else value


def _entries(type_: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field("key", type_.key_type, nullable=False), pa.field("value", type_.item_type)])


def _encode_integer(value: int) -> int | str:
    return value if -_MAX_INTEGER < value < _MAX_INTEGER else str(value)


def _decode(value: Any, type_: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_struct(type_):
        return {field.name: _decode(value[field.name], field.type) for field in type_}
    if pa.types.is_map(type_):
        return [(_decode(key, type_.key_type), _decode(item, type_.item_type)) for key, item in _as(value, list)]
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return [_decode(item, type_.value_type) for item in _as(value, list)]
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return base64.b64decode(_as(value, str), validate=True)
    if pa.types.is_floating(type_):
        return float(_as(value, str))
    if pa.types.is_decimal(type_):
        return decimal.Decimal(_as(value, str))
    if pa.types.is_string(type_):
        return _as(value, str)
    if pa.types.is_boolean(type_):
        return _as(value, bool)
    number = int(value) if isinstance(value, str) else value
    if type(number) is not int:
        raise TypeError(f"{type(value).__name__} where int is wanted")
    return number


def _as(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is wanted")
    return value

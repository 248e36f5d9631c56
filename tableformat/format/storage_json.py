"""Single values of storage types as JSON: how a manifest holds one media object, which no table holds.

Bytes are base64, floats their shortest text (NaN and infinities as texts), maps lists of pairs; everything else is JSON's
own. The type directs both ways, so that what comes out equals what went in.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import pyarrow as pa

from tableformat.errors import FormatError, message

__all__ = ["from_storage_json", "to_storage_json"]


def to_storage_json(value: Any, type_: pa.DataType) -> Any:
    """The JSON of `value`, which is what `to_pylist` gives for an array of `type_`."""
    if value is None:
        return None
    if pa.types.is_struct(type_):
        return {field.name: to_storage_json(value[field.name], field.type) for field in type_}
    if pa.types.is_map(type_):
        return [[to_storage_json(key, type_.key_type), to_storage_json(item, type_.item_type)] for key, item in value]
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return [to_storage_json(item, type_.value_type) for item in value]
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return base64.b64encode(value).decode("ascii")
    if pa.types.is_floating(type_):
        return repr(float(value))
    return value


def from_storage_json(value: Any, type_: pa.DataType, path: str) -> Any:
    """The Python value for an array of `type_`; raises `FormatError` naming `path` where the JSON is of another shape."""
    try:
        return _decode(value, type_)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise FormatError(
            message("reading a media entry", path=path, expected=f"a value of type {type_}", got=f"{error!r}"[:200])
        ) from error


def _decode(value: Any, type_: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_struct(type_):
        return {field.name: _decode(value[field.name], field.type) for field in type_}
    if pa.types.is_map(type_):
        return [(_decode(key, type_.key_type), _decode(item, type_.item_type)) for key, item in value]
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return [_decode(item, type_.value_type) for item in _as(value, list)]
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return base64.b64decode(_as(value, str), validate=True)
    if pa.types.is_floating(type_):
        number = float(_as(value, str))
        return number if not math.isnan(number) else math.nan
    if pa.types.is_string(type_):
        return _as(value, str)
    return _as(value, int)


def _as(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is wanted")
    return value

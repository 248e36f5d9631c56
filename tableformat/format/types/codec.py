"""Column types from their JSON form, which came from a store and is not trusted."""

# ruff: noqa: ARG001 - the functions of one table of rules share a signature
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from tableformat.digest import check_digest
from tableformat.errors import FormatError, LimitError, SchemaError, UnsupportedError, message
from tableformat.format.media.kinds import MEDIA_KINDS, SIBLING_ROLES
from tableformat.format.types.base import MAX_NESTING, ColumnType, Field
from tableformat.format.types.media import ClassType, MediaType
from tableformat.format.types.names import check_name, check_names
from tableformat.format.types.nested import FixedListType, ListType, MapType, StructType
from tableformat.format.types.scalar import SIMPLE, IntervalType, JsonType, ScalarType, UuidType, check_zone
from tableformat.format.types.tensor import DTYPES, TensorType

__all__ = ["field_from_json", "fields_from_json", "type_from_json"]

_DOING = "reading a schema"
_MAX_ID = 2**31 - 1


def type_from_json(value: Any, place: str = "type", depth: int = 0) -> ColumnType:
    """The type that `value` says. `place` is its JSON path, for errors.

    Raises `FormatError` for what breaks the rules, `UnsupportedError` for a type this library does not know, and
    `LimitError` for nesting past `MAX_NESTING`.
    """
    if depth > MAX_NESTING:
        raise LimitError(message(_DOING, path=place, expected=f"at most {MAX_NESTING} levels of types"))
    try:
        if isinstance(value, str):
            return _simple(value, place)
        if isinstance(value, dict) and "media" in value:
            return _media(value, place)
        if not isinstance(value, dict) or len(value) != 1:
            raise _bad(place, "the name of a type, or an object with one key", value)
        [(name, inner)] = value.items()
        if name not in _READERS:
            raise UnsupportedError(
                message(_DOING, path=place, got=f"the unknown type {name!r}", todo="upgrade the library")
            )
        return _READERS[name](inner, f"{place}.{name}", depth)
    except SchemaError as error:  # what a constructor refuses: here it is the store that is wrong
        raise FormatError(message(_DOING, path=place, got=str(error))) from error


def field_from_json(value: Any, place: str, depth: int = 0) -> Field:
    """The column or field of a struct that `value` says."""
    known = _object(
        value, place, {"name", "type", "nullable"}, {"id", "annotates"} if depth else {"id", "annotates", "default"}
    )
    try:
        name = check_name(known["name"])
    except SchemaError as error:
        raise FormatError(message(_DOING, path=f"{place}.name", got=str(error))) from error
    if name != known["name"]:
        raise _bad(f"{place}.name", "a name in NFC", known["name"])
    default = known.get("default")
    if not isinstance(default, str | None):
        raise _bad(f"{place}.default", "a value as JSON text", default)
    return replace(_node(known, place, name, depth, _annotates(known.get("annotates"), place)), default=default)


def fields_from_json(value: Any, place: str, depth: int = 0) -> tuple[Field, ...]:
    """The columns of a schema, or the fields of a struct: names differ, and annotations find what they annotate."""
    if not isinstance(value, list):
        raise _bad(place, "a list of columns", value)
    fields = tuple(field_from_json(item, f"{place}[{index}]", depth) for index, item in enumerate(value))
    try:
        check_names((field.name for field in fields), place)
    except SchemaError as error:
        raise FormatError(message(_DOING, path=place, got=str(error))) from error
    media = {field.name for field in fields if isinstance(field.type, MediaType)}
    taken: set[tuple[str, str]] = set()
    for field in fields:
        if field.annotates is None:
            continue
        if field.annotates[0] not in media:
            raise _bad(f"{place}.{field.name}", "a media column beside it to annotate", field.annotates[0])
        if field.annotates in taken:
            raise _bad(f"{place}.{field.name}", "one column for each role", field.annotates)
        taken.add(field.annotates)
    return fields


def _node(known: dict[str, Any], place: str, name: str, depth: int, annotates: tuple[str, str] | None) -> Field:
    if not isinstance(known["nullable"], bool):
        raise _bad(f"{place}.nullable", "true or false", known["nullable"])
    field_id = known.get("id")
    if field_id is not None and not (type(field_id) is int and 1 <= field_id <= _MAX_ID):
        raise _bad(f"{place}.id", "an integer of 1 to 2^31 - 1", field_id)
    inner = type_from_json(known["type"], f"{place}.type", depth + 1)
    return Field(name, inner, known["nullable"], field_id, annotates)


def _item(value: Any, place: str, name: str, depth: int) -> Field:
    return _node(_object(value, place, {"type", "nullable"}, {"id"}), place, name, depth, None)


def _annotates(value: Any, place: str) -> tuple[str, str] | None:
    if value is None:
        return None
    known = _object(value, f"{place}.annotates", {"column", "role"}, set())
    if not isinstance(known["column"], str) or known["role"] not in SIBLING_ROLES:
        raise _bad(f"{place}.annotates", "a column and a role", value)
    return known["column"], known["role"]


def _simple(name: str, place: str) -> ColumnType:
    if name in SIMPLE:
        return ScalarType(SIMPLE[name])
    if name in _OTHERS:
        return _OTHERS[name]
    raise UnsupportedError(
        message(_DOING, path=place, got=f"the unknown type {name[:80]!r}", todo="upgrade the library")
    )


def _media(value: dict[str, Any], place: str) -> ColumnType:
    known = _object(value, place, {"media"}, {"classes", "layers", "strict"})
    if known["media"] not in MEDIA_KINDS:
        raise UnsupportedError(
            message(_DOING, path=place, got=f"the unknown kind of media {known['media']!r}", todo="upgrade the library")
        )
    sets = {"": check_digest(known["classes"], _DOING)} if "classes" in known else {}
    layers = known.get("layers", [])
    if not isinstance(layers, list):
        raise _bad(f"{place}.layers", "a list", layers)
    for index, item in enumerate(layers):
        pair = _object(item, f"{place}.layers[{index}]", {"layer", "classes"}, set())
        if not isinstance(pair["layer"], str) or not pair["layer"] or pair["layer"] in sets:
            raise _bad(f"{place}.layers[{index}]", "a layer that was not named before", pair["layer"])
        sets[pair["layer"]] = check_digest(pair["classes"], _DOING)
    return MediaType(known["media"], sets or None, _strict(known, place))


def _class(value: Any, place: str, depth: int) -> ColumnType:
    known = _object(value, place, {"classes", "storage"}, {"strict"})
    return ClassType(check_digest(known["classes"], _DOING), known["storage"], _strict(known, place))


def _strict(known: dict[str, Any], place: str) -> bool:
    strict = known.get("strict", True)
    if not isinstance(strict, bool):
        raise _bad(f"{place}.strict", "true or false", strict)
    return strict


def _tensor(value: Any, place: str, depth: int) -> ColumnType:
    known = _object(value, place, {"dtype"}, {"shape"})
    shape = known.get("shape")
    if known["dtype"] not in DTYPES or not (shape is None or isinstance(shape, list)):
        raise _bad(place, "a known dtype and a list of sizes", value)
    return TensorType(known["dtype"], shape)


def _struct(value: Any, place: str, depth: int) -> ColumnType:
    return StructType(fields_from_json(value, place, depth))


def _list(value: Any, place: str, depth: int) -> ColumnType:
    return ListType(_item(value, place, "element", depth))


def _fixed_list(value: Any, place: str, depth: int) -> ColumnType:
    known = _object(value, place, {"item", "size"}, set())
    return FixedListType(
        _item(known["item"], f"{place}.item", "element", depth), _integer(known["size"], place, 1, _MAX_ID)
    )


def _map(value: Any, place: str, depth: int) -> ColumnType:
    known = _object(value, place, {"key", "value"}, set())
    key = _item(known["key"], f"{place}.key", "key", depth)
    return MapType(key, _item(known["value"], f"{place}.value", "value", depth))


def _decimal(value: Any, place: str, depth: int) -> ColumnType:
    known = _object(value, place, {"precision", "scale"}, set())
    precision = _integer(known["precision"], place, 1, 76)
    scale = _integer(known["scale"], place, 0, precision)
    return ScalarType(pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale))


def _fixed_binary(value: Any, place: str, depth: int) -> ColumnType:
    return ScalarType(pa.binary(_integer(value, place, 1, _MAX_ID)))


def _timestamp(value: Any, place: str, depth: int) -> ColumnType:
    if isinstance(value, dict):
        known = _object(value, place, {"unit", "zone"}, set())
        return ScalarType(pa.timestamp(_unit(known["unit"], place, ("ms", "us", "ns")), check_zone(known["zone"])))
    return ScalarType(pa.timestamp(_unit(value, place, ("ms", "us", "ns"))))


def _time(value: Any, place: str, depth: int) -> ColumnType:
    unit = _unit(value, place, ("ms", "us", "ns"))
    return ScalarType(pa.time32("ms") if unit == "ms" else pa.time64(unit))


def _duration(value: Any, place: str, depth: int) -> ColumnType:
    return ScalarType(pa.duration(_unit(value, place, ("s", "ms", "us", "ns"))))


def _unit(value: Any, place: str, units: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in units:
        return value
    raise _bad(place, " | ".join(units), value)


def _integer(value: Any, place: str, least: int, most: int) -> int:
    if type(value) is int and least <= value <= most:
        return value
    raise _bad(place, f"an integer of {least} to {most}", value)


def _object(value: Any, place: str, needed: set[str], allowed: set[str]) -> dict[str, Any]:
    """`value`, an object with all of `needed` and nothing beside `allowed`: an unknown key could change what bytes mean."""
    if not isinstance(value, dict) or not needed <= value.keys():
        raise _bad(place, f"an object with {', '.join(sorted(needed))}", value)
    if unknown := value.keys() - needed - allowed:
        raise UnsupportedError(
            message(_DOING, path=place, got=f"the unknown key {min(unknown)!r}", todo="upgrade the library")
        )
    return value


def _bad(place: str, expected: str, got: object) -> FormatError:
    return FormatError(message(_DOING, path=place, expected=expected, got=repr(got)[:200]))


_OTHERS: Final[dict[str, ColumnType]] = {"uuid": UuidType(), "interval": IntervalType(), "json": JsonType()}
_READERS: Final[dict[str, Callable[[Any, str, int], ColumnType]]] = {
    "class": _class,
    "decimal": _decimal,
    "duration": _duration,
    "fixed_binary": _fixed_binary,
    "fixed_list": _fixed_list,
    "list": _list,
    "map": _map,
    "struct": _struct,
    "tensor": _tensor,
    "time": _time,
    "timestamp": _timestamp,
}

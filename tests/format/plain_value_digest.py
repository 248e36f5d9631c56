"""Value digests as spec/digests.md words them, one Python value after the other: slow, and with nothing of ours but the types.

Values are those of a storage type as `to_pylist` gives them; times are whole numbers of their unit, maps lists of pairs.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

FILE = ("uri", "offset", "size", "content_type", "checksum", "inline")
_LEFT_OUT = ("file", "digest", "encoding", "version_id")


def unit_digest(values: Sequence[Any], type_: pa.DataType) -> bytes:
    """The digest of a unit of rows."""
    final = hashlib.sha256(len(values).to_bytes(8, "little"))
    for stream in streams([shown(value, type_) for value in values], shown_type(type_)):
        final.update(hashlib.sha256(stream).digest())
    return final.digest()


def column_digest(values: Sequence[Any], type_: pa.DataType, block_rows: int = 65_536) -> bytes:
    """The digest of a whole column: a chain over its blocks."""
    link = bytes(32)
    for start in range(0, len(values), block_rows):
        link = hashlib.sha256(link + unit_digest(values[start : start + block_rows], type_)).digest()
    return link


def streams(values: Sequence[Any], type_: pa.DataType) -> list[bytes]:
    """Nulls, lengths and values of each node, in pre-order."""
    present = [value for value in values if value is not None]
    nulls = b"".join(at.to_bytes(8, "little") for at, value in enumerate(values) if value is None)
    lengths = b"".join(len(value).to_bytes(4, "little") for value in map(raw, present)) if has_lengths(type_) else None
    found = [nulls] + ([lengths] if lengths is not None else [])
    if pa.types.is_struct(type_):
        for field in type_:
            found += streams([value[field.name] for value in present], field.type)
    elif pa.types.is_map(type_):
        found += streams([key for value in present for key, _ in value], type_.key_type)
        found += streams([item for value in present for _, item in value], type_.item_type)
    elif pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        found += streams([item for value in present for item in value], type_.value_type)
    else:
        found.append(b"".join(leaf(value, type_) for value in present))
    return found


def has_lengths(type_: pa.DataType) -> bool:
    """Strings, binary, lists and maps."""
    types = pa.types
    return bool(types.is_string(type_) or types.is_binary(type_) or types.is_list(type_) or types.is_map(type_))


def raw(value: Any) -> Any:
    """A string as its UTF-8 bytes, whose number is its length."""
    return value.encode("utf-8") if isinstance(value, str) else value


def leaf(value: Any, type_: pa.DataType) -> bytes:
    """The bytes of one value."""
    types = pa.types
    if types.is_string(type_) or types.is_binary(type_) or types.is_fixed_size_binary(type_):
        return bytes(raw(value))
    if types.is_boolean(type_):
        return b"\x01" if value else b"\x00"
    if types.is_floating(type_):
        return struct.pack({16: "<e", 32: "<f", 64: "<d"}[type_.bit_width], value)
    if types.is_decimal(type_):
        value = int(value.scaleb(type_.scale))
    signed = not types.is_unsigned_integer(type_)
    return int(value).to_bytes(type_.bit_width // 8, "little", signed=signed)


def is_cell(type_: pa.DataType) -> bool:
    """A struct whose first field is the FILE struct."""
    if not pa.types.is_struct(type_) or not type_.num_fields or type_.field(0).name != "file":
        return False
    inner = type_.field(0).type
    return pa.types.is_struct(inner) and tuple(field.name for field in inner) == FILE


def shown_type(type_: pa.DataType) -> pa.DataType:
    """The type with the cells in it replaced by what they show."""
    if is_cell(type_):
        return pa.struct([("identity", pa.string()), *((f.name, f.type) for f in type_ if f.name not in _LEFT_OUT)])
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, shown_type(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, shown_type(type_.item_type))
    if pa.types.is_list(type_):
        return pa.list_(shown_type(type_.value_type))
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(shown_type(type_.value_type), type_.list_size)
    return type_


def shown(value: Any, type_: pa.DataType) -> Any:
    """The value with the cells in it replaced by what they show."""
    if value is None:
        return None
    if is_cell(type_):
        return {"identity": identity(value), **{name: item for name, item in value.items() if name not in _LEFT_OUT}}
    if pa.types.is_struct(type_):
        return {field.name: shown(value[field.name], field.type) for field in type_}
    if pa.types.is_map(type_):
        return [(key, shown(item, type_.item_type)) for key, item in value]
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return [shown(item, type_.value_type) for item in value]
    return value


def identity(cell: dict[str, Any]) -> str:
    """What stands for the bytes of a cell."""
    file = cell["file"] or dict.fromkeys(FILE)
    known = cell["digest"] if cell["digest"] is not None else file["checksum"]
    if known is not None and known.startswith("SHA-256:"):
        return str(known)
    return "\n".join("" if file[name] is None else str(file[name]) for name in ("uri", "offset", "size", "checksum"))

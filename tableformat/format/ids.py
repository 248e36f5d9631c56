"""Ids of the nodes of a schema: agreed on by writers who do not meet, and never given twice in a table's life.

An id is the low 31 bits of the SHA-256 of `<path> NUL <generation>`. The path is that under which the node was first
added; the generation counts up from 0 past ids that the table has, or had. Nodes inside a media cell or a tensor have no
ids in the manifest: theirs follow from the id of the node around them in the same way.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from tableformat.format.types import FIELD_ID, Field, walk
from tableformat.format.types.nested import MapType, StructType

__all__ = ["all_ids", "assign_ids", "derived_ids", "escape", "field_id", "inherit_ids", "storage_field", "used_ids"]


def field_id(path: str, generation: int = 0) -> int:
    """The id of the node first added under `path`; 0, which Parquet writers take for none, is never used."""
    digest = hashlib.sha256(f"{path}\0{generation}".encode()).digest()
    return int.from_bytes(digest[-4:], "big") & 0x7FFFFFFF


def escape(name: str) -> str:
    """A name as one segment of a path."""
    text = name.replace("\\", "\\\\").replace(".", "\\.")
    return "\\" + text if text[0] in "[{@" else text


def _segments(field: Field) -> Iterator[tuple[str, Field]]:
    inner = field.type.fields
    if isinstance(field.type, StructType):
        return ((escape(child.name), child) for child in inner)
    if isinstance(field.type, MapType):
        return zip(("{key}", "{value}"), inner, strict=True)
    return (("[]", child) for child in inner)


def assign_ids(field: Field, path: str, taken: set[int]) -> Field:
    """`field`, first added under `path`, with an id for each node that has none. `taken` gains what is given."""
    own = field.id
    if own is None:
        for generation in itertools.count():
            own = field_id(path, generation)
            needed = {own, *derived_ids(replace(field, id=own))}
            if own and 0 not in needed and not needed & taken:
                break
        assert own is not None
        taken |= {own, *derived_ids(replace(field, id=own))}
    if not field.type.fields:
        return replace(field, id=own)
    inner = [assign_ids(child, f"{path}.{segment}", taken) for segment, child in _segments(field)]
    return replace(field, id=own, type=field.type.with_fields(inner))


def used_ids(field: Field) -> set[int]:
    """Every id of `field` and of the nodes below it, those that follow from others included."""
    return {number for node in walk(field) if node.id is not None for number in (node.id, *derived_ids(node))}


def derived_ids(field: Field) -> list[int]:
    """The ids of the nodes inside a media cell, a tensor or an interval, in the order of its storage."""
    if field.type.fields or field.id is None or not pa.types.is_nested(field.type.storage()):
        return []
    return [field_id(path) for path in _inner_paths(field.type.storage(), f"@{field.id}")]


def _inner_paths(data_type: pa.DataType, path: str) -> Iterator[str]:
    for segment, child in _arrow_children(data_type):
        yield f"{path}.{segment}"
        yield from _inner_paths(child.type, f"{path}.{segment}")


def _arrow_children(data_type: pa.DataType) -> list[tuple[str, pa.Field]]:
    if pa.types.is_struct(data_type):
        return [(child.name, child) for child in data_type]
    if pa.types.is_list(data_type) or pa.types.is_fixed_size_list(data_type):
        return [("[]", data_type.value_field)]
    return []


def storage_field(field: Field) -> pa.Field:
    """The physical Arrow field with `PARQUET:field_id` on each node that has an id."""
    return _with_id(pa.field(field.name, _storage_type(field), field.storage().nullable), field.id)


def _with_id(field: pa.Field, number: int | None) -> pa.Field:
    return field if number is None else field.with_metadata({FIELD_ID: str(number).encode()})


def _storage_type(field: Field) -> pa.DataType:
    inner = [storage_field(child) for child in field.type.fields]
    storage = field.type.storage()
    if not inner:
        return storage if field.id is None else _derived_type(storage, f"@{field.id}")
    return _rebuilt(storage, inner)


def _derived_type(data_type: pa.DataType, path: str) -> pa.DataType:
    inner = [
        _with_id(child.with_type(_derived_type(child.type, f"{path}.{segment}")), field_id(f"{path}.{segment}"))
        for segment, child in _arrow_children(data_type)
    ]
    return _rebuilt(data_type, inner) if inner else data_type


def _rebuilt(data_type: pa.DataType, inner: list[pa.Field]) -> pa.DataType:
    """The nested `data_type` with other fields of the same types."""
    if pa.types.is_struct(data_type):
        return pa.struct(inner)
    if pa.types.is_map(data_type):
        return pa.map_(inner[0], inner[1])
    if pa.types.is_fixed_size_list(data_type):
        return pa.list_(inner[0], data_type.list_size)
    return pa.list_(inner[0])


def all_ids(fields: tuple[Field, ...]) -> set[int]:
    """Every id in a schema."""
    return set().union(*(used_ids(field) for field in fields))


def inherit_ids(field: Field, previous: Field) -> Field:
    """`field` with the ids of `previous` for each node that stands at the same place by name; none elsewhere."""
    inner = field.type.fields
    if not inner:
        return replace(field, id=previous.id)
    before = {child.name: child for child in previous.type.fields}
    same = type(field.type) is type(previous.type)
    children = [
        inherit_ids(child, before[child.name]) if same and child.name in before else child.without_ids()
        for child in inner
    ]
    return replace(field, id=previous.id, type=field.type.with_fields(children))

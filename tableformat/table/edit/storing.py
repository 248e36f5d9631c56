"""Rows of an edit stored as parts, in the layout of their table, and the entry around the parts that an edit leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from tableformat.document import JsonObject
from tableformat.format.cells import fields_of, has_cells, is_cell
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry, needs_of
from tableformat.format.part import Layout
from tableformat.format.schema import Schema
from tableformat.format.sizes import struct_children
from tableformat.format.types.arrays import list_parts
from tableformat.storage.interface import Backend
from tableformat.storage.locations import is_owned_uri
from tableformat.storage.manifests import iter_items, write_items
from tableformat.table.edit.chain import rechained
from tableformat.table.part_stream import PartStream

__all__ = ["NO_END", "Stored", "edited", "objects_of", "owned_uris", "store_as_one", "store_rows"]

NO_END: Final = 1 << 40
"""More rows, or bytes, than a part has: the layout of a part that something else ends."""
Columns = Sequence[pa.Array]


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows that were stored."""

    parts: tuple[Part, ...]
    rows: int
    bytes_new: int


def store_rows(
    backend: Backend, schema: Schema, layout: Layout, key: Sequence[str], batches: Iterable[Columns]
) -> Stored:
    """Store storage arrays of `schema` as parts that are cut as `layout` says. Nothing is proven of the key."""
    stream = PartStream(backend, schema, key=list(key) if layout.cut == "key" else (), unique=False, layout=layout)
    try:
        for columns in batches:
            stream.write(columns)
        result = stream.finish(prove=False)
    except BaseException:
        stream.abort()
        raise
    return Stored(result.parts, result.rows, result.new_bytes)


def store_as_one(backend: Backend, schema: Schema, layout: Layout, batches: Iterable[Columns]) -> Stored:
    """Store rows as one part, whatever the layout says of where parts end."""
    return store_rows(backend, schema, replace(layout, cut="arrival", part_rows=NO_END, part_bytes=NO_END), (), batches)


def edited(
    backend: Backend,
    before: TableEntry,
    parts: Sequence[Part],
    *,
    first_row: int | None = None,
    schema: Schema | None = None,
    columns: Mapping[str, JsonObject] | None = None,
    objects: Iterable[str] = (),
    ascending: bool | None = None,
) -> TableEntry:
    """The entry of a table after an edit.

    `parts` are all of them, durable. `schema` is the new one, if it changed. Where `columns` is given it is the digests of
    all columns by id; else they are those of `before` where `first_row` is None, and are told from the rows where it is the
    first visible row that changed: that reads. `objects` are packs and blobs that new cells point at. `ascending` is
    whether the rows ascend by key (None: as much as they did).
    """
    schema = schema or before.schema
    plain, requires = needs_of(schema, parts)
    after = replace(
        before,
        rows=sum(part.visible_rows for part in parts),
        schema=schema,
        sorted=before.sorted if ascending is None else ascending,
        columns=before.columns if columns is None else columns,
        parts=write_items(backend, (part.to_json() for part in parts)),
        objects=objects_of(backend, before.objects, objects) if parts else ItemList(),
        plain=plain,
        requires=requires,
    )
    if first_row is None or columns is not None:
        return after
    return replace(after, columns=rechained(backend, after, before, first_row))


def objects_of(backend: Backend, before: ItemList, added: Iterable[str]) -> ItemList:
    """The list of objects with those of new cells: sorted, each once."""
    new = set(added)
    if not new:
        return before
    return write_items(
        backend, ({"key": key} for key in sorted(new | {one["key"] for one in iter_items(backend, before)}))
    )


def owned_uris(array: pa.Array) -> Iterator[str]:
    """The relative uris of packs and blobs that the cells in `array` point at, some of them more than once."""
    type_ = array.type
    if not has_cells(type_) or not len(array):
        return
    if is_cell(type_):
        yield from (
            uri for uri in fields_of(struct_children(array)[0])["uri"].unique().to_pylist() if uri and is_owned_uri(uri)
        )
    elif pa.types.is_struct(type_):
        for child in struct_children(array):
            yield from owned_uris(child)
    elif pa.types.is_map(type_):
        yield from owned_uris(struct_children(list_parts(array)[1])[1])
    else:
        yield from owned_uris(list_parts(array)[1])

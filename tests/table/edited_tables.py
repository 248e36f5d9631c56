"""Tables as edits leave them, put together by hand: older names and types, several files a part, absent columns, deleted rows.

What such a table shows is worked out here value by value, with none of the library's readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tableformat.digest import PREFIX, digest_of
from tableformat.format.defaults import default_array
from tableformat.format.deletions import encode_deletions
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, PartFile, TableEntry, needs_of
from tableformat.format.part import Layout, PartEncoder
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.format.stats import ColumnStats, stats_columns
from tableformat.format.types import Field
from tableformat.format.value_digest import ColumnChain, value_digest
from tableformat.storage.backend import open_backend
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend
from tableformat.table.source import TableSource
from tableformat.table.table import Table

__all__ = [
    "BASE",
    "SAMPLES",
    "EditedPart",
    "FileSpec",
    "base_columns",
    "edited_table",
    "item_of",
    "sample",
    "store_part",
]


@dataclass(frozen=True)
class FileSpec:
    """One file of a part: the columns of `schema` with `columns` as their values, by name."""

    schema: Schema
    columns: Mapping[str, Sequence[Any] | pa.Array]
    only: Sequence[str] | None = None
    """The columns that are read from it; None: all. Must be given where a part has several files."""
    group_rows: int = 16


@dataclass(frozen=True)
class EditedPart:
    """A stored part, and what is in it by column id, with the type that it had when it was written."""

    part: Part
    stored: Mapping[int, pa.Array] = field(repr=False)
    deleted: tuple[int, ...] = ()


def store_part(backend: Backend, files: Sequence[FileSpec], deleted: Sequence[int] = ()) -> EditedPart:
    """Write the files of a part, and its deletions, and describe it as a manifest does."""
    stored: dict[int, pa.Array] = {}
    made, stats, rows, decoded = [], {}, 0, 0
    for spec in files:
        made.append(_store_file(backend, spec))
        arrow = spec.schema.arrow_schema()
        has_stats = stats_columns(spec.schema)
        for index, column in enumerate(spec.schema.columns):
            array = pa.array(spec.columns[column.name], arrow.field(index).type)
            rows = len(array)
            if spec.only is None or column.name in spec.only:
                assert column.id is not None
                stored[column.id] = array
                decoded += array.nbytes
                if index in has_stats:
                    bounds = ColumnStats(array.type)
                    bounds.update(array)
                    stats[str(column.id)] = bounds.to_json()
    deletions = None
    if len(deleted):
        data, deletions = encode_deletions(list(deleted))
        backend.put(deletions.path, data)
    values = {str(number): value_digest(array) for number, array in stored.items()}
    part = Part(rows, decoded, tuple(made), values, stats, deletions)
    return EditedPart(part, stored, tuple(sorted(set(deleted))))


def _store_file(backend: Backend, spec: FileSpec) -> PartFile:
    arrow = spec.schema.arrow_schema()
    data = pa.table([pa.array(spec.columns[f.name], f.type) for f in arrow], schema=arrow)
    written: list[bytes] = []
    encoder = PartEncoder(arrow, Layout(spec.group_rows, 1 << 20), spec.schema.to_json(), written.append)
    for at in range(0, data.num_rows, spec.group_rows):
        encoder.write(data.slice(at, spec.group_rows).combine_chunks())
    footer = encoder.close()
    whole = b"".join(written)
    ids = None if spec.only is None else tuple(spec.schema[name].id or 0 for name in spec.only)
    file = PartFile(digest_of(whole), len(whole), footer.size, footer.digest, ids, schema_digest(arrow))
    backend.put(file.path, whole)
    return file


def edited_table(
    url: str | Path | Backend, schema: Schema, parts: Sequence[EditedPart], key: Sequence[str] = (), **source: Any
) -> tuple[Table, pa.Table]:
    """The table of `schema` over these parts, and its visible rows in storage types."""
    backend = open_backend(str(url)) if isinstance(url, str | Path) else url
    visible = _visible(schema, parts)
    columns = {}
    for column, values in zip(schema.columns, visible.columns, strict=True):
        chain = ColumnChain(values.type)
        for chunk in values.chunks:
            chain.update(chunk)
        columns[str(column.id)] = {"digest": chain.digest(), "link": PREFIX + chain.link.hex()}
    listed = [one.part for one in parts]
    plain, requires = needs_of(schema, listed)
    items = ItemList(len(listed), tuple(part.to_json() for part in listed))
    entry = TableEntry(
        visible.num_rows, schema, Layout(16, 1 << 20), tuple(key), columns=columns, parts=items, plain=plain, requires=requires
    )  # fmt: skip
    made: dict[str, Any] = {
        "backend": backend, "entry": entry, "load_parts": lambda: listed, "blobs": BlobReader(backend),
        "address": f"{backend.root}#table", **source,
    }  # fmt: skip
    return Table(TableSource(**made)), visible


def _visible(schema: Schema, parts: Sequence[EditedPart]) -> pa.Table:
    tables = []
    arrow = schema.arrow_schema()
    for one in parts:
        kept = [row for row in range(one.part.rows) if row not in set(one.deleted)]
        arrays = [_values(column, one, kept) for column in schema.columns]
        tables.append(pa.table(arrays, schema=arrow))
    return pa.concat_tables(tables) if tables else arrow.empty_table()


def _values(column: Field, one: EditedPart, kept: Sequence[int]) -> pa.Array:
    storage = column.type.storage()
    array = one.stored.get(column.id or 0)
    if array is None:
        default = default_array(column, 1).to_pylist()[0]
        return pa.array([default] * len(kept), storage)
    values = array.to_pylist()
    return pa.array([values[row] for row in kept], storage)


# The tables that every reader and every recipe is tried on.

BASE = Schema.from_user({"id": pa.int64(), "name": pa.string(), "n": pa.int32(), "x": pa.float32()})


def base_columns(low: int, high: int) -> dict[str, list[Any]]:
    """The values of `BASE` for the ids from `low` up to `high`; a null here and there."""
    rows = range(low, high)
    return {
        "id": list(rows),
        "name": [None if row % 11 == 5 else f"name-{row % 7}" for row in rows],
        "n": [None if row % 13 == 7 else row * 3 - 50 for row in rows],
        "x": [None if row % 17 == 3 else row / 4 for row in rows],
    }


def _part(backend: Backend, low: int, high: int, deleted: Sequence[int] = ()) -> EditedPart:
    return store_part(backend, [FileSpec(BASE, base_columns(low, high))], deleted)


def _renamed(backend: Backend) -> tuple[Schema, list[EditedPart]]:
    schema = BASE.with_renamed({"name": "label", "n": "name"}).with_reordered(["x", "id"])
    newer = dict(zip(("id", "label", "name", "x"), base_columns(50, 80).values(), strict=True))
    return schema, [_part(backend, 0, 50), store_part(backend, [FileSpec(schema, newer)])]


def _column_added(backend: Backend) -> tuple[Schema, list[EditedPart]]:
    schema = BASE.with_added("score", pa.float64()).with_added("flag", pa.string(), default="none")
    added = replace(schema, columns=(schema["score"],))
    two = [
        FileSpec(BASE, base_columns(0, 50), BASE.names),
        FileSpec(added, {"score": [row / 8 for row in range(50)]}, ["score"], group_rows=24),
    ]
    newer = {**base_columns(70, 90), "score": [None] * 20, "flag": [f"f{row}" for row in range(20)]}
    return schema, [
        store_part(backend, two),
        _part(backend, 50, 70),
        store_part(backend, [FileSpec(schema, newer)]),
    ]


def _late_widened(backend: Backend) -> tuple[Schema, list[EditedPart]]:
    schema = BASE.with_widened({"n": pa.int64(), "x": pa.float64()})
    newer = {**base_columns(50, 80), "n": [2**40 + row for row in range(30)]}
    return schema, [_part(backend, 0, 50), store_part(backend, [FileSpec(schema, newer)])]


def _int_to_float(backend: Backend) -> tuple[Schema, list[EditedPart]]:
    schema = BASE.with_widened({"n": pa.float64()})
    newer = {**base_columns(50, 80), "n": [row / 2 for row in range(30)]}
    return schema, [_part(backend, 0, 50), store_part(backend, [FileSpec(schema, newer)])]


def _row_deleted(backend: Backend) -> tuple[Schema, list[EditedPart]]:
    return BASE, [
        _part(backend, 0, 50, [0, 3, 4, 5, 17, 49]),
        _part(backend, 50, 60, list(range(10))),
        _part(backend, 60, 90),
        _part(backend, 90, 120, range(10, 30)),
    ]


def _nested_widened(backend: Backend) -> tuple[Schema, list[EditedPart]]:
    before = Schema.from_user(
        {
            "id": pa.int64(),
            "p": pa.struct([("a", pa.int32()), ("b", pa.list_(pa.int16()))]),
            "m": pa.map_(pa.string(), pa.int8()),
        }
    )
    after = before.with_widened(
        {
            "p": pa.struct([("a", pa.int64()), ("b", pa.list_(pa.int32())), ("c", pa.string())]),
            "m": pa.map_(pa.string(), pa.int64()),
        }
    )
    rows = range(40)
    old = {
        "id": list(rows), "p": [None if row % 5 == 2 else {"a": row, "b": [row, None]} for row in rows],
        "m": [[("k", row)] for row in rows],
    }  # fmt: skip
    new = {
        "id": list(rows), "p": [{"a": 2**40, "b": [2**20], "c": "c"} for _ in rows], "m": [[("k", 2**40)] for _ in rows],
    }  # fmt: skip
    return after, [store_part(backend, [FileSpec(before, old)]), store_part(backend, [FileSpec(after, new)])]


def _everything(backend: Backend) -> tuple[Schema, list[EditedPart]]:
    schema = (
        BASE.with_renamed({"name": "label"}).with_widened({"n": pa.int64(), "x": pa.float64()})
        .with_added("score", pa.float32(), default=0.5).with_dropped(["x"]).with_reordered(["score", "n"])
    )  # fmt: skip
    score = replace(schema, columns=(schema["score"],))
    label = replace(schema, columns=(schema["label"], schema["n"]))
    files = [
        FileSpec(BASE, base_columns(0, 70), ["id", "x"]),
        FileSpec(score, {"score": [row / 2 for row in range(70)]}, ["score"], group_rows=32),
        FileSpec(
            label, {"label": [f"corrected {row}" for row in range(70)], "n": [2**41 + row for row in range(70)]}, ["label", "n"],
            group_rows=11,
        ),
    ]  # fmt: skip
    return schema, [store_part(backend, files, [0, 1, 2, 33, 69]), _part(backend, 70, 90, [4]), _part(backend, 90, 95)]


SAMPLES = {
    "renamed": _renamed,
    "column_added": _column_added,
    "late_widened": _late_widened,
    "int_to_float": _int_to_float,
    "row_deleted": _row_deleted,
    "nested_widened": _nested_widened,
    "everything": _everything,
}
"""By name: a function that stores the parts of a table and returns them with its schema."""


def sample(name: str, url: str | Path | Backend, **source: Any) -> tuple[Table, pa.Table]:
    """One of `SAMPLES` as a table, and its visible rows in storage types."""
    backend = open_backend(str(url)) if isinstance(url, str | Path) else url
    schema, parts = SAMPLES[name](backend)
    return edited_table(backend, schema, parts, **source)


def item_of(table: Table, name: str) -> dict[str, Any]:
    """The entry of a table under `name`, as a manifest holds it."""
    entry = table.source.entry
    return {**entry.to_json(), "name": name, "key": name, "content": entry.content}

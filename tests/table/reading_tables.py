"""Tables for tests of reading, stored without the layers that commit: parts by `PartStream`, blobs by `BlobWriter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tableformat.format.manifest import TableEntry
from tableformat.format.media.cells import build_cells, checksums
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.blobs import BlobWriter
from tableformat.storage.interface import Backend
from tableformat.table.part_stream import PartStream
from tableformat.table.source import TableSource
from tableformat.table.table import Table


def store_table(
    url: str | Path,
    schema: Mapping[str, Any],
    columns: Mapping[str, Sequence[Any] | pa.Array],
    *,
    part_rows: int = 64,
    key: Sequence[str] = (),
    **source: Any,
) -> Table:
    """A table of these columns, stored in parts of `part_rows` rows."""
    backend = open_backend(str(url))
    declared = Schema.from_user(schema)
    arrow = declared.arrow_schema()
    stream = PartStream(backend, declared, part_rows=part_rows, key=key)
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, field.type)
        for values, field in zip(columns.values(), arrow, strict=True)
    ]
    stream.write(arrays)
    result = stream.finish()
    entry = TableEntry(result.rows, declared, result.layout, tuple(key), columns=result.columns)
    made: dict[str, Any] = {
        "backend": backend,
        "entry": entry,
        "load_parts": lambda: result.parts,
        "blobs": BlobReader(backend),
        "address": f"{backend.root}#table",
        **source,
    }
    return Table(TableSource(**made))


def image_cells(backend: Backend, images: Sequence[bytes | None]) -> pa.StructArray:
    """Cells of images that are stored in a pack; None is a null cell."""
    known = [image if image is not None else b"" for image in images]
    writer = BlobWriter(backend, dedup="none")
    placed = writer.put_many(known, "png")
    writer.seal()
    uris = writer.uris(placed.slot)
    writer.close()
    return build_cells(
        "image", len(images), valid=[image is not None for image in images], uri=uris, offset=placed.offset, size=placed.size,
        content_type="image/png", checksum=checksums(placed.digests), width=2, height=2, format="png",
    )  # fmt: skip


def without_statistics(table: Table) -> Table:
    """The same table with a manifest that tells nothing by which a part could be skipped."""
    parts = [replace(part, stats={}) for part in table.source.parts()]
    return Table(replace(table.source, load_parts=lambda: parts, _parts=[]))

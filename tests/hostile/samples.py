"""Small stores with something of every kind of file, to be lied about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tableformat
from tableformat.digest import digest_of
from tableformat.format.manifest import Part, PartFile
from tableformat.format.media.png import encode_png
from tableformat.format.reference import Known
from tableformat.format.reference_leaf import Listed
from tableformat.format.schema import Schema
from tableformat.storage.reference_lists import write_references

__all__ = ["CLASSES", "items_of", "picture", "reference_item", "store_part", "with_rows", "write_small"]

CLASSES = tableformat.Classes({0: "cat", 1: "dog"})


def picture(seed: int, size: int = 24) -> bytes:
    """A PNG of noise: about 2 KB at 24 × 24."""
    return encode_png(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))


def write_small(root: str | Path) -> tableformat.Store:
    """One artifact `a`: `t` with media, `e` as edits leave it, a join, classes, a file, an image, references short and long."""
    store = tableformat.open_store(root)
    with store.draft("a") as draft:
        draft.add(CLASSES, "classes")
        schema = {
            "id": pa.int64(), "image": tableformat.ImageType(classes=CLASSES), "page": tableformat.HtmlType(), "label": tableformat.ClassType(CLASSES),
            "text": pa.string(), "tags": pa.list_(pa.string()), "any": tableformat.JsonType(), "vector": tableformat.TensorType("float32", None),
        }  # fmt: skip
        with draft.table("t", schema, key="id", part_rows=64) as table:
            for row in range(6):
                image = tableformat.Image(
                    picture(row), caption=f"c{row}", boxes={"truth": [tableformat.Box(row % 2, xyxy=(1, 2, 9, 10), scores={"iou": 0.5})]},
                    masks={"ground": tableformat.Mask(np.full((24, 24), row % 2, np.uint8))},
                )  # fmt: skip
                table.append(
                    id=row, image=image if row else None, page=tableformat.Html("<p>" + "word " * (2000 if row == 1 else 2)), label=row % 2,
                    text="ä" * row, tags=["x"] * row, any={"row": [row, "x"]}, vector=np.ones((row, 2), np.float32),
                )  # fmt: skip
        with draft.table("e", key="id", part_rows=8) as table:
            table.extend(
                pa.table({"id": range(20), "name": [f"n{i}" for i in range(20)], "x": [i / 2 for i in range(20)]})
            )
        draft.add(tableformat.JoinedTable(draft["t"], draft["e"], on="id"), "join")
        draft.add(tableformat.Image(picture(99), caption="one"), "cover")
        draft.add(tableformat.File(bytes(range(256)) * 8, name="f.bin"), "file")
    with store.draft("a", base="latest") as draft:
        draft.delete("e", keys=[3, 11])
        draft.add_columns("e", lambda batch: {"y": [1] * batch.num_rows}, columns=["id"])
        draft.rename_columns("e", {"name": "title"})
        draft.add_column("e", "z", pa.int32(), 7)
    store.set_alias("a", "best", "v1")
    return store


def items_of(store: tableformat.Store, selection: str = "a") -> list[dict[str, Any]]:
    """The entries of a version, as its manifest has them."""
    return [dict(item) for item in store[selection].items_raw()]


def reference_item(store: tableformat.Store, count: int, prefix: str = "s3://bucket/images/") -> dict[str, Any]:
    """An entry `refs` of `count` references: inline up to 64, in leaves above."""
    listed = [Listed(f"{n:05}.png", Known(n, "d41d8cd98f00b204e9800998ecf8427e", None, n, None)) for n in range(count)]
    found = write_references(store.context.backend, prefix, listed)
    return {**found.to_json(), "content": found.digest, "key": "refs", "kind": "reference", "name": "refs"}


def with_rows(
    store: tableformat.Store, item: dict[str, Any], change: Callable[[list[Any], pa.Field], list[Any]]
) -> dict[str, Any] | None:
    """The entry of a table with its rows changed, column by column in storage types, and one part that holds them; None where Arrow
    cannot hold them either."""
    backend = store.context.backend
    schema = Schema.from_json(item["schema"]).arrow_schema()
    part = Part.from_json(item["parts"]["items"][0], "t")
    rows = pq.read_table(pa.BufferReader(backend.read(part.files[0].path)), schema=schema)
    sink = pa.BufferOutputStream()
    try:
        arrays = [pa.array(change(rows.column(field.name).to_pylist(), field), field.type) for field in schema]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, compression="zstd", write_page_checksum=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None
    told = store_part(store, sink.getvalue().to_pybytes(), rows.num_rows, part.values)
    return {**item, "rows": rows.num_rows, "parts": {"count": 1, "items": [told]}}


def store_part(store: tableformat.Store, data: bytes, rows: int, values: Any) -> dict[str, Any]:
    """Put the bytes of a part into the store, under their digest, and describe it as a manifest does, with no statistics."""
    footer = data[-int.from_bytes(data[-8:-4], "little") - 8 :]
    file = PartFile(digest_of(data), len(data), len(footer), digest_of(footer))
    store.context.backend.put(file.path, data)
    return Part(rows, len(data), (file,), values).to_json()

"""A small store with something of everything, and all that can be read from it as plain values that compare."""

from __future__ import annotations

import datetime
import decimal
import io
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import tableformat

__all__ = ["NAME", "extend_sample", "plain", "read_head", "read_version", "write_sample"]

NAME = "sample"
CLASSES = tableformat.Classes({0: "cat", 1: "dog"})
LAYERS = tableformat.Classes(["road", "sky"])
_UTC = datetime.UTC
_MOMENT = datetime.datetime(2026, 11, 22, 9, 0, 0, 123456)  # noqa: DTZ001 - a naive one is meant


def picture(seed: int, size: int = 32) -> np.ndarray[Any, Any]:
    """Noise, which no PNG makes small: about 3 KB at 32 × 32, and below 1 KiB at 16 × 16."""
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)


def sound(frames: int) -> bytes:
    """A WAV file of that many frames."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.random.default_rng(frames).integers(0, 255, 2 * frames, np.uint8).tobytes())
    return out.getvalue()


def scalars(rows: int) -> pa.Table:
    """A table with a column of every scalar type and of the nested ones; each has a null, floats a NaN."""

    def column(type_: pa.DataType, make: Any) -> pa.Array:
        return pa.array([None if row % 7 == 3 else make(row) for row in range(rows)], type_)

    day = datetime.date(2026, 11, 22)
    return pa.table({
        "id": pa.array([f"key-{row:04}" for row in range(rows)]),
        **{f"i{bits}": column(pa.type_for_alias(f"int{bits}"), lambda row: -row) for bits in (8, 16, 32, 64)},
        **{f"u{bits}": column(pa.type_for_alias(f"uint{bits}"), lambda row: row) for bits in (8, 16, 32, 64)},
        "f16": column(pa.float16(), lambda row: row / 2), "f32": column(pa.float32(), lambda row: row / 4),
        "f64": column(pa.float64(), lambda row: float("nan") if row % 5 == 1 else row / 3),
        "ok": column(pa.bool_(), lambda row: row % 2 == 0), "text": column(pa.string(), lambda row: "ä\U0001f600" * (row % 4)),
        "raw": column(pa.binary(), lambda row: bytes([row % 256]) * (row % 3)), "fixed": column(pa.binary(4), lambda row: bytes([row % 256] * 4)),
        "money": column(pa.decimal128(12, 2), lambda row: decimal.Decimal(row) / 4),
        "wide": column(pa.decimal256(50, 3), lambda row: decimal.Decimal(10**40 + row) / 8),
        "day": column(pa.date32(), lambda row: day), "clock": column(pa.time64("us"), lambda row: _MOMENT.time()),
        "clock32": column(pa.time32("ms"), lambda row: row), "naive": column(pa.timestamp("us"), lambda row: _MOMENT),
        "aware": column(pa.timestamp("ns", "UTC"), lambda row: _MOMENT.replace(tzinfo=_UTC)),
        "took": column(pa.duration("ms"), lambda row: datetime.timedelta(milliseconds=row)),
        "tags": column(pa.list_(pa.string()), lambda row: ["x", None] * (row % 3)),
        "pair": column(pa.struct([("a", pa.int32()), ("b", pa.list_(pa.float32()))]), lambda row: {"a": row, "b": [row / 2]}),
        "words": column(pa.map_(pa.string(), pa.int64()), lambda row: [("k", row)]),
        "point": column(pa.list_(pa.float32(), 2), lambda row: [row, row + 1]),
    })  # fmt: skip


def media_row(row: int) -> dict[str, Any]:
    """A row with pictures of all tiers, what is said of them, and sounds and pictures at depth."""
    image = tableformat.Image(
        picture(row),
        boxes={"truth": [tableformat.Box(row % 2, xyxy=(1, 2, 9, 10.5), scores={"iou": 0.5}, caption="b")]},
        masks={"ground": tableformat.Mask(picture(row)[:, :, 0] % 2)},
        caption=f"picture {row}",
    )
    return {
        "id": row, "label": row % 2, "image": image if row % 5 else None, "thumb": tableformat.Image(picture(row, 16)),
        "sound": tableformat.Audio(sound(600)), "page": tableformat.Html("<p>" + "word " * 2000 + f"{row}</p>"),
        "views": [tableformat.Image(picture(1000 + row)), None], "known": {"left": tableformat.Image(picture(7))},
        "vector": np.arange(row, row + 3, dtype=np.float32), "more": {"row": row, "any": [1, "x", None]},
    }  # fmt: skip


MEDIA_SCHEMA = {
    "id": pa.int64(), "label": tableformat.ClassType(CLASSES), "image": tableformat.ImageType(classes={"truth": CLASSES, "ground": LAYERS}),
    "thumb": tableformat.ImageType(), "sound": tableformat.AudioType(), "page": tableformat.HtmlType(),
    "views": list[tableformat.Image], "known": {"left": tableformat.ImageType()}, "vector": tableformat.TensorType("float32", (3,)),
    "more": tableformat.JsonType(),
}  # fmt: skip


def write_sample(root: str | Path, *, large_bytes: int = 0, rows: int = 40) -> tableformat.Store:
    """A store with one version of `sample`; with `large_bytes`, one that has a file of its own."""
    store = tableformat.open_store(root)
    with store.draft(
        NAME, type="dataset", metadata={"source": "made up"}, message="first", producer={"run": "r1"}
    ) as draft:
        draft.add(CLASSES, "classes")
        with draft.table("scalars", key="id") as table:
            table.extend(scalars(rows))
        with draft.table("media", MEDIA_SCHEMA) as table:
            for row in range(8):
                table.append(media_row(row))
        draft.table("empty", {"x": pa.int64()}).close()
        draft.add(tableformat.Image(picture(99), caption="one"), "cover")
        readme = Path(root, "..", "readme.txt")
        readme.write_text("a file of the sample", encoding="utf-8")
        draft.add(str(readme), "readme")
        if large_bytes:
            large = Path(root, "..", "large.bin")
            large.write_bytes(np.random.default_rng(1).bytes(large_bytes))
            draft.add(str(large), "large")
    return store


def extend_sample(store: tableformat.Store) -> None:
    """A second version, of which most is shared with the first, and two aliases, one moved twice."""
    with store.draft(NAME, base="latest", message="second") as draft:
        changed = scalars(41)
        with draft.table("scalars", mode="replace") as table:
            table.extend(changed)
        with draft.table("more") as table:
            for row in range(6, 10):
                table.append(id=row, image=tableformat.Image(picture(row)))
    store.set_alias(NAME, "best", "v0")
    store.set_alias(NAME, "best", "v1")
    store.set_alias(NAME, "first", "v0")


def read_head(store: tableformat.Store, selection: str) -> dict[str, Any]:
    """What one version says of itself, its entries not opened."""
    artifact = store[selection]
    told = {
        "type": artifact.type,
        "metadata": artifact.metadata,
        "digest": artifact.digest,
        "message": artifact.message,
    }
    return {
        **told,
        "producer": artifact.producer,
        "inputs": [str(one) for one in artifact.inputs()],
        "names": list(artifact),
    }


def read_version(store: tableformat.Store, selection: str) -> dict[str, Any]:
    """Everything that one version says, read in full."""
    artifact = store[selection]
    return {**read_head(store, selection), "entries": {name: plain(artifact[name]) for name in artifact}}


def plain(value: Any) -> Any:
    """Any value of the library as lists, dicts and texts that compare; media with all their bytes and annotations."""
    if isinstance(value, tableformat.Table):
        return {
            "rows": [plain(dict(row)) for row in value.rows()],
            "columns": list(value.columns),
            "key": list(value.key),
            "count": len(value),
        }
    if isinstance(value, tableformat.Image):
        said = {
            "boxes": {n: [plain(b.to_fields()) for b in layer] for n, layer in value.boxes.items()},
            "caption": value.caption,
        }
        masks = {name: mask.to_numpy().tolist() for name, mask in value.masks.items()}
        return {"image": value.bytes().hex(), "size": [value.width, value.height], "masks": masks, **said}
    if isinstance(value, tableformat.Media):
        return {value.kind: value.bytes().hex(), "format": value.format}
    if isinstance(value, tableformat.Classes):
        return {"classes": dict(value.names)}
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain_scalar(value)


def plain_scalar(value: Any) -> Any:
    """A scalar as JSON has it: what JSON has not as text."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.timedelta):
        return f"{value // datetime.timedelta(microseconds=1)} us"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)

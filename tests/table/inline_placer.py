"""A placer that keeps every cell inline: all of building and adopting, without a store."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import pyarrow as pa

from tableformat.format.media.base import Media
from tableformat.format.media.cells import build_cells, read_cells
from tableformat.format.media.classes import Classes
from tableformat.format.media.image import Image
from tableformat.format.media.png import encode_png
from tableformat.format.types import MediaType, Where


class InlinePlacer:
    """Cells with the bytes inside; class sets in a dictionary."""

    def __init__(self) -> None:
        self.sets: dict[str, Classes] = {}
        self.calls: list[str] = []

    def place(self, kind: str, values: Sequence[Any], where: Where) -> pa.StructArray:
        self.calls.append(where.column)
        datas = [value.bytes() if isinstance(value, Media) else value for value in values]
        return build_cells(kind, len(values), valid=[data is not None for data in datas], inline=datas)

    def place_binary(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:
        return self.place(kind, array.to_pylist(), where)

    def place_strings(self, kind: str, array: pa.Array, uris: str, where: Where) -> pa.StructArray:
        return build_cells(kind, len(array), valid=array.is_valid().to_pylist(), uri=array)

    def place_struct(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:
        if array.type.get_field_index("bytes") < 0:
            return array
        # A null struct has some value below it: `flatten` makes that null, `field` does not.
        return self.place(kind, array.flatten()[array.type.get_field_index("bytes")].to_pylist(), where)

    def place_masks(self, masks: Sequence[Any], images: Sequence[Any], where: Where) -> pa.StructArray:
        assert len(masks) == len(images)
        return self.place("image", [encode_png(mask.to_numpy()) for mask in masks], where)

    def place_classes(self, values: Sequence[Any], where: Where) -> list[str | None]:
        self.sets |= {value.digest: value for value in values if isinstance(value, Classes)}
        return [value.digest if isinstance(value, Classes) else value for value in values]

    def known_ids(self, digest: str) -> Container[int] | None:
        return self.sets.get(digest)


def read_media(type_: MediaType, cells: pa.Array, said: Any) -> list[Any]:
    """Media of inline cells, with what is said about them."""
    beside = {name: said.get(name) for name in ("boxes", "masks", "classes")} if type_.media == "image" else {}
    return list(read_cells(type_.media, cells, None, captions=said.get("caption"), **beside))


def tiny_image(**annotations: Any) -> Image:
    """A PNG of 2 × 2 pixels."""
    return Image(TINY_PNG, **annotations)


def _png() -> bytes:
    import numpy as np

    return encode_png(np.zeros((2, 2), np.uint8))


TINY_PNG = _png()

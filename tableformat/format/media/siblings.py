"""The columns beside a media column: boxes, masks, captions, class sets; from Python values to Arrow and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tableformat.format.media.base import Media
from tableformat.format.media.boxes import Box, Boxes
from tableformat.format.media.image import Image
from tableformat.format.media.kinds import BOX_TYPE, sibling_type
from tableformat.format.media.masks import Mask

__all__ = [
    "BoxColumn",
    "FlatMasks",
    "MaskColumn",
    "boxes_array",
    "captions_array",
    "classes_array",
    "flatten_masks",
    "masks_array",
]


def boxes_array(values: Sequence[Boxes | None]) -> pa.MapArray:
    """The column of boxes: for each row a map of layer → boxes, null for None."""
    lengths = [None if layers is None else len(layers) for layers in values]
    names = [name for layers in values if layers is not None for name in layers]
    layers = [boxes for layers in values if layers is not None for boxes in layers.values()]
    flat = [box for boxes in layers for box in boxes]
    columns = {
        name: [getattr(box, name) for box in flat]
        for name in ("xmin", "ymin", "xmax", "ymax", "class_id", "unit", "form", "caption")
    }
    columns["scores"] = [list(box.scores.items()) or None for box in flat]
    columns["extra"] = [_json(box) for box in flat]
    structs = pa.StructArray.from_arrays(
        [pa.array(columns[field.name], field.type) for field in BOX_TYPE], fields=list(BOX_TYPE)
    )
    target = sibling_type("boxes")
    lists = pa.ListArray.from_arrays(_offsets([len(boxes) for boxes in layers]), structs)
    return _map(lengths, pa.array(names, pa.string()), lists, target)


def _json(box: Box) -> str | None:
    return json.dumps(dict(box.extra), sort_keys=True, separators=(",", ":"), allow_nan=False) if box.extra else None


class FlatMasks:
    """The masks of a column of images in one list, to be prepared and placed together."""

    __slots__ = ("lengths", "masks", "names")

    def __init__(self, lengths: list[int | None], names: list[str], masks: list[Mask]) -> None:
        self.lengths = lengths
        """For each row the number of its layers; None for a row without masks."""
        self.names = names
        """The layers of all rows."""
        self.masks = masks
        """Their masks, in the same order."""


def flatten_masks(values: Sequence[Mapping[str, Mask] | None]) -> FlatMasks:
    """The masks of all rows, in order."""
    return FlatMasks(
        [None if layers is None else len(layers) for layers in values],
        [name for layers in values if layers is not None for name in layers],
        [mask for layers in values if layers is not None for mask in layers.values()],
    )


def masks_array(flat: FlatMasks, cells: pa.StructArray) -> pa.MapArray:
    """The column of masks: `cells` are the placed `flat.masks`."""
    return _map(flat.lengths, pa.array(flat.names, pa.string()), cells, sibling_type("masks"))


def captions_array(values: Sequence[Media | None]) -> pa.StringArray:
    """The column of captions."""
    return pa.array([None if media is None else media.caption for media in values], pa.string())


def classes_array(values: Sequence[Media | None]) -> pa.StringArray:
    """The column of digests of the class sets that images name for themselves."""
    return pa.array([media.classes_digest if isinstance(media, Image) else None for media in values], pa.string())


def _offsets(lengths: Sequence[int]) -> pa.Int32Array:
    return pa.array(np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))).astype(np.int32))


def _map(lengths: Sequence[int | None], keys: pa.Array, items: pa.Array, target: pa.MapType) -> pa.MapArray:
    offsets = _offsets([length or 0 for length in lengths])
    if any(length is None for length in lengths):
        missing = np.fromiter((length is None for length in lengths), np.bool_, len(lengths))
        offsets = pa.array(offsets.to_numpy(), mask=np.append(missing, False))
    return pa.MapArray.from_arrays(offsets, keys, items).cast(target)


class BoxColumn:
    """Stored boxes, decoded together when the first row is asked for."""

    __slots__ = ("_array", "_rows")

    def __init__(self, array: pa.Array) -> None:
        self._array = array
        self._rows: list[Mapping[str, tuple[Box, ...]] | None] | None = None

    def value(self, index: int) -> Mapping[str, tuple[Box, ...]] | None:
        """The layers of a row, or None. Raises `InvalidInputError` for a box against the specification."""
        rows = self._rows
        if rows is None:
            rows = self._rows = [None if row is None else _layers(row) for row in self._array.to_pylist()]
        return rows[index]


def _layers(row: Any) -> Mapping[str, tuple[Box, ...]]:
    return {name: tuple(Box.from_fields(fields) for fields in boxes or ()) for name, boxes in row}


class MaskColumn:
    """Stored masks; a row's are made when it is asked for, the fields of all when the first is read."""

    __slots__ = ("_array", "_masks", "_read", "_source")

    def __init__(self, array: pa.Array, source: Any, read: Callable[..., list[Media | None]]) -> None:
        self._array = array
        self._source = source
        self._read = read
        self._masks: list[Media | None] | None = None

    def value(self, index: int) -> Mapping[str, Mask] | None:
        """The layers of a row, or None."""
        array = self._array
        if not array[index].is_valid:
            return None
        if self._masks is None:
            self._masks = self._read("image", array.items, self._source)
        start, stop = array.offsets[index].as_py(), array.offsets[index + 1].as_py()
        names = array.keys.slice(start, stop - start).to_pylist()
        return {
            name: Mask.of_media(item)
            for name, item in zip(names, self._masks[start:stop], strict=True)
            if item is not None
        }

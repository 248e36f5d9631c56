"""Masks: a class id for each pixel, as a PNG of one channel; from arrays, PNG files, run lengths and polygons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tableformat.errors import InvalidInputError, MediaError, message
from tableformat.format.media.arrays import is_array, is_pillow, pixels_of_pillow, to_array
from tableformat.format.media.base import Media
from tableformat.format.media.headers import Header
from tableformat.format.media.png import decode_png, encode_png, png_header
from tableformat.format.media.rle import decode_rle, encode_rle, fill_polygons

__all__ = ["Mask", "layer_of_mask"]


class Mask(Media, register=False):
    """A class id for each pixel of an image.

    From an H×W array of integers from 0 to 65,535 or of bool; the bytes or path of a PNG of one channel or with a
    palette (kept verbatim; the indices are the ids); a Pillow image of mode 1, L, P or I;16; COCO run lengths
    (`{"size": [h, w], "counts": …}`, whose ones become `class_id`). Polygons: `Mask.from_polygons`.
    """

    __slots__ = ("_class_id", "_found")

    kind = "image"

    _class_id: int
    _found: frozenset[int] | None

    def __init__(self, data: Any, *, class_id: int = 1) -> None:
        if isinstance(class_id, bool) or not 0 <= class_id <= 65535:
            raise InvalidInputError(
                message("making a Mask", expected="class_id from 0 to 65535", got=repr(class_id)[:40])
            )
        self._class_id = int(class_id)
        self._found = None
        super().__init__(data)

    @classmethod
    def from_polygons(cls, polygons: Iterable[Any], size: Sequence[int], *, class_id: int = 1) -> Mask:
        """The mask of `size` (height, width) whose pixels with their centre inside the polygons are `class_id`.

        A polygon is `[x1, y1, x2, y2, …]` or points N×2, in pixels. Where two overlap, the pixel is inside.
        """
        inside: npt.NDArray[np.bool_] | None = None
        for polygon in polygons:
            drawn = fill_polygons([polygon], size)
            inside = drawn if inside is None else inside | drawn
        if inside is None:
            inside = fill_polygons([], size)
        return cls(_painted(inside, class_id))

    @classmethod
    def of_media(cls, media: Media) -> Mask:
        """The mask whose bytes are those of `media` of kind image, such as a stored cell; reads nothing."""
        mask = cls._bare()
        mask._class_id = 1
        mask._take(media)
        return mask

    def _encode(self, value: Any) -> bytes:
        if isinstance(value, Mapping):
            return self._of_array(_painted(decode_rle(value), self._class_id))
        if is_pillow(value):
            if value.mode not in {"1", "L", "P", "I;16"}:
                raise MediaError(
                    message(
                        "making a Mask", expected="a Pillow image of mode 1, L, P or I;16", got=f"mode {value.mode}"
                    )
                )
            return self._of_array(pixels_of_pillow(value, indices=True))
        if is_array(value) or isinstance(value, Sequence):
            return self._of_array(to_array(value))
        return super()._encode(value)

    def _of_array(self, array: npt.NDArray[Any]) -> bytes:
        doing = "making a Mask of an array"
        if array.ndim == 3 and 1 in {array.shape[0], array.shape[2]}:
            array = array[:, :, 0] if array.shape[2] == 1 else array[0]
        if array.ndim != 2 or 0 in array.shape:
            raise MediaError(message(doing, expected="shape H×W", got=f"shape {array.shape}"))
        if array.dtype.kind not in "bui":
            raise MediaError(
                message(doing, expected="integers or bool", got=str(array.dtype), todo="convert it to ids")
            )
        if array.dtype not in (np.bool_, np.uint8, np.uint16):
            least, most = int(array.min()), int(array.max())
            if least < 0 or most > 65535:
                raise MediaError(message(doing, expected="ids from 0 to 65,535", got=f"{least} to {most}"))
            array = array.astype(np.uint8 if most < 256 else np.uint16)
        self._found = frozenset(int(id_) for id_ in _distinct(array))
        return encode_png(array)

    def _named(self, header: Header, path: str | None) -> Header:
        if header.format not in {"png", None}:
            raise MediaError(
                message("reading a mask", path=path, expected="a PNG of one channel", got=header.format,
                        todo="other formats lose ids or depend on their decoder; give the array")
            )  # fmt: skip
        return header

    def _of_bytes(self, data: bytes, check: Any, path: str | None) -> Any:
        prepared = super()._of_bytes(data, check, path)
        if check != "none" and (colour := png_header(data).colour) not in {0, 3}:
            raise MediaError(
                message("reading a mask", path=path, expected="one channel of class ids",
                        got={2: "RGB", 4: "grey and alpha", 6: "RGBA"}[colour], todo="map its colours to ids first")
            )  # fmt: skip
        return prepared

    def _decode(self, data: bytes, path: str | None) -> None:  # noqa: ARG002 - the signature is shared
        decode_png(data, indices=True)

    @property
    def width(self) -> int | None:
        """Its pixels across."""
        return self.fields.get("width")

    @property
    def height(self) -> int | None:
        """Its pixels down."""
        return self.fields.get("height")

    def to_numpy(self) -> npt.NDArray[Any]:
        """The class ids, H×W, uint8 or uint16. Reads its bytes."""
        pixels = decode_png(self.bytes(), indices=True)
        if pixels is None or pixels.ndim != 2:
            raise MediaError(message("decoding a mask", expected="one channel of class ids", got="several channels"))
        return pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels

    def to_rle(self, class_id: int = 1) -> dict[str, Any]:
        """The COCO run lengths of the pixels that are `class_id`. Reads its bytes."""
        return encode_rle(self.to_numpy() == class_id)

    @property
    def class_ids(self) -> frozenset[int]:
        """The ids that occur in it. Known without decoding for masks made of arrays, else reads its bytes."""
        if self._found is None:
            self._found = frozenset(int(id_) for id_ in _distinct(self.to_numpy()))
        return self._found

    @property
    def known_class_ids(self) -> frozenset[int] | None:
        """`class_ids`, or None where only decoding would tell."""
        return self._found


def _distinct(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    return np.flatnonzero(np.bincount(array.reshape(-1)))  # linear, where np.unique sorts


def _painted(inside: npt.NDArray[np.bool_], class_id: int) -> npt.NDArray[Any]:
    painted: npt.NDArray[Any] = inside.astype(np.uint8 if class_id < 256 else np.uint16)
    painted *= class_id
    return painted


def layer_of_mask(value: Any, name: str) -> tuple[Mask, Mapping[Any, str] | None]:
    """The mask of one layer, and the class labels that stood beside it: whatever `Mask` takes, or the old
    `{"mask_data": array}` and `{"path": …}`, each with `"class_labels"` or without."""
    if isinstance(value, Mask):
        return value, None
    if isinstance(value, Mapping):
        labels = value.get("class_labels")
        if "mask_data" in value:
            return Mask(value["mask_data"]), labels
        if "path" in value:
            return Mask(value["path"]), labels
        if "counts" in value:
            return Mask(value), labels
        raise InvalidInputError(
            message(
                "reading a mask", path=name, expected="'mask_data', 'path' or 'counts'", got=sorted(map(str, value))
            )
        )
    return Mask(value), None

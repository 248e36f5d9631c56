"""Images: encoded bytes kept verbatim, arrays as PNG; boxes, masks and classes beside them."""

from __future__ import annotations

from collections.abc import Mapping
from struct import error as StructError  # noqa: N812 - a class, whatever its case
from types import MappingProxyType
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from tableformat.errors import InvalidInputError, LimitError, MediaError, MissingExtraError, Problem, message
from tableformat.format.media.arrays import (
    is_array,
    is_figure,
    is_pillow,
    pixels_of,
    pixels_of_figure,
    pixels_of_pillow,
)
from tableformat.format.media.base import Check, Deferred, Media
from tableformat.format.media.boxes import Box, layer_of_boxes
from tableformat.format.media.classes import Classes
from tableformat.format.media.formats import CONTENT_TYPES, EXTENSIONS
from tableformat.format.media.headers import HeaderFault, image_header
from tableformat.format.media.masks import Mask, layer_of_mask
from tableformat.format.media.png import MAX_PIXELS, decode_png, encode_png
from tableformat.format.media.prepared import OpenUrl, Prepared

__all__ = ["Image"]

_NO_BOXES: Mapping[str, tuple[Box, ...]] = MappingProxyType({})
_NO_MASKS: Mapping[str, Mask] = MappingProxyType({})


class Image(Media):
    """An image, with its annotations.

    `data`: encoded bytes, a path or a URL (stored verbatim); an array or tensor H×W or H×W×1/3/4 of uint8, uint16 or
    bool (stored as PNG); a Pillow image; a matplotlib figure; another `Image`, whose pixels, caption and classes are
    shared and whose boxes and masks are not. Arrays with channels first need `layout="CHW"`, floats need
    `scale=(low, high)`. To point at bytes without owning them: `Image.refer(url)`.

    `boxes` is a mapping of layer → list of `Box`; `masks` a mapping of layer → `Mask` or what it takes; the dictionaries
    of old are taken in both. `classes` names what the ids mean; an id outside of it raises when the image is prepared,
    unless `strict=False`.
    """

    __slots__ = ("_boxes", "_classes", "_masks", "_strict")

    kind = "image"

    _boxes: Mapping[str, tuple[Box, ...]] | Deferred | None
    _masks: Mapping[str, Mask] | Deferred | None
    _classes: Classes | str | None
    _strict: bool | None

    def __init__(
        self,
        data: Any,
        *,
        boxes: Mapping[str, Any] | None = None,
        masks: Mapping[str, Any] | None = None,
        caption: str | None = None,
        classes: Any = None,
        layout: str | None = None,
        scale: tuple[float, float] | None = None,
        format: str | None = None,  # noqa: A002
        strict: bool = True,
        copy: bool = False,
    ) -> None:
        # One is made for each row: plain bytes take the short way.
        self._caption = caption
        self._hint = format
        self._origin = None
        self._boxes = None
        self._masks = None
        self._classes = None
        self._strict = strict
        self.ready = None
        self._shares = False
        if type(data) is bytes:
            self._data = data
            if layout is not None or scale is not None:
                raise _not_an_array(data)
        else:
            self._data = None
            self._shares = not copy and isinstance(data, Media)
            self._take_image(data, layout, scale)
        if boxes is not None or masks is not None or classes is not None:
            self._annotate(boxes, masks, classes)

    def _take_image(self, data: Any, layout: str | None, scale: tuple[float, float] | None) -> None:
        if is_figure(data):
            self._data = encode_png(pixels_of_figure(data))
        elif is_pillow(data):
            self._data = encode_png(pixels_of_pillow(data))
        elif is_array(data) or (isinstance(data, list | tuple) and data):
            self._data = encode_png(
                pixels_of(np.asarray(data) if isinstance(data, list | tuple) else data, layout=layout, scale=scale)
            )
            return
        else:
            self._take(data)
            if isinstance(data, Image):
                self._classes = data._classes
        if layout is not None or scale is not None:
            raise _not_an_array(data)

    def _annotate(self, boxes: Mapping[str, Any] | None, masks: Mapping[str, Any] | None, classes: Any) -> None:
        labels: dict[int, str] = {}
        if boxes is not None:
            read = {_layer(name, boxes): layer_of_boxes(value, name) for name, value in _items(boxes, "boxes")}
            self._boxes = {name: layer for name, (layer, _) in read.items()}
            _gather(labels, {name: told for name, (_, told) in read.items()})
        if masks is not None:
            drawn = {_layer(name, masks): layer_of_mask(value, name) for name, value in _items(masks, "masks")}
            self._masks = {name: mask for name, (mask, _) in drawn.items()}
            _gather(labels, {name: told for name, (_, told) in drawn.items()})
        if classes is not None:
            self._classes = classes if isinstance(classes, Classes) else Classes(classes)
        elif labels:
            self._classes = Classes(labels)

    # -- annotations ---------------------------------------------------------------------------------------------

    @property
    def boxes(self) -> Mapping[str, tuple[Box, ...]]:
        """Layer → boxes; empty where there are none."""
        if isinstance(self._boxes, Deferred):
            self._boxes = cast("Mapping[str, tuple[Box, ...]] | None", self._boxes.get())
        return _NO_BOXES if self._boxes is None else MappingProxyType(cast("dict[str, tuple[Box, ...]]", self._boxes))

    @property
    def masks(self) -> Mapping[str, Mask]:
        """Layer → mask; empty where there are none."""
        if isinstance(self._masks, Deferred):
            self._masks = cast("Mapping[str, Mask] | None", self._masks.get())
        return _NO_MASKS if self._masks is None else MappingProxyType(cast("dict[str, Mask]", self._masks))

    @property
    def has_boxes(self) -> bool:
        """Whether boxes were given; an empty mapping was."""
        return self._boxes is not None and (not isinstance(self._boxes, Deferred) or self._boxes.get() is not None)

    @property
    def has_masks(self) -> bool:
        """Whether masks were given; an empty mapping was."""
        return self._masks is not None and (not isinstance(self._masks, Deferred) or self._masks.get() is not None)

    @property
    def classes(self) -> Classes | str | None:
        """The class set of this image, where it names one. Of a stored image the set is fetched through its table; its
        digest, where the table cannot give it."""
        if isinstance(self._classes, str):
            cell = self.cell
            find = getattr(cell.reader if cell is not None else None, "classes", None)
            if find is not None:
                self._classes = cast("Classes", find(self._classes))
        return self._classes

    @property
    def classes_digest(self) -> str | None:
        """The digest of its class set: what its cell holds."""
        return self._classes.digest if isinstance(self._classes, Classes) else self._classes

    @property
    def strict(self) -> bool:
        """Whether ids outside of the classes raise."""
        return self._strict is not False

    def problems(self, classes: Classes | None = None) -> list[Problem]:
        """The ids of its boxes and masks that are outside of its own classes, or of `classes` where it has none.

        Masks given as PNG are not decoded for this.
        """
        own = self._classes if isinstance(self._classes, Classes) else classes
        if own is None:
            return []
        found: list[Problem] = []
        for name, boxes in self.boxes.items():
            ids = [box.class_id for box in boxes if box.class_id is not None]
            found += [
                Problem(f"boxes {name!r}", f"class id {id_} is not in {own!r}", "class-id") for id_ in own.missing(ids)
            ]
        for name, mask in self.masks.items():
            known = mask.known_class_ids
            found += [
                Problem(f"masks {name!r}", f"class id {id_} is not in {own!r}", "class-id")
                for id_ in own.missing(known or ())
            ]
        return found

    def with_annotations(self, boxes: Deferred | None, masks: Deferred | None, classes: Classes | str | None) -> Self:
        """Itself with what its sibling columns hold; used by readers of tables on images they just made."""
        self._boxes, self._masks, self._classes = boxes, masks, classes
        return self

    # -- being stored --------------------------------------------------------------------------------------------

    def prepare(self, open_url: OpenUrl | None = None, check: Check = "header") -> Prepared:
        """As `Media.prepare`; also checks that masks have the image's size, and ids against its classes."""
        data = self._data
        if data is not None and self._origin is None and check == "header":
            try:
                word, width, height = image_header(data)
            except (HeaderFault, StructError, IndexError, OverflowError, ValueError):
                prepared = super().prepare(open_url, check)  # says what is wrong
            else:
                fields = {"width": width, "height": height, "format": word}
                told = (data, None, len(data), CONTENT_TYPES[word], EXTENSIONS[word], fields, None, None, None)
                prepared = tuple.__new__(Prepared, told)  # a third faster than by name
        else:
            prepared = super().prepare(open_url, check)
        if self._boxes is not None or self._masks is not None:
            self._check_annotations(prepared, check)
        return prepared

    def _check_annotations(self, prepared: Prepared, check: Check) -> None:
        doing = "checking the annotations of an image"
        width, height = prepared.fields.get("width"), prepared.fields.get("height")
        for name, mask in () if check == "none" else self.masks.items():
            if mask.reference is not None or width is None or height is None:
                continue
            if (mask.width, mask.height) != (width, height):
                raise MediaError(
                    message(doing, path=f"mask {name!r}", expected=f"{width}×{height}, the size of the image",
                            got=f"{mask.width}×{mask.height}")
                )  # fmt: skip
        if self.strict and (problems := self.problems()):
            raise InvalidInputError(
                message(doing, expected="ids of its classes", got="others", todo="add them, or give strict=False"),
                problems,
            )

    def _decode(self, data: bytes, path: str | None) -> None:
        try:
            self._pixels(data, MAX_PIXELS)
        except LimitError as error:
            raise MediaError(message("decoding an image", path=path, got=str(error))) from error

    # -- pixels --------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int | None:
        """Stored pixels across, before any rotation that EXIF asks for; None where unknown."""
        return self.fields.get("width")

    @property
    def height(self) -> int | None:
        """Stored pixels down; None where unknown."""
        return self.fields.get("height")

    def to_pil(self, max_pixels: int = MAX_PIXELS) -> Any:
        """The decoded `PIL.Image.Image`. Reads its bytes; needs Pillow (`tableformat[image]`). Raises `MediaError` where
        it cannot be decoded, `LimitError` above `max_pixels`."""
        image = _pillow(self.bytes(), max_pixels)
        image.load()
        return image

    def to_numpy(self, max_pixels: int = MAX_PIXELS) -> npt.NDArray[Any]:
        """Its pixels: H×W, H×W×2, ×3 or ×4 of uint8, uint16 or bool; palettes as colours. Not rotated by EXIF.

        PNG needs numpy alone; other formats need Pillow. Raises as `to_pil` does.
        """
        return self._pixels(self.bytes(), max_pixels)

    def _pixels(self, data: bytes, max_pixels: int) -> npt.NDArray[Any]:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            pixels = decode_png(data, fast_only=True, max_pixels=max_pixels)
            if pixels is None:
                try:
                    return _of_pillow(data, max_pixels)
                except MissingExtraError:
                    pixels = decode_png(data, max_pixels=max_pixels)
            if pixels is not None:
                return pixels
        return _of_pillow(data, max_pixels)

    def _notes(self) -> tuple[Any, ...]:
        return (self._caption, self.boxes, self.masks, self.classes_digest)


def _not_an_array(data: Any) -> MediaError:
    return MediaError(
        message("making an Image", expected="an array beside layout= and scale=", got=type(data).__name__)
    )


def _items(value: Any, what: str) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            message(f"reading {what}", expected="a mapping of layer → " + what, got=type(value).__name__,
                    todo=f'name the layer: {what}={{"ground_truth": …}}')
        )  # fmt: skip
    return list(value.items())


def _layer(name: Any, layers: Any) -> str:
    if not isinstance(name, str):
        raise InvalidInputError(message("reading layers", expected="text as names", got=repr(list(layers))[:100]))
    return name


def _gather(labels: dict[int, str], layers: Mapping[str, Mapping[Any, str] | None]) -> None:
    """Join the class labels that old dictionaries carry in each layer."""
    for name, told in layers.items():
        for id_, label in Classes(told).names.items() if told else ():
            if labels.setdefault(id_, label) != label:
                raise InvalidInputError(
                    message("reading class labels", path=name, expected=f"{labels[id_]!r} for id {id_}, as in other layers",
                            got=repr(label), todo="give classes=")
                )  # fmt: skip


def _pillow(data: bytes, max_pixels: int) -> Any:
    """The opened, not yet decoded, image of Pillow."""
    import io
    import warnings

    doing = "decoding an image"
    try:
        from PIL import Image as PillowImage
    except ImportError as error:
        raise MissingExtraError(doing, "Pillow", "image") from error
    with warnings.catch_warnings():
        # Pillow warns of large images; the bound here is our own.
        warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
        try:
            image = PillowImage.open(io.BytesIO(data))
            if image.width * image.height > max_pixels:
                raise LimitError(
                    message(doing, expected=f"at most {max_pixels} pixels", got=f"{image.width}×{image.height}",
                            todo="give max_pixels=")
                )  # fmt: skip
            image.load()
        except PillowImage.DecompressionBombError as error:
            raise LimitError(message(doing, got=str(error))) from error
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:
            raise MediaError(message(doing, got=str(error)[:200])) from error
    return image


def _of_pillow(data: bytes, max_pixels: int) -> npt.NDArray[Any]:
    image = _pillow(data, max_pixels)
    if image.mode in {"P", "PA", "CMYK", "YCbCr", "LAB", "HSV"}:
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    return np.asarray(image)

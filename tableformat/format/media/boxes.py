"""Bounding boxes: one form on disk whatever form they came in; layers of them by name; the old dictionaries."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from tableformat.errors import InvalidInputError, message

__all__ = ["BOX_FORMS", "BOX_UNITS", "Box", "Boxes", "layer_of_boxes"]

BOX_UNITS: Final = ("pixel", "fraction")
"""Edges in pixels, or as a share of width and height."""
BOX_FORMS: Final = ("xyxy", "xywh", "cxcywh")
"""Two corners; a corner and a size; the middle and a size."""

Boxes = Mapping[str, Sequence["Box"]]
"""Layers: name → boxes."""

_GIVEN: Final = "given"
"""Key of `extra` under which numbers stand that cannot be computed back from the edges."""
_OLD_KEYS: Final = {"position", "domain", "class_id", "scores", "box_caption"}
_NO_SCORES: Final[Mapping[str, float]] = MappingProxyType({})
_NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})
Quad = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Box:
    """A rectangle in the frame of the stored pixels, before any rotation that EXIF asks for.

    Give exactly one of `xyxy`, `xywh`, `cxcywh`. Pixel edges are half-open: the box of the first pixel is (0, 0, 1, 1).
    `unit` is "pixel" unless said; numbers that look like fractions must say which. Raises `InvalidInputError` for edges
    that are not finite or in the wrong order.
    """

    class_id: int | None
    """Which class, or None."""
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    unit: str
    """"pixel" or "fraction"."""
    form: str
    """The form it was given in."""
    caption: str | None
    scores: Mapping[str, float]
    """Name → number; NaN and infinities are kept."""
    extra: Mapping[str, Any]
    """Other keys, as JSON values."""

    def __init__(
        self,
        class_id: int | None = None,
        *,
        xyxy: Sequence[float] | None = None,
        xywh: Sequence[float] | None = None,
        cxcywh: Sequence[float] | None = None,
        unit: Literal["pixel", "fraction"] | None = None,
        scores: Mapping[str, float] | None = None,
        caption: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        doing = "making a Box"
        forms = [
            (name, value) for name, value in zip(BOX_FORMS, (xyxy, xywh, cxcywh), strict=True) if value is not None
        ]
        if len(forms) != 1:
            got = " and ".join(name for name, _ in forms) or "none"
            raise InvalidInputError(message(doing, expected="one of xyxy=, xywh=, cxcywh=", got=got))
        form, value = forms[0]
        numbers = _quad(value, doing)
        edges = _edges(form, numbers)
        told = dict(extra) if extra else {}
        if form != "xyxy" and _back(form, edges) != numbers:
            told[_GIVEN] = list(numbers)
        if not (edges[0] <= edges[2] and edges[1] <= edges[3]):
            raise InvalidInputError(message(doing, expected="xmin ≤ xmax and ymin ≤ ymax", got=edges))
        if unit is None:
            if all(0 <= edge <= 1 for edge in edges) and any(edge not in {0.0, 1.0} for edge in edges):
                raise InvalidInputError(
                    message(doing, expected="a unit", got=f"{edges}, which may be either",
                            todo='say unit="fraction" or unit="pixel"')
                )  # fmt: skip
            unit = "pixel"
        self._set(_class_id(class_id, doing), edges, unit, form, caption, _scores(scores, doing), _extra(told, doing))

    def _set(
        self, class_id: int | None, edges: Quad, unit: str, form: str, caption: str | None,
        scores: Mapping[str, float], extra: Mapping[str, Any],
    ) -> None:  # fmt: skip
        if unit not in BOX_UNITS:
            raise InvalidInputError(
                message("making a Box", expected="unit " + " | ".join(BOX_UNITS), got=repr(unit)[:40])
            )
        if form not in BOX_FORMS:
            raise InvalidInputError(
                message("making a Box", expected="form " + " | ".join(BOX_FORMS), got=repr(form)[:40])
            )
        if caption is not None and not isinstance(caption, str):
            raise InvalidInputError(message("making a Box", expected="text as caption", got=type(caption).__name__))
        values = (class_id, *edges, unit, form, caption, scores, extra)
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def xyxy(self) -> Quad:
        """(xmin, ymin, xmax, ymax)."""
        return self.xmin, self.ymin, self.xmax, self.ymax

    @property
    def xywh(self) -> Quad:
        """(xmin, ymin, width, height); exactly as given, where it was given so."""
        return self._as("xywh")

    @property
    def cxcywh(self) -> Quad:
        """(middle x, middle y, width, height); exactly as given, where it was given so."""
        return self._as("cxcywh")

    def _as(self, form: str) -> Quad:
        if self.form == form and _GIVEN in self.extra:
            a, b, c, d = self.extra[_GIVEN]
            return float(a), float(b), float(c), float(d)
        return _back(form, self.xyxy)

    def to_pixels(self, width: int, height: int) -> Quad:
        """Its edges in pixels of an image of this size."""
        if self.unit == "pixel":
            return self.xyxy
        return self.xmin * width, self.ymin * height, self.xmax * width, self.ymax * height

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, strict: bool = True) -> Box:
        """The box of an old dictionary: `position` with minX… or middle, width and height; `domain: "pixel"`, else
        fractions; `class_id`, `scores`, `box_caption`; other keys are kept in `extra`.

        Edges in the wrong order raise, or without `strict` are put in order and kept as they were under `given`.
        """
        doing = "reading a box dictionary"
        position = value.get("position")
        if not isinstance(position, Mapping):
            raise InvalidInputError(message(doing, expected="a 'position'", got=repr(dict(value))[:100]))
        domain = value.get("domain")
        if domain not in {None, "pixel"}:
            raise InvalidInputError(
                message(doing, expected="domain 'pixel', or none for fractions", got=repr(domain)[:40])
            )
        extra = {str(key): item for key, item in value.items() if key not in _OLD_KEYS}
        if {"minX", "minY", "maxX", "maxY"} <= position.keys():
            form, numbers = "xyxy", _quad([position[key] for key in ("minX", "minY", "maxX", "maxY")], doing)
        elif {"middle", "width", "height"} <= position.keys():
            form, numbers = "cxcywh", _quad([*position["middle"], position["width"], position["height"]], doing)
        else:
            raise InvalidInputError(
                message(
                    doing, expected="minX, minY, maxX, maxY or middle, width, height", got=sorted(map(str, position))
                )
            )
        edges = _edges(form, numbers)
        sorted_edges = (
            min(edges[0], edges[2]),
            min(edges[1], edges[3]),
            max(edges[0], edges[2]),
            max(edges[1], edges[3]),
        )
        if edges != sorted_edges:
            if strict:
                raise InvalidInputError(message(doing, expected="minX ≤ maxX and minY ≤ maxY", got=edges))
            edges = sorted_edges
        if _back(form, edges) != numbers:
            extra[_GIVEN] = list(numbers)
        box = cls.__new__(cls)
        box._set(
            _class_id(value.get("class_id"), doing), edges, "pixel" if domain else "fraction", form,
            value.get("box_caption"), _scores(value.get("scores"), doing), _extra(extra, doing),
        )  # fmt: skip
        return box

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Box:
        """The box of a stored struct, as Arrow gives it to Python. Raises `InvalidInputError` against MEDIA-14."""
        doing = "reading a stored box"
        edges = _quad([fields.get(name) for name in ("xmin", "ymin", "xmax", "ymax")], doing)
        if not (edges[0] <= edges[2] and edges[1] <= edges[3]):
            raise InvalidInputError(message(doing, expected="xmin ≤ xmax and ymin ≤ ymax", got=edges))
        try:
            extra = json.loads(fields["extra"]) if fields.get("extra") else {}
        except (ValueError, RecursionError):
            extra = None
        if not isinstance(extra, dict):
            raise InvalidInputError(
                message(doing, expected="an object as JSON in extra", got=str(fields["extra"])[:60])
            )
        box = cls.__new__(cls)
        box._set(
            _class_id(fields.get("class_id"), doing), edges, str(fields.get("unit")), str(fields.get("form")),
            fields.get("caption"), _scores(dict(fields.get("scores") or ()), doing), extra or _NO_EXTRA,
        )  # fmt: skip
        return box

    def to_fields(self) -> dict[str, Any]:
        """The stored struct, as Arrow takes it."""
        extra = (
            json.dumps(dict(self.extra), sort_keys=True, separators=(",", ":"), allow_nan=False) if self.extra else None
        )
        return {
            "xmin": self.xmin, "ymin": self.ymin, "xmax": self.xmax, "ymax": self.ymax, "class_id": self.class_id,
            "unit": self.unit, "form": self.form, "caption": self.caption, "scores": list(self.scores.items()),
            "extra": extra,
        }  # fmt: skip

    def __hash__(self) -> int:
        return hash((self.class_id, self.xyxy, self.unit))

    def __repr__(self) -> str:
        numbers = self.xyxy if self.form == "xyxy" else self._as(self.form)
        more = "".join(
            f", {name}={value!r}" for name, value in (("caption", self.caption), ("scores", dict(self.scores))) if value
        )
        return f"Box({self.class_id}, {self.form}=({', '.join(f'{n:g}' for n in numbers)}), unit={self.unit!r}{more})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Box.from_fields, (self.to_fields(),)


def layer_of_boxes(value: Any, name: str) -> tuple[tuple[Box, ...], Mapping[Any, str] | None]:
    """The boxes of one layer, and the class labels that stood beside them: a list of boxes or old dictionaries, or
    `{"box_data": […], "class_labels": {…}}`."""
    labels = None
    if isinstance(value, Mapping):
        if "box_data" not in value:
            raise InvalidInputError(
                message(
                    "reading boxes", path=name, expected="a list of boxes, or 'box_data'", got=sorted(map(str, value))
                )
            )
        labels = value.get("class_labels")
        value = value["box_data"]
    if isinstance(value, str | bytes | Box) or not isinstance(value, Iterable):
        raise InvalidInputError(
            message("reading boxes", path=name, expected="a list of boxes", got=type(value).__name__)
        )
    boxes: list[Box] = []
    for index, item in enumerate(value):
        if isinstance(item, Box):
            boxes.append(item)
        elif isinstance(item, Mapping):
            boxes.append(Box.from_dict(item))
        else:
            raise InvalidInputError(
                message(
                    "reading boxes", path=f"{name}[{index}]", expected="a Box or a dictionary", got=type(item).__name__
                )
            )
    return tuple(boxes), labels


def _quad(value: Any, doing: str) -> Quad:
    try:
        a, b, c, d = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(message(doing, expected="four numbers", got=repr(value)[:60])) from error
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c) and math.isfinite(d)):
        raise InvalidInputError(message(doing, expected="finite numbers", got=(a, b, c, d)))
    return a, b, c, d


def _edges(form: str, numbers: Quad) -> Quad:
    a, b, c, d = numbers
    if form == "xywh":
        return a, b, a + c, b + d
    if form == "cxcywh":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return numbers


def _back(form: str, edges: Quad) -> Quad:
    xmin, ymin, xmax, ymax = edges
    if form == "xywh":
        return xmin, ymin, xmax - xmin, ymax - ymin
    if form == "cxcywh":
        return (xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin
    return edges


def _class_id(value: Any, doing: str) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 2**63
    if isinstance(value, bool) or number != value or not -(2**63) <= number < 2**63:
        raise InvalidInputError(message(doing, expected="a whole number as class_id", got=repr(value)[:40]))
    return number


def _scores(value: Any, doing: str) -> Mapping[str, float]:
    if not value:
        return _NO_SCORES
    try:
        return MappingProxyType({str(name): float(score) for name, score in value.items()})
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidInputError(message(doing, expected="scores as name → number", got=repr(value)[:60])) from error


def _extra(value: dict[str, Any], doing: str) -> Mapping[str, Any]:
    if not value:
        return _NO_EXTRA
    try:
        # Old dictionaries carry NaN and infinities, for which JSON has no numbers: their names stand for them.
        return MappingProxyType(json.loads(json.dumps(value), parse_constant=str))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(message(doing, expected="other keys as JSON", got=str(error)[:100])) from error

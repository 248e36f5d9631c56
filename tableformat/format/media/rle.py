"""Masks as COCO writes them: run lengths (plain and compressed) and polygons, to arrays and back. No dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tableformat.errors import LimitError, MediaError, message

__all__ = ["MAX_MASK_PIXELS", "decode_rle", "encode_rle", "fill_polygons"]

MAX_MASK_PIXELS: Final = 1 << 28
"""Largest mask that is made from run lengths or polygons, whose few bytes may claim any size."""

Mask2D = npt.NDArray[np.bool_]


def _size(value: object, doing: str) -> tuple[int, int]:
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str | bytes)
        or len(value) != 2
        or not all(isinstance(side, int | np.integer) and not isinstance(side, bool) and side > 0 for side in value)
    ):
        raise MediaError(message(doing, expected="size [height, width]", got=repr(value)[:60]))
    height, width = int(value[0]), int(value[1])
    if height * width > MAX_MASK_PIXELS:
        raise LimitError(message(doing, expected=f"at most {MAX_MASK_PIXELS} pixels", got=f"{height}×{width}"))
    return height, width


def decode_rle(rle: Mapping[str, Any]) -> Mask2D:
    """The H×W mask of `{"size": [height, width], "counts": …}`: run lengths in column order, zeros first.

    `counts` is a list of integers, or COCO's compressed text. Raises `MediaError` where it is neither or does not fill
    the size exactly, `LimitError` above `MAX_MASK_PIXELS`.
    """
    doing = "decoding COCO run lengths"
    if not isinstance(rle, Mapping):
        raise MediaError(message(doing, expected="an object with size and counts", got=type(rle).__name__))
    height, width = _size(rle.get("size"), doing)
    counts = rle.get("counts")
    if isinstance(counts, str | bytes):
        runs = _expand(counts.encode("utf-8") if isinstance(counts, str) else counts, height * width, doing)
    elif isinstance(counts, Sequence | np.ndarray):
        if not all(isinstance(run, int | np.integer) and not isinstance(run, bool) for run in counts):
            raise MediaError(message(doing, expected="integers in counts", got=repr(counts)[:60]))
        runs = [int(run) for run in counts]
    else:
        raise MediaError(message(doing, expected="counts as a list or text", got=type(counts).__name__))
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise MediaError(
            message(doing, expected=f"runs that add up to {height}×{width} = {height * width}", got=sum(runs))
        )
    values = np.zeros(len(runs), np.bool_)
    values[1::2] = True
    return np.repeat(values, runs).reshape((width, height)).T


def _expand(text: bytes, most: int, doing: str) -> list[int]:
    """COCO's text: five bits to a character, low first, bit 6 says more follow; from the third run on, differences."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            if place >= len(text):
                raise MediaError(message(doing, expected="whole run lengths", got="their end inside one: truncated"))
            code = text[place] - 48
            if not 0 <= code < 64 or shift > 40:
                raise MediaError(
                    message(doing, expected="COCO's compressed run lengths", got=f"byte 0x{text[place]:02x}")
                )
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            place += 1
            shift += 5
            if not more and code & 0x10:
                value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if not 0 <= value <= most:
            raise MediaError(message(doing, expected=f"runs from 0 to {most}", got=value))
        runs.append(value)
    return runs


def encode_rle(mask: npt.NDArray[Any]) -> dict[str, Any]:
    """The plain run lengths of what is not zero in an H×W mask: `{"size": [height, width], "counts": [int, …]}`."""
    flat = np.asarray(mask, dtype=np.bool_).T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    places = np.concatenate(([0], edges, [flat.size]))
    counts = [int(run) for run in np.diff(places)]
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {"size": [int(side) for side in mask.shape], "counts": counts}


def fill_polygons(polygons: Sequence[Any], size: Sequence[int]) -> Mask2D:
    """The H×W mask of the pixels whose centre lies inside an odd number of `polygons` (each `[x1, y1, x2, y2, …]` or
    points N×2, in pixels; a pixel's centre is at .5).

    Raises `MediaError` for fewer than three points, or numbers that are not finite.
    """
    doing = "drawing polygons"
    height, width = _size(size, doing)
    turns = np.zeros((height, width + 1), np.int32)
    for polygon in polygons:
        try:
            points = np.asarray(polygon, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise MediaError(message(doing, expected="numbers", got=str(error))) from error
        points = points.reshape(-1, 2) if points.ndim == 1 and points.size % 2 == 0 else points
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise MediaError(message(doing, expected="at least three finite points", got=f"shape {points.shape}"))
        for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
            _cross(turns, x1, y1, x2, y2)
    inside: Mask2D = np.cumsum(turns[:, :width], axis=1) % 2 == 1
    return inside


def _cross(turns: npt.NDArray[np.int32], x1: float, y1: float, x2: float, y2: float) -> None:
    """Count, in each row whose centre the edge crosses, one change at the first pixel whose centre lies right of it."""
    if y1 > y2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    height, width = turns.shape[0], turns.shape[1] - 1
    # Half-open in y, so that a corner counts once.
    first = max(int(np.ceil(min(max(y1, -1.0), height + 1.0) - 0.5)), 0)
    last = min(int(np.ceil(min(max(y2, -1.0), height + 1.0) - 0.5)), height)
    if first >= last:
        return
    rows = np.arange(first, last)
    crossings = x1 + (rows + 0.5 - y1) * ((x2 - x1) / (y2 - y1))
    columns = np.ceil(np.clip(crossings, -1.0, width + 1.0) - 0.5).astype(np.int64).clip(0, width)
    np.add.at(turns, (rows, columns), 1)

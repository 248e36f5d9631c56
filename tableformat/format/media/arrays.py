"""Whatever holds pixels or samples, as a numpy array: tensors, images of Pillow, figures; layout and scale said aloud."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tableformat.errors import MediaError, message

__all__ = ["is_array", "is_figure", "is_pillow", "pixels_of", "pixels_of_figure", "pixels_of_pillow", "to_array"]

LAYOUTS: Final = ("HW", "HWC", "CHW")
"""How the axes of an image array may lie. Default: H×W or H×W×C; channels first must be said."""


def is_array(value: object) -> bool:
    """Whether `value` is a numpy array or a tensor of torch, TensorFlow, JAX or the like (by what it offers)."""
    return isinstance(value, np.ndarray) or (
        hasattr(value, "shape") and hasattr(value, "dtype") and (hasattr(value, "numpy") or hasattr(value, "__array__"))
    )


def is_pillow(value: object) -> bool:
    """Whether `value` is an image of Pillow; does not import it."""
    return any(kind.__module__.startswith("PIL.") and kind.__name__ == "Image" for kind in type(value).__mro__)


def is_figure(value: object) -> bool:
    """Whether `value` is a matplotlib figure, or an object that has one; does not import it."""
    return any(kind.__module__.startswith("matplotlib.") for kind in type(value).__mro__) and (
        hasattr(value, "canvas") or hasattr(value, "figure")
    )


def to_array(value: Any) -> npt.NDArray[Any]:
    """`value` as a numpy array; tensors are detached and brought to the CPU. Copies only where it must."""
    if isinstance(value, np.ndarray):
        return value
    for step in ("detach", "cpu"):
        if hasattr(value, step):
            value = getattr(value, step)()
    if hasattr(value, "numpy") and not hasattr(value, "__array__"):
        value = value.numpy()
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MediaError(message("reading an array", got=f"{type(value).__name__}: {error}")) from error


def pixels_of(value: Any, *, layout: str | None = None, scale: tuple[float, float] | None = None) -> npt.NDArray[Any]:
    """The array of an image as H×W or H×W×1/3/4 of uint8, uint16 or bool: what `encode_png` takes.

    `layout` names the axes ("HW", "HWC", "CHW"). `scale=(low, high)` maps that range onto 0–255, rounding to the
    nearest; values outside of it (by more than half a step) and NaN raise. Raises `MediaError` that says which argument
    is missing.
    """
    array = to_array(value)
    doing = "storing an array as an image"
    got = f"shape {array.shape} of {array.dtype}"
    if layout is not None and layout not in LAYOUTS:
        raise MediaError(message(doing, expected="layout " + " | ".join(LAYOUTS), got=repr(layout)))
    if layout is not None and array.ndim != len(layout):
        raise MediaError(message(doing, expected=f"{len(layout)} axes for layout={layout!r}", got=got))
    if layout == "CHW":
        array = np.moveaxis(array, 0, 2)
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in {1, 3, 4}):
        first = array.ndim == 3 and array.shape[0] in {1, 3, 4}
        raise MediaError(
            message(doing, expected="shape H×W or H×W×1/3/4", got=got,
                    todo='give layout="CHW" where channels come first' if first else None)
        )  # fmt: skip
    if 0 in array.shape:
        raise MediaError(message(doing, expected="at least one pixel", got=got))
    if scale is not None:
        return _scaled(array, scale, doing)
    if array.dtype.newbyteorder("=") == np.uint16:
        return array.astype(np.uint16, copy=False)
    if array.dtype == np.bool_ and array.ndim == 3:
        return array[:, :, 0] if array.shape[2] == 1 else array.astype(np.uint8) * np.uint8(255)
    if array.dtype in (np.uint8, np.bool_):
        return array
    raise MediaError(
        message(doing, expected="uint8, uint16 or bool", got=got,
                todo="give scale=(0, 1) or scale=(-1, 1) for floats, scale=(0, 255) for other integers")
    )  # fmt: skip


def _scaled(array: npt.NDArray[Any], scale: tuple[float, float], doing: str) -> npt.NDArray[Any]:
    low, high = float(scale[0]), float(scale[1])
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise MediaError(message(doing, expected="scale=(low, high) with low < high", got=scale))
    if array.dtype.kind not in "buif":
        raise MediaError(message(doing, expected="numbers", got=str(array.dtype)))
    wide = array.astype(np.float64)
    least, most = float(wide.min()), float(wide.max())
    slack = (high - low) / 510
    if not (least >= low - slack and most <= high + slack):  # also where either is NaN
        raise MediaError(
            message(doing, expected=f"values within scale=({low:g}, {high:g})", got=f"{least:g} to {most:g}",
                    todo="give the range that the values have")
        )  # fmt: skip
    return np.rint((wide - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)


def pixels_of_pillow(image: Any, *, indices: bool = False) -> npt.NDArray[Any]:
    """The pixels of a Pillow image without loss. A palette gives its colours, or its `indices` for masks."""
    mode = str(image.mode)
    if mode == "P" and not indices:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif mode in {"LA", "PA"}:
        image = image.convert("RGBA")
    elif mode not in {"1", "L", "P", "RGB", "RGBA", "I;16", "I;16L", "I;16B"}:
        raise MediaError(
            message("storing a Pillow image", expected="mode 1, L, LA, P, RGB, RGBA or I;16", got=f"mode {mode}",
                    todo='convert it first, for example image.convert("RGB")')
        )  # fmt: skip
    return np.asarray(image)


def pixels_of_figure(figure: Any) -> npt.NDArray[Any]:
    """The pixels of a matplotlib figure (or of the figure of an axes), H×W×4, drawn at its own resolution."""
    figure = figure if hasattr(figure, "canvas") else figure.figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()

"""Which family a Python class belongs to: how a value of it may be stored when nothing was declared."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.format.media.kinds import MEDIA_KINDS

__all__ = ["families_of", "family", "is_number", "without_odd_nulls"]

_EXACT: Final[dict[type, str]] = {
    type(None): "null",
    bool: "bool",
    np.bool_: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "dict",
}
"""The classes met most often."""

_BASES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (enum.Enum, "enum"),
    (pa.MonthDayNano, "interval"),  # a tuple, so before lists
    (np.datetime64, "datetime64"),
    (np.timedelta64, "timedelta64"),
    (np.ndarray, "array"),
    (str, "str"),
    ((bytes, bytearray, memoryview), "bytes"),
    (float, "float"),
    (int, "int"),
    (datetime.datetime, "datetime"),
    (datetime.date, "date"),
    (datetime.time, "time"),
    (datetime.timedelta, "timedelta"),
    (decimal.Decimal, "decimal"),
    (uuid.UUID, "uuid"),
    (Mapping, "dict"),
    ((list, tuple), "list"),
    (pa.Scalar, "arrow"),
)
"""Base classes, the first that fits counts."""


ADVICE: Final[dict[str, str]] = {
    "set": "sets have no order: store sorted(value)",
    "frozenset": "sets have no order: store sorted(value)",
    "complex": "store two columns, or a tensor with a last dimension of 2",
    "complex64": "store two columns, or a tensor with a last dimension of 2",
    "complex128": "store two columns, or a tensor with a last dimension of 2",
    "Box": "boxes belong to an image: Image(…, boxes={layer: [box, …]})",
    "Figure": "wrap it in Image(…)",
}
"""By the name of a class or dtype without a type here: what to do about it."""


def family(cls: type) -> str:
    """The family of values of `cls`: `int`, `str`, `list`, `media:image`, `numpy:float32` …, or `other` for none."""
    return _EXACT.get(cls) or _family(cls)


@lru_cache(maxsize=1024)
def _family(cls: Any) -> str:
    if issubclass(cls, np.number) and not issubclass(cls, np.timedelta64):  # which numpy counts among the integers
        return f"numpy:{np.dtype(cls).name}"
    # pandas marks a missing value in two ways of its own; it is not imported for that.
    if cls.__name__ in ("NAType", "NaTType") and cls.__module__.partition(".")[0] == "pandas":
        return "null"
    kind = getattr(cls, "kind", None)
    if isinstance(kind, str) and kind in MEDIA_KINDS:
        return f"media:{kind}"
    for base, name in _BASES:
        if issubclass(cls, base):
            if name in ("datetime", "timedelta") and hasattr(
                cls, "nanosecond" if name == "datetime" else "nanoseconds"
            ):
                return f"{name}:ns"
            return name
    if hasattr(cls, "shape") and hasattr(cls, "dtype") and (hasattr(cls, "numpy") or hasattr(cls, "__array__")):
        return "array"
    return "other"


def families_of(values: Sequence[Any]) -> set[str]:
    """The families of `values`, at the speed of C for all but new classes."""
    return {family(cls) for cls in set(map(type, values))}


def is_number(name: str) -> bool:
    """Whether a family holds integers or floats, Python's or numpy's; bools are no numbers here."""
    return name in ("int", "float") or name.startswith("numpy:")


def without_odd_nulls(values: Sequence[Any]) -> Sequence[Any]:
    """`values` with None for pandas' NA and NaT and for numpy's NaT."""
    odd = {cls for cls in set(map(type, values)) if family(cls) == "null" and cls is not type(None)}
    if odd:
        values = [None if type(value) in odd else value for value in values]
    return values


def lengths_of(values: Sequence[Any]) -> npt.NDArray[np.int64]:
    """The length of each value; 0 for None."""
    return np.fromiter((0 if value is None else len(value) for value in values), np.int64, len(values))


def mask_of(values: Sequence[Any]) -> pa.Array | None:
    """True where a value is None; None where none is."""
    missing = [value is None for value in values]
    return pa.array(missing, pa.bool_()) if True in missing else None

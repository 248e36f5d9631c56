"""Tensors: arrays of numbers or bools, of one shape or of any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.document import Json, JsonObject
from tableformat.errors import SchemaError, message
from tableformat.format.types.base import ColumnType
from tableformat.format.types.scalar import SIMPLE

__all__ = ["DTYPES", "TensorType"]

DTYPES: Final = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
)  # fmt: skip
"""The types of a tensor's elements."""


@dataclass(frozen=True, slots=True, init=False)
class TensorType(ColumnType):
    """Arrays in row-major order, without nulls inside.

    With a shape, a cell is a fixed-size list in Parquet and `arrow.fixed_shape_tensor` in Arrow; with `shape=None` every
    cell has its own shape, and is `struct<data: list, shape: list<int32>>` in both. Dimensions of 0 need `shape=None`.
    """

    dtype: str
    """One of `DTYPES`."""
    shape: tuple[int, ...] | None
    """The shape of every cell; None where cells differ."""

    def __init__(self, dtype: Any, shape: Sequence[int] | None = None) -> None:
        name = _dtype_name(dtype)
        if name not in DTYPES:
            raise SchemaError(
                message("declaring a tensor", expected=f"an element type of {', '.join(DTYPES)}", got=dtype)
            )
        sizes = None if shape is None else tuple(shape)
        if sizes is not None and not (
            sizes and all(type(size) is int and size > 0 for size in sizes) and math.prod(sizes) < 2**31
        ):
            raise SchemaError(
                message(
                    "declaring a tensor",
                    expected="one or more dimensions of 1 or more",
                    got=shape,
                    todo="shape=None takes any shape",
                )
            )
        object.__setattr__(self, "dtype", name)
        object.__setattr__(self, "shape", sizes)

    @property
    def element(self) -> pa.DataType:
        """The Arrow type of the elements."""
        return SIMPLE[self.dtype]

    @property
    def size(self) -> int:
        """Elements in a cell of a fixed shape."""
        assert self.shape is not None
        return math.prod(self.shape)

    def storage(self) -> pa.DataType:
        item = pa.field("element", self.element, nullable=False)
        if self.shape is not None:
            return pa.list_(item, self.size)
        sizes = pa.list_(pa.field("element", pa.int32(), nullable=False))
        return pa.struct([pa.field("data", pa.list_(item), nullable=False), pa.field("shape", sizes, nullable=False)])

    def arrow(self) -> pa.DataType:
        # Arrow's tensors have no bool elements, which are bits.
        if self.shape is None or self.dtype == "bool":
            return self.storage()
        return pa.fixed_shape_tensor(self.element, self.shape)

    @property
    def is_plain(self) -> bool:
        return False

    def to_json(self) -> Json:
        value: JsonObject = {"dtype": self.dtype}
        if self.shape is not None:
            value["shape"] = list(self.shape)
        return {"tensor": value}


def _dtype_name(dtype: Any) -> str:
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    if isinstance(dtype, pa.DataType):
        return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(dtype), str(dtype))
    text = str(dtype).removeprefix("torch.")
    if text in DTYPES:
        return text
    try:
        return str(np.dtype(dtype))
    except TypeError:
        return text

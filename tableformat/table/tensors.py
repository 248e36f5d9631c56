"""Arrays and tensors of Python values: as numpy arrays, and in the storage of a tensor type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import MediaError
from tableformat.format.media.arrays import to_array
from tableformat.format.types import Field, ScalarType, TensorType, Where
from tableformat.format.types.arrays import tensor_array
from tableformat.format.types.fit import Fitting, fit_field
from tableformat.format.types.tensor import DTYPES
from tableformat.table.families import ADVICE, mask_of

__all__ = ["numpy_arrays", "tensor_storage"]


def numpy_arrays(values: Sequence[Any], where: Where) -> list[npt.NDArray[Any] | None]:
    """The numpy arrays behind arrays, tensors and nested lists; raises for element types that tensors do not have."""
    arrays: list[npt.NDArray[Any] | None] = []
    for index, value in enumerate(values):
        if value is None:
            arrays.append(None)
            continue
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":
            value = value.float()  # every bfloat16 is a float32, and numpy has no such type
        try:
            array = np.asarray(value) if isinstance(value, list | tuple) else to_array(value)
        except (MediaError, ValueError) as error:
            raise where.error(index, expected="an array", got=f"{type(value).__name__}: {error}") from error
        if np.ma.isMaskedArray(array) and np.ma.is_masked(array):
            where.fail(index, expected="an array without masked values", got="a masked array", todo="fill them first")
        if array.dtype.name not in DTYPES:
            todo = ADVICE.get(array.dtype.name, "store value.tolist(), or convert with .astype")
            where.fail(index, expected="an array of numbers or bools", got=f"an array of {array.dtype}", todo=todo)
        arrays.append(array)
    return arrays


def tensor_storage(
    type_: TensorType, arrays: Sequence[npt.NDArray[Any] | None], where: Where, rounding: bool = False
) -> pa.Array:
    """Arrays in the storage of a tensor type. Raises where a shape differs or an element would change."""
    cast: list[npt.NDArray[Any] | None] = []
    for index, array in enumerate(arrays):
        if array is None:
            cast.append(None)
            continue
        if type_.shape is not None and array.shape != type_.shape:
            where.fail(index, expected=type_, got=f"the shape {list(array.shape)}", todo="declare shape=None")
        cast.append(_elements(array, type_, where, index, rounding))
    return tensor_array(type_.storage(), cast, mask_of(arrays))


def _elements(array: npt.NDArray[Any], type_: TensorType, where: Where, index: int, rounding: bool) -> npt.NDArray[Any]:
    if array.dtype == type_.dtype:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    flat = pa.array(np.ascontiguousarray(array.reshape(-1)).astype(array.dtype.newbyteorder("=")))
    inner = where.child("[]", lambda _: index)
    fitted = fit_field(
        Field("element", ScalarType(type_.element), nullable=False), flat, inner, Fitting(rounding=rounding)
    )
    numbers: npt.NDArray[Any] = fitted.to_numpy(zero_copy_only=False)
    return numbers.reshape(array.shape)

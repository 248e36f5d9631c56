"""Media cells inside storage arrays: found at any depth, and replaced there by a function of the cell array.

A cell is known by its type alone: a struct whose first field is the FILE struct of `format/media/kinds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tableformat.format.media.kinds import FILE_TYPE

__all__ = ["CellRewriter", "fields_of", "has_cells", "is_cell"]

_FILE_NAMES = tuple(field.name for field in FILE_TYPE)

Convert = Callable[[pa.Array], pa.Array]


def is_cell(type_: pa.DataType) -> bool:
    """Whether a storage type is that of a media cell."""
    if not pa.types.is_struct(type_) or not type_.num_fields or type_.field(0).name != "file":
        return False
    file_type = type_.field(0).type
    return pa.types.is_struct(file_type) and tuple(field.name for field in file_type) == _FILE_NAMES


def has_cells(type_: pa.DataType) -> bool:
    """Whether there is a media cell anywhere in a storage type."""
    if is_cell(type_):
        return True
    return any(has_cells(type_.field(index).type) for index in range(type_.num_fields))


def fields_of(array: pa.StructArray) -> Mapping[str, pa.Array]:
    """The children of a struct array by name, as they are: a null struct's children may hold anything."""
    return {field.name: array.field(index) for index, field in enumerate(array.type)}


@dataclass(frozen=True, slots=True)
class CellRewriter:
    """Replaces every cell array inside arrays of one storage type; everything else stays as it is."""

    type: pa.DataType
    """The type of the result."""
    convert: Convert
    """From an array of the storage type to one of `type`, of equal length and nulls."""

    @classmethod
    def plan(
        cls,
        type_: pa.DataType,
        cell_result: Callable[[pa.DataType], pa.DataType],
        cell: Callable[[pa.Array, pa.DataType], pa.Array],
    ) -> CellRewriter | None:
        """A rewriter for arrays of `type_`, or None where it holds no cells.

        `cell_result` gives the type that takes the place of a cell type, `cell` the array, from the cell array and
        that type.
        """
        if is_cell(type_):
            result = cell_result(type_)
            return cls(result, lambda array: cell(array, result))
        if pa.types.is_struct(type_):
            return cls._struct(type_, [cls.plan(field.type, cell_result, cell) for field in type_])
        if pa.types.is_map(type_):
            item = cls.plan(type_.item_type, cell_result, cell)
            return cls._map(type_, item) if item else None
        if pa.types.is_list(type_):
            item = cls.plan(type_.value_type, cell_result, cell)
            return cls._list(type_, item) if item else None
        if pa.types.is_fixed_size_list(type_):
            item = cls.plan(type_.value_type, cell_result, cell)
            return cls._fixed_list(type_, item) if item else None
        return None

    @classmethod
    def _struct(cls, type_: pa.DataType, inner: list[CellRewriter | None]) -> CellRewriter | None:
        if not any(inner):
            return None
        fields = [field.with_type(part.type) if part else field for field, part in zip(type_, inner, strict=True)]

        def convert(array: pa.Array) -> pa.Array:
            children = [part.convert(array.field(i)) if part else array.field(i) for i, part in enumerate(inner)]
            return pa.StructArray.from_arrays(children, fields=fields, mask=_mask(array))

        return cls(pa.struct(fields), convert)

    @classmethod
    def _map(cls, type_: pa.DataType, item: CellRewriter) -> CellRewriter:
        result = pa.map_(type_.key_type, type_.item_field.with_type(item.type))

        def convert(array: pa.Array) -> pa.Array:
            offsets, start, count = _offsets(array)
            keys, items = array.keys.slice(start, count), item.convert(array.items.slice(start, count))
            return pa.MapArray.from_arrays(offsets, keys, items, type=result, mask=_mask(array))

        return cls(result, convert)

    @classmethod
    def _list(cls, type_: pa.DataType, item: CellRewriter) -> CellRewriter:
        result = pa.list_(type_.value_field.with_type(item.type))

        def convert(array: pa.Array) -> pa.Array:
            offsets, start, count = _offsets(array)
            values = item.convert(array.values.slice(start, count))
            return pa.ListArray.from_arrays(offsets, values, type=result, mask=_mask(array))

        return cls(result, convert)

    @classmethod
    def _fixed_list(cls, type_: pa.DataType, item: CellRewriter) -> CellRewriter:
        size = type_.list_size
        result = pa.list_(type_.value_field.with_type(item.type), size)

        def convert(array: pa.Array) -> pa.Array:
            values = item.convert(array.values.slice(array.offset * size, len(array) * size))
            return pa.FixedSizeListArray.from_arrays(values, type=result, mask=_mask(array))

        return cls(result, convert)


def _mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _offsets(array: pa.Array) -> tuple[pa.Array, int, int]:
    """Offsets from zero, and which run of the child they speak of."""
    offsets = np.asarray(array.offsets)
    start = int(offsets[0])
    return pa.array(offsets - start, pa.int32()), start, int(offsets[-1]) - start

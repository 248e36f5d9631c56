"""Stored batches as users of Arrow are given them: logical types instead of storage, and cells that can be followed.

A cell in a part names its pack relative to the folder of the parts. Outside of the library it carries an absolute uri, so
that any engine can read it; a relative one that is not in the grammar of the store is refused, never joined to a path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import CorruptError, message
from tableformat.format.cells import CellRewriter
from tableformat.format.schema import Schema
from tableformat.format.types import ColumnType
from tableformat.storage.locations import is_owned_uri
from tableformat.table.batches import rows_only

__all__ = ["Logical", "absolute_cells"]

Convert = Callable[[pa.Array], pa.Array]
CellConvert = Callable[[pa.StructArray], pa.StructArray]


class Logical:
    """Turns batches of some columns in storage types into batches in logical types. Holds nothing between calls."""

    def __init__(self, schema: Schema, cells: CellConvert) -> None:
        self.schema = schema.logical_schema()
        self._rewriters = [
            CellRewriter.plan(column.type.storage(), lambda type_: type_, lambda array, _: cells(array))
            for column in schema.columns
        ]
        self._targets = [_target_of(column.type) for column in schema.columns]

    def convert(self, arrays: Sequence[pa.Array], rows: int) -> pa.RecordBatch:
        """A batch of `rows` rows from the columns in storage types."""
        if not arrays:
            return rows_only(rows)
        return pa.RecordBatch.from_arrays(self.columns(arrays), schema=self.schema)

    def columns(self, arrays: Sequence[pa.Array]) -> list[pa.Array]:
        """The columns in logical types from those in storage types."""
        converted = []
        for array, target, rewriter in zip(arrays, self._targets, self._rewriters, strict=True):
            moved = rewriter.convert(array) if rewriter is not None else array
            converted.append(moved if target is None else _logical(moved, target))
        return converted


def absolute_cells(prefix: str) -> CellConvert:
    """A function that puts `prefix`, the folder of the parts as other engines name it, before each relative uri."""

    def convert(array: pa.StructArray) -> pa.StructArray:
        file = array.field(0)
        uris = file.field(0)
        if uris.null_count == len(uris):
            return array
        coded = uris.dictionary_encode()
        names = coded.dictionary
        absolute = pc.match_substring(names, "://")
        if not pc.all(absolute).as_py():
            texts = names.to_pylist()
            known = absolute.to_pylist()
            names = pa.array(
                [text if is_url else _joined(prefix, text) for text, is_url in zip(texts, known, strict=True)],
                pa.string(),
            )
            uris = names.take(coded.indices)
        fields = [uris, *(file.field(index) for index in range(1, file.type.num_fields))]
        moved = pa.StructArray.from_arrays(fields, fields=list(file.type), mask=_mask(file))
        rest = [array.field(index) for index in range(1, array.type.num_fields)]
        return pa.StructArray.from_arrays([moved, *rest], fields=list(array.type), mask=_mask(array))

    return convert


def _joined(prefix: str, uri: str) -> str:
    if not is_owned_uri(uri):
        raise CorruptError(
            message(
                "resolving the uri of a media cell",
                path=repr(uri)[:200],
                expected="a pack or a blob of the store",
                got="something else",
            )
        )
    return prefix + uri


def _target_of(type_: ColumnType) -> pa.DataType | None:
    """The logical type, where it is another than the storage type."""
    target = type_.arrow()
    return None if target.equals(type_.storage()) else target


def _logical(array: pa.Array, target: pa.DataType) -> pa.Array:
    types = pa.types
    if not len(array):
        return pa.nulls(0, target)
    if isinstance(target, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(target, _logical(array, target.storage_type))
    if types.is_duration(target):
        return array.view(target)
    if types.is_struct(target):
        children = [_logical(array.field(index), field.type) for index, field in enumerate(target)]
        return pa.StructArray.from_arrays(children, fields=list(target), mask=_mask(array))
    if types.is_fixed_size_list(target):
        size = target.list_size
        values = _logical(array.values.slice(array.offset * size, len(array) * size), target.value_type)
        return pa.FixedSizeListArray.from_arrays(values, type=target, mask=_mask(array))
    if types.is_map(target):
        offsets, start, count = _run(array)
        keys = _logical(array.keys.slice(start, count), target.key_type)
        items = _logical(array.items.slice(start, count), target.item_type)
        return pa.MapArray.from_arrays(offsets, keys, items, type=target, mask=_mask(array))
    if types.is_list(target):
        offsets, start, count = _run(array)
        return pa.ListArray.from_arrays(
            offsets, _logical(array.values.slice(start, count), target.value_type), type=target, mask=_mask(array)
        )
    return array


def _run(array: pa.Array) -> tuple[pa.Array, int, int]:
    """Offsets from zero, and which run of the child they speak of."""
    first = array.offsets[0].as_py()
    offsets = array.offsets if not first and not array.offsets.offset else pc.subtract(array.offsets, first)
    return offsets, first, array.offsets[-1].as_py() - first


def _mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None

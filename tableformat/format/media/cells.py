"""Media columns: struct arrays built from whole columns of fields, and read back as media that decode when asked.

Building is columnar: what a batch costs is a handful of Arrow arrays, not a struct for each row. Reading makes one
small object for each row; the fields of all rows of the array are decoded when the first of them is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import MediaError
from tableformat.format.media.base import Check, Deferred, Media
from tableformat.format.media.classes import Classes
from tableformat.format.media.image import Image
from tableformat.format.media.kinds import COMMON_FIELDS, FILE_TYPE, OUTER_FIELDS, cell_type
from tableformat.format.media.prepared import CHECKSUM_PREFIX, Cell, CellSource, OpenUrl, Prepared
from tableformat.format.media.siblings import BoxColumn, MaskColumn

__all__ = ["build_cells", "checksums", "prepare_many", "read_cells"]

Values = Any
"""A column of fields: a pa.Array, a numpy array, a list with None for null, one value for all rows, or None: all null."""

_FILE_FIELDS = tuple(FILE_TYPE.field(index).name for index in range(FILE_TYPE.num_fields))


def build_cells(
    kind: str, count: int, *, valid: Sequence[bool] | npt.NDArray[np.bool_] | None = None, **fields: Values
) -> pa.StructArray:
    """The `count` cells of a column of `kind`, from columns of their fields by name.

    The names are those of `file` (`uri`, `offset`, `size`, `content_type`, `checksum`, `inline`), `digest`, `encoding`,
    `version_id`, and the kind's own; what is not given is null. Where `valid` is false the cell is null, whatever its
    fields hold. Numpy arrays are taken without copying where their type fits.
    """
    target = cell_type(kind)
    mask = None if valid is None else pa.array(~np.asarray(valid, dtype=np.bool_))
    columns = {name: _column(fields.pop(name, None), FILE_TYPE.field(name).type, count) for name in _FILE_FIELDS}
    file = pa.StructArray.from_arrays(list(columns.values()), fields=list(FILE_TYPE), mask=mask)
    rest = [
        _column(fields.pop(name, None), target.field(name).type, count)
        for name in (*COMMON_FIELDS, *OUTER_FIELDS[kind])
    ]
    if fields:
        raise TypeError(f"cells of {kind} have no field {', '.join(fields)}")
    return pa.StructArray.from_arrays([file, *rest], fields=list(target), mask=mask)


def _column(values: Values, type_: pa.DataType, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, type_)
    if isinstance(values, str | bytes | int):
        return pa.repeat(pa.scalar(values, type_), count)
    if isinstance(values, pa.Array):
        return values if values.type == type_ else values.cast(type_)
    return pa.array(values, type_)


def checksums(digests: Sequence[bytes] | npt.NDArray[np.uint8]) -> pa.StringArray:
    """`SHA-256:<hex>` for each raw digest of 32 bytes, or for each row of an N×32 array."""
    joined = digests.tobytes() if isinstance(digests, np.ndarray) else b"".join(digests)
    count = len(joined) // 32
    prefix = np.frombuffer(CHECKSUM_PREFIX.encode("ascii"), np.uint8)
    text = np.empty((count, len(prefix) + 64), np.uint8)
    text[:, : len(prefix)] = prefix
    text[:, len(prefix) :] = np.frombuffer(joined.hex().encode("ascii"), np.uint8).reshape(count, 64)
    offsets = np.arange(0, (count + 1) * text.shape[1], text.shape[1], dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))


def prepare_many(
    values: Iterable[Media | None],
    *,
    open_url: OpenUrl | None = None,
    check: Check = "header",
    errors: dict[int, Exception] | None = None,
) -> list[Prepared | None]:
    """Each of `values` prepared, None for None. With `errors`, what is wrong with a value goes there by its position
    and its place holds None; without, the first one raises."""
    prepared: list[Prepared | None] = []
    for value in values:
        try:
            prepared.append(None if value is None else value.prepare(open_url, check))
        except (MediaError, ValueError, ImportError) as error:
            if errors is None:
                raise
            errors[len(prepared)] = error
            prepared.append(None)
    return prepared


class _CellColumn:
    """The cells of one array, decoded together."""

    __slots__ = ("_array", "_cells", "_kind", "_reader")

    def __init__(self, kind: str, array: pa.StructArray, reader: CellSource | None) -> None:
        self._kind = kind
        self._array = array
        self._reader = reader
        self._cells: list[Cell] | None = None

    def value(self, index: int) -> Cell:
        cells = self._cells
        if cells is None:
            cells = self._cells = self._decode()
        cell = cells[index]
        cell.check()
        return cell

    def _decode(self) -> list[Cell]:
        array = self._array
        file = array.field("file")
        names = OUTER_FIELDS[self._kind]
        stored = [file.field(name).to_pylist() for name in _FILE_FIELDS]
        stored += [array.field(name).to_pylist() for name in COMMON_FIELDS]
        own = zip(*(array.field(name).to_pylist() for name in names), strict=True)
        kind, reader = self._kind, self._reader
        return [
            Cell._make((kind, *row, dict(zip(names, told, strict=True)), reader))
            for told, row in zip(own, zip(*stored, strict=True), strict=True)
        ]


def read_cells(
    kind: str,
    array: pa.StructArray,
    source: CellSource | None,
    *,
    boxes: pa.Array | None = None,
    masks: pa.Array | None = None,
    captions: pa.Array | None = None,
    classes: pa.Array | Classes | str | None = None,
    data: Sequence[bytes | None] | None = None,
) -> list[Media | None]:
    """The media of a column, None for null; nothing is read.

    `source` reads their bytes when asked. The sibling columns have the length of `array`; `classes` may also be one set,
    or its digest, for all rows. `data` are bytes that were read already. The list keeps the arrays alive.
    """
    count = len(array)
    column = _CellColumn(kind, array, source)
    valid = array.is_valid().to_pylist() if array.null_count else None
    told = captions.to_pylist() if captions is not None else None
    make = Media._of_origin
    media: list[Media | None] = [
        None
        if valid is not None and not valid[index]
        else make(kind, Deferred(column, index), told[index] if told else None)
        for index in range(count)
    ]
    if data is not None:
        for item, held in zip(media, data, strict=True):
            if item is not None:
                item.hold(held)
    if boxes is not None or masks is not None or classes is not None:
        _annotate(media, source, boxes, masks, classes)
    return media


def _annotate(
    media: list[Media | None],
    source: CellSource | None,
    boxes: pa.Array | None,
    masks: pa.Array | None,
    classes: pa.Array | Classes | str | None,
) -> None:
    box_column = BoxColumn(boxes) if boxes is not None else None
    mask_column = MaskColumn(masks, source, read_cells) if masks is not None else None
    sets = classes.to_pylist() if isinstance(classes, pa.Array) else None
    for index, item in enumerate(media):
        if isinstance(item, Image):
            item.with_annotations(
                Deferred(box_column, index) if box_column is not None else None,
                Deferred(mask_column, index) if mask_column is not None else None,
                sets[index] if sets is not None else classes,
            )

"""Rows as Python values: whole columns are decoded at once, and a row is a view of its place in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from tableformat.errors import NotFoundError, UsageError, message
from tableformat.format.malformed import Telling
from tableformat.format.media.base import Deferred, Media
from tableformat.format.media.boxes import Box
from tableformat.format.media.cells import read_cells
from tableformat.format.media.image import Image
from tableformat.format.media.masks import Mask
from tableformat.format.schema import Schema
from tableformat.format.types import Field, MediaType
from tableformat.format.types.nearest import nearest
from tableformat.table.cell_reader import CellReader, cell_sizes
from tableformat.table.reading import Piece
from tableformat.table.values import to_python

__all__ = ["MediaMode", "Row", "decode_columns", "decode_row", "iter_rows", "visible_columns"]

MediaMode = Literal["lazy", "bytes"]
"""Media objects that read when asked, or the bytes of all media, fetched many at once."""

_LAZY_ROWS: Final = 1024
_BYTES_ROWS: Final = 4096
_SHOWN: Final = 60


class Row(Mapping[str, Any]):
    """One row: a frozen mapping of column to value, in the order of the columns. Two are equal when their values are."""

    __slots__ = ("_places", "_values", "index")

    _places: Mapping[str, int]
    _values: tuple[Any, ...]
    index: int
    """The number of the row in its table, counted from 0, whatever selection it was read through."""

    def __init__(self, places: Mapping[str, int], values: tuple[Any, ...], index: int) -> None:
        _set(self, "_places", places)
        _set(self, "_values", values)
        _set(self, "index", index)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[self._places[name]]
        except KeyError:
            known = list(self._places)
            raise NotFoundError(
                message(
                    "looking up a value of a row",
                    expected="a column",
                    got=repr(name)[:200],
                    todo=nearest(str(name), known),
                )
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __setattr__(self, name: str, value: object) -> None:
        raise UsageError(
            message("changing a row", path=name, expected="a draft to write to", got="a row, which is read-only")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Row, (dict(self._places), self._values, self.index)

    def __hash__(self) -> int:
        return hash(self._values)

    def to_dict(self) -> dict[str, Any]:
        """A dict of its own with the same values."""
        return dict(zip(self._places, self._values, strict=True))

    def __repr__(self) -> str:
        told = ", ".join(f"{name}: {short(value)}" for name, value in self.items())
        return f"<Row {self.index}: {told}>" if told else f"<Row {self.index}>"


_set = object.__setattr__


def short(value: Any, limit: int = _SHOWN) -> str:
    """A value as one short line."""
    if isinstance(value, np.ndarray):
        return f"array({value.dtype}, {'×'.join(map(str, value.shape))})"
    if isinstance(value, bytes) and len(value) > limit // 3:
        return f"<{len(value):,} bytes>"
    text = (
        value.isoformat(sep=" ")
        if hasattr(value, "hour") and hasattr(value, "year") and hasattr(value, "isoformat")
        else repr(value)
    )
    text = "".join(char if char.isprintable() else "·" for char in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def visible_columns(schema: Schema) -> list[Field]:
    """The columns that a person sees: annotations are part of their media."""
    media = {column.name for column in schema.columns if isinstance(column.type, MediaType)}
    return [column for column in schema.columns if column.annotates is None or column.annotates[0] not in media]


def decode_columns(
    schema: Schema, arrays: Sequence[pa.Array], reader: CellReader, media: MediaMode = "lazy"
) -> dict[str, list[Any]]:
    """The values of the visible columns; `arrays` are those of `schema`, in storage types. With `media="bytes"` it reads the
    bytes of all media and holds them."""
    given = dict(zip((column.name for column in schema.columns), arrays, strict=True))
    nested = _NestedMedia(reader, media)
    values: dict[str, list[Any]] = {}
    for column in visible_columns(schema):
        array = given[column.name]
        if not isinstance(column.type, MediaType):
            with Telling("reading rows", f"{reader.source.address}, column {column.name!r}"):
                values[column.name] = to_python(column.type, array, nested)
        elif media == "bytes":
            with Telling("reading media", f"{reader.source.address}, column {column.name!r}"):
                values[column.name] = reader.read_array(array)
        else:
            said = {
                role: given[sibling.name]
                for role, sibling in schema.siblings(column.name).items()
                if sibling.name in given
            }
            classes: Any = said.get("classes")
            if column.type.classes is not None:
                classes = column.type.classes if classes is None else classes.fill_null(column.type.classes)
            values[column.name] = read_cells(
                column.type.media,
                array,
                reader,
                boxes=said.get("boxes"),
                masks=said.get("masks"),
                captions=said.get("caption"),
                classes=classes,
            )
    return values


class _NestedMedia:
    """Makes media inside lists and structs, as `to_python` asks for them."""

    __slots__ = ("_media", "_reader")

    def __init__(self, reader: CellReader, media: MediaMode) -> None:
        self._reader = reader
        self._media = media

    def __call__(self, type_: MediaType, array: pa.Array, said: Mapping[str, Sequence[Any]]) -> list[Any]:
        if self._media == "bytes":
            return list(self._reader.read_array(array))
        captions = pa.array(said["caption"], pa.string()) if "caption" in said else None
        found = read_cells(type_.media, array, self._reader, captions=captions)
        boxes, masks, classes = (said.get(role) for role in ("boxes", "masks", "classes"))
        for row, item in enumerate(found):
            if isinstance(item, Image):
                own = (classes[row] if classes is not None else None) or type_.classes
                item.with_annotations(_given(boxes, row, _boxes), _given(masks, row, _masks), own)
        return list(found)


def _given(column: Sequence[Any] | None, row: int, make: Any) -> Deferred | None:
    return None if column is None else Deferred(_Layers(column, make), row)


class _Layers:
    """Layers that were decoded with their struct, made into boxes or masks when asked for."""

    __slots__ = ("_column", "_make")

    def __init__(self, column: Sequence[Any], make: Any) -> None:
        self._column = column
        self._make = make

    def value(self, index: int) -> Any:
        layers = self._column[index]
        return (
            None if layers is None else {name: self._make(layer) for name, layer in layers.items() if layer is not None}
        )


def _boxes(layer: Sequence[Mapping[str, Any]]) -> tuple[Box, ...]:
    # Maps inside a box come as dicts here, and as pairs where a column of boxes is decoded by itself.
    return tuple(Box.from_fields({**fields, "scores": list((fields.get("scores") or {}).items())}) for fields in layer)


def _masks(layer: Media) -> Mask:
    return Mask.of_media(layer)


def iter_rows(
    schema: Schema, pieces: Iterator[Piece], reader: CellReader, media: MediaMode, media_bytes: int
) -> Iterator[Row]:
    """The rows of `pieces`, whose batches have the columns of `schema`. Holds the values of up to 4,096 rows, and with
    `media="bytes"` up to `media_bytes` of media, or one row that has more."""
    if media not in ("lazy", "bytes"):
        raise UsageError(message("reading rows", expected="media='lazy' or media='bytes'", got=repr(media)[:60]))
    places = {column.name: place for place, column in enumerate(visible_columns(schema))}
    for piece in pieces:
        for start, stop in _runs(schema, piece, media, media_bytes):
            arrays = [column.slice(start, stop - start) for column in piece.batch.columns]
            values = decode_columns(schema, arrays, reader, media)
            numbers = piece.rows[start:stop]
            indices = numbers if isinstance(numbers, range) else numbers.tolist()
            if not places:
                for index in indices:
                    yield Row(places, (), index)
                continue
            for index, row in zip(indices, zip(*values.values(), strict=True), strict=True):
                yield Row(places, row, index)


def _runs(schema: Schema, piece: Piece, media: MediaMode, media_bytes: int) -> Iterator[tuple[int, int]]:
    """Where to cut a piece so that what is held stays bounded."""
    total = len(piece.rows)
    most = _BYTES_ROWS if media == "bytes" else _LAZY_ROWS
    ends = None
    if media == "bytes":
        sizes = [
            cell_sizes(piece.batch.column(column.name))
            for column in schema.columns
            if isinstance(column.type, MediaType)
        ]
        ends = np.cumsum(np.sum(sizes, axis=0)) if sizes else None
    start = 0
    while start < total:
        stop = min(start + most, total)
        if ends is not None:
            before = int(ends[start - 1]) if start else 0
            stop = min(stop, max(start + 1, int(np.searchsorted(ends, before + media_bytes, "right"))))
        yield start, stop
        start = stop


def decode_row(schema: Schema, arrays: Sequence[pa.Array], reader: CellReader, index: int = 0) -> Row:
    """The row that arrays of length one hold; media are lazy."""
    values = decode_columns(schema, arrays, reader)
    return Row(
        {name: place for place, name in enumerate(values)}, tuple(column[0] for column in values.values()), index
    )


def sub_schema(schema: Schema, names: Sequence[str]) -> Schema:
    """The schema of some columns, in this order, each medium followed by its annotations.

    Raises `NotFoundError` with the nearest name, `UsageError` for a name that is given twice.
    """
    columns: list[Field] = []
    taken: set[str] = set()
    for name in names:
        column = schema[name]
        if name in taken and column.annotates is None:
            raise UsageError(message("selecting columns", expected="each column once", got=f"{name!r} twice"))
        for one in (column, *schema.siblings(name).values()):
            if one.name not in taken:
                taken.add(one.name)
                columns.append(one)
    alone = [
        replace(one, annotates=None) if one.annotates is not None and one.annotates[0] not in taken else one
        for one in columns
    ]
    return Schema(tuple(alone), schema.retired)

"""The leaf columns of a Parquet file as its Arrow schema tells them: their numbers, by column and by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

__all__ = ["Leaves"]


@dataclass(frozen=True, slots=True)
class Leaves:
    """Where each column's leaves stand in the order of the file."""

    of_column: dict[str, range]
    """By top-level column, the numbers of its leaves."""
    of_path: dict[tuple[str, ...], int]
    """By the names on the way down, the leaves that have one value a row: not those below lists and maps."""
    widths: tuple[int, ...]
    """Bytes of a decoded value of each leaf; 0 for text and binary, whose values differ."""

    @classmethod
    def of_schema(cls, schema: pa.Schema) -> Leaves:
        """The leaves of files with this Arrow schema."""
        of_column: dict[str, range] = {}
        of_path: dict[tuple[str, ...], int] = {}
        widths: list[int] = []
        for field in schema:
            first = len(widths)
            _walk((field.name,), field.type, True, of_path, widths)
            of_column[field.name] = range(first, len(widths))
        return cls(of_column, of_path, tuple(widths))

    def of_columns(self, names: Sequence[str]) -> list[int]:
        """The numbers of all leaves of the columns `names`."""
        return [number for name in names for number in self.of_column[name]]


def _walk(
    path: tuple[str, ...], type_: pa.DataType, single: bool, of_path: dict[tuple[str, ...], int], widths: list[int]
) -> None:
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if pa.types.is_struct(type_):
        for field in type_:
            _walk((*path, field.name), field.type, single, of_path, widths)
    elif pa.types.is_map(type_):
        _walk(path, type_.key_type, False, of_path, widths)
        _walk(path, type_.item_type, False, of_path, widths)
    elif pa.types.is_nested(type_):
        _walk(path, type_.value_type, False, of_path, widths)
    else:
        if single:
            of_path[path] = len(widths)
        try:
            widths.append(max(type_.bit_width // 8, 1))
        except ValueError:  # text, binary, dictionaries
            widths.append(0)

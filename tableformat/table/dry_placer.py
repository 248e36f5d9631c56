"""A placer that places nothing: rows are tried with it before their fault is known."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import pyarrow as pa

from tableformat.format.media.kinds import cell_type
from tableformat.format.types import Where

__all__ = ["DryPlacer"]


class DryPlacer:
    """Gives cells that are not null and say nothing. Media are not read: they were when they were appended."""

    def __init__(self, known_ids: Any) -> None:
        self._known_ids = known_ids

    def place(self, kind: str, values: Sequence[Any], where: Where) -> pa.StructArray:  # noqa: ARG002
        return _blank(kind, [value is None for value in values])

    def place_binary(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:  # noqa: ARG002
        return _blank(kind, array.is_null().to_pylist())

    def place_strings(self, kind: str, array: pa.Array, uris: str, where: Where) -> pa.StructArray:  # noqa: ARG002
        return _blank(kind, array.is_null().to_pylist())

    def place_struct(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:  # noqa: ARG002
        return _blank(kind, array.is_null().to_pylist())

    def place_masks(self, masks: Sequence[Any], images: Sequence[Any], where: Where) -> pa.StructArray:  # noqa: ARG002
        return _blank("image", [mask is None for mask in masks])

    def place_classes(self, values: Sequence[Any], where: Where) -> list[str | None]:  # noqa: ARG002
        return [getattr(value, "digest", value) for value in values]

    def known_ids(self, digest: str) -> Container[int] | None:
        found: Container[int] | None = self._known_ids(digest)
        return found


def _blank(kind: str, nulls: list[bool]) -> pa.StructArray:
    type_ = cell_type(kind)
    children = [pa.nulls(len(nulls), field.type) for field in type_]
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=pa.array(nulls, pa.bool_()))

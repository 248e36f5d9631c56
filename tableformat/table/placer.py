"""Placer: what turns media into cells. The writer of a table implements it; building and adopting only call it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Protocol

import pyarrow as pa

from tableformat.format.types import Where

__all__ = ["Placer"]


class Placer(Protocol):
    """Places media and gives their cells, in the order of what it was given; null for null.

    Arrays that come back have the type `cell_type(kind)`. Errors are `MediaError` or `SchemaError`, made with
    `where.row(index)`. A batch is placed as a whole or not at all.
    """

    def place(self, kind: str, values: Sequence[Any], where: Where) -> pa.StructArray:
        """Cells of Python values: media of `kind`, or bytes and paths from which such media are made; None is null."""

    def place_binary(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:
        """Cells of a column of encoded media."""

    def place_strings(self, kind: str, array: pa.Array, uris: str, where: Where) -> pa.StructArray:
        """Cells of a column of paths and URLs: read and stored where `uris` is `own`, pointed at where it is `refer`."""

    def place_struct(self, kind: str, array: pa.Array, where: Where) -> pa.StructArray:
        """Cells of structs `{bytes, path}`, or of cells of this format: what they own is stored here, too."""

    def place_masks(self, masks: Sequence[Any], images: Sequence[Any], where: Where) -> pa.StructArray:
        """Image cells of masks, each lying over the image at the same index; sizes must match."""

    def place_classes(self, values: Sequence[Any], where: Where) -> list[str | None]:
        """The digests of class sets given as `Classes` or as digests; sets are stored with the table."""

    def known_ids(self, digest: str) -> Container[int] | None:
        """The ids of the class set `digest`; None where the set is not known here, and ids go unchecked."""

"""The parts of a table as its manifest lists them, each parsed when it is asked for.

A list in leaves says of every part how many rows it has, beside the part itself: that is enough to find a row. A reader of
a few rows of a table of thousands of parts parses a few of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from tableformat.document import decode_document
from tableformat.errors import CorruptError, message
from tableformat.format.item_list import ItemList, Line
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items, iter_lines

__all__ = ["LazyParts", "load_parts"]


def load_parts(backend: Backend, entry: TableEntry, address: str) -> Sequence[Part]:
    """The parts of an entry, in row order: parsed when they are asked for, where their list stands in leaves and no rows of
    them are deleted. Reads the leaves; raises `FormatError` and `CorruptError` naming `address`."""
    listed: ItemList = entry.parts
    if listed.leaves and "deletions" not in entry.requires.read:
        lines = list(iter_lines(backend, listed))
        if all(line.rows is not None and line.bytes is not None for line in lines):
            return LazyParts(lines, address)
    return tuple(Part.from_json(one, address) for one in iter_items(backend, listed))


class LazyParts(Sequence[Part]):
    """Parts by number. Safe from many threads; holds the text of each part until it is parsed, then the part."""

    def __init__(self, lines: Sequence[Line], address: str) -> None:
        self._found: list[Line | Part] = list(lines)
        self._address = address
        self.row_counts: npt.NDArray[np.int64] = np.array([line.rows for line in lines], np.int64)
        """The rows of each part, which has no deleted ones."""
        self.total_bytes: int = sum(line.bytes or 0 for line in lines)
        """Decoded bytes of all parts, as their list says."""

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Part: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Part]: ...

    def __getitem__(self, index: int | slice) -> Part | Sequence[Part]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        found = self._found[index]
        if isinstance(found, Line):
            self._found[index] = found = self._parse(found)
        return found

    def _parse(self, line: Line) -> Part:
        part = Part.from_json(decode_document(line.item.encode("utf-8"), self._address), self._address)
        if part.visible_rows != line.rows or part.bytes != line.bytes:
            raise CorruptError(
                message("reading a part in a manifest", path=self._address, expected=f"{line.rows} rows and {line.bytes} bytes, as the list of parts says",
                        got=f"{part.visible_rows} and {part.bytes}", todo="verify the store")
            )  # fmt: skip
        return part

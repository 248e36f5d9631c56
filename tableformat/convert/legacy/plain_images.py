"""Cells that are images and nothing more, many at a time: their files are read, compared and handed on as one Arrow column.

Most tables of images hold nothing else. A cell with annotations, or one about which anything is odd, makes its whole piece
of a block go the other way (`media_files.MediaReader.read`), which tells what is odd and where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import tableformat
from tableformat.convert.legacy.folder import is_plain_path
from tableformat.convert.legacy.manifest import ManifestEntry
from tableformat.convert.legacy.source import SourceArtifact
from tableformat.errors import InvalidInputError, TableformatError

__all__ = ["PlainImages", "pieces_of"]

_KEYS: Final = frozenset({"_type", "path", "format", "width", "height", "sha256", "size"})
_PIECE: Final = 4 << 20
_LARGE: Final = 8 << 20
_PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class PlainImages:
    """The images of a piece of a column."""

    datas: list[bytes | None]
    """The bytes of each file; None for null."""
    paths: list[str | None]
    """Where each lies in its artifact."""

    @property
    def size(self) -> int:
        """The bytes of all files, each once."""
        return sum(map(len, {path: data for path, data in zip(self.paths, self.datas, strict=True) if data}.values()))

    @classmethod
    def read(cls, cells: Sequence[Any], artifact: SourceArtifact) -> PlainImages | None:
        """The images that `cells` name, read from `artifact` and as its manifest and they themselves say; None for any others."""
        paths = [None if cell is None else _path_of(cell, artifact) for cell in cells]
        wanted = [path for path in paths if path is not None]
        if "" in wanted:
            return None
        try:
            found = dict(zip(distinct := list(dict.fromkeys(wanted)), artifact.folder.read_all(distinct), strict=True))
        except TableformatError:
            return None
        sizes = artifact.files
        if any(len(data) != sizes[path] for path, data in found.items()):
            return None
        told: dict[str, str | None] = {}
        for cell, path in zip(cells, paths, strict=True):
            if path is not None and not _is_as_told(cell, path, found[path], told, artifact):
                return None
        return cls([None if path is None else found[path] for path in paths], paths)


def _path_of(cell: Any, artifact: SourceArtifact) -> str:
    """The file that a plain cell names; empty where the cell is none, or its file is not simply there."""
    if type(cell) is not dict:
        return ""
    path = cell.get("path")
    if not cell.keys() <= _KEYS or cell.get("_type") != "image-file" or type(path) is not str:
        return ""
    size, entry = artifact.files.get(path), artifact.entry(path)
    if size is None or size > _LARGE or not is_plain_path(path):
        return ""
    is_owned = entry is None or (entry.ref is None and entry.size in (None, size))
    return path if is_owned else ""


def _is_as_told(
    cell: dict[str, Any], path: str, data: bytes, told: dict[str, str | None], artifact: SourceArtifact
) -> bool:
    """Whether the bytes have the digest and the header that the cell says, so that nothing of it need be kept. `told` has
    the digests of files that were looked at."""
    wanted = cell.get("sha256")
    if path not in told:
        told[path] = sha256(data).hexdigest() if type(wanted) is str else _by_manifest(data, artifact.entry(path))
    if told[path] is None or (wanted is not None and told[path] != wanted):
        return False
    if cell.get("format", path.rpartition(".")[2]) != path.rpartition(".")[2] or cell.get("size", len(data)) != len(
        data
    ):
        return False
    width, height = _sides(data)
    return width is not None and cell.get("width", width) == width and cell.get("height", height) == height


def _by_manifest(data: bytes, entry: ManifestEntry | None) -> str | None:
    return None if entry is not None and entry.problem_of(data) is not None else ""


def _sides(data: bytes) -> tuple[int | None, int | None]:
    """Width and height of an image, by its header; None for what is no image."""
    if data.startswith(_PNG) and data.endswith(_PNG_END):
        width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
        return (width, height) if 0 < width < 1 << 31 and 0 < height < 1 << 31 else (None, None)
    try:
        fields = tableformat.Image(data).prepare().fields
    except (InvalidInputError, LookupError):
        return None, None
    return fields.get("width"), fields.get("height")


def pieces_of(columns: Sequence[Sequence[Any]], artifact: SourceArtifact, rows: int) -> list[tuple[int, int]]:
    """The rows of a block in pieces whose files have about 4 MiB: first row and end of each."""
    ends, start, total = [], 0, 0
    for index in range(rows):
        for cells in columns:
            cell = cells[index]
            path = cell.get("path") if isinstance(cell, dict) else None
            total += (artifact.files.get(path) or 0) if type(path) is str else 0
        if total >= _PIECE:
            ends.append((start, index + 1))
            start, total = index + 1, 0
    return [*ends, (start, rows)] if start < rows else ends

"""The media of a table as files: which names they get, and how their bytes come there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

import pyarrow as pa

import tableformat
from tableformat.convert.file_names import create_file, safe_path

__all__ = ["MediaFiles"]

_READERS: Final = 8
_SMALL_BYTES: Final = 8 << 20
_EXTENSIONS: Final = {"jpeg": "jpg", "tiff": "tif", "plotly": "plotly.json"}


class MediaFiles:
    """Writes the media of a table into folders, one for each column."""

    def __init__(self, table: tableformat.Table | tableformat.JoinedTable, root: str, columns: list[str]) -> None:
        self._root = root
        self.columns = columns
        self.count = 0
        self.left = 0
        self._folders = {name: _folder_of(name) for name in columns}
        named = next(
            (
                column
                for column in table.schema.columns
                if column.name == "path" and column.type.storage() == pa.string()
            ),
            None,
        )
        self._named = named is not None
        chosen = table.select(*columns)
        self._rows: Iterator[Any] = chosen.flat_rows() if isinstance(chosen, tableformat.JoinedTable) else chosen.rows()

    def write(self, batch: pa.RecordBatch, first: int) -> dict[str, pa.Array]:
        """Write the media of the next rows, those of `batch`, and return their paths below the root."""
        rows = list(islice(self._rows, batch.num_rows))
        paths = batch.column("path").to_pylist() if self._named else [None] * len(rows)
        told: dict[str, list[str | None]] = {name: [] for name in self.columns}
        jobs: list[tuple[Any, str]] = []
        for offset, (row, path) in enumerate(zip(rows, paths, strict=True)):
            for name in self.columns:
                told[name].append(self._plan(row[name], name, path, first + offset, jobs))
        with ThreadPoolExecutor(_READERS, "export") as readers:  # far stores answer several at a time
            for _ in readers.map(self._copy, jobs):
                self.count += 1
        return {name: pa.array(values, pa.string()) for name, values in told.items()}

    def _plan(self, media: Any, column: str, path: str | None, row: int, jobs: list[tuple[Any, str]]) -> str | None:
        if media is None:
            return None
        if media.reference is not None:
            self.left += 1
            return str(media.reference.uri)
        name = safe_path(path or getattr(media, "name", None) or "")
        ext = _extension(media)
        if not name:
            name = f"{row:08d}.{ext}"
        elif not _has_extension(name, ext):
            name = f"{name}.{ext}"
        made = create_file(self._root, self._folders[column], name, row)
        jobs.append((media, made))
        return made

    def _copy(self, job: tuple[Any, str]) -> None:
        media, path = job
        with open(os.path.join(self._root, *path.split("/")), "wb") as file:
            if (media.size or 0) <= _SMALL_BYTES:
                file.write(media.bytes())
            else:
                with media.open() as source:
                    shutil.copyfileobj(source, file, 1 << 20)


def _folder_of(column: str) -> str:
    plain = safe_path(column.replace("/", "_")) or "media"
    return f"_{plain}" if plain.lower().startswith(("rows.", "classes.")) else plain


def _extension(media: Any) -> str:
    word = media.format
    if not isinstance(word, str) or not word.replace(".", "").isalnum() or len(word) > 16:
        return "bin"
    return _EXTENSIONS.get(word, word)


def _has_extension(name: str, ext: str) -> bool:
    """Whether the name of a file says already what `ext` does; `bin` says nothing."""
    last = name.rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""
    same = {"jpg": {"jpg", "jpeg", "jpe", "jfif"}, "tif": {"tif", "tiff"}, "html": {"html", "htm"}}
    return ext == "bin" or last == ext or last in same.get(ext, ()) or name.lower().endswith(f".{ext}")

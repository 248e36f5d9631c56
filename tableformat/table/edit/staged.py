"""Rows given to an edit, brought into the storage of the table before anything is changed.

They may come in any order, from any source, with media, and turn out wrong at the last row. So they go through a `TableWriter`
into a temporary folder first: types, media, key and uniqueness are settled and proven there, in bounded memory, and then they
can be read again in any order. Media are stored where they belong at once; only their cells wait.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tableformat.errors import InvalidInputError, message
from tableformat.format.manifest import TableEntry
from tableformat.format.schema import Schema
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.local import LocalBackend
from tableformat.storage.versionfile import Input
from tableformat.table.edit.opened import Opened
from tableformat.table.media_placer import MediaPlacer
from tableformat.table.source import TableSource, input_of
from tableformat.table.writer import TableOptions, TableWriter, WrittenTable

__all__ = ["Staged", "edit_options", "staged"]

_PART_ROWS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows that were given to an edit, in the order given."""

    rows: Opened
    """They, as a table of a temporary store; readable inside the `with` block."""
    schema: Schema
    objects: tuple[str, ...]
    """Packs and blobs of the real store that their cells point at."""
    inputs: tuple[Input, ...]
    """Versions whose media were copied."""


def edit_options(options: Mapping[str, Any], doing: str, *, new_columns: bool = False) -> TableOptions:
    """How rows given to an edit are written; raises `InvalidInputError` for what is no option of edits."""
    if unknown := sorted(options.keys() - {"uris"}):
        raise InvalidInputError(message(doing, expected="options among check, uris", got=", ".join(unknown)))
    return TableOptions(**options, part_rows=_PART_ROWS, new_columns=new_columns)


@contextmanager
def staged(
    name: str,
    placer: MediaPlacer,
    feed: Callable[[TableWriter], object],
    *,
    schema: Schema | None = None,
    key: Sequence[str] = (),
    options: TableOptions | None = None,
) -> Iterator[Staged]:
    """The rows that `feed` writes; `schema` declares columns. Raises what a `TableWriter` raises, having changed nothing.

    Holds what a `TableWriter` holds; the rows themselves lie in a temporary folder, which goes with the block.
    """
    folder = tempfile.mkdtemp(prefix="tableformat-edit-")
    written: list[WrittenTable] = []
    backend, options = LocalBackend(folder), options or TableOptions(part_rows=_PART_ROWS)
    try:
        writer = TableWriter(backend, name, placer, schema=schema, key=key, options=options, done=written.append)
        with writer:
            feed(writer)
        yield _staged(name, backend, written[0], placer.root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _staged(name: str, backend: LocalBackend, written: WrittenTable, root: str) -> Staged:
    stream = written.stream
    entry = TableEntry(
        stream.rows, written.schema, stream.layout, written.key, stream.ascending, columns=stream.columns
    )
    source = TableSource(
        backend=backend,
        entry=entry,
        load_parts=lambda: stream.parts,
        blobs=BlobReader(backend),
        address=f"rows for {name}",
    )
    inputs = [found for reader in written.sources if (found := input_of(reader, root)) is not None]
    return Staged(Opened(source, name), written.schema, written.objects, tuple(inputs))

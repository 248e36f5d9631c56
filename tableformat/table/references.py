"""`References`: what stands behind an entry of many references: a mapping of path to file, read leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tableformat.document import JsonObject
from tableformat.errors import NotFoundError, message
from tableformat.format.media import File, Media
from tableformat.format.reference import Known, checksum_of
from tableformat.format.reference_leaf import Listed
from tableformat.storage.interface import Backend
from tableformat.storage.reference_lists import ReferenceList
from tableformat.table.cell_reader import CellReader
from tableformat.table.source import TableSource

__all__ = ["References", "open_references", "reference_cell"]


class References(Mapping[str, File]):
    """Objects outside of the store, by what follows their common prefix. Opening it reads nothing, looking one up one leaf.

    Immutable; safe between threads. Bytes are read, where they are allowed, when a file is asked for them.
    """

    def __init__(self, listed: ReferenceList, backend: Backend, reader: CellReader, address: str) -> None:
        self._listed, self._backend, self._reader, self._address = listed, backend, reader, address

    @property
    def prefix(self) -> str:
        """The URL that stands before each path, as it was when they were referred to."""
        return self._listed.prefix

    @property
    def source(self) -> TableSource:
        """What its files are read through."""
        return self._reader.source

    @property
    def bytes(self) -> int | None:
        """The sum of their sizes; None where one is not known."""
        return self._listed.bytes

    def __len__(self) -> int:
        return self._listed.count

    def __iter__(self) -> Iterator[str]:
        """The paths, sorted by code point; reads a leaf at a time."""
        return (one.path for one in self._listed.iterate(self._backend))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._listed.find(self._backend, path) is not None

    def __getitem__(self, path: str) -> File:
        """The file at `path`; reads one leaf, and nothing outside of the store. Raises `NotFoundError`."""
        known = self.known(path)
        if known is None:
            raise NotFoundError(
                message(f"looking up a reference of {self._address}", path=repr(path)[:200], expected="a path of the list", got="none",
                        todo="list some with next(references.batches())")
            )  # fmt: skip
        return self._file(Listed(path, known))

    def items(self) -> Any:
        """Pairs of path and file, in order; reads a leaf at a time."""
        return ((one.path, self._file(one)) for one in self._listed.iterate(self._backend))

    def known(self, path: str) -> Known | None:
        """What was known of the object at `path` when it was referred to; None where there is no such path."""
        return self._listed.find(self._backend, path)

    def listed(self) -> Iterator[Listed]:
        """Paths with what is known of each, in order; holds a leaf."""
        return self._listed.iterate(self._backend)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The references as Arrow: `uri`, `path`, `size`, `modified`, `etag`, `version`, `checksum`. Holds a leaf."""
        for table in self._listed.tables(self._backend):
            yield from _shown(table, self.prefix).to_batches()

    def _file(self, one: Listed) -> File:
        cell = reference_cell(self.prefix, one)
        media = Media.from_cell("file", cell, self._reader)
        assert isinstance(media, File)
        return media

    def __repr__(self) -> str:
        return f"<References {len(self):,} below {self.prefix}>"


def open_references(item: JsonObject, address: str, backend: Backend, reader: CellReader) -> Any:
    """The object behind an entry: a `File` for a single object, else `References`."""
    listed = ReferenceList.from_json(item, address)
    if listed.is_single:
        return Media.from_cell("file", reference_cell(listed.prefix, listed.inline[0]), reader)
    return References(listed, backend, reader, address)


def reference_cell(prefix: str, one: Listed) -> JsonObject:
    """The fields of a cell that points at a listed object."""
    uri, known = prefix + one.path, one.known
    file: JsonObject = {"uri": uri, "size": known.size, "checksum": checksum_of(known)}
    return {
        "file": file,
        "version_id": known.version,
        "name": uri.rstrip("/").rpartition("/")[2] or None,
        "format": None,
    }


def _shown(table: pa.Table, prefix: str) -> pa.Table:
    hexes = [None if raw is None else raw.hex() for raw in table.column("etag_hex").to_pylist()]
    digests = [None if raw is None else f"sha256:{raw.hex()}" for raw in table.column("sha256").to_pylist()]
    return pa.table(
        {
            "uri": pc.binary_join_element_wise(prefix, table.column("path"), ""),
            "path": table.column("path"),
            "size": table.column("size"),
            "modified": table.column("modified"),
            "etag": pc.coalesce(pa.array(hexes, pa.string()), table.column("etag").combine_chunks()),
            "version": pc.coalesce(table.column("version"), table.column("generation").cast(pa.string())),
            "checksum": pa.array(digests, pa.string()),
        }
    )

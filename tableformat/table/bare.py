"""Parquet files that no manifest describes, as a table: one file, or a folder of files in the order of their paths.

They have no digests: nothing but page checksums, where their writer made some, tells whether bytes are as they were.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.errors import FormatError, IllegalNameError, LimitError, NotFoundError, SchemaError, message
from tableformat.format.limits import Limits
from tableformat.format.manifest import Part, PartFile, TableEntry
from tableformat.format.part import Layout, parse_footer, split_footer
from tableformat.format.reference import NO_REACH, Reach
from tableformat.format.schema import Schema
from tableformat.storage.backend import Options, open_backend
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend, check_path
from tableformat.storage.outside.reader import Outside
from tableformat.table.source import TableSource
from tableformat.table.table import Table

__all__ = ["open_bare", "read_bare"]

_TAIL = 64 << 10
_MAX_FILES = 100_000


@dataclass(frozen=True, slots=True)
class _BareFile(PartFile):
    """A Parquet file under its own name."""

    name: str = ""

    @property
    def path(self) -> str:
        """Where it lies under the root."""
        return self.name


def read_bare(
    url: str, storage_options: Options | None = None, *, limits: Limits | None = None, reach: Reach = NO_REACH
) -> Table:
    """The Parquet file at `url`, or all `*.parquet` files below the folder `url`, as a table. Reads every footer.

    Files are taken in the order of their paths; those whose name, or a folder's, begins with `.` or `_` are left out. All
    must have one schema. Raises `NotFoundError` where there are none, `SchemaError` naming two files that differ and types
    that the format does not have.
    """
    stem = url.rstrip("/")
    folder, _, name = stem.rpartition("/")
    if name.endswith((".parquet", ".pq")):
        backend = open_backend(folder or ("/" if stem.startswith("/") else "."), storage_options)
        if backend.size(name) is not None:
            return Table(_source(backend, [name], limits or Limits(), name, reach))
    backend = open_backend(stem, storage_options)
    return Table(_source(backend, _list(backend), limits or Limits(), "", reach))


def open_bare(backend: Backend, artifact: str, name: str, reach: Reach) -> TableSource:  # noqa: ARG001 - the signature is shared
    """The source of a bare table that was pickled; `name` is the file, or empty for all of the folder."""
    return _source(backend, [name] if name else _list(backend), reach.limits, name, reach)


def _list(backend: Backend) -> list[str]:
    _check_names(backend)
    found = []
    for info in backend.list():
        if info.path.endswith((".parquet", ".pq")) and not any(
            part.startswith((".", "_")) for part in info.path.split("/")
        ):
            found.append(info.path)
            if len(found) > _MAX_FILES:
                raise LimitError(
                    message(
                        "reading a folder of Parquet files",
                        path=backend.root,
                        expected=f"at most {_MAX_FILES} files",
                        got="more",
                    )
                )
    if not found:
        raise NotFoundError(
            message(
                "reading Parquet files", path=backend.root, expected="a Parquet file, or a folder with some", got="none"
            )
        )
    return sorted(found)


def _check_names(backend: Backend) -> None:
    """Refuse a local folder with Parquet files whose names no store would have: a listing passes them over."""
    if not backend.is_local:
        return
    for folder, folders, files in os.walk(backend.root):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in files:
            path = os.path.relpath(os.path.join(folder, name), backend.root)
            if not name.endswith((".parquet", ".pq")) or name.startswith((".", "_")):
                continue
            try:
                check_path(path)
            except IllegalNameError as error:
                raise IllegalNameError(
                    message("reading a folder of Parquet files", path=repr(path)[:200], expected="names of plain ASCII characters",
                            todo="rename the file, or read it alone with pyarrow and pass the table on")
                ) from error  # fmt: skip


def _source(backend: Backend, names: list[str], limits: Limits, name: str, reach: Reach = NO_REACH) -> TableSource:
    parts: list[Part] = []
    arrow: pa.Schema | None = None
    for path in names:
        metadata, size = _metadata(backend, path)
        found = metadata.schema.to_arrow_schema()
        if arrow is None:
            arrow = found
        elif not found.equals(arrow, check_metadata=False):
            raise SchemaError(
                message("reading Parquet files together", path=f"{names[0]} and {path}", expected=f"one schema, {_flat(arrow)}", got=_flat(found),
                        todo="read them one by one")
            )  # fmt: skip
        decoded = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
        parts.append(Part(metadata.num_rows, decoded, (_BareFile("", size, 0, "", name=path),), {}))
    assert arrow is not None
    schema = Schema.from_user(arrow.remove_metadata())
    entry = TableEntry(rows=sum(part.rows for part in parts), schema=schema, layout=Layout(1, 1))
    return TableSource(
        backend=backend,
        entry=entry,
        load_parts=lambda: parts,
        blobs=BlobReader(backend),
        address=f"{backend.root}/{name}" if name else backend.root,
        name=name,
        allow=reach.allow,
        outside=Outside(backend.root, *reach[:3]),
        opener=open_bare,
        limits=limits,
        cells_prefix=backend.root.rstrip("/") + "/",
        physical=arrow,
    )


def _metadata(backend: Backend, path: str) -> tuple[pq.FileMetaData, int]:
    size = backend.size(path)
    if size is None or size < 12:
        raise FormatError(
            message(
                "reading a Parquet file",
                path=path,
                expected="a Parquet file",
                got="nothing" if size is None else f"{size} bytes",
            )
        )
    tail = backend.read(path, max(0, size - _TAIL), min(size, _TAIL))
    length = split_footer(tail, path)
    if length > size:
        raise FormatError(
            message(
                "reading a Parquet file", path=path, expected=f"a footer within {size} bytes", got=f"{length} bytes"
            )
        )
    if length > len(tail):
        tail = backend.read(path, size - length, length)
    return parse_footer(tail[-length:], path), size


def _flat(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)[:300]

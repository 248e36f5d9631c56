"""The stored rows of a part for verification: every file of it opened against the manifest, and read in step.

Held are, of each file, a row group as it is stored and a batch of decoded rows; of a remote file of up to 256 MiB the whole.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.errors import CorruptError, LimitError
from tableformat.format.file_columns import ColumnPlace, FileColumns
from tableformat.format.manifest import Part, PartFile
from tableformat.format.pages import chunk_start, decoded_size, iter_pages
from tableformat.format.part import parse_footer
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.format.texts import check_texts
from tableformat.storage.interface import Backend

__all__ = ["CheckedFile", "PartRows", "open_files"]

_WHOLE_BYTES: Final = 256 << 20
_BATCH_ROWS: Final = 16_384
_BATCH_BYTES: Final = 128 << 20
_MAX_GROUP: Final = 1 << 30
"""Decoded bytes that a row group may say to have; ours have at most 64 MiB."""


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file of a part, whose footer is the one that the manifest names."""

    file: PartFile
    size: int
    """The bytes that are there."""
    metadata: pq.FileMetaData
    columns: FileColumns
    places: dict[str, ColumnPlace]
    """The columns of the table that are read from it, by the names that the table has for them."""
    schema: str
    """The digest of its columns as they stand in it."""
    is_own: bool
    """Whether they are exactly the columns of the table."""


def open_files(backend: Backend, part: Part, schema: Schema, sizes: Sequence[int], is_plain: bool) -> list[CheckedFile]:
    """The files of a part; `sizes` are their bytes. Raises what is wrong with one of them.

    Of a plain table each file has exactly the table's columns. Else they are found by id, and the digest of a file's columns
    is compared with the one that the manifest tells.
    """
    arrow = schema.arrow_schema()
    opened = []
    for file, size in zip(part.files, sizes, strict=True):
        metadata = _read_footer(backend, file, size, part.rows)
        found = metadata.schema.to_arrow_schema()
        digest = schema_digest(found)
        is_own = digest == schema_digest(arrow)
        if file.schema is not None and file.schema != digest:
            raise CorruptError(f"its columns have the digest {digest}, the manifest says {file.schema}")
        if is_plain and not is_own:
            _check_schema(found, arrow)
        columns = FileColumns(found, schema)
        held = [column for column in schema.columns if is_plain or part.file_of(column.id or 0) is file]
        places = {column.name: columns.place(column.name, file.path) for column in held}
        opened.append(CheckedFile(file, size, metadata, columns, places, digest, is_own))
    return opened


def _read_footer(backend: Backend, file: PartFile, size: int, rows: int) -> pq.FileMetaData:
    if file.footer_size > size:
        raise CorruptError(f"{size} bytes cannot hold a footer of {file.footer_size}")
    footer = backend.read(file.path, size - file.footer_size, file.footer_size)
    metadata = parse_footer(footer, file.path, size=file.footer_size, digest=file.footer_digest)
    if metadata.num_rows != rows:
        raise CorruptError(f"{metadata.num_rows} rows where the manifest says {rows}")
    return metadata


def _check_schema(found: pa.Schema, expected: pa.Schema) -> None:
    if not found.equals(expected, check_metadata=False):
        raise CorruptError(
            f"columns {found.names} of types {found.types}, expected {expected.names} of types {expected.types}"[:600]
        )
    for one, wanted in zip(found, expected, strict=True):
        if list(_ids(one)) != list(_ids(wanted)):
            raise CorruptError(
                f"column {one.name!r} has the field ids {list(_ids(one))}, expected {list(_ids(wanted))}"[:600]
            )


def _ids(node: pa.Field) -> Iterator[bytes | None]:
    yield (node.metadata or {}).get(b"PARQUET:field_id")
    type_ = node.type
    if pa.types.is_map(type_):
        yield from _ids(type_.key_field)
        yield from _ids(type_.item_field)
    else:
        for index in range(type_.num_fields):
            yield from _ids(type_.field(index))


@dataclass(slots=True)
class _Stream:
    """The batches of one file, of which the next rows are taken a run at a time."""

    batches: Iterator[pa.RecordBatch]
    names: list[str]
    """The columns of a batch, as the table names them."""
    batch: pa.RecordBatch | None = field(default=None)
    at: int = 0

    def left(self) -> int:
        """Rows of the present batch that were not taken; 0 at the end of the file."""
        while self.batch is None or self.at == self.batch.num_rows:
            self.batch, self.at = next(self.batches, None), 0
            if self.batch is None:
                return 0
        return int(self.batch.num_rows) - self.at

    def take(self, rows: int) -> dict[str, pa.Array]:
        assert self.batch is not None
        piece = self.batch.slice(self.at, rows)
        self.at += rows
        return dict(zip(self.names, piece.columns, strict=True))


class PartRows:
    """The stored rows of a part, its pages compared with their checksums."""

    def __init__(self, backend: Backend, part: Part, files: Sequence[CheckedFile]) -> None:
        self._backend = backend
        self._part = part
        self._files = [file for file in files if file.places]

    def __iter__(self) -> Iterator[tuple[int, dict[str, pa.Array]]]:
        """Runs of rows: how many, and the columns that are stored, by name, in the types in which they are.

        Raises `CorruptError` where a file ends before the others do, or has not as many rows as its footer says.
        """
        streams = [_Stream(self._batches(file), _names(file)) for file in self._files]
        done = 0
        while streams:
            left = [stream.left() for stream in streams]
            rows = min(left)
            if not rows:
                if max(left) or done != self._part.rows:
                    raise CorruptError(f"{done} rows could be read of {self._part.rows}")
                return
            yield rows, {name: array for stream in streams for name, array in stream.take(rows).items()}
            done += rows
        for at in range(0, self._part.rows, _BATCH_ROWS):  # every column is absent
            yield min(_BATCH_ROWS, self._part.rows - at), {}

    def _batches(self, file: CheckedFile) -> Iterator[pa.RecordBatch]:
        """The rows of one file, no more at once than a bound however it is coded."""
        leaves = file.columns.leaves_of(list(file.places.values()))
        local = self._backend.local_path(file.file.path)
        source: Any
        if local is not None:
            source = pa.OSFile(local)
        elif file.size <= _WHOLE_BYTES:
            source = pa.BufferReader(self._backend.read(file.file.path))
        else:
            source = pa.PythonFile(_RangeFile(self._backend, file.file.path, file.size), "r")
        with pq.ParquetFile(source, metadata=file.metadata, page_checksum_verification=True) as opened:
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                sizes = [_decoded(group.column(leaf), source, file.file.path) for leaf in leaves]
                if sum(size for size, _ in sizes) > _MAX_GROUP:
                    raise LimitError(f"row group {number} has more than {_MAX_GROUP} decoded bytes")
                # A value of a dictionary can be as long as the whole chunk, and stand in every row.
                widest = sum(size for size, codings in sizes if codings)
                rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(widest, 1)))
                for batch in opened.reader.iter_batches(rows, [number], column_indices=leaves, use_threads=False):
                    for column in batch.columns:
                        check_texts(column)
                    yield batch


def _decoded(chunk: Any, source: Any, path: str) -> tuple[int, set[str]]:
    """Decoded bytes of a column chunk, by what its pages say and not only its footer, and how texts are repeated in it."""
    size = int(chunk.total_uncompressed_size)
    if chunk.physical_type != "BYTE_ARRAY" or not chunk.num_values:
        return size, set()
    told, codings = decoded_size(
        iter_pages(
            lambda at, count: bytes(source.read_at(count, at)), chunk_start(chunk), chunk.total_compressed_size, path
        )
    )
    return max(size, told), codings


def _names(file: CheckedFile) -> list[str]:
    """The columns that are read from a file, in its order, as the table names them."""
    return [name for name, place in sorted(file.places.items(), key=lambda item: item[1].position)]


class _RangeFile(io.RawIOBase):
    """A large remote object as a file that pyarrow seeks in."""

    def __init__(self, backend: Backend, path: str, size: int) -> None:
        super().__init__()
        self._backend = backend
        self._path = path
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (self._at if whence == io.SEEK_CUR else self._size if whence == io.SEEK_END else 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._at + size, self._size)
        data = self._backend.read(self._path, self._at, end - self._at) if end > self._at else b""
        self._at += len(data)
        return data

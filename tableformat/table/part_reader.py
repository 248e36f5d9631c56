"""Parts opened and read: the footer against its digest in the manifest, the schema against the entry, pages against their
checksums, and no more memory than a limit however large the numbers in a footer are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.errors import CorruptError, FormatError, LimitError, TableformatError, message
from tableformat.format.manifest import Part
from tableformat.format.part import parse_footer, split_footer
from tableformat.storage.interface import Backend
from tableformat.table.batches import rows_only
from tableformat.table.leaves import Leaves
from tableformat.table.limits import Limits
from tableformat.table.range_file import RangeFile

__all__ = ["PartReader"]

_FOOTERS: Final = 256
_FOOTER_BYTES: Final = 32 << 20  # of footers kept, as they stand in files
_TAIL_BYTES: Final = 64 << 10  # the first guess at the footer of a file that no manifest describes
_THRIFT_BYTES: Final = 64 << 20


class PartReader:
    """Reads row groups of the parts of one table. Holds the parsed footers of the last parts; safe from many threads."""

    def __init__(self, backend: Backend, schema: pa.Schema, limits: Limits, physical: pa.Schema | None = None) -> None:
        self._backend = backend
        self._schema = physical or schema
        self._target = schema if physical is not None and not physical.equals(schema, check_metadata=False) else None
        self._limits = limits
        self.leaves = Leaves.of_schema(self._schema)
        """The leaf columns of every part."""
        self._footers: OrderedDict[str, pq.FileMetaData] = OrderedDict()
        self._footer_bytes = 0
        self._proven: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    # -- footers

    def metadata(self, part: Part) -> pq.FileMetaData:
        """The checked footer of a part. Raises `CorruptError` where its bytes, rows or schema are not those of the manifest."""
        path = part.files[0].path
        with self._lock:
            if (found := self._footers.get(path)) is not None:
                self._footers.move_to_end(path)
                return found
        metadata = self._read_footer(part)
        with self._lock:
            if path not in self._footers:
                self._footers[path] = metadata
                self._footer_bytes += metadata.serialized_size
            while len(self._footers) > 1 and (len(self._footers) > _FOOTERS or self._footer_bytes > _FOOTER_BYTES):
                self._footer_bytes -= self._footers.popitem(last=False)[1].serialized_size
        return metadata

    def _read_footer(self, part: Part) -> pq.FileMetaData:
        file = part.files[0]
        if file.footer_digest:
            tail = self._backend.read(file.path, file.size - file.footer_size, file.footer_size)
            metadata = parse_footer(tail, file.path, size=file.footer_size, digest=file.footer_digest)
        else:  # a bare file
            tail = self._backend.read(file.path, max(0, file.size - _TAIL_BYTES), min(file.size, _TAIL_BYTES))
            length = split_footer(tail, file.path)
            if length > len(tail):
                tail = self._backend.read(file.path, max(0, file.size - length), min(file.size, length))
            metadata = parse_footer(tail[-length:], file.path)
        if metadata.num_rows != part.rows:
            raise CorruptError(
                message(
                    "opening a part",
                    path=file.path,
                    expected=f"{part.rows} rows, as the manifest says",
                    got=metadata.num_rows,
                )
            )
        self._check_schema(metadata, file.path)
        return metadata

    def _check_schema(self, metadata: pq.FileMetaData, path: str) -> None:
        """Compare the file's columns with the entry's. Parts of one table are equal, so the first proves the others."""
        arrow_text = (metadata.metadata or {}).get(b"ARROW:schema")
        parquet = metadata.schema
        proven = self._proven
        if proven is not None and proven[1] == arrow_text and proven[0].equals(parquet):
            return
        try:
            found = parquet.to_arrow_schema()
        except (pa.ArrowException, OSError) as error:
            raise CorruptError(
                message("opening a part", path=path, expected="a schema of Arrow types", got=str(error)[:300])
            ) from error
        if not found.equals(self._schema, check_metadata=False):
            raise CorruptError(
                message("opening a part", path=path, expected=f"the columns of the table, {_shown(self._schema, found)}",
                        got=_shown(found, self._schema), todo="verify the store; of bare files, read those of one schema together")
            )  # fmt: skip
        self._proven = (parquet, arrow_text)

    # -- rows

    def row_bytes(self, metadata: pq.FileMetaData, columns: Sequence[str]) -> float:
        """Bytes that a row of the columns takes decoded, about: told by the first row group."""
        if not metadata.num_row_groups or not metadata.row_group(0).num_rows:
            return 1.0
        group = metadata.row_group(0)
        widths = self.leaves.widths
        total = 0.0
        for number in self.leaves.of_columns(columns):
            chunk = group.column(number)
            total += max(chunk.total_uncompressed_size, chunk.num_values * (widths[number] or 8))
        return max(total / float(group.num_rows), 0.01)

    def read(
        self, part: Part, groups: Sequence[int], columns: Sequence[str], *, threads: bool = False
    ) -> list[pa.RecordBatch]:
        """The row groups `groups` of a part, neighbours, with `columns` in this order, as few batches as may be.

        Verifies the checksum of every page. Raises `CorruptError` where the file is damaged, `LimitError` where a row
        group asks for more than `Limits.row_group_bytes`.
        """
        metadata = self.metadata(part)
        path = part.files[0].path
        leaves = self.leaves.of_columns(columns)
        if not leaves:
            rows = sum(metadata.row_group(group).num_rows for group in groups)
            return [rows_only(rows)] if rows else []
        pieces = self._bounded_rows(metadata, groups, leaves, path)
        batches: list[pa.RecordBatch]
        try:
            with self._open(part, metadata, groups, leaves) as file:
                if pieces is None:
                    batches = file.reader.read_row_groups(
                        list(groups), column_indices=leaves, use_threads=threads
                    ).to_batches()
                else:
                    batches = list(self._read_pieces(file, groups, leaves, pieces, path))
        except TableformatError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise CorruptError(
                message("reading a part", path=path, got=str(error)[:300], todo="verify the store")
            ) from error
        found = sum(batch.num_rows for batch in batches)
        wanted = sum(metadata.row_group(group).num_rows for group in groups)
        if found != wanted:
            raise CorruptError(
                message("reading a part", path=path, expected=f"{wanted} rows in row groups {list(groups)}", got=found)
            )
        if batches and batches[0].schema.names != list(columns):
            batches = [batch.select(list(columns)) for batch in batches]
        if self._target is not None:
            batches = [_cast(batch, self._target, path) for batch in batches]
        return batches

    def _open(
        self, part: Part, metadata: pq.FileMetaData, groups: Sequence[int], leaves: Sequence[int]
    ) -> pq.ParquetFile:
        path = part.files[0].path
        local = self._backend.local_path(path)
        source: Any
        if local is not None:
            source = pa.OSFile(local)
        else:
            source = pa.PythonFile(
                RangeFile.fetch(self._backend, path, part.files[0].size, _chunk_ranges(metadata, groups, leaves)), "r"
            )
        return pq.ParquetFile(
            source,
            metadata=metadata,
            page_checksum_verification=True,
            thrift_string_size_limit=_THRIFT_BYTES,
            thrift_container_size_limit=_THRIFT_BYTES,
        )

    def _bounded_rows(
        self, metadata: pq.FileMetaData, groups: Sequence[int], leaves: Sequence[int], path: str
    ) -> int | None:
        """How many rows may be decoded at a time so that the limit holds whatever pages say; None: all of them.

        Text under a dictionary or prefix coding can be far longer than its pages: at most each value is as long as the
        whole chunk. Fixed widths tell their size.
        """
        limit = self._limits.row_group_bytes
        widths = self.leaves.widths
        least: int | None = None
        for group in groups:
            row_group = metadata.row_group(group)
            total = 0
            for number in leaves:
                chunk = row_group.column(number)
                size, values = chunk.total_uncompressed_size, chunk.num_values
                total += max(size, values * (widths[number] or 4))
                if (
                    not widths[number]
                    and size * values > limit
                    and {"RLE_DICTIONARY", "PLAIN_DICTIONARY", "DELTA_BYTE_ARRAY"} & set(chunk.encodings)
                ):
                    rows = max(1, int(limit * max(row_group.num_rows, 1) / max(values, 1) / max(size, 1)))
                    least = rows if least is None else min(least, rows)
            if total > limit:
                raise _too_large(path, group, limit, total)
        return least

    def _read_pieces(self, file: pq.ParquetFile, groups: Sequence[int], leaves: list[int], rows: int, path: str) -> Any:
        for group in groups:
            held = 0
            pieces = []
            for batch in file.reader.iter_batches(rows, [group], column_indices=leaves, use_threads=False):
                held += batch.nbytes
                if held > self._limits.row_group_bytes:
                    raise _too_large(path, group, self._limits.row_group_bytes, f"more than {held}")
                pieces.append(batch)
            yield from pa.Table.from_batches(pieces).combine_chunks().to_batches() if len(pieces) > 1 else pieces


def _cast(batch: pa.RecordBatch, target: pa.Schema, path: str) -> pa.RecordBatch:
    """The columns of a bare file in the storage types of the format."""
    arrays = []
    fields = [target.field(name) for name in batch.schema.names]
    for array, field in zip(batch.columns, fields, strict=True):
        plain = array.storage if isinstance(array, pa.ExtensionArray) else array
        if pa.types.is_duration(plain.type):
            plain = plain.view(pa.int64())
        try:
            arrays.append(plain if plain.type == field.type else plain.cast(field.type))
        except (pa.ArrowException, ValueError) as error:
            raise FormatError(
                message(
                    "reading a Parquet file",
                    path=f"{path}, column {field.name!r}",
                    expected=field.type,
                    got=str(error)[:200],
                )
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _too_large(path: str, group: int, limit: int, got: object) -> LimitError:
    return LimitError(
        message("reading a part", path=f"{path}, row group {group}", expected=f"at most {limit} decoded bytes", got=got,
                todo="if you trust it, open with limits=Limits(row_group_bytes=…)")
    )  # fmt: skip


def _chunk_ranges(metadata: pq.FileMetaData, groups: Sequence[int], leaves: Sequence[int]) -> list[tuple[int, int]]:
    """(offset, length) of the column chunks, dictionaries included."""
    ranges = []
    for group in groups:
        row_group = metadata.row_group(group)
        for number in leaves:
            chunk = row_group.column(number)
            first = chunk.data_page_offset
            if chunk.dictionary_page_offset is not None and 0 < chunk.dictionary_page_offset < first:
                first = chunk.dictionary_page_offset
            ranges.append((first, chunk.total_compressed_size))
    return ranges


def _shown(schema: pa.Schema, other: pa.Schema) -> str:
    """The columns in which a schema differs from another, as text."""
    theirs = {field.name: field for field in other}
    fields = [
        f"{field.name}: {field.type}"
        for field in schema
        if field.name not in theirs or not field.equals(theirs[field.name])
    ]
    if not fields:
        return f"{', '.join(schema.names)[:200]} in this order"
    return ", ".join(fields)[:300]

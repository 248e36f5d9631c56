"""Verification of the parts of a table: each file against its digests, its schema and its values; then the whole columns.

One thread decodes rows, in order; others hash files ahead of it and digest columns beside it. Held are a row group as it is
stored, a batch of decoded rows, and for a remote part of up to 256 MiB the file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.errors import CorruptError, FormatError, LimitError, NotFoundError, UnsupportedError
from tableformat.format.cells import has_cells
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.part import parse_footer
from tableformat.format.stats import ColumnStats, stats_value
from tableformat.format.value_digest import ColumnChain, UnitDigest
from tableformat.storage.interface import Backend
from tableformat.storage.verify_cells import CellVerifier
from tableformat.storage.verify_report import Findings

__all__ = ["PartVerifier"]

_PIECE: Final = 4 << 20
_WHOLE_BYTES: Final = 256 << 20
_BATCH_ROWS: Final = 16_384
_BATCH_BYTES: Final = 128 << 20
_MAX_GROUP: Final = 1 << 30
"""Decoded bytes that a row group may say to have; ours have at most 64 MiB."""


class PartVerifier:
    """Verifies the parts of one table, which come in row order, and in the end its columns. Belongs to one thread."""

    def __init__(
        self,
        backend: Backend,
        findings: Findings,
        entry: TableEntry,
        cells: CellVerifier,
        place: str,
        helpers: Executor,
    ) -> None:
        self._backend = backend
        self._findings = findings
        self._entry = entry
        self._cells = cells
        self._place = place
        self._helpers = helpers
        self._schema = entry.schema.arrow_schema()
        self._ids = [str(column.id) for column in entry.schema.columns]
        self._chains = [ColumnChain(field.type) for field in self._schema]
        self._class_columns = [
            index
            for index, column in enumerate(entry.schema.columns)
            if column.annotates is not None and column.annotates[1] == "classes"
        ]
        self._whole = True
        self.class_sets: set[str] = set()
        """Digests of class sets that cells name."""
        self.rows = 0
        """Rows that the parts hold, as the manifest says."""

    def check_all(self, items: Iterable[JsonObject], is_complete: Callable[[], bool]) -> None:
        """Verify every part; then compare the columns with the digests in the entry, where all parts could be read and
        `is_complete` says that `items` were all there are."""
        for number, item in enumerate(items):
            place = f"{self._place} part {number}"
            part = None
            with self._findings.guard(place):
                part = Part.from_json(item, place)
            if part is None or not self.check(part):
                self._whole = False
        self._whole &= is_complete()
        if self.rows != self._entry.rows and self._whole:
            self._findings.add(self._place, f"its parts have {self.rows} rows, the entry says {self._entry.rows}")
        if self._whole:
            self._check_columns()

    def check(self, part: Part) -> bool:
        """Verify one part; returns whether its rows could be read, whatever else is wrong."""
        file = part.files[0]
        first, self.rows = self.rows, self.rows + part.rows
        size = self._backend.size(file.path)
        if size is None:
            self._findings.add(
                file.path,
                f"no such file; it holds rows {first}–{first + part.rows} of {self._place}",
                NotFoundError.kind,
            )
            return False
        if size != file.size:
            self._findings.add(file.path, f"{size} bytes where the manifest says {file.size}")
        hashed = self._helpers.submit(self._hash_file, file.path, size)
        read = False
        with self._findings.guard(file.path):
            read = self._check_rows(part, size, first)
        with self._findings.guard(file.path):
            if (found := hashed.result()) != file.digest:
                self._findings.add(file.path, f"the SHA-256 of the file is {found}")
        return read

    def _hash_file(self, path: str, size: int) -> str:
        whole = hashlib.sha256()
        for start in range(0, size, _PIECE):
            piece = self._backend.read(path, start, min(_PIECE, size - start))
            whole.update(piece)
            self._findings.read(path, len(piece))
        self._findings.read(path, 0, files=1)
        return PREFIX + whole.hexdigest()

    # Rows

    def _check_rows(self, part: Part, size: int, first: int) -> bool:
        file = part.files[0]
        if file.footer_size > size:
            raise CorruptError(f"{size} bytes cannot hold a footer of {file.footer_size}")
        footer = self._backend.read(file.path, size - file.footer_size, file.footer_size)
        metadata = parse_footer(footer, file.path, size=file.footer_size, digest=file.footer_digest)
        if metadata.num_rows != part.rows:
            raise CorruptError(f"{metadata.num_rows} rows where the manifest says {part.rows}")
        _check_schema(metadata.schema.to_arrow_schema(), self._schema)
        units = [UnitDigest(field.type) for field in self._schema]
        stats = {i: ColumnStats(self._schema.field(i).type) for i, name in enumerate(self._ids) if name in part.stats}
        row = first
        for batch in self._batches(file.path, size, metadata):
            columns = batch.columns
            list(
                self._helpers.map(
                    lambda i, columns=columns: self._feed(units[i], self._chains[i], columns[i]), range(len(columns))
                )
            )
            for index, bounds in stats.items():
                bounds.update(columns[index])
            numbers = np.arange(row, row + len(batch))
            for index, field in enumerate(self._schema):
                if has_cells(field.type):
                    self._cells.check(columns[index], field.name, numbers)
            for index in self._class_columns:
                self.class_sets.update(value for value in columns[index].unique().to_pylist() if value is not None)
            row += len(batch)
            self._findings.count(rows=len(batch))
        if row - first != part.rows:
            raise CorruptError(f"{row - first} rows could be read of {part.rows}")
        self._compare(part, units, stats)
        return True

    @staticmethod
    def _feed(unit: UnitDigest, chain: ColumnChain, column: pa.Array) -> None:
        unit.update(column)
        chain.update(column)

    def _compare(self, part: Part, units: list[UnitDigest], stats: dict[int, ColumnStats]) -> None:
        path = part.files[0].path
        for index, name in enumerate(self._schema.names):
            if part.values.get(self._ids[index]) != units[index].digest():
                self._findings.add(
                    f"{path} column {name!r}",
                    f"its values have the digest {units[index].digest()}, not that in the manifest",
                )
        for index, bounds in stats.items():
            type_ = self._schema.field(index).type
            if not _bounds_hold(part.stats[self._ids[index]], bounds.to_json(), type_):
                self._findings.add(
                    f"{path} column {self._schema.names[index]!r}", "its statistics in the manifest leave out rows"
                )

    def _check_columns(self) -> None:
        for index, name in enumerate(self._schema.names):
            told, chain = self._entry.columns[self._ids[index]], self._chains[index]
            if told["digest"] != chain.digest():
                self._findings.add(
                    f"{self._place} column {name!r}",
                    f"the values of its {self.rows} rows have the digest {chain.digest()}, not {told['digest']}",
                )
            elif told.get("link") != PREFIX + chain.link.hex():
                self._findings.add(
                    f"{self._place} column {name!r}", f"the link of its full blocks is {PREFIX}{chain.link.hex()}"
                )

    def _batches(self, path: str, size: int, metadata: pq.FileMetaData) -> Iterator[pa.RecordBatch]:
        """All rows of the file, its pages compared with their checksums; no more at once than a bound however it is coded."""
        local = self._backend.local_path(path)
        source: Any
        if local is not None:
            source = pa.OSFile(local)
        elif size <= _WHOLE_BYTES:
            source = pa.BufferReader(self._backend.read(path))
        else:
            source = pa.PythonFile(_RangeFile(self._backend, path, size), "r")
        with pq.ParquetFile(source, metadata=metadata, page_checksum_verification=True) as file:
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                chunks = [group.column(i) for i in range(group.num_columns)]
                if sum(chunk.total_uncompressed_size for chunk in chunks) > _MAX_GROUP:
                    raise LimitError(f"row group {number} says to have more than {_MAX_GROUP} decoded bytes")
                # A value of a dictionary can be as long as the whole chunk, and stand in every row.
                widest = sum(chunk.total_uncompressed_size for chunk in chunks if "RLE_DICTIONARY" in chunk.encodings)
                rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(widest, 1)))
                yield from file.iter_batches(rows, [number], use_threads=False)


def _check_schema(found: pa.Schema, expected: pa.Schema) -> None:
    if not found.equals(expected, check_metadata=False):
        raise CorruptError(
            f"columns {found.names} of types {found.types}, expected {expected.names} of types {expected.types}"[:600]
        )
    for field, wanted in zip(found, expected, strict=True):
        if list(_ids(field)) != list(_ids(wanted)):
            raise CorruptError(
                f"column {field.name!r} has the field ids {list(_ids(field))}, expected {list(_ids(wanted))}"[:600]
            )


def _ids(field: pa.Field) -> Iterator[bytes | None]:
    yield (field.metadata or {}).get(b"PARQUET:field_id")
    type_ = field.type
    if pa.types.is_map(type_):
        yield from _ids(type_.key_field)
        yield from _ids(type_.item_field)
    else:
        for index in range(type_.num_fields):
            yield from _ids(type_.field(index))


def _bounds_hold(told: object, found: JsonObject, type_: pa.DataType) -> bool:
    """Whether the bounds in a manifest are no narrower than those of the rows."""
    if not isinstance(told, dict):
        raise FormatError("statistics are an object")
    if told.get("nulls") is not None and told["nulls"] < found["nulls"]:
        return False
    if found["min"] is None:
        return True
    if told.get("min") is None or told.get("max") is None:
        raise UnsupportedError("statistics without bounds of a column that has values")

    def value(text: str) -> Any:
        scalar = stats_value(text, type_)
        return scalar.as_py() if pa.types.is_floating(type_) or pa.types.is_string(type_) else int(text)

    return bool(value(told["min"]) <= value(found["min"]) and value(found["max"]) <= value(told["max"]))


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

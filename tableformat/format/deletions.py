"""Deletion files: numbers of stored rows of one part that are no longer visible, as a Parquet file of one column.

The manifest holds the digest of the file, its size and how many rows it deletes; a file is checked against all three, and
its rows for order and bounds, before one of them is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.digest import check_digest, digest_of
from tableformat.document import JsonObject
from tableformat.errors import CorruptError, FormatError, InvalidInputError, LimitError, message
from tableformat.format.pages import check_pages

__all__ = ["MAX_DELETED_ROWS", "Deletions", "RowNumbers", "decode_deletions", "encode_deletions"]

RowNumbers = npt.NDArray[np.int64]
"""Numbers of stored rows of a part, ascending, each once."""
MAX_DELETED_ROWS: Final = 1 << 24
"""Most rows that one file may delete: 128 MiB of numbers. Parts of this library have at most 2^21 rows."""
_MAX_BYTES: Final = 256 << 20
_GROUP_ROWS: Final = 1 << 20
_SCHEMA: Final = pa.schema([pa.field("row", pa.int64(), nullable=False)])


@dataclass(frozen=True, slots=True)
class Deletions:
    """The deletion file of a part."""

    digest: str
    """SHA-256 of the file, which is `data/<hex>.parquet`."""
    size: int
    """Its bytes."""
    rows: int
    """How many rows it deletes; at least 1."""

    @property
    def path(self) -> str:
        """Where it lies under the root."""
        return f"data/{self.digest.removeprefix('sha256:')}.parquet"

    def to_json(self) -> JsonObject:
        """The field `deletions` of a part."""
        return {"digest": self.digest, "rows": self.rows, "size": self.size}

    @classmethod
    def from_json(cls, value: Any, part_rows: int) -> Deletions:
        """Read the field; raises `ValueError` or `KeyError` where it is malformed or deletes more than `part_rows` rows."""
        deletions = cls(check_digest(value["digest"], "reading deletions"), value["size"], value["rows"])
        counts = deletions.size, deletions.rows
        if not all(type(count) is int and count >= 1 for count in counts):
            raise ValueError(f"deletions with impossible counts {counts}")
        if deletions.rows > part_rows:
            raise ValueError(f"{deletions.rows} deleted rows of {part_rows}")
        return deletions


def encode_deletions(rows: Sequence[int] | RowNumbers) -> tuple[bytes, Deletions]:
    """The file that deletes `rows`, in any order, and what the manifest says of it. The same rows give the same file."""
    numbers = np.unique(np.asarray(rows, np.int64))
    if not len(numbers) or int(numbers[0]) < 0 or len(numbers) > MAX_DELETED_ROWS:
        raise InvalidInputError(
            message("deleting rows of a part", expected=f"1 to {MAX_DELETED_ROWS} row numbers from 0",
                    got=f"{len(numbers)} from {int(numbers[0]) if len(numbers) else 'none'}")
        )  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table([pa.array(numbers)], schema=_SCHEMA), sink, version="2.6", data_page_version="1.0", compression="zstd",
        compression_level=1, use_dictionary=False, column_encoding={"row": "DELTA_BINARY_PACKED"}, row_group_size=_GROUP_ROWS,
        write_page_checksum=True, store_schema=False,
    )  # fmt: skip
    data = sink.getvalue().to_pybytes()
    return data, Deletions(digest_of(data), len(data), len(numbers))


def decode_deletions(data: bytes, deletions: Deletions, part_rows: int, path: str) -> RowNumbers:
    """The rows that the file deletes. Raises `CorruptError` where the bytes are not those of the manifest, `FormatError` where
    they are no such file or not `deletions.rows` ascending numbers below `part_rows`. Holds 16 bytes for each."""
    doing = "reading a deletion file"
    check_deletions(deletions, path)
    if len(data) != deletions.size or (found := digest_of(data)) != deletions.digest:
        got = f"{len(data)} bytes" if len(data) != deletions.size else found
        raise CorruptError(
            message(
                doing,
                path=path,
                expected=f"{deletions.size} bytes, {deletions.digest}",
                got=got,
                todo="verify the store",
            )
        )
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            names, rows = file.metadata.schema.names, file.metadata.num_rows
            if names != ["row"] or rows != deletions.rows or file.schema_arrow.field(0).type != pa.int64():
                raise FormatError(
                    message(
                        doing,
                        path=path,
                        expected=f"{deletions.rows} rows of a column row of int64",
                        got=f"{rows} of {names}",
                    )
                )
            check_pages(data, file.metadata, _MAX_BYTES, path)
            numbers = _numbers(file, deletions.rows)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise FormatError(message(doing, path=path, got=str(error)[:300])) from error
    if len(numbers) != deletions.rows or int(numbers[0]) < 0 or int(numbers[-1]) >= part_rows or not _ascends(numbers):
        raise FormatError(
            message(doing, path=path, expected=f"{deletions.rows} ascending numbers of {part_rows} rows", got="others")
        )
    return numbers


def check_deletions(deletions: Deletions, path: str) -> None:
    """Raise `LimitError` where the file would take more memory than a reader gives it."""
    if deletions.rows > MAX_DELETED_ROWS or deletions.size > _MAX_BYTES:
        raise LimitError(
            message("reading a deletion file", path=path, expected=f"at most {MAX_DELETED_ROWS} rows in {_MAX_BYTES} bytes",
                    got=f"{deletions.rows} in {deletions.size}")
        )  # fmt: skip


def _numbers(file: pq.ParquetFile, rows: int) -> RowNumbers:
    """The values of the one column, which has no nulls; no more than `rows` and a batch are held whatever the pages say."""
    found: list[RowNumbers] = []
    held = 0
    for batch in file.iter_batches(1 << 16, use_threads=False):
        held += batch.num_rows
        if held > rows or batch.column(0).null_count:
            return np.empty(0, np.int64)
        found.append(batch.column(0).to_numpy())
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _ascends(numbers: RowNumbers) -> bool:
    return bool((numbers[1:] > numbers[:-1]).all())

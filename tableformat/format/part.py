"""One part of a table: how its Parquet file is written, and what its footer tells.

A part is plain Parquet. Its bytes follow from the rows, the schema and the `Layout` alone: the same rows written again
by the same library give the same file and so the same name (spec/part.md). No clock, no I/O: rows go to a sink.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.digest import digest_of
from tableformat.document import JsonObject, encode_document
from tableformat.errors import CorruptError, FormatError, LimitError, message
from tableformat.format.encodings import writer_options
from tableformat.format.footer import check_footer

__all__ = [
    "FOOTER_KEY",
    "MAX_FOOTER_BYTES",
    "MAX_GROUP_BYTES",
    "Footer",
    "Layout",
    "PartEncoder",
    "check_tail",
    "parse_footer",
    "plan_group_rows",
    "split_footer",
]

FOOTER_KEY: Final = b"tableformat"
"""The one key of the Parquet footer that is ours: the schema as JSON, so that a part found alone explains itself."""
MAX_FOOTER_BYTES: Final = 64 << 20
"""Longest footer that is parsed: 10,000 columns in 100 row groups take about 50 MB."""
MAX_GROUP_BYTES: Final = 64 << 20
"""Most decoded bytes in one row group, down to a single row: what a reader must be ready to hold."""
_CHUNK_BYTES: Final = 2 << 20
# Decoded bytes of the widest column in one row group. Halved by rounding down to a power of two and again by
# compression this comes to about 1 MiB on disk: on a bucket such a range costs about what 10 KB cost, and 30 random
# 1-KB rows took 19 ms with groups of 1,024 rows and 662 ms with groups of 131,072.
_MIN_GROUP_ROWS: Final = 256
_MAX_GROUP_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Layout:
    """The settings that fix how rows become parts. Recorded in the table's entry and inherited by later versions."""

    group_rows: int
    """Rows of a row group."""
    part_rows: int
    """Rows of a part: exactly where parts are cut by arrival, the least target where they are cut by key."""
    part_bytes: int = 128 << 20
    """Decoded bytes after which a part ends in any case."""
    cut: str = "arrival"
    """`arrival`, or `key` where a hash of the key says where a part ends."""
    codec: str = "zstd"
    level: int = 1

    def to_json(self) -> JsonObject:
        """The layout as it stands in a table's entry."""
        return {
            "codec": self.codec,
            "cut": self.cut,
            "group_rows": self.group_rows,
            "level": self.level,
            "part_bytes": self.part_bytes,
            "part_rows": self.part_rows,
        }

    @classmethod
    def from_json(cls, value: JsonObject, place: str) -> Layout:
        """Read a layout; raises `FormatError` naming `place` where a field is missing or out of bounds."""
        try:
            layout = cls(**{name: value[name] for name in cls.__slots__})
        except (KeyError, TypeError) as error:
            raise FormatError(
                message("reading the layout of a table", path=place, got=f"a bad field: {error}")
            ) from error
        sizes: tuple[object, ...] = (layout.group_rows, layout.part_rows, layout.part_bytes)
        bounded = all(isinstance(size, int) and 0 < size <= 1 << 40 for size in sizes)
        if not bounded or layout.cut not in ("arrival", "key"):
            raise FormatError(message("reading the layout of a table", path=place, got=f"impossible settings {value}"))
        return layout


def plan_group_rows(widest_bytes: float) -> int:
    """Rows of a row group for a table whose widest column takes `widest_bytes` decoded bytes a row: a power of two."""
    rows = int(_CHUNK_BYTES / max(widest_bytes, 1))
    return min(max(1 << max(rows.bit_length() - 1, 0), _MIN_GROUP_ROWS), _MAX_GROUP_ROWS)


class PartEncoder:
    """Writes one part to `sink`, a callable that takes each run of bytes in order.

    `column_json` is what stands under `FOOTER_KEY`; None, for a file of some columns of a part, leaves it out. Holds one
    row group while it is encoded. `write` takes exactly the rows of one row group.
    """

    def __init__(
        self, schema: pa.Schema, layout: Layout, column_json: JsonObject | None, sink: Callable[[bytes], object]
    ) -> None:
        self._sink = _SinkFile(sink)
        told = None if column_json is None else {FOOTER_KEY: encode_document(column_json)}
        self.schema = schema.with_metadata(told)
        self._layout = layout
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def write(self, group: pa.Table) -> None:
        """Append one row group; its columns have the names and types of the schema."""
        self._opened(group).write_table(
            group.replace_schema_metadata(self.schema.metadata), row_group_size=max(group.num_rows, 1)
        )
        self.rows += group.num_rows

    def close(self) -> Footer:
        """Write the footer and return what the manifest records of it."""
        self._opened(self.schema.empty_table()).close()
        tail = self._sink.tail()
        size = int.from_bytes(tail[-8:-4], "little") + 8
        return Footer(size, digest_of(tail[-size:]), self._sink.written)

    def _opened(self, group: pa.Table) -> pq.ParquetWriter:
        """The writer of the file, whose first row group says which columns are worth compressing."""
        if self._writer is None:
            options = writer_options(group, self._layout.codec, self._layout.level)
            self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, "w"), self.schema, **options)
        return self._writer


@dataclass(frozen=True, slots=True)
class Footer:
    """What the manifest records of the end of a part: the footer, its length and the magic word behind it."""

    size: int
    """Bytes from the footer's first to the end of the file."""
    digest: str
    """Their SHA-256."""
    file_size: int
    """Bytes of the whole file."""


class _SinkFile:
    """The file-like object that pyarrow writes to; keeps the last writes, which hold the footer."""

    closed = False

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._recent: list[bytes] = []
        self.written = 0

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._sink(piece)
        self.written += len(piece)
        # pyarrow writes the footer, its length and the magic word in a few last calls, after the page index.
        self._recent.append(piece)
        if len(self._recent) > 4:
            del self._recent[0]
        return len(piece)

    def tail(self) -> bytes:
        tail = b"".join(self._recent)
        if tail[-4:] != b"PAR1" or len(tail) < int.from_bytes(tail[-8:-4], "little") + 8:
            raise CorruptError("the Parquet writer did not end with a footer")
        return tail

    def flush(self) -> None:
        """Bytes go on as they come."""

    def close(self) -> None:
        self.closed = True

    def tell(self) -> int:
        return self.written

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def split_footer(tail: bytes, path: str) -> int:
    """The length of the footer with its length and magic word, from the last bytes of a Parquet file.

    Raises `FormatError` where `tail` does not end as Parquet does, `LimitError` where the footer claims too much.
    """
    if len(tail) < 8 or tail[-4:] != b"PAR1":
        raise FormatError(
            message("reading a Parquet footer", path=path, expected="PAR1 at the end", got=repr(tail[-4:]))
        )
    size = int.from_bytes(tail[-8:-4], "little") + 8
    if size > MAX_FOOTER_BYTES:
        raise LimitError(
            message("reading a Parquet footer", path=path, expected=f"at most {MAX_FOOTER_BYTES} bytes", got=size)
        )
    return size


def check_tail(data: bytes, path: str, *, size: int | None = None, digest: str | None = None) -> None:
    """Compare a footer, with its length and magic word, with the manifest's record of it. Raises `CorruptError`, and `FormatError` where
    it does not end as Parquet does."""
    doing = "reading a Parquet footer"
    if size is not None and len(data) != size:
        raise CorruptError(message(doing, path=path, expected=f"{size} bytes", got=len(data)))
    if digest is not None and (found := digest_of(data)) != digest:
        raise CorruptError(message(doing, path=path, expected=digest, got=found, todo="verify the store"))
    if (told := split_footer(data, path)) != len(data):
        raise FormatError(message(doing, path=path, expected=f"{len(data)} bytes", got=told))


def parse_footer(data: bytes, path: str, *, size: int | None = None, digest: str | None = None) -> pq.FileMetaData:
    """The metadata in `data`, a footer with its length and magic word, checked against the manifest's record of it."""
    check_tail(data, path, size=size, digest=digest)
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise FormatError(message("reading a Parquet footer", path=path, got=str(error)[:300])) from error
    check_footer(data, metadata, path, digest=digest)
    return metadata

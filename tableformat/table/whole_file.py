"""Files of small parts, read in one go: footer and pages by one request, checked by one sum, parsed once.

A table with a key has some hundreds of parts. To open such a file twice, once for its footer and once for its pages, takes as long
as to decode a third of it; to verify the CRC of each page a quarter of that time (pyarrow's runs at 2.4 GB/s, XXH3 at 30).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tableformat.errors import CorruptError, FormatError, message
from tableformat.format.footer import check_footer
from tableformat.format.manifest import PartFile
from tableformat.format.part import check_tail
from tableformat.storage.interface import Backend

__all__ = ["THRIFT_BYTES", "WHOLE_BYTES", "RangedFile", "WholeFile", "open_file", "read_whole"]

THRIFT_BYTES: Final = 64 << 20
"""Most bytes of a text, and items of a list, in the Thrift of a file."""
WHOLE_BYTES: Final = 8 << 20
"""Files of more bytes are read column chunk by column chunk."""


@dataclass(frozen=True, slots=True)
class WholeFile:
    """The bytes of one file, open."""

    data: bytes
    opened: pq.ParquetFile
    """The same, with its footer parsed."""
    is_verified: bool
    """Whether the bytes are those that were written, by their sum; else the checksums of pages are verified as they are read."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Some of the bytes; fewer at the end of the file."""
        return self.data[offset : offset + length]

    def as_text(self) -> pq.ParquetFile:
        """The same, with all text read as such."""
        return open_file(pa.BufferReader(self.data), self.opened.metadata, is_verified=self.is_verified)

    def view_at(self, offset: int, length: int) -> memoryview:
        """The same, not copied."""
        return memoryview(self.data)[offset : offset + length]


@dataclass(frozen=True, slots=True)
class RangedFile:
    """One file, open, of which row groups are read one after another."""

    source: pa.NativeFile
    opened: pq.ParquetFile
    """The same, with its footer parsed. The checksums of pages are verified as they are read."""
    is_verified: ClassVar[bool] = False

    def read_at(self, offset: int, length: int) -> bytes:
        """Some of the bytes; fewer at the end of the file."""
        return bytes(self.source.read_at(length, offset))

    def as_text(self) -> pq.ParquetFile:
        """The file."""
        return self.opened

    def view_at(self, offset: int, length: int) -> memoryview:
        """The same."""
        return memoryview(self.source.read_at(length, offset))


def open_file(
    source: Any, metadata: pq.FileMetaData | None, *, is_verified: bool = False, coded: Sequence[str] = ()
) -> pq.ParquetFile:
    """A file whose pages are verified against their checksums as they are read, unless its bytes were. The columns `coded` are read as
    numbers of their dictionary, and that."""
    return pq.ParquetFile(
        source,
        metadata=metadata,
        read_dictionary=list(coded),
        page_checksum_verification=not is_verified,
        thrift_string_size_limit=THRIFT_BYTES,
        thrift_container_size_limit=THRIFT_BYTES,
    )


def read_whole(
    backend: Backend, file: PartFile, metadata: pq.FileMetaData | None, coded: Sequence[str] = ()
) -> WholeFile:
    """All bytes of a file that a manifest describes; its footer is checked where `metadata` is None.

    Raises `CorruptError` where the bytes or the footer are not those in the manifest, `FormatError` where it is none.
    """
    data = backend.read(file.path, 0, file.size)
    is_verified = file.xxh3 is not None
    if is_verified and (found := xxhash.xxh3_64_hexdigest(data)) != file.xxh3:
        raise CorruptError(
            message(
                "reading a part", path=file.path, expected=f"XXH3-64 {file.xxh3}", got=found, todo="verify the store"
            )
        )
    source = pa.BufferReader(data)
    if metadata is not None:
        return WholeFile(data, open_file(source, metadata, is_verified=is_verified, coded=coded), is_verified)
    tail = data[file.size - file.footer_size :]
    check_tail(tail, file.path, size=file.footer_size, digest=file.footer_digest)
    try:
        opened = open_file(source, None, is_verified=is_verified, coded=coded)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise FormatError(message("reading a Parquet footer", path=file.path, got=str(error)[:300])) from error
    check_footer(tail, opened.metadata, file.path, digest=file.footer_digest)
    return WholeFile(data, opened, is_verified)

"""The bytes of media cells: many at once, from packs, from the cells themselves, and from references that are allowed.

Owned bytes are read by ranges, together, and compared with their digests. A reference is opened only below a prefix that
the caller allowed, and compared with what was known of it.
"""

from __future__ import annotations

import io
from hashlib import sha256
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import (
    BackendError,
    CorruptError,
    FormatError,
    LimitError,
    TableformatError,
    UsageError,
    message,
)
from tableformat.format.frame import decode_frame, frame_content_size
from tableformat.format.media.classes import Classes
from tableformat.format.media.links import check_url
from tableformat.format.media.prepared import CHECKSUM_PREFIX, Cell
from tableformat.format.reference import Known, Reach, known_of_cell
from tableformat.storage.blob_reader import BlobRequest
from tableformat.storage.locations import DATA
from tableformat.storage.outside.reader import Wanted
from tableformat.storage.versionfile import Input
from tableformat.table.source import TableSource

__all__ = ["CellReader", "cell_sizes"]

_CHECKSUM_LENGTH: Final = len(CHECKSUM_PREFIX) + 64


class CellReader:
    """Reads what cells of one table point at: the `CellSource` of its media. Safe from many threads, holds nothing."""

    __slots__ = ("_source",)

    def __init__(self, source: TableSource) -> None:
        self._source = source

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (*reopening(self._source),)

    @property
    def source(self) -> TableSource:
        """The table whose cells it reads."""
        return self._source

    @property
    def root(self) -> str:
        """The store in which owned cells lie: a cell copied inside it needs no bytes to move."""
        return self._source.backend.root

    def url_of(self, cell: Cell) -> str:
        """The absolute URL of the file in which the bytes of an owned cell lie."""
        prefix = self._source.cells_prefix or f"{self.root.rstrip('/')}/{DATA}"
        return check_url(f"{prefix}{cell.uri}", "referring to media of another store")

    @property
    def input(self) -> Input | None:
        """The version that the cells belong to."""
        return self._source.input

    # -- one cell

    def read(self, cell: Cell) -> bytes:
        """The decoded, verified bytes of one cell."""
        data = self._stored(cell)
        if cell.encoding is None:
            return data
        return self._decoded(data, cell.digest, cell.uri)

    def open(self, cell: Cell) -> BinaryIO:
        """A seekable file over them. A large blob is read by whole MiB as it is asked for, and checked by the MiB."""
        if cell.inline is None and cell.encoding is None and cell.uri is not None:
            if cell.is_reference and cell.offset is None and not _is_known(cell.checksum):
                return self._source.open_reference(cell.uri, _known(cell))
            if not cell.is_reference and cell.size is not None:
                return self._source.blobs.open_range(cell.uri, cell.offset or 0, cell.size, _raw(cell.checksum))
        return io.BytesIO(self.read(cell))

    def classes(self, digest: str) -> Classes:
        """The class set with this digest."""
        return self._source.classes(digest)

    def _stored(self, cell: Cell) -> bytes:
        if cell.inline is not None:
            return _verified(cell.inline, cell.checksum, "an inline cell")
        if cell.uri is None:
            raise FormatError(message("reading a media cell", expected="a uri or inline bytes", got="neither"))
        if cell.is_reference:
            if self._source.outside is not None:
                return self._source.outside.read(_wanted(cell), self._source.limits.decoded_media_bytes)
            return self._referred(cell.uri, cell.offset, cell.size, cell.checksum)
        if cell.size is None:
            raise FormatError(message("reading a media cell", path=cell.uri, expected="a size", got="null"))
        return self._source.blobs.read_many([(cell.uri, cell.offset or 0, cell.size, _raw(cell.checksum))])[0]

    def _referred(self, url: str, offset: int | None, size: int | None, checksum: str | None) -> bytes:
        opener = self._source.check_allowed(url)
        doing = f"reading a reference of {self._source.address}"
        try:
            with opener(url) as file:
                if offset:
                    file.seek(offset)
                data = file.read(size if offset is not None and size is not None else -1)
        except TableformatError:
            raise
        except OSError as error:
            raise BackendError(message(doing, path=url, got=str(error)[:300])) from error
        if size is not None and len(data) != size:
            raise CorruptError(
                message(doing, path=url, expected=f"{size} bytes, as when it was referred to", got=len(data))
            )
        return _verified(data, checksum, url)

    def _decoded(self, data: bytes, digest: str | None, place: str | None) -> bytes:
        """The content of a zstd frame, bounded whatever the frame says, and compared with its digest."""
        path = place or "an inline cell"
        most = self._source.limits.decoded_media_bytes
        if (size := frame_content_size(data, path)) > most:
            raise LimitError(
                message("decoding media", path=path, expected=f"at most {most} bytes", got=size,
                        todo="if you trust it, open with limits=Limits(decoded_media_bytes=…)")
            )  # fmt: skip
        return decode_frame(data, _raw(digest), path, max_bytes=most)

    # -- many cells

    def read_array(self, array: pa.StructArray) -> list[bytes | None]:
        """The decoded, verified bytes of a column of cells, None for null; holds them all."""
        count = len(array)
        if not count:
            return []
        file, digests, encodings = array.field("file"), array.field("digest"), array.field("encoding")
        valid = array.is_valid().to_pylist() if array.null_count else None
        inline = file.field("inline")
        uris = _texts(file.field("uri"))
        simple = valid is None and inline.null_count == count and encodings.null_count == count and None not in uris
        checksums = file.field("checksum")
        if simple and not any("://" in uri for uri in set(uris)):
            raws = _raw_many(checksums)
            sizes = file.field("size")
            offsets = file.field("offset")
            if raws is not None and not sizes.null_count:
                starts = (offsets.fill_null(0) if offsets.null_count else offsets).to_numpy().tolist()
                requests = cast(
                    "list[BlobRequest]", list(zip(uris, starts, sizes.to_numpy().tolist(), raws, strict=True))
                )
                return list(self._source.blobs.read_many(requests))
        return self._read_mixed(
            array, valid, uris, inline.to_pylist(), checksums.to_pylist(), digests.to_pylist(), encodings.to_pylist()
        )

    def _read_mixed(
        self,
        array: pa.StructArray,
        valid: list[bool] | None,
        uris: list[str],
        inline: list[bytes | None],
        checksums: list[str | None],
        digests: list[str | None],
        encodings: list[str | None],
    ) -> list[bytes | None]:
        file = array.field("file")
        offsets, sizes = file.field("offset").to_pylist(), file.field("size").to_pylist()
        found: list[bytes | None] = [None] * len(array)
        owned: list[int] = []
        referred: list[tuple[int, Wanted]] = []
        for row in range(len(array)):
            if valid is not None and not valid[row]:
                continue
            cell = Cell(
                "file",
                uris[row],
                offsets[row],
                sizes[row],
                None,
                checksums[row],
                inline[row],
                digests[row],
                encodings[row],
            )
            cell.check()
            if cell.inline is None and not cell.is_reference:
                owned.append(row)
            elif cell.inline is None and self._source.outside is not None:
                referred.append((row, _wanted(cell)))
            else:
                found[row] = self._stored(cell)
        if any(sizes[row] is None for row in owned):
            raise FormatError(message("reading media cells", expected="a size of owned bytes", got="null"))
        datas = self._source.blobs.read_many(
            [(uris[row], offsets[row] or 0, sizes[row], _raw(checksums[row])) for row in owned]
        )
        for row, data in zip(owned, datas, strict=True):
            found[row] = data
        if referred and self._source.outside is not None:
            limit = self._source.limits.decoded_media_bytes
            fetched = self._source.outside.read_many([wanted for _, wanted in referred], limit)
            for (row, _), data in zip(referred, fetched, strict=True):
                found[row] = data
        for row, encoding in enumerate(encodings):
            if encoding is not None and (stored := found[row]) is not None:
                found[row] = self._decoded(stored, digests[row], uris[row])
        return found


def reopening(source: TableSource) -> tuple[Any, ...]:
    """What a pickle holds of a source: never credentials."""
    if source.opener is None:
        raise UsageError(
            message(
                "pickling a table",
                path=source.address,
                expected="a table of a store",
                got="one that was opened without its store",
            )
        )
    return source.opener, source.backend, source.artifact, source.name, source.reach


def _reopened(opener: Any, backend: Any, artifact: str, name: str, reach: Reach) -> CellReader:
    return CellReader(opener(backend, artifact, name, reach))


def _known(cell: Cell) -> Known:
    return known_of_cell(cell.checksum, cell.version_id, cell.size, cell.offset)


def _wanted(cell: Cell) -> Wanted:
    assert cell.uri is not None
    return Wanted(cell.uri, cell.offset, cell.size, _known(cell), _raw(cell.checksum))


def cell_sizes(array: pa.StructArray) -> npt.NDArray[np.int64]:
    """Stored bytes of each cell; 0 where unknown."""
    sizes = array.field("file").field("size")
    return np.asarray(sizes.fill_null(0) if sizes.null_count else sizes).astype(np.int64)


def _texts(array: pa.Array) -> list[str]:
    """The texts of a column in which few differ: each is made once."""
    coded = array.dictionary_encode()
    names = coded.dictionary.to_pylist()
    if coded.null_count:
        names.append(None)
        places = coded.indices.fill_null(len(names) - 1)
    else:
        places = coded.indices
    return [names[place] for place in places.to_numpy().tolist()]


def _raw_many(checksums: pa.Array) -> list[bytes] | None:
    """The 32 bytes of each checksum of a column that has nothing but SHA-256; else None."""
    count = len(checksums)
    _, offsets_buffer, data = checksums.buffers()
    if checksums.null_count or data is None:
        return None
    offsets = np.frombuffer(offsets_buffer, "<i4", count + 1, checksums.offset * 4)
    if int(offsets[-1] - offsets[0]) != count * _CHECKSUM_LENGTH or not (np.diff(offsets) == _CHECKSUM_LENGTH).all():
        return None
    text = np.frombuffer(data, np.uint8, count * _CHECKSUM_LENGTH, int(offsets[0])).reshape(count, _CHECKSUM_LENGTH)
    prefix = len(CHECKSUM_PREFIX)
    if not (text[:, :prefix] == np.frombuffer(CHECKSUM_PREFIX.encode(), np.uint8)).all():
        return None
    try:
        joined = bytes.fromhex(text[:, prefix:].tobytes().decode("ascii"))
    except ValueError:
        return None
    if len(joined) != 32 * count:  # fromhex passes over white space
        return None
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


def _is_known(checksum: str | None) -> bool:
    return checksum is not None and checksum.startswith(CHECKSUM_PREFIX)


def _raw(checksum: str | None) -> bytes | None:
    if checksum is None or not checksum.startswith(CHECKSUM_PREFIX):
        return None
    try:
        raw = bytes.fromhex(checksum[len(CHECKSUM_PREFIX) :])
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise FormatError(message("reading a media cell", expected="64 hex digits in its checksum", got=checksum[:100]))
    return raw


def _verified(data: bytes, checksum: str | None, place: str) -> bytes:
    wanted = _raw(checksum)
    if wanted is not None and sha256(data).digest() != wanted:
        raise CorruptError(
            message("reading media", path=place, expected=f"sha256:{wanted.hex()}", got=f"sha256:{sha256(data).hexdigest()}",
                    todo="the bytes have changed since they were stored or referred to")
        )  # fmt: skip
    return data

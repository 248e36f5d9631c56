"""Digest → location as a small Parquet file: the form of the leaves of the index and of moved/ files.

Sorted by digest, each digest once, so that two of them merge in one pass and a hostile one is refused in one look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tableformat.digest import Bytes
from tableformat.errors import CorruptError, LimitError, TableformatError, message
from tableformat.format.pages import check_pages
from tableformat.storage.digest_runs import Run
from tableformat.storage.locations import check_uri

__all__ = ["MAX_TABLE_BYTES", "MAX_TABLE_ROWS", "LocationTable", "decode_locations", "encode_locations"]

MAX_TABLE_ROWS: Final = 1 << 20
"""Most blobs of one such file: about 60 MB in memory."""
MAX_TABLE_BYTES: Final = 256 << 20
"""Longest such file that is read; an honest one of 2^20 blobs has about 45 MB."""
_MAX_DECODED_BYTES: Final = 256 << 20

_SCHEMA: Final = pa.schema([
    pa.field("digest", pa.binary(32), nullable=False), pa.field("uri", pa.string()), pa.field("offset", pa.int64()), pa.field("size", pa.int64()),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class LocationTable:
    """Blobs in the order of their digests, and the files they lie in."""

    run: Run
    """Digests and places; `slot` counts in `uris`, and is −1 for a blob that was erased."""
    uris: tuple[str, ...]
    """Relative uris of packs and large blobs."""


def encode_locations(run: Run, uris: Sequence[str]) -> bytes:
    """The Parquet file of the blobs in `run`, whose slots count in `uris` (−1: erased)."""
    slot = np.ascontiguousarray(run.rows["slot"])
    erased = slot < 0
    mask = pa.array(erased)
    used, codes = np.unique(slot[~erased], return_inverse=True)
    indices = np.zeros(len(slot), np.int32)
    indices[~erased] = codes
    paths = pa.DictionaryArray.from_arrays(
        pa.array(indices, mask=erased), pa.array([uris[i] for i in used], pa.string())
    )
    columns: list[Any] = [
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), len(run), [None, pa.py_buffer(np.ascontiguousarray(run.digests()))]
        ),
        paths.cast(pa.string()),
        pc.if_else(mask, pa.scalar(None, pa.int64()), pa.array(np.ascontiguousarray(run.rows["offset"]))),
        pc.if_else(mask, pa.scalar(None, pa.int64()), pa.array(np.ascontiguousarray(run.rows["size"]))),
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(columns, schema=_SCHEMA), sink, compression="zstd", use_dictionary=["uri"], write_statistics=False,
        write_page_checksum=True, store_schema=False, version="2.6",
    )  # fmt: skip
    return cast("bytes", sink.getvalue().to_pybytes())


def decode_locations(data: Bytes, path: str, *, erased: bool) -> LocationTable:
    """The blobs of the file `data`, which came from `path`; blobs without a place are taken only where `erased` says so.

    Raises `CorruptError` for any other columns, digests that are not strictly ascending, uris that are not those of packs
    and large blobs, or places that cannot be; `LimitError` for more than `MAX_TABLE_ROWS`.
    """
    doing = "reading a table of locations"
    table = _read(data, path, doing)
    digests = _fixed(table.column("digest").combine_chunks(), len(table))
    uri, offset, size = (table.column(name).combine_chunks() for name in ("uri", "offset", "size"))
    missing = uri.is_null()
    if table.column("digest").null_count or not (missing.equals(offset.is_null()) and missing.equals(size.is_null())):
        raise CorruptError(
            message(doing, path=path, expected="uri, offset and size together, and every digest", got="nulls")
        )
    if not erased and uri.null_count:
        raise CorruptError(message(doing, path=path, expected="a place for every blob", got=f"{uri.null_count} nulls"))
    places = [pc.fill_null(column, 0).to_numpy(zero_copy_only=False) for column in (offset, size)]
    codes = pc.fill_null(uri.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    names = tuple(check_uri(str(name)) for name in uri.dictionary.to_pylist())
    if any(bool((values < 0).any()) for values in places):
        raise CorruptError(message(doing, path=path, expected="offsets and sizes from 0", got="a negative one"))
    run = Run.from_arrays(digests, codes, places[0], places[1])
    if len(run) > 1 and not _ascending(digests):
        raise CorruptError(message(doing, path=path, expected="digests in ascending order, each once"))
    return LocationTable(run, names)


def _read(data: Bytes, path: str, doing: str) -> Any:
    """The Arrow table, with `uri` kept as a dictionary: decoding it could take far more memory than the file has bytes."""
    if len(data) > MAX_TABLE_BYTES:
        raise LimitError(
            message(doing, path=path, expected=f"at most {MAX_TABLE_BYTES} bytes", got=f"{len(data)} bytes")
        )
    try:
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=["uri"], page_checksum_verification=True)
        if file.metadata.num_rows > MAX_TABLE_ROWS:
            raise LimitError(
                message(
                    doing, path=path, expected=f"at most {MAX_TABLE_ROWS} rows", got=f"{file.metadata.num_rows} rows"
                )
            )
        decoded = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if decoded > _MAX_DECODED_BYTES:
            raise LimitError(
                message(doing, path=path, expected=f"at most {_MAX_DECODED_BYTES} decoded bytes", got=f"{decoded}")
            )
        plain = pa.schema(
            [
                pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
                for f in file.schema_arrow
            ]
        )
        if not plain.equals(pa.schema([pa.field(f.name, f.type) for f in _SCHEMA])):
            raise CorruptError(
                message(
                    doing,
                    path=path,
                    expected="the columns digest, uri, offset, size",
                    got=str(plain).replace("\n", ", ")[:300],
                )
            )
        check_pages(data, file.metadata, _MAX_DECODED_BYTES, path, codings=("dictionary",))  # kept as one
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, TableformatError):
            raise
        raise CorruptError(message(doing, path=path, expected="a Parquet file", got=str(error)[:200])) from error
    return table


def _fixed(array: Any, count: int) -> npt.NDArray[np.uint8]:
    """The bytes of a fixed-size binary array, shape (count, 32)."""
    raw = np.frombuffer(array.buffers()[1] or b"", np.uint8)
    return raw[array.offset * 32 : (array.offset + count) * 32].reshape(-1, 32)


def _ascending(digests: npt.NDArray[np.uint8]) -> bool:
    """Whether each digest is greater than the one before it."""
    words = np.ascontiguousarray(digests).view(">u8").astype(np.uint64)
    later, earlier = words[1:], words[:-1]
    greater = np.zeros(len(later), np.bool_)
    equal = np.ones(len(later), np.bool_)
    for column in range(4):
        greater |= equal & (later[:, column] > earlier[:, column])
        equal &= later[:, column] == earlier[:, column]
    return bool(greater.all())

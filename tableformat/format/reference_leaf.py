"""Leaves of long lists of references: typed Parquet files sorted by path (spec/references.md, "Leaves").

A leaf holds at most `MAX_LEAF_ROWS` references, so that it is read whole, compared with its digest, and still small: a look-up
among any number of references reads one. Leaves end where a hash of the path says so: lists that differ in one place
share their others. Texts are DELTA_LENGTH_BYTE_ARRAY: with zstd as small as prefix coding, and never longer than their pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tableformat.errors import FormatError, LimitError, message
from tableformat.format.pages import check_pages
from tableformat.format.reference import Known

__all__ = [
    "LEAF_SCHEMA",
    "MAX_LEAF_BYTES",
    "MAX_LEAF_ROWS",
    "Listed",
    "cut_leaves",
    "decode_leaf",
    "encode_leaf",
    "listed_of",
]

_TARGET_ROWS: Final = 1 << 14
MAX_LEAF_ROWS: Final = 1 << 15
"""Most references in a leaf."""
MAX_LEAF_BYTES: Final = 16 << 20
"""Longest leaf: 512 bytes a reference."""
_MAX_DECODED: Final = 256 << 20
_MAX_INT: Final = 2**63 - 1

LEAF_SCHEMA: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("modified", pa.timestamp("us", "UTC")),
        pa.field("etag_hex", pa.binary(16)),
        pa.field("etag", pa.string()),
        pa.field("generation", pa.int64()),
        pa.field("version", pa.string()),
        pa.field("sha256", pa.binary(32)),
    ]
)
"""The columns of a leaf. An etag of 32 hex digits stands as 16 bytes in `etag_hex`, another as text in `etag`; a version that is a
number in `generation`, another in `version`."""
_DELTA: Final = dict.fromkeys(("path", "etag", "version"), "DELTA_LENGTH_BYTE_ARRAY") | dict.fromkeys(
    ("size", "modified", "generation"), "DELTA_BINARY_PACKED"
)
_HEX: Final = frozenset("0123456789abcdef")
_PLAIN: Final = frozenset({"PLAIN", "RLE", "BIT_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BINARY_PACKED"})


class Listed(NamedTuple):
    """One object below a prefix, and what is known of it."""

    path: str
    """What follows the prefix in its URL."""
    known: Known


def cut_leaves(listed: Iterable[Listed]) -> Iterator[list[Listed]]:
    """`listed`, which is sorted by path, in the lists that become leaves. Holds one."""
    pending: list[Listed] = []
    digest = xxhash.xxh3_64_intdigest
    for one in listed:
        pending.append(one)
        if digest(one.path.encode("utf-8")) % _TARGET_ROWS == 0 or len(pending) >= MAX_LEAF_ROWS:
            yield pending
            pending = []
    if pending:
        yield pending


def encode_leaf(listed: Sequence[Listed]) -> bytes:
    """The file of a leaf. The same references give the same bytes, with the same version of Arrow."""
    known = [one.known for one in listed]
    etags = [one.etag for one in known]
    hexes = [_raw_etag(etag) for etag in etags]
    numbers = [_number(one.version) for one in known]
    columns: list[list[Any]] = [
        [one.path for one in listed],
        [one.size for one in known],
        [one.modified for one in known],
        hexes,
        [etag if raw is None else None for etag, raw in zip(etags, hexes, strict=True)],
        numbers,
        [one.version if number is None else None for one, number in zip(known, numbers, strict=True)],
        [None if one.digest is None else bytes.fromhex(one.digest.removeprefix("sha256:")) for one in known],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, LEAF_SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=LEAF_SCHEMA),
        sink,
        compression="zstd",
        compression_level=3,
        use_dictionary=False,
        column_encoding=_DELTA,
        row_group_size=MAX_LEAF_ROWS,
        write_page_checksum=True,
        write_statistics=["path"],
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_leaf(data: bytes, path: str, count: int | None = None) -> pa.Table:
    """The references of a leaf whose digest has been checked, as a table of `LEAF_SCHEMA`.

    Raises `FormatError` for other columns, nulls among the paths, another order or another `count`; `LimitError` for more than
    `MAX_LEAF_ROWS`, `MAX_LEAF_BYTES`, or encodings under which text can be longer than its pages.
    """
    doing = "reading a leaf of references"
    if len(data) > MAX_LEAF_BYTES:
        raise LimitError(message(doing, path=path, expected=f"at most {MAX_LEAF_BYTES} bytes", got=len(data)))
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        check_pages(data, file.metadata, _MAX_DECODED, path)
        _check_bounds(file.metadata, path, doing)
        if count is not None and file.metadata.num_rows != count:
            raise FormatError(message(doing, path=path, expected=f"{count} references", got=file.metadata.num_rows))
        names = [name for name in LEAF_SCHEMA.names if name in file.schema_arrow.names]
        table = file.read(columns=names, use_threads=False)
        table = pa.Table.from_arrays(
            [
                table.column(field.name).cast(field.type) if field.name in names else pa.nulls(len(table), field.type)
                for field in LEAF_SCHEMA
            ],
            names=LEAF_SCHEMA.names,
        )
    except (pa.ArrowException, OSError, KeyError, UnicodeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(message(doing, path=path, got=str(error)[:300])) from error
    paths = table.column("path").to_pylist()
    if None in paths or any(a >= b for a, b in pairwise(paths)):
        raise FormatError(message(doing, path=path, expected="paths in ascending order", got="another order, or nulls"))
    return table


def _check_bounds(metadata: pq.FileMetaData, path: str, doing: str) -> None:
    decoded = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            decoded += chunk.total_uncompressed_size
            if not set(chunk.encodings) <= _PLAIN:
                raise LimitError(
                    message(doing, path=path, expected="encodings whose pages bound their text", got=", ".join(chunk.encodings))
                )  # fmt: skip
    if metadata.num_rows > MAX_LEAF_ROWS or decoded > _MAX_DECODED or metadata.num_columns > 64:
        raise LimitError(
            message(
                doing,
                path=path,
                expected=f"at most {MAX_LEAF_ROWS} references in {_MAX_DECODED} bytes",
                got=f"{metadata.num_rows} in {decoded}",
            )
        )


def listed_of(table: pa.Table) -> Iterator[Listed]:
    """The references of a leaf, one by one."""
    columns = [
        table.column(name).to_pylist()
        for name in ("path", "size", "etag_hex", "etag", "generation", "version", "sha256")
    ]
    modified = table.column("modified").cast(pa.int64()).to_pylist()
    for (path, size, raw, etag, generation, version, sha), written in zip(
        zip(*columns, strict=True), modified, strict=True
    ):
        yield Listed(
            path,
            Known(
                size,
                raw.hex() if raw is not None else etag,
                str(generation) if generation is not None else version,
                written,
                None if sha is None else f"sha256:{sha.hex()}",
            ),
        )


def _raw_etag(etag: str | None) -> bytes | None:
    return bytes.fromhex(etag) if etag is not None and len(etag) == 32 and _HEX.issuperset(etag) else None


def _number(version: str | None) -> int | None:
    if version is None or not version.isascii() or not version.isdecimal() or len(version) > 18:
        return None
    return int(version) if str(int(version)) == version else None

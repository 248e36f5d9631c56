"""The headers of pages and footers, as pyarrow writes them, and as nobody does."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tableformat.errors import CorruptError, FormatError, LimitError, TableformatError
from tableformat.format.footer import check_footer
from tableformat.format.pages import check_pages, chunk_start, decoded_size, iter_pages, text_bounds
from tableformat.format.thrift import MALFORMED_THRIFT, read_bytes, read_number, read_varint, skip

ROWS = 5000
TABLE = pa.table({
    "number": np.arange(ROWS), "score": np.random.default_rng(0).random(ROWS), "text": [f"text {n}" for n in range(ROWS)],
    "few": [f"few {n % 7}" for n in range(ROWS)], "raw": [bytes([n % 256]) * (n % 90) for n in range(ROWS)],
    "list": [["a"] * (n % 3) for n in range(ROWS)], "nested": [{"a": n, "b": [{"c": str(n)}]} for n in range(ROWS)],
    "fixed": pa.array([b"abcd"] * ROWS, pa.binary(4)), "flag": [n % 2 == 0 for n in range(ROWS)], "none": pa.nulls(ROWS, pa.string()),
})  # fmt: skip
WRITERS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no dictionary": {"use_dictionary": False},
    "version 2 of pages": {"data_page_version": "2.0"},
    "checksums": {"write_page_checksum": True, "write_page_index": True},
    "uncompressed": {"compression": "none"},
    "small pages": {"data_page_size": 1000},
    "prefixes": {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY", "raw": "DELTA_LENGTH_BYTE_ARRAY"}},
    "no statistics": {"write_statistics": False},
}  # fmt: skip


def written(**options: Any) -> tuple[bytes, pq.FileMetaData]:
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink, row_group_size=2000, **{"compression": "zstd", **options})
    data: bytes = sink.getvalue().to_pybytes()
    return data, pq.read_metadata(pa.BufferReader(data))


def footer_of(data: bytes) -> bytes:
    return data[-int.from_bytes(data[-8:-4], "little") - 8 :]


@pytest.mark.parametrize("writer", WRITERS)
def test_pages_add_up_to_what_the_footer_says(writer: str) -> None:
    """The pages of each chunk are walked from its first byte to its last, and decode to what an honest footer says of them."""
    data, metadata = written(**WRITERS[writer])
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            pages = list(
                iter_pages(lambda at, size: data[at : at + size], chunk_start(chunk), chunk.total_compressed_size, "x")
            )
            total, codings = decoded_size(pages)
            headers = chunk.total_compressed_size - sum(page.stored for page in pages)
            assert total + headers == chunk.total_uncompressed_size
            if writer == "checksums":
                assert all(page.crc == zlib.crc32(data[page.start : page.start + page.stored]) for page in pages)
            else:
                assert {page.crc for page in pages} == {None}
            assert sum(page.head.get(1, 0) for page in pages) == chunk.num_values
            assert ("dictionary" in codings) == ("RLE_DICTIONARY" in chunk.encodings)
            assert ("prefix" in codings) == ("DELTA_BYTE_ARRAY" in chunk.encodings)
    check_footer(footer_of(data), metadata, "x")


@pytest.mark.parametrize("writer", ["defaults", "no dictionary", "prefixes", "small pages"])
def test_texts_are_no_longer_than_their_pages_tell(writer: str) -> None:
    """No value is longer than its chunk decoded; one of a dictionary no longer than that; only plain ones have no such bound."""
    data, metadata = written(**WRITERS[writer])
    for number, name in ((2, "text"), (3, "few"), (4, "raw")):
        chunk = metadata.row_group(0).column(number)
        assert chunk.path_in_schema == name
        total, longest = text_bounds(
            iter_pages(lambda at, size: data[at : at + size], chunk_start(chunk), chunk.total_compressed_size, "x")
        )
        stored = sum(len(value) for value in TABLE.column(name).slice(0, 2000).unique().to_pylist())
        if writer == "no dictionary" or (writer == "prefixes" and name != "text"):
            assert longest == 0
        elif writer == "prefixes":
            assert longest == total
        else:
            few = TABLE.column(name).slice(0, 2000).to_pylist()
            assert max(map(len, few)) <= longest <= min(total, stored + 4 * len(set(few)))


def test_small_files_are_bounded() -> None:
    """The decoded pages of a file are added up, and text that may be longer than its pages is refused where it is not expected."""
    data, metadata = written(use_dictionary=False)
    check_pages(data, metadata, 1 << 20, "x")
    with pytest.raises(LimitError, match="decoded bytes"):
        check_pages(data, metadata, 10_000, "x")
    data, metadata = written(**WRITERS["prefixes"])
    with pytest.raises(LimitError, match="prefix"):
        check_pages(data, metadata, 1 << 20, "x", codings=("dictionary",))
    data, metadata = written()
    check_pages(data, metadata, 1 << 20, "x", codings=("dictionary",))
    with pytest.raises(LimitError, match="dictionary"):
        check_pages(data, metadata, 1 << 20, "x")


def test_headers_that_end_too_soon() -> None:
    """Each cut, and each byte changed, of the header of a page is walked or refused."""
    data, metadata = written()
    chunk = metadata.row_group(0).column(2)
    start, length = chunk_start(chunk), chunk.total_compressed_size
    for cut in range(1, 40):
        with pytest.raises(CorruptError):
            list(iter_pages(lambda at, size: data[: start + cut][at : at + size], start, length, "x"))  # noqa: B023 - used at once
    for at in range(start, start + 30):
        for value in (0, 0x7F, 0x80, 0xFF, data[at] ^ 0x15):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                pages = list(iter_pages(lambda place, size: changed[place : place + size], start, length, "x"))  # noqa: B023 - used at once
            except TableformatError:
                continue
            assert all(page.stored >= 0 and page.decoded >= 0 for page in pages)


def test_footers_in_any_bytes() -> None:
    """A footer in which anything was changed is accepted or refused, by nothing but an error of ours."""
    data, metadata = written(write_page_checksum=True)
    footer = footer_of(data)
    refused = 0
    for seed in range(400):
        chance = random.Random(seed)
        changed = bytearray(footer)
        for _ in range(chance.choice((1, 3))):
            changed[chance.randrange(len(changed) - 8)] = chance.randrange(256)
        try:
            check_footer(bytes(changed), metadata, "x")
        except FormatError:
            refused += 1
    assert 20 < refused < 400
    with pytest.raises(FormatError):
        check_footer(footer, pq.read_metadata(pa.BufferReader(written_flat())), "x")


def written_flat() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1]}), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def test_thrift_is_read_by_steps() -> None:
    """Numbers, binary values, lists, structs and what is none of them."""
    assert read_varint(b"\xac\x02", 0) == (300, 2)
    assert read_number(b"\x03", 0) == (-2, 1)
    assert read_bytes(b"\x02abc", 0) == (2, 3)
    assert skip(b"\x15\x04\x28\x01a\x19\x25\x02\x04\x00", 0, 12) == 10
    for data, kind in (
        (b"\x80" * 20, 6),
        (b"\x05ab", 8),
        (b"\xf5\xff\xff\xff\xff\x0f", 9),
        (b"\x1c" * 5000, 12),
        (b"\x00", 11),
        (b"", 12),
        (b"\x01", 7),
    ):
        with pytest.raises(MALFORMED_THRIFT):
            skip(data, 0, kind)
    with pytest.raises(ValueError, match="64 bits"):
        read_varint(b"\x80" * 20, 0)

"""The headers of Parquet pages: how much a column chunk really decodes to, whatever the footer says of it.

A footer is a list of claims; what takes memory are the pages. 600 bytes can hold a page of 1 GiB, or a dictionary of one value of
10 MiB that stands in every row, under a footer that tells of 300 bytes. So the headers are walked before text is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.parquet as pq

from tableformat.digest import Bytes
from tableformat.errors import CorruptError, LimitError, message
from tableformat.format.footer import check_footer
from tableformat.format.thrift import MALFORMED_THRIFT, read_number, skip

__all__ = ["Page", "check_pages", "chunk_start", "decoded_size", "iter_pages", "text_bounds"]

ReadAt = Callable[[int, int], bytes]
"""(offset, length) → the bytes there; fewer at the end of the file."""

_DICTIONARY_PAGE: Final = 2
_CODINGS: Final = {2: "dictionary", 7: "prefix", 8: "dictionary"}
"""PLAIN_DICTIONARY, DELTA_BYTE_ARRAY, RLE_DICTIONARY."""
_HEADER_BYTES: Final = 192
_MAX_HEADER: Final = 1 << 20
_MAX_PAGES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a column chunk, as its header tells it."""

    kind: int
    """0 data, 2 dictionary, 3 data of version 2."""
    decoded: int
    """Bytes after decompression: that much memory is taken for it."""
    stored: int
    """Bytes before it, without the header."""
    coding: str
    """`dictionary` (of it, or the dictionary itself), `prefix`, or empty: under the first two a value can be far longer than its
    share of the page."""
    start: int
    """Where its bytes begin, behind the header."""
    crc: int | None
    """The CRC-32 of its stored bytes, where the header tells it."""
    head: Mapping[int, int]
    """The numbers in the header of its kind, by field: of data, 1 is how many values, 2 their encoding, 3 and 4 the encodings of
    their definition and repetition levels."""


def iter_pages(read: ReadAt, start: int, length: int, path: str) -> Iterator[Page]:
    """The pages in `length` bytes from `start`; reads their headers. Raises `CorruptError` for what is no header."""
    at, end, count = start, start + length, 0
    while at < end:
        page = _page(read, at, end, path)
        yield page
        at = page.start + page.stored
        count += 1
        if count > _MAX_PAGES:
            raise LimitError(
                message("reading the pages of a part", path=path, expected=f"at most {_MAX_PAGES} pages", got="more")
            )


def _page(read: ReadAt, at: int, end: int, path: str) -> Page:
    doing = "reading the header of a page"
    size = _HEADER_BYTES
    while True:
        data = read(at, min(size, end - at))
        try:
            fields, encoding, head, header = _header(data)
            break
        except IndexError as error:
            if len(data) < size or size >= _MAX_HEADER:
                raise CorruptError(
                    message(doing, path=path, byte_range=(at, end), expected="a whole header")
                ) from error
            size *= 16
        except MALFORMED_THRIFT as error:
            raise CorruptError(message(doing, path=path, byte_range=(at, end), got=str(error))) from error
    kind, decoded, stored = (fields.get(number, -1) for number in (1, 2, 3))
    if min(kind, decoded, stored) < 0:
        raise CorruptError(
            message(
                doing, path=path, byte_range=(at, end), expected="its kind and two sizes", got=(kind, decoded, stored)
            )
        )
    coding = "dictionary" if kind == _DICTIONARY_PAGE else _CODINGS.get(encoding, "")
    crc = fields.get(4)
    return Page(kind, decoded, stored, coding, at + header, None if crc is None else crc & 0xFFFFFFFF, head)


def decoded_size(pages: Iterable[Page]) -> tuple[int, set[str]]:
    """The bytes of all pages after decompression, and the codings under which values may be longer than their share of them."""
    total, codings = 0, set()
    for page in pages:
        total += page.decoded
        codings.add(page.coding)
    return total, codings - {""}


def text_bounds(pages: Iterable[Page]) -> tuple[int, int]:
    """The bytes of all pages after decompression, and the longest that a value can be which stands in them once and is read many
    times: no longer than the dictionary, or, behind a prefix, than all of them; 0 where each value has its own bytes."""
    total = dictionary = 0
    has_prefix = False
    for page in pages:
        total += page.decoded
        if page.kind == _DICTIONARY_PAGE:
            dictionary += page.decoded
        has_prefix = has_prefix or page.coding == "prefix"
    return total, total if has_prefix else dictionary


def chunk_start(chunk: Any) -> int:
    """The first byte of a column chunk: that of its dictionary, where it has one."""
    first, dictionary = int(chunk.data_page_offset), chunk.dictionary_page_offset
    return int(dictionary) if dictionary is not None and 0 < dictionary < first else first


def check_pages(
    data: Bytes, metadata: pq.FileMetaData, limit: int, path: str, *, codings: Collection[str] = ()
) -> None:
    """Raise `LimitError` where the pages of a small file that is held whole decode to more than `limit` bytes, or a column of text
    has pages under which text can be longer than they are, other than by one of `codings`."""
    doing = "reading a Parquet file"
    view = memoryview(data)
    footer = int.from_bytes(view[-8:-4], "little") + 8
    check_footer(bytes(view[-footer:]), metadata, path)
    total = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if not chunk.num_values:  # no page of it is read
                continue
            start, length = chunk_start(chunk), int(chunk.total_compressed_size)
            if start < 0 or length < 0 or start + length > len(view):
                raise CorruptError(
                    message(
                        doing,
                        path=path,
                        expected=f"pages within {len(view)} bytes",
                        got=f"{length} at {start}",
                    )
                )
            size, found = decoded_size(iter_pages(lambda at, count: bytes(view[at : at + count]), start, length, path))
            total += size
            if total > limit:
                raise LimitError(
                    message(doing, path=path, expected=f"at most {limit} decoded bytes", got=f"{total} or more")
                )
            if chunk.physical_type == "BYTE_ARRAY" and not found <= set(codings):
                raise LimitError(
                    message(
                        doing,
                        path=path,
                        expected="encodings whose pages bound their text",
                        got=f"text that may be longer than its pages ({', '.join(sorted(found))})",
                    )
                )


def _header(data: bytes) -> tuple[dict[int, int], int, dict[int, int], int]:
    """The numbers of a header by field, the encoding of its values (-1 where it tells none), those of the header of its kind, and
    where it ends."""
    at, number, encoding = 0, 0, -1
    fields: dict[int, int] = {}
    inner: dict[int, int] = {}
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = read_number(data, at)
        kind = head & 15
        if kind == 5:
            fields[number], at = read_number(data, at)
        elif kind == 12 and number in (5, 8):
            inner, at = _numbers(data, at)
            encoding = inner.get(2 if number == 5 else 4, -1)
        else:
            at = skip(data, at, kind)
    return fields, encoding, inner, at + 1


def _numbers(data: bytes, at: int) -> tuple[dict[int, int], int]:
    """The numbers of the struct that begins at `at`, by field, and where it ends."""
    number = 0
    fields: dict[int, int] = {}
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = read_number(data, at)
        if head & 15 == 5:
            fields[number], at = read_number(data, at)
        else:
            at = skip(data, at, head & 15)
    return fields, at + 1

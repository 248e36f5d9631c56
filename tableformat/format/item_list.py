"""ItemList: long lists of documents in a manifest, inline while they are short and in Parquet leaves when they grow.

An item list is `{"count": n, "items": […]}` or `{"count": n, "leaves": [{"digest", "size", "count", "first", "last"}…]}`. Items
are JSON objects with a text under `key`, by which leaves are cut (so that equal neighbours give equal leaves) and, where
the items are sorted, found. A leaf holds `key`, `rows`, `bytes` and the item as canonical JSON: any engine can list it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tableformat.digest import check_digest, digest_of
from tableformat.document import JsonObject, decode_document, encode_document
from tableformat.errors import FormatError, LimitError, message
from tableformat.format.pages import check_pages

__all__ = [
    "ENTRIES_INLINE_BYTES",
    "INLINE_BYTES",
    "ItemList",
    "LeafDescriptor",
    "Line",
    "decode_leaf",
    "decode_lines",
    "encode_leaves",
    "open_leaves",
    "rank_of",
]

INLINE_BYTES: Final = 16 << 10
"""Longest JSON text of the items of a list that stands inline."""
ENTRIES_INLINE_BYTES: Final = 48 << 10
"""The same of entries: their root is then short enough to stand in the version file, and is read with it."""
MAX_ITEMS: Final = 1 << 16
"""Most items of a leaf."""
TOP_RANK: Final = 3
"""The rank after which a leaf is never written again."""
_DIVISORS: Final = (1 << 6, 1 << 10, 1 << 14)
# By chance, small leaves hold 64 items, and the finished ones 16,384. An append writes about 64 items again, and a list of
# any length ends in some thirty small leaves (spec/decisions/012-ranked-leaves.md).
_MAX_LEAF_BYTES: Final = 64 << 20
_MAX_DECODED: Final = 1 << 30
_SCHEMA: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("rows", pa.int64()),
        pa.field("bytes", pa.int64()),
        pa.field("item", pa.string(), nullable=False),
    ]
)
_FULL: Final = frozenset({"key", "item"})


@dataclass(frozen=True, slots=True)
class LeafDescriptor:
    """One leaf of an item list: a file `manifests/<hex>.parquet`."""

    digest: str
    """SHA-256 of the file."""
    size: int
    """Bytes of the file."""
    count: int
    """Items in it."""
    first: str
    """Key of its first item."""
    last: str
    """Key of its last item."""

    def to_json(self) -> JsonObject:
        return {"count": self.count, "digest": self.digest, "first": self.first, "last": self.last, "size": self.size}

    @classmethod
    def from_json(cls, value: JsonObject, doing: str) -> LeafDescriptor:
        """Read one of `leaves`; raises `FormatError` for its digest, else `KeyError`, `TypeError` or `ValueError` where it is malformed."""
        return _described(doing, value["digest"], value["size"], value["count"], value["first"], value["last"])


@lru_cache(maxsize=1 << 10, typed=True)  # versions of a table have most leaves in common, and an append reads two
def _described(doing: str, digest: object, size: Any, count: Any, first: object, last: object) -> LeafDescriptor:
    if not _is_whole(size) or not _is_whole(count):
        raise ValueError("sizes and counts from 0")
    if count > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} items in a leaf")
    return LeafDescriptor(check_digest(digest, doing), size, count, str(first), str(last))


@dataclass(frozen=True, slots=True)
class ItemList:
    """A list of items as a manifest holds it: either `items` or `leaves`."""

    count: int = 0
    items: tuple[JsonObject, ...] = ()
    leaves: tuple[LeafDescriptor, ...] = ()

    def to_json(self) -> JsonObject:
        if self.leaves:
            return {"count": self.count, "leaves": [leaf.to_json() for leaf in self.leaves]}
        return {"count": self.count, "items": list(self.items)}

    @classmethod
    def from_json(cls, value: object, place: str) -> ItemList:
        """Read an item list; raises `FormatError` naming `place` where it is malformed or its counts disagree."""
        doing = "reading an item list of a manifest"
        if not isinstance(value, dict) or not _is_whole(value.get("count")):
            raise FormatError(message(doing, path=place, expected="an object with a count", got=repr(value)[:100]))
        items, leaves = value.get("items", []), value.get("leaves", [])
        if (
            not isinstance(items, list)
            or not all(isinstance(item, dict) for item in items)
            or not isinstance(leaves, list)
        ):
            raise FormatError(message(doing, path=place, expected="items or leaves", got=repr(value)[:100]))
        try:
            described = tuple([LeafDescriptor.from_json(leaf, doing) for leaf in leaves])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(message(doing, path=place, got=f"a malformed leaf: {error}")) from error
        found = len(items) + sum(leaf.count for leaf in described)
        if found != value["count"] or (items and leaves):
            raise FormatError(message(doing, path=place, expected=f"{value['count']} items", got=found))
        return cls(value["count"], tuple(items), described)


@dataclass(frozen=True, slots=True)
class Line:
    """One item as a row of a leaf."""

    key: str
    rows: int | None
    """Its `rows`, where that is a whole number."""
    bytes: int | None
    """Its `bytes`, where that is a whole number."""
    item: str
    """The item as canonical JSON."""

    @classmethod
    def of(cls, item: JsonObject) -> Line:
        """The line of an item."""
        return cls(
            item["key"], _count(item.get("rows")), _count(item.get("bytes")), encode_document(item).decode("ascii")
        )


def rank_of(key: str) -> int:
    """How strongly a list is cut after an item: 0 not at all, 3 for good."""
    hashed = xxhash.xxh3_64_intdigest(key.encode("utf-8"))
    return sum(hashed % divisor == 0 for divisor in _DIVISORS)


def encode_leaves(lines: Iterable[Line]) -> Iterator[tuple[LeafDescriptor, bytes]]:
    """Cut a list into leaves where hashes of the keys say so; yields each with its file. Holds 65,536 lines.

    A cut of rank 3 ends a leaf for good. In the rest behind the last of them, a cut counts unless one of higher rank follows: so
    the leaves at the end of a list are small, one more item writes few again, and a list that grew is cut like one that was
    written whole.
    """
    rest: list[Line] = []
    ranks: list[int] = []
    for line in lines:
        rest.append(line)
        ranks.append(rank_of(line.key))
        if ranks[-1] == TOP_RANK or len(rest) >= MAX_ITEMS:
            yield _encode_leaf(rest)
            rest, ranks = [], []
    start = 0
    for end in _ends(ranks):
        yield _encode_leaf(rest[start:end])
        start = end


def _ends(ranks: Sequence[int]) -> list[int]:
    """Where the leaves of an unfinished stretch end: behind each ranked item that none of higher rank follows, and behind the last."""
    ends = [len(ranks)] if ranks else []
    highest = 0
    for place in range(len(ranks) - 1, -1, -1):
        if ranks[place] and ranks[place] >= highest:
            highest = ranks[place]
            if place + 1 < len(ranks):
                ends.append(place + 1)
    return ends[::-1]


def open_leaves(leaves: Sequence[LeafDescriptor], keys: Sequence[str]) -> int:
    """How many of the leaves at the end of a list are written again when items with `keys` follow it."""
    first = len(leaves)  # the first leaf of the unfinished stretch
    while first and leaves[first - 1].count < MAX_ITEMS and rank_of(leaves[first - 1].last) < TOP_RANK:
        first -= 1
    if sum(leaf.count for leaf in leaves[first:]) + len(keys) >= MAX_ITEMS:
        return len(leaves) - first
    highest = max((rank_of(key) for key in keys), default=0)
    kept = len(leaves)
    while kept > first and rank_of(leaves[kept - 1].last) < max(highest, 1 if kept == len(leaves) else 0):
        kept -= 1
    return len(leaves) - kept


def _encode_leaf(lines: Sequence[Line]) -> tuple[LeafDescriptor, bytes]:
    columns = [
        pa.array([line.key for line in lines], pa.string()),
        pa.array([line.rows for line in lines], pa.int64()),
        pa.array([line.bytes for line in lines], pa.int64()),
        pa.array([line.item for line in lines], pa.string()),
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(columns, schema=_SCHEMA),
        sink,
        compression="zstd",
        compression_level=3,
        use_dictionary=False,
        row_group_size=8192,
        write_page_checksum=True,
        write_statistics=["key", "rows", "bytes"],
    )
    data = sink.getvalue().to_pybytes()
    return LeafDescriptor(digest_of(data), len(data), len(lines), lines[0].key, lines[-1].key), data


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def decode_leaf(data: bytes, leaf: LeafDescriptor, path: str) -> list[JsonObject]:
    """The items of a leaf whose digest has been checked; raises `FormatError` where it is not such a leaf."""
    [texts] = _columns_of(data, leaf, path, ["item"])
    return [decode_document(text.encode("utf-8"), path) for text in texts]


def decode_lines(data: bytes, leaf: LeafDescriptor, path: str) -> list[Line]:
    """The lines of a leaf as they stand there, not parsed: to write them again. Raises like `decode_leaf`."""
    keys, rows, sizes, texts = _columns_of(data, leaf, path, _SCHEMA.names)
    return [Line(*line) for line in zip(keys, rows, sizes, texts, strict=True)]


def _columns_of(data: bytes, leaf: LeafDescriptor, path: str, names: list[str]) -> list[list[Any]]:
    """Columns of a leaf, of which keys and items have a value in every row."""
    doing = "reading a leaf of a manifest"
    if len(data) > _MAX_LEAF_BYTES:
        raise LimitError(message(doing, path=path, expected=f"at most {_MAX_LEAF_BYTES} bytes", got=len(data)))
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        decoded = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if file.metadata.num_rows != leaf.count or leaf.count > MAX_ITEMS or decoded > _MAX_DECODED:
            raise FormatError(message(doing, path=path, expected=f"{leaf.count} items", got=file.metadata.num_rows))
        check_pages(data, file.metadata, _MAX_DECODED, path)
        table = file.read(columns=names, use_threads=False)  # leaves are small: a hand-over costs more
        columns = [table.column(name).to_pylist() for name in names]
        fits = all(table.schema.field(name).type == _SCHEMA.field(name).type for name in names)
    except (pa.ArrowException, OSError, KeyError, UnicodeError) as error:
        raise FormatError(message(doing, path=path, got=str(error)[:300])) from error
    if not fits or any(
        len(column) != leaf.count or (name in _FULL and None in column)
        for name, column in zip(names, columns, strict=True)
    ):
        raise FormatError(
            message(doing, path=path, expected=f"{leaf.count} items as text", got="other columns or values")
        )
    return columns

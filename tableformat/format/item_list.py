"""ItemList: long lists of documents in a manifest, inline while they are short and in Parquet leaves when they grow.

An item list is `{"count": n, "items": […]}` or `{"count": n, "leaves": [{"digest", "size", "count", "first", "last"}…]}`. Items
are JSON objects with a text under `key`, by which leaves are cut (so that equal neighbours give equal leaves) and, where
the items are sorted, found. A leaf holds `key`, `rows`, `bytes` and the item as canonical JSON: any engine can list it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tableformat.digest import check_digest, digest_of
from tableformat.document import JsonObject, decode_document, encode_document
from tableformat.errors import FormatError, LimitError, message

__all__ = ["INLINE_BYTES", "ItemList", "LeafDescriptor", "decode_leaf", "encode_leaves"]

INLINE_BYTES: Final = 16 << 10
"""Longest JSON text of the items of a list that stands inline."""
_TARGET_ITEMS: Final = 1 << 14
_MAX_ITEMS: Final = 1 << 16
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
        if not isinstance(value, dict) or not isinstance(value.get("count"), int):
            raise FormatError(message(doing, path=place, expected="an object with a count", got=repr(value)[:100]))
        items, leaves = value.get("items", []), value.get("leaves", [])
        if (
            not isinstance(items, list)
            or not all(isinstance(item, dict) for item in items)
            or not isinstance(leaves, list)
        ):
            raise FormatError(message(doing, path=place, expected="items or leaves", got=repr(value)[:100]))
        try:
            described = tuple(
                LeafDescriptor(
                    check_digest(x["digest"], doing), int(x["size"]), int(x["count"]), str(x["first"]), str(x["last"])
                )
                for x in leaves
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(message(doing, path=place, got=f"a malformed leaf: {error}")) from error
        found = len(items) + sum(leaf.count for leaf in described)
        if found != value["count"] or (items and leaves):
            raise FormatError(message(doing, path=place, expected=f"{value['count']} items", got=found))
        return cls(value["count"], tuple(items), described)


def encode_leaves(items: Iterable[JsonObject]) -> Iterator[tuple[LeafDescriptor, bytes]]:
    """Cut `items` into leaves where a hash of the key says so; yields each with its file. Holds one leaf."""
    pending: list[JsonObject] = []
    for item in items:
        pending.append(item)
        full = len(pending) >= _MAX_ITEMS
        if full or xxhash.xxh3_64_intdigest(item["key"].encode("utf-8")) % _TARGET_ITEMS == 0:
            yield _encode_leaf(pending)
            pending = []
    if pending:
        yield _encode_leaf(pending)


def _encode_leaf(items: list[JsonObject]) -> tuple[LeafDescriptor, bytes]:
    columns = [
        pa.array([item["key"] for item in items], pa.string()),
        pa.array([_count(item.get("rows")) for item in items], pa.int64()),
        pa.array([_count(item.get("bytes")) for item in items], pa.int64()),
        pa.array([encode_document(item).decode("ascii") for item in items], pa.string()),
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
    return LeafDescriptor(digest_of(data), len(data), len(items), items[0]["key"], items[-1]["key"]), data


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def decode_leaf(data: bytes, leaf: LeafDescriptor, path: str) -> list[JsonObject]:
    """The items of a leaf whose digest has been checked; raises `FormatError` where it is not such a leaf."""
    doing = "reading a leaf of a manifest"
    if len(data) > _MAX_LEAF_BYTES:
        raise LimitError(message(doing, path=path, expected=f"at most {_MAX_LEAF_BYTES} bytes", got=len(data)))
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        decoded = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if file.metadata.num_rows != leaf.count or leaf.count > _MAX_ITEMS or decoded > _MAX_DECODED:
            raise FormatError(message(doing, path=path, expected=f"{leaf.count} items", got=file.metadata.num_rows))
        columns = file.read(columns=["item"]).columns
        texts: list[str | None] = columns[0].to_pylist() if columns and pa.types.is_string(columns[0].type) else [None]
    except (pa.ArrowException, OSError, KeyError, UnicodeError) as error:
        raise FormatError(message(doing, path=path, got=str(error)[:300])) from error
    present = [text for text in texts if text is not None]
    if len(present) != leaf.count:
        raise FormatError(
            message(doing, path=path, expected=f"{leaf.count} items as text", got="other columns or values")
        )
    return [decode_document(text.encode("utf-8"), path) for text in present]

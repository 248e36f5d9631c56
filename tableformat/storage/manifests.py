"""Manifests in a store: roots and leaves by digest, and item lists read lazily.

Everything here is named by its content, so it may be cached for ever and written again without harm. What is read is
compared with its digest before it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tableformat.digest import digest_of
from tableformat.document import JsonObject, encode_document
from tableformat.errors import CorruptError, NotFoundError, message
from tableformat.format.item_list import INLINE_BYTES, ItemList, LeafDescriptor, decode_leaf, encode_leaves
from tableformat.format.manifest import Manifest, hex_part
from tableformat.storage.interface import Backend

__all__ = [
    "find_item",
    "iter_items",
    "leaf_path",
    "read_root",
    "read_verified",
    "root_path",
    "write_items",
    "write_root",
]


def root_path(digest: str) -> str:
    """Where the root of a version lies."""
    return f"manifests/{hex_part(digest)}.json"


def leaf_path(digest: str) -> str:
    """Where a leaf of an item list lies."""
    return f"manifests/{hex_part(digest)}.parquet"


def read_verified(backend: Backend, path: str, digest: str, *, limit: int | None = None) -> bytes:
    """The object at `path`; raises `CorruptError` where its SHA-256 is not `digest`, `NotFoundError` where it is missing."""
    data = backend.read_or_none(path, limit=limit)
    if data is None:
        raise NotFoundError(message("reading a manifest", path=f"{backend.root}/{path}", expected="a file", got="none",
                                    todo="the version cannot be read without it; restore it from a copy of the store"))  # fmt: skip
    if (found := digest_of(data)) != digest:
        raise CorruptError(message("reading a manifest", path=f"{backend.root}/{path}", expected=digest, got=found,
                                   todo="restore it from a copy of the store"))  # fmt: skip
    return data


def read_root(backend: Backend, digest: str) -> Manifest:
    """The root with this digest: one request."""
    path = root_path(digest)
    return Manifest.decode(read_verified(backend, path, digest), f"{backend.root}/{path}")


def write_root(backend: Backend, manifest: Manifest) -> tuple[str, bytes]:
    """Store a root; returns the version digest and the bytes."""
    data = manifest.encode()
    digest = digest_of(data)
    backend.put(root_path(digest), data)
    return digest, data


def write_items(backend: Backend, items: Iterable[JsonObject], *, inline_bytes: int = INLINE_BYTES) -> ItemList:
    """An item list of `items`: inline while their text is short, else in leaves, which are stored here.

    Each item has a text under `key`. Holds one leaf of items, and one descriptor for each leaf.
    """
    source = iter(items)
    held: list[JsonObject] = []
    size = 0
    for item in source:
        held.append(item)
        size += len(encode_document(item)) + 1
        if size > inline_bytes:
            break
    else:
        return ItemList(len(held), items=tuple(held))
    leaves: list[LeafDescriptor] = []
    for leaf, data in encode_leaves(_chain(held, source)):
        backend.put(leaf_path(leaf.digest), data)
        leaves.append(leaf)
    return ItemList(sum(leaf.count for leaf in leaves), leaves=tuple(leaves))


def _chain(held: list[JsonObject], rest: Iterator[JsonObject]) -> Iterator[JsonObject]:
    yield from held
    yield from rest


def iter_items(backend: Backend, listed: ItemList) -> Iterator[JsonObject]:
    """The items of an item list in order; reads one leaf at a time and holds it."""
    yield from listed.items
    for leaf in listed.leaves:
        yield from _read_leaf(backend, leaf)


def find_item(backend: Backend, listed: ItemList, key: str) -> JsonObject | None:
    """The item with this key in an item list that is sorted by key, or None; reads at most one leaf."""
    candidates = [leaf for leaf in listed.leaves if leaf.first <= key <= leaf.last]
    items: Iterable[JsonObject] = _read_leaf(backend, candidates[0]) if candidates else listed.items
    return next((item for item in items if item.get("key") == key), None)


def _read_leaf(backend: Backend, leaf: LeafDescriptor) -> list[JsonObject]:
    path = leaf_path(leaf.digest)
    return decode_leaf(read_verified(backend, path, leaf.digest), leaf, f"{backend.root}/{path}")

"""Manifests in a store: roots and leaves by digest, and item lists read lazily.

Everything here is named by its content, so it may be cached for ever and written again without harm. What is read is
compared with its digest before it is parsed.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from tableformat.digest import digest_of
from tableformat.document import JsonObject, decode_document, encode_known
from tableformat.errors import CorruptError, NotFoundError, message
from tableformat.format.item_list import (
    ENTRIES_INLINE_BYTES,
    INLINE_BYTES,
    ItemList,
    LeafDescriptor,
    Line,
    decode_leaf,
    decode_lines,
    encode_leaves,
    open_leaves,
)
from tableformat.format.manifest import Manifest, hex_part
from tableformat.storage.interface import Backend
from tableformat.storage.moved import why_gone

__all__ = [
    "append_items",
    "find_item",
    "items_after",
    "iter_items",
    "iter_lines",
    "last_items",
    "leaf_path",
    "read_root",
    "read_verified",
    "root_path",
    "write_entries",
    "write_items",
    "write_root",
]

_TOGETHER_BYTES: Final = 8 << 20
_WRITERS: Final = 4
_REMEMBERED: Final[dict[LeafDescriptor, Sequence[Line]]] = {}
_MAX_REMEMBERED: Final = 8
_MAX_LINES: Final = 512
_MAX_CHARACTERS: Final = 512 << 10
# Of a leaf that is remembered. The last of a list holds some dozens of lines, of less than a kilobyte in a table of few columns.


def root_path(digest: str) -> str:
    """Where the root of a version lies."""
    return f"manifests/{hex_part(digest)}.json"


def leaf_path(digest: str) -> str:
    """Where a leaf of an item list lies."""
    return f"manifests/{hex_part(digest)}.parquet"


def read_verified(backend: Backend, path: str, digest: str, *, limit: int | None = None) -> bytes:
    """The object at `path`; raises `CorruptError` where its SHA-256 is not `digest`, `NotFoundError` where it is missing."""
    return verified(backend, path, digest, backend.read_or_none(path, limit=limit))


def verified(backend: Backend, path: str, digest: str, data: bytes | None) -> bytes:
    """`data`, which was read at `path`, or None where nothing is there; raises like `read_verified`."""
    if data is None:
        error = NotFoundError(message("reading a manifest", path=f"{backend.root}/{path}", expected="a file", got="none",
                                      todo="the version cannot be read without it; restore it from a copy of the store"))  # fmt: skip
        raise why_gone(backend, path, error)
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
        size += len(encode_known(item)) + 1  # the root, or a line, is checked when it is written
        if size > inline_bytes:
            break
    else:
        return ItemList(len(held), items=tuple(held))
    return _write_leaves(backend, (), _lines(held, source))


def write_entries(
    backend: Backend, items: Iterable[JsonObject], *, inline_bytes: int = ENTRIES_INLINE_BYTES
) -> ItemList:
    """The item list of the entries of a version; as `write_items`, but inline for longer."""
    return write_items(backend, items, inline_bytes=inline_bytes)


def append_items(
    backend: Backend, listed: ItemList, items: Sequence[JsonObject], *, inline_bytes: int = INLINE_BYTES
) -> ItemList:
    """The item list of `listed` followed by `items`: what `write_items` makes of them all. Reads and writes the leaves at its
    end alone, a few of some dozens of items but where a large one is finished; holds 65,536 items at most. A process that appends
    again and again reads nothing: it remembers the last leaf."""
    if not items:
        return listed
    if not listed.leaves:
        return write_items(backend, [*listed.items, *items], inline_bytes=inline_bytes)
    again = open_leaves(listed.leaves, [item["key"] for item in items])
    kept = listed.leaves[: len(listed.leaves) - again]
    held = list(itertools.chain.from_iterable(_iter_leaf_lines(backend, listed.leaves[len(kept) :])))
    return _write_leaves(backend, kept, itertools.chain(held, map(Line.of, items)))


def _write_leaves(backend: Backend, kept: Sequence[LeafDescriptor], lines: Iterable[Line]) -> ItemList:
    end: deque[Line] = deque(maxlen=_MAX_LINES)
    leaves = (*kept, *_put_leaves(backend, encode_leaves(_noted(lines, end))))
    last = leaves[-1]
    if last.count <= len(end):
        _remember(last, list(end)[-last.count :])
    return ItemList(sum(leaf.count for leaf in leaves), leaves=leaves)


def _noted(lines: Iterable[Line], end: deque[Line]) -> Iterator[Line]:
    """The lines, the last of which stand in `end` when they are through."""
    for line in lines:
        end.append(line)
        yield line


def _remember(leaf: LeafDescriptor, lines: Sequence[Line]) -> None:
    """Keep the lines of a small leaf for who appends to its list next. It is named by its digest, so it never goes stale; the last
    eight are kept."""
    if len(lines) > _MAX_LINES or sum(len(line.item) for line in lines) > _MAX_CHARACTERS:
        return
    _REMEMBERED.pop(leaf, None)
    for old in list(_REMEMBERED)[: 1 - _MAX_REMEMBERED]:
        _REMEMBERED.pop(old, None)
    _REMEMBERED[leaf] = lines


def _iter_leaf_lines(backend: Backend, leaves: Sequence[LeafDescriptor]) -> Iterator[Sequence[Line]]:
    """The lines of each leaf; reads them together like `_leaf_files`, and nothing where all are remembered."""
    known = [lines for leaf in leaves if (lines := _REMEMBERED.get(leaf)) is not None]
    if len(known) == len(leaves):
        yield from known
        return
    for leaf, data, path in _leaf_files(backend, leaves):
        lines = decode_lines(data, leaf, path)
        _remember(leaf, lines)
        yield lines


def _put_leaves(backend: Backend, encoded: Iterator[tuple[LeafDescriptor, bytes]]) -> Iterator[LeafDescriptor]:
    """The leaves, put while the next are encoded, some at once: each waits for a disk or a server."""
    first = list(itertools.islice(encoded, 2))
    if len(first) < 2:
        for leaf, data in first:
            backend.put(leaf_path(leaf.digest), data)
            yield leaf
        return
    flying: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_WRITERS, "tableformat-leaves") as writers:
        for leaf, data in itertools.chain(first, encoded):
            if len(flying) == _WRITERS:
                flying.popleft().result()
            flying.append(writers.submit(backend.put, leaf_path(leaf.digest), data))
            yield leaf
        for put in flying:
            put.result()


def _lines(held: list[JsonObject], rest: Iterator[JsonObject]) -> Iterator[Line]:
    return map(Line.of, itertools.chain(held, rest))


def iter_items(backend: Backend, listed: ItemList) -> Iterator[JsonObject]:
    """The items of an item list in order; reads at most 8 MiB of leaves at a time, and holds them and the items of one."""
    yield from listed.items
    for leaf, data, path in _leaf_files(backend, listed.leaves):
        yield from decode_leaf(data, leaf, path)


def iter_lines(backend: Backend, listed: ItemList) -> Iterator[Line]:
    """The items of an item list in order, each as a line of its leaf, not parsed; reads like `iter_items`."""
    yield from map(Line.of, listed.items)
    for leaf, data, path in _leaf_files(backend, listed.leaves):
        yield from decode_lines(data, leaf, path)


def last_items(backend: Backend, listed: ItemList) -> Iterator[JsonObject]:
    """The items of an item list from the last to the first; reads one leaf at a time, and holds it. Parses what is taken. What was
    read or written last is remembered, as by `append_items`."""
    yield from reversed(listed.items)
    for leaf in reversed(listed.leaves):
        [lines] = _iter_leaf_lines(backend, (leaf,))
        for line in reversed(lines):
            yield decode_document(line.item.encode("utf-8"), leaf_path(leaf.digest))


def items_after(backend: Backend, before: ItemList, listed: ItemList) -> list[JsonObject] | None:
    """The items that follow those of `before` in `listed`; None where it does not begin with them all. Reads no leaf that both
    have in common at their beginning."""
    same = 0
    for one, other in zip(before.leaves, listed.leaves, strict=False):
        if one != other:
            break
        same += 1
    rest = iter_items(backend, ItemList(0, listed.items, listed.leaves[same:]))
    for item in iter_items(backend, ItemList(0, before.items, before.leaves[same:])):
        if next(rest, None) != item:
            return None
    return list(rest)


def find_item(backend: Backend, listed: ItemList, key: str) -> JsonObject | None:
    """The item with this key in an item list that is sorted by key, or None; reads at most one leaf."""
    candidates = [leaf for leaf in listed.leaves if leaf.first <= key <= leaf.last]
    items: Iterable[JsonObject] = _read_leaf(backend, candidates[0]) if candidates else listed.items
    return next((item for item in items if item.get("key") == key), None)


def _read_leaf(backend: Backend, leaf: LeafDescriptor) -> list[JsonObject]:
    path = leaf_path(leaf.digest)
    return decode_leaf(read_verified(backend, path, leaf.digest), leaf, f"{backend.root}/{path}")


def _leaf_files(backend: Backend, leaves: Sequence[LeafDescriptor]) -> Iterator[tuple[LeafDescriptor, bytes, str]]:
    """The leaves with their bytes, compared with their digests; small ones are asked for together."""
    at = 0
    while at < len(leaves):
        end, size = at + 1, leaves[at].size
        while end < len(leaves) and size + leaves[end].size <= _TOGETHER_BYTES:
            size += leaves[end].size
            end += 1
        paths = [leaf_path(leaf.digest) for leaf in leaves[at:end]]
        for leaf, path, data in zip(leaves[at:end], paths, backend.read_many_or_none(paths), strict=True):
            yield leaf, verified(backend, path, leaf.digest, data), f"{backend.root}/{path}"
        at = end

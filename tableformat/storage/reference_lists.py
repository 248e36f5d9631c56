"""Lists of references in a store: written leaf by leaf while they are listed, found by path with one leaf read.

The entry holds an item list of leaves, each named by its first path; short lists stand inline. See spec/references.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice, pairwise
from typing import Any, Final

import pyarrow as pa

from tableformat.digest import check_digest, digest_of, tree_digest
from tableformat.document import JsonObject
from tableformat.errors import FormatError, message
from tableformat.format.documents import Fields, check_requires
from tableformat.format.item_list import ItemList
from tableformat.format.malformed import Telling
from tableformat.format.reference import Known
from tableformat.format.reference_leaf import MAX_LEAF_BYTES, Listed, cut_leaves, decode_leaf, encode_leaf, listed_of
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items, leaf_path, read_verified, write_items

__all__ = ["FEATURE", "INLINE_REFERENCES", "ReferenceList", "Tally", "references_content", "write_references"]

FEATURE: Final = "reference-leaves"
"""What a reader must know to read a list that does not stand inline."""
INLINE_REFERENCES: Final = 64
"""Most references that stand in their entry."""


@dataclass(frozen=True, slots=True)
class ReferenceList:
    """The references of one entry: what they are, lazily."""

    prefix: str
    """The URL that stands before each path; of a single object, its URL, and its path is empty."""
    count: int
    """How many."""
    bytes: int | None
    """The sum of their sizes; None where one is unknown."""
    digest: str
    """Digest of all lines, in order: of the content, however it is cut into leaves."""
    inline: tuple[Listed, ...] = ()
    leaves: ItemList | None = None

    @property
    def is_single(self) -> bool:
        """Whether it is one object, and no prefix."""
        return self.count == 1 and self.inline != () and self.inline[0].path == ""

    def to_json(self) -> JsonObject:
        """The fields of the entry."""
        fields: JsonObject = {"bytes": self.bytes, "count": self.count, "digest": self.digest, "prefix": self.prefix}
        if self.leaves is None:
            fields["references"] = [_to_json(one) for one in self.inline]
        else:
            fields["leaves"] = self.leaves.to_json()
        fields["requires"] = {"read": [] if self.leaves is None else [FEATURE], "write": []}
        return fields

    @classmethod
    def from_json(cls, value: JsonObject, place: str) -> ReferenceList:
        """Read the fields of an entry; raises `FormatError` naming `place`."""
        doing = "reading an entry of references"
        requires = Fields({"format": 1, "requires": value.get("requires")}, place, None).requires()
        check_requires(requires, writing=False, path=place)
        try:
            inline = tuple(_from_json(one) for one in value.get("references", []))
            leaves = ItemList.from_json(value["leaves"], place) if "leaves" in value else None
            found = cls(
                _text(value["prefix"]),
                _whole(value["count"]),
                None if value["bytes"] is None else _whole(value["bytes"]),
                check_digest(value["digest"], doing),
                inline,
                leaves,
            )
            if (leaves is None) != ("references" in value) or (leaves is None and len(inline) != found.count):
                raise ValueError("references or leaves, and as many as counted")
            if any(a.path >= b.path for a, b in pairwise(inline)):
                raise ValueError("paths in ascending order")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(message(doing, path=place, got=f"a malformed entry: {error!r}"[:300])) from error
        return found

    def files(self, backend: Backend) -> Iterator[JsonObject]:
        """The leaves of references, each with its `digest`, `size`, `rows`, and `key` and `last`: its first and last path."""
        return iter(()) if self.leaves is None else iter_items(backend, self.leaves)

    def tables(self, backend: Backend) -> Iterator[pa.Table]:
        """The references in order of path, a leaf at a time, in the columns of `LEAF_SCHEMA`."""
        if self.leaves is None:
            yield decode_leaf(encode_leaf(self.inline), self.prefix)
            return
        for item in iter_items(backend, self.leaves):
            yield _read_leaf(backend, item)

    def iterate(self, backend: Backend) -> Iterator[Listed]:
        """The references in order of path; holds a leaf."""
        if self.leaves is None:
            yield from self.inline
            return
        for table in self.tables(backend):
            yield from listed_of(table)

    def find(self, backend: Backend, path: str) -> Known | None:
        """What is known of the reference at `path`, or None. Reads one leaf, and one of the list of leaves where that is long."""
        if self.leaves is None:
            return next((one.known for one in self.inline if one.path == path), None)
        with Telling("looking up a reference", f"{backend.root}, {self.prefix}"):
            item = _last_before(backend, self.leaves, path)
            if item is None or str(item["last"]) < path:
                return None
        table = _read_leaf(backend, item)
        paths = table.column("path")
        found = paths.index(path).as_py()
        return None if found < 0 else next(listed_of(table.slice(found, 1))).known


def write_references(backend: Backend, prefix: str, listed: Iterable[Listed]) -> ReferenceList:
    """Store references that come sorted by path. Holds one leaf of them, and a line for each leaf."""
    lines = iter(listed)
    head = list(islice(lines, INLINE_REFERENCES + 1))
    tally = Tally()
    if len(head) <= INLINE_REFERENCES:
        tally.add(head)
        return ReferenceList(prefix, tally.count, tally.total, tally.digest(prefix), inline=tuple(head))

    def stored() -> Iterator[JsonObject]:
        for leaf in cut_leaves(chain(head, lines)):
            tally.add(leaf)
            data = encode_leaf(leaf)
            digest = digest_of(data)
            backend.put(leaf_path(digest), data)
            yield {"digest": digest, "key": leaf[0].path, "last": leaf[-1].path, "rows": len(leaf), "size": len(data)}

    leaves = write_items(backend, stored())
    return ReferenceList(prefix, tally.count, tally.total, tally.digest(prefix), leaves=leaves)


class Tally:
    """Counts, sums and digests lines as they pass."""

    def __init__(self) -> None:
        self.count = 0
        self.total: int | None = 0
        self._lines = sha256()

    def add(self, listed: Sequence[Listed]) -> None:
        sizes = [one.known.size for one in listed]
        self.count += len(listed)
        self.total = None if self.total is None or None in sizes else self.total + sum(filter(None, sizes))
        self._lines.update("".join(map(_line, listed)).encode("utf-8"))

    def digest(self, prefix: str) -> str:
        return references_content(prefix, self._lines.hexdigest())


def _line(one: Listed) -> str:
    """What of a reference is content. When it was written is, only where nothing better tells its bytes from others."""
    known = one.known
    bare = known.etag is None and known.version is None and known.digest is None
    told = (one.path, known.size, known.etag, known.version, known.digest, known.modified if bare else None)
    return "\t".join("" if value is None else str(value) for value in told) + "\n"


def references_content(prefix: str, lines: str) -> str:
    """The content digest of references from the SHA-256 of their lines."""
    return tree_digest("references", [digest_of(prefix.encode("utf-8")), lines])


def _last_before(backend: Backend, leaves: ItemList, path: str) -> JsonObject | None:
    """The last leaf that does not begin behind `path`."""
    items: Iterable[JsonObject] = leaves.items
    if leaves.leaves:
        chosen = [leaf for leaf in leaves.leaves if leaf.first <= path][-1:]
        items = iter_items(backend, ItemList(chosen[0].count, leaves=tuple(chosen))) if chosen else ()
    found = None
    for item in items:
        if str(item["key"]) > path:
            break
        found = item
    return found


def _read_leaf(backend: Backend, item: JsonObject) -> pa.Table:
    doing = "reading a leaf of references"
    digest = check_digest(item.get("digest"), doing)
    path = leaf_path(digest)
    data = read_verified(backend, path, digest, limit=MAX_LEAF_BYTES)
    return decode_leaf(data, f"{backend.root}/{path}", item.get("rows"))


_FIELDS: Final = ("size", "etag", "version", "modified", "digest")


def _to_json(one: Listed) -> JsonObject:
    told = {name: getattr(one.known, name) for name in _FIELDS}
    return {"path": one.path, **{name: value for name, value in told.items() if value is not None}}


def _from_json(value: JsonObject) -> Listed:
    told: dict[str, Any] = {name: value.get(name) for name in _FIELDS}
    for name in ("size", "modified"):
        if told[name] is not None:
            _whole(told[name])
    for name in ("etag", "version", "digest"):
        if told[name] is not None:
            _text(told[name])
    return Listed(_text(value["path"]), Known(**told))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")  # noqa: TRY004 - a malformed document
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value

"""What a version reaches: the paths of all objects that it names, from its root down. Rows are not read.

An entry of a kind that is not known here, or one that requires an unknown feature, may name objects in a way that nobody
here can follow; so it raises `UnsupportedError`, and nothing is collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from tableformat.digest import check_digest
from tableformat.document import JsonObject
from tableformat.errors import FormatError, NotFoundError, UnsupportedError, message
from tableformat.format.documents import Fields, check_requires
from tableformat.format.item_list import ItemList, LeafDescriptor
from tableformat.format.manifest import Manifest, Part
from tableformat.storage.collect.paths import paths_of_uri
from tableformat.storage.interface import Backend
from tableformat.storage.locations import check_uri
from tableformat.storage.manifests import iter_items, leaf_path, read_root, root_path
from tableformat.storage.moved import MAX_HOPS, moved_targets
from tableformat.storage.reference_lists import ReferenceList

__all__ = ["Reach", "join_targets"]

_KINDS: Final = frozenset({"classes", "file", "joined_table", "media", "reference", "table"})


class Reach:
    """Walks the versions of one store. A leaf that was walked is not read again: holds the digests of all leaves and roots.

    `moved` tells which packs and blobs have a moved/ file, by its path; where it leads is reached as well. `on_missing` is
    called with what a joined table names and is gone; None raises.
    """

    def __init__(
        self,
        backend: Backend,
        moved: Callable[[str], bool] = lambda _: False,
        on_missing: Callable[[str], None] | None = None,
    ) -> None:
        self._backend = backend
        self._moved = moved
        self._on_missing = on_missing
        self._leaves: set[bytes] = set()
        self._roots: set[str] = set()
        self._followed: set[str] = set()

    def pass_over(self, manifest: Manifest) -> None:
        """Regard the leaves that a version has in common with those walked later as walked. Reads its list of entries."""
        for item in iter_items(self._backend, manifest.entries):
            for name in ("parts", "objects", "leaves"):
                if isinstance(item.get(name), dict):
                    listed = ItemList.from_json(item[name], f"entry {item.get('name')!r}")
                    self._leaves.update(bytes.fromhex(leaf.digest[7:]) for leaf in listed.leaves)

    def paths(self, digest: str, inline: JsonObject | None = None) -> Iterator[str]:
        """The objects that the version with this digest reaches, its root included, and versions that its joins name. A path may
        come more than once. Holds the items of a leaf."""
        waiting: list[tuple[str, JsonObject | None]] = [(digest, inline)]
        while waiting:
            root, document = waiting.pop()
            if root in self._roots:
                continue
            self._roots.add(root)
            path = root_path(root)
            yield path
            try:
                manifest = read_root(self._backend, root) if document is None else Manifest.from_json(document, path)
            except NotFoundError:
                if root == digest or self._on_missing is None:
                    raise
                self._on_missing(path)
                continue
            check_requires(manifest.requires, writing=True, path=path)
            targets: list[str] = []
            yield from self._entries(manifest, path, targets)
            waiting += [(target, None) for target in targets]

    def _entries(self, manifest: Manifest, path: str, targets: list[str]) -> Iterator[str]:
        yield from self._leaf_paths(manifest.entries.leaves)
        for item in iter_items(self._backend, manifest.entries):
            place = f"{path} entry {item.get('name')!r}"
            _check_known(item, place)
            yield from self._entry(item, place)
            targets += join_targets(item) if item["kind"] == "joined_table" else []

    def _entry(self, item: JsonObject, place: str) -> Iterator[str]:
        kind = item["kind"]
        if kind == "table":
            for part in self._items(item["parts"], place):
                if isinstance(part, str):
                    yield part
                else:
                    yield from Part.from_json(part, place).paths
            for one in self._items(item["objects"], place):
                if isinstance(one, str):
                    yield one
                else:
                    yield from self._uri(str(one["key"]))
        elif kind == "reference":
            yield from self._references(item, place)
        elif kind == "media":
            for uri in item.get("objects", []):
                yield from self._uri(str(uri))
        elif isinstance(item.get("place"), dict):  # a file, or a class set that does not stand inline
            yield from self._uri(str(item["place"].get("uri")))

    def _references(self, item: JsonObject, place: str) -> Iterator[str]:
        listed = ReferenceList.from_json(item, place)
        if listed.leaves is not None:
            for one in self._items(listed.leaves.to_json(), place):
                yield one if isinstance(one, str) else leaf_path(check_digest(one.get("digest"), place))

    def _items(self, value: Any, place: str) -> Iterator[str | JsonObject]:
        """The paths of the leaves of an item list, and the items of those that were not walked before."""
        listed = ItemList.from_json(value, place)
        yield from self._leaf_paths(listed.leaves)
        fresh = tuple(leaf for leaf in listed.leaves if bytes.fromhex(leaf.digest[7:]) not in self._leaves)
        if listed.items or fresh:
            yield from iter_items(self._backend, ItemList(listed.count, listed.items, fresh))
        self._leaves.update(bytes.fromhex(leaf.digest[7:]) for leaf in fresh)

    @staticmethod
    def _leaf_paths(leaves: Iterable[LeafDescriptor]) -> Iterator[str]:
        return (leaf_path(leaf.digest) for leaf in leaves)

    def _uri(self, uri: str, hops: int = MAX_HOPS) -> Iterator[str]:
        yield from paths_of_uri(check_uri(uri))
        moved = paths_of_uri(uri)[1]
        if hops and moved not in self._followed and self._moved(moved):
            self._followed.add(moved)
            for target in moved_targets(self._backend, uri):
                yield from self._uri(target, hops - 1)


def join_targets(item: Mapping[str, Any]) -> list[str]:
    """The digests of the versions that the entry of a joined table names, those of joins inside it included."""
    found = []
    for side in ("left", "right"):
        target = item.get(side)
        if isinstance(target, dict) and isinstance(target.get("joined"), dict):
            found += join_targets(target["joined"])
        elif isinstance(target, dict) and target.get("digest") is not None:
            found.append(check_digest(target["digest"], "reading a joined table's entry"))
    return found


def _check_known(item: JsonObject, place: str) -> None:
    doing = "finding what a version reaches"
    if item.get("kind") not in _KINDS:
        raise UnsupportedError(
            message(doing, path=place, expected=f"an entry of kind {', '.join(sorted(_KINDS))}",
                    got=repr(item.get("kind"))[:60], todo="use a newer version of tableformat; nothing was deleted")
        )  # fmt: skip
    if "requires" in item:
        requires = Fields({"format": 1, "requires": item["requires"]}, place, None).requires()
        check_requires(requires, writing=True, path=place)
    elif item["kind"] in ("table", "joined_table", "reference"):
        raise FormatError(message(doing, path=place, expected="the field 'requires'", got="none"))

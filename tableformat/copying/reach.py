"""What one version reaches in its store: packs and blobs, files of parts, leaves. Read from manifests, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tableformat.digest import check_digest
from tableformat.document import JsonObject
from tableformat.errors import FormatError, UnsupportedError, message
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.interface import Backend
from tableformat.storage.locations import check_uri
from tableformat.storage.manifests import iter_items, leaf_path
from tableformat.storage.reference_lists import ReferenceList
from tableformat.table.join.stored import JoinDocument, Target, targets_of

__all__ = ["blob_uris", "check_kinds", "join_targets", "leaf_files", "part_files"]

_KINDS: Final = frozenset({"table", "classes", "media", "file", "reference", "joined_table"})


def check_kinds(items: Iterable[JsonObject], path: str) -> None:
    """Raise `UnsupportedError` for entries of kinds that are not known here: nobody can say what they reach."""
    unknown = {
        f"{item.get('name')!r:.100} is of kind {item.get('kind')!r:.60}"
        for item in items
        if item.get("kind") not in _KINDS
    }
    if unknown:
        raise UnsupportedError(
            message("copying a version", path=path, expected="entries of kinds that are known here", got="; ".join(sorted(unknown)[:20]),
                    todo="upgrade tableformat: what such an entry points at would be left behind")
        )  # fmt: skip


def blob_uris(backend: Backend, items: Iterable[JsonObject]) -> Iterator[str]:
    """The relative uris of the packs and large blobs that the cells of `items` point at; some come more than once."""
    for item in items:
        kind = item["kind"]
        if kind == "table":
            listed = TableEntry.from_json(item, _place(item)).objects
            found: Iterable[Any] = (one.get("key") for one in iter_items(backend, listed))
        elif kind == "media":
            found = item.get("objects", [])
        elif kind in ("file", "classes") and "document" not in item:
            found = [_uri_of(item)]
        else:
            found = ()
        for uri in found:
            yield check_uri(str(uri))


def part_files(backend: Backend, items: Iterable[JsonObject]) -> Iterator[tuple[str, str, int]]:
    """Path, digest and size of each file of a part: those of its columns, and of its deletions."""
    for item in items:
        if item["kind"] != "table":
            continue
        for line in iter_items(backend, TableEntry.from_json(item, _place(item)).parts):
            part = Part.from_json(line, _place(item))
            yield from ((file.path, file.digest, file.size) for file in part.files)
            if part.deletions is not None:
                yield part.deletions.path, part.deletions.digest, part.deletions.size


def leaf_files(backend: Backend, entries: ItemList, items: Iterable[JsonObject]) -> Iterator[tuple[str, str, int]]:
    """Path, digest and size of every leaf: of the entries, of parts and objects, and of references."""
    yield from _leaves(entries)
    for item in items:
        if item["kind"] == "table":
            entry = TableEntry.from_json(item, _place(item))
            yield from _leaves(entry.parts)
            yield from _leaves(entry.objects)
        elif item["kind"] == "reference":
            listed = ReferenceList.from_json(item, _place(item))
            for leaf in listed.files(backend):
                digest = check_digest(leaf.get("digest"), "copying a list of references")
                yield leaf_path(digest), digest, int(leaf["size"])
            if listed.leaves is not None:
                yield from _leaves(listed.leaves)


def join_targets(items: Iterable[JsonObject]) -> list[Target]:
    """The tables of other versions that the joined tables among `items` read."""
    documents = [JoinDocument.from_json(item, _place(item)) for item in items if item["kind"] == "joined_table"]
    return [target for document in documents for target in targets_of(document) if target.digest is not None]


def _leaves(listed: ItemList) -> Iterator[tuple[str, str, int]]:
    return ((leaf_path(leaf.digest), leaf.digest, leaf.size) for leaf in listed.leaves)


def _place(item: JsonObject) -> str:
    return f"entry {item.get('name')!r:.200}"


def _uri_of(item: JsonObject) -> str:
    place = item.get("place")
    if not isinstance(place, dict) or not isinstance(place.get("uri"), str):
        raise FormatError(
            message("copying an entry", path=_place(item), expected="a place with a uri", got=repr(place)[:100])
        )
    return str(place["uri"])

"""Erasure of blobs: their bytes are gone from every pack and object of a store, and readers are told so.

A pack that holds such a blob is written again without it, and a moved/ file takes its place: so all others are found, and this one
is known to be erased. This does not wait: what must go must go, whoever reads or writes meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from tableformat.errors import FormatError, NotFoundError
from tableformat.format.manifest import Part, TableEntry
from tableformat.storage.blob_reader import read_pack_directory
from tableformat.storage.collect.packs import (
    LooseBlob,
    Places,
    drop_file,
    known_places,
    read_blobs,
    tell_moved,
    write_packs,
)
from tableformat.storage.collect.paths import kind_of, uri_of
from tableformat.storage.collect.stored_cells import iter_entries, iter_part_cells, iter_stored, while_there
from tableformat.storage.interface import Backend
from tableformat.storage.locations import DATA, Location, blob_uri
from tableformat.storage.manifests import iter_items
from tableformat.storage.moved import write_moved
from tableformat.storage.versions import Slot

__all__ = ["ErasedBlobs", "Found", "erase_blobs", "find_cells", "is_erased", "mark_erased"]

_TOGETHER = 64
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What cells and entries tell of media that are to be erased."""

    stored: frozenset[bytes]
    """Digests of the stored bytes: those of the media, and of frames that encode them."""
    inline: tuple[str, ...]
    """Where bytes stand in a part or a manifest itself: `name:v3/entry row 7, column 'image'`."""


@dataclass(frozen=True, slots=True)
class ErasedBlobs:
    """What was erased."""

    digests: frozenset[bytes]
    """Digests of which bytes were found in packs and objects."""
    packs: int
    """Packs that were written again without them."""
    files: int
    """Objects of their own that were deleted."""
    bytes: int
    """Bytes of erased blobs."""
    unreadable: tuple[str, ...]
    """Packs that are damaged, so that nobody can tell whether they hold such bytes."""


def find_cells(backend: Backend, digests: frozenset[bytes], say: Say = lambda _: None) -> Found:
    """Look for media in the cells of all versions, deleted rows included, and of deleted versions as far as they are there. Reads
    each part's media columns once; holds the digests of all parts."""
    stored = set(digests)
    inline: list[str] = []
    seen: set[str] = set()
    for name, version in iter_stored(backend):
        where = f"{name}:v{version.slot}"
        inline += while_there(version, _of_version(backend, version, digests, stored, seen, where, say))
    return Found(frozenset(stored), tuple(inline))


def _of_version(
    backend: Backend, version: Slot, digests: frozenset[bytes], stored: set[bytes], seen: set[str], place: str, say: Say
) -> Iterator[str]:
    for item in iter_entries(backend, version):
        where = f"{place}/{item.get('name')}"
        if item.get("kind") == "table":
            say(f"looking through {where}")
            entry = TableEntry.from_json(item, where)
            for part_item in iter_items(backend, entry.parts):
                part = Part.from_json(part_item, where)
                if part.key not in seen:
                    seen.add(part.key)
                    yield from while_there(version, _of_part(backend, entry, part, digests, stored, where))
        elif _names_inline(item, digests):
            yield where


def _of_part(
    backend: Backend, entry: TableEntry, part: Part, digests: frozenset[bytes], stored: set[bytes], where: str
) -> Iterator[str]:
    for cells in iter_part_cells(backend, entry, part):
        told = zip(cells.checksums.tolist(), cells.digests.tolist(), cells.is_inline.tolist(), strict=True)
        for at, (checksum, media, is_inline) in enumerate(told):
            if checksum in digests or media in digests:
                if is_inline:
                    yield f"{where} stored row {cells.rows[at]}, column {cells.column!r}"
                else:
                    stored.add(checksum)


def _names_inline(item: dict[str, object], digests: frozenset[bytes]) -> bool:
    """Whether an entry that is not a table holds such bytes itself: one media object, or a class set."""
    if item.get("kind") == "media":
        text = str(item.get("row"))
        return not item.get("objects") and any(digest.hex() in text for digest in digests)
    return (
        item.get("kind") == "classes"
        and "document" in item
        and str(item.get("digest"))[7:] in {digest.hex() for digest in digests}
    )


def erase_blobs(
    backend: Backend, digests: frozenset[bytes], *, dry_run: bool = False, say: Say = lambda _: None
) -> ErasedBlobs:
    """Erase the blobs with these digests (of stored bytes) from every pack and object in the store.

    Reads the directory of every pack, and whole those that hold one. Holds a pack, three times. Safe to repeat: what an
    attempt that failed left is done by the next.
    """
    found: set[bytes] = set()
    packs = files = size = 0
    unreadable: list[str] = []
    for uri, held in _packs_with(backend, digests, unreadable):
        packs += 1
        found |= held.keys()
        size += sum(held.values())
        if not dry_run:
            say(f"writing again {uri}")
            _rewrite(backend, uri, frozenset(held))
    for digest in sorted(digests):
        uri = blob_uri(digest.hex())
        length = backend.size(DATA + uri)
        if length is not None:
            files += 1
            found.add(digest)
            size += length
            if not dry_run:
                say(f"deleting {uri}")
                tell_moved(backend, {uri: {digest: None}})
                drop_file(backend, uri)
    return ErasedBlobs(frozenset(found), packs, files, size, tuple(unreadable))


def _packs_with(
    backend: Backend, digests: frozenset[bytes], unreadable: list[str]
) -> Iterator[tuple[str, dict[bytes, int]]]:
    uris = (uri_of(info.path) for info in list(backend.list("data/packs")) if kind_of(info.path) == "packs")

    def look(uri: str | None) -> tuple[str, dict[bytes, int]]:
        assert uri is not None
        try:
            blobs = read_pack_directory(backend, uri)
        except NotFoundError:
            return uri, {}
        except FormatError as error:
            unreadable.append(f"{DATA}{uri}: {error}")
            return uri, {}
        return uri, {blob.digest: blob.size for blob in blobs if blob.digest in digests}

    with ThreadPoolExecutor(1 if backend.is_local else 16, "tableformat-erase") as helpers:
        while batch := list(islice(uris, _TOGETHER)):
            yield from ((uri, held) for uri, held in helpers.map(look, batch) if held)


def _rewrite(backend: Backend, uri: str, erased: frozenset[bytes]) -> None:
    """A pack without some of its blobs, under another name; the old one goes. Damaged blobs stay behind as what they are: gone."""
    damaged: set[bytes] = set()
    staying: Iterable[LooseBlob] = [
        blob for blob in read_blobs(backend, uri, damaged=damaged) if blob.digest not in erased
    ]
    moved: dict[bytes, Location] = write_packs(backend, staying)
    places: Places = {**moved, **dict.fromkeys(erased)}
    tell_moved(backend, {uri: places})
    drop_file(backend, uri)


def mark_erased(backend: Backend, digest: str) -> None:
    """Leave word that a part, leaf or root was erased, under its own digest: a reader that misses it is told so."""
    raw = bytes.fromhex(digest.removeprefix("sha256:"))
    uri = blob_uri(raw.hex())
    if raw not in known_places(backend, uri):
        write_moved(backend, uri, {raw: None})


def is_erased(backend: Backend, digest: str) -> bool:
    """Whether that word was left."""
    raw = bytes.fromhex(digest.removeprefix("sha256:"))
    places = known_places(backend, blob_uri(raw.hex()))
    return raw in places and places[raw] is None

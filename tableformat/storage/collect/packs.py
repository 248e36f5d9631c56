"""Blobs on the move: out of one pack into another, behind a moved/ file, with chains of moves kept straight.

The order is that of every deletion: the new place is durable, then moved/ says so, then the old file goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tableformat.errors import CorruptError, message
from tableformat.format.pack import MAX_PACK_BLOBS, MAX_PACK_BYTES, decode_directory, encode_pack
from tableformat.storage.collect.paths import kind_of
from tableformat.storage.interface import Backend
from tableformat.storage.large import sums_path
from tableformat.storage.location_table import MAX_TABLE_BYTES, decode_locations
from tableformat.storage.locations import DATA, Location, pack_uri
from tableformat.storage.moved import encode_moved, moved_path, write_moved

__all__ = ["LooseBlob", "Places", "drop_file", "known_places", "read_blobs", "read_places", "tell_moved", "write_packs"]

Places = Mapping[bytes, Location | None]
"""By digest, where a blob went; None: it was erased."""


@dataclass(frozen=True, slots=True)
class LooseBlob:
    """A blob in memory."""

    digest: bytes
    ext: str
    data: bytes


def read_blobs(backend: Backend, uri: str, *, damaged: set[bytes] | None = None) -> list[LooseBlob]:
    """The blobs of a pack, each compared with its digest. Holds the pack twice.

    A damaged blob raises `CorruptError`; where `damaged` is given it is added there, and left out.
    """
    path = DATA + uri
    data = backend.read(path)
    found = []
    for blob in decode_directory(data, len(data), path):
        piece = data[blob.offset : blob.offset + blob.size]
        if hashlib.sha256(piece).digest() == blob.digest:
            found.append(LooseBlob(blob.digest, blob.ext, piece))
        elif damaged is not None:
            damaged.add(blob.digest)
        else:
            raise CorruptError(
                message("moving the blobs of a pack", path=path, byte_range=(blob.offset, blob.offset + blob.size),
                        expected=f"sha256:{blob.digest.hex()}", got="other bytes", todo="repair the store first")
            )  # fmt: skip
    return found


def write_packs(backend: Backend, blobs: Iterable[LooseBlob]) -> dict[bytes, Location]:
    """Store blobs, each once, in as few packs as hold them; where they lie. Holds one pack, twice."""
    places: dict[bytes, Location] = {}
    held: list[LooseBlob] = []
    size = 0
    for blob in blobs:
        if held and (size + len(blob.data) > MAX_PACK_BYTES or len(held) == MAX_PACK_BLOBS):
            places.update(_write(backend, held))
            held, size = [], 0
        held.append(blob)
        size += len(blob.data)
    if held:
        places.update(_write(backend, held))
    return places


def _write(backend: Backend, blobs: list[LooseBlob]) -> dict[bytes, Location]:
    once = list({blob.digest: blob for blob in blobs}.values())
    data = encode_pack([(blob.data, blob.ext) for blob in once])
    uri = pack_uri(hashlib.sha256(data).hexdigest())
    backend.put(DATA + uri, data)
    return {blob.digest: Location(uri, blob.offset, blob.size) for blob in decode_directory(data, len(data), uri)}


def known_places(backend: Backend, uri: str) -> dict[bytes, Location | None]:
    """What the moved/ file of a pack or blob says; empty where there is none."""
    return read_places(backend, moved_path(uri))


def read_places(backend: Backend, path: str) -> dict[bytes, Location | None]:
    """What the moved/ file at `path` says; empty where there is none."""
    data = backend.read_or_none(path, limit=MAX_TABLE_BYTES)
    return {} if data is None else _decoded(data, path)


def tell_moved(backend: Backend, moves: Mapping[str, Places]) -> None:
    """Write the moved/ files of the files at the relative uris `moves`, and set right those that lead to them, so that chains stay short.

    What an earlier moved/ file of the same name said of other blobs stays. Reads every moved/ file of the store.
    """
    for uri, places in moves.items():
        write_moved(backend, uri, {**known_places(backend, uri), **places})
    for info in list(backend.list("moved")):
        told = read_places(backend, info.path) if kind_of(info.path) == "moved" else {}
        changed = {
            digest: moves[place.uri].get(digest, place) if place is not None and place.uri in moves else place
            for digest, place in told.items()
        }
        if changed != told and not any(_leads_to(info.path, place) for place in changed.values()):
            backend.overwrite(info.path, encode_moved(changed))


def drop_file(backend: Backend, uri: str) -> int:
    """Delete a pack or blob, whose blobs have moved or were erased; its bytes."""
    size = backend.size(DATA + uri) or 0
    backend.delete(DATA + uri)
    if uri.startswith("blobs/"):
        backend.delete(sums_path(uri))
    return size


def _decoded(data: bytes, path: str) -> dict[bytes, Location | None]:
    table = decode_locations(data, path, erased=True)
    digests = np.ascontiguousarray(table.run.digests())
    return {
        digests[i].tobytes(): None
        if row["slot"] < 0
        else Location(table.uris[row["slot"]], int(row["offset"]), int(row["size"]))
        for i, row in enumerate(table.run.rows)
    }


def _leads_to(path: str, place: Location | None) -> bool:
    return place is not None and moved_path(place.uri) == path

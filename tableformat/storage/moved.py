"""moved/ files: where the blobs of a pack or large blob went that is no longer there.

Written before the file is deleted, one for each; compaction, repair, erasure and copies between stores use this and nothing
else, so no part and no version digest ever changes when bytes move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tableformat.errors import CorruptError, ErasedError, NotFoundError, TableformatError, message
from tableformat.storage.digest_runs import Run, digest_array
from tableformat.storage.interface import Backend
from tableformat.storage.location_table import MAX_TABLE_BYTES, decode_locations, encode_locations
from tableformat.storage.locations import DATA, Location, stem_of

__all__ = ["MAX_HOPS", "encode_moved", "follow_moved", "moved_path", "moved_targets", "why_gone", "write_moved"]

MAX_HOPS: Final = 4
"""How many moves in a row a reader follows. Each compaction that finds a chain writes it straight."""


def moved_path(uri: str) -> str:
    """Where the moved/ file of the pack or large blob at the relative `uri` lies in the store."""
    return f"moved/{stem_of(uri)}.parquet"


def encode_moved(places: Mapping[bytes, Location | None]) -> bytes:
    """The bytes of a moved/ file: for each digest (32 bytes) its new place, or None where the blob was erased."""
    uris = list(dict.fromkeys(place.uri for place in places.values() if place is not None))
    slots = {uri: slot for slot, uri in enumerate(uris)}
    values = list(places.values())
    run = Run.from_arrays(
        digest_array(list(places)),
        np.array([-1 if place is None else slots[place.uri] for place in values], np.int32),
        np.array([0 if place is None else place.offset for place in values], np.int64),
        np.array([0 if place is None else place.size for place in values], np.int64),
    )
    return encode_locations(run, uris)


def write_moved(backend: Backend, uri: str, places: Mapping[bytes, Location | None]) -> None:
    """Say where the blobs of the file at the relative `uri` went. To be called before that file is deleted.

    The new places have to be durable already: raises `NotFoundError`, and writes nothing, where one is not there or its file
    is too short. Safe to repeat; a later call for the same file replaces what an earlier one said.
    """
    ends: dict[str, int] = {}
    for place in places.values():
        if place is not None:
            ends[place.uri] = max(ends.get(place.uri, 0), place.offset + place.size)
    for target, end in ends.items():
        length = backend.size(DATA + target)
        if target != uri and (length is None or length < end):
            raise NotFoundError(
                message("writing a moved/ file", path=moved_path(uri), expected=f"{target} with at least {end} bytes", got=length)
            )  # fmt: skip
        if target == uri:
            raise CorruptError(
                message(
                    "writing a moved/ file", path=moved_path(uri), expected="another file as the new place", got=uri
                )
            )
    backend.overwrite(moved_path(uri), encode_moved(places))


def follow_moved(backend: Backend, uri: str, digests: Sequence[bytes]) -> list[Location]:
    """One hop: where the blobs with `digests` that lay in the file at the relative `uri` are said to be now.

    Raises `NotFoundError` where nothing tells, `ErasedError` where a blob was erased.
    """
    path = moved_path(uri)
    doing = "following a moved/ file"
    data = backend.read_or_none(path, limit=MAX_TABLE_BYTES)
    if data is None:
        raise NotFoundError(
            message("reading a blob", path=uri, expected=f"the file, or {path}", got="neither", todo="restore the file from a copy, or run verify")
        )  # fmt: skip
    table = decode_locations(data, path, erased=True)
    found = table.run.find(digest_array(digests))
    places: list[Location] = []
    for digest, position in zip(digests, found.tolist(), strict=True):
        row = table.run.rows[position]
        if position < 0 or row["slot"] < 0:
            wanted = f"the place of sha256:{digest.hex()}"
            if position < 0:
                raise NotFoundError(message(doing, path=path, expected=wanted, got="nothing"))
            raise ErasedError(message(doing, path=path, expected=wanted, got="that it was erased"))
        places.append(Location(table.uris[row["slot"]], int(row["offset"]), int(row["size"])))
    return places


def moved_targets(backend: Backend, uri: str) -> tuple[str, ...]:
    """The files to which blobs of the file at the relative `uri` went; raises `NotFoundError` where nothing tells."""
    path = moved_path(uri)
    data = backend.read_or_none(path, limit=MAX_TABLE_BYTES)
    if data is None:
        raise NotFoundError(message("following a moved/ file", path=path, expected="the file", got="none"))
    return decode_locations(data, path, erased=True).uris


def why_gone(backend: Backend, path: str, error: NotFoundError) -> NotFoundError:
    """The error for a part, leaf or root that is not there: that it was erased, where a moved/ file of its digest says so; else `error`."""
    stem = path.rpartition("/")[2].split(".", 1)[0]
    marker = f"moved/{stem}.parquet"
    try:
        data = backend.read_or_none(marker, limit=MAX_TABLE_BYTES)
        erased = data is not None and int(decode_locations(data, marker, erased=True).run.rows["slot"][0]) < 0
    except (TableformatError, IndexError):
        return error
    if not erased:
        return error
    return ErasedError(message("reading a file of a version", path=path, expected="the file", got="that it was erased"))

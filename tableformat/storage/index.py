"""The store-wide index, digest → location: a create-only series of documents that name sorted leaves.

`index/0/<20 digits>.json` lists all leaves of the store; whoever has new blobs adds a leaf, merges small ones and creates
the next document. The loser of a race reads again and retries. The index only saves bytes: pack directories rebuild it,
and a store without it is complete. So damage here is reported and stepped over, never raised at someone who writes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np

from tableformat.digest import check_digest
from tableformat.document import JsonObject, decode_document, encode_document
from tableformat.errors import (
    CorruptError,
    FormatError,
    LimitError,
    NotFoundError,
    TableformatError,
    UnsupportedError,
    message,
)
from tableformat.storage.digest_runs import Run, iter_merged
from tableformat.storage.interface import Backend
from tableformat.storage.location_table import (
    MAX_TABLE_BYTES,
    MAX_TABLE_ROWS,
    LocationTable,
    decode_locations,
    encode_locations,
)
from tableformat.storage.series import Series

__all__ = ["IndexDocument", "IndexLeaf", "leaf_path", "publish_index", "read_leaf", "read_newest_index"]

_HINT: Final = "index/0/hint.json"
_FAN_IN: Final = 8
_ATTEMPTS: Final = 5
_MAX_DOCUMENT_BYTES: Final = 16 << 20
_log = logging.getLogger("tableformat")


@dataclass(frozen=True, slots=True)
class IndexLeaf:
    """One leaf, as the document names it."""

    digest: str
    """`sha256:…` of the leaf file."""
    size: int
    """Length of the leaf file in bytes."""
    count: int
    """How many blobs it tells."""
    first: str
    """Smallest digest in it, 64 hex digits."""
    last: str
    """Largest digest in it, 64 hex digits."""

    def to_json(self) -> JsonObject:
        """Its object in the document."""
        return {"digest": self.digest, "size": self.size, "count": self.count, "first": self.first, "last": self.last}


@dataclass(frozen=True, slots=True)
class IndexDocument:
    """One document of the series."""

    leaves: tuple[IndexLeaf, ...] = ()
    """All leaves of the store, oldest first; a blob in several is at the place that any of them tells."""

    def encode(self) -> bytes:
        """Its canonical bytes."""
        return encode_document({"kind": "index", "format": 1, "leaves": [leaf.to_json() for leaf in self.leaves]})

    @classmethod
    def decode(cls, data: bytes, path: str) -> IndexDocument:
        """The document in `data`, which came from `path`; one whose shards were split reads as empty.

        Raises `FormatError` for anything else that is not an index document, `UnsupportedError` for a later format.
        """
        body = decode_document(data, path)
        doing = "reading a document of the index"
        if body.get("kind") != "index":
            raise FormatError(message(doing, path=path, expected="the kind 'index'", got=repr(body.get("kind"))[:60]))
        if body.get("format") != 1:
            raise UnsupportedError(
                message(
                    doing, path=path, expected="format 1", got=repr(body.get("format"))[:60], todo="upgrade tableformat"
                )
            )
        if body.get("split") is True:
            return cls()
        leaves = body.get("leaves")
        if not isinstance(leaves, list):
            raise FormatError(message(doing, path=path, expected="a list of leaves", got=type(leaves).__name__))
        return cls(tuple(_leaf_from_json(leaf, f"{path} leaves[{i}]") for i, leaf in enumerate(leaves)))


def _leaf_from_json(value: Any, place: str) -> IndexLeaf:
    doing = "reading a document of the index"
    if not isinstance(value, dict):
        raise FormatError(message(doing, path=place, expected="an object", got=type(value).__name__))
    numbers = [value.get("size"), value.get("count")]
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 1 for number in numbers):
        raise FormatError(
            message(doing, path=place, expected="size and count as integers from 1", got=repr(numbers)[:80])
        )
    texts = [value.get(name) for name in ("first", "last")]
    for text in texts:
        check_digest(f"sha256:{text}", f"{doing} · {place}")
    if str(texts[0]) > str(texts[1]):
        raise FormatError(message(doing, path=place, expected="first before last", got=f"{texts[0]} and {texts[1]}"))
    digest = check_digest(value.get("digest"), f"{doing} · {place}")
    return IndexLeaf(digest, int(numbers[0] or 0), int(numbers[1] or 0), str(texts[0]), str(texts[1]))


def leaf_path(leaf: IndexLeaf) -> str:
    """Where a leaf lies in the store."""
    return f"index/leaves/{leaf.digest[7:]}.parquet"


def read_newest_index(backend: Backend) -> tuple[int, IndexDocument]:
    """The newest document and its slot; (−1, an empty one) where there is none. About two round trips, no listing."""
    slot, data = _newest(backend)
    return slot, IndexDocument() if data is None else IndexDocument.decode(data, _series(backend).path(slot))


def _newest(backend: Backend) -> tuple[int, bytes | None]:
    try:
        hint = backend.read_or_none(_HINT, limit=1000)
        near = None if hint is None else decode_document(hint, _HINT).get("slot")
    except (FormatError, LimitError):
        near = None  # a hint is never trusted, so neither is its form
    return _series(backend).newest(near if isinstance(near, int) else 0) or (-1, None)


def _series(backend: Backend) -> Series:
    return Series(backend, "index/0", limit=_MAX_DOCUMENT_BYTES)


def read_leaf(backend: Backend, leaf: IndexLeaf) -> LocationTable:
    """The blobs of one leaf. Raises `CorruptError` where the file is not the one that the document names."""
    path = leaf_path(leaf)
    doing = "reading a leaf of the index"
    if leaf.size > MAX_TABLE_BYTES or leaf.count > MAX_TABLE_ROWS:
        raise LimitError(
            message(
                doing,
                path=path,
                expected=f"at most {MAX_TABLE_BYTES} bytes",
                got=f"{leaf.size} bytes, {leaf.count} blobs",
            )
        )
    data = backend.read(path, 0, leaf.size)
    if sha256(data).hexdigest() != leaf.digest[7:]:
        raise CorruptError(message(doing, path=path, expected=leaf.digest, got=f"sha256:{sha256(data).hexdigest()}"))
    table = decode_locations(data, path, erased=False)
    if len(table.run) != leaf.count:
        raise CorruptError(message(doing, path=path, expected=f"{leaf.count} blobs", got=f"{len(table.run)}"))
    return table


def publish_index(backend: Backend, runs: Sequence[Run], uris: Sequence[str]) -> bool:
    """Add the blobs of `runs`, whose slots count in `uris`, to the index of the store; tell whether that was done.

    Called after the commit that uses them. Never raises for what the store or its backend does: a warning is logged, and
    the only loss is that these blobs are not found when they are written again. Holds about 150 MB while leaves are merged.
    """
    if not any(map(len, runs)):
        return True
    try:
        added = [_write_leaf(backend, piece, uris) for piece in iter_merged(runs, MAX_TABLE_ROWS // 2)]
        for _ in range(_ATTEMPTS):
            slot, leaves = _readable_leaves(backend)
            known = {leaf.digest for leaf in leaves}
            leaves += [leaf for leaf in added if leaf.digest not in known]
            if backend.create(_series(backend).path(slot + 1), IndexDocument(_merge_leaves(backend, leaves)).encode()):
                backend.overwrite(_HINT, encode_document({"slot": slot + 1}))
                return True
    except TableformatError as error:
        _log.warning("the index of %s was not extended: %s", backend.root, error)
        return False
    _log.warning("the index of %s was not extended: other writers were faster %d times", backend.root, _ATTEMPTS)
    return False


def _readable_leaves(backend: Backend) -> tuple[int, list[IndexLeaf]]:
    """The newest slot and its leaves; none where its document is damaged, so that the next one mends the series."""
    slot, data = _newest(backend)
    try:
        return slot, [] if data is None else list(IndexDocument.decode(data, _series(backend).path(slot)).leaves)
    except UnsupportedError:
        raise
    except FormatError as error:
        _log.warning("the index of %s begins anew: %s", backend.root, error)
        return slot, []


def _write_leaf(backend: Backend, run: Run, uris: Sequence[str]) -> IndexLeaf:
    data = encode_locations(run, uris)
    digests = run.digests()
    leaf = IndexLeaf(
        f"sha256:{sha256(data).hexdigest()}", len(data), len(run), digests[0].tobytes().hex(), digests[-1].tobytes().hex()
    )  # fmt: skip
    backend.put(leaf_path(leaf), data)
    return leaf


def _merge_leaves(backend: Backend, leaves: list[IndexLeaf]) -> tuple[IndexLeaf, ...]:
    """`leaves` with groups of more than 8 of one size (within a factor of 8) merged, while one leaf can hold them.

    A leaf of such a group that is damaged or gone is left out.
    """
    while True:
        classes: dict[int, list[IndexLeaf]] = {}
        for leaf in leaves:
            classes.setdefault((leaf.count.bit_length() - 1) // 3, []).append(leaf)
        for group in classes.values():
            if len(group) > _FAN_IN and sum(leaf.count for leaf in group) <= MAX_TABLE_ROWS:
                break
        else:
            return tuple(leaves)
        tables: list[LocationTable] = []
        for leaf in group:
            try:
                tables.append(read_leaf(backend, leaf))
            except (FormatError, NotFoundError, LimitError) as error:
                _log.warning("the index of %s goes on without a leaf: %s", backend.root, error)
        merged = [_write_leaf(backend, *_union(tables))] if tables else []
        gone = set(group)
        leaves = [leaf for leaf in leaves if leaf not in gone] + merged


def _union(tables: Sequence[LocationTable]) -> tuple[Run, list[str]]:
    """The blobs of all `tables`, each once, and the uris that their slots count in. The later table wins."""
    uris: list[str] = []
    runs: list[Run] = []
    for table in reversed(tables):
        rows = table.run.rows.copy()
        rows["slot"] += len(uris)
        runs.append(Run(table.run.first, rows))
        uris.extend(table.uris)
    merged = next(iter_merged(runs, max(1, sum(map(len, runs)))))
    keep = np.ones(len(merged), np.bool_)
    keep[1:] = (merged.first[1:] != merged.first[:-1]) | (merged.rows["rest"][1:] != merged.rows["rest"][:-1])
    return Run(merged.first[keep], merged.rows[keep]), uris

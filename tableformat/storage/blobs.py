"""`BlobWriter`: blobs in, each distinct one stored once, in packs or alone; places out, as arrays.

The work is cut into batches of about 4 MiB, and inside a batch no statement runs once per blob except hashing: that is
what decides the speed at 2 KB a blob. Longer blobs are hashed by a few helper threads. One more thread writes and hashes
the packs themselves (pack_lane.py).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.digest import Bytes
from tableformat.errors import InvalidInputError, UsageError, message
from tableformat.format.pack import MAX_BLOB_BYTES, check_ext
from tableformat.storage.blob_input import Source, as_bytes, check_exts, cuts_of, hash_batches, read_upto
from tableformat.storage.blob_reader import read_pack_directory
from tableformat.storage.dedup import Places, SeenBlobs
from tableformat.storage.digest_runs import digest_array
from tableformat.storage.index import publish_index
from tableformat.storage.interface import Backend
from tableformat.storage.large import BlobObject, write_large
from tableformat.storage.locations import MIB, blob_uri
from tableformat.storage.pack_lane import PackObject
from tableformat.storage.pack_writer import PackWriter
from tableformat.storage.store_blobs import StoreBlobs

__all__ = ["BlobReport", "BlobWriter", "Placed"]

_VIEWED_BYTES: Final = 8 << 10  # mean size from which blobs of an Arrow array are not copied


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where the blobs of one call lie, in the order given. Arrays are of shape (n,)."""

    digests: list[bytes]
    """SHA-256 of each, 32 bytes."""
    slot: npt.NDArray[np.int32]
    """Which file, as a number that `BlobWriter.uris` resolves once `BlobWriter.is_sealed` says so."""
    offset: npt.NDArray[np.int64]
    """First byte in that file."""
    size: npt.NDArray[np.int64]
    """Length in bytes."""

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True, slots=True)
class BlobReport:
    """What one writer did. Bytes are those of blobs, without the headers of packs."""

    packs: tuple[PackObject, ...] = ()
    """The packs written, in order."""
    blobs: tuple[BlobObject, ...] = ()
    """The large blobs written, in order."""
    reused: tuple[str, ...] = ()
    """Relative uris of files of the store that were there before and are pointed at."""
    blobs_new: int = 0
    """How many blobs were stored."""
    blobs_shared: int = 0
    """How many were given and not stored, because the same bytes were there."""
    bytes_new: int = 0
    """Bytes of the blobs stored."""
    bytes_shared: int = 0
    """Bytes that did not need to be stored."""
    dedup_capped: bool = False
    """Whether the store may hold some of the new blobs already: its index was too large, or damaged."""


class BlobWriter:
    """Stores blobs under one backend. Belongs to one thread and one process; fails once and stays failed.

    Holds about 20 MiB of bytes on their way (and where the backend is remote, one pack), 50 MB of digests of its own,
    and with `dedup="store"` up to 256 MiB of the index of the store.

    `dedup`: "store" looks for each blob in the whole store, "artifact" in the files named by `within` only, "none" nowhere,
    except that no pack holds the same bytes twice. `excluded` names files that must not be counted on.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        dedup: Literal["store", "artifact", "none"] = "store",
        within: Collection[str] = (),
        excluded: Collection[str] = (),
    ) -> None:
        if dedup not in ("store", "artifact", "none"):
            raise InvalidInputError(
                message("opening a blob writer", expected="dedup 'store', 'artifact' or 'none'", got=repr(dedup)[:40])
            )
        self._backend = backend
        self._dedup = dedup
        self._pid = os.getpid()
        self._packs = PackWriter(backend)
        self._helpers = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="tableformat-blobs")
        self._seen = SeenBlobs()
        self._store: StoreBlobs | None = None
        if dedup == "store" or (dedup == "artifact" and within):
            limits = None if dedup == "store" else within
            self._store = StoreBlobs(backend, self._packs.slot_of, within=limits, excluded=excluded)
        self._large: list[BlobObject] = []
        self._counts: npt.NDArray[np.int64] = np.zeros(4, np.int64)  # blobs new, shared; bytes new, shared
        self._closed = False
        self._error: BaseException | None = None

    # Writing

    def put_many(
        self, datas: Sequence[Bytes], exts: str | Sequence[str] = "bin", digests: Sequence[bytes] | None = None
    ) -> Placed:
        """Store each of `datas` that is not stored yet, and tell where all of them lie.

        `exts` names the kind of bytes, such as `png`: one for all, or one for each. `digests`, where the caller has the
        SHA-256 of each already, are believed. Blobs above 8 MiB become objects of their own. `datas` may be changed
        after the return. Raises `InvalidInputError`, before anything is stored, for values that are not bytes.
        """
        return self._put(as_bytes(datas), exts, digests)

    def put_binary(self, array: Any, exts: str | Sequence[str] = "bin") -> Placed:
        """`put_many` of a `pa.BinaryArray` or `pa.LargeBinaryArray` without nulls. Values that are not small are not copied."""
        large = pa.types.is_large_binary(array.type)
        if not (large or pa.types.is_binary(array.type)) or array.null_count:
            raise InvalidInputError(
                message("storing blobs", expected="a binary array without nulls", got=f"{array.type}, {array.null_count} nulls")
            )  # fmt: skip
        _, ends, values = array.buffers()
        if not len(array) or ends is None:
            return self._put([], exts, None)
        if array.nbytes < _VIEWED_BYTES * len(array):
            return self._put(array.to_pylist(), exts, None)  # a view of 2 KB costs more than a copy of it
        edges = np.frombuffer(ends, np.int64 if large else np.int32)[
            array.offset : array.offset + len(array) + 1
        ].tolist()
        view = memoryview(b"" if values is None else values).cast("B")
        return self._put([view[a:b] for a, b in itertools.pairwise(edges)], exts, None)

    def put_stream(self, source: str | os.PathLike[str] | BinaryIO, ext: str = "bin") -> Placed:
        """Store what a local file, or an open binary file from where it stands, holds: one blob of any length.

        Above 8 MiB it becomes an object of its own, written while it is read in memory of about 10 MiB (where the backend
        is remote, of its size). Errors of reading are those of the source, and leave the writer usable.
        """
        self._check()
        check_ext(ext)
        if isinstance(source, str | os.PathLike):
            with open(source, "rb") as file:
                return self._put_file(file, ext)
        return self._put_file(source, ext)

    def seal(self) -> None:
        """End the open pack, and wait until every pack is durable and named."""
        self._check()
        with self._working():
            self._packs.end_pack()
            self._packs.settle(wait=True)

    def is_sealed(self, placed: Placed) -> bool:
        """Whether `uris` can name all files of `placed`. Does not wait."""
        self._check(closed=True)
        with self._working():
            return self._packs.is_sealed(placed.slot)

    def has_name(self, slot: int) -> bool:
        """Whether `uris` can name the file of one slot. Does not wait."""
        return self._packs.is_sealed(np.array([slot], np.int32))

    @property
    def stored(self) -> tuple[tuple[PackObject, ...], tuple[BlobObject, ...]]:
        """The packs that are named by now, and the large blobs, in order."""
        return tuple(self._packs.packs), tuple(self._large)

    @property
    def counts(self) -> list[int]:
        """Blobs new and shared, bytes new and shared, as reports count them, so far."""
        return [int(number) for number in self._counts.tolist()]

    def take_up(self, packs: Sequence[str], large: Sequence[tuple[str, int]]) -> None:
        """Before the first blob: count those in packs of these uris, and large blobs of these uris and sizes, as its own: another writer of
        the same session has stored them. Reads the directory of each pack."""
        if self._dedup == "none":
            return
        for uri in packs:
            slot, blobs = self._packs.slot_of(uri), read_pack_directory(self._backend, uri)
            self._seen.add_own([(blob.digest, slot, blob.offset, blob.size) for blob in blobs])
        self._seen.add_own([(bytes.fromhex(uri[-64:]), self._packs.slot_of(uri), 0, size) for uri, size in large])

    def uris(self, slots: npt.NDArray[np.int32]) -> Any:
        """The relative uris of the files that `slots` number, as a `pa.StringArray` of the same length.

        Raises `UsageError` where one of them is a pack that is not sealed yet.
        """
        self._check(closed=True)
        return self._packs.uris(slots)

    def close(self) -> BlobReport:
        """Seal everything and end. May be called again, and gives the same report."""
        if not self._closed:
            self.seal()
            with self._working():
                self._packs.close()
                self._helpers.shutdown()
                self._closed = True
        self._check(closed=True)
        return self._report()

    def publish_index(self) -> bool:
        """After `close`, and after the commit that uses the blobs: make them known to later writers of the store.

        Tells whether that was done; raises nothing for troubles of the store, since the index can be rebuilt.
        """
        self._check(closed=True)
        if not self._closed:
            raise UsageError(message("adding blobs to the index", expected="a closed writer", got="an open one"))
        return self._dedup == "none" or publish_index(self._backend, self._seen.own_runs(), self._packs.names)

    def abort(self) -> None:
        """End without sealing. Packs that were sealed stay, as garbage that a collection finds. May be called twice."""
        if not self._closed and self._error is None:
            self._fail(UsageError(message("using a blob writer", expected="an open one", got="one that was aborted")))

    # One call

    def _put(self, views: Sequence[Bytes], exts: str | Sequence[str], digests: Sequence[bytes] | None) -> Placed:
        self._check()
        count = len(views)
        check_exts(exts, count)
        if digests is not None and len(digests) != count:
            raise InvalidInputError(message("storing blobs", expected=f"{count} digests", got=f"{len(digests)}"))
        size = np.fromiter(map(len, views), np.int64, count)
        if count and int(size.max()) > MAX_BLOB_BYTES:
            return self._put_mixed(views, exts, size, digests)
        with self._working():
            return self._put_small(views, exts, size, digests)

    def _put_small(
        self,
        views: Sequence[Bytes],
        exts: str | Sequence[str],
        size: npt.NDArray[np.int64],
        digests: Sequence[bytes] | None,
    ) -> Placed:
        """Blobs of at most 8 MiB: hash batch after batch, and store each batch while the next is hashed."""
        count = len(views)
        slot, offset = np.empty(count, np.int32), np.empty(count, np.int64)
        every: list[bytes] = []
        for a, b, names, crcs in hash_batches(views, cuts_of(size), digests, self._helpers):
            some = exts if isinstance(exts, str) else exts[a:b]
            slot[a:b], offset[a:b] = self._store_batch(views[a:b], names, size[a:b], some, crcs)
            every.extend(names)
        self._packs.release_views()
        return Placed(every, slot, offset, size)

    def _put_mixed(
        self,
        views: Sequence[Bytes],
        exts: str | Sequence[str],
        size: npt.NDArray[np.int64],
        digests: Sequence[bytes] | None,
    ) -> Placed:
        """Blobs of which some are above 8 MiB."""
        few = np.flatnonzero(size <= MAX_BLOB_BYTES).tolist()
        with self._working():
            small = self._put_small(
                [views[i] for i in few],
                exts if isinstance(exts, str) else [exts[i] for i in few],
                size[few],
                None if digests is None else [digests[i] for i in few],
            )
        names: list[bytes] = [b""] * len(views)
        slot, offset = np.zeros(len(views), np.int32), np.zeros(len(views), np.int64)
        slot[few], offset[few] = small.slot, small.offset
        for i, digest in zip(few, small.digests, strict=True):
            names[i] = digest
        for i in np.flatnonzero(size > MAX_BLOB_BYTES).tolist():
            view = memoryview(views[i])
            one = self._put_large(view[k : k + MIB] for k in range(0, len(view), MIB))
            names[i], slot[i], offset[i] = one.digests[0], one.slot[0], one.offset[0]
        return Placed(names, slot, offset, size)

    def _put_file(self, file: BinaryIO, ext: str) -> Placed:
        start = read_upto(file, MAX_BLOB_BYTES + 1)
        if len(start) <= MAX_BLOB_BYTES:
            return self.put_many([start], ext)

        def chunks() -> Iterator[Bytes]:
            # A chunk is always a whole MiB but for the last: the sums are of those.
            for k in range(0, MAX_BLOB_BYTES, MIB):
                yield memoryview(start)[k : k + MIB]
            rest = start[MAX_BLOB_BYTES:]
            while chunk := rest + read_upto(file, MIB - len(rest)):
                yield chunk
                rest = b""

        return self._put_large(chunks())

    def _put_large(self, chunks: Iterator[Bytes]) -> Placed:
        source = Source(chunks)
        found: list[Places] = []

        def is_known(digest: bytes) -> bool:
            ordinals, fresh = self._seen.reserve([digest])
            hit, places = self._find(digest_array([digest])) if fresh[0] else (np.zeros(1, np.bool_), None)
            new = fresh & ~hit
            if places is None or new[0]:
                uri = blob_uri(digest.hex())
                places = (
                    np.array([self._packs.slot_of(uri)], np.int32),
                    np.zeros(1, np.int64),
                    np.array([source.size]),
                )
            found.append(self._seen.settle(ordinals, places, new))
            self._count(np.array([source.size], np.int64), new)
            return not new[0]

        with self._working(source):
            blob, written = write_large(self._backend, source, self._helpers, is_known)
            if written:
                self._large.append(blob)
        slot, offset, size = found[0]
        return Placed([blob.digest], slot, offset, size)

    # One batch

    def _store_batch(
        self,
        views: Sequence[Bytes],
        digests: Sequence[bytes],
        size: npt.NDArray[np.int64],
        exts: str | Sequence[str],
        crcs: Sequence[int] | None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Store the blobs of one batch that nobody has; slots and offsets of all."""
        count, packs_before = len(views), self._packs.pack_count
        ordinals, own = self._seen.reserve(digests)
        slot, offset = np.zeros(count, np.int32), np.zeros(count, np.int64)
        rows = np.flatnonzero(own)
        if len(rows) and (self._store is not None or self._seen.has_older):
            hit, found = self._find(
                digest_array(digests if len(rows) == count else [digests[i] for i in rows.tolist()])
            )
            known, rows = rows[hit], rows[~hit]
            slot[known], offset[known], own[known] = found[0][hit], found[1][hit], False
        if len(rows) == count:
            slot, offset = self._packs.append(views, digests, size, exts, crcs)
        elif len(rows):
            few = rows.tolist()
            slot[rows], offset[rows] = self._packs.append(
                [views[i] for i in few],
                [digests[i] for i in few],
                size[rows],
                exts if isinstance(exts, str) else [exts[i] for i in few],
                None if crcs is None else [crcs[i] for i in few],
            )
        self._count(size, own)
        slot, offset, _ = self._seen.settle(ordinals, (slot, offset, size), own)
        if self._dedup == "none" and self._packs.pack_count > packs_before:
            self._seen.forget()
        return slot, offset

    def _find(self, wanted: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], Places]:
        """Blobs that are not recent: seen earlier by this writer, or in the store."""
        hit, places = self._seen.find_older(wanted)
        if self._store is not None and not hit.all():
            rows = np.flatnonzero(~hit)
            there, found = self._store.find(wanted[rows], self._helpers)
            rows = rows[there]
            hit[rows] = True
            places[0][rows], places[1][rows], places[2][rows] = found[0][there], found[1][there], found[2][there]
        return hit, places

    def _count(self, size: npt.NDArray[np.int64], own: npt.NDArray[np.bool_]) -> None:
        new, new_bytes = int(own.sum()), int(size[own].sum())
        self._counts += np.array([new, len(size) - new, new_bytes, int(size.sum()) - new_bytes])

    def _report(self) -> BlobReport:
        reused = self._store.reused if self._store else ()
        capped = self._store is not None and self._store.is_capped
        new, shared, new_bytes, shared_bytes = self._counts.tolist()
        return BlobReport(
            tuple(self._packs.packs), tuple(self._large), reused, new, shared, new_bytes, shared_bytes, capped
        )

    # Failing once

    def _check(self, *, closed: bool = False) -> None:
        if self._error is not None:
            raise self._error
        if self._closed and not closed:
            raise UsageError(message("using a blob writer", expected="an open one", got="one that was closed"))
        if os.getpid() != self._pid:
            raise UsageError(
                message("using a blob writer", expected="the process that opened it", got="another", todo="open one in each")
            )  # fmt: skip

    @contextmanager
    def _working(self, source: Source | None = None) -> Iterator[None]:
        """Any error inside fails the writer for good, except one that `source` raised."""
        try:
            if not self._closed:
                self._packs.check()
            yield
        except BaseException as error:
            if source is None or source.error is not error:
                self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self._packs.abort()
        self._helpers.shutdown(wait=True, cancel_futures=True)

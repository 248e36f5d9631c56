"""The one background thread of a writer: appends chunks to the open pack and hashes the whole of it.

Writing to a file and SHA-256 of a megabyte are calls that let other threads run, so this work costs the producing thread
almost nothing. All state of the open pack belongs to the background thread; the producing thread sees futures only.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tableformat.storage.interface import Backend, Sink
from tableformat.storage.locations import DATA, pack_uri

__all__ = ["PackLane", "PackObject"]

_MAX_WAITING: Final = 8  # chunks of about 1 MiB between the two threads


@dataclass(frozen=True, slots=True)
class PackObject:
    """One pack that is written, named and durable."""

    digest: bytes
    """SHA-256 of the whole file, 32 bytes."""
    uri: str
    """Its relative uri, `packs/ab/<sha256>.zip`."""
    size: int
    """Length of the file in bytes."""
    blob_count: int
    """How many blobs it holds."""


class PackLane:
    """Packs one after the other, each as a stream of chunks and a `seal`. An error surfaces at the next call.

    Holds at most 9 chunks that were not yet written; a further `write` waits.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tableformat-packs")
        # A pack is made durable while the next one is written: a sync of 64 MiB takes as long as several of its chunks.
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="tableformat-packs-sync")
        self._waiting: deque[Future[None]] = deque()
        # Touched by the background threads only, and by `abort` after they have ended:
        self._sink: Sink | None = None
        self._hash = hashlib.sha256()
        self._broken: BaseException | None = None
        self._syncing: Future[None] = Future()
        self._syncing.set_result(None)

    def check(self) -> None:
        """Raise what went wrong since the last call, if anything did."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()

    def write(self, chunk: bytes) -> None:
        """Append `chunk` to the open pack, opening one where none is."""
        self.check()
        self._waiting.append(self._executor.submit(self._write, chunk))
        if len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft().result()

    def seal(self, blob_count: int) -> Future[PackObject]:
        """End the open pack: made durable and named in the background, after which the future holds its name."""
        self.check()
        sealed: Future[PackObject] = Future()
        self._executor.submit(self._seal, blob_count, sealed)
        return sealed

    def close(self) -> None:
        """Wait for all that is under way; raises what went wrong."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._shut()

    def _shut(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._syncer.shutdown(wait=True)

    def abort(self) -> None:
        """Stop, and drop the open pack. May be called at any time and twice."""
        self._shut()
        if self._sink is not None:
            self._sink.abort()
            self._sink = None

    def _write(self, chunk: bytes) -> None:
        if self._broken is not None:
            raise self._broken
        try:
            if self._sink is None:
                self._sink, self._hash = self._backend.writer(DATA + "packs/pack"), hashlib.sha256()
            self._sink.write(chunk)
            self._hash.update(chunk)
        except BaseException as error:
            self._broken = error
            raise

    def _seal(self, blob_count: int, sealed: Future[PackObject]) -> None:
        try:
            if self._broken is not None:
                raise self._broken
            sink, self._sink = self._sink, None
            assert sink is not None, "a pack is sealed after its directory was written"
            digest = self._hash.digest()
            pack = PackObject(digest, pack_uri(digest.hex()), sink.size, blob_count)
            self._syncing.result()  # one at a time: where the backend is remote each holds a pack
            self._syncing = self._syncer.submit(self._commit, sink, pack, sealed)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the pack
            self._broken = error
            sealed.set_exception(error)

    def _commit(self, sink: Sink, pack: PackObject, sealed: Future[PackObject]) -> None:
        try:
            sink.commit(DATA + pack.uri)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the pack
            self._broken = error
            sealed.set_exception(error)
        else:
            sealed.set_result(pack)

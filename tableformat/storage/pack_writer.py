"""Distinct blobs into packs, and the numbers that stand for files until those have names.

A pack is named by its own digest, so while it is open its blobs are in slot 7, say; once it is sealed, slot 7 has a uri.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.digest import Bytes
from tableformat.errors import UsageError, message
from tableformat.format.pack import PackBuilder
from tableformat.storage.interface import Backend
from tableformat.storage.locations import MIB
from tableformat.storage.pack_lane import PackLane, PackObject

__all__ = ["PackWriter"]


class PackWriter:
    """Packs under one backend, one open at a time; and the table of slots, of packs and of any other files."""

    def __init__(self, backend: Backend) -> None:
        self._lane = PackLane(backend)
        self._names: list[str | None] = []
        self._slots: dict[str, int] = {}
        self._unsealed: dict[int, Future[PackObject] | None] = {}  # None: the pack that is open
        self._builder = PackBuilder()
        self._open_slot = -1
        self._waiting: list[Bytes] = []  # pieces of the open pack that do not make a chunk yet
        self._waiting_bytes = 0
        self.packs: list[PackObject] = []
        """The packs that are sealed, in order."""

    @property
    def pack_count(self) -> int:
        """How many packs were begun and ended."""
        return len(self.packs) + len(self._unsealed) - (self._open_slot >= 0)

    @property
    def names(self) -> list[str]:
        """The uri of each slot; empty for packs that are not sealed."""
        return [name or "" for name in self._names]

    def slot_of(self, uri: str) -> int:
        """The slot that stands for a file which has a name already."""
        slot = self._slots.setdefault(uri, len(self._names))
        if slot == len(self._names):
            self._names.append(uri)
        return slot

    def check(self) -> None:
        """Raise what went wrong in the background."""
        self._lane.check()

    def append(
        self,
        views: Sequence[Bytes],
        digests: Sequence[bytes],
        size: npt.NDArray[np.int64],
        exts: str | Sequence[str],
        crcs: Sequence[int] | None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Add blobs, none of which stands in the open pack, to it and to further ones where it is full: slots, offsets."""
        count = len(views)
        slot, offset = np.empty(count, np.int32), np.empty(count, np.int64)
        if crcs is None:
            crcs = list(map(zlib.crc32, views))
        a = 0
        while a < count:
            fit = self._builder.room(size[a:])
            if not fit:
                self.end_pack()
                continue
            if self._open_slot < 0:
                self._open_slot = len(self._names)
                self._names.append(None)
                self._unsealed[self._open_slot] = None
            b = min(a + fit, count)
            some = exts if isinstance(exts, str) else exts[a:b]
            headers, offset[a:b] = self._builder.add_many(digests[a:b], size[a:b], crcs[a:b], some)
            slot[a:b] = self._open_slot
            self._emit(headers, views[a:b], offset[a:b] + size[a:b])
            a = b
        return slot, offset

    def release_views(self) -> None:
        """Copy what was given as views and waits for its chunk, so that the caller may drop or change the memory."""
        if any(type(piece) is not bytes for piece in self._waiting):
            self._waiting = [b"".join(self._waiting)]

    def end_pack(self) -> None:
        """Hand the rest of the open pack to the background, which seals it. Does not wait."""
        if self._open_slot < 0:
            return
        self._lane.write(b"".join([*self._waiting, self._builder.finish()]))
        self._waiting, self._waiting_bytes = [], 0
        self._unsealed[self._open_slot] = self._lane.seal(self._builder.blob_count)
        self._builder, self._open_slot = PackBuilder(), -1

    def settle(self, *, wait: bool) -> None:
        """Take the names of packs that are sealed, in their order; with `wait`, of all that were ended."""
        for slot, future in list(self._unsealed.items()):
            if future is None or not (wait or future.done()):
                break
            pack = future.result()
            self.packs.append(pack)
            self._names[slot] = pack.uri
            del self._unsealed[slot]

    def is_sealed(self, slots: npt.NDArray[np.int32]) -> bool:
        """Whether all of `slots` have a name by now."""
        if self._unsealed:
            self.settle(wait=False)
        return not self._unsealed or not np.isin(slots, list(self._unsealed)).any()

    def uris(self, slots: npt.NDArray[np.int32]) -> Any:
        """The relative uris of `slots` as a `pa.StringArray`; raises `UsageError` where one has no name yet."""
        if not self.is_sealed(slots):
            raise UsageError(
                message("naming the files of blobs", expected="blobs whose packs are sealed", got="a pack that is not", todo="call seal() first")
            )  # fmt: skip
        used, codes = np.unique(slots, return_inverse=True)
        return pa.array([self._names[slot] for slot in used.tolist()], pa.string()).take(pa.array(codes.reshape(-1)))

    def close(self) -> None:
        """End the background thread after all it was given."""
        self._lane.close()

    def abort(self) -> None:
        """Stop the background thread, and drop the open pack."""
        self._waiting = []
        self._lane.abort()

    def _emit(self, headers: list[bytes], views: Sequence[Bytes], ends: npt.NDArray[np.int64]) -> None:
        """Hand headers and blobs, alternating, to the lane in chunks of about 1 MiB; `ends` are positions in the file."""
        pieces: list[Bytes] = [b""] * (2 * len(headers))
        pieces[::2] = headers
        pieces[1::2] = views
        start = int(ends[0]) - len(views[0]) - len(headers[0]) - self._waiting_bytes
        last = 0
        for cut in np.unique(np.searchsorted(ends, np.arange(start + MIB, int(ends[-1]) + 1, MIB)) + 1).tolist():
            self._lane.write(b"".join([*self._waiting, *pieces[last : 2 * cut]]))
            self._waiting = []
            last, start = 2 * cut, int(ends[cut - 1])
        self._waiting.extend(pieces[last:])
        self._waiting_bytes = int(ends[-1]) - start

"""The blobs that a store already holds, as far as a writer may count on them: its index, loaded once and bounded.

A hit is taken only if the file it names is there now, is long enough, and is not one that the caller excludes (gc's
condemned files). Over the bound, or where the index is damaged, blobs are simply stored again, and `is_capped` says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tableformat.errors import FormatError, LimitError, NotFoundError
from tableformat.storage.dedup import Places, find_in_runs
from tableformat.storage.digest_runs import ROW_BYTES, Run
from tableformat.storage.index import read_leaf, read_newest_index
from tableformat.storage.interface import Backend
from tableformat.storage.locations import DATA

__all__ = ["MAX_INDEX_BYTES", "StoreBlobs"]

MAX_INDEX_BYTES: Final = 256 << 20
"""Most memory that the index of a store may take in one writer: about 4.4 million blobs."""
_log = logging.getLogger("tableformat")


class StoreBlobs:
    """What the index of a store told at the first look-up. Slots are those that `slot_of(uri)` gives."""

    def __init__(
        self,
        backend: Backend,
        slot_of: Callable[[str], int],
        *,
        within: Collection[str] | None = None,
        excluded: Collection[str] = (),
        limit_bytes: int = MAX_INDEX_BYTES,
    ) -> None:
        self._backend = backend
        self._slot_of = slot_of
        self._within = within
        self._excluded = excluded
        self._limit_bytes = limit_bytes
        self._runs: list[Run] | None = None
        self._uris: dict[int, str] = {}
        self._lengths: dict[int, int] = {}  # by slot, of files that were asked for; −1: absent
        self.is_capped = False

    @property
    def reused(self) -> tuple[str, ...]:
        """The uris of files that hits lie in."""
        return tuple(self._uris[slot] for slot, length in self._lengths.items() if length >= 0)

    def find(self, wanted: npt.NDArray[np.uint8], helper: Executor) -> tuple[npt.NDArray[np.bool_], Places]:
        """Which of the digests of shape (n, 32) the store holds, and where. The first call reads the index."""
        if self._runs is None:
            self._runs = self._load()
        hit, places = find_in_runs(self._runs, wanted)
        if hit.any():
            slot, offset, size = places
            self._ask(np.unique(slot[hit]).tolist(), helper)
            lengths = np.array([self._lengths[value] for value in slot[hit].tolist()], np.int64)
            hit[hit] = offset[hit] + size[hit] <= lengths
        return hit, places

    def _ask(self, slots: Sequence[int], helper: Executor) -> None:
        """Find out how long the files of `slots` are, once for each."""
        new = [slot for slot in slots if slot not in self._lengths]
        sizes = helper.map(self._backend.size, [DATA + self._uris[slot] for slot in new])
        for slot, size in zip(new, sizes, strict=True):
            self._lengths[slot] = -1 if size is None else size

    def _load(self) -> list[Run]:
        runs: list[Run] = []
        taken = 0
        try:
            _, document = read_newest_index(self._backend)
            leaves = list(reversed(document.leaves))
        except (FormatError, LimitError) as error:
            self._report(error)
            leaves = []
        for leaf in leaves:
            if taken + leaf.count * ROW_BYTES > self._limit_bytes:
                self.is_capped = True
                continue
            try:
                table = read_leaf(self._backend, leaf)
            except (FormatError, NotFoundError, LimitError) as error:
                self._report(error)
                continue
            taken += leaf.count * ROW_BYTES
            runs.append(self._with_slots(table.run, table.uris))
        return runs

    def _with_slots(self, run: Run, uris: Sequence[str]) -> Run:
        """`run` without the files that must not be used, its slots those of the writer."""
        usable = np.array(
            [uri not in self._excluded and (self._within is None or uri in self._within) for uri in uris], np.bool_
        )
        keep = usable[run.rows["slot"]]
        slots = np.zeros(len(uris), np.int32)
        for number in np.flatnonzero(usable).tolist():
            slots[number] = self._slot_of(uris[number])
            self._uris[int(slots[number])] = uris[number]
        rows: npt.NDArray[Any] = run.rows[keep].copy()
        rows["slot"] = slots[rows["slot"]]
        return Run(run.first[keep], rows)

    def _report(self, error: Exception) -> None:
        self.is_capped = True
        _log.warning("the index of %s is not used in full, so blobs may be stored again: %s", self._backend.root, error)

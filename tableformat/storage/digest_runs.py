"""Sorted runs of digests with places: the searchable form of many blobs, in memory or in a temporary file.

A digest is held as its first 8 bytes (a number that numpy searches) and the other 24 (compared on a hit), so that a batch
of look-ups is a few numpy calls whatever its size. Equal first halves are walked, never trusted: 64 bits can be made to
collide on purpose.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["ROW", "ROW_BYTES", "Run", "digest_array", "iter_merged", "merge_runs"]

ROW: Final = np.dtype([("rest", "V24"), ("offset", "<i8"), ("size", "<i8"), ("slot", "<i4")])
"""What a run holds beside the number it is sorted by: the last 24 bytes of the digest, and the place."""
ROW_BYTES: Final = 8 + ROW.itemsize
"""Memory or disk that one blob of a run takes."""
_SLICE_ROWS: Final = 1 << 18  # a merge holds this many rows at a time, about 14 MB


def digest_array(digests: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """The digests (32 bytes each) as an array of shape (n, 32)."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _split(digests: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.void]]:
    """First 8 bytes as native numbers in the order of the bytes, and the other 24 as one value each."""
    first = np.ascontiguousarray(digests[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
    return first, np.ascontiguousarray(digests[:, 8:]).view("V24").reshape(-1)


@dataclass(frozen=True, slots=True)
class Run:
    """Blobs in the order of their digests."""

    first: npt.NDArray[np.uint64]
    """The first 8 bytes of each digest as a big-endian number; ascending."""
    rows: npt.NDArray[Any]
    """As `ROW`, one for each of `first`."""

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def from_arrays(
        cls,
        digests: npt.NDArray[np.uint8],
        slot: npt.NDArray[np.int32],
        offset: npt.NDArray[np.int64],
        size: npt.NDArray[np.int64],
    ) -> Run:
        """A run of blobs in any order: digests of shape (n, 32), places of shape (n,)."""
        first, rest = _split(digests)
        rows: npt.NDArray[Any] = np.empty(len(first), ROW)
        rows["rest"], rows["slot"], rows["offset"], rows["size"] = rest, slot, offset, size
        return cls(*_sorted(first, rows))

    def digests(self) -> npt.NDArray[np.uint8]:
        """The whole digests, shape (n, 32)."""
        head = np.asarray(self.first).astype(">u8").view(np.uint8).reshape(-1, 8)
        tail = np.ascontiguousarray(self.rows["rest"]).view(np.uint8).reshape(-1, 24)
        return np.concatenate([head, tail], axis=1)

    def find(self, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """For each digest of shape (n, 32) its position in the run, −1 where it is absent."""
        found = np.full(len(digests), -1, np.int64)
        if not len(self.first):
            return found
        wanted, rest = _split(digests)
        position = np.searchsorted(self.first, wanted).astype(np.int64)
        open_rows = np.arange(len(digests))
        while len(open_rows):
            here = position[open_rows]
            keep = here < len(self.first)
            keep[keep] = self.first[here[keep]] == wanted[open_rows[keep]]
            open_rows = open_rows[keep]
            here = position[open_rows]
            same = self.rows["rest"][here] == rest[open_rows]
            found[open_rows[same]] = here[same]
            open_rows = open_rows[~same]
            position[open_rows] += 1
        return found


def _sorted(first: npt.NDArray[np.uint64], rows: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[Any]]:
    """Both in the order of the whole digest."""
    order = np.argsort(first, kind="stable")
    first, rows = first[order], rows[order]
    if len(first) > 1 and bool((first[1:] == first[:-1]).any()):
        rest = np.ascontiguousarray(rows["rest"]).view(">u8").reshape(-1, 3)
        order = np.lexsort((rest[:, 2], rest[:, 1], rest[:, 0], first))
        first, rows = first[order], rows[order]
    return first, rows


def iter_merged(runs: Sequence[Run], slice_rows: int = _SLICE_ROWS) -> Iterator[Run]:
    """The blobs of all `runs` as runs that follow each other in digest order.

    Each is of about `slice_rows` blobs, since digests are spread evenly; that is all the memory that is held.
    """
    total = sum(map(len, runs))
    count = max(1, -(-total // slice_rows))
    bounds = [np.uint64(k * 2**64 // count) for k in range(1, count)]
    cuts = [
        np.concatenate([[0], np.searchsorted(run.first, np.array(bounds, np.uint64)), [len(run)]]).astype(int)
        for run in runs
    ]
    for k in range(count):
        first = np.concatenate(
            [np.asarray(run.first[cut[k] : cut[k + 1]]) for run, cut in zip(runs, cuts, strict=True)]
        )
        rows = np.concatenate([np.asarray(run.rows[cut[k] : cut[k + 1]]) for run, cut in zip(runs, cuts, strict=True)])
        if len(first):
            yield Run(*_sorted(first, rows))


def merge_runs(runs: Sequence[Run], spill_rows: int) -> Run:
    """One run of all `runs`: in memory, or from `spill_rows` blobs on in an unnamed temporary file that dies with it."""
    total = sum(map(len, runs))
    if total < spill_rows:
        return next(iter_merged(runs, max(total, 1)))
    with tempfile.TemporaryFile(prefix="tableformat-") as firsts, tempfile.TemporaryFile(prefix="tableformat-") as rows:
        for piece in iter_merged(runs):
            firsts.write(piece.first.tobytes())
            rows.write(piece.rows.tobytes())
        firsts.flush()
        rows.flush()
        # The mapping keeps its own descriptor, so the files live exactly as long as the arrays do.
        return Run(np.memmap(firsts, np.uint64, "r", shape=(total,)), np.memmap(rows, ROW, "r", shape=(total,)))

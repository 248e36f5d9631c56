"""Plan byte-range reads: which requests to send for the ranges that are wanted, and where each range lies in them.

Pure: nothing is read here. On an object store a request costs about as much as a megabyte of transfer, so ranges
that lie near each other in one file are fetched together and cut apart in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tableformat.digest import Bytes
from tableformat.errors import InvalidInputError, message

__all__ = ["MAX_GAP_BYTES", "MAX_MERGED_BYTES", "SMALL_GAP_BYTES", "Fetch", "Plan", "Range", "cut", "plan_ranges"]

Range = tuple[str, int, int]
"""(path, offset, length): offset counts bytes from zero, length is at least zero."""

MAX_GAP_BYTES: Final = 64 << 10
"""Unwanted bytes between two ranges that are fetched rather than paid for with a second request, at most."""
SMALL_GAP_BYTES: Final = 16 << 10
"""A gap of so many bytes is always fetched; a longer one only where it is at most a fifth of what is wanted around it."""
MAX_MERGED_BYTES: Final = 8 << 20
"""Longest fetch made by merging. One range that is longer by itself is still one fetch."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request: `length` bytes of `path` from `offset` on."""

    path: str
    """The file, as a path inside the store."""
    offset: int
    """First byte, counted from zero."""
    length: int
    """Number of bytes; never zero."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests to send, and for each wanted range where it lies in their answers."""

    fetches: tuple[Fetch, ...]
    """Sorted by path and offset."""
    pieces: tuple[tuple[int, int, int], ...]
    """For each wanted range, in the order asked: (number of the fetch, start in it, end in it); (-1, 0, 0) if empty."""

    @property
    def fetched_bytes(self) -> int:
        """How many bytes the requests move, gaps included."""
        return sum(fetch.length for fetch in self.fetches)


def plan_ranges(
    ranges: Sequence[Range], *, max_gap_bytes: int = MAX_GAP_BYTES, max_merged_bytes: int = MAX_MERGED_BYTES
) -> Plan:
    """The plan for `ranges`, which may overlap, repeat, be empty and come in any order.

    Two neighbours in one file are merged if at most 16 KiB lie between them, or a fifth of what is fetched around and at most
    `max_gap_bytes`, and the result is at most `max_merged_bytes` long. Raises `InvalidInputError` for a negative offset or length.
    """
    pieces: list[tuple[int, int, int]] = [(-1, 0, 0)] * len(ranges)
    fetches: list[Fetch] = []
    path, start, end = "", 0, -1
    members: list[tuple[int, int, int]] = []  # (place in `ranges`, offset, end) of the fetch that is growing

    def close() -> None:
        for place, first, last in members:
            pieces[place] = (len(fetches), first - start, last - start)
        if members:
            fetches.append(Fetch(path, start, end - start))
            members.clear()

    for place in sorted(range(len(ranges)), key=ranges.__getitem__):
        file, offset, length = ranges[place]
        if offset < 0 or length < 0:
            raise InvalidInputError(
                message(
                    "planning a read", path=file, expected="an offset and a length of at least 0", got=(offset, length)
                )
            )
        if length == 0:
            continue
        last = max(end, offset + length)
        gap = offset - end
        cheap = gap <= max(min(SMALL_GAP_BYTES, max_gap_bytes), min(max_gap_bytes, (end - start + length) // 5))
        joins = members and file == path and cheap and last - start <= max_merged_bytes
        # A range inside the fetch that grows costs nothing, whatever the bounds say.
        if not (joins or (members and file == path and offset + length <= end)):
            close()
            path, start, last = file, offset, offset + length
        end = last
        members.append((place, offset, offset + length))
    close()
    return Plan(tuple(fetches), tuple(pieces))


def cut(plan: Plan, answers: Sequence[Bytes]) -> list[bytes]:
    """The wanted ranges, in the order asked, cut from the answers to `plan.fetches`; each is a copy of its own."""
    views = [memoryview(answer) for answer in answers]
    return [b"" if fetch < 0 else bytes(views[fetch][start:end]) for fetch, start, end in plan.pieces]

"""Bounds on what a reader takes into memory because some bytes in a store say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a table may ask of its reader. To raise one on purpose, open with `limits=Limits(row_group_bytes=…)`."""

    row_group_bytes: int = 1 << 30
    """Decoded bytes of one row group, of the columns that are read. Writers of this library stay below 64 MiB, except
    where a single row has more."""
    decoded_media_bytes: int = 64 << 20
    """Bytes of one media after decompression. Writers of this library compress none that has more than 8 MiB."""
    cache_bytes: int = 64 << 20
    """Decoded row groups that a handle keeps for reads of single rows."""
    flight_bytes: int = 64 << 20
    """Decoded bytes that a scan reads ahead, besides what the caller holds; at least two row groups, and of files of this machine
    32 MiB at most."""
    media_bytes: int = 32 << 20
    """Bytes of media that are fetched in one go, besides a single one that has more."""


DEFAULT_LIMITS: Final = Limits()
"""What a stranger's store is given."""

"""`memory=`: how much a reader may hold, in bytes or as people write it."""

from __future__ import annotations

import re
from typing import Final

from tableformat.errors import LimitError, UsageError, message

__all__ = ["DEFAULT_MEMORY", "Memory", "as_bytes"]

Memory = int | str | None

DEFAULT_MEMORY: Final = 512 << 20
"""Bytes that reading a join may hold unless it is told otherwise."""
LEAST_MEMORY: Final = 64 << 20
"""A few row groups on their way are within this, and nothing is that has less."""

_UNITS: Final = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip


def as_bytes(memory: Memory) -> int:
    """The bytes that `memory` says: a number, a text such as "512 MB" or "1.5 GiB", or None for the default.

    Raises `UsageError` for anything else, `LimitError` below 64 MiB.
    """
    if memory is None:
        return DEFAULT_MEMORY
    size: float | None = None
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", memory)
        if found is not None and found[2].lower() in _UNITS:
            size = float(found[1]) * _UNITS[found[2].lower()]
    elif type(memory) is int:
        size = memory
    if size is None:
        raise UsageError(
            message("bounding memory", expected="bytes, or a text such as '512 MB'", got=repr(memory)[:60])
        )
    if size < LEAST_MEMORY:
        raise LimitError(
            message(
                "bounding memory", expected=f"at least {LEAST_MEMORY >> 20} MiB", got=repr(memory), todo="allow more"
            )
        )
    return int(size)

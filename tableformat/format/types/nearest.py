"""The nearest name, for errors about one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(name: str, names: Iterable[str]) -> str:
    """What to do about the unknown `name`, in words: the nearest of `names`, or all of them where they are few."""
    known = list(names)
    if near := difflib.get_close_matches(name, known, 1):
        return f"did you mean {near[0]!r}?"
    if not known:
        return "there are none"
    more = ", …" if len(known) > 10 else ""
    return f"there are {', '.join(repr(one) for one in known[:10])}{more}"

"""What the cells of a column are: looked at by class, a block at a time, and by value only where a class leaves it open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from tableformat.convert.legacy.times import are_milliseconds, nanoseconds
from tableformat.convert.legacy.types import MEDIA_KINDS, Declared

__all__ = ["MAX_KEYS", "MAX_LEVELS", "Profile", "media_kind"]

MAX_KEYS: Final = 256
"""Most keys of dicts that become a struct."""
MAX_LEVELS: Final = 16
"""Most levels of lists and dicts that become types; what is nested deeper is JSON."""
_NAMES: Final = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict"}
_WHOLE: Final = frozenset({"table", "joined-table", "partitioned-table", "wb_trace_tree"})
"""Objects inside of cells that stay what they are, as JSON."""


def media_kind(value: Mapping[str, Any]) -> str | None:
    """Our kind of media, of a dict that names a file of media; None for any other dict."""
    name = value.get("_type")
    if isinstance(name, str) and name in MEDIA_KINDS and isinstance(value.get("path"), str):
        return MEDIA_KINDS[name]
    return None


@dataclass(slots=True)
class Profile:
    """The sum of all values that were looked at."""

    declared: Declared = field(default_factory=Declared)
    """What the values are declared to be."""
    kinds: set[str] = field(default_factory=set)
    """Among null, bool, int, float, str, list, dict (one that is no media), and `media:<kind>`."""
    low: int = 0
    """The least integer, or 0."""
    high: int = 0
    """The greatest integer, or 0."""
    is_text: bool = True
    """Whether all texts are Unicode, without lone surrogates."""
    item: Profile | None = None
    """The elements of lists."""
    fields: dict[str, Profile] = field(default_factory=dict)
    """The values of dicts, by key."""
    is_uniform: bool = True
    """Whether all dicts have the same keys, and few enough."""
    is_whole: bool = False
    """Whether there are objects that stay JSON, or levels that nobody looked at."""

    are_times: bool = True
    """Whether all values can be times; looked at only where they are declared to be."""
    has_nanos: bool = False
    """Whether there are times in whole nanoseconds that microseconds do not hold."""
    fits_nanos: bool = True
    """Whether all times are in the years that 64 bits of nanoseconds hold."""

    @property
    def present(self) -> set[str]:
        """The kinds without null."""
        return self.kinds - {"null"}

    @property
    def has_media(self) -> bool:
        """Whether there are media, at any depth that was looked at."""
        return (
            any(kind.startswith("media:") for kind in self.kinds)
            or (self.item is not None and self.item.has_media)
            or any(inner.has_media for inner in self.fields.values())
        )

    @property
    def has_surrogates(self) -> bool:
        """Whether there are lone surrogates in texts, at any depth that was looked at."""
        inner = (*self.fields.values(), *(() if self.item is None else (self.item,)))
        return not self.is_text or any(one.has_surrogates for one in inner)

    def observe(self, values: Sequence[Any], depth: int = 0) -> None:
        """Look at more values."""
        classes = set(map(type, values))
        names = {_NAMES[one] for one in classes}
        self.kinds |= names - {"dict"}
        if self.declared.is_time and self.are_times:
            self._observe_times(values)
        if "int" in names:
            integers = values if len(names) == 1 else [value for value in values if type(value) is int]
            self.low, self.high = (
                min(self.low, *integers) if len(integers) > 1 else min(self.low, integers[0]),
                max(self.high, max(integers)),
            )
        if "str" in names and self.is_text:
            self.is_text = _is_text(values if len(names) == 1 else [value for value in values if type(value) is str])
        if "list" in names:
            self._observe_lists([value for value in values if type(value) is list], depth)
        if "dict" in names:
            self._observe_dicts([value for value in values if type(value) is dict], depth)

    def _observe_times(self, values: Sequence[Any]) -> None:
        if are_milliseconds(values):
            return
        try:
            for value in values:
                if value is not None:
                    exact = nanoseconds(value)
                    self.has_nanos |= type(value) is int and exact % 1000 != 0
                    self.fits_nanos &= -(2**63) <= round(exact) < 2**63
        except ValueError:
            self.are_times = False

    def _observe_lists(self, lists: Sequence[list[Any]], depth: int) -> None:
        if depth >= MAX_LEVELS:
            self.is_whole = True
            return
        if self.item is None:
            self.item = Profile(self.declared.item or Declared())
        self.item.observe(list(chain.from_iterable(lists)), depth + 1)

    def _observe_dicts(self, dicts: Sequence[dict[str, Any]], depth: int) -> None:
        others = []
        for value in dicts:
            kind = media_kind(value)
            if kind is not None:
                self.kinds.add(f"media:{kind}")
            else:
                others.append(value)
        if not others:
            return
        self.kinds.add("dict")
        if depth >= MAX_LEVELS or any(
            value.get("_type") in _WHOLE for value in others if isinstance(value.get("_type"), str)
        ):
            self.is_whole = True
        if not self.is_uniform or self.is_whole:
            return
        keys = self.fields.keys() if self.fields else others[0].keys()
        if not keys or len(keys) > MAX_KEYS or any(value.keys() != keys for value in others):
            self.is_uniform = False
            return
        for key in list(keys):
            if key not in self.fields:
                self.fields[key] = Profile(self.declared.fields.get(key, Declared()))
            self.fields[key].observe([value[key] for value in others], depth + 1)


def _is_text(texts: Sequence[str]) -> bool:
    joined = "".join(texts)
    if joined.isascii():
        return True
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return True

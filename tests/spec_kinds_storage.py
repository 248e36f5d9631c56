"""How the fenced cases of spec/layout.md and spec/versions.md are run."""

from __future__ import annotations

from collections.abc import Callable

from tableformat.storage.aliases import AliasMove
from tableformat.storage.collect.documents import Plan
from tableformat.storage.interface import check_path
from tableformat.storage.marker import Marker
from tableformat.storage.names import check_entry_name, decode_name, encode_name, parse_address
from tableformat.storage.versionfile import decode_slot


def _name(text: bytes) -> str:
    name = text.decode().removesuffix("\n")
    segment = encode_name(name)
    assert decode_name(segment) == name
    return segment


CASE_KINDS: dict[str, Callable[[bytes], object]] = {
    "marker": Marker.from_bytes,
    "version": lambda data: decode_slot(data, "case"),
    "plan": lambda data: Plan.decode(data, "case"),
    "alias": lambda data: AliasMove.from_bytes(data, "case"),
    "name": _name,
    "folder": lambda text: decode_name(text.decode().removesuffix("\n")),
    "entry": lambda text: check_entry_name(text.decode().removesuffix("\n")),
    "address": lambda text: parse_address(text.decode().removesuffix("\n")),
    "path": lambda text: check_path(text.decode().removesuffix("\n")),
}
"""Kind of case → what reads its text; it returns a value or raises an error whose `kind` is the `result` of the case."""

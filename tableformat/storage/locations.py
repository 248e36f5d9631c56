"""Where blobs lie: the two sorts of files under `data/` that hold them, and the relative uris that name those files.

A uri of owned bytes has exactly two forms. Nothing else is ever joined to a path, so a hostile cell, index or moved/
file cannot lead a reader anywhere but into `data/packs/` and `data/blobs/` of its own store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tableformat.errors import CorruptError, message

__all__ = ["DATA", "MIB", "Location", "blob_uri", "check_uri", "is_owned_uri", "pack_uri", "stem_of"]

DATA: Final = "data/"
"""What a relative uri is appended to."""
MIB: Final = 1 << 20

_OWNED = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{62})\.zip|blobs/([0-9a-f]{2})/(\3[0-9a-f]{62})")


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes of one blob lie."""

    uri: str
    """`packs/ab/<sha256>.zip` or `blobs/ab/<sha256>`, relative to `data/`."""
    offset: int
    """First byte in that file."""
    size: int
    """How many bytes."""


def pack_uri(stem: str) -> str:
    """The relative uri of the pack whose file has the SHA-256 `stem` (64 hex digits)."""
    return f"packs/{stem[:2]}/{stem}.zip"


def blob_uri(stem: str) -> str:
    """The relative uri of a large blob with the SHA-256 `stem` (64 hex digits)."""
    return f"blobs/{stem[:2]}/{stem}"


def is_owned_uri(uri: str) -> bool:
    """Whether `uri` names a pack or a large blob of a store."""
    return _OWNED.fullmatch(uri) is not None


def stem_of(uri: str) -> str:
    """The SHA-256 (hex) in an owned `uri`; raises `CorruptError` for anything that is not one."""
    found = _OWNED.fullmatch(uri)
    if found is None:
        raise CorruptError(
            message("locating a blob", expected="packs/<2 hex>/<sha256>.zip or blobs/<2 hex>/<sha256>", got=repr(uri)[:120])
        )  # fmt: skip
    return str(found[2] or found[4])


def check_uri(uri: str) -> str:
    """`uri` itself where it names a pack or a large blob of a store; raises `CorruptError` where not."""
    stem_of(uri)
    return uri

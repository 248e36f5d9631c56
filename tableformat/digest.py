"""Content names: SHA-256 of bytes, as text, of a whole or of a stream while it passes.

Identity is SHA-256 everywhere: XXH3 collisions can be made at will, so XXH3 decides nothing that an adversary could
gain from (spec/README.md, "Digests").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from tableformat.errors import FormatError, message

__all__ = ["PREFIX", "Bytes", "check_digest", "digest_of", "hex_of", "is_digest", "is_hex", "tree_digest"]

Bytes = bytes | bytearray | memoryview
"""What is taken wherever bytes are read and not kept."""

PREFIX: Final = "sha256:"
"""Stands before the 64 lower-case hex digits of a digest in documents and in names of versions."""

_HEX = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(f"{PREFIX}[0-9a-f]{{64}}")


def hex_of(data: Bytes) -> str:
    """The SHA-256 of `data` as 64 lower-case hex digits: the stem of a file name."""
    return hashlib.sha256(data).hexdigest()


def digest_of(data: Bytes) -> str:
    """The SHA-256 of `data` as `sha256:<hex>`: the form in documents."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def tree_digest(label: str, parts: Sequence[str]) -> str:
    """A digest over digests: the SHA-256 of `label`, a newline, and each of `parts` followed by a newline."""
    return digest_of("".join([label, "\n", *(part + "\n" for part in parts)]).encode("utf-8"))


def is_hex(text: object) -> bool:
    """Whether `text` is 64 lower-case hex digits."""
    return isinstance(text, str) and _HEX.fullmatch(text) is not None


def is_digest(text: object) -> bool:
    """Whether `text` has the form `sha256:<64 lower-case hex digits>`."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def check_digest(text: object, doing: str) -> str:
    """`text` itself, where it is a digest; raises `FormatError` naming `doing` where it is not."""
    if not isinstance(text, str) or not is_digest(text):
        raise FormatError(message(doing, expected="sha256: and 64 lower-case hex digits", got=repr(text)[:100]))
    return text

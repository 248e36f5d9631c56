"""The objects of a store by path: of which kind each is, and which a collection may delete at all.

A path that is of no kind here belongs to somebody else, or to a later version of the format, and is never touched.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from tableformat.storage.interface import TEMPORARY_PREFIX
from tableformat.storage.large import sums_path
from tableformat.storage.locations import DATA
from tableformat.storage.moved import moved_path

__all__ = ["FOLDERS", "KINDS", "Kind", "kind_of", "paths_of_uri", "uri_of"]

Kind = Literal["roots", "leaves", "parts", "packs", "blobs", "sums", "moved", "index", "sessions", "temporary"]
"""What an object is to a collection."""
KINDS: Final[tuple[Kind, ...]] = (
    "roots", "leaves", "parts", "packs", "blobs", "sums", "moved", "index", "sessions", "temporary",
)  # fmt: skip
"""All kinds, in the order in which reports tell them."""
FOLDERS: Final = ("manifests", "data", "moved", "index", "sessions", "artifacts", "gc")
"""The folders of a store that are listed; others are somebody else's."""

_HEX: Final = "[0-9a-f]{64}"
_PATTERNS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("roots", re.compile(rf"manifests/{_HEX}\.json")),
    ("leaves", re.compile(rf"manifests/{_HEX}\.parquet")),
    ("parts", re.compile(rf"data/{_HEX}\.parquet")),
    ("packs", re.compile(r"data/packs/([0-9a-f]{2})/\1[0-9a-f]{62}\.zip")),
    ("blobs", re.compile(r"data/blobs/([0-9a-f]{2})/\1[0-9a-f]{62}")),
    ("sums", re.compile(r"data/blobs/([0-9a-f]{2})/\1[0-9a-f]{62}\.sums")),
    ("moved", re.compile(rf"moved/{_HEX}\.parquet")),
    ("index", re.compile(rf"index/leaves/{_HEX}\.parquet")),
    ("sessions", re.compile(r"sessions/[a-z0-9!][^/]{0,254}/.+")),
)


def kind_of(path: str) -> Kind | None:
    """The kind of the object at `path`; None for what a collection leaves alone: version files, aliases, hints, documents of
    the index, and everything that the format does not name."""
    folder, _, name = path.rpartition("/")
    if name.startswith(TEMPORARY_PREFIX):
        return "temporary" if path.split("/", 1)[0] in FOLDERS and folder else None
    return next((kind for kind, pattern in _PATTERNS if pattern.fullmatch(path)), None)


def uri_of(path: str) -> str | None:
    """The relative uri of a pack or large blob at `path`; None for other objects."""
    return path.removeprefix(DATA) if kind_of(path) in ("packs", "blobs") else None


def paths_of_uri(uri: str) -> list[str]:
    """What a pack or large blob consists of: its file, its sums, and the moved/ file that stands in for it."""
    own = [DATA + uri, moved_path(uri)]
    return own if uri.startswith("packs/") else [*own, sums_path(uri)]

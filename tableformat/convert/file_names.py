"""Names of files that an export writes: made from names in a table, which are not trusted, and never leading elsewhere."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final

from tableformat.errors import ExistsError, message

__all__ = ["create_file", "safe_path"]

_MAX_SEGMENT: Final = 120
_MAX_SEGMENTS: Final = 16
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³")}
)
_REFUSED: Final = re.compile(r'[<>:"|?*\\]')


def safe_path(name: str) -> str:
    """`name` as a relative path with `/` that any file system takes and that stays where it is put.

    Segments `..`, `.` and empty ones are dropped, and so is a drive or root before them; characters that some system
    refuses become `_`, and so do those that are not printable. May be empty.
    """
    segments = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    kept = [safe for segment in segments if (safe := _safe_segment(segment))]
    return "/".join(kept[-_MAX_SEGMENTS:])


def _safe_segment(segment: str) -> str:
    plain = _REFUSED.sub("_", "".join(char if char.isprintable() else "_" for char in segment)).strip(" ").rstrip(". ")
    if plain in ("", ".", ".."):
        return ""
    stem, dot, ext = plain.partition(".")
    if stem.lower().rstrip() in _DEVICES:
        plain = f"{stem}_{dot}{ext}"
    if len(plain.encode()) > _MAX_SEGMENT:
        stem, dot, ext = plain.rpartition(".")
        ext = dot + ext if 0 < len(ext) <= 16 else ""
        plain = plain.encode()[: _MAX_SEGMENT - len(ext.encode())].decode(errors="ignore") + ext
    return plain


def create_file(root: str, folder: str, name: str, row: int) -> str:
    """Make an empty file in `folder` below `root`, which only this export writes to, and return its path below `root`.

    It is called `name`, or where that is taken (also by a name that differs in case alone, or as a folder), `row` and the
    last segment of `name`.
    """
    last = name.rpartition("/")[2] or "unnamed"
    candidates = [name] if name else []
    candidates += [f"{row}-{last}", *(f"{row}-{attempt}-{last}" for attempt in range(2, 1000))]
    for candidate in candidates:
        path = f"{folder}/{candidate}"
        full = os.path.join(root, *path.split("/"))
        try:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "xb"):
                return path
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    raise ExistsError(
        message("exporting a table", path=f"{root}/{folder}/{name}", expected="a free name", got="none of a thousand")
    )

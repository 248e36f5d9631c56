"""Names of old as names of the format: of columns, entries and artifacts. What is changed stands in metadata as it was."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ["artifact_name", "column_names", "entry_name_of", "unique_name"]

SUFFIXES: Final = (
    "joined-table", "partitioned-table", "table", "image-file", "audio-file", "video-file", "html-file", "object3D-file",
    "molecule-file", "plotly-file", "bokeh-file", "classes",
)  # fmt: skip
_MAX_BYTES: Final = 900
_ROLES: Final = ("boxes", "masks", "caption", "classes", "path", "more")


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def unique_name(name: str, taken: set[str]) -> str:
    """`name`, or `name_2`, `name_3` … where one that differs by case alone is `taken`; adds it."""
    chosen, number = name, 1
    while _fold(chosen) in taken:
        number += 1
        chosen = f"{name}_{number}"
    taken.add(_fold(chosen))
    return chosen


def column_names(originals: Sequence[Any], media: Sequence[bool]) -> list[str]:
    """A name for each column; columns of media keep names free for what is said about them beside."""
    taken: set[str] = set()
    names: list[str | None] = [None] * len(originals)
    for index in sorted(range(len(originals)), key=lambda index: not media[index]):
        plain = _plain(originals[index], f"column_{index}")
        if media[index]:
            number, chosen = 1, plain
            while any(_fold(one) in taken for one in (chosen, *(f"{chosen}_{role}" for role in _ROLES))):
                number += 1
                chosen = f"{plain}_{number}"
            taken |= {_fold(chosen), *(_fold(f"{chosen}_{role}") for role in _ROLES)}
            names[index] = chosen
        else:
            names[index] = unique_name(plain, taken)
    return [name or "" for name in names]


def _plain(original: Any, otherwise: str) -> str:
    text = original if isinstance(original, str) else json.dumps(original, default=str)
    text = unicodedata.normalize("NFC", text)
    text = "".join("_" if unicodedata.category(char) in ("Cc", "Cs") else char for char in text)
    return _cut(text) or otherwise


def _cut(text: str) -> str:
    return text.encode()[:_MAX_BYTES].decode(errors="ignore")


def entry_name_of(path: str, taken: set[str], *, strip: bool = True) -> str:
    """The name of the entry for the file at `path`: without the suffix of its kind, and free among `taken`; adds it."""
    name = path
    if strip:
        for kind in SUFFIXES:
            if path.endswith(f".{kind}.json") and path != f".{kind}.json" and not path.endswith(f"/.{kind}.json"):
                name = path[: -len(f".{kind}.json")]
                break
    safe = _safe_path(name)
    if _fold(safe) in taken:
        safe = _safe_path(path)
    return unique_name(safe, taken)


def _safe_path(path: str) -> str:
    text = unicodedata.normalize("NFC", path)
    text = "".join("_" if unicodedata.category(char) in ("Cc", "Cs") or char == "\\" else char for char in text)
    segments = [segment if segment not in (".", "..") else "_" for segment in text.split("/") if segment]
    return _cut("/".join(segments)) or "unnamed"


def artifact_name(name: str, taken: Iterable[str] = ()) -> str:
    """A name of the format for an artifact of old: theirs may begin with a dot or an underscore, or be `latest`."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:120].rstrip(".")
    stem = safe.partition(".")[0].lower()
    if (
        not re.match(r"[A-Za-z0-9]", safe)
        or safe == "latest"
        or re.fullmatch(r"v\d+", safe)
        or re.fullmatch(r"con|prn|aux|nul|(com|lpt)\d", stem)
    ):
        safe = f"a-{safe}"
    return unique_name(safe, {_fold(one) for one in taken})

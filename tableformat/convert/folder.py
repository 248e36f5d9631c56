"""A walk through a folder: which files lie there, in one order, and what kinds they are of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tableformat.convert.file_kinds import is_hidden, media_kind_of, row_format_of
from tableformat.errors import InvalidInputError, LimitError, NotFoundError, message

__all__ = ["Survey", "class_of", "iter_files", "survey"]

_MAX_DEPTH: Final = 32
_MAX_CLASSES: Final = 100_000
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in a folder, by the names of its files. Holds no list of them."""

    root: str
    """The folder."""
    media: Counter[str] = field(default_factory=Counter)
    """Files by kind of media."""
    rows: Counter[str] = field(default_factory=Counter)
    """Files by format of rows."""
    files: int = 0
    """All of them."""
    classes: dict[str, set[str]] = field(default_factory=dict)
    """By kind of media, and `file` for all files, the folders right below that hold some."""
    unknown: tuple[str, ...] = ()
    """The first of those that are neither media nor rows."""


def survey(root: str) -> Survey:
    """Look through `root` without opening a file. Raises `LimitError` for more class folders or levels than are reasonable."""
    media: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    classes: dict[str, set[str]] = {}
    unknown: list[str] = []
    count = 0
    for path in iter_files(root):
        count += 1
        kind, row_format = media_kind_of(path), row_format_of(path)
        if kind is not None:
            media[kind] += 1
        elif row_format is not None:
            rows[row_format] += 1
        elif len(unknown) < _NAMED:
            unknown.append(path)
        label = class_of(path)
        for one in ("file", kind) if label is not None else ():
            if one is not None and label is not None:
                found = classes.setdefault(one, set())
                found.add(label)
                if len(found) > _MAX_CLASSES:
                    raise LimitError(
                        message(
                            "importing a folder",
                            path=root,
                            expected=f"at most {_MAX_CLASSES:,} folders in it",
                            got="more",
                        )
                    )
    return Survey(root, media, rows, count, classes, tuple(unknown))


def class_of(path: str) -> str | None:
    """The folder right below the root in which the file at `path` lies; None for the root itself."""
    first, slash, _ = path.partition("/")
    return first if slash else None


def iter_files(root: str) -> Iterator[str]:
    """The files below `root`, as relative paths with `/`, folder by folder in order of name. Holds one listing for each level.

    Leaves out what is hidden and links to folders. Raises `NotFoundError` for a folder that cannot be listed, and
    `InvalidInputError` for a name that is not plain text.
    """
    yield from _iter_folder(root, "", 0)


def _iter_folder(folder: str, prefix: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise LimitError(
            message("importing a folder", path=folder, expected=f"at most {_MAX_DEPTH} levels of folders", got="more")
        )
    try:
        with os.scandir(folder) as listing:
            entries = sorted((entry for entry in listing if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise NotFoundError(
            message(
                "importing a folder",
                path=folder,
                expected="a folder that can be listed",
                got=error.strerror or str(error),
            )
        ) from error
    for entry in entries:
        if not entry.name.isprintable():  # control characters, and bytes that are not UTF-8
            raise InvalidInputError(
                message(
                    "importing a folder",
                    path=ascii(entry.path),
                    expected="names of printable characters in UTF-8",
                    got=ascii(entry.name),
                    todo="rename it",
                )
            )
        if entry.is_dir(follow_symlinks=False):
            yield from _iter_folder(entry.path, f"{prefix}{entry.name}/", depth + 1)
        elif entry.is_file():
            yield prefix + entry.name

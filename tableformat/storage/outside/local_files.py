"""Files of this machine that references point at: opened by their real path, so that no symbolic link leads elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Literal

from tableformat.errors import AccessRefusedError, InvalidInputError, NotFoundError, Problem, message
from tableformat.format.reference import Known, file_path, shown, suggested_prefix
from tableformat.format.reference_leaf import Listed
from tableformat.storage.faults import fault

__all__ = ["Links", "check_contained", "known_of_file", "list_files", "open_file"]

_SHOWN = 20
Links = Literal["inside", "follow", "skip"]
"""What becomes of symbolic links in a folder that is added."""


def check_contained(url: str, prefixes: Sequence[str], doing: str) -> str:
    """The real path of a `file:` URL, which lies below the real path of one of `prefixes` (URLs too; a whole scheme covers all).

    Raises `AccessRefusedError` where a link leads out of them, `NotFoundError` where nothing is.
    """
    path = file_path(url)
    assert path is not None
    try:
        real = os.path.realpath(path, strict=True)
    except (OSError, ValueError) as error:
        raise NotFoundError(message(doing, path=shown(url), expected="a file", got="none")) from error
    for prefix in prefixes:
        stem = file_path(prefix if prefix.rstrip("/").partition("://")[2] else f"{prefix.rstrip(':/')}:///")
        if stem is None:
            continue
        home = os.path.realpath(stem)
        if real == home or real.startswith(home.rstrip(os.sep) + os.sep):
            return real
    raise AccessRefusedError(
        message(doing, path=shown(url), expected="a file below what was allowed", got=f"a link that leads to {real[:300]}",
                todo=f"if you trust it, open with allow=['file://{suggested_prefix('file://' + real).removeprefix('file://')}']")
    )  # fmt: skip


def open_file(real: str, doing: str) -> BinaryIO:
    """A regular file at its real path. Raises `NotFoundError` for folders, pipes and devices."""
    try:
        number = os.open(
            real,
            os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0),
        )
    except OSError as error:
        raise fault(error, doing, real[:300]) from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise NotFoundError(message(doing, path=real[:300], expected="a file", got="a folder, a pipe or a device"))
    return os.fdopen(number, "rb")


def known_of_file(found: os.stat_result) -> Known:
    """What the file system tells of a file."""
    return Known(found.st_size, modified=found.st_mtime_ns // 1000)


def list_files(root: str, after: str | None = None, links: Links = "inside") -> Iterator[Listed]:
    """The regular files below the folder `root`, sorted by path; holds one folder of each level.

    Links to files and folders count as what they lead to, with `inside` where that lies below `root`, with `follow` anywhere;
    `skip` passes them over. Raises `InvalidInputError`, which names all it met, for other links, for those that lead nowhere or
    in circles, for pipes and devices, and for names that no URL holds: at the end of the listing.
    """
    problems: list[Problem] = []
    home = os.path.realpath(root)
    yield from _Walk(home, links, after, problems).files(home, "", (home,))
    if problems:
        listed = "; ".join(map(str, problems[:_SHOWN]))
        raise InvalidInputError(
            message("listing a folder", path=root, expected="files that can be named and lie below it", got=listed,
                    todo="remove or rename them"), problems,
        )  # fmt: skip


class _Walk:
    """One listing."""

    def __init__(self, home: str, links: Links, after: str | None, problems: list[Problem]) -> None:
        self._home, self._links, self._after, self._problems = home, links, after, problems

    def files(self, folder: str, path: str, above: tuple[str, ...]) -> Iterator[Listed]:
        """The files of `folder`, whose path is `path`; `above` are the real paths of it and of those around it."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(((one.name + "/" if one.is_dir() else one.name), one) for one in found)
        except OSError as error:
            raise fault(error, "listing a folder", folder) from error
        for name, entry in entries:
            place, is_folder = path + name, name.endswith("/")
            if self._after is not None and place <= self._after and not (is_folder and self._after.startswith(place)):
                continue
            if entry.is_symlink() and self._links == "skip":
                continue
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if (problem := self._problem(name, entry, real, above)) is not None:
                self._problems.append(Problem(ascii(place)[:200], problem))
            elif is_folder:
                yield from self.files(entry.path, place, (*above, real))
            else:
                yield Listed(place, known_of_file(entry.stat()))

    def _problem(self, name: str, entry: os.DirEntry[str], real: str, above: tuple[str, ...]) -> str | None:
        if not _is_namable(name.rstrip("/")):
            return "a name that no URL holds"
        if entry.is_symlink():
            if not os.path.exists(real):
                return "a link that leads nowhere"
            if self._links == "inside" and not (real + os.sep).startswith(self._home.rstrip(os.sep) + os.sep):
                return f"a link that leads out, to {ascii(real)[:200]}"
            if real in above:
                return "a link that leads in a circle"
        if not name.endswith("/") and not stat.S_ISREG(entry.stat().st_mode):
            return "a pipe, socket or device"
        return None


def _is_namable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return name.isprintable() and "\\" not in name

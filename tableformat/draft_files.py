"""Files that a draft copies in: one, or all of a folder or bucket. Streamed, stored once by content, each an entry of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, BinaryIO, Final

import numpy as np

from tableformat.context import StoreContext
from tableformat.errors import IllegalNameError, InvalidInputError, Problem, message
from tableformat.format.media.formats import format_of_name
from tableformat.format.media.links import is_url
from tableformat.format.reference import LOCAL, file_path, moved_url, scheme_of, shown
from tableformat.format.reference_leaf import Listed
from tableformat.progress import Meter, Progress
from tableformat.staging import Staging
from tableformat.storage.blobs import Placed
from tableformat.storage.names import entry_name, folded
from tableformat.storage.outside.local_files import Links, list_files, open_file
from tableformat.storage.outside.reader import Wanted

__all__ = ["add_dir", "add_file", "last_segment"]

Claim = Callable[..., AbstractContextManager[str]]
"""Claims the name of an entry, as `Draft._claimed`."""
_BATCH_BYTES: Final = 8 << 20
_BATCH_FILES: Final = 1024
_STREAM_BYTES: Final = 8 << 20  # above this many a file is not held
_SHOWN: Final = 20


def last_segment(url: str) -> str:
    """The last part of a path or URL, by which a thing is called that got no name."""
    bare = url.split("?", 1)[0].split("#", 1)[0] if is_url(url) else url
    return bare.rstrip("/" if is_url(url) else "/" + os.sep).replace(os.sep, "/").rpartition("/")[2]


def add_file(
    staging: Staging, context: StoreContext, claim: Claim, url: str, name: str | None, *, replace: bool
) -> str:
    """Copy one file in. Returns the name of its entry. Holds 10 MiB of it (where the store is remote, all of it)."""
    with claim(name if name is not None else last_segment(url), replace=replace) as free, _opened(context, url) as file:
        _stage(staging, free, staging.blobs().put_stream(file, _type_of(free)[1]))
    return free


def add_dir(
    staging: Staging,
    context: StoreContext,
    claim: Claim,
    url: str,
    name: str,
    *,
    links: Links,
    replace: bool,
    progress: Progress,
) -> list[str]:
    """Copy all files below a folder or prefix in, as `name/path` each (`name` empty: `path`). Returns the names, sorted.

    Names are looked at before anything is stored: what cannot be a name, or collides, is told together. Holds the names, and
    8 MiB of files.
    """
    if links not in ("inside", "follow", "skip"):
        raise InvalidInputError(
            message("adding a folder", expected="links 'inside', 'follow' or 'skip'", got=repr(links))
        )
    source = _Folder(context, url, links)
    named = _names(source.listed(), name, source.shown)
    with Meter(f"adding {last_segment(url)}", sum(one.known.size or 0 for _, one in named), "bytes", progress) as meter:
        pending = iter(named)
        while batch := list(_batch(pending)):
            _put(staging, claim, source, batch, replace)
            meter.step(sum(one.known.size or 0 for _, one in batch))
    return [free for free, _ in named]


class _Folder:
    """A folder of this machine, or what lies below a URL."""

    def __init__(self, context: StoreContext, url: str, links: Links) -> None:
        self._outside, self._links = context.outside, links
        self.shown = shown(url)
        self._path = file_path(url) if scheme_of(url) in LOCAL else None if is_url(url) else url
        self._url = url.rstrip("/") + "/"
        if self._path is None:
            self._outside.grant(self._url, below=True)
        elif not os.path.isdir(self._path):
            raise InvalidInputError(
                message("adding a folder", path=self.shown, expected="a folder", got="a file" if os.path.exists(self._path) else "nothing there")
            )  # fmt: skip

    def listed(self) -> Iterator[Listed]:
        return self._outside.list(self._url) if self._path is None else list_files(self._path, links=self._links)

    def open(self, path: str) -> BinaryIO:
        if self._path is None:
            return self._outside.open(self._url + path)
        return open_file(os.path.realpath(os.path.join(self._path, path)), "adding a folder")

    def read_many(self, listed: list[Listed]) -> list[bytes]:
        """Whole small files; each as long as it was listed, or `ReferenceChangedError`."""
        if self._path is None:
            return self._outside.read_many([Wanted(self._url + one.path, None, one.known.size) for one in listed])
        datas = []
        for one in listed:
            with self.open(one.path) as file:
                datas.append(file.read())
        return datas


def _names(listed: Iterable[Listed], name: str, place: str) -> list[tuple[str, Listed]]:
    """Each object with the name of its entry; raises `InvalidInputError` that lists all that cannot be named."""
    named: list[tuple[str, Listed]] = []
    taken: dict[str, str] = {}
    problems: list[Problem] = []
    stem = f"{name.strip('/')}/" if name.strip("/") else ""
    for one in listed:
        try:
            free = entry_name(stem + one.path)
        except IllegalNameError as error:
            problems.append(Problem(ascii(one.path)[:200], str(error).rpartition(": ")[2]))
            continue
        other = taken.setdefault(folded(free), one.path)
        if other != one.path:
            problems.append(Problem(ascii(one.path)[:200], f"differs from {other!r} by case or Unicode form alone"))
            continue
        named.append((free, one))
    if problems:
        raise InvalidInputError(
            message("adding a folder", path=place, expected="files whose names can be entries", got="; ".join(map(str, problems[:_SHOWN])),
                    todo="rename them, or add them one by one with add_file(…, name)"), problems,
        )  # fmt: skip
    return named


def _batch(pending: Iterator[tuple[str, Listed]]) -> Iterator[tuple[str, Listed]]:
    size = 0
    for one in islice(pending, _BATCH_FILES):
        yield one
        size += one[1].known.size or _STREAM_BYTES
        if size >= _BATCH_BYTES:
            return


def _put(staging: Staging, claim: Claim, source: _Folder, batch: list[tuple[str, Listed]], replace: bool) -> None:
    small = [(free, one) for free, one in batch if one.known.size is not None and one.known.size <= _STREAM_BYTES]
    with contextlib.ExitStack() as claims:
        for free, _ in batch:
            claims.enter_context(claim(free, replace=replace))
        datas = source.read_many([one for _, one in small])
        placed = staging.blobs().put_many(datas, [_type_of(free)[1] for free, _ in small]) if small else None
        for index, (free, _) in enumerate(small):
            assert placed is not None
            _stage(staging, free, _one_of(placed, index))
        for free, one in batch:
            if one.known.size is None or one.known.size > _STREAM_BYTES:
                with source.open(one.path) as file:
                    _stage(staging, free, staging.blobs().put_stream(file, _type_of(free)[1]))


def _one_of(placed: Placed, index: int) -> Placed:
    some = slice(index, index + 1)
    return Placed(placed.digests[some], placed.slot[some], placed.offset[some], np.asarray(placed.size)[some])


def _stage(staging: Staging, name: str, placed: Placed) -> None:
    staging.put_file(name, placed, _type_of(name)[0], last_segment(name))


def _type_of(name: str) -> tuple[str, str]:
    """Content type and extension by name."""
    _, content_type, ext = format_of_name("file", name)
    return content_type or "application/octet-stream", ext


def _opened(context: StoreContext, url: str) -> Any:
    """The file that a caller named, by path or by any URL of fsspec."""
    path = file_path(url) if scheme_of(url) in LOCAL else None if is_url(url) else url
    if path is None:
        return context.open_url(moved_url(url, context.moves))
    if os.path.isdir(path):
        raise InvalidInputError(
            message("adding a file", path=path, expected="a file", got="a folder", todo="use add_dir()")
        )
    return open_file(os.path.realpath(os.path.expanduser(path)), "adding a file")

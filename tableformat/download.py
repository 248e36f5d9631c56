"""Downloading a version into a folder: files, media and references as files, tables as one Parquet file each.

Every file is written beside its name and moved there when it is whole and its digest is right, so what has its name is complete:
a second call goes on where the first ended. Nothing is written outside of the folder, whatever names say.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.digest import PREFIX
from tableformat.errors import (
    AccessRefusedError,
    CorruptError,
    ExistsError,
    IllegalNameError,
    InvalidInputError,
    ReferenceChangedError,
    message,
)
from tableformat.format.media import Classes, Media
from tableformat.format.media.formats import EXTENSIONS
from tableformat.format.reference import Known, known_of_cell
from tableformat.progress import Meter, Progress
from tableformat.table.download_rows import iter_download
from tableformat.table.joined import JoinedTable
from tableformat.table.references import References
from tableformat.table.table import Table

__all__ = ["Downloaded", "download"]

_PARTIAL: Final = ".tableformat-part"
_BLOCK: Final = 1 << 20
_CONTENT: Final = b"tableformat.download"
_DOING: Final = "downloading a version"
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\]|\A/|(?:\A|/)\.{0,2}(?=/|\Z)")


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download did."""

    files: int
    """Files that were written."""
    bytes: int
    """Bytes of them."""
    present: int
    """Files that were there, whole and right, and were left alone."""


class _Source(NamedTuple):
    """One file to write."""

    path: str
    """Relative to the folder."""
    media: Media | None
    data: bytes | None
    known: Known


def download(
    entries: Mapping[str, Any], folder: str, *, references: bool = True, progress: Progress = True, doing: str = _DOING
) -> Downloaded:
    """Write all `entries` of a version below `folder`, which is made where it is not there.

    Files and media under their names (media with the extension of their format), class sets as `<name>.json`, tables as
    `<name>.parquet` with the bytes of media in their cells, references as the objects they point at; with `references=False`
    none of these is fetched, and cells keep their URLs. Joined tables are left out: their sides are there. Holds a block of a
    file, or a batch of rows with at most 64 MiB of media.

    Raises `AccessRefusedError` for references that are not allowed and for names that lead out of the folder,
    `ReferenceChangedError`, `CorruptError`; what was written stays, and is not written again by the next call.
    """
    writer = _Writer(folder, doing)
    with Meter(doing, None, "bytes", progress) as meter:
        tables: list[tuple[str, Table]] = []
        taken: dict[str, str] = {}
        for name in entries:
            writer.check(name)
            found = entries[name]
            if isinstance(found, JoinedTable):
                continue
            if isinstance(found, Table):
                _claim(taken, f"{name}.parquet", name)
                tables.append((name, found))
                continue
            for source in _sources(name, found, references):
                if not isinstance(found, References):
                    _claim(taken, source.path, name)
                writer.write(source)
                meter.at(writer.bytes)
        for name, table in tables:
            writer.write_table(f"{name}.parquet", table, references)
            meter.at(writer.bytes)
    return Downloaded(writer.files, writer.bytes, writer.present)


def _claim(taken: dict[str, str], path: str, name: str) -> None:
    other = taken.setdefault(path, name)
    if other != name:
        raise InvalidInputError(
            message(_DOING, path=path, expected="a file name for each entry", got=f"one for {other!r} and {name!r}")
        )


def _sources(name: str, found: Any, references: bool) -> Iterator[_Source]:
    if isinstance(found, References):
        if references:
            for path, file in found.items():
                yield _Source(f"{name}/{path}", file, None, found_known(file))
    elif isinstance(found, Classes):
        data = found.encode()
        yield _Source(f"{name}.json", None, data, Known(len(data), digest=PREFIX + hashlib.sha256(data).hexdigest()))
    elif isinstance(found, Media) and (references or found.reference is None):
        ext = EXTENSIONS.get(found.fields.get("format") or "", "bin")
        path = name if found.kind == "file" or name.endswith(f".{ext}") else f"{name}.{ext}"
        yield _Source(path, found, None, found_known(found))


def found_known(media: Media) -> Known:
    """What is known of the bytes of media: the digest of what is owned, and what a reference says."""
    cell = media.cell
    if cell is None:
        return Known()
    if cell.is_reference:
        known = known_of_cell(cell.checksum, cell.version_id, cell.size, cell.offset)
        return known if cell.offset is None else Known(cell.size, digest=cell.media_digest)
    return Known(cell.media_size, digest=cell.media_digest)


class _Writer:
    """Writes files below one folder."""

    def __init__(self, folder: str, doing: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self._root = os.path.realpath(folder)
        self._doing = doing
        self.files = self.bytes = self.present = 0

    def write(self, source: _Source) -> None:
        """Bring one file in; nothing is done where it is there already."""
        target = self._target(source.path)
        if _is_same(target, source.known):
            self.present += 1
            return
        partial = target + _PARTIAL
        with self._opened(partial) as file:
            digest = self._fill(file, source)
            size = file.tell()
            file.truncate()
        known = source.known
        if (known.digest is not None and digest != known.digest) or (known.size is not None and size != known.size):
            os.unlink(partial)
            kind = (
                ReferenceChangedError
                if source.media is not None and source.media.reference is not None
                else CorruptError
            )
            raise kind(message(self._doing, path=source.path, expected=known.told(), got=f"{size} bytes, {digest}"))
        if known.modified is not None:
            os.utime(partial, ns=(known.modified * 1000, known.modified * 1000))
        os.replace(partial, target)
        self.files += 1

    def _fill(self, file: BinaryIO, source: _Source) -> str:
        """Write the bytes, behind those that an earlier call left; returns the digest of all."""
        state = hashlib.sha256()
        if source.data is not None or source.media is None:
            file.truncate(0)
            data = source.data or b""
            file.write(data)
            state.update(data)
            self.bytes += len(data)
            return PREFIX + state.hexdigest()
        with contextlib.closing(source.media.open()) as reading:
            # What is known by nothing but its size is begun again: two halves of two objects would look like one.
            if source.known.digest is not None or source.known.etag is not None or source.known.version is not None:
                while chunk := file.read(_BLOCK):
                    state.update(chunk)
            if file.tell():
                reading.seek(file.tell())
            while chunk := reading.read(_BLOCK):
                file.write(chunk)
                state.update(chunk)
                self.bytes += len(chunk)
        return PREFIX + state.hexdigest()

    def write_table(self, path: str, table: Table, references: bool) -> None:
        """Write a table as one file."""
        target = self._target(path)
        token = f"{table.content_digest} {'whole' if references else 'references left'}".encode()
        if _token(target) == token:
            self.present += 1
            return
        partial = target + _PARTIAL
        schema, batches = iter_download(table, references)
        schema = schema.with_metadata({**(schema.metadata or {}), _CONTENT: token})
        with self._opened(partial) as file:
            file.truncate(0)
            with pq.ParquetWriter(
                pa.PythonFile(file, "w"), schema, compression="zstd", write_page_checksum=True
            ) as writer:
                for batch in batches:
                    writer.write_batch(batch.replace_schema_metadata(schema.metadata))
            file.flush()
            self.bytes += os.fstat(file.fileno()).st_size
        os.replace(partial, target)
        self.files += 1

    def check(self, path: str) -> None:
        """Raise `AccessRefusedError` for a name that does not stay below the folder."""
        if _UNSAFE.search(path) is not None:
            raise AccessRefusedError(
                message(self._doing, path=ascii(path)[:200], expected="a name below the folder", got="one that leads elsewhere",
                        todo="nothing allows it: the names of this version are not to be trusted")
            )  # fmt: skip

    def _target(self, path: str) -> str:
        """Where a file goes; its folders are made. Raises `AccessRefusedError` for what would not lie below the root."""
        self.check(path)
        try:
            target = os.path.join(self._root, *path.split("/"))
            parent = os.path.dirname(target)
            os.makedirs(parent, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ExistsError(
                message(self._doing, path=path, expected="a folder", got="a file of that name")
            ) from error
        except (UnicodeEncodeError, ValueError) as error:
            raise IllegalNameError(message(self._doing, path=ascii(path)[:200], got=str(error))) from error
        real = os.path.realpath(parent)
        if real != self._root and not real.startswith(self._root.rstrip(os.sep) + os.sep):
            raise AccessRefusedError(
                message(
                    self._doing,
                    path=path,
                    expected="a folder below the target",
                    got=f"a link to {real}",
                    todo="remove the link",
                )
            )
        if os.path.isdir(target):
            raise ExistsError(message(self._doing, path=path, expected="no folder of that name", got="a folder"))
        return target

    def _opened(self, path: str) -> BinaryIO:
        """The partial file, read and written from its start; a link is not followed."""
        number = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        return os.fdopen(number, "r+b")


def _is_same(target: str, known: Known) -> bool:
    """Whether what is there is what would be written: by digest, or else by size and time of writing."""
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or (known.size is not None and found.st_size != known.size):
        return False
    if known.digest is not None:
        with open(target, "rb") as file:
            return PREFIX + hashlib.file_digest(file, "sha256").hexdigest() == known.digest
    return known.size is not None and known.modified is not None and found.st_mtime_ns // 1000 == known.modified


def _token(target: str) -> bytes | None:
    """What a downloaded table says it is; None for anything else."""
    if not os.path.isfile(target) or os.path.islink(target):
        return None
    try:
        found: bytes | None = (pq.read_schema(target).metadata or {}).get(_CONTENT)
    except (pa.ArrowException, OSError):
        return None
    return found

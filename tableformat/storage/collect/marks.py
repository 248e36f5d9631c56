"""The marks of a collection: everything that some version, or a session that may still commit, reaches.

Marking reads each root and leaf of the store once, no rows. What cannot be read stops it: a store that is damaged is
repaired first, since nobody can tell what the damaged part names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.errors import CorruptError, FormatError, IllegalNameError, LimitError, NotFoundError, message
from tableformat.format.documents import check_requires
from tableformat.format.pages import check_pages
from tableformat.storage.collect.path_set import PathSet
from tableformat.storage.collect.paths import paths_of_uri
from tableformat.storage.collect.reach import Reach
from tableformat.storage.index import leaf_path as index_leaf_path
from tableformat.storage.index import read_newest_index
from tableformat.storage.interface import Backend, ObjectInfo
from tableformat.storage.locations import blob_uri, pack_uri
from tableformat.storage.names import decode_name
from tableformat.storage.versions import VersionFile, Versions

__all__ = ["Marks", "artifact_names", "live_versions_of", "mark"]

_HEX = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MAX_SESSION_FILE: Final = 256 << 20
_ROWS_TOGETHER: Final = 4096


class Marks:
    """What is reached, as a `PathSet`, and what marking saw."""

    def __init__(self) -> None:
        self.reached = PathSet()
        self.versions = 0
        """Versions that were walked."""
        self.sessions = 0
        """Sessions that may still commit."""
        self.missing: list[str] = []
        """Roots that joined tables name and that are gone."""


def artifact_names(backend: Backend) -> Iterator[str]:
    """The names of all artifacts; folders that no name is encoded as are passed over."""
    for segment in backend.list_folders("artifacts"):
        try:
            yield decode_name(segment)
        except IllegalNameError:
            continue


def live_versions_of(backend: Backend, name: str) -> Iterator[VersionFile]:
    """The versions of an artifact that are no tombstones, newest first; `UnsupportedError` for unknown features."""
    versions = Versions(backend, name)
    head = versions.head()
    if head is None:
        return
    for slot in versions.iterate(head.slot):
        if isinstance(slot, VersionFile):
            path = f"{backend.root}#{name}:v{slot.slot}"
            check_requires(slot.requires, writing=True, path=path)
            yield slot


def mark(backend: Backend, *, now: float, deadline: float, on_version: Callable[[str], None] = lambda _: None) -> Marks:
    """Everything that is reached. Sessions whose first object is younger than `deadline` seconds count, by `now`, the clock of the
    backend. `on_version` is called with each version that is walked.

    Holds a `PathSet` (about 100 MiB, and a temporary file), and 100 bytes for each leaf and each moved/ file. Raises
    `UnsupportedError` for features and kinds of entries that are not known, `FormatError` and `NotFoundError` for damage.
    """
    marks = Marks()
    moved = {info.path for info in backend.list("moved")}
    reach = Reach(backend, moved.__contains__, marks.missing.append)
    for name in artifact_names(backend):
        for version in live_versions_of(backend, name):
            on_version(f"{name}:v{version.slot}")
            marks.reached.update(reach.paths(version.root, version.inline))
            marks.versions += 1
    marks.reached.update(_of_sessions(backend, marks, now, deadline))
    marks.reached.update(_of_index(backend))
    return marks


def _of_sessions(backend: Backend, marks: Marks, now: float, deadline: float) -> Iterator[str]:
    """What the documents of open sessions name: every digest in them, whatever it is the digest of."""
    folders: dict[str, list[ObjectInfo]] = {}
    for info in backend.list("sessions"):
        segments = info.path.split("/")
        if segments[-1] == "done.json":
            yield info.path  # as what a session was committed is not forgotten
        elif len(segments) > 2:
            folders.setdefault(segments[1], []).append(info)
    for files in folders.values():
        began = min((0.0 if info.modified is None else info.modified for info in files), default=0.0)
        if began and now - began > deadline:
            continue
        marks.sessions += 1
        for info in files:
            yield info.path
            yield from _of_document(backend, info.path)


def _of_document(backend: Backend, path: str) -> Iterator[str]:
    data = backend.read_or_none(path, limit=_MAX_SESSION_FILE)
    if data is None:  # the session ended meanwhile
        return
    texts = _decoded(data, path) if path.endswith(".parquet") else (data,)
    for hex_ in {found.decode("ascii") for text in texts for found in _HEX.findall(text)}:
        yield f"data/{hex_}.parquet"
        yield f"manifests/{hex_}.json"
        yield f"manifests/{hex_}.parquet"
        yield from paths_of_uri(pack_uri(hex_))
        yield from paths_of_uri(blob_uri(hex_))


def _decoded(data: bytes, path: str) -> Iterator[bytes]:
    """The texts of a Parquet file, some rows at a time; digests are looked for in them. Refuses what would become large."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        check_pages(data, file.metadata, _MAX_SESSION_FILE, path)
        for batch in file.iter_batches(_ROWS_TOGETHER, use_threads=False):
            batch.validate(full=True)
            values = (value for column in batch.columns for value in column.to_pylist() if value is not None)
            yield b"\n".join(
                value.hex().encode("ascii") if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
                for value in values
            )
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise CorruptError(
            message("reading a document of a session", path=path, expected="a Parquet file", got=str(error)[:200])
        ) from error


def _of_index(backend: Backend) -> Iterator[str]:
    """The leaves that the newest document of the index names. A damaged index protects nothing: it begins anew."""
    try:
        _, document = read_newest_index(backend)
    except (FormatError, LimitError, NotFoundError):
        return
    for leaf in document.leaves:
        yield index_leaf_path(leaf)

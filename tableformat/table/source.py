"""`TableSource`: what a table needs from whoever opened it. The floors above fill it in; tables only use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tableformat.errors import AccessRefusedError, UsageError, message
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.media.classes import Classes
from tableformat.format.media.prepared import OpenUrl
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend
from tableformat.storage.versionfile import Input
from tableformat.table.limits import Limits

__all__ = ["Opener", "TableSource", "is_allowed"]


@dataclass(frozen=True, slots=True, eq=False)
class TableSource:
    """One table of one version, opened. Shared by every selection of it; safe from many threads."""

    backend: Backend
    entry: TableEntry
    load_parts: Callable[[], Sequence[Part]]
    """The parts, in row order. Called once, when rows are first asked for."""
    blobs: BlobReader
    address: str
    """What messages call the table, such as `/data#animals@sha256:…/train`."""
    artifact: str = ""
    """The artifact and the version digest, `animals@sha256:…`; the text that a pickled table is opened again by."""
    name: str = ""
    """The name of the entry."""
    allow: tuple[str, ...] = ()
    """Prefixes of URLs that references may lead to."""
    open_url: OpenUrl | None = None
    """Opens a URL that is allowed; None where no opener was given."""
    load_classes: Callable[[str], Classes] | None = None
    """From the digest of a class set to the set."""
    opener: Opener | None = None
    """A function of some module that makes this source again in another process; None: the table does not pickle."""
    limits: Limits = field(default_factory=Limits)
    cells_prefix: str | None = None
    """What stands before relative uris of cells outside of the library; None: the folder of the store's parts."""
    physical: pa.Schema | None = None
    """The Arrow schema of the files, where it is not the storage schema of the entry, to which columns are then cast."""
    input: Input | None = None
    """The version that it belongs to, as an input of what is made from it; None for a table of no version."""
    _lock: Any = field(default_factory=threading.Lock, repr=False)
    _parts: list[tuple[Part, ...]] = field(default_factory=list, repr=False)

    def parts(self) -> tuple[Part, ...]:
        """The parts, loaded once."""
        with self._lock:
            if not self._parts:
                self._parts.append(tuple(self.load_parts()))
            return self._parts[0]

    def check_allowed(self, url: str) -> OpenUrl:
        """Who opens the external `url`; raises `AccessRefusedError` unless a prefix in `allow` covers it."""
        if not is_allowed(url, self.allow):
            prefix = url[: url.find("/", url.find("://") + 3) + 1] or url
            raise AccessRefusedError(
                message(f"opening a reference of {self.address}", path=url[:300], expected=f"one of {list(self.allow)}" if self.allow else "nothing outside of the store",
                        todo=f"if you trust it, open with allow=[{prefix!r}]")
            )  # fmt: skip
        if self.open_url is None:
            raise UsageError(
                message(
                    f"opening a reference of {self.address}",
                    path=url[:300],
                    expected="who opens URLs",
                    got="a table opened without one",
                )
            )
        return self.open_url

    def classes(self, digest: str) -> Classes:
        """The class set with this digest; raises `UsageError` where the table was opened without its store."""
        if self.load_classes is None:
            raise UsageError(
                message(
                    f"reading a class set of {self.address}",
                    path=digest,
                    expected="a table of an artifact",
                    got="a table without one",
                )
            )
        return self.load_classes(digest)


Opener = Callable[[Backend, str, str, tuple[str, ...]], TableSource]
"""(backend, `artifact`, `name`, `allow`) of a source → the source again."""


def is_allowed(url: str, allow: Sequence[str]) -> bool:
    """Whether `url` lies below one of the prefixes in `allow`.

    A prefix ends at a segment: `s3://bucket/a` covers `s3://bucket/a/b` and not `s3://bucket/ab`. URLs with `..` segments,
    backslashes, percent-encoded dots or chained file systems (`::`) are below nothing.
    """
    if "::" in url or "\\" in url or "%2e" in url.lower() or any(part in (".", "..") for part in url.split("/")):
        return False
    scheme, mark, rest = url.partition("://")
    if not mark:
        return False
    host = rest.partition("/")[0]
    if "@" in host:
        return False
    for prefix in allow:
        stem = prefix.rstrip("/")
        if "://" not in prefix or not stem.partition("://")[2]:
            if prefix in (f"{scheme}://", f"{scheme}:///"):  # a whole scheme, allowed on purpose
                return True
            continue
        if url == stem or url.startswith((stem + "/", stem + "?")):
            return True
    return False

"""`TableSource`: what a table needs from whoever opened it. The floors above fill it in; tables only use it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa

from tableformat.errors import AccessRefusedError, UsageError, message
from tableformat.format.limits import Limits
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.media.classes import Classes
from tableformat.format.media.prepared import OpenUrl
from tableformat.format.reference import Known, Reach, is_allowed
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend
from tableformat.storage.outside.reader import Outside
from tableformat.storage.versionfile import Input

__all__ = ["Opener", "TableSource", "input_of", "is_allowed"]


@dataclass(frozen=True, slots=True, eq=False)
class TableSource:
    """One table of one version, opened. Shared by every selection of it; safe from many threads."""

    backend: Backend
    entry: TableEntry
    load_parts: Callable[[], Sequence[Part]]
    """The parts, in row order; a sequence that is not a list or tuple may parse each when it is asked for. Called once, when
    rows are first asked for."""
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
    outside: Outside | None = None
    """Follows references in place of `open_url`, with the whole policy; None for a table of no store."""
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
    _parts: list[Sequence[Part]] = field(default_factory=list, repr=False)

    def parts(self) -> Sequence[Part]:
        """The parts, loaded once."""
        with self._lock:
            if not self._parts:
                self._parts.append(self.load_parts())
            return self._parts[0]

    @property
    def root(self) -> str:
        """The root of the store that it belongs to."""
        return self.backend.root

    @property
    def reach(self) -> Reach:
        """What a pickle holds of what the caller allowed."""
        outside = self.outside
        reach = Reach(self.allow) if outside is None else outside.reach
        return reach._replace(limits=self.limits)

    def open_reference(self, url: str, known: Known) -> BinaryIO:
        """A file over the external `url`. Raises `AccessRefusedError`, and `ReferenceChangedError` where it is another object
        than was known."""
        if self.outside is not None:
            return self.outside.open(url, known)
        return self.check_allowed(url)(url)

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


def input_of(source: Any, root: str) -> Input | None:
    """The version that a table, or the reader of its cells, belongs to, as the store at `root` calls it: one of another store by its
    address. None for what belongs to no version."""
    found = getattr(source, "input", None)
    if not isinstance(found, Input):
        return None
    if source.root == root or "#" in found.artifact:
        return found
    return dataclasses.replace(found, artifact=f"{source.root}#{found.artifact}")


Opener = Callable[[Backend, str, str, Reach], TableSource]
"""(backend, `artifact`, `name`, `reach`) of a source → the source again."""

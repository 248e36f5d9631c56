"""What every object of one opened store shares: its backend, its reader of blobs, and what its holder allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tableformat.errors import ExistsError, IllegalNameError, NotAStoreError, NotFoundError, message
from tableformat.format.documents import check_requires
from tableformat.format.limits import DEFAULT_LIMITS, Limits
from tableformat.format.reference import Reach
from tableformat.storage.aliases import Aliases
from tableformat.storage.backend import open_backend, open_url
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend
from tableformat.storage.marker import Marker, create_marker, read_marker
from tableformat.storage.names import Selector, decode_name
from tableformat.storage.outside.reader import Outside
from tableformat.storage.versions import Seen, Tombstone, VersionFile, Versions

__all__ = ["StoreContext", "live_versions"]


@dataclass(frozen=True, slots=True, eq=False)
class StoreContext:
    """An opened store, without the methods that a person calls. Safe to share between threads and after a fork."""

    backend: Backend
    marker: Marker | None
    """The store's marker; None while there is no store yet (see `ensure`)."""
    allow: tuple[str, ...] = ()
    """URL prefixes under which references may be opened."""
    options: Any = field(default=None, repr=False)
    """`storage_options` as they were given; never written, shown or pickled."""
    moves: tuple[tuple[str, str], ...] = ()
    """Pairs of URL prefixes: where references lead, and where that was moved to."""
    limits: Limits = DEFAULT_LIMITS
    """What the bytes of the store may ask of memory."""
    seen: dict[str, Seen] = field(default_factory=dict, repr=False)
    """What stands in the highest slot of each artifact that was found so far: where to begin to look, no more than that."""
    blobs: BlobReader = field(init=False)
    """Reads the blobs of the store."""
    outside: Outside = field(init=False)
    """Follows references, as far as they are allowed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "blobs", BlobReader(self.backend))
        object.__setattr__(self, "outside", Outside(self.backend.root, self.allow, self.moves, self.options))

    def __reduce__(self) -> Any:
        return StoreContext, (self.backend, self.marker, self.allow, self.portable_options, self.moves, self.limits)

    @classmethod
    def open(
        cls,
        url: str,
        options: Any = None,
        allow: Sequence[str] = (),
        moves: Sequence[tuple[str, str]] = (),
        *,
        create: bool | None = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> StoreContext:
        """The store at `url`: with `create` None the first write makes it, with False it must be there, with True not.

        Raises `NotFoundError` or `NotAStoreError` where there is no store, `ExistsError` where there must not be one, and
        `UnsupportedError` for a marker of a newer format or with unknown required features.
        """
        backend = open_backend(url, options)
        marker = read_marker(backend)
        if marker is None:
            if create is False or backend.is_read_only:
                raise NotFoundError(
                    message(
                        "opening a store",
                        path=backend.root,
                        expected="a store",
                        got="no tableformat.json",
                        todo="check the URL; open_store() without create=False makes one",
                    )
                )
            _check_vacant(backend)
            if create:
                marker = create_marker(backend)
        elif create is True:
            raise ExistsError(
                message(
                    "creating a store",
                    path=backend.root,
                    expected="no store",
                    got="one that is there",
                    todo="open it with create=False",
                )
            )
        if marker is not None:
            check_requires(marker.requires, writing=False, path=f"{backend.root}/tableformat.json")
        return cls(backend, marker, tuple(allow), options, tuple(moves), limits)

    def ensure(self) -> Marker:
        """Before the first write: make the store if it was not there when it was opened. Raises `UnsupportedError` where
        its marker asks writers for a feature that is not known here."""
        marker = self.marker
        if marker is None:
            marker = create_marker(self.backend)
            object.__setattr__(self, "marker", marker)  # the one change of an opened store: that it exists now
        check_requires(marker.requires, writing=True, path=f"{self.root}/tableformat.json")
        return marker

    def with_backend(self, backend: Backend) -> StoreContext:
        """The same store seen through another backend; what is allowed stays shared."""
        changed = dataclasses.replace(self, backend=backend)
        object.__setattr__(changed, "outside", self.outside)
        return changed

    @property
    def reach(self) -> Reach:
        """What pickles hold of what its holder allowed."""
        return Reach(self.allow, self.moves, self.portable_options, self.limits)

    @property
    def portable_options(self) -> Any:
        """The options that a pickle may hold: a function that gives them, found again by its name. Never values."""
        return self.options if callable(self.options) else None

    def open_url(self, url: str) -> BinaryIO:
        """Open a URL that the holder of the store gave to be read: no policy stands between them."""
        return open_url(url, self.outside.options_for(url))

    def artifact_names(self) -> list[str]:
        """The names of all artifacts, sorted. Lists a folder: for showing, never for deciding."""
        names = []
        for segment in self.backend.list_folders("artifacts"):
            try:
                names.append(decode_name(segment))
            except IllegalNameError:
                continue  # not ours
        return sorted(names)

    @property
    def root(self) -> str:
        """The URL of the store, without credentials."""
        return self.backend.root

    def versions(self, name: str) -> Versions:
        """The versions of an artifact."""
        return Versions(self.backend, name, seen=self.seen)

    def aliases(self, name: str) -> Aliases:
        """The aliases of an artifact."""
        return Aliases(self.backend, name)

    def resolve(self, name: str, selector: Selector) -> VersionFile:
        """The version file that a selector without a digest names; raises `NotFoundError` with what there is."""
        versions = self.versions(name)
        where = f"{self.root}#{name}{selector}"
        if selector.slot is not None:
            return versions.require(selector.slot)
        if selector.alias is not None:
            move = self.aliases(name).read(selector.alias)
            if move is None or move.slot is None:
                known = ", ".join(self.aliases(name).names()[:20]) or "none"
                raise NotFoundError(
                    message(
                        "opening a version",
                        path=where,
                        expected=f"an alias of {name!r} (there are: {known})",
                        got=repr(selector.alias),
                    )
                )
            return versions.require(move.slot)
        newest = versions.newest()
        if newest is None:
            raise NotFoundError(
                message(
                    "opening an artifact",
                    path=where,
                    expected="an artifact with versions",
                    got="none of that name",
                    todo="list the store with store.artifacts()",
                )
            )
        check_requires(newest.requires, writing=False, path=f"{where}:v{newest.slot}")
        return newest

    def find_slot(self, name: str, digest: str) -> VersionFile | None:
        """The newest version of `name` with this digest, or None. Reads version files from the newest down."""
        for slot in self.versions(name).iterate():
            if isinstance(slot, VersionFile) and slot.root == digest:
                return slot
        return None


def live_versions(context: StoreContext, name: str) -> Iterator[VersionFile]:
    """The versions of an artifact that were not deleted, newest first."""
    return (slot for slot in context.versions(name).iterate() if not isinstance(slot, Tombstone))


def _check_vacant(backend: Backend) -> None:
    """Refuse to make a store among other people's files: raises `NotAStoreError` where the folder is not empty."""
    for found in backend.list(""):
        if not found.path.startswith("."):
            raise NotAStoreError(
                message("creating a store", path=backend.root, expected="an empty or absent folder", got=f"a folder that holds {found.path}",
                        todo="choose another place, or a folder inside it")
            )  # fmt: skip

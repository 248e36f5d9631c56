"""`Store` and `open_store`: everything under one root, as a person holds it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tableformat.artifact import Artifact
from tableformat.context import StoreContext, live_versions
from tableformat.draft import Draft
from tableformat.errors import FormatError, IllegalNameError, InvalidInputError, NotFoundError, UsageError, message
from tableformat.format.types.nearest import nearest
from tableformat.staging import Dedup
from tableformat.storage.backend import open_backend
from tableformat.storage.marker import read_marker
from tableformat.storage.names import check_name, parse_address, parse_selection
from tableformat.storage.versions import Input, VersionFile
from tableformat.table.bare import read_bare
from tableformat.table.table import Table
from tableformat.verify import Progress as VerifyProgress
from tableformat.verify import VerifyReport, verify_version

__all__ = ["Lineage", "Store", "open_store", "read_table"]

StorageOptions = Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None
Create = Literal["if_missing"] | bool


@dataclass(frozen=True, slots=True)
class Lineage:
    """One edge of the graph of versions: `output` was made from `source`."""

    output: str
    """The version that was made, as `name:v3`."""
    source: Input
    """What it was made from."""


def open_store(
    url: str | os.PathLike[str],
    create: Create = "if_missing",
    storage_options: StorageOptions = None,
    allow: Sequence[str] = (),
) -> Store:
    """Open the store at `url`: a local path, or any URL that fsspec knows (`s3://…`, `gs://…`, `memory://…`).

    With `create="if_missing"` a store that is not there is made by the first commit or alias, never by reading;
    with False it must be there, with True it must not, and is made at once. `storage_options` go to the file system and are
    never written, shown or pickled; an importable function that returns them is called in every process. `allow` lists URL
    prefixes under which references may be opened.

    Raises `NotFoundError`, `ExistsError`, `NotAStoreError` (the folder holds other things), `UnsupportedError` (a newer format,
    or an unknown required feature, by name).
    """
    if create not in ("if_missing", True, False):
        raise InvalidInputError(
            message("opening a store", expected="create 'if_missing', True or False", got=repr(create)[:40])
        )
    if isinstance(allow, str):
        raise InvalidInputError(
            message(
                "opening a store",
                expected="a list of URL prefixes as allow",
                got=repr(allow)[:100],
                todo=f"allow=[{allow!r}]",
            )
        )
    mode = None if create == "if_missing" else create
    return Store(StoreContext.open(os.fspath(url), storage_options, tuple(allow), create=mode))


class Store:
    """Everything under one root: artifacts, and the bytes that they share. Made by `open_store`.

    Immutable itself, safe to share between threads and after a fork; pickles as its URL, never with credentials.
    """

    def __init__(self, context: StoreContext) -> None:
        self._context = context

    @property
    def root(self) -> str:
        """Its URL, or absolute path, without credentials."""
        return self._context.root

    @property
    def id(self) -> str | None:
        """Its id, 32 hex digits, drawn when it was made; copies of the store have the same. None before the first write."""
        return None if self._context.marker is None else self._context.marker.store

    @property
    def context(self) -> StoreContext:
        """What its objects share."""
        return self._context

    # Reading

    def __getitem__(self, selection: str) -> Artifact:
        """An opened version: `name` (the newest), `name:v3`, `name:alias`, or `name@sha256:…`.

        Resolved once: the artifact stays that version, whatever is committed later. Raises `NotFoundError` naming what is
        there, `IllegalNameError` for text that is none of the four forms.
        """
        if not isinstance(selection, str):
            raise InvalidInputError(
                message(
                    "opening a version", path=self.root, expected="text such as 'animals:v3'", got=repr(selection)[:100]
                )
            )
        name, selector = parse_selection(selection)
        try:
            return Artifact.select(self._context, name, selector)
        except NotFoundError:
            if selector.digest is None and (known := self.artifacts()) and name not in known:
                raise NotFoundError(
                    message(
                        "opening an artifact",
                        path=f"{self.root}#{selection}",
                        expected="an artifact of the store",
                        got=repr(name),
                        todo=nearest(name, known),
                    )
                ) from None
            raise

    def get(self, selection: str, default: Any = None) -> Any:
        """The version, or `default` where there is none."""
        try:
            return self[selection]
        except NotFoundError:
            return default

    def __contains__(self, selection: object) -> bool:
        try:
            return isinstance(selection, str) and self.get(selection) is not None
        except IllegalNameError:
            return False

    def artifacts(self) -> list[str]:
        """The names of all artifacts that have a version, sorted. Lists the store."""
        return [name for name in self._context.artifact_names() if self._has_versions(name)]

    def _has_versions(self, name: str) -> bool:
        try:
            return self._context.versions(name).head() is not None
        except FormatError:  # there is something, which cannot be read: opening it tells what
            return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.artifacts())

    def versions(self, name: str) -> list[VersionFile]:
        """The versions of an artifact that were not deleted, oldest first. Reads each version file.

        Raises `NotFoundError` where there is no such artifact.
        """
        found = list(live_versions(self._context, check_name(name)))
        if not found and self._context.versions(name).head() is None:
            raise NotFoundError(
                message(
                    "listing versions",
                    path=f"{self.root}#{name}",
                    expected="an artifact of the store",
                    got=repr(name),
                    todo=nearest(name, self.artifacts()),
                )
            )
        return found[::-1]

    def lineage(self, name: str) -> list[Lineage]:
        """What the versions of `name` were made from, and what was made from them. Reads the version files of every artifact."""
        edges = []
        for other in self._context.artifact_names():
            for version in live_versions(self._context, other):
                edges += [
                    Lineage(f"{other}:v{version.slot}", source)
                    for source in version.inputs
                    if name in (other, source.artifact)
                ]
        return edges

    # Writing

    def draft(
        self,
        name: str,
        *,
        type: str | None = None,  # noqa: A002 - the word of the format
        metadata: Mapping[str, Any] | None = None,
        base: str | None = None,
        message: str = "",
        producer: Mapping[str, Any] | None = None,
        dedup: Dedup = "store",
    ) -> Draft:
        """Begin the next version of `name`. Use it as a context manager, or call `commit` or `discard`.

        `base=None`: the version holds what is added to it, and nothing else. `base="latest"` (or `"v3"`, or an alias): it
        inherits every entry of that version, and its type and metadata; what is not named stays. `type` says what the
        artifact is for (`dataset` by default), `metadata` is any JSON object, `producer` says what made it (`run` and
        `job_type` are the names to use). `dedup` says where media are looked for before they are stored: in the store, in
        the base alone (`artifact`), or nowhere. Writes nothing until the first rows do.
        """
        check_name(name)
        found: VersionFile | None = None
        if base is not None:
            _, selector = parse_selection(f"{name}:{base}" if not base.startswith("sha256:") else f"{name}@{base}")
            if selector.digest is not None:
                found = self._context.find_slot(name, selector.digest)
                if found is None:
                    raise NotFoundError(_not_a_base(self.root, name, base))
            elif base == "latest":
                found = self._context.versions(name).newest()  # the first version has nothing to inherit
            else:
                found = self._context.resolve(name, selector)
        return Draft(
            self._context, name, type_=type, metadata=metadata, base=found, inherits=base is not None, message_=message, producer=producer, dedup=dedup
        )  # fmt: skip

    # Checking

    def verify(
        self, selection: str, *, progress: VerifyProgress | None = None, workers: int | None = None
    ) -> VerifyReport:
        """Check every byte of a version (`name`, `name:v3`, `name:alias`, `name@sha256:…`) against every digest that speaks of it.

        `progress` is called with the bytes and files done and the path at hand; `workers` are threads (None: one for each
        processor, at most 8). Reads the whole version, holding a pack for each thread. Damage is reported, never raised, but
        where it hides which version is meant. Raises `NotFoundError`, and `BackendError` where the place of the bytes fails.
        """
        name, selector = parse_selection(selection)
        slot = selector.slot
        if slot is not None:
            with contextlib.suppress(FormatError):  # a damaged version file is for the report
                self._context.versions(name).require(slot)
        elif selector.digest is None:
            slot = self._context.resolve(name, selector).slot
        return verify_version(self._context.backend, name, slot, selector.digest, progress=progress, workers=workers)

    # Aliases

    def aliases(self, name: str) -> dict[str, str]:
        """The aliases of an artifact and the versions they name, as `{"best": "v3"}`. Lists a folder."""
        aliases = self._context.aliases(check_name(name))
        moves = {alias: aliases.read(alias) for alias in aliases.names()}
        return {alias: f"v{move.slot}" for alias, move in moves.items() if move is not None}

    def set_alias(self, name: str, alias: str, version: str | Artifact = "latest") -> None:
        """Let `alias` name a version of `name`: `"v3"`, another alias, `"latest"`, or an opened version. The last writer wins."""
        check_name(alias, "alias")
        if isinstance(version, Artifact):
            if version.name != name or version.slot is None:
                raise UsageError(
                    message(
                        f"setting the alias {alias!r}",
                        expected=f"a version of {name!r} with a number",
                        got=repr(version),
                    )
                )
            slot, digest = version.slot, version.digest
        else:
            _, selector = parse_selection(f"{name}:{version}")
            found = self._context.resolve(name, selector)
            slot, digest = found.slot, found.root
        self._context.ensure()
        self._context.aliases(name).set(alias, slot, digest)

    def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias; raises `NotFoundError` where there is none."""
        aliases = self._context.aliases(check_name(name))
        if aliases.read(alias) is None:
            raise NotFoundError(
                message(
                    "removing an alias",
                    path=f"{self.root}#{name}:{alias}",
                    expected="an alias",
                    got="none of that name",
                    todo=nearest(alias, aliases.names()),
                )
            )
        aliases.remove(alias)

    # Python's protocols

    def __reduce__(self) -> Any:
        return _reopen, (self.root, self._context.portable_options, self._context.allow)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"<Store {self.root}>"


def _reopen(root: str, options: Any, allow: tuple[str, ...]) -> Store:
    return Store(StoreContext.open(root, options, allow, create=None))  # it need not have been written to yet


def _not_a_base(root: str, name: str, base: str) -> str:
    return message(
        "drafting from a base",
        path=f"{root}#{name}@{base}",
        expected="a version of the artifact",
        got="none with that digest",
    )


def read_table(url: str | os.PathLike[str], storage_options: StorageOptions = None, allow: Sequence[str] = ()) -> Table:
    """A table from any URL: of a store (`<root>#animals:v0/train`), a bare Parquet file, or a folder of them.

    Lazy: the manifest or the footers are read now, rows when they are asked for. Raises `NotFoundError`,
    `UsageError` for an address that names no table.
    """
    text = os.fspath(url)
    if "#" not in text:
        if not text.endswith(".parquet") and read_marker(open_backend(text, storage_options)) is not None:
            raise UsageError(
                message("reading a table", path=text, expected="an address such as <store>#animals/train", got="a whole store",
                        todo="see what it holds with open_store(…).artifacts()")
            )  # fmt: skip
        return read_bare(text, storage_options)
    address = parse_address(text)
    context = StoreContext.open(address.root, storage_options, tuple(allow))
    artifact = Artifact.select(context, address.artifact, address.selector)
    if address.entry is None:
        tables = [name for name, kind in artifact.kinds().items() if kind == "table"]
        if len(tables) != 1:
            raise UsageError(
                message(
                    "reading a table",
                    path=text,
                    expected="an address that ends in the name of a table",
                    got=f"an artifact with the tables {tables[:20]}",
                )
            )
        return _table(artifact[tables[0]], text)
    return _table(artifact[address.entry], text)


def _table(found: Any, text: str) -> Table:
    if not isinstance(found, Table):
        raise UsageError(
            message(
                "reading a table",
                path=text,
                expected="a table",
                got=type(found).__name__,
                todo="open it with store[…][…]",
            )
        )
    return found

"""`Store` and `open_store`: everything under one root, as a person holds it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tableformat.artifact import Artifact
from tableformat.context import StoreContext, live_versions
from tableformat.copying.copy import Copied, Joins, copy_versions
from tableformat.draft import Draft
from tableformat.drift import Drift, drift_of
from tableformat.errors import FormatError, IllegalNameError, InvalidInputError, NotFoundError, UsageError, message
from tableformat.format.limits import DEFAULT_LIMITS, Limits
from tableformat.format.reference import Reach
from tableformat.format.types.nearest import nearest
from tableformat.history import Changes, changes_of, roll_back
from tableformat.open_sessions import Session, open_sessions
from tableformat.progress import Progress
from tableformat.resumable import open_session
from tableformat.staging import Dedup
from tableformat.storage.backend import open_backend
from tableformat.storage.marker import read_marker
from tableformat.storage.names import check_name, parse_address, parse_selection
from tableformat.storage.versions import Input, VersionFile
from tableformat.table.bare import read_bare
from tableformat.table.forms import open_form
from tableformat.table.table import Table
from tableformat.upkeep import Upkeep
from tableformat.verify import Progress as VerifyProgress
from tableformat.verify import VerifyReport
from tableformat.verify_store import verify_selected

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
    map: Mapping[str, str] | None = None,  # noqa: A002 - the word of the interface
    limits: Limits = DEFAULT_LIMITS,
) -> Store:
    """Open the store at `url`: a local path, or any URL that fsspec knows (`s3://…`, `gs://…`, `memory://…`).

    With `create="if_missing"` a store that is not there is made by the first commit or alias, never by reading;
    with False it must be there, with True it must not, and is made at once. `storage_options` go to the file system and are
    never written, shown or pickled; an importable function that returns them is called in every process. `allow` lists URL
    prefixes under which references may be opened (as does the environment variable `TABLEFORMAT_ALLOW`), and `map` says
    where what they lead to was moved, as `{"s3://old/": "s3://new/"}`; the new prefixes are allowed. `limits` says how much
    memory the bytes of the store may ask for; what asks for more raises `LimitError`.

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
    moves = tuple((map or {}).items())
    return Store(StoreContext.open(os.fspath(url), storage_options, tuple(allow), moves, create=mode, limits=limits))


class Store(Upkeep):
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

    def log(self, name: str, limit: int | None = None) -> list[VersionFile]:
        """The newest versions of an artifact that were not deleted, newest first, at most `limit`. Reads no more version files
        than that, in steps of 16. Raises `NotFoundError` where there is no such artifact."""
        found = list(itertools.islice(live_versions(self._context, check_name(name)), limit))
        return found or self.versions(name)

    def changes(self, selection: str, since: str | None = None) -> Changes:
        """What a version added, removed and changed, entry by entry, since `since` (`v1`, an alias, `latest`, `sha256:…`, or `name:v1`
        of another artifact); by default since the version before it. Reads manifests, and no rows."""
        artifact = self[selection]
        if since is not None and ":" not in since.removeprefix("sha256:") and "@" not in since:
            since = f"{artifact.name}{'@' if since.startswith('sha256:') else ':'}{since}"
        return changes_of(artifact, None if since is None else self[since])

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
        session: str | None = None,
    ) -> Draft:
        """Begin the next version of `name`. Use it as a context manager, or call `commit` or `discard`.

        `base=None`: the version holds what is added to it, and nothing else. `base="latest"` (or `"v3"`, or an alias): it
        inherits every entry of that version, and its type and metadata; what is not named stays. `type` says what the
        artifact is for (`dataset` by default), `metadata` is any JSON object, `producer` says what made it (`run` and
        `job_type` are the names to use). `dedup` says where media are looked for before they are stored: in the store, in
        the base alone (`artifact`), or nowhere. Writes nothing until the first rows do, or the session.

        `session` names the work, so that it can be gone on with after an exception or a crash: opened again under that name, by any
        process, `draft.table(…)` goes on behind the rows that were sealed, with the same result; class sets, media and files that were added by
        name are to be given again. A session that was committed gives its version again and adds nothing (`draft.committed`). Raises
        `UsageError` where another process holds it, naming that; `InvalidInputError` where it was begun for another artifact or base;
        `CorruptError` where files that it counts on are damaged.
        """
        check_name(name)
        if session is None:
            found, opened = self._base_of(name, base), None
        else:
            opened = open_session(self._context, session, name, base, lambda: self._base_of(name, base))
            found = opened.base
        try:
            return Draft(
                self._context, name, type_=type, metadata=metadata, base=found, inherits=base is not None, message_=message, producer=producer,
                dedup=dedup, opened=opened,
            )  # fmt: skip
        except BaseException:
            if opened is not None and opened.session is not None:
                opened.session.release()
            raise

    def _base_of(self, name: str, base: str | None) -> VersionFile | None:
        """The version that a draft is to be based on; None for the first one."""
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
        return found

    def session(self, name: str) -> Session:
        """A session that was begun with `draft(session=…)`, to be looked at while it is written: how far it is, and the rows that are
        safe. Raises `NotFoundError` where there is none."""
        return Session.open(self._context, name)

    def sessions(self) -> list[Session]:
        """The sessions that can be gone on with or are being written, by name. Lists a folder and reads the log of each."""
        return open_sessions(self._context)

    def rollback(self, name: str, version: str, message: str | None = None) -> Artifact:
        """Commit an old version of `name` (`v3`, an alias, `sha256:…`) again, as the newest, and return it; nothing is stored anew.

        It has the same digest and metadata, and what was committed since is no longer in it. Where the newest version has that content
        already, that one is returned. Raises `NotFoundError` where there is no such version.
        """
        _, selector = parse_selection(f"{check_name(name)}{'@' if version.startswith('sha256:') else ':'}{version}")
        return roll_back(self._context, name, selector, message)[0]

    def compact(self, name: str, table: str | None = None, *, plain: bool = False, message: str = "") -> Artifact:
        """Commit the newest version of `name` again with the parts of a table, or of all tables, stored in fewer files where that is
        worth it (`Draft.compact`); the content digest stays. Returns that version, or the newest where nothing was to be done."""
        with self.draft(name, base="latest", message=message) as draft:
            kinds = self[name].kinds()
            for one in [table] if table is not None else [entry for entry, kind in kinds.items() if kind == "table"]:
                draft.compact(one, plain=plain)
        assert draft.committed is not None
        return draft.committed

    def copy_to(
        self, target: Store | str | os.PathLike[str], selection: str, name: str | None = None, *,
        joins: Joins = "copy", progress: Progress = True, workers: int | None = None,
    ) -> Copied:  # fmt: skip
        """Copy an artifact (`animals`: all its versions in order, messages, aliases) or one version (`animals:v3`, `animals:latest`,
        `animals@sha256:…`) into another store, a push; called on the other store, with this one as the target, it is a pull.

        Version digests are the same on both sides; slots are the next free ones. Only what the target lacks is moved, each object compared with
        its digest on the way; run again, it goes on where it broke off. Versions that joined tables read come along, unless `joins="leave"`. `name` is
        another name at the target. References stay references. Holds the entries of a version, the target's index of blobs (at most
        256 MiB), and 8 MiB (where the target is remote up to 80) for each of `workers` objects at a time.

        Raises `NotFoundError` and `CorruptError` naming a file of the source that is gone or damaged, `UnsupportedError` for entries of unknown
        kinds, `ConflictError` where a version that a joined table reads meets another artifact of that name, and what commits raise.
        """
        other = target if isinstance(target, Store) else open_store(target)
        found, selector = parse_selection(selection)
        chosen = selector if selection != found else None
        new_name = name and check_name(name)
        return copy_versions(
            self._context, other.context, found, chosen, new_name, joins=joins, progress=progress, workers=workers
        )

    # Checking

    def verify(
        self,
        selection: str | None = None,
        *,
        every: bool = False,
        sample: float | None = None,
        progress: VerifyProgress | None = None,
        workers: int | None = None,
    ) -> VerifyReport:
        """Check every byte of a version (`name`, `name:v3`, `name:alias`, `name@sha256:…`) against every digest that speaks of it; with
        `every` of all versions of the artifact `name`, without a selection of the whole store.

        With `sample`, such as 0.1, whether all files are there, and the digest of that share of them, drawn at random.
        `progress` is called with the bytes and files done and the path at hand; `workers` are threads (None: one for each
        processor, at most 8). Reads the whole version, holding a pack for each thread. Damage is reported, never raised, but
        where it hides which version is meant. Raises `NotFoundError`, and `BackendError` where the place of the bytes fails.
        """
        return verify_selected(self._context, selection, every=every, sample=sample, progress=progress, workers=workers)

    def verify_references(
        self, selection: str, *, keep: Literal["problems", "all"] = "problems", progress: Progress = True
    ) -> Drift:
        """Look whether what a version refers to is still what it was: `counts` of `ok`, `changed`, `missing` and `unknown`, and
        a `table` of those that are not ok (`keep="all"`: of all), with what was expected and what was found.

        By listing where that can be, else by one request for each object; no bytes are read. What is not allowed is unknown.
        """
        return drift_of(self[selection], self._context.outside, keep=keep, progress=progress)

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
        context = self._context
        return _reopen, (self.root, context.portable_options, context.allow, context.moves, context.limits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"<Store {self.root}>"


def _reopen(
    root: str,
    options: Any,
    allow: tuple[str, ...],
    moves: tuple[tuple[str, str], ...] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Store:
    # It need not have been written to yet.
    return Store(StoreContext.open(root, options, allow, moves, create=None, limits=limits))


def _not_a_base(root: str, name: str, base: str) -> str:
    return message(
        "drafting from a base",
        path=f"{root}#{name}@{base}",
        expected="a version of the artifact",
        got="none with that digest",
    )


def read_table(
    url: str | os.PathLike[str],
    storage_options: StorageOptions = None,
    allow: Sequence[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Table:
    """A table from any URL: of a store (`<root>#animals:v0/train`), a bare Parquet file or a folder of them, or a `*.table.json`
    of Weights & Biases (`tableformat.convert.read_wandb_table` tells more).

    Lazy: the manifest, the footers or the beginning of the file are read now, rows when they are asked for. `allow` and `limits`
    are those of `open_store`. Raises `NotFoundError`,
    `UsageError` for an address that names no table.
    """
    text = os.fspath(url)
    if "#" not in text:
        if (form := open_form(text, storage_options)) is not None:
            return form
        if not text.endswith(".parquet") and read_marker(open_backend(text, storage_options)) is not None:
            raise UsageError(
                message("reading a table", path=text, expected="an address such as <store>#animals/train", got="a whole store",
                        todo="see what it holds with open_store(…).artifacts()")
            )  # fmt: skip
        return read_bare(text, storage_options, limits=limits, reach=Reach(tuple(allow)))
    address = parse_address(text)
    context = StoreContext.open(address.root, storage_options, tuple(allow), limits=limits)
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

"""`Draft`: a version being written. Nothing of it is visible before its commit, and all of it after.

The order of writing is the safety: packs and parts first, then leaves, then the root, then the version file, which is one
create-if-absent; the index of blobs last. A crash before the version file leaves garbage that a collection finds.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, cast, get_args

from tableformat.additions import Additions
from tableformat.artifact import Artifact, manifest_of, spellings
from tableformat.context import StoreContext
from tableformat.document import JsonObject
from tableformat.edits import TableEdits
from tableformat.entries import checked_item, content_of_item, item_of
from tableformat.errors import (
    CommitStateUnknownError,
    ExistsError,
    IllegalNameError,
    InvalidInputError,
    NotFoundError,
    UsageError,
    message,
)
from tableformat.format.documents import utc_text
from tableformat.format.manifest import Manifest, TableEntry, content_of
from tableformat.format.types.nearest import nearest
from tableformat.log import logger
from tableformat.rebase import merge_entries, merge_value
from tableformat.resumable import OpenedSession
from tableformat.staging import Dedup, Staging
from tableformat.storage.manifests import iter_items, write_entries, write_root
from tableformat.storage.names import check_entry_name, entry_name, folded, parse_selection
from tableformat.storage.versions import MAX_INLINE_BYTES, Input, Slot, Tombstone, VersionFile
from tableformat.table.join.stored import check_joins
from tableformat.table.writer import TableWriter

__all__ = ["Draft", "Report"]

_MISSING: Final[Any] = object()
_TYPE: Final = "dataset"
_METADATA: Final = "{}"
# What a version is where nobody says.


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a commit stored."""

    rows: int = 0
    """Rows of the tables that the draft wrote."""
    bytes_new: int = 0
    """Bytes of media and parts that were not in the store before."""
    bytes_shared: int = 0
    """Bytes of media that were given and needed no storing, because the store had them."""
    blobs_new: int = 0
    """Media and files stored."""
    blobs_shared: int = 0
    """Media and files that the store had."""
    parts_reused: int = 0
    """Parts of tables that stood in the version before, and were not stored again."""
    rows_reused: int = 0
    """Rows in them: their share of `rows` says how much of a table that was written again was the same."""
    bytes_reused: int = 0
    """Bytes of the part files that were taken over, those to which a new column file was put included."""
    rejected: Mapping[str, tuple[tuple[int, str, str], ...]] = dataclasses.field(default_factory=dict)
    """By table, the rows that were not stored as given: row, column, reason."""

    def to_json(self) -> JsonObject:
        """The form in a version file."""
        value: JsonObject = {
            name: getattr(self, name) for name in ("rows", "bytes_new", "bytes_shared", "blobs_new", "blobs_shared")
        }
        if self.bytes_reused:
            value |= {name: getattr(self, name) for name in ("parts_reused", "rows_reused", "bytes_reused")}
        if self.rejected:
            value["rejected"] = {json.dumps(name): [list(row) for row in rows] for name, rows in self.rejected.items()}
        return value


class Draft(TableEdits, Additions):
    """The next version of an artifact, while it is written. Made by `Store.draft`; belongs to one process.

    As a context manager it commits on a clean exit and discards on an exception. Without `with`, call `commit` or
    `discard`: an abandoned draft warns and commits nothing. In a session (`Store.draft(session=…)`) an exception does not discard: what
    was sealed can be gone on with, until `discard` is called.
    """

    def __init__(
        self,
        context: StoreContext,
        name: str,
        *,
        type_: str | None,
        metadata: Mapping[str, Any] | None,
        base: VersionFile | None,
        inherits: bool,
        message_: str,
        producer: Mapping[str, Any] | None,
        dedup: Dedup,
        opened: OpenedSession | None = None,
    ) -> None:
        self._context = context
        self._name = name
        self._base = base
        self._inherits = inherits  # with the first version there is nothing to inherit yet, but something to merge with
        self._base_manifest = manifest_of(context, base) if base is not None else None
        given: object = type_ if type_ is not None else self._base_manifest.type if self._base_manifest else _TYPE
        if not isinstance(given, str) or not 1 <= len(given) <= 128:
            raise InvalidInputError(
                message(f"drafting {name!r}", expected="a type of 1 to 128 characters", got=repr(given)[:60])
            )
        self._type = given
        if dedup not in get_args(Dedup):
            raise InvalidInputError(
                message(f"drafting {name!r}", expected="dedup " + " | ".join(get_args(Dedup)), got=repr(dedup)[:40])
            )
        self._metadata = (
            user_json(metadata, "metadata")
            if metadata is not None
            else self._base_manifest.metadata
            if self._base_manifest
            else _METADATA
        )
        self._producer = user_json(producer or {}, "producer")
        self.message = message_
        """What the author says about the version; may be set until the commit."""
        self._items: dict[str, JsonObject] = {}
        if self._base_manifest is not None:
            inherited = iter_items(context.backend, self._base_manifest.entries)
            self._items = {checked_item(item, context.root)["name"]: item for item in inherited}
        self._base_items = dict(self._items)
        self._folded = {folded(name): name for name in self._items}  # no two names differ by case alone
        self._opened = opened
        self._named = opened.session if opened is not None else None
        self._staging = Staging(context, name, dedup, self._settle_item, self._base_items, self._named)
        self._folded |= {folded(one): one for one in self._staging.names()}
        self._staging.open_name = self.__getitem__
        self._staging.find_name = self._find_name
        self._staging.inherited = self._items.get
        self._inputs: dict[tuple[str, str], Input] = {}
        self._state: Literal["open", "committed", "discarded", "failed", "suspended"] = "open"
        self._pid = os.getpid()
        self.committed: Artifact | None = None
        """The version that `commit` made or found; None before."""
        self.created: bool | None = None
        """Whether the commit made a new version; None before it."""
        self.report = Report()
        """What was stored; complete after the commit."""
        if opened is not None and opened.committed is not None:
            self._state, self.committed, self.created = "committed", opened.committed, False

    # What it holds

    @property
    def name(self) -> str:
        """Name of the artifact."""
        return self._name

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._items or self._staging.has(name))

    def __iter__(self) -> Any:
        return iter(sorted({*self._items, *self._staging.names()}))

    def __getitem__(self, name: str) -> Any:
        """What stands under `name`: an object given to `add`, or a table that was closed. Raises `NotFoundError`."""
        if self._is_answered and self.committed is not None:
            return self.committed[name]
        self._check()
        found = self._staging.get(name, _MISSING)
        if found is _MISSING and name in self._items:
            found = self._staging.open_item(self._items[name])
        if found is _MISSING:
            raise NotFoundError(
                message(
                    f"reading the draft of {self._name!r}",
                    expected="an entry",
                    got=repr(name)[:100],
                    todo=nearest(name, list(self)),
                )
            )
        return found

    # Adding

    def table(
        self,
        name: str,
        schema: Any = None,
        key: str | list[str] | tuple[str, ...] | None = None,
        *,
        mode: Literal["create", "replace", "append"] = "create",
        **options: Any,
    ) -> TableWriter:
        """A writer of the table `name`; close it, or use it as a context manager, before reading what it wrote.

        `schema` is a `pyarrow.Schema`, a mapping of column to type, or None: inferred from the rows and widened as they
        arrive. `key` names the column or columns whose values are unique; None is the key that the table of that name had
        before, and `()` none. `mode="replace"` writes over an entry of that name. `mode="append"` adds rows behind those of a
        table of the draft, in new parts of its schema, key and layout; where there is none it makes it. Rows that do not fit raise, and
        columns of their own are taken with `new_columns=True` alone. `options` are those of `TableWriter`: `unique`, `new_columns`, `on_error`, `max_errors`, `check`, `uris`,
        `part_rows`, `sort_by_key`. In a session the writer goes on where the last one was sealed: `rows_written` and `checkpoint` tell. What a table of that name had already, whole parts or columns of them, is not stored again. Raises `ExistsError` where the name is taken.
        """
        if self._is_answered and self._opened is not None:
            return cast("TableWriter", self._opened.answer(_entry_name(name)))
        self._check()
        if mode not in ("create", "replace", "append"):
            raise InvalidInputError(
                message(f"opening table {name!r}", expected="mode 'create', 'replace' or 'append'", got=repr(mode)[:40])
            )
        keys = [key] if isinstance(key, str) else None if key is None else list(key)
        self._reopen(name)
        if mode == "append" and (there := self._find_name(name)) is not None:
            return self._staging.append(there, self._table_entry(there), schema, keys, options)
        with self._claimed(name, replace=mode == "replace") as free:
            return self._staging.table(free, schema, keys, options)

    def add(self, obj: Any, name: str, *, replace: bool = False) -> Any:
        """Store `obj` under `name`, with what it depends on, and return it.

        Takes data frames, Arrow tables and streams, `Table`s, `JoinedTable`s, media, `Classes`, and paths of files. A `Table` of another store is
        copied with its media. Raises `ExistsError`
        where the name is taken and `replace` is false, `InvalidInputError` for an object of another kind. In a session that was committed it
        does nothing.
        """
        if self._is_answered:
            return obj
        self._check()
        with self._claimed(name, replace=replace) as free:
            self._staging.add(obj, free)
        return obj

    def remove(self, name: str) -> None:
        """Leave `name` out of the version; raises `NotFoundError` where it is not in the draft."""
        self._check()
        name = _entry_name(name)
        if name not in self and not self._staging.has_sealed(name):
            raise NotFoundError(
                message(
                    f"removing from the draft of {self._name!r}",
                    expected="an entry",
                    got=repr(name),
                    todo=nearest(name, list(self)),
                )
            )
        self._staging.forget(name)
        self._items.pop(name, None)
        self._folded.pop(folded(name), None)

    @property
    def _is_answered(self) -> bool:
        """Whether the session was committed before the draft was made."""
        return self._opened is not None and self._opened.committed is not None

    def _reopen(self, name: str) -> None:
        """A table that the session has closed is opened again: until then it stood in the draft as it was."""
        name = _entry_name(name)
        self._staging.reopen(name)
        if name not in self and self._folded.get(folded(name)) == name:
            del self._folded[folded(name)]

    def _edit(self, name: str, function: Callable[[TableEntry], tuple[TableEntry, int]]) -> None:
        """Put what `function` makes of the table `name` in its place: from its entry to another, whose files are durable,
        and the bytes of new files. Raises `NotFoundError` where the draft holds no such table."""
        self._check()
        name = self._find_name(name) or _entry_name(name)
        entry = self._table_entry(name)
        self._staging.session.begin()
        edited, new_bytes = function(entry)
        if edited is not entry:
            self._staging.put_entry(name, edited, new_bytes)

    def _table_entry(self, name: str) -> TableEntry:
        entry = self._staging.entry_of(name)
        if entry is None:
            doing, kind = f"changing a table in the draft of {self._name!r}", self._items.get(name, {}).get("kind")
            got = f"{name!r:.100}, which is of kind {kind}" if name in self else repr(name)[:100]
            todo = nearest(name, list(self)) or "draft with base='latest' to change what is there"
            raise NotFoundError(message(doing, expected="a table", got=got, todo=todo))
        return entry

    def use(self, source: Artifact | str) -> Artifact:
        """Record a version as an input of this one; a text is resolved in this store (`name`, `name:v3`, `name:alias`)."""
        self._check()
        alias = None
        if isinstance(source, str):
            name, selector = parse_selection(source)
            alias = selector.alias or ("latest" if selector.slot is None and selector.digest is None else None)
            artifact = Artifact.select(self._context, name, selector)
        else:
            artifact = source
        self._record(Input(artifact.input_name(self._context.root), artifact.digest, artifact.slot, alias))
        return artifact

    def _record(self, source: Input) -> None:
        self._inputs.setdefault((source.artifact, source.digest), source)

    @contextmanager
    def _claimed(self, name: str, *, replace: bool) -> Iterator[str]:
        """The name, free for what the block stages; where the block fails, what stood there before stands there again."""
        name = _entry_name(name)
        same = self._folded.get(folded(name))
        if same is not None and same != name:
            raise ExistsError(
                message(
                    f"adding {name!r} to the draft of {self._name!r}",
                    expected="a name that differs by more than case",
                    got=f"{same!r} is there",
                )
            )
        if same is not None and not replace and not self._staging.has_failed(name):
            raise ExistsError(
                message(f"adding {name!r} to the draft of {self._name!r}", expected="a free name", got="an entry of that name",
                        todo="pass replace=True to add(), or mode='replace' to table(); or mode='append' to add rows")
            )  # fmt: skip
        aside, item = self._staging.set_aside(name), self._items.pop(name, None)
        try:
            yield name
        except BaseException:
            self._staging.drop(name)
            self._staging.put_back(name, aside)
            if item is not None:
                self._items[name] = item
            raise
        self._folded[folded(name)] = name
        if (replaced := aside[0]) is not None:
            replaced.abort()

    def _find_name(self, name: str) -> str | None:
        return next((found for found in spellings(name) if found in self), None)

    def _settle_item(self, name: str, kind: str, content: str, fields: JsonObject) -> None:
        """Staging has made an entry."""
        self._items[name] = item_of(name, kind, content, fields)

    # The end

    def commit(self, message: str | None = None) -> Artifact:
        """Publish the draft as the next version and return it; open tables are closed first.

        A draft whose content equals the newest version makes no new one: that version is returned, and `created` is false.
        A draft with a base that lost a race is merged with what was committed meanwhile, entry by entry. Raises
        `ConflictError` where both changed the same entry, `CommitStateUnknownError` where no answer can be had; nothing is
        deleted then. Called again, it returns the same version.
        """
        if self._state == "committed" and self.committed is not None:
            return self.committed
        self._check()
        if message is not None:
            self.message = message
        self._context.ensure()
        self._staging.close_tables()
        if self._named is not None:
            self._named.check_opened()
        self._state = "failed"  # until the end is reached: a draft fails once and stays failed
        try:
            return self._publish()
        except BaseException:
            if self._named is not None:
                self._named.release()
            raise

    def _publish(self) -> Artifact:
        self._staging.settle()
        for source in self._staging.inputs():
            self._record(source)
        self.report = Report(**self._staging.counts(), rejected=self._staging.rejected())
        manifest = self._manifest(self._type, self._metadata, self._items)
        versions = self._context.versions(self._name)
        if self._named is not None:
            self._named.committing()
        outcome = self._staging.session.publish(versions, self._body(manifest), self._rebase)
        self._state, self.created = "committed", outcome.created
        if self._named is not None:
            self._named.finish(outcome.version)
        self._staging.published(outcome.created)
        self.committed = Artifact(self._context, self._name, outcome.version)
        if not outcome.created:
            logger.info("%s: nothing new, the newest version is v%d", self._name, outcome.version.slot)
        elif not self._inherits and outcome.lost:
            logger.info(
                "%s: committed as v%d; other writers committed meanwhile, and this version replaces theirs",
                self._name,
                outcome.version.slot,
            )
        return self.committed

    def discard(self) -> None:
        """Drop the draft, and its session. What was stored stays as garbage for a collection. May be called twice."""
        if self._state in ("open", "failed"):
            self._state = "discarded"
            self._staging.abort()

    def _give_up(self) -> None:
        """After an exception: a session that has a name is left as it is, anything else is discarded."""
        if self._named is None:
            self.discard()
        elif self._state in ("open", "failed"):
            self._state = "suspended"
            self._staging.abort(suspend=True)

    def _manifest(self, type_: str, metadata: str, items: Mapping[str, JsonObject]) -> Manifest:
        check_joins(items, f"committing the draft of {self._name!r}")
        named = [items[name] for name in sorted(items)]
        content = content_of(type_, metadata, [(item["name"], item["kind"], content_of_item(item)) for item in named])
        return Manifest(type_, metadata, content, write_entries(self._staging.backend, named))

    def _body(self, manifest: Manifest) -> VersionFile:
        digest, data = write_root(self._staging.backend, manifest)
        return VersionFile(
            root=digest,
            root_size=len(data),
            time=utc_text(datetime.now(UTC)),
            base=self._base.root if self._base is not None else None,
            message=self.message,
            producer=self._producer,
            inputs=tuple(self._inputs.values()),
            inline=manifest.to_json() if len(data) <= MAX_INLINE_BYTES else None,
            root_bytes=data,
            report=self.report.to_json(),
            session=None if self._named is None else self._named.id,
        )

    def _rebase(self, body: VersionFile, head: Slot | None) -> VersionFile | None:
        """What to commit after `head`: the body as it is, merged, or nothing where it would be the same again."""
        if isinstance(head, Tombstone):  # what was committed before it still counts
            head = self._context.versions(self._name).newest()
        if head is None:
            return body
        ours = manifest_of(self._context, body)
        theirs = manifest_of(self._context, head)
        if not self._inherits or (self._base is not None and head.root == self._base.root):
            return None if ours.content == theirs.content and not self._stored_again else body
        base = self._base_manifest
        doing = f"committing the draft of {self._name!r} after v{head.slot}"
        their_items = {item["name"]: item for item in iter_items(self._context.backend, theirs.entries)}
        merged = self._manifest(
            merge_value(base.type if base else _TYPE, self._type, theirs.type, "the type", doing),
            merge_value(base.metadata if base else _METADATA, self._metadata, theirs.metadata, "metadata", doing),
            merge_entries(self._base_items, self._items, their_items, doing, self._staging.backend),
        )
        return None if merged.content == theirs.content and not self._stored_again else self._body(merged)

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise UsageError(
                message(
                    f"using the draft of {self._name!r}",
                    expected="the process that made it",
                    got="a fork of it",
                    todo="draft in one process",
                )
            )
        if self._state != "open":
            raise UsageError(
                message(
                    f"using the draft of {self._name!r}",
                    expected="an open draft",
                    got=f"one that is {self._state}",
                    todo="make a new one with store.draft()"
                    if self._named is None
                    else "open its session again with store.draft()",
                )
            )

    def __enter__(self) -> Self:
        if not self._is_answered:
            self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._state == "open":
            try:
                self.commit()
            except CommitStateUnknownError:
                raise  # its session protects what may be published
            except BaseException:
                self._give_up()
                raise
        elif kind is not None:
            self._give_up()

    def __reduce__(self) -> Any:
        raise UsageError(
            message(
                f"pickling the draft of {self._name!r}",
                expected="one process",
                todo="pass rows to the process that holds it",
            )
        )

    def __del__(self) -> None:
        if getattr(self, "_state", "discarded") == "open" and self._pid == os.getpid():
            warnings.warn(
                f"the draft of {self._name!r} was neither committed nor discarded; nothing of it is visible",
                ResourceWarning,
                stacklevel=1,
            )
            self._staging.abort(suspend=True)

    def __repr__(self) -> str:
        return f"<Draft of {self._name!r}, {self._state}: {len(list(self))} entries>"


def _entry_name(name: object) -> str:
    if not isinstance(name, str):
        raise IllegalNameError(message("naming an entry", expected="text", got=repr(name)[:100]))
    return check_entry_name(entry_name(name))


def user_json(value: Mapping[str, Any], what: str) -> str:
    """A mapping of the user's as JSON text, keys sorted; raises `InvalidInputError` for what JSON cannot hold."""
    try:
        text = json.dumps(
            dict(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False, default=_plain
        )
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            message(f"storing {what}", expected="a mapping of text to JSON values", got=str(error)[:200])
        ) from error
    if json.loads(text).keys() != {str(key) for key in value}:
        raise InvalidInputError(
            message(f"storing {what}", expected="keys of text that differ", got=repr(list(value))[:200])
        )
    return text


def _plain(value: Any) -> Any:
    """numpy and torch scalars as the numbers they are."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")

"""A session with a name, as a draft sees it: what its log holds of each table, and what is written to it.

The log tells what came since the seal before; here it is put together, and taken apart again (storage/session_log.py,
table/resume.py). What stands in no table (media, files and class sets that were added by name) is not in the log: whoever goes on
gives it again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tableformat.artifact import Artifact, manifest_of
from tableformat.context import StoreContext
from tableformat.digest import digest_of
from tableformat.document import JsonObject, encode_document
from tableformat.errors import (
    FormatError,
    InvalidInputError,
    NotFoundError,
    Problem,
    TableformatError,
    UsageError,
    message,
)
from tableformat.format.documents import utc_text
from tableformat.format.manifest import Manifest, TableEntry
from tableformat.format.media import Classes
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, Field, MediaType, walk
from tableformat.storage.blobs import BlobWriter
from tableformat.storage.locations import is_owned_uri
from tableformat.storage.session_log import Begin, Record, SessionLog, folder_of, iter_records, read_done
from tableformat.storage.sessions import DEADLINE_S, WriterSession
from tableformat.storage.versions import Input, VersionFile
from tableformat.table.answered import AnsweredWriter
from tableformat.table.resume import Sealed, check_stored
from tableformat.table.sealing import LEAST_S, LEAST_S_REMOTE, Sealer
from tableformat.table.source import input_of
from tableformat.table.writer import TableOptions

__all__ = ["OWNS", "NamedSession", "OpenedSession", "SessionState", "open_session", "read_state", "shape_of"]

OWNS: Final = "owns"
"""In the shape of rows that are fetched to be owned, the column: they are in no table of the draft before all are there."""
_CLASSES: Final = "classes"
_PARTS_TOGETHER: Final = 500  # in one record: a create has its bound where the backend is remote


@dataclass(slots=True)
class SessionState:
    """What the records of a log say together."""

    tables: dict[tuple[str, int], Sealed] = field(default_factory=dict)
    """By table and number of the writer."""
    packs: dict[str, int] = field(default_factory=dict)
    """Packs and single blobs by relative uri, with their lengths."""
    classes: dict[str, str] = field(default_factory=dict)
    """Class sets by digest, as the text of their documents."""
    inputs: dict[tuple[str, str], Input] = field(default_factory=dict)
    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Blobs new and shared, bytes new and shared, as reports count them."""
    told: dict[tuple[str, int], list[Any]] = field(default_factory=dict)
    """Parts that belong to a seal that is not there yet."""
    is_committing: bool = False
    """Whether a commit was begun, of which it is not known here how it ended."""

    def take(self, record: Record, path: str) -> None:
        """Go on with the next record, which came from `path`. Raises `FormatError`."""
        body = record.body
        if record.event == "commit":
            self.is_committing = True
        elif record.event == "open":
            self.told.clear()
        elif record.event == "parts":
            key = (str(body.get("table")), int(body.get("writer", 0)))
            self.told[key] = [*self.told.get(key, ()), *body.get("parts", ())]
        elif record.event == "drop":
            self.tables = {key: sealed for key, sealed in self.tables.items() if key[0] != body.get("table")}
        elif record.event == "seal":
            try:
                self._take_seal(body, path)
            except (KeyError, TypeError, ValueError) as error:
                if isinstance(error, FormatError):
                    raise
                raise FormatError(
                    message("reading a seal", path=path, got=f"a malformed seal: {error!r}"[:300])
                ) from error

    def _take_seal(self, body: Mapping[str, Any], path: str) -> None:
        for value in body["tables"]:
            key = (str(value["table"]), int(value["writer"]))
            self.tables[key] = Sealed.from_delta(value, self.tables.get(key), self.told.pop(key, ()), path)
        for one in body["packs"]:
            if not is_owned_uri(one["uri"]):
                raise ValueError(f"{one['uri']!r:.100} is no file of this store")
            self.packs[one["uri"]] = int(one["size"])
        self.classes.update({str(one["digest"]): str(one["document"]) for one in body[_CLASSES]})
        for one in body["inputs"]:
            found = Input(str(one["artifact"]), str(one["digest"]), one["slot"], one["alias"])
            self.inputs[found.artifact, found.digest] = found
        self.counts = [int(number) for number in body["counts"]]

    @property
    def names(self) -> list[str]:
        """The tables, sorted."""
        return sorted({name for name, _ in self.tables})

    def last(self, name: str) -> Sealed:
        """The last writer of a table."""
        return self.tables[name, max(number for table, number in self.tables if table == name)]

    def closed(self, name: str) -> Sealed | None:
        """The last writer of a table that has closed."""
        found = [
            number for (table, number), sealed in self.tables.items() if table == name and sealed.entry is not None
        ]
        return self.tables[name, max(found)] if found else None

    def class_set(self, digest: str) -> Classes | None:
        """One of the class sets that its tables name."""
        text = self.classes.get(digest)
        return None if text is None else Classes.decode(text.encode("utf-8"), f"the class set {digest}")


def read_state(context: StoreContext, begin: Begin) -> tuple[SessionState, Record | None]:
    """What the log of a session says, and its last record. Reads the log, and no part."""
    state, last = SessionState(), None
    for last in iter_records(context.backend, begin):
        state.take(last, _place(context, begin, last.number))
    return state, last


def _place(context: StoreContext, begin: Begin, number: int) -> str:
    return f"{context.root}/{folder_of(begin.name)}/{begin.id}/{number:020d}.json"


class NamedSession(WriterSession):
    """A session with a name in the hands of one draft. It outlives the draft unless that commits or is discarded."""

    def __init__(self, context: StoreContext, begin: Begin, log: SessionLog, records: Iterable[Record]) -> None:
        super().__init__(context.backend, begin.artifact, context.ensure)
        self.id = begin.id
        self._context, self._beginning, self._log = context, begin, log
        self.state = SessionState()
        for record in records:
            self.state.take(record, _place(context, begin, record.number))
        self._opened: set[str] = set()
        self._closed: dict[str, int] = {}  # by table, how many writers have closed in this process
        self._known_packs = dict(self.state.packs)
        self._old_counts = list(self.state.counts)
        self.blobs: Callable[[], BlobWriter | None] = lambda: None
        """The writer of blobs of the draft, as soon as there is one; set by the draft."""
        self.classes: Mapping[str, Classes] = {}
        """The class sets that the draft knows; set by the draft."""

    # As any session

    @property
    def name(self) -> str:
        """The name that its maker gave it."""
        return self._beginning.name

    @property
    def path(self) -> str:
        """Where its object lies."""
        return f"{folder_of(self.name)}/begin.json"

    def _create(self, document: JsonObject) -> None:
        """Nothing: it was there before the draft was."""

    def check_deadline(self) -> None:
        """Raise `UsageError` where the session is too old to commit."""
        if self._beginning.age_s > DEADLINE_S:
            raise UsageError(_too_old(self.name))

    def end(self) -> None:
        """Drop the session. What fails is passed over, and left to a collection."""
        self._began = None
        self._watch.end()
        with contextlib.suppress(TableformatError):
            self._log.remove()

    def release(self) -> None:
        """Leave the session for whoever opens it next."""
        self._log.release()

    # What is pinned

    def newest(self) -> Manifest | None:
        """The manifest of the version that was the newest when the session began."""
        return _pinned(
            self._context, self._beginning.artifact, self._beginning.newest_slot, self._beginning.newest_root
        )[1]

    # Tables

    def stored(self) -> Iterator[tuple[str, Sealed]]:
        """The tables whose last writer has closed, and that writer."""
        for name in self.state.names:
            if (sealed := self.state.closed(name)) is not None:
                yield name, sealed

    def is_stored(self, name: str) -> bool:
        """Whether the table stands in the draft because the session has it, and was not opened in this process."""
        return name not in self._opened and any(name == table for table, _ in self.state.tables)

    def check_opened(self) -> None:
        """Raise `UsageError` where a table that was begun has not been opened again: a commit would leave out its rows."""
        waiting = [name for name in self.state.names if name not in self._opened]
        begun = {name: last for name in waiting if (last := self.state.last(name)).entry is None}
        if left := [name for name, last in begun.items() if OWNS not in last.shape]:
            rows = ", ".join(f"{name!r} ({self.state.last(name).rows} rows)" for name in left)
            raise UsageError(
                message(f"committing the session {self.name!r}", expected="its tables to be finished", got=f"begun, and not opened again: {rows}",
                        todo="open each with draft.table() and give the rows behind rows_written, or remove() it")
            )  # fmt: skip

    def sealer(self, name: str, shape: Mapping[str, Any]) -> Sealer:
        """For a writer of the table that is opened now. Raises `UsageError` listing what differs from when the session opened it."""
        number = self._closed.get(name, 0)
        known = self.state.tables.get((name, number))
        if known is not None:
            _check_shape(self.name, name, known.shape, shape)
        self._opened.add(name)
        least = LEAST_S if self._context.backend.is_local else LEAST_S_REMOTE
        return Sealer(known or Sealed(name, number, shape), self._write, self._log.check, least)

    def closed(self, name: str) -> None:
        """A writer of the table has closed; the next one is another."""
        self._closed[name] = self._closed.get(name, 0) + 1

    def drop(self, name: str) -> None:
        """Forget what the session holds of a table, which was removed from the draft."""
        if any(name == table for table, _ in self.state.tables):
            self._log.append("drop", table=name)
            self.state.tables = {key: sealed for key, sealed in self.state.tables.items() if key[0] != name}
        self._closed.pop(name, None)
        self._opened.discard(name)

    def _write(self, sealed: Sealed, sources: Iterable[Any]) -> None:
        """Put a seal into the log."""
        state, before = self.state, self.state.tables.get((sealed.table, sealed.writer))
        blobs = self.blobs()
        packs, large = ((), ()) if blobs is None else blobs.stored
        stored = {**{pack.uri: pack.size for pack in packs}, **{blob.uri: blob.size for blob in large}}
        new = {uri: size for uri, size in stored.items() if uri not in state.packs}
        classes = {digest: one for digest, one in self.classes.items() if digest not in state.classes}
        found = [one for source in sources if (one := input_of(source, self._context.root)) is not None]
        inputs = {(one.artifact, one.digest): one for one in found if (one.artifact, one.digest) not in state.inputs}
        documents = {digest: one.encode().decode("utf-8") for digest, one in classes.items()}
        counts, table = self.counts(), sealed.to_delta(before)
        while len(table["parts"]) > _PARTS_TOGETHER:
            some, table["parts"] = table["parts"][:_PARTS_TOGETHER], table["parts"][_PARTS_TOGETHER:]
            self._log.append("parts", parts=some, table=sealed.table, writer=sealed.writer)
        self._log.append(
            "seal", tables=[table], packs=[{"size": size, "uri": uri} for uri, size in new.items()],
            classes=[{"digest": digest, "document": text} for digest, text in documents.items()],
            inputs=[one.to_json() for one in inputs.values()], counts=counts,
        )  # fmt: skip
        state.tables[sealed.table, sealed.writer] = sealed
        state.packs.update(new)
        state.classes.update(documents)
        state.inputs.update(inputs)
        state.counts = counts

    def counts(self) -> list[int]:
        """Blobs new and shared, bytes new and shared, of all processes of the session so far."""
        blobs = self.blobs()
        now = [0, 0, 0, 0] if blobs is None else blobs.counts
        return [old + new for old, new in zip(self._old_counts, now, strict=True)]

    def give_blobs(self, blobs: BlobWriter) -> None:
        """Tell the writer of blobs of this process what those before it have stored."""
        packs = [uri for uri in self._known_packs if uri.startswith("packs/")]
        blobs.take_up(packs, [(uri, size) for uri, size in self._known_packs.items() if uri.startswith("blobs/")])

    # The commit

    def committing(self) -> None:
        """Before the version file is created: from here on it has to be looked for. Raises `UsageError` where the session was taken."""
        self._log.append("commit")

    def finish(self, version: VersionFile) -> None:
        """The draft was committed as `version`."""
        tables = [
            {"checkpoint": sealed.checkpoint, "rows": sealed.entry_rows, "table": name, "writer": number}
            for (name, number), sealed in self.state.tables.items()
        ]
        self._log.finish(
            {"artifact": self._beginning.artifact, "base": self._beginning.base, "root": version.root, "slot": version.slot, "tables": tables}
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """What opening a session finds."""

    session: NamedSession | None
    """The session to write in; None where it was committed."""
    base: VersionFile | None = None
    """What the draft is based on."""
    committed: Artifact | None = None
    """The version that it was committed as."""
    tables: tuple[JsonObject, ...] = ()
    """Of a committed session: `table`, `writer`, `rows` and `checkpoint` of each writer at its end."""
    _asked: Counter[str] = field(default_factory=Counter)

    def answer(self, name: str) -> AnsweredWriter:
        """In place of the next writer of a table. Raises `UsageError` where the session wrote no such table, or not so often."""
        version = "" if self.committed is None else f"{self.committed.name}:{self.committed.version}"
        for one in self.tables:
            if one["table"] == name and one["writer"] == self._asked[name]:
                self._asked[name] += 1
                return AnsweredWriter(name, one["rows"], one["checkpoint"], version)
        raise UsageError(
            message(f"opening table {name!r}", expected="a session that was not committed", got=f"one that was, as {version}, without this table",
                    todo="choose another name for the session")
        )  # fmt: skip


def open_session(
    context: StoreContext, name: str, artifact: str, base: str | None, find_base: Callable[[], VersionFile | None]
) -> OpenedSession:
    """Open the session `name`, or begin it, for a draft of `artifact` based on `base`, which `find_base` looks up.

    Raises `UsageError` where it is another artifact's or base's, where another process holds it, and after the deadline;
    `CorruptError` where files that it counts on are damaged.
    """
    folder_of(name)
    backend = context.backend
    backend.probe()
    if (done := read_done(backend, name)) is not None:
        _check_same(name, done, artifact, base)
        version = context.versions(artifact).require(done["slot"])
        return OpenedSession(None, None, Artifact(context, artifact, version), tuple(done["tables"]))
    begin = Begin.read(backend, name)
    if begin is None:
        context.ensure()
        begin = SessionLog.create(backend, name, lambda id_: _begin(context, id_, name, artifact, base, find_base()))
    _check_same(name, {"artifact": begin.artifact, "base": begin.base}, artifact, base)
    if begin.age_s > DEADLINE_S:
        raise UsageError(_too_old(name))
    log, records = SessionLog.open(backend, begin)
    try:
        session = NamedSession(context, begin, log, records)
        if session.state.is_committing and (made := _committed_by(context, begin)) is not None:
            session.finish(made)
            return open_session(context, name, artifact, base, find_base)
        check_stored(backend, name, session.state.tables.values(), session.state.packs)
        return OpenedSession(session, _pinned(context, artifact, begin.base_slot, begin.base_root)[0])
    except BaseException:
        log.release()
        raise


def _begin(
    context: StoreContext, id_: str, name: str, artifact: str, base: str | None, found: VersionFile | None
) -> Begin:
    newest = context.versions(artifact).newest()
    slots = (None if found is None else found.slot, None if newest is None else newest.slot)
    roots = (None if found is None else found.root, None if newest is None else newest.root)
    return Begin(id_, name, artifact, utc_text(datetime.now(UTC)), base, slots[0], roots[0], slots[1], roots[1])


def _pinned(
    context: StoreContext, artifact: str, slot: int | None, root: str | None
) -> tuple[VersionFile | None, Manifest | None]:
    """A version that a session has noted, and its manifest."""
    if slot is None:
        return None, None
    version = context.versions(artifact).require(slot)
    if version.root != root:
        raise NotFoundError(
            message("resuming a session", path=f"{context.root}#{artifact}:v{slot}", expected=root, got=version.root)
        )
    return version, manifest_of(context, version)


def _committed_by(context: StoreContext, begin: Begin) -> VersionFile | None:
    """The version that a session was committed as, found among those since it began."""
    for slot in context.versions(begin.artifact).iterate():
        if begin.newest_slot is not None and slot.slot <= begin.newest_slot:
            return None
        if isinstance(slot, VersionFile) and slot.session == begin.id:
            return slot
    return None


def _check_same(name: str, known: Mapping[str, Any], artifact: str, base: str | None) -> None:
    """Raise `UsageError` listing in what a session differs from what it is opened with."""
    given = {"artifact": artifact, "base": base}
    problems = [
        Problem(what, f"was {known[what]!r}, is {given[what]!r} now", "differs")
        for what in given
        if known[what] != given[what]
    ]
    if problems:
        raise InvalidInputError(
            message(f"resuming the session {name!r}", expected="the artifact and base that it was begun with", got="others",
                    todo="open it as it was, or choose another name for the session"),
            problems,
        )  # fmt: skip


def _check_shape(session: str, table: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    problems = []
    for what in sorted({*known, *given}):
        was, now = known.get(what), given.get(what)
        if was == now:
            continue
        if what == "columns" and was is not None and now is not None:
            before, after = dict(was), dict(now)
            for column in dict.fromkeys([*before, *after]):
                if before.get(column) != after.get(column):
                    told = f"was {before.get(column, 'not there')}, is {after.get(column, 'not there')} now"
                    problems.append(Problem(f"column {column!r}", told, "differs"))
            if [*before] != [*after] and not problems:
                problems.append(Problem("columns", f"were {[*before]}, are {[*after]} now", "differs"))
        else:
            problems.append(Problem(what, f"was {_shown(was)}, is {_shown(now)} now", "differs"))
    if problems:
        raise InvalidInputError(
            message(f"resuming table {table!r} of the session {session!r}", expected="the schema, key and options that it was begun with",
                    got="others", todo="open it as it was; or remove() it from the draft, or discard the session, and begin it anew"),
            problems,
        )  # fmt: skip


def shape_of(
    given: Schema | None, key: Iterable[str], options: tuple[str, TableOptions], after: TableEntry | None
) -> JsonObject:
    """How a writer is opened, as a seal keeps it: what has to be the same when it is opened again.

    `given` is the schema that was declared, `options` how media are checked and the options of the writer, `after` the table that
    it appends to.
    """
    check, settings = options
    columns = None if given is None else [[column.name, _type_text(column)] for column in given.columns]
    before = None if after is None else digest_of(encode_document(after.to_json()))
    told = {option: getattr(settings, option) for option in TableOptions.__slots__}
    return {"after": before, "check": check, "columns": columns, "key": list(key), **told}


def _type_text(column: Field) -> str:
    """The type of a column for people; with class sets, which it does not show, the beginning of a digest."""
    text = f"{column.type}{'' if column.nullable else ' not null'}"
    if not any(isinstance(node.type, MediaType | ClassType) for node in walk(column)):
        return text
    return f"{text} {digest_of(encode_document({'type': column.type.to_json()}))[7:15]}"


def _shown(value: Any) -> str:
    return "not given" if value is None else repr(value)[:100]


def _too_old(name: str) -> str:
    return message(
        f"resuming the session {name!r}", expected=f"a session younger than {DEADLINE_S // 86400} days", got="an older one",
        todo=f"begin anew after store.session({name!r}).discard(): what it counted on may have been collected",
    )  # fmt: skip

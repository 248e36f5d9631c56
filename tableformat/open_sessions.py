"""`Session`: a session with a name as others see it, while it is written or waits to be gone on with. It is only read, or discarded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tableformat.artifact import Artifact, open_item, source_of
from tableformat.context import StoreContext
from tableformat.errors import NotFoundError, message
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.types import NullType, walk
from tableformat.format.types.nearest import nearest
from tableformat.resumable import SessionState, read_state
from tableformat.storage.holder import Holder
from tableformat.storage.session_log import Begin, Record, iter_names, read_done, remove_session
from tableformat.table.resume import Sealed, decode_checkpoint
from tableformat.table.table import Table

__all__ = ["Session", "SessionTable", "open_sessions"]


@dataclass(frozen=True, slots=True)
class SessionTable:
    """How far one table of a session is."""

    rows: int
    """Rows that are safe: of the last writer, where several wrote to it one after the other."""
    checkpoint: Any
    """The position that the caller gave for that row; None where none was given."""
    is_closed: bool
    """Whether its writer has closed."""


class Session:
    """What a session has sealed, as of the moment when it was opened. Made by `Store.session`; reads the session's log, and no rows.

    `session["train"]` is a `Table` of the rows that are safe; of a table that is appended to, of the new ones, until its writer closes.
    """

    def __init__(self, context: StoreContext, name: str, begin: Begin | None, done: dict[str, Any] | None) -> None:
        self._context = context
        self._done = done
        self.name = name
        """Its name."""
        self.artifact: str = str(done["artifact"]) if done is not None else begin.artifact if begin is not None else ""
        """The artifact that it is a draft of."""
        self.time: str = str(done["time"]) if done is not None else begin.time if begin is not None else ""
        """When it began, or was committed, by its writer's clock: as version files write it."""
        self._state, self._last = SessionState(), None
        if done is None and begin is not None:
            self._state, self._last = read_state(context, begin)

    @classmethod
    def open(cls, context: StoreContext, name: str) -> Session:
        """Read the session `name`; raises `NotFoundError` where there is none."""
        done = read_done(context.backend, name)
        begin = None if done is not None else Begin.read(context.backend, name)
        if done is None and begin is None:
            known = sorted(iter_names(context.backend))
            raise NotFoundError(
                message("opening a session", path=context.root, expected="a session of the store", got=repr(name), todo=nearest(name, known))
            )  # fmt: skip
        return cls(context, name, begin, done)

    @property
    def holder(self) -> str | None:
        """Who writes in it, as far as this machine can tell: a sentence with process, host and time. None where nobody does."""
        last: Record | None = self._last
        return None if last is None else last.held_by(Holder.here())

    @property
    def committed(self) -> Artifact | None:
        """The version that it was committed as; None while it is open. Raises `NotFoundError` where that was deleted."""
        if self._done is None:
            return None
        return Artifact(
            self._context, self.artifact, self._context.versions(self.artifact).require(int(self._done["slot"]))
        )

    @property
    def tables(self) -> dict[str, SessionTable]:
        """How far its tables are, by name."""
        found = {name: self._state.last(name) for name in self._state.names}
        return {
            name: SessionTable(one.rows, decode_checkpoint(one.checkpoint), one.entry is not None)
            for name, one in found.items()
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.names)

    def __getitem__(self, name: str) -> Table:
        """The rows of a table that are safe. Raises `NotFoundError` for a table that has none yet."""
        if name not in self._state.names:
            raise NotFoundError(
                message(f"reading the session {self.name!r}", expected="a table of it", got=repr(name), todo=nearest(name, self._state.names))
            )  # fmt: skip
        last = self._state.last(name)
        address = f"{self._context.root}#{self.artifact} (session {self.name})/{name}"
        if last.entry is not None:
            table: Table = open_item(
                self._context, {**last.entry, "kind": "table", "name": name}, address, self._state.class_set
            )
            return table
        parts = tuple(_seen_parts(last))
        source = source_of(self._context, _entry_of(last), address, self._state.class_set, name=name)
        return Table(replace(source, load_parts=lambda: parts))

    def discard(self) -> None:
        """Drop it, whoever holds it: a writer of it fails at its next seal. What was stored stays for a collection; a version that it was
        committed as stays as well, and only the name is free again."""
        remove_session(self._context.backend, self.name)

    def __repr__(self) -> str:
        state = "committed" if self._done is not None else f"written by {self.holder}" if self.holder else "open"
        return f"<Session {self.name!r} of {self.artifact!r}, {state}>"


def _entry_of(sealed: Sealed) -> TableEntry:
    if not sealed.segments:
        return TableEntry.empty()
    last = sealed.segments[-1]
    return TableEntry(
        sealed.rows, last.schema.settled()[0], last.layout, tuple(sealed.shape.get("key") or ()), unique=False, plain=False, parts=ItemList()
    )  # fmt: skip


def _seen_parts(sealed: Sealed) -> Iterator[Part]:
    """The parts. A column of which no value, or none inside, had been seen when they were written, and that has another type by now, is left out
    of them, and reads as null."""
    last = (
        {column.id: column.type for column in sealed.segments[-1].schema.settled()[0].columns}
        if sealed.segments
        else {}
    )
    for segment in sealed.segments:
        settled = segment.schema.settled()[0].columns
        empty = {
            str(column.id)
            for column, then in zip(segment.schema.columns, settled, strict=True)
            if any(isinstance(node.type, NullType) for node in walk(column)) and then.type != last.get(column.id)
        }
        for part in segment.parts:
            values = {number: digest for number, digest in part.values.items() if number not in empty}
            yield part if not empty else replace(part, values=values)


def open_sessions(context: StoreContext) -> list[Session]:
    """The sessions of a store that were not committed, by name. Lists a folder, and reads the log of each."""
    found = []
    for name in sorted(iter_names(context.backend)):
        begin = Begin.read(context.backend, name)
        if begin is not None and read_done(context.backend, name) is None:
            found.append(Session(context, name, begin, None))
    return found

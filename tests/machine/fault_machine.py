"""A machine of processes that share a store and fail: two writers, two collectors and readers, on a backend that breaks on purpose.

Answers are lost, requests do not arrive, processes die at any call, somebody else acts between any two calls of another, clocks
are wrong, weeks pass. What was committed is there and is what was written, whatever happens; and what went wrong was said.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import tableformat
from tableformat.context import StoreContext
from tableformat.errors import (
    CommitError,
    ConflictError,
    NotFoundError,
    StoreUnavailableError,
    TableformatError,
)
from tableformat.storage.marker import read_marker
from tableformat.storage.versions import Tombstone
from tableformat.store import Store
from tests.machine.memory import Clock, Killed, MemoryBackend, ProcessBackend
from tests.machine.model import Conflict, DraftModel, VersionModel, merge, observe, shown
from tests.machine.small import small_bounds
from tests.table.edit.model import Row, TableModel

__all__ = ["FaultMachine"]

NAME = "a"
TABLES = ("t", "u")
DAY = 24 * 3600.0
DEADLINE, GRACE = 7 * DAY, 8 * DAY
SCHEMA = {"id": pa.int64(), "image": tableformat.ImageType()}
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000000000500017a5eab3f0000000049454e44ae426082")  # fmt: skip
PICTURES = 24
ACTORS = ("writer 0", "writer 1", "collector 0", "collector 1")
WRITERS = st.sampled_from([0, 1])

OPERATIONS = (
    "*",
    "*",
    "create",
    "put",
    "sink.commit",
    "read_or_none",
    "read_many_or_none",
    "read_ranges",
    "list",
    "delete",
    "overwrite",
)


@st.composite
def troubles(draw: st.DrawFn) -> tuple[Any, ...] | None:
    """What goes wrong while an action takes place; mostly nothing does."""
    kind = draw(st.sampled_from(["none", "none", "none", "lost", "killed", "company", "company"]))
    nth = draw(st.integers(1, 8) | st.integers(1, 60))
    if kind == "lost":
        return (
            kind,
            draw(st.sampled_from(OPERATIONS)),
            draw(st.integers(1, 5)),
            draw(st.sampled_from(["before", "after"])),
        )
    if kind == "killed":
        return kind, nth, draw(st.booleans())
    if kind == "company":
        return kind, nth, draw(st.sampled_from(["commit", "gc", "expire", "week"]))
    return None


def picture(number: int) -> tableformat.Image:
    """One of a few pictures, too large to stand in a cell."""
    return tableformat.Image(PNG + bytes([number]) * 2000)


@dataclass
class Process:
    """One process that uses the store."""

    name: str
    backend: ProcessBackend
    store: Store
    skew: float = 0.0
    draft: DraftModel | None = None
    began: tuple[float, float] = (0.0, 0.0)
    """When its draft was begun, in truth and by its own clock."""


class FaultMachine(RuleBasedStateMachine):
    """Versions of one artifact, written by two who may fail, collected by two who may fail."""

    ended = 0
    """Sequences that came to their end, in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.memory = MemoryBackend(self.clock)
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(small_bounds())
        self.stack.enter_context(self.clock.rules())
        self.actors = {name: self.process(name) for name in ACTORS}
        self.slots: list[VersionModel | None] = []
        self.makers: dict[str, Callable[[VersionModel | None], VersionModel]] = {}
        self.messages = 0
        self.aliases: dict[str, int] = {}
        self.acting: list[Process] = []
        self.written: list[list[Row]] = []
        """What tables were written whole with."""

    def process(self, name: str, skew: float = 0.0) -> Process:
        """A process that has just started."""
        backend = ProcessBackend(self.memory)
        return Process(name, backend, Store(StoreContext(backend, read_marker(self.memory))), skew)

    def store(self) -> Store:
        """The store as somebody sees it to whom nothing happens."""
        return Store(StoreContext(self.memory, read_marker(self.memory)))

    # Actions, and what may go wrong in them

    def act(self, process: Process, trouble: tuple[Any, ...] | None, action: Callable[[], Any]) -> Any:
        """What `action` gives, or the error that it ended in; None where the process was killed."""
        self.arrange(process, trouble)
        skew, self.clock.skew = self.clock.skew, process.skew
        self.acting.append(process)
        try:
            return action()
        except (TableformatError, Killed) as error:
            note(f"  {process.name}: {type(error).__name__}: {error}"[:300])
            return error if isinstance(error, TableformatError) else None
        finally:
            self.acting.remove(process)
            self.clock.skew = skew
            process.backend.calm()
            if process.backend.is_dead:
                self.restart(process)
            if not self.acting:
                self.look()

    def arrange(self, process: Process, trouble: tuple[Any, ...] | None) -> None:
        """Let `trouble` happen in what `process` does next."""
        backend = process.backend
        match trouble:
            case ("lost", operation, nth, when):
                backend.fail(operation, nth, when)
            case ("killed", nth, answered):
                backend.die(nth, answered=answered)
            case ("company", nth, what):
                backend.meet(nth, lambda: self.join_in(process, what))
            case _:
                pass

    def join_in(self, process: Process, what: str) -> None:
        """Somebody else does something in the middle of what `process` does."""
        note(f"  in between: {what}")
        others = [one for one in self.actors.values() if one not in self.acting]
        if what == "week":
            # A collector is never asleep for so long that its lease is over: requests under way would arrive later.
            self.clock.sleep(3 * DAY if process.name.startswith("writer") else 600)
        elif what == "commit":
            for other in others:
                if other.draft is not None:
                    self.end(other, None)
                    break
        elif what == "gc":
            self.collect(next(one for one in others if one.name.startswith("collector")), None)
        elif self.live():
            self.expire_with(others[0], None, 1)

    def restart(self, process: Process) -> None:
        """A killed process begins anew and knows nothing."""
        if process.draft is not None:
            with contextlib.suppress(Killed, TableformatError):
                process.draft.draft.discard()
        self.actors[process.name] = self.process(process.name, process.skew)

    def live(self) -> dict[int, VersionModel]:
        """The versions that were not deleted, by number."""
        return {number: version for number, version in enumerate(self.slots) if version is not None}

    def newest(self) -> VersionModel | None:
        """The newest version that was not deleted."""
        return next(reversed(self.live().values()), None)

    # What is true whatever happened

    def look(self) -> None:
        """Every version that was ever committed is there, in order; new ones are what their writers meant."""
        store = self.store()
        if read_marker(self.memory) is None:
            return
        found = list(store.context.versions(NAME).iterate())[::-1]
        assert len(found) >= len(self.slots)
        for number, slot in enumerate(found):
            if number < len(self.slots):
                assert isinstance(slot, Tombstone) == (self.slots[number] is None)
                continue
            if isinstance(slot, Tombstone):  # of a writer that slept through its time, and saw what it had missed
                self.slots.append(None)
                continue
            expected = self.makers.pop(slot.message)(self.newest())
            self.slots.append(self.taken(store[f"{NAME}:v{number}"], expected))

    def taken(self, artifact: Any, expected: VersionModel) -> VersionModel:
        """A version that was made, compared with what it had to be."""
        assert sorted(artifact) == sorted(expected.entries)
        entries = {}
        for name, entry in expected.entries.items():
            assert entry.table is not None
            self.check(artifact[name], entry.table)
            found = observe(artifact[name], entry.table)
            entries[name] = type(entry)(found.table, found.token, found.parts, found.shape, entry.events)
        return VersionModel(entries, 0, artifact.digest, artifact.message)

    def check(self, table: Any, model: TableModel) -> None:
        """All rows are those of the model, pictures byte by byte."""
        rows = [{"id": row["id"], "image": row["image"][-1]} for row in table.rows(media="bytes")]
        assert rows == model.rows

    def check_all(self) -> None:
        """Every byte of every version that was not deleted."""
        for number in self.live():
            report = self.store().verify(f"{NAME}:v{number}", workers=1)
            assert report.problem_count == 0, report.problems

    # Writers

    @initialize(data=st.data())
    def first(self, data: Any) -> None:
        """A version of two tables."""
        self.change(0, data, None)
        self.commit(0, None)
        assert len(self.slots) == 1

    @rule(who=WRITERS, data=st.data(), trouble=troubles())
    def change(self, who: int, data: Any, trouble: Any) -> None:
        """A draft is changed, and begun where there is none."""
        self.edit(who, data, trouble, again=False)

    def edit(self, who: int, data: Any, trouble: Any, *, again: bool) -> None:
        """Change a table of a draft; with `again`, write what some version held before: the same bytes under the same names."""
        process = self.actors[ACTORS[who]]
        if process.draft is None:
            self.begin(process)
        writer = process.draft
        assert writer is not None
        name = data.draw(st.sampled_from(TABLES))
        entry = writer.entries.get(name)
        model = TableModel({"id": "int64", "image": "int64"}, ("id",)) if entry is None else copy.deepcopy(entry.table)
        assert model is not None
        ids, number = (
            data.draw(st.lists(st.integers(0, 30), max_size=5, unique=True)),
            data.draw(st.integers(0, PICTURES - 1)),
        )
        rows = [{"id": one, "image": (number + place) % PICTURES} for place, one in enumerate(ids)]
        kinds = (
            ["append", "append", "append", "upsert", "delete", "replace", "compact"]
            if entry is not None
            else ["create"]
        )
        what = kinds[-2] if again and entry is not None else data.draw(st.sampled_from(kinds))
        if what in ("create", "replace") and self.written and (again or data.draw(st.booleans())):
            rows = self.written[data.draw(st.integers(0, len(self.written) - 1))]
        if what == "append":
            rows = [row for row in rows if row["id"] not in {old["id"] for old in model.rows}]
        note(f"  {process.name} {what} {name}: {rows}")
        found = self.act(process, trouble, lambda: _do(writer, name, what, rows))
        if process is not self.actors[process.name]:  # it was killed
            return
        if isinstance(found, TableformatError):
            self.expect(process, trouble, found)
            self.give_up(who)
            return
        model.rows = _done(model.rows, what, rows)
        if what in ("create", "replace"):
            self.written.append(rows)
        if process.draft is not None:  # company may have committed it: then it is over
            self.check(writer.draft[name], model)
            after = observe(writer.draft[name], model)
            writer.entries[name] = after.after(what, entry)

    def begin(self, process: Process) -> None:
        """A draft from the newest version."""
        self.messages += 1
        self.clock.skew = process.skew
        base = self.newest()
        draft = process.store.draft(NAME, base="latest", message=f"m{self.messages}")
        process.draft = DraftModel(draft, base, True, {} if base is None else dict(base.entries))
        process.began = (self.clock.now, self.clock.time())
        self.clock.skew = 0.0

    def expect(self, process: Process, trouble: Any, error: TableformatError) -> None:
        """An error needs a reason: a failure, a collector that died while it swept, or a writer that slept."""
        is_waiting = isinstance(error, (StoreUnavailableError, CommitError)) and "waiting for a collection" in str(
            error
        )
        assert (trouble is not None and trouble[0] != "company") or self.is_late(process) or is_waiting, error

    def is_late(self, process: Process) -> bool:
        """Whether a draft is too old to commit, by one clock or the other."""
        then, wall = process.began
        return max(self.clock.now - then, self.clock.now + process.skew - wall) > DEADLINE

    @rule(who=WRITERS, trouble=troubles())
    def commit(self, who: int, trouble: Any) -> None:
        """A draft is committed."""
        process = self.actors[ACTORS[who]]
        if process.draft is not None:
            self.end(process, trouble)

    def end(self, process: Process, trouble: Any) -> None:
        """Commit a draft: its version is there, or it was said why not."""
        writer, process.draft = process.draft, None
        assert writer is not None
        message = writer.draft.message

        def made(head: VersionModel | None) -> VersionModel:
            if head is None or (writer.base is not None and writer.base.root == head.root):
                return writer.version
            return merge(writer.base, writer.version, head)

        self.makers[message] = made
        note(f"  {process.name} commits")
        found = self.act(process, trouble, writer.draft.commit)
        with contextlib.suppress(TableformatError, Killed):
            writer.draft.discard()
        if process is not self.actors[process.name]:
            return
        if self.acting:
            return  # the rest can be told when all that is under way is over
        if isinstance(found, tableformat.Artifact):
            assert (message not in self.makers) is writer.draft.created
        elif isinstance(found, ConflictError) and trouble is None and not self.is_late(process):
            try:
                made(self.newest())
            except Conflict:
                return
            raise AssertionError(found)
        elif not isinstance(found, ConflictError):
            self.expect(process, trouble, found)

    @rule(who=WRITERS, data=st.data(), troubles=st.tuples(troubles(), troubles()))
    def work(self, who: int, data: Any, troubles: tuple[Any, Any]) -> None:
        """A draft is changed, and committed."""
        self.change(who, data, troubles[0])
        self.commit(who, troubles[1])

    @rule(who=WRITERS, data=st.data(), trouble=troubles())
    def both(self, who: int, data: Any, trouble: Any) -> None:
        """Both writers change what they took from one version, and commit."""
        for one in (0, 1):
            self.change(one, data, None)
        self.commit(who, trouble)
        self.commit(1 - who, None)

    @rule(
        who=WRITERS,
        data=st.data(),
        troubles=st.tuples(troubles(), troubles(), troubles()),
        days=st.sampled_from([0.0, 1.5]),
    )
    def collection(self, who: int, data: Any, troubles: tuple[Any, Any, Any], days: float) -> None:
        """Old versions go, what they held is condemned, somebody writes, and the condemned is deleted."""
        self.expire(2, None, 1)
        self.clock.sleep(8.1 * DAY)
        self.collect(self.actors[ACTORS[2]], troubles[0])
        self.clock.sleep((8.1 - days) * DAY)
        self.edit(who, data, troubles[1], again=data.draw(st.integers(0, 3)) > 0)
        self.clock.sleep(days * DAY)
        self.collect(self.actors[ACTORS[3]], troubles[2])
        self.commit(who, None)

    @rule(who=WRITERS)
    def give_up(self, who: int) -> None:
        """A draft is discarded."""
        process = self.actors[ACTORS[who]]
        if process.draft is not None:
            process.draft.draft.discard()
            process.draft = None

    @rule(who=WRITERS, data=st.data(), trouble=troubles())
    def roll_back(self, who: int, data: Any, trouble: Any) -> None:
        """An old version becomes the newest, if it is still there."""
        process = self.actors[ACTORS[who]]
        at = data.draw(st.sampled_from(sorted(self.live())))
        old = self.slots[at]
        assert old is not None
        self.messages += 1
        message = f"m{self.messages}"
        self.makers[message] = lambda _: old
        note(f"  {process.name} rolls back to v{at}")
        found = self.act(process, trouble, lambda: process.store.rollback(NAME, f"v{at}", message))
        if isinstance(found, TableformatError):
            assert isinstance(found, NotFoundError) or trouble is not None or "waiting" in str(found), found

    # Collectors

    @rule(who=st.sampled_from([2, 3]), trouble=troubles(), days=st.sampled_from([0, 0, 8.1]))
    def gc(self, who: int, trouble: Any, days: float) -> None:
        """Garbage is collected, one step further."""
        self.clock.sleep(days * DAY)
        self.collect(self.actors[ACTORS[who]], trouble)

    def collect(self, process: Process, trouble: Any) -> None:
        """One call of the collector."""
        found = self.act(process, trouble, lambda: process.store.gc(dry_run=False))
        if isinstance(found, TableformatError):
            assert trouble is not None or self.acting, found
        elif found is not None:
            note(f"  {process.name}: {found.state} {found.deleted}")
            if found.deleted and not self.acting:
                self.check_all()

    @rule(trouble=troubles())
    def gc_alone(self, trouble: Any) -> None:
        """Nobody writes, and the garbage goes at once; when it is gone there is none."""
        for who in (0, 1):
            self.give_up(who)
        process = self.actors[ACTORS[2]]
        if trouble is not None and trouble[0] == "company":
            return
        self.act(process, trouble, lambda: process.store.gc(dry_run=False, grace=0, exclusive=True))
        process = self.actors[ACTORS[3]]
        found = self.act(process, None, lambda: process.store.gc(dry_run=False, grace=0, exclusive=True))
        assert not isinstance(found, TableformatError), found
        left = self.store().gc(grace=0, exclusive=True)
        assert left.condemned == {}, left
        self.check_all()

    @rule(who=st.sampled_from([2, 3]), trouble=troubles(), keep=st.integers(1, 3))
    def expire(self, who: int, trouble: Any, keep: int) -> None:
        """Old versions are deleted."""
        self.expire_with(self.actors[ACTORS[who]], trouble, keep)

    def expire_with(self, process: Process, trouble: Any, keep: int) -> None:
        """All but the newest `keep` and those with an alias become tombstones; where it fails, some of them."""
        if self.acting:  # who is under way may make versions: only what was there is named
            return self.expire_old(process)
        going = [number for number in sorted(self.live())[:-keep] if number not in self.aliases.values()]
        before = list(self.slots)
        for number in going:
            self.slots[number] = None
        found = self.act_quietly(process, trouble, lambda: process.store.expire(NAME, keep))
        slots = list(self.store().context.versions(NAME).iterate())[::-1]
        for number in going:
            if not isinstance(slots[number], Tombstone):
                assert trouble is not None
                self.slots[number] = before[number]
        if isinstance(found, TableformatError):
            assert trouble is not None, found
        self.look()
        return None

    def expire_old(self, process: Process) -> None:
        """The oldest version goes, if there are others."""
        live = [number for number in sorted(self.live()) if number not in self.aliases.values()]
        if len(self.live()) < 2 or not live or live[0] == max(self.live()):
            return
        self.slots[live[0]] = None
        self.act(process, None, lambda: process.store.expire(NAME, versions=[f"v{live[0]}"]))

    def act_quietly(self, process: Process, trouble: Any, action: Callable[[], Any]) -> Any:
        """`act`, and nobody looks at the end."""
        self.acting.append(process)
        if trouble is not None and trouble[0] == "company":
            trouble = None
        try:
            self.acting.remove(process)
            self.arrange(process, trouble)
            return action()
        except (TableformatError, Killed) as error:
            return error if isinstance(error, TableformatError) else None
        finally:
            process.backend.calm()
            if process.backend.is_dead:
                self.restart(process)

    # The world

    @rule(days=st.sampled_from([0.1, 1.0, 3.0, 7.1, 8.1, 30.0]))
    def wait(self, days: float) -> None:
        """Time passes."""
        self.clock.sleep(days * DAY)

    @rule(who=WRITERS, days=st.sampled_from([-400.0, -1.0, 0.0, 1.0, 8.0, 400.0]))
    def set_clock(self, who: int, days: float) -> None:
        """The clock of a process is set, rightly or wrongly."""
        self.actors[ACTORS[who]].skew = days * DAY

    @rule(name=st.sampled_from(["good", "bad"]), data=st.data())
    def alias(self, name: str, data: Any) -> None:
        """An alias holds a version."""
        at = data.draw(st.sampled_from(sorted(self.live())))
        self.store().set_alias(NAME, name, f"v{at}")
        self.aliases[name] = at

    @rule()
    def read(self) -> None:
        """Whatever version was not deleted is read, every byte."""
        store = self.store()
        for number, version in self.live().items():
            for name, entry in version.entries.items():
                assert entry.table is not None
                self.check(store[f"{NAME}:v{number}"][name], entry.table)

    def teardown(self) -> None:
        """In the end everything that was committed is there, and nothing else."""
        try:
            if self.slots:
                self.gc_alone(None)
                type(self).ended += 1
        finally:
            for process in self.actors.values():
                if process.draft is not None:
                    process.draft.draft.discard()
            self.stack.close()


def _do(writer: DraftModel, name: str, what: str, rows: list[Row]) -> None:
    """A change of a table in a draft."""
    given = [{"id": row["id"], "image": picture(row["image"])} for row in rows]
    draft = writer.draft
    if what in ("append", "create", "replace"):
        with draft.table(name, SCHEMA if what != "append" else None, None if what == "append" else "id", mode=what, check="none",
                         **({} if what == "append" else {"part_rows": 3})) as table:  # fmt: skip
            table.extend(given)
    elif what == "upsert":
        draft.upsert(name, given, check="none")
    elif what == "delete":
        draft.delete(name, keys=[row["id"] for row in rows])
    else:
        writer.stored_again |= draft.compact(name).parts_rewritten > 0


def _done(there: list[Row], what: str, rows: list[Row]) -> list[Row]:
    """What the change makes of the rows."""
    ids = {row["id"] for row in rows}
    if what in ("append", "create"):
        return there + rows
    if what == "replace":
        return rows
    if what == "delete":
        return [row for row in there if row["id"] not in ids]
    if what == "upsert":
        changed = [row for row in rows if shown(row) not in {shown(old) for old in there}]
        return [row for row in there if row["id"] not in {new["id"] for new in changed}] + changed
    return there

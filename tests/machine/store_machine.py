"""A machine that edits an artifact as anybody might, two writers at a time, and compares it with dicts and lists all along."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import tableformat
from tableformat.context import StoreContext
from tableformat.digest import Bytes
from tableformat.errors import ConflictError, KeyValueError, NotFoundError, SchemaError, UsageError
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.store import Store
from tableformat.testing import FaultBackend
from tests.machine.checks import check_reads, check_table
from tests.machine.diffs import compared_columns, counted_rows, expected_diff, found_rows, keys_compare
from tests.machine.model import Conflict, DraftModel, Entry, VersionModel, content_of, merge, observe, shown
from tests.machine.small import fast_folder, small_bounds
from tests.table.edit.model import TYPES, TableModel, draw_edit, draw_model, draw_rows

__all__ = ["StoreMachine"]

NAME = "a"
TABLES = ("t", "u")
SETS = ("b", "c")
PART_ROWS = st.sampled_from([1, 3, 3, 64])
WRITERS = st.sampled_from([0, 1])


class MeetingBackend(FaultBackend):
    """A backend that does something of somebody else's just before a version is created."""

    meeting: Callable[[], None] | None = None

    def create(self, path: str, data: Bytes) -> bool:
        meeting, self.meeting = self.meeting, None
        if meeting is not None:
            if "/versions/" in path:
                meeting()
            else:
                self.meeting = meeting
        return super().create(path, data)


class StoreMachine(RuleBasedStateMachine):
    """Two writers of one artifact, and readers of all of its versions."""

    ended = 0
    """Sequences that came to their end, in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(small_bounds())
        self.root = self.stack.enter_context(fast_folder()) / "store"
        self.stores = [self.open(), self.open()]
        self.versions: list[VersionModel] = []
        self.drafts: list[DraftModel | None] = [None, None]
        self.aliases: dict[str, int] = {}
        self.digests: dict[Any, str] = {}
        self.contents: dict[str, Any] = {}

    def open(self) -> Store:
        """The store as another process would open it: nothing remembered."""
        return Store(StoreContext(MeetingBackend(open_backend(str(self.root))), None))

    # What all rules use

    def same_digest(self, content: Any, digest: str) -> None:
        """Equal content has equal digests, and other content others."""
        assert self.digests.setdefault(content, digest) == digest
        assert self.contents.setdefault(digest, content) == content

    def seen(self, table: Any, model: TableModel) -> Entry:
        """The table as it is, compared with the model."""
        check_table(table, model)
        entry = observe(table, model)
        self.same_digest(content_of(entry), table.content_digest)
        return entry

    def changed(self, writer: DraftModel, name: str, model: TableModel, what: str) -> None:
        """An edit of a table in a draft is over: look at it."""
        before, found = writer.entries.get(name), self.seen(writer.draft[name], model)
        if before is not None and before.token == found.token:
            assert content_of(before) == content_of(found)
        writer.entries[name] = found.after(what, before)

    def draft(self, who: int) -> DraftModel:
        """The draft of a writer, begun from the newest version where there is none."""
        found = self.drafts[who]
        if found is None:
            base = self.versions[-1]
            found = DraftModel(
                self.stores[who].draft(NAME, base="latest", message=f"m{len(self.versions)}"), base, True,
                dict(base.entries), base.number,
            )  # fmt: skip
            self.drafts[who] = found
        return found

    def write(self, writer: DraftModel, name: str, model: TableModel, draw: Any) -> None:
        """Write a table whole."""
        options: dict[str, Any] = {}
        if draw(st.booleans()):
            options["part_rows"] = draw(PART_ROWS)
        if model.key and draw(st.integers(0, 3)) == 0:
            options["sort_by_key"] = True
        mode = "replace" if name in writer.entries else "create"
        note(f"  write {name} {mode} {options} {model.types} {model.key} {model.rows}")
        with writer.draft.table(name, model.arrow_schema(), list(model.key), mode=mode, **options) as table:
            for batch in model.to_arrow().to_batches(max_chunksize=7):
                table.extend(batch)
        if options.get("sort_by_key"):
            model.rows.sort(key=model.key_of)
        model.defaults = {}
        self.changed(writer, name, model, "write")

    # Drafts

    @initialize(data=st.data())
    def first(self, data: Any) -> None:
        """The first version, of one or two tables."""
        draft = self.stores[0].draft(NAME, message="first")
        writer = self.drafts[0] = DraftModel(draft, None, False)
        for name in TABLES[: data.draw(st.integers(1, 2))]:
            model = draw_model(data.draw)
            if data.draw(st.integers(0, 3)) == 0:
                model = TableModel({f"{name}{number}": kind for number, kind in enumerate(model.types.values())}, ())
            model.rows = draw_rows(data.draw, model, most=30)
            self.write(writer, name, model, data.draw)
        self.end(0)

    @rule(who=WRITERS, data=st.data())
    @precondition(lambda self: None in self.drafts)
    def begin(self, who: int, data: Any) -> None:
        """A draft from the newest version, from an old one, or from none; sometimes with metadata of its own."""
        if self.drafts[who] is not None:
            return
        kind = data.draw(st.sampled_from(["latest", "latest", "latest", "old", "none"]))
        number = data.draw(st.none() | st.integers(1, 2)) if kind != "old" else None
        at = len(self.versions) - 1 if kind != "old" else data.draw(st.integers(0, len(self.versions) - 1))
        base = None if kind == "none" else self.versions[at]
        address = {"latest": "latest", "old": f"v{at}", "none": None}[kind]
        metadata = {} if number is None else {"metadata": {"n": number}}
        note(f"  writer {who} drafts from {address} {metadata}")
        draft = self.stores[who].draft(NAME, base=address, message=f"m{len(self.versions)}", **metadata)
        found = DraftModel(draft, base, base is not None)
        if base is not None:
            found.entries, found.number = dict(base.entries), base.number
        if number is not None:
            found.number = number
        self.drafts[who] = found

    @rule(who=WRITERS, data=st.data())
    def edit(self, who: int, data: Any) -> None:
        """Edits of a table of a draft, of any sort."""
        writer = self.draft(who)
        names = [name for name in TABLES if name in writer.entries]
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        for _ in range(data.draw(st.integers(1, 3))):
            model = copy.deepcopy(writer.entries[name].table)
            assert model is not None
            change = draw_edit(data.draw, model)
            note(f"  writer {who} edits {name}: {change}")
            counts = change.apply(writer.draft, name)
            change.change(model)
            writer.stored_again |= change.what.startswith("compact") and counts.parts_rewritten > 0
            self.changed(writer, name, model, change.what)

    @rule(who=WRITERS, data=st.data())
    def append_more(self, who: int, data: Any) -> None:
        """Rows appended, and nothing else: both writers may do that."""
        writer = self.draft(who)
        names = [name for name in TABLES if name in writer.entries]
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        model = copy.deepcopy(writer.entries[name].table)
        assert model is not None
        taken = {model.key_of(row) for row in model.rows}
        rows = [row for row in draw_rows(data.draw, model, most=5) if not model.key or model.key_of(row) not in taken]
        note(f"  writer {who} appends to {name}: {rows}")
        with writer.draft.table(name, mode="append") as table:
            table.extend(pa.Table.from_pylist(rows, model.arrow_schema()))
        model.rows += rows
        self.changed(writer, name, model, "append")

    @rule(who=WRITERS, data=st.data())
    def write_again(self, who: int, data: Any) -> None:
        """A table of some version written whole, with rows and columns changed here and there."""
        writer = self.draft(who)
        name = data.draw(st.sampled_from(TABLES))
        known = [writer.entries, *(version.entries for version in self.versions[::-1])]
        model = copy.deepcopy(next((entries[name].table for entries in known if name in entries), None))
        if model is None:
            model = draw_model(data.draw)
        for _ in range(data.draw(st.integers(0, 3))):
            self.rearrange(model, data.draw)
        self.write(writer, name, model, data.draw)

    def rearrange(self, model: TableModel, draw: Any) -> None:
        """One change to what is to be written."""
        plain = model.plain_columns()
        what = draw(st.sampled_from(["insert", "delete", "values", "shuffle", "order", "column", "drop"]))
        if what == "insert":
            taken = {model.key_of(row) for row in model.rows}
            new = [row for row in draw_rows(draw, model, most=4) if not model.key or model.key_of(row) not in taken]
            at = draw(st.integers(0, len(model.rows)))
            model.rows[at:at] = new
        elif what == "delete" and model.rows:
            at = draw(st.integers(0, len(model.rows) - 1))
            del model.rows[at : at + draw(st.integers(1, 5))]
        elif what == "values" and model.rows and plain:
            name = draw(st.sampled_from(plain))
            for row in model.rows[draw(st.integers(0, len(model.rows) - 1)) :][: draw(st.sampled_from([1, 1, 100]))]:
                row[name] = draw(st.none() | TYPES[model.types[name]][1])
        elif what == "shuffle":
            draw(st.randoms(use_true_random=False)).shuffle(model.rows)
        elif what == "order":
            model.types = {name: model.types[name] for name in draw(st.permutations(list(model.types)))}
            model.rows = [{name: row[name] for name in model.types} for row in model.rows]
        elif what == "column":
            name, kind = model.new_name(), draw(st.sampled_from(sorted(TYPES)))
            model.types[name] = kind
            for row in model.rows:
                row[name] = draw(st.none() | TYPES[kind][1])
        elif what == "drop" and len(plain) > 1:
            name = draw(st.sampled_from(plain))
            del model.types[name]
            for row in model.rows:
                del row[name]

    @rule(who=WRITERS, data=st.data(), name=st.sampled_from(SETS), label=st.sampled_from(["cat", "dog", None]))
    def other_entries(self, who: int, data: Any, name: str, label: str | None) -> None:
        """An entry that is no table, written over what stands there; or any entry left out."""
        writer = self.draft(who)
        if name in writer.sets:  # one that is replaced before the commit stays, under a name of its digest
            return
        if label is not None:
            writer.sets.add(name)
            note(f"  writer {who} sets {name} to {label}")
            writer.draft.add(tableformat.Classes({0: label}), name, replace=name in writer.entries)
            writer.entries[name] = Entry(None, label.encode())
        elif len(writer.entries) > 1:
            name = data.draw(st.sampled_from(sorted(writer.entries)))
            if name in writer.sets:
                return
            note(f"  writer {who} removes {name}")
            writer.draft.remove(name)
            del writer.entries[name]

    @rule(who=WRITERS, data=st.data())
    def refuse(self, who: int, data: Any) -> None:
        """What cannot be done is refused, and has changed nothing."""
        writer = self.draft(who)
        names = [name for name in TABLES if name in writer.entries and writer.entries[name].table.rows]  # type: ignore[union-attr]
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        model = writer.entries[name].table
        assert model is not None
        row = data.draw(st.sampled_from(model.rows))
        if model.key:
            one = pa.Table.from_pylist([row], model.arrow_schema())
            with pytest.raises(KeyValueError), writer.draft.table(name, mode="append") as table:
                table.extend(one)
            with pytest.raises(KeyValueError):
                writer.draft.upsert(name, pa.concat_tables([one, one]))
            with pytest.raises(SchemaError):
                writer.draft.drop_columns(name, model.key[0])
        else:
            with pytest.raises(UsageError):
                writer.draft.upsert(name, [row])
        with pytest.raises(SchemaError), writer.draft.table(name, mode="append") as table:
            table.extend(pa.table({"no such column": [1]}))
        with pytest.raises(tableformat.errors.InvalidInputError):
            writer.draft.add_columns(name, {"of another length": pa.array(range(len(model.rows) + 1))})
        with pytest.raises(NotFoundError):
            writer.draft.rename_columns(name, {"no such column": "x"})
        with writer.draft.table(name, mode="append"):
            pass  # an append that failed holds up the commit until there is another
        self.changed(writer, name, copy.deepcopy(model), "refused")

    # Commits

    @rule(who=WRITERS)
    def commit(self, who: int) -> None:
        """One writer commits: what both changed is merged, or a conflict that names it."""
        if self.drafts[who] is not None:
            self.end(who)

    @rule(who=WRITERS, data=st.data(), meeting=st.booleans())
    def both(self, who: int, data: Any, meeting: bool) -> None:
        """Both writers change something of one version, and commit: one after the other, or one just as the other is about to, which
        then has lost the slot and merges again."""
        for one in (0, 1):
            self.draft(one)
            for _ in range(data.draw(st.integers(1, 2))):
                change = data.draw(st.sampled_from([self.append_more] * 3 + [self.edit, self.write_again]))
                change(one, data)
        backend = self.stores[who].context.backend
        assert isinstance(backend, MeetingBackend)
        backend.meeting = (lambda: self.end(1 - who)) if meeting else None
        self.end(who)
        backend.meeting = None
        self.commit(1 - who)

    def expected(self, writer: DraftModel) -> VersionModel:
        """What the commit of a draft makes, after the newest version; raises `Conflict`."""
        head = self.versions[-1] if self.versions else None
        if head is None or not writer.inherits or (writer.base is not None and writer.base.root == head.root):
            return writer.version
        return merge(writer.base, writer.version, head)

    def end(self, who: int) -> None:
        """Commit a draft and look at what came of it."""
        writer = self.drafts[who]
        assert writer is not None
        self.drafts[who] = None
        note(f"  writer {who} commits")
        try:
            found = writer.draft.commit()
        except ConflictError as error:
            with pytest.raises(Conflict) as caught:
                self.expected(writer)
            for name in caught.value.names:
                assert f"entry {name!r}" in str(error) or name == "metadata"  # noqa: PT017 - the model says whether there is one
            self.check_head()
            return
        finally:
            writer.draft.discard()
        before = len(self.versions) - (1 if writer.draft.created and found.slot != len(self.versions) else 0)
        assert before == len(self.versions)
        expected = self.expected(writer)
        is_new = writer.stored_again or not self.versions or expected.content != self.versions[-1].content
        assert writer.draft.created is is_new
        if is_new:
            assert found.slot == len(self.versions)
            self.take(found, expected)
        else:
            assert found.slot == len(self.versions) - 1
        self.check_head()

    def take(self, artifact: Any, expected: VersionModel) -> None:
        """A version was made: look at all of it."""
        assert sorted(name for name in artifact if "/" not in name) == sorted(expected.entries)
        entries = {}
        for name, entry in expected.entries.items():
            if entry.table is None:
                assert artifact[name].to_json() == tableformat.Classes({0: entry.token.decode()}).to_json()
                entries[name] = entry
                continue
            found = self.seen(artifact[name], entry.table)
            assert entry.token in (b"", found.token)
            entries[name] = Entry(found.table, found.token, found.parts, found.shape, entry.events)
        assert artifact.metadata == ({"n": expected.number} if expected.number else {})
        version = VersionModel(entries, expected.number, artifact.digest, artifact.message)
        self.same_digest(repr(version.content), artifact.content_digest)
        self.versions.append(version)

    def check_head(self) -> None:
        """The store has the versions of the model, and no more."""
        log = self.stores[1].log(NAME)
        assert [(slot.slot, slot.root) for slot in log[::-1]] == [
            (number, version.root) for number, version in enumerate(self.versions)
        ]

    @rule(who=WRITERS)
    def give_up(self, who: int) -> None:
        """A draft that is discarded was never there."""
        if (writer := self.drafts[who]) is not None:
            writer.draft.discard()
            self.drafts[who] = None
            self.check_head()

    @rule(who=WRITERS, data=st.data())
    def roll_back(self, who: int, data: Any) -> None:
        """An old version becomes the newest."""
        at = data.draw(st.integers(0, len(self.versions) - 1))
        old, head = self.versions[at], self.versions[-1]
        address = data.draw(st.sampled_from([f"v{at}", old.root]))
        note(f"  rolls back to {address}")
        found = self.stores[who].rollback(NAME, address)
        if old.content == head.content:
            assert found.slot == len(self.versions) - 1
        else:
            assert (found.slot, found.digest) == (len(self.versions), old.root)
            self.versions.append(old)
        self.check_head()

    @rule(who=WRITERS, plain=st.booleans())
    def compact(self, who: int, plain: bool) -> None:
        """All tables are compacted: the content stays, and with `plain` other engines read them."""
        head = self.versions[-1]
        found = self.stores[who].compact(NAME, plain=plain)
        if found.slot == len(self.versions):
            names = [name for name, entry in head.entries.items() if entry.table is not None]
            entries = dict(head.entries)
            for name in names:
                before = head.entries[name]
                entries[name] = observe(found[name], before.table).after("compact", before)  # type: ignore[arg-type]
            assert any(entries[name].token != head.entries[name].token for name in names)
            self.take(found, VersionModel(entries, head.number))
        assert found.content_digest == self.stores[1 - who][f"{NAME}@{head.root}"].content_digest
        for name in TABLES if plain else ():
            assert name not in found or found[name].why_not_plain == ()
        self.check_head()

    @rule(name=st.sampled_from(["good", "bad"]), data=st.data())
    def alias(self, name: str, data: Any) -> None:
        """An alias names a version until it is moved."""
        at = data.draw(st.integers(0, len(self.versions) - 1))
        self.stores[0].set_alias(NAME, name, f"v{at}")
        self.aliases[name] = at
        assert self.stores[1].aliases(NAME) == {alias: f"v{number}" for alias, number in self.aliases.items()}

    # Readers

    @rule(data=st.data())
    def read(self, data: Any) -> None:
        """Any version, by any of its names, reads as it was written, in any way."""
        at = data.draw(st.integers(0, len(self.versions) - 1))
        version = self.versions[at]
        names = [f"{NAME}:v{at}", f"{NAME}@{version.root}"]
        names += [f"{NAME}:{alias}" for alias, number in self.aliases.items() if number == at]
        address = data.draw(st.sampled_from(names))
        artifact = [*self.stores, self.open()][data.draw(st.integers(0, 2))][address]
        tables = [name for name in TABLES if name in version.entries]
        for name in tables:
            model = version.entries[name].table
            assert model is not None
            self.seen(artifact[name], model)
            check_reads(artifact[name], model, data.draw)
            table = tableformat.open_store(self.root)[address][name]
            check_reads(pickle.loads(pickle.dumps(table)), model, data.draw)

    @rule(data=st.data(), keep=st.sampled_from(["changed", "all"]))
    def diff(self, data: Any, keep: str) -> None:
        """The difference of two versions of a table is that of two dicts."""
        numbers = data.draw(st.tuples(*(st.integers(0, len(self.versions) - 1) for _ in range(2))))
        name = data.draw(st.sampled_from(TABLES))
        if not all(name in self.versions[number].entries for number in numbers):
            return
        before, after = (self.versions[number].entries[name].table for number in numbers)
        assert before is not None
        assert after is not None
        tables = [self.stores[0][f"{NAME}:v{number}"][name] for number in numbers]
        note(f"  diff of {name} in v{numbers[0]} and v{numbers[1]}, {keep}")
        if (
            before.key != after.key
            or not keys_compare(before, after)
            or not (before.key or compared_columns(before, after))
        ):
            with pytest.raises((UsageError, SchemaError)):
                len(tableformat.diff(*tables, keep=keep))  # type: ignore[arg-type]
            return
        found = tableformat.diff(*tables, keep=keep).to_arrow().to_pylist()  # type: ignore[arg-type]
        if before.key:
            assert [shown(row) for row in found] == [shown(row) for row in expected_diff(before, after, keep)]
        else:
            assert found_rows(found, before, after) == counted_rows(before, after, keep)

    @rule(data=st.data())
    def write_fresh(self, data: Any) -> None:
        """The content digest is that of the rows written whole elsewhere."""
        version = self.versions[data.draw(st.integers(0, len(self.versions) - 1))]
        for name in (name for name in TABLES if name in version.entries):
            model = version.entries[name].table
            assert model is not None
            table = self.stores[0][f"{NAME}@{version.root}"][name]
            schema = Schema(tuple(column.without_ids() for column in table.schema))
            draft = self.stores[1].draft("fresh")
            try:
                with draft.table(name, schema, list(model.key)) as writer:
                    writer.extend(model.to_arrow())
                assert draft[name].content_digest == table.content_digest
            finally:
                draft.discard()

    @rule(who=WRITERS)
    def reopen(self, who: int) -> None:
        """A process that forgot everything."""
        if self.drafts[who] is None:
            self.stores[who] = self.open()

    # The end

    def teardown(self) -> None:
        """Nothing is left of drafts, and every byte of the newest version is what it was."""
        try:
            for writer in self.drafts:
                if writer is not None:
                    writer.draft.discard()
            if self.versions:
                numbers = {len(self.versions) - 1, len(self.versions) // 2}
                for number in numbers:
                    report = self.open().verify(f"{NAME}:v{number}", workers=1)
                    assert report.problem_count == 0, report.problems
                assert list(self.stores[0].context.backend.list("sessions")) == []
                type(self).ended += 1
        finally:
            self.stack.close()

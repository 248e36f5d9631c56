"""A draft: nothing of it shows before the commit, all of it after, and it ends in one of few ways."""

import copy
import gc
import json
import multiprocessing
import pickle
import warnings

import numpy as np
import pytest

from tableformat import Classes, ClassType, File, Image, open_store
from tableformat.errors import (
    CommitStateUnknownError,
    ConflictError,
    ExistsError,
    IllegalNameError,
    InvalidInputError,
    KeyValueError,
    NotFoundError,
    StoreFullError,
    StoreUnavailableError,
    UnsupportedError,
    UsageError,
)
from tableformat.storage.backend import open_backend
from tableformat.storage.manifests import iter_items
from tableformat.store import Store
from tableformat.testing.faults import FaultBackend
from tests.table.inline_placer import TINY_PNG

ROWS = [{"x": 1}, {"x": 2}]


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture
def faulty(tmp_path):
    """A store, and the backend through which it can be made to fail."""
    context = open_store(tmp_path / "store", create=True).context
    backend = FaultBackend(open_backend(str(tmp_path / "store")))
    return Store(type(context)(backend, context.marker)), backend


def commit(store, name="a", **entries):
    base = entries.pop("base", None)
    options = {key: entries.pop(key) for key in ("metadata", "message", "producer", "type") if key in entries}
    with store.draft(name, base=base, **options) as draft:
        for entry, obj in entries.items():
            draft.add(obj, entry, replace=base is not None)
    return draft.committed


def rows(table):
    return [row.to_dict() for row in table]


# Committing


def test_nothing_shows_before_the_commit(store, tmp_path):
    """Until `commit` there is no version, whatever was written; then there is one with everything."""
    draft = store.draft("a")
    draft.add(ROWS, "t")
    draft.add(File(b"x" * 5000), "f")
    assert open_store(tmp_path / "store").artifacts() == []
    artifact = draft.commit("first")
    assert (artifact.version, artifact.message, sorted(artifact)) == ("v0", "first", ["f", "t"])
    assert open_store(tmp_path / "store")["a"] == artifact
    assert (draft.committed, draft.created, draft.commit()) == (artifact, True, artifact)


def test_an_exception_leaves_no_version(store):
    """Leaving `with` by an exception discards; the next draft begins as if it had not been."""
    with pytest.raises(ZeroDivisionError), store.draft("a") as draft:
        draft.add(ROWS, "t")
        _ = 1 / 0
    assert store.artifacts() == []
    assert commit(store, t=ROWS).version == "v0"
    assert list(store.context.backend.list("sessions")) == []


def drop(held):
    held.clear()
    gc.collect()


def test_an_abandoned_draft_warns_and_commits_nothing(store):
    """A draft that is dropped says so."""
    held = [store.draft("a")]
    held[0].add(ROWS, "t")
    with pytest.warns(ResourceWarning, match="neither committed nor discarded"):
        drop(held)
    assert store.artifacts() == []


def test_a_draft_that_was_ended_says_nothing_when_dropped(store):
    """Committed and discarded drafts go silently."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        held = [store.draft("a"), store.draft("a")]
        held[0].commit()
        held[1].discard()
        held[1].discard()
        drop(held)
    assert [str(one.message) for one in said] == []


@pytest.mark.parametrize("end", ["commit", "discard"])
def test_an_ended_draft_takes_nothing(store, end):
    """After its end every call but the repeated end is refused."""
    draft = store.draft("a")
    getattr(draft, end)()
    for call in (
        lambda: draft.add(ROWS, "t"),
        lambda: draft.table("t"),
        lambda: draft.remove("t"),
        lambda: draft["t"],
        draft.__enter__,
    ):
        with pytest.raises(UsageError, match="committed" if end == "commit" else "discarded"):
            call()


def test_open_tables_are_closed_by_the_commit(store):
    """What was appended and not closed is part of the version."""
    with store.draft("a") as draft:
        draft.table("t").append(x=1)
    assert rows(draft.committed["t"]) == [{"x": 1}]


@pytest.mark.parametrize(
    ("change", "created"),
    [
        ({}, False), ({"message": "other", "producer": {"run": "2"}}, False), ({"metadata": {"k": 2}}, True), ({"type": "model"}, True),
        ({"t": [{"x": 1}, {"x": 3}]}, True), ({"t": ROWS[::-1]}, True), ({"u": ROWS}, True), ({"f": File(b"other")}, True),
    ],
    ids=str,
)  # fmt: skip
def test_an_equal_draft_makes_no_version(store, change, created):
    """Equality covers entries, type and metadata; not message, producer or time."""
    same = {"t": ROWS, "f": File(b"file"), "metadata": {"k": 1}, "message": "m", "producer": {"run": "1"}}
    first = commit(store, **same)
    second = commit(store, **{**same, **change})
    assert (second.version, second.digest == first.digest) == (("v1", False) if created else ("v0", True))
    assert [version.slot for version in store.versions("a")] == ([0, 1] if created else [0])


def test_the_version_digest_is_that_of_what_is_stored(store):
    """The same content under two names has one digest; other metadata give another, with the same entries."""
    one, two = commit(store, "one", t=ROWS), commit(store, "two", t=ROWS)
    other = commit(store, "one", t=ROWS, metadata={"k": 1})
    assert one.digest == two.digest != other.digest
    assert one["t"].content_digest == other["t"].content_digest


def test_reports_count_what_was_stored(store):
    """Rows, and bytes that were new and that were there."""
    data = np.random.default_rng(0).bytes(5000)
    first = commit(store, "a", t=[{"f": File(data)}] * 3)
    again = store.draft("b")
    again.add([{"f": File(data)}] * 2, "t")
    again.commit()
    assert first.report["rows"] == 3
    assert (first.report["blobs_new"], first.report["blobs_shared"]) == (1, 2)
    assert (again.report.blobs_new, again.report.blobs_shared, again.report.bytes_shared) == (0, 2, 10_000)


# Bases


def test_without_a_base_only_what_is_added_is_there(store):
    """The default replaces everything; `base="latest"` keeps what is not named, with type and metadata."""
    commit(store, t=ROWS, u=ROWS, type="model", metadata={"k": 1})
    fresh, kept = commit(store, v=ROWS), None
    assert (list(fresh), fresh.type, fresh.metadata) == (["v"], "dataset", {})
    commit(store, t=ROWS, u=ROWS, type="model", metadata={"k": 1})
    kept = commit(store, v=ROWS, base="latest")
    assert (list(kept), kept.type, kept.metadata) == (["t", "u", "v"], "model", {"k": 1})


@pytest.mark.parametrize("base", ["v0", "best", "digest"])
def test_any_version_may_be_the_base(store, base):
    """A number, an alias or a digest says where to begin."""
    first = commit(store, t=ROWS)
    commit(store, u=ROWS)
    store.set_alias("a", "best", "v0")
    draft = store.draft("a", base=first.digest if base == "digest" else base)
    assert list(draft) == ["t"]
    draft.discard()


@pytest.mark.parametrize("base", ["v7", "nope", "sha256:" + "0" * 64])
def test_a_base_that_is_not_there_is_an_error(store, base):
    """A number, alias or digest that names no version raises; `latest` of nothing is an empty base."""
    with pytest.raises(NotFoundError):
        store.draft("a", base=base)
    assert commit(store, t=ROWS, base="latest").version == "v0"


def test_both_sides_of_a_race_are_kept(store):
    """Of two drafts with one base the loser takes over what the winner added."""
    commit(store, t=ROWS)
    one, two = store.draft("a", base="latest"), store.draft("a", base="latest")
    one.add(ROWS, "one")
    one.remove("t")
    two.add(ROWS, "two")
    assert (one.commit().version, two.commit().version) == ("v1", "v2")
    assert list(store["a"]) == ["one", "two"]


def test_the_first_version_may_be_raced_for(store):
    """Where there was nothing to inherit yet, `base="latest"` still takes over what another draft committed first."""
    one, two, three = (store.draft("a", base="latest") for _ in range(3))
    one.add(ROWS, "one")
    two.add(ROWS, "two")
    three.add([{"x": 5}], "one")
    assert (one.commit().version, two.commit().version, list(store["a"])) == ("v0", "v1", ["one", "two"])
    with pytest.raises(ConflictError, match="'one'"):
        three.commit()
    three.discard()


@pytest.mark.parametrize("what", ["entry", "metadata", "type", "removed"])
def test_a_conflict_names_both_sides(store, what):
    """Where both changed the same, the loser raises, nothing of it shows, and the winner stays."""
    commit(store, t=ROWS, metadata={"k": 0})
    options = {
        "metadata": [{"metadata": {"k": 1}}, {"metadata": {"k": 2}}],
        "type": [{"type": "b"}, {"type": "c"}],
    }.get(what, [{}, {}])
    one, two = (store.draft("a", base="latest", **option) for option in options)
    if what in ("entry", "removed"):
        one.add([{"x": 5}], "t", replace=True)
        two.remove("t") if what == "removed" else two.add([{"x": 6}], "t", replace=True)
    winner = one.commit()
    with pytest.raises(ConflictError, match={"entry": "'t'", "removed": "'t'"}.get(what, what)):
        two.commit()
    two.discard()
    assert store["a"] == winner


def test_without_a_base_the_last_one_wins(store):
    """Drafts without a base follow each other; each version is whole."""
    one, two = store.draft("a"), store.draft("a")
    one.add(ROWS, "one")
    two.add(ROWS, "two")
    one.commit()
    assert (two.commit().version, list(store["a"])) == ("v1", ["two"])
    assert list(store["a:v0"]) == ["one"]


def test_unknown_kinds_are_carried(store):
    """Entries of kinds that this library does not know go from version to version unchanged, and refuse to open by name."""
    from tableformat.entries import item_of

    with store.draft("a") as draft:
        draft._settle_item("q", "query", "sha256:" + "1" * 64, {"sql": "select 1"})
    with store.draft("a", base="latest") as draft:
        draft.add(ROWS, "t")
    [item] = [item for item in draft.committed.items_raw() if item["name"] == "q"]
    assert item == item_of("q", "query", "sha256:" + "1" * 64, {"sql": "select 1"})
    with pytest.raises(UnsupportedError, match="query"):
        draft.committed["q"]


# Names


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/../b", "/a", "a//b", "a/", "a\x00", "a\\b", "a\n", "x" * 1025, 3, None]
)
def test_illegal_entry_names(store, name):
    """Names that are no plain relative path are refused when they are given, and nothing is staged."""
    draft = store.draft("a")
    for call in (lambda: draft.add(ROWS, name), lambda: draft.table(name)):
        with pytest.raises(IllegalNameError):
            call()
    assert list(draft) == []
    draft.discard()


def test_two_entries_of_one_name(store):
    """A taken name is refused unless it is to be replaced; names that differ by case alone are refused always."""
    with store.draft("a") as draft:
        draft.add(ROWS, "t")
        for call in (lambda: draft.add(ROWS, "t"), lambda: draft.table("t")):
            with pytest.raises(ExistsError, match="replace"):
                call()
        for call in (lambda: draft.add(ROWS, "T", replace=True), lambda: draft.table("T", mode="replace")):
            with pytest.raises(ExistsError, match="case"):
                call()
        draft.add([{"x": 9}], "t", replace=True)
    assert rows(draft.committed["t"]) == [{"x": 9}]


def test_a_removed_name_is_free(store):
    """After `remove` the name may be given again, in another case too; removing twice is an error."""
    with store.draft("a") as draft:
        draft.add(ROWS, "t")
        draft.remove("t")
        with pytest.raises(NotFoundError):
            draft.remove("t")
        draft.add(ROWS, "T")
    assert list(draft.committed) == ["T"]


@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize(
    "bad",
    [[{"x": 1}, {"x": "a"}], object(), "no/such/file", Image(b"no image")],
    ids=["row", "object", "path", "image"],
)
def test_a_replacement_that_fails_changes_nothing(store, base, bad):
    """What stood under the name stays there when the new object cannot be stored, and the draft goes on."""
    if base:
        commit(store, t=ROWS)
    with store.draft("a", base="latest") as draft:
        if not base:
            draft.add(ROWS, "t")
        with pytest.raises((InvalidInputError, NotFoundError, OSError)):
            draft.add(bad, "t", replace=True)
        with pytest.raises((InvalidInputError, NotFoundError, OSError)):
            draft.add(bad, "new")
        with pytest.raises(InvalidInputError):
            draft.table("t", mode="replace", colour=1)
        assert "new" not in draft
        draft.add([{"x": 7}], "new")
    assert rows(draft.committed["t"]) == ROWS
    assert rows(draft.committed["new"]) == [{"x": 7}]


def test_many_entries(store):
    """Thousands of small entries are added in a time that grows with their number, not its square."""
    with store.draft("a") as draft:
        for number in range(3000):
            draft.add(Classes([str(number)]), f"c/{number}")
    assert len(draft.committed) == 3000
    assert draft.committed["c/2999"].names[0] == "2999"


# Reading a draft


def test_what_was_added_can_be_read_before_the_commit(store):
    """Objects come back as they were given, closed tables as tables, inherited entries from their version."""
    commit(store, old=ROWS)
    classes, image = Classes(["a"]), Image(TINY_PNG)
    with store.draft("a", base="latest") as draft:
        draft.add(classes, "classes")
        draft.add(image, "image")
        draft.add(ROWS, "t")
        writer = draft.table("open")
        writer.append(x=1)
        with pytest.raises(UsageError, match="close"):
            draft["open"]
        writer.close()
        assert (draft["classes"], draft["image"], rows(draft["t"]), rows(draft["old"]), rows(draft["open"])) == (
            classes,
            image,
            ROWS,
            ROWS,
            [{"x": 1}],
        )
        assert list(draft) == ["classes", "image", "old", "open", "t"]
        with pytest.raises(NotFoundError, match="image"):
            draft["imgae"]


def test_media_of_a_draft_are_readable_once_their_table_is_closed(store):
    """A closed table gives its media before the commit, and they can be stored in the next table."""
    data = np.random.default_rng(1).bytes(3000)
    with store.draft("a") as draft:
        draft.add([{"f": File(data)}], "one")
        assert draft["one"][0]["f"].bytes() == data
        draft.add([{"f": draft["one"][0]["f"]}], "two")
    assert draft.committed["two"][0]["f"].bytes() == data
    assert draft.committed.inputs() == ()


# Faults


def test_a_bad_row_at_the_end_leaves_the_draft_open(store):
    """An open table that cannot be closed fails the commit, not the draft: mend it or remove it, and commit again."""
    draft = store.draft("a")
    writer = draft.table("t", key="k")
    writer.extend([{"k": 2}, {"k": 1}, {"k": 2}])
    with pytest.raises(KeyValueError):
        draft.commit()
    with pytest.raises(UsageError, match="remove"):
        draft.commit()
    assert store.artifacts() == []
    draft.add([{"k": 1}], "t")
    assert rows(draft.commit()["t"]) == [{"k": 1}]


def test_a_with_block_whose_commit_fails_is_discarded(store):
    """The error of the commit comes out of `with`, and no session, thread or version stays."""
    with pytest.raises(KeyValueError), store.draft("a") as draft:
        draft.table("t", key="k").extend([{"k": 2}, {"k": 1}, {"k": 2}])
    assert store.artifacts() == []
    assert list(store.context.backend.list("sessions")) == []
    with pytest.raises(UsageError, match="discarded"):
        draft.commit()


@pytest.mark.parametrize("operation", ["put", "writer", "sink.write", "sink.commit", "create"])
def test_a_full_store_fails_the_draft_and_shows_nothing(faulty, operation):
    """No space left: the error says so, no version shows, and once there is space the next draft works."""
    store, backend = faulty
    backend.fail(operation, times=10_000, error=lambda: StoreFullError("no space left"))
    with pytest.raises(StoreFullError, match="no space"), store.draft("a") as draft:
        draft.add([{"f": File(np.random.default_rng(0).bytes(9000))}], "t")
    backend.faults.clear()
    assert store.artifacts() == []
    assert commit(store, t=ROWS).version == "v0"


def test_an_unknown_outcome_is_said_and_protects_its_bytes(faulty):
    """Where the store does not say whether the version was published, the error is its own and the session stays."""
    store, backend = faulty
    commit(store, t=ROWS)
    with pytest.raises(CommitStateUnknownError), store.draft("a") as draft:
        draft.add([{"f": File(b"x" * 5000)}], "t")
        backend.fail("create", times=50, when="after", path="versions")
        for operation in ("read", "read_or_none", "size"):
            backend.fail(
                operation, times=10_000, error=lambda: StoreUnavailableError("gone"), path=f"versions/{1:020d}"
            )
    backend.faults.clear()
    assert list(backend.list("sessions")) != []
    assert store["a"].version in ("v0", "v1")


def test_a_lost_reply_is_no_second_version(faulty):
    """The version was published and the answer lost: reading back finds it, and there is one."""
    store, backend = faulty
    backend.fail("create", when="after", path="versions")
    artifact = commit(store, t=ROWS)
    assert (artifact.version, len(store.versions("a"))) == ("v0", 1)


# Inputs and words


def test_inputs_are_recorded(store):
    """Versions that were named, and those whose media or tables were taken, stand in the commit once each."""
    source = commit(store, "source", t=[{"f": File(b"y" * 3000)}])
    store.set_alias("source", "best")
    with store.draft("a") as draft:
        assert draft.use("source:best") == source
        draft.use(source)
        draft.add(source["t"], "t")
        draft.add([{"f": source["t"][0]["f"]}], "u")
    [found] = draft.committed.inputs()
    assert (found.artifact, found.digest, found.slot, found.alias) == ("source", source.digest, 0, "best")
    assert source.used_by() == [draft.committed]


def test_inputs_of_other_stores_have_addresses(store, tmp_path):
    """What was made from a version of another store says which store: tables, media in rows, and media in edits."""
    other = open_store(tmp_path / "other")
    source = commit(other, "source", t=[{"id": 1, "f": File(b"y" * 3000)}])
    made = [commit(store, "table", t=source["t"]), commit(store, "rows", t=[{"f": source["t"][0]["f"]}])]
    with store.draft("edit") as draft, draft.table("t", key="id") as table:
        table.append(id=1, f=File(b"x" * 3000))
    with store.draft("edit", base="latest") as draft:
        draft.upsert("t", [{"id": 1, "f": source["t"][0]["f"]}])
    for artifact in [*made, draft.committed]:
        [found] = artifact.inputs()
        assert (found.artifact, found.digest) == (f"{other.root}#source", source.digest)
    assert source.used_by() == []


def test_a_table_of_the_store_moves_nothing(store):
    """Adding a table of another version shares its parts."""
    source = commit(store, "source", t=ROWS)
    with store.draft("a") as draft:
        draft.add(source["t"], "t")
    assert draft.committed["t"].files() == source["t"].files()
    assert draft.report.bytes_new == 0
    with store.draft("b") as draft:
        draft.add(source["t"].head(1), "t")
    assert rows(draft.committed["t"]) == ROWS[:1]


@pytest.mark.parametrize("word", ["metadata", "producer"])
@pytest.mark.parametrize(
    "value",
    [{"a": object()}, {"a": float("nan")}, {"a": {1, 2}}, "text", {True: 1, "true": 2}, [1]],
    ids=["object", "nan", "set", "text", "key", "list"],
)
def test_what_json_cannot_hold_is_refused(store, word, value):
    """Metadata and producer are JSON objects; the error names which of them is not."""
    with pytest.raises(InvalidInputError, match=word):
        store.draft("a", **{word: value})


def test_metadata_come_back(store):
    """Numbers of any size, floats, nesting and numpy scalars come back as JSON says."""
    value = {"big": 2**70, "f": 0.1, "n": np.float64(1.5), "deep": [{"ä": None}], "ok": np.bool_(True)}
    artifact = commit(store, metadata=value, producer={"run": "r1", "job_type": "train"})
    assert artifact.metadata == {"big": 2**70, "f": 0.1, "n": 1.5, "deep": [{"ä": None}], "ok": True}
    assert artifact.producer == {"run": "r1", "job_type": "train"}


@pytest.mark.parametrize("type_", ["", 3, "x" * 129])
def test_types_are_short_texts(store, type_):
    """The type of an artifact is a text of 1 to 128 characters."""
    with pytest.raises(InvalidInputError, match="type"):
        store.draft("a", type=type_)


def test_a_key_is_inherited(store):
    """The next version of a keyed table has its key, and `()` says that it has none."""
    with store.draft("a") as draft, draft.table("t", key="x") as writer:
        writer.extend(ROWS)
    with store.draft("a") as draft:
        draft.add([*ROWS, {"x": 3}], "t")
        draft.add(ROWS, "other")
    assert (draft.committed["t"].key, draft.committed["other"].key) == (("x",), ())
    with store.draft("a") as draft, draft.table("t", key=()) as writer:
        writer.extend([{"y": 1}])
    assert draft.committed["t"].key == ()


def test_ids_live_on(store):
    """A table that is written again keeps the ids of columns of the same names, and gives none of those that went."""
    one = commit(store, t=[{"a": 1, "b": 2}])
    two = commit(store, t=[{"a": 1, "c": 2}])
    three = commit(store, t=[{"a": 1, "b": 2}])
    ids = [{column.name: column.id for column in artifact["t"].schema.columns} for artifact in (one, two, three)]
    assert ids[0]["a"] == ids[1]["a"] == ids[2]["a"]
    assert ids[2]["b"] != ids[0]["b"]


def test_class_sets_come_along(store):
    """Class sets that a table uses are entries of the version, found by digest, named or not."""
    classes = Classes(["cat", "dog"])
    with store.draft("a") as draft:
        with draft.table("t", {"c": ClassType(classes)}) as writer:
            writer.append(c=1)
        draft.add(Classes(["other"]), "named")
    kinds = draft.committed.kinds()
    assert sorted(kinds.values()) == ["classes", "classes", "table"]
    assert draft.committed["t"].class_sets() == [classes]


# Processes


def test_drafts_do_not_pickle(store):
    """A draft belongs to its process: pickling and copying it are refused."""
    draft = store.draft("a")
    for call in (pickle.dumps, copy.deepcopy):
        with pytest.raises(UsageError, match="process"):
            call(draft)
    draft.discard()


def use_in_fork(draft, answers):
    for call in (lambda: draft.add(ROWS, "u"), draft.commit):
        try:
            call()
        except UsageError as error:
            answers.put(str(error))
        else:
            answers.put("taken")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_cannot_draft(store):
    """A child process can neither add nor commit; the parent can."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    draft = store.draft("a")
    draft.add([{"f": File(b"z" * 3000)}], "t")
    child = context.Process(target=use_in_fork, args=(draft, answers))
    child.start()
    assert all("fork" in answers.get(timeout=30) for _ in range(2))
    child.join(30)
    assert child.exitcode == 0
    assert draft.commit().version == "v0"


def test_objects_listed_are_those_of_every_entry(store):
    """Media and files outside of tables say which packs they need."""
    data = np.random.default_rng(1).bytes(3000)
    with store.draft("a") as draft:
        draft.add(Image(TINY_PNG), "small")
        draft.add(File(data), "file")
    items = {item["name"]: item for item in iter_items(store.context.backend, draft.committed.manifest.entries)}
    assert items["file"]["place"]["uri"].startswith("packs/")
    assert items["small"]["objects"] == []
    assert json.dumps(items["file"])
    assert draft.committed["file"].bytes() == data
    assert draft.committed["small"].bytes() == TINY_PNG

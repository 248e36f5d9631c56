"""Joined tables in drafts and versions: stored by what they name, opened without rows, and told what is wrong."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat import JoinedTable
from tableformat.context import StoreContext
from tableformat.document import encode_document
from tableformat.errors import (
    CorruptError,
    FormatError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    SchemaError,
    UnsupportedError,
    UsageError,
)
from tableformat.storage.backend import open_backend
from tableformat.store import Store
from tableformat.table.join.stored import JoinDocument, Target, check_joins
from tableformat.testing import FaultBackend
from tableformat.verify import verify_version
from tests.publishing import publish

TRAIN = pa.table({"id": [1, 2, 3], "label": ["a", "b", "c"]})
EXTRA = pa.table({"id": [3, 1, 1], "score": [0.3, 0.1, 0.2]})


@pytest.fixture
def store(tmp_path: Path) -> tableformat.Store:
    """A store with `animals`, which holds `train` and `extra`."""
    found = tableformat.open_store(tmp_path / "store")
    with found.draft("animals") as draft:
        draft.add(TRAIN, "train")
        draft.add(EXTRA, "extra")
    return found


def entry(store: tableformat.Store, artifact: str, name: str) -> dict[str, Any]:
    [found] = [item for item in store[artifact].items_raw() if item["name"] == name]
    return found


def joined_item(
    name: str, left: Target, right: Target, on: tuple[tuple[str, str], ...] = (("id", "id"),)
) -> dict[str, Any]:
    """An entry as a careless writer may have stored it."""
    document = JoinDocument(left, right, on, "inner")
    return {**document.fields(), "content": document.content, "key": name, "kind": "joined_table", "name": name}


def test_tables_of_one_draft_are_joined_by_name(store: tableformat.Store, tmp_path: Path) -> None:
    """Names, tables of the draft and objects that were added to it are stored as paths; the draft reads them before the commit."""
    with store.draft("run") as draft:
        draft.add(TRAIN, "train")
        pq.write_table(pa.table({"id": [1], "x": [5]}), tmp_path / "hand.parquet")
        given = draft.add(tableformat.read_table(str(tmp_path / "hand.parquet")), "hand")
        draft.add(JoinedTable("train", "hand.table.json", on="id"), "by-name")
        draft.add(JoinedTable(draft["train"], given, on="id"), "by-object")
        assert draft["by-name"].to_arrow().to_pylist() == [{"id_0": 1, "label": "a", "id_1": 1, "x": 5}]
    run = store["run"]
    for name in ("by-name", "by-object"):
        found = entry(store, "run", name)
        assert (found["left"], found["right"]) == ({"path": "train"}, {"path": "hand"})
        assert found["requires"]["read"] == ["joined-tables"]
        assert run[name].to_arrow().to_pylist() == [{"id_0": 1, "label": "a", "id_1": 1, "x": 5}]
    assert entry(store, "run", "by-name")["content"] == entry(store, "run", "by-object")["content"]
    assert run["by-name.joined-table.json"].columns == ["id_0", "label", "id_1", "x"]


def test_tables_of_other_versions_are_pinned_and_become_inputs(store: tableformat.Store) -> None:
    """A side in another version is stored by artifact, digest and path, and the version is an input, as it was asked for. [JOIN-5]"""
    animals = store["animals:v0"]
    with store.draft("run") as draft:
        draft.add(pa.table({"id": [1, 3], "pred": ["x", "y"]}), "predictions")
        draft.add(JoinedTable(animals["train"], "predictions", on="id"), "compare")
    with store.draft("animals") as draft:
        draft.add(TRAIN.slice(1), "train")
    run = store["run"]
    assert entry(store, "run", "compare")["left"] == {"artifact": "animals", "digest": animals.digest, "path": "train"}
    assert [(one.artifact, one.digest, one.slot) for one in run.inputs()] == [("animals", animals.digest, 0)]
    assert run["compare"].select("label", "pred").to_arrow().to_pylist() == [
        {"label": "a", "pred": "x"},
        {"label": "c", "pred": "y"},
    ]


def test_joins_of_joins_are_stored(store: tableformat.Store) -> None:
    """A joined table as a side is stored as it stands, or by the name under which it was added."""
    animals = store["animals"]
    inner = JoinedTable(animals["train"], animals["extra"], on="id", how="left")
    with store.draft("run") as draft:
        draft.add(pa.table({"id": [1], "pred": ["x"]}), "predictions")
        draft.add(JoinedTable(inner, "predictions", on=("id_0", "id")), "deep")
        draft.add(inner, "inner")
        draft.add(JoinedTable(inner, "predictions", on=("id_0", "id")), "by-name")
    assert entry(store, "run", "by-name")["left"] == {"path": "inner"}
    assert entry(store, "run", "deep")["left"]["joined"]["left"]["digest"] == animals.digest
    rows = [{"id_0": 1, "label": "a", "id_1": 1, "score": score, "id": 1, "pred": "x"} for score in (0.1, 0.2)]
    assert store["run"]["deep"].to_arrow().to_pylist() == store["run"]["by-name"].to_arrow().to_pylist() == rows
    assert [row["0"]["1"]["score"] for row in store["run"]["deep"]] == [0.1, 0.2]


def test_opening_reads_no_rows(tmp_path: Path) -> None:
    """Opening a joined table, its schema, names and selections read manifests only."""
    backend = FaultBackend(open_backend(str(tmp_path / "store")))
    with Store(StoreContext(backend, None)).draft("a") as draft:
        draft.add(TRAIN, "train")
        draft.add(EXTRA, "extra")
        draft.add(JoinedTable("train", "extra", on="id"), "joined")
    artifact = Store(StoreContext(backend, None))["a"]
    backend.calls.clear()
    joined = artifact["joined"].where(label="a").select("score").head(3)
    assert joined.columns == ["score"]
    assert repr(artifact["joined"]).startswith("<JoinedTable ")
    assert [call for call in backend.calls if "data/" in call[1]] == []
    assert joined.to_arrow().num_rows == 2
    assert [call for call in backend.calls if "data/" in call[1]] != []


def test_what_cannot_be_stored_is_refused(store: tableformat.Store, tmp_path: Path) -> None:
    """Selections, tables of no store or of another one, names that are not there and columns that do not compare raise at `add`."""
    animals = store["animals"]
    other = tableformat.open_store(tmp_path / "other")
    with other.draft("x") as draft:
        draft.add(TRAIN, "train")
    train = animals["train"]
    pq.write_table(TRAIN, tmp_path / "bare.parquet")
    cases: list[tuple[JoinedTable, type[Exception], str]] = [
        (JoinedTable(train, train, on="id").head(1), InvalidInputError, "selection"),
        (JoinedTable(train.where(id=1), train, on="id"), InvalidInputError, "left side"),
        (JoinedTable(train, other["x"]["train"], on="id"), InvalidInputError, "right side"),
        (
            JoinedTable(train, tableformat.read_table(str(tmp_path / "bare.parquet")), on="id"),
            InvalidInputError,
            "right side",
        ),
        (JoinedTable("nothing", train, on="id"), NotFoundError, "nothing"),
        (JoinedTable("own", train, on=("id", "label")), SchemaError, "int64.*string"),
        (JoinedTable("own", train, on="key"), NotFoundError, "left side"),
    ]
    with store.draft("run") as draft:
        draft.add(TRAIN, "own")
        for joined, error, text in cases:
            with pytest.raises(error, match=text):
                draft.add(joined, "bad")
            assert "bad" not in draft
    assert list(store["run"]) == ["own"]


def test_a_name_is_read_in_a_draft_only(store: tableformat.Store) -> None:
    """A joined table of names has no rows before a draft knows them, and says so."""
    joined = JoinedTable("train", store["animals"]["extra"], on="id")
    assert "'train'" in repr(joined)
    with pytest.raises(UsageError, match="add it to a draft"):
        joined.to_arrow()


def test_versions_whose_joins_lost_a_side_are_not_committed(store: tableformat.Store) -> None:
    """A draft that inherits a joined table and drops a side, its key, or makes it another thing, names both. [JOIN-4]"""
    with store.draft("animals", base="latest") as draft:
        draft.add(JoinedTable("train", "extra", on="id"), "joined")
    changes: list[tuple[Any, type[Exception], str]] = [
        (None, InvalidInputError, "'joined'.*'extra'.*none"),
        (tableformat.Classes(["a"]), InvalidInputError, "'joined'.*classes"),
        (pa.table({"number": [1]}), NotFoundError, "'joined'.*'id'"),
        (pa.table({"id": ["1"]}), SchemaError, "'joined'.*int64.*string"),
    ]
    for thing, error, text in changes:
        draft = store.draft("animals", base="latest")
        if thing is None:
            draft.remove("extra")
        else:
            draft.add(thing, "extra", replace=True)
        with pytest.raises(error, match=text):
            draft.commit()
        draft.discard()
    assert len(store.versions("animals")) == 2


def test_a_join_follows_the_tables_of_its_version(store: tableformat.Store) -> None:
    """A side named by path alone is the entry of the version that is read: a new version of it is joined from then on."""
    with store.draft("animals", base="latest") as draft:
        draft.add(JoinedTable("train", "extra", on="id"), "joined")
    with store.draft("animals", base="latest") as draft:
        draft.add(pa.table({"id": [2], "score": [9.0]}), "extra", replace=True)
    assert store["animals:v1"]["joined"].select("score").to_arrow().to_pylist() == [
        {"score": x} for x in (0.1, 0.2, 0.3)
    ]
    assert store["animals"]["joined"].select("score").to_arrow().to_pylist() == [{"score": 9.0}]


def test_sides_that_are_gone_are_told(store: tableformat.Store) -> None:
    """A side whose entry or version is gone, or is another thing, raises with the joined table and the side; other entries open."""
    digest = store["animals"].digest
    nowhere = f"sha256:{'5' * 64}"
    publish(
        store, "a", [
            joined_item("another", Target("gone"), Target("train", "animals", digest)),
            joined_item("entry", Target("trian", "animals", digest), Target("train", "animals", digest)),
            joined_item("fine", Target("extra", "animals", digest), Target("train", "animals", digest)),
            joined_item("itself", Target("itself"), Target("train", "animals", digest)),
            joined_item("key", Target("extra", "animals", digest), Target("train", "animals", digest), (("number", "id"),)),
            joined_item("ring-1", Target("ring-2"), Target("train", "animals", digest)),
            joined_item("ring-2", Target("ring-1"), Target("train", "animals", digest)),
            joined_item("type", Target("extra", "animals", digest), Target("train", "animals", digest), (("id", "label"),)),
            joined_item("version", Target("train", "animals", nowhere), Target("train", "animals", digest)),
        ],
    )  # fmt: skip
    artifact = store["a"]
    assert len(artifact["fine"]) == 3
    for name, error, text in [
        ("another", NotFoundError, "left side.*another.*gone"),
        ("entry", NotFoundError, "left side.*trian.*'train'"),
        ("version", NotFoundError, f"left side.*version.*{nowhere}"),
        ("key", NotFoundError, "a/?.*key.*'number'"),
        ("type", SchemaError, "int64.*string"),
    ]:
        with pytest.raises(error, match=text):
            artifact[name]


def test_joins_that_read_themselves_are_refused(store: tableformat.Store) -> None:
    """A join that names itself, or one that names it, is an error of format, not an endless one. [JOIN-3]"""
    digest = store["animals"].digest
    train = Target("train", "animals", digest)
    publish(
        store,
        "a",
        [
            joined_item("itself", Target("itself"), train),
            joined_item("ring-1", train, Target("ring-2")),
            joined_item("ring-2", Target("ring-1"), train),
        ],
    )
    for name in ("itself", "ring-1", "ring-2"):
        with pytest.raises(FormatError, match="reads itself"):
            store["a"][name]
    items = [
        joined_item("a", Target("b"), train),
        joined_item("b", train, Target(joined=JoinDocument(Target("a"), train, (("id", "id"),), "semi"))),
    ]
    with pytest.raises(InvalidInputError, match="a → b → a"):
        check_joins({item["name"]: item for item in items}, "committing")
    with store.draft("animals", base="latest") as draft:
        draft.add(JoinedTable("train", "extra", on="id"), "joined")
        with pytest.raises(NotFoundError, match="extra"):  # what is replaced is no longer there
            draft.add(JoinedTable("joined", "train", on=("id_0", "id")), "extra", replace=True)
    assert store["animals"]["joined"].num_rows == 3


def test_joins_are_nested_to_a_depth(store: tableformat.Store) -> None:
    """More than 16 joins inside each other are refused, in one entry and over many. [JOIN-2]"""
    side: dict[str, Any] = {"path": "train"}
    for _ in range(18):
        side = {"joined": {"how": "semi", "left": side, "on": [["id", "id"]], "right": {"path": "train"}}}
    with pytest.raises(LimitError, match="16"):
        JoinDocument.from_json({**side["joined"], "requires": {"read": [], "write": []}}, "x")
    train = Target("train", "animals", store["animals"].digest)
    items = [joined_item("j00", train, train)]
    items += [joined_item(f"j{n:02}", Target(f"j{n - 1:02}"), train, (("id", "id"),)) for n in range(1, 18)]
    publish(store, "a", [{**one, "how": "semi", "on": [["id", "id"]]} for one in items])
    assert len(store["a"]["j15"]) == 3
    with pytest.raises(LimitError, match="16"):
        store["a"]["j17"]


def test_roots_that_were_exchanged_are_found(store: tableformat.Store) -> None:
    """A root whose bytes are not those of the digest that a joined table names is corrupt."""
    digest = store["animals"].digest
    publish(store, "a", [joined_item("joined", Target("train", "animals", digest), Target("train", "animals", digest))])
    path = Path(store.root, "manifests", f"{digest[7:]}.json")
    path.write_bytes(encode_document({"kind": "manifest", "something": "else"}))
    with pytest.raises(CorruptError, match=digest):
        store["a"]["joined"]


def test_joined_entries_need_their_feature(store: tableformat.Store) -> None:
    """An entry that requires a feature that is not known is refused by name; the others open."""
    train = Target("train", "animals", store["animals"].digest)
    item = {**joined_item("joined", train, train), "requires": {"read": ["joined-tables", "ranged-joins"], "write": []}}
    publish(store, "a", [item])
    with pytest.raises(UnsupportedError, match="ranged-joins"):
        store["a"]["joined"]


def test_keys_order_of_kinds_is_complete(store: tableformat.Store) -> None:
    """Every kind is stored and read again."""
    kinds = ("inner", "left", "right", "outer", "semi", "anti")
    with store.draft("run", base=None) as draft:
        for how in kinds:
            draft.add(JoinedTable(store["animals"]["train"], store["animals"]["extra"], on="id", how=how), how)
    counts = {how: len(store["run"][how]) for how in kinds}
    assert counts == dict(zip(kinds, itertools.chain([3, 4, 3, 4, 2, 1]), strict=True))


def test_verify_tells_of_sides_that_are_gone(store: tableformat.Store) -> None:
    """A version with joined tables is whole; one whose joins name a missing table or version, or have other content, is not."""
    digest = store["animals"].digest
    train = Target("train", "animals", digest)
    with store.draft("fine") as draft:
        draft.add(JoinedTable(store["animals"]["train"], store["animals"]["extra"], on="id"), "joined")
    assert verify_version(store.context.backend, "fine", digest=store["fine"].digest).problems == ()
    other = {**joined_item("other", train, train), "content": digest}
    publish(
        store,
        "a",
        [
            joined_item("gone", Target("train", "animals", f"sha256:{'5' * 64}"), train),
            joined_item("missing", Target("x"), train),
            other,
        ],
    )
    problems = {
        problem.place.rpartition("entry ")[2]: problem.text
        for problem in verify_version(store.context.backend, "a", digest=store["a"].digest).problems
    }
    assert "is gone" in problems["'gone'"]
    assert "'x' is no table" in problems["'missing'"]
    assert "content digest" in problems["'other'"]


@pytest.mark.parametrize("how", ["inner", "left", "right", "outer", "semi", "anti"])
def test_sides_may_be_edited_tables(tmp_path: Path, how: Any) -> None:
    """Deleted rows, updates, new and renamed columns of either side: what is joined are the rows that it shows now."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        for name in ("l", "r"):
            with draft.table(name, key="id") as table:
                table.extend(pa.table({"id": range(200), "x": range(0, 400, 2)}))
        draft.add(JoinedTable("l", "r", on="id", how=how), "joined")
    assert store["a"]["joined"].num_rows == (0 if how == "anti" else 200)
    with store.draft("a", base="latest") as draft:
        draft.delete("l", tableformat.col("id") < 50)
        draft.rename_columns("r", {"x": "score"})
        draft.add_column("l", "extra", pa.string(), default="?")
        draft.add_columns("r", pa.table({"id": range(200), "more": range(1, 201)}), on="id")
        draft.delete("r", tableformat.col("id").between(100, 120))
        draft.upsert("l", [{"id": 7, "x": 1, "extra": "back"}, {"id": 60, "x": -1, "extra": "new"}])
    joined = store["a"]["joined"]
    left, right = (store["a"][name].to_arrow() for name in ("l", "r"))
    with store.draft("b") as draft:  # the same rows, written anew
        draft.add(left, "l")
        draft.add(right, "r")
    plain = JoinedTable(store["b"]["l"], store["b"]["r"], on="id", how=how)
    assert joined.columns == plain.columns
    assert joined.to_arrow().to_pylist() == plain.to_arrow().to_pylist()
    assert joined.page(20, 30).to_arrow().to_pylist() == plain.to_arrow().to_pylist()[20:50]
    assert joined.where(tableformat.col("x") < 0).to_arrow().to_pylist() == [
        row for row in plain.to_arrow().to_pylist() if row["x"] is not None and row["x"] < 0
    ]

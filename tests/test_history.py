"""What a version changed, the log of an artifact, and old versions as new ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import tableformat
from tableformat.errors import NotFoundError


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    """Five versions of a table `t` with a key, the second beside a class set."""
    store = tableformat.open_store(tmp_path / "store")
    with (
        store.draft("a", message="first", metadata={"n": 1}) as draft,
        draft.table("t", key="id", part_rows=64) as table,
    ):
        table.extend(pa.table({"id": range(1000), "x": range(1000)}))
    with store.draft("a", base="latest", message="classes") as draft:
        draft.add(tableformat.Classes({0: "cat"}), "c")
    with store.draft("a", base="latest", message="rows") as draft, draft.table("t", mode="append") as table:
        table.extend(pa.table({"id": range(1000, 1010), "x": range(10)}))
    with store.draft("a", base="latest", message="less", metadata={"n": 2}) as draft:
        draft.remove("c")
    with store.draft("a", base="latest", message="whole") as draft, draft.table("t", mode="replace") as table:
        table.extend(pa.table({"id": range(900), "y": range(900)}))
    return store


def change(store: tableformat.Store, version: str, since: str | None = None) -> Any:
    """The one entry that differs."""
    [found] = store.changes(f"a:{version}", since).entries
    return found


def test_each_version_tells_what_it_changed(store: tableformat.Store) -> None:
    """Entries added, removed and changed since the version before, tables with rows, columns and bytes."""
    first = store.changes("a:v0")
    assert (first.since, [(entry.name, entry.change, entry.rows) for entry in first.entries]) == (
        None,
        [("t", "added", 1000)],
    )
    assert change(store, "v1").change == "added"
    assert (change(store, "v1").name, change(store, "v1").kind) == ("c", "classes")
    appended = change(store, "v2")
    assert (appended.change, appended.rows_before, appended.rows) == ("changed", 1000, 1010)
    assert (appended.rows_added, appended.rows_removed) == (10, 0)
    assert appended.bytes_shared == change(store, "v0").bytes_new
    assert appended.bytes_new == store["a:v2"].report["bytes_new"]
    removed = store.changes("a:v3")
    assert [(entry.name, entry.change) for entry in removed.entries] == [("c", "removed")]
    assert (removed.is_same_type, removed.is_same_metadata) == (True, False)
    replaced = change(store, "v4")
    assert (replaced.columns_added, replaced.columns_removed) == (("y",), ("x",))


def test_any_two_versions_are_compared(store: tableformat.Store) -> None:
    """`since` names another version by number, digest or address; the same version differs in nothing."""
    assert store.changes("a:v2", "v0").since == "a:v0"
    assert {entry.name for entry in store.changes("a:v2", "v0").entries} == {"t", "c"}
    assert change(store, "v2", "v1") == change(store, "v2", store["a:v1"].digest)
    assert store.changes("a:v2", "a:v2").entries == ()
    backwards = change(store, "v1", "v2") if len(store.changes("a:v1", "v2").entries) == 1 else None
    assert backwards is not None
    assert (backwards.rows_added, backwards.rows_removed) == (0, 10)


def test_content_that_lies_elsewhere_is_stored_again(store: tableformat.Store) -> None:
    """The same rows in other parts are told as such, with no rows added or removed."""
    with store.draft("a") as draft, draft.table("t", key="id", part_rows=512) as table:
        table.extend(store["a:v0"]["t"].to_arrow())
    found = change(store, "v5", "v0")
    assert (found.change, found.rows_added, found.rows_removed) == ("stored again", 0, 0)
    assert found.bytes_new > 0


def test_a_deleted_version_is_stepped_over(store: tableformat.Store) -> None:
    """The version before is the newest older one that was not deleted."""
    store.context.versions("a").expire(1)
    assert store.changes("a:v2").since == "a:v0"
    assert [version.slot for version in store.log("a")] == [4, 3, 2, 0]


def test_the_log_begins_with_the_newest(store: tableformat.Store) -> None:
    """`log` gives versions newest first, as many as asked for."""
    assert [version.message for version in store.log("a")] == ["whole", "less", "rows", "classes", "first"]
    assert [version.slot for version in store.log("a", 2)] == [4, 3]
    with pytest.raises(NotFoundError, match="'nothing'"):
        store.log("nothing")


def test_an_old_version_becomes_the_newest(store: tableformat.Store) -> None:
    """A rollback commits the same root: same digest, metadata and rows, nothing stored, and the log says from where. [VERSIONS-31]"""
    before = sorted(found.path for found in store.context.backend.list("data"))
    made = store.rollback("a", "v2")
    assert (made.slot, made.digest, made.metadata) == (5, store["a:v2"].digest, {"n": 1})
    assert made["t"].num_rows == 1010
    [newest] = store.log("a", 1)
    assert (newest.base, newest.message, newest.report["bytes_new"]) == (made.digest, "rolled back to v2", 0)
    assert sorted(found.path for found in store.context.backend.list("data")) == before
    assert list(store.context.backend.list("sessions")) == []
    with store.draft("a", base="latest") as draft, draft.table("t", mode="append") as table:
        table.append(id=5000, x=1)
    assert store["a"]["t"].num_rows == 1011


def test_a_rollback_to_what_is_newest_makes_no_version(store: tableformat.Store) -> None:
    """By number, alias or digest; of the same content there is one version; of none there is an error."""
    store.set_alias("a", "good", "v3")
    assert store.rollback("a", "good", "said").message == "said"
    assert store.rollback("a", store["a:v3"].digest).slot == 5
    assert len(store.log("a")) == 6
    for version in ("v77", "best", "sha256:" + "0" * 64):
        with pytest.raises(NotFoundError):
            store.rollback("a", version)


def test_a_draft_is_rebased_on_a_rollback(store: tableformat.Store) -> None:
    """Rows appended to the version that was rolled back to land on it; to another one they are a conflict."""
    draft = store.draft("a", base="latest")
    draft.add(tableformat.Classes({0: "dog"}), "dogs")
    store.rollback("a", "v1")
    draft.commit()
    assert sorted(store["a"]) == ["c", "dogs", "t"]
    assert store["a"]["t"].num_rows == 1000

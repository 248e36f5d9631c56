"""Two drafts that append to one version: both land, in some order, or the conflict names both sides."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tableformat
from tableformat.errors import ConflictError
from tableformat.format.value_digest import BLOCK_ROWS

SCHEMA = {"id": pa.int64(), "who": pa.string()}


def begin(store: tableformat.Store, rows: list[dict[str, Any]], key: str | None = None, **options: Any) -> None:
    with store.draft("a") as draft, draft.table("t", SCHEMA, key=key, **options) as table:
        table.extend(rows)


def draft_of(store: tableformat.Store, rows: list[dict[str, Any]], **options: Any) -> tableformat.Draft:
    draft = store.draft("a", base="latest")
    with draft.table("t", mode="append", **options) as table:
        table.extend(rows)
    return draft


def rows(*ids: int, who: str = "") -> list[dict[str, Any]]:
    return [{"id": number, "who": who} for number in ids]


def shown(store: tableformat.Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store["a"]["t"].to_arrow().to_pylist()
    return found


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


@pytest.mark.parametrize("key", [None, "id"])
def test_both_land(store_url: str, key: str | None) -> None:
    """The rows of the later commit stand behind those of the earlier one, and the version is as if they had been one after the
    other. [VERSIONS-15]"""
    store = tableformat.open_store(store_url)
    begin(store, rows(0, 1), key)
    one, two = draft_of(store, rows(2, 3, who="one")), draft_of(store, rows(4, 5, who="two"))
    two.commit()
    one.commit()
    expected = rows(0, 1) + rows(4, 5, who="two") + rows(2, 3, who="one")
    assert shown(store) == expected
    assert store["a"]["t"].source.entry.sorted is False
    begin(store, expected, key)
    assert len(store.versions("a")) == 3  # the same content makes no version
    assert store.verify("a").problems == ()
    with store.draft("a", base="latest") as draft, draft.table("t", mode="append") as table:
        table.append(id=6)
    assert store["a"]["t"].num_rows == 7


def test_order_of_keys_is_told_again(store: tableformat.Store) -> None:
    """Ascending keys on both sides ascend together where the later rows are above the earlier ones."""
    begin(store, rows(0), "id")
    one, two = draft_of(store, rows(5, 6)), draft_of(store, rows(1, 2))
    two.commit()
    one.commit()
    assert store["a"]["t"].source.entry.sorted is True


def test_the_same_rows_without_a_key_land_twice(store: tableformat.Store) -> None:
    """Two writers that add equal rows added two: nothing tells that they were one."""
    begin(store, rows(0))
    one, two = draft_of(store, rows(7)), draft_of(store, rows(7))
    one.commit()
    two.commit()
    assert two.created
    assert shown(store) == rows(0, 7, 7)


def test_equal_keys_are_a_conflict_of_both(store: tableformat.Store) -> None:
    """A key that both appended: neither is dropped, the error names the entry, both sides and the key; what is equal throughout is
    one change. [VERSIONS-30]"""
    begin(store, rows(0), "id")
    one, two, three = draft_of(store, rows(7)), draft_of(store, rows(7, who="other")), draft_of(store, rows(7))
    one.commit()
    with pytest.raises(ConflictError, match=r"entry 't'.*this draft changed it, the newest version changed it.*id=7"):
        two.commit()
    three.commit()
    assert three.created is False
    assert shown(store) == rows(0, 7)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_other_changes_are_a_conflict_of_both(store: tableformat.Store, side: str) -> None:
    """An append beside a table that was replaced, or got a column: the error says which side did more than append."""
    begin(store, rows(0, 1))
    appending = draft_of(store, rows(2))
    other = store.draft("a", base="latest")
    with other.table("t", mode="replace") as table:
        table.extend([{"id": "text"}])
    first, second = (appending, other) if side == "ours" else (other, appending)
    first.commit()
    with pytest.raises(
        ConflictError, match=("this draft" if side == "ours" else "the newest version") + " changed its columns"
    ):
        second.commit()


def test_other_entries_are_merged_beside(store: tableformat.Store) -> None:
    """An append here and an entry of another name there are no conflict."""
    begin(store, rows(0))
    one = draft_of(store, rows(1))
    with store.draft("a", base="latest") as draft:
        draft.add(tableformat.Classes({0: "cat"}), "c")
    one.commit()
    assert sorted(store["a"]) == ["c", "t"]
    assert shown(store) == rows(0, 1)


def test_media_of_both_are_there(store: tableformat.Store) -> None:
    """Both bring pictures, one of them the same: all read back, and every pack is named once."""
    pictures = [np.full((30, 30), value, np.uint8) for value in range(3)]
    with store.draft("a") as draft, draft.table("t") as table:
        table.append(image=tableformat.Image(pictures[0]))
    drafts = []
    for shown_ones in ((0, 1), (1, 2)):
        drafts.append(store.draft("a", base="latest"))
        with drafts[-1].table("t", mode="append") as table:
            for number in shown_ones:
                table.append(image=tableformat.Image(pictures[number]))
    for draft in drafts:
        draft.commit()
    found = [int(row["image"].to_numpy()[0, 0]) for row in store["a"]["t"].rows()]
    assert found == [0, 0, 1, 1, 2]
    keys = [item["key"] for item in store["a"]["t"].source.entry.objects.items]
    assert len(keys) == len(set(keys))
    assert store.verify("a").problems == ()


@settings(max_examples=6)
@given(st.integers(-2, 2), st.lists(st.integers(1, 4), min_size=2, max_size=4), st.booleans())
def test_digests_are_those_of_the_rows(tmp_path_factory: Any, near: int, counts: list[int], keyed: bool) -> None:
    """Around the edge of a block, however many append at once: the digests are those of the rows written whole."""
    store = tableformat.open_store(tmp_path_factory.mktemp("s"))
    first = BLOCK_ROWS + near
    key = "id" if keyed else None
    begin(store, pa.table({"id": np.arange(first), "who": [""] * first}), key)  # type: ignore[arg-type]
    drafts, at = [], first
    for count in counts:
        drafts.append(draft_of(store, rows(*range(at, at + count))))
        at += count
    for draft in reversed(drafts):
        draft.commit()
    found = store["a"]["t"]
    assert found.num_rows == at
    with store.draft("b") as draft, draft.table("t", SCHEMA, key=key) as table:
        table.extend(found.to_arrow())
    assert store["b"]["t"].source.entry.columns == found.source.entry.columns


def append_many(root: str, who: int, rounds: int, barrier: Any, queue: Any) -> None:
    """In each round one row, committed at the same moment as the other process's."""
    try:
        store = tableformat.open_store(root)
        for number in range(rounds):
            draft = draft_of(store, [{"id": number * 2 + who, "who": str(who)}])
            barrier.wait(60)
            draft.commit()
        queue.put(None)
    except BaseException as error:
        barrier.abort()
        queue.put(repr(error))


def test_two_processes_append_to_one_table(tmp_path: Any) -> None:
    """Twenty rounds in which two processes append to one keyed table at the same moment: every row is there once."""
    root = str(tmp_path / "store")
    begin(tableformat.open_store(root), rows(-1), "id")
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    workers = [context.Process(target=append_many, args=(root, who, 20, barrier, queue)) for who in (0, 1)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=120) for _ in workers] == [None, None]
    for worker in workers:
        worker.join(60)
    store = tableformat.open_store(root)
    assert len(store.versions("a")) == 41
    found = shown(store)
    assert sorted(row["id"] for row in found) == list(range(-1, 40))
    for who in "01":
        own = [row["id"] for row in found if row["who"] == who]
        assert own == sorted(own)
    assert store.verify("a").problems == ()


@pytest.mark.parametrize("seed", range(4))
def test_packs_of_both_are_listed(store: tableformat.Store, seed: int) -> None:
    """The list of objects names the packs of an upsert that is put behind an append, wherever they sort: a collection keeps them."""
    schema = {"id": pa.int64(), "image": tableformat.ImageType()}
    noise = np.random.default_rng(seed)
    images = [tableformat.Image(noise.integers(0, 255, (48, 48, 3), np.uint8)) for _ in range(3)]
    with store.draft("a") as draft, draft.table("t", schema, key="id") as table:
        table.append(id=0, image=images[0])
    one, two = store.draft("a", base="latest"), store.draft("a", base="latest")
    with one.table("t", mode="append") as table:
        table.append(id=1, image=images[1])
    two.upsert("t", [{"id": 2, "image": images[2]}])
    one.commit()
    two.commit()
    assert store.verify("a").problems == ()
    assert store["a"]["t"].source.entry.objects.count == 3

"""Edits of tables through a draft: composed in any order, counted in its report, merged or refused where others were faster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import Image, col
from tableformat.errors import ConflictError, InvalidInputError, NotFoundError, UsageError
from tests.table.edit.tables import entry_of, fresh_digest, rows_of, sample, write


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def edit_all(draft: tableformat.Draft) -> None:
    """One of each edit."""
    draft.upsert("t", [{"id": 3, "name": "three"}, {"id": 40}])
    draft.delete("t", keys=[4, 5])
    draft.add_columns("t", {"p": np.arange(len(draft["t"]))})
    draft.rename_columns("t", {"name": "title"})
    draft.add_column("t", "flag", bool, default=False)
    draft.delete("t", col("p") == 0)
    draft.upsert("t", [{"id": 41, "title": "x", "flag": True}, {"id": 7, "p": 70}])
    draft.drop_columns("t", "score")
    draft.add_columns("t", pa.table({"id": [41, 1], "q": ["a", "b"]}))


def test_edits_of_a_table_of_the_same_draft(store: tableformat.Store) -> None:
    """A table that the draft wrote, or took from elsewhere, is edited before it was ever committed."""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        edit_all(draft)
    with store.draft("b") as draft:
        with draft.table("t", key="id", part_rows=8) as table:
            table.extend(sample())
        edit_all(draft)
    with store.draft("c") as draft:
        draft.add(store["a:v0"]["t"], "t")
        edit_all(draft)
        assert draft["t"].columns == ["id", "title", "p", "flag", "q"]
    tables = [store[name]["t"] for name in "abc"]
    assert len({table.content_digest for table in tables}) == 1
    assert rows_of(tables[1])[-2:] == [
        {"id": 41, "title": "x", "p": None, "flag": True, "q": "a"},
        {"id": 7, "title": "n7", "p": 70, "flag": False, "q": None},
    ]
    assert tables[0].content_digest == fresh_digest(store, tables[0])
    assert all(store.verify(name).problem_count == 0 for name in "abc")


def test_the_report_counts_edits(store: tableformat.Store) -> None:
    """Rows written and bytes stored by edits are in the report of the version."""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        done = [draft.upsert("t", [{"id": 1, "name": "x"}, {"id": 99}]), draft.delete("t", keys=[2])]
        done.append(draft.add_columns("t", {"p": list(range(20))}))
    assert draft.report.rows == 2
    assert draft.report.bytes_new == sum(one.bytes_new for one in done) > 0


def test_copied_media_are_inputs(store: tableformat.Store) -> None:
    """Media that an edit takes from another version make it an input."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    with store.draft("src") as draft, draft.table("t", key="id") as table:
        table.append(id=1, image=Image(pixels))
    with store.draft("a") as draft, draft.table("t", key="id") as table:
        table.append(id=1)
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", store["src"]["t"])
    assert [one.artifact for one in store["a"].inputs()] == ["src"]
    assert (np.asarray(store["a"]["t"][0]["image"].to_pil()) == pixels).all()
    assert entry_of(store["a"]["t"]).objects == entry_of(store["src"]["t"]).objects


def test_edits_that_meet_are_a_conflict(store: tableformat.Store) -> None:
    """Two drafts that edit one table cannot both be right: the later one names the entry. Other entries are merged."""
    write(store, key="id")
    late, other = store.draft("a", base="latest"), store.draft("a", base="latest")
    late.upsert("t", [{"id": 1, "name": "late"}])
    other.add(sample(), "u")
    with store.draft("a", base="latest") as draft:
        draft.delete("t", keys=[2])
    with pytest.raises(ConflictError, match="'t'"):
        late.commit()
    late.discard()
    other.commit()
    assert sorted(store["a"]) == ["t", "u"]
    assert len(store["a"]["t"]) == 19


def test_compaction_gives_way(store: tableformat.Store) -> None:
    """A compaction that lost a race against other entries is committed behind them, with the content of both."""
    write(store, part_rows=4)
    late = store.draft("a", base="latest")
    late.delete("t", col("id") == 3)
    late.commit()
    late = store.draft("a", base="latest")
    assert late.compact("t", plain=True).parts_rewritten
    with store.draft("a", base="latest") as draft:
        draft.add(sample(), "u")
    late.commit()
    assert late.created
    assert sorted(store["a"]) == ["t", "u"]
    assert entry_of(store["a"]["t"]).plain


def test_what_cannot_be_edited(store: tableformat.Store) -> None:
    """Tables that are not there, that are open, that are no tables, and options that edits do not have are told."""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        draft.add(tableformat.Classes({0: "cat"}), "classes")
        with pytest.raises(NotFoundError, match="'t'"):
            draft.upsert("tt", [])
        with pytest.raises(NotFoundError, match="classes"):
            draft.compact("classes")
        with pytest.raises(InvalidInputError, match="uris"):
            draft.upsert("t", [], new_columns=True)
        table = draft.table("open", {"x": int})
        with pytest.raises(UsageError, match="being written"):
            draft.delete("open", x=1)
        table.append(x=1)
    assert rows_of(store["a"]["open"]) == [{"x": 1}]

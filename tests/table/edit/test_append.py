"""Appends: rows behind those of a table, in new parts of its schema, key and layout, at the cost of the rows alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tableformat
from tableformat.errors import InvalidInputError, KeyValueError, NotFoundError, SchemaError, UsageError
from tableformat.format.value_digest import BLOCK_ROWS
from tableformat.storage.backend import open_backend
from tableformat.table.edit import chain
from tableformat.testing import FaultBackend
from tests.fault_scenario import open_with_faults

SCHEMA = {"id": pa.int64(), "name": pa.string()}


def rows(start: int, stop: int) -> pa.Table:
    numbers = range(start, stop)
    return pa.table({"id": numbers, "name": [f"row {number}" for number in numbers]})


def write(store: tableformat.Store, data: Any, **options: Any) -> None:
    with store.draft("a") as draft, draft.table("t", SCHEMA, **options) as table:
        table.extend(data)


def append(store: tableformat.Store, data: Any, **options: Any) -> tableformat.Artifact:
    with store.draft("a", base="latest") as draft, draft.table("t", mode="append", **options) as table:
        table.extend(data)
    assert draft.committed is not None
    return draft.committed


def entry_of(store: tableformat.Store, version: str = "a") -> Any:
    return store[version]["t"].source.entry


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


@pytest.mark.parametrize("key", [None, "id"])
def test_rows_come_behind_those_that_are_there(store_url: str, key: str | None) -> None:
    """The old parts stay as they are, new ones follow, and the content is that of all rows written at once."""
    store = tableformat.open_store(store_url)
    write(store, rows(0, 100), key=key)
    before = entry_of(store)
    made = append(store, rows(100, 130))
    after = entry_of(store)
    assert made["t"].to_arrow().to_pylist() == rows(0, 130).to_pylist()
    assert after.parts.items[: before.parts.count] == before.parts.items
    assert (after.rows, after.table_key, after.layout, after.schema) == (
        130,
        before.table_key,
        before.layout,
        before.schema,
    )
    assert after.sorted == (key is not None)
    assert after.plain
    write(store, rows(0, 130), key=key)
    assert store["a"]["t"].content_digest == made["t"].content_digest
    assert made.report["rows"] == 30


@settings(max_examples=10)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.booleans())
def test_digests_go_on_across_blocks(tmp_path_factory: Any, steps: list[int], remembered: bool) -> None:
    """However the rows of a table were appended, with what this process remembers or without it, digest and link are those of
    one chain over all of them. [DIGEST-4]"""
    store = tableformat.open_store(tmp_path_factory.mktemp("s"))
    ends = np.cumsum([BLOCK_ROWS - 3, *steps])
    flat = pa.table({"id": np.arange(ends[-1])})
    with store.draft("a") as draft, draft.table("t") as table:
        table.extend(flat.slice(0, ends[0]))
    for start, stop in itertools.pairwise(ends):
        if not remembered:
            chain._REMEMBERED.clear()
        append(store, flat.slice(start, stop - start))
    with store.draft("b") as draft, draft.table("t") as table:
        table.extend(flat)
    assert entry_of(store).columns == entry_of(store, "b").columns


def test_several_appends_in_one_draft(store: tableformat.Store) -> None:
    """A draft appends to what it wrote itself, more than once, and counts all rows and bytes."""
    with store.draft("a") as draft:
        for start in (0, 10, 20):
            with draft.table("t", mode="append", key="id") as table:
                table.extend(rows(start, start + 10))
            assert draft["t"].num_rows == start + 10
    assert draft.report.rows == 30
    assert draft.report.bytes_new == sum(f["size"] for p in entry_of(store).parts.items for f in p["files"])
    assert store["a"]["t"].to_arrow()["id"].to_pylist() == list(range(30))


def test_an_open_append_hides_the_table(store: tableformat.Store) -> None:
    """While rows are appended the table can be neither read nor appended to again; an append that failed can be done again, and
    until then the draft does not commit."""
    write(store, rows(0, 3), key="id")
    draft = store.draft("a", base="latest")
    table = draft.table("t", mode="append")
    for use in (lambda: draft["t"], lambda: draft.table("t", mode="append")):
        with pytest.raises(UsageError, match="being written"):
            use()
    table.extend(rows(2, 4))
    with pytest.raises(KeyValueError, match="id=2 stands in row 2"):
        table.close()
    with pytest.raises(UsageError, match="'t'"):
        draft.commit()
    with draft.table("t", mode="append") as again:
        again.extend(rows(3, 4))
    assert draft.commit()["t"].num_rows == 4


def test_nothing_appended_is_nothing_new(store: tableformat.Store) -> None:
    """An append of no rows makes no version."""
    write(store, rows(0, 3))
    with store.draft("a", base="latest") as draft, draft.table("t", mode="append"):
        pass
    assert draft.created is False


def test_every_column_at_fault_is_named(store: tableformat.Store) -> None:
    """Arrow data, rows and declared schemas that do not fit: one error with all columns, and nothing was taken."""
    with store.draft("a") as draft, draft.table("t", pa.schema([pa.field("id", pa.int32(), nullable=False), ("x", pa.float32()), ("s", pa.string())])) as t:  # fmt: skip
        t.append(id=1, x=0.5, s="a")
    bad = {"id": ["z"], "x": ["q"], "s": ["fine"], "y": [1]}
    with store.draft("a", base="latest") as draft:
        with pytest.raises(SchemaError) as by_arrow, draft.table("t", mode="append") as table:
            table.extend(pa.table(bad))
        with pytest.raises(SchemaError) as by_row, draft.table("t", mode="append") as table:
            table.append({name: values[0] for name, values in bad.items()})
        with pytest.raises(SchemaError) as by_lack, draft.table("t", mode="append") as table:
            table.extend(pa.table({"x": ["q"], "s": ["fine"]}))
        with pytest.raises(SchemaError) as by_schema:
            draft.table("t", {"x": pa.float64(), "s": pa.string(), "y": pa.int8()}, mode="append")
        with draft.table("t", {"id": pa.int16(), "x": pa.float32()}, mode="append") as table:
            table.append(id=2, x=1.5)
    assert {problem.place for problem in by_arrow.value.problems} == {"id", "x", "y"}
    assert {problem.place for problem in by_row.value.problems} == {"id", "x", "y"}
    assert {problem.place for problem in by_lack.value.problems} == {"id", "x"}
    assert {problem.place for problem in by_schema.value.problems} == {"id", "x", "y"}
    assert store["a"]["t"].to_arrow()["id"].to_pylist() == [1, 2]


def test_columns_more_are_taken_when_asked_for(store: tableformat.Store) -> None:
    """With `new_columns` a row may bring a column; the rows before have null there, and the digests are those of all rows."""
    write(store, rows(0, 3), key="id")
    made = append(store, [{"id": 3, "name": "n", "score": 0.5}], new_columns=True)
    expected = [{**row, "score": None} for row in rows(0, 3).to_pylist()] + [{"id": 3, "name": "n", "score": 0.5}]
    assert made["t"].to_arrow().to_pylist() == expected
    assert entry_of(store).requires.read == ("field-ids",)
    assert not entry_of(store).plain
    again = append(store, rows(4, 5))
    assert again["t"].to_arrow()["score"].to_pylist() == [None, None, None, 0.5, None]
    with store.draft("b") as draft, draft.table("t", again["t"].schema, key="id") as table:
        table.extend(again["t"].to_arrow())
    assert store["b"]["t"].content_digest == again["t"].content_digest


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "name"}, "key"),
        ({"part_rows": 5}, "part_rows"),
        ({"unique": False}, "unique"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_a_table_is_stays(store: tableformat.Store, options: dict[str, Any], said: str) -> None:
    """Another key, cut or promise than the table's is refused by name."""
    write(store, rows(0, 3), key="id")
    with store.draft("a", base="latest") as draft, pytest.raises(InvalidInputError, match=said):
        draft.table("t", mode="append", **options)


def test_only_tables_are_appended_to(store: tableformat.Store) -> None:
    """An entry of another kind is refused with its kind; a name that is free becomes a table."""
    with store.draft("a") as draft:
        draft.add(tableformat.Classes({0: "cat"}), "c")
        with pytest.raises(NotFoundError, match="kind classes"):
            draft.table("c", mode="append")
        with draft.table("t", mode="append", key="id") as table:
            table.append(id=1)
    assert store["a"]["t"].key == ("id",)


def test_classes_of_the_table_are_known(store: tableformat.Store) -> None:
    """Ids are checked against the class set that the version holds, which is not stored twice."""
    with store.draft("a") as draft:
        draft.add(tableformat.Classes({0: "cat", 1: "dog"}), "names")
        with draft.table("t", {"label": tableformat.ClassType(tableformat.Classes({0: "cat", 1: "dog"}))}) as table:
            table.append(label=0)
    with store.draft("a", base="latest") as draft:
        with pytest.raises(InvalidInputError, match="7"), draft.table("t", mode="append") as table:
            table.append(label=7)
        with draft.table("t", mode="append") as table:
            table.append(label=1)
    assert sorted(store["a"].kinds()) == ["names", "t"]


def test_media_are_appended(store_url: str) -> None:
    """Pictures of old and new rows read back, those that were there are not stored again, and the list of packs has each once."""
    store = tableformat.open_store(store_url)
    pictures = [
        np.full((40, 40, 3), value, np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None] for value in range(4)
    ]
    for shown in (pictures[:2], pictures[1:]):
        with store.draft("a", base="latest") as draft, draft.table("t", mode="append") as table:
            for picture in shown:
                table.append(image=tableformat.Image(picture))
    found = [row["image"].to_numpy() for row in store["a"]["t"].rows()]
    assert all(np.array_equal(one, other) for one, other in zip(found, [*pictures[:2], *pictures[1:]], strict=True))
    keys = [item["key"] for item in entry_of(store).objects.items]
    assert len(keys) == len(set(keys))
    assert store.verify("a").problems == ()


def count_reads(store_and_backend: tuple[tableformat.Store, FaultBackend], data: pa.Table) -> int:
    store, backend = store_and_backend
    backend.calls.clear()
    append(store, data)
    return sum(path.startswith("data/") for _, path in backend.calls if _.startswith("read"))


def test_keys_beyond_are_told_by_statistics(tmp_path: Any) -> None:
    """Where all new keys are above those of a table, no part of it is read for them; where some lie among them, those parts are."""
    opened = open_with_faults(tmp_path)
    write(opened[0], rows(0, 50_000), key="id", part_rows=1024)
    append(opened[0], rows(50_000, 50_100))
    assert count_reads(opened, rows(50_100, 50_200)) == 0
    with pytest.raises(KeyValueError) as caught:
        append(opened[0], pa.concat_tables([rows(60_000, 60_001), rows(77, 78)]))
    assert [str(problem) for problem in caught.value.problems] == ["row 1: id=77 stands in row 77 already"]


@given(st.data())
def test_keys_are_unique_over_all_appends(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Whatever keys stand where, an append with one that is there raises and names it, and others land."""
    store = tableformat.open_store(tmp_path_factory.mktemp("s"))
    key = data.draw(st.sampled_from([["id"], ["name"], ["name", "id"]]))
    there: dict[tuple[Any, ...], int] = {}
    for number in range(3):
        pool = st.tuples(st.integers(-5, 30), st.sampled_from(["", "a", "b", "ba"]))
        drawn = data.draw(
            st.lists(
                pool, min_size=1, max_size=6, unique_by=lambda row: tuple(row[("id", "name").index(k)] for k in key)
            )
        )
        given_rows = [{"id": id_, "name": name} for id_, name in drawn]
        keys = [tuple(row[name] for name in key) for row in given_rows]
        doubled = [one for one in keys if one in there]
        if doubled:
            with pytest.raises(KeyValueError) as caught:
                append(store, given_rows)
            assert len(caught.value.problems) == len(doubled)
            continue
        there |= dict.fromkeys(keys, number)
        with (
            store.draft("a", base="latest") as draft,
            draft.table("t", SCHEMA if number == 0 else None, key=key, mode="append") as table,
        ):
            table.extend(given_rows)
    found = store["a"]["t"].to_arrow().to_pylist()
    assert [tuple(row[name] for name in key) for row in found] == list(there)
    keys = list(there)
    assert entry_of(store).sorted == all(one < other for one, other in itertools.pairwise(keys))


def test_the_tail_is_read_and_no_more(tmp_path: Any) -> None:
    """An append by another process reads the parts since the last full block, whatever lies before."""
    opened = open_with_faults(tmp_path)
    store, backend = opened
    write(store, rows(0, BLOCK_ROWS * 2 + 10), part_rows=1 << 15)
    chain._REMEMBERED.clear()
    assert 0 < count_reads(opened, rows(0, 5)) <= 4
    assert open_backend(str(tmp_path)).root == backend.root


def test_what_rows_lack_has_its_default(store: tableformat.Store) -> None:
    """A column with a default that rows are appended without has it there, by Arrow data and by rows of any shape."""
    schema = tableformat.Schema.from_user({"id": pa.int64()}).with_added("kind", pa.string(), default="new")
    with store.draft("a") as draft, draft.table("t", schema) as table:
        table.append(id=0, kind="old")
    append(store, pa.table({"id": [1, 2]}))
    append(store, [{"id": 3}, {"id": 4, "kind": None}, {"id": 5, "kind": "x"}, {"id": 6}])
    assert store["a"]["t"].to_arrow()["kind"].to_pylist() == ["old", "new", "new", "new", None, "x", "new"]


def edited(store: tableformat.Store, edit: Any) -> None:
    """Edit, append what the schema then asks for, append beside another draft; each time the digest is that of the rows."""
    with store.draft("a", base="latest") as draft:
        edit(draft)
    start = max(store["a"]["t"].to_arrow()["id"].to_pylist()) + 1
    append(store, pa.table({"id": range(start, start + 3)}))
    drafts = []
    for number in (3, 6):
        drafts.append(store.draft("a", base="latest"))
        with drafts[-1].table("t", mode="append") as table:
            table.extend(pa.table({"id": range(start + number, start + number + 3)}))
    for draft in drafts:
        draft.commit()
    table = store["a"]["t"]
    assert table.to_arrow()["id"].to_pylist()[-9:] == list(range(start, start + 9))
    bare = tableformat.Schema(tuple(column.without_ids() for column in table.schema.columns))
    with store.draft("b") as draft, draft.table("t", bare, key="id") as writer:
        writer.extend(table.to_arrow())
    assert store["b"]["t"].content_digest == table.content_digest


def test_tables_that_were_edited_are_appended_to(store: tableformat.Store) -> None:
    """After each edit in turn, with rows deleted, columns in files of their own and under other names, rows are appended in the
    current schema, by one draft and by two at once."""
    write(store, rows(0, 300), key="id", part_rows=64)
    edited(store, lambda draft: draft.delete("t", tableformat.col("id") < 50))
    edited(store, lambda draft: draft.rename_columns("t", {"name": "title"}))
    edited(store, lambda draft: draft.add_column("t", "kind", pa.int32(), default=7))
    ids = store["a"]["t"].to_arrow()["id"]
    edited(store, lambda draft: draft.add_columns("t", pa.table({"id": ids, "p": [0.5] * len(ids)}), on="id"))
    edited(store, lambda draft: draft.widen_columns("t", {"kind": pa.int64()}))
    edited(store, lambda draft: draft.drop_columns("t", ["title"]))
    edited(store, lambda draft: draft.upsert("t", [{"id": 60, "kind": 1}, {"id": 9000, "kind": 2}]))
    edited(store, lambda draft: draft.delete("t", keys=[9000]))
    edited(store, lambda draft: draft.compact("t"))
    assert store["a"]["t"].to_arrow()["kind"].to_pylist()[-1] == 7
    assert store.verify("a").problems == ()

"""A table written again from an edited source: read as it was given, with the digest of a fresh write, and little of it stored."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tableformat
from tableformat.errors import InvalidInputError, KeyValueError
from tableformat.table import reuse

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000000000500017a5eab3f0000000049454e44ae426082")  # fmt: skip
SCHEMA = pa.schema(
    {"id": pa.int64(), "text": pa.string(), "score": pa.float64(), "tags": pa.list_(pa.string()), "flag": pa.bool_()}
)


def rows_of(count: int, seed: int = 0) -> pa.Table:
    """Rows under even keys in ascending order, nulls among them."""
    random = np.random.default_rng(seed)
    texts = [None if at % 11 == 0 else f"text {at * 7919 % 1013} {at % 5 * 'x'}" for at in range(count)]
    tags = [None if at % 13 == 0 else [f"t{at % 3}"] * (at % 3) for at in range(count)]
    columns = [np.arange(0, 2 * count, 2), texts, random.random(count), tags, random.random(count) < 0.5]
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def write(store: tableformat.Store, table: pa.Table, name: str = "a", **options: Any) -> tableformat.Draft:
    """One version whose table `t` holds `table`, in batches that do not end where parts do."""
    with store.draft(name) as draft, draft.table("t", key="id", **options) as writer:
        for batch in table.to_batches(max_chunksize=97):
            writer.extend(batch)
    return draft


def parts_of(store: tableformat.Store, name: str = "a") -> list[dict[str, Any]]:
    table = store[name]["t"]
    return [part.to_json() for part in table._reading.parts()]


def files_of(parts: list[dict[str, Any]]) -> list[list[str]]:
    return [[file["digest"] for file in part["files"]] for part in parts]


def bytes_of(store: tableformat.Store) -> int:
    """Bytes of the part files of a store."""
    folder = f"{store.root}/data"
    return sum(os.path.getsize(f"{at}/{name}") for at, _, names in os.walk(folder) for name in names)


@pytest.fixture
def store(tmp_path):
    return tableformat.open_store(str(tmp_path / "store"))


@pytest.fixture
def sharing(monkeypatch):
    """Columns are shared from the first part on, however small."""
    for name in ("_PLAIN_BYTES", "_LEAST_BYTES"):
        monkeypatch.setattr(reuse, name, -1)


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Some edits, one after the other."""
    where = st.floats(0, 1, exclude_max=True)
    one = st.one_of(
        st.tuples(st.just("delete"), where, st.integers(1, 40)),
        st.tuples(st.just("insert"), where, st.integers(1, 3)),
        st.tuples(st.just("change"), st.sampled_from(SCHEMA.names[1:]), where),
        st.tuples(st.just("column"), st.sampled_from(SCHEMA.names[1:])),
        st.tuples(st.just("add"), st.sampled_from(["new", "newer"])),
        st.tuples(st.just("drop"), st.sampled_from(SCHEMA.names[1:])),
        st.tuples(st.just("reorder")),
        st.tuples(st.just("retype"), st.sampled_from([pa.float32(), pa.int64(), pa.string()])),
        st.tuples(st.just("shuffle")),
    )
    return draw(st.lists(one, max_size=4))


def edited(table: pa.Table, edit: tuple[Any, ...]) -> pa.Table:
    """The table after one edit; edits of columns that are gone change nothing."""
    random = np.random.default_rng(len(table))
    match edit:
        case ("delete", where, count):
            at = int(where * len(table))
            return pa.concat_tables([table.slice(0, at), table.slice(at + count)])
        case ("insert", where, count):
            at, free = int(where * len(table)), 1 + 2 * int(where * 1e6)
            taken = set(table["id"].to_pylist())
            keys = [key for key in range(free, free + 2 * count, 2) if key not in taken]
            new = table.slice(0, 1).take(pa.array([0] * len(keys), pa.int64())) if len(table) else table.slice(0, 0)
            new = new.set_column(table.schema.get_field_index("id"), "id", pa.array(keys[: len(new)], pa.int64()))
            return pa.concat_tables([table.slice(0, at), new, table.slice(at)])
        case ("change", name, where) if name in table.column_names:
            at = int(where * len(table))
            values = table[name].to_pylist()
            values[at : at + 1] = [None] * len(values[at : at + 1])
            return table.set_column(table.schema.get_field_index(name), name, pa.array(values, table[name].type))
        case ("column", name) if name in table.column_names and len(table):
            again = table[name].take(pa.array(random.permutation(len(table))))
            return table.set_column(table.schema.get_field_index(name), name, again)
        case ("add", name) if name not in table.column_names:
            return table.append_column(name, pa.array(random.integers(0, 9, len(table)), pa.int32()))
        case ("drop", name) if name in table.column_names:
            return table.drop_columns([name])
        case ("reorder",):
            return table.select(table.column_names[::-1])
        case ("retype", type_) if "new" in table.column_names:
            at = table.schema.get_field_index("new")
            return table.set_column(at, "new", table["new"].cast(type_))
        case ("shuffle",):
            return table.take(pa.array(random.permutation(len(table))))
    return table


@given(edits(), st.booleans(), st.booleans())
def test_any_edit_reads_as_a_fresh_write(tmp_path_factory, changes, sort, shares):
    """After any edits, written again one by one, the table reads back equal and has the content digest of a fresh write. [PART-43]"""
    folder = tmp_path_factory.mktemp("again")
    stores = [tableformat.open_store(str(folder / name)) for name in ("again", "fresh")]
    table = rows_of(250)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_PLAIN_BYTES", "_LEAST_BYTES") if shares else ():
            patch.setattr(reuse, name, -1)
        write(stores[0], table, part_rows=16)
        for change in changes:
            table = edited(table, change)
            write(stores[0], table, sort_by_key=sort)
    expected = table.sort_by("id") if sort and changes else table
    found = stores[0]["a"]["t"]
    assert (
        found.to_arrow()
        .select(expected.column_names)
        .equals(expected.cast(found.to_arrow().select(expected.column_names).schema))
    )
    write(stores[1], expected)
    assert found.columns == expected.column_names
    assert stores[0]["a"].content_digest == stores[1]["a"].content_digest
    assert stores[0].verify("a").ok


def test_the_same_rows_are_stored_once(store):
    """Written again, the same rows add no byte, no version and no part; the report says that all was there."""
    table = rows_of(5000)
    write(store, table, part_rows=64)
    before = bytes_of(store)
    draft = write(store, table)
    assert (draft.created, bytes_of(store)) == (False, before)
    assert draft.report.rows_reused == draft.report.rows == 5000
    assert draft.report.parts_reused == len(parts_of(store))
    assert draft.report.bytes_new == 0


def test_an_edit_stores_the_parts_around_it(store):
    """A row more and a hundred less leave most parts as they were: the same items, of the same files; the table stays plain."""
    table = rows_of(8000)
    write(store, table, part_rows=64)
    before = parts_of(store)
    edit = edited(edited(table, ("insert", 0.3, 1)), ("delete", 0.7, 100))
    draft = write(store, edit)
    after = parts_of(store)
    kept = [part for part in after if part in before]
    assert len(after) - len(kept) <= 12
    assert draft.report.parts_reused == len(kept)
    assert draft.report.rows_reused == sum(part["rows"] for part in kept)
    assert store["a"]["t"].why_not_plain == ()
    assert store["a"]["t"].to_arrow().equals(edit.combine_chunks().cast(store["a"]["t"].to_arrow().schema))


@pytest.mark.usefixtures("sharing")
def test_a_changed_column_is_stored_alone(store):
    """Where one column differs, the files with the others are used as they are, beside a file with that column."""
    table = rows_of(4000)
    write(store, table, part_rows=64)
    before = parts_of(store)
    changed = edited(table, ("column", "score"))
    draft = write(store, changed)
    after = parts_of(store)
    assert [files[0] for files in files_of(after)] == [files[0] for files in files_of(before)]
    assert {len(files) for files in files_of(after)} == {2}
    assert [part["rows"] for part in after] == [part["rows"] for part in before]
    assert draft.report.parts_reused == draft.report.rows_reused == 0
    assert draft.report.bytes_reused == sum(part["files"][0]["size"] for part in before)
    assert store["a"]["t"].to_arrow().equals(changed.combine_chunks().cast(store["a"]["t"].to_arrow().schema))
    # Written again, the parts of several files are found; and so is the column where the rest is the same as before.
    assert write(store, changed).created is False
    again = write(store, edited(changed, ("column", "flag")))
    assert {len(files) for files in files_of(parts_of(store))} == {3}
    assert again.report.bytes_new < sum(part["files"][0]["size"] for part in before)


@pytest.mark.usefixtures("sharing")
def test_columns_that_come_and_go_cost_themselves(store):
    """A column more is stored alone, a column less costs nothing, and neither does another order."""
    table = rows_of(4000)
    write(store, table, part_rows=64)
    before = bytes_of(store)
    fewer = edited(table, ("drop", "tags"))
    write(store, fewer)
    write(store, edited(fewer, ("reorder",)))
    assert bytes_of(store) == before
    draft = write(store, edited(fewer, ("add", "new")))
    assert {len(files) for files in files_of(parts_of(store))} == {2}
    assert draft.report.bytes_new == bytes_of(store) - before


def test_small_differences_leave_a_table_plain(store):
    """A few changed values are stored with their whole parts: that any engine reads the table is worth it."""
    table = rows_of(4000)
    write(store, table, part_rows=64)
    write(store, edited(table, ("change", "score", 0.5)))
    assert all(len(files) == 1 for files in files_of(parts_of(store)))
    assert len(write(store, table).committed["t"]) == 4000


@pytest.mark.parametrize("run_bytes", [64 << 20, 20_000])
def test_another_order_reuses_its_parts_when_sorted(store, monkeypatch, run_bytes):
    """Rows in any order give the parts of the sorted table, sorted in memory or by runs; unsorted they give none."""
    from tableformat.table import key_sort

    monkeypatch.setattr(key_sort, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(key_sort, "_BATCH_BYTES", 2000)
    monkeypatch.setattr(key_sort, "_RANGE_BYTES", 9000)
    table = rows_of(5000)
    write(store, table, part_rows=64)
    before, shuffled = parts_of(store), edited(table, ("shuffle",))
    assert write(store, shuffled, sort_by_key=True).created is False
    assert parts_of(store) == before
    assert write(store, shuffled).report.rows_reused == 0
    assert write(store, edited(shuffled, ("shuffle",)), sort_by_key=True).report.rows == 5000
    assert store["a"]["t"].to_arrow()["id"].to_pylist() == table["id"].to_pylist()


def test_sorted_tables_hold_media(store, tmp_path):
    """Cells are sorted with their rows; their bytes lie in packs in the order they came."""
    keys = [5, 3, 9, 1, 7]
    pngs = [PNG + b"\0" * (2000 + key) for key in keys]
    for _ in range(2):
        with store.draft("m") as draft, draft.table("t", key="id", sort_by_key=True, check="none") as table:
            for key, data in zip(keys, pngs, strict=True):
                table.append(id=key, image=tableformat.Image(data))
    rows = list(store["m"]["t"])
    assert [row["id"] for row in rows] == sorted(keys)
    assert [len(row["image"].bytes()) - len(PNG) - 2000 for row in rows] == sorted(keys)
    assert draft.created is False
    assert store.verify("m").ok


def test_media_of_parts_that_are_reused_stay_listed(store):
    """Cells of a part that is taken over point at the packs they pointed at, also where the same bytes were stored anew. [PART-42]"""

    def write_images(text: str) -> None:
        with (
            store.draft("m", dedup="none") as draft,
            draft.table("t", key="id", part_rows=16 if text == "a" else None, check="none") as table,
        ):
            for key in range(200):
                table.append(id=key, text=text if key > 150 else "", image=tableformat.Image(PNG + bytes([key]) * 2000))

    write_images("a")
    write_images("b")
    assert store.verify("m").ok
    assert len({row["image"].bytes() for row in store["m"]["t"]}) == 200


def test_sorting_needs_a_key(store):
    """Without a key there is nothing to sort by, and the draft says so at once."""
    with pytest.raises(InvalidInputError, match="a key to sort by"), store.draft("a") as draft:
        draft.table("t", sort_by_key=True)


def test_equal_keys_are_named_as_they_came(store):
    """Equal keys of a table that is sorted are told by the numbers of the rows as they were given."""
    with (
        pytest.raises(KeyValueError) as caught,
        store.draft("a") as draft,
        draft.table("t", key="id", sort_by_key=True) as table,
    ):
        for key in [5, 3, 9, 3, 1]:
            table.append(id=key)
    [problem] = caught.value.problems
    assert (problem.place, "row 1 already" in problem.text) == ("row 3", True)


def test_parts_with_deletions_are_not_taken_over(store):
    """A part of which rows were deleted is stored again: its digests are those of rows that are not all visible. [PART-41]"""
    table = rows_of(1000)
    write(store, table, part_rows=64)
    with store.draft("a", base="latest") as draft:
        draft.delete("t", keys=[0, 2, 4])
    write(store, table)
    assert store["a"]["t"].to_arrow()["id"].to_pylist() == table["id"].to_pylist()
    assert all(part["deletions"] is None for part in parts_of(store))


def test_a_lost_file_is_stored_again(store):
    """A part whose file is gone is not taken over: writing the rows again heals the store."""
    table = rows_of(1000)
    write(store, table, part_rows=64)
    [lost, *_] = [file for files in files_of(parts_of(store)) for file in files]
    os.remove(f"{store.root}/data/{lost.removeprefix('sha256:')}.parquet")
    write(store, table)
    assert store.verify("a").ok

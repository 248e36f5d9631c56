"""`tableformat.diff`: what it takes, what its result reads like, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat.errors import InvalidInputError, KeyValueError, LimitError, NotFoundError, SchemaError, UsageError
from tableformat.format.deletions import encode_deletions
from tableformat.table.table import Table
from tableformat.testing import FaultBackend
from tests.table.reading_tables import store_table

Write = Callable[..., tableformat.Table]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows as table `t` of an artifact of a store, and open it."""

    def write_table(name: str, rows: Any, store: str = "store", **options: Any) -> tableformat.Table:
        opened = tableformat.open_store(tmp_path / store)
        with opened.draft(name) as draft, draft.table("t", **options) as table:
            table.extend(rows)
        found: tableformat.Table = opened[name]["t"]
        return found

    return write_table


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (20, 20, 3), np.uint8)


def changes(diff: tableformat.Diff) -> list[tuple[Any, ...]]:
    """Each row as its change, its key, and the columns that changed."""
    return [(row["change"], *(row[name] for name in diff.key), row["changed"]) for row in diff.rows()]


ROWS = {"id": [3, 1, 2], "x": [0.5, 1.5, 2.5], "s": ["a", "b", "c"]}
EDITED = {"id": [1, 4, 3], "x": [1.5, 9.0, 0.75], "s": ["b", "d", "A"]}


def test_rows_come_in_the_order_of_the_second_table(write: Write) -> None:
    """Rows that the second table has, in its order; then removed rows in the order of the first. [DIFF-8]"""
    before, after = write("a", ROWS, key="id"), write("b", EDITED, key="id")
    assert changes(tableformat.diff(before, after)) == [
        ("added", 4, None),
        ("changed", 3, ["x", "s"]),
        ("removed", 2, None),
    ]
    assert changes(tableformat.diff(before, after, keep="all"))[0] == ("same", 1, [])


def test_it_reads_like_a_table(write: Write) -> None:
    """Schema, slices, rows by number, batches, Arrow, pandas and polars say the same."""
    diff = tableformat.diff(write("a", ROWS, key="id"), write("b", EDITED, key="id"))
    assert diff.columns == ["change", "id", "changed", "before", "after"]
    assert (diff.on, diff.key, len(diff), bool(diff)) == (("id",), ("id",), 3, True)
    table = diff.to_arrow()
    assert table.schema == diff.arrow_schema
    assert pa.table(diff).equals(table)
    assert [batch.num_rows for batch in diff.batches(["id"], batch_rows=2)] == [2, 1]
    assert diff.head(2).to_arrow().equals(table.slice(0, 2))
    assert diff[1:][:1].to_arrow().equals(table.slice(1, 1))
    assert diff[-2:].to_arrow().equals(table.slice(1))
    assert diff[5:].to_arrow().num_rows == 0
    assert diff.to_pandas()["id"].tolist() == diff.to_polars()["id"].to_list() == [4, 3, 2]
    row = diff[1]
    assert (row.index, row["before"].index, row["after"].index) == (1, 0, 2)
    assert (row["before"]["x"], row["after"].to_dict()) == (0.5, {"id": 3, "x": 0.75, "s": "A"})
    assert diff[-1]["after"] is None
    assert [one.index for one in diff] == [0, 1, 2]


def test_summary_counts(write: Write) -> None:
    """Rows and columns are counted; of numbers there is the mean change and the largest; it prints and becomes JSON."""
    summary = tableformat.diff(write("a", ROWS, key="id"), write("b", EDITED, key="id")).summary()
    assert (summary.added, summary.removed, summary.changed, summary.same, summary.is_equal) == (1, 1, 1, 1, False)
    assert [(one.name, one.changed, one.mean, one.largest) for one in summary.columns] == [
        ("x", 1, 0.25, 0.25),
        ("s", 1, None, None),
    ]
    assert str(summary).splitlines()[1] == "  x: 1 changed, mean +0.25, largest +0.25"
    assert summary.to_json()["columns"][0] == {"name": "x", "changed": 1, "mean": 0.25, "largest": 0.25}


def test_integers_are_subtracted_exactly(write: Write) -> None:
    """Differences of integers that no double holds, and that no int64 holds, are right. [DIFF-10]"""
    for name, type_, pairs in (
        ("i", pa.int64(), [(2**62, 2**62 + 1), (-(2**63), 2**63 - 1)]),
        ("u", pa.uint64(), [(2**64 - 1, 0), (5, 2)]),
    ):
        before, after = (
            write(
                f"{name}{side}",
                pa.table({"id": [0, 1], "x": pa.array([pair[side] for pair in pairs], type_)}),
                key="id",
            )
            for side in (0, 1)
        )
        [column] = tableformat.diff(before, after).summary().columns
        differences = [float(new - old) for old, new in pairs]
        assert column.mean == sum(differences) / 2
        assert column.largest == max(differences, key=abs)


def test_classes_have_a_transition_table(write: Write) -> None:
    """Transitions of classes are told by name, of bools as they are, nulls as null. [DIFF-10]"""
    classes = tableformat.Classes({0: "cat", 1: "dog", 2: "cow"})
    schema = {"id": int, "label": tableformat.ClassType(classes), "ok": bool}
    before = write("a", {"id": [0, 1, 2, 3], "label": [0, 0, 1, 2], "ok": [True] * 4}, schema=schema, key="id")
    after = write(
        "b", {"id": [0, 1, 2, 3], "label": [1, 1, None, 2], "ok": [True, False, None, True]}, schema=schema, key="id"
    )
    label, ok = tableformat.diff(before, after).summary().columns
    assert label.transitions == (("cat", "dog", 2), ("dog", None, 1))
    assert ok.transitions == ((True, False, 1), (True, None, 1))
    assert "    cat → dog: 2" in str(tableformat.diff(before, after))


def test_classes_of_two_sets_compare_by_name(write: Write) -> None:
    """Ids of two class sets are never compared as numbers; the summary says so. [DIFF-5]"""
    sets = [tableformat.Classes({0: "cat", 1: "dog"}), tableformat.Classes({0: "dog", 1: "cat"})]
    schemas = [{"id": int, "label": tableformat.ClassType(one)} for one in sets]
    before = write("a", {"id": [0, 1], "label": [0, 0]}, schema=schemas[0], key="id")
    after = write("b", {"id": [0, 1], "label": [1, 0]}, schema=schemas[1], key="id")
    diff = tableformat.diff(before, after)
    assert changes(diff) == [("changed", 1, ["label"])]
    assert diff.summary().columns[0].transitions == (("cat", "dog", 1),)
    assert [(one.column, one.change) for one in diff.summary().schema] == [("label", "class sets differ")]


def test_media_compare_by_digest(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Media in two stores, in other packs, are equal where their bytes are, and no byte of them is read. [DIFF-3]"""
    schema = {"id": int, "image": tableformat.ImageType()}
    before = write("a", [{"id": row, "image": image(row)} for row in range(4)], schema=schema, key="id")
    rows = [{"id": row, "image": image(row + 10 * (row == 2))} for row in (3, 2, 1, 0)]
    after = write("b", rows, "other", schema=schema, key="id")
    monkeypatch.setattr("tableformat.storage.blob_reader.BlobReader.read_many", None)
    diff = tableformat.diff(before, after)
    assert changes(diff) == [("changed", 2, ["image"])]
    [row] = diff.rows()
    cells = diff.to_arrow().to_pylist()[0]
    assert cells["before"]["image"]["file"]["uri"].startswith(before.source.backend.uri("data"))
    assert cells["after"]["image"]["file"]["uri"].startswith(after.source.backend.uri("data"))
    monkeypatch.undo()
    assert (row["before"]["image"].to_numpy() == image(2)).all()
    assert (row["after"]["image"].to_numpy() == image(12)).all()
    assert "image:" in repr(diff)
    [with_bytes] = diff.rows(media="bytes")
    assert with_bytes["after"]["image"] == row["after"]["image"].bytes()


def test_a_column_of_media_may_be_the_key(write: Write) -> None:
    """`on=` a media column: rows meet where they show the same. [DIFF-7]"""
    schema = {"image": tableformat.ImageType(), "score": float}
    before = write("a", [{"image": image(row), "score": 0.5} for row in (0, 1, 2)], schema=schema)
    after = write("b", [{"image": image(row), "score": 0.5 + (row == 1)} for row in (3, 1, 0)], "other", schema=schema)
    diff = tableformat.diff(before, after, on="image")
    assert [(row["change"], row["changed"]) for row in diff.rows()] == [
        ("added", None),
        ("changed", ["score"]),
        ("removed", None),
    ]
    assert (diff[0]["image"].to_numpy() == image(3)).all()
    assert (diff[2]["image"].to_numpy() == image(2)).all()


def test_annotations_are_columns(write: Write) -> None:
    """A corrected box is a change of the boxes, not of the image."""
    schema = {"id": int, "image": tableformat.ImageType()}
    box = tableformat.Box(1, xyxy=(1, 2, 3, 4))
    moved = tableformat.Box(1, xyxy=(1, 2, 3, 5))
    before = write(
        "a", [{"id": 0, "image": tableformat.Image(image(0), boxes={"truth": [box]})}], schema=schema, key="id"
    )
    after = write(
        "b", [{"id": 0, "image": tableformat.Image(image(0), boxes={"truth": [moved]})}], schema=schema, key="id"
    )
    diff = tableformat.diff(before, after)
    assert changes(diff) == [("changed", 0, ["image_boxes"])]
    assert "image_boxes" in repr(diff)
    assert tableformat.diff(before, before).summary().is_equal


def test_schemas_may_differ(write: Write) -> None:
    """Columns that one table has are told; types are widened to one; what has none is told and not compared. [DIFF-4]"""
    before = write(
        "a", pa.table({"id": [1, 2], "n": pa.array([1, 2], pa.int8()), "odd": ["1", "2"], "gone": [1, 2]}), key="id"
    )
    after = write("b", pa.table({"id": [1, 2], "n": [1.0, 2.5], "odd": [1, 2], "new": [True, None]}), key="id")
    diff = tableformat.diff(before, after)
    assert changes(diff) == [("changed", 2, ["n"])]
    told = {one.column: (one.change, bool(one.reason)) for one in diff.summary().schema}
    assert told == {
        "n": ("retyped", False),
        "odd": ("retyped", True),
        "gone": ("removed", False),
        "new": ("added", False),
    }
    assert not diff.summary().is_equal
    row = diff.to_arrow().to_pylist()[0]
    assert row["before"] == {"id": 2, "n": 2, "odd": "2", "gone": 2}
    assert row["after"] == {"id": 2, "n": 2.5, "odd": 2, "new": None}


def test_values_that_do_not_fit_the_wider_type_differ(write: Write) -> None:
    """An integer that no double is equal to differs from every double; others meet. [DIFF-4]"""
    numbers = [2**53, 2**53 + 1, 7, None]
    before = write("a", pa.table({"id": range(4), "n": numbers, "l": [[number] for number in numbers]}), key="id")
    floats = [float(2**53), float(2**53), 7.0, None]
    after = write("b", pa.table({"id": range(4), "n": floats, "l": [[number] for number in floats]}), key="id")
    assert changes(tableformat.diff(before, after)) == [("changed", 1, ["n", "l"])]


def test_key_columns_of_other_names_and_types(write: Write) -> None:
    """A pair names the key on each side; the key of the diff has a type that holds both, and a name of its own."""
    before = write("a", pa.table({"number": pa.array([1, 2], pa.int8()), "x": [1, 2]}))
    after = write("b", pa.table({"change": [2, 300], "x": [2, 3]}))
    diff = tableformat.diff(before, after, on=("number", "change"))
    assert diff.columns == ["change", "change_key", "changed", "before", "after"]
    assert diff.arrow_schema.field("change_key").type == pa.int64()
    assert changes(diff) == [("added", 300, None), ("removed", 1, None)]
    assert diff.to_arrow().column("change_key").to_pylist() == [300, 1]


def test_selections_are_compared(write: Write) -> None:
    """Filters, slices and columns of either table; the key need not be among the columns."""
    before, after = write("a", ROWS, key="id"), write("b", EDITED, key="id")
    only = tableformat.diff(before.where(s="a").select("x"), after.where(tableformat.col("x") < 1).select("x"))
    assert changes(only) == [("changed", 3, ["x"])]
    assert only.to_arrow().to_pylist()[0]["before"] == {"x": 0.5}
    assert changes(tableformat.diff(before[1:], after.take([2, 0]))) == [("added", 3, None), ("removed", 2, None)]
    assert changes(tableformat.diff(before[::-1], after.head(0)))[0] == ("removed", 2, None)
    assert before.select("id").key == ("id",)
    assert changes(tableformat.diff(before.select("id"), after.select("id"), keep="all"))[0] == ("same", 1, [])


def test_addresses_and_parquet_files(write: Write, tmp_path: Path) -> None:
    """Addresses of tables, Parquet files and tables filled by hand are taken; without a key rows are counted. [DIFF-9]"""
    write("a", ROWS, key="id")
    pq.write_table(pa.table(EDITED), tmp_path / "after.parquet")
    diff = tableformat.diff(f"{tmp_path}/store#a/t", tmp_path / "after.parquet", on="id")
    assert [row[0] for row in changes(diff)] == ["added", "changed", "removed"]
    by_hand = tableformat.Table(columns=["x"], data=[[1], [1], [2]])
    pq.write_table(pa.table({"x": [2, 1, 5]}), tmp_path / "x.parquet")
    diff = tableformat.diff(by_hand, tmp_path / "x.parquet")
    assert diff.columns == ["change", "count", "before", "after"]
    assert diff.to_arrow().to_pylist() == [
        {"change": "added", "count": 1, "before": None, "after": {"x": 5}},
        {"change": "removed", "count": 1, "before": {"x": 1}, "after": None},
    ]
    assert [(row["change"], row["count"], row["after"]) for row in diff.rows()][1] == ("removed", 1, None)
    assert "- 1 × x=1" in repr(diff)


def test_it_is_shown(write: Write) -> None:
    """Text and HTML show counts and a few rows; what came from a store cannot move the cursor or be markup."""
    before = write("a", {"id": [1], "s": ["<b>\x1b[2J"]}, key="id")
    after = write("b", {"id": range(20), "s": ["x"] * 20}, key="id")
    diff = tableformat.diff(before, after)
    assert "\x1b" not in repr(diff)
    assert repr(diff).endswith("…")
    assert "<b>" not in diff._repr_html_()
    assert "19 added" in diff._repr_html_()
    assert len(repr(diff).splitlines()) < 12


# What is read


def _parts(files: list[str]) -> set[str]:
    return {path for path in files if path.endswith(".parquet")}


def test_equal_parts_are_not_read(tmp_path: Path) -> None:
    """Of parts whose values are equal nothing is opened, of others the key and the columns that differ. [DIFF-2]"""
    count = 4000
    ids, texts = np.arange(count), [f"text {row}" for row in range(count)]
    values = ids * 0.5
    before = store_table(
        tmp_path / "a",
        {"id": int, "x": float, "s": str},
        {"id": ids, "x": values, "s": texts},
        part_rows=100,
        key=["id"],
    )
    edited = values.copy()
    edited[2000] += 1
    after = store_table(
        tmp_path / "b",
        {"id": int, "x": float, "s": str},
        {"id": ids, "x": edited, "s": texts},
        part_rows=100,
        key=["id"],
    )
    opened = []
    tables = []
    for table in (before, after):
        backend = FaultBackend(table.source.backend)
        opened.append(backend)
        tables.append(Table(replace(table.source, backend=backend, _parts=[])))
    diff = tableformat.diff(tables[0], tables[1])
    assert diff.summary().changed == 1
    touched = [_parts([path for _, path in backend.calls]) for backend in opened]
    assert [len(paths) for paths in touched] == [1, 1]
    assert changes(diff) == [("changed", 2000, ["x"])]


def test_deleted_rows_meet_by_their_place(tmp_path: Path) -> None:
    """Two parts with one file and other deletions: what one hides is added or removed, and no other row is read. [DIFF-2]"""
    ids = np.arange(300)
    table = store_table(tmp_path, {"id": int, "x": int}, {"id": ids, "x": ids}, part_rows=100, key=["id"])
    parts = table.source.parts()

    def without(*rows: int) -> Table:
        data, deletions = encode_deletions(list(rows))
        table.source.backend.put(deletions.path, data)
        changed = [replace(parts[0], deletions=deletions), *parts[1:]]
        entry = replace(table.source.entry, rows=300 - len(rows))
        return Table(replace(table.source, entry=entry, load_parts=lambda: changed, _parts=[]))

    before, after = without(3, 50), without(4, 50, 51)
    diff = tableformat.diff(before, after)
    assert changes(diff) == [("added", 3, None), ("removed", 4, None), ("removed", 51, None)]
    assert diff.summary().same == 296
    everything = tableformat.diff(before, after, keep="all")
    assert [row["id"] for row in everything.rows()] == [*(row for row in range(300) if row not in (4, 50, 51)), 4, 51]


# What is refused


def test_keys_that_stand_twice_are_reported(write: Write) -> None:
    """A key that is not unique on one side is an error that names the side, the keys and their rows. [DIFF-6]"""
    before = write("a", {"id": [1, 2, 2, 3, 3], "part": ["a"] * 5, "x": [1] * 5})
    after = write("b", {"id": [1, 2], "part": ["a", "a"], "x": [1, 1]})
    for tables, word in (((before, after), "before"), ((after, before), "after")):
        diff = tableformat.diff(*tables, on=["id", "part"])
        with pytest.raises(KeyValueError, match=f"the rows {word}") as caught:
            len(diff)
        assert [str(problem) for problem in caught.value.problems] == [
            "row 2: id=2, part='a' stands in row 1 already",
            "row 4: id=3, part='a' stands in row 3 already",
        ]


def test_keys_that_stand_twice_are_found_in_equal_parts(write: Write) -> None:
    """Also where the rows are equal on both sides and would not be read. [DIFF-6]"""
    tables = [write(name, {"id": [1, 1], "x": [1, 2]}) for name in ("a", "b")]
    with pytest.raises(KeyValueError, match="row 0"):
        tableformat.diff(*tables, on="id").summary()


def test_keys_that_match_nothing_are_reported(write: Write) -> None:
    """Null, NaN, and media whose content is not known are no keys. [DIFF-6]"""
    whole = write("a", pa.table({"i": [1, 2], "f": [0.5, 1.5]}))
    holes = write("b", pa.table({"i": [1, None], "f": [float("nan"), 1.0]}))
    for name, row in (("i", 1), ("f", 0)):
        with pytest.raises(KeyValueError, match=f"row {row}, column '{name}'"):
            tableformat.diff(whole, holes, on=name).summary()
    schema = {"image": tableformat.ImageType()}
    referred = write("c", [{"image": tableformat.Image.refer("s3://bucket/x.png")}], schema=schema)
    with pytest.raises(KeyValueError, match="not known"):
        tableformat.diff(referred, referred, on="image").summary()


def test_wrong_arguments(write: Write, tmp_path: Path) -> None:
    """Each wrong argument is told before anything is read."""
    table, other = write("a", ROWS, key="id"), write("b", {"id": ["1"], "y": [1]})
    store = tableformat.open_store(tmp_path / "store")
    for error, text, arguments, options in (
        (InvalidInputError, "Artifact", (store["a"], table), {}),
        (InvalidInputError, "JoinedTable", (table, tableformat.JoinedTable(table, table, on="id")), {}),
        (UsageError, "keep=", (table, table), {"keep": "everything"}),
        (UsageError, "bounding memory", (table, table), {"memory": "much"}),
        (LimitError, "64 MiB", (table, table), {"memory": 1}),
        (NotFoundError, "idd", (table, table), {"on": "idd"}),
        (UsageError, "on=", (table, table), {"on": []}),
        (UsageError, "on=", (table, table), {"on": 5}),
        (SchemaError, "string", (table, other), {"on": "id"}),
        (UsageError, "none after", (table, other), {}),
        (NotFoundError, "nothing", (f"{tmp_path}/nothing#a/t", table), {}),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            tableformat.diff(*arguments, **options)  # type: ignore[arg-type]
    diff = tableformat.diff(table, table)
    for error, call in (
        (IndexError, lambda: diff[0]),
        (UsageError, lambda: diff[::2]),
        (UsageError, lambda: diff.rows(media="all")),
        (UsageError, lambda: diff.to_arrow(media="all")),
        (NotFoundError, lambda: list(diff.batches(["nothing"]))),
    ):  # fmt: skip
        with pytest.raises(error):
            call()


def test_tables_without_a_column_in_common(write: Write) -> None:
    """Without a key there must be something to compare."""
    with pytest.raises(SchemaError, match="a column that both have"):
        tableformat.diff(write("a", {"x": [1]}), write("b", {"y": [1]})).summary()

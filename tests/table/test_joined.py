"""`JoinedTable` as its users hold it: columns, rows, selections, batches, and what it refuses."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

import tableformat
from tableformat import Image, JoinedTable, col
from tableformat.errors import InvalidInputError, LimitError, MissingExtraError, NotFoundError, SchemaError, UsageError
from tableformat.table.table import Table
from tests.table.reading_tables import store_table

LEFT: dict[str, list[Any]] = {"id": [3, 1, None, 2, 1], "name": ["c", "a", "n", "b", "a2"]}
RIGHT: dict[str, list[Any]] = {"id": [1, 4, 2, None, 1], "score": [0.1, 0.4, 0.2, 0.0, 0.15]}


@pytest.fixture
def left(tmp_path: Path) -> Table:
    return store_table(tmp_path / "l", {"id": pa.int64(), "name": pa.string()}, LEFT, part_rows=2)


@pytest.fixture
def right(tmp_path: Path) -> Table:
    return store_table(tmp_path / "r", {"id": pa.int64(), "score": pa.float64()}, RIGHT, part_rows=2)


def test_rows_hold_one_row_of_each_side(left: Table, right: Table) -> None:
    """A row is `{"0": …, "1": …}`, frozen; each side knows its number in its table, and None stands for no row."""
    rows = list(JoinedTable(left, right, on="id", how="outer"))
    assert [(row["0"] and row["0"]["name"], row["1"] and row["1"]["score"]) for row in rows] == [
        ("c", None), ("a", 0.1), ("a", 0.15), ("n", None), ("b", 0.2), ("a2", 0.1), ("a2", 0.15), (None, 0.4), (None, 0.0)
    ]  # fmt: skip
    assert [row.index for row in rows] == list(range(9))
    assert (rows[2]["0"].index, rows[2]["1"].index) == (1, 4)
    assert rows[1] == {"0": {"id": 1, "name": "a"}, "1": {"id": 1, "score": 0.1}}
    with pytest.raises(NotFoundError):
        rows[0]["2"]
    assert list(next(JoinedTable(left, right, on="id", how="semi").rows())) == ["0"]


def test_columns_have_flattened_names(left: Table, right: Table) -> None:
    """Equal names get their side, others stay; a side that may be missing may be null."""
    joined = JoinedTable(left, right, on="id", how="left")
    assert joined.columns == joined.schema.names == joined.arrow_schema.names == ["id_0", "name", "id_1", "score"]
    assert joined.arrow_schema.field("score").nullable
    assert joined.on == [("id", "id")]
    assert JoinedTable(left, right, on="id", how="anti").columns == ["id", "name"]
    assert joined.to_arrow().schema.equals(joined.arrow_schema, check_metadata=False)


def test_rows_are_counted(left: Table, right: Table) -> None:
    """The number of rows of each kind, and whether there are any."""
    counts = {
        how: len(JoinedTable(left, right, on="id", how=how))
        for how in ("inner", "left", "right", "outer", "semi", "anti")
    }  # type: ignore[arg-type]
    assert counts == {"inner": 5, "left": 7, "right": 7, "outer": 9, "semi": 3, "anti": 2}
    assert not JoinedTable(left, right.where(score=7.0), on="id")
    assert JoinedTable(left, right, on="id")
    assert len(JoinedTable(left, right, on="id").select()) == 5


@pytest.mark.parametrize("how", ["inner", "left", "right", "outer", "semi", "anti"])
def test_selections_are_those_of_a_list(left: Table, right: Table, how: Any) -> None:
    """Slices, positions and filters, one after the other, give the rows that lists of all rows give."""
    joined = JoinedTable(left, right, on="id", how=how)
    rows = joined.to_arrow().to_pylist()
    for chosen in (
        slice(1, 4),
        slice(None, 2),
        slice(3, None),
        slice(-3, -1),
        slice(None, None, 2),
        slice(None, None, -1),
        slice(2, 99),
        slice(5, 2),
    ):
        assert joined[chosen].to_arrow().to_pylist() == rows[chosen], chosen
        assert len(joined[chosen]) == len(rows[chosen])
    assert joined.page(1, 2).to_arrow().to_pylist() == rows[1:3]
    assert joined.head(3)[1:].to_arrow().to_pylist() == rows[1:3]
    count = len(rows)
    for positions in ([0, 0, count - 1], [-1, 1], np.array([1, 0]), [], range(count)):
        assert joined.take(positions).to_arrow().to_pylist() == [rows[place] for place in positions]
    kept = [row for row in rows if row["name"] is not None and row["name"] < "b"]
    assert joined.where(col("name") < "b").to_arrow().to_pylist() == kept
    assert (
        joined[:4].where(col("name") < "b")[1:].to_arrow().to_pylist() == [row for row in rows[:4] if row in kept][1:]
    )
    assert (
        joined.take([1, 0]).where(col("name").is_null())[:1].to_arrow().to_pylist()
        == [row for row in (rows[1], rows[0]) if row["name"] is None][:1]
    )
    assert [dict(joined[place]["0"] or {}) for place in (0, -1)] == [
        dict(list(joined)[place]["0"] or {}) for place in (0, -1)
    ]
    with pytest.raises(IndexError):
        joined[count]
    with pytest.raises(IndexError):
        joined.take([count]).to_arrow()
    with pytest.raises(IndexError):
        joined.where(col("name") >= "")[::-1].take([count]).to_arrow()


@pytest.mark.parametrize("how", ["inner", "left", "right", "outer", "semi", "anti"])
@pytest.mark.parametrize(
    "expr",
    [
        col("name") == "a", col("name") != "a", col("name").is_null(), ~col("name").is_null(), (col("name") == "a") | col("name").is_null(),
        (col("name") > "a") & (col("name") < "c"), col("name").is_in(["a2", None]),
    ],
    ids=str,
)  # fmt: skip
def test_filters_of_the_left_are_pushed_rightly(left: Table, right: Table, how: Any, expr: Any) -> None:
    """What is pushed to the left before the join leaves the rows that it would leave after it."""
    joined = JoinedTable(left, right, on="id", how=how)
    whole = joined.to_arrow()
    rows = [row for row in whole.to_pylist() if expr_true(expr, row["name"])]
    assert joined.where(expr).to_arrow().to_pylist() == rows


@pytest.mark.parametrize("how", ["inner", "left", "right", "outer"])
@pytest.mark.parametrize(
    "expr",
    [
        col("score") > 0.1,
        col("score").is_null(),
        ~(col("score") > 0.1),
        (col("score") > 0.3) | (col("name") == "a"),
        col("id_0") == col("id_1"),
    ],
    ids=str,
)
def test_filters_of_the_right_and_of_both_are_applied_rightly(left: Table, right: Table, how: Any, expr: Any) -> None:
    """What speaks of the right goes there where that is right, and what speaks of both is applied to the joined rows."""
    joined = JoinedTable(left, right, on="id", how=how)
    names = joined.schema.names
    found = joined.where(expr)
    rows = joined.to_arrow().to_pylist()
    tests = {
        str(col("score") > 0.1): lambda row: row["score"] is not None and row["score"] > 0.1,
        str(col("score").is_null()): lambda row: row["score"] is None,
        str(~(col("score") > 0.1)): lambda row: row["score"] is not None and row["score"] <= 0.1,
        str((col("score") > 0.3) | (col("name") == "a")): lambda row: (row["score"] or 0) > 0.3 or row["name"] == "a",
        str(col("id_0") == col("id_1")): lambda row: row["id_0"] is not None and row["id_0"] == row["id_1"],
    }
    assert found.select(*names).to_arrow().to_pylist() == [row for row in rows if tests[str(expr)](row)]


def expr_true(expr: Any, value: Any) -> bool:
    """Whether an expression over `name` is true of a value."""
    text = str(expr)
    tests = {
        "col('name') == 'a'": value == "a",
        "col('name') != 'a'": value is not None and value != "a",
        "col('name').is_null()": value is None,
        "~col('name').is_null()": value is not None,
        "(col('name') == 'a') | col('name').is_null()": value in ("a", None),
        "(col('name') > 'a') & (col('name') < 'c')": value is not None and "a" < value < "c",
        "col('name').is_in(['a2', None])": value in ("a2", None),
    }
    return tests[text]


def test_filters_are_pushed_to_their_side(left: Table, right: Table) -> None:
    """A filter of one side is a filter of that table; an outer join that it makes impossible becomes a narrower one."""
    outer = JoinedTable(left, right, on="id", how="outer")
    assert "3 rows" not in outer.explain()
    assert outer.where(score=0.1).chosen.join.how == "right"
    assert outer.where(name="a").chosen.join.how == "left"
    assert outer.where(name="a", score=0.1).chosen.join.how == "inner"
    assert outer.where(col("score").is_null()).chosen.join.how == "outer"
    assert outer.where(name="a").chosen.steps == ()
    assert len(outer.where(col("score").is_null()).chosen.steps) == 1
    assert outer.where() is outer


def test_batches_are_cut_and_bounded(left: Table, right: Table) -> None:
    """`columns` and `batch_rows` are those of a table; `memory` takes bytes and texts, and refuses what is too little."""
    joined = JoinedTable(left, right, on="id", how="left")
    batches = list(joined.batches(columns=["score", "name"], batch_rows=3, memory="100 MB"))
    assert [batch.num_rows for batch in batches] == [3, 3, 1]
    assert batches[0].schema.names == ["score", "name"]
    whole = pa.Table.from_batches(batches).to_pylist()
    loose = pa.Table.from_batches(joined.batches(columns=["score", "name"], memory=1 << 27, ordered=False)).to_pylist()
    assert sorted(whole, key=repr) == sorted(loose, key=repr)
    with pytest.raises(LimitError, match="64 MiB"):
        list(joined.batches(memory="1 MB"))
    for memory in ("much", True, 1.5, "-5 GB", "5 XB"):
        with pytest.raises(UsageError, match="512 MB"):
            list(joined.batches(memory=memory))  # type: ignore[arg-type]


def test_other_libraries_take_it(left: Table, right: Table) -> None:
    """Arrow, pandas and polars read it through the C stream."""
    joined = JoinedTable(left, right, on="id")
    rows = joined.to_arrow().to_pylist()
    assert pa.table(joined).to_pylist() == rows
    assert polars.from_arrow(pa.table(joined)).to_dicts() == joined.to_polars().to_dicts() == rows
    assert isinstance(joined.to_pandas(), pandas.DataFrame)
    assert joined.to_pandas()["score"].tolist() == [row["score"] for row in rows]


def test_a_plan_is_explained(left: Table, right: Table) -> None:
    """The strategy, why, and both sides with rows and width are told, without a row read."""
    text = JoinedTable(left, right, on="id").explain()
    assert text.startswith("lookup: ")
    assert "5 rows" in text
    assert "id = id" in text
    assert JoinedTable(left, right, on="id").head(2).explain().endswith("1 selections of the joined rows")


def test_selections_pickle(tmp_path: Path) -> None:
    """A joined table and every selection of it come back in another process, with pushed filters."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        draft.add(pa.table({"id": [1, 2, 2], "x": ["a", "b", "c"]}), "l")
        draft.add(pa.table({"id": [2, 1], "y": [5, 6]}), "r")
    joined = JoinedTable(store["a"]["l"], store["a"]["r"], on="id", how="outer")
    nested = JoinedTable(joined, store["a"]["r"], on=("id_0", "id"))
    for one in (
        joined,
        joined.where(y=5).select("x"),
        joined.take([2, 0]),
        joined[1:].where(x="c"),
        nested,
        nested.where(x="b").head(1),
        JoinedTable("l", "r", on="id"),
    ):
        again = pickle.loads(pickle.dumps(one))
        assert repr(again) == repr(one)
        if one.is_whole and isinstance(one.sides[0], str):
            continue
        assert again.to_arrow().equals(one.to_arrow())
        assert again.is_whole == one.is_whole


def test_threads_share_a_handle(left: Table, right: Table) -> None:
    """Many threads page, take and stream one joined table."""
    joined = JoinedTable(left, right, on="id", how="outer")
    rows = joined.to_arrow().to_pylist()

    def work(place: int) -> bool:
        start = place % 7
        return (
            joined.page(start, 2).to_arrow().to_pylist() == rows[start : start + 2]
            and joined.to_arrow().to_pylist() == rows
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))


def test_media_are_lazy_and_compare_by_digest(tmp_path: Path, digits: Path) -> None:
    """The same picture under two names meets; rows show it as an image with its annotations, read when asked; batches hold cells."""
    pictures = sorted(digits.glob("*/*.png"))[:4]
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        with draft.table("l") as table:
            for place, path in enumerate(pictures[:3]):
                table.append(image=Image(path, caption=f"caption {place}"), place=place)
        with draft.table("r") as table:
            for path in reversed(pictures):
                table.append(image=Image(path.read_bytes()), picture=path.name)
            table.append(image=None, picture="none")
    joined = JoinedTable(store["a"]["l"], store["a"]["r"], on="image", how="outer")
    rows = list(joined)
    assert [row["1"]["picture"] for row in rows] == [*(path.name for path in pictures[:3]), pictures[3].name, "none"]
    assert [row["0"] and row["0"]["image"].caption for row in rows] == [
        "caption 0",
        "caption 1",
        "caption 2",
        None,
        None,
    ]
    assert rows[0]["0"]["image"].bytes() == rows[0]["1"]["image"].bytes() == pictures[0].read_bytes()
    assert [row["1"]["image"] for row in joined.rows(media="bytes")] == [
        *(path.read_bytes() for path in pictures),
        None,
    ]
    assert joined.columns == ["image_0", "place", "image_1", "picture"]
    cells = joined.select("image_1").to_arrow(media="bytes").column("image_1").to_pylist()
    assert [cell and cell["file"]["inline"] for cell in cells] == [*(path.read_bytes() for path in pictures), None]
    assert joined.where(col("image_1.width") == 28).num_rows in (0, 4)
    nested = JoinedTable(joined, store["a"]["r"], on=("image_0", "image"))
    assert [row["0"]["1"]["image"].bytes() for row in nested] == [path.read_bytes() for path in pictures[:3]]
    with pytest.raises(SchemaError, match=r"image.*string"):
        JoinedTable(store["a"]["l"], store["a"]["r"], on=("image", "picture"))


def test_class_names_stand_for_ids_in_filters(tmp_path: Path) -> None:
    """A filter of a column of classes takes names, on either side and after the join."""
    classes = tableformat.Classes(["cat", "dog"])
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        for name in ("l", "r"):
            with draft.table(name, schema={"id": pa.int64(), "label": tableformat.ClassType(classes)}) as table:
                table.extend([{"id": 1, "label": 0}, {"id": 2, "label": 1 if name == "l" else 0}])
    joined = JoinedTable(store["a"]["l"], store["a"]["r"], on="id")
    assert joined.where(label_0="dog").to_arrow().to_pylist() == [{"id_0": 2, "label_0": 1, "id_1": 2, "label_1": 0}]
    assert len(joined.where((col("label_0") == "dog") | (col("label_1") == "dog"))) == 1
    assert len(JoinedTable(store["a"]["l"], store["a"]["r"], on="label")) == 2
    with pytest.raises(NotFoundError, match="bird"):
        joined.where(label_1="bird")


def test_what_is_no_join_is_refused(left: Table, right: Table) -> None:
    """Sides, kinds, columns and rows that make no sense raise, each with what would."""
    with pytest.raises(InvalidInputError, match="two tables"):
        JoinedTable(left, pa.table({"id": [1]}), on="id")
    with pytest.raises(UsageError, match="outer"):
        JoinedTable(left, right, on="id", how="full")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="right side"):
        JoinedTable(left, right, on="name")
    with pytest.raises(SchemaError, match=r"string.*double|string.*float64"):
        JoinedTable(left, right, on=("name", "score"))
    joined = JoinedTable(left, right, on="id")
    with pytest.raises(NotFoundError, match=r"id_0|'id'"):
        joined.select("id")
    with pytest.raises(NotFoundError):
        joined.where(nothing=1)
    with pytest.raises(SchemaError):
        joined.where(score="high")
    with pytest.raises(InvalidInputError):
        joined.where("score > 1")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="select"):
        joined["score"]
    with pytest.raises(UsageError, match="step"):
        joined[::0]
    with pytest.raises(UsageError, match="media"):
        joined.to_arrow(media="none")
    with pytest.raises(UsageError, match="media"):
        joined.rows(media="none")  # type: ignore[arg-type]


def test_spilling_needs_duckdb(left: Table, right: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without DuckDB a join that has to spill names the extra that brings it."""
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match=r"tableformat\[duckdb\]"):
        next(JoinedTable(left, right, on="id").chosen.run([], 1 << 29, strategy="spill"))


def test_a_side_may_be_a_selection(left: Table, right: Table) -> None:
    """Selections of tables are joined as they are: rows picked twice stand twice, in the order of the pick."""
    joined = JoinedTable(left.take([4, 1, 1]).select("id", "name"), right.where(col("score") > 0.1)[:3], on="id")
    assert joined.to_arrow().to_pylist() == [
        {"id_0": 1, "name": name, "id_1": 1, "score": 0.15} for name in ("a2", "a", "a")
    ]
    assert [row["0"].index for row in joined] == [4, 1, 1]
    again = JoinedTable(joined, joined.head(1), on=["name"])
    assert [row["0"]["0"]["name"] for row in again] == ["a2"]
    assert JoinedTable(left, joined.where(name="a"), on="name", how="semi").to_arrow().num_rows == 1

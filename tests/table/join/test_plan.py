"""Which way a join is read, from what its sides are; and that ways which bound memory in steps find the same rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tableformat
from tableformat import JoinedTable, col
from tableformat.table.join.chosen import Chosen
from tableformat.table.join.lookup import TooLargeError, iter_lookup
from tableformat.table.join.pages import iter_pages, iter_unmatched
from tableformat.table.join.pairs import KINDS
from tableformat.table.join.plan import choose
from tableformat.table.join.sides import SideFacts
from tests.table.join.join_tables import stored
from tests.table.reading_tables import store_table

GIB = 1 << 30
FACTS = SideFacts("t", 1000, 100.0, is_unique=False, is_sorted=False, key_digest=None)
SORTED = replace(FACTS, is_unique=True, is_sorted=True)
ALIGNED = replace(FACTS, is_unique=True, key_digest="sha256:1")
HUGE = replace(FACTS, rows=100_000_000)


@pytest.mark.parametrize(
    ("left", "right", "how", "strategy"),
    [
        (ALIGNED, ALIGNED, "outer", "aligned"),
        (ALIGNED, replace(ALIGNED, key_digest="sha256:2"), "outer", "lookup"),
        (SORTED, SORTED, "outer", "merge"),
        (replace(SORTED, rows=None), SORTED, "anti", "merge"),
        (SORTED, replace(SORTED, is_unique=False), "inner", "lookup"),
        (HUGE, FACTS, "outer", "lookup"),
        (FACTS, HUGE, "left", "pages"),
        (FACTS, HUGE, "right", "spill"),
        (HUGE, HUGE, "inner", "spill"),
        (HUGE, replace(FACTS, rows=None), "inner", "spill"),
    ],
)
def test_plans_follow_from_facts(left: SideFacts, right: SideFacts, how: Any, strategy: str) -> None:
    """Alignment before a merge, a merge before what is held, what is held before what spills; each with its reason."""
    plan = choose(how, left, right, GIB, comparable=True)
    assert plan.strategy == strategy
    assert len(plan.reason) > 20


def test_keys_without_an_order_are_not_merged() -> None:
    """Where the two sides have no common order of keys, sorting helps nothing."""
    assert choose("inner", SORTED, SORTED, GIB, comparable=False).strategy == "lookup"


def test_facts_come_from_entries(tmp_path: Path) -> None:
    """Keyed tables tell order, uniqueness and the sequence of their keys; filters keep the first two, repetitions none."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        for name in ("one", "same"):
            with draft.table(name, key="id") as table:
                table.extend(pa.table({"id": np.arange(100), "x": np.arange(100) % 7}))
        with draft.table("shuffled", key="id") as table:
            table.extend(pa.table({"id": np.arange(100)[::-1], "y": np.arange(100)}))
    a = store["a"]

    def strategy(left: Any, right: Any, on: Any = "id") -> str:
        return JoinedTable(left, right, on=on).explain().partition(":")[0]

    assert strategy(a["one"], a["same"]) == "aligned"
    assert strategy(a["one"].where(x=3), a["same"]) == strategy(a["one"][10:50], a["same"][::2]) == "merge"
    assert strategy(a["one"], a["shuffled"]) == strategy(a["one"].take([0, 0]), a["same"]) == "lookup"
    assert strategy(a["one"], a["same"], on=("x", "id")) == "lookup"
    assert strategy(a["one"][::-1], a["same"]) == "lookup"
    for how in KINDS:
        aligned = JoinedTable(a["one"], a["same"], on="id", how=how)
        numbers = [
            (int(left), int(right))
            for run, _ in aligned.chosen.run([], GIB)
            for left, right in zip(run.left_rows, run.right_rows, strict=True)
        ]
        wanted = [] if how == "anti" else [(n, -1 if how == "semi" else n) for n in range(100)]
        assert numbers == wanted
        assert len(aligned) == len(wanted)
        assert [row["0"]["x"] for row in aligned] == [n % 7 for n, _ in wanted]
    picked = JoinedTable(a["one"].take([5, 5, 1]), a["same"][::-1], on="id", how="left")
    assert picked.select("x_0", "x_1").to_arrow().to_pylist() == [{"x_0": 5, "x_1": 5}] * 2 + [{"x_0": 1, "x_1": 1}]
    assert picked.page(1, 5).select("x_1").to_arrow().column("x_1").to_pylist() == [5, 1]


@pytest.mark.parametrize("how", KINDS)
def test_windows_of_a_merge_meet(tmp_path: Path, how: Any) -> None:
    """Sorted tables of many pieces of different lengths, numbers and texts: merged, the rows are those that are looked up."""
    random = np.random.default_rng(5)
    keys = [np.sort(random.choice(200_000, size, replace=False)) for size in (90_000, 70_000)]
    for number, make in enumerate((lambda values: values, lambda values: [f"{value:08}" for value in values])):
        sides = []
        for side, part_rows in enumerate((9_000, 40_000)):
            table = pa.table({"k": make(keys[side]), "v": np.arange(len(keys[side]))})
            sides.append(stored(tmp_path / f"{number}{side}", table, part_rows, ["k"]))
        joined = JoinedTable(*sides, on="k", how=how)
        assert joined.explain().startswith("merge")
        names = joined.schema.names
        found = [
            pa.Table.from_batches(
                [joined.chosen.join.flat(run, names) for run, _ in joined.chosen.run(names, GIB, strategy=one)]
            )
            for one in ("merge", "lookup")
        ]
        assert found[0].equals(found[1])


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("limit", [1, 600, 5_000])
def test_pages_that_do_not_fit_are_halved(tmp_path: Path, how: Any, limit: int) -> None:
    """However little may be held, down to what one row meets, the rows and their order stay."""
    random = np.random.default_rng(1)
    tables = [
        store_table(tmp_path / f"{side}", {"k": pa.int64(), "v": pa.int64()}, {"k": pa.array(random.integers(0, 9, 60), mask=random.random(60) < 0.1), "v": np.arange(60)}, part_rows=7)
        for side in (0, 1)
    ]  # fmt: skip
    join = JoinedTable(*tables, on="k", how=how).chosen.join
    columns = (join.of_side(join.schema.names, 0), join.of_side(join.schema.names, 1))

    def rows(runs: Any) -> list[dict[str, Any]]:
        return [row for run in runs for row in join.flat(run, join.schema.names).to_pylist()]

    whole = rows(iter_lookup(join.left, join.right, join.pairs, how, *columns, GIB, GIB))
    assert rows(iter_pages(join.left, join.right, join.pairs, how, *columns, GIB, limit, 5)) == whole
    if how in ("right", "outer"):
        alone = rows(iter_unmatched(join.left, join.right, join.pairs, *columns, GIB, limit))
        assert alone == [row for row in whole if row["v_0"] is None]
    with pytest.raises(TooLargeError):
        next(iter_lookup(join.left, join.right, join.pairs, how, *columns, GIB, 1))


def test_a_low_estimate_spills(tmp_path: Path) -> None:
    """A side that turns out larger than its footer told, by text under a dictionary, goes the way of what does not fit."""
    texts = pa.array(["x" * 5_000] * 12_000)
    sides = [
        store_table(tmp_path / f"{side}", {"k": pa.int64(), "v": pa.string()}, {"k": np.arange(12_000), "v": texts}, part_rows=12_000)
        for side in (0, 1)
    ]  # fmt: skip
    joined = JoinedTable(*sides, on="k").select("k_0", "v_1")
    assert joined.explain(memory="128 MiB").startswith("lookup")
    assert sum(batch.num_rows for batch in joined.batches(memory="128 MiB")) == 12_000


def test_deep_pages_start_from_the_left_where_each_row_gives_one(tmp_path: Path) -> None:
    """A left join with a unique right has its page at the same place of the left; others join the keys before it."""
    sides = [
        stored(tmp_path / f"{side}", pa.table({"k": np.arange(20_000), "v": np.arange(20_000) * 2}), 12_000, ["k"])
        for side in (0, 1)
    ]
    for how in ("left", "inner"):
        joined = JoinedTable(*sides, on="k", how=how)  # type: ignore[arg-type]
        assert (joined.chosen.join.window(10_000, 10_003, ["k_0"]) is not None) == (how == "left")
        page = joined.page(10_000, 3)
        assert page.to_arrow().column("v_1").to_pylist() == [20_000, 20_002, 20_004]
        assert [row.index for row in page] == [10_000, 10_001, 10_002]
        assert joined.page(19_999, 9).num_rows == 1
        assert joined.page(20_001, 9).to_arrow().num_rows == 0
    assert isinstance(joined.chosen, Chosen)


def test_first_pages_are_kept(tmp_path: Path) -> None:
    """The same page again reads nothing, and pages that are kept have a bound."""
    calls: list[Any] = []
    sides = [
        store_table(tmp_path / f"{side}", {"k": pa.int64()}, {"k": np.arange(1000)}, part_rows=100) for side in (0, 1)
    ]
    joined = JoinedTable(*sides, on="k")
    join = joined.chosen.join
    first = joined.head(50).to_arrow()
    slice_of = type(join.left).slice

    class Counting(type(join.left)):  # type: ignore[misc]
        def slice(self, *args: Any) -> Any:
            calls.append(args)
            return slice_of(self, *args)

    join.left.__class__ = Counting
    assert joined.head(50).to_arrow().equals(first)
    assert calls == []
    assert joined.head(51).to_arrow().num_rows == 51
    assert len(calls) == 1


@pytest.mark.parametrize("how", ["inner", "left", "semi", "anti"])
def test_first_rows_of_sorted_tables_open_few_parts(tmp_path: Path, how: Any) -> None:
    """The first page of 300 parts opens those that hold it, and one in the middle of a filter the same few."""
    sides = [
        stored(
            tmp_path / f"{side}", pa.table({"k": np.arange(3000) * (side + 1), f"v{side}": np.arange(3000)}), 10, ["k"]
        )
        for side in (0, 1)
    ]
    joined = JoinedTable(*sides, on="k", how=how)
    whole = joined.to_arrow()
    opened: list[Any] = []
    for side in (joined.chosen.join.left, joined.chosen.join.right):
        parts = side._reading._parts  # type: ignore[attr-defined]
        opens = parts.open
        parts.open = lambda part, columns, opens=opens, **kw: (opened.append(part), opens(part, columns, **kw))[1]
    assert joined.head(20).to_arrow().equals(whole[:20])
    assert len(opened) <= 20
    opened.clear()
    name = joined.schema.names[0]
    middle = joined.where(col(name).between(2000, 2020))
    assert middle.head(5).to_arrow().to_pylist() == whole.filter(pc.field(name) >= 2000)[:5].to_pylist()
    assert len(opened) <= 12


@pytest.mark.parametrize("memory", ["128 MiB", "1 GiB"])
def test_dense_keys_are_held_where_others_spill(tmp_path: Path, memory: str) -> None:
    """Numbers that lie close together need a small index: within the same memory other keys are more than fits."""
    count = 1_500_000
    keys = np.random.default_rng(1).permutation(count)
    left = store_table(tmp_path / "l", {"k": pa.int64()}, {"k": keys[:1000]}, part_rows=1000)
    wide = {"near": keys, "far": keys * 1_000_003, "v": np.arange(count)}
    right = store_table(tmp_path / "r", dict.fromkeys(wide, pa.int64()), wide, part_rows=500_000)
    strategies = [
        JoinedTable(left, right, on=("k", name), how="right").explain(["k", name, "v"], memory).partition(":")[0]
        for name in ("near", "far")
    ]
    assert strategies == (["lookup", "lookup"] if memory == "1 GiB" else ["lookup", "spill"])
    joined = JoinedTable(left, right, on=("k", "near")).select("near", "v")
    found = pa.Table.from_batches(joined.batches(memory=memory))
    assert found.column("near").to_pylist() == keys[:1000].tolist()
    assert found.column("v").to_pylist() == list(range(1000))


def test_keys_that_repeat_after_all_go_to_disk(tmp_path: Path) -> None:
    """Statistics cannot tell that close numbers repeat; a side whose index is too large for that is not held."""
    count = 1_500_000
    keys = np.arange(count) // 2 * 2
    left = store_table(tmp_path / "l", {"k": pa.int64()}, {"k": np.arange(2000)}, part_rows=1000)
    right = store_table(tmp_path / "r", {"k": pa.int64()}, {"k": keys}, part_rows=500_000)
    joined = JoinedTable(left, right, on="k", how="right").select("k_0")
    assert joined.explain(memory="128 MiB").startswith("lookup")
    found = pa.Table.from_batches(joined.batches(memory="128 MiB")).column("k_0")
    assert (len(found), found.null_count) == (count, count - 2000)


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize(
    "chosen", [["k_1"], ["x", "k_1"], ["k_0", "k_1", "y"], ["m_1", "k_0"], ["k_1", "m_1", "k_0", "m_0"], ["y"], []]
)
def test_a_key_that_both_sides_have_is_read_of_one(tmp_path: Path, how: Any, chosen: list[str]) -> None:
    """Of aligned tables the right key column is that of the left, whatever columns are wanted; what is read is what a lookup finds."""
    store = tableformat.open_store(tmp_path / "store")
    random = np.random.default_rng(3)
    keys = random.permutation(9_000)
    with store.draft("a") as draft:
        for name, value in (("one", "x"), ("two", "y")):
            with draft.table(name, key=["k", "m"]) as table:
                table.extend(
                    pa.table({"k": keys // 7, "m": [f"{key % 7}" for key in keys], value: random.random(len(keys))})
                )
    joined = JoinedTable(store["a"]["one"], store["a"]["two"], on=["k", "m"], how=how)
    assert joined.explain().startswith("aligned")
    if how in ("semi", "anti"):
        chosen = [name.removesuffix("_0") for name in chosen if name not in ("k_1", "m_1", "y")]
    join = joined.chosen.join
    found = []
    for strategy, numbered in (("aligned", True), ("aligned", False), ("lookup", True)):
        runs = joined.select(*chosen).chosen.run(chosen, GIB, strategy=strategy, numbered=numbered)  # type: ignore[arg-type]
        found.append([row for run, _ in runs for row in join.flat(run, chosen).to_pylist()])
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == (0 if how == "anti" else len(keys))

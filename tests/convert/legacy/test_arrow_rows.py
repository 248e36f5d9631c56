"""Rows read straight to Arrow: the same values as the parser of JSON gives, or nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tableformat
from tableformat.convert.legacy import convert_wandb
from tableformat.convert.legacy.arrow_rows import ArrowRows
from tableformat.convert.legacy.cells import plan_column
from tableformat.convert.legacy.profile import Profile
from tableformat.convert.legacy.text import TableText
from tests.convert.legacy.making import make, table_text

INTS = st.integers(-(2**64), 2**64) | st.integers(-9, 9)
FLOATS = st.floats() | st.floats(-1e3, 1e3)
TEXTS = st.text(max_size=5) | st.sampled_from(["null", "1", "], [", ", ", "", " a ", "true", "ä", "\x7f", "{}"])
COLUMNS = st.sampled_from([INTS, FLOATS, TEXTS, st.booleans(), st.none(), INTS | FLOATS, INTS | TEXTS])


def reader_of(rows: list[list[Any]]) -> tuple[ArrowRows | None, list[Any]]:
    plans = []
    for cells in zip(*rows, strict=True):
        profile = Profile()
        profile.observe(cells)
        plans.append(plan_column(profile))
    return ArrowRows.of(plans), plans


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    columns = draw(st.lists(COLUMNS, min_size=1, max_size=4))
    return draw(st.lists(st.tuples(*(st.none() | one for one in columns)).map(list), min_size=1, max_size=6))


@given(tables(), tables())
def test_the_same_as_the_parser(first: list[list[Any]], other: list[list[Any]]) -> None:
    """With types chosen by some rows, other rows are read as their plans convert them, or not at all."""
    reader, plans = reader_of(first)
    if reader is None:
        return
    for rows in (first, other):
        found = reader.read(json.dumps(rows, ensure_ascii=False)[1:-1])
        if found is not None:
            columns = list(zip(*rows, strict=True))
            assert len(columns) == len(plans)
            for array, plan, cells in zip(found, plans, columns, strict=True):
                expected = plan.array(cells)  # raises where the cells do not fit
                array.validate(full=True)
                assert array.type == expected.type
                assert str(array.to_pylist()) == str(expected.to_pylist())


def test_plain_rows_are_taken() -> None:
    """What the SDK writes of numbers, texts, booleans and nulls is read, in any mixture of columns."""
    rows = [
        [1, "a b", -0.0, True, None, 5],
        [None, None, None, None, None, 1.5],
        [-(2**63), "", 5e-324, False, None, -3],
    ]
    reader, _ = reader_of(rows)
    assert reader is not None
    found = reader.read(" " + json.dumps(rows)[1:-1])
    assert found is not None
    assert [array.type for array in found] == [
        pa.int64(),
        pa.string(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.float64(),
    ]
    assert found[2].to_pylist() == [-0.0, None, 5e-324]
    assert str(found[2][0]) == "-0.0"


@pytest.mark.parametrize(
    "text",
    [
        '[1, "a"], [2.0, "b"]', '[1, "a"], ["2", "b"]', '[1, "a"], [2, 3]', '[1, "a"], [2]', '[1, "a"], [2, "b", 3]', '[1, "a,b"]', '[1, "a\\n"]',
        '[1, "a\nb"]', '[1, "a"],[2, "b"]', '[01, "a"]', '[+1, "a"]', '[1., "a"]', '[1, "a"], 7', 'x[1, "a"]', '[1, "a"', '[1, "\ud800"]',
        '[9223372036854775808, "a"]', '[1, "a"], [NaN, "b"]', "[]", "", "[[1], [2]]", '[1, {"a": 2}]',
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left(text: str) -> None:
    """Other types, other lengths, escapes, commas in texts, and what is no JSON are not read."""
    reader, _ = reader_of([[1, "a"]])
    assert reader is not None
    assert reader.read(text) is None
    assert reader.read('[1, "a"]') is not None


def test_it_gives_up() -> None:
    """After three blocks on end that it could not read, it tries no more."""
    reader, _ = reader_of([[1, "a"]])
    assert reader is not None
    for _ in range(3):
        assert reader.read('[1, "a,b"]') is None
    assert reader.read('[1, "a"]') is None


def test_types_that_are_not_plain() -> None:
    """Lists, objects, mixtures and large integers are for the parser."""
    for cell in ([1], {"a": 1}, 2**63, 2**200):
        assert reader_of([[cell]])[0] is None
    assert reader_of([[1], ["a"]])[0] is None
    assert ArrowRows.of([]) is None


def test_blocks_of_both_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that are plain and blocks that are not follow each other in their order, without and with a change of types."""
    monkeypatch.setattr("tableformat.convert.legacy.text._BLOCK", 512)
    monkeypatch.setattr("tableformat.convert.legacy.text._READ", 512)
    for last in ([1000, "end", 0.5], [0.5, "end", 1]):
        rows: list[list[Any]] = [[n, f"name {n}" if n % 90 else 'a "b"', n / 7] for n in range(1000)]
        text = table_text(["a", "b", "c"], [*rows, last])
        taken = 0
        reader, _ = reader_of(rows)
        assert reader is not None
        for block in TableText(lambda text=text: io.BytesIO(text), "t").blocks(reader.read):
            taken += block.columns is not None
        assert taken > 10
        store = tableformat.open_store(tmp_path / f"store-{last[0]}")
        report = convert_wandb(make(tmp_path / f"in-{last[0]}" / "x-v0", {"t.table.json": text}), store, progress=False)
        assert report.warnings == []
        assert [list(row.values()) for row in store["x"]["t"].rows()] == [*rows, last]

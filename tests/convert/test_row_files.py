"""CSV, JSON lines and Parquet: which types columns get, and what is said about rows that do not fit."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tableformat
from tableformat import convert, errors
from tableformat.convert.csv_rows import CsvOptions, infer_csv, iter_csv
from tableformat.convert.json_rows import iter_json


def read(tmp_path: Path, name: str, text: str | bytes, **options: Any) -> tableformat.Table:
    """The table that a file of this name and content becomes."""
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    store = tableformat.open_store(tmp_path / "store")
    return convert.import_file(store, "n", tmp_path / name, table="t", progress=False, **options).artifact["t"]


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        (["1", "-2", "0"], "int64", [1, -2, 0]),
        (["+49", "1"], "string", ["+49", "1"]),
        (["007", "12"], "string", ["007", "12"]),
        (["0x1f"], "string", ["0x1f"]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808"], "string", ["9223372036854775808"]),
        (["1", "", "2.5", "1e3", ".5", "3."], "float64", [1.0, None, 2.5, 1000.0, 0.5, 3.0]),
        (["9007199254740993", "0.5"], "string", ["9007199254740993", "0.5"]),
        (["inf", "-Inf", "1"], "float64", [float("inf"), float("-inf"), 1.0]),
        (["true", "False"], "bool", [True, False]),
        (["1", "true"], "string", ["1", "true"]),
        (["2026-11-22", ""], "date", [datetime.date(2026, 11, 22), None]),
        (["2026-02-30"], "string", ["2026-02-30"]),
        (["2026-11-22 10:00", "2026-11-22T10:00:01.5"], "timestamp[us]", [datetime.datetime.fromisoformat(text) for text in ("2026-11-22T10:00", "2026-11-22T10:00:01.5")]),
        (["2026-11-22T10:00:00Z", "2026-11-22T10:00:00+02:00"], "timestamp[us, UTC]", [datetime.datetime(2026, 11, 22, 10, tzinfo=datetime.UTC), datetime.datetime(2026, 11, 22, 8, tzinfo=datetime.UTC)]),
        (["2026-11-22", "2026-11-22 10:00"], "string", ["2026-11-22", "2026-11-22 10:00"]),
        (["", '""'], "string", [None, ""]),
        (["NA", "null"], "string", ["NA", "null"]),
        (['"a,b"', '"c\nd"', '"e""f"', " g "], "string", ["a,b", "c\nd", 'e"f', " g "]),
    ],
)  # fmt: skip
def test_types_of_csv(values: list[str], type_: str, expected: list[Any], tmp_path: Path) -> None:
    """A column gets the narrowest type that keeps every value as it is written."""
    table = read(tmp_path, "a.csv", "k,x\n" + "".join(f"0,{value}\n" for value in values))
    assert (str(table.schema["x"].type), table.get_column("x")) == (type_, expected)


def test_null_values(tmp_path: Path) -> None:
    """Texts that mean null are named, never guessed."""
    assert read(tmp_path, "a.csv", "x\n1\nNA\n", null_values=["NA"]).get_column("x") == [1, None]


def test_types_are_settled_over_the_whole_file(tmp_path: Path) -> None:
    """A value in the last block decides as much as one in the first."""
    rows = 400_000  # several blocks
    table = read(tmp_path, "a.csv", "x,y\n" + "1,\n" * rows + "n/a,2.5\n")
    assert [str(column.type) for column in table.schema] == ["string", "float64"]
    assert (len(table), table[rows]["x"], table[rows]["y"], table[0]["x"]) == (rows + 1, "n/a", 2.5, "1")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters(delimiter: str, tmp_path: Path) -> None:
    """A header without commas tells the delimiter."""
    assert read(tmp_path, "a.csv", f"x{delimiter}y\n1{delimiter}a,b\n").to_arrow().to_pylist() == [{"x": 1, "y": "a,b"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "Empty CSV file"),
        (b"x,y\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
        (b"x,x\n1,2\n", "column 2: its name 'x' stands twice"),
        (b"x,\n1,2\n", "column 2: it has no name"),
        ("x\ncafé\n".encode("latin-1"), "UTF"),
        (b"x\n\xed\xa0\x80\n", "UTF"),
        (b"\xff\xfex\x001\x00", "UTF"),
        (b"x\ny\n", None),
    ],
)
def test_csv_that_is_none(text: bytes, told: str | None, tmp_path: Path) -> None:
    """What is no CSV is told with the file, and nothing is committed."""
    if told is None:
        assert read(tmp_path, "a.csv", text).get_column("x") == ["y"]
        return
    with pytest.raises(errors.InvalidInputError, match=r"a\.csv") as caught:
        read(tmp_path, "a.csv", text)
    assert told in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_bad_rows_are_skipped(tmp_path: Path) -> None:
    """With `skip`, rows of CSV and JSON lines that do not fit are left out once and told with their place."""
    store = tableformat.open_store(tmp_path / "store")
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3\n4,5\n6,7,8\n")
    [told] = convert.import_file(store, "n", tmp_path / "a.csv", on_error="skip").entries
    assert (told.rows, [(problem.place, problem.text) for problem in told.skipped]) == (
        2,
        [("row 3", "expected 2 values, got 1"), ("row 5", "expected 2 values, got 3")],
    )
    (tmp_path / "b.jsonl").write_text('{"x": 1}\n{"x": "a"}\n{"x": 2}\n')
    [told] = convert.import_file(store, "m", tmp_path / "b.jsonl", on_error="skip").entries
    assert (told.rows, [problem.place for problem in told.skipped]) == (2, ["row 1, column 'x'"])


def test_json_lines(tmp_path: Path) -> None:
    """Objects may lack columns and gain them; texts that look like times stay text; nested values become structs and lists."""
    lines = [
        {"a": 1, "t": "2026-11-22"},
        {"a": 2.5, "s": {"x": [1], "y": "2026-11-22T10:00:00Z"}},
        {"late": True, "s": {"x": []}},
    ]
    table = read(tmp_path, "a.jsonl", "\ufeff" + "\n\n".join(map(json.dumps, lines)))
    assert {column.name: str(column.type) for column in table.schema} == {
        "a": "float64",
        "t": "string",
        "s": "struct<x: list<int64>, y: string>",
        "late": "bool",
    }
    assert table.to_arrow().to_pylist()[1:] == [
        {"a": 2.5, "t": None, "s": {"x": [1], "y": "2026-11-22T10:00:00Z"}, "late": None},
        {"a": None, "t": None, "s": {"x": [], "y": None}, "late": True},
    ]


def test_json_lines_widen_over_blocks(tmp_path: Path) -> None:
    """What a later block needs, earlier rows get too."""
    table = read(tmp_path, "a.jsonl", '{"a":1,"b":"2026-11-22"}\n' * 400_000 + '{"a":1.5,"b":"x","c":[1]}\n')
    assert [str(column.type) for column in table.schema] == ["float64", "string", "list<int64>"]
    assert (table[0].to_dict(), table[400_000]["c"]) == ({"a": 1.0, "b": "2026-11-22", "c": None}, [1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[{"a": 1}]',
            "line 1 · expected a JSON object, got a value of type list · a JSON array is written as lines by: jq",
        ),
        ('{\n"a": 1,\n"b": 2}\n{"a":}', "line 1"),
        ('{"a": 1}\n{"a": 2', "line 2"),
        ('{"a": 1}\n{"a": 1, "a": 2}\n', "line 2 · expected each name once in an object, got 'a' twice"),
        ('{"a": 1}\n{"a": "x"}\n', "column 'a', row 1"),
        ('{"a": 9007199254740993}\n{"a": 0.5}\n', "column 'a'"),
        ('{"a": 1}\n' + "[" * 100_000, "line 2"),
        ('{"a": "\ud800"}', "line 1"),
    ],
)
def test_json_lines_that_are_none(text: str, told: str, tmp_path: Path) -> None:
    """A line that is no object, or does not fit, is told with the file and its place."""
    with pytest.raises(errors.InvalidInputError, match=r"a\.jsonl") as caught:
        read(tmp_path, "a.jsonl", text.encode("utf-8", "surrogatepass"))
    assert told in str(caught.value)


def test_json_columns(tmp_path: Path) -> None:
    """A column that is declared JSON holds whatever it is given; others are inferred as ever."""
    table = read(tmp_path, "a.jsonl", '{"a": 1, "b": 2}\n{"a": {"x": [null]}, "b": 3}\n', json_columns=["a"])
    assert [row.to_dict() for row in table] == [{"a": 1, "b": 2}, {"a": {"x": [None]}, "b": 3}]
    with pytest.raises(errors.InvalidInputError, match="JSON lines"):
        read(tmp_path, "a.csv", "a\n1\n", json_columns=["a"])


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    """Types of Parquet are kept, also where there are no rows; two files of other schemas are told."""
    rows = pa.table(
        {
            "i": pa.array([1, None], pa.int8()),
            "t": pa.array([0, 1], pa.timestamp("ns", "Europe/Paris")),
            "l": pa.array([[1.5], None], pa.list_(pa.float32())),
        }
    )
    for part in (rows, rows.slice(0, 0)):
        pq.write_table(part, tmp_path / "x.parquet")
        table = convert.import_file(
            tableformat.open_store(tmp_path / "store"), "n", tmp_path / "x.parquet", table="t"
        ).artifact["t"]
        assert [field.type for field in table.arrow_schema] == [
            field.type for field in rows.schema.set(2, pa.field("l", table.arrow_schema.field("l").type))
        ]
        assert table.to_arrow().to_pylist() == part.to_pylist()
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(errors.TableformatError, match=r"bad\.parquet"):
        convert.import_file(tableformat.open_store(tmp_path / "store"), "n", tmp_path / "bad.parquet")


CELLS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False).map(repr),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6),
    st.booleans().map(str),
    st.dates().map(str),
)


@given(st.lists(CELLS, min_size=1, max_size=8))
def test_csv_loses_nothing(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    """Whatever type a column gets, its values are those that were written."""
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [["k", "x"], *(["0", cell] for cell in cells)]
    )
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    schema = infer_csv([str(path)], CsvOptions())
    values = [value for batch in iter_csv(str(path), schema, CsvOptions()) for value in batch.column("x").to_pylist()]
    for cell, value in zip(cells, values, strict=True):
        assert (
            value == cell
            or (isinstance(value, float) and value == float(cell))
            or (isinstance(value, bool) and str(value).lower() == cell.lower())
            or str(value) == cell
        )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON, min_size=1), min_size=1, max_size=4))
def test_json_lines_lose_nothing(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    """Blocks that Arrow's reader parses have the values that the standard library reads, and others are given as such."""
    path = tmp_path_factory.mktemp("json") / "x.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    found = [row for block in iter_json(str(path)) for row in (block if isinstance(block, list) else block.to_pylist())]
    assert [_without_nulls(row) for row in found] == [_without_nulls(row) for row in rows]


def _without_nulls(value: Any) -> Any:
    """A value in which a name with null and no name are the same, as they are in a struct; an empty object is null there."""
    if isinstance(value, dict):
        return {name: kept for name, inner in value.items() if (kept := _without_nulls(inner)) not in (None, {})}
    return (
        [_without_nulls(inner) or None if isinstance(inner, dict) else _without_nulls(inner) for inner in value]
        if isinstance(value, list)
        else value
    )

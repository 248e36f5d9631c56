from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.convert.legacy import text as text_module
from tableformat.convert.legacy.text import TableText, decode_object
from tableformat.errors import FormatError, LimitError

CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["], [", '"], ["', "\ud800", "\\", "]]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def table(data: bytes | str) -> TableText:
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return TableText(lambda: io.BytesIO(raw), "t.table.json")


def read(data: bytes | str) -> tuple[list[Any], list[str], dict[str, Any]]:
    """The rows, what was said about them, and the other keys."""
    text = table(data)
    rows: list[Any] = []
    said: list[str] = []
    for block in text.blocks():
        assert block.first == len(rows)
        rows += block.rows
        said += [problem.kind for problem in block.problems]
    return rows, said + [problem.kind for problem in text.problems], text.head


@pytest.mark.parametrize("block", [40, 1 << 20])
@pytest.mark.parametrize("options", [{}, {"separators": (",", ":")}, {"indent": 1}])
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=12))
def test_rows_come_whole(rows: list[list[Any]], options: dict[str, Any], block: int) -> None:
    """Whatever stands in cells, and however small the blocks are, rows are those that `json` reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_module, "_BLOCK", block)
        patch.setattr(text_module, "_READ", block)
        document = {"_type": "table", "columns": ["a"], "data": rows, "ncols": 1}
        found, said, head = read(json.dumps(document, **options))
    assert repr(found) == repr(json.loads(json.dumps(rows)))
    assert said == []
    assert head == {"_type": "table", "columns": ["a"], "ncols": 1}


def test_keys_in_any_order() -> None:
    """Columns may stand behind the rows."""
    assert read('{"data": [[1], [2]], "columns": ["x"]}') == ([[1], [2]], [], {"columns": ["x"]})


def test_text_that_is_not_ascii() -> None:
    """UTF-8 and a byte order mark are read; bytes that are neither are told, and kept as lone surrogates."""
    assert read("\ufeff" + '{"columns": ["é"], "data": [["日本"]]}')[0] == [["日本"]]
    rows, said, _ = read(b'{"columns": ["x"], "data": [["\xff"]]}')
    assert rows == [["\udcff"]]
    assert said == ["encoding"]


@pytest.mark.parametrize("end", range(30, 64))
def test_a_file_that_ends_too_soon(end: int) -> None:
    """Rows before the end are kept, and the end is told. [LEGACY-19]"""
    whole = '{"columns": ["x"], "data": [["a"], ["b], ["], [[1, 2]]], "ncols": 1}'
    rows, said, _ = read(whole[:end])
    assert rows == [["a"], ["b], ["], [[1, 2]]][: len(rows)]
    assert "truncated" in said


def test_a_row_that_cannot_be_read() -> None:
    """A row that is no JSON, or nested too deeply, is lost with a word; those around it are not. [LEGACY-19]"""
    deep = "[" * 10_000 + "]" * 10_000
    rows, said, _ = read('{"columns": ["x"], "data": [[1], [nul], ' + deep + ', [4]], "ncols": 1}')
    assert rows == [[1], None, None, [4]]
    assert said == ["row", "row"]


def test_a_key_that_stands_twice() -> None:
    """The last one counts, and the row is told. [LEGACY-19]"""
    rows, said, _ = read('{"columns": ["x"], "columns": ["y"], "data": [[{"a": 1}], [{"a": 1, "a": 2}]]}')
    assert rows == [[{"a": 1}], [{"a": 2}]]
    assert said == ["duplicate-key", "duplicate-key"]


@pytest.mark.parametrize("data", ["", "[]", "null", "{", '{"a"', '{"a" 1}', '{"a": }', "not json", "{1: 2}", "\x00"])
def test_what_is_no_table(data: str) -> None:
    """Text that is no JSON object is refused."""
    with pytest.raises(FormatError):
        table(data)


def test_bounds_of_rows_and_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row, or a head, past its bound is refused or lost, before memory is taken for it."""
    monkeypatch.setattr(text_module, "MAX_ROW_BYTES", 1 << 10)
    monkeypatch.setattr(text_module, "_BLOCK", 256)
    monkeypatch.setattr(text_module, "_READ", 256)
    rows, said, _ = read('{"columns": ["x"], "data": [[1], ["' + "a" * 5000 + '"], [2]]}')
    assert rows == [[1]]
    assert said == ["truncated"]
    monkeypatch.setattr(text_module, "MAX_HEAD_BYTES", 1 << 10)
    with pytest.raises(LimitError):
        table('{"columns": ["' + "a" * 5000 + '"], "data": []}')


def test_memory_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the rows take no more memory."""
    monkeypatch.setattr(text_module, "_BLOCK", 1 << 14)
    monkeypatch.setattr(text_module, "_READ", 1 << 14)
    peaks = []
    for count in (5_000, 50_000):
        data = ('{"columns": ["x"], "data": [' + ", ".join(["[1234567, 1.5]"] * count) + "]}").encode()
        tracemalloc.start()
        for _ in TableText(lambda data=data: io.BytesIO(data), "t").blocks():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + 200_000


def test_small_objects() -> None:
    """Objects are decoded with what is odd about them; what is no JSON is refused."""
    value, problems = decode_object(b'{"a": NaN, "b": 1, "b": 2}', "x")
    assert value["a"] != value["a"]
    assert value["b"] == 2
    assert [problem.kind for problem in problems] == ["duplicate-key"]
    with pytest.raises(FormatError):
        decode_object(b"{", "x")
    with pytest.raises(FormatError):
        decode_object(b"[" * 100_000, "x")

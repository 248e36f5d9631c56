"""How the cases of `spec/diff.md` are decoded."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

import tableformat
from tableformat.format.types import type_from_json
from tests.spec_runner import CaseKind
from tests.table.reading_tables import store_table


def decode_diff(data: bytes) -> object:
    """The rows of the diff; must be those that the case states, however the tables are cut into parts."""
    case = json.loads(data)
    found: list[Any] = []
    for part_rows in (1, 2, 100):
        with tempfile.TemporaryDirectory() as folder:
            tables = [_table(Path(folder, side), case, side, part_rows) for side in ("before", "after")]
            diff = tableformat.diff(tables[0], tables[1], on=case["on"] or None)
            found = [_row(row, case["on"]) for row in diff.to_arrow().to_pylist()]
        assert found == case["rows"], found
    return found


def _table(folder: Path, case: dict[str, Any], side: str, part_rows: int) -> tableformat.Table:
    columns = case.get(f"columns_{side}", case["columns"])
    types = {name: type_from_json(text).storage() for name, text in columns.items()}
    arrays = {
        name: pa.array([_value(row[place], type_) for row in case[side]], type_)
        for place, (name, type_) in enumerate(types.items())
    }
    return store_table(folder, types, arrays, part_rows=part_rows)


def _value(value: Any, type_: pa.DataType) -> Any:
    """Floats are texts in cases, so that NaN can be one."""
    return float(value) if isinstance(value, str) and pa.types.is_floating(type_) else value


def _row(row: dict[str, Any], on: list[str]) -> list[Any]:
    """With a key: change, key, columns that changed; without: change, count, row."""
    if on:
        return [row["change"], *(row[name] for name in on), row["changed"]]
    return [row["change"], row["count"], row["after"] or row["before"]]


CASE_KINDS = {"diff": CaseKind(decode_diff)}

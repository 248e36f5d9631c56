"""How the cases of `spec/joined.md` are decoded."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from tableformat.document import decode_document, encode_document
from tableformat.format.types import type_from_json
from tableformat.table.join.names import flat_names
from tableformat.table.join.stored import JoinDocument
from tableformat.table.joined import JoinedTable
from tests.spec_runner import CaseKind
from tests.table.reading_tables import store_table


def decode_join(data: bytes) -> object:
    """The numbers of the rows that meet, read in each way; must be those that the case states."""
    case = json.loads(data)
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for side, name in enumerate(("left", "right")):
            types = [type_from_json(pair[side]).storage() for pair in case["types"]]
            columns = {
                f"k{place}": pa.array([_value(row[place], type_) for row in case[name]], type_)
                for place, type_ in enumerate(types)
            }
            schema = {f"k{place}": type_ for place, type_ in enumerate(types)}
            sides.append(store_table(Path(folder, name), schema, columns, part_rows=2))
        joined = JoinedTable(*sides, on=[f"k{place}" for place in range(len(case["types"]))], how=case["how"])
        for strategy in ("lookup", "pages", "spill"):
            found = []
            for run, _ in joined.chosen.run([], 512 << 20, strategy=strategy):  # type: ignore[arg-type]
                pairs = zip(run.left_rows.tolist(), run.right_rows.tolist(), strict=True)
                found += [[None if row < 0 else row for row in pair] for pair in pairs]
            assert found == case["rows"], (strategy, found)
    return found


def _value(value: Any, type_: pa.DataType) -> Any:
    """Floats are texts in cases, so that NaN can be one."""
    return float(value) if isinstance(value, str) and pa.types.is_floating(type_) else value


def decode_flat_names(data: bytes) -> object:
    """The flattened names of both sides; must be those that the case states."""
    case = json.loads(data)
    found = [list(names) for names in flat_names(case["left"], case["right"])]
    assert found == case["flat"], found
    return found


def decode_entry(data: bytes) -> object:
    """The fields of an entry."""
    return JoinDocument.from_json(decode_document(data, "case"), "case").fields()


CASE_KINDS = {
    "join": CaseKind(decode_join),
    "flat-names": CaseKind(decode_flat_names),
    "joined-entry": CaseKind(decode_entry, encode_document),
}

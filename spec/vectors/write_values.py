"""Writes values.json: `python spec/vectors/write_values.py`, from the root of the repository.

The digests are computed by `tests/format/plain_value_digest.py`, the rules in plain Python, not by the library.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.format.plain_value_digest import column_digest, unit_digest  # noqa: E402
from tests.spec_kinds_manifest import storage_array  # noqa: E402

SHA = "SHA-256:" + "9a" * 32
NULLABLE = {"nullable": True}
FILE = {"uri": None, "offset": None, "size": None, "content_type": None, "checksum": None, "inline": None}
CELL = {"digest": None, "encoding": None, "version_id": None, "width": 2, "height": 2, "format": "png"}
PACKED = {**CELL, "file": {**FILE, "uri": "packs/3f/x.zip", "offset": 97, "size": 3, "checksum": SHA}}
INLINE = {**CELL, "file": {**FILE, "inline": "010203", "size": 3, "checksum": SHA}}
ENCODED = {
    **CELL,
    "file": {**FILE, "uri": "packs/3f/y.zip", "offset": 1, "size": 2, "checksum": "SHA-256:" + "00" * 32},
    "digest": SHA,
    "encoding": "zstd",
}
REFERRED = {**CELL, "file": {**FILE, "uri": "https://example.org/a.png", "size": 7, "checksum": "ETAG:1"}}

CASES: list[tuple[str, Any, list[Any], list[str]]] = [
    ("no rows", "int64", [], []),
    ("one row", "int64", [42], []),
    ("a null", "int64", [1, None, 3], ["Null"]),
    ("nothing but nulls", "int64", [None, None], ["Null"]),
    ("the least and greatest of a byte", "int8", [-128, 127], []),
    ("unsigned", "uint64", [0, 18446744073709], []),
    ("a bool is one byte", "bool", [True, False, None], ["Null"]),
    ("zeros that differ, and a NaN", "float64", ["0.0", "-0.0", "nan", "1.5"], ["Float"]),
    ("half floats", "float16", ["0.5", "-2.0"], ["Float"]),
    ("strings, one empty, one not ASCII", "string", ["a", "", "ä😀", None], ["Null"]),
    ("binary", "binary", ["00ff", ""], []),
    ("fixed binary has no lengths", {"fixed_binary": 2}, ["00ff", "0102"], []),
    ("days since 1970", "date", [0, -1, 20779], ["Time"]),
    ("microseconds", {"timestamp": {"unit": "us", "zone": "UTC"}}, [0, 1764000000000000], ["Time"]),
    ("a decimal is its unscaled integer in 16 bytes", {"decimal": {"precision": 9, "scale": 2}}, ["1.50", "-0.01"], []),
    ("lists: empty, null, with a null", {"list": {"type": "int32", **NULLABLE}}, [[1, None], [], None], ["Null", "Nested"]),
    ("lists of lists", {"list": {"type": {"list": {"type": "int8", **NULLABLE}}, **NULLABLE}}, [[[1], []], []], ["Nested"]),
    ("lists of fixed size have no lengths", {"fixed_list": {"item": {"type": "float32", **NULLABLE}, "size": 2}}, [["1.0", "2.0"], None], ["Null", "Nested"]),
    ("structs: children see no row whose parent is null", {"struct": [{"name": "a", "type": "int32", **NULLABLE}, {"name": "b", "type": "string", **NULLABLE}]},
     [{"a": 1, "b": None}, None, {"a": None, "b": "x"}], ["Null", "Nested"]),
    ("maps: keys, then items", {"map": {"key": {"type": "string", "nullable": False}, "value": {"type": "int64", **NULLABLE}}}, [[["a", 1], ["b", None]], []], ["Nested"]),
    ("a packed cell", {"media": "image"}, [PACKED, None], ["Cell", "Null"]),
    ("the same, inline", {"media": "image"}, [INLINE, None], ["Cell", "Null"]),
    ("the same, compressed in the pack", {"media": "image"}, [ENCODED, None], ["Cell", "Null"]),
    ("a reference that was never read", {"media": "image"}, [REFERRED], ["Cell"]),
    ("cells in a list", {"list": {"type": {"media": "image"}, **NULLABLE}}, [[PACKED, REFERRED], []], ["Cell", "Nested"]),
]  # fmt: skip
CHAINS = [
    ("a column of no blocks", "int16", [7], 0), ("less than a block", "int16", [1, 2, 3], 10), ("one block", "int16", [1, 2, 3], 65536),
    ("one block and a row", "int16", [1, 2, 3], 65537), ("two blocks", "string", ["a", None, "ccc"], 131072),
]  # fmt: skip
FLAGS = {
    "Null": "has nulls",
    "Float": "has values that compare otherwise than their bits",
    "Time": "values are counts of the unit since 1970",
    "Nested": "has lists, structs or maps",
    "Cell": "media cells, which count by what they show",
    "Chain": "the digest of a whole column; `values` repeat until there are `count` rows",
}


def plain_values(document: dict[str, Any]) -> tuple[list[Any], Any]:
    """The rows as `plain_value_digest` wants them: times as counts."""
    array = storage_array(document)
    values: list[Any] = array.to_pylist()
    if "Time" in document.get("flags", ()):
        values = list(document["values"])
    return values, array.type


def case(number: int, comment: str, flags: list[str], document: dict[str, Any]) -> dict[str, Any]:
    values, type_ = plain_values({**document, "flags": flags})
    if document.get("chain"):
        full = len(values) - len(values) % 65_536
        value = {
            "digest": f"sha256:{column_digest(values, type_).hex()}",
            "link": f"sha256:{column_digest(values[:full], type_).hex()}",
        }
        covers = ["DIGEST-4"]
    else:
        value = {"digest": f"sha256:{unit_digest(values, type_).hex()}"}
        covers = ["DIGEST-3"] if "Cell" in flags else ["DIGEST-2"]
    text = json.dumps(document, ensure_ascii=True)
    return {
        "id": f"value-{number:03}",
        "comment": comment,
        "flags": flags,
        "input": text,
        "result": "valid",
        "value": value,
        "covers": covers,
    }


def main() -> None:
    documents: list[tuple[str, list[str], dict[str, Any]]] = [
        (comment, flags, {"type": type_, "values": values}) for comment, type_, values, flags in CASES
    ]
    documents += [
        (comment, ["Chain"], {"chain": True, "count": count, "type": type_, "values": values})
        for comment, type_, values, count in CHAINS
    ]
    cases = [case(number, *told) for number, told in enumerate(documents, start=1)]
    head = {
        "spec": "digests.md",
        "format": 1,
        "kind": "value-digest",
        "about": "`input` is JSON: `type` by schema.md without ids, and `values` in its storage: floats and decimals as text, bytes as hex, times as counts of their unit, maps as lists of pairs.",
        "flags": FLAGS,
    }
    lines = ",\n".join(json.dumps(one, ensure_ascii=True) for one in cases)
    text = json.dumps(head, ensure_ascii=True, indent=1)[:-2] + ',\n "cases": [\n' + lines + "\n]}\n"
    Path(__file__).with_name("values.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""How the cases of `spec/schema.md` and `spec/inference.md` are decoded."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from tableformat.document import decode_document
from tableformat.errors import FormatError
from tableformat.format.ids import escape, field_id
from tableformat.format.schema import Schema
from tableformat.format.types import Field, type_from_arrow, type_from_json
from tableformat.table.build import build_columns
from tableformat.table.inference import TableInference
from tests.table.inline_placer import InlinePlacer


def decode_schema_case(data: bytes) -> object:
    """A schema, and what its canonical form is."""
    return Schema.from_json(decode_document(data, "case")).to_json()


def decode_type_case(data: bytes) -> object:
    """A type and its storage: `{"type": …, "storage": "<Arrow's name>"}`, where `storage` is compared if it is there."""
    document = decode_document(data, "case")
    type_ = type_from_json(document.get("type"))
    _expect("storage", document.get("storage"), str(type_.storage()), "storage" in document)
    _expect("arrow", document.get("arrow"), str(type_.arrow()), "arrow" in document)
    return {"type": type_.to_json()}


def decode_normal_case(data: bytes) -> object:
    """Pairs of an Arrow type, as an expression of pyarrow, and the type it is taken as."""
    for line in data.decode().splitlines():
        arrow, _, expected = line.partition(" → ")
        found = type_from_arrow(_arrow_type(arrow.strip()))
        _expect(arrow, json.loads(expected), found.to_json())
    return None


def decode_id_case(data: bytes) -> object:
    """Lines of a path, a generation and the id, each a JSON text or number; `@` before the id of the node around a derived one."""
    for line in data.decode().splitlines():
        names, generation, expected = json.loads(f"[{line}]")
        path = ".".join(
            name if isinstance(name, str) and name in ("[]", "{key}", "{value}") else _segment(name) for name in names
        )
        _expect(line, expected, field_id(path, generation))
    return None


def decode_evolution_case(data: bytes) -> object:
    """A table's schema, another one, and what the first becomes: types by column, or an error."""
    document = decode_document(data, "case")
    unified = Schema.from_json(document["before"]).unify(_without_ids(document["given"])).schema
    _expect(
        "after", document["after"], {column.name: column.without_ids().type.to_json() for column in unified.columns}
    )
    before = {column["name"]: column["id"] for column in document["before"]["columns"]}
    _expect("ids", before, {column.name: column.id for column in unified.columns if column.name in before})
    return None


def decode_inference_case(data: bytes) -> object:
    """Batches of Python values of one column, each a list in a line, and behind → the JSON of the type they come to."""
    text = data.decode()
    batches, arrow, expected = text.partition("→")
    inference = TableInference(new_columns=True)
    row = 0
    for line in batches.strip().splitlines():
        values = eval(line, dict(_NAMES))  # the cases of our own specification
        observed = inference.observe({"c": values}, row)
        build_columns(observed.schema, {"c": values}, InlinePlacer(), row, observed.ready)
        inference.accept(observed)
        row += len(values)
    found = inference.schema.settled()[0].columns[0].without_ids().type.to_json()
    if arrow:
        _expect(batches, json.loads(expected), found)
    return found


class _Colour(enum.Enum):
    RED = 1


_NAMES: dict[str, Any] = {
    "np": np,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "UTC": datetime.UTC,
    "Decimal": decimal.Decimal,
    "UUID": uuid.UUID,
    "Colour": _Colour,
    "nan": float("nan"),
}


def _arrow_type(text: str) -> pa.DataType:
    return eval(text, {"pa": pa})  # the cases of our own specification


def _segment(name: Any) -> str:
    return f"@{name}" if isinstance(name, int) else escape(name)


def _without_ids(given: dict[str, Any]) -> Schema:
    return Schema(
        tuple(
            Field(column["name"], type_from_json(column["type"]), column.get("nullable", True))
            for column in given["columns"]
        )
    )


def _expect(what: str, expected: object, found: object, given: bool = True) -> None:
    if given and expected != found:
        raise FormatError(f"{what}: the document says {expected}, the library {found}")


CASE_KINDS: dict[str, Callable[[bytes], object]] = {
    "schema": decode_schema_case,
    "type": decode_type_case,
    "normal": decode_normal_case,
    "field-id": decode_id_case,
    "evolution": decode_evolution_case,
    "infer": decode_inference_case,
}

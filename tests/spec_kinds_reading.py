"""How the cases of `spec/reading.md` are decoded."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from tableformat.format.bound import bind
from tableformat.format.expr import predicate_from_json
from tableformat.format.schema import Schema
from tableformat.format.types import ScalarType, type_from_json
from tableformat.table.source import is_allowed
from tests.spec_runner import CaseKind


def decode_filter(data: bytes) -> object:
    """The answers of an expression over values of one type; they must be those that the case states."""
    case = json.loads(data)
    type_ = type_from_json(case["type"])
    schema = Schema.from_user({"x": type_})
    predicate = predicate_from_json(case["filter"])
    values = [_value(value, type_.data_type if isinstance(type_, ScalarType) else None) for value in case["values"]]
    batch = pa.record_batch([pa.array(values, type_.storage())], ["x"])
    found = bind(predicate, schema).mask(batch).to_pylist()
    assert predicate_from_json(predicate.to_json()) == predicate
    assert found == case["true"], (found, case["true"])
    return found


def _value(value: Any, type_: pa.DataType | None) -> Any:
    """Floats are texts in cases, so that NaN can be one."""
    return float(value) if isinstance(value, str) and type_ is not None and pa.types.is_floating(type_) else value


def decode_allowed(data: bytes) -> object:
    """Whether each URL is below one of the prefixes; must be what the case states."""
    case = json.loads(data)
    found = {url: is_allowed(url, case["allow"]) for url in case["urls"]}
    assert found == case["urls"], found
    return found


CASE_KINDS = {"filter": CaseKind(decode_filter), "allowed": CaseKind(decode_allowed)}

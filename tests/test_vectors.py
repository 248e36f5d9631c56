"""`spec/vectors/*.json`: cases for implementations in any language, run here by the decoders of `tests/spec_kinds_*.py`.

A file names the chapter it belongs to, explains its flags, and lists cases: `input_hex` (or `input`, UTF-8 text),
`result`, and for valid ones the `value` as JSON. The kind of a case is its own `kind`, or the file's, or the file's name.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import spec_runner
from tests.spec_runner import ROOT

KINDS = spec_runner.load_case_kinds()
FILES = sorted((ROOT / "spec" / "vectors").glob("*.json"))


@dataclass(frozen=True, slots=True)
class Vector:
    """One case of one file."""

    path: Path
    id: str
    kind: str
    data: bytes
    result: str
    case: dict[str, Any]

    @property
    def covers(self) -> tuple[str, ...]:
        """The requirements that the case covers."""
        return tuple(self.case.get("covers", ()))


def read_vectors(path: Path) -> list[Vector]:
    """The cases of one file, in order."""
    document = json.loads(path.read_text(encoding="utf-8"))
    vectors = []
    for case in document["cases"]:
        data = bytes.fromhex(case["input_hex"]) if "input_hex" in case else case["input"].encode("utf-8")
        kind = case.get("kind", document.get("kind", path.stem))
        vectors.append(Vector(path, case["id"], kind, data, case["result"], case))
    return vectors


VECTORS = [vector for path in FILES for vector in read_vectors(path)]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.id for vector in VECTORS])
def test_vector(vector: Vector) -> None:
    """The decoder gives the stated result and value, and canonical forms encode to the same bytes."""
    kind = KINDS[vector.kind]
    result, value = spec_runner.run_decoder(kind, vector.data)
    assert result == vector.result, repr(value)
    if result == "valid":
        if "value" in vector.case:
            assert value == vector.case["value"]
        if kind.encode is not None:
            assert kind.encode(value) == vector.data


def test_ids_of_vectors_are_unique() -> None:
    """A vector is found by its id alone."""
    counts = Counter(vector.id for vector in VECTORS)
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_files_of_vectors_are_complete(path: Path) -> None:
    """A file of vectors names a chapter that exists, explains each flag it uses, and comments each case."""
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == 1
    assert (ROOT / "spec" / document["spec"]).is_file()
    used = {flag for case in document["cases"] for flag in case["flags"]}
    assert used <= set(document["flags"])
    assert all(case["comment"] for case in document["cases"])
    allowed = {"valid", *spec_runner.ERROR_KINDS}
    assert [case["id"] for case in document["cases"] if case["result"] not in allowed] == []

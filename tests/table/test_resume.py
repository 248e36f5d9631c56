"""Seals of one writer: what leads from one to the next leads there again, whatever the schema was."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.document import decode_document, encode_document
from tableformat.errors import FormatError, InvalidInputError
from tableformat.format.manifest import Part, PartFile
from tableformat.format.part import Layout
from tableformat.format.schema import Schema
from tableformat.table.inference import TableInference
from tableformat.table.resume import Sealed, Segment, decode_checkpoint, encode_checkpoint


def part(number: int, rows: int) -> Part:
    digest = f"sha256:{number:064x}"
    return Part(rows, rows * 8, (PartFile(digest, 100, 10, digest),), {"1": digest})


def segment(first: int, rows: list[int], schema: Schema) -> Segment:
    return Segment(schema, Layout(256, 1024), tuple(part(first + at, count) for at, count in enumerate(rows)))


def again(value: Any, before: Sealed | None, told: tuple[Any, ...] = ()) -> Sealed:
    """What a reader makes of a seal that was written and read."""
    return Sealed.from_delta(decode_document(encode_document({"x": value}), "p")["x"], before, told, "the/place")


SCHEMA = Schema.from_user({"x": pa.int64()})


@given(st.lists(st.tuples(st.integers(0, 6), st.lists(st.integers(1, 50), max_size=4)), max_size=6))
def test_deltas_lead_to_the_same(steps: list[tuple[int, list[int]]]) -> None:
    """Parts that stay, go and come, from seal to seal."""
    before: Sealed | None = None
    number = 0
    for kept, rows in steps:
        number += 10
        parts = [*([] if before is None else before.parts[:kept]), *segment(number, rows, SCHEMA).parts]
        whole = Segment(SCHEMA, Layout(256, 1024), tuple(parts))
        after = Sealed(
            "t", 0, {"key": []}, whole.rows, "1", (whole,), {"1": f"sha256:{number:064x}"},
            (*(() if before is None else before.objects), f"packs/{number}"), ((number, "x", "bad"),) if before is None else before.rejected, 1,
        )  # fmt: skip
        told = after.to_delta(before)
        assert len(told["parts"]) <= len(rows) + max(0, kept - (0 if before is None else len(before.parts)))
        assert again(told, before) == after
        before = after


def test_parts_may_be_told_before() -> None:
    """Parts of records before a seal come first."""
    sealed = Sealed("t", 0, {}, 6, None, (segment(0, [1, 2, 3], SCHEMA),))
    delta = sealed.to_delta(None)
    some, delta["parts"] = delta["parts"][:2], delta["parts"][2:]
    assert again(delta, None, tuple(some)) == sealed


@pytest.mark.parametrize(
    "columns",
    [{"a": [None]}, {"a": [[]]}, {"a": [{}]}, {"a": [{"b": [None], "c": {}}], "d": [1]}, {"a": [[[]]], "b": ["x"]}],
)
def test_schemas_stay_open(columns: dict[str, list[Any]]) -> None:
    """Columns, and nodes inside of them, that have no type yet have none when the seal is read."""
    inference = TableInference()
    inference.accept(inference.observe(columns))
    sealed = Sealed("t", 0, {}, 2, None, (segment(0, [2], inference.schema),))
    assert again(sealed.to_delta(None), None).segments[0].schema == inference.schema


def test_malformed_seals() -> None:
    """A seal that lacks a field, or whose rows do not add up, is refused with its place."""
    delta = Sealed("t", 0, {}, 2, None, (segment(0, [2], SCHEMA),)).to_delta(None)
    for bad in (
        {**delta, "rows": 3},
        {**delta, "parts": []},
        {**delta, "segments": 5},
        {k: v for k, v in delta.items() if k != "kept"},
    ):
        with pytest.raises(FormatError, match="the/place"):
            again(bad, None)


def test_checkpoints_are_json() -> None:
    """Any value of JSON comes back; what is none is refused."""
    for value in (None, 0.5, "ä", [1, {"a": None}], {"x": [True]}):
        assert decode_checkpoint(encode_checkpoint(value)) == value
    assert decode_checkpoint(None) is None
    for bad in (object(), float("nan"), {1, 2}):
        with pytest.raises(InvalidInputError):
            encode_checkpoint(bad)

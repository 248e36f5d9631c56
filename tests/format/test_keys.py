"""Keys: their hash is the one that the specification words, and cuts by it are near what changed."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import KeyValueError, SchemaError
from tableformat.format.keys import MAX_TARGET_ROWS, Cutter, check_key_type, check_keys, key_hashes

WORDS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64()]


def cuts(hashes: np.ndarray, least: int, first: int = 0) -> list[int]:
    """Where the parts of these rows end, as a writer asks."""
    cutter, ends, at = Cutter(least, first), [], 0
    while (end := cutter.next_end(hashes, at)) is not None:
        cutter.advance(end - at)
        cutter.start_part()
        ends.append(end)
        at = end
    return ends


def worded_cuts(hashes: np.ndarray, least: int) -> list[int]:
    """The same, as spec/part.md words it, row by row."""
    ends: list[int] = []
    start = 0
    for row, value in enumerate(hashes.tolist(), start=1):
        power = 1 << max((start // 64).bit_length() - 1, 0)
        target = least if start < 256 * least else max(least, min(power, 1 << 20))
        if row - start >= target // 4 and (value < (2**64 - 1) // target or row - start == 2 * target):
            ends.append(row)
            start = row
    return ends


@given(st.sampled_from(WORDS), st.data())
def test_integers_are_hashed_as_eight_bytes(type_: pa.DataType, data: st.DataObject) -> None:
    """Integers of every width count as eight little-endian bytes, sign-extended. [PART-11]"""
    unsigned = pa.types.is_unsigned_integer(type_)
    bits = type_.bit_width
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    values = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=5))
    expected = [xxhash.xxh3_64_intdigest(value.to_bytes(8, "little", signed=not unsigned)) for value in values]
    assert key_hashes([pa.array([0, *values], type_).slice(1)]).tolist() == expected


def test_other_types_are_hashed_by_their_canonical_bytes() -> None:
    """Strings are UTF-8, binary is itself, decimals their 16 bytes, times counts of their unit, bools one. [PART-11]"""
    hashed = xxhash.xxh3_64_intdigest
    assert key_hashes([pa.array(["ä", ""])]).tolist() == [hashed("ä".encode()), hashed(b"")]
    assert key_hashes([pa.array([b"ab"], pa.binary(2))]).tolist() == [hashed(b"ab")]
    number = pa.array([decimal.Decimal("-1.50")], pa.decimal128(5, 2))
    assert key_hashes([number]).tolist() == [hashed((-150).to_bytes(16, "little", signed=True))]
    assert key_hashes([pa.array([True])]).tolist() == [hashed((1).to_bytes(8, "little"))]
    moment = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    assert key_hashes([pa.array([moment], pa.timestamp("s", "UTC"))]).tolist() == [
        hashed(int(moment.timestamp()).to_bytes(8, "little"))
    ]
    assert key_hashes([pa.array([datetime.date(1969, 12, 31)])]).tolist() == [
        hashed((-1).to_bytes(8, "little", signed=True))
    ]


def test_keys_of_several_columns_say_their_lengths() -> None:
    """Columns are joined with the length of each, so that ("a", "bc") is not ("ab", "c"). [PART-11]"""
    one = key_hashes([pa.array(["a"]), pa.array(["bc"])])
    assert one.tolist() == [xxhash.xxh3_64_intdigest(b"\x01\0\0\0a\x02\0\0\0bc")]
    assert one != key_hashes([pa.array(["ab"]), pa.array(["c"])])


def test_null_keys_are_refused_by_row() -> None:
    """A null in any column of a key raises, naming row and column. [PART-9]"""
    with pytest.raises(KeyValueError) as caught:
        check_keys(["a", "b"], [pa.array([1, 2]), pa.array(["x", None])], 10)
    assert [problem.place for problem in caught.value.problems] == ["row 11, column 'b'"]
    check_keys(["a"], [pa.array([1])], 0)


@pytest.mark.parametrize("type_", [pa.float64(), pa.list_(pa.int8()), pa.time32("s"), pa.duration("s"), pa.null()])
def test_some_types_are_no_keys(type_: pa.DataType) -> None:
    """Floats, times of day and nested types cannot be keys."""
    with pytest.raises(SchemaError, match="'k' as a key"):
        check_key_type("k", type_)


@pytest.mark.parametrize("rows", [0, 5, 300, 30_000])
def test_cuts_are_those_of_the_specification(rows: int) -> None:
    """Parts end where the rule says, row by row. [PART-11]"""
    hashes = key_hashes([pa.array(np.arange(rows))])
    assert cuts(hashes, 64) == worded_cuts(hashes, 64)


def test_cuts_do_not_depend_on_batches() -> None:
    """Rows given in pieces are cut where rows given at once are."""
    hashes = key_hashes([pa.array(np.arange(20_000))])
    cutter, ends = Cutter(64), []
    for start in range(0, len(hashes), 777):
        piece, at = hashes[start : start + 777], 0
        while (end := cutter.next_end(piece, at)) is not None:
            cutter.advance(end - at)
            cutter.start_part()
            ends.append(start + end)
            at = end
        cutter.advance(len(piece) - at)
    assert ends == cuts(hashes, 64)


@pytest.mark.parametrize("at", [0, 1, 9_000, 19_999])
def test_an_inserted_row_changes_the_cuts_near_it(at: int) -> None:
    """After an insertion the other parts begin and end at the same rows."""
    keys = np.arange(20_000)
    before = set(cuts(key_hashes([pa.array(keys)]), 64))
    changed = [end - (end > at) for end in cuts(key_hashes([pa.array(np.insert(keys, at, 1_000_000))]), 64)]
    assert len(before.symmetric_difference(changed)) <= 6


def test_targets_stop_growing() -> None:
    """A part has at most twice the greatest target."""
    hashes = np.full(2 * MAX_TARGET_ROWS + 5, 2**64 - 1, np.uint64)
    assert cuts(hashes, 64, first=1 << 40) == [2 * MAX_TARGET_ROWS]

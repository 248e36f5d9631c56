"""Keys are proven unique by value, in bounded memory, whatever their type and order."""

import datetime
import gc
import tracemalloc
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import KeyValueError
from tableformat.format.keys import key_hashes
from tableformat.table import key_check
from tableformat.table.key_check import KeyCheck

UTC = datetime.UTC
KEYS = {
    "int8": pa.array([3, 1, 2], pa.int8()),
    "uint64": pa.array([2**64 - 1, 0, 2**63], pa.uint64()),
    "bool": pa.array([True, False]),
    "string": pa.array(["b", "", "ä", "a\x00", "a"]),
    "binary": pa.array([b"\xff", b"", b"\x00"], pa.binary()),
    "fixed": pa.array([b"zz", b"aa"], pa.binary(2)),
    "date": pa.array([datetime.date(2026, 1, 2), datetime.date(1900, 1, 1)]),
    "timestamp": pa.array([5, -5, 0], pa.timestamp("ns")),
    "aware": pa.array([datetime.datetime(2026, 1, 1, tzinfo=UTC), datetime.datetime(1960, 1, 1, tzinfo=UTC)]),
    "decimal128": pa.array([Decimal("1.50"), Decimal("-1.50")], pa.decimal128(9, 2)),
    "decimal256": pa.array([Decimal(10**45), Decimal(-1)], pa.decimal256(50, 0)),
}


def check_keys(batches, names=("k",), **options):
    """Feed batches of key columns and finish; returns whether they ascend, raises where keys are equal."""
    check = KeyCheck(list(names), **options)
    starts = np.cumsum([0, *(len(batch[0]) for batch in batches)]).tolist()
    for batch in batches:
        check.add(batch, key_hashes(batch))
    ascending = check.ascending
    check.finish(lambda: zip(starts, batches, strict=False))
    return ascending


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("cut", [0, 1])
def test_every_type_of_key(kind, cut):
    """Different keys pass, a repeated one is found and named with both rows, for each type a key may have."""
    column = KEYS[kind]
    batches = [[column.slice(0, cut)], [column.slice(cut)]] if cut else [[column]]
    assert check_keys(batches) is False
    with pytest.raises(KeyValueError) as caught:
        check_keys([*batches, [column.slice(0, 1)]])
    [problem] = caught.value.problems
    assert problem.place == f"row {len(column)}"
    assert "stands in row 0 already" in problem.text
    assert repr(column[0].as_py()) in problem.text


@pytest.mark.parametrize("kind", KEYS)
def test_ascending_order_of_every_type(kind):
    """Sorted keys ascend, over the borders of batches too, and an equal neighbour ends that."""
    column = KEYS[kind]
    ordered = pa.array(sorted(column.to_pylist()), column.type)
    assert check_keys([[ordered.slice(i, 1)] for i in range(len(ordered))]) is True
    assert check_keys([[ordered]]) is True
    with pytest.raises(KeyValueError):
        check_keys([[ordered], [ordered.slice(len(ordered) - 1)]])


def test_composite_keys_are_compared_as_a_whole():
    """Rows that share one column of the key are different; rows that share all are not."""
    left, right = pa.array([1, 1, 2, 2]), pa.array(["a", "b", "a", "b"])
    assert check_keys([[left, right]], names=("l", "r")) is True
    assert check_keys([[right, left]], names=("r", "l")) is False
    with pytest.raises(KeyValueError, match=r"\(l, r\)") as caught:
        check_keys([[left, right], [left.slice(2, 1), right.slice(2, 1)]], names=("l", "r"))
    assert "l=2, r='a'" in str(caught.value.problems[0])


def test_texts_that_join_to_the_same_are_different():
    """The columns of a composite key do not run together."""
    assert check_keys([[pa.array(["ab", "a"]), pa.array(["c", "bc"])]], names=("l", "r")) is False


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=8), st.integers(1, 9))
def test_duplicates_are_found_across_spills(batches, run_rows):
    """With runs of a few rows each, the check agrees with a plain set, whatever the batches."""
    arrays = [[pa.array(batch, pa.int64())] for batch in batches]
    flat = [value for batch in batches for value in batch]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_check, "RUN_ROWS", run_rows)
        if len(set(flat)) == len(flat):
            assert check_keys(arrays) is (flat == sorted(flat))
        else:
            with pytest.raises(KeyValueError) as caught:
                check_keys(arrays)
            seen, twice = {}, []
            for row, value in enumerate(flat):
                if value in seen:
                    twice.append((f"row {row}", f"k={value} stands in row {seen[value]} already"))
                seen.setdefault(value, row)
            assert [(problem.place, problem.text) for problem in caught.value.problems] == twice[:10]


@given(st.lists(st.text(max_size=2), max_size=30))
def test_colliding_hashes_are_compared_as_values(values):
    """Where every hash is the same, only equal keys are duplicates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_check, "key_hashes", lambda columns: np.full(len(columns[0]), 7, np.uint64))
        patch.setattr(key_check, "RUN_ROWS", 5)
        check = KeyCheck(["k"])
        column = pa.array(values, pa.string())
        for start in range(0, len(values), 3):
            piece = [column.slice(start, 3)]
            check.add(piece, key_check.key_hashes(piece))
        if len(set(values)) == len(values):
            check.finish(lambda: [(0, [column])])
            assert check.ascending == (values == sorted(values))
        else:
            with pytest.raises(KeyValueError):
                check.finish(lambda: [(0, [column])])


def test_ascending_keys_are_not_read_again():
    """While keys ascend nothing can be equal, and the rows are not read a second time."""
    check = KeyCheck(["k"])
    column = [pa.array(range(1000))]
    check.add(column, key_hashes(column))
    check.finish(lambda: pytest.fail("read again"))
    assert check.ascending


def test_declined_proof_keeps_nothing():
    """With `unique=False` equal keys pass, and order is still told."""
    assert check_keys([[pa.array([1, 2, 2])]], unique=False) is False
    assert check_keys([[pa.array([1, 2, 3])]], unique=False) is True


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    """Past `RUN_ROWS` hashes are in a file: four times the rows take no more memory."""
    monkeypatch.setattr(key_check, "RUN_ROWS", 1 << 14)

    def peak_of(rows):
        numbers = np.arange(rows, dtype=np.int64)[::-1].copy()
        gc.collect()
        tracemalloc.start()
        check = KeyCheck(["k"])
        for start in range(0, rows, 1 << 12):
            column = [pa.array(numbers[start : start + (1 << 12)])]
            check.add(column, key_hashes(column))
        check.finish(lambda: pytest.fail("nothing is suspected"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = peak_of(1 << 17), peak_of(1 << 19)
    assert large < small * 1.5 + (256 << 10)
    assert large < 16 * (1 << 14) * 8

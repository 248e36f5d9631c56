"""The index of keys: what meets what, whatever the types, nulls and collisions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import LimitError
from tableformat.table.join import index as module
from tableformat.table.join.index import BYTES_A_ROW, KeyIndex, hash_bytes, index_bytes, table_bytes
from tableformat.table.join.pairs import RUN_ROWS, pair_runs

WORDS = st.lists(st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**63 - 1, -(2**63)])), max_size=30)
TEXTS = st.lists(
    st.one_of(st.none(), st.sampled_from([b"", b"a", b"aaaaaaaa", b"aaaaaaaab", b"\0", b"\0\0", b"y" * 700])),
    max_size=30,
)


def met(index: KeyIndex, columns: list[pa.Array]) -> list[tuple[int, int]]:
    """(row looked up, row of the index) for all that meet."""
    found = index.match(columns)
    return [
        (row, int(index.order[start + place]))
        for row, (start, count) in enumerate(zip(found.starts.tolist(), found.counts.tolist(), strict=True))
        for place in range(count)
    ]


def pairs(one: list[object], other: list[object]) -> list[tuple[int, int]]:
    """The same by comparing each with each."""
    return [(i, j) for i, a in enumerate(one) for j, b in enumerate(other) if a is not None and a == b]


@given(WORDS, WORDS)
def test_numbers_meet_equal_numbers(one: list[int | None], other: list[int | None]) -> None:
    """Each number meets all equal ones, in ascending order of their rows, and null meets nothing."""
    index = KeyIndex([pa.array(other, pa.int64())])
    assert met(index, [pa.array(one, pa.int64())]) == pairs(one, other)
    assert index.is_unique == (len({x for x in other if x is not None}) == sum(x is not None for x in other))


@given(
    st.lists(st.one_of(st.none(), st.integers(-20, 20)), max_size=20, unique=True),
    st.lists(st.one_of(st.none(), st.integers(-30, 30), st.sampled_from([2**63 - 1, -(2**63)])), max_size=20),
)
def test_a_table_of_numbers_finds_rows(there: list[int | None], asked: list[int | None]) -> None:
    """Numbers that are all different are found by row, others and null are not; what an index takes is told before it is made."""
    column = pa.array(there, pa.int64())
    index = KeyIndex([column])
    known = {number: row for row, number in enumerate(there) if number is not None}
    assert index.is_table == bool(known)
    assert len(index) == len(known)
    if index.is_table:
        wanted = [-1 if number is None else known.get(number, -1) for number in asked]
        assert index.find_rows(pa.array(asked, pa.int64())).tolist() == wanted
    span = max(known, default=0) - min(known, default=0) + 1
    assert index_bytes([column]) == (5 * span if known and None not in there else BYTES_A_ROW * len(there))
    assert index_bytes([pa.array([1, 1])]) == 2 * BYTES_A_ROW
    assert table_bytes(10, 10) == 50
    assert table_bytes(10, 9) == table_bytes(10, 10**6) == 10 * BYTES_A_ROW


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_bytes_meet_equal_bytes(one: list[bytes | None], other: list[bytes | None], start: int) -> None:
    """The same of bytes, also of slices of arrays."""
    index = KeyIndex([pa.array(other, pa.binary()).slice(start)])
    assert met(index, [pa.array(one, pa.binary()).slice(start)]) == pairs(one[start:], other[start:])


@given(st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from([b"", b"0", None])), max_size=20))
def test_keys_of_two_columns_meet_where_both_are_equal(rows: list[tuple[int | None, bytes | None]]) -> None:
    """A key of two columns is null where one of them is."""
    columns = [pa.array([row[0] for row in rows], pa.int64()), pa.array([row[1] for row in rows], pa.binary())]
    keys = [None if None in row else row for row in rows]
    assert met(KeyIndex(columns), columns) == pairs(keys, keys)


def test_collisions_join_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two keys of the other side have the code of one of the index, values decide; inside the index a new seed does."""
    seeds = iter([1, 2])
    monkeypatch.setattr(module.secrets, "randbits", lambda _: next(seeds))
    true_hash = module.hash_bytes
    monkeypatch.setattr(
        module,
        "hash_bytes",
        lambda column, seed: np.zeros(len(column), np.uint64) if seed == 1 else true_hash(column, seed),
    )
    index = KeyIndex([pa.array([b"a", b"b"])])
    assert met(index, [pa.array([b"b", b"c"])]) == [(0, 1)]
    assert next(seeds, None) is None
    monkeypatch.setattr(module, "hash_bytes", lambda column, seed: np.zeros(len(column), np.uint64))
    monkeypatch.setattr(module.secrets, "randbits", lambda _: 1)
    assert met(KeyIndex([pa.array([b"a"])]), [pa.array([b"b", b"a"])]) == [(1, 0)]
    with pytest.raises(LimitError):
        KeyIndex([pa.array([b"a", b"b"])])


def test_hashes_of_bytes_depend_on_every_byte() -> None:
    """Values that differ in one byte, or in length by zero bytes, have different hashes; equal ones the same wherever they stand."""
    values = [b"", b"\0", b"\0\0", b"a" * 8, b"a" * 7 + b"b", b"a" * 9, b"b" * 513, b"b" * 512 + b"c", b"b" * 512]
    hashes = hash_bytes(pa.array(values), 7)
    assert len(set(hashes.tolist())) == len(values)
    assert hash_bytes(pa.array([b"zzz", *values[::-1]]).slice(1), 7).tolist() == hashes.tolist()[::-1]
    assert hash_bytes(pa.array(values), 8).tolist() != hashes.tolist()


def test_pairs_come_in_bounded_runs() -> None:
    """Half a million equal keys on one side, thrice on the other, come in runs of at most 131,072 pairs, in order."""
    index = KeyIndex([pa.array(np.zeros(500_000, np.int64))])
    runs = list(pair_runs(index.match([pa.array([0, 5, 0, 0])]), "left"))
    assert max(len(rows) for rows, _ in runs) == RUN_ROWS
    rows = np.concatenate([rows for rows, _ in runs])
    places = np.concatenate([places for _, places in runs])
    assert np.array_equal(rows, np.repeat([0, 1, 2, 3], [500_000, 1, 500_000, 500_000]))
    once = np.arange(500_000)
    assert np.array_equal(places, np.concatenate([once, [-1], once, once]))

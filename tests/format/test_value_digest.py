"""Value digests: equal values, however they lie in memory, have one digest, and it is the one that the specification words."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.digest import PREFIX, digest_of, hex_of, is_digest
from tableformat.format.keys import key_hashes
from tableformat.format.media.kinds import cell_type
from tableformat.format.value_digest import BLOCK_ROWS, ColumnChain, UnitDigest, value_digest
from tests.format import plain_value_digest as plain

LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), st.integers(-128, 127)), (pa.uint16(), st.integers(0, 2**16 - 1)), (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)), (pa.bool_(), st.booleans()), (pa.float64(), st.floats(allow_nan=False)),
    (pa.float32(), st.floats(width=32, allow_nan=False)), (pa.float16(), st.floats(width=16, allow_nan=False)), (pa.string(), st.text(max_size=5)),
    (pa.binary(), st.binary(max_size=5)), (pa.binary(3), st.binary(min_size=3, max_size=3)), (pa.date32(), st.integers(-9999, 9999)),
    (pa.timestamp("us", "UTC"), st.integers(-(2**40), 2**40)), (pa.duration("ns"), st.integers(-(2**60), 2**60)),
    (pa.time32("ms"), st.integers(0, 86_399_999)), (pa.decimal128(9, 2), st.decimals(-9999, 9999, places=2)),
]  # fmt: skip
DIGEST_A, DIGEST_B = f"SHA-256:{'a' * 64}", f"SHA-256:{'b' * 64}"


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A type around another, with a strategy of its values."""

    def wrap(pair: tuple[pa.DataType, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
        type_, values = pair
        nullable = st.none() | values
        return st.sampled_from([
            (pa.list_(type_), st.lists(nullable, max_size=3)),
            (pa.list_(type_, 2), st.lists(nullable, min_size=2, max_size=2)),
            (pa.struct([("a", type_), ("b", pa.int32())]), st.fixed_dictionaries({"a": nullable, "b": st.none() | st.integers(0, 9)})),
            (pa.map_(pa.string(), type_), st.lists(st.tuples(st.text(max_size=3), nullable), max_size=3)),
        ])  # fmt: skip

    return inner.flatmap(wrap)


TYPES = st.recursive(st.sampled_from(LEAVES), grown, max_leaves=3)


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.DataType, list[Any]]:
    """A type and rows of it, nulls among them."""
    type_, values = draw(TYPES)
    return type_, draw(st.lists(st.none() | values, max_size=12))


def make(values: list[Any], type_: pa.DataType) -> pa.Array:
    return pa.array(values, type_)


@given(columns())
def test_digests_are_those_of_the_specification(column: tuple[pa.DataType, list[Any]]) -> None:
    """The digest of any values of any type is what the rules give when they are followed value by value. [DIGEST-2]"""
    type_, values = column
    assert value_digest(make(values, type_)) == PREFIX + plain.unit_digest(values, type_).hex()


@given(columns(), st.data())
def test_digests_do_not_see_chunks_offsets_or_what_lies_under_nulls(
    column: tuple[pa.DataType, list[Any]], data: st.DataObject
) -> None:
    """Rows fed in slices of a longer array, cut anywhere, have the digest of the rows. [DIGEST-2]"""
    type_, values = column
    junk = data.draw(st.integers(0, 3))
    longer = make([*values[:junk], *values, *values[:2]], type_)
    rows = longer.slice(min(junk, len(values)), len(values))
    cut = data.draw(st.integers(0, len(values)))
    unit = UnitDigest(type_)
    unit.update(rows.slice(0, cut))
    unit.update(rows.slice(cut))
    assert unit.digest() == value_digest(make(values, type_))
    mask = np.array([value is None for value in values], np.bool_)
    if len(values) and not mask.all() and not pa.types.is_nested(type_):
        filled = make([next(v for v in values if v is not None) if value is None else value for value in values], type_)
        under = pa.Array.from_buffers(
            type_, len(filled), [pa.py_buffer(np.packbits(~mask, bitorder="little").tobytes()), *filled.buffers()[1:]]
        )
        assert value_digest(under) == value_digest(make(values, type_))


def test_floats_are_their_bits() -> None:
    """0.0 and −0.0 differ, NaN equals NaN of the same bits, null differs from NaN. [DIGEST-2]"""
    zero, minus, nan, null = (
        value_digest(pa.array([value], pa.float64())) for value in (0.0, -0.0, float("nan"), None)
    )
    assert len({zero, minus, nan, null}) == 4
    assert nan == value_digest(pa.array([np.nan]))


def cells(*rows: dict[str, Any] | None) -> pa.Array:
    full = []
    for row in rows:
        if row is not None:
            file = {**dict.fromkeys(plain.FILE), **row.get("file", {})}
            row = {**dict.fromkeys(field.name for field in cell_type("image")), **row, "file": file}
        full.append(row)
    return pa.array(full, cell_type("image"))


CELLS: list[dict[str, Any] | None] = [
    {"file": {"uri": "packs/x", "offset": 4, "size": 9, "checksum": DIGEST_A}, "width": 3},
    {
        "file": {"uri": "packs/y", "offset": 4, "size": 2, "checksum": DIGEST_B},
        "digest": DIGEST_A,
        "encoding": "zstd",
        "width": 3,
    },
    {"file": {"uri": "https://a/b", "checksum": "ETAG:1"}},
    {"file": {"uri": "https://a/b"}},
    None,
]


def test_cells_count_by_what_they_show() -> None:
    """Packed, inline and compressed cells of the same media have one digest; other media and other facts another. [DIGEST-3]"""
    packed, encoded = (value_digest(cells(cell)) for cell in CELLS[:2])
    inline = value_digest(cells({"file": {"inline": b"abc", "size": 3, "checksum": DIGEST_A}, "width": 3}))
    assert packed == encoded == inline
    assert value_digest(cells({"file": {"checksum": DIGEST_B}, "width": 3})) != packed
    assert value_digest(cells({"file": {"checksum": DIGEST_A}, "width": 4})) != packed


@pytest.mark.parametrize("rows", [[0], [1], [2], [3], [4], [0, 4, 2, 1], [2, 3], []])
def test_cells_follow_the_rule_of_identity(rows: list[int]) -> None:
    """Digest, else SHA-256 checksum, else the place: cells of every sort, mixed, as the rule words it. [DIGEST-3]"""
    array = cells(*(CELLS[row] for row in rows))
    assert value_digest(array) == PREFIX + plain.unit_digest(array.to_pylist(), array.type).hex()


def test_cells_at_depth_count_the_same_way() -> None:
    """Cells in lists and maps are replaced as those at the top. [DIGEST-3]"""
    inner = cells(*CELLS)
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 2, 5], pa.int32()), inner)
    maps = pa.MapArray.from_arrays(pa.array([0, 5], pa.int32()), pa.array(list("abcde")), inner)
    for array in (lists, lists.slice(1), maps):
        assert value_digest(array) == PREFIX + plain.unit_digest(array.to_pylist(), array.type).hex()


@pytest.mark.parametrize("rows", [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS])
def test_columns_are_chains_over_blocks(rows: int) -> None:
    """The digest of a column is the chain over its blocks, however the rows come. [DIGEST-4]"""
    values = pa.array(np.arange(rows) % 1000, pa.int16())
    chain = ColumnChain(values.type)
    for start in range(0, rows, 50_000):
        chain.update(values.slice(start, 50_000))
    assert chain.digest() == PREFIX + plain.column_digest(values.to_pylist(), values.type).hex()
    assert chain.rows == rows


def test_chains_go_on_from_the_last_link() -> None:
    """Who knows the link of the full blocks needs only the rows after them. [DIGEST-4]"""
    values = pa.array(np.arange(BLOCK_ROWS + 10), pa.int64())
    whole, full, rest = (ColumnChain(values.type) for _ in range(3))
    whole.update(values)
    full.update(values.slice(0, BLOCK_ROWS))
    rest = ColumnChain(values.type, BLOCK_ROWS, full.link)
    rest.update(values.slice(BLOCK_ROWS))
    assert rest.digest() == whole.digest()
    assert rest.link == whole.link == full.link
    with pytest.raises(ValueError, match="edge"):
        ColumnChain(values.type, 7)


def test_digests_are_sha_256_and_nothing_else_decides_identity() -> None:
    """A digest is SHA-256, spelt in lower case behind `sha256:`; two keys with one XXH3 stay two keys. [DIGEST-1]"""
    assert digest_of(b"abc") == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    assert hex_of(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert is_digest(digest_of(b""))
    assert not is_digest(digest_of(b"").upper())
    # A multiplication by zero inside XXH3 forgets eight bytes of a 32-byte key: both have one hash, and two digests.
    one, other = xxh3_collision()
    hashes = key_hashes([pa.array([one, other], pa.binary())])
    assert hashes[0] == hashes[1]
    assert value_digest(pa.array([one])) != value_digest(pa.array([other]))


def xxh3_collision() -> tuple[bytes, bytes]:
    """Two keys of 32 bytes with one XXH3-64."""
    secret = bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    )
    first = secret[:8]  # xored with the first eight bytes: zero, whatever the second eight are
    tail = bytes(range(16))
    return first + b"A" * 8 + tail, first + b"B" * 8 + tail

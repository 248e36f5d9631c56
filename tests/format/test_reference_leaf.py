"""Leaves of references: small, sorted, read back as written, bounded while they are read."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import FormatError, LimitError
from tableformat.format import reference_leaf
from tableformat.format.reference import Known
from tableformat.format.reference_leaf import LEAF_SCHEMA, Listed, cut_leaves, decode_leaf, encode_leaf, listed_of

KNOWN = st.builds(
    Known,
    st.none() | st.integers(0, 2**60),
    st.none() | st.sampled_from(["0" * 32, "ABC", "W/x", "d41d8cd98f00b204e9800998ecf8427e-12"]) | st.text(st.characters(codec="ascii"), min_size=1, max_size=9),
    st.none() | st.sampled_from(["1700000000000001", "01", "null-ish", "3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"]),
    st.none() | st.integers(0, 2**52),
    st.none() | st.just("sha256:" + "ab" * 32),
)  # fmt: skip


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable()), KNOWN, min_size=1, max_size=30
    )
)
def test_leaves_come_back(found: dict[str, Known]) -> None:
    """What is written is what is read, whatever is known and unknown. [REF-12]"""
    listed = [Listed(path, found[path]) for path in sorted(found)]
    table = decode_leaf(encode_leaf(listed), "leaf", len(listed))
    assert table.schema.names == LEAF_SCHEMA.names
    assert list(listed_of(table)) == listed


def test_leaves_are_cut_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """One path more changes one leaf; no leaf has more than the most. [REF-13]"""
    monkeypatch.setattr(reference_leaf, "_TARGET_ROWS", 64)
    monkeypatch.setattr(reference_leaf, "MAX_LEAF_ROWS", 200)
    paths = [f"{number:06d}.png" for number in range(5000)]
    before = [tuple(one.path for one in leaf) for leaf in cut_leaves(Listed(path, Known()) for path in paths)]
    after = [
        tuple(one.path for one in leaf)
        for leaf in cut_leaves(Listed(path, Known()) for path in sorted([*paths, "002500a.png"]))
    ]
    assert sum(before, ()) == tuple(paths)
    assert max(map(len, before)) <= 200
    assert len(set(after) - set(before)) <= 2


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_leaves_against_the_specification() -> None:
    """Another order, doubles, nulls, a wrong count, other columns, no Parquet: each is refused. [REF-12]"""
    paths = {"path": pa.array(["b", "a"])}
    for bad in ({"path": pa.array(["a", "a"])}, paths, {"path": pa.array(["a", None])}, {"size": pa.array([1, 2])}):
        with pytest.raises(FormatError):
            decode_leaf(parquet(pa.table(bad), use_dictionary=False), "leaf")
    good = encode_leaf([Listed("a", Known())])
    with pytest.raises(FormatError, match="2 references"):
        decode_leaf(good, "leaf", 2)
    for cut in range(0, len(good), 97):
        with pytest.raises(FormatError):
            decode_leaf(good[:cut], "leaf")


def test_leaves_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encodings under which text outgrows its pages, and more references than a leaf may hold, are refused unread. [REF-14]"""
    table = pa.table({"path": pa.array(["a" * 1000 + str(number) for number in range(10, 60)])})
    with pytest.raises(LimitError, match="longer than its pages"):
        decode_leaf(parquet(table, use_dictionary=False, column_encoding={"path": "DELTA_BYTE_ARRAY"}), "leaf")
    with pytest.raises(LimitError, match="longer than its pages"):
        decode_leaf(parquet(table, use_dictionary=True), "leaf")
    monkeypatch.setattr(reference_leaf, "MAX_LEAF_ROWS", 3)
    with pytest.raises(LimitError, match="at most 3"):
        decode_leaf(encode_leaf([Listed(str(number), Known()) for number in range(4)]), "leaf")
    monkeypatch.setattr(reference_leaf, "MAX_LEAF_BYTES", 10)
    with pytest.raises(LimitError, match="10 bytes"):
        decode_leaf(bytes(11), "leaf")

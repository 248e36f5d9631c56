"""ItemList: items inline or in leaves, counted, cut by their keys, and never believed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tableformat.digest import digest_of
from tableformat.errors import FormatError, LimitError, TableformatError
from tableformat.format.item_list import ItemList, LeafDescriptor, Line, decode_leaf, rank_of
from tableformat.format.item_list import encode_leaves as encode_lines

DIGEST = digest_of(b"")


def encode_leaves(listed: Iterable[dict[str, Any]]) -> Iterator[tuple[LeafDescriptor, bytes]]:
    return encode_lines(map(Line.of, listed))


def items(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"key": f"k{number:07}", "rows": number, "name": "ä"} for number in range(start, start + count)]


def leaf(**change: Any) -> dict[str, Any]:
    return {"count": 1, "digest": DIGEST, "first": "a", "last": "a", "size": 9, **change}


@pytest.mark.parametrize("count", [1, 3])
def test_leaves_hold_what_was_put_in(count: int) -> None:
    """A leaf gives the items again, in order, and its descriptor says what is in it."""
    [(described, data)] = encode_leaves(items(count))
    assert described == LeafDescriptor(digest_of(data), len(data), count, "k0000000", f"k{count - 1:07}")
    assert decode_leaf(data, described, "x") == items(count)
    assert ItemList.from_json(ItemList(count, leaves=(described,)).to_json(), "x").leaves == (described,)


def test_leaves_are_files_that_any_engine_lists() -> None:
    """A leaf has the columns key, rows, bytes and item, and page checksums."""
    [(_, data)] = encode_leaves([{"key": "a", "rows": 3}, {"key": "b", "bytes": 7, "rows": "many"}])
    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    assert table.to_pylist() == [
        {"key": "a", "rows": 3, "bytes": None, "item": '{"key":"a","rows":3}'},
        {"key": "b", "rows": None, "bytes": 7, "item": '{"bytes":7,"key":"b","rows":"many"}'},
    ]


def test_leaves_are_cut_by_keys() -> None:
    """A leaf ends after a key whose hash says so, so lists that differ in one place share their other leaves."""
    listed = items(60_000)
    whole = [described for described, _ in encode_leaves(listed)]
    assert len(whole) > 1
    ranks = [rank_of(one.last) for one in whole[:-1]]
    assert ranks == sorted(ranks, reverse=True)
    assert ranks.count(3) == sum(xxhash.xxh3_64_intdigest(item["key"].encode()) % 16_384 == 0 for item in listed)
    changed = [described for described, _ in encode_leaves([{"key": "a"}, *listed])]
    assert changed[1:] == whole[1:]


@pytest.mark.parametrize(
    "value",
    [
        None, [], {"items": []}, {"count": "1", "items": []}, {"count": 1, "items": [1]}, {"count": 1, "leaves": {}},
        {"count": 1, "leaves": [leaf(count=True)]}, {"count": 1, "leaves": [leaf(size=-1)]}, {"count": 1, "leaves": [leaf(digest=[])]}, {"count": 1, "leaves": [{}]}, {"count": 1, "leaves": [leaf(digest="sha256:1")]}, {"count": 1, "leaves": [leaf(size="x")]},
        {"count": 2, "leaves": [leaf()]}, {"count": 1, "items": []},
    ],
)  # fmt: skip
def test_malformed_item_lists_are_refused(value: object) -> None:
    """Another shape, and counts that do not agree, are format errors that name the place. [MANIFEST-7]"""
    with pytest.raises(FormatError, match=r"entries\.train|digest"):
        ItemList.from_json(value, "entries.train")


def test_a_item_lists_has_items_or_leaves() -> None:
    """Both at once are refused. [MANIFEST-8]"""
    with pytest.raises(FormatError):
        ItemList.from_json({"count": 2, "items": [{"key": "a"}], "leaves": [leaf()]}, "x")


def test_leaves_that_say_another_count_are_refused() -> None:
    """A file with more or fewer items than its descriptor is no such leaf. [MANIFEST-7]"""
    [(described, data)] = encode_leaves(items(3))
    with pytest.raises(FormatError, match="2 items"):
        decode_leaf(data, LeafDescriptor(described.digest, len(data), 2, "", ""), "x")
    with pytest.raises(LimitError):
        decode_leaf(bytes((64 << 20) + 1), described, "x")


@given(st.data())
def test_damaged_leaves_never_end_in_other_errors(data: st.DataObject) -> None:
    """Any byte changed: the items, or one of our errors. (Readers compare the digest first.)"""
    [(described, whole)] = encode_leaves(items(5))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    try:
        found = decode_leaf(changed, described, "x")
    except TableformatError:
        found = []
    assert all(isinstance(item, dict) for item in found)

"""Manifests in a store: written once by digest, compared before they are parsed, read leaf by leaf."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tableformat.digest import digest_of
from tableformat.errors import CorruptError, FormatError, LimitError, NotFoundError
from tableformat.format.item_list import ItemList, rank_of
from tableformat.format.manifest import Manifest
from tableformat.storage import manifests
from tableformat.storage.backend import open_backend
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import (
    append_items,
    find_item,
    items_after,
    iter_items,
    last_items,
    leaf_path,
    read_root,
    read_verified,
    root_path,
    write_items,
    write_root,
)
from tableformat.testing import FaultBackend

ROOT = Manifest("dataset", "{}", digest_of(b""), ItemList(0))


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend(str(tmp_path))


def items(count: int) -> list[dict[str, Any]]:
    return [{"key": f"k{number:07}", "name": "x" * 40} for number in range(count)]


def test_roots_are_found_by_their_digest(backend: Backend) -> None:
    """A root is the file that its digest names, and writing it again changes nothing."""
    digest, data = write_root(backend, ROOT)
    assert digest == digest_of(data)
    assert write_root(backend, ROOT)[0] == digest
    assert backend.read(root_path(digest)) == data
    assert read_root(backend, digest) == ROOT


def test_damaged_and_missing_roots_are_told(backend: Backend) -> None:
    """A root with other bytes than its name says is corrupt, a missing one is not found; both errors name the file. [MANIFEST-2]"""
    digest, data = write_root(backend, ROOT)
    backend.overwrite(root_path(digest), data.replace(b"dataset", b"datasex"))
    with pytest.raises(CorruptError, match=digest[7:]):
        read_root(backend, digest)
    backend.delete(root_path(digest))
    with pytest.raises(NotFoundError, match=digest[7:]):
        read_root(backend, digest)
    backend.put("manifests/x.json", b"12345")
    with pytest.raises(LimitError):
        read_verified(backend, "manifests/x.json", digest, limit=4)


def test_short_item_lists_stand_inline(backend: Backend) -> None:
    """Up to 16 KiB of items need no file."""
    listed = write_items(backend, items(100))
    assert (listed.count, listed.leaves, list(listed.items)) == (100, (), items(100))
    assert list(backend.list("manifests")) == []
    assert write_items(backend, []).to_json() == {"count": 0, "items": []}


def test_long_item_lists_stand_in_leaves(backend: Backend) -> None:
    """Items of a long item list come back in order, a leaf at a time, and one is found with one leaf."""
    counting = FaultBackend(backend)
    listed = write_items(counting, items(50_000))
    assert listed.count == 50_000
    assert len(listed.leaves) > 1
    assert list(iter_items(counting, listed)) == items(50_000)
    counting.calls.clear()
    assert find_item(counting, listed, "k0012345") == items(12_346)[-1]
    assert find_item(counting, listed, "nobody") is None
    assert counting.count("read_or_none") == 1


def test_leaves_are_compared_before_they_are_parsed(backend: Backend) -> None:
    """A changed leaf raises, naming the file, whatever it would parse to. [MANIFEST-9]"""
    listed = write_items(backend, items(50_000))
    other = write_items(backend, items(50_001))
    wrong = next(leaf for leaf in other.leaves if leaf not in listed.leaves)
    path = leaf_path(listed.leaves[-1].digest)
    backend.overwrite(path, backend.read(leaf_path(wrong.digest)))
    with pytest.raises(CorruptError, match=path):
        list(iter_items(backend, listed))


def test_order_of_items_is_kept(backend: Backend) -> None:
    """The order of an item list is that in which it was written: of parts, the order of the rows. [MANIFEST-6]"""
    backwards = items(50_000)[::-1]
    assert list(iter_items(backend, write_items(backend, backwards))) == backwards
    assert list(iter_items(backend, write_items(backend, backwards[:3]))) == backwards[:3]


def ranked(rank: int, start: int) -> int:
    """The first number from `start` on whose key has this rank."""
    return next(number for number in itertools.count(start) if rank_of(f"k{number:07}") == rank)


EDGES = {rank: ranked(rank, 300) for rank in (1, 2, 3)}


@pytest.mark.parametrize(
    "before", [0, 1, 150, 300, *(edge + step for edge in EDGES.values() for step in (-1, 0, 1, 2))]
)
@pytest.mark.parametrize("more", [1, 2, 1500])
def test_appending_makes_what_writing_makes(backend: Backend, before: int, more: int) -> None:
    """However long a list was and whatever follows, it ends as if it had been written whole, and few small leaves are touched. [MANIFEST-20]"""
    whole = items(before + more)
    listed = write_items(backend, whole[:before])
    counting = FaultBackend(backend)
    grown = append_items(counting, listed, whole[before:])
    assert grown == write_items(backend, whole)
    if more < 100 and before not in range(EDGES[3] - more, EDGES[3] + 1):
        kept = set(listed.leaves) & set(grown.leaves)
        assert sum(leaf.count for leaf in grown.leaves if leaf not in kept) < 2500
    assert list(last_items(backend, grown)) == whole[::-1]


def test_a_list_grows_item_by_item(backend: Backend) -> None:
    """Hundreds of appends: the same leaves as at once, and what each writes stays small."""
    listed, whole = write_items(backend, items(290)), items(410)
    written = 0
    for number in range(290, 410):
        before = set(listed.leaves)
        listed = append_items(backend, listed, [whole[number]])
        written += sum(leaf.count for leaf in listed.leaves if leaf not in before)
    assert listed == write_items(backend, whole)
    assert written / 120 < 150


@pytest.mark.parametrize("before", [300, EDGES[1] + 1])
def test_who_appends_again_reads_nothing(backend: Backend, before: int) -> None:
    """The end of a list that this process wrote or read last is remembered, while it is short."""
    counting, whole = FaultBackend(backend), items(before + 4)
    listed = write_items(backend, whole[:before])
    for number in range(before, before + 4):
        listed = append_items(counting, listed, [whole[number]])
        assert next(last_items(counting, listed)) == whole[number]
    assert not any(operation.startswith("read") for operation, _ in counting.calls)
    assert listed == write_items(backend, whole)
    manifests._REMEMBERED.clear()
    assert next(last_items(counting, listed)) == whole[-1]
    assert counting.count("read_many_or_none") == 1
    append_items(counting, listed, items(before + 5)[-1:])
    assert counting.count("read_many_or_none") == 1


def test_only_short_ends_of_a_few_lists_are_remembered(backend: Backend) -> None:
    """What is remembered has a bound: eight leaves, of at most 512 lines and 512 KiB."""
    for number in range(20):
        write_items(backend, [{"key": f"{number} {item['key']}"} for item in items(1000)])
    assert len(manifests._REMEMBERED) == 8
    manifests._REMEMBERED.clear()
    write_items(backend, [{"key": "a", "text": "x" * (600 << 10)}])
    same = f"k{ranked(0, 300):07}"
    long = write_items(backend, [{"key": same, "text": "x" * 40} for _ in range(600)])
    assert [leaf.count for leaf in long.leaves] == [600]
    assert not manifests._REMEMBERED


def test_a_leaf_that_is_described_otherwise_is_read(backend: Backend) -> None:
    """What is remembered of a leaf does not answer for a descriptor that says another count of the same file. [MANIFEST-7]"""
    listed = write_items(backend, items(300))
    last = listed.leaves[-1]
    wrong = replace(listed, leaves=(*listed.leaves[:-1], replace(last, count=last.count + 1)))
    with pytest.raises(FormatError, match=f"{last.count + 1} items"):
        next(last_items(backend, wrong))


def test_what_follows_is_told_without_reading_what_is_common(backend: Backend) -> None:
    """The items behind those of another list; None where it begins otherwise; leaves that both have are not read."""
    whole = items(5000)
    short, long = write_items(backend, whole[:4900]), write_items(backend, whole)
    counting = FaultBackend(backend)
    assert items_after(counting, short, long) == whole[4900:]
    assert sum(operation.startswith("read") for operation, _ in counting.calls) < len(long.leaves)
    assert items_after(backend, long, long) == []
    assert items_after(backend, write_items(backend, []), long) == whole
    assert items_after(backend, long, short) is None
    assert items_after(backend, write_items(backend, [{"key": "x"}, *whole[:4000]]), long) is None

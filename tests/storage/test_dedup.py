"""Digest runs and the blobs seen: the right places, whatever collides, merges or is spilled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.storage.dedup import SeenBlobs
from tableformat.storage.digest_runs import Run, digest_array, iter_merged, merge_runs

# Few distinct first bytes, so that the 8 bytes a run is searched by collide all the time.
DIGESTS = st.builds(lambda a, b, c: bytes([a]) * 8 + bytes([b]) * 23 + bytes([c]), *[st.integers(0, 3)] * 3)


def run_of(digests: list[bytes], start: int = 0) -> Run:
    count = len(digests)
    number = np.arange(start, start + count)
    return Run.from_arrays(digest_array(digests), number.astype(np.int32), number * 10, number * 100)


@given(st.lists(DIGESTS, unique=True, max_size=40), st.lists(DIGESTS, max_size=40))
def test_a_run_finds_what_it_holds(held: list[bytes], wanted: list[bytes]) -> None:
    """Each digest is found where it stands and nowhere else, also among digests that begin alike."""
    run = run_of(held)
    assert [bytes(d) for d in run.digests()] == sorted(held)
    found = run.find(digest_array(wanted))
    slots = [int(run.rows["slot"][at]) if at >= 0 else None for at in found.tolist()]
    assert slots == [held.index(digest) if digest in held else None for digest in wanted]


@given(st.lists(st.lists(DIGESTS, max_size=20), min_size=1, max_size=5), st.integers(1, 30), st.booleans())
def test_merged_runs_hold_all(groups: list[list[bytes]], slice_rows: int, spilled: bool) -> None:
    """Merging keeps every blob and sorts the whole, in slices, in memory and in temporary files."""
    runs = [run_of(group, 100 * number) for number, group in enumerate(groups) if group]
    every = sorted(digest for group in groups for digest in group)
    pieces = list(iter_merged(runs, slice_rows)) if runs else []
    assert [bytes(digest) for piece in pieces for digest in piece.digests()] == every
    if every:
        merged = merge_runs(runs, 0 if spilled else 10**9)
        assert isinstance(merged.first, np.memmap) is spilled
        assert [bytes(digest) for digest in merged.digests()] == every
        assert (merged.find(digest_array(every)) >= 0).all()


@given(st.lists(st.lists(st.integers(0, 60), max_size=9), max_size=12), st.integers(1, 8))
def test_seen_blobs_behave_like_a_dictionary(batches: list[list[int]], recent: int) -> None:
    """A blob is at the place of its first appearance, however small the dictionary is."""
    seen = SeenBlobs(recent_blobs=recent, spill_rows=6)
    model: dict[int, int] = {}
    written = 0
    for batch in batches:
        digests = [number.to_bytes(32, "big") for number in batch]
        ordinals, own = seen.reserve(digests)
        slot, offset, size = (
            np.zeros(len(batch), np.int32),
            np.zeros(len(batch), np.int64),
            np.ones(len(batch), np.int64),
        )
        rows = np.flatnonzero(own)
        hit, (_, places, _) = seen.find_older(digest_array([digests[row] for row in rows]))
        for row, known, place in zip(rows.tolist(), hit.tolist(), places.tolist(), strict=True):
            offset[row] = place if known else written
            own[row] = not known
            written += not known
        _, found, _ = seen.settle(ordinals, (slot, offset, size), own)
        for number, place in zip(batch, found.tolist(), strict=True):
            assert model.setdefault(number, place) == place
    assert sorted(model.values()) == list(range(written))
    assert sum(map(len, seen.own_runs())) == written


def test_forgetting_drops_everything() -> None:
    """After `forget` a blob is new again."""
    seen = SeenBlobs(recent_blobs=1)
    for expected in (True, False):
        ordinals, own = seen.reserve([b"1" * 32])
        hit, _ = seen.find_older(digest_array([b"1" * 32]))
        assert bool(own[0] and not hit[0]) is expected
        seen.settle(ordinals, (np.zeros(1, np.int32), np.zeros(1, np.int64), np.ones(1, np.int64)), own & ~hit)
    seen.forget()
    assert not seen.has_older
    assert seen.reserve([b"1" * 32])[1].tolist() == [True]


def test_an_empty_run_finds_nothing() -> None:
    """A run of no blobs answers every look-up."""
    assert run_of([]).find(digest_array([b"1" * 32])).tolist() == [-1]
    with pytest.raises(ValueError, match="reshape"):
        digest_array([b"short"])

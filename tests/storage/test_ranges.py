"""Plans of byte-range reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import InvalidInputError
from tableformat.storage.ranges import SMALL_GAP_BYTES, Fetch, cut, plan_ranges

FILES = {"a": bytes(range(256)) * 20, "b": bytes(reversed(range(256))) * 20}
one_range = st.tuples(st.sampled_from(sorted(FILES)), st.integers(0, 5000), st.integers(0, 120))


def carry_out(plan):
    return [FILES[fetch.path][fetch.offset : fetch.offset + fetch.length] for fetch in plan.fetches]


@given(st.lists(one_range, max_size=40), st.integers(0, 200), st.integers(1, 2000))
def test_every_range_is_cut_from_what_was_fetched(ranges, gap, longest):
    """Whatever is asked, carrying out the plan and cutting gives exactly the ranges, in the order asked."""
    plan = plan_ranges(ranges, max_gap_bytes=gap, max_merged_bytes=longest)
    assert cut(plan, carry_out(plan)) == [FILES[path][start : start + size] for path, start, size in ranges]


@given(st.lists(one_range, max_size=40), st.integers(0, 200), st.integers(1, 2000))
def test_fetches_keep_the_bounds(ranges, gap, longest):
    """Fetches are sorted, not empty, no longer than allowed unless one range is, and none bridges a larger gap."""
    plan = plan_ranges(ranges, max_gap_bytes=gap, max_merged_bytes=longest)
    assert list(plan.fetches) == sorted(plan.fetches, key=lambda fetch: (fetch.path, fetch.offset))
    longest_range = max((size for _, _, size in ranges), default=0)
    assert all(0 < fetch.length <= max(longest, longest_range) for fetch in plan.fetches)
    for fetch in plan.fetches:
        covered = sorted(
            (s, s + n)
            for p, s, n in ranges
            if p == fetch.path and n and fetch.offset <= s < fetch.offset + fetch.length
        )
        end = fetch.offset
        for start, stop in covered:
            assert start - end <= gap
            end = max(end, stop)


def test_neighbours_are_merged():
    """Small ranges 16 KiB apart are one fetch; one byte more makes two."""
    near = plan_ranges([("a", 0, 10), ("a", 10 + SMALL_GAP_BYTES, 10)])
    far = plan_ranges([("a", 0, 10), ("a", 11 + SMALL_GAP_BYTES, 10)])
    assert near.fetches == (Fetch("a", 0, 20 + SMALL_GAP_BYTES),)
    assert near.fetched_bytes == 20 + SMALL_GAP_BYTES
    assert far.fetches == (Fetch("a", 0, 10), Fetch("a", 11 + SMALL_GAP_BYTES, 10))


def test_long_ranges_bear_longer_gaps():
    """Between long ranges a gap of a fifth of them is fetched, up to 64 KiB; so what is fetched stays near what is wanted."""
    for length, gap, fetches in (
        (100_000, 40_000, 1),
        (100_000, 41_000, 2),
        (1 << 20, 65_536, 1),
        (1 << 20, 65_537, 2),
    ):
        assert len(plan_ranges([("a", 0, length), ("a", length + gap, length)]).fetches) == fetches


def test_long_ranges_stay_whole():
    """A range longer than the bound is one fetch, and what lies inside of it needs no other."""
    plan = plan_ranges([("a", 0, 100), ("a", 20, 5), ("a", 90, 20)], max_merged_bytes=50)
    assert plan.fetches == (Fetch("a", 0, 100), Fetch("a", 90, 20))
    assert plan.pieces == ((0, 0, 100), (0, 20, 25), (1, 0, 20))


@pytest.mark.parametrize("bad", [("a", -1, 1), ("a", 0, -1)])
def test_negative_numbers_are_refused(bad):
    """Offsets and lengths below zero are refused before anything is planned."""
    with pytest.raises(InvalidInputError):
        plan_ranges([bad])

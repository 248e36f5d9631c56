"""Numbered series of create-only documents."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import InvalidInputError, LimitError, NotFoundError
from tableformat.storage.backend import open_backend
from tableformat.storage.series import MAX_NUMBER, Series, new_commit_id, slot_name, slot_number
from tableformat.testing import FaultBackend


def filled(count):
    backend = FaultBackend(open_backend(f"memory://{uuid.uuid4().hex}"))
    series = Series(backend, "s", limit=100)
    for number in range(count):
        backend.inner.put(series.path(number), str(number).encode())
    return series, backend


@given(st.integers(0, 150), st.one_of(st.integers(0, 200), st.integers(-5, MAX_NUMBER + 5)))
def test_newest_from_any_guess(count, near):
    """The newest of any number of documents is found from any guess, in a number of rounds that grows as the logarithm."""
    series, backend = filled(count)
    expected = (count - 1, str(count - 1).encode()) if count else None
    assert series.newest(near) == expected
    assert len(backend.calls) <= 12
    assert {operation for operation, _ in backend.calls} == {"read_many_or_none"}


def test_right_guess_is_one_round():
    """The right guess costs one round trip."""
    series, backend = filled(50)
    assert series.newest(49) == (49, b"49")
    assert len(backend.calls) == 1


def test_file_names():
    """Numbers have 20 digits, and only such names are numbers."""
    assert slot_name(3) == "00000000000000000003.json"
    assert slot_number(slot_name(MAX_NUMBER)) == MAX_NUMBER
    for name in (
        "3.json",
        "00000000000000000003.JSON",
        "99999999999999999999.json",
        "00000000000000000003.json.tmp",
        "-0000000000000000003.json",
    ):
        assert slot_number(name) is None
    for number in (-1, MAX_NUMBER + 1):
        with pytest.raises(InvalidInputError):
            slot_name(number)


def test_bounds():
    """A document above the limit of the series is not read, and an absent one is said to be."""
    series, backend = filled(1)
    backend.inner.put(series.path(1), b"x" * 101)
    with pytest.raises(LimitError):
        series.read(1)
    with pytest.raises(NotFoundError):
        series.require(2)
    assert series.require(0) == b"0"


def test_commit_ids_are_fresh():
    """No two commit ids are alike."""
    assert len({new_commit_id() for _ in range(1000)}) == 1000

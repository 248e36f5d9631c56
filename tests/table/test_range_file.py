"""Files that lie elsewhere: what was fetched is not asked for again, however it is read."""

import os
import uuid

from hypothesis import given
from hypothesis import strategies as st

from tableformat.storage.backend import open_backend
from tableformat.table.range_file import RangeFile
from tableformat.testing import FaultBackend

DATA = os.urandom(60_000)
PLACES = st.integers(0, len(DATA))


def opened(ranges):
    """A backend that counts, and a file on it of which these ranges were fetched."""
    backend = FaultBackend(open_backend(f"memory://{uuid.uuid4().hex}"))
    backend.put("f", DATA)
    file = RangeFile.fetch(backend, "f", len(DATA), ranges)
    backend.calls.clear()
    return backend, file


@given(st.lists(st.tuples(PLACES, st.integers(0, 9000)), max_size=5), st.lists(st.tuples(PLACES, PLACES), max_size=5))
def test_reads_are_right(ranges, reads):
    """Any read of a file of which any ranges are held gives its bytes."""
    _, file = opened(ranges)
    for start, size in reads:
        file.seek(start)
        assert file.read(size) == DATA[start : start + size]
        assert file.tell() == min(start + size, len(DATA)) or not size or start + size > len(DATA)


def test_neighbours_are_held_as_one():
    """A read across ranges that one request brought, and what lies between them, asks for nothing."""
    backend, file = opened([(100, 1000), (1100, 500), (9000, 5000)])
    file.seek(200)
    assert file.read(13_000) == DATA[200:13_200]
    assert backend.calls == []


def test_only_what_is_missing_is_asked_for():
    """A read that goes beyond what is held asks for the rest alone."""
    backend, file = opened([(0, 100), (40_000, 100)])
    file.seek(40_050)
    assert file.read(100) == DATA[40_050:40_150]
    assert backend.calls == [("read", "f")]
    file.seek(0)
    assert file.read() == DATA

"""The marker of a store."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import NotAStoreError, StoreUnavailableError, TableformatError, UnsupportedError
from tableformat.format.documents import check_requires
from tableformat.storage.backend import open_backend
from tableformat.storage.marker import MARKER_PATH, Marker, create_marker, read_marker
from tableformat.testing import FaultBackend


@pytest.fixture
def backend():
    return open_backend(f"memory://{uuid.uuid4().hex}")


def test_created_once(backend):
    """The first creation makes the marker, every later one reads it."""
    assert read_marker(backend) is None
    marker = create_marker(backend)
    assert create_marker(backend) == marker == read_marker(backend)


def test_lost_race(backend):
    """A writer that loses the race to make a store takes the winner's marker. [LAYOUT-1]"""
    faulty = FaultBackend(backend)
    faulty.fail("read_or_none", error=lambda: StoreUnavailableError("x"))
    marker = create_marker(backend)
    with pytest.raises(StoreUnavailableError):
        create_marker(faulty)
    assert create_marker(faulty) == marker


def document(**fields):
    return json.dumps(
        {"format": "tableformat", "version": 1, "store": "0" * 32, "requires": {"read": [], "write": []}, **fields}
    ).encode()


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"PAR1", b"\xff", b"{" * 1000, document(format="zarr"), document(store="0"), document(store=None), document(requires={}), document(version=0), document(version="1"), document(requires={"read": ["A B"], "write": []}), b" " * 70_000],
)  # fmt: skip
def test_not_a_store(backend, data):
    """Anything but a marker under its name is no store."""
    backend.put(MARKER_PATH, data)
    with pytest.raises(NotAStoreError):
        read_marker(backend)


def test_newer(backend):
    """A store of a newer format, or with an unknown feature, is refused as such."""
    backend.put(MARKER_PATH, document(version=2))
    with pytest.raises(UnsupportedError):
        read_marker(backend)
    marker = Marker.from_bytes(document(requires={"read": ["new"], "write": ["newer"]}))
    with pytest.raises(UnsupportedError, match="new"):
        check_requires(marker.requires, (), writing=False, path="x")
    check_requires(marker.requires, ("new",), writing=False, path="x")
    with pytest.raises(UnsupportedError, match="newer"):
        check_requires(marker.requires, ("new",), writing=True, path="x")


def test_unknown_fields_are_kept():
    """A field that this library does not know is written again."""
    marker = Marker.from_bytes(document(colour="red"))
    assert marker.to_json()["colour"] == "red"
    assert Marker.from_bytes(json.dumps(marker.to_json()).encode()) == marker


@given(st.binary(max_size=200))
def test_any_bytes(data):
    """Any bytes at all give a marker or an error of this library."""
    try:
        found = Marker.from_bytes(data)
    except TableformatError:
        found = None
    assert found is None or isinstance(found, Marker)

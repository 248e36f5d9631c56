"""Lists of references: inline or in leaves, found with one leaf, one digest whatever the cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tableformat.errors import CorruptError, FormatError, UnsupportedError
from tableformat.format import reference_leaf
from tableformat.format.reference import Known
from tableformat.format.reference_leaf import Listed
from tableformat.storage.backend import open_backend
from tableformat.storage.reference_lists import INLINE_REFERENCES, ReferenceList, write_references
from tableformat.testing import FaultBackend


@pytest.fixture
def backend(store_url: str) -> FaultBackend:
    return FaultBackend(open_backend(store_url))


def lines(count: int) -> Iterator[Listed]:
    return (Listed(f"{number:07d}.png", Known(number, f"{number:032x}", modified=number)) for number in range(count))


def test_short_lists_stand_inline(backend: FaultBackend) -> None:
    """Up to 64 references stand in the entry, and nothing is written for them. [REF-11]"""
    listed = write_references(backend, "s3://a/", lines(INLINE_REFERENCES))
    assert backend.calls == []
    assert ReferenceList.from_json(listed.to_json(), "entry") == listed
    assert list(listed.iterate(backend)) == list(lines(INLINE_REFERENCES))
    assert listed.find(backend, "0000007.png") == Known(7, f"{7:032x}", modified=7)
    assert listed.find(backend, "x") is None
    assert (listed.count, listed.bytes) == (64, 63 * 32)


def test_long_lists_stand_in_leaves(backend: FaultBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer lists stand in leaves, and a look-up reads one of them. [REF-11] [REF-13]"""
    monkeypatch.setattr(reference_leaf, "_TARGET_ROWS", 256)
    listed = write_references(backend, "s3://a/", lines(20_000))
    read = ReferenceList.from_json(listed.to_json(), "entry")
    assert read.to_json()["requires"] == {"read": ["reference-leaves"], "write": []}
    assert list(read.iterate(backend)) == list(lines(20_000))
    before = len(backend.calls)
    assert read.find(backend, "0012345.png") == Known(12345, f"{12345:032x}", modified=12345)
    assert len(backend.calls) - before <= 2
    for absent in ("", "0012345.pn", "0012345.pngx", "zzz"):
        assert read.find(backend, absent) is None


def test_the_digest_is_of_the_lines(backend: FaultBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """However leaves are cut, equal lines have one digest, and other ones another; times count where nothing better does. [REF-15]"""
    one = write_references(backend, "s3://a/", lines(3000)).digest
    monkeypatch.setattr(reference_leaf, "_TARGET_ROWS", 100)
    assert write_references(backend, "s3://a/", lines(3000)).digest == one
    assert write_references(backend, "s3://b/", lines(3000)).digest != one
    assert write_references(backend, "s3://a/", lines(2999)).digest != one

    def digest(known: Known) -> str:
        return write_references(backend, "s3://a/", [Listed("x", known)]).digest

    assert digest(Known(1, "e", modified=1)) == digest(Known(1, "e", modified=2))
    assert digest(Known(1, modified=1)) != digest(Known(1, modified=2))


@pytest.mark.parametrize(
    "change",
    [
        {"count": 3}, {"references": [{"path": "b"}, {"path": "a"}]}, {"references": [{"path": 1}, {"path": 2}]}, {"digest": "x"},
        {"prefix": None}, {"bytes": -1}, {"references": [{"path": "a", "size": "1"}, {"path": "b"}]}, {"leaves": {"count": 0, "items": []}},
    ],
)  # fmt: skip
def test_malformed_entries(backend: FaultBackend, change: dict[str, Any]) -> None:
    """An entry whose counts, order or types do not fit is refused. [REF-11]"""
    fields = write_references(backend, "s3://a/", [Listed("a", Known(1)), Listed("b", Known(2))]).to_json()
    with pytest.raises(FormatError):
        ReferenceList.from_json({**fields, **change}, "entry")


def test_unknown_features_are_refused(backend: FaultBackend) -> None:
    """An entry that needs what this library does not know is refused by name."""
    fields = write_references(backend, "s3://a/", [Listed("a", Known(1))]).to_json()
    with pytest.raises(UnsupportedError, match="spells"):
        ReferenceList.from_json({**fields, "requires": {"read": ["spells"], "write": []}}, "entry")


def test_damaged_leaves_are_told(backend: FaultBackend) -> None:
    """A leaf whose bytes differ from its digest is no leaf. [REF-13]"""
    listed = write_references(backend, "s3://a/", lines(200))
    assert listed.leaves is not None
    [item] = listed.leaves.items
    path = f"manifests/{item['digest'][7:]}.parquet"
    data = bytearray(backend.read(path))
    data[20] ^= 1
    backend.overwrite(path, bytes(data))
    with pytest.raises(CorruptError):
        listed.find(backend, "0000001.png")

"""The documents in slots."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.digest import digest_of
from tableformat.document import encode_document
from tableformat.errors import CorruptError, FormatError, LimitError, TableformatError, UnsupportedError
from tableformat.format.documents import Requires, encode_sealed
from tableformat.storage.versionfile import MAX_INLINE_BYTES, Input, Tombstone, VersionFile, decode_slot

ROOT = {"kind": "root", "entries": []}
ROOT_BYTES = encode_document(ROOT)
TIME = "2026-11-22T09:00:00.000000Z"
DIGEST = "sha256:" + "ab" * 32
FULL = VersionFile(
    root=digest_of(ROOT_BYTES),
    root_size=len(ROOT_BYTES),
    time=TIME,
    slot=3,
    commit="0f" * 16,
    predecessor=DIGEST,
    base=DIGEST,
    message="ümläut \u2028",
    producer='{"lr":0.1}',
    inputs=(Input("raw", DIGEST, 2, "latest"), Input("s3://b#other", DIGEST, extra={"note": "kept"})),
    requires=Requires(("a",), ("b", "c")),
    inline=ROOT,
    report={"rows": 5, "bytes_new": 0, "later": "x"},
    session="nightly-7",
    extra={"colour": ["red"]},
)


def nested(depth):
    """An object of this depth."""
    return {"a": nested(depth - 1)} if depth > 1 else {}


def names(root):
    """The fields that name a root."""
    data = encode_document(root)
    return {"root": digest_of(data), "root_size": len(data), "root_bytes": data}


def decode(document, slot=None):
    return decode_slot(json.dumps(document).encode(), "x", slot)


def test_round_trip():
    """A version written and read is the same, unknown fields included."""
    assert decode_slot(encode_document(FULL.to_json()), "x", 3) == FULL
    tombstone = Tombstone(3, "0f" * 16, DIGEST, TIME, {"why": "expired"})
    assert decode_slot(encode_document(tombstone.to_json()), "x", 3) == tombstone


@pytest.mark.parametrize("version", [FULL, replace(FULL, inline=None), replace(FULL, extra={"a": 1, "zoo": []})])
def test_bytes_of_the_root_are_put_into_those_of_the_version(version):
    """A version is encoded to the canonical bytes of its document and `check`, be the bytes of the inline root known or not."""
    data = version.encode("x")
    assert data == encode_sealed(version.to_json())
    assert replace(version, root_bytes=ROOT_BYTES).encode("x") == data
    assert decode_slot(data, "x", 3) == version


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"root_bytes": b"{}"}, CorruptError), ({"inline": {}}, CorruptError), ({"root_size": 1}, CorruptError), ({"slot": 0}, FormatError),
        ({"time": "now"}, FormatError), ({"session": "No id"}, FormatError), ({"message": "\ud800"}, FormatError), ({"report": {"rows": -1}}, FormatError),
        ({"extra": {"a": 1.5}}, FormatError), ({"extra": {"a": nested(64)}}, LimitError), ({"inline": nested(64), **names(nested(64))}, LimitError),
    ],
)  # fmt: skip
def test_what_readers_refuse_is_not_encoded(change, error):
    """A body that no reader would take raises what reading it would. [VERSIONS-14]"""
    with pytest.raises(error):
        replace(FULL, **change).encode("x")


@pytest.mark.parametrize("field", [f for f in FULL.to_json() if f not in ("inline", "colour")])
def test_every_field_is_needed(field):
    """A version without one of its fields is refused, and the field is named."""
    document = FULL.to_json()
    del document[field]
    with pytest.raises(FormatError, match=field):
        decode(document)


@pytest.mark.parametrize(
    ("field", "value"),
    [("slot", -1), ("slot", True), ("slot", "3"), ("slot", 2**60), ("commit", "x"), ("commit", "0F" * 16), ("commit", None), ("root", "ab" * 32), ("root", "sha256:" + "AB" * 32),
     ("root_size", None), ("time", "2026-11-22"), ("time", "2026-11-22T09:00:00Z"), ("predecessor", None), ("predecessor", "x"), ("base", 0), ("message", None), ("producer", {}),
     ("inputs", {}), ("inputs", [1]), ("inputs", [{}]), ("inputs", [{"artifact": "a", "digest": "x", "slot": None, "alias": None}]), ("inputs", [{"artifact": "a", "digest": DIGEST, "slot": -1, "alias": None}]),
     ("requires", []), ("requires", {"read": []}), ("requires", {"read": "x", "write": []}), ("report", []), ("report", {"rows": -1}), ("report", {"bytes_new": "1"}), ("session", ""), ("session", "../x"),
     ("inline", None), ("inline", []), ("kind", "root"), ("format", 0), ("format", None)],
)  # fmt: skip
def test_wrong_values(field, value):
    """A field of another type or form is refused as not following the format."""
    with pytest.raises(FormatError):
        decode({**FULL.to_json(), field: value})


def test_newer_format():
    """A newer format is refused as such."""
    with pytest.raises(UnsupportedError):
        decode({**FULL.to_json(), "format": 2})


def test_slot_of_another_place():
    """A version file that was copied to another slot is refused."""
    with pytest.raises(FormatError, match="slot 4"):
        decode(FULL.to_json(), 4)


def test_inline_has_to_be_the_root():
    """An inline root that differs from the digest by anything is corrupt."""
    for change in ({"inline": {"kind": "other"}}, {"root": DIGEST}, {"root_size": FULL.root_size + 1}):
        with pytest.raises(CorruptError):
            decode({**FULL.to_json(), **change})


def test_large_roots_are_not_inline():
    """A root above the bound stands in a file of its own."""
    root = {"text": "x" * MAX_INLINE_BYTES}
    data = encode_document(root)
    document = {**FULL.to_json(), "root": digest_of(data), "root_size": len(data)}
    with pytest.raises(FormatError, match="inline"):
        decode({**document, "inline": root})
    del document["inline"]
    assert decode(document).inline is None


def test_only_slot_0_has_no_predecessor():
    """The first version follows none, and every other follows one."""
    with pytest.raises(FormatError, match="predecessor"):
        decode({**FULL.to_json(), "slot": 0})
    assert decode({**FULL.to_json(), "slot": 0, "predecessor": None}).slot == 0


@given(st.data())
def test_any_bytes(data):
    """Any bytes, and any change of a good document, give a value or an error of this library."""
    good = bytearray(encode_document(FULL.to_json()))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    try:
        found = decode_slot(bytes(good), "x")
    except TableformatError:
        found = None
    assert found is None or isinstance(found, VersionFile | Tombstone)

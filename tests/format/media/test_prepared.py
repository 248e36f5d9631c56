"""Stored cells: what their fields may say, and which contradictions are refused."""

from __future__ import annotations

import pytest

from tableformat.errors import FormatError, TableformatError
from tableformat.format.media import Cell

CHECKSUM = "SHA-256:" + "ab" * 32


def test_a_cell_tells_the_digest_of_its_media() -> None:
    """The digest where the bytes are encoded, else the checksum; none for a reference that was never read. [MEDIA-5]"""
    assert Cell("image", uri="a", checksum=CHECKSUM).media_digest == "sha256:" + "ab" * 32
    encoded = Cell("image", uri="a", size=3, checksum=CHECKSUM, digest="SHA-256:" + "cd" * 32, encoding="zstd")
    assert encoded.media_digest == "sha256:" + "cd" * 32
    assert encoded.media_size is None
    assert Cell("image", uri="s3://a/b", checksum="ETAG:x").media_digest is None
    assert Cell("image", uri="s3://a/b").is_reference
    assert not Cell("image", uri="packs/a.zip").is_reference


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"file": None}, {"file": 3}, {"file": {"uri": None}}, {"file": {"uri": "a", "offset": 3}}, {"file": {"uri": "a", "offset": -1, "size": 2}},
        {"file": {"uri": "a", "size": -1}}, {"file": {"uri": "a"}, "encoding": "gzip"}, {"file": {"uri": "a"}, "encoding": "zstd"},
        {"file": {"inline": b"abc", "size": 4}}, {"file": {"uri": "a", "checksum": "SHA-256:xyz"}}, {"file": {"uri": "a"}, "digest": "SHA-256:" + "AB" * 32},
    ],
)  # fmt: skip
def test_contradictions_are_format_errors(fields: dict[str, object]) -> None:
    """A cell that points nowhere, or whose fields cannot be, raises FormatError. [MEDIA-2] [MEDIA-3]"""
    with pytest.raises(FormatError):
        Cell.from_fields("image", fields)


def test_unknown_kinds_are_refused() -> None:
    """A kind that this library does not know is named in the error."""
    with pytest.raises(TableformatError, match=r"image \| audio"):
        Cell.from_fields("smell", {"file": {"uri": "a"}})

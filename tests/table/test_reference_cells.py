"""Columns of references: what is surely fit is taken whole, everything else is looked at."""

from __future__ import annotations

import pytest

from tableformat.format.media.cells import build_cells
from tableformat.format.media.links import check_url
from tableformat.table.reference_cells import are_plain_references

SHA = "SHA-256:" + "a" * 64


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/a/b.png", "gs://b/x=1/y_2-3.tar.gz", "https://host/a.png", "s3://bucket/a/", "file:///data/a.png"],
)
def test_plain_references_are_taken_whole(url: str) -> None:
    """Whole objects with plain URLs, with any checksum or none; the checks of single URLs let them pass, too. [MEDIA-9]"""
    cells = build_cells("image", 3, uri=[url] * 3, size=[None, 0, 5], checksum=[None, SHA, "ETAG:x"])
    assert are_plain_references(cells)
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "s3://u:p@b/a", "https://h/a?sig=x", "https://h/a#token=x", "s3://b/../a", "s3://b/./a", "s3://b/.hidden", "s3://b/a b", "s3://b/%2e%2e",
        "s3://b/a::file:///x", "packs/ab.zip", "/etc/passwd", "s3://b/a\nb", "s3://b/ä", "s3://b/" + "a" * 5000, "",
    ],
)  # fmt: skip
def test_others_are_looked_at(url: str) -> None:
    """A URL that is not surely fit, one among many, sends the column to the check of each."""
    assert not are_plain_references(build_cells("image", 2, uri=["s3://b/a", url], size=[1, 1]))


def test_cells_that_are_more_than_references() -> None:
    """Ranges, encodings, inline bytes, nulls and broken fields are looked at."""
    for fields in (
        {"offset": [1]}, {"size": [-1]}, {"checksum": ["MD5:x"]}, {"checksum": [SHA[:-1]]}, {"encoding": ["zstd"]}, {"digest": [SHA]},
        {"inline": [b"x"]}, {"valid": [False]}, {"uri": [None]},
    ):  # fmt: skip
        assert not are_plain_references(build_cells("image", 1, **{"uri": ["s3://b/a"], "size": [1], **fields}))

"""Listings of buckets: page by page, in order, with what each service tells, from any place on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import fsspec
import pytest

from tableformat.errors import BackendError, StoreUnavailableError
from tableformat.format.reference import Known
from tableformat.storage.outside.listing import known_of_info, list_below

WRITTEN = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
MICROSECONDS = 1_795_338_000_000_000


class Bucket:
    """The one call of s3fs, or of gcsfs, that a listing makes; `breaks` is the page that fails."""

    def __init__(self, protocol: str, keys: list[str], *, aware: bool = False, breaks: int | None = None) -> None:
        self.protocol, self.version_aware = (protocol, "other"), aware
        self.keys, self.breaks, self.pages = keys, breaks, 0

    def page(self, after: str, size: int) -> tuple[list[str], str | None]:
        self.pages += 1
        if self.pages == self.breaks:
            raise ConnectionResetError("reset")
        rest = [key for key in self.keys if key > after]
        return rest[:size], rest[size - 1] if len(rest) > size else None

    def call_s3(self, method: str, *, Bucket: str, Prefix: str, MaxKeys: int, **options: str) -> dict[str, Any]:
        after = options.get("ContinuationToken") or options.get("KeyMarker") or options.get("StartAfter") or ""
        keys, token = self.page(after, 3)
        items = [{"Key": key, "Size": 5, "ETag": f'"{len(key):032x}"', "LastModified": WRITTEN} for key in keys]
        if method == "list_object_versions":
            versions = [{**item, "VersionId": "v2", "IsLatest": True} for item in items]
            versions += [{**item, "VersionId": "v1", "IsLatest": False} for item in items]
            return {"Versions": versions, "IsTruncated": token is not None, "NextKeyMarker": token}
        return {"Contents": items, "IsTruncated": token is not None, "NextContinuationToken": token}

    def call(self, method: str, path: str, bucket: str, **options: Any) -> dict[str, Any]:
        after = options.get("pageToken") or (options.get("startOffset", "")[:-1])
        keys, token = self.page(after, 3)
        items = [
            {"name": key, "size": "5", "etag": "CAE=", "generation": "17", "updated": "2026-11-22T09:00:00.000Z"}
            for key in keys
        ]
        return {"items": items, **({"nextPageToken": token} if token else {})}


KEYS = [f"images/{number:02d}.png" for number in range(8)]


@pytest.mark.parametrize(
    ("fs", "known"),
    [
        (Bucket("s3", ["images/", *KEYS]), Known(5, f"{13:032x}", None, MICROSECONDS)),
        (Bucket("s3", ["images/", *KEYS], aware=True), Known(5, f"{13:032x}", "v2", MICROSECONDS)),
        (Bucket("gs", ["images/", *KEYS]), Known(5, "CAE=", "17", MICROSECONDS)),
    ],
)
def test_buckets_are_listed_page_by_page(fs: Bucket, known: Known) -> None:
    """All that lies below comes in order with what the listing tells, placeholders of folders do not. [REF-16]"""
    found = list(list_below(fs, "bucket/images", "s3://bucket/images/"))
    assert [one.path for one in found] == [key[7:] for key in KEYS]
    assert found[0].known == known
    assert [one.path for one in list_below(fs, "bucket/images", "", after="04.png")] == ["05.png", "06.png", "07.png"]


def test_an_interrupted_listing_is_an_error() -> None:
    """A page that fails ends the listing with an error that says so: it never looks like its end. [REF-17]"""
    found = []
    with pytest.raises(StoreUnavailableError):
        found.extend(
            one.path for one in list_below(Bucket("s3", KEYS, breaks=2), "bucket/images", "s3://bucket/images/")
        )
    assert found == ["00.png", "01.png", "02.png"]


def test_a_listing_out_of_order_is_an_error() -> None:
    """What is not in order cannot be found again, so it is not taken. [REF-16]"""
    with pytest.raises(BackendError, match="in order"):
        list(list_below(Bucket("s3", ["images/02.png", "images/01.png"]), "bucket/images", "s3://bucket/images/"))


def test_other_file_systems_are_found() -> None:
    """File systems without pages are listed whole and sorted."""
    memory = fsspec.filesystem("memory")
    for name in ("b", "a/c", "a-b"):
        memory.pipe_file(f"/listing/{name}", b"12345")
    try:
        found = list(list_below(memory, "/listing", "memory://listing"))
        assert [one.path for one in found] == ["a-b", "a/c", "b"]
        assert found[0].known.size == 5
        assert found[0].known.modified is not None
    finally:
        memory.rm("/listing", recursive=True)


def test_words_of_clients() -> None:
    """Every client has words of its own for the same facts."""
    assert known_of_info({"size": 3, "ETag": '"x"', "VersionId": "null"}) == Known(3, "x")
    assert known_of_info({"size": 3.0, "etag": 'W/"x"', "mtime": 1.5}) == Known(3, "W/x", None, 1_500_000)
    assert known_of_info({"size": None, "modified": True, "last_modified": "no time"}) == Known()
    assert known_of_info({"created": datetime(1970, 1, 1, 0, 0, 1)}) == Known(modified=1_000_000)  # noqa: DTZ001 - as fsspec gives it

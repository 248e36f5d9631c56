"""References to one version of an object, on servers that keep versions."""

from __future__ import annotations

import hashlib
from typing import Any

import fsspec
import numpy as np
import pytest

import tableformat
from tableformat.errors import NotFoundError, ReferenceChangedError
from tableformat.format.media.png import encode_png
from tableformat.format.reference import Known
from tableformat.storage.backend import open_file_system
from tableformat.storage.outside.pinned import pinned_info, version_option
from tableformat.storage.outside.reader import Outside, Wanted
from tests.backend.conftest import gcs, moto, rgw  # noqa: F401 - fixtures

Bucket = tuple[Any, str, dict[str, Any]]
OLD, NEW = (encode_png(np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)) for number in (1, 2))


@pytest.fixture(params=["rgw", "moto", "gcs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A file system, the URL of a folder of it that keeps versions, and its options."""
    server = request.getfixturevalue(request.param)
    options = {**server.options, **({"version_aware": True} if server.scheme == "s3" else {})}
    name = f"versions-{request.param}" if server.scheme == "s3" else server.bucket
    fs, _ = open_file_system(f"{server.scheme}://{name}", options)
    if server.scheme == "s3" and not fs.exists(name):
        fs.call_s3("create_bucket", Bucket=name)
        fs.call_s3("put_bucket_versioning", Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return fs, f"{server.scheme}://{name}/{request.node.name.partition('[')[0]}", options


def put(fs: Any, url: str, data: bytes) -> None:
    fs.pipe_file(url, data)
    fs.invalidate_cache()


def outside(bucket: Bucket) -> Outside:
    _, url, options = bucket
    return Outside("/store", [url], options=options)


def test_a_version_is_read_when_it_is_no_longer_the_newest(bucket: Bucket) -> None:
    """Written over or deleted, an object is read as it was when it was referred to, whole, in ranges, and as a file. [REF-24]"""
    fs, url, _ = bucket
    path, door = f"{url}/a.png", outside(bucket)
    put(fs, path, OLD)
    known = door.info(path)
    assert known.version is not None
    wanted = Wanted(path, None, len(OLD), known)
    assert door.read(wanted) == OLD
    put(fs, path, NEW)
    for is_there in (True, False):
        assert door.read(wanted) == OLD
        assert door.read(Wanted(path, 10, 20, Known(version=known.version))) == OLD[10:30]
        with door.open(path, known) as file:
            assert file.read(30) == OLD[:30]
            assert (file.seek(-5, 2), file.read()) == (len(OLD) - 5, OLD[-5:])
        if is_there:
            fs.rm_file(path)
            fs.invalidate_cache()


def test_a_digest_leads_to_its_version(bucket: Bucket) -> None:
    """Where the digest is known nothing is asked first, and a version that is no longer the newest is found all the same. [REF-24]"""
    fs, url, _ = bucket
    path, door = f"{url}/a.png", outside(bucket)
    put(fs, path, OLD)
    known = door.info(path)
    put(fs, path, NEW)
    digest = hashlib.sha256(OLD).digest()
    assert door.read(Wanted(path, None, len(OLD), known, digest)) == OLD
    with pytest.raises(ReferenceChangedError, match="sha256"):
        door.read(Wanted(path, None, len(NEW), Known(len(NEW)), digest))


def test_a_version_that_is_gone(bucket: Bucket) -> None:
    """A version that the bucket no longer has, or never had, is a change, told with both sides; gone with its object it is not found. [REF-10]"""
    fs, url, _ = bucket
    path, door = f"{url}/a.png", outside(bucket)
    put(fs, path, OLD)
    known = door.info(path)
    for version in ("17", "no such version", "v" * 32):
        false = Known(len(OLD), None, version)
        assert pinned_info(fs, path.partition("://")[2], version, path) is None
        with pytest.raises(ReferenceChangedError, match=f"version {version}"):
            door.read(Wanted(path, None, len(OLD), false))
    put(fs, path, NEW)
    if "version_id" in version_option(fs, known.version or ""):
        bucket_name, _, key = path.removeprefix("s3://").partition("/")
        fs.call_s3("delete_object", Bucket=bucket_name, Key=key, VersionId=known.version)
        with pytest.raises(ReferenceChangedError, match=f"version {known.version}"):
            door.read(Wanted(path, None, len(OLD), known))
    with pytest.raises(NotFoundError):
        door.read(Wanted(f"{url}/none.png", None, 3, known))


def test_a_table_of_versions(bucket: Bucket, tmp_path: Any) -> None:
    """A table of references to a bucket that keeps versions goes on showing what it was made of; listings go on behind any path."""
    fs, url, options = bucket
    for number in range(3):
        put(fs, f"{url}/{number}.png", OLD)
    store = tableformat.open_store(tmp_path / "store", storage_options=options)
    with store.draft("a") as draft:
        assert draft.add_references("t", url, progress=False) == 3
    put(fs, f"{url}/1.png", NEW)
    assert [one.path for one in outside(bucket).list(url, "0.png")] == ["1.png", "2.png"]
    assert [row["image"].bytes() for row in store["a"]["t"].rows()] == [OLD] * 3
    drift = store.verify_references("a")
    assert drift.counts == {"ok": 2, "changed": 1, "missing": 0, "unknown": 0}
    with store.draft("a", base="latest") as draft:
        assert draft.own("t", "image", progress=False).owned == 3


def test_file_systems_without_versions() -> None:
    """Where a file system has no versions, none is asked for."""
    fs = fsspec.filesystem("memory")
    assert version_option(fs, "1") == {}
    assert pinned_info(fs, "/a", "1", "memory://a") is None

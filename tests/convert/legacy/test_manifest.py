from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
import xxhash

from tableformat.convert.legacy.manifest import Manifest, parse_ref, read_manifest
from tableformat.errors import FormatError, Problem

MD5 = base64.b64encode(hashlib.md5(b"abc", usedforsecurity=False).digest()).decode()
XXH = base64.b64encode(xxhash.xxh3_128_digest(b"abc")).decode()


def read(contents: Any, version: Any = 1) -> tuple[Manifest, list[Problem]]:
    return read_manifest(json.dumps({"version": version, "contents": contents}).encode(), "m.json")


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"digest": MD5}, "md5"), ({"digest": XXH, "extra": {"alg": "XXH128"}}, "xxh128"), ({"digest": "?"}, "unknown"),
        ({"digest": "e", "ref": "s3://b/k", "extra": {"etag": "e"}}, "etag"), ({"digest": "http://x/y", "ref": "http://x/y"}, "url"),
        ({"digest": MD5, "ref": "file:///x"}, "md5"), ({"digest": MD5, "ref": "wandb-artifact://41/x"}, "md5"),
        ({"digest": "g", "ref": "gs://b/k"}, "etag"), ({"digest": MD5, "ref": "gs://b/k", "extra": {"etag": "e"}}, "md5"),
    ],
)  # fmt: skip
def test_what_a_digest_is(item: dict[str, Any], kind: str) -> None:
    """The kind of a digest follows from the scheme of the reference and what else is told. [LEGACY-6]"""
    assert read({"x": item})[0].entries["x"].digest_kind == kind


def test_bytes_are_compared() -> None:
    """A size or digest that differs is a problem; a reference without a size is not. [LEGACY-14]"""
    for digest, extra in ((MD5, {}), (XXH, {"alg": "XXH128"})):
        entry = read({"x": {"digest": digest, "size": 3, "extra": extra}})[0].entries["x"]
        assert entry.problem_of(b"abc") is None
        assert "another" in (entry.problem_of(b"abd") or "")
        assert "bytes where" in (entry.problem_of(b"ab") or "")
    assert (
        read({"x": {"digest": MD5, "size": 0, "ref": "wandb-artifact://41/x"}})[0].entries["x"].problem_of(b"abc")
        is None
    )


def test_entries_that_are_none() -> None:
    """Entries without a digest are left out with a word, sizes that are none are not taken, order is kept."""
    manifest, problems = read({"b": {"digest": MD5, "size": -1}, "c": [], "a": {"digest": MD5, "size": 1e3}, "d": {}})
    assert list(manifest.entries) == ["b", "a"]
    assert [entry.size for entry in manifest.entries.values()] == [None, None]
    assert len(problems) == 2
    assert len(read({}, version=2)[1]) == 1


@pytest.mark.parametrize("data", [b"", b"[]", b'{"contents": []}', b"{"])
def test_what_is_no_manifest(data: bytes) -> None:
    """Other documents are refused."""
    with pytest.raises(FormatError):
        read_manifest(data, "m.json")


def test_references_to_artifacts() -> None:
    """Both schemes name an id and a path; other URLs name no artifact."""
    for scheme in ("wandb-artifact", "wandb-client-artifact"):
        found = parse_ref(f"{scheme}://41ab/a/b c.png")
        assert found is not None
        assert (found.artifact, found.path) == ("41ab", "a/b c.png")
    assert parse_ref("wandb-artifact://41ab") is None
    assert parse_ref("s3://b/k") is None
    assert parse_ref(None) is None

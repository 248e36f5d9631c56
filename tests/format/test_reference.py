"""References as values: where URLs may lead, what is known of objects, and when that tells of a change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import InvalidInputError
from tableformat.format.reference import (
    Known,
    checksum_of,
    compare,
    is_allowed,
    known_of_cell,
    moved_url,
    normal_prefixes,
    refusal,
    shown,
    suggested_prefix,
)

REMOTE = "s3://bucket/store"


@pytest.mark.parametrize(
    ("url", "root", "word"),
    [
        ("s3://a/x::file:///etc/passwd", REMOTE, "chain"),
        ("simplecache::s3://a/x", REMOTE, "chain"),
        ("s3://a/x%3A%3Afile:///etc/passwd", REMOTE, "chain"),
        ("simplecache://a/x", REMOTE, "opens something else"),
        ("zip://a/x", REMOTE, "opens something else"),
        ("reference://a/x", "/store", "opens something else"),
        ("file:///etc/passwd", REMOTE, "not on it"),
        ("FILE:///etc/passwd", REMOTE, "not on it"),
        ("local:///etc/passwd", REMOTE, "not on it"),
        ("file://host/etc/passwd", "/store", "another machine"),
        ("/etc/passwd", "/store", "no absolute URL"),
        ("s3://a/../b", REMOTE, "segment"),
        ("s3://a/%2e%2e/b", REMOTE, "segment"),
        ("s3://a/%252e%252e/b", REMOTE, "segment"),
        ("s3://a/x%2f..%2fb", REMOTE, "segment"),
        ("s3://a/%25252525252e/b", REMOTE, "over and over"),
        ("s3://a\\b/c", REMOTE, "backslash"),
        ("s3://a/b\nc", REMOTE, "control"),
        ("https://user:secret@host/x", REMOTE, "user-info"),
        ("https://[1/x", REMOTE, "no host"),
    ],
)
def test_what_nothing_allows(url: str, root: str, word: str) -> None:
    """Chains, wrappers, files out of a remote store and crooked URLs are refused whatever is allowed. [REF-2] [REF-3] [REF-4]"""
    everything = (
        "s3://",
        "s3://a/",
        "file:///",
        "local://",
        "https://",
        "simplecache://",
        "zip://",
        "reference://",
        url,
    )
    found = refusal(url, root, everything)
    assert found is not None
    assert word in found[0]
    assert "nothing allows it" in found[1]
    assert "secret" not in found[0] + found[1]


def test_the_store_itself_is_allowed() -> None:
    """What lies below the root needs no permission, and what only begins like it does. [REF-1]"""
    assert refusal("s3://bucket/store/data/x", REMOTE, ()) is None
    assert refusal("file:///data/store/x", "/data/store", ()) is None
    assert refusal("s3://bucket/storehouse/x", REMOTE, ()) is not None
    assert refusal("file:///data/storehouse", "/data/store", ()) is not None


def test_a_refusal_names_the_argument() -> None:
    """It gives the shortest prefix that names one place, as the argument that allows it. [REF-1]"""
    _, todo = refusal("s3://images/cats/1.png", REMOTE, ("s3://other/",)) or ("", "")
    assert todo == "if you trust it, open with allow=['s3://images/']"
    assert refusal("s3://images/cats/1.png", REMOTE, ("s3://images/",)) is None
    assert suggested_prefix("file:///data/a/b.png") == "file:///data/a/"


@given(st.text(alphabet="ab/.%2eE5c:@\\s3", max_size=20), st.sampled_from(["s3://a/b", "https://h/x", "file:///d"]))
def test_nothing_escapes_a_prefix(tail: str, prefix: str) -> None:
    """Whatever is written behind a prefix, a URL that is allowed has no step upwards and no other host."""
    url = prefix + tail
    if is_allowed(url, [prefix]):
        assert url == prefix or url[len(prefix)] in "/?"
        assert ".." not in url.split("?")[0].split("/")
        assert "\\" not in url
        assert "::" not in url


@pytest.mark.parametrize(
    "prefix", ["https://user:hunter2@host/", "s3://a/?X-Amz-Signature=hunter2", "relative/path", "s3://a/../b"]
)
def test_prefixes_are_checked_at_open(prefix: str) -> None:
    """Prefixes are shown and pickled, so that secrets and crooked ones are refused, and secrets not repeated. [REF-5]"""
    with pytest.raises(InvalidInputError) as caught:
        normal_prefixes([prefix], "opening a store")
    assert "hunter2" not in str(caught.value)


def test_paths_are_prefixes() -> None:
    """An absolute path is the prefix of a local folder, and a scheme one of all of its kind."""
    assert normal_prefixes(["/data/images/", "s3://", "s3://a/b"], "") == ("file:///data/images/", "s3://", "s3://a/b")


def test_moved_prefixes() -> None:
    """The longest old prefix that covers a URL is replaced, segment by segment. [REF-6]"""
    moves = [("s3://old/", "s3://new/x/"), ("s3://old/deep", "gs://far")]
    assert moved_url("s3://old/a.png", moves) == "s3://new/x/a.png"
    assert moved_url("s3://old/deep/a.png", moves) == "gs://far/a.png"
    assert moved_url("s3://old/deeper/a.png", moves) == "s3://new/x/deeper/a.png"
    assert moved_url("s3://older/a.png", moves) == "s3://older/a.png"


@pytest.mark.parametrize(
    ("expected", "found", "state"),
    [
        (Known(3, "a"), Known(3, "a", modified=9), "ok"),
        (Known(3, "a"), Known(4, "a"), "changed"),
        (Known(3, "a"), Known(3, "b"), "changed"),
        (Known(3, "W/a"), Known(3, "a"), "ok"),
        (Known(3, "a", "1"), Known(3, "b", "1"), "ok"),
        (Known(3, "a", "1"), Known(3, "a", "2"), "ok"),
        (Known(3, "a", "1"), Known(3, "b", "2"), "changed"),
        (Known(3, None, None, 5), Known(3, None, None, 5), "ok"),
        (Known(3, None, None, 5), Known(3, None, None, 6), "changed"),
        (Known(3), Known(3, "a"), "unknown"),
        (Known(), Known(3, "a"), "unknown"),
        (Known(digest="sha256:a"), Known(digest="sha256:b"), "changed"),
        (Known(3, digest="sha256:a"), Known(3, "x", digest="sha256:a"), "ok"),
    ],
)  # fmt: skip
def test_what_tells_of_a_change(expected: Known, found: Known, state: str) -> None:
    """The strongest facts that both sides tell decide; sizes only disprove. [REF-9]"""
    assert compare(expected, found) == state


def test_what_tells_of_a_moved_object() -> None:
    """Tags, versions and times of a copy are new: equal ones prove, others prove nothing; sizes and digests do. [REF-6]"""
    assert compare(Known(3, "a", "1", 5), Known(3, "a", "2", 6), moved=True) == "ok"
    assert compare(Known(3, "a", "1", 5), Known(3, "b", "2", 6), moved=True) == "unknown"
    assert compare(Known(3, "a"), Known(4, "a"), moved=True) == "changed"


def test_cells_keep_what_is_known() -> None:
    """Digest, etag or time of writing go into the checksum of a cell and come back out of it."""
    for known in (
        Known(3, "abc", "v1"),
        Known(3, modified=1_700_000_000_000_001),
        Known(3, digest="sha256:" + "a" * 64),
    ):
        assert known_of_cell(checksum_of(known), known.version, known.size) == known
    assert checksum_of(Known(3)) is None
    assert known_of_cell('ETAG:"abc"', None, 10, 5) == Known(None, "abc")


def test_urls_in_messages_have_no_secrets() -> None:
    """User-info, queries and control characters are not shown. [REF-5]"""
    assert shown("https://u:secret@host/a?token=secret#secret") == "https://…@host/a"
    assert "\x1b" not in shown("s3://a/\x1b[2J")

"""Content names."""

import hashlib

import pytest

from tableformat.digest import check_digest, digest_of, hex_of, is_digest, is_hex, tree_digest
from tableformat.errors import FormatError


def test_digests_are_sha256():
    """A digest is the SHA-256 of the bytes, with its prefix in documents and without in paths."""
    expected = hashlib.sha256(b"abc").hexdigest()
    assert (hex_of(b"abc"), digest_of(memoryview(b"abc"))) == (expected, f"sha256:{expected}")


def test_a_digest_of_digests_tells_its_parts_apart():
    """The label, the number of the parts and their edges count. [DIGEST-1]"""
    assert tree_digest("t", ["a", "b"]) == digest_of(b"t\na\nb\n")
    assert len({tree_digest("t", parts) for parts in (["a", "b"], ["ab"], ["b", "a"], [], [""])}) == 5
    assert tree_digest("t", ["a"]) != tree_digest("u", ["a"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "md5:" + "a" * 64,
        "a" * 64,
        None,
        3,
        "sha256:" + "a" * 64 + "\n",
    ],
)
def test_what_is_no_digest_is_refused(text):
    """Only `sha256:` and 64 lower-case hex digits are a digest; anything else is told with what was being done."""
    assert not is_digest(text)
    with pytest.raises(FormatError, match="reading a root"):
        check_digest(text, "reading a root")


def test_digests_are_told():
    """A digest is given back by its check; its stem is hex."""
    digest = digest_of(b"")
    assert check_digest(digest, "reading") == digest
    assert is_hex(digest.removeprefix("sha256:"))

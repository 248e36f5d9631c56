"""URLs of references: absolute, without secrets, without steps upwards."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import InvalidInputError
from tableformat.format.media.links import check_url, is_url


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a/b.png", "gs://bucket/a b.png".replace(" ", "%20"), "https://host/a.png?versionId=abc", "file:///data/a.png",
        "https://host:8080/a.png#part", "memory://x/y", "https://host/a.png?page_size=3&code=de",
    ],
)  # fmt: skip
def test_plain_urls_are_kept(url: str) -> None:
    """A URL without secrets is stored letter by letter."""
    assert check_url(url) == url


def test_absolute_paths_become_file_urls() -> None:
    """An absolute local path becomes a file URL."""
    assert check_url("/data/a b.png") == "file:///data/a%20b.png"


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/a.png", "https://hunter2@host/a", "s3://key:hunter2@bucket/a", "https://h/a?X-Amz-Signature=hunter2",
        "https://h/a?x=1&X-Goog-Signature=hunter2", "https://h/a?sv=1&sig=hunter2", "https://h/a?AWSAccessKeyId=hunter2", "https://h/a?token=hunter2",
        "https://h/a?access_token=hunter2", "https://h/a#access_token=hunter2", "https://h/a?X-Amz-Security-Token=hunter2", "https://h/a?a=1;SIG=hunter2",
        "https://h/a?%73ig=hunter2", "https://h/a?x-amz-credential=hunter2", "https://h/a?refresh_token=hunter2",
    ],
)  # fmt: skip
def test_secrets_are_refused_and_not_repeated(url: str) -> None:
    """User-info and signatures never reach a cell, nor the message. [MEDIA-9]"""
    with pytest.raises(InvalidInputError) as caught:
        check_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "a.png",
        "./a.png",
        "s3://b/../c",
        "s3://b/%2e%2E/c",
        "s3://b/./c",
        "https://b/a c",
        "s3://b/a\n",
        "s3://b/" + "x" * 5000,
        b"s3://b/c",
    ],
)
def test_unsafe_urls_are_refused(url: str) -> None:
    """Relative paths, dot segments, white space and endless URLs raise. [MEDIA-9]"""
    with pytest.raises(InvalidInputError):
        check_url(url)


@given(st.text(max_size=60))
def test_any_text_is_kept_or_refused(text: str) -> None:
    """Any text gives a URL or InvalidInputError."""
    with contextlib.suppress(InvalidInputError):
        assert is_url(check_url("s3://bucket/" + text))


def test_drives_are_no_schemes() -> None:
    """One letter and a colon begin a Windows path."""
    assert not is_url("C://data")
    assert is_url("gs://data")

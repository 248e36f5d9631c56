"""Which URLs may be written into a cell: absolute, without secrets, without steps that leave their folder.

A version is immutable and copied around; a password or a signature in one of its cells could never be taken back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from tableformat.errors import InvalidInputError, message

__all__ = ["MAX_URL_CHARACTERS", "check_url", "is_url"]

MAX_URL_CHARACTERS: Final = 4096
"""Longest URL that is stored. S3 keys end at 1,024 bytes, which percent-encoding triples; servers refuse above 8,192."""

# Two letters at least, so that the drive of a Windows path is no scheme.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_CONTROL_BUT_SPACE = re.compile(r"[\x00-\x1f\x7f]|:// | \Z")
_ESCAPED: Final = frozenset({"http", "https", "file"})
# Their URLs are percent-encoded; those of buckets name a key letter by letter, and keys have spaces.
_SECRETS: Final = (
    # Compared in lower case, as the whole name of a query argument.
    "accesskey",
    "access_key",
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "awsaccesskeyid",
    "credential",
    "hmac",
    "jwt",
    "ossaccesskeyid",
    "password",
    "passwd",
    "secret",
    "sig",
    "signature",
    "token",
)
_SECRET_ENDS: Final = ("-signature", "-credential", "-security-token", "_token", "-token")


def is_url(text: str) -> bool:
    """Whether `text` starts with a scheme of two or more characters and `://`; all else is a local path."""
    return _SCHEME.match(text) is not None


def check_url(url: str | os.PathLike[str], doing: str = "referring to a URL") -> str:
    """The URL to store for `url`; an absolute local path becomes a `file://` URL.

    Raises `InvalidInputError` for relative paths, white space or control characters, user-info (`user:password@`), a
    query that carries a signature, key or token, `.` or `..` segments, and more than `MAX_URL_CHARACTERS`. The message
    never repeats the secret.
    """
    text = os.fspath(url)
    if not isinstance(text, str):
        raise InvalidInputError(message(doing, expected="a URL as text", got=type(text).__name__))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInputError(message(doing, expected="a URL that UTF-8 can hold", got="a lone surrogate")) from error
    if not is_url(text):
        if not os.path.isabs(text):
            raise InvalidInputError(
                message(doing, path=text[:200], expected="a URL or an absolute path", got="a relative path")
            )
        from pathlib import Path

        text = Path(text).as_uri()
    if len(text) > MAX_URL_CHARACTERS:
        raise InvalidInputError(
            message(doing, path=text[:60] + "…", expected=f"at most {MAX_URL_CHARACTERS} characters")
        )
    white = _CONTROL if text.partition("://")[0].lower() in _ESCAPED else _CONTROL_BUT_SPACE
    if white.search(text) is not None:
        raise InvalidInputError(
            message(doing, path=repr(text[:200]), got="white space or a control character", todo="percent-encode it")
        )
    try:
        parts = urlsplit(text)
        has_user = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise InvalidInputError(message(doing, got=f"not a URL: {error}")) from error
    bare = f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"
    if has_user or "@" in parts.netloc:
        raise InvalidInputError(
            message(doing, path=bare, got="a user name or password inside the URL",
                    todo="leave it out and give it as storage_options when reading")
        )  # fmt: skip
    for name in (*_names(parts.query), *_names(parts.fragment)):
        if name in _SECRETS or name.endswith(_SECRET_ENDS):
            raise InvalidInputError(
                message(doing, path=bare, got=f"the query argument {name!r}, which is a secret",
                        todo="refer to the object itself (s3://, gs://, …), or own the bytes instead of referring")
            )  # fmt: skip
    if any(unquote(segment) in {".", ".."} for segment in parts.path.split("/")):
        raise InvalidInputError(message(doing, path=bare, got="a '.' or '..' segment", todo="write the path it means"))
    return text


def _names(query: str) -> Iterator[str]:
    for pair in query.replace(";", "&").split("&"):
        yield unquote(pair.split("=", 1)[0]).lower()

"""Errors of the operating system and of clients become those of the library."""

import errno

import pytest

from tableformat.errors import (
    BackendError,
    CorruptError,
    NotFoundError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from tableformat.storage.faults import fault, http_status, says_exists, scrub


class ClientError(Exception):
    """As botocore has it."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}


class HttpError(Exception):
    """As gcsfs has it."""

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class NoCredentialsError(Exception):
    """As botocore has it."""


class EndpointConnectionError(Exception):
    """As botocore has it."""


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("x"), NotFoundError), (OSError(errno.ENOTDIR, "x"), NotFoundError), (HttpError(404), NotFoundError),
        (PermissionError("x"), StorePermissionError), (OSError(errno.EROFS, "x"), StorePermissionError), (ClientError(403), StorePermissionError),
        (HttpError(401), StorePermissionError), (NoCredentialsError(), StorePermissionError),
        (OSError(errno.ENOSPC, "x"), StoreFullError), (OSError(errno.EDQUOT, "x"), StoreFullError), (HttpError(507), StoreFullError),
        (OSError(errno.EMFILE, "x"), StoreUnavailableError), (TimeoutError(), StoreUnavailableError), (ConnectionResetError(), StoreUnavailableError),
        (ClientError(503), StoreUnavailableError), (ClientError(409), StoreUnavailableError), (HttpError(429), StoreUnavailableError),
        (EndpointConnectionError(), StoreUnavailableError), (caused(OSError(errno.EINVAL, "x"), ClientError(500)), StoreUnavailableError),
        (OSError(errno.EIO, "x"), BackendError), (ValueError("x"), BackendError), (HttpError(400), BackendError),
    ],
)  # fmt: skip
def test_kinds(error, kind):
    """Each failure becomes the error that tells the caller what to do, naming what was done to which path."""
    found = fault(error, "reading", "s3://b/k", (0, 5))
    assert type(found) is kind
    assert str(found).startswith("reading · s3://b/k bytes 0–5")


def test_own_errors_pass():
    """An error of this library is not wrapped again."""
    error = CorruptError("x")
    assert fault(error, "reading", "p") is error


@pytest.mark.parametrize(
    ("error", "exists"),
    [(FileExistsError(), True), (ClientError(412), True), (caused(OSError(errno.EINVAL, "x"), ClientError(412)), True), (caused(FileExistsError(), ClientError(412)), True),
     (HttpError(412), True), (OSError(errno.EINVAL, "x"), False), (ClientError(409), False), (PermissionError(), False), (caused(OSError(errno.EINVAL, "x"), ClientError(400)), False)],
)  # fmt: skip
def test_answers_to_a_conditional_create(error, exists):
    """That an object exists is known by the status 412 wherever it hides, not by the class alone."""
    assert says_exists(error) is exists


def test_status_is_found_along_the_causes():
    """The first status in the chain counts; a chain without one, or a loop, has none."""
    assert http_status(caused(OSError(), caused(OSError(), HttpError(418)))) == 418
    loop = OSError()
    loop.__context__ = caused(ValueError(), loop)
    assert http_status(loop) is None


@pytest.mark.parametrize(
    "text",
    [
        "GET https://b.s3.amazonaws.com/k?X-Amz-Signature=secret failed",
        "ftp://user:secret@host/x",
        "https://secret@host/a?b=secret&c=secret'",
    ],
)
def test_credentials_are_scrubbed(text):
    """Neither user-info nor the query of a URL stands in a message; host and path do."""
    assert "secret" not in scrub(text)
    assert "secret" not in str(fault(OSError(text), "reading", "p"))
    assert "://" in scrub(text)

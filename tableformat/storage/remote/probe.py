"""Whether a place keeps two writers apart: a condition is proven, not believed.

Some wrappers and servers take a conditional creation and overwrite all the same, without a word.
"""

from __future__ import annotations

import secrets

from tableformat.digest import Bytes
from tableformat.errors import BackendError, TableformatError, message
from tableformat.storage.interface import Backend

__all__ = ["check_known", "prove_create", "prove_second"]

_DOING = "checking that two writers can be kept apart"
_TODO = "write from one place at a time to another kind of store, and copy it here"


def prove_create(backend: Backend) -> None:
    """Create a random object twice; raises `BackendError` unless the second time is refused and changes nothing. Leaves nothing."""
    path, first = f"sessions/probe-{secrets.token_hex(16)}/probe", secrets.token_hex(16).encode()
    try:
        # The answer to the first may be lost and the object there: what counts is that the second changes nothing.
        backend.create(path, first)
        prove_second(backend, path, first)
    finally:
        try:
            backend.delete(path)
        except TableformatError:
            pass  # a few bytes in `sessions/`, which the collector finds


def check_known(backend: Backend, *, known: bool, scheme: str) -> None:
    """Raise `BackendError` unless the client's `create` is `known` to be one conditional request: one that looks first and then
    writes would pass what is tried here."""
    if not known:
        raise BackendError(
            message(_DOING, path=backend.root, expected="a file system that creates only what is absent, such as s3 or gs",
                    got=f"{scheme}, of which this is not known", todo=f"{_TODO}, or open it with trust_create=True")
        )  # fmt: skip


def prove_second(backend: Backend, path: str, first: Bytes) -> None:
    """Create an object that was just created with the bytes `first`; raises `BackendError` unless that is refused and changes nothing."""
    refused = not backend.create(path, secrets.token_hex(16).encode())
    kept = backend.read(path) == first
    if not (refused and kept):
        raise BackendError(
            message(_DOING, path=backend.root, expected="the second creation of one object to be refused",
                    got="it succeeded" if not refused else "the object was replaced all the same", todo=_TODO)
        )  # fmt: skip

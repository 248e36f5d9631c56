"""Whether a place keeps two writers apart: a condition is proven, not believed.

Some wrappers and servers take a conditional creation and overwrite all the same, without a word.
"""

from __future__ import annotations

import secrets

from tableformat.errors import BackendError, TableformatError, message
from tableformat.storage.interface import Backend

__all__ = ["prove_create"]

_DOING = "checking that two writers can be kept apart"
_TODO = "write from one place at a time to another kind of store, and copy it here"


def prove_create(backend: Backend, *, known: bool, scheme: str) -> None:
    """Create a random object twice; raises `BackendError` unless the second time is refused and changes nothing.

    `known` says whether the client's `create` is one conditional request: one that looks first and then writes would pass.
    """
    if not known:
        raise BackendError(
            message(_DOING, path=backend.root, expected="a file system that creates only what is absent, such as s3 or gs",
                    got=f"{scheme}, of which this is not known", todo=f"{_TODO}, or open it with trust_create=True")
        )  # fmt: skip
    path = f"sessions/probe-{secrets.token_hex(16)}/probe"
    first, second = (secrets.token_hex(16).encode() for _ in range(2))
    try:
        # The answer to the first may be lost and the object there: what counts is that the second changes nothing.
        backend.create(path, first)
        refused = not backend.create(path, second)
        kept = backend.read(path) == first
    finally:
        try:
            backend.delete(path)
        except TableformatError:
            pass  # a few bytes in `sessions/`, which the collector finds
    if not (refused and kept):
        raise BackendError(
            message(_DOING, path=backend.root, expected="the second creation of one object to be refused",
                    got="it succeeded" if not refused else "the object was replaced all the same", todo=_TODO)
        )  # fmt: skip

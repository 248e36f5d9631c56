"""Sessions: what a writer leaves in the store while it writes, so that a collection knows that it is there.

The session is created before the first look-up of a blob and before the first byte of data; it commits within
`DEADLINE_S` of that, or not at all: what it counted on may be collected later (spec/versions.md, "Sessions").
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from tableformat.document import encode_document
from tableformat.errors import TableformatError, UnsupportedError, UsageError, message
from tableformat.format.documents import utc_text
from tableformat.storage.interface import Backend

__all__ = ["DEADLINE_S", "WriterSession"]

DEADLINE_S: Final = 7 * 24 * 3600
"""Seconds from the beginning of a session within which it commits. A collection sweeps no sooner after its plan than this."""
_FIRST_PLAN: Final = "gc/00000000000000000000/plan.json"


class WriterSession:
    """One writer's session. `begin` is called as often as one likes; only the first call writes, after `ensure`."""

    def __init__(self, backend: Backend, artifact: str, ensure: Callable[[], object] = lambda: None) -> None:
        self._backend = backend
        self._ensure = ensure
        self._artifact = artifact
        self.id = uuid.uuid4().hex
        """32 hex digits."""
        self._began: float | None = None

    @property
    def path(self) -> str:
        """Where its object lies."""
        return f"sessions/{self.id}/begin.json"

    @property
    def has_begun(self) -> bool:
        """Whether its object was written."""
        return self._began is not None

    def begin(self) -> None:
        """Create the session's object, then look for collections: this version of the library cannot write beside one."""
        if self._began is not None:
            return
        self._ensure()
        began = time.monotonic()
        document = {
            "artifact": self._artifact, "format": 1, "kind": "session", "session": self.id, "time": utc_text(datetime.now(UTC)),
        }  # fmt: skip
        self._backend.put(self.path, encode_document(document))
        if self._backend.read_or_none(_FIRST_PLAN) is not None:
            raise UnsupportedError(
                message("beginning to write", path=f"{self._backend.root}/{_FIRST_PLAN}", expected="a store that was never collected",
                        got="a plan of a collection", todo="upgrade tableformat")
            )  # fmt: skip
        self._began = began

    def check_deadline(self) -> None:
        """Raise `UsageError` where the session is too old to commit."""
        if self._began is not None and time.monotonic() - self._began > DEADLINE_S:
            raise UsageError(
                message("committing", expected=f"a session younger than {DEADLINE_S // 86400} days", got="an older one",
                        todo="draft again: blobs that it counted on may have been collected")
            )  # fmt: skip

    def end(self) -> None:
        """Remove the session's object, after a commit or a discard; what cannot be removed is left to a collection."""
        if self._began is not None:
            self._began = None
            try:
                self._backend.delete(self.path)
            except TableformatError:
                pass  # a session without a writer is garbage, and is collected as such

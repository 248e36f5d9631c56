"""Sessions: what a writer leaves in the store while it writes, so that a collection knows that it is there.

The session is created before the first look-up of a blob and before the first byte of data; it commits within
`DEADLINE_S` of that, or not at all: what it counted on may be collected later (spec/versions.md, "Sessions").
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from tableformat.document import JsonObject, encode_document
from tableformat.errors import ConflictError, TableformatError, UsageError, message
from tableformat.format.documents import utc_text
from tableformat.format.manifest import Manifest
from tableformat.storage.collect.guard import GuardedBackend
from tableformat.storage.collect.reach import Reach
from tableformat.storage.collect.watch import CollectionWatch
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import read_root
from tableformat.storage.versions import Input, Outcome, Rebase, Slot, VersionFile, Versions

__all__ = ["DEADLINE_S", "WriterSession"]

DEADLINE_S: Final = 7 * 24 * 3600
"""Seconds from the beginning of a session within which it commits. A collection sweeps no sooner after its plan than this."""


class WriterSession:
    """One writer's session. `begin` is called as often as one likes; only the first call writes, after `ensure`."""

    def __init__(self, backend: Backend, artifact: str, ensure: Callable[[], object] = lambda: None) -> None:
        self._backend = backend
        self._ensure = ensure
        self._artifact = artifact
        self.id = uuid.uuid4().hex
        """32 hex digits."""
        self._began: float | None = None
        self._clocks = (time.monotonic(), time.time())  # not of `begin`: what a draft is based on was looked up before
        self._watch = CollectionWatch(backend, self.id)
        self.backend: Backend = GuardedBackend(backend, self._watch, self.begin)
        """The backend as this session is to see and use it: without what a collection condemns."""

    @property
    def path(self) -> str:
        """Where its object lies."""
        return f"sessions/{self.id}/begin.json"

    @property
    def has_begun(self) -> bool:
        """Whether its object was written."""
        return self._began is not None

    def begin(self) -> None:
        """Create the session's object, then look for a collection under way: what it condemns is not there for `backend`."""
        if self._began is not None:
            return
        self._ensure()
        began = time.monotonic()
        document = {
            "artifact": self._artifact, "format": 1, "kind": "session", "session": self.id, "time": utc_text(datetime.now(UTC)),
        }  # fmt: skip
        self._create(document)
        self._watch.begin()
        self._began = began

    def publish(self, versions: Versions, body: VersionFile, rebase: Rebase | None = None) -> Outcome:
        """`Versions.commit`, with what collections ask of a writer: not past the deadline, what it names kept, and after the
        commit a look whether all of that is still there.

        Raises `UsageError` past the deadline. Raises `ConflictError` where a collection deleted what the version names: before the
        commit, or, for a writer that slept through its deadline, after it; then the version is replaced by a tombstone.
        """
        self.begin()

        def secured(drafted: VersionFile, head: Slot | None) -> VersionFile | None:
            self.check_deadline()
            candidate = drafted if rebase is None else rebase(drafted, head)
            if candidate is not None:
                self._watch.secure(self._reached(candidate, head))
            return candidate

        outcome = versions.commit(body, secured)
        if outcome.created:
            try:
                self._watch.settle(lambda: self._reached(outcome.version, None))
            except ConflictError:
                versions.expire(outcome.version.slot)
                raise
        return outcome

    def take_over(self, versions: Callable[[str], Versions], source: object) -> None:
        """Before objects of a version are used without looking for them: see that the version stands, now that this session does.

        One request; none for what has no slot. Raises `NotFoundError` where the version was deleted: its bytes may go at any time.
        """
        if isinstance(source, Input) and source.slot is not None and source.artifact:
            self.begin()
            versions(source.artifact).require(source.slot)

    def _reached(self, version: VersionFile, head: Slot | None) -> Iterator[str]:
        """The objects that a version names. What it has in common with `head`, a version that stands, is passed over."""
        reach = Reach(self._backend)
        if isinstance(head, VersionFile):
            reach.pass_over(
                read_root(self._backend, head.root)
                if head.inline is None
                else Manifest.from_json(head.inline, f"the root of v{head.slot}")
            )
        yield from reach.paths(version.root, version.inline)

    def _create(self, document: JsonObject) -> None:
        self._backend.create_proven(self.path, encode_document(document))

    def check_deadline(self) -> None:
        """Raise `UsageError` where the session is too old to commit."""
        if self._began is None:
            return
        age = max(now - then for now, then in zip((time.monotonic(), time.time()), self._clocks, strict=True))
        if age > DEADLINE_S:  # one of the clocks stands still while a machine sleeps, the other may be set
            raise UsageError(
                message("committing", expected=f"a session younger than {DEADLINE_S // 86400} days", got="an older one",
                        todo="draft again: blobs that it counted on may have been collected")
            )  # fmt: skip

    def end(self) -> None:
        """Remove the session's object, after a commit or a discard; what cannot be removed is left to a collection."""
        if self._began is not None:
            self._began = None
            self._watch.end()
            try:
                self._backend.delete(self.path)
            except TableformatError:
                pass  # a session without a writer is garbage, and is collected as such

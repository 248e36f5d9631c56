"""The versions of one artifact: finding the newest, reading them, committing the next, and deleting.

A commit is the creation of one small document in the next free slot, and ends in one of three ways: **committed**;
**lost**, when another writer's document is there, and then the writer rebases on it and tries the slot after; or
**unknown**, which is raised as `CommitStateUnknownError`. Nothing is deleted on any of these ways, because what looks
failed may have been committed (spec/versions.md, "Commit").
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Final

from tableformat.digest import digest_of
from tableformat.document import decode_document, encode_document
from tableformat.errors import (
    ConflictError,
    CorruptError,
    FormatError,
    LimitError,
    NotFoundError,
    TableformatError,
    message,
)
from tableformat.format.documents import FEATURES, check_requires, encode_sealed, utc_text
from tableformat.storage.interface import Backend
from tableformat.storage.names import encode_name
from tableformat.storage.series import MAX_NUMBER, Series, new_commit_id
from tableformat.storage.versionfile import (
    MAX_INLINE_BYTES,
    MAX_VERSION_BYTES,
    Input,
    Slot,
    Tombstone,
    VersionFile,
    decode_slot,
)

__all__ = [
    "MAX_INLINE_BYTES",
    "Input",
    "Outcome",
    "Rebase",
    "Seen",
    "Slot",
    "Tombstone",
    "VersionFile",
    "Versions",
    "decode_slot",
]


@dataclass(frozen=True, slots=True)
class Seen:
    """The highest slot of an artifact as it was last seen."""

    slot: Slot
    """What stood there."""
    digest: str
    """The digest of its bytes."""


Rebase = Callable[[VersionFile, Slot | None], VersionFile | None]
"""Given the body as first drafted and what stands in the slot before (None: nothing), the body to commit there; None if
there is nothing new to commit. Raises `ConflictError` where both changed the same."""

_MAX_HINT_BYTES: Final = 1024
_MAX_ROUNDS: Final = 500
"""Slots that one commit may lose in a row. Somebody else's commit landed each time, so this is a very busy artifact."""
_BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a commit ended, when it did not raise."""

    version: VersionFile
    """What is in the store: the version made, or the newest one if there was nothing new."""
    created: bool
    """Whether this commit made it."""
    lost: int
    """How many slots other writers took before."""


class Versions:
    """The versions of the artifact `name`. Holds no state but the backend: safe to share between threads.

    `features` are the required features the caller knows; `sleep` and `random` pace retries. `seen` keeps, for each artifact,
    what stands in the highest slot that was found: where to begin the next time. It saves requests and decides nothing.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        *,
        features: Collection[str] = FEATURES,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
        seen: MutableMapping[str, Seen] | None = None,
    ) -> None:
        self.name = name
        """Name of the artifact."""
        self.folder = f"artifacts/{encode_name(name)}"
        """Its folder in the store."""
        self._backend = backend
        self._features = features
        self._seen = seen
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - spreads waits, guards nothing
        self._series = Series(
            backend, f"{self.folder}/versions", limit=MAX_VERSION_BYTES, sleep=sleep, random=self._random
        )

    # Reading

    def head(self) -> Slot | None:
        """What stands in the highest slot, a tombstone included; None if the artifact does not exist.

        Three requests in two round trips where the hint is right, which it is but for a commit under way.
        """
        return self._head(self._hint())

    def newest(self) -> VersionFile | None:
        """The newest version that was not deleted; None if there is none. As many requests as `head`, and one more
        round trip for every 16 tombstones above it."""
        head = self.head()
        if head is None or isinstance(head, VersionFile):
            return head
        return next((slot for slot in self.iterate(head.slot - 1) if isinstance(slot, VersionFile)), None)

    def read(self, slot: int) -> Slot | None:
        """What stands in `slot`; None if it is not taken yet."""
        data = self._series.read(slot) if 0 <= slot <= MAX_NUMBER else None
        return None if data is None else self._decode(data, slot)

    def require(self, slot: int) -> VersionFile:
        """The version in `slot`, its required features checked. Raises `NotFoundError` for an untaken slot and a
        deleted version, `UnsupportedError` for an unknown feature."""
        found = self.read(slot)
        doing = "opening a version"
        if found is None:
            raise NotFoundError(message(doing, path=f"{self._backend.root}#{self.name}:v{slot}", got="no such version"))
        if isinstance(found, Tombstone):
            raise NotFoundError(
                message(doing, path=f"{self._backend.root}#{self.name}:v{slot}", got=f"a version that was deleted on {found.time}",
                        todo=f"its content may still be found by digest: {self.name}@{found.root}")
            )  # fmt: skip
        check_requires(found.requires, self._features, writing=False, path=self._shown(slot))
        return found

    def iterate(self, last: int | None = None) -> Iterator[Slot]:
        """Every slot from `last` (None: the highest) down to 0, tombstones included; holds 16 at a time.

        Raises `CorruptError` where one is missing, for slots are never removed.
        """
        if last is None:
            head = self.head()
            if head is None:
                return
            yield head
            last = head.slot - 1
        while last >= 0:
            first = max(0, last - _BATCH + 1)
            batch = self._series.read_many(first, last)
            for slot in range(last, first - 1, -1):
                data = batch[slot - first]
                if data is None:
                    raise CorruptError(
                        message("reading the versions of an artifact", path=self._shown(slot), expected="a version or a tombstone",
                                got="nothing, though a later slot is taken", todo="restore the file")
                    )  # fmt: skip
                yield self._decode(data, slot)
            last = first - 1

    # Writing

    def commit(self, body: VersionFile, rebase: Rebase | None = None) -> Outcome:
        """Publish `body` in the next free slot; its `slot`, `commit` and `predecessor` are set here.

        Everything that `body` names has to be durable before. `rebase` is called before each attempt, the first
        included, with what stands in the slot before; without it `body` goes in as it is, after whatever is there.
        Where a highest slot is known already it alone is read before: the one after it can only be created if it still is.
        When this returns with `created` the version survives power loss.

        Raises `ConflictError` (from `rebase`, or after 500 lost slots), `CommitStateUnknownError` when no answer can be
        had (the version may be there, or appear later), `UnsupportedError` when the version before requires a
        feature that writers have to know; and errors of the backend while finding the slot. Nothing is deleted.
        """
        self._backend.probe()
        known = None if self._seen is None else self._seen.get(self.name)
        # A tombstone may stand there by now: what it took the place of must not be built upon.
        head = (self.read(known.slot.slot) if known is not None else None) or self.head()
        for lost in range(_MAX_ROUNDS):
            if isinstance(head, VersionFile):
                check_requires(head.requires, self._features, writing=True, path=self._shown(head.slot))
            candidate = body if rebase is None else rebase(body, head)
            if candidate is None and rebase is not None and known is not None and lost == 0:
                head = self.head()  # nothing new after what was the newest: is it still?
                candidate = rebase(body, head)
            if candidate is None:
                return Outcome(self._unchanged(head), created=False, lost=lost)
            made, data, other = self._attempt(candidate, head)
            if other is None:
                self._note(made, data)
                self._leave_hint(made.slot)
                return Outcome(made, created=True, lost=lost)
            head = self._head(other.slot)
            # Writers that lost together would otherwise meet again at the next slot.
            self._sleep(self._random.random() * 0.002 * min(lost, 25))
        raise ConflictError(
            message("committing a version", path=f"{self._backend.root}#{self.name}", expected="a free slot",
                    got=f"{_MAX_ROUNDS} that other writers took first", todo="try again with fewer writers at a time")
        )  # fmt: skip

    def expire(self, slot: int, *, now: datetime | None = None) -> Tombstone:
        """Replace the version in `slot` by a tombstone, which keeps the slot, digest and commit id; once done, nothing.

        Whether the version may go is for the caller to know. Raises `NotFoundError` for a slot that is not taken.
        """
        found = self.read(slot)
        if found is None:
            raise NotFoundError(
                message("deleting a version", path=f"{self._backend.root}#{self.name}:v{slot}", got="no such version")
            )
        if isinstance(found, Tombstone):
            return found
        tombstone = Tombstone(slot, found.commit, found.root, utc_text(now or datetime.now(UTC)))
        self._backend.overwrite(self._series.path(slot), encode_sealed(tombstone.to_json()))
        return tombstone

    # Within

    def _attempt(self, body: VersionFile, head: Slot | None) -> tuple[VersionFile, bytes, Slot | None]:
        """`body` as it goes into the slot after `head`, its bytes, and None if it is there; else what another writer put there."""
        slot = 0 if head is None else head.slot + 1
        version = dataclasses.replace(
            body, slot=slot, commit=new_commit_id(), predecessor=None if head is None else head.root
        )
        data = version.encode(self._shown(slot))
        if len(data) > MAX_VERSION_BYTES:
            raise LimitError(
                message("committing a version", path=self._shown(slot), expected=f"a version file of at most {MAX_VERSION_BYTES} bytes",
                        got=len(data), todo="shorten the message or the producer")
            )  # fmt: skip
        other = self._series.create(slot, data, lambda found: self._decode(found, slot).commit == version.commit)
        made = dataclasses.replace(version, root_bytes=None)  # which need not be held any longer
        return made, data, None if other is None else self._decode(other, slot)

    def _unchanged(self, head: Slot | None) -> VersionFile:
        version = head if isinstance(head, VersionFile) else self.newest()
        if version is None:
            raise NotFoundError(
                message(
                    "committing a version",
                    path=f"{self._backend.root}#{self.name}",
                    expected="a version that is the same",
                    got="none",
                )
            )
        return version

    def _head(self, near: int) -> Slot | None:
        found = self._series.newest(near)
        return None if found is None else self._note(self._decode(found[1], found[0]), found[1])

    def _note(self, slot: Slot, data: bytes) -> Slot:
        if self._seen is not None:
            self._seen[self.name] = Seen(slot, digest_of(data))
        return slot

    def _hint(self) -> int:
        """Where to begin. The hint may be absent, stale or nonsense: that costs requests and nothing else."""
        if self._seen is not None and self.name in self._seen:
            return self._seen[self.name].slot.slot
        try:
            data = self._backend.read_or_none(f"{self.folder}/hint.json", limit=_MAX_HINT_BYTES)
            slot = 0 if data is None else decode_document(data, "hint.json").get("slot")
        except (FormatError, LimitError):
            return 0
        return slot if isinstance(slot, int) and not isinstance(slot, bool) else 0

    def _leave_hint(self, slot: int) -> None:
        try:
            self._backend.overwrite(f"{self.folder}/hint.json", encode_document({"slot": slot}))
        except TableformatError:
            pass  # the commit stands; the next reader gallops

    def _decode(self, data: bytes, slot: int) -> Slot:
        known = None if self._seen is None else self._seen.get(self.name)
        if known is not None and known.slot.slot == slot and known.digest == digest_of(data):
            return known.slot  # read again, and the same bytes
        return decode_slot(data, self._shown(slot), slot)

    def _shown(self, slot: int) -> str:
        return f"{self._backend.root}/{self._series.path(slot)}"

"""Aliases: movable names of versions, each a create-only series of moves of which the highest counts.

`latest` is no alias: it is computed. A move names slot and digest, so that an alias still says what it meant when its
version was deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Final

from tableformat.digest import Bytes
from tableformat.document import JsonObject, decode_document
from tableformat.errors import ConflictError, IllegalNameError, message
from tableformat.format.documents import Fields, encode_sealed, unsealed, utc_text
from tableformat.storage.interface import Backend
from tableformat.storage.names import decode_name, encode_name
from tableformat.storage.series import Series, new_commit_id

__all__ = ["AliasMove", "Aliases"]

_MAX_BYTES: Final = 64 << 10
_MAX_ROUNDS: Final = 500


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of an alias: to a version, or away from all."""

    slot: int | None
    """Slot of the version it names; None: the alias was removed."""
    root: str | None
    """Version digest of that version; None with `slot`."""
    time: str
    """When, by the clock of whoever moved it; for people."""
    commit: str
    """Fresh nonce, 32 hex digits."""
    extra: JsonObject = field(default_factory=dict)
    """Fields that this library does not know."""

    def to_json(self) -> JsonObject:
        """The document."""
        return {
            **self.extra, "kind": "alias", "format": 1, "slot": self.slot, "root": self.root,
            "time": self.time, "commit": self.commit,
        }  # fmt: skip

    @classmethod
    def from_bytes(cls, data: Bytes, path: str) -> AliasMove:
        """The move in `data`, read from `path`. Raises `FormatError`."""
        fields = Fields(unsealed(decode_document(data, path), path), path, "alias")
        move = cls(
            fields.integer_or_none("slot"),
            fields.digest_or_none("root"),
            fields.time("time"),
            fields.id("commit"),
            fields.rest(),
        )
        if (move.slot is None) != (move.root is None):
            raise fields.bad("root", "a digest where there is a slot, and null where there is none", move.root)
        return move


class Aliases:
    """The aliases of the artifact `name`. Holds no state but the backend."""

    def __init__(
        self,
        backend: Backend,
        name: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        self._backend = backend
        self._folder = f"artifacts/{encode_name(name)}/aliases"
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - spreads waits, guards nothing

    def read(self, alias: str) -> AliasMove | None:
        """What `alias` names now; None if there is no such alias, or it was removed."""
        move = self._newest(self._series(alias))[1]
        return None if move is None or move.slot is None else move

    def names(self) -> list[str]:
        """Every alias that names a version, sorted. Lists folders: for showing, never for deciding."""
        found = []
        for segment in self._backend.list_folders(self._folder):
            try:
                name = decode_name(segment, "alias")
            except IllegalNameError:
                continue  # not ours
            if self.read(name) is not None:
                found.append(name)
        return sorted(found)

    def set(self, alias: str, slot: int, root: str, *, now: datetime | None = None) -> AliasMove:
        """Let `alias` name the version in `slot` with digest `root`. The last of several writers wins.

        Writes nothing if it names that already. Raises `CommitStateUnknownError` as commits do.
        """
        return self._move(alias, slot, root, now)

    def remove(self, alias: str, *, now: datetime | None = None) -> None:
        """Let `alias` name nothing; no error where it does not."""
        self._move(alias, None, None, now)

    def _move(self, alias: str, slot: int | None, root: str | None, now: datetime | None) -> AliasMove:
        self._backend.probe()
        series = self._series(alias)
        for lost in range(_MAX_ROUNDS):
            number, newest = self._newest(series)
            move = AliasMove(slot, root, utc_text(now or datetime.now(UTC)), new_commit_id())
            if newest is not None and (newest.slot, newest.root) == (slot, root):
                return newest
            if newest is None and slot is None:
                return move
            if self._is_made(series, number + 1, move):
                return move
            self._sleep(self._random.random() * 0.002 * min(lost, 25))
        raise ConflictError(
            message("moving an alias", path=f"{self._backend.root}/{self._folder}", expected="a free number",
                    got=f"{_MAX_ROUNDS} that other writers took first", todo="try again with fewer writers at a time")
        )  # fmt: skip

    def _is_made(self, series: Series, number: int, move: AliasMove) -> bool:
        data = encode_sealed(move.to_json())
        path = f"{self._backend.root}/{series.path(number)}"
        AliasMove.from_bytes(data, path)  # what readers would refuse is not published
        return (
            series.create(number, data, lambda found: AliasMove.from_bytes(found, path).commit == move.commit) is None
        )

    def _newest(self, series: Series) -> tuple[int, AliasMove | None]:
        """The number of the newest move, and the move; (-1, None) if there never was one."""
        found = series.newest()
        if found is None:
            return -1, None
        return found[0], AliasMove.from_bytes(found[1], f"{self._backend.root}/{series.path(found[0])}")

    def _series(self, alias: str) -> Series:
        folder = f"{self._folder}/{encode_name(alias, 'alias')}"
        return Series(self._backend, folder, limit=_MAX_BYTES, sleep=self._sleep, random=self._random)

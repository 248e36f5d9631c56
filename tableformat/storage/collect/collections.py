"""The series of collections in a store: `gc/<20 digits>/`, each begun by its plan, found without listing.

A collection is in one of three states, told by which of its documents are there: planned, sweeping, done. The next one begins
when the one before is done.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from tableformat.errors import NotFoundError, message
from tableformat.storage.collect.documents import Done, Keep, Plan, decode_list
from tableformat.storage.collect.path_set import PathSet
from tableformat.storage.interface import Backend, ObjectInfo
from tableformat.storage.series import Series

__all__ = ["BackendClock", "Clock", "Collection", "Collections", "State", "folder_of"]

State = Literal["planned", "sweeping", "done"]
Clock = Callable[[], float]
"""Seconds since 1970 by the clock that writes the times of objects."""

_MAX_DOCUMENT: Final = 64 << 20
_CLOCK: Final = "gc/clock.json"
_KEEP = re.compile(r"keep-[a-z0-9!._-]{1,200}-[0-9]{1,6}\.json")
_SWEEP = re.compile(r"sweep(?:-[0-9]{1,6})?\.json")


def folder_of(number: int) -> str:
    """The folder of a collection."""
    return f"gc/{number:020d}"


class _Plans(Series):
    """The plans, as a series whose documents lie in folders of their own."""

    def path(self, number: int) -> str:
        return f"{folder_of(number)}/plan.json"


class BackendClock:
    """The clock of the backend: the time that it gives to an object which is written now. Costs a write and a listing of `gc/`.

    Where the backend tells no times, that of this machine, and then nothing is ever old enough to be collected.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __call__(self) -> float:
        self._backend.overwrite(_CLOCK, b'{"format":1,"kind":"clock"}')
        found = [info.modified for info in self._backend.list("gc") if info.path == _CLOCK]
        return time.time() if not found or found[0] is None else found[0]


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection as it stands."""

    plan: Plan
    state: State

    @property
    def number(self) -> int:
        return self.plan.number

    @property
    def folder(self) -> str:
        return folder_of(self.plan.number)


class Collections:
    """The collections of one store. Holds no state but the backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._plans = _Plans(backend, "gc", limit=_MAX_DOCUMENT)

    def newest(self, near: int = 0) -> Collection | None:
        """The newest collection; None where there never was one, which costs two requests sent together."""
        found = self._plans.newest(max(near, 0))
        if found is None:
            return None
        number, data = found
        plan = Plan.decode(data, f"{self._backend.root}/{self._plans.path(number)}")
        return Collection(plan, self.state_of(number))

    def state_of(self, number: int) -> State:
        """How far a collection that was planned has come."""
        folder = folder_of(number)
        done, sweep = self._backend.read_many_or_none(
            [f"{folder}/done.json", f"{folder}/sweep.json"], limit=_MAX_DOCUMENT
        )
        return "done" if done is not None else "planned" if sweep is None else "sweeping"

    def read(self, number: int) -> Collection | None:
        """One collection by its number; None where it was not planned."""
        data = self._plans.read(number)
        if data is None:
            return None
        plan = Plan.decode(data, f"{self._backend.root}/{self._plans.path(number)}")
        return Collection(plan, self.state_of(number))

    def begin(self, plan: Plan) -> bool:
        """Create the plan; False where another collector was first."""

        def is_ours(found: bytes) -> bool:
            return Plan.decode(found, self._plans.path(plan.number)).commit == plan.commit

        return self._plans.create(plan.number, plan.encode(), is_ours) is None

    def lists(self, plan: Plan) -> Iterator[pa.Table]:
        """The condemned objects of a plan, a list at a time."""
        folder = folder_of(plan.number)
        for listed in plan.lists:
            path = listed.path(folder)
            data = self._backend.read_or_none(path, limit=listed.size)
            if data is None:
                raise NotFoundError(
                    message(
                        "reading a list of condemned objects", path=f"{self._backend.root}/{path}", got="no such file"
                    )
                )
            yield decode_list(data, listed, path)

    def condemned(self, plan: Plan) -> PathSet:
        """All objects that a plan condemns, those to be packed again included."""
        found = PathSet(plan.repack)
        for table in self.lists(plan):
            found.update(table.column("path").to_pylist())
        return found

    def kept(self, plan: Plan, files: Sequence[ObjectInfo] | None = None) -> PathSet:
        """What sessions have said that they need. Lists the folder of the collection."""
        folder = folder_of(plan.number)
        found = PathSet()
        for info in self._backend.list(folder) if files is None else files:
            if _KEEP.fullmatch(info.path.removeprefix(f"{folder}/")):
                found.update(Keep.decode(self._backend.read(info.path), info.path).paths)
        return found

    def sweeps(self, plan: Plan) -> list[ObjectInfo]:
        """The documents by which collectors took the deletion on, the first to the last."""
        folder = folder_of(plan.number)
        files = [one for one in self._backend.list(folder) if _SWEEP.fullmatch(one.path.removeprefix(f"{folder}/"))]
        return sorted(files, key=lambda one: (len(one.path), one.path))

    def done(self, number: int) -> Done | None:
        """What a collection deleted; None where it has not ended."""
        path = f"{folder_of(number)}/done.json"
        data = self._backend.read_or_none(path, limit=_MAX_DOCUMENT)
        return None if data is None else Done.decode(data, path)

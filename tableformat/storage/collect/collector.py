"""A collector's side of the protocol: plan, wait, sweep, mark again, delete, done (spec/collection.md).

Each call goes as far as it can: it ends a sweep whose collector died, sweeps what was planned long enough ago, and plans
anew. Every step is a create-only object, so that of two collectors one goes on and the other says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import InvalidInputError, message
from tableformat.format.documents import check_requires, utc_text
from tableformat.storage.collect.collections import BackendClock, Clock, Collection, Collections, folder_of
from tableformat.storage.collect.documents import Amount, Done, Plan, Sweep, encode_list, split_lists
from tableformat.storage.collect.marks import Marks, mark
from tableformat.storage.collect.path_set import PathSet
from tableformat.storage.collect.paths import FOLDERS, KINDS, Kind, kind_of
from tableformat.storage.interface import Backend, ObjectInfo
from tableformat.storage.marker import read_marker
from tableformat.storage.series import new_commit_id

__all__ = ["GRACE_S", "LEASE_S", "SESSION_S", "Collector", "GcReport", "Repacker"]

SESSION_S: Final = 7 * 24 * 3600
"""D: seconds within which a session commits."""
GRACE_S: Final = 8 * 24 * 3600
"""G: seconds that an object is old when it is condemned, and from a plan to its sweep. Longer than D by what a request may take, and
clocks may differ: a day."""
LEASE_S: Final = 24 * 3600
"""Seconds for which a collector deletes after it created its sweep. Another one takes over no sooner than G after that."""
_NOTHING: Final = Amount()
_DELETED_TOGETHER: Final = 1000
_LISTED: Final = tuple(folder for folder in FOLDERS if folder not in ("gc", "artifacts"))

Word = Literal["clean", "planned", "waiting", "swept", "busy"]
Say = Callable[[str], None]
Repacker = Callable[[Sequence[str]], dict[str, Amount]]
"""Packs the blobs of condemned packs again that are still needed, behind moved/ files, and deletes those packs."""


@dataclass(frozen=True, slots=True)
class GcReport:
    """What a collection found, and did."""

    state: Word
    """`clean`: nothing is condemned. `planned`: a plan was made now. `waiting`: one was made before and is not old enough. `swept`:
    a plan was carried out. `busy`: another collector is at it."""
    dry_run: bool
    """Whether nothing was written or deleted."""
    condemned: dict[str, Amount] = field(default_factory=dict)
    """By kind, what nothing reaches and what is old enough: in a dry run what a plan would name now, else what the newest plan names."""
    young: dict[str, Amount] = field(default_factory=dict)
    """By kind, what nothing reaches and what is younger: it may belong to a writer that has not committed yet."""
    deleted: dict[str, Amount] = field(default_factory=dict)
    """By kind, what this call deleted."""
    kept: Amount = _NOTHING
    """What was planned and stayed: a version reaches it by now, a session asked for it, or it was written again."""
    reached: int = 0
    """Objects that versions and sessions reach, about."""
    versions: int = 0
    """Versions that were walked."""
    sessions: int = 0
    """Sessions that may still commit."""
    unknown: Amount = _NOTHING
    """Objects that the format does not name; they are left alone."""
    number: int | None = None
    """Which collection the state is of."""
    ready: float | None = None
    """Seconds since 1970, by the clock of the backend, from which the plan can be carried out."""

    def total(self, of: Literal["condemned", "young", "deleted"]) -> Amount:
        """The sum over all kinds."""
        amounts = list(getattr(self, of).values())
        return Amount(sum(one.objects for one in amounts), sum(one.bytes for one in amounts))


@dataclass(slots=True)
class _Garbage:
    """What a listing found that no mark reached."""

    condemned: dict[str, Amount] = field(default_factory=dict)
    young: dict[str, Amount] = field(default_factory=dict)
    unknown: Amount = _NOTHING


class Collector:
    """Collects one store. `clock` tells the time of the backend; tests give their own.

    `exclusive` is the caller's word that nobody else writes to the store or collects it, from the call to its end: then
    `grace` may be anything, 0 included, and plan and sweep come in one call. Else `grace` is more than `SESSION_S`.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        grace: float = GRACE_S,
        exclusive: bool = False,
        clock: Clock | None = None,
        say: Say = lambda _: None,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        if grace < 0 or (grace <= SESSION_S and not exclusive):
            raise InvalidInputError(
                message("collecting garbage", expected=f"a time of grace of more than {SESSION_S} seconds, the longest that a session takes",
                        got=grace, todo="for a store that nobody else writes to, say exclusive=True")
            )  # fmt: skip
        self._backend = backend
        self._collections = Collections(backend)
        self._grace = int(grace)
        self._exclusive = exclusive
        self._clock = clock or BackendClock(backend)
        self._look_clock = clock or time.time
        self._say = say
        self._elapsed = elapsed or _elapsed

    def look(self) -> GcReport:
        """What could be collected: a dry run. Writes nothing, and goes by the clock of this machine."""
        self._check_store()
        now = self._look_clock()
        newest = self._collections.newest()
        marks = self._mark(now)
        garbage = _Garbage()
        for _ in self._garbage(marks.reached, now - self._grace, garbage):
            pass
        report = self._told(GcReport("clean", True), marks, garbage)
        if newest is not None and newest.state != "done":
            state: Word = "waiting" if newest.state == "planned" else "busy"
            return replace(report, state=state, number=newest.number, ready=self._ready(newest))
        return replace(report, state="planned" if report.condemned else "clean")

    def run(self, repack: Sequence[str] = (), repacker: Repacker | None = None) -> GcReport:
        """Go as far as can be gone now. `repack` names packs to condemn although they are needed in part, and `repacker` what
        saves their blobs at the sweep."""
        self._check_store()
        self._backend.probe()
        now = self._clock()
        if uploads := self._backend.abort_uploads(now - self._grace):
            self._say(f"gave up {uploads} uploads that were never completed")
        newest = self._collections.newest()
        swept = GcReport("clean", False)
        if newest is not None and newest.state != "done":
            found = self._advance(newest, now, repacker)
            if found.state != "swept":
                return found
            swept = found
        planned = self._plan(0 if newest is None else newest.number + 1, self._clock(), repack)
        if planned.state == "planned" and self._exclusive and planned.number is not None:
            collection = self._collections.read(planned.number)
            assert collection is not None
            done = self._advance(collection, self._clock(), repacker)
            deleted = _sum(swept.deleted, done.deleted)
            return replace(
                done, condemned=planned.condemned, young=planned.young, unknown=planned.unknown, deleted=deleted
            )
        if swept.state == "swept":
            state: Word = "swept" if planned.state in ("clean", "busy") else planned.state
            return replace(planned, state=state, deleted=swept.deleted, kept=swept.kept)
        return planned

    # Planning

    def _plan(self, number: int, now: float, repack: Sequence[str]) -> GcReport:
        marks = self._mark(now)
        garbage = _Garbage()
        older_than = now - self._grace
        lists = []
        folder = folder_of(number)
        for paths, sizes in split_lists(self._garbage(marks.reached, older_than, garbage)):
            listed, data = encode_list(paths, sizes)
            self._backend.put(listed.path(folder), data)
            lists.append(listed)
        report = self._told(GcReport("clean", False, number=number), marks, garbage)
        if not lists and not repack:
            return report
        plan = Plan(
            number, new_commit_id(), utc_text(datetime.now(UTC)), max(0, int(older_than)), self._grace, tuple(lists),
            garbage.condemned, tuple(repack),
        )  # fmt: skip
        if not self._collections.begin(plan):
            return replace(report, state="busy")
        return replace(report, state="planned", ready=now + (0 if self._exclusive else self._grace))

    def _mark(self, now: float) -> Marks:
        self._say("marking")
        return mark(self._backend, now=now, deadline=SESSION_S, on_version=lambda name: self._say(f"marking {name}"))

    def _garbage(self, reached: PathSet, older_than: float, found: _Garbage) -> Iterator[tuple[str, int]]:
        """The objects to condemn, by a listing that is not cached; what is seen is counted in `found`."""
        for batch in _batches(self._objects()):
            marked = reached.contains([info.path for info in batch]).tolist()
            for info, is_reached in zip(batch, marked, strict=True):
                kind = kind_of(info.path)
                if kind is None:
                    found.unknown = found.unknown if _is_ours(info.path) else found.unknown.plus(info.size)
                elif not is_reached:
                    is_old = self._is_old(info, older_than)
                    counts = found.condemned if is_old else found.young
                    counts[kind] = counts.get(kind, Amount()).plus(info.size)
                    if is_old:
                        yield info.path, info.size

    def _is_old(self, info: ObjectInfo, older_than: float) -> bool:
        if self._exclusive and self._grace == 0:
            return True
        return info.modified is not None and info.modified < older_than

    def _objects(self) -> Iterator[ObjectInfo]:
        for folder in _LISTED:
            self._say(f"listing {folder}")
            yield from self._backend.list(folder)

    # Sweeping

    def _advance(self, collection: Collection, now: float, repacker: Repacker | None) -> GcReport:
        """Carry out a plan, if its time has come and nobody else is at it."""
        ready = self._ready(collection)
        report = GcReport("waiting", False, dict(collection.plan.counts), number=collection.number, ready=ready)
        if collection.state == "planned" and now < ready:
            return report
        if not self._takes_on(collection, now):
            return replace(report, state="busy")
        return self._sweep(collection, report, repacker)

    def _ready(self, collection: Collection) -> float:
        """When a plan may be carried out: G after its document was written, by the clock of the backend."""
        if self._exclusive:
            return 0.0
        path = f"{collection.folder}/plan.json"
        times = [info.modified for info in self._backend.list(collection.folder) if info.path == path]
        written = times[0] if times and times[0] is not None else self._look_clock()
        return written + max(self._grace, collection.plan.grace)

    def _takes_on(self, collection: Collection, now: float) -> bool:
        """Create the document that makes this collector the one that deletes."""
        sweeps = self._collections.sweeps(collection.plan)
        if sweeps and not self._exclusive:
            last = sweeps[-1].modified
            if last is None or now - last < self._grace:
                return False
        name = "sweep.json" if not sweeps else f"sweep-{len(sweeps)}.json"
        document = Sweep(collection.number, new_commit_id(), utc_text(datetime.now(UTC)))
        data = document.encode()
        path = f"{collection.folder}/{name}"
        return self._backend.create(path, data) or self._backend.read_or_none(path) == data

    def _sweep(self, collection: Collection, report: GcReport, repacker: Repacker | None) -> GcReport:
        """Only now, with the sweep announced, is it asked who needs what: whoever comes later sees the announcement."""
        began = self._elapsed()
        plan = collection.plan
        kept = self._collections.kept(plan)
        marks = self._mark(self._clock())
        deleted: dict[str, Amount] = {}
        held = Amount()
        lists = list(self._collections.lists(plan))
        condemned = PathSet(path for table in lists for path in table.column("path").to_pylist())
        for batch in _batches(self._objects()):
            planned = _planned(batch, condemned, lists)
            names = [info.path for info in planned]
            safe = (marks.reached.contains(names) | kept.contains(names)).tolist()
            going = []
            for info, is_safe in zip(planned, safe, strict=True):
                if is_safe or not (self._exclusive or self._is_before(info, plan)):
                    held = held.plus(info.size)
                else:
                    going.append(info)
            if not self._delete(going, deleted, began):
                return replace(report, state="busy", deleted=deleted, kept=held)
        if plan.repack and repacker is not None:
            staying = [one for one in plan.repack if not kept.contains([one])[0]]
            deleted = _sum(deleted, repacker(staying))
        self._end(collection, deleted)
        return replace(
            report, state="swept", deleted=deleted, kept=held, versions=marks.versions, sessions=marks.sessions,
            reached=len(marks.reached), ready=None,
        )  # fmt: skip

    @staticmethod
    def _is_before(info: ObjectInfo, plan: Plan) -> bool:
        """Whether it is still the object that was condemned: one that was written again is younger."""
        return info.modified is not None and info.modified < plan.older_than

    def _delete(self, going: Sequence[ObjectInfo], deleted: dict[str, Amount], began: float) -> bool:
        """Delete a batch; False where the time in which this collector may delete is over."""
        for start in range(0, len(going), _DELETED_TOGETHER):
            if self._elapsed() - began > LEASE_S:
                return False
            some = going[start : start + _DELETED_TOGETHER]
            self._say(f"deleting {some[0].path}")
            self._backend.delete_many([info.path for info in some])
            for info in some:
                kind: Kind | None = kind_of(info.path)
                deleted[kind or ""] = deleted.get(kind or "", Amount()).plus(info.size)
        return True

    def _end(self, collection: Collection, deleted: dict[str, Amount]) -> None:
        done = Done(collection.number, utc_text(datetime.now(UTC)), deleted)
        self._backend.create(f"{collection.folder}/done.json", done.encode())
        if collection.number:  # the documents stay, as every series does; what one of them lists is of no more use
            before = self._backend.list(folder_of(collection.number - 1))
            lists = [info.path for info in before if info.path.endswith(".parquet") or "/keep-" in info.path]
            self._backend.delete_many(lists)

    # Reporting

    def _check_store(self) -> None:
        marker = read_marker(self._backend)
        if marker is not None:
            check_requires(marker.requires, writing=True, path=f"{self._backend.root}/tableformat.json")

    @staticmethod
    def _told(report: GcReport, marks: Marks, garbage: _Garbage) -> GcReport:
        return replace(
            report, condemned=_ordered(garbage.condemned), young=_ordered(garbage.young), unknown=garbage.unknown,
            reached=len(marks.reached), versions=marks.versions, sessions=marks.sessions,
        )  # fmt: skip


def _planned(batch: Sequence[ObjectInfo], condemned: PathSet, lists: Sequence[pa.Table]) -> list[ObjectInfo]:
    """Those of a listing that the plan names, by their whole paths: 64 bits are enough to keep, and not to delete."""
    likely = condemned.contains([info.path for info in batch]).tolist()
    some = [info for info, is_likely in zip(batch, likely, strict=True) if is_likely and kind_of(info.path)]
    if not some:
        return []
    paths = pa.array([info.path for info in some], pa.string())
    told = [False] * len(some)
    for table in lists:
        found = pc.is_in(paths, value_set=table.column("path").combine_chunks()).to_pylist()
        told = [one or other for one, other in zip(told, found, strict=True)]
    return [info for info, is_told in zip(some, told, strict=True) if is_told]


def _batches(objects: Iterator[ObjectInfo], size: int = 8192) -> Iterator[list[ObjectInfo]]:
    held: list[ObjectInfo] = []
    for info in objects:
        held.append(info)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


def _is_ours(path: str) -> bool:
    """Documents that are part of the format and never collected."""
    return path.startswith(("index/", "gc/")) or path.endswith("hint.json")


def _ordered(amounts: dict[str, Amount]) -> dict[str, Amount]:
    return {kind: amounts[kind] for kind in KINDS if kind in amounts}


def _sum(one: dict[str, Amount], other: dict[str, Amount]) -> dict[str, Amount]:
    found = dict(one)
    for kind, amount in other.items():
        before = found.get(kind, Amount())
        found[kind] = Amount(before.objects + amount.objects, before.bytes + amount.bytes)
    return found


def _elapsed() -> float:
    """Seconds, those included during which the machine slept, where that can be told."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)

"""Expiry: old versions of an artifact become tombstones, but for those that something still counts on.

What pins a version: an alias; a version that stays and joins one of its tables; a version that stays and was made from it. The
newest version always stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from tableformat.errors import InvalidInputError, NotFoundError, message
from tableformat.format.manifest import Manifest
from tableformat.storage.aliases import Aliases
from tableformat.storage.collect.marks import artifact_names, live_versions_of
from tableformat.storage.collect.reach import join_targets
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items, read_root
from tableformat.storage.versions import VersionFile, Versions

__all__ = ["Expired", "expire_versions"]


@dataclass(frozen=True, slots=True)
class Expired:
    """What an expiry did, or would do."""

    name: str
    """The artifact."""
    dry_run: bool
    """Whether nothing was changed."""
    expired: tuple[int, ...] = ()
    """Slots of the versions that became tombstones, ascending."""
    pinned: tuple[tuple[int, str], ...] = ()
    """Slots of older versions that stay, ascending, each with what pins it."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """What one version counts on: digests of versions, by way of joins and of lineage."""

    name: str
    slot: int
    joins: tuple[str, ...]
    inputs: tuple[str, ...]


def expire_versions(
    backend: Backend,
    name: str,
    keep_last: int | None = None,
    slots: Collection[int] | None = None,
    *,
    force: bool = False,
    dry_run: bool = True,
    now: datetime | None = None,
) -> Expired:
    """Replace versions of `name` by tombstones: all but the newest `keep_last`, or those in `slots`.

    With `force` pins are told and do not hold. Reads every version file of the store and the lists of entries of every version.
    Raises `NotFoundError` for an artifact or a slot that is not there, `InvalidInputError` for what would leave no version.
    """
    live = list(live_versions_of(backend, name))
    doing = f"expiring versions of {name!r}"
    if not live:
        raise NotFoundError(message(doing, path=backend.root, expected="an artifact with versions", got="none"))
    candidates = _candidates(live, keep_last, slots, doing)
    pinned = _pinned(backend, name, live, candidates, force=force) if candidates else {}
    going = sorted(candidates if force else candidates - pinned.keys())
    if not dry_run:
        versions = Versions(backend, name)
        for slot in going:
            versions.expire(slot, now=now)
    return Expired(name, dry_run, tuple(going), tuple(sorted(pinned.items())))


def _candidates(live: list[VersionFile], keep_last: int | None, slots: Collection[int] | None, doing: str) -> set[int]:
    if (keep_last is None) == (slots is None):
        raise InvalidInputError(message(doing, expected="either keep_last, or versions", got="both or neither"))
    if keep_last is not None:
        if keep_last < 1:
            raise InvalidInputError(message(doing, expected="keep_last of at least 1", got=keep_last))
        return {version.slot for version in live[keep_last:]}
    wanted = set(slots or ())
    if unknown := sorted(wanted - {version.slot for version in live}):
        raise NotFoundError(message(doing, expected="versions that are there", got=", ".join(f"v{n}" for n in unknown)))
    if live[0].slot in wanted:
        raise InvalidInputError(
            message(
                doing, expected="versions before the newest", got=f"v{live[0].slot}", todo="commit another one first"
            )
        )
    return wanted


def _pinned(
    backend: Backend, name: str, live: list[VersionFile], candidates: set[int], *, force: bool
) -> dict[int, str]:
    """Which candidates are pinned, and by what. What only a version counts on that goes itself is not."""
    found: dict[int, str] = {}
    aliases = Aliases(backend, name)
    for alias in aliases.names():
        move = aliases.read(alias)
        if move is not None and move.slot in candidates:
            found.setdefault(move.slot, f"the alias {alias!r}")
    counted = list(_all_counted(backend))
    digests: dict[str, list[int]] = {}
    for version in live:
        digests.setdefault(version.root, []).append(version.slot)
    while True:
        staying = [
            one
            for one in counted
            if one.name != name or one.slot not in candidates or (one.slot in found and not force)
        ]
        more: dict[int, str] = {}
        for slot, why in _pins(staying, name, digests, candidates - found.keys()):
            more.setdefault(slot, why)
        if not more:
            return found
        found.update(more)


def _pins(
    staying: Iterable[_Counted], name: str, digests: dict[str, list[int]], open_slots: Collection[int]
) -> Iterable[tuple[int, str]]:
    for one in staying:
        who = f"{one.name}:v{one.slot}"
        for digest in one.joins:
            for slot in digests.get(digest, ()):
                if slot in open_slots:
                    yield slot, f"a joined table of {who}"
        for digest in one.inputs:
            for slot in digests.get(digest, ()):
                if slot in open_slots and (one.name, one.slot) != (name, slot):
                    yield slot, f"{who}, which was made from it"


def _all_counted(backend: Backend) -> Iterable[_Counted]:
    for name in artifact_names(backend):
        for version in live_versions_of(backend, name):
            manifest = (
                read_root(backend, version.root)
                if version.inline is None
                else Manifest.from_json(version.inline, f"{name}:v{version.slot}")
            )
            joins = tuple(
                digest
                for item in iter_items(backend, manifest.entries)
                if item.get("kind") == "joined_table"
                for digest in join_targets(item)
            )
            yield _Counted(name, version.slot, joins, tuple(source.digest for source in version.inputs))

"""Versions of an artifact in two stores: which of the source's the target has, and how one is committed there.

A version is known by its digest. The slots of both sides are gone through in order, so that a version that was committed twice,
as by a rollback, is looked for twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tableformat.context import StoreContext
from tableformat.format.documents import encode_sealed
from tableformat.storage.names import parse_address
from tableformat.storage.series import Series
from tableformat.storage.sessions import WriterSession
from tableformat.storage.versionfile import MAX_VERSION_BYTES, decode_slot
from tableformat.storage.versions import Input, Slot, Tombstone, VersionFile, Versions

__all__ = ["Known", "commit_copy", "copy_tombstone", "inputs_at", "known_slots", "match"]


@dataclass(frozen=True, slots=True)
class Known:
    """One slot of an artifact, without its document."""

    slot: int
    """Its number."""
    root: str
    """The version digest."""
    is_deleted: bool
    """Whether it holds a tombstone."""


def known_slots(context: StoreContext, name: str) -> list[Known]:
    """Every slot of an artifact, oldest first; holds about 200 bytes for each. Empty where there is none of that name."""
    found = [Known(slot.slot, slot.root, isinstance(slot, Tombstone)) for slot in context.versions(name).iterate()]
    return found[::-1]


def match(source: Sequence[Known], target: Sequence[Known]) -> dict[int, Known]:
    """By slot of the source, the slot of the target that holds that version: the first one behind those matched before."""
    found: dict[int, Known] = {}
    behind = 0
    places: dict[str, list[int]] = {}
    for at, one in enumerate(target):
        places.setdefault(one.root, []).append(at)
    for one in source:
        place = next((at for at in places.get(one.root, ()) if at >= behind), None)
        if place is not None:
            found[one.slot] = target[place]
            behind = place + 1
    return found


def commit_copy(
    session: WriterSession, versions: Versions, version: VersionFile, inputs: Iterable[Input], behind: int
) -> tuple[Known, bool]:
    """Commit `version`, whose objects are durable at the target, as the next one there; its slot, and whether this made it.

    Where another writer has committed the same version in a slot after `behind` meanwhile, that one is the answer. Message, time, producer,
    base and report stay; the slot, the commit id and the predecessor are the target's.
    """
    body = dataclasses.replace(version, inputs=tuple(inputs), session=None)
    scanned = behind

    def next_body(body: VersionFile, head: Slot | None) -> VersionFile | None:
        nonlocal scanned
        while head is not None and scanned < head.slot:
            other = versions.read(scanned + 1)
            if isinstance(other, VersionFile) and other.root == body.root:
                found.append(Known(other.slot, other.root, is_deleted=False))
                return None
            scanned += 1
        return body

    found: list[Known] = []
    outcome = session.publish(versions, body, next_body)
    if found:
        return found[0], False
    return Known(outcome.version.slot, outcome.version.root, is_deleted=False), True


def copy_tombstone(target: StoreContext, name: str, tombstone: Tombstone) -> Known | None:
    """Take the slot of a version that was deleted, so that those after it keep their numbers; None where it is taken already."""
    series = Series(target.backend, f"{target.versions(name).folder}/versions", limit=MAX_VERSION_BYTES)
    target.backend.probe()
    data = encode_sealed(tombstone.to_json())

    def is_ours(found: bytes) -> bool:
        other = decode_slot(found, series.path(tombstone.slot), tombstone.slot)
        return isinstance(other, Tombstone) and other.root == tombstone.root

    other = series.create(tombstone.slot, data, is_ours)
    return None if other is not None else Known(tombstone.slot, tombstone.root, is_deleted=True)


def inputs_at(inputs: Iterable[Input], source: str, target: str) -> list[Input]:
    """What a version was made from, as the store at the root `target` names it: a version of the source gets an address."""
    if source == target:
        return list(inputs)
    found = []
    for one in inputs:
        name = f"{source}#{one.artifact}" if "#" not in one.artifact else one.artifact
        if name.startswith(f"{target}#"):
            name = parse_address(name).artifact
        found.append(dataclasses.replace(one, artifact=name))
    return found

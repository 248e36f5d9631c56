"""`copy_versions`: an artifact, or one version of it, from one store to another.

The order is that of every writer: blobs, parts, leaves, the root, the version file; then the index and the aliases. What is there is
not copied again, so a run that broke off is gone on with by running it once more. The target's session protects it from collections.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from tableformat.artifact import manifest_of
from tableformat.context import StoreContext
from tableformat.copying.aliases import copy_aliases
from tableformat.copying.blobs import BlobMover
from tableformat.copying.objects import Mover, Work
from tableformat.copying.reach import blob_uris, check_kinds, join_targets, leaf_files, part_files
from tableformat.copying.versions import Known, commit_copy, copy_tombstone, inputs_at, known_slots, match
from tableformat.document import JsonObject
from tableformat.errors import CommitStateUnknownError, ConflictError, NotFoundError, UsageError, message
from tableformat.format.documents import check_requires
from tableformat.log import logger
from tableformat.progress import Meter, Progress
from tableformat.storage.manifests import iter_items, root_path
from tableformat.storage.names import Selector
from tableformat.storage.sessions import WriterSession
from tableformat.storage.versions import Tombstone, VersionFile

__all__ = ["Copied", "CopiedVersion", "Joins", "copy_versions"]

Joins = Literal["copy", "leave"]
"""What becomes of versions of other artifacts that joined tables read."""
_MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class CopiedVersion:
    """One version of the source, at the target."""

    name: str
    """Name of the artifact at the target."""
    source: int | None
    """Its slot in the source; None where rows of it were copied."""
    slot: int
    """Its slot at the target."""
    digest: str
    """The version digest: the same on both sides, but where rows were copied."""
    created: bool
    """Whether this run committed it; otherwise it was there."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did."""

    name: str
    """Name of the artifact at the target."""
    versions: tuple[CopiedVersion, ...]
    """The versions asked for, in order of their slots at the source; then those that their joined tables read."""
    aliases: dict[str, str] = field(default_factory=dict)
    """The aliases that were set, or were right, and the version that each names at the target."""
    left: tuple[str, ...] = ()
    """What was not copied, and why: aliases, versions that were deleted at the target, sides of joined tables."""
    files_moved: int = 0
    """Objects written."""
    files_there: int = 0
    """Objects that the target had."""
    bytes_moved: int = 0
    """Bytes of the objects and blobs that were written."""
    blobs_there: int = 0
    """Blobs that the target had in other files; moved/ says where."""
    bytes_there: int = 0
    """Their bytes."""
    blobs_erased: int = 0
    """Blobs that were erased, here or there, and so were not copied."""

    @property
    def created(self) -> int:
        """How many versions were committed."""
        return sum(version.created for version in self.versions)


def copy_versions(
    source: StoreContext,
    target: StoreContext,
    name: str,
    selector: Selector | None = None,
    new_name: str | None = None,
    *,
    joins: Joins = "copy",
    progress: Progress = True,
    workers: int | None = None,
) -> Copied:
    """Copy the artifact `name` with all its versions, or the one that `selector` names; see `Store.copy_to`."""
    new_name = new_name or name
    if source.root == target.root and name == new_name:
        raise UsageError(
            message(
                "copying an artifact",
                path=f"{source.root}#{name}",
                expected="another store, or another name",
                got="the same",
            )
        )
    session = WriterSession(target.backend, new_name, target.ensure)
    workers = workers or (min(os.cpu_count() or 1, 4) if source.backend.is_local and target.backend.is_local else 8)
    with Meter(f"copying {name}", None, "bytes", progress) as meter, Work(workers) as work:
        run = _Run(source, target, session, Mover(source.backend, session.backend, meter), work, joins)
        try:
            if selector is None:
                run.copy_all(name, new_name)
            else:
                run.copy_one(new_name, _version(source, name, selector))
        except CommitStateUnknownError:
            raise  # its session protects what may be published
        except BaseException:
            run.abort()
            session.end()
            raise
        session.end()
    return run.told(new_name)


def _version(source: StoreContext, name: str, selector: Selector) -> VersionFile:
    if selector.digest is None:
        return source.resolve(name, selector)
    found = source.find_slot(name, selector.digest)
    if found is None:
        raise NotFoundError(
            message(
                "copying a version", path=f"{source.root}#{name}@{selector.digest}", got="no version with that digest"
            )
        )
    check_requires(found.requires, writing=False, path=f"{source.root}#{name}:v{found.slot}")
    return found


class _Run:
    """One run. Belongs to one thread."""

    def __init__(
        self, source: StoreContext, target: StoreContext, session: WriterSession, mover: Mover, work: Work, joins: Joins
    ) -> None:
        self._source, self._target, self._session = source, target, session
        self._mover, self._work, self._joins = mover, work, joins
        self._blobs = BlobMover(mover, work)
        self._versions: list[CopiedVersion] = []
        self._joined: list[CopiedVersion] = []
        self._aliases: dict[str, str] = {}
        self._left: list[str] = []
        self._roots: set[str] = set()

    def told(self, name: str) -> Copied:
        """What was done."""
        mover, blobs = self._mover, self._blobs
        return Copied(
            name, (*self._versions, *self._joined), self._aliases, tuple(dict.fromkeys(self._left)), mover.files_moved, mover.files_there,
            mover.bytes_moved, blobs.blobs_there, blobs.bytes_there, blobs.blobs_erased,
        )  # fmt: skip

    def abort(self) -> None:
        """Stop writing."""
        self._blobs.abort()

    def copy_all(self, name: str, new_name: str) -> None:
        """Every version in order, then the aliases."""
        here = known_slots(self._source, name)
        if not here:
            raise NotFoundError(
                message(
                    "copying an artifact",
                    path=f"{self._source.root}#{name}",
                    expected="an artifact of the store",
                    got=repr(name),
                )
            )
        there = known_slots(self._target, new_name)
        slots = match(here, there)
        self._tell_others(new_name, here, there)
        behind = -1
        for one in here:
            known = slots.get(one.slot)
            if known is None:
                known = self._copy_slot(name, new_name, one, behind)
                if known is not None:
                    slots[one.slot] = known
            elif not one.is_deleted:
                self._note_there(new_name, one, known)
            behind = behind if known is None else max(behind, known.slot)
        self._aliases, left = copy_aliases(self._source, self._target, name, new_name, slots)
        self._left += left

    def copy_one(self, new_name: str, version: VersionFile) -> None:
        """One version, wherever the target may have it."""
        there = known_slots(self._target, new_name)
        found = next((one for one in reversed(there) if one.root == version.root and not one.is_deleted), None)
        if found is not None:
            self._roots.add(version.root)
            self._versions.append(CopiedVersion(new_name, version.slot, found.slot, found.root, created=False))
            return
        self._versions.append(self._commit(new_name, version, there[-1].slot if there else -1, 0))

    # Within

    def _tell_others(self, name: str, here: Sequence[Known], there: Sequence[Known]) -> None:
        """What is copied now comes after what others committed at the target."""
        roots = {one.root for one in here}
        others = [f"v{one.slot}" for one in there if one.root not in roots and not one.is_deleted]
        if others:
            logger.info(
                "%s#%s holds versions that are not from the source, and stay: %s",
                self._target.root,
                name,
                ", ".join(others[-20:]),
            )

    def _note_there(self, name: str, one: Known, known: Known) -> None:
        self._roots.add(one.root)
        if known.is_deleted:
            self._left.append(f"v{one.slot}: it was deleted at the target, as v{known.slot}")
        else:
            self._versions.append(CopiedVersion(name, one.slot, known.slot, one.root, created=False))

    def _copy_slot(self, name: str, new_name: str, one: Known, behind: int) -> Known | None:
        found = self._source.versions(name).read(one.slot)
        if isinstance(found, Tombstone):  # its number is kept where it is the next one
            self._session.begin()
            return copy_tombstone(self._target, new_name, found) if behind == one.slot - 1 else None
        version = self._source.versions(name).require(one.slot)
        made = self._commit(new_name, version, behind, 0)
        self._versions.append(made)
        return Known(made.slot, made.digest, is_deleted=False)

    def _commit(self, name: str, version: VersionFile, behind: int, depth: int) -> CopiedVersion:
        """Copy all that a version reaches, then commit it."""
        self._session.begin()
        manifest = manifest_of(self._source, version)
        items = list(iter_items(self._source.backend, manifest.entries))
        check_kinds(items, f"{self._source.root}@{version.root}")
        self._roots.add(version.root)
        self._bring_joined(items, depth)
        backend = self._source.backend
        self._blobs.copy(blob_uris(backend, items))
        for files in (part_files(backend, items), leaf_files(backend, manifest.entries, items)):
            for path, digest, size in files:
                self._work.submit(partial(self._mover.copy, path, digest, size))
            self._work.drain()
        self._mover.copy(root_path(version.root), version.root, version.root_size)
        inputs = inputs_at(version.inputs, self._source.root, self._target.root)
        known, created = commit_copy(self._session, self._target.versions(name), version, inputs, behind)
        self._blobs.publish()
        return CopiedVersion(name, version.slot, known.slot, known.root, created)

    def _bring_joined(self, items: list[JsonObject], depth: int) -> None:
        """The versions that joined tables read: copied, unless the target has them, or told."""
        for side in join_targets(items):
            assert side.artifact is not None
            assert side.digest is not None
            if side.digest in self._roots or self._target.find_slot(side.artifact, side.digest) is not None:
                continue
            if self._joins == "leave":
                self._left.append(f"{side.artifact}@{side.digest}: a joined table reads {side.path!r} of it")
                continue
            self._copy_side(side.artifact, side.digest, depth)

    def _copy_side(self, name: str, digest: str, depth: int) -> None:
        version = self._source.find_slot(name, digest)
        place = f"{self._source.root}#{name}@{digest}"
        if version is None or depth > _MAX_DEPTH:
            raise NotFoundError(
                message("copying what a joined table reads", path=place, expected="a version of the source", got="none with that digest",
                        todo="leave it: joins='leave', or --no-joins; the joined table cannot be read at the target then")
            )  # fmt: skip
        there = known_slots(self._target, name)
        roots = {one.root for one in known_slots(self._source, name)}
        if others := [f"v{one.slot}" for one in there if one.root not in roots and not one.is_deleted]:
            raise ConflictError(
                message("copying what a joined table reads", path=place, expected=f"{name!r} at the target with versions of the source alone",
                        got=f"{', '.join(others[:20])} of its own", todo=f"copy {name!r} itself first, or leave it: joins='leave', or --no-joins")
            )  # fmt: skip
        check_requires(version.requires, writing=False, path=place)
        self._joined.append(self._commit(name, version, there[-1].slot if there else -1, depth + 1))

"""Artifacts of old where they lie: one folder for each version, its manifest inside, beside, or missing; and each other.

An artifact may use files of another: its manifest then names the other by an id. Ids are resolved by `identities`, or by
looking for a file of the same path and digest in all artifacts that are at hand; only one may have it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from tableformat.convert.legacy.folder import Folder, check_relative
from tableformat.convert.legacy.manifest import Manifest, ManifestEntry, parse_ref, read_manifest
from tableformat.errors import FormatError, IllegalNameError, InvalidInputError, Problem, TableformatError, message

__all__ = ["MANIFEST_NAME", "Library", "Located", "SourceArtifact", "read_identities", "split_label"]

MANIFEST_NAME: Final = "wandb_manifest.json"
_LABEL: Final = re.compile(r"(.+?)(?::|-)v(\d+)")
_MAX_MANIFEST: Final = 4 << 30
_MAX_HOPS: Final = 8
_MAX_COMPARED: Final = 1000


def split_label(name: str) -> tuple[str, int] | None:
    """Name and version of a folder called `name:v3`, or `name-v3` where folders have no colons."""
    found = _LABEL.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


class Located(NamedTuple):
    """Where the bytes of a path are."""

    artifact: SourceArtifact | None
    """The artifact that holds the file; None where nothing at hand does."""
    path: str
    """The path in it."""
    entry: ManifestEntry | None = None
    """The line of the manifest that was asked."""
    uri: str | None = None
    """What it refers to, where it is no file that is owned."""

    @property
    def is_missing(self) -> bool:
        """Whether there is neither a file nor anything to refer to."""
        return self.artifact is None and self.uri is None


class SourceArtifact:
    """One version of an artifact of old."""

    def __init__(
        self,
        label: str,
        folder: Folder,
        manifest: Manifest | None,
        problems: Iterable[Problem] = (),
        *,
        only: str | None = None,
    ) -> None:
        self.label = label
        """`name:v3`, or the name of its folder."""
        self.folder = folder
        self.manifest = manifest
        self.problems = list(problems)
        """What is wrong with its manifest."""
        self._only = only  # one file of a folder that may hold anything: it is not listed
        self._files: dict[str, int | None] | None = None if only is None else {only: folder.size(only)}
        self._digest: str | None = None

    @classmethod
    def open(
        cls,
        folder: Folder,
        label: str | None = None,
        manifest: tuple[Folder, str] | None = None,
        only: str | None = None,
    ) -> SourceArtifact:
        """The artifact in `folder`, or of it the file `only`. Its manifest is the one given, or `wandb_manifest.json` in it, or beside it
        `<folder>.wandb_manifest.json`; or there is none."""
        if label is None:
            named = split_label(folder.name)
            label = folder.name if named is None else f"{named[0]}:v{named[1]}"
        beside = folder.beside()
        places = [manifest] if manifest else [(folder, MANIFEST_NAME), (beside, f"{folder.name}.{MANIFEST_NAME}")]
        for place, path in places:
            if place is not None and place.size(path) is not None:
                try:
                    found, problems = read_manifest(place.read(path, _MAX_MANIFEST), path)
                except FormatError as error:
                    return cls(
                        label, folder, None, [Problem(path, f"not a manifest, and not used: {error}", "manifest")]
                    )
                return cls(label, folder, found, problems, only=only)
        return cls(label, folder, None, only=only)

    @property
    def name(self) -> str:
        """Its name, without the version."""
        named = split_label(self.label)
        return self.label if named is None else named[0]

    @property
    def version(self) -> int | None:
        """The number of its version."""
        named = split_label(self.label)
        return None if named is None else named[1]

    @property
    def files(self) -> Mapping[str, int | None]:
        """The files that are there, in order of name, and their bytes; None for links. Lists the folder, once."""
        if self._files is None:
            self._files = {path: size for path, size in self.folder.files() if path != MANIFEST_NAME}
        return self._files

    def has(self, path: str) -> bool:
        """Whether there is a file at `path`."""
        return path in self.files or (self._only is not None and self.folder.size(path) is not None)

    def paths(self) -> Iterator[str]:
        """All paths: those of the manifest in its order, then files that it does not name."""
        entries = {} if self.manifest is None else self.manifest.entries
        yield from entries
        yield from (path for path in self.files if path not in entries)

    def entry(self, path: str) -> ManifestEntry | None:
        """The line of the manifest."""
        return None if self.manifest is None else self.manifest.entries.get(path)

    def refs(self) -> Iterator[ManifestEntry]:
        """The entries that point into other artifacts."""
        if self.manifest is not None:
            yield from (entry for entry in self.manifest.entries.values() if parse_ref(entry.ref) is not None)

    def holds(self, entry: ManifestEntry) -> bool:
        """Whether its file of that path has the digest of `entry`, by its manifest or by its bytes."""
        target = parse_ref(entry.ref)
        assert target is not None
        try:
            path = check_relative(target.path)
        except IllegalNameError:
            return False
        own = self.entry(path)
        if own is not None:
            return own.digest == entry.digest
        if self.manifest is not None or not self.has(path):
            return False
        return ManifestEntry(path, entry.digest, None).problem_of(self.folder.read(path)) is None

    @property
    def digest(self) -> str:
        """A digest of what is there: the manifest and the sizes of the files, or all their bytes where there is none."""
        if self._digest is None:
            state = hashlib.sha256()
            if self.manifest is not None:
                state.update(self.manifest.digest.encode())
            state.update(json.dumps(list(self.files.items())).encode())
            if self.manifest is None:
                for path in self.files:
                    state.update(self._hash_of(path))
            self._digest = "sha256:" + state.hexdigest()
        return self._digest

    def _hash_of(self, path: str) -> bytes:
        state = hashlib.sha256()
        try:
            with self.folder.open(path) as file:
                while chunk := file.read(1 << 20):
                    state.update(chunk)
        except TableformatError as error:
            state.update(str(error.kind).encode())
        return state.digest()


class Library:
    """The artifacts at hand."""

    def __init__(self, artifacts: Iterable[SourceArtifact] = (), identities: Mapping[str, str] | None = None) -> None:
        self.artifacts = {artifact.label: artifact for artifact in artifacts}
        """By label."""
        self._identities: dict[str, str | None] = dict(identities or {})

    def resolve(self, owner: SourceArtifact, entry: ManifestEntry) -> tuple[SourceArtifact, str] | None:
        """The artifact and path that an entry of `owner` means; None where that cannot be told, or is not at hand."""
        target = parse_ref(entry.ref)
        if target is None:
            return None
        if target.artifact not in self._identities:
            self._identify(owner, target.artifact)
        found = self.artifacts.get(self._identities[target.artifact] or "")
        return None if found is None else (found, target.path)

    def _identify(self, owner: SourceArtifact, artifact_id: str) -> None:
        """Which artifact an id means: the only one that has every file of it that `owner` refers to."""
        entries: list[ManifestEntry] = []
        for entry in owner.refs():
            target = parse_ref(entry.ref)
            if target is not None and target.artifact == artifact_id and len(entries) < _MAX_COMPARED:
                entries.append(entry)
        candidates = [
            other for other in self.artifacts.values() if other is not owner and all(map(other.holds, entries))
        ]
        self._identities[artifact_id] = candidates[0].label if len(candidates) == 1 and entries else None

    def dependencies(self, owner: SourceArtifact) -> dict[str, str | None]:
        """The ids of artifacts that `owner` refers to, and what they are called; None for one that is not known."""
        found: dict[str, str | None] = {}
        for entry in owner.refs():
            target = parse_ref(entry.ref)
            if target is not None and target.artifact not in found:
                other = self.resolve(owner, entry)
                found[target.artifact] = None if other is None else other[0].label
        return found

    def locate(self, owner: SourceArtifact, path: str, table_ref: str | None = None) -> Located:
        """Where the bytes of `path` are, which a file of `owner` names. `table_ref` is the reference by which that file
        itself came from another artifact, whose paths it then speaks of."""
        path = check_relative(path)
        found = self._in(owner, path, 0)
        if not found.is_missing or table_ref is None:
            return found
        target = parse_ref(table_ref)
        if target is None:
            return found
        return Located(None, path, found.entry, table_ref[: len(table_ref) - len(target.path)] + path)

    def _in(self, owner: SourceArtifact, path: str, hops: int) -> Located:
        entry = owner.entry(path)
        is_here = owner.has(path)
        if entry is None or entry.ref is None:
            return Located(owner if is_here else None, path, entry)
        if parse_ref(entry.ref) is None:
            return Located(None, path, entry, entry.ref)
        other = self.resolve(owner, entry) if hops < _MAX_HOPS else None
        if other is not None and other[0] is not owner:
            try:
                there = self._in(other[0], check_relative(other[1]), hops + 1)
            except IllegalNameError:
                there = Located(None, path, entry)
            if not there.is_missing:
                return there
        if is_here:
            return Located(owner, path, entry)
        return Located(None, path, entry, entry.ref)


def read_identities(data: bytes, path: str = "identities") -> dict[str, str]:
    """A JSON object that maps ids to `name:v3`. Ids are hex, as in references, or base64, as the service shows them, or those
    of clients. Raises `InvalidInputError`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            message("reading identities", path=path, expected="JSON", got=str(error)[:100])
        ) from error
    if not isinstance(value, dict) or not all(
        isinstance(label, str) and split_label(label) for label in value.values()
    ):
        raise InvalidInputError(
            message(
                "reading identities",
                path=path,
                expected='an object such as {"41727469…": "name:v3"}',
                got=repr(value)[:100],
            )
        )
    found = {}
    for key, label in value.items():
        found[key] = label
        try:
            found[base64.b64decode(key, validate=True).hex()] = label
        except (binascii.Error, ValueError):
            pass
    return found

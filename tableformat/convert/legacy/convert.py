"""Artifacts of old to versions of a store: one, or a folder of many in the order of what they are made from.

A version remembers in its producer what it was made from and a digest of that. Running a conversion again finds it, and does
nothing; a dependency that was missing and is there now changes the digest, and makes a new version.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import tableformat
from tableformat.convert.legacy.artifact import ArtifactJob, Step
from tableformat.convert.legacy.folder import Folder, Options, open_folder, split_url
from tableformat.convert.legacy.names import artifact_name, unique_name
from tableformat.convert.legacy.report import ArtifactReport, ConversionReport
from tableformat.convert.legacy.source import MANIFEST_NAME, Library, SourceArtifact, read_identities, split_label
from tableformat.convert.legacy.text import decode_object
from tableformat.errors import InvalidInputError, NotFoundError, TableformatError, UsageError, message
from tableformat.progress import Meter, Progress

__all__ = ["DOCUMENT", "convert_wandb", "neighbours_of", "source_document", "split_source"]

DOCUMENT: Final = "source.json"
"""The entry that tells how a version came from its source: columns as they were, keys, paths (spec/legacy.md)."""
_FORM: Final = 1
_ROOT_LEVELS: Final = 6
Path = str | os.PathLike[str]


def convert_wandb(
    source: Path,
    store: tableformat.Store | Path,
    *,
    artifact: str | None = None,
    manifest: Path | None = None,
    identities: Mapping[str, str] | Path | None = None,
    sidecar: Mapping[str, Any] | Path | None = None,
    storage_options: Options | None = None,
    strict: bool = False,
    progress: Progress = True,
) -> ConversionReport:
    """Convert what lies at `source`, a path or any URL that fsspec knows, into versions of `store`.

    `source` is the folder of a downloaded artifact, one `*.table.json`, or a folder of artifacts (`name:v3`, `name-v3`), which
    are converted in the order of their dependencies and versions. `artifact` names what one artifact becomes. `manifest` says
    where its manifest is, if it is neither in it nor beside it. `identities` maps ids of artifacts to `name:v3`; others are
    found by path and digest. `sidecar` tells what the files do not (spec/legacy.md). `storage_options` go to the file system of
    the source, and of these three. With `strict`, anything odd is an error.

    What an earlier run did is found again and left alone. Of many artifacts one that fails does not stop the others; a single
    one raises `InvalidInputError`, `NotFoundError`, `BackendError`. Holds at most 150 MB whatever the size.
    """
    target = store if isinstance(store, tableformat.Store) else tableformat.open_store(store)
    ids = (
        identities
        if isinstance(identities, Mapping) or identities is None
        else read_identities(_read(identities, storage_options), os.fspath(identities))
    )
    told = _sidecar(sidecar, storage_options)
    folder, only = split_source(source, storage_options)
    versions = _versions_in(folder) if only is None else []
    if versions:
        if artifact is not None or manifest is not None:
            raise UsageError(
                message(
                    "converting artifacts",
                    path=folder.root,
                    expected="one artifact",
                    got=f"a folder of {len(versions)}",
                    todo="leave out artifact and manifest",
                )
            )
        sources = [SourceArtifact.open(folder.below(name)) for name in versions]
        library = Library(sources, ids)
    else:
        one = SourceArtifact.open(folder, None, None if manifest is None else _file(manifest, storage_options), only)
        others = neighbours_of(folder) if any(True for _ in one.refs()) else []
        sources, library = [one], Library([one, *others], ids)
    job = _Conversion(target, library, told, strict, artifact)
    report = ConversionReport()
    with Meter("converting", sum(len(one.files) for one in sources), "files", progress) as meter:
        for one in _in_order(sources, library):
            report.artifacts.append(job.convert(one, report, meter, only, alone=len(sources) == 1))
    return report


def source_document(artifact: tableformat.Artifact) -> dict[str, Any]:
    """How a version came from its source; empty for one that was not converted."""
    found = artifact.metadata.get("source")
    if not isinstance(found, dict) or found.get("format") != "wandb" or found.get("document") not in artifact:
        return {}
    document: dict[str, Any] = json.loads(artifact[found["document"]].bytes())
    return document


class _Steps:
    """The files of one artifact on the progress bar: those that are done, then all of them."""

    def __init__(self, meter: Meter, count: int) -> None:
        self._meter, self._left = meter, count

    def step(self, count: int) -> None:
        """Count files that are done; those that are no files of the artifact are not counted."""
        count = min(count, self._left)
        self._left -= count
        self._meter.step(count)

    def finish(self) -> None:
        """Count those that became part of others."""
        self.step(self._left)


class _Conversion:
    """What is the same for all artifacts of a run."""

    def __init__(
        self, store: tableformat.Store, library: Library, sidecar: Mapping[str, Any], strict: bool, name: str | None
    ) -> None:
        self._store, self._library, self._sidecar, self._strict, self._name = store, library, sidecar, strict, name
        self._names: dict[str, str] = {}

    def convert(
        self, source: SourceArtifact, done: ConversionReport, meter: Meter, only: str | None, *, alone: bool
    ) -> ArtifactReport:
        """Convert one artifact, or find that it was."""
        report = ArtifactReport(source.label)
        steps = _Steps(meter, len(source.files))
        try:
            self._convert(source, report, done, steps.step, only)
        except TableformatError as error:
            if alone:
                raise
            report.state, report.error = "failed", str(error)
        steps.finish()
        return report

    def _convert(
        self, source: SourceArtifact, report: ArtifactReport, done: ConversionReport, step: Step, only: str | None
    ) -> None:
        name = self._target_name(source)
        told = self._sidecar.get(source.label, {})
        digest = self._digest_of(source, told, only)
        earlier = self._find(name, digest=digest)
        if earlier is not None:
            report.state, report.target = "unchanged", earlier
            return
        about = {
            key: told[key]
            for key in ("aliases", "created_at", "description", "inputs", "metadata", "producer")
            if key in told
        }
        summary = {"format": "wandb", "artifact": source.label, "document": DOCUMENT, **about}
        draft = self._store.draft(
            name,
            type=str(told.get("type") or "dataset")[:128],
            metadata={"source": summary},
            message=f"converted from {source.label}",
            producer={"job_type": "convert", "source": {"format": "wandb", "artifact": source.label, "digest": digest}},
        )
        with draft:
            job = ArtifactJob(source, self._library, draft, report, step, only, grant=self._store.context.outside.grant)
            unique_name(DOCUMENT, job.taken)
            job.run()
            self._check(source, report)
            self._use(
                draft,
                sorted({*job.source_labels(), *(one for one in told.get("inputs", ()) if isinstance(one, str))}),
                done,
            )
            document = {"format": _FORM, "artifact": source.label, "tables": job.tables, "entries": job.others}
            draft.add(tableformat.File(json.dumps(document, sort_keys=True).encode(), DOCUMENT), DOCUMENT)
            committed = draft.commit()
        report.state, report.target = "converted", f"{committed.name}:{committed.version}"
        report.bytes_out = draft.report.bytes_new

    def _check(self, source: SourceArtifact, report: ArtifactReport) -> None:
        if self._strict and report.warnings:
            raise InvalidInputError(
                message(
                    "converting strictly",
                    path=source.label,
                    expected="nothing odd",
                    got=f"{len(report.warnings)} warnings",
                ),
                report.warnings,
            )

    def _target_name(self, source: SourceArtifact) -> str:
        if self._name is not None:
            return self._name
        if source.name not in self._names:
            self._names[source.name] = artifact_name(source.name, self._names.values())
        return self._names[source.name]

    def _digest_of(self, source: SourceArtifact, told: Mapping[str, Any], only: str | None) -> str:
        """A digest of all that a conversion reads: its files, those it refers to, and what the sidecar tells."""
        artifacts = self._library.artifacts
        others = {
            key: None if label is None else artifacts[label].digest
            for key, label in self._library.dependencies(source).items()
        }
        value = [_FORM, source.label, source.digest, others, told, only]
        return "sha256:" + hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def _find(self, name: str, *, digest: str | None = None, label: str | None = None) -> str | None:
        """The newest version that was made from a source with this digest, or of this label."""
        try:
            versions = self._store.versions(name)
        except NotFoundError:
            return None
        for version in reversed(versions):
            found = json.loads(version.producer).get("source")
            if (
                isinstance(found, dict)
                and found.get("format") == "wandb"
                and (found.get("digest") == digest if digest else found.get("artifact") == label)
            ):
                return f"{name}:v{version.slot}"
        return None

    def _use(self, draft: tableformat.Draft, labels: Sequence[str], done: ConversionReport) -> None:
        """Record what the draft was made from, as far as that was converted too."""
        for label in labels:
            named = split_label(label)
            target = done.target_of(label) or (
                None if named is None else self._find(artifact_name(named[0]), label=label)
            )
            if target is not None:
                draft.use(target)


def _versions_in(folder: Folder) -> list[str]:
    """The folders of artifacts in a folder of many; none where it is an artifact itself, whose folders may be called as they like."""
    names = folder.folders()
    beside = folder.beside()
    is_one = split_label(folder.name) is not None or "media" in names or folder.size(MANIFEST_NAME) is not None
    if is_one or (beside is not None and beside.size(f"{folder.name}.{MANIFEST_NAME}") is not None):
        return []
    return [name for name in names if split_label(name)]


def _in_order(sources: Sequence[SourceArtifact], library: Library) -> list[SourceArtifact]:
    """Dependencies before what uses them, versions of one artifact by number."""
    ordered = sorted(sources, key=lambda one: (one.name, one.version or 0))
    labels = {one.label: one for one in ordered}
    before = {
        one.label: [
            label
            for label in library.dependencies(one).values()
            if label is not None and label in labels and label != one.label
        ]
        for one in ordered
    }
    for first, second in pairwise(ordered):
        if first.name == second.name:
            before[second.label].append(first.label)
    done: dict[str, None] = {}
    for one in ordered:
        stack = [one.label]
        path: set[str] = set()
        while stack:
            label = stack[-1]
            waiting = [other for other in before[label] if other not in done and other not in path]
            if label in done or not waiting:
                done.setdefault(label)
                stack.pop()
            else:
                path.add(label)  # a circle is cut where it closes
                stack.append(waiting[0])
    return [labels[label] for label in done]


def neighbours_of(folder: Folder) -> list[SourceArtifact]:
    """Other artifacts that lie beside one: where its files may come from."""
    beside = folder.beside() if split_label(folder.name) else None
    if beside is None:
        return []
    return [
        SourceArtifact.open(beside.below(name))
        for name in beside.folders()
        if name != folder.name and split_label(name)
    ]


def split_source(source: Path, storage_options: Options | None = None) -> tuple[Folder, str | None]:
    """The folder of an artifact, and the one file of it that is meant, if it is one.

    Of a single file, the artifact is the folder above it that is called like one (`name:v3`), or its own folder.
    """
    text = os.fspath(source)
    head, last = split_url(text)
    if not last.endswith(".json"):
        return open_folder(text, storage_options), None
    own = folder = open_folder(head, storage_options, is_there=False)
    if folder.size(last) is None:
        raise NotFoundError(message("converting", path=folder.root, expected=f"a file {last!r}", got="nothing there"))
    names = [last]
    for _ in range(_ROOT_LEVELS):
        if split_label(folder.name):
            return folder, "/".join(names)
        above = folder.beside()
        if above is None:
            break
        names.insert(0, folder.name)
        folder = above
    return own, last


def _file(path: Path, storage_options: Options | None) -> tuple[Folder, str]:
    head, last = split_url(os.fspath(path))
    return open_folder(head, storage_options if "://" in head else None, is_there=False), last


def _read(path: Path, storage_options: Options | None) -> bytes:
    folder, name = _file(path, storage_options)
    return folder.read(name, 64 << 20)


def _sidecar(value: Mapping[str, Any] | Path | None, storage_options: Options | None) -> Mapping[str, Any]:
    """What a sidecar file tells, by `name:v3`."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        value, _ = decode_object(_read(value, storage_options), os.fspath(value))
    if not isinstance(value, Mapping) or not all(
        isinstance(one, Mapping) and split_label(str(label)) for label, one in value.items()
    ):
        raise InvalidInputError(
            message(
                "reading a sidecar",
                expected='an object such as {"name:v3": {"aliases": […], …}}',
                got=repr(value)[:200],
            )
        )
    return value

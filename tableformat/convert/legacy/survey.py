"""What the files of an artifact are: found by what stands in them, with their names as a hint."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from tableformat.convert.legacy.manifest import parse_ref
from tableformat.convert.legacy.report import ArtifactReport
from tableformat.convert.legacy.source import Library, Located, SourceArtifact
from tableformat.convert.legacy.text import decode_object
from tableformat.convert.legacy.types import MEDIA_KINDS
from tableformat.errors import IllegalNameError, TableformatError

__all__ = ["Found", "Survey", "survey"]

_SNIFF: Final = 4096
_MAX_OBJECT: Final = 64 << 20
_TYPE: Final = re.compile(rb'\A(?:\xef\xbb\xbf)?\s*\{\s*"_type"\s*:\s*"([^"\\]{1,64})"')
_ROWS: Final = re.compile(rb'\A(?:\xef\xbb\xbf)?\s*\{\s*"(?:columns|data)"\s*:')
_MODE: Final = re.compile(rb'"log_mode"\s*:\s*"INCREMENTAL"')
_INCREMENT: Final = re.compile(r"(?:(.*)/)?(None|\d+)-(\d+)\.(.+)\.table\.json", re.DOTALL)
_OBJECTS: Final = ("classes", "joined-table", "partitioned-table", *MEDIA_KINDS)


@dataclass(frozen=True, slots=True)
class Found:
    """One file that is more than a file."""

    path: str
    """Its path in the artifact."""
    located: Located
    """Where its bytes are."""
    value: Any = None
    """What stands in it; None for tables, which are read row by row."""


@dataclass(slots=True)
class Survey:
    """The files of one artifact by what they are, each list in the order of the manifest."""

    tables: dict[str, Found] = field(default_factory=dict)
    classes: dict[str, Found] = field(default_factory=dict)
    media: dict[str, Found] = field(default_factory=dict)
    joined: dict[str, Found] = field(default_factory=dict)
    partitioned: dict[str, Found] = field(default_factory=dict)
    increments: dict[str, list[str]] = field(default_factory=dict)
    """Names of incremental tables, and their increments, in order."""
    order: list[str] = field(default_factory=list)
    """All paths."""


def survey(artifact: SourceArtifact, library: Library, report: ArtifactReport) -> Survey:
    """Look at the beginning of each JSON file, and read those that are small objects. Warns of what is not what it is called."""
    found = Survey()
    for path in artifact.paths():
        found.order.append(path)
        if not path.endswith(".json"):
            continue
        entry = artifact.entry(path)
        if entry is not None and entry.ref is not None and parse_ref(entry.ref) is None:
            continue  # it lies elsewhere, and stays there
        try:
            located = library.locate(artifact, path)
        except IllegalNameError:
            continue  # told where files are carried over
        if located.artifact is None:
            continue
        try:
            _look(path, located, found, report)
        except TableformatError as error:
            report.warn(path, f"carried over as a file: {error}", error.kind)
    for name, one in found.tables.items():
        parts = _INCREMENT.fullmatch(name)
        if parts is not None and _is_increment(one):
            folder = f"{parts[1]}/" if parts[1] else ""
            found.increments.setdefault(f"{folder}{parts[4]}", []).append(name)
    for names in found.increments.values():
        names.sort(key=_increment_order)
    return found


def _is_increment(one: Found) -> bool:
    """Whether a table says that it is a part of an incremental one: behind its rows, or before them."""
    assert one.located.artifact is not None
    folder, path = one.located.artifact.folder, one.located.path
    size = folder.size(path) or 0
    with folder.open(path) as file:
        head = file.read(_SNIFF)
        file.seek(max(0, size - _SNIFF))
        return _MODE.search(head) is not None or _MODE.search(file.read(_SNIFF)) is not None


def _increment_order(path: str) -> tuple[int, int]:
    parts = _INCREMENT.fullmatch(path)
    assert parts is not None
    return (-1 if parts[2] == "None" else int(parts[2][:18]), int(parts[3][:18]))


def _look(path: str, located: Located, found: Survey, report: ArtifactReport) -> None:
    assert located.artifact is not None
    with located.artifact.folder.open(located.path) as file:
        head = file.read(_SNIFF)
    told = _TYPE.match(head)
    kind = told[1].decode(errors="replace") if told is not None else None
    if kind == "table" or (kind is None and path.endswith("table.json") and _ROWS.match(head)):
        found.tables[path] = Found(path, located)
        return
    hinted = next((one for one in (*_OBJECTS, "table") if path.endswith(f"{one}.json")), None)
    if kind not in _OBJECTS and hinted is None:
        return
    if kind is None and hinted == "table":
        size = located.artifact.folder.size(located.path) or 0
        if size > _MAX_OBJECT:
            found.tables[path] = Found(
                path, located
            )  # its keys stand in another order, or it is none: reading will tell
            return
    data = located.artifact.folder.read(located.path, _MAX_OBJECT)
    report.bytes_in += len(data)
    entry = located.entry
    problem = None if entry is None or kind == "table" else entry.problem_of(data)
    if problem is not None and hinted != "table":
        report.warn(path, problem, "size" if "bytes where" in problem else "digest")
    value, problems = decode_object(data, path)
    report.warn_all(problems)
    kind = value.get("_type") if isinstance(value, dict) else None
    if kind == "table" or (isinstance(value, dict) and hinted == "table" and {"columns", "data"} <= value.keys()):
        found.tables[path] = Found(path, located)
        return
    if not isinstance(value, dict) or not _is_whole(kind, value):
        if kind in MEDIA_KINDS:
            report.note(
                path,
                f"carried over as a file: {kind} without a file of media, as the first releases wrote it",
                "no-media",
            )
        else:
            report.warn(
                path, f"carried over as a file: it is called a {hinted or kind} and holds something else", "impostor"
            )
        return
    if kind == "classes":
        found.classes[path] = Found(path, located, value)
    elif kind == "joined-table":
        found.joined[path] = Found(path, located, value)
    elif kind == "partitioned-table":
        found.partitioned[path] = Found(path, located, value)
    else:
        found.media[path] = Found(path, located, value)


def _is_whole(kind: Any, value: dict[str, Any]) -> bool:
    """Whether an object has what its kind needs."""
    if kind == "classes":
        return isinstance(value.get("class_set"), list)
    if kind == "joined-table":
        key = value.get("join_key")
        is_key = isinstance(key, str) or (
            isinstance(key, list) and 1 <= len(key) <= 2 and all(isinstance(one, str) for one in key)
        )
        return is_key and isinstance(value.get("table1"), str) and isinstance(value.get("table2"), str)
    if kind == "partitioned-table":
        return isinstance(value.get("parts_path"), str)
    if kind in MEDIA_KINDS:
        return isinstance(value.get("path"), str)
    return False

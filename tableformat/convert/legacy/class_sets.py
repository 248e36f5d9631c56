"""Class sets: `*.classes.json` files, inline objects, and the labels that column types hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import tableformat
from tableformat.convert.legacy.report import ArtifactReport
from tableformat.convert.legacy.text import decode_object
from tableformat.errors import FormatError, InvalidInputError

__all__ = ["ClassSets", "classes_of_map", "classes_of_set"]

_MAX_BYTES: Final = 64 << 20
SHARED_PATH: Final = "media/cls.classes.json"
"""Where all images of an artifact kept their classes once: the second set and those after it were dropped."""


class ClassSets:
    """The class sets of one artifact, each read once."""

    def __init__(
        self, read: Callable[[str, str | None, object, int | None], bytes | None], report: ArtifactReport
    ) -> None:
        self._read, self._report = read, report
        self._is_told = False
        self._known: dict[tuple[str, str | None], tableformat.Classes | None] = {}

    def of_cell(
        self, value: Any, table_ref: str | None, place: object, *, of_image: bool = False
    ) -> tableformat.Classes | None:
        """The classes that `{"type": "classes-file", "path": …}` or an inline object names; None where there are none."""
        if not isinstance(value, Mapping):
            return None
        if isinstance(value.get("class_set"), list):
            return classes_of_set(value["class_set"], place, self._report)
        path = value.get("path")
        if not isinstance(path, str):
            return None
        if of_image and path == SHARED_PATH and not self._is_told:
            self._is_told = True
            self._report.note(
                path,
                "images of its time all point at this class set, whichever was theirs: labels are sure only where there was one set",
                "shared-classes",
            )
        key = (path, table_ref)
        if key not in self._known:
            self._known[key] = self._load(path, table_ref, place)
        return self._known[key]

    def _load(self, path: str, table_ref: str | None, place: object) -> tableformat.Classes | None:
        data = self._read(path, table_ref, place, _MAX_BYTES)
        if data is None:
            self._report.warn(place, f"the class set {path!r} is missing", "missing-media")
            return None
        try:
            value, problems = decode_object(data, path)
        except FormatError as error:
            self._report.warn(path, str(error), "format")
            return None
        self._report.warn_all(problems)
        found = value.get("class_set") if isinstance(value, dict) else None
        if not isinstance(found, list):
            self._report.warn(path, "no class set: it has no list 'class_set'", "format")
            return None
        return classes_of_set(found, path, self._report)


def classes_of_set(items: list[Any], place: object, report: ArtifactReport) -> tableformat.Classes | None:
    """The classes of a list of `{"id": …, "name": …}`. Ids that are no numbers are numbered, and kept as `legacy_id`; of an id
    that stands twice the last counts."""
    listed: dict[int, dict[str, Any]] = {}
    odd = []
    for index, item in enumerate(items):
        if not isinstance(item, Mapping) or "id" not in item:
            report.warn(f"{place}, class {index}", "no id", "classes")
            continue
        id_ = _number(item["id"])
        name = item.get("name")
        entry = {**item, "name": name if isinstance(name, str) else str(name)}
        if id_ is None:
            odd.append(entry)
            continue
        if id_ in listed:
            report.warn(f"{place}, class {index}", f"the id {id_} stands twice; the last one counts", "classes")
        listed[id_] = {**entry, "id": id_}
    following = max(listed, default=-1) + 1
    for number, entry in enumerate(odd, start=following):
        report.warn(place, f"the id {entry['id']!r:.80} is no number: class {number}", "classes")
        listed[number] = {**entry, "id": number, "legacy_id": entry["id"]}
    try:
        return tableformat.Classes(listed.values())
    except InvalidInputError as error:
        report.warn(place, f"the class set is not kept: {error}", "classes")
        return None


def classes_of_map(value: Any) -> tableformat.Classes | None:
    """The classes of a mapping of id to name; None for anything else, and for an empty one."""
    if not isinstance(value, Mapping) or not value:
        return None
    try:
        return tableformat.Classes(
            {number: str(name) for key, name in value.items() if (number := _number(key)) is not None}
        )
    except InvalidInputError:
        return None


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 17:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < 2**53 else None

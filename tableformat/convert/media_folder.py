"""A folder of media as a table: one row for each file, with its path, its class where sub-folders name classes, its bytes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Final

import tableformat
from tableformat.convert.file_kinds import MEDIA_CLASSES, media_kind_of
from tableformat.convert.folder import Survey, class_of, iter_files
from tableformat.convert.outcome import OnError, Outcome, Skipped
from tableformat.errors import InvalidInputError, MediaError, NotFoundError, message
from tableformat.progress import Meter, Progress

__all__ = ["MediaFolder", "plan_media_folder", "write_media"]

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True)
class MediaFolder:
    """What `write_media` would store."""

    root: str
    """The folder."""
    kind: str
    """The kind of its media, and the name of the column that holds them."""
    files: int
    """How many files of that kind there are."""
    classes: tableformat.Classes | None
    """The folders right below it that hold files; None where all files lie in the folder itself."""
    left_out: int
    """How many files are of other kinds."""


def plan_media_folder(found: Survey, kind: str | None = None, *, labels: bool = True) -> MediaFolder:
    """Decide what of a folder is stored.

    The kind of media is what the extensions say; where they say several, `kind` is to choose (`file` takes every file).
    With `labels`, each folder right below is a class: names that are all whole numbers are their own ids, others are
    numbered from 0 in their order. Raises `InvalidInputError` where a choice is missing, `NotFoundError` where there are
    no such files.
    """
    if kind is not None and kind not in MEDIA_CLASSES:
        raise InvalidInputError(
            message(
                "importing a folder",
                path=found.root,
                expected=f"a kind of media: {', '.join(MEDIA_CLASSES)}",
                got=repr(kind)[:60],
            )
        )
    if kind is None and len(found.media) > 1:
        told = ", ".join(f"{count:,} of {one}" for one, count in sorted(found.media.items()))
        common = found.media.most_common(1)[0][0]
        raise InvalidInputError(
            message(
                "importing a folder",
                path=found.root,
                expected="media of one kind",
                got=told,
                todo=f"choose one with --media (media={common!r}), or 'file' for every file",
            )
        )
    chosen = kind or next(iter(found.media), None)
    count = found.files if chosen == "file" else found.media[chosen or ""]
    if chosen is None or not count:
        wanted = f"files of {chosen}" if chosen else "files of media, or of rows (CSV, JSON lines, Parquet)"
        there = (
            f"{found.files:,} other files" + (f", such as {found.unknown[0]!r}" if found.unknown else "")
            if found.files
            else "no files"
        )
        raise NotFoundError(
            message(
                "importing a folder",
                path=found.root,
                expected=wanted,
                got=there,
                todo="choose 'file' with --media (media='file') to take every file as it is" if found.files else None,
            )
        )
    names = found.classes.get(chosen, set()) if labels else set()
    return MediaFolder(found.root, chosen, count, _class_set(names), found.files - count)


def _class_set(names: set[str]) -> tableformat.Classes | None:
    if names and all(_NUMBER.fullmatch(name) for name in names):
        return tableformat.Classes({int(name): name for name in names})
    return tableformat.Classes(sorted(names)) if names else None


def write_media(
    draft: tableformat.Draft,
    table: str,
    plan: MediaFolder,
    *,
    key: list[str] | None = None,
    on_error: OnError = "raise",
    progress: Progress = True,
) -> Outcome:
    """Write the table `table` of `draft` with a row for each file of `plan`: `path`, `label` where there are classes, and the
    media in a column named for their kind. Rows come in the order of the walk; the key is `path` unless `key` says otherwise.

    A file that cannot be read raises `MediaError` with its path, or with `on_error="skip"` is left out and told in the
    outcome. Memory is bounded, whatever the number of files.
    """
    media = MEDIA_CLASSES[plan.kind]
    schema: dict[str, Any] = {"path": str}
    if plan.classes is not None:
        schema["label"] = tableformat.ClassType(plan.classes)
        draft.add(plan.classes, f"classes/{table}", replace=True)
    schema[plan.kind] = media
    ids = {} if plan.classes is None else {name: id_ for id_, name in plan.classes.names.items()}
    skipped, rows = Skipped(on_error), 0
    with (
        draft.table(table, schema=schema, key=key or ["path"]) as writer,
        Meter(f"importing {table}", plan.files, "files", progress) as meter,
    ):
        for path in iter_files(plan.root):
            if plan.kind != "file" and media_kind_of(path) != plan.kind:
                continue
            row: dict[str, Any] = {"path": path, plan.kind: media(os.path.join(plan.root, *path.split("/")))}
            if ids:
                row["label"] = ids.get(class_of(path) or "")
            try:
                writer.append(row)
                rows += 1
            except MediaError as error:
                skipped.note(path, error)
            meter.step()
    return Outcome(table, rows, plan.left_out, tuple(skipped.problems), skipped.count)

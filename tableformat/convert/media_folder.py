"""A folder of media as a table: one row for each file, its path, its class where sub-folders name classes, its bytes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import tableformat
from tableformat.convert.file_kinds import MEDIA_CLASSES, is_hidden, media_kind_of
from tableformat.convert.outcome import OnError, Outcome
from tableformat.errors import InvalidInputError, LimitError, MediaError, NotFoundError, Problem, message
from tableformat.progress import Meter, Progress

__all__ = ["MediaFolder", "plan_media_folder", "write_media"]

_MAX_DEPTH: Final = 32
_MAX_CLASSES: Final = 100_000
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True)
class MediaFolder:
    """What a walk through a folder found; nothing is read yet."""

    root: str
    """The folder."""
    kind: str
    """The kind of its media, and the name of the column that holds them."""
    files: int
    """How many files of that kind there are."""
    classes: tableformat.Classes | None
    """The folders right below it, where they hold files; None where all files lie in the folder itself."""
    left_out: tuple[str, ...] = ()
    """Some of the files of other kinds, by their paths below the folder."""
    left_out_count: int = 0
    """How many there are."""


def plan_media_folder(root: str, kind: str | None = None, *, labels: bool = True) -> MediaFolder:
    """Look through `root` and say what `write_media` would store. Holds the names of one folder at each depth.

    The kind of media is what the extensions say; where they say several, `kind` is to choose (`file` takes every file).
    With `labels`, each folder right below `root` is a class: names that are all whole numbers are their own ids, others
    are numbered in order. Hidden files, and links to folders, are left out. Raises `NotFoundError` where there are no media.
    """
    found: Counter[str] = Counter()
    classes: dict[str, set[str]] = {}
    others: list[str] = []
    for path in iter_files(root):
        named = "file" if kind == "file" else media_kind_of(path)
        if named is None:
            others += [path] if len(others) < 20 else []
            found[""] += 1
            continue
        found[named] += 1
        label = _label_of(path)
        if label is not None:
            classes.setdefault(named, set()).add(label)
            if len(classes[named]) > _MAX_CLASSES:
                raise LimitError(message("importing a folder", path=root, expected=f"at most {_MAX_CLASSES:,} class folders", got="more", todo="import it without labels"))
    kinds = {named: count for named, count in found.items() if named}
    if kind is None and len(kinds) > 1:
        told = ", ".join(f"{count:,} of {named}" for named, count in sorted(kinds.items()))
        raise InvalidInputError(
            message("importing a folder", path=root, expected="media of one kind", got=told, todo=f"choose a kind, such as {max(kinds, key=lambda one: kinds[one])!r} (--media), or 'file' for all")
        )
    chosen = kind or next(iter(kinds), None)
    if chosen is None or not kinds.get(chosen):
        got = f"{found['']:,} other files" + (f" such as {others[0]!r}" if others else "") if found[""] else "no files"
        raise NotFoundError(
            message("importing a folder", path=root, expected=f"files of {chosen or 'media, or of rows (CSV, JSON lines, Parquet)'}", got=got if not kinds or kind is None else f"only {', '.join(sorted(kinds))}",
                    todo="choose the kind 'file' (--media file) to take every file as it is" if found[""] else None)
        )  # fmt: skip
    left = sum(found.values()) - kinds[chosen]
    names = classes.get(chosen, set()) if labels else set()
    return MediaFolder(root, chosen, kinds[chosen], _class_set(names), tuple(others), left)


def _class_set(names: set[str]) -> tableformat.Classes | None:
    if not names:
        return None
    if all(_NUMBER.fullmatch(name) for name in names):
        return tableformat.Classes({int(name): name for name in names})
    return tableformat.Classes(sorted(names))


def _label_of(path: str) -> str | None:
    first, slash, _ = path.partition("/")
    return first if slash else None


def iter_files(root: str) -> Iterator[str]:
    """The files below `root` by relative paths with `/`, folder by folder in order of name. Holds one listing for each depth.

    Leaves out what is hidden and links to folders. Raises `NotFoundError` where a folder cannot be listed, and
    `InvalidInputError` for a name that is no text.
    """
    yield from _iter_folder(root, "", 0)


def _iter_folder(folder: str, prefix: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise LimitError(message("importing a folder", path=folder, expected=f"at most {_MAX_DEPTH} levels of folders", got="more"))
    try:
        with os.scandir(folder) as listing:
            entries = sorted((entry for entry in listing if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise NotFoundError(message("importing a folder", path=folder, expected="a folder that can be listed", got=error.strerror or str(error))) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _iter_folder(entry.path, f"{prefix}{entry.name}/", depth + 1)
        elif entry.is_file():
            if not entry.name.isprintable() or _has_surrogates(entry.name):
                raise InvalidInputError(
                    message("importing a folder", path=ascii(entry.path), expected="names of files without control characters, in UTF-8", got=ascii(entry.name), todo="rename it")
                )
            yield prefix + entry.name


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


@dataclass(slots=True)
class _Skipper:
    """Notes files that cannot be read, or raises."""

    on_error: OnError
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def note(self, path: str, error: MediaError) -> None:
        if self.on_error == "raise":
            raise error
        self.count += 1
        if len(self.problems) < 1000:
            self.problems.append(Problem(path, str(error), error.kind))


def write_media(
    draft: tableformat.Draft, table: str, plan: MediaFolder, *, key: list[str] | None = None, on_error: OnError = "raise", progress: Progress = True
) -> Outcome:
    """Write the table `table` of `draft` with a row for each file of `plan`: `path`, `label` where there are classes, and the
    media in a column named for their kind. The key is `path`. Rows come in the order of paths.

    A file that cannot be read raises `MediaError` with its path, or with `on_error="skip"` is left out and told in the
    outcome. Memory is bounded, whatever the number of files.
    """
    media = MEDIA_CLASSES[plan.kind]
    schema: dict[str, Any] = {"path": str}
    if plan.classes is not None:
        schema["label"] = tableformat.ClassType(plan.classes)
    schema[plan.kind] = media
    ids = {} if plan.classes is None else {name: id_ for id_, name in plan.classes.names.items()}
    skipper, rows = _Skipper(on_error), 0
    with draft.table(table, schema=schema, key=key or ["path"]) as writer, Meter(f"importing {table}", plan.files, "files", progress) as meter:
        for path in iter_files(plan.root):
            if plan.kind != "file" and media_kind_of(path) != plan.kind:
                continue
            row: dict[str, Any] = {"path": path, plan.kind: media(os.path.join(plan.root, *path.split("/")))}
            if ids:
                row["label"] = ids.get(_label_of(path) or "")
            try:
                writer.append(row)
                rows += 1
            except MediaError as error:
                skipper.note(path, error)
            meter.step()
    return Outcome(table, rows, plan.left_out, plan.left_out_count, tuple(skipper.problems), skipper.count)

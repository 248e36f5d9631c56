"""From files to a version: `import_files`, `import_folder`, `import_file`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import tableformat
from tableformat import errors
from tableformat.convert.file_kinds import MEDIA_CLASSES, RowFormat, media_kind_of, row_format_of, stem_of
from tableformat.convert.folder import Survey, iter_files, survey
from tableformat.convert.media_folder import plan_media_folder, write_media
from tableformat.convert.outcome import Imported, OnError, Outcome
from tableformat.convert.row_files import write_rows
from tableformat.errors import IllegalNameError, InvalidInputError, NotFoundError, UsageError
from tableformat.progress import Progress

__all__ = ["import_file", "import_files", "import_folder"]

Path = str | os.PathLike[str]


def import_files(
    store: tableformat.Store,
    name: str,
    sources: Sequence[Path],
    *,
    table: str | None = None,
    key: str | Sequence[str] | None = None,
    format: RowFormat | None = None,  # noqa: A002 - what the files are in
    media: str | None = None,
    labels: bool = True,
    null_values: Sequence[str] = (),
    json_columns: Sequence[str] = (),
    on_error: OnError = "raise",
    type: str | None = None,  # noqa: A002 - the word of the format
    metadata: Mapping[str, Any] | None = None,
    message: str = "",
    producer: Mapping[str, Any] | None = None,
    base: str | None = None,
    progress: Progress = True,
) -> Imported:
    """Commit a version of the artifact `name` that holds what lies at `sources`, local files and folders.

    Each source becomes one entry, named for its file or folder: a folder of media a table with the columns `path`, `label`
    (a class for each folder right below) and the media; a file or folder of CSV, JSON lines or Parquet a table; any other
    file an entry of its own, with its full name. With `table`, all sources are files or folders of rows of one format, or
    one folder of media, and become that one table.

    `key` names the columns whose values are unique; tables of media have `path` unless told otherwise. `format` and `media`
    decide where extensions do not; `null_values` are texts that mean null in CSV, `json_columns` columns of JSON lines that are kept as
    JSON, whatever they hold. `on_error="skip"` leaves out files and rows that cannot be stored and tells them in the
    result; `raise` ends the import, and nothing of it is visible. `type`, `metadata`, `message`, `producer` and `base` are
    those of `Store.draft`: with `base="latest"` the entries of the newest version stay. Memory is bounded.

    Raises `NotFoundError` for a source that is not there, `MediaError`, `SchemaError`, `KeyValueError` and other kinds of
    `InvalidInputError` naming the file.
    """
    paths = [os.fspath(source) for source in ([sources] if isinstance(sources, str | os.PathLike) else sources)]
    if not paths:
        raise UsageError(errors.message("importing", expected="a file or a folder", got="none"))
    if format is not None and format not in get_args(RowFormat):
        raise InvalidInputError(
            errors.message(
                "importing", expected=f"a format among {', '.join(get_args(RowFormat))}", got=repr(format)[:40]
            )
        )
    for path in paths:
        if not os.path.exists(path):
            raise NotFoundError(
                errors.message("importing", path=path, expected="a file or a folder", got="nothing there")
            )
    keys = [key] if isinstance(key, str) else list(key) if key else None
    job = _Job(keys, format, media, labels, tuple(null_values), tuple(json_columns), on_error, progress)
    with store.draft(name, type=type, metadata=metadata, message=message, producer=producer, base=base) as draft:
        outcomes = (
            [job.together(draft, table, paths)] if table is not None else [job.one(draft, path) for path in paths]
        )
        artifact = draft.commit()
    return Imported(artifact, bool(draft.created), tuple(outcomes))


def import_folder(
    store: tableformat.Store, name: str, path: Path, *, table: str | None = None, **options: Any
) -> Imported:
    """Commit a version of `name` with the folder at `path` as its one table: media, or files of rows. Options and errors are
    those of `import_files`; `NotFoundError` where `path` is no folder."""
    if not os.path.isdir(path):
        raise NotFoundError(
            errors.message(
                "importing a folder",
                path=os.fspath(path),
                expected="a folder",
                got="a file" if os.path.exists(path) else "nothing there",
            )
        )
    return import_files(store, name, [path], table=table, **options)


def import_file(
    store: tableformat.Store, name: str, path: Path, *, table: str | None = None, **options: Any
) -> Imported:
    """Commit a version of `name` with the file at `path`: rows as a table, anything else as it is. Options and errors are
    those of `import_files`; `NotFoundError` where `path` is no file."""
    if not os.path.isfile(path):
        raise NotFoundError(
            errors.message(
                "importing a file",
                path=os.fspath(path),
                expected="a file",
                got="a folder" if os.path.isdir(path) else "nothing there",
            )
        )
    return import_files(store, name, [path], table=table, **options)


class _Job:
    """What is the same for all sources of one import."""

    def __init__(
        self,
        key: list[str] | None,
        row_format: RowFormat | None,
        media: str | None,
        labels: bool,
        null_values: tuple[str, ...],
        json_columns: tuple[str, ...],
        on_error: OnError,
        progress: Progress,
    ) -> None:
        self._key, self._format, self._media, self._labels = key, row_format, media, labels
        self._null_values, self._json_columns, self._on_error, self._progress = (
            null_values,
            json_columns,
            on_error,
            progress,
        )

    def one(self, draft: tableformat.Draft, path: str) -> Outcome:
        """Import one source under its own name."""
        last = os.path.basename(os.path.abspath(path))
        if os.path.isdir(path):
            return self._folder(draft, _entry(last, path), path)
        row_format = self._row_format(path)
        if row_format is not None:
            return self._rows(draft, _entry(stem_of(last), path), [path], row_format)
        return self._file(draft, _entry(last, path), path)

    def together(self, draft: tableformat.Draft, table: str, paths: list[str]) -> Outcome:
        """Import all sources as one table."""
        if len(paths) == 1 and os.path.isdir(paths[0]):
            return self._folder(draft, table, paths[0])
        files = [
            file
            for path in paths
            for file in (
                [os.path.join(path, *one.split("/")) for one in iter_files(path)] if os.path.isdir(path) else [path]
            )
        ]
        return self._one_format(draft, table, [(file, self._row_format(file)) for file in files])

    def _folder(self, draft: tableformat.Draft, table: str, path: str) -> Outcome:
        found = survey(path)
        if self._format is not None or (found.rows and not found.media and self._media is None):
            return self._folder_of_rows(draft, table, found)
        plan = plan_media_folder(found, self._media, labels=self._labels)
        return write_media(draft, table, plan, key=self._key, on_error=self._on_error, progress=self._progress)

    def _folder_of_rows(self, draft: tableformat.Draft, table: str, found: Survey) -> Outcome:
        paths = {os.path.join(found.root, *path.split("/")): row_format_of(path) for path in iter_files(found.root)}
        chosen = {path: one for path, one in paths.items() if one is not None and self._format in (None, one)}
        if not chosen:
            raise NotFoundError(
                errors.message("importing a folder", path=found.root, expected=f"files of {self._format}", got="none")
            )
        outcome = self._one_format(draft, table, list(chosen.items()))
        return Outcome(outcome.entry, outcome.rows, found.files - len(chosen), outcome.skipped, outcome.skipped_count)

    def _one_format(self, draft: tableformat.Draft, table: str, formats: list[tuple[str, RowFormat | None]]) -> Outcome:
        kinds = {one for _, one in formats if one is not None}
        strange = next((path for path, one in formats if one is None), None)
        if strange is not None or len(kinds) != 1:
            got = ", ".join(sorted(kinds)) if strange is None else strange
            raise InvalidInputError(
                errors.message(
                    f"importing table {table!r}",
                    expected="files of rows in one format (CSV, JSON lines or Parquet)",
                    got=got,
                    todo="choose one with --format (format=), or import them one by one",
                )
            )
        return self._rows(draft, table, [path for path, _ in formats], kinds.pop())

    def _rows(self, draft: tableformat.Draft, table: str, paths: list[str], row_format: RowFormat) -> Outcome:
        return write_rows(
            draft, table, paths, row_format, key=self._key, on_error=self._on_error, null_values=self._null_values,
            json_columns=self._json_columns, progress=self._progress
        )  # fmt: skip

    def _file(self, draft: tableformat.Draft, entry: str, path: str) -> Outcome:
        kind = self._media or media_kind_of(path) or "file"
        if kind not in MEDIA_CLASSES:
            raise InvalidInputError(
                errors.message(
                    "importing a file",
                    path=path,
                    expected=f"a kind of media: {', '.join(MEDIA_CLASSES)}",
                    got=repr(kind)[:60],
                )
            )
        draft.add(MEDIA_CLASSES[kind](path), entry)
        return Outcome(entry, None)

    def _row_format(self, path: str) -> RowFormat | None:
        return self._format or (row_format_of(path) if self._media is None else None)


def _entry(name: str, path: str) -> str:
    if not name or not name.isprintable():
        raise IllegalNameError(
            errors.message(
                "naming a table for its file",
                path=ascii(path),
                expected="a name of printable characters",
                got=ascii(name),
                todo="give a name with --table (table=)",
            )
        )
    return name

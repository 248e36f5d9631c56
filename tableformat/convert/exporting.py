"""A table as files that any tool reads: one file of rows, or a folder of media and the rows that name them.

All is written beside the target and moved there when it is complete, so that an export that fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

import tableformat
from tableformat.convert.export_media import MediaFiles
from tableformat.convert.row_writers import EXPORT_FORMATS, ExportFormat, open_rows
from tableformat.errors import ExistsError, InvalidInputError, NotFoundError, StorePermissionError, message
from tableformat.progress import Meter, Progress

__all__ = ["Exported", "export_table"]

_BATCH_ROWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: str
    """The file of rows."""
    rows: int
    """How many."""
    media: int
    """Files of media beside it."""
    left: int
    """Cells that point outside of the store, which were not opened; the rows hold their address."""


def export_table(
    table: tableformat.Table | tableformat.JoinedTable,
    target: str | os.PathLike[str],
    *,
    format: ExportFormat | None = None,  # noqa: A002 - of the file of rows
    force: bool = False,
    class_names: bool = False,
    progress: Progress = True,
) -> Exported:
    """Write the rows of `table`, or of a selection of it, to the local path `target`; those of a joined table by flattened names.

    Without media it is one file; its format is `format`, or what the extension of `target` says. With media it is a folder:
    `rows.parquet` (or `.csv`, `.jsonl`), and for each column of media a folder of files, named by the table's `path` column
    where it has one and else by row number; in the rows stands the path of the file. `classes.json` names the ids of
    columns of classes; with `class_names` the rows hold the names themselves. Names that come from the table are made safe:
    nothing is ever written outside of `target`.

    Masks, and media inside lists and structs, stay cells with absolute addresses. References are not opened: the rows hold their
    address. Streams in bounded memory. Raises `ExistsError` where `target` is there (a file, or a folder that is not
    empty) and `force` is false; with `force`, what has the names of what is written is replaced, once that is complete.
    """
    path = os.path.abspath(os.fspath(target))
    columns = [
        column.name
        for column in table.schema.columns
        if getattr(column.type, "media", None) and column.annotates is None
    ]
    extension = os.path.splitext(path)[1].lower().removeprefix(".")
    if format is not None and format not in EXPORT_FORMATS:
        raise InvalidInputError(
            message(
                "exporting a table",
                path=path,
                expected=f"a format among {', '.join(EXPORT_FORMATS)}",
                got=repr(format)[:40],
            )
        )
    chosen = format or {"ndjson": "jsonl", "pq": "parquet"}.get(extension, extension)
    if not columns and chosen not in EXPORT_FORMATS:
        raise InvalidInputError(
            message(
                "exporting a table",
                path=path,
                expected="a file that ends in .parquet, .csv or .jsonl",
                got=f"the extension {extension!r}",
                todo="or choose one with --format (format=)",
            )
        )
    if columns and extension in EXPORT_FORMATS:
        raise InvalidInputError(
            message("exporting a table", path=path, expected=f"a folder, since {', '.join(map(repr, columns))} {'is' if len(columns) == 1 else 'are'} media", got="the name of a file",
                    todo="name a folder, or leave the media out with --columns (select)")
        )  # fmt: skip
    _check_free(path, is_folder=bool(columns), force=force)
    with _beside(path, is_folder=bool(columns)) as made:
        meter = Meter(f"exporting to {os.path.basename(path)}", _count(table), "rows", progress)
        if not columns:
            rows = _write_rows(table, made, chosen, meter, class_names)
            _publish_file(made, path)
            return Exported(path, rows, 0, 0)
        files = MediaFiles(table, made, columns)
        row_format = chosen if chosen in EXPORT_FORMATS else "parquet"
        rows = _write_rows(table, os.path.join(made, f"rows.{row_format}"), row_format, meter, class_names, files)
        _write_classes(table, made)
        _publish_folder(made, path)
    return Exported(os.path.join(path, f"rows.{row_format}"), rows, files.count, files.left)


def _count(table: tableformat.Table | tableformat.JoinedTable) -> int | None:
    """The number of rows; not of a joined table, for which it could mean to join it all."""
    return len(table) if isinstance(table, tableformat.Table) else None


# Where it is written


def _check_free(path: str, *, is_folder: bool, force: bool) -> None:
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise NotFoundError(
            message(
                "exporting a table",
                path=path,
                expected=f"the folder {parent}",
                got="nothing there",
                todo="make it first",
            )
        )
    if not os.path.lexists(path):
        return
    if is_folder != os.path.isdir(path) or os.path.islink(path):
        got = "a link" if os.path.islink(path) else "a folder" if os.path.isdir(path) else "a file"
        raise ExistsError(
            message(
                "exporting a table",
                path=path,
                expected="a folder" if is_folder else "a file",
                got=got,
                todo="choose another target",
            )
        )
    if not force and (not is_folder or os.listdir(path)):
        got = "a folder that is not empty" if is_folder else "a file that is there"
        raise ExistsError(
            message(
                "exporting a table",
                path=path,
                expected="a target that is free",
                got=got,
                todo="choose another one, or --force (force=True) to replace",
            )
        )


@contextlib.contextmanager
def _beside(path: str, *, is_folder: bool) -> Iterator[str]:
    """A place beside `path`, on the same file system; removed at the end with whatever is left in it."""
    parent, name = os.path.split(path)
    try:
        folder = tempfile.mkdtemp(prefix=f".{name[:40]}.partial-", dir=parent)
    except PermissionError as error:
        raise StorePermissionError(
            message(
                "exporting a table",
                path=path,
                expected=f"a folder that can be written to, {parent}",
                got="permission denied",
            )
        ) from error
    try:
        made = os.path.join(folder, "made")
        if is_folder:
            os.mkdir(made)
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish_file(made: str, path: str) -> None:
    os.replace(made, path)


def _publish_folder(made: str, path: str) -> None:
    """Move what was made to `path`: the folder as a whole, or what is in it beside other things that are there."""
    if not os.path.lexists(path) or not os.listdir(path):
        if os.path.isdir(path):
            os.rmdir(path)
        os.rename(made, path)
        return
    old = os.path.join(os.path.dirname(made), "old")
    os.mkdir(old)
    for name in os.listdir(made):
        there = os.path.join(path, name)
        if os.path.lexists(there):
            os.rename(there, os.path.join(old, name))  # a link is moved itself, never followed
        os.rename(os.path.join(made, name), there)


# Rows


def _write_rows(
    table: tableformat.Table | tableformat.JoinedTable,
    path: str,
    row_format: str,
    meter: Meter,
    class_names: bool,
    files: MediaFiles | None = None,
) -> int:
    names = _class_names(table) if class_names else {}
    schema = _schema(table.arrow_schema, files.columns if files else [], names)
    rows = open_rows(path, row_format, schema)
    with meter, contextlib.closing(rows):
        for batch in table.batches(batch_rows=_BATCH_ROWS if files else None):
            arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
            for name, known in names.items():
                arrays[name] = pa.array(
                    [None if id_ is None else known.get(id_, str(id_)) for id_ in arrays[name].to_pylist()], pa.string()
                )
            if files is not None:
                arrays.update(files.write(batch, meter.done))
            rows.write(pa.record_batch([arrays[field.name] for field in schema], schema=schema))
            meter.step(batch.num_rows)
    return meter.done


def _schema(schema: pa.Schema, media: list[str], class_names: dict[str, Any]) -> pa.Schema:
    """The schema of what is written: paths in place of media, names in place of ids where asked for."""
    fields = []
    for field in schema:
        if field.name in media or field.name in class_names:
            fields.append(pa.field(field.name, pa.string()))
        else:
            fields.append(field.remove_metadata())
    return pa.schema(fields)


def _class_names(table: tableformat.Table | tableformat.JoinedTable) -> dict[str, dict[int, str]]:
    found = {
        column: table.classes_of(column) for column in table.columns if hasattr(table.schema[column].type, "id_type")
    }
    return {column: dict(classes.names) for column, classes in found.items() if classes is not None}


def _write_classes(table: tableformat.Table | tableformat.JoinedTable, folder: str) -> None:
    found = {}
    for column in table.columns:
        type_ = table.schema[column].type
        classes = table.classes_of(column) if hasattr(type_, "id_type") or getattr(type_, "media", None) else None
        if classes is not None:
            found[column] = {str(id_): name for id_, name in classes.names.items()}
    if found:
        with open(os.path.join(folder, "classes.json"), "x", encoding="utf-8") as file:
            json.dump(found, file, ensure_ascii=False, indent=1)
            file.write("\n")

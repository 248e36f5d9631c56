"""From the files of one table to a table of a draft: types are chosen, names made unique, rows converted block by block.

The types are those of the first block. A later one that does not fit ends the attempt: then every block is looked at, and
the rows are written again, which is sure to end well.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

import tableformat
from tableformat.convert.legacy.array_columns import ArrayColumns
from tableformat.convert.legacy.arrow_rows import ArrowRows
from tableformat.convert.legacy.cells import MisfitError, Plan, plan_column
from tableformat.convert.legacy.class_sets import classes_of_map
from tableformat.convert.legacy.json_text import json_text
from tableformat.convert.legacy.manifest import plain_text
from tableformat.convert.legacy.media_files import MediaReader
from tableformat.convert.legacy.names import column_names
from tableformat.convert.legacy.plain_images import PlainImages, pieces_of
from tableformat.convert.legacy.profile import Profile
from tableformat.convert.legacy.report import ArtifactReport, ColumnReport, EntryReport
from tableformat.convert.legacy.text import Block, TableText, paused_collector
from tableformat.convert.legacy.types import Declared, declared_columns
from tableformat.errors import InvalidInputError, KeyValueError, message

__all__ = ["TableFile", "TableJob"]

_MAX_COLUMNS: Final = 100_000


@dataclass(slots=True)
class TableFile:
    """One `*.table.json`, opened."""

    path: str
    """Its path in the artifact that is converted."""
    text: TableText
    reader: MediaReader
    """Reads the media it names."""
    table_ref: str | None = None
    """The reference by which it came from an artifact that is not at hand."""
    rows: int = 0
    """Rows, once they have been read."""
    columns: list[Any] = field(init=False)
    """The names of its columns: text, or integers."""
    declared: dict[str, Declared] = field(init=False)
    """Their types, by name as text."""

    def __post_init__(self) -> None:
        columns = self.text.head.get("columns")
        if not isinstance(columns, list) or not self.text.has_rows:
            raise InvalidInputError(
                message(
                    "reading a legacy table",
                    path=self.path,
                    expected="lists 'columns' and 'data'",
                    got=sorted(map(str, self.text.head))[:10],
                )
            )
        if len(columns) > _MAX_COLUMNS:
            raise InvalidInputError(
                message(
                    "reading a legacy table",
                    path=self.path,
                    expected=f"at most {_MAX_COLUMNS} columns",
                    got=len(columns),
                )
            )
        self.columns = columns
        self.declared = declared_columns(self.text.head.get("column_types"))

    @property
    def log_mode(self) -> str:
        """`INCREMENTAL`, `MUTABLE`, or `IMMUTABLE` where nothing is said."""
        mode = self.text.head.get("log_mode")
        return mode if isinstance(mode, str) else "IMMUTABLE"


@dataclass(slots=True)
class _Place:
    """A cell, for messages; made text only where there is something to say."""

    path: str
    column: Any
    row: int = 0

    def __str__(self) -> str:
        return f"{self.path}: row {self.row}, column {self.column!r}"


@dataclass(slots=True)
class _Column:
    """One column and what becomes of it."""

    original: Any
    declared: Declared
    profile: Profile
    plan: Plan
    arrays: bool = False
    """Whether its cells come from an array file."""
    type: Any = None
    """Its type in the schema."""
    name: str = ""


class TableJob:
    """Makes one table of `files`, which have the same columns and follow each other."""

    def __init__(
        self, entry: str, files: Sequence[TableFile], report: ArtifactReport, *, increments: bool = False
    ) -> None:
        self._entry, self._files, self._report = entry, list(files), report
        self._arrays = ArrayColumns(self._files[0].columns, increments=increments)
        self._told: set[tuple[str, str]] = set()
        self._columns: list[_Column] = []
        self._arrow: ArrowRows | None = None
        self.ranges: list[tuple[str, int, int]] = []
        """The file, first row and end of the rows of each file in the table."""

    def write(self, draft: tableformat.Draft) -> EntryReport:
        """Write the table into `draft`."""
        with paused_collector():
            try:
                rows = self._write_until_done(draft)
            finally:
                self._arrays.close()
        columns = [ColumnReport(c.name, c.original, c.declared.name, c.plan.label, c.plan.notes) for c in self._columns]
        return EntryReport([file.path for file in self._files], self._entry, "table", rows, columns)

    def _write_until_done(self, draft: tableformat.Draft) -> int:
        self._profile(whole=len(self._files) > 1)
        key = [
            column.name
            for column in self._columns
            if column.declared.name == "primaryKey" and column.plan.label == "string"
        ]
        key = key if len(key) == 1 else []
        for attempt in itertools.count():
            assert attempt < len(self._columns) + 4  # each ends with one thing less to go wrong
            try:
                return self._write(draft, key)
            except MisfitError:
                self._profile(whole=True)
            except KeyValueError as error:
                self._report.warn(
                    f"{self._files[0].path}: column {key[0]!r}", f"no primary key of the table: {error}", "key"
                )
                key = []
        raise AssertionError

    def describe(self) -> list[dict[str, Any]]:
        """For metadata: names and declared types of the columns, as they were."""
        types = self._files[0].text.head.get("column_types")
        nodes = (
            types.get("params", {}).get("type_map", {})
            if isinstance(types, dict) and isinstance(types.get("params"), dict)
            else {}
        )
        described = []
        for column in self._columns:
            one: dict[str, Any] = {"name": column.name, "original": column.original}
            if isinstance(nodes, dict) and str(column.original) in nodes:
                one["type"] = nodes[str(column.original)]
            described.append(one)
        return described

    # Types

    def _profile(self, *, whole: bool) -> None:
        """Choose the plans: by the first block, or by all of them."""
        first = self._files[0]
        count = len(first.columns)
        names = [str(name) for name in first.columns]
        declared = [
            first.declared.get(name, Declared()) if name not in names[index + 1 :] else Declared()
            for index, name in enumerate(names)
        ]
        profiles = [Profile(one) for one in declared]
        self._arrays.open(self._files, declared, self._report)
        for _, _, columns in self._blocks(quiet=True) if whole else self._first_block():
            for index in range(count):
                if not self._arrays.has(index):
                    profiles[index].observe(columns[index])
        if not whole and any(
            not profile.present and not self._arrays.has(index) for index, profile in enumerate(profiles)
        ):
            self._profile(whole=True)
            return
        plans = [self._arrays.plan(index) or plan_column(profile) for index, profile in enumerate(profiles)]
        self._arrow = None if any(map(self._arrays.has, range(count))) else ArrowRows.of(plans)
        chosen = column_names(first.columns, [plan.has_media for plan in plans])
        self._columns = [
            _Column(original, one, profile, plan, self._arrays.has(index), plan.declared, name)
            for index, (original, one, profile, plan, name) in enumerate(
                zip(first.columns, declared, profiles, plans, chosen, strict=True)
            )
        ]
        for column in self._columns:
            column.type = self._with_classes(column)
            if isinstance(column.original, str) and column.original and not _is_plain(column.original):
                place, text = (
                    f"{first.path}: column {column.original!r}",
                    f"lone surrogates in its name: it is {column.name!r} now",
                )
                if self._is_new(place, text):
                    self._report.warn(place, text, "surrogate")

    def _with_classes(self, column: _Column) -> Any:
        """The type of a column with the class sets that its declaration names."""
        declared, first = column.declared, self._files[0]
        if declared.name == "classesId" and column.plan.label == "int64":
            classes = first.reader.classes.of_cell(
                declared.params.get("classes_obj"), first.table_ref, f"{first.path}: column {column.original!r}"
            )
            return column.type if classes is None else tableformat.ClassType(classes, strict=False)
        if column.plan.media == "image":
            sets = _label_sets(declared)
            return tableformat.ImageType(sets, strict=False) if sets else column.type
        return column.type

    # Rows

    def _first_block(self) -> Iterator[tuple[TableFile, int, list[Sequence[Any]]]]:
        """What `_blocks` gives first; the rows are kept for the time when they are written."""
        file = self._files[0]
        block = file.text.first_block()
        if block is not None:
            yield file, block.first, _columns(block, len(file.columns), file.path, None)

    def _blocks(self, *, quiet: bool = False) -> Iterator[tuple[TableFile, int, list[Sequence[Any]]]]:
        """Columns of cells, block by block: the file, the number of the first row in it, and a list for each column."""
        for file in self._files:
            count = len(file.columns)
            for block in file.text.blocks(None if quiet or self._arrow is None else self._arrow.read):
                if not quiet:
                    self._report.warn_all(block.problems, file.path)
                yield (
                    file,
                    block.first,
                    block.columns or _columns(block, count, file.path, None if quiet else self._report),
                )
            if not quiet:
                self._report.warn_all(
                    [one for one in file.text.problems if self._is_new(one.place, one.text)], file.path
                )

    def _is_new(self, place: str, text: str) -> bool:
        is_new = (place, text) not in self._told
        self._told.add((place, text))
        return is_new

    def _schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        for column in self._columns:
            schema[column.name] = column.type
            if column.plan.has_media:
                schema[f"{column.name}_path"] = pa.string() if column.plan.media else tableformat.JsonType()
                schema[f"{column.name}_more"] = tableformat.JsonType()
        return schema

    def _write(self, draft: tableformat.Draft, key: list[str]) -> int:
        """One attempt. Raises `MisfitError` or `KeyValueError`, and leaves nothing in the draft then."""
        counts, warned, bytes_in = self._report.counts.copy(), len(self._report.warnings), self._report.bytes_in
        writer = draft.table(self._entry, schema=self._schema(), key=key or None, check="none")
        has_media = any(column.plan.has_media for column in self._columns)
        self._arrays.rewind()
        self.ranges, total = [], 0
        try:
            current: TableFile | None = None
            for file, first, columns in self._blocks():
                if file is not current:
                    current, start = file, total
                    self.ranges.append((file.path, start, start))
                rows = len(columns[0])
                total += rows
                self.ranges[-1] = (file.path, start, total)
                if isinstance(columns[0], pa.Array):
                    writer.extend(_batch([column.name for column in self._columns], columns))
                    continue
                cells = [
                    self._arrays.take(index, file, rows) if column.arrays else values
                    for index, (column, values) in enumerate(zip(self._columns, columns, strict=True))
                ]
                self._tell_surrogates(file, first, cells)
                if has_media:
                    self._append(writer, file, first, cells)
                else:
                    arrays = [
                        column.plan.array(values, self._lost(file, first, column))
                        for column, values in zip(self._columns, cells, strict=True)
                    ]
                    writer.extend(_batch([column.name for column in self._columns], arrays))
            self._finish()
            writer.close()
        except BaseException:
            writer.abort()
            # What was told is told again by the next attempt.
            self._report.counts = counts
            del self._report.warnings[warned:]
            self._report.bytes_in = bytes_in
            self._told.clear()
            raise
        return total

    def _tell_surrogates(self, file: TableFile, first: int, columns: Sequence[Sequence[Any]]) -> None:
        for column, cells in zip(self._columns, columns, strict=True):
            if not column.profile.has_surrogates:
                continue
            for index, cell in enumerate(cells):
                if cell is not None and _has_surrogates(cell):
                    place = _Place(file.path, column.original, first + index)
                    self._report.warn(place, "lone surrogates, which are no text: kept as escapes in JSON", "surrogate")

    def _finish(self) -> None:
        """After the last row: what the files say of their size, and what array files hold beyond."""
        by_path = {path: end - start for path, start, end in self.ranges}
        for file in self._files:
            file.rows = by_path.get(file.path, 0)
            told = file.text.head.get("nrows")
            if type(told) is int and told != file.rows:
                self._report.warn(file.path, f"it says it has {told} rows, and has {file.rows}", "count")
            told = file.text.head.get("ncols")
            if type(told) is int and told != len(file.columns):
                self._report.warn(file.path, f"it says it has {told} columns, and has {len(file.columns)}", "count")
        self._arrays.finish(self._report)

    def _lost(self, file: TableFile, first: int, column: _Column) -> Any:
        def lost(index: int, why: str) -> None:
            self._report.warn(_Place(file.path, column.original, first + index), f"null in its place: {why}", "nesting")

        return lost

    def _append(
        self, writer: tableformat.TableWriter, file: TableFile, first: int, columns: list[Sequence[Any]]
    ) -> None:
        """A block with media: in pieces whose files fit in memory, as Arrow columns where all media are plain images, else row
        by row."""
        media = [cells for column, cells in zip(self._columns, columns, strict=True) if column.plan.has_media]
        for start, end in pieces_of(media, file.reader.artifact, len(columns[0])):
            piece = columns if end - start == len(columns[0]) else [cells[start:end] for cells in columns]
            if not self._append_plain(writer, file, first + start, piece):
                self._append_rows(writer, file, first + start, piece)

    def _append_plain(
        self, writer: tableformat.TableWriter, file: TableFile, first: int, columns: list[Sequence[Any]]
    ) -> bool:
        """A piece of a block whose media are plain images; False, with nothing done, for any other."""
        if file.table_ref is not None or not file.reader.reads_many:
            return False
        if any(column.plan.has_media and column.plan.media != "image" for column in self._columns):
            return False
        found: dict[int, PlainImages] = {}
        for index, column in enumerate(self._columns):
            if column.plan.media is not None:
                images = PlainImages.read(columns[index], file.reader.artifact)
                if images is None:
                    return False
                found[index] = images
        arrays: dict[str, pa.Array] = {}
        for index, (column, cells) in enumerate(zip(self._columns, columns, strict=True)):
            if index in found:
                file.reader.note_plain(found[index])
                arrays[column.name] = pa.array(found[index].datas, pa.binary())
                arrays[f"{column.name}_path"] = pa.array(found[index].paths, pa.string())
                arrays[f"{column.name}_more"] = pa.nulls(len(cells), pa.string())
            else:
                arrays[column.name] = column.plan.array(cells, self._lost(file, first, column))
        writer.extend(_batch(list(arrays), list(arrays.values())))
        return True

    def _append_rows(
        self, writer: tableformat.TableWriter, file: TableFile, first: int, columns: list[Sequence[Any]]
    ) -> None:
        """A piece of a block with media: read row by row, so that no more than the writer's batch is in memory."""
        ready: list[tuple[str, Sequence[Any]]] = []
        media: list[tuple[_Column, Sequence[Any], _Place]] = []
        for column, cells in zip(self._columns, columns, strict=True):
            if column.plan.has_media:
                if column.plan.media and not set(map(type, cells)) <= {dict, type(None)}:
                    raise MisfitError
                media.append((column, cells, _Place(file.path, column.original)))
            else:
                ready.append((column.name, column.plan.python(cells, self._lost(file, first, column))))
        for index in range(len(columns[0])):
            row = {name: values[index] for name, values in ready}
            for column, cells, place in media:
                place.row = first + index
                self._add_media(row, column, cells[index], place, file)
            writer.append(row)

    @staticmethod
    def _add_media(row: dict[str, Any], column: _Column, cell: Any, place: _Place, file: TableFile) -> None:
        name, plan = column.name, column.plan
        if cell is None:
            row[name] = row[f"{name}_path"] = row[f"{name}_more"] = None
        elif plan.media is not None:
            try:
                found = file.reader.read(cell, place, file.table_ref)
            except (KeyError, AssertionError) as error:
                raise MisfitError from error
            row[name], row[f"{name}_path"] = found.media, plain_text(found.path)
            row[f"{name}_more"] = None if found.more is None else _finite(found.more)
        else:
            paths: list[str] = []
            row[name] = _nested(plan, cell, place, file, paths)
            row[f"{name}_path"], row[f"{name}_more"] = paths, _finite(cell)


def _nested(plan: Plan, cell: Any, place: _Place, file: TableFile, paths: list[str]) -> Any:
    """A list or dict with media in it."""
    if cell is None:
        return None
    if plan.media is not None:
        found = file.reader.read(cell, place, file.table_ref, bare=True)
        paths.append(found.path)
        return found.media
    if not plan.has_media:
        return plan.python([cell])[0]
    if isinstance(cell, list):
        return [_nested(plan.inner[0], one, place, file, paths) for one in cell]
    return {
        key: _nested(inner, cell[key], place, file, paths) for key, inner in zip(plan.declared, plan.inner, strict=True)
    }


def _has_surrogates(cell: Any) -> bool:
    try:
        text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
        return not text.isascii() and not _is_plain(text)
    except RecursionError:
        return False


def _finite(value: Any) -> Any:
    """A value as a column of JSON takes it."""
    return json.loads(json_text(value))


def _columns(block: Block, count: int, path: str, report: ArtifactReport | None) -> list[Sequence[Any]]:
    """The cells of a block by column. Rows that are none, or of another length, are mended."""
    rows = block.rows
    if set(map(type, rows)) == {list} and set(map(len, rows)) == {count}:
        return list(zip(*rows, strict=True))
    mended = []
    for index, row in enumerate(rows):
        place = f"{path}: row {block.first + index}"
        if isinstance(row, list):
            if len(row) != count and report is not None:
                text = f"{len(row)} cells for {count} columns: " + (
                    "nulls stand for those that lack"
                    if len(row) < count
                    else f"those behind are left out: {row[count:]!r:.200}"
                )
                report.warn(place, text, "row-length")
            mended.append((row + [None] * (count - len(row)))[:count])
        else:
            if row is not None and report is not None:
                report.warn(place, f"no list of cells but {row!r:.200}: a row of nulls stands in its place", "row")
            mended.append([None] * count)
    return list(zip(*mended, strict=True)) if mended else [()] * count


def _batch(names: list[str], arrays: Sequence[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(arrays), names)


def _label_sets(declared: Declared) -> dict[str, tableformat.Classes]:
    """The class sets by layer that the type of an image column holds; the empty layer stands for all others."""

    def value(name: str) -> Any:
        node = declared.params.get(name)
        params = node.get("params") if isinstance(node, dict) else None
        return params.get("val") if isinstance(params, dict) else None

    sets: dict[str, tableformat.Classes] = {}
    common = classes_of_map(value("class_map"))
    if common is not None:
        sets[""] = common
    for name in ("mask_class_maps", "box_class_maps"):
        layers = value(name)
        for layer, labels in layers.items() if isinstance(layers, dict) else ():
            found = classes_of_map(labels)
            if found is not None and layer and _is_plain(layer):
                sets[layer] = found if layer not in sets else tableformat.Classes({**sets[layer].names, **found.names})
    return sets


def _is_plain(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False

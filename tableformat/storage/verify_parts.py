"""Verification of the parts of a table: each file against its digests, its schema and its values; then the whole columns.

One thread decodes rows, in order; others hash files ahead of it and digest columns beside it. The digests of a part speak of
the rows and types that are stored, those of the table of what is shown: without deleted rows, in the types of today.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.errors import FormatError, NotFoundError, UnsupportedError
from tableformat.format.cells import has_cells
from tableformat.format.defaults import default_array
from tableformat.format.deletions import RowNumbers, check_deletions, decode_deletions
from tableformat.format.file_columns import ColumnPlace
from tableformat.format.manifest import Part, TableEntry, needs_of
from tableformat.format.stats import ColumnStats, stats_value
from tableformat.format.value_digest import ColumnChain, UnitDigest
from tableformat.storage.interface import Backend
from tableformat.storage.verify_cells import CellVerifier
from tableformat.storage.verify_report import Findings
from tableformat.storage.verify_rows import CheckedFile, PartRows, open_files

__all__ = ["PartVerifier"]

_PIECE: Final = 4 << 20


class PartVerifier:
    """Verifies the parts of one table, which come in row order, and in the end its columns. Belongs to one thread."""

    def __init__(
        self,
        backend: Backend,
        findings: Findings,
        entry: TableEntry,
        cells: CellVerifier,
        place: str,
        helpers: Executor,
    ) -> None:
        self._backend = backend
        self._findings = findings
        self._entry = entry
        self._cells = cells
        self._place = place
        self._helpers = helpers
        self._schema = entry.schema.arrow_schema()
        self._ids = [str(column.id) for column in entry.schema.columns]
        self._chains = [ColumnChain(field.type) for field in self._schema]
        self._class_columns = [
            index
            for index, column in enumerate(entry.schema.columns)
            if column.annotates is not None and column.annotates[1] == "classes"
        ]
        self._whole = True
        self._needs: set[str] = set()
        self.class_sets: set[str] = set()
        """Digests of class sets that cells name."""
        self.rows = 0
        """Visible rows that the parts hold, as the manifest says."""

    def check_all(self, items: Iterable[JsonObject], is_complete: Callable[[], bool]) -> None:
        """Verify every part; then compare the columns with the digests in the entry, where all parts could be read and
        `is_complete` says that `items` were all there are."""
        for number, item in enumerate(items):
            place = f"{self._place} part {number}"
            part = None
            with self._findings.guard(place):
                part = Part.from_json(item, place)
            if part is None or not self.check(part):
                self._whole = False
        self._whole &= is_complete()
        if self.rows != self._entry.rows and self._whole:
            self._findings.add(self._place, f"its parts have {self.rows} rows, the entry says {self._entry.rows}")
        if self._whole:
            self._check_columns()
            self._check_needs()

    def check(self, part: Part) -> bool:
        """Verify one part; returns whether its rows could be read, whatever else is wrong."""
        first, self.rows = self.rows, self.rows + part.visible_rows
        sizes = [self._check_size(path, told, first, part) for path, told in _told_sizes(part)]
        if None in sizes:
            return False
        known = [size for size in sizes if size is not None]
        hashed = [
            (path, digest, self._helpers.submit(self._hash_file, path, size))
            for (path, digest), size in zip(_told_digests(part), known, strict=True)
        ]
        read = False
        with self._findings.guard(part.files[0].path):
            read = self._check_rows(part, known, first)
        for path, digest, task in hashed:
            with self._findings.guard(path):
                if (found := task.result()) != digest:
                    self._findings.add(path, f"the SHA-256 of the file is {found}")
        return read

    def _check_size(self, path: str, told: int, first: int, part: Part) -> int | None:
        size = self._backend.size(path)
        if size is None:
            rows = f"rows {first}–{first + part.visible_rows} of {self._place}"
            self._findings.add(path, f"no such file; it holds {rows}", NotFoundError.kind)
        elif size != told:
            self._findings.add(path, f"{size} bytes where the manifest says {told}")
        return size

    def _hash_file(self, path: str, size: int) -> str:
        whole = hashlib.sha256()
        for start in range(0, size, _PIECE):
            piece = self._backend.read(path, start, min(_PIECE, size - start))
            whole.update(piece)
            self._findings.read(path, len(piece))
        self._findings.read(path, 0, files=1)
        return PREFIX + whole.hexdigest()

    # Rows

    def _check_rows(self, part: Part, sizes: list[int], first: int) -> bool:
        schema = self._entry.schema
        is_plain = self._entry.plain and len(part.files) == 1
        files = open_files(self._backend, part, schema, sizes[: len(part.files)], is_plain)
        stored = {name: place for file in files for name, place in file.places.items()}
        self._note_needs(part, files)
        hidden = self._hidden(part)
        units = {name: UnitDigest(place.storage) for name, place in stored.items()}
        stats = {
            name: ColumnStats(place.storage) for name, place in stored.items() if str(place.field.id) in part.stats
        }
        at, row = 0, first
        for rows, columns in PartRows(self._backend, part, files):
            shown = _visible(hidden, at, rows)
            numbers = np.arange(row, row + (rows if shown is None else len(shown)))

            def feed(index: int, columns: Any = columns, rows: int = rows, shown: Any = shown) -> None:
                name = schema.columns[index].name
                self._feed(index, columns.get(name), rows, shown, stored.get(name), units.get(name), stats.get(name))

            list(self._helpers.map(feed, range(len(schema))))
            self._check_cells(columns, shown, numbers)
            at, row = at + rows, row + len(numbers)
            self._findings.count(rows=len(numbers))
        self._compare(part, stored, units, stats)
        return True

    def _hidden(self, part: Part) -> RowNumbers | None:
        if part.deletions is None:
            return None
        path = part.deletions.path
        check_deletions(part.deletions, path)
        return decode_deletions(self._backend.read(path), part.deletions, part.rows, path)

    def _feed(
        self, index: int, array: pa.Array | None, rows: int, shown: RowNumbers | None, place: ColumnPlace | None,
        unit: UnitDigest | None, stats: ColumnStats | None,
    ) -> None:  # fmt: skip
        """Digest one column of a run of rows: as it is stored for the part, and as it is shown for the table."""
        if array is None or place is None or unit is None:
            shown_rows = rows if shown is None else len(shown)
            self._chains[index].update(default_array(self._entry.schema.columns[index], shown_rows))
            return
        unit.update(array)
        if shown is not None:
            array = array.take(pa.array(shown))
        if stats is not None:
            stats.update(array)
        self._chains[index].update(place.read(array, self._place))

    def _check_cells(self, columns: dict[str, pa.Array], shown: RowNumbers | None, numbers: RowNumbers) -> None:
        """The media of the visible rows: those of rows that are gone may have gone too."""
        for index, column in enumerate(self._entry.schema.columns):
            array = columns.get(column.name)
            if array is None or not (has_cells(array.type) or index in self._class_columns):
                continue
            if shown is not None:
                array = array.take(pa.array(shown))
            if has_cells(array.type):
                self._cells.check(array, column.name, numbers)
            if index in self._class_columns:
                self.class_sets.update(value for value in array.unique().to_pylist() if value is not None)

    def _compare(
        self, part: Part, stored: dict[str, ColumnPlace], units: dict[str, UnitDigest], stats: dict[str, ColumnStats]
    ) -> None:
        for name, unit in units.items():
            number = stored[name].field.id or 0
            path = (part.file_of(number) or part.files[0]).path
            if part.values.get(str(number)) != unit.digest():
                self._findings.add(
                    f"{path} column {name!r}",
                    f"its values have the digest {unit.digest()}, not that in the manifest",
                )
            if name in stats and not _bounds_hold(part.stats[str(number)], stats[name].to_json(), stored[name].storage):
                self._findings.add(f"{path} column {name!r}", "its statistics in the manifest leave out rows")

    def _note_needs(self, part: Part, files: list[CheckedFile]) -> None:
        """What a reader of the part needs, as its files are, whatever the manifest says of them."""
        known = tuple(replace(one.file, schema=one.schema) for one in files)
        self._needs.update(needs_of(self._entry.schema, [replace(part, files=known)])[1].read)

    def _check_needs(self) -> None:
        missing = sorted(self._needs - set(self._entry.requires.read))
        if missing:
            self._findings.add(self._place, f"its parts need {', '.join(missing)}, which it does not require")
        elif self._needs and self._entry.plain:
            self._findings.add(self._place, f"it says to be plain, and its parts need {', '.join(sorted(self._needs))}")

    def _check_columns(self) -> None:
        for index, name in enumerate(self._schema.names):
            told, chain = self._entry.columns[self._ids[index]], self._chains[index]
            if told["digest"] != chain.digest():
                self._findings.add(
                    f"{self._place} column {name!r}",
                    f"the values of its {self.rows} rows have the digest {chain.digest()}, not {told['digest']}",
                )
            elif told.get("link") != PREFIX + chain.link.hex():
                self._findings.add(
                    f"{self._place} column {name!r}", f"the link of its full blocks is {PREFIX}{chain.link.hex()}"
                )


def _told_sizes(part: Part) -> list[tuple[str, int]]:
    """Every file of a part with the bytes that the manifest says it has."""
    told = [(file.path, file.size) for file in part.files]
    return told if part.deletions is None else [*told, (part.deletions.path, part.deletions.size)]


def _told_digests(part: Part) -> list[tuple[str, str]]:
    told = [(file.path, file.digest) for file in part.files]
    return told if part.deletions is None else [*told, (part.deletions.path, part.deletions.digest)]


def _visible(hidden: RowNumbers | None, at: int, rows: int) -> RowNumbers | None:
    """The rows of a run, from the stored row `at` on, that are not deleted, counted from its first; None for all of them."""
    if hidden is None:
        return None
    low, high = np.searchsorted(hidden, [at, at + rows]).tolist()
    mask = np.ones(rows, np.bool_)
    mask[hidden[low:high] - at] = False
    return np.flatnonzero(mask).astype(np.int64)


def _bounds_hold(told: object, found: JsonObject, type_: pa.DataType) -> bool:
    """Whether the bounds in a manifest are no narrower than those of the rows."""
    if not isinstance(told, dict):
        raise FormatError("statistics are an object")
    if told.get("nulls") is not None and told["nulls"] < found["nulls"]:
        return False
    if found["min"] is None:
        return True
    if told.get("min") is None or told.get("max") is None:
        raise UnsupportedError("statistics without bounds of a column that has values")

    def value(text: str) -> Any:
        scalar = stats_value(text, type_)
        return scalar.as_py() if pa.types.is_floating(type_) or pa.types.is_string(type_) else int(text)

    return bool(value(told["min"]) <= value(found["min"]) and value(found["max"]) <= value(told["max"]))

"""Columns whose cells stand in array files beside the table: one file for a whole column, row i for row i."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from tableformat.convert.legacy.arrays import ArrayFile, array_plan
from tableformat.convert.legacy.cells import MisfitError, Plan
from tableformat.convert.legacy.report import ArtifactReport
from tableformat.convert.legacy.types import Declared
from tableformat.errors import FormatError, TableformatError

if TYPE_CHECKING:
    from tableformat.convert.legacy.tables import TableFile

__all__ = ["ArrayColumns"]


class ArrayColumns:
    """The array files of one table. Columns whose files cannot be read stay what their cells are."""

    def __init__(self, columns: Sequence[Any], *, increments: bool) -> None:
        self._columns, self._increments = columns, increments
        self._plans: dict[int, Plan] = {}
        self._open: dict[tuple[int, str], ArrayFile] = {}
        self._places: dict[tuple[int, str], tuple[str, str]] = {}
        self._files: list[TableFile] = []
        self._taken: dict[int, int] = {}
        self._refused: list[tuple[str, str]] = []
        self._is_opened = False

    def has(self, index: int) -> bool:
        """Whether the cells of a column come from array files."""
        return index in self._plans

    def plan(self, index: int) -> Plan | None:
        """What becomes of such a column."""
        return self._plans.get(index)

    def open(self, files: Sequence[TableFile], declared: Sequence[Declared], report: ArtifactReport) -> None:
        """Look at the array files of all columns that are declared to have some, once."""
        if self._is_opened:
            return
        self._is_opened, self._files = True, list(files)
        for index, one in enumerate(declared):
            if one.name == "ndarray" and _place(one) is not None:
                self._look(index, report)

    def _look(self, index: int, report: ArtifactReport) -> None:
        plans = []
        for file in self._files:
            place = _place(file.declared.get(str(self._columns[index]), Declared()))
            where = f"{file.path}: column {self._columns[index]!r}"
            if place is None:
                report.warn(
                    where, "no array file in this part of the table: its cells are used as they stand", "arrays"
                )
                return
            self._places[index, file.path] = place
            try:
                array = self._array(index, file)
                try:
                    plans.append(array_plan(array))
                finally:
                    array.close()
            except TableformatError as error:
                report.warn(where, str(error), "arrays")
                return
        if len({(plan.label, plan.notes) for plan in plans}) != 1:
            report.warn(
                f"{self._files[0].path}: column {self._columns[index]!r}",
                "array files of several types: their cells are used as they stand",
                "arrays",
            )
            return
        self._plans[index] = plans[0]

    def _array(self, index: int, file: TableFile) -> ArrayFile:
        path, key = self._places[index, file.path]
        found = file.reader.open_file(path, file.table_ref, f"{file.path}: column {self._columns[index]!r}")
        if found is None:
            raise FormatError(f"the array file {path!r} is missing")
        return ArrayFile(_seekable(found), key, path)

    def rewind(self) -> None:
        """Begin with the first row again."""
        self.close()
        self._taken.clear()

    def close(self) -> None:
        """Close all files."""
        for array in self._open.values():
            array.close()
        self._open.clear()

    def take(self, index: int, file: TableFile, count: int) -> Any:
        """The arrays of the next `count` rows of `file`. Where they cannot be had, the column is given up with a warning: its
        cells are what stands in the table, and `MisfitError` is raised."""
        try:
            array = self._open.get((index, file.path))
            if array is None:
                array = self._open[index, file.path] = self._array(index, file)
                # An increment holds its own rows, and its array file the rows of all increments up to it.
                taken = self._taken.get(index, 0)
                if self._increments and array.rows > taken:
                    array.skip(taken)
            self._taken[index] = self._taken.get(index, 0) + count
            return array.take(count)
        except TableformatError as error:
            self._refused.append((f"{file.path}: column {self._columns[index]!r}", str(error)))
            del self._plans[index]
            raise MisfitError from error

    def finish(self, report: ArtifactReport) -> None:
        """After the last row: array files that could not be used, and rows that no row of the table asked for."""
        for place, why in self._refused:
            report.warn(place, f"its cells are used as they stand: {why}", "arrays")
        readers = {file.path: file.reader for file in self._files}
        for (index, path), array in self._open.items():
            place = self._places[index, path][0]
            if index not in self._plans:
                continue
            if array.rows > array.position:
                report.leave_out(
                    place,
                    f"rows {array.position} to {array.rows - 1} are behind the end of the table {path!r}; the file is kept",
                    "arrays",
                )
            else:
                readers[path].used.add(place)


def _place(declared: Declared) -> tuple[str, str] | None:
    told = declared.params.get("serialization_path")
    if isinstance(told, Mapping) and isinstance(told.get("path"), str) and isinstance(told.get("key"), str):
        return told["path"], told["key"]
    return None


def _seekable(file: BinaryIO) -> BinaryIO:
    if file.seekable():
        return file
    spool: Any = tempfile.SpooledTemporaryFile(max_size=1 << 24)  # noqa: SIM115 - closed with the array file
    while chunk := file.read(1 << 20):
        spool.write(chunk)
    spool.seek(0)
    found: BinaryIO = spool
    return found

"""A part opened for some of its columns: the files that hold them, read in step, without the rows that were deleted.

Rows of a part are read by *units*, which are runs of stored rows: the row groups, where all columns stand in one file. Where
they stand in several, a unit ends where a row group of each of them ends, so that no row group is read for two units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.errors import LimitError, message
from tableformat.format.bound import Bound, BoundsOf, Leaf
from tableformat.format.bounds import UNKNOWN, Bounds, bounds_of_group
from tableformat.format.defaults import default_array
from tableformat.format.file_columns import ColumnPlace, FileColumns, default_bounds
from tableformat.format.manifest import Part
from tableformat.format.types import Field
from tableformat.table.batches import rows_only
from tableformat.table.deleted_rows import DeletedRows
from tableformat.table.selection import Positions
from tableformat.table.whole_file import RangedFile, WholeFile

__all__ = ["OpenFile", "OpenPart", "ReadGroups", "fields_of", "group_starts", "unit_starts"]

_UNIT_ROWS: Final = 65_536  # where no file says how rows are grouped
_UNIT_BYTES: Final = 128 << 20
"""Decoded bytes of a unit above which it is cut, though a row group is then read for two."""


class OpenFile:
    """One file of a part, of which some columns are asked for."""

    def __init__(
        self, path: str, size: int, metadata: pq.FileMetaData, starts: Positions, columns: FileColumns, names: list[str]
    ) -> None:
        self.path = path
        self.size = size
        self.metadata = metadata
        self.starts = starts
        """The first stored row of each row group, and the number of all at the end."""
        self.columns = columns
        self.names = names
        """The columns, by the names that the table has for them."""
        self.places: dict[str, ColumnPlace] = {}
        """Where they stand, where they are found by id; empty for a file with exactly the columns of the table."""
        self.whole: WholeFile | None = None
        """Its bytes, where they were read in one go with the footer."""
        self.idle: list[RangedFile] = []
        """Where it lies on this machine: as it was opened to read some row groups, for who reads the next; at most one for each thread."""

    def leaf_numbers(self, names: Sequence[str]) -> list[int]:
        """The numbers of the leaves of some of its columns."""
        if self.places:
            return self.columns.leaves_of([self.places[name] for name in names])
        return self.columns.leaves.of_columns(names)

    def row_bytes(self, names: Sequence[str]) -> float:
        """Bytes that a row of some of its columns takes decoded, about: told by the first row group."""
        metadata = self.metadata
        if not metadata.num_row_groups or not metadata.row_group(0).num_rows:
            return 0.0
        group, total = metadata.row_group(0), 0.0
        for number in self.leaf_numbers(names):
            chunk = group.column(number)
            total += max(chunk.total_uncompressed_size, chunk.num_values * (self.columns.leaves.widths[number] or 8))
        return total / float(group.num_rows)

    def group_bounds(self, group: int, leaf: Leaf) -> Bounds:
        """What the footer tells of a leaf in one row group."""
        metadata, leaves = self.metadata.row_group(group), self.columns.leaves.of_path
        place = self.places.get(leaf.path[0])
        if place is None:
            return bounds_of_group(metadata, leaves.get(leaf.path), leaf.storage)
        number = leaves.get((place.name, *leaf.path[1:]))
        storage = leaf.storage if place.before is None or len(leaf.path) > 1 else place.storage
        return place.bounds(bounds_of_group(metadata, number, storage), leaf)

    def groups_of(self, low: int, high: int) -> range:
        """The row groups that hold some of the stored rows from `low` up to `high`."""
        first = int(np.searchsorted(self.starts, low, "right")) - 1
        return range(first, int(np.searchsorted(self.starts, high, "left")))


ReadGroups = Callable[[OpenFile, Sequence[int], Sequence[str], bool], list[pa.RecordBatch]]
"""(file, row groups, columns, threads) → their rows, with columns named and typed as in the table."""


@dataclass(frozen=True, slots=True)
class OpenPart:
    """Some columns of one part. Made by `PartReader.open`; belongs to one read."""

    part: Part
    files: list[OpenFile]
    absent: dict[str, Field]
    """The columns that the part was written without, by name: they have their default."""
    deleted: DeletedRows | None
    storage: pa.Schema
    """The storage types of the table."""
    limit: int
    """Most decoded bytes of defaults that are held at once."""
    read_groups: ReadGroups
    starts: Positions
    """The first stored row of each unit, and the number of all at the end."""

    @property
    def names(self) -> list[str]:
        """The columns that it was opened for."""
        return [*(name for file in self.files for name in file.names), *self.absent]

    def stored_rows(self, visible: Positions) -> Positions:
        """The numbers of the stored rows that stand at these positions among the visible ones."""
        return visible if self.deleted is None else self.deleted.stored(visible)

    @property
    def sizes(self) -> list[int]:
        """Visible rows of each unit."""
        if self.deleted is not None:
            return self.deleted.visible_sizes(self.starts)
        return [high - low for low, high in pairwise(self.starts.tolist())]

    def row_bytes(self, names: Sequence[str]) -> float:
        """Bytes that a row of some columns takes decoded, about."""
        wanted = set(names)
        total = sum(file.row_bytes([name for name in file.names if name in wanted]) for file in self.files)
        total += sum(len(field.default or "") + 1 for name, field in self.absent.items() if name in wanted)
        return max(total, 0.01) if self.files else max(total, 1.0)

    def may_match(self, where: Bound | None) -> Callable[[int], bool] | None:
        """Whether a unit may hold a row that a filter keeps; None where there is no filter."""
        return None if where is None else lambda unit: where.may_match(self._bounds(unit))

    def _bounds(self, unit: int) -> BoundsOf:
        low, high = int(self.starts[unit]), int(self.starts[unit + 1])

        def bounds_of(leaf: Leaf) -> Bounds:
            if (field := self.absent.get(leaf.path[0])) is not None:
                return default_bounds(field, high - low) if len(leaf.path) == 1 else UNKNOWN
            file = next((file for file in self.files if leaf.path[0] in file.names), None)
            if file is None:
                return UNKNOWN
            return reduce(_around, (file.group_bounds(group, leaf) for group in file.groups_of(low, high)))

        return bounds_of

    def read(self, units: Sequence[int], names: Sequence[str], *, threads: bool = False) -> list[pa.RecordBatch]:
        """The visible rows of neighbouring units, with the columns `names` in this order, as few batches as may be."""
        batches = self.read_stored(units, names, threads=threads)
        if self.deleted is None:
            return batches
        low = int(self.starts[units[0]])
        found = []
        for batch in batches:
            found += self.deleted.drop(batch, low)
            low += batch.num_rows
        return found

    def read_stored(self, units: Sequence[int], names: Sequence[str], *, threads: bool = False) -> list[pa.RecordBatch]:
        """The stored rows of neighbouring units, deleted ones among them, as `read` gives the visible ones."""
        if len(self.files) == 1 and not self.absent and names:  # units are row groups
            return self.read_groups(self.files[0], units, names, threads)
        return self._stored(int(self.starts[units[0]]), int(self.starts[units[-1] + 1]), names, threads)

    def visible(self, unit: int, stored: Positions) -> tuple[Positions, Positions]:
        """Those of some stored rows that are visible, and the place of each among the visible rows from `unit` on. Stored rows
        are ascending and counted from the first of `unit`."""
        if self.deleted is None:
            return stored, stored
        return self.deleted.visible(int(self.starts[unit]), stored)

    def _stored(self, low: int, high: int, names: Sequence[str], threads: bool) -> list[pa.RecordBatch]:
        wanted = set(names)
        held = [(file, chosen) for file in self.files if (chosen := [name for name in file.names if name in wanted])]
        if len(held) == 1 and len(held[0][1]) == len(names):
            file, groups = held[0][0], held[0][0].groups_of(low, high)
            batches = self.read_groups(file, groups, names, threads)
            first = int(file.starts[groups.start])
            if low == first and high == int(file.starts[groups.stop]):
                return batches
            return _batches(pa.Table.from_batches(batches).slice(low - first, high - low))
        if not names:
            return [rows_only(high - low)] if high > low else []
        columns: dict[str, pa.ChunkedArray] = {}
        for file, chosen in held:
            groups = file.groups_of(low, high)
            table = pa.Table.from_batches(
                self.read_groups(file, groups, chosen, threads), fields_of(self.storage, chosen)
            )
            table = table.slice(low - int(file.starts[groups.start]), high - low)
            columns.update(zip(chosen, table.columns, strict=True))
        for name in names:
            if name in self.absent:
                columns[name] = pa.chunked_array([self.default(name, high - low)])
        table = pa.Table.from_arrays([columns[name] for name in names], schema=fields_of(self.storage, names))
        return _batches(table)

    def default(self, name: str, rows: int) -> pa.Array:
        """`rows` times the default of an absent column. Raises `LimitError` where that takes more than the reader gives."""
        field = self.absent[name]
        if len(field.default or "") * rows > self.limit:
            raise LimitError(
                message("reading a part", path=self.part.files[0].path, expected=f"at most {self.limit} decoded bytes",
                        got=f"{rows} rows with a default of {len(field.default or '')}",
                        todo="if you trust it, open with limits=Limits(row_group_bytes=…)")
            )  # fmt: skip
        return default_array(field, rows)


def _batches(table: pa.Table) -> list[pa.RecordBatch]:
    """Slices of the columns of a table, cut where a chunk of one of them ends."""
    batches: list[pa.RecordBatch] = table.to_batches()
    return batches


def fields_of(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Some of the columns of a schema, in this order."""
    return pa.schema([schema.field(name) for name in names])


def _around(one: Bounds, other: Bounds) -> Bounds:
    """Bounds of the rows of both, which are bounds of one leaf and so of one type."""
    lows: list[Any] = [one.least, other.least]
    highs: list[Any] = [one.most, other.most]
    return Bounds(
        None if None in lows else min(lows),
        None if None in highs else max(highs),
        None if one.nulls is None or other.nulls is None else one.nulls + other.nulls,
        None if one.rows is None or other.rows is None else one.rows + other.rows,
    )


def group_starts(metadata: pq.FileMetaData) -> Positions:
    """The first row of each row group of a file, and the number of all rows at the end."""
    if metadata.num_row_groups == 1:
        return np.array([0, metadata.row_group(0).num_rows], np.int64)
    counts = (metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    return np.array(list(accumulate(counts, initial=0)), np.int64)


def unit_starts(files: Sequence[OpenFile], rows: int) -> Positions:
    """Where the units of a part begin that has these files open, and where the last one ends."""
    if not files:
        return np.append(np.arange(0, max(rows, 1), _UNIT_ROWS), rows).astype(np.int64)
    if len(files) == 1:
        return files[0].starts
    common: Positions = reduce(_shared, (file.starts for file in files))
    widest = max(files, key=lambda file: file.row_bytes(file.names))
    most = _UNIT_BYTES / max(sum(file.row_bytes(file.names) for file in files), 0.01)
    if len(common) == len(widest.starts) or float(np.diff(common).max(initial=0)) <= most:
        return common
    return np.unique(np.fromiter(_cut(common, widest.starts, most), np.int64))


def _shared(one: Positions, other: Positions) -> Positions:
    return one if one is other or np.array_equal(one, other) else np.intersect1d(one, other)


def _cut(common: Positions, finer: Positions, most: float) -> Iterator[int]:
    """The starts of units, with those of `finer` inside units of more than `most` rows."""
    for low, high in zip(common[:-1].tolist(), common[1:].tolist(), strict=True):
        yield low
        if high - low > most:
            yield from finer[(finer > low) & (finer < high)].tolist()
    yield int(common[-1])

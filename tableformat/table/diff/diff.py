"""`Diff`: what changed between two tables, as a table that is made when it is first read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

import pyarrow as pa

from tableformat.errors import InvalidInputError, MissingExtraError, NotFoundError, UsageError, message
from tableformat.format.schema import Schema
from tableformat.table.arrow_out import without_extensions
from tableformat.table.batches import of_length
from tableformat.table.diff.columns import pair_columns
from tableformat.table.diff.compute import Comparison, Outcome, compute
from tableformat.table.diff.entries import Records
from tableformat.table.diff.found import Keep
from tableformat.table.diff.show import html_of_diff, text_of_diff
from tableformat.table.diff.shown_rows import ShownRows
from tableformat.table.diff.sides import DiffSide
from tableformat.table.diff.summary import Summary
from tableformat.table.join.keys import key_names, key_pairs
from tableformat.table.join.memory import Memory, as_bytes
from tableformat.table.rows import MediaMode, Row
from tableformat.table.selection import as_index
from tableformat.table.table import Table

__all__ = ["Diff", "compare_tables"]

_DOING: Final = "comparing tables"
_ROWS: Final = 1024  # rows that are decoded at a time


class Diff:
    """The rows in which two tables differ, or with `keep="all"` all rows. Immutable, safe from many threads.

    Columns: `change` (`added`, `removed`, `changed` or `same`), those of the key, `changed` (the names of the columns that changed; null for rows that
    only one table has), `before` and `after` (the rows, null where there is none). Without a key: `change`, `count`, `before`, `after`, with a row for
    each different row of which one table has more than the other.

    Rows that the second table has come first, in its order; then removed rows in the order of the first (spec/diff.md). Nothing is read until
    rows or the summary are asked for; then both tables are compared once, whatever is asked first. Slices share that.
    """

    def __init__(self, comparison: Comparison, rows: slice | None = None, shared: _Outcomes | None = None) -> None:
        self._comparison = comparison
        self._slice = rows or slice(0, None)
        self._outcomes = shared or _Outcomes(comparison)
        self._shown = ShownRows(comparison)

    # -- what it is

    @property
    def on(self) -> tuple[str, ...]:
        """The key by which rows meet, by its names in the second table; empty for multisets of rows."""
        return tuple(pair.right for pair in self._comparison.on)

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the key's columns in the rows of the diff."""
        return self._shown.key_names

    @property
    def schema(self) -> Schema:
        """The columns and their types; `before` and `after` are structs of the columns of the two tables."""
        return self._shown.schema

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of `batches` and `to_arrow`: logical Arrow types."""
        return self._shown.arrow_schema

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self.schema.names

    @property
    def num_rows(self) -> int:
        """The number of rows. Compares the tables."""
        return len(range(*self._bounds()))

    def __len__(self) -> int:
        return self.num_rows

    def __bool__(self) -> bool:
        return self.num_rows > 0

    def _bounds(self) -> tuple[int, int]:
        found = self._outcomes.get().found
        total = found.there.rows + found.gone.rows
        start, stop, _ = self._slice.indices(total)
        return start, max(start, stop)

    def summary(self) -> Summary:
        """Counts of rows and, for each column, of changes; of both tables whole, whatever slice this is. Compares the tables."""
        return self._outcomes.get().summary

    # -- selecting

    def head(self, n: int = 10) -> Diff:
        """The first `n` rows."""
        found: Diff = self[: max(as_index(n), 0)]
        return found

    def __getitem__(self, index: Any) -> Any:
        """A row by its number, or a slice of the rows with step 1."""
        if isinstance(index, slice):
            bounds = [None if bound is None else as_index(bound) for bound in (index.start, index.stop)]
            if index.step not in (None, 1):
                raise UsageError(message("slicing a diff", expected="a step of 1", got=index.step))
            if any((bound or 0) < 0 for bound in bounds) or self._slice.stop is not None:
                start, stop = self._bounds()
                chosen = range(start, stop)[slice(*bounds)]
                return self._sliced(slice(chosen.start, max(chosen.start, chosen.stop)))
            first = self._slice.start + (bounds[0] or 0)
            return self._sliced(slice(first, None if bounds[1] is None else max(first, self._slice.start + bounds[1])))
        place = as_index(index)
        start, stop = self._bounds()
        at = place + (stop if place < 0 else start)
        if not start <= at < stop:
            raise IndexError(
                message("looking up a row of a diff", expected=f"a number below {stop - start}", got=place)
            )
        [row] = self._sliced(slice(at, at + 1)).rows()
        return row

    def _sliced(self, rows: slice) -> Diff:
        return Diff(self._comparison, rows, self._outcomes)

    # -- reading

    def batches(self, columns: Sequence[str] | None = None, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches of logical types, in order; media as their cells, with absolute uris.

        Holds, beside what was found, the rows of one batch of both tables: about a quarter of `memory`.
        """
        stream = self._batches("cells", self._names(columns))
        return stream if batch_rows is None else of_length(stream, max(as_index(batch_rows), 1))

    def _names(self, columns: Sequence[str] | None) -> list[str]:
        for name in columns or ():
            if name not in self.columns:
                raise NotFoundError(message("reading a diff", expected=f"one of {', '.join(self.columns)}", got=repr(name)[:100]))  # fmt: skip
        return self.columns if columns is None else list(columns)

    def _batches(self, media: str, names: list[str]) -> Iterator[pa.RecordBatch]:
        if media not in ("cells", "bytes"):
            raise UsageError(
                message("reading a diff as Arrow data", expected="media='cells' or media='bytes'", got=repr(media)[:60])
            )
        for _, records, is_there in self._records(self._shown.batch_rows):
            yield self._shown.batch(records, names, media, is_there=is_there)

    def _records(self, most: int) -> Iterator[tuple[int, Records, bool]]:
        """The number of the first in the whole diff, some records, and whether the second table has them."""
        start, stop = self._bounds()
        found = self._outcomes.get().found
        at = 0
        for entries, is_there in ((found.there, True), (found.gone, False)):
            for records in entries.expanded():
                low, high = max(start - at, 0), min(stop - at, len(records))
                for first in range(low, high, most):
                    yield at + first, records[first : min(first + most, high)], is_there
                at += len(records)
                if at >= stop:
                    return

    def to_arrow(self, media: str = "cells") -> pa.Table:
        """All rows as an Arrow table; holds them. With `media="bytes"` each cell holds its bytes `inline`."""
        return pa.Table.from_batches(list(self._batches(media, self.columns)), schema=self.arrow_schema)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as a stream of Arrow's C interface: any library of data frames takes the diff itself."""
        reader = pa.RecordBatchReader.from_batches(self.arrow_schema, self._batches("cells", self.columns))
        return reader.__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> Any:
        """All rows as a pandas data frame; holds them. Needs pandas (`tableformat[pandas]`)."""
        try:
            import pandas  # noqa: F401 - pyarrow makes the frame
        except ImportError as error:
            raise MissingExtraError("reading a diff as a pandas data frame", "pandas", "pandas") from error
        return without_extensions(self.to_arrow()).to_pandas()

    def to_polars(self) -> Any:
        """All rows as a polars data frame; holds them. Needs polars (`tableformat[polars]`)."""
        try:
            import polars
        except ImportError as error:
            raise MissingExtraError("reading a diff as a polars data frame", "polars", "polars") from error
        return polars.from_arrow(without_extensions(self.to_arrow()))

    def rows(self, media: MediaMode = "lazy") -> Iterator[Row]:
        """The rows, in order; `before` and `after` are rows of the two tables, with the `index` that they have there. Media read
        their bytes when asked, or have been read with `media="bytes"`."""
        if media not in ("lazy", "bytes"):
            raise UsageError(message("reading rows", expected="media='lazy' or media='bytes'", got=repr(media)[:60]))
        return self._rows(media)

    def _rows(self, media: MediaMode) -> Iterator[Row]:
        for first, records, is_there in self._records(_ROWS):
            yield from self._shown.rows(records, media, first, is_there=is_there)

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    # -- for people

    def __repr__(self) -> str:
        return text_of_diff(self.summary(), self.head(5).rows(), self.num_rows)

    def _repr_html_(self) -> str:
        return html_of_diff(self.summary(), self.head(5).rows(), self.num_rows)


class _Outcomes:
    """The outcome of a comparison, made once, by whoever asks first."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._lock = threading.Lock()
        self._outcome: Outcome | None = None

    def get(self) -> Outcome:
        with self._lock:
            if self._outcome is None:
                self._outcome = compute(self._comparison)
            return self._outcome


def compare_tables(left: Any, right: Any, on: Any, keep: Keep, memory: Memory) -> Diff:
    """The diff of two tables. Reads schemas and, where two sets of classes differ, these; behind filters the columns that they test.

    Raises `UsageError` for wrong arguments, `NotFoundError` for a key column that is not there, `SchemaError` where keys do not compare.
    """
    if keep not in get_args(Keep):
        raise UsageError(message(_DOING, expected="keep='changed' or keep='all'", got=repr(keep)[:60]))
    for table in (left, right):
        if not isinstance(table, Table):
            raise InvalidInputError(
                message(_DOING, expected="two tables, or their addresses", got=f"{type(table).__name__}: {table!r:.80}",
                        todo="of a version, name the table: store['animals:v1']['train']")
            )  # fmt: skip
    budget = as_bytes(memory)
    sides = [DiffSide(table, budget) for table in (left, right)]
    names = key_names(on, _DOING) if on is not None else _shared_key(left, right)
    schemas = [side.source.entry.schema for side in sides]
    pairs = key_pairs(names, schemas[0], schemas[1], _DOING) if names else ()
    columns = pair_columns(left.schema, right.schema, sides[0].source, sides[1].source, tuple(names))
    return Diff(Comparison(sides[0], sides[1], pairs, columns, keep, budget))


def _shared_key(left: Table, right: Table) -> list[tuple[str, str]]:
    """The key that both tables have; none where neither has one. Raises `UsageError` where it is not the same."""
    if left.key == right.key:
        return [(name, name) for name in left.key]
    raise UsageError(
        message(_DOING, expected="tables with one key", got=f"{', '.join(left.key) or 'none'} before, {', '.join(right.key) or 'none'} after",
                todo="name the columns with on=, such as on='id' or on=[('id', 'image_id')]")
    )  # fmt: skip

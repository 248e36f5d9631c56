"""`Table`: named, lazy, read-only. A table and every selection of it is one small object; rows move when they are asked for."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, overload

import numpy as np
import pyarrow as pa

from tableformat.errors import InvalidInputError, MissingExtraError, UsageError, message
from tableformat.format.expr import Predicate, all_of, col
from tableformat.format.manifest import TableEntry
from tableformat.format.media.classes import Classes
from tableformat.format.reference import Reach
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, Field, MediaType, walk
from tableformat.storage.interface import Backend
from tableformat.table.arrow_out import inlined_cells, iter_batches, without_extensions
from tableformat.table.batches import rows_only
from tableformat.table.cell_reader import reopening
from tableformat.table.logical import Logical, absolute_cells
from tableformat.table.reading import Reading
from tableformat.table.rows import MediaMode, Row, decode_row, iter_rows, sub_schema, visible_columns
from tableformat.table.selection import Filter, Indices, Picked, RowRange, Selection, Sliced, as_index, as_positions
from tableformat.table.show import PREVIEW, html_of_table, text_of_table
from tableformat.table.source import Opener, TableSource

__all__ = ["Table", "open_pickled"]

_LOCAL_RUN = 4 << 20
_PREVIEW_ROWS = 65_536  # in which the rows of a filter are looked for when a table is shown


class Table:
    """Rows of a stored table: all of them, or a selection. Immutable, safe from many threads and after a fork.

    Nothing is read until rows are asked for. Selections of selections read only what they need: columns that are named,
    parts and row groups whose statistics may match. Pickles as the URL of the store, the digest of the version, the name of
    the entry, the selection and the prefixes that references may lead to; never with credentials.
    """

    builder: ClassVar[type[Table] | None] = None
    """The class of tables that are filled by hand, which a floor above brings."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Table:  # noqa: PYI034 - another class where the table is made by hand
        """`Table(columns=…, data=…, dataframe=…)` makes a table that is filled by hand."""
        is_opened = bool(args) and isinstance(args[0], TableSource)
        return object.__new__(
            cls.builder if cls is Table and not is_opened and "source" not in kwargs and cls.builder else cls
        )

    def __init__(
        self, source: TableSource, selection: Selection | None = None, *, reading: Reading | None = None
    ) -> None:
        self._source = source
        self._selection = selection or Selection()
        self._reading = reading or Reading(source)
        names = self._selection.columns
        self._schema = source.entry.schema if names is None else sub_schema(source.entry.schema, names)
        self._names = [column.name for column in self._schema.columns]
        self._count: int | None = self._selection.count(source.entry.rows) if self._selection.is_counted else None
        self._lock = threading.Lock()

    def _with(self, selection: Selection) -> Table:
        return Table(self._source, selection, reading=self._reading)

    # -- what it is

    @property
    def source(self) -> TableSource:
        """What it reads from; for builders of tables, not for users."""
        return self._source

    @property
    def schema(self) -> Schema:
        """The columns of the selection, with the annotations of media, and their types."""
        return self._schema

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of `batches` and `to_arrow`: logical Arrow types."""
        return self._schema.logical_schema()

    @property
    def columns(self) -> list[str]:
        """The names of the columns of its rows. Annotations of media are part of their media and have none."""
        return [column.name for column in visible_columns(self._schema)]

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the key's columns; empty without a key."""
        return self._source.entry.table_key

    @property
    def num_rows(self) -> int:
        """The number of rows. Behind a filter it is counted once, which reads the columns that the filter needs."""
        with self._lock:
            if self._count is None:
                self._count = self._reading.count(self._selection.steps)
            return self._count

    def __len__(self) -> int:
        return self.num_rows

    def __bool__(self) -> bool:
        return (
            next(self._reading.pieces(self._selection.steps, []), None) is not None
            if self._count is None
            else self._count > 0
        )

    @property
    def content_digest(self) -> str:
        """The digest of the whole table's schema, key and values, however they are stored. Raises `UsageError` for a selection
        and for files that are no table of a store."""
        self._check_whole("the content digest")
        if not self._source.entry.columns and self._source.entry.schema.columns:
            raise UsageError(
                message(
                    "asking for the content digest",
                    path=self._source.address,
                    expected="a table of a store",
                    got="bare Parquet files",
                )
            )
        return self._source.entry.content

    def whole_entry(self, root: str) -> TableEntry | None:
        """The entry of the table, where this is all of a table of the store at `root`; else None."""
        is_whole = self._selection.columns is None and not self._selection.steps
        return (
            self._source.entry
            if is_whole and self._source.backend.root == root and self._source.entry.columns
            else None
        )

    @property
    def why_not_plain(self) -> tuple[str, ...]:
        """What another engine that reads the files of the table as they are would get wrong; empty where it reads its rows."""
        return self._source.entry.why_not_plain

    def files(self, *, force: bool = False) -> list[str]:
        """Where other engines find the Parquet files of its parts, in row order.

        Raises `UsageError` for a selection, and where reading the files as they are would not give the table's rows: with
        `force` they are listed all the same, without those of deletions. `duckdb_view` reads such a table right.
        """
        self._check_whole("the files")
        parts = self._source.parts()
        hidden = [part for part in parts if part.deletions is not None or len(part.files) > 1]
        if not force and (hidden or not self._source.entry.plain):
            raise UsageError(
                message("listing the files of a table", path=self._source.address, expected="parts that any engine may read as they are",
                        got="; ".join(self.why_not_plain) or "parts with deleted rows or of several files",
                        todo="compact it with --plain, read it as Arrow data, or through the view of duckdb_view() (files --view)")
            )  # fmt: skip
        return [self._source.backend.uri(file.path) for part in parts for file in part.files]

    def duckdb_view(self, name: str | None = None) -> str:
        """The SQL by which DuckDB makes a view that has the rows of this table, in storage types and in no order; it has the name
        of the entry, or `name`.

        Columns are found by field id, the files of one part joined by position, deleted rows left out, defaults filled in.
        Reads the footer of one file of each schema that its parts have. Raises `UsageError` for a selection.
        """
        self._check_whole("a view")
        return self._reading.duckdb_view(name or self._source.name or "table")

    def _check_whole(self, what: str) -> None:
        if self._selection.columns is not None or self._selection.steps:
            raise UsageError(
                message(
                    f"asking for {what} of a table",
                    path=self._source.address,
                    expected="a whole table",
                    got="a selection of it",
                )
            )

    # -- selecting

    def select(self, *names: str) -> Table:
        """These columns, in this order; the annotations of media come along. Raises `NotFoundError` with the nearest name."""
        sub_schema(self._source.entry.schema, names)
        for name in names:
            self._schema[name]
        return self._with(self._selection.with_columns(names))

    def where(self, expr: Predicate | None = None, /, **equals: Any) -> Table:
        """The rows for which `expr` is true and each column of `equals` has its value; None stands for null.

        `table.where(col("score") > 0.5, label="cat")`. Any column of the table may be tested, selected or not. Raises
        `NotFoundError` for a column that is not there and `SchemaError` for values that do not compare, before anything is read.
        """
        if expr is not None and not isinstance(expr, Predicate):
            raise InvalidInputError(
                message("filtering rows", expected="an expression such as col('x') > 3", got=f"{expr!r:.80}")
            )
        tests = [expr] if expr is not None else []
        for name, value in equals.items():
            tests.append(col(name) == value)
        predicate = all_of(tests)
        if predicate is None:
            return self
        self._reading.bind(predicate)
        return self._with(self._selection.with_filter(predicate))

    def head(self, n: int = 10) -> Table:
        """The first `n` rows."""
        return self[: max(as_index(n), 0)]

    def take(self, indices: Any) -> Table:
        """The rows at `indices`, in that order, repetitions included; negative ones count from the end. Reads nothing yet.

        Raises `IndexError` for a position outside; behind a filter, when the rows are asked for.
        """
        negative_behind_filter = self._count is None and not isinstance(indices, range) and _any_negative(indices)
        count = self.num_rows if negative_behind_filter else self._count
        return self._with(self._selection.with_positions(as_positions(indices, count)))

    def shard(self, i: int, n: int) -> Table:
        """The `i`-th of `n` runs of rows: disjoint, and all together in order the whole. Counts nothing: behind a filter the
        rows are divided before it is applied, so that shards may differ in size."""
        i, n = as_index(i), as_index(n)
        if not 0 <= i < n:
            raise UsageError(message("sharding a table", expected="0 <= i < n", got=f"i={i}, n={n}"))
        steps = self._selection.steps
        filters = [step for step in steps if isinstance(step, Filter)]
        if any(isinstance(step, (Sliced, Picked)) for step in steps):
            total = self.num_rows
            return self[total * i // n : total * (i + 1) // n]
        base = Selection(
            self._selection.columns, tuple(step for step in steps if isinstance(step, (RowRange, Indices)))
        )
        total = base.count(self._source.entry.rows)
        chosen = base.with_slice(total * i // n, total * (i + 1) // n, None, self._source.entry.rows)
        for step in filters:
            chosen = chosen.with_filter(step.predicate)
        return self._with(chosen)

    def sample(self, n: int, seed: int = 0) -> Table:
        """`n` different rows drawn at random, in the order of the table; all of them where there are no more. The same seed
        draws the same rows."""
        total = self.num_rows
        drawn = np.random.default_rng(seed).choice(total, min(as_index(n), total), replace=False, shuffle=False)
        return self.take(np.sort(drawn).astype(np.int64))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Table: ...
    def __getitem__(self, index: Any) -> Row | Table:
        if isinstance(index, slice):
            bounds = [None if bound is None else as_index(bound) for bound in (index.start, index.stop, index.step)]
            return self._with(self._selection.with_slice(bounds[0], bounds[1], bounds[2], self._source.entry.rows))
        if isinstance(index, (str, tuple, list)):
            raise UsageError(
                message("looking up a row", path=self._source.address, expected="a row number or a slice", got=repr(index)[:100],
                        todo=f"table.select({index!r}) selects columns, table.get_column({index!r}) reads one" if isinstance(index, str) else "select(…) selects columns, take(…) rows")
            )  # fmt: skip
        return self._row(as_index(index))

    def _row(self, index: int) -> Row:
        steps = self._selection.steps
        if self._selection.is_counted:
            count = self._count or 0
            if not -count <= index < count:
                raise IndexError(
                    message(
                        "looking up a row", path=self._source.address, expected=f"a number below {count}", got=index
                    )
                )
            place = index + count if index < 0 else index
            number = place if not steps else int(steps[0].rows[place])  # type: ignore[union-attr]  # counted
            piece = self._reading.row(number, self._names)
        else:
            at = index if index >= 0 else index + self.num_rows
            found = (
                next(self._reading.pieces(self._selection.with_slice(at, at + 1, None, 0).steps, self._names), None)
                if at >= 0
                else None
            )
            if found is None:
                raise IndexError(
                    message(
                        "looking up a row",
                        path=self._source.address,
                        expected=f"a number below {self.num_rows}",
                        got=index,
                    )
                )
            piece = found
        return decode_row(self._schema, piece.batch.columns, self._reading.cells, int(piece.rows[0]))

    # -- reading

    def batches(self, columns: Sequence[str] | None = None, batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches of logical types, in order; media as their cells, with absolute uris.

        Without `batch_rows` batches are as long as they come; with it each has as many, but for the last. Holds what is read
        ahead: at most 64 MiB decoded, or a few row groups that are larger.
        """
        table = self if columns is None else self.select(*columns)
        return table._batches(batch_rows, "cells")

    def _batches(self, batch_rows: int | None, media: str) -> Iterator[pa.RecordBatch]:
        if media not in ("cells", "bytes"):
            raise UsageError(
                message(
                    "reading a table as Arrow data", expected="media='cells' or media='bytes'", got=repr(media)[:60]
                )
            )
        prefix = (
            self._source.cells_prefix
            if self._source.cells_prefix is not None
            else self._source.backend.uri("data") + "/"
        )
        cells = absolute_cells(prefix) if media == "cells" else inlined_cells(self._reading.cells)
        pieces = self._reading.pieces(self._selection.steps, self._names)
        return iter_batches(
            pieces,
            Logical(self._schema, cells),
            batch_rows,
            self._schema,
            self._source.limits.media_bytes if media == "bytes" else None,
        )

    def to_arrow(self, media: str = "cells") -> pa.Table:
        """All rows as an Arrow table; holds them. With `media="bytes"` each cell holds its bytes `inline`."""
        found = list(self._batches(None, media))
        if not self._names:
            return pa.Table.from_batches(found or [rows_only(0)])
        return pa.Table.from_batches(found, schema=self.arrow_schema)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as a stream of Arrow's C interface: any library of data frames takes the table itself."""
        reader = pa.RecordBatchReader.from_batches(self.arrow_schema, self._batches(None, "cells"))
        return reader.__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> Any:
        """All rows as a pandas data frame; holds them. Needs pandas (`tableformat[pandas]`)."""
        try:
            import pandas  # noqa: F401 - pyarrow makes the frame
        except ImportError as error:
            raise MissingExtraError("reading a table as a pandas data frame", "pandas", "pandas") from error
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """All rows as a polars data frame; holds them. Tensors are arrays and JSON is text there. Needs polars (`tableformat[polars]`)."""
        try:
            import polars
        except ImportError as error:
            raise MissingExtraError("reading a table as a polars data frame", "polars", "polars") from error
        return polars.from_arrow(without_extensions(self.to_arrow()))

    def rows(self, media: MediaMode = "lazy") -> Iterator[Row]:
        """The rows, in order. Media read their bytes when asked; with `media="bytes"` their bytes stand in the rows, fetched
        many at once and checked."""
        pieces = self._reading.pieces(self._selection.steps, self._names)
        # Locally a small run is freed before the next is read, so its memory is used again: 66 µs a row of 75 KB, where
        # runs of 32 MiB took 97. Elsewhere a run is what is in flight.
        run = (
            min(self._source.limits.media_bytes, _LOCAL_RUN)
            if self._source.backend.is_local
            else self._source.limits.media_bytes
        )
        return iter_rows(self._schema, pieces, self._reading.cells, media, run)

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def iterrows(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Pairs of a row's number in its table and the tuple of its values."""
        return ((row.index, tuple(row.values())) for row in self.rows())

    def get_column(self, name: str) -> list[Any]:
        """The values of one column; holds them. Media are lazy."""
        if name not in self.columns:
            self.select(name)
        return [row[name] for row in self.select(name).rows()]

    # -- class sets

    def classes_of(self, column: str, layer: str | None = None) -> Classes | None:
        """The class set that names the ids of a column of classes, or of the boxes and masks of a column of images; of `layer`
        where layers have their own. None where there is none. Reads the class set."""
        type_ = self._source.entry.schema[column].type
        digest = (
            type_.classes
            if isinstance(type_, ClassType)
            else type_.class_set(layer or "")
            if isinstance(type_, MediaType)
            else None
        )
        return None if digest is None else self._source.classes(digest)

    def class_sets(self) -> list[Classes]:
        """Every class set that the schema of the selection names. Reads them."""
        digests: dict[str, None] = {}
        for column in self._schema.columns:
            for node in walk(column):
                digests.update(dict.fromkeys(_digests_of(node)))
        return [self._source.classes(digest) for digest in digests]

    # -- as an object

    def __reduce__(self) -> tuple[Callable[..., Table], tuple[Any, ...]]:
        opener, backend, artifact, name, reach = reopening(self._source)
        return open_pickled, (opener, backend, artifact, name, self._selection, reach)

    def __repr__(self) -> str:
        return text_of_table(self, self._preview(), self._count)

    def _repr_html_(self) -> str:
        return html_of_table(self, self._preview(), self._count)

    def _preview(self) -> Table:
        """The rows that stand for it when it is shown: behind a filter, those that it finds soon."""
        steps = self._selection.steps
        if self._count is None and not any(isinstance(step, (Sliced, Picked)) for step in steps):
            base = Selection(self._selection.columns, tuple(step for step in steps if not isinstance(step, Filter)))
            chosen = base.with_slice(0, _PREVIEW_ROWS, None, self._source.entry.rows)
            for step in steps:
                if isinstance(step, Filter):
                    chosen = chosen.with_filter(step.predicate)
            return self._with(chosen).head(PREVIEW)
        return self.head(PREVIEW)


def open_pickled(
    opener: Opener, backend: Backend, artifact: str, name: str, selection: Selection, reach: Reach
) -> Table:
    """The table that `Table.__reduce__` described, opened again in this process. Bytes move."""
    return Table(opener(backend, artifact, name, reach), selection)


def _digests_of(node: Field) -> builtins.list[str]:
    type_ = node.type
    if isinstance(type_, ClassType):
        return [type_.classes]
    if isinstance(type_, MediaType):
        return [*([type_.classes] if type_.classes is not None else []), *(digest for _, digest in type_.layers)]
    return []


def _any_negative(indices: Iterable[Any]) -> bool:
    array = np.asarray(indices.to_numpy() if hasattr(indices, "to_numpy") else indices)
    return bool(array.size and array.dtype.kind in "ib" and (array.dtype.kind == "b" or array.min() < 0))

"""`JoinedTable`: tables read together by key, nothing read until rows are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import InvalidInputError, MissingExtraError, UsageError, message
from tableformat.format.expr import Predicate, all_of, col
from tableformat.format.media.classes import Classes
from tableformat.format.schema import Schema
from tableformat.storage.versionfile import Input
from tableformat.table.arrow_out import without_extensions
from tableformat.table.batches import of_length, rows_only
from tableformat.table.join.chosen import Chosen
from tableformat.table.join.join import Join
from tableformat.table.join.keys import key_names
from tableformat.table.join.memory import DEFAULT_MEMORY, Memory, as_bytes
from tableformat.table.join.pairs import KINDS, How
from tableformat.table.join.sides import Side, TableSide
from tableformat.table.rows import MediaMode, Row, sub_schema, visible_columns
from tableformat.table.selection import as_index, as_positions
from tableformat.table.table import Table

__all__ = ["JoinedTable"]

_ROWS: Final = 1024  # rows that are decoded at a time


class JoinedTable:
    """Two tables joined by key. Immutable, safe from many threads and after a fork; nothing is read until rows are asked for.

    `left` and `right` are tables, selections of tables, joined tables, or names of entries of the draft that it will be added
    to. `on` is a column that both have, a pair `(left, right)`, or a list of these; media are compared by digest. `how` is
    `inner`, `left`, `right`, `outer`, `semi` or `anti`. Null keys match nothing and stay where unmatched rows do; equal keys
    multiply. Rows come in the order of the left, those of one left row in the order of the right, then right rows without a
    match (spec/joined.md).

    Rows are `{"0": left row, "1": right row}`, None where there is none; without "1" for `semi` and `anti`. Columns of batches, and of
    `select` and `where`, have flattened names: one that both sides have gets `_0` and `_1`, others stay.

    Raises `NotFoundError` for a key column that is not there, `SchemaError` naming both types where keys do not compare.
    """

    def __init__(self, left: Any, right: Any, on: Any, how: How = "inner") -> None:
        self._given = (left, right, on, how)
        self._rows: Chosen | None = None
        self._is_whole = True
        if how not in KINDS:
            raise UsageError(message("joining tables", expected=f"how, one of {', '.join(KINDS)}", got=repr(how)[:60]))
        key_names(on, "joining tables")
        if not any(isinstance(side, str) for side in (left, right)):
            self._rows = Chosen(Join(_side_of(left), _side_of(right), on, how))

    def _with(self, rows: Chosen) -> JoinedTable:
        made = object.__new__(JoinedTable)
        made._given, made._rows, made._is_whole = self._given, rows, False
        return made

    # -- what it is

    @property
    def chosen(self) -> Chosen:
        """The join and the selection of it; raises `UsageError` while a side is a name that no draft has resolved."""
        if self._rows is None:
            raise UsageError(
                message("reading a joined table", expected="tables", got=f"names of entries: {self._given[0]!r:.80} and {self._given[1]!r:.80}",
                        todo="add it to a draft that has these entries, and read draft[name]")
            )  # fmt: skip
        return self._rows

    @property
    def sides(self) -> tuple[Any, Any]:
        """The two sides as they were given."""
        return self._given[0], self._given[1]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was selected from it."""
        return self._is_whole

    def inputs(self) -> list[Input]:
        """The versions that its sides belong to, as far as they are tables and not names."""
        tables = [side for side in self.sides if not isinstance(side, str)]
        return [
            found
            for side in tables
            for found in (side.inputs() if isinstance(side, JoinedTable) else [side.source.input])
            if found
        ]

    @property
    def on_given(self) -> tuple[tuple[str, str], ...]:
        """`on`, also while a side is a name."""
        return tuple(key_names(self._given[2], "joining tables"))

    @property
    def on(self) -> list[tuple[str, str]]:
        """The pairs of columns that are equal: left, right."""
        return [(pair.left, pair.right) for pair in self.chosen.join.pairs]

    @property
    def how(self) -> How:
        """The kind of the join, as it was made."""
        return self._given[3]

    @property
    def schema(self) -> Schema:
        """The flattened columns, with the annotations of media, and their types; without field ids."""
        return self.chosen.schema

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of `batches` and `to_arrow`: logical Arrow types."""
        return self.schema.logical_schema()

    @property
    def columns(self) -> list[str]:
        """The flattened names of the columns. Annotations of media are part of their media and have none."""
        return [column.name for column in visible_columns(self.schema)]

    @property
    def key(self) -> tuple[str, ...]:
        """Empty: a joined table has no key."""
        return ()

    def classes_of(self, column: str, layer: str | None = None) -> Classes | None:
        """The class set of a column, by its flattened name: as `Table.classes_of` of its side."""
        sub_schema(self.schema, [column])
        return self.chosen.classes_of(column, layer)

    @property
    def num_rows(self) -> int:
        """The number of rows; where nothing tells it, the keys are joined once to count them."""
        return self.chosen.count(DEFAULT_MEMORY)

    def __len__(self) -> int:
        return self.num_rows

    def __bool__(self) -> bool:
        return next(self.head(1).chosen.run([], DEFAULT_MEMORY), None) is not None

    def explain(self, columns: Sequence[str] | None = None, memory: Memory = None) -> str:
        """How `batches` with these arguments would read it, and why, in a few lines. Reads no rows."""
        table = self if columns is None else self.select(*columns)
        chosen = table.chosen
        budget = as_bytes(memory)
        names = table._names()
        plan = chosen.join.plan(names, budget)
        left, right = chosen.join.facts(names)
        told = [f"{plan.strategy}: {plan.reason}"]
        for mark, side in (("left ", left), ("right", right)):
            rows = "rows unknown" if side.rows is None else f"{side.rows:,} rows"
            told.append(f"  {mark}: {side.label} · {rows} · about {side.row_bytes:,.0f} bytes a row")
        told.append("  on   : " + ", ".join(f"{pair.left} = {pair.right}" for pair in chosen.join.pairs))
        if chosen.steps:
            told.append(f"  then : {len(chosen.steps)} selections of the joined rows")
        return "\n".join(told)

    # -- selecting

    def select(self, *names: str) -> JoinedTable:
        """These columns, by their flattened names, in this order. Raises `NotFoundError` with the nearest name."""
        sub_schema(self.schema, names)
        return self._with(self.chosen.select(names))

    def where(self, expr: Predicate | None = None, /, **equals: Any) -> JoinedTable:
        """The rows for which `expr` is true and each column of `equals` has its value, by flattened names.

        What speaks of one side is applied there before the join, with the statistics of its parts. Any column of the join may
        be tested, selected or not. Raises `NotFoundError` and `SchemaError` before anything is read.
        """
        if expr is not None and not isinstance(expr, Predicate):
            raise InvalidInputError(
                message("filtering rows", expected="an expression such as col('x') > 3", got=f"{expr!r:.80}")
            )
        tests = [expr] if expr is not None else []
        predicate = all_of([*tests, *(col(name) == value for name, value in equals.items())])
        if predicate is None:
            return self
        self.chosen.bind(predicate)
        return self._with(self.chosen.where(predicate))

    def head(self, n: int = 10) -> JoinedTable:
        """The first `n` rows; read by looking for what the first rows of the left meet."""
        return self._with(self.chosen.slice(0, max(as_index(n), 0)))

    def page(self, start: int, count: int) -> JoinedTable:
        """The rows from `start` on, at most `count`. The first pages are cheap; far into a join whose rows per left row are
        not known, the keys before it are joined first."""
        start, count = max(as_index(start), 0), max(as_index(count), 0)
        return self._with(self.chosen.slice(start, start + count))

    def take(self, indices: Any) -> JoinedTable:
        """The rows at `indices`, in that order, repetitions included; negative ones count from the end.

        Joins the keys up to the last of them, when the rows are asked for. Raises `IndexError` for a position outside.
        """
        array = np.asarray(indices.to_numpy() if hasattr(indices, "to_numpy") else indices)
        from_end = array.size and array.dtype.kind in "ib" and (array.dtype.kind == "b" or array.min() < 0)
        return self._with(self.chosen.pick(as_positions(indices, self.num_rows if from_end else None)))

    def __getitem__(self, index: Any) -> Any:
        """A row by its number, or a slice of the rows."""
        if isinstance(index, slice):
            start, stop, step = (
                None if bound is None else as_index(bound) for bound in (index.start, index.stop, index.step)
            )
            if step == 0:
                raise UsageError(message("slicing a joined table", expected="a step other than 0", got=0))
            return self._with(self.chosen.slice(start, stop, step))
        if isinstance(index, (str, tuple, list)):
            raise UsageError(
                message("looking up a row", expected="a row number or a slice", got=repr(index)[:100], todo="select(…) selects columns, take(…) rows")
            )  # fmt: skip
        place = as_index(index)
        at = place if place >= 0 else place + self.num_rows
        found = next(self[at : at + 1].rows(), None) if at >= 0 else None
        if found is None:
            raise IndexError(
                message("looking up a row of a joined table", expected=f"a number below {self.num_rows}", got=place)
            )
        return found

    # -- reading

    def batches(
        self,
        columns: Sequence[str] | None = None,
        batch_rows: int | None = None,
        *,
        memory: Memory = None,
        ordered: bool = True,
    ) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches of logical types with flattened names, in order; media as their cells, with absolute uris.

        `memory`, bytes or a text such as "512 MB", bounds what is held beside the batches that the caller keeps, whatever the
        size of the tables. With `ordered=False` rows may come in any order, which costs less where they spill. Raises
        `MissingExtraError` where they have to spill and DuckDB is not installed.
        """
        table = self if columns is None else self.select(*columns)
        stream = table._batches("cells", as_bytes(memory), ordered=ordered)
        return stream if batch_rows is None else of_length(stream, max(as_index(batch_rows), 1))

    def _names(self) -> list[str]:
        return [column.name for column in self.schema.columns]

    def _batches(self, media: str, memory: int, *, ordered: bool = True) -> Iterator[pa.RecordBatch]:
        if media not in ("cells", "bytes"):
            raise UsageError(
                message(
                    "reading a joined table as Arrow data",
                    expected="media='cells' or media='bytes'",
                    got=repr(media)[:60],
                )
            )
        chosen, names, schema = self.chosen, self._names(), self.arrow_schema
        for run, _ in chosen.run(names, memory, ordered=ordered, numbered=False):
            if not names:
                yield rows_only(len(run))
                continue
            arrays = chosen.join.arrays(run, names)
            yield pa.RecordBatch.from_arrays(chosen.logical(names, arrays, media), schema=schema)

    def to_arrow(self, media: str = "cells", *, memory: Memory = None) -> pa.Table:
        """All rows as an Arrow table; holds them. With `media="bytes"` each cell holds its bytes `inline`."""
        found = list(self._batches(media, as_bytes(memory)))
        if not self._names():
            return pa.Table.from_batches(found or [rows_only(0)])
        return pa.Table.from_batches(found, schema=self.arrow_schema)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as a stream of Arrow's C interface: any library of data frames takes the joined table itself."""
        reader = pa.RecordBatchReader.from_batches(self.arrow_schema, self._batches("cells", DEFAULT_MEMORY))
        return reader.__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> Any:
        """All rows as a pandas data frame; holds them. Needs pandas (`tableformat[pandas]`)."""
        try:
            import pandas  # noqa: F401 - pyarrow makes the frame
        except ImportError as error:
            raise MissingExtraError("reading a joined table as a pandas data frame", "pandas", "pandas") from error
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """All rows as a polars data frame; holds them. Needs polars (`tableformat[polars]`)."""
        try:
            import polars
        except ImportError as error:
            raise MissingExtraError("reading a joined table as a polars data frame", "polars", "polars") from error
        return polars.from_arrow(without_extensions(self.to_arrow()))

    def rows(self, media: MediaMode = "lazy", *, memory: Memory = None) -> Iterator[Row]:
        """The rows `{"0": left row, "1": right row}`, in order; media read their bytes when asked, or have been read with
        `media="bytes"`. Each inner row has the `index` that it has in its table; that of the outer row counts the join."""
        if media not in ("lazy", "bytes"):
            raise UsageError(message("reading rows", expected="media='lazy' or media='bytes'", got=repr(media)[:60]))
        chosen = self.chosen
        names = [*self._names(), *chosen.hidden()]
        return self._decoded(chosen, names, media, as_bytes(memory))

    @staticmethod
    def _decoded(chosen: Chosen, names: list[str], media: MediaMode, memory: int) -> Iterator[Row]:
        for run, numbers in chosen.run(names, memory):
            for start in range(0, len(run), _ROWS):
                stop = min(start + _ROWS, len(run))
                batch = chosen.join.flat(run.slice(start, stop), names)
                yield from chosen.decode(batch, numbers[start:stop].tolist(), media)

    def flat_rows(self, media: MediaMode = "lazy", *, memory: Memory = None) -> Iterator[dict[str, Any]]:
        """The rows of `rows`, in order, as values by flattened names; null where a side has no row."""
        flatten, columns = self.chosen.flatten, self.columns
        for row in self.rows(media, memory=memory):
            values = flatten(row)
            yield {name: values[name] for name in columns}

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    # -- as an object

    def __reduce__(self) -> tuple[Callable[..., JoinedTable], tuple[Any, ...]]:
        if self._rows is None:
            return JoinedTable, self._given
        join = self._rows.join
        tables = tuple(_table_of(side) for side in (join.left, join.right))
        return _reopened, (*tables, join.on, join.how, self._rows.columns, self._rows.steps)

    def __repr__(self) -> str:
        if self._rows is None:
            return (
                f"<JoinedTable {self._given[0]!r:.60} {self.how} join {self._given[1]!r:.60} on {self._given[2]!r:.60}>"
            )
        left, right = self._rows.join.left, self._rows.join.right
        keys = ", ".join(one if one == other else f"{one} = {other}" for one, other in self.on)
        return f"<JoinedTable {_label(left)} {self._rows.join.how} join {_label(right)} on {keys} · columns: {', '.join(self.columns)[:300]}>"


def _side_of(given: Any) -> Side:
    if isinstance(given, Table):
        return TableSide(given)
    if isinstance(given, JoinedTable):
        return given.chosen
    raise InvalidInputError(
        message("joining tables", expected="two tables, joined tables, or names of entries of a draft", got=type(given).__name__,
                todo="add a data frame to a draft first, or make a Table of it")
    )  # fmt: skip


def _table_of(side: Side) -> Any:
    """The side as an object that pickles: with the filters that were pushed to it."""
    if isinstance(side, TableSide):
        return side.as_table()
    assert isinstance(side, Chosen)
    join = side.join
    return _reopened(_table_of(join.left), _table_of(join.right), join.on, join.how, side.columns, side.steps)


def _reopened(left: Any, right: Any, on: Any, how: How, columns: Any, steps: Any) -> JoinedTable:
    """The joined table that `JoinedTable.__reduce__` described."""
    made = JoinedTable(left, right, on, how)
    return made if columns is None and not steps else made._with(Chosen(made.chosen.join, columns, steps))


def _label(side: Side) -> str:
    if isinstance(side, TableSide):
        return side.label
    assert isinstance(side, Chosen)
    return f"({_label(side.join.left)} {side.join.how} join {_label(side.join.right)})"

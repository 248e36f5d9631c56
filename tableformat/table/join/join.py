"""A join of two sides: its columns, its rows in order, its rows by number, and what of a filter its sides can do."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import message
from tableformat.format.bound import Bound, bind, find_leaf
from tableformat.format.expr import And, ColumnExpr, Compare, IsIn, IsNan, IsNull, Not, Or, Predicate, all_of
from tableformat.format.media.classes import Classes
from tableformat.format.schema import Schema
from tableformat.table.batches import rows_only
from tableformat.table.join.aligned import iter_aligned
from tableformat.table.join.keys import KeyPair, key_pairs
from tableformat.table.join.lookup import TooLargeError, iter_lookup
from tableformat.table.join.merge import iter_merged
from tableformat.table.join.names import flat_names
from tableformat.table.join.pages import iter_pages
from tableformat.table.join.pairs import How, Pairs, take_rows
from tableformat.table.join.plan import Plan, Strategy, budget_of, can_align, can_merge, choose
from tableformat.table.join.sides import Side, SideFacts, TableSide
from tableformat.table.join.spill import iter_spilled
from tableformat.table.rows import MediaMode, Row
from tableformat.table.selection import Positions

__all__ = ["Join"]

_CACHED_BYTES: Final = 8 << 20
_NUMBERS: Final = ("\0" + "0", "\0" + "1")
_NESTED: Final = ("\0l", "\0r")


class Join:
    """Two sides, the pairs of columns that must be equal, and the kind. Immutable, safe from many threads.

    Holds up to 8 MiB of first pages that were read.
    """

    def __init__(self, left: Side, right: Side, on: Any, how: How) -> None:
        self.left, self.right, self.on, self.how = left, right, on, how
        self.pairs: tuple[KeyPair, ...] = key_pairs(on, left.schema, right.schema, "joining tables")
        self.both = how not in ("semi", "anti")
        """Whether its rows have columns of the right side."""
        shown = right.schema.names if self.both else []
        own, others = flat_names(left.schema.names, shown)
        self.names: tuple[dict[str, str], dict[str, str]] = (
            dict(zip(left.schema.names, own, strict=True)),
            dict(zip(shown, others, strict=True)),
        )
        """From the name of a column of each side to the one that it has here."""
        self._places = {flat: (side, name) for side in (0, 1) for name, flat in self.names[side].items()}
        self.schema = self._flat_schema()
        self._pages: OrderedDict[Any, tuple[list[Pairs], int]] = OrderedDict()
        self._lock = threading.Lock()
        self._count: int | None = None

    def _flat_schema(self) -> Schema:
        loose = (self.how in ("right", "outer"), self.how in ("left", "outer"))
        columns = []
        for side, schema in enumerate((self.left.schema, self.right.schema)):
            renamed = self.names[side]
            for column in schema.columns if renamed else ():
                annotates = column.annotates
                if annotates is not None:
                    annotates = (renamed[annotates[0]], annotates[1]) if annotates[0] in renamed else None
                columns.append(
                    replace(
                        column.without_ids(),
                        name=renamed[column.name],
                        nullable=column.nullable or loose[side],
                        annotates=annotates,
                    )
                )
        return Schema(tuple(columns))

    def of_side(self, columns: Sequence[str], side: int) -> list[str]:
        """Those of the columns, hidden ones included, that are of side 0 or 1, by their names there."""
        found = []
        for name in columns:
            if name.startswith("\0"):
                if name.startswith(_NESTED[side]):
                    found.append(name[2:])
            elif self._places[name][0] == side:
                found.append(self._places[name][1])
        return found

    # -- its rows

    def plan(self, columns: Sequence[str], memory: int) -> Plan:
        """How it is read. Reads the footer of one part of each table at most."""
        left, right = self.facts(columns)
        comparable = all(pair.is_ordered for pair in self.pairs)
        is_held = not (can_align(left, right) or can_merge(left, right, comparable=comparable))
        if is_held and len(self.pairs) == 1 and self.pairs[0].is_plain(1):  # statistics of every part are asked for
            right = replace(right, index_row_bytes=self.right.index_row_bytes(self.pairs[0].right))
        return choose(self.how, left, right, memory, comparable=comparable)

    def facts(self, columns: Sequence[str]) -> tuple[SideFacts, SideFacts]:
        """What is known of both sides when `columns` are read."""
        found = []
        for side, rows in enumerate((self.left, self.right)):
            keys = [pair.column(side) for pair in self.pairs]
            needed = dict.fromkeys(
                [*(name for name in self.of_side(columns, side) if not name.startswith("\0")), *keys]
            )
            found.append(rows.facts(keys, list(needed)))
        return found[0], found[1]

    def iter_pairs(
        self,
        columns: Sequence[str],
        memory: int,
        *,
        ordered: bool = True,
        numbered: bool = True,
        strategy: Strategy | None = None,
    ) -> Iterator[Pairs]:
        """The rows; in order, unless `ordered` is false; the numbers of their rows may be missing unless `numbered`.

        Raises `MissingExtraError` where they have to spill and DuckDB is not installed.
        """
        chosen = strategy or self.plan(columns, memory).strategy
        left, right = self.of_side(columns, 0), self.of_side(columns, 1)
        inner = memory if isinstance(self.left, TableSide) and isinstance(self.right, TableSide) else memory // 4
        if chosen == "lookup":
            found = iter_lookup(self.left, self.right, self.pairs, self.how, left, right, inner, budget_of(memory))
            try:
                first = next(found, None)
            except TooLargeError:  # the estimate was too low
                chosen = "spill"
            else:
                return chain([first], found) if first is not None else iter(())
        if chosen == "aligned":
            return iter_aligned(self.left, self.right, self.pairs, self.how, left, right, inner, numbered=numbered)
        if chosen == "merge":
            return iter_merged(self.left, self.right, self.pairs, self.how, left, right, inner, numbered=numbered)
        if chosen == "pages":
            return iter_pages(
                self.left, self.right, self.pairs, self.how, left, right, inner, budget_of(memory), 1 << 16
            )
        return iter_spilled(
            self.left, self.right, self.pairs, self.how, left, right, memory, ordered=ordered, numbered=numbered
        )

    def first_pairs(self, columns: Sequence[str], memory: int, count: int) -> list[Pairs]:
        """The first `count` rows, by reading as little as may be; kept for the next time where they are few."""
        asked = (tuple(columns), count)
        with self._lock:
            if asked in self._pages:
                self._pages.move_to_end(asked)
                return self._pages[asked][0]
        left, right = self.of_side(columns, 0), self.of_side(columns, 1)
        limit = budget_of(memory)
        found: list[Pairs] = []
        have = 0
        side = self.left
        if self.how == "left":
            side = side.slice(0, count)  # each row of the left gives one row at least
        for run in iter_pages(side, self.right, self.pairs, self.how, left, right, memory, limit, max(count, 16)):
            run = run.slice(0, min(len(run), count - have))
            found.append(run)
            have += len(run)
            if have >= count:
                break
        size = sum(_own_bytes(run) for run in found)
        if size <= _CACHED_BYTES:
            with self._lock:
                self._pages[asked] = (found, size)
                while sum(held for _, held in self._pages.values()) > _CACHED_BYTES:
                    self._pages.popitem(last=False)
        return found

    def flat(self, run: Pairs, columns: Sequence[str]) -> pa.RecordBatch:
        """The columns of a run, in this order, by their names here."""
        if not columns:
            return rows_only(len(run))
        return pa.RecordBatch.from_arrays(self.arrays(run, columns), list(columns))

    def arrays(self, run: Pairs, columns: Sequence[str]) -> list[pa.Array]:
        """The columns of a run, in this order."""
        return [self._array(run, name) for name in columns]

    def _array(self, run: Pairs, name: str) -> pa.Array:
        if name in _NUMBERS:
            return pa.array(run.left_rows if name == _NUMBERS[0] else run.right_rows)
        if name.startswith("\0"):
            return (run.left if name.startswith(_NESTED[0]) else run.right).column(name[2:])
        side, own = self._places[name]
        return (run.right if side else run.left).column(own)

    def numbers(self, rows: Positions, memory: int, *, strict: bool = True) -> tuple[Positions, Positions]:
        """The numbers on both sides of the rows with these numbers, ascending: joins the keys up to the last of them.

        Where there are fewer rows it raises `IndexError`, or, unless `strict`, leaves them out. Holds 16 bytes for each row
        asked for.
        """
        left, right = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        at = done = 0
        for run in self.iter_pairs([], memory) if len(rows) else ():
            stop = int(np.searchsorted(rows, at + len(run)))
            places = rows[done:stop] - at
            left[done:stop], right[done:stop] = run.left_rows[places], run.right_rows[places]
            at, done = at + len(run), stop
            if done == len(rows):
                break
        if done < len(rows) and strict:
            raise IndexError(message("taking rows of a join", expected=f"positions below {at}", got=int(rows[done])))
        return left[:done], right[:done]

    def gather(self, left_rows: Positions, right_rows: Positions, columns: Sequence[str], memory: int) -> Pairs:
        """The pairs of these rows of both sides; -1 for none."""
        batches = []
        for side, (rows, numbers) in enumerate(((self.left, left_rows), (self.right, right_rows))):
            names = self.of_side(columns, side)
            wanted, back = np.unique(numbers[numbers >= 0], return_inverse=True)
            places = np.full(len(numbers), -1, np.int64)
            places[numbers >= 0] = back
            found = rows.take(wanted, names, memory) if names and len(wanted) else rows.absent(names, len(wanted))
            batches.append(take_rows(found, places))
        return Pairs(batches[0], left_rows, batches[1], right_rows)

    def count(self, memory: int) -> int:
        """The number of rows; counted once, by joining the keys where nothing tells it."""
        if self._count is None:
            left, right = self.facts([])
            if self.how == "left" and right.is_unique and left.rows is not None:
                self._count = left.rows
            elif can_align(left, right) and left.rows is not None:
                self._count = 0 if self.how == "anti" else left.rows
            else:
                self._count = sum(len(run) for run in self.iter_pairs([], memory, ordered=False, numbered=False))
        return self._count

    def window(self, start: int, stop: int, columns: Sequence[str]) -> Join | None:
        """The join of a run of the left, where its rows are those from `start` to `stop`; None where that is not known."""
        if self.how == "left" and isinstance(self.left, TableSide) and self.facts(columns)[1].is_unique:
            return Join(self.left.slice(start, stop), self.right, self.on, self.how)
        return None

    # -- selecting

    def pushed(self, predicate: Predicate) -> tuple[Join, Predicate | None]:
        """The join with the parts of `predicate` that speak of one side applied there before, and the rest of it.

        A test that is never true of a row without a partner makes `left`, `right` and `outer` joins keep fewer such rows.
        """
        sides, how, rest = [self.left, self.right], self.how, []
        for test in _conjuncts(predicate):
            speaks = {self._places[leaf.path[0]][0] for leaf in self.bind(test).leaves}
            renamed = self._renamed(test, next(iter(speaks))) if len(speaks) == 1 else None
            if renamed is None:
                rest.append(test)
                continue
            side = speaks.pop()
            keeps_without = how in (("right", "outer"), ("left", "outer"))[side]
            if keeps_without and self._true_of_nulls(test):
                rest.append(test)
                continue
            if keeps_without:  # rows without a row on this side are never kept
                how = {("left", 1): "inner", ("right", 0): "inner", ("outer", 0): "left", ("outer", 1): "right"}[
                    how, side
                ]  # type: ignore[assignment]
            sides[side] = sides[side].where(renamed)
        return Join(sides[0], sides[1], self.on, how), all_of(rest)

    def _true_of_nulls(self, test: Predicate) -> bool:
        bound = self.bind(test)
        fields = [self.schema[name].storage() for name in bound.columns]
        batch = pa.RecordBatch.from_arrays(
            [pa.nulls(1, field.type) for field in fields], [field.name for field in fields]
        )
        return bool(np.asarray(bound.mask(batch).fill_null(False))[0])

    def _renamed(self, predicate: Predicate, side: int) -> Predicate | None:
        """The predicate by the names of a side; None where a name would lead elsewhere there."""
        schema = (self.left, self.right)[side].schema
        fits = True

        def rename(name: str) -> str:
            nonlocal fits
            path = find_leaf(self.schema, name).path
            own = ".".join((self._places[path[0]][1], *path[1:]))
            fits = fits and find_leaf(schema, own).path == (self._places[path[0]][1], *path[1:])
            return own

        found = _map_columns(predicate, rename)
        return found if fits else None

    def bind(self, predicate: Predicate) -> Bound:
        """The predicate over the columns of the join."""
        return bind(predicate, self.schema, self.class_id)

    def class_id(self, digest: str, name: str) -> int | None:
        """The id that a class set of either side has for a name."""
        for side in (self.left, self.right):
            if any(getattr(column.type, "classes", None) == digest for column in side.schema.columns):
                return side.class_id(digest, name)
        return None

    # -- for people, and for users of Arrow

    def hidden(self) -> list[str]:
        """Columns beside those of the schema: the number of the row on each side, -1 for none, and the same of joins below."""
        nested = [(self.left, _NESTED[0])] + ([(self.right, _NESTED[1])] if self.both else [])
        return [*_NUMBERS, *(mark + name for side, mark in nested for name in side.hidden())]

    def decode(self, batch: pa.RecordBatch, numbers: Sequence[int], media: MediaMode) -> list[Row]:
        """The rows `{"0": …, "1": …}`, of `semi` and `anti` without "1"; the batch has the hidden columns, too."""
        columns: list[list[Row | None]] = []
        for side, rows in enumerate((self.left, self.right)):
            if side and not self.both:
                continue
            flat = [name for name in batch.schema.names if name not in _NUMBERS and self.of_side([name], side)]
            own = (
                pa.RecordBatch.from_arrays([batch.column(name) for name in flat], self.of_side(flat, side))
                if flat
                else rows_only(batch.num_rows)
            )
            given = np.asarray(batch.column(_NUMBERS[side]))
            places = np.flatnonzero(given >= 0)
            if len(places) != len(given):
                own = take_rows(own, places)
            decoded = rows.decode(own, given[places].tolist(), media)
            values: list[Row | None] = [None] * len(given)
            for place, row in zip(places.tolist(), decoded, strict=True):
                values[place] = row
            columns.append(values)
        names = {"0": 0, "1": 1} if self.both else {"0": 0}
        return [Row(names, row, number) for number, row in zip(numbers, zip(*columns, strict=True), strict=True)]

    def flatten(self, row: Row) -> dict[str, Any]:
        """The values of a row `{"0": …, "1": …}` by the names that columns have here; null where a side has no row."""
        found: dict[str, Any] = {}
        for number, side in enumerate((self.left, self.right)):
            own = row.get(str(number))
            values = {} if own is None else side.flatten(own)
            found.update({flat: values.get(name) for name, flat in self.names[number].items()})
        return found

    def classes_of(self, column: str, layer: str | None) -> Classes | None:
        """What `Table.classes_of` tells of a column of either side."""
        side, own = self._places[column]
        return (self.left, self.right)[side].classes_of(own, layer)

    def logical(self, columns: Sequence[str], arrays: Sequence[pa.Array], media: str) -> list[pa.Array]:
        found: dict[str, pa.Array] = {}
        for side, own in enumerate((self.left, self.right)):
            mine = [name for name in columns if self._places[name][0] == side]
            given = [array for name, array in zip(columns, arrays, strict=True) if self._places[name][0] == side]
            found.update(zip(mine, own.logical(self.of_side(mine, side), given, media), strict=True))
        return [found[name] for name in columns]


def _own_bytes(run: Pairs) -> int:
    return int(run.left.nbytes + run.right.nbytes + 16 * len(run))


def _conjuncts(predicate: Predicate) -> Iterator[Predicate]:
    if isinstance(predicate, And):
        yield from _conjuncts(predicate.left)
        yield from _conjuncts(predicate.right)
    else:
        yield predicate


def _map_columns(predicate: Predicate, rename: Any) -> Predicate:
    """The same predicate over columns with other names."""
    if isinstance(predicate, (And, Or)):
        return type(predicate)(_map_columns(predicate.left, rename), _map_columns(predicate.right, rename))
    if isinstance(predicate, Not):
        return Not(_map_columns(predicate.inner, rename))
    if isinstance(predicate, Compare):
        value = ColumnExpr(rename(predicate.value.name)) if isinstance(predicate.value, ColumnExpr) else predicate.value
        return Compare(predicate.op, rename(predicate.column), value)
    assert isinstance(predicate, (IsIn, IsNull, IsNan))
    return replace(predicate, column=rename(predicate.column))

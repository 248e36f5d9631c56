"""`TableEdits`: what a draft offers for changing tables that are there. Each method hands over to `table/edit`.

An edit takes the entry as it stands in the draft and gives another; its files are durable before that is staged, and an edit
that raises has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tableformat.errors import InvalidInputError, message
from tableformat.format.expr import Predicate, all_of, col
from tableformat.format.manifest import TableEntry
from tableformat.format.schema import Schema
from tableformat.staging import Staging
from tableformat.storage.versions import Input
from tableformat.table.edit import alter
from tableformat.table.edit.columns import add_columns
from tableformat.table.edit.compact import compact
from tableformat.table.edit.counts import Edited
from tableformat.table.edit.delete import delete_keys, delete_matches
from tableformat.table.edit.opened import Opened
from tableformat.table.edit.upsert import upsert
from tableformat.table.media_placer import MediaPlacer

__all__ = ["TableEdits"]

Made = tuple[TableEntry, Edited, Iterable[Input]]


class TableEdits:
    """The part of `Draft` that changes tables which are there, inherited or closed."""

    _staging: Staging
    _stored_again = False
    """Whether a compaction changed how rows are stored: then the version is new though its content is not."""
    if TYPE_CHECKING:

        def _edit(self, name: str, function: Callable[[TableEntry], tuple[TableEntry, int]]) -> None: ...

    def upsert(self, name: str, rows: Any, **options: Any) -> Edited:
        """Write `rows`, in any form that `TableWriter.extend` takes, over the rows of a keyed table with the same keys, or add them.

        They come to the end of the table, in the order given. A column that a row lacks keeps its old value, and is its default,
        or null, in a row with a new key; rows equal to what is there change nothing. `options` are `check` and `uris` of `table`.

        Raises `UsageError` for a table without a key that is proven unique; `KeyValueError` for keys that are missing, null or given
        twice, with examples; `SchemaError` for values and columns that do not fit. Nothing has changed then. Returns counts.
        """
        check = options.pop("check", "header")
        return self._change(name, lambda table, placer: _of_three(upsert(table, placer, rows, options=options)), check)

    def delete(self, name: str, where: Predicate | None = None, /, *, keys: Any = None, **equals: Any) -> Edited:
        """Take rows out of a table: those for which `where` is true and columns equal `equals`, or those with `keys`.

        `keys` are values of the key (tuples for several columns), an Arrow array, or rows that have its columns. `where` is an
        expression such as `col("x") > 3`; `col("x").is_null() | ~col("x").is_null()` is every row. Raises `InvalidInputError` for a
        call that names no rows. Returns how many went and how many keys were not there.
        """
        if where is None and isinstance(equals.get("where"), Predicate):
            where = equals.pop("where")
        if (keys is None) == (where is None and not equals):
            got = "both" if keys is not None else "neither"
            todo = "name the rows; remove() drops the table"
            raise InvalidInputError(
                message(f"deleting from table {name!r}", expected="a filter, or keys=", got=got, todo=todo)
            )
        if keys is not None:
            return self._change(name, lambda table, placer: (*delete_keys(table, placer, keys), ()))
        tests = ([] if where is None else [where]) + [col(column) == value for column, value in equals.items()]
        return self._change(name, lambda table, _: (*delete_matches(table, all_of(tests)), ()))

    def add_columns(
        self,
        name: str,
        data: Any,
        on: str | Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        replace: bool = False,
        *,
        schema: Any = None,
        **options: Any,
    ) -> Edited:
        """Add columns to a table, or with `replace` give new values to columns that are there; nothing else is read or written.

        `data` are frames, Arrow data, a `Table`, streams of batches or rows, or arrays by name: a row for each row of the table, in
        its order. With `on`, or where they hold the columns of the table's key, they are joined by these, in any order; rows
        for which nothing is given get null, and the counts say how many. A function is called with Arrow batches of the columns
        `columns` (None: all) and returns as many rows, as values by name or Arrow data. With data, `columns` are those to take.
        `schema` declares types as `table` does, `options` are `check` and `uris`.

        Raises `SchemaError` for another number of rows, `ExistsError` for columns that are there, `KeyValueError` for keys that are
        null, stand twice or are not in the table. Nothing has changed then.
        """
        declared = None if schema is None else Schema.from_user(schema)
        if declared is not None:
            self._staging.note_classes(declared)
        check = options.pop("check", "header")
        how: dict[str, Any] = {"on": on, "columns": columns, "replace": replace, "schema": declared, "options": options}
        return self._change(name, lambda table, placer: _of_three(add_columns(table, placer, data, **how)), check)

    def add_column(self, name: str, column: str, type: Any, default: Any = None) -> None:  # noqa: A002 - reads as `table` does
        """Add a column that has `default` in every row, or null, without reading or writing rows. Raises `ExistsError`."""
        self._alter(name, lambda backend, entry: alter.add_column(backend, entry, column, type, default))

    def drop_columns(self, name: str, columns: str | Sequence[str]) -> None:
        """Leave columns out, and with media their annotations. Parts stay as they are. Raises `SchemaError` for the key."""
        self._alter(name, lambda backend, entry: alter.drop_columns(backend, entry, columns))

    def rename_columns(self, name: str, names: Mapping[str, str]) -> None:
        """Give columns other names, old to new; annotations of media follow. Parts stay as they are."""
        self._alter(name, lambda backend, entry: alter.rename_columns(backend, entry, names))

    def reorder_columns(self, name: str, columns: Sequence[str]) -> None:
        """Put `columns` first, in this order; the others follow in theirs. Parts stay as they are."""
        self._alter(name, lambda backend, entry: alter.reorder_columns(backend, entry, columns))

    def widen_columns(self, name: str, types: Mapping[str, Any]) -> None:
        """Give columns types that hold every value of the old ones; parts stay as they are, those columns are read.

        Raises `SchemaError`, naming every column and why, where values could be lost.
        """
        self._alter(name, lambda backend, entry: alter.widen_columns(backend, entry, types))

    def compact(self, name: str, plain: bool = False) -> Edited:
        """Store the rows of a table again in fewer, full parts, where that is worth it; with `plain`, all that any other engine would
        not read as it is. Rows, their order and the content digest stay."""
        counts = self._change(name, lambda table, _: (*compact(table, plain=plain), ()))
        self._stored_again |= counts.parts_rewritten > 0
        return counts

    # Handing over

    def _alter(self, name: str, change: Callable[[Any, TableEntry], TableEntry]) -> None:
        self._edit(name, lambda entry: (change(self._staging.backend, entry), 0))

    def _change(self, name: str, change: Callable[[Opened, MediaPlacer], Made], check: Any = "header") -> Edited:
        """Carry out `change` on a table: from it and where media go to its entry, counts, and what it was made from."""
        found: list[Edited] = []

        def edit(entry: TableEntry) -> tuple[TableEntry, int]:
            table = Opened(self._staging.open_entry(name, entry).source, name)
            after, counts, inputs = change(table, self._staging.placer(check))
            found.append(counts)
            self._staging.note_edit(name, inputs, rows=counts.inserted + counts.updated)
            return after, counts.bytes_new

        self._edit(name, edit)
        return found[0]


def _of_three(made: Any) -> Made:
    return made.entry, made.counts, made.inputs

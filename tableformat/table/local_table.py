"""`Table(columns=…, data=…, dataframe=…)`: a table that is filled by hand and belongs to no store yet.

Its rows go to a temporary folder as they come, written as they would be in a store, so there is no limit to them but the
disk. `Draft.add` stores it. It reads like any other table; rows that are added after a read are merged with those before.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from tableformat.errors import InvalidInputError, NotFoundError, SchemaError, message
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import TableEntry
from tableformat.format.media import Classes
from tableformat.format.schema import Schema
from tableformat.format.types.nearest import nearest
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.blobs import BlobWriter
from tableformat.storage.local import LocalBackend
from tableformat.table.media_placer import MediaPlacer
from tableformat.table.source import TableSource
from tableformat.table.table import Table
from tableformat.table.writer import TableOptions, TableWriter, WrittenTable

__all__ = ["LocalTable", "Table"]

_OPENED: Final = ("_source", "_selection", "_reading", "_schema", "_names", "_count", "_lock")
"""Attributes of an opened table; absent while rows are being added."""


class LocalTable(Table):
    """A table under construction. Made by `Table(columns=["image", "label"])`; belongs to one thread.

    `columns` names the columns; `data` is rows as sequences, mappings, or a NumPy array of two dimensions; `dataframe` is a
    pandas or polars frame or Arrow data, in place of both. `schema` declares types as `Draft.table` takes them. Types are
    inferred and checked when rows are added. Holds what a `TableWriter` holds; the folder goes away with the last object that reads from it.
    """

    def __init__(
        self, columns: Sequence[str] | None = None, data: Any = None, dataframe: Any = None, *, schema: Any = None
    ) -> None:
        if isinstance(columns, str):
            raise InvalidInputError(
                message(
                    "making a table",
                    expected="a list of column names",
                    got=repr(columns),
                    todo=f"columns=[{columns!r}]",
                )
            )
        if dataframe is not None and data is not None:
            raise InvalidInputError(message("making a table", expected="data or dataframe", got="both"))
        folder = tempfile.mkdtemp(prefix="tableformat-table-")
        self._backend = LocalBackend(folder)
        # With the backend, not with this object: selections and iterators of the table outlive it, and read on.
        weakref.finalize(self._backend, shutil.rmtree, folder, ignore_errors=True)
        self._declared = None if schema is None else Schema.from_user(schema)
        self._classes: dict[str, Classes] = {}
        self._columns = list(columns) if columns is not None else [] if self._declared is None else self._declared.names
        self._parts = itertools.count()
        self._blobs: BlobWriter | None = None
        self._writer: TableWriter | None = None
        self._written: WrittenTable | None = None
        self._length = 0
        if dataframe is not None:
            self._begin().extend(dataframe)
            self._length = self._begin().rows_written
            self._columns = self._columns or self._begin().schema.names
        elif data is not None:
            self._add_all(data)

    def _add_all(self, data: Any) -> None:
        for row in data.tolist() if hasattr(data, "tolist") else data:
            if isinstance(row, Mapping):
                self._columns = self._columns or list(row)
                self.add_data(*(row.get(name) for name in self._columns))
            else:
                self._columns = self._columns or [str(index) for index in range(len(row))]
                self.add_data(*row)

    # Adding

    def add_data(self, *row: Any) -> None:
        """Append one row: a value for each column, in order. Raises `SchemaError` where their number or types do not fit."""
        if len(row) != len(self._columns):
            raise SchemaError(
                message(
                    "adding a row to a table",
                    expected=f"{len(self._columns)} values, for {self._columns}",
                    got=f"{len(row)}",
                )
            )
        self._begin().append(dict(zip(self._columns, row, strict=True)))
        self._length += 1

    def add_row(self, *row: Any) -> None:
        """`add_data`, by its other name."""
        self.add_data(*row)

    def add_column(self, name: str, data: Iterable[Any]) -> None:
        """Add a column: a value for each row. Writes the rows again.

        Raises `SchemaError` where the column is there already, or the number of values is not that of the rows.
        """
        values = list(data)
        if name in self._columns:
            raise SchemaError(message(f"adding column {name!r}", expected="a new name", got="a column of the table"))
        if self._length and len(values) != self._length:
            raise SchemaError(
                message(f"adding column {name!r}", expected=f"{self._length} values, one for each row", got=len(values))
            )
        before: list[Mapping[str, Any]] = list(self.rows()) if self._length else [{}] * len(values)
        self._columns.append(name)
        self._restart()
        for row, value in zip(before, values, strict=True):
            self._begin().append({**row, name: value})
        self._length = len(values)

    # Between writing and reading

    def _begin(self) -> TableWriter:
        """The writer of the rows that are being added; those that were read before are written again first."""
        if self._writer is None:
            rows = list(self.rows()) if self._written is not None else []
            self._restart()
            for row in rows:
                self._open_writer().append(row)
        return self._open_writer()

    def _restart(self) -> None:
        self._writer = self._written = None
        for name in _OPENED:
            self.__dict__.pop(name, None)

    def _open_writer(self) -> TableWriter:
        if self._writer is None:
            placer = MediaPlacer(self._open_blobs, self._backend.root, classes=self._classes)
            self._writer = TableWriter(
                self._backend, "table", placer, schema=self._declared, options=TableOptions(new_columns=True), done=self._finish
            )  # fmt: skip
        return self._writer

    def _open_blobs(self) -> BlobWriter:
        if self._blobs is None:
            self._blobs = BlobWriter(self._backend, dedup="none")
        return self._blobs

    def _finish(self, written: WrittenTable) -> None:
        self._written = written

    def _open(self) -> None:
        """End the writing, and open what was written."""
        if not self._length and self._declared is None:
            self._close_empty()
        else:
            self._open_writer().close()
        if self._blobs is not None:
            self._blobs.close()
            self._blobs = None
        self._writer = None
        written = self._written
        assert written is not None
        stream = written.stream
        entry = TableEntry(
            stream.rows, written.schema, stream.layout, columns=stream.columns, sorted=False,
            parts=ItemList(0), objects=ItemList(0),
        )  # fmt: skip
        source = TableSource(
            backend=self._backend, entry=entry, load_parts=lambda: stream.parts, blobs=BlobReader(self._backend),
            address="a table of no store", load_classes=self._classes.__getitem__,
        )  # fmt: skip
        super().__init__(source)

    def _close_empty(self) -> None:
        """A table without rows: its columns hold text, until one is added."""
        placer = MediaPlacer(self._open_blobs, self._backend.root)
        schema = Schema.from_user({name: pa.string() for name in self._columns})
        TableWriter(self._backend, "table", placer, schema=schema, done=self._finish).close()

    def __getattr__(self, name: str) -> Any:
        if name in _OPENED:
            self._open()
            return self.__dict__[name]
        raise AttributeError(name)

    # What stays the table's own

    def __len__(self) -> int:
        return self._length

    def whole_entry(self, root: str) -> TableEntry | None:  # noqa: ARG002 - it lies in no store
        """None: it lies in no store."""
        return None

    def get_column(self, name: str) -> list[Any]:
        """The values of a column; raises `NotFoundError` with the nearest name."""
        if name not in self._columns:
            raise NotFoundError(
                message(
                    "reading a column",
                    expected="a column of the table",
                    got=repr(name),
                    todo=nearest(name, self._columns),
                )
            )
        return super().get_column(name)

    def __reduce__(self) -> Any:
        raise InvalidInputError(
            message(
                "pickling a table that is in no store",
                expected="a table of a version",
                todo="add it to a draft, and pickle the table of the version",
            )
        )


Table.builder = LocalTable

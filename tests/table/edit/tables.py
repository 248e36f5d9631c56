"""Tables for tests of edits: a store with one, and what its entry and its files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

import tableformat
from tableformat.format.manifest import Part
from tableformat.format.schema import Schema
from tableformat.storage.manifests import iter_items

__all__ = ["entry_of", "files_of", "fresh_digest", "parts_of", "rows_of", "sample", "write"]


def sample(rows: int = 20) -> pa.Table:
    """`rows` rows of id, name and score."""
    numbers = range(rows)
    return pa.table({"id": numbers, "name": [f"n{i}" for i in numbers], "score": [i / 2 for i in numbers]})


def write(store: tableformat.Store, data: Any = None, *, part_rows: int = 8, **options: Any) -> None:
    """Version 0 of artifact `a`, with the table `t`."""
    with store.draft("a") as draft, draft.table("t", part_rows=part_rows, **options) as table:
        table.extend(sample() if data is None else data)


def entry_of(table: tableformat.Table) -> Any:
    """The entry of a table."""
    return table.source.entry


def parts_of(table: tableformat.Table) -> list[Part]:
    """The parts of a table."""
    return [Part.from_json(item, "t") for item in iter_items(table.source.backend, entry_of(table).parts)]


def rows_of(table: tableformat.Table) -> list[dict[str, Any]]:
    """The rows of a table, in order, without media."""
    rows: list[dict[str, Any]] = table.to_arrow().to_pylist()
    return rows


def files_of(store: tableformat.Store) -> set[str]:
    """The names of all files in the folder of parts."""
    return {path.name for path in Path(store.root, "data").glob("*.parquet")}


def fresh_digest(store: tableformat.Store, table: tableformat.Table) -> str:
    """The content digest of the rows of a table when they are written whole, under its schema and key."""
    schema = Schema(tuple(column.without_ids() for column in table.schema))
    with store.draft("fresh") as draft:
        with draft.table("t", schema=schema, key=list(table.key)) as writer:
            writer.extend(table)
        digest = draft["t"].content_digest
        draft.discard()
    return digest

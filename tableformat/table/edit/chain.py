"""The digests of a table's columns, taken up again where a table goes on or was changed.

The digest of a column is a chain over blocks of visible rows (spec/digests.md). An entry keeps the link over its full blocks,
so a table goes on from there by reading the few rows behind them, however long it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from tableformat.digest import PREFIX
from tableformat.document import JsonObject
from tableformat.format.defaults import default_array
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.schema import Column, Schema
from tableformat.format.value_digest import BLOCK_ROWS, ColumnChain, UnitDigest
from tableformat.storage.blob_reader import BlobReader
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import iter_items, last_items
from tableformat.table.reading import Reading
from tableformat.table.selection import RowRange
from tableformat.table.source import TableSource

__all__ = [
    "Chains",
    "chain_digests",
    "chains_after",
    "continued",
    "end_chains",
    "iter_rows",
    "last_parts",
    "parts_of",
    "rechained",
    "remember",
    "source_of",
]

Chains = Mapping[str, ColumnChain]
"""A chain for each column, by its id as text, in the order of the schema."""


def source_of(backend: Backend, entry: TableEntry, parts: Sequence[Part] | None = None) -> TableSource:
    """What an entry's rows, or those of some of its parts, are read from, without a version that holds it. Every part is looked at
    as it is, since `plain` may not have been told yet."""
    entry = replace(entry, plain=False)
    if parts is None:
        return TableSource(backend, entry, lambda: tuple(parts_of(backend, entry)), BlobReader(backend), backend.root)
    some = replace(entry, rows=sum(part.visible_rows for part in parts), parts=ItemList())
    return TableSource(backend, some, lambda: parts, BlobReader(backend), backend.root)


def parts_of(backend: Backend, entry: TableEntry) -> Iterator[Part]:
    """The parts of an entry in order; reads some leaves of their list at a time."""
    return (Part.from_json(item, backend.root) for item in iter_items(backend, entry.parts))


def last_parts(backend: Backend, entry: TableEntry, rows: int) -> list[Part]:
    """The parts at the end of a table that hold its last `rows` visible rows, in order. Reads no leaf of its list but those."""
    found: list[Part] = []
    held = 0
    if rows > 0:
        for item in last_items(backend, entry.parts):
            found.append(Part.from_json(item, backend.root))
            held += found[-1].visible_rows
            if held >= rows:
                break
    return found[::-1]


def iter_rows(backend: Backend, entry: TableEntry, start: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The visible rows of `entry` from row `start` on, in storage types. Reads the parts that hold them and holds what a scan
    does."""
    wanted = entry.rows - start
    if wanted > 0 and columns:
        source = source_of(backend, entry, last_parts(backend, entry, wanted) if start else None)
        rows = source.entry.rows
        for piece in Reading(source).pieces([RowRange(rows - wanted, rows)], list(columns)):
            yield piece.batch


def end_chains(backend: Backend, entry: TableEntry, schema: Schema | None = None) -> dict[str, ColumnChain]:
    """The chains of the columns at the end of `entry`, to be fed with the rows that follow. Reads the rows since the last full
    block, at most 65,535.

    With `schema`, a later one of the table, the chains are those of its columns: one that `entry` lacks has its default,
    or null, in every row. Columns that both have must have one type in both. Nothing is read for a table whose chains this process
    has remembered.
    """
    if schema in (None, entry.schema) and (known := _REMEMBERED.get(_identity(entry))) is not None:
        return {number: chain.copy() for number, chain in known.items()}
    entry = replace(entry, schema=schema) if schema is not None else entry
    full = entry.rows - entry.rows % BLOCK_ROWS
    chains = {str(column.id): _begin(entry, column, full) for column in entry.schema.columns}
    _feed(chains, entry.schema, iter_rows(backend, entry, full, entry.schema.names))
    return chains


_REMEMBERED: Final[dict[tuple[object, ...], Chains]] = {}
_MAX_REMEMBERED: Final = 64


def remember(entry: TableEntry, chains: Chains) -> None:
    """Keep the chains at the end of `entry`, a few hundred bytes a column, for the next who goes on from there: a process that
    appends again and again reads nothing back. The last 64 tables are kept; digests name them, so they never go stale."""
    if all(chain.digest() == entry.columns[number]["digest"] for number, chain in chains.items()):
        while len(_REMEMBERED) >= _MAX_REMEMBERED:
            _REMEMBERED.pop(next(iter(list(_REMEMBERED))), None)
        _REMEMBERED[_identity(entry)] = chains


def _identity(entry: TableEntry) -> tuple[object, ...]:
    """What the chains of a table follow from."""
    columns = ((one.id, str(one.type.storage()), entry.columns[str(one.id)]["digest"]) for one in entry.schema.columns)
    return entry.rows, *columns


def _begin(entry: TableEntry, column: Column, rows: int) -> ColumnChain:
    """The chain of a column over the full blocks of `entry`."""
    known = entry.columns.get(str(column.id))
    if known is not None:
        return ColumnChain(column.type.storage(), rows, bytes.fromhex(known["link"].removeprefix(PREFIX)))
    link = bytes(32)
    if rows:
        block = UnitDigest(column.type.storage())
        block.update(default_array(column, BLOCK_ROWS))
        digest = block.digest_bytes()
        for _ in range(rows // BLOCK_ROWS):
            link = hashlib.sha256(link + digest).digest()
    return ColumnChain(column.type.storage(), rows, link)


def continued(
    backend: Backend, entry: TableEntry, parts: Sequence[Part], schema: Schema | None = None
) -> dict[str, JsonObject]:
    """The `columns` of an entry when `parts` follow the rows of `entry`. Reads those parts, and what `end_chains` does."""
    return chain_digests(chains_after(backend, entry, parts, schema))


def chains_after(
    backend: Backend, entry: TableEntry, parts: Sequence[Part], schema: Schema | None = None
) -> dict[str, ColumnChain]:
    """The chains at the end of `parts`, which follow the rows of `entry`; see `continued`."""
    chains = end_chains(backend, entry, schema)
    after = replace(entry, schema=schema or entry.schema)
    source = source_of(backend, after, parts)
    pieces = Reading(source).pieces([], after.schema.names)
    _feed(chains, after.schema, (piece.batch for piece in pieces))
    return chains


def rechained(
    backend: Backend,
    entry: TableEntry,
    before: TableEntry | None = None,
    first_row: int = 0,
    columns: Collection[int] | None = None,
) -> dict[str, JsonObject]:
    """The `columns` of `entry`, whose own may be missing, after a change of a table that was `before`.

    The visible rows before `first_row` are those of `before`, and so are all values of columns whose ids are not in `columns`
    (None: every column changed). Begins at the link of `before` where `first_row` stands behind its full blocks, else at row 0:
    links in between are not kept. Reads the rows from there on.
    """
    changed = {str(column.id): column for column in entry.schema.columns if columns is None or column.id in columns}
    start = 0 if before is None else before.rows - before.rows % BLOCK_ROWS
    known = {} if before is None else before.columns
    if start > first_row or any(number not in known for number in changed):
        start = 0
    chains = {
        number: _begin(before, column, start) if before is not None and start else ColumnChain(column.type.storage())
        for number, column in changed.items()
    }
    names = [column.name for column in changed.values()]
    _feed(chains, entry.schema, iter_rows(backend, entry, start, names))
    digests = {**known, **chain_digests(chains)}
    return {str(column.id): dict(digests[str(column.id)]) for column in entry.schema.columns}


def _feed(chains: Chains, schema: Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Go on with the columns that `chains` names."""
    names = [(chains[str(column.id)], column.name) for column in schema.columns if str(column.id) in chains]
    for batch in batches:
        for chain, name in names:
            chain.update(batch.column(name))


def chain_digests(chains: Chains) -> dict[str, JsonObject]:
    """`digest` and `link` of each column, as an entry holds them."""
    return {number: {"digest": chain.digest(), "link": PREFIX + chain.link.hex()} for number, chain in chains.items()}

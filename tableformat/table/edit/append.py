"""Rows added to a table: new parts behind those that it has, nothing read or written that was there.

What an append costs does not depend on the table: the digests of the columns go on from the last full block, the list of parts
from its last leaf, and the key is proven by the statistics that the list keeps. The same is done once more when two writers
have appended to one version: the rows of the later one come behind those of the earlier (spec/versions.md, "Rebase").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tableformat.document import JsonObject
from tableformat.errors import InvalidInputError, KeyValueError, Problem, SchemaError, message
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part, TableEntry, merged_needs, needs_of
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, MediaType, walk
from tableformat.format.types.widen import unify_fields
from tableformat.format.value_digest import ColumnChain
from tableformat.storage.interface import Backend
from tableformat.storage.manifests import append_items, items_after, iter_items
from tableformat.table.edit.chain import chain_digests, chains_after, end_chains, parts_of, remember
from tableformat.table.edit.new_keys import equal_keys, follows
from tableformat.table.part_stream import Continuation
from tableformat.table.writer import TableOptions

__all__ = ["Following", "append_options", "appended", "check_fits", "class_digests", "rebased"]


def check_fits(before: TableEntry, given: Schema, *, new_columns: bool, name: str) -> None:
    """Raise `SchemaError` naming every column at fault where rows of the schema `given` cannot be appended to `before` as they are:
    columns that it lacks (unless `new_columns`), types that would widen it, and columns that may not be null and are missing."""
    problems = []
    for column in given.columns:
        if column.name not in before.schema:
            if not new_columns:
                problems.append(Problem(column.name, "is no column of the table · new_columns=True adds it", "unknown"))
            continue
        known = before.schema[column.name]
        unified = unify_fields(replace(known, nullable=True), replace(column, annotates=known.annotates))
        if unified is None or unified.type != known.type:
            problems.append(Problem(column.name, f"is {known.type} in the table, {column.type} here", "type"))
    problems += [
        Problem(column.name, "is missing, and never null in the table", "missing")
        for column in before.schema.columns
        if not column.nullable and column.default is None and column.name not in given
    ]
    if problems:
        raise SchemaError(
            message(f"appending to table {name!r}", expected="columns that fit it", got=f"{len(problems)} that do not"),
            problems,
        )


def appended(
    backend: Backend,
    before: TableEntry,
    schema: Schema,
    parts: Sequence[Part],
    *,
    ascending: bool = False,
    objects: Iterable[str] = (),
    columns: Mapping[str, JsonObject] | None = None,
    name: str = "",
) -> TableEntry:
    """The entry of `before` with `parts` behind its own, which are durable and were written with `schema`.

    `schema` is that of `before`, or that with columns more. `ascending` says whether the keys in `parts` ascend; within them
    they are unique. `objects` are the uris that the cells of `parts` point at. `columns` are the digests of all columns with the new rows,
    where they are known; else `parts` are read. Raises `KeyValueError` where a key of `parts` is in `before`.

    Reads the end of the table as `end_chains` and `append_items` do, and parts of the key as `equal_keys` does.
    """
    if not parts and schema == before.schema:
        return before
    rows = sum(part.visible_rows for part in parts)
    chains = chains_after(backend, before, parts, schema) if columns is None else {}
    above = _prove(backend, before, parts, ascending, name)
    after = replace(before, schema=schema)
    entry = replace(
        _with_needs(backend, after, before, parts),
        rows=before.rows + rows,
        sorted=bool(before.table_key) and above,
        columns=columns or chain_digests(chains),
        parts=append_items(backend, before.parts, [part.to_json() for part in parts]),
        objects=_with_objects(backend, before.objects, objects),
    )
    if chains:
        remember(entry, chains)
    return entry


def _prove(backend: Backend, before: TableEntry, parts: Sequence[Part], ascending: bool, name: str) -> bool:
    """Whether the keys of `parts` go on above those of `before`; raises `KeyValueError` where one is there already."""
    if not parts or not before.rows:
        return before.sorted if not parts else ascending
    if before.table_key and before.sorted and ascending and follows(backend, before, parts):
        return True
    if before.table_key and before.unique:
        problems = equal_keys(backend, before, lambda: parts_of(backend, before), parts)
        if problems:
            raise KeyValueError(
                message(f"appending to table {name!r} with the key ({', '.join(before.table_key)})", expected="keys that it does not have",
                        got="keys that it has", todo="leave these rows out, or upsert them"),
                problems,
            )  # fmt: skip
    return False


def _with_needs(backend: Backend, after: TableEntry, before: TableEntry, parts: Sequence[Part]) -> TableEntry:
    """`after` with what a reader of all parts needs. Reads the list of parts only where the schema changed."""
    plain, requires = needs_of(after.schema, parts)
    if before.rows:
        there = before.requires
        if after.schema != before.schema:
            there = needs_of(after.schema, parts_of(backend, before))[1]
        plain, requires = merged_needs(there, requires)
    return replace(after, plain=plain, requires=requires)


def _with_objects(backend: Backend, listed: ItemList, uris: Iterable[str]) -> ItemList:
    """The list of objects with those of `uris` that it lacks. Reads the whole list, where there are any."""
    new = dict.fromkeys(uris)
    if new:
        for item in iter_items(backend, listed):
            new.pop(item["key"], None)
    return append_items(backend, listed, [{"key": uri} for uri in new])


def rebased(backend: Backend, base: TableEntry, ours: TableEntry, theirs: TableEntry, name: str) -> TableEntry | str:
    """What two appends to `base` make together: the rows of `ours` behind those of `theirs`. A text says why they cannot.

    Both begin with the parts of `base` and differ from it in nothing but rows. Reads the ends of the lists of parts, the rows since
    the last full block, and the rows that `ours` added; of keys, those that both added.
    """
    for entry, whose in ((ours, "this draft"), (theirs, "the newest version")):
        if _shape(entry) != _shape(base):
            return f"{whose} changed its columns, key or layout"
    mine, others = (items_after(backend, base.parts, entry.parts) for entry in (ours, theirs))
    if mine is None or others is None:
        return f"{'this draft' if mine is None else 'the newest version'} changed rows that were there"
    added = [Part.from_json(item, name) for item in mine]
    before = [Part.from_json(item, name) for item in others]
    if base.table_key and base.unique:
        problems = equal_keys(backend, base, lambda: before, added)
        if problems:
            return "both appended the same keys: " + "; ".join(problem.text for problem in problems)
    above = theirs.sorted and ours.sorted and follows(backend, theirs, added)
    merged = appended(
        backend, replace(theirs, table_key=()), base.schema, added, objects=_new_objects(backend, base, ours), name=name
    )
    return replace(merged, table_key=base.table_key, sorted=above)


def _new_objects(backend: Backend, base: TableEntry, ours: TableEntry) -> list[str]:
    """The objects that `ours` lists and `base` does not, wherever they stand in its list."""
    behind = items_after(backend, base.objects, ours.objects)
    if behind is not None:
        return [item["key"] for item in behind]
    there = {item["key"] for item in iter_items(backend, base.objects)}
    return [item["key"] for item in iter_items(backend, ours.objects) if item["key"] not in there]


def _shape(entry: TableEntry) -> tuple[object, ...]:
    """All of a table but its rows and how they are stored."""
    extra = {name: value for name, value in entry.extra.items() if name != "content"}
    return (entry.schema, entry.layout, entry.table_key, entry.unique, extra)


def append_options(
    before: TableEntry, schema: Any, key: Sequence[str] | None, options: Mapping[str, Any], name: str
) -> TableOptions:
    """The options of a writer that appends to `before`. Raises `InvalidInputError` for another key, for options that no append has, and, a
    `SchemaError`, for a schema that does not fit."""
    doing = f"appending to table {name!r}"
    if key is not None and tuple(key) != before.table_key:
        raise InvalidInputError(
            message(
                doing, expected=f"its key {list(before.table_key)}, which need not be said", got=f"the key {list(key)}"
            )
        )
    taken = [option for option in TableOptions.__slots__ if option != "part_rows"]
    if unknown := [option for option in options if option not in taken]:
        raise InvalidInputError(message(doing, expected=f"options among check, {', '.join(taken)}", got=str(unknown)))
    settings = TableOptions(**{"unique": before.unique, **options})
    if settings.unique != before.unique:
        raise InvalidInputError(
            message(
                doing, expected=f"unique={before.unique}, as the table was written", got=f"unique={settings.unique}"
            )
        )
    if schema is not None:
        check_fits(before, Schema.from_user(schema), new_columns=settings.new_columns, name=name)
    return settings


class Following:
    """Rows that follow those of `before`, while they are written: the digests of the columns, over all rows so far."""

    def __init__(self, backend: Backend, before: TableEntry) -> None:
        self._backend, self._before = backend, before
        self._chains: dict[str, ColumnChain] = {}

    @property
    def continuation(self) -> Continuation:
        """What the stream of the rows goes on from."""
        return Continuation(self._before.rows, self._begin)

    def _begin(self, schema: Schema) -> list[ColumnChain]:
        self._chains = end_chains(self._backend, self._before, schema)  # of the last stream, where the schema grew
        return list(self._chains.values())

    def remember(self, entry: TableEntry) -> None:
        """All rows are written, and made `entry`: who appends to that need not read them back."""
        if self._chains.keys() == entry.columns.keys():
            remember(entry, self._chains)


def class_digests(schema: Schema) -> set[str]:
    """The digests of the class sets that a schema names."""
    found: set[str] = set()
    for column in schema.columns:
        for node in walk(column):
            if isinstance(node.type, ClassType):
                found.add(node.type.classes)
            elif isinstance(node.type, MediaType):
                found |= {digest for digest in (node.type.classes, *(one for _, one in node.type.layers)) if digest}
    return found

"""Owning references in a session: rows whose bytes were fetched are sealed, so that no crash makes anybody fetch them again.

They go into a table of the session that is no entry of the version: a row for each row of the table whose references are owned,
with its media, where they came from, and why it stays a reference where it does. When it is complete, its columns are put
beside the rows. A run that comes after a crash finds it in the log, and goes on behind its last sealed row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, cast

import pyarrow as pa

from tableformat.artifact import source_of
from tableformat.context import StoreContext
from tableformat.digest import digest_of
from tableformat.document import encode_document
from tableformat.errors import InvalidInputError, Problem, message
from tableformat.format.expr import Predicate
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.part import Layout
from tableformat.format.schema import Schema
from tableformat.resumable import OWNS, NamedSession
from tableformat.staging import Staging
from tableformat.table.own import Owned, Owning, origin_name
from tableformat.table.source import input_of
from tableformat.table.table import Table
from tableformat.table.writer import TableOptions, TableWriter, WrittenTable

__all__ = ["fetched_name", "fetched_report", "fetched_rows"]

_SEAL_BYTES: Final = 256 << 20
"""After so many bytes have been fetched they are sealed, whatever the clock says: four packs."""


def fetched_name(table: str, column: str, where: Predicate | None, limit: int | None) -> str:
    """What a session calls the rows that are fetched for one call of `Draft.own`."""
    chosen = {"limit": limit, "where": None if where is None else where.to_json()}
    some = "" if where is None and limit is None else f" {digest_of(encode_document(chosen))[7:15]}"
    return f"{table} (owning {column}{some})"


def fetched_report(counts: Any) -> Owned:
    """The report of a run that has come to its end, from its last checkpoint; problems are counted, and not told again."""
    return Owned(**(counts or dict.fromkeys(("references", "owned", "requests", "bytes"), 0)))


def fetched_rows(
    staging: Staging, context: StoreContext, session: NamedSession, owning: Owning, name: str, column: str, content: str
) -> Table:
    """The rows of `owning`, which owns references of the table with the content digest `content`: fetched, and sealed in `session`.

    What the session has of them is not fetched again. Holds what a writer does, and what is fetched together. Raises as
    `Owning.rows`; what was sealed stays.
    """
    written: list[WrittenTable] = []
    sealer = session.sealer(name, {OWNS: column, "of": content})
    told = f"{column}_problem"
    columns = (*owning.schema.columns, *Schema.from_user({told: pa.string()}).columns)
    writer = TableWriter(
        staging.backend, name, staging.placer("none"), schema=Schema(columns), options=TableOptions(new_columns=True),
        begin=staging.session.begin, done=written.append, sealer=sealer,
    )  # fmt: skip
    with writer:
        if writer.rows_written:
            last = sealer.sealed.segments[-1]
            so_far = _opened(staging, context, name, last.schema.settled()[0], last.layout, sealer.sealed.parts)
            _go_on(owning, writer, _problems(so_far, told))
        _fetch(writer, owning, told)
    session.closed(name)
    stream = written[0].stream
    inputs = [one for source in written[0].sources if (one := input_of(source, context.root)) is not None]
    staging.note_edit(name, inputs, rows=0)
    table = _opened(staging, context, name, written[0].schema, stream.layout, stream.parts)
    return table.select(column, origin_name(column))


def _go_on(owning: Owning, writer: TableWriter, problems: Iterator[Problem]) -> None:
    counts = writer.checkpoint
    if counts["failed"] and not owning.collects:
        raise InvalidInputError(
            message("owning references", path=writer.name, expected="on_changed='collect', as it was begun with", got=f"'raise', and {counts['failed']} that stay references",
                    todo=f"collect them, or remove({writer.name!r}) from the draft to fetch all of them again")
        )  # fmt: skip
    owning.go_on(counts, problems)


def _fetch(writer: TableWriter, owning: Owning, told: str) -> None:
    sealed = owning.report.bytes
    for group in owning.groups(writer.rows_written):
        rows = [{**row, told: None if problem is None else _encoded(problem)} for row, problem in group]
        writer.extend(rows, checkpoint=owning.counts)
        if owning.report.bytes - sealed >= _SEAL_BYTES:
            writer.seal(owning.counts)
            sealed = owning.report.bytes
    writer.seal(owning.counts)


def _opened(
    staging: Staging, context: StoreContext, name: str, schema: Schema, layout: Layout, parts: Iterable[Part]
) -> Table:
    there = tuple(parts)
    entry = TableEntry(sum(part.rows for part in there), schema, layout, unique=False, plain=False)
    source = source_of(context, entry, f"rows for {name}", staging.class_set, name=name)
    return Table(replace(source, load_parts=lambda: there))


def _problems(table: Table, name: str) -> Iterator[Problem]:
    for batch in table.select(name).batches():
        for text in batch.column(0).drop_null().to_pylist():
            yield Problem(*cast("list[str]", json.loads(text)))


def _encoded(problem: Problem) -> str:
    return json.dumps([problem.place, problem.text, problem.kind])

"""Small parts, column files and deletions folded into full parts. The rows stay, and so does the content digest.

What is worth it is decided part by part, from the manifest alone (spec/editing.md, "Compacting"); packs of media are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tableformat.errors import CorruptError, message
from tableformat.format.manifest import Part, TableEntry
from tableformat.format.value_digest import ColumnChain
from tableformat.storage.manifests import write_items
from tableformat.table.edit.counts import Edited
from tableformat.table.edit.opened import Opened
from tableformat.table.edit.storing import edited, owned_uris
from tableformat.table.part_stream import Continuation, PartStream, StreamResult

__all__ = ["compact"]

_DELETED_SHARE: Final = 8
"""A part of which an eighth of the rows is deleted is stored again."""
_FILES: Final = 2
"""A part of more files is stored again: each costs a reader a request."""
_SMALL_SHARE: Final = 4
"""A part is small with less than a fourth of the rows and bytes at which a part ends."""


def compact(table: Opened, *, plain: bool = False) -> tuple[TableEntry, Edited]:
    """The table with the same rows in fewer files, or the entry as it is where nothing is worth it.

    With `plain`, all of it is stored as a fresh write would: one file a part, cut where the layout says, names and types as
    they are now; parts that have that form already are kept. Without, only parts with many deletions or several files, and small
    ones beside them. Reads and writes the rows of those parts; holds what a writer does.
    """
    return _whole(table) if plain else _runs(table)


# All of it


def _whole(table: Opened) -> tuple[TableEntry, Edited]:
    entry = table.entry
    if entry.plain and not _due(table):
        return entry, Edited()
    uris: set[str] = set()
    key = list(entry.table_key) if entry.layout.cut == "key" else []
    result = _stored(table, range(table.rows), key, uris)
    if result.columns != {name: dict(value) for name, value in entry.columns.items()} or result.rows != entry.rows:
        raise CorruptError(
            message(f"compacting table {table.name!r}", path=table.source.address, expected="the digests of its columns",
                    got="rows with others", todo="verify the store")
        )  # fmt: skip
    listed = write_items(table.backend, ({"key": uri} for uri in sorted(uris)))
    after = replace(edited(table.backend, entry, result.parts), objects=listed)
    return after, Edited(
        parts_rewritten=_gone(table.parts, result.parts), bytes_new=_new_bytes(table.parts, result.parts)
    )


def _gone(before: Sequence[Part], after: Sequence[Part]) -> int:
    kept = {part.files for part in after}
    return sum(part.files not in kept or part.deletions is not None for part in before)


# What is worth it


def _runs(table: Opened) -> tuple[TableEntry, Edited]:
    parts: list[Part] = []
    at = rewritten = new_bytes = 0
    for first, last in _due(table):
        parts += table.parts[at:first]
        rows = range(int(table.starts[first]), int(table.starts[last]))
        key = list(table.entry.table_key) if table.entry.layout.cut == "key" else []
        result = _stored(table, rows, key, set())
        if result.rows != len(rows):
            raise CorruptError(
                message(
                    f"compacting table {table.name!r}",
                    path=table.source.address,
                    expected=f"{len(rows)} rows",
                    got=result.rows,
                )
            )
        parts += result.parts
        new_bytes += _new_bytes(table.parts, result.parts)
        rewritten += last - first
        at = last
    if not rewritten:
        return table.entry, Edited()
    parts += table.parts[at:]
    return edited(table.backend, table.entry, parts), Edited(parts_rewritten=rewritten, bytes_new=new_bytes)


def _due(table: Opened) -> list[tuple[int, int]]:
    """Runs of neighbouring parts to store again, as (first, behind the last)."""
    runs: list[tuple[int, int]] = []
    at = 0
    while at < len(table.parts):
        end = at
        while end < len(table.parts) and (_is_worn(table.parts[end]) or _is_small(table, end)):
            end += 1
        run = table.parts[at:end]
        if any(map(_is_worn, run)) or len(run) > 1:
            runs.append((at, end))
        at = max(end, at + 1)
    return runs


def _is_worn(part: Part) -> bool:
    deleted = 0 if part.deletions is None else part.deletions.rows
    return len(part.files) > _FILES or deleted * _DELETED_SHARE >= part.rows


def _is_small(table: Opened, number: int) -> bool:
    part, layout = table.parts[number], table.entry.layout
    return part.visible_rows * _SMALL_SHARE < layout.part_rows and part.bytes * _SMALL_SHARE < layout.part_bytes


def _stored(table: Opened, rows: range, key: list[str], uris: set[str]) -> StreamResult:
    """Store visible rows again, cut as the layout says; notes what their cells point at."""
    entry = table.entry
    after = Continuation(rows.start, lambda schema: [ColumnChain(column.type.storage()) for column in schema])
    stream = PartStream(table.backend, entry.schema, key=key, unique=False, layout=entry.layout, after=after)
    try:
        for piece in table.scan(entry.schema.names, rows):
            for array in piece.batch.columns:
                uris.update(owned_uris(array))
            stream.write(piece.batch.columns)
        return stream.finish(prove=False)
    except BaseException:
        stream.abort()
        raise


def _new_bytes(before: Sequence[Part], after: Sequence[Part]) -> int:
    """Bytes of the files that were not there: what is stored again as it was keeps its name."""
    known = {file.digest for part in before for file in part.files}
    return sum(file.size for part in after for file in part.files if file.digest not in known)

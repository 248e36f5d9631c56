"""Rows taken out of parts: noted in a file beside the part, or, where little would be left, the rest stored again.

A part has at most one file of deletions, with all rows that are gone (spec/editing.md, "Deleting").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa

from tableformat.format.deletions import encode_deletions
from tableformat.format.manifest import Part
from tableformat.table.edit.opened import Opened, stored_rows
from tableformat.table.edit.storing import Stored, store_as_one
from tableformat.table.selection import Positions

__all__ = ["KEPT_SHARE", "Thinned", "delete_rows"]

KEPT_SHARE: Final = 4
"""A part of which less than a fourth of the stored rows would stay visible is stored again without the others."""
_WRITERS: Final = 8  # small files at once: each waits for the disk or the network, and not for the processor


@dataclass(slots=True)
class Thinned:
    """Parts of a table after rows were taken out."""

    parts: list[Part] = field(default_factory=list)
    rewritten: int = 0
    """Parts that were stored again."""
    bytes_new: int = 0
    rows: int = 0
    """Rows taken out."""
    first_row: int | None = None
    """The first visible row that is gone; None where none is."""


def delete_rows(table: Opened, gone: Iterable[tuple[int, Positions]]) -> Thinned:
    """Take out `gone`: ascending numbers of parts, each with visible rows counted from its first, ascending.

    Holds the rows of one part that are gone, and the list of parts. Every file is durable on return.
    """
    done = Thinned()
    at = 0
    files: dict[int, tuple[str, bytes]] = {}
    for number, rows in gone:
        if not len(rows):
            continue
        done.parts += table.parts[at:number]
        at = number + 1
        if done.first_row is None:
            done.first_row = int(table.starts[number] + rows[0])
        done.rows += len(rows)
        _thin(table, number, rows, done, files)
        if len(files) >= _WRITERS * 8:
            _put(table, files)
    done.parts += table.parts[at:]
    _put(table, files)
    return done


def _thin(table: Opened, number: int, rows: Positions, done: Thinned, files: dict[int, tuple[str, bytes]]) -> None:
    part = table.parts[number]
    left = part.visible_rows - len(rows)
    if not left:
        return
    if left * KEPT_SHARE < part.rows:
        stored = _rest(table, number, rows)
        done.parts += stored.parts
        done.rewritten += 1
        done.bytes_new += stored.bytes_new
        return
    hidden = table.hidden(number)
    data, deletions = encode_deletions(np.union1d(hidden, stored_rows(hidden, rows)))
    files[number] = (deletions.path, data)
    done.parts.append(replace(part, deletions=deletions))
    done.bytes_new += len(data)


def _rest(table: Opened, number: int, rows: Positions) -> Stored:
    """Store again what stays of a part."""
    mask = np.ones(table.parts[number].visible_rows, np.bool_)
    mask[rows] = False
    schema = table.entry.schema

    def batches() -> Iterator[Sequence[pa.Array]]:
        first = int(table.starts[number])
        for piece in table.scan(schema.names, table.part_rows(number)):
            kept = np.flatnonzero(mask[np.asarray(piece.rows, np.int64) - first])
            if len(kept):
                yield piece.batch.take(pa.array(kept)).columns

    return store_as_one(table.backend, schema, table.entry.layout, batches())


def _put(table: Opened, files: dict[int, tuple[str, bytes]]) -> None:
    if files:
        with ThreadPoolExecutor(min(_WRITERS, len(files))) as pool:
            list(pool.map(lambda file: table.backend.put(*file), files.values()))
    files.clear()

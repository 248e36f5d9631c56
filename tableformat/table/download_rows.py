"""The rows of a table on their way into one file that stands alone: the bytes of media stand in their cells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tableformat.table.arrow_out import inlined_cells, iter_batches
from tableformat.table.cell_reader import CellReader
from tableformat.table.logical import CellConvert, Logical
from tableformat.table.reading import Reading
from tableformat.table.selection import RowRange
from tableformat.table.table import Table

__all__ = ["iter_download"]


def iter_download(table: Table, references: bool) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The Arrow schema of a table and its batches, media inline; without `references` those keep their URLs, unread.

    A batch holds at most as much media as the limits of the table say, or one row of it.
    """
    source, reading = table.source, Reading(table.source)
    inline = inlined_cells(CellReader(source))
    logical = Logical(table.schema, inline if references else lambda cells: _owned_alone(cells, inline))
    names = [column.name for column in table.schema.columns]  # those that annotate media, too
    pieces = reading.pieces([RowRange(0, table.num_rows)], names) if names else iter(())
    return table.arrow_schema, iter_batches(pieces, logical, None, table.schema, source.limits.media_bytes)


def _owned_alone(cells: pa.StructArray, inline: CellConvert) -> pa.StructArray:
    """The cells with the bytes of those that are owned; references as they are."""
    uris = cells.field("file").field("uri").to_pylist()
    held = cells.field("file").field("inline").is_valid().to_pylist()
    refers = np.array(
        [uri is not None and "://" in uri and not own for uri, own in zip(uris, held, strict=True)], np.bool_
    )
    if not refers.any():
        return inline(cells)
    owned, others = np.flatnonzero(~refers), np.flatnonzero(refers)
    both = pa.concat_arrays([inline(cells.take(pa.array(owned))), cells.take(pa.array(others))])
    return both.take(pa.array(np.argsort(np.concatenate([owned, others]), kind="stable")))

"""Sides that do not fit in memory: DuckDB joins Arrow streams of them, within a limit, and spills to a temporary folder.

Keys go there in the form in which they compare, columns in types that come back as they were (`transport`). Rows carry
their numbers, by which DuckDB sorts them again where the order of the left is asked for: it keeps none by itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import LimitError, MissingExtraError, message
from tableformat.table.join.keys import KeyPair
from tableformat.table.join.pairs import How, Pairs
from tableformat.table.join.sides import Side, positions
from tableformat.table.join.transport import Transport

__all__ = ["iter_spilled"]

_THREADS: Final = min(os.cpu_count() or 1, 4)
_OUTSIDE_BYTES: Final = 96 << 20  # of the budget, for what is decoded on either side of the engine
_LEAST_BYTES: Final = 64 << 20
_MANY_BYTES: Final = 256 << 20  # below, each thread's own buffers are too much
_BATCH_ROWS: Final = 1 << 16
_KINDS: Final = {
    "inner": "inner join", "left": "left join", "right": "right join", "outer": "full join", "semi": "semi join", "anti": "anti join",
}  # fmt: skip


def iter_spilled(
    left: Side,
    right: Side,
    pairs: Sequence[KeyPair],
    how: How,
    left_columns: Sequence[str],
    right_columns: Sequence[str],
    memory: int,
    *,
    ordered: bool,
) -> Iterator[Pairs]:
    """The rows; in order where `ordered`, else as the engine finds them. Holds about `memory` bytes, and disk for the rest.

    Raises `MissingExtraError` where DuckDB is not installed, `LimitError` where the limit is too low for it.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("joining tables that do not fit in memory", "duckdb", "duckdb") from error
    wanted = [] if how in ("semi", "anti") else list(right_columns)
    sides = [_Stream(left, 0, pairs, left_columns, memory), _Stream(right, 1, pairs, wanted, memory)]
    with tempfile.TemporaryDirectory(prefix="tableformat-join-") as folder:
        limit = max(memory - _OUTSIDE_BYTES, _LEAST_BYTES)
        connection = duckdb.connect(config={
            "memory_limit": f"{limit // (1 << 20)}MiB", "threads": _THREADS if limit >= _MANY_BYTES else 1, "temp_directory": folder,
            "preserve_insertion_order": False,
        })  # fmt: skip
        try:
            connection.register("l", sides[0].reader())
            connection.register("r", sides[1].reader())
            relation = connection.sql(_sql(sides, pairs, how, ordered=ordered))
            for batch in _arrow(relation):
                if batch.num_rows:
                    yield _pairs(batch, sides, how)
        except duckdb.OutOfMemoryException as error:
            raise LimitError(
                message("joining tables that do not fit in memory", expected=f"enough for DuckDB in {memory >> 20} MiB",
                        got=str(error).splitlines()[0][:200], todo="allow more with memory=")
            ) from error  # fmt: skip
        finally:
            connection.close()


def _arrow(relation: Any) -> Iterator[pa.RecordBatch]:
    if hasattr(relation, "to_arrow_reader"):
        yield from relation.to_arrow_reader(_BATCH_ROWS)
    else:  # before DuckDB 1.4
        yield from relation.fetch_arrow_reader(_BATCH_ROWS)


def _sql(sides: Sequence[_Stream], pairs: Sequence[KeyPair], how: How, *, ordered: bool) -> str:
    on = " and ".join(f"l.k{place} = r.k{place}" for place in range(len(pairs)))
    shown = ["l.n as ln", *(f"l.c{place} as lc{place}" for place in range(len(sides[0].columns)))]
    if how not in ("semi", "anti"):
        shown += ["r.n as rn", *(f"r.c{place} as rc{place}" for place in range(len(sides[1].columns)))]
    # `p` counts the rows of a side as they come; their numbers may be in any order.
    order = ""
    if ordered:
        order = " order by l.p" if how in ("semi", "anti") else " order by l.p nulls last, r.p"
    return f"select {', '.join(shown)} from l {_KINDS[how]} r on {on}{order}"  # noqa: S608 - every name in it is made here


class _Stream:
    """One side as an Arrow stream: `n` and `p`, the keys `k0`…, the columns `c0`… in the types that travel."""

    def __init__(self, side: Side, number: int, pairs: Sequence[KeyPair], columns: Sequence[str], memory: int) -> None:
        self.columns = list(columns)
        self._side, self._number, self._pairs, self._memory = side, number, pairs, memory
        self._empty = side.absent(self.columns, 0)
        self.transports = [Transport.of(field.type) for field in self._empty.schema] if self.columns else []

    def reader(self) -> pa.RecordBatchReader:
        """The stream; it is read once."""
        keys = [(f"k{place}", pa.int64() if pair.is_word else pa.binary()) for place, pair in enumerate(self._pairs)]
        carried = [(f"c{place}", one.carried) for place, one in enumerate(self.transports)]
        schema = pa.schema([("n", pa.int64()), ("p", pa.int64()), *keys, *carried])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        names = [pair.column(self._number) for pair in self._pairs]
        at = 0
        for piece in self._side.pieces(list(dict.fromkeys([*self.columns, *names])), self._memory // 4):
            count = len(piece.rows)
            keys = [
                pair.normalise(self._number, piece.batch.column(name))
                for pair, name in zip(self._pairs, names, strict=True)
            ]
            columns = [
                one.send(piece.batch.column(name)) for one, name in zip(self.transports, self.columns, strict=True)
            ]
            numbers = [pa.array(positions(piece.rows)), pa.array(np.arange(at, at + count))]
            yield pa.RecordBatch.from_arrays([*numbers, *keys, *columns], schema=schema)
            at += count

    def received(self, batch: pa.RecordBatch, mark: str) -> pa.RecordBatch:
        """The columns of this side out of what the engine gave."""
        if not self.columns:
            return self._side.absent([], batch.num_rows)
        arrays = [one.receive(batch.column(f"{mark}c{place}")) for place, one in enumerate(self.transports)]
        return pa.RecordBatch.from_arrays(arrays, schema=self._empty.schema)


def _pairs(batch: pa.RecordBatch, sides: Sequence[_Stream], how: How) -> Pairs:
    left_rows = np.asarray(batch.column("ln").fill_null(-1))
    left = sides[0].received(batch, "l")
    if how in ("semi", "anti"):
        return Pairs(left, left_rows, sides[1].received(batch, "r"), np.full(len(left_rows), -1, np.int64))
    return Pairs(left, left_rows, sides[1].received(batch, "r"), np.asarray(batch.column("rn").fill_null(-1)))

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
from tableformat.table.selection import Positions

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
    numbered: bool,
) -> Iterator[Pairs]:
    """The rows; in order where `ordered`, else as the engine finds them; with their numbers where `numbered`, else with 0 for
    each. Holds about `memory` bytes, and disk for the rest.

    Raises `MissingExtraError` where DuckDB is not installed, `LimitError` where the limit is too low for it.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("joining tables that do not fit in memory", "duckdb", "duckdb") from error
    wanted = [] if how in ("semi", "anti") else list(right_columns)
    extras = [name for name, is_needed in (("n", numbered), ("p", ordered)) if is_needed]
    sides = [
        _Stream(left, 0, pairs, left_columns, extras, memory),
        _Stream(right, 1, pairs, wanted, [] if how in ("semi", "anti") else extras, memory),
    ]
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
    shown = [f"{mark}.{name} as {mark}{name}" for mark, side in zip("lr", sides, strict=True) for name in side.shown()]
    # `p` counts the rows of a side as they come; their numbers may be in any order.
    order = ""
    if ordered:
        order = " order by l.p" if how in ("semi", "anti") else " order by l.p nulls last, r.p"
    return f"select {', '.join(shown) or '1'} from l {_KINDS[how]} r on {on}{order}"  # noqa: S608 - every name in it is made here


class _Stream:
    """One side as an Arrow stream: numbers `n` and places `p` where asked for, keys `k0`…, and columns `c0`… in the types that
    travel. A key that is a column as it stands travels once."""

    def __init__(
        self, side: Side, number: int, pairs: Sequence[KeyPair], columns: Sequence[str], extras: list[str], memory: int
    ) -> None:
        self._columns = list(columns)
        self._side, self._number, self._pairs, self._extras, self._memory = side, number, pairs, extras, memory
        self._empty = side.absent(self._columns, 0)
        types = self._empty.schema.types if self._columns else []
        self._transports = [Transport.of(type_) for type_ in types]
        keys = {pair.column(number): f"k{place}" for place, pair in enumerate(pairs) if pair.is_plain(number)}
        self._names = [
            keys[name] if name in keys and not name.startswith("\0") else f"c{place}"
            for place, name in enumerate(self._columns)
        ]

    def shown(self) -> list[str]:
        """What is wanted of the stream after the join."""
        return list(dict.fromkeys([*(name for name in self._extras if name == "n"), *self._names]))

    def reader(self) -> pa.RecordBatchReader:
        """The stream; it is read once."""
        fields = [(name, pa.int64()) for name in self._extras]
        fields += [(f"k{place}", pa.int64() if pair.is_word else pa.binary()) for place, pair in enumerate(self._pairs)]
        fields += [
            (name, one.carried) for name, one in zip(self._names, self._transports, strict=True) if name[0] == "c"
        ]
        schema = pa.schema(fields)
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        names = [pair.column(self._number) for pair in self._pairs]
        at = 0
        for piece in self._side.pieces(list(dict.fromkeys([*self._columns, *names])), self._memory // 4):
            count = len(piece.rows)
            arrays = []
            if "n" in self._extras:
                arrays.append(pa.array(positions(piece.rows)))
            if "p" in self._extras:
                arrays.append(pa.array(np.arange(at, at + count)))
            for pair, name in zip(self._pairs, names, strict=True):
                arrays.append(pair.normalise(self._number, piece.batch.column(name)))
            for place, (name, one) in enumerate(zip(self._names, self._transports, strict=True)):
                if name[0] == "c":
                    arrays.append(one.send(piece.batch.column(self._columns[place])))
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            at += count

    def received(self, batch: pa.RecordBatch, mark: str) -> pa.RecordBatch:
        """The columns of this side out of what the engine gave."""
        if not self._columns:
            return self._side.absent([], batch.num_rows)
        arrays = [
            one.receive(batch.column(mark + name)) for name, one in zip(self._names, self._transports, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._empty.schema)

    def numbers(self, batch: pa.RecordBatch, mark: str) -> Positions:
        """The numbers of the rows of this side, -1 for none; 0 where nobody asked."""
        if "n" not in self._extras:
            return np.zeros(batch.num_rows, np.int64)
        found: Positions = np.asarray(batch.column(f"{mark}n").fill_null(-1))
        return found


def _pairs(batch: pa.RecordBatch, sides: Sequence[_Stream], how: How) -> Pairs:
    left, right = sides[0].received(batch, "l"), sides[1].received(batch, "r")
    if how in ("semi", "anti"):
        return Pairs(left, sides[0].numbers(batch, "l"), right, np.full(batch.num_rows, -1, np.int64))
    return Pairs(left, sides[0].numbers(batch, "l"), right, sides[1].numbers(batch, "r"))

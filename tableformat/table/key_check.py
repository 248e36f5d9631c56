"""Proof that keys are unique, and whether they ascend, in bounded memory.

While keys ascend strictly nothing can be equal. For when they stop doing so, the 64-bit hash of every key is kept: in
memory up to `RUN_ROWS`, then as sorted runs in a temporary file. At the end the runs are merged one range of hashes at a
time; rows of equal hash are only suspects, and are compared as values.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import KeyValueError, Problem, message
from tableformat.format.keys import Hashes, key_hashes

__all__ = ["RUN_ROWS", "KeyCheck", "ascends", "key_not_unique"]

RUN_ROWS: Final = 1 << 21
"""Hashes held in memory before they are spilled: 16 MiB, and as much again while they are sorted."""
_MAX_SUSPECTS: Final = 1 << 16
_MAX_SHOWN: Final = 10

KeyBatches = Callable[[], Iterable[tuple[int, list[pa.Array]]]]
"""Reads the keys again: (first row, key columns) in row order."""


class KeyCheck:
    """Fed with the keys of a table in row order; `finish` raises if two are equal.

    Holds at most about 50 MB, whatever the number of rows; spills 8 bytes a row past `RUN_ROWS` to a temporary file.
    """

    def __init__(self, names: list[str], *, unique: bool = True) -> None:
        self._names = names
        self._unique = unique
        self._last: list[pa.Array] | None = None
        self._pending: list[Hashes] = []
        self._pending_rows = 0
        self._runs: list[tuple[int, int]] = []
        self._spill: IO[bytes] | None = None
        self.ascending = True
        """Whether every key so far was above the one before it."""

    def add(self, columns: list[pa.Array], hashes: Hashes) -> None:
        """The next rows: key columns without nulls, and their hashes."""
        if not len(hashes):
            return
        if self.ascending:
            joined = (
                [pa.concat_arrays([last, column]) for last, column in zip(self._last, columns, strict=True)]
                if self._last
                else columns
            )
            self.ascending = ascends(joined)
            self._last = [column.slice(len(column) - 1, 1) for column in columns]
        if self._unique:
            self._pending.append(hashes)
            self._pending_rows += len(hashes)
            if self._pending_rows >= RUN_ROWS:
                self._flush()

    def _flush(self) -> None:
        run = np.sort(np.concatenate(self._pending))
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(prefix="tableformat-keys-")  # noqa: SIM115 - `close` does
        start = self._runs[-1][1] if self._runs else 0
        self._spill.write(run.tobytes())
        self._runs.append((start, start + len(run)))
        self._pending, self._pending_rows = [], 0

    def finish(self, read_again: KeyBatches) -> None:
        """Raise `KeyValueError` naming equal keys and their rows; `read_again` is called only if some are suspected."""
        try:
            if self._unique and not self.ascending:
                suspects = self._suspects()
                if len(suspects):
                    self._compare(suspects, read_again())
        finally:
            self.close()

    def close(self) -> None:
        """Drop what was kept."""
        if self._spill is not None:
            self._spill.close()
            self._spill = None
        self._pending = []

    def _sorted_runs(self) -> list[Any]:
        runs: list[Any] = []
        if self._spill is not None:
            self._spill.flush()
            whole = np.memmap(self._spill, np.uint64, "r")
            runs = [whole[start:stop] for start, stop in self._runs]
        if self._pending:
            runs.append(np.sort(np.concatenate(self._pending)))
        return runs

    def _suspects(self) -> Hashes:
        """Hashes that stand more than once, at most `_MAX_SUSPECTS` of them."""
        runs = self._sorted_runs()
        total = sum(len(run) for run in runs)
        slices = max(1, -(-total // RUN_ROWS))
        edges = [min(index * ((1 << 64) // slices), (1 << 64) - 1) for index in range(slices)]
        found: list[Hashes] = []
        for index, low in enumerate(edges):
            pieces = []
            for run in runs:
                start = np.searchsorted(run, np.uint64(low), "left")
                stop = np.searchsorted(run, np.uint64(edges[index + 1]), "left") if index + 1 < slices else len(run)
                pieces.append(np.asarray(run[start:stop]))
            merged = np.sort(np.concatenate(pieces))
            found.append(np.unique(merged[1:][merged[1:] == merged[:-1]]))
            if sum(map(len, found)) >= _MAX_SUSPECTS:
                break
        return np.concatenate(found)[:_MAX_SUSPECTS]

    def _compare(self, suspects: Hashes, batches: Iterable[tuple[int, list[pa.Array]]]) -> None:
        seen: dict[tuple[Any, ...], int] = {}
        problems: list[Problem] = []
        for row, key in self._suspected_keys(suspects, batches):
            first = seen.setdefault(key, row)
            if first != row:
                shown = ", ".join(f"{name}={value!r}" for name, value in zip(self._names, key, strict=True))
                problems.append(Problem(f"row {row}", f"{shown[:200]} stands in row {first} already", "duplicate-key"))
                if len(problems) >= _MAX_SHOWN:
                    break
        if problems:
            raise key_not_unique(self._names, problems)

    @staticmethod
    def _suspected_keys(
        suspects: Hashes, batches: Iterable[tuple[int, list[pa.Array]]]
    ) -> Iterator[tuple[int, tuple[Any, ...]]]:
        for first_row, columns in batches:
            inside = np.flatnonzero(np.isin(key_hashes(columns), suspects))
            picked = [column.take(pa.array(inside)).to_pylist() for column in columns]
            for position, key in zip(inside.tolist(), zip(*picked, strict=True), strict=True):
                yield first_row + position, key


def key_not_unique(names: list[str], problems: list[Problem]) -> KeyValueError:
    """The error for a key that stands twice; each of `problems` names one of the rows."""
    return KeyValueError(
        message(
            f"proving the key ({', '.join(names)}) unique",
            expected="every key once",
            got="keys that stand twice",
            todo="drop the duplicates, choose another key, or pass unique=False",
        ),
        problems,
    )


def ascends(columns: list[pa.Array]) -> bool:
    """Whether each row's key is above the key before it, column by column."""
    verdict: Any = None
    for column in reversed(columns):
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        above = pc.less(before, after)
        verdict = above if verdict is None else pc.or_(above, pc.and_(pc.equal(before, after), verdict))
    return bool(pc.all(verdict).as_py()) if len(columns[0]) > 1 else True

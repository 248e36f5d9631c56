"""Proof that the keys of a side are there, and each of them once, where the table's entry does not say so."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.errors import KeyValueError, Problem, message
from tableformat.format.keys import Hashes
from tableformat.table.diff.sides import DiffSide, whole
from tableformat.table.join.index import key_codes
from tableformat.table.join.keys import KeyPair
from tableformat.table.key_check import KeyCheck
from tableformat.table.selection import Positions

__all__ = ["is_proven", "prove_unique"]

_MOST: Final = 10
_WORDS: Final = ("before", "after")


def is_proven(side: DiffSide, names: Sequence[str]) -> bool:
    """Whether the entry says that the columns are a key in which nothing is null and no two rows are equal."""
    entry = side.source.entry
    return sorted(names) == sorted(entry.table_key) and bool(names) and entry.unique and not side.has_repeats


def prove_unique(side: DiffSide, number: int, pairs: Sequence[KeyPair]) -> None:
    """Read the key columns of side 0 or 1. Raises `KeyValueError` with up to ten keys that are null, or stand twice, and their rows.

    Holds about 50 MB, whatever the number of rows.
    """
    seed = secrets.randbits(64)
    check = _Check([pair.column(number) for pair in pairs], unique=True)
    try:
        for rows, keys, given in _keys(side, number, pairs):
            _refuse_nulls(side, number, pairs, rows, keys, given)
            check.add(keys, key_codes(keys, seed))
        suspects = check.suspects()
    finally:
        check.close()
    if len(suspects):
        _refuse_twins(side, number, pairs, suspects, seed)


class _Check(KeyCheck):
    """Collects hashes, and tells those that stand twice."""

    def suspects(self) -> Hashes:
        """Hashes of keys of which there may be two."""
        return np.empty(0, np.uint64) if self.ascending else self._suspects()


def _keys(
    side: DiffSide, number: int, pairs: Sequence[KeyPair]
) -> Iterator[tuple[Positions, list[pa.Array], pa.RecordBatch]]:
    names = [pair.column(number) for pair in pairs]
    for rows, batch in side.stream(whole(side.rows), list(dict.fromkeys(names))):
        yield (
            rows,
            [pair.normalise(number, batch.column(name)) for pair, name in zip(pairs, names, strict=True)],
            batch,
        )


def _refuse_nulls(
    side: DiffSide, number: int, pairs: Sequence[KeyPair], rows: Positions, keys: list[pa.Array], given: pa.RecordBatch
) -> None:
    problems = []
    for pair, key in zip(pairs, keys, strict=True):
        if key.null_count:
            name = pair.column(number)
            places = np.flatnonzero(np.asarray(key.is_null()))[:_MOST]
            values = given.column(name).take(pa.array(places))
            for place, value in zip(places.tolist(), values, strict=True):
                told = f"the key is {value}" if not pa.types.is_nested(value.type) else "its content is not known"
                problems.append(Problem(f"row {rows[place]}, column {name!r}", told[:200], "null-key"))
    if problems:
        raise KeyValueError(
            message(_doing(pairs, number), path=side.label, expected="a value in every key column, which equals itself",
                    got="keys that match nothing", todo="filter these rows out, or choose another key with on=")
            , problems[:_MOST],
        )  # fmt: skip


def _refuse_twins(side: DiffSide, number: int, pairs: Sequence[KeyPair], suspects: Hashes, seed: int) -> None:
    """Find the rows behind equal hashes; raises where their keys are equal as values."""
    seen: dict[tuple[Any, ...], int] = {}
    problems: list[Problem] = []
    for rows, keys, given in _keys(side, number, pairs):
        inside = np.flatnonzero(np.isin(key_codes(keys, seed), suspects))
        picked = [key.take(pa.array(inside)).to_pylist() for key in keys]
        for place, key in zip(inside.tolist(), zip(*picked, strict=True), strict=True):
            first = seen.setdefault(key, int(rows[place]))
            if first != rows[place]:
                shown = ", ".join(_shown(pair.column(number), given, place, value) for pair, value in zip(pairs, key, strict=True))  # fmt: skip
                problems.append(
                    Problem(f"row {rows[place]}", f"{shown} stands in row {first} already", "duplicate-key")
                )
        if len(problems) >= _MOST:
            break
    if problems:
        raise KeyValueError(
            message(_doing(pairs, number), path=side.label, expected="every key once", got="keys that stand twice",
                    todo="drop the duplicates, or choose a key with on= that tells rows apart")
            , problems[:_MOST],
        )  # fmt: skip


def _doing(pairs: Sequence[KeyPair], number: int) -> str:
    return f"comparing tables by ({', '.join(pair.column(number) for pair in pairs)}), the rows {_WORDS[number]}"


def _shown(name: str, given: pa.RecordBatch, place: int, value: Any) -> str:
    column = given.column(name)
    return f"{name}={value if pa.types.is_nested(column.type) else column[place].as_py()!r}"[:200]

"""Keys of a table: their 64-bit hash, and where it cuts the rows into parts.

The hash is XXH3-64, seed 0, of the key's canonical bytes (spec/part.md, "Keys"). It decides cuts and pre-selects
duplicates, never identity: a cut in an odd place costs bytes, and suspected duplicates are compared as values.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from tableformat.errors import KeyValueError, Problem, SchemaError, message

__all__ = ["MAX_TARGET_ROWS", "Cutter", "check_key_type", "check_keys", "key_hashes"]

MAX_TARGET_ROWS: Final = 1 << 20
"""The target of a part's rows stops growing here."""
_LEAST_PARTS: Final = 256
_GROWTH: Final = 64
# Some 256 parts have the least target; from there on the target is a 64th of the rows before it. So a table of any length has
# some hundreds of parts, and a row inserted anywhere rewrites about a hundredth of it, or of 1M rows the least there is
# (spec/decisions/002). Targets are powers of two and the hash is compared with nested thresholds, so an insertion changes
# no cut but those near it.

_U64 = np.uint64
_SECRET: Final = _U64(0x1CAD21F72C81017C ^ 0xDB979083E96DD4DE)  # bytes 8–24 of XXH3's default secret, folded
_PRIME_MX2: Final = _U64(0x9FB21C651E98DF25)

Hashes = npt.NDArray[np.uint64]


def check_key_type(name: str, type_: pa.DataType) -> None:
    """Raise `SchemaError` where a column of this storage type cannot be (part of) a key."""
    types = pa.types
    if (
        types.is_integer(type_) or types.is_string(type_) or types.is_binary(type_) or types.is_fixed_size_binary(type_)
        or types.is_date(type_) or types.is_timestamp(type_) or types.is_decimal(type_) or types.is_boolean(type_)
    ):  # fmt: skip
        return
    raise SchemaError(
        message(
            f"using column {name!r} as a key",
            expected="int, string, bytes, date, timestamp, decimal or bool",
            got=str(type_),
            todo="choose another key, or none",
        )
    )


def check_keys(names: list[str], columns: list[pa.Array], first_row: int) -> None:
    """Raise `KeyValueError` naming each row whose key is null (at most ten of them)."""
    problems = []
    for name, column in zip(names, columns, strict=True):
        if column.null_count:
            rows = np.flatnonzero(np.asarray(column.is_null()))[:10]
            problems += [
                Problem(f"row {first_row + int(row)}, column {name!r}", "the key is null", "null-key") for row in rows
            ]
    if problems:
        raise KeyValueError(
            message("writing keyed rows", expected="a value in every key column", todo="fill or drop these rows"),
            problems,
        )


def key_hashes(columns: list[pa.Array]) -> Hashes:
    """The hash of the key of each row; the columns have equal length and hold no nulls."""
    if len(columns) == 1 and _is_word(columns[0].type):
        return _hash_words(_words(columns[0]))
    digest = xxhash.xxh3_64_intdigest
    if len(columns) == 1:
        return np.fromiter((digest(value) for value in _byte_values(columns[0])), np.uint64, len(columns[0]))
    rows = zip(*(_byte_values(column) for column in columns), strict=True)
    joined = (b"".join([len(value).to_bytes(4, "little") + value for value in row]) for row in rows)
    return np.fromiter((digest(value) for value in joined), np.uint64, len(columns[0]))


def _is_word(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_date(type_)
        or pa.types.is_timestamp(type_)
    )


def _words(column: pa.Array) -> Hashes:
    """Integers, bools, dates and times as 64-bit words: sign-extended, in the unit of the column."""
    type_ = column.type
    if pa.types.is_date32(type_):
        column = column.view(pa.int32())
    elif pa.types.is_timestamp(type_) or pa.types.is_date64(type_):
        column = column.view(pa.int64())
    elif pa.types.is_boolean(type_):
        column = column.cast(pa.uint8())
    values = np.asarray(column)
    return values.astype(np.uint64) if values.dtype.kind == "u" else values.astype(np.int64).view(np.uint64)


def _byte_values(column: pa.Array) -> list[bytes]:
    type_ = column.type
    if _is_word(type_):
        raw = _words(column).astype("<u8").tobytes()
        return [raw[at : at + 8] for at in range(0, len(raw), 8)]
    if pa.types.is_string(type_):
        values: list[bytes] = column.cast(pa.binary()).to_pylist()
        return values
    if pa.types.is_decimal(type_):
        width = type_.bit_width // 8
        column = pa.Array.from_buffers(pa.binary(width), len(column), [None, column.buffers()[1]], offset=column.offset)
    listed: list[bytes] = column.to_pylist()
    return listed


def _hash_words(words: Hashes) -> Hashes:
    """XXH3-64 with seed 0 of each word's eight little-endian bytes: the 4-to-8-byte case of the algorithm."""
    low, high = words & _U64(0xFFFFFFFF), words >> _U64(32)
    keyed = (high + (low << _U64(32))) ^ _SECRET
    keyed ^= ((keyed << _U64(49)) | (keyed >> _U64(15))) ^ ((keyed << _U64(24)) | (keyed >> _U64(40)))
    keyed *= _PRIME_MX2
    keyed ^= (keyed >> _U64(35)) + _U64(8)
    keyed *= _PRIME_MX2
    return keyed ^ (keyed >> _U64(28))


class Cutter:
    """Says where the rows of a keyed table are cut into parts.

    A part ends after a row whose hash is below 2^64 / target, no sooner than a quarter of the target and no later than
    twice the target after the last cut. The target is the least target while fewer than 256 times as many rows stand before
    the part; then the power of two at or below a 64th of those rows.
    """

    def __init__(self, least_rows: int, first_row: int = 0) -> None:
        self._least = least_rows
        self._row = first_row
        self._open = 0
        self._target = self._plan()

    def _plan(self) -> int:
        if self._row < _LEAST_PARTS * self._least:
            return self._least
        return max(self._least, min(1 << ((self._row // _GROWTH).bit_length() - 1), MAX_TARGET_ROWS))

    def next_end(self, hashes: Hashes, at: int) -> int | None:
        """Where the open part ends in this batch: the count of its rows up to and including the last one of the part.

        `at` is the position in `hashes` of the next row, before which all rows were given to `advance`. None: the part
        goes on after the batch.
        """
        earliest = at + self._target // 4 - self._open - 1
        latest = at + self._target * 2 - self._open - 1
        window = hashes[max(earliest, at) : latest + 1]
        inside = np.flatnonzero(window < _U64(((1 << 64) - 1) // self._target))
        end = max(earliest, at) + int(inside[0]) if len(inside) else latest
        return end + 1 if end < len(hashes) else None

    def advance(self, rows: int) -> None:
        """`rows` more rows went into the open part."""
        self._row += rows
        self._open += rows

    def start_part(self) -> None:
        """A part begins with the next row: after `next_end`, or because its bytes were too many."""
        self._open = 0
        self._target = self._plan()

"""Rows of plain cells straight to Arrow: their text is split, checked and read without an object for each cell.

A block is taken so only where each of its rows is, letter by letter, what `json.dumps` writes of cells of the chosen types, without
escapes: one regular expression tells. Such a row is also a line of comma-separated values, unless a text holds a comma, which then
has too many. Everything else, `NaN` and escapes among it, is left to the parser of JSON, which decides what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from tableformat.convert.legacy.cells import Plan

__all__ = ["ArrowRows"]

_INT: Final = "-?(?:0|[1-9][0-9]*)"
_FLOAT: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)"
_EXACT_INT: Final = "-?(?:0|[1-9][0-9]{0,14})"  # an integer that a float holds
_NULL: Final = "null"
_TEXT: Final = r'"[^"\\\x00-\x1f]*"'
_MISSES: Final = 3
_DATA_TYPES: Final = {"int64": pa.int64(), "float64": pa.float64(), "double": pa.float64(), "bool": pa.bool_(), "string": pa.string()}  # fmt: skip


def _pattern(plan: Plan) -> str | None:
    """What the cells of a column look like; None for a column that is not plain."""
    if plan.label not in _DATA_TYPES or type(None) not in plan.classes:
        return None
    kinds = plan.classes - {type(None)}
    if not kinds:
        return _NULL
    found = {
        frozenset({int}): _INT, frozenset({float}): _FLOAT, frozenset({int, float}): f"{_FLOAT}|{_EXACT_INT}",
        frozenset({bool}): "true|false", frozenset({str}): _TEXT,
    }.get(kinds)  # fmt: skip
    return None if found is None else f"(?:{found}|{_NULL})"


class ArrowRows:
    """Reads blocks of rows whose columns have these plans. After three blocks on end that it could not read it tries no more."""

    def __init__(self, patterns: Sequence[str], types: Sequence[pa.DataType]) -> None:
        self._row = f"^{', '.join(patterns)}$"
        self._types = list(types)
        self._names = [str(number) for number in range(len(types))]
        self._options = pcsv.ConvertOptions(
            column_types=dict(zip(self._names, self._types, strict=True)), strings_can_be_null=True, null_values=["null", " null"],
            true_values=["true", " true"], false_values=["false", " false"],
        )  # fmt: skip
        self._format = pcsv.ParseOptions(delimiter=",", quote_char=False, double_quote=False, escape_char=False)
        self._misses = 0

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> ArrowRows | None:
        """The reader for these plans; None where one of them is not of plain cells."""
        patterns = [pattern for plan in plans if (pattern := _pattern(plan)) is not None]
        types = [_DATA_TYPES[plan.label] for plan in plans if plan.label in _DATA_TYPES]
        return cls(patterns, types) if plans and len(patterns) == len(plans) else None

    def read(self, text: str) -> list[pa.Array] | None:
        """The columns of the rows in `text`, `[…], […], […]`; None where they are not as they should be."""
        if self._misses >= _MISSES:
            return None
        start, found = text.find("[") + 1, None
        if "\\" not in text and text.endswith("]") and not text[: start - 1].strip():
            try:
                found = self._read(text[start:-1])
            except (pa.ArrowException, UnicodeEncodeError):
                pass
        self._misses = self._misses + 1 if found is None else 0
        return found

    def _read(self, text: str) -> list[pa.Array] | None:
        rows = pc.split_pattern(pa.array([text], pa.string()), "], [")
        if not pc.all(pc.match_substring_regex(rows.values, self._row)).as_py():
            return None
        lines = pc.binary_join(rows, "\n").buffers()[2]
        reading = pcsv.ReadOptions(column_names=self._names, use_threads=False, block_size=lines.size + 1)
        table = pcsv.read_csv(pa.BufferReader(lines), reading, self._format, self._options)
        if table.num_rows != len(rows.values):
            return None
        return [self._column(index, table.column(index)) for index in range(len(self._types))]

    def _column(self, index: int, found: pa.ChunkedArray) -> pa.Array:
        """A column; texts without their quotes, and the space before."""
        array = pa.concat_arrays(found.chunks)
        if array.type != pa.string():
            return array
        return pc.binary_slice(array.cast(pa.binary()), 2 if index else 1, -1).cast(pa.string())

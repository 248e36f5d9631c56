"""Rows to be erased, by key: keys as they were given, brought into the type of their columns, and looked for in stored rows.

An erasure that finds nothing because 7 is not "7" would be taken for done; so a key of another type is an error, and an old part
in which the column had another type is compared by text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import KeyValueError, message

__all__ = ["RowKeys"]


class RowKeys:
    """The keys `keys` of a table whose key has the columns `names` of these Arrow `types`; `place` is what messages call it.

    A key is a value; of several columns a sequence in their order, or a mapping from their names. Raises `KeyValueError` with all keys
    that are of another form or type.
    """

    def __init__(self, names: Sequence[str], types: Sequence[pa.DataType], keys: Sequence[Any], place: str) -> None:
        self.names = tuple(names)
        """The columns."""
        self._types = tuple(types)
        problems: list[str] = []
        rows = [row for key in keys if (row := self._values(key, problems)) is not None]
        if problems:
            expected = ", ".join(f"{name}: {type_}" for name, type_ in zip(self.names, self._types, strict=True))
            raise KeyValueError(message("erasing rows", path=place, expected=expected, got="; ".join(problems)[:300]))
        self._rows = frozenset(rows)

    @property
    def keys(self) -> list[Any]:
        """Values, or tuples of several columns, each once."""
        return [row if len(self.names) > 1 else row[0] for row in sorted(self._rows, key=repr)]

    def _values(self, key: Any, problems: list[str]) -> tuple[Any, ...] | None:
        values: Sequence[Any] = [key]
        if isinstance(key, Mapping):
            values = [key.get(name) for name in self.names] if key.keys() == set(self.names) else []
        elif len(self.names) > 1:
            values = list(key) if isinstance(key, Sequence) and not isinstance(key, str | bytes) else []
        if len(values) != len(self.names) or any(value is None for value in values):
            problems.append(f"{key!r:.60}, which is no value for each column")
            return None
        try:
            pairs = zip(values, self._types, strict=True)
            return tuple(pa.array([value], type_)[0].as_py() for value, type_ in pairs)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            problems.append(f"{key!r:.60} ({str(error)[:80]})")
            return None

    def find(self, arrays: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
        """Which rows have one of the keys; `arrays` are their columns, in the order of `names`, in the types in which they are stored."""
        pairs = [self._alike(array, number) for number, array in enumerate(arrays)]
        if len(pairs) == 1:
            return np.asarray(pc.is_in(pairs[0][0], value_set=pairs[0][1]))
        wanted = set(zip(*(values.to_pylist() for _, values in pairs), strict=True))
        found = zip(*(array.to_pylist() for array, _ in pairs), strict=True)
        return np.fromiter((row in wanted for row in found), np.bool_, len(arrays[0]))

    def _alike(self, array: pa.Array, number: int) -> tuple[pa.Array, pa.Array]:
        """A column and the values to look for in it, of one type."""
        values = pa.array([row[number] for row in self._rows], self._types[number])
        try:
            return array.cast(values.type), values
        except pa.ArrowInvalid:
            return array.cast(pa.string()), values.cast(pa.string())

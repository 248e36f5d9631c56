"""Keys of rows that are to be erased: what does not fit is an error, since an erasure that finds nothing is taken for done."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tableformat.errors import KeyValueError
from tableformat.storage.collect.row_keys import RowKeys

TWO = (["a", "b"], [pa.string(), pa.int64()])


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (pa.array([7, 8, None]), [True, False, False]),
        (pa.array([7, 8], pa.int32()), [True, False]),
        (pa.array(["8", "7", None]), [False, True, False]),
        (pa.array(["x", "7"]), [False, True]),
        (pa.array(["7", "x"]).dictionary_encode(), [True, False]),
        (pa.array([], pa.int64()), []),
    ],
)
def test_rows_are_found_in_any_type_that_the_column_had(array: pa.Array, found: list[bool]) -> None:
    """A part from before the column was widened, or was of text, is looked through as well."""
    assert RowKeys(["id"], [pa.int64()], [7, 7, 9], "t").find([array]).tolist() == found


def test_keys_of_several_columns() -> None:
    """They come in the order of the columns, or by name."""
    keys = RowKeys(*TWO, [("x", 1), ["y", 2], {"b": 3, "a": "z"}], "t")
    assert keys.keys == [("x", 1), ("y", 2), ("z", 3)]
    arrays = [pa.array(["x", "y", "z", "z"]), pa.array([1, 1, 3, None], pa.int8())]
    assert keys.find(arrays).tolist() == [True, False, True, False]


@pytest.mark.parametrize("key", ["7", 7.5, None, [7], 1 << 70, {"id": "x"}])
def test_a_key_of_another_type_is_refused(key: Any) -> None:
    """All keys that do not fit are told, with the type of the column."""
    with pytest.raises(KeyValueError, match="id: int64") as error:
        RowKeys(["id"], [pa.int64()], [key, 7, "other"], "t")
    assert "'other'" in str(error.value)


@pytest.mark.parametrize("key", [("x",), ("x", 1, 2), "xy", {"a": "x"}, {"a": "x", "c": 1}, ("x", None), (1, "x")])
def test_a_key_of_another_form_is_refused(key: Any) -> None:
    """A key of several columns has a value for each."""
    with pytest.raises(KeyValueError, match="a: string, b: int64"):
        RowKeys(*TWO, [key], "t")

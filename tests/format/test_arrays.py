"""Arrays of Arrow and of NumPy that share their numbers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tableformat.format.types.arrays import array_of, numpy_of

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("type_", [*INTEGERS, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_arrays_are_those_of_pyarrow(type_: Any, count: int) -> None:
    """Numbers and truth values become the array that pyarrow makes of them, strided ones too."""
    values = np.random.default_rng(count).integers(0, 2 if type_ is np.bool_ else 100, 2 * count).astype(type_)
    for some in (values, values[::2]):
        made = array_of(some)
        made.validate(full=True)
        assert made.equals(pa.array(some))


@pytest.mark.parametrize("type_", INTEGERS)
def test_numbers_come_back(type_: Any) -> None:
    """Whole numbers are those of the array, of a slice its own, of an empty one none; nothing is copied."""
    values = np.arange(100).astype(type_)
    array = array_of(values)
    assert np.shares_memory(numpy_of(array), values)
    for some in (array, array.slice(13), array.slice(5, 20), array.slice(100), pa.nulls(0, array.type)):
        assert numpy_of(some).dtype == type_
        assert numpy_of(some).tolist() == some.to_pylist()


def test_pandas_is_not_imported() -> None:
    """What `pa.array` and `np.asarray` import where it is installed is not imported."""
    code = (
        "import sys, numpy, pyarrow\n"
        "from tableformat.format.types.arrays import array_of, numpy_of\n"
        "numpy_of(array_of(numpy.arange(3))), array_of(numpy.ones(3, bool))\n"
        "print('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

"""Texts that are UTF-8: Parquet does not promise it, and neither does Arrow data that somebody hands over.

Nothing may leave the library, or enter a store, that says it is text and is not: engines index such bytes without looking.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tableformat.format.types.arrays import list_parts

__all__ = ["check_texts", "has_texts"]


def has_texts(type_: pa.DataType) -> bool:
    """Whether there is text anywhere in arrays of this type."""
    if isinstance(type_, pa.BaseExtensionType):
        return has_texts(type_.storage_type)
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return has_texts(type_.value_type)
    return _is_text(type_) or any(has_texts(type_.field(index).type) for index in range(type_.num_fields))


def check_texts(array: pa.Array) -> None:
    """Raise `ValueError` where a text in `array`, at any depth, is not UTF-8. Copies nothing but what lies beside nulls."""
    type_ = array.type
    if not has_texts(type_):
        return
    if isinstance(type_, pa.BaseExtensionType):
        check_texts(array.storage)
    elif pa.types.is_dictionary(type_):
        check_texts(array.dictionary)
    elif pa.types.is_run_end_encoded(type_):
        check_texts(array.values)
    elif _is_text(type_):
        if not _is_ascii(array):
            array.validate(full=True)
    elif pa.types.is_struct(type_):
        for child in array.flatten() if array.null_count else map(array.field, range(type_.num_fields)):
            check_texts(child)
    elif pa.types.is_list(type_) and not array.null_count:
        first, last = (array.offsets[place].as_py() for place in (0, len(array)))
        check_texts(array.values.slice(first, last - first))
    elif pa.types.is_map(type_) or pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        check_texts(list_parts(array)[1])
    else:  # large lists and views
        check_texts(array.flatten())


def _is_ascii(array: pa.Array) -> bool:
    """Whether all bytes of the texts are ASCII, as most are: eight are looked at together, a tenth of the time that texts take."""
    if pa.types.is_string_view(array.type) or not len(array):
        return not len(array)
    width = 4 if pa.types.is_string(array.type) else 8
    _, offsets, data = array.buffers()
    if data is None:
        return True
    ends = np.frombuffer(offsets, f"<i{width}", len(array) + 1, array.offset * width)
    first, last = int(ends[0]), int(ends[-1])
    if not 0 <= first <= last <= data.size:
        return False
    words = (last - first) // 8
    high = np.bitwise_or.reduce(np.frombuffer(data, "<u8", words, first)) if words else np.uint64(0)
    rest = data[first + 8 * words : last].to_pybytes() if last > first + 8 * words else b""
    return not int(high) & 0x8080808080808080 and rest.isascii()


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))

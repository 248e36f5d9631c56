"""Texts that are UTF-8, wherever they stand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.texts import check_texts, has_texts


def of_bytes(values: list[bytes | None], type_: Any = None) -> pa.Array:
    """An array of text with these bytes, whatever they are."""
    plain = pa.array(values, pa.large_binary() if type_ == pa.large_string() else pa.binary())
    return pa.Array.from_buffers(type_ or pa.string(), len(plain), plain.buffers(), plain.null_count)


def is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


PIECES = st.lists(st.none() | st.binary(max_size=20) | st.text(max_size=12).map(str.encode), max_size=12)


@given(values=PIECES, large=st.booleans(), cut=st.integers(0, 5))
def test_exactly_utf8_passes(values: list[bytes | None], large: bool, cut: int) -> None:
    """A slice of any bytes passes where each value of it is UTF-8 by itself: a character that two share is none."""
    array = of_bytes(values, pa.large_string() if large else pa.string()).slice(cut)
    if all(value is None or is_text(value) for value in values[cut:]):
        check_texts(array)
    else:
        with pytest.raises(ValueError, match="UTF8"):
            check_texts(array)


BAD, GOOD = of_bytes([b"abcdefgh\xff", b"i"]), of_bytes([b"abcdefgh", b"i"])
WRAPS: dict[str, Any] = {
    "struct": lambda text: pa.StructArray.from_arrays([text], ["s"]),
    "struct with nulls": lambda text: pa.StructArray.from_arrays([text], ["s"], mask=pa.array([False, True])),
    "list": lambda text: pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), text),
    "list with nulls": lambda text: pa.ListArray.from_arrays(pa.array([0, None, 2], pa.int32()), text),
    "large list": lambda text: pa.LargeListArray.from_arrays(pa.array([0, 1, 2], pa.int64()), text),
    "fixed list": lambda text: pa.FixedSizeListArray.from_arrays(text, 2),
    "map keys": lambda text: pa.MapArray.from_arrays(pa.array([0, 1, 2], pa.int32()), text, pa.array([1, 2])),
    "map items": lambda text: pa.MapArray.from_arrays(pa.array([0, 1, 2], pa.int32()), pa.array(["a", "b"]), text),
    "dictionary": lambda text: pa.DictionaryArray.from_arrays(pa.array([0, 1]), text),
    "view": lambda text: text.cast(pa.string_view()),
    "deep": lambda text: pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), pa.StructArray.from_arrays([text], ["s"])),
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPS)
def test_texts_are_found_at_any_depth(wrap: str) -> None:
    """Text inside of every type that can hold it is looked at."""
    assert has_texts(WRAPS[wrap](GOOD).type)
    check_texts(WRAPS[wrap](GOOD))
    with pytest.raises(ValueError, match="UTF8"):
        check_texts(WRAPS[wrap](BAD))


def test_what_is_not_shown_does_not_count() -> None:
    """Bytes under a null, or outside of a slice, are nobody's text; numbers and binary have none."""
    check_texts(of_bytes([b"ok", None, b"\xff"]).slice(0, 2))
    check_texts(WRAPS["list"](BAD).slice(1, 1))
    check_texts(pa.array([b"\xff"]))
    check_texts(pa.array([1.5, None]))
    assert not has_texts(pa.list_(pa.binary()))

"""Column types and Python values of them, for Hypothesis."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from tableformat.format.types import (
    Field,
    FixedListType,
    IntervalType,
    JsonType,
    ListType,
    MapType,
    ScalarType,
    StructType,
    TensorType,
    UuidType,
)
from tableformat.format.types.base import ColumnType
from tableformat.format.types.scalar import SIMPLE
from tableformat.format.types.tensor import DTYPES

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_TIMES = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))  # noqa: DTZ001 - naive times are meant
_SPANS = st.timedeltas(datetime.timedelta(days=-9000), datetime.timedelta(days=9000))


def _ints(dtype: str) -> st.SearchStrategy[int]:
    info = np.iinfo(dtype)
    return st.integers(int(info.min), int(info.max))


SCALARS: list[tuple[ColumnType, st.SearchStrategy[Any]]] = [
    *((ScalarType(SIMPLE[name]), _ints(name)) for name in DTYPES if "int" in name),
    *((ScalarType(SIMPLE[f"float{n}"]), st.floats(width=n, allow_nan=False)) for n in (16, 32, 64)),
    (ScalarType(pa.bool_()), st.booleans()),
    (ScalarType(pa.string()), TEXT),
    (ScalarType(pa.binary()), st.binary(max_size=8)),
    (ScalarType(pa.binary(3)), st.binary(min_size=3, max_size=3)),
    (ScalarType(pa.date32()), st.dates()),
    (ScalarType(pa.timestamp("us")), _TIMES),
    (ScalarType(pa.timestamp("us", "UTC")), _TIMES.map(lambda value: value.replace(tzinfo=datetime.UTC))),
    (ScalarType(pa.timestamp("ns")), _TIMES.map(lambda value: np.datetime64(value, "ns"))),
    (ScalarType(pa.time64("us")), st.times()),
    (ScalarType(pa.duration("us")), _SPANS),
    (ScalarType(pa.duration("s")), _SPANS.map(lambda span: datetime.timedelta(span.days))),
    (ScalarType(pa.decimal128(9, 2)), st.decimals(-9999999, 9999999, places=2)),
    (ScalarType(pa.decimal256(50, 0)), st.integers(0, 10**49).map(decimal.Decimal)),
    (UuidType(), st.uuids()),
    (IntervalType(), st.tuples(*[st.integers(-99, 99)] * 3).map(pa.MonthDayNano)),
    (
        JsonType(),
        st.recursive(
            st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
            max_leaves=4,
        ),
    ),
    (TensorType("float32", (2, 2)), st.integers(0, 9).map(lambda n: np.full((2, 2), n, np.float32))),
    (TensorType("bool", (3,)), st.lists(st.booleans(), min_size=3, max_size=3).map(np.array)),
    (TensorType("uint8"), st.lists(st.integers(0, 3), max_size=2).map(lambda shape: np.zeros((1, *shape), np.uint8))),
]
"""Types without fields, and their values."""

Typed = tuple[Field, st.SearchStrategy[Any]]


@st.composite
def typed_fields(draw: st.DrawFn, name: str = "c", depth: int = 2) -> Typed:
    """A field and the strategy of its values."""
    nullable = draw(st.booleans())
    choice = draw(st.sampled_from(["scalar"] * 3 + ["list", "fixed", "struct", "map"])) if depth else "scalar"
    if choice == "scalar":
        type_, values = draw(st.sampled_from(SCALARS))
    elif choice in ("list", "fixed"):
        item, inner = draw(typed_fields("element", depth - 1))
        size = 2 if choice == "fixed" else None
        values = st.lists(inner, min_size=size or 0, max_size=size or 3)
        type_ = FixedListType(item, size) if size else ListType(item)
    elif choice == "struct":
        one, two = draw(typed_fields("a", depth - 1)), draw(typed_fields("b ä", depth - 1))
        type_ = StructType((one[0], two[0]))
        values = st.fixed_dictionaries({"a": one[1], "b ä": two[1]})
    else:
        item, inner = draw(typed_fields("value", depth - 1))
        type_ = MapType(Field("key", ScalarType(pa.string()), nullable=False), item)
        values = st.dictionaries(TEXT, inner, max_size=3)
    return Field(name, type_, nullable), (st.none() | values) if nullable else values


@st.composite
def columns(draw: st.DrawFn) -> tuple[Field, list[Any]]:
    """A field and a column of up to five of its values."""
    field, values = draw(typed_fields())
    return field, draw(st.lists(values, max_size=5))


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, arrays and NaN included."""
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return (
            isinstance(left, np.ndarray)
            and isinstance(right, np.ndarray)
            and left.dtype == right.dtype
            and np.array_equal(left, right)
        )
    if isinstance(left, list | tuple) and not isinstance(left, pa.MonthDayNano):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return (
            isinstance(right, dict) and left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
        )
    return bool(left == right) or (left != left and right != right)

"""Column expressions: what they keep, what they refuse, and that statistics never hide a row that they keep."""

# ruff: noqa: DTZ001 - columns of times without a zone are part of what is tested
from __future__ import annotations

import datetime
import decimal
import math
import pickle
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import FormatError, InvalidInputError, NotFoundError, SchemaError, UsageError
from tableformat.format.bound import bind
from tableformat.format.bounds import Bounds, bounds_of_group, bounds_of_part
from tableformat.format.expr import Predicate, col, predicate_from_json
from tableformat.format.leaves import Leaves
from tableformat.format.literals import order_of
from tableformat.format.schema import Schema
from tableformat.format.stats import ColumnStats
from tableformat.format.types import ImageType, JsonType

UTC = datetime.UTC


def kept(predicate: Predicate, type_: Any, values: list[Any]) -> list[Any]:
    """The truth of `predicate` over a column `x` of these values."""
    schema = Schema.from_user({"x": type_})
    batch = pa.record_batch([pa.array(values, schema.arrow_schema().field("x").type)], ["x"])
    return list(bind(predicate, schema).mask(batch).to_pylist())


X = col("x")
DAY = datetime.datetime(2026, 1, 2, tzinfo=UTC)
CASES: list[tuple[Predicate, Any, list[Any], list[bool | None]]] = [
    (X > 2.5, pa.int64(), [2, 3, None], [False, True, None]),
    (X == 2.5, pa.int64(), [2, 3, None], [False, False, None]),
    (X != 2.5, pa.int64(), [2, None], [True, None]),
    (X < 300, pa.uint8(), [255, None], [True, None]),
    (X >= -1, pa.uint8(), [0, None], [True, None]),
    (float("inf") < X, pa.int64(), [1], [False]),
    (X == 2**53 + 1, pa.int64(), [2**53, 2**53 + 1], [False, True]),
    (float(2**53) == X, pa.int64(), [2**53, 2**53 + 1], [True, False]),
    (X == 0.1, pa.float32(), [0.1, math.nan, None], [True, False, None]),
    (X != 0.1, pa.float32(), [0.1, math.nan, None], [False, True, None]),
    (~(X > 0), pa.float64(), [1.0, math.nan, None], [False, True, None]),
    (X.is_nan(), pa.float64(), [1.0, math.nan, None], [False, True, None]),
    (X <= 1e300, pa.float32(), [1.0, math.inf], [True, False]),
    (X > -1e300, pa.float32(), [1.0, -math.inf], [True, False]),
    (X.is_in([0.0]), pa.float64(), [-0.0, 1.0], [True, False]),
    (X > 1, pa.float16(), [1.0, 2.0, None], [False, True, None]),
    (X.is_in([2]), pa.float16(), [1.0, 2.0], [False, True]),
    (X.is_in([1, None]), pa.int32(), [1, 2, None], [True, False, True]),
    (X.is_in([1]), pa.int32(), [1, None], [True, None]),
    (~X.is_in([1]), pa.int32(), [1, 2, None], [False, True, None]),
    (X.is_in([]), pa.int32(), [1, None], [False, None]),
    (X.is_null(), pa.int32(), [1, None], [False, True]),
    (X == None, pa.int32(), [1, None], [False, True]),  # noqa: E711
    (X != None, pa.int32(), [1, None], [True, False]),  # noqa: E711
    (X.between(2, 3), pa.int32(), [1, 2, 3, 4, None], [False, True, True, False, None]),
    (decimal.Decimal("1.005") < X, pa.decimal128(9, 2), [decimal.Decimal("1.00"), decimal.Decimal("1.01")], [False, True]),
    (X == 2, pa.decimal128(9, 2), [decimal.Decimal("2.00"), None], [True, None]),
    (X == "b", pa.string(), ["a", "b", None], [False, True, None]),
    (X >= b"b", pa.binary(), [b"a", b"b"], [False, True]),
    (X == b"ab", pa.binary(2), [b"ab", b"ba"], [True, False]),
    (X == b"abc", pa.binary(2), [b"ab"], [False]),
    (X == True, pa.bool_(), [True, False, None], [True, False, None]),  # noqa: E712
    (uuid.UUID(int=5) == X, pa.uuid(), [uuid.UUID(int=5).bytes, uuid.UUID(int=6).bytes], [True, False]),
    (str(uuid.UUID(int=5)) == X, pa.uuid(), [uuid.UUID(int=5).bytes], [True]),
    (X < DAY, pa.timestamp("ms", "UTC"), [DAY, DAY - datetime.timedelta(days=1)], [False, True]),
    (datetime.datetime(2026, 1, 1, 0, 0, 0, 1500) >= X, pa.timestamp("ms"), [datetime.datetime(2026, 1, 1, 0, 0, 0, 1000), datetime.datetime(2026, 1, 1, 0, 0, 0, 2000)], [True, False]),
    (np.datetime64("2026-01-01") == X, pa.timestamp("us"), [datetime.datetime(2026, 1, 1)], [True]),
    (np.datetime64("NaT") == X, pa.timestamp("us"), [datetime.datetime(2026, 1, 1), None], [False, None]),
    (datetime.date(2026, 1, 1) < X, pa.date32(), [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)], [False, True]),
    (datetime.time(12) < X, pa.time64("us"), [datetime.time(11), datetime.time(13)], [False, True]),
    (datetime.timedelta(seconds=2) == X, pa.duration("ms"), [2000, 3000], [True, False]),
    (np.int16(3) == X, pa.int64(), [3], [True]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("predicate", "type_", "values", "expected"), CASES, ids=[f"{case[0]!r} on {case[1]}" for case in CASES]
)
def test_truth(predicate: Predicate, type_: Any, values: list[Any], expected: list[bool | None]) -> None:
    """An expression is true, false or unknown of each value, exactly: nulls are unknown and NaN equals nothing. [READ-7]"""
    assert kept(predicate, type_, values) == expected


@pytest.mark.parametrize("predicate", [case[0] for case in CASES], ids=repr)
def test_kept_as_a_document(predicate: Predicate) -> None:
    """An expression comes back from its JSON form and from a pickle as an equal value, and its text builds it again."""
    assert predicate_from_json(predicate.to_json()) == predicate or "NaT" in repr(predicate)
    assert repr(pickle.loads(pickle.dumps(predicate))) == repr(predicate)
    names = {"col": col, "Decimal": decimal.Decimal, "UUID": uuid.UUID, "datetime": datetime, "np": np, "inf": math.inf}
    assert repr(eval(repr(predicate), names)) == repr(predicate)


def test_arrow_expression_keeps_the_same_rows() -> None:
    """The Arrow form of an expression filters a table as the mask does."""
    schema = Schema.from_user({"x": pa.int64(), "p": pa.struct([("a", pa.string())])})
    table = pa.table(
        {"x": pa.array([1, None, 3]), "p": pa.array([{"a": "u"}, None, {"a": None}], pa.struct([("a", pa.string())]))}
    )
    for predicate in [
        X > 1.5,
        ~(X > 1.5),
        X.is_in([1, None]),
        (col("p.a") == "u") | X.is_null(),
        X > 10**30,
        col("p.a").is_null(),
    ]:
        bound = bind(predicate, schema)
        mask = bound.mask(table.to_batches()[0])
        assert table.filter(bound.expression()) == table.filter(mask)


def test_name_with_a_dot_wins() -> None:
    """`col("a.b")` is the column of that name where there is one, and else the field of a struct."""
    struct = pa.struct([("b", pa.int32())])
    inner = Schema.from_user({"a": struct})
    both = Schema.from_user({"a": struct, "a.b": pa.string()})
    assert bind(col("a.b") == 1, inner).columns == ("a",)
    assert bind(col("a.b") == "x", both).columns == ("a.b",)


def test_fields_of_media_can_be_tested() -> None:
    """What a cell says of an image is a field like any other, and the image itself can be null."""
    schema = Schema.from_user({"image": ImageType()})
    assert bind(col("image.width") > 3, schema).columns == ("image",)
    assert bind(col("image").is_null(), schema).columns == ("image",)
    with pytest.raises(SchemaError, match=r"col\('image.format'\)"):
        bind(col("image") == b"", schema)


@pytest.mark.parametrize(
    ("predicate", "both"),
    [
        (X == "1", ("int64", "str")),
        (X == True, ("int64", "bool")),  # noqa: E712
        (datetime.date(2026, 1, 1) < X, ("int64", "date")),
        (col("t") > datetime.datetime(2026, 1, 1), ("timestamp", "datetime")),
        (col("s") == 1, ("string", "int")),
        (col("j") == "x", ("json", "str")),
        (col("s") == X, ("int64", "string")),
        (col("s").is_nan(), ("floats", "string")),
    ],
    ids=repr,
)
def test_types_that_do_not_compare(predicate: Predicate, both: tuple[str, str]) -> None:
    """A comparison without a meaning is refused before anything is read, and both types are named."""
    schema = Schema.from_user({"x": pa.int64(), "t": pa.timestamp("us", "UTC"), "s": pa.string(), "j": JsonType()})
    with pytest.raises(SchemaError) as caught:
        bind(predicate, schema)
    assert all(name in str(caught.value) for name in both)


def test_unknown_column_names_the_nearest() -> None:
    """A column that is not there is refused with the name that was probably meant."""
    with pytest.raises(NotFoundError, match="did you mean 'score'"):
        bind(col("scor") > 1, Schema.from_user({"score": float, "label": str}))


def test_python_s_own_operators_are_refused() -> None:
    """`and`, `not` and chained comparisons would drop half of an expression, so they raise and name `&`."""
    with pytest.raises(UsageError, match="&"):
        bool((X > 1) and (X < 3))
    with pytest.raises(UsageError):
        1 < X < 3  # noqa: B015
    with pytest.raises(InvalidInputError):
        X == [1, 2]  # noqa: B015
    with pytest.raises(UsageError, match="a list of values"):
        X.is_in("abc")


@pytest.mark.parametrize("text", [{}, {"op": "x"}, {"op": "==", "column": 1, "value": 2}, {"op": "and", "of": []}, {"op": "==", "column": "x", "value": {"date": "?"}}, None, [1]])  # fmt: skip
def test_documents_that_are_no_expression(text: Any) -> None:
    """Anything but the JSON form of an expression is refused with one error."""
    with pytest.raises(FormatError):
        predicate_from_json(text)


NUMBERS = st.one_of(st.none(), st.integers(-5, 5), st.floats(-5, 5, width=32), st.just(math.nan))
LITERALS = st.one_of(
    st.integers(-6, 6), st.floats(-6, 6), st.sampled_from([math.inf, -math.inf, math.nan, 2**70, -(2**70)])
)


def comparisons(literals: st.SearchStrategy[Any]) -> st.SearchStrategy[Predicate]:
    """Expressions over the column x."""
    leaves = st.one_of(
        st.builds(
            lambda value, op: getattr(X, op)(value),
            literals,
            st.sampled_from(["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"]),
        ),
        st.builds(X.is_in, st.lists(st.one_of(st.none(), literals), max_size=3)),
        st.just(X.is_null()),
    )
    return st.recursive(leaves, lambda inner: st.one_of(st.builds(lambda a: ~a, inner), st.builds(lambda a, b: a & b, inner, inner), st.builds(lambda a, b: a | b, inner, inner)), max_leaves=5)  # fmt: skip


@given(
    st.lists(NUMBERS, max_size=6),
    comparisons(LITERALS),
    st.sampled_from(["int64", "float64", "float32", "uint8", "date"]),
)
def test_statistics_never_hide_a_row(values: list[Any], predicate: Predicate, kind: str) -> None:
    """Where a row is kept, neither the manifest's bounds nor those of the Parquet footer say that none can be. [READ-6]"""
    type_: Any = {
        "int64": pa.int64(),
        "float64": pa.float64(),
        "float32": pa.float32(),
        "uint8": pa.uint8(),
        "date": pa.timestamp("ms"),
    }[kind]
    if kind == "date":
        values = [None if value is None or math.isnan(value) else int(value) for value in values]
        literal = datetime.datetime(1970, 1, 1, 0, 0, 0, 1000)
        predicate = (literal < X) | ~(literal == X)
    elif not kind.startswith("float"):
        values = [None if value is None or math.isnan(value) else abs(int(value)) for value in values]
    schema = Schema.from_user({"x": type_})
    array = pa.array(values, type_)
    bound = bind(predicate, schema)
    any_kept = any(bound.mask(pa.record_batch([array], ["x"])).to_pylist())
    stats = ColumnStats(array.type)
    stats.update(array)
    manifest = bounds_of_part({"7": stats.to_json()}, 7, array.type, len(values))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table([array], ["x"]), sink)
    footer = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    groups = [
        bounds_of_group(footer.row_group(n), Leaves.of_schema(schema.arrow_schema()).of_path[("x",)], array.type)
        for n in range(footer.num_row_groups)
    ]
    for bounds in [manifest, *groups]:
        assert bound.may_match(lambda leaf, bounds=bounds: bounds) or not any_kept  # type: ignore[misc]  # bound now


def test_statistics_hide_what_they_can() -> None:
    """A part whose bounds exclude every row is skipped, and one of nulls alone, too."""
    schema = Schema.from_user({"x": pa.int64()})
    ten = Bounds(10, 20, 0, 5)
    nulls = Bounds(None, None, 5, 5)
    for predicate, bounds, expected in [
        (X > 20, ten, False),
        (X >= 20, ten, True),
        (X == 9, ten, False),
        (X.is_in([1, 30]), ten, False),
        (X.is_null(), ten, False),
        (~X.is_null(), nulls, False),
        (X == 1, nulls, False),
        (~(X >= 10), ten, False),
        ((X > 20) | (X < 10), ten, False),
        ((X > 5) & (X > 20), ten, False),
    ]:
        assert bind(predicate, schema).may_match(lambda leaf, bounds=bounds: bounds) is expected, repr(predicate)  # type: ignore[misc]  # bound now


@pytest.mark.parametrize(
    "stat",
    [None, {}, {"min": "a", "max": "b"}, {"min": "5", "max": "1", "nulls": 0}, {"min": 1, "max": 2, "nulls": -1}],
)
def test_strange_statistics_tell_nothing(stat: Any) -> None:
    """Statistics that make no sense are as good as none. [READ-6]"""
    bounds = bounds_of_part({"7": stat}, 7, pa.int64(), 3)
    assert (bounds.least, bounds.most, bounds.nulls) == (None, None, None)


def test_raw_bounds() -> None:
    """Raw values of a footer are taken only where they have the column's type."""
    assert order_of("a", pa.int64()) is None
    assert order_of(math.nan, pa.float64()) is None
    assert order_of(decimal.Decimal("1.5"), pa.decimal128(9, 2)) == 150

"""Which columns compare as keys, and as what."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tableformat import Classes, ClassType, ImageType, JsonType, TensorType, VideoType
from tableformat.errors import NotFoundError, SchemaError, UsageError
from tableformat.format.media.cells import build_cells, checksums
from tableformat.format.schema import Schema
from tableformat.table.join.keys import key_names, key_pairs

CATS, DOGS = Classes(["cat"]), Classes(["dog"])


def pair(left: Any, right: Any) -> Any:
    """The pair of two columns of these types."""
    (found,) = key_pairs("k", Schema.from_user({"k": left}), Schema.from_user({"k": right}), "joining")
    return found


def meets(left: Any, one: list[Any], right: Any, other: list[Any]) -> list[list[bool]]:
    """Which of the values equal which."""
    found = pair(left, right)
    keys = [
        found.normalise(side, pa.array(values, type_)).to_pylist()
        for side, (values, type_) in enumerate(((one, left), (other, right)))
    ]
    return [[a is not None and a == b for b in keys[1]] for a in keys[0]]


@pytest.mark.parametrize(
    ("on", "names"),
    [
        ("id", [("id", "id")]),
        (("a", "b"), [("a", "b")]),
        (["a", "b"], [("a", "a"), ("b", "b")]),
        ([("a", "b"), "c", ["d", "e"]], [("a", "b"), ("c", "c"), ("d", "e")]),
    ],
)
def test_on_is_a_name_a_pair_or_a_list(on: Any, names: list[tuple[str, str]]) -> None:
    """A tuple of two names is one pair; several columns of one name are a list."""
    assert key_names(on, "joining") == names


@pytest.mark.parametrize("on", [None, 3, [], (), ("a",), ("a", "b", "c"), ["a", "a"], [("a", 1)], {"a": "b"}])
def test_on_is_nothing_else(on: Any) -> None:
    """What is no key is refused, and the message says what is."""
    with pytest.raises(UsageError, match="a pair of columns"):
        key_names(on, "joining")


def test_missing_key_columns_are_named() -> None:
    """The side and the nearest name are told."""
    with pytest.raises(NotFoundError, match=r"right side.*'idd'.*'id'"):
        key_pairs(("id", "idd"), Schema.from_user({"id": pa.int64()}), Schema.from_user({"id": pa.int64()}), "joining")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.int64(), pa.string()), (pa.int64(), pa.float64()), (pa.int64(), pa.bool_()), (pa.string(), pa.binary()),
        (pa.date32(), pa.timestamp("us")), (pa.timestamp("us"), pa.timestamp("us", "UTC")), (pa.int64(), pa.duration("us")),
        (pa.int64(), ClassType(CATS)), (ClassType(CATS), ClassType(DOGS)), (ImageType(), VideoType()), (ImageType(), pa.string()),
        (JsonType(), JsonType()), (TensorType("float32", (2,)), TensorType("float32", (2,))), (pa.list_(pa.int8()), pa.list_(pa.int8())),
        (pa.decimal128(38, 0), pa.decimal256(76, 76)), (pa.decimal128(5, 2), pa.int64()), (pa.uuid(), pa.binary(16)),
    ],
)  # fmt: skip
def test_columns_of_two_sorts_are_refused(left: Any, right: Any) -> None:
    """Both types are named, and class sets that differ are told. [JOIN-6]"""
    one, other = (Schema.from_user({"k": type_}).columns[0].type for type_ in (left, right))
    with pytest.raises(SchemaError) as caught:
        pair(left, right)
    assert str(one) in str(caught.value)
    assert str(other) in str(caught.value)
    assert ("class sets" in str(caught.value)) == (isinstance(left, ClassType) and isinstance(right, ClassType))


def test_times_compare_across_units_and_zones() -> None:
    """A time is equal to the same moment in another unit or zone; one that the finer unit cannot count equals nothing. [JOIN-7]"""
    moment = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    late = datetime.datetime(2020, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    assert meets(pa.timestamp("ms", "UTC"), [moment], pa.timestamp("us", "Asia/Tokyo"), [late]) == [[True]]
    far = np.datetime64("9000-01-01", "ms").astype(np.int64)
    assert meets(pa.timestamp("ms"), [int(far), 5], pa.timestamp("ns"), [5_000_000, 0]) == [
        [False, False],
        [True, False],
    ]
    assert meets(pa.time32("ms"), [1], pa.time64("us"), [1000]) == [[True]]


def test_decimals_compare_across_scales() -> None:
    """1.5 is 1.50 in columns of other precision and scale, up to 76 digits. [JOIN-7]"""
    one, other = decimal.Decimal("1.5"), decimal.Decimal("1.50000000000")
    assert meets(pa.decimal128(3, 1), [one], pa.decimal128(38, 11), [other]) == [[True]]
    assert meets(pa.decimal128(38, 1), [one, -one], pa.decimal256(50, 20), [one]) == [[True], [False]]


def test_numbers_beyond_a_type_equal_none_of_it() -> None:
    """2^63 equals no signed integer, and -1 no unsigned one. [JOIN-7]"""
    assert meets(pa.uint64(), [2**63, 2**64 - 1, 7], pa.int64(), [-(2**63), -1, 7]) == [
        [False] * 3,
        [False] * 3,
        [False, False, True],
    ]


def test_media_compare_by_the_digest_of_what_they_hold() -> None:
    """The digest of decoded bytes wins over that of stored ones; references that were never read have none."""
    digests = [bytes([n]) * 32 for n in range(3)]
    sums = checksums(digests).to_pylist()
    cells = build_cells(
        "image", 5, valid=[True, True, True, False, True], uri="x",
        checksum=[sums[0], sums[1], "ETAG:abc", sums[0], sums[0]], digest=[None, f"sha256:{digests[2].hex()}", None, None, None],
    )  # fmt: skip
    found = pair(ImageType(), ImageType()).normalise(0, cells).to_pylist()
    assert found == [digests[0].hex().encode(), digests[2].hex().encode(), None, None, digests[0].hex().encode()]

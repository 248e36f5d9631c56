"""Keys of a join: which columns compare, and their values in one form on both sides (spec/joined.md, "Keys").

Values compare as what they are: 1 is 1 in any width of integer, and never "1", 1.0 or true. Null, NaN and media of unknown
content match nothing; here all of them are null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.errors import NotFoundError, SchemaError, UsageError, message
from tableformat.format.media.prepared import CHECKSUM_PREFIX
from tableformat.format.schema import Schema
from tableformat.format.types import ClassType, Field, MediaType, ScalarType, UuidType
from tableformat.format.types.nearest import nearest

__all__ = ["KeyPair", "key_names", "key_pairs"]

Normalise = Callable[[pa.Array], pa.Array]
"""From a column in storage types to the form in which both sides compare: int64, or binary."""

_UNIT_NANOS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_MS: Final = 86_400_000
_HEX: Final = 64
_MAX_PRECISION: Final = 76


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One column of each side whose values must be equal."""

    left: str
    right: str
    is_word: bool
    """Whether the common form is int64, in which equal numbers are equal keys; else it is binary."""
    is_ordered: bool
    """Whether the common form has the order of the values of the column."""
    normalise_left: Normalise
    normalise_right: Normalise

    def column(self, side: int) -> str:
        """The name on side 0 or 1."""
        return self.right if side else self.left

    def is_plain(self, side: int) -> bool:
        """Whether the common form of side 0 or 1 is the column as it stands, which is int64 then."""
        return (self.normalise_right if side else self.normalise_left) is _as_it_is

    def normalise(self, side: int, array: pa.Array) -> pa.Array:
        """The values of side 0 or 1 in the common form; null where they match nothing."""
        return (self.normalise_right if side else self.normalise_left)(array)


def key_pairs(on: Any, left: Schema, right: Schema, doing: str) -> tuple[KeyPair, ...]:
    """The pairs of columns that `on` names: a name, a list of names and of pairs of names.

    A tuple of two texts is one pair, (left, right); several columns of one name on both sides are a list. Raises
    `NotFoundError` with the nearest name, `SchemaError` naming both types where they do not compare, and `UsageError` for
    anything else.
    """
    return tuple(
        _pair(_column(left, one, "left", doing), _column(right, other, "right", doing), doing)
        for one, other in key_names(on, doing)
    )


def _column(schema: Schema, name: str, side: str, doing: str) -> Field:
    if name not in schema:
        raise NotFoundError(
            message(
                doing,
                expected=f"a key column of the {side} side",
                got=repr(name)[:200],
                todo=nearest(name, schema.names),
            )
        )
    return schema[name]


def key_names(on: Any, doing: str) -> list[tuple[str, str]]:
    """The pairs of names that `on` stands for; raises `UsageError` for anything else."""
    wanted = "a column, a pair of columns (left, right), or a list of these"
    items: Sequence[Any] = [on] if isinstance(on, (str, tuple)) else on if isinstance(on, list) else ()
    names = []
    for item in items:
        if isinstance(item, str):
            names.append((item, item))
        elif isinstance(item, (tuple, list)) and len(item) == 2 and all(isinstance(name, str) for name in item):
            names.append((item[0], item[1]))
        else:
            raise UsageError(message(doing, expected=wanted, got=f"on={on!r}"[:200]))
    if not names or len(set(names)) != len(names):
        raise UsageError(message(doing, expected=wanted, got=f"on={on!r}"[:200]))
    return names


def _pair(left: Field, right: Field, doing: str) -> KeyPair:
    found = _common(left, right)
    if found is None:
        raise SchemaError(
            message(doing, expected="keys of types that compare",
                    got=f"{left.name!r} of type {left.type} on the left, {right.name!r} of type {right.type} on the right",
                    todo=_advice(left, right))
        )  # fmt: skip
    is_word, is_ordered, one, other = found
    return KeyPair(left.name, right.name, is_word, is_ordered, one, other)


def _advice(left: Field, right: Field) -> str:
    if isinstance(left.type, ClassType) and isinstance(right.type, ClassType):
        return f"their class sets differ: {left.type.classes[:19]}… and {right.type.classes[:19]}…"
    return "choose columns of one sort: integers, floats, text, bytes, times, decimals, bools, UUIDs, class ids or media of one kind"


def _common(left: Field, right: Field) -> tuple[bool, bool, Normalise, Normalise] | None:
    """(is_word, is_ordered, normalise left, normalise right), or None where the types do not compare."""
    one, other = left.type, right.type
    if isinstance(one, MediaType) and isinstance(other, MediaType):
        return (False, False, _digests, _digests) if one.media == other.media else None
    if isinstance(one, UuidType) and isinstance(other, UuidType):
        return False, True, _bytes, _bytes
    if isinstance(one, ClassType) and isinstance(other, ClassType):
        return _integers(one.storage(), other.storage()) if one.classes == other.classes else None
    if isinstance(one, ScalarType) and isinstance(other, ScalarType):
        return _scalars(one.data_type, other.data_type)
    return None


def _scalars(one: pa.DataType, other: pa.DataType) -> tuple[bool, bool, Normalise, Normalise] | None:
    types = pa.types
    if types.is_integer(one) and types.is_integer(other):
        return _integers(one, other)
    if types.is_floating(one) and types.is_floating(other):
        return True, False, _floats, _floats
    if types.is_boolean(one) and types.is_boolean(other):
        return True, True, _bools, _bools
    if types.is_string(one) and types.is_string(other):
        return False, True, _bytes, _bytes
    if _is_bytes(one) and _is_bytes(other):
        return False, True, _bytes, _bytes
    if types.is_date(one) and types.is_date(other):
        same = one == other
        return True, True, _dates(one, scaled=not same), _dates(other, scaled=not same)
    if types.is_timestamp(one) and types.is_timestamp(other):
        return _times(one, other) if (one.tz is None) == (other.tz is None) else None
    if (types.is_time(one) and types.is_time(other)) or (types.is_duration(one) and types.is_duration(other)):
        return _times(one, other)
    if types.is_decimal(one) and types.is_decimal(other):
        return _decimals(one, other)
    return None


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_))


# -- the common forms


def _integers(one: pa.DataType, other: pa.DataType) -> tuple[bool, bool, Normalise, Normalise]:
    wide = [type_ == pa.uint64() for type_ in (one, other)]
    if all(wide):
        return True, False, _uint64_bits, _uint64_bits
    one_form, other_form = (_of_integer(type_) for type_ in (one, other))
    return True, not any(wide), one_form, other_form


def _of_integer(type_: pa.DataType) -> Normalise:
    if type_ == pa.uint64():
        return _uint64_below
    return _as_it_is if type_ == pa.int64() else _int64


def _int64(array: pa.Array) -> pa.Array:
    return array.cast(pa.int64())


def _as_it_is(array: pa.Array) -> pa.Array:
    return array


def _uint64_bits(array: pa.Array) -> pa.Array:
    return array.view(pa.int64())


def _uint64_below(array: pa.Array) -> pa.Array:
    """Numbers from 2^63 on equal none of a signed type."""
    fits = pc.less(array, pa.scalar(2**63, pa.uint64()))
    return pc.if_else(fits, array, pa.nulls(1, pa.uint64())[0]).cast(pa.int64())


def _floats(array: pa.Array) -> pa.Array:
    """The bits of the doubles: -0.0 is 0.0, and NaN equals nothing."""
    numbers = array.cast(pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), pa.nulls(1, pa.float64())[0], numbers)
    return pc.add(numbers, pa.scalar(0.0)).view(pa.int64())


def _bools(array: pa.Array) -> pa.Array:
    return array.cast(pa.int64())


def _bytes(array: pa.Array) -> pa.Array:
    return array if array.type == pa.binary() else array.cast(pa.binary())


def _dates(type_: pa.DataType, *, scaled: bool) -> Normalise:
    if pa.types.is_date64(type_):
        return lambda array: array.view(pa.int64())
    if not scaled:
        return lambda array: array.view(pa.int32()).cast(pa.int64())
    return lambda array: pc.multiply(array.view(pa.int32()).cast(pa.int64()), pa.scalar(_DAY_MS, pa.int64()))


def _times(one: pa.DataType, other: pa.DataType) -> tuple[bool, bool, Normalise, Normalise]:
    finest = min(_UNIT_NANOS[one.unit], _UNIT_NANOS[other.unit])
    factors = [_UNIT_NANOS[type_.unit] // finest for type_ in (one, other)]
    return True, factors == [1, 1], _scaled(factors[0]), _scaled(factors[1])


def _scaled(factor: int) -> Normalise:
    """Counts of a unit in one that is finer; those that it cannot count equal none of its own."""
    most = np.iinfo(np.int64).max // factor

    def normalise(array: pa.Array) -> pa.Array:
        counts = array.view(pa.int32()).cast(pa.int64()) if array.type.bit_width == 32 else array.view(pa.int64())
        if factor == 1:
            return counts
        fits = pc.and_(pc.greater_equal(counts, -most), pc.less_equal(counts, most))
        counts = pc.if_else(fits, counts, pa.nulls(1, pa.int64())[0])
        return pc.multiply(counts, pa.scalar(factor, pa.int64()))

    return normalise


def _decimals(one: pa.DataType, other: pa.DataType) -> tuple[bool, bool, Normalise, Normalise] | None:
    scale = max(one.scale, other.scale)
    precision = max(one.precision - one.scale, other.precision - other.scale) + scale
    if precision > _MAX_PRECISION:
        return None
    target = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)

    def normalise(array: pa.Array) -> pa.Array:
        same = array.cast(target)
        width = target.bit_width // 8
        fixed = pa.Array.from_buffers(pa.binary(width), len(same), same.buffers(), offset=same.offset)
        return fixed.cast(pa.binary())

    return False, False, normalise, normalise


def _digests(array: pa.StructArray) -> pa.Array:
    """The SHA-256 of what media hold, as hex digits: of the decoded bytes where they are stored encoded."""
    valid = array.is_valid()
    stored = pc.struct_field(array, ["file", "checksum"])
    is_sha = pc.starts_with(stored, CHECKSUM_PREFIX)
    stored = pc.if_else(is_sha, stored, pa.nulls(1, pa.string())[0])
    decoded = pc.struct_field(array, ["digest"])
    text = pc.coalesce(decoded, stored)
    text = pc.if_else(valid, text, pa.nulls(1, pa.string())[0])
    if not len(text):
        return pa.array([], pa.binary())
    # Whatever stands before the digits, `SHA-256:` or `sha256:`, the digits are the digest.
    return pc.ascii_lower(pc.utf8_slice_codeunits(text, start=-_HEX, stop=None)).cast(pa.binary())

"""Which rows of two columns are equal, as the value digest sees it: floats by their bits, media by what they show.

Arrow compares plain values only; here structs, lists and maps are compared at any depth, without a Python object a value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tableformat.format.sizes import struct_children
from tableformat.format.types.arrays import list_parts
from tableformat.format.value_digest import identity_of

__all__ = ["equal_rows"]

Flags = npt.NDArray[np.bool_]


def equal_rows(one: pa.Array, other: pa.Array) -> Flags:
    """For each row, whether both arrays, of one storage type and length, hold the same value there."""
    identity = identity_of(one.type)
    if identity is not None:
        one, other = identity.convert(one), identity.convert(other)
    return _equal(one, other)


def _equal(one: pa.Array, other: pa.Array) -> Flags:
    if not len(one):
        return np.ones(0, np.bool_)
    here, there = np.asarray(one.is_valid()), np.asarray(other.is_valid())
    both = here & there
    equal: Flags = here == there
    if both.all():
        return _equal_values(one, other)
    rows = pa.array(np.flatnonzero(both))
    if len(rows):
        equal[both] = _equal_values(one.take(rows), other.take(rows))
    return equal


def _equal_values(one: pa.Array, other: pa.Array) -> Flags:
    """The same for arrays without nulls at this level."""
    type_ = one.type
    if pa.types.is_struct(type_):
        equal = np.ones(len(one), np.bool_)
        for left, right in zip(struct_children(one), struct_children(other), strict=True):
            equal &= _equal(left, right)
        return equal
    if pa.types.is_map(type_) or pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        return _equal_lists(one, other)
    if pa.types.is_floating(type_):
        bits = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[type_.bit_width]
        one, other = one.view(bits), other.view(bits)
    return np.asarray(pc.equal(one, other))


def _equal_lists(one: pa.Array, other: pa.Array) -> Flags:
    """Lists are equal where their lengths are, and all of their items: those are compared side by side."""
    lengths, others = list_parts(one)[0], list_parts(other)[0]
    equal: Flags = lengths == others
    if not equal.all():
        rows = pa.array(np.flatnonzero(equal))
        if len(rows):
            equal[equal] = _equal_lists(one.take(rows), other.take(rows))
        return equal
    items = _equal(list_parts(one)[1], list_parts(other)[1])
    if not items.all():
        owners = np.repeat(np.arange(len(lengths)), lengths)
        equal[owners[~items]] = False
    return equal

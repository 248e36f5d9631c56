"""Storage types as an engine of SQL keeps them without loss: an array goes there and comes back the same.

Numbers travel in their bits, times and dates as whole numbers, whatever DuckDB has a type of its own for, or has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Transport"]


@dataclass(frozen=True, slots=True)
class Transport:
    """One storage type, and the type in which its values travel."""

    storage: pa.DataType
    carried: pa.DataType
    inner: tuple[Transport, ...] = ()

    @classmethod
    def of(cls, type_: pa.DataType) -> Transport:
        """How values of a storage type travel."""
        types = pa.types
        if types.is_struct(type_):
            inner = tuple(cls.of(field.type) for field in type_)
            if not inner:
                return cls(type_, pa.bool_())
            # Fields travel without names, which an engine might take for one where they differ by case.
            return cls(type_, pa.struct([(f"f{place}", one.carried) for place, one in enumerate(inner)]), inner)
        if types.is_map(type_):
            entries = pa.struct([pa.field("key", type_.key_type), pa.field("value", type_.item_type)])
            below = cls.of(entries)
            return cls(type_, pa.list_(below.carried), (below,))
        if types.is_fixed_size_list(type_) or types.is_list(type_):
            below = cls.of(type_.value_type)
            return cls(type_, pa.list_(below.carried), (below,))
        if types.is_decimal(type_) or types.is_fixed_size_binary(type_):
            return cls(type_, pa.binary())
        if types.is_string(type_) or types.is_binary(type_) or types.is_boolean(type_):
            return cls(type_, type_)
        return cls(type_, {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[type_.bit_width])

    def send(self, array: pa.Array) -> pa.Array:
        """The array in the type that travels."""
        if array.type == self.carried and not self.inner:
            return array
        types, type_ = pa.types, self.storage
        valid = array.is_valid() if array.null_count else None
        mask = None if valid is None else _inverted(valid)
        if types.is_struct(type_):
            if not self.inner:
                return (
                    array.is_valid()
                    if mask is None
                    else pa.array([None if is_null else True for is_null in mask.to_pylist()], pa.bool_())
                )
            fields = [one.send(array.field(place)) for place, one in enumerate(self.inner)]
            return pa.StructArray.from_arrays(fields, fields=list(self.carried), mask=mask)
        if types.is_map(type_):
            entries = pa.StructArray.from_arrays([array.keys, array.items], fields=list(self._entries()))
            return pa.ListArray.from_arrays(_offsets(array), self.inner[0].send(entries), type=self.carried, mask=mask)
        if types.is_fixed_size_list(type_):
            plain = array.cast(pa.list_(type_.value_type))
            return pa.ListArray.from_arrays(
                _offsets(plain), self.inner[0].send(plain.values), type=self.carried, mask=mask
            )
        if types.is_list(type_):
            return pa.ListArray.from_arrays(
                _offsets(array), self.inner[0].send(array.values), type=self.carried, mask=mask
            )
        if types.is_decimal(type_):
            fixed = pa.Array.from_buffers(
                pa.binary(type_.bit_width // 8), len(array), array.buffers(), offset=array.offset
            )
            return fixed.cast(pa.binary())
        if types.is_fixed_size_binary(type_):
            return array.cast(pa.binary())
        return array.view(self.carried)

    def receive(self, array: pa.Array) -> pa.Array:
        """The array in the storage type again; `array` has the type that travels, or one of its large variants."""
        types, type_ = pa.types, self.storage
        mask = _inverted(array.is_valid()) if array.null_count else None
        if types.is_struct(type_):
            if not self.inner:
                made = pa.StructArray.from_buffers(type_, len(array), [None])
                return (
                    made if mask is None else pa.array([None if is_null else {} for is_null in mask.to_pylist()], type_)
                )
            fields = [one.receive(array.field(place)) for place, one in enumerate(self.inner)]
            return pa.StructArray.from_arrays(fields, fields=list(type_), mask=mask)
        if types.is_map(type_) or types.is_list(type_) or types.is_fixed_size_list(type_):
            return self._receive_list(_as_list(array), mask)
        if types.is_decimal(type_) or types.is_fixed_size_binary(type_):
            width = type_.bit_width // 8
            fixed = array.cast(pa.binary()).cast(pa.binary(width))
            return pa.Array.from_buffers(type_, len(fixed), fixed.buffers(), offset=fixed.offset)
        plain = array if array.type == self.carried else array.cast(self.carried)
        return plain if plain.type == type_ else plain.view(type_)

    def _receive_list(self, array: pa.ListArray, mask: pa.Array | None) -> pa.Array:
        types, type_ = pa.types, self.storage
        if types.is_fixed_size_list(type_):
            size = type_.list_size
            if mask is not None:  # a null list has no values there, and `size` of them here
                array = array.fill_null([None] * size) if len(array) else array
            values = self.inner[0].receive(array.flatten())
            return pa.FixedSizeListArray.from_arrays(values, type=type_, mask=mask)
        inner = self.inner[0].receive(array.values)
        if types.is_map(type_):
            return pa.MapArray.from_arrays(_offsets(array), inner.field(0), inner.field(1), type=type_, mask=mask)
        return pa.ListArray.from_arrays(_offsets(array), inner, type=type_, mask=mask)

    def _entries(self) -> pa.StructType:
        return self.inner[0].storage


def _offsets(array: pa.Array) -> pa.Array:
    """The offsets of a list or map array, as an array that starts at 0 in its buffer."""
    offsets = array.offsets
    return pa.concat_arrays([offsets]) if offsets.offset else offsets


def _inverted(valid: pa.Array) -> pa.Array:
    return pc.invert(valid)


def _as_list(array: pa.Array) -> pa.ListArray:
    return array.cast(pa.list_(array.type.value_type)) if pa.types.is_large_list(array.type) else array

"""Thrift's compact protocol, as far as the headers of Parquet pages and its footers need it: read by steps, nothing is built."""

from __future__ import annotations

from typing import Final

__all__ = ["MALFORMED_THRIFT", "list_head", "read_bytes", "read_field", "read_number", "read_varint", "skip"]

MALFORMED_THRIFT: Final = (IndexError, ValueError, RecursionError, OverflowError, AssertionError)
"""What bytes that are no Thrift, or end too soon, make of the functions here."""
_MAX_DEPTH: Final = 32


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number, and where it ends."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """A signed number, and where it ends."""
    raw, at = read_varint(data, at)
    return (raw >> 1) ^ -(raw & 1), at


def read_field(data: bytes, at: int, number: int) -> tuple[int, int, int]:
    """The number and type of the field that begins at `at`, behind that with `number`, and where its value does."""
    head = data[at]
    if head >> 4:
        return number + (head >> 4), head & 15, at + 1
    number, after = read_number(data, at + 1)
    return number, head & 15, after


def read_bytes(data: bytes, at: int) -> tuple[int, int]:
    """How long a binary value is, and where it ends."""
    size, at = read_varint(data, at)
    if at + size > len(data):
        raise IndexError("the end inside of a value")
    return size, at + size


def list_head(data: bytes, at: int, kind: int | None) -> tuple[int, int, int]:
    """How many items a list has, of which type (`kind` where that is given), and where the first begins."""
    head = data[at]
    size, at = (head >> 4, at + 1) if head < 0xF0 else read_varint(data, at + 1)
    if kind is not None and size and head & 15 != kind:
        raise ValueError(f"a list of the type {head & 15}, where {kind} is expected")
    if size > len(data) - at:  # an item has a byte at least
        raise IndexError("the end inside of a list")
    return size, head & 15, at


def skip(data: bytes, at: int, kind: int, depth: int = 0) -> int:
    """Where a value ends that begins at `at`."""
    if kind in (5, 6, 4):
        while data[at] > 0x7F:
            at += 1
        return at + 1
    if kind == 8:
        return read_bytes(data, at)[1]
    if kind in (1, 2):
        return at
    if kind == 12:
        return _skip_struct(data, at, depth)
    if kind in (9, 10):
        size, item, at = list_head(data, at, None)
        for _ in range(size):
            at = at + 1 if item in (1, 2) else skip(data, at, item, depth + 1)
        return at
    if kind in (3, 7):
        at += 1 if kind == 3 else 8
        if at > len(data):
            raise IndexError("the end inside of a value")
        return at
    raise ValueError(f"a value of the unknown type {kind}")


def _skip_struct(data: bytes, at: int, depth: int) -> int:
    if depth > _MAX_DEPTH:
        raise ValueError("structs inside of structs without an end")
    while head := data[at]:
        at += 1
        if head < 0x10:  # the number of the field stands by itself
            at = skip(data, at, 6)
        at = skip(data, at, head & 15, depth + 1)
    return at + 1

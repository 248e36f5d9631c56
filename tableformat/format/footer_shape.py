"""Footers alike: what was proven of one is proven of all that differ from it in numbers and bounds alone.

The parts of a table have footers of one form: the same schema, encodings and fields, other numbers. To walk each of thousands
takes longer than to open them. So after a few a pattern is made of one that passed: its bytes as they stand, but for each number any
number, and for the least and greatest values any of their length. Thrift's compact protocol says of each byte what it is by those
before it, so that a footer that the pattern matches is walked in the same steps, and passes.
"""

from __future__ import annotations

import re
from typing import Final

from tableformat.format.thrift import list_head, read_bytes, read_field, read_varint

__all__ = ["shape_of"]

_NUMBER: Final = rb"[\x80-\xff]{0,8}+[\x00-\x7f]"
_STOP: Final = rb"\x00"
_ROW_GROUPS, _CHUNKS, _DESCRIPTION, _STATISTICS, _NUM_ROWS = 4, 1, 3, 12, 3
_INT32, _BINARY, _LIST, _STRUCT = 5, 8, 9, 12


def shape_of(data: bytes) -> re.Pattern[bytes] | None:
    """The pattern of footers like `data`, one of one row group that `check_footer` let pass; None for others."""
    pieces: list[bytes] = []
    at, number, groups = 0, 0, 0
    while data[at]:
        start = at
        number, kind, at = read_field(data, at, number)
        pieces.append(re.escape(data[start:at]))
        if number == _ROW_GROUPS and kind == _LIST:
            groups, _, after = list_head(data, at, _STRUCT)
            if groups != 1:
                return None
            pieces.append(re.escape(data[at:after]))
            at = _struct(data, after, pieces, (_ROW_GROUPS,))
        elif number == _NUM_ROWS and kind in (4, 5, 6):
            at = _value(data, at, kind, pieces, (_NUM_ROWS,))
        else:  # the schema and what names the writer: as they stand
            end = _value(data, at, kind, [], (0,))
            pieces.append(re.escape(data[at:end]))
            at = end
    pieces.append(_STOP + rb".{4}PAR1")
    return re.compile(b"".join(pieces), re.DOTALL) if groups else None


def _struct(data: bytes, at: int, pieces: list[bytes], path: tuple[int, ...]) -> int:
    number = 0
    while data[at]:
        start = at
        number, kind, at = read_field(data, at, number)
        pieces.append(re.escape(data[start:at]))
        at = _value(data, at, kind, pieces, (*path, number))
    pieces.append(_STOP)
    return at + 1


def _value(data: bytes, at: int, kind: int, pieces: list[bytes], path: tuple[int, ...]) -> int:
    """Where a value ends; what matches others in its place is appended to `pieces`."""
    start = at
    if kind in (4, 5, 6):
        at = read_varint(data, at)[1]
        # The type of a chunk was compared with its column's: that stays as it is.
        is_type = path == (_ROW_GROUPS, _CHUNKS, _DESCRIPTION, 1)
        pieces.append(re.escape(data[start:at]) if is_type else _NUMBER)
    elif kind == _BINARY:
        size, at = read_bytes(data, at)
        head = re.escape(data[start : at - size])
        is_bound = path[:-1] == (_ROW_GROUPS, _CHUNKS, _DESCRIPTION, _STATISTICS)
        pieces.append(head + b".{%d}" % size if is_bound else re.escape(data[start:at]))
    elif kind == _STRUCT:
        at = _struct(data, at, pieces, path)
    elif kind in (_LIST, 10):
        size, item, at = list_head(data, at, None)
        pieces.append(re.escape(data[start:at]))
        for _ in range(size):
            if item in (1, 2):
                pieces.append(re.escape(data[at : at + 1]))
                at += 1
            else:
                at = _value(data, at, item, pieces, path)
    elif kind in (3, 7):
        at += 1 if kind == 3 else 8
        pieces.append(re.escape(data[start:at]))
    elif kind not in (1, 2):
        raise ValueError(f"a value of the unknown type {kind}")
    return at

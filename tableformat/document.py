"""JSON documents: one canonical form on disk, and a reader that does not trust what it is given.

Canonical means: UTF-8 that is all ASCII, keys sorted by code point, no white space, integers only and below 2^53 in
size, no NaN, so that equal documents are equal bytes and have one SHA-256 (spec/manifest.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from tableformat.digest import Bytes
from tableformat.errors import FormatError, LimitError, message

__all__ = [
    "MAX_DEPTH",
    "MAX_DOCUMENT_BYTES",
    "Json",
    "JsonObject",
    "check_limits",
    "decode_document",
    "encode_document",
    "encode_known",
    "encode_with",
]

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]
"""A value of a canonical document. Other numbers stand in strings."""
JsonObject = dict[str, Any]
"""A decoded document; its fields are checked by the reader of each kind of document."""

MAX_DOCUMENT_BYTES: Final = 64 << 20
"""Longest document that is parsed. A root above a few megabytes has leaves instead, so this is far above any honest one."""
MAX_DEPTH: Final = 64
"""Deepest nesting that is parsed: a schema of 20 levels needs about 45. Python's own parser fails near 1,000 frames."""
_MAX_INTEGER: Final = 2**53 - 1
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_SHORT: Final = 1 << 18


def encode_document(value: Json | JsonObject) -> bytes:
    """The canonical bytes of `value`. Raises `FormatError` for floats, integers past 2^53 and keys that are not ASCII text."""
    if not _is_canonical(value, MAX_DEPTH):
        _check_value(value, "$", 0)
    return encode_known(value)


def encode_known(value: Json | JsonObject) -> bytes:
    """`encode_document` of what came from `decode_document`, or was encoded before: not looked through again."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def encode_with(document: JsonObject, name: str, text: bytes) -> bytes:
    """`encode_document` of `document`, of whose field `name` the value is known to have the canonical bytes `text`."""
    before = {other: value for other, value in document.items() if other < name}
    after = {other: value for other, value in document.items() if other > name}
    pieces = (encode_document(before)[1:-1], encode_known(name) + b":" + text, encode_document(after)[1:-1])
    return b"{" + b",".join(filter(None, pieces)) + b"}"


def check_limits(raw: bytes, path: str) -> None:
    """Raise `LimitError` where no reader parses `raw`: above `MAX_DOCUMENT_BYTES`, or nested past `MAX_DEPTH`."""
    doing = "reading a JSON document"
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise LimitError(
            message(doing, path=path, expected=f"at most {MAX_DOCUMENT_BYTES} bytes", got=f"{len(raw)} bytes")
        )
    if _depth(raw) > MAX_DEPTH:
        raise LimitError(message(doing, path=path, expected=f"nesting of at most {MAX_DEPTH}", got="deeper nesting"))


def decode_document(data: Bytes, path: str, *, canonical: bool = False) -> JsonObject:
    """The JSON object in `data`, which came from `path` (named in errors only).

    Refused with `FormatError`: text that is not UTF-8 or not an object, duplicate keys, NaN, floats, integers past 2^53,
    lone surrogates; and, with `canonical`, any text but the canonical one. Refused with `LimitError` before anything is
    built: more than `MAX_DOCUMENT_BYTES`, or nesting past `MAX_DEPTH`.
    """
    doing = "reading a JSON document"
    raw = bytes(data)
    check_limits(raw, path)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_bounded_integer,
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(message(doing, path=path, expected="a JSON object", got=str(error)[:200])) from error
    if not isinstance(value, dict):
        raise FormatError(message(doing, path=path, expected="a JSON object", got=type(value).__name__))
    try:
        if not raw.isascii() or b"\\u" in raw:  # else numbers and nesting were looked at, and there is no other text
            _check_value(value, "$", 0)
    except FormatError as error:
        raise FormatError(message(doing, path=path, got=str(error))) from error
    if canonical and encode_known(value) != raw:
        raise FormatError(
            message(doing, path=path, expected="the canonical form", got="another spelling of the same document")
        )
    return value


def _depth(raw: bytes) -> int:
    """The deepest nesting of brackets outside of strings, found without building anything."""
    depth = deepest = 0
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:  # the common case needs no walk
        return 0
    for byte in _brackets(raw):
        if byte in b"[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > MAX_DEPTH:
                    return deepest
        else:
            depth -= 1
    return deepest


def _brackets(raw: bytes) -> Iterable[int]:
    """The brackets outside of strings."""
    if len(raw) > _SHORT:
        return _walked(raw)
    # Many times as fast, and takes several times the memory of the text. Pairs of backslashes go first, so that one before a quote
    # escapes it. Outside of strings a backslash is no JSON: nothing behind it is parsed.
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(raw.split(b'"')[::2]).translate(None, _NO_BRACKETS)


def _walked(raw: bytes) -> Iterator[int]:
    inside = escaped = False
    for byte in raw:
        if inside:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                inside = False
        elif byte == 0x22:
            inside = True
        elif byte in b"[]{}":
            yield byte


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return value


def _refuse_number(text: str) -> Any:
    raise ValueError(f"the number {text} is not an integer; other numbers stand in strings")


def _bounded_integer(text: str) -> int:
    if len(text) > 17 or abs(value := int(text)) > _MAX_INTEGER:
        raise ValueError(f"the integer {text[:40]} is past 2^53")
    return value


def _is_canonical(value: object, depth: int) -> bool:
    """Whether a value, nested `depth` deep at most, is surely one of a canonical document; if not, `_check_value` tells why."""
    kind = type(value)
    if kind is str:
        return cast("str", value).isascii()
    if kind is int:
        return -_MAX_INTEGER <= cast("int", value) <= _MAX_INTEGER
    if value is None or kind is bool:
        return True
    if depth <= 0:
        return False
    below: Iterable[object]
    if kind is dict:
        items = cast("dict[object, object]", value)
        if not all(type(key) is str and key.isascii() for key in items):
            return False
        below = items.values()
    elif kind is list:
        below = cast("list[object]", value)
    else:
        return False
    for item in below:  # noqa: SIM110 - twice as fast as all()
        if not _is_canonical(item, depth - 1):
            return False
    return True


def _check_value(value: object, place: str, depth: int) -> None:
    """Raise `FormatError` for what no canonical document holds, and where it stands."""
    if depth > MAX_DEPTH:
        raise LimitError(message("writing a JSON document", path=place, expected=f"nesting of at most {MAX_DEPTH}"))
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise FormatError(message("writing a JSON document", path=place, got="a lone surrogate")) from error
    elif isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise FormatError(
                message("writing a JSON document", path=place, expected="an integer below 2^53", got=value)
            )
    elif isinstance(value, list | tuple):
        for index, item in enumerate(cast("list[object]", value)):
            _check_value(item, f"{place}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in cast("dict[object, object]", value).items():
            if not isinstance(key, str) or not key.isascii():
                raise FormatError(
                    message("writing a JSON document", path=place, expected="ASCII text as a key", got=repr(key))
                )
            _check_value(item, f"{place}.{key}", depth + 1)
    else:
        raise FormatError(
            message(
                "writing a JSON document",
                path=place,
                expected="null, bool, integer, string, list or object",
                got=type(value).__name__,
            )
        )

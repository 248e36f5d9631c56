"""Python values as JSON text, and back: only what comes back as it was."""

from __future__ import annotations

import json
import math
from typing import Any

from tableformat.format.types import Where

__all__ = ["decode_json", "encode_json"]

_MAX_DEPTH = 200


def encode_json(value: Any, where: Where, index: int) -> str:
    """The JSON text of `value`, keys in their order. Raises `SchemaError` for what JSON would change or does not have.

    Refused: NaN and infinities, keys that are no text, and any class beside None, bool, int, float, str, list, tuple and
    dict; numpy's numbers count as Python's. A text with lone surrogates is kept, as `\\u` escapes.
    """
    text = json.dumps(_checked(value, where, index, 0), ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(json.loads(text), ensure_ascii=True, separators=(",", ":"))
    return text


def decode_json(text: str | None) -> Any:
    """The value of a JSON text; None for null."""
    return None if text is None else json.loads(text)


def _checked(value: Any, where: Where, index: int, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        if not math.isfinite(value):
            where.fail(
                index, expected="JSON", got=repr(value), todo="JSON has no NaN and no infinity: store null or text"
            )
        return value
    if depth > _MAX_DEPTH:
        where.fail(index, expected=f"at most {_MAX_DEPTH} levels of JSON", got="more")
    if isinstance(value, list | tuple):
        return [_checked(item, where, index, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                where.fail(
                    index,
                    expected="JSON",
                    got=f"the key {key!r} ({type(key).__name__})",
                    todo="JSON has text as keys only",
                )
        return {key: _checked(item, where, index, depth + 1) for key, item in value.items()}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _checked(value.item(), where, index, depth + 1)
    return where.fail(
        index,
        expected="JSON",
        got=f"{kind.__name__} ({value!r:.80})",
        todo="convert it to dicts, lists, texts and numbers",
    )

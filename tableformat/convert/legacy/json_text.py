"""Cells as the JSON text of a column of mixed values."""

from __future__ import annotations

import json
import math
from typing import Any, Final

__all__ = ["FLOAT_KEY", "MAX_LEVELS", "finite", "json_text", "levels_of"]

FLOAT_KEY: Final = "$float"
"""The key of an object that stands for a number which JSON does not have: `{"$float": "NaN"}`."""
MAX_LEVELS: Final = 100
"""Deepest nesting that is kept. Parsers fail near 1,000."""


def json_text(value: Any) -> str:
    """The JSON of a value, with NaN and infinities as objects (`FLOAT_KEY`). Raises `RecursionError` past `MAX_LEVELS`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"))
    if text.count("[") + text.count("{") > MAX_LEVELS and levels_of(value) > MAX_LEVELS:
        raise RecursionError("values nested too deeply")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # lone surrogates stand as escapes
            return json.dumps(json.loads(text), separators=(",", ":"))
    return text


def finite(value: Any) -> Any:
    """The value with objects in place of NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return {FLOAT_KEY: "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, list):
        return [finite(one) for one in value]
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return value


def levels_of(value: Any) -> int:
    """How deeply lists and dicts are nested, up to just past `MAX_LEVELS`."""
    level, layer = 0, [value]
    while layer and level <= MAX_LEVELS + 1:
        below: list[Any] = []
        for one in layer:
            if isinstance(one, dict):
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
        if not any(isinstance(one, list | dict) for one in layer):
            break
        level, layer = level + 1, below
    return level

"""How a table looks when it is printed: one screen of text, or HTML with thumbnails.

What is shown came from a store and is not trusted: text loses control characters, HTML is escaped throughout, and no
reference outside of the store is opened. Thumbnails are images of the store itself, small ones as they are, others made
smaller by Pillow where it is installed.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from tableformat.errors import TableformatError
from tableformat.format.media.base import Media
from tableformat.format.media.image import Image
from tableformat.format.schema import Schema
from tableformat.table.rows import Row, visible_columns
from tableformat.table.shown_text import CELL, clean, cut, escape, value_text
from tableformat.table.source import TableSource

__all__ = ["MAX_HTML_MEDIA_BYTES", "PREVIEW", "html_of_table", "text_of_table"]

PREVIEW: Final = 5
"""Rows shown."""
MAX_HTML_MEDIA_BYTES: Final = 2_000_000
"""Bytes of media that are read for one view in HTML."""
_COLUMNS: Final = 8
_WIDTH: Final = 110
_VERBATIM_BYTES: Final = 24 << 10
_THUMBNAIL: Final = 96
_MAX_PIXELS: Final = 50_000_000
_DATA_TYPES: Final = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
}
# What browsers show as still pictures. SVG is left out: it is a document that may hold others.


class Shown(Protocol):
    """What showing needs of a table."""

    @property
    def schema(self) -> Schema: ...
    @property
    def key(self) -> tuple[str, ...]: ...
    @property
    def source(self) -> TableSource: ...
    def rows(self) -> Iterator[Row]: ...


def text_of_table(table: Shown, preview: Shown, count: int | None) -> str:
    """The table in one screen: its name, size and columns, and its first rows. Errors of reading are told, not raised."""
    lines = [_title(table, count)]
    columns = visible_columns(table.schema)
    names = [clean(column.name) for column in columns]
    rows, fault = _rows(preview)
    if columns:
        lines.append(
            "columns: "
            + cut(
                ", ".join(f"{name}: {cut(str(column.type), 40)}" for name, column in zip(names, columns, strict=True)),
                3 * _WIDTH,
            )
        )
    if rows:
        lines += _grid(names, rows)
        if count is None or count > len(rows):
            lines.append("…")
    if fault:
        lines.append(f"(rows cannot be shown: {clean(fault)})")
    return "\n".join(lines)


def _title(table: Shown, count: int | None) -> str:
    size = "rows behind a filter" if count is None else f"{count:,} {'row' if count == 1 else 'rows'}"
    width = len(visible_columns(table.schema))
    key = f", key {', '.join(map(clean, table.key))}" if table.key else ""
    return f"<Table {clean(table.source.address)}: {size} × {width} {'column' if width == 1 else 'columns'}{key}>"


def _rows(preview: Shown) -> tuple[list[Row], str]:
    try:
        return list(preview.rows()), ""
    except (TableformatError, OSError) as error:
        return [], str(error)[:300]


def _grid(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Columns aligned, cut to the width of a screen; numbers to the right."""
    shown = min(len(names), _COLUMNS)
    table = [
        [cut(name, CELL) for name in names[:shown]],
        *([cut(value_text(value), CELL) for value in list(row.values())[:shown]] for row in rows),
    ]
    widths = [max(len(line[place]) for line in table) for place in range(shown)]
    while shown > 1 and sum(widths[:shown]) + 2 * shown > _WIDTH:
        shown -= 1
    right = [all(isinstance(list(row.values())[place], (int, float)) for row in rows) for place in range(shown)]
    more = "  …" if shown < len(names) else ""
    return [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=False)
        ).rstrip()
        + more
        for line in table
    ]


def html_of_table(table: Shown, preview: Shown, count: int | None) -> str:
    """The table as HTML: title, columns with their types, first rows, thumbnails of images. Reads up to 2 MB of media and
    opens no reference."""
    columns = visible_columns(table.schema)
    rows, fault = _rows(preview)
    head = "".join(
        f"<th>{escape(column.name)}<br><small>{escape(cut(str(column.type), 40))}</small></th>" for column in columns
    )
    budget = _Budget(MAX_HTML_MEDIA_BYTES)
    body = "".join(
        "<tr>" + "".join(f"<td>{_html_value(value, budget)}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    more = "<p>…</p>" if rows and (count is None or count > len(rows)) else ""
    note = f"<p>(rows cannot be shown: {escape(fault)})</p>" if fault else ""
    return f"<div><p>{escape(_title(table, count)[1:-1])}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}{note}</div>"


class _Budget:
    """Bytes of media that may still be read."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int | None) -> bool:
        if size is None or size > self.left:
            return False
        self.left -= size
        return True


def _html_value(value: Any, budget: _Budget) -> str:
    if isinstance(value, Image) and (source := _thumbnail(value, budget)) is not None:
        return (
            f'<img src="{source}" alt="{escape(value_text(value))}" style="max-width:{_THUMBNAIL}px;max-height:{_THUMBNAIL}px">'
            + (f"<br><small>{escape(cut(value.caption, 80))}</small>" if value.caption else "")
        )
    if isinstance(value, Media):
        return escape(value_text(value))
    return escape(cut(value_text(value), 80))


def _thumbnail(image: Image, budget: _Budget) -> str | None:
    """A data: URI of an image whose bytes are the store's own; None where it is to be told in words."""
    try:
        content_type = _DATA_TYPES.get(image.format or "")
        if content_type is None or image.reference is not None or not budget.take(image.size):
            return None
        data = image.bytes()
    except (TableformatError, OSError):
        return None
    if len(data) > _VERBATIM_BYTES:
        smaller = _smaller(data)
        if smaller is None:
            return None
        content_type, data = "image/png", smaller
    return f"data:{content_type};base64,{base64.b64encode(data).decode('ascii')}"


def _smaller(data: bytes) -> bytes | None:
    """A small PNG of the image; None without Pillow, and where it cannot or should not be decoded."""
    try:
        from PIL import Image as PillowImage
    except ImportError:
        return None
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PillowImage.open(io.BytesIO(data), formats=["PNG", "JPEG", "GIF", "WEBP", "BMP"]) as picture:
                if picture.width * picture.height > _MAX_PIXELS:
                    return None
                picture.draft("RGB", (_THUMBNAIL * 2, _THUMBNAIL * 2))
                picture.thumbnail((_THUMBNAIL * 2, _THUMBNAIL * 2))
                out = io.BytesIO()
                picture.convert("RGBA" if "A" in picture.getbands() or picture.mode == "P" else "RGB").save(out, "PNG")
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
        return None
    return out.getvalue()

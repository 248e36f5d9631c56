"""What encoded media is, by its header: one door over the formats, for one value and for whole Arrow arrays.

Checked are the magic bytes, the dimensions and that the end is there. Nothing is decoded, so neither a bomb nor a
damaged middle costs or tells anything here.
"""

from __future__ import annotations

import os
from struct import error as StructError  # noqa: N812 - a class, whatever its case
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import MediaError, message
from tableformat.format.media.formats import CONTENT_TYPES, EXTENSIONS, UNKNOWN_TYPE, format_of_name
from tableformat.format.media.header_document import html_header, molecule_header, object3d_header, plotly_header
from tableformat.format.media.header_image import HeaderFault, image_header
from tableformat.format.media.header_sound import sound_header
from tableformat.format.media.header_video import video_header
from tableformat.format.media.kinds import OUTER_FIELDS

__all__ = [
    "FileView",
    "Header",
    "HeaderColumns",
    "HeaderFault",
    "check_header",
    "check_headers",
    "describe",
    "image_header",
    "media_error",
]


class Header(NamedTuple):
    """What a header tells."""

    format: str | None
    """The word in the cell; None where nothing is known."""
    content_type: str
    """IANA media type."""
    ext: str
    """Extension in packs, without a dot."""
    fields: dict[str, Any]
    """The fields that the kind's cell adds, `format` among them."""


class FileView:
    """A large file that slices like bytes, so that headers are read without reading the file."""

    __slots__ = ("_fd", "_size")

    _TAIL: Final = 1 << 16

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        self._size = os.fstat(self._fd).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: slice | int) -> Any:
        if isinstance(place, int):
            start = place + self._size if place < 0 else place
            return self._read(start, start + 1)[0]
        start, stop, _ = place.indices(self._size)
        return self._read(start, stop)

    def find(self, word: bytes, start: int = 0, end: int | None = None) -> int:
        """Like `bytes.find`; reads the range in windows of a megabyte."""
        stop = self._size if end is None else min(end, self._size)
        step = 1 << 20
        for place in range(start, stop, step):
            hit = self._read(place, min(place + step + len(word) - 1, stop)).find(word)
            if hit >= 0:
                return place + hit
        return -1

    def rfind(self, word: bytes, start: int = 0, end: int | None = None) -> int:
        """Like `bytes.rfind`, in the last 64 KiB alone: what is looked for is the end of the media."""
        stop = self._size if end is None else min(end, self._size)
        first = max(start, stop - self._TAIL)
        hit = self._read(first, stop).rfind(word)
        return first + hit if hit >= 0 else -1

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)

    def _read(self, start: int, stop: int) -> bytes:
        if stop <= start:
            return b""
        os.lseek(self._fd, start, os.SEEK_SET)
        return os.read(self._fd, stop - start)


def describe(kind: str, data: Any, hint: str | None = None) -> Header:
    """The header of `data` as media of `kind`. `hint` is the format that a name suggests. Raises `HeaderFault`."""
    try:
        return _describe(kind, data, hint)
    except (StructError, IndexError, OverflowError, ValueError) as error:
        # A length inside the file led past its end.
        raise HeaderFault("a whole header", f"{len(data)} bytes, damaged or truncated") from error


def _describe(kind: str, data: Any, hint: str | None) -> Header:
    if kind == "image":
        format_, width, height = image_header(data)
        return Header(
            format_, CONTENT_TYPES[format_], EXTENSIONS[format_], {"width": width, "height": height, "format": format_}
        )
    if kind == "audio":
        return _header(sound_header(data)._asdict())
    if kind == "video":
        return _header(video_header(data)._asdict())
    if kind == "html":
        return _header({"format": html_header(data)})
    if kind == "object3d":
        return _header({"format": object3d_header(data, hint)})
    if kind == "molecule":
        return _header({"format": molecule_header(data, hint)})
    if kind == "plotly":
        return _header({"format": plotly_header(data)})
    ext = hint or None
    return Header(ext, format_of_name("file", f"x.{ext}")[1] if ext else UNKNOWN_TYPE, ext or "bin", {"format": ext})


def _header(fields: dict[str, Any]) -> Header:
    format_ = fields["format"]
    for name, value in fields.items():
        bound = 2**63 if name in {"frames", "duration_us"} else 2**31
        if isinstance(value, int) and not 0 <= value < bound:
            raise HeaderFault(f"{name} from 0 to below {bound}", str(value))
    content = "image/gif" if format_ == "gif" else CONTENT_TYPES[format_]
    return Header(format_, content, EXTENSIONS[format_], fields)


def check_header(kind: str, data: Any, *, hint: str | None = None, path: str | None = None) -> Header:
    """The header of `data` as media of `kind`. Raises `MediaError` that says what is wrong with it, naming `path`."""
    try:
        return describe(kind, data, hint)
    except HeaderFault as fault:
        raise media_error(kind, fault, path) from None


def media_error(kind: str, fault: HeaderFault, path: str | None = None) -> MediaError:
    """The exception that a user sees for a fault in a header."""
    article = "an" if kind[0] in "aeiou" else "a"
    return MediaError(message(f"reading {article} {kind}", path=path, expected=fault.expected, got=fault.got))


class HeaderColumns(NamedTuple):
    """The headers of a whole column: of its values that are not null, in order."""

    fields: dict[str, Any]
    """The fields that the kind's cell adds: name → list or numpy array."""
    content_types: list[str | None]
    """IANA media types."""
    exts: str | list[str]
    """Extensions in packs; one text where all are the same."""
    errors: dict[int, MediaError]
    """By position in the array that was given, what is wrong there; such values are null in the other columns."""


_PNG_HEAD: Final = np.frombuffer(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", np.uint8)
_PNG_TAIL: Final = np.frombuffer(b"\x00\x00\x00\x00IEND\xaeB`\x82", np.uint8)


def check_headers(kind: str, array: pa.Array, *, check: str = "header") -> HeaderColumns:
    """The headers of a binary (or large binary) array. A column of PNG images is checked by whole-array operations.

    With `check="none"` nothing is an error: what cannot be told is null.
    """
    sides = _png_sides(array) if kind == "image" else None
    if sides is not None:
        count = len(sides[0])
        fields = {"width": sides[0], "height": sides[1], "format": ["png"] * count}
        return HeaderColumns(fields, ["image/png"] * count, "png", {})
    headers: list[Header] = []
    errors: dict[int, MediaError] = {}
    nothing = Header(None, UNKNOWN_TYPE, "bin", {})
    for index, value in enumerate(array.to_pylist()):
        if value is None:
            continue
        try:
            headers.append(describe(kind, value))
        except HeaderFault as fault:
            headers.append(nothing)
            if check != "none":
                errors[index] = media_error(kind, fault)
    columns = {name: [header.fields.get(name) for header in headers] for name in OUTER_FIELDS[kind]}
    exts = [header.ext for header in headers]
    alike = len(set(exts)) == 1
    return HeaderColumns(columns, [header.content_type for header in headers], exts[0] if alike else exts, errors)


def _png_sides(array: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None:
    """Widths and heights of the values, where all are whole PNGs, else None."""
    large = pa.types.is_large_binary(array.type)
    if not large and not pa.types.is_binary(array.type):
        return None
    _, offset_buffer, data_buffer = array.buffers()
    count = len(array)
    if count == array.null_count or data_buffer is None:
        return None
    item = np.dtype(np.int64 if large else np.int32)
    offsets = np.frombuffer(offset_buffer, item, count + 1, array.offset * item.itemsize).astype(np.int64)
    data = np.frombuffer(data_buffer, np.uint8)
    valid = np.asarray(array.is_valid()) if array.null_count else slice(None)
    starts, ends = offsets[:-1][valid], offsets[1:][valid]
    if int((ends - starts).min()) < 57:  # signature, IHDR, an empty IDAT, IEND
        return None
    heads = data[starts[:, None] + np.arange(24)]
    tails = data[ends[:, None] + np.arange(-12, 0)]
    if not (heads[:, :16] == _PNG_HEAD).all() or not (tails == _PNG_TAIL).all():
        return None
    sides = np.ascontiguousarray(heads[:, 16:24]).view(">u4")
    if int(sides.min()) == 0 or int(sides.max()) > 2**31 - 1:
        return None
    return sides[:, 0].astype(np.int32), sides[:, 1].astype(np.int32)

"""Images by their first and last bytes: is it one, is it whole, how large is it. Nothing is decoded.

Each function takes bytes, or anything that slices into bytes and has `find` and `rfind`, and gives (format, width,
height) in stored pixels, before any rotation that EXIF asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct, unpack
from typing import Any, Final

__all__ = ["HeaderFault", "ImageHeader", "image_header", "iso_boxes"]

ImageHeader = tuple[str, int | None, int | None]
"""(format, width, height); a size is None where the format has none (SVG without one)."""

_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_PNG_SIZE: Final = Struct(">II").unpack
_JPEG_SEGMENT: Final = Struct(">xxHxHH").unpack
_MAX_SIDE: Final = 2**31 - 1


class HeaderFault(Exception):  # noqa: N818 - it never leaves this package: MediaError is made of it
    """What is wrong with a header: `expected` and `got`, in words."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


def image_header(data: Any) -> ImageHeader:
    """Format, width and height of an encoded image. Raises `HeaderFault` for what is no image or is cut off."""
    head = data[:16]
    if head == _PNG:
        # Some writers append bytes after the end; a file without the end chunk was cut.
        if data[-12:] != _PNG_END and data.rfind(_PNG_END, 33) < 0:
            raise HeaderFault("a PNG that ends with IEND", f"{len(data)} bytes without it: truncated")
        width, height = _PNG_SIZE(data[16:24])
        if not 0 < width <= _MAX_SIDE or not 0 < height <= _MAX_SIDE:
            raise HeaderFault("a PNG of at least one pixel", f"{width}×{height}")
        return "png", width, height
    if head[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return _gif(data)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(data)
    if head[:2] == b"BM":
        return _bmp(data)
    if head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return _tiff(data)
    if head[4:8] == b"ftyp":
        return _heif(data)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        raise HeaderFault("a PNG that starts with IHDR", f"{bytes(head[8:16])!r}: damaged or truncated")
    start = bytes(data[:4096]).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:5] in {b"<?xml", b"<!DOC"} or start[:4] in {b"<svg", b"<!--"}:
        return _svg(data)
    raise HeaderFault("an encoded image (PNG, JPEG, GIF, WebP, BMP, TIFF, SVG, AVIF, HEIC)", _first(data))


def _first(data: Any) -> str:
    """The first bytes, for a message."""
    return f"{len(data)} bytes that start with {bytes(data[:12])!r}" if len(data) else "no bytes"


def _jpeg(data: Any) -> ImageHeader:
    place = 2
    while True:
        segment = data[place : place + 9]
        if len(segment) < 9:
            raise HeaderFault("a JPEG with a frame header", "its end before one: truncated")
        if segment[0] != 0xFF:
            raise HeaderFault("a JPEG marker", f"byte 0x{segment[0]:02x} at {place}: damaged")
        marker = segment[1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            break
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a body
            place += 2
        elif marker in {0xD9, 0xDA}:
            raise HeaderFault("a JPEG with a frame header", f"marker 0x{marker:02x} before one")
        else:
            place += 2 + (segment[2] << 8 | segment[3])
    _, height, width = _JPEG_SEGMENT(segment)
    # Many cameras pad after the end marker. Thumbnails, with end markers of their own, stand before the frame header.
    if data[-2:] != b"\xff\xd9" and data.rfind(b"\xff\xd9", place + 9) < 0:
        raise HeaderFault("a JPEG that ends with its end marker", f"{len(data)} bytes without it: truncated")
    if not width:
        raise HeaderFault("a JPEG of at least one pixel", f"{width}×{height}")
    return "jpeg", width, height or None  # a height of 0 is told after the first scan


def _gif(data: Any) -> ImageHeader:
    if len(data) < 14 or (data[-1] != 0x3B and bytes(data[-4096:]).rstrip(b"\0")[-1:] != b";"):
        raise HeaderFault("a GIF that ends with its trailer", f"{len(data)} bytes without it: truncated")
    width, height = unpack("<HH", data[6:10])
    if not width or not height:
        raise HeaderFault("a GIF of at least one pixel", f"{width}×{height}")
    return "gif", width, height


def _webp(data: Any) -> ImageHeader:
    (declared,) = unpack("<I", data[4:8])
    if len(data) < 30 or len(data) < declared + 8 - (declared & 1):
        raise HeaderFault(f"a WebP of {declared + 8} bytes", f"{len(data)} bytes: truncated")
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif chunk == b"VP8L":
        (bits,) = unpack("<I", data[21:25])
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in unpack("<HH", data[26:30]))
    else:
        raise HeaderFault("a WebP chunk VP8, VP8L or VP8X", repr(bytes(chunk)))
    return "webp", width, height


def _bmp(data: Any) -> ImageHeader:
    if len(data) < 26:
        raise HeaderFault("a BMP header", f"{len(data)} bytes: truncated")
    pixels, header = unpack("<II", data[10:18])
    if header == 12:
        width, height = unpack("<HH", data[18:22])
    elif 40 <= header <= 124:
        width, height = unpack("<ii", data[18:26])
    else:
        raise HeaderFault("a BMP header of 12 or 40 to 124 bytes", str(header))
    if width <= 0 or not height:
        raise HeaderFault("a BMP of at least one pixel", f"{width}×{height}")
    bits, compression = (unpack("<HI", data[28:34])) if header >= 40 and len(data) >= 34 else (24, 0)
    needed = pixels + ((width * bits + 31) // 32 * 4) * abs(height) if compression in {0, 3} else pixels + 1
    if len(data) < needed:
        raise HeaderFault(f"a BMP of {needed} bytes", f"{len(data)} bytes: truncated")
    return "bmp", width, abs(height)


def _tiff(data: Any) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2 if order == "<" else 3] == 43
    if len(data) < 16:
        raise HeaderFault("a TIFF header", f"{len(data)} bytes: truncated")
    (place,) = unpack(order + ("Q" if big else "I"), data[8:16] if big else data[4:8])
    counter = data[place : place + (8 if big else 2)]
    if len(counter) < (8 if big else 2):
        raise HeaderFault("a TIFF directory", f"its place {place} past the end: truncated")
    (count,) = unpack(order + ("Q" if big else "H"), counter)
    step = 20 if big else 12
    tags: dict[int, list[int]] = {}
    for index in range(min(count, 512)):  # a first directory has a few dozen tags
        first = place + len(counter) + index * step
        entry = data[first : first + step]
        if len(entry) < step:
            raise HeaderFault("a TIFF directory", "its end inside: truncated")
        tag, kind = unpack(order + "HH", entry[:4])
        if tag in {256, 257, 273, 279, 324, 325}:
            tags[tag] = _tiff_values(data, order, big, kind, entry)
    sides = [tags.get(tag, [0])[0] for tag in (256, 257)]
    if not all(0 < side <= _MAX_SIDE for side in sides):
        raise HeaderFault("a TIFF that tells its width and height", f"{sides[0]}×{sides[1]}")
    for starts, sizes in ((273, 279), (324, 325)):
        ends = [start + size for start, size in zip(tags.get(starts, []), tags.get(sizes, []), strict=False)]
        if ends and max(ends) > len(data):
            raise HeaderFault(f"a TIFF of at least {max(ends)} bytes", f"{len(data)} bytes: truncated")
    return "tiff", sides[0], sides[1]


def _tiff_values(data: Any, order: str, big: bool, kind: int, entry: bytes) -> list[int]:
    letter = {3: "H", 4: "I", 16: "Q"}.get(kind)
    if letter is None:
        return [0]
    (count,) = unpack(order + ("Q" if big else "I"), entry[4:12] if big else entry[4:8])
    count = min(count, 1 << 20)  # strips of a hostile file are not worth more memory
    length = count * {"H": 2, "I": 4, "Q": 8}[letter]
    inside = entry[12:20] if big else entry[8:12]
    if length > len(inside):
        (place,) = unpack(order + ("Q" if big else "I"), inside)
        inside = data[place : place + length]
        if len(inside) < length:
            raise HeaderFault("the values of a TIFF tag", "their end past the file's: truncated")
    return list(unpack(f"{order}{count}{letter}", inside[:length])) or [0]


def iso_boxes(data: Any, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of an ISO media file in [start, end): (type, body start, end as declared). At most 4,096 are walked."""
    for _ in range(4096):
        if start + 8 > end:
            return
        size, name = unpack(">I4s", data[start : start + 8])
        body = start + 8
        if size == 1:
            long = data[start + 8 : start + 16]
            size, body = (unpack(">Q", long)[0], start + 16) if len(long) == 8 else (0, body)
            if size < 16:
                return
        elif size == 0:  # to the end of the file
            size = end - start
        elif size < 8:
            return
        yield name, body, start + size
        start += size


def _heif(data: Any) -> ImageHeader:
    brands = bytes(data[8:64])
    if b"avif" in brands or b"avis" in brands:
        found = "avif"
    elif any(brand in brands for brand in (b"heic", b"heix", b"mif1", b"hevc", b"msf1")):
        found = "heic"
    else:
        raise HeaderFault("an encoded image", f"an ISO media file of brand {bytes(data[8:12])!r}")
    for _, _, end in iso_boxes(data, 0, len(data)):
        if end > len(data):
            raise HeaderFault(f"an image file of at least {end} bytes", f"{len(data)} bytes: truncated")
    # The first size property is that of the primary image in all files that encoders write; tiles come later.
    head = bytes(data[: 1 << 16])
    sizes = [
        unpack(">II", head[hit.end() + 4 : hit.end() + 12])
        for hit in re.finditer(rb"\x00\x00\x00\x14ispe", head)
        if hit.end() + 12 <= len(head)
    ]
    if not sizes:
        return found, None, None
    width, height = max(sizes, key=lambda side: side[0] * side[1])
    return found, min(width, _MAX_SIDE), min(height, _MAX_SIDE)


_SVG_TAG = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg(?:\s[^>]*)?/?>", re.IGNORECASE)
_LENGTH = re.compile(rb"\s(width|height)\s*=\s*[\"']\s*([0-9]+(?:\.[0-9]+)?)\s*(?:px)?\s*[\"']")
_VIEW = re.compile(rb"\sviewBox\s*=\s*[\"']\s*[-0-9.eE]+[\s,]+[-0-9.eE]+[\s,]+([0-9.]+)[\s,]+([0-9.]+)\s*[\"']")


def _svg(data: Any) -> ImageHeader:
    head = bytes(data[: 1 << 16])
    tag = _SVG_TAG.search(head)
    if tag is None:
        raise HeaderFault("an encoded image", "text without an <svg> tag")
    if not tag.group().endswith(b"/>") and b"svg>" not in bytes(data[-4096:]).lower():
        raise HeaderFault("an SVG that ends with </svg>", f"{len(data)} bytes without it: truncated")
    sides = {name.decode(): float(text) for name, text in _LENGTH.findall(tag.group())}
    view = _VIEW.search(tag.group())
    if len(sides) < 2 and view is not None and all(side.count(b".") < 2 and side != b"." for side in view.groups()):
        sides = {"width": float(view.group(1)), "height": float(view.group(2))}
    if len(sides) < 2 or not all(1 <= side <= _MAX_SIDE for side in sides.values()):
        return "svg", None, None
    return "svg", round(sides["width"]), round(sides["height"])

"""Moving pictures by their headers: format, size in pixels, duration. Nothing is decoded."""

from __future__ import annotations

from struct import unpack
from typing import Any, Final, NamedTuple

from tableformat.format.media.header_image import HeaderFault, image_header, iso_boxes
from tableformat.format.media.header_sound import riff_chunks

__all__ = ["VideoHeader", "video_header"]


class VideoHeader(NamedTuple):
    """What a video's header tells."""

    format: str
    width: int | None
    height: int | None
    duration_us: int | None


def video_header(data: Any) -> VideoHeader:
    """Format, size and duration of an encoded video. Raises `HeaderFault` for what is none or is cut off."""
    head = bytes(data[:12])
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide"}:
        return _mp4(data)
    if head[:4] == b"\x1aE\xdf\xa3":
        return _matroska(data)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _avi(data)
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return VideoHeader(*image_header(data), None)
    if head[:4] == b"OggS" and any(word in bytes(data[:512]) for word in (b"theora", b"BBCD")):
        return VideoHeader("ogv", None, None, None)
    got = f"{len(data)} bytes that start with {head!r}" if head else "no bytes"
    raise HeaderFault("an encoded video (MP4, MOV, WebM, MKV, AVI, OGV, GIF)", got)


def _mp4(data: Any) -> VideoHeader:
    name = "mov" if data[4:8] != b"ftyp" or data[8:12] == b"qt  " else "mp4"
    width = height = duration = None
    seen = False
    for box, start, end in iso_boxes(data, 0, len(data)):
        if end > len(data):
            raise HeaderFault(f"a video of at least {end} bytes", f"{len(data)} bytes: truncated")
        if box != b"moov":
            continue
        seen = True
        for part, inner, stop in iso_boxes(data, start, end):
            if part == b"mvhd":
                duration = _duration(data[inner : inner + 32])
            elif part == b"trak" and width is None:
                width, height = _track_size(data, inner, stop)
    if not seen:
        raise HeaderFault("a video with its index (moov)", f"{len(data)} bytes without it: truncated")
    return VideoHeader(name, width, height, duration)


def _duration(body: bytes) -> int | None:
    if len(body) < 32:
        return None
    scale, length = unpack(">IQ", body[20:32]) if body[0] else unpack(">II", body[12:20])
    unknown = length in {0, 0xFFFFFFFF, 2**64 - 1}  # written in fragments
    return None if not scale or unknown else min(round(length * 1_000_000 / scale), 2**63 - 1)


def _track_size(data: Any, start: int, end: int) -> tuple[int | None, int | None]:
    for name, inner, _ in iso_boxes(data, start, end):
        if name == b"tkhd":
            version = data[inner : inner + 1]
            place = inner + (88 if version == b"\x01" else 76)
            sides = data[place : place + 8]
            if len(sides) == 8:
                width, height = (side >> 16 for side in unpack(">II", sides))
                if width and height:  # tracks of sound have none
                    return width, height
    return None, None


_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_TRACKS: Final = 0x1654AE6B
_UNKNOWN: Final = -1


def _element(data: Any, place: int) -> tuple[int, int, int] | None:
    """The EBML element at `place`: (id, start of body, size or `_UNKNOWN`)."""
    head = bytes(data[place : place + 12])
    if len(head) < 2 or not head[0]:
        return None
    width = 9 - head[0].bit_length()
    if width > 4 or len(head) <= width or not head[width]:
        return None
    length = 9 - head[width].bit_length()
    raw = head[width : width + length]
    if len(raw) < length:
        return None
    size = int.from_bytes(raw, "big") & (1 << 7 * length) - 1
    return (
        int.from_bytes(head[:width], "big"),
        place + width + length,
        _UNKNOWN if size == (1 << 7 * length) - 1 else size,
    )


def _children(data: Any, start: int, end: int) -> dict[int, list[tuple[int, int]]]:
    """The elements in [start, end) by id: (start, end) of each body. Stops at the first cluster of frames."""
    found: dict[int, list[tuple[int, int]]] = {}
    for _ in range(4096):
        element = _element(data, start) if start < end else None
        if element is None or element[0] == 0x1F43B675:
            break
        name, body, size = element
        stop = end if size == _UNKNOWN else body + size
        found.setdefault(name, []).append((body, stop))
        start = stop
    return found


def _matroska(data: Any) -> VideoHeader:
    top = _children(data, 0, len(data))
    name = "webm" if b"webm" in bytes(data[:64]) else "mkv"
    if _SEGMENT not in top:
        raise HeaderFault("a Matroska segment", f"{len(data)} bytes without one: truncated")
    start, end = top[_SEGMENT][0]
    if end > len(data):
        raise HeaderFault(f"a video of {end} bytes", f"{len(data)} bytes: truncated")
    parts = _children(data, start, end)
    duration = width = height = None
    for body in parts.get(_INFO, [])[:1]:
        info = _children(data, *body)
        scale = _number(data, info.get(0x2AD7B1)) or 1_000_000
        raw = bytes(data[slice(*info[0x4489][0])]) if 0x4489 in info else b""
        length = unpack(">f" if len(raw) == 4 else ">d", raw)[0] if len(raw) in {4, 8} else 0.0
        duration = round(length * scale / 1000) if 0 < length * scale < 2**62 else None
    for body in parts.get(_TRACKS, [])[:1]:
        for track in _children(data, *body).get(0xAE, []):
            for video in _children(data, *track).get(0xE0, []):
                sides = _children(data, *video)
                width, height = _number(data, sides.get(0xB0)), _number(data, sides.get(0xBA))
    return VideoHeader(name, width, height, duration)


def _number(data: Any, places: list[tuple[int, int]] | None) -> int | None:
    if not places or not 0 < places[0][1] - places[0][0] <= 8:
        return None
    return int.from_bytes(data[slice(*places[0])], "big")


def _avi(data: Any) -> VideoHeader:
    (declared,) = unpack("<I", data[4:8]) if len(data) >= 12 else (0,)
    if len(data) < declared + 8:
        raise HeaderFault(f"an AVI of {declared + 8} bytes", f"{len(data)} bytes: truncated")
    chunks = riff_chunks(data)
    place = bytes(data[: 1 << 12]).find(b"avih")
    body = bytes(data[place + 8 : place + 48])
    if b"LIST" not in chunks or place < 0 or len(body) < 40:
        raise HeaderFault("an AVI with its main header", f"{len(data)} bytes without it: truncated")
    per_frame, _, _, _, frames, _, _, _, width, height = unpack("<10I", body)
    return VideoHeader("avi", width, height, per_frame * frames or None)

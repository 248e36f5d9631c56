"""PNG for arrays, on zlib and numpy alone: writes uint8, uint16 and bool pixels, and reads them back exactly.

The writer uses the filters None, Sub and Up, which numpy undoes in whole rows; Paeth would save some percent more on
photos and cost a loop over pixels here. The reader knows every filter, colour type and depth, but no interlacing.
"""

from __future__ import annotations

import zlib
from struct import pack, unpack
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tableformat.errors import LimitError, MediaError, message

__all__ = ["MAX_PIXELS", "PngHeader", "decode_png", "encode_png", "png_header"]

MAX_PIXELS: Final = 1 << 28
"""Most pixels that are decoded unless the caller says otherwise: 16,384 × 16,384, the bound against bombs of images."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_LEVEL: Final = 6
"""zlib's own compromise. Level 9 takes three times as long for 1 to 2 % of photos."""
_COLOUR_OF_CHANNELS: Final = {1: 0, 3: 2, 4: 6}
_CHANNELS_OF_COLOUR: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

Pixels = npt.NDArray[Any]


class PngHeader(NamedTuple):
    """The IHDR chunk."""

    width: int
    height: int
    depth: int
    colour: int
    """0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    interlaced: bool


def encode_png(pixels: Pixels) -> bytes:
    """The PNG of H×W or H×W×1/3/4 pixels of uint8, uint16 or bool (one bit each, H×W alone).

    The same array gives the same bytes with the same zlib. Holds about three times the array. Raises `MediaError` for
    other shapes and types.
    """
    doing = "encoding an array as PNG"
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in {2, 3} or (pixels.ndim == 3 and pixels.shape[2] not in _COLOUR_OF_CHANNELS):
        raise MediaError(message(doing, expected="shape H×W or H×W×1/3/4", got=f"shape {pixels.shape}"))
    height, width = pixels.shape[:2]
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise MediaError(message(doing, expected="at least one pixel", got=f"shape {pixels.shape}"))
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype == np.bool_ and channels == 1:
        depth, rows, step = 1, np.packbits(pixels, axis=1), 1
    elif pixels.dtype == np.uint8:
        depth, rows, step = 8, np.ascontiguousarray(pixels).reshape(height, -1), channels
    elif pixels.dtype == np.uint16:
        big = np.ascontiguousarray(pixels, dtype=">u2")
        depth, rows, step = 16, big.view(np.uint8).reshape(height, -1), 2 * channels
    else:
        raise MediaError(message(doing, expected="uint8, uint16 or bool (one channel)", got=str(pixels.dtype)))
    header = pack(">IIBBBBB", width, height, depth, _COLOUR_OF_CHANNELS[channels], 0, 0, 0)
    body = zlib.compress(_filter(rows, step) if depth > 1 else _unfiltered(rows), _LEVEL)
    return b"".join((_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b"")))


def _chunk(name: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + name + body + pack(">I", zlib.crc32(body, zlib.crc32(name)))


def _unfiltered(rows: Pixels) -> bytes:
    return np.insert(rows, 0, 0, axis=1).tobytes()


def _filter(rows: Pixels, step: int) -> bytes:
    """Each row by the filter with the least sum of absolute differences: the heuristic that the PNG standard gives."""
    height, length = rows.shape
    candidates = np.empty((3, height, length), np.uint8)
    candidates[0] = rows
    candidates[1, :, :step] = rows[:, :step]
    np.subtract(rows[:, step:], rows[:, :-step], out=candidates[1, :, step:])
    candidates[2, 0] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=candidates[2, 1:])
    # |x| of a signed byte; -128 stays 128 when read as unsigned.
    costs = np.abs(candidates.view(np.int8)).view(np.uint8).sum(axis=2, dtype=np.int64)
    best = costs.argmin(axis=0)
    best[_few_values(rows)] = 0
    out = np.empty((height, length + 1), np.uint8)
    out[:, 0] = best
    out[:, 1:] = candidates[best, np.arange(height)]
    return out.tobytes()


def _few_values(rows: Pixels) -> npt.NDArray[np.bool_]:
    """Rows that repeat their bytes (masks, drawings): unfiltered, they compress better than by any filter."""
    changes = np.count_nonzero(rows[:, 1:] != rows[:, :-1], axis=1)
    return np.asarray(changes * 16 < rows.shape[1])


def png_header(data: bytes) -> PngHeader:
    """The IHDR of a PNG. Raises `MediaError` where it is none, or one that the standard does not know."""
    doing = "reading a PNG"
    if len(data) < 33 or data[:8] != _SIGNATURE or data[12:16] != b"IHDR":
        raise MediaError(message(doing, expected="a PNG", got=f"{len(data)} bytes that start with {data[:12]!r}"))
    width, height, depth, colour, method, filters, interlace = unpack(">IIBBBBB", data[16:29])
    if (
        not 0 < width < 2**31 or not 0 < height < 2**31 or method or filters or interlace > 1
        or depth not in _DEPTHS.get(colour, ())
    ):  # fmt: skip
        raise MediaError(
            message(doing, expected="a header of the PNG standard",
                    got=f"{width}×{height}, depth {depth}, colour {colour}, methods {method}, {filters}, {interlace}")
        )  # fmt: skip
    return PngHeader(width, height, depth, colour, bool(interlace))


def decode_png(
    data: bytes, *, indices: bool = False, fast_only: bool = False, max_pixels: int = MAX_PIXELS
) -> Pixels | None:
    """The pixels of a PNG: H×W, H×W×2, ×3 or ×4 of uint8 or uint16; bool for grey of one bit.

    A palette gives its colours (RGB, or RGBA where it has transparency), or its `indices` as H×W uint8 when asked. Grey
    of 2 and 4 bits is scaled to 0–255, or kept as it is with `indices`. Every chunk's CRC is compared. None with
    `fast_only` where a loop over pixels or interlacing would be needed. Raises `MediaError` for damage and
    interlacing, `LimitError` before memory is taken for more than `max_pixels`.
    """
    doing = "decoding a PNG"
    header = png_header(data)
    if header.interlaced:
        if fast_only:
            return None
        raise MediaError(message(doing, expected="a PNG without interlacing", got="Adam7", todo="install Pillow"))
    body, palette, alpha = _chunks(data, doing)  # compares the header's checksum too, before its size is believed
    if header.width * header.height > max_pixels:
        raise LimitError(message(doing, expected=f"at most {max_pixels} pixels", got=f"{header.width}×{header.height}"))
    channels = _CHANNELS_OF_COLOUR[header.colour]
    length = (header.width * channels * header.depth + 7) // 8
    step = max(channels * header.depth // 8, 1)
    needed = (length + 1) * header.height
    engine = zlib.decompressobj()
    try:
        raw = engine.decompress(body, needed + 1)  # one more than wanted: bounded, whatever the stream holds
    except zlib.error as error:
        raise MediaError(message(doing, got=f"damaged pixels: {error}")) from error
    if len(raw) < needed:
        raise MediaError(message(doing, expected=f"{needed} bytes of pixels", got=f"{len(raw)}: truncated"))
    rows = np.frombuffer(raw, np.uint8, needed).reshape(header.height, length + 1)
    kinds = rows[:, 0]
    if int(kinds.max()) > 4:
        raise MediaError(message(doing, expected="filters 0 to 4", got=int(kinds.max())))
    if fast_only and int(kinds.max()) > 2:
        return None
    return _colours(header, _unfilter(rows, step), palette, alpha, indices)


def _chunks(data: bytes, doing: str) -> tuple[bytes, bytes, bytes]:
    """The joined IDAT bodies, the palette and its transparency."""
    pieces: list[bytes] = []
    palette = alpha = b""
    place = 8
    while place + 12 <= len(data):
        size, name = unpack(">I4s", data[place : place + 8])
        end = place + 8 + size
        if end + 4 > len(data):
            break
        body = data[place + 8 : end]
        if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(data[end : end + 4], "big"):
            raise MediaError(message(doing, expected=f"the checksum of chunk {name!r}", got="another: damaged"))
        if name == b"IDAT":
            pieces.append(body)
        elif name == b"PLTE":
            palette = body
        elif name == b"tRNS":
            alpha = body
        elif name == b"IEND":
            return b"".join(pieces), palette, alpha
        place = end + 4
    raise MediaError(message(doing, expected="a PNG that ends with IEND", got=f"{len(data)} bytes: truncated"))


def _unfilter(rows: Pixels, step: int) -> Pixels:
    kinds = rows[:, 0]
    out = rows[:, 1:].copy()
    height, length = out.shape
    subs = np.flatnonzero(kinds == 1)
    if len(subs):  # needs no other row: all at once, one running sum for each byte of a pixel
        for lane in range(step):
            out[subs, lane::step] = np.cumsum(out[subs, lane::step], axis=1, dtype=np.uint8)
    above = np.zeros(length, np.uint8)
    for index in range(height):
        kind = kinds[index]
        if kind == 2:
            out[index] += above
        elif kind == 3:
            _average(out[index], above, step)
        elif kind == 4:
            _paeth(out[index], above, step)
        above = out[index]
    return out


def _average(row: Pixels, above: Pixels, step: int) -> None:
    done, up = bytearray(row.tobytes()), above.tobytes()
    for place, upper in enumerate(up):
        left = done[place - step] if place >= step else 0
        done[place] = (done[place] + (left + upper >> 1)) & 255
    row[:] = np.frombuffer(done, np.uint8)


def _paeth(row: Pixels, above: Pixels, step: int) -> None:
    done, up = bytearray(row.tobytes()), above.tobytes()
    for place, upper in enumerate(up):
        left, corner = (done[place - step], up[place - step]) if place >= step else (0, 0)
        by_left, by_up, by_corner = abs(upper - corner), abs(left - corner), abs(left + upper - 2 * corner)
        best = min(by_left, by_up, by_corner)  # a tie goes to the left, then to the upper
        guess = left if by_left == best else upper if by_up == best else corner
        done[place] = (done[place] + guess) & 255
    row[:] = np.frombuffer(done, np.uint8)


def _colours(header: PngHeader, rows: Pixels, palette: bytes, alpha: bytes, indices: bool) -> Pixels:
    width, height, depth, colour, _ = header
    channels = _CHANNELS_OF_COLOUR[colour]
    if depth == 16:
        values: Pixels = np.ascontiguousarray(rows).view(">u2").astype(np.uint16)
    elif depth == 8:
        values = rows
    else:
        bits = np.unpackbits(rows, axis=1)[:, : width * depth]
        weights = (1 << np.arange(depth)[::-1]).astype(np.uint8)
        values = bits.reshape(height, width, depth) @ weights if depth > 1 else bits
    values = values.reshape(height, width, channels) if channels > 1 else values.reshape(height, width)
    if colour == 3 and not indices:
        table = np.frombuffer(palette, np.uint8)
        if len(palette) % 3 or not palette or int(values.max()) * 3 >= len(palette):
            raise MediaError(message("decoding a PNG", expected="a colour for each index", got=f"{len(palette)} bytes"))
        colours = table.reshape(-1, 3)
        if alpha:
            opaque = np.full(len(colours), 255, np.uint8)
            opaque[: len(alpha)] = np.frombuffer(alpha, np.uint8)[: len(colours)]
            colours = np.column_stack((colours, opaque))
        return np.asarray(colours[values])
    if colour == 0 and not indices and depth < 8:
        return values.astype(np.bool_) if depth == 1 else (values * (255 // ((1 << depth) - 1))).astype(np.uint8)
    return np.asarray(values)

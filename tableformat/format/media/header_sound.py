"""Sound by its headers: format, sample rate, channels, frames. Nothing is decoded.

A frame is one sample of every channel. `frames` is None where only decoding the whole would tell.
"""

from __future__ import annotations

import re
from struct import unpack
from typing import Any, NamedTuple

from tableformat.format.media.header_image import HeaderFault, iso_boxes

__all__ = ["SoundHeader", "riff_chunks", "sound_header"]


class SoundHeader(NamedTuple):
    """What a sound's header tells."""

    format: str
    sample_rate: int | None
    channels: int | None
    frames: int | None


def sound_header(data: Any) -> SoundHeader:
    """Format, sample rate, channels and frames of encoded sound. Raises `HeaderFault` for what is none or is cut off."""
    head = bytes(data[:12])
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return _wav(data)
    if head[:4] == b"fLaC":
        return _flac(data)
    if head[:4] == b"OggS":
        return _ogg(data)
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return _aiff(data)
    if head[4:8] == b"ftyp":
        return _m4a(data)
    if head[:3] == b"ID3" or (len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return _mp3(data)
    got = f"{len(data)} bytes that start with {head!r}" if head else "no bytes"
    raise HeaderFault("encoded sound (WAV, FLAC, MP3, OGG, Opus, M4A, AIFF)", got)


def riff_chunks(data: Any, order: str = "<") -> dict[bytes, tuple[int, int]]:
    """The top chunks of a RIFF or FORM file: name → (start of body, declared size); the first of each name counts."""
    found: dict[bytes, tuple[int, int]] = {}
    place = 12
    for _ in range(4096):
        header = data[place : place + 8]
        if len(header) < 8:
            break
        name, size = unpack(order + "4sI", header)
        found.setdefault(bytes(name), (place + 8, size))
        place += 8 + size + (size & 1)
    return found


def _wav(data: Any) -> SoundHeader:
    chunks = riff_chunks(data)
    if b"fmt " not in chunks or b"data" not in chunks:
        raise HeaderFault("a WAV with its chunks 'fmt ' and 'data'", f"{len(data)} bytes without them: truncated")
    place, size = chunks[b"fmt "]
    if size < 16:
        raise HeaderFault("a WAV format chunk of 16 bytes or more", str(size))
    code, channels, rate, _, block, _ = unpack("<HHIIHH", data[place : place + 16])
    if not channels or not rate or not block:
        raise HeaderFault("a WAV with channels and a sample rate", f"{channels} channels at {rate} Hz")
    start, size = chunks[b"data"]
    if size in {0, 0xFFFFFFFF}:  # written to a pipe, or RF64: the rest of the file
        size = len(data) - start
    if start + size > len(data):
        raise HeaderFault(f"a WAV of {start + size} bytes", f"{len(data)} bytes: truncated")
    # Compressed codes tell their length in 'fact'; blocks are no frames there.
    frames = size // block if code in {1, 3, 6, 7, 0xFFFE} else None
    return SoundHeader("wav", min(rate, 2**31 - 1), channels, frames)


def _flac(data: Any) -> SoundHeader:
    info = data[8:42]
    if len(info) < 34 or data[4] & 0x7F != 0:
        raise HeaderFault("a FLAC with its stream information", f"{len(data)} bytes: damaged or truncated")
    bits = int.from_bytes(info[10:18], "big")
    rate, channels, total = bits >> 44, (bits >> 41 & 7) + 1, bits & (1 << 36) - 1
    if not rate:
        raise HeaderFault("a FLAC with a sample rate", "0 Hz")
    if len(data) < 44:
        raise HeaderFault("a FLAC with sound in it", f"{len(data)} bytes: truncated")
    return SoundHeader("flac", rate, channels, total or None)


def _ogg(data: Any) -> SoundHeader:
    head = bytes(data[:512])
    for magic, name in ((b"\x01vorbis", "ogg"), (b"OpusHead", "opus"), (b"\x7fFLAC", "ogg"), (b"Speex   ", "ogg")):
        place = head.find(magic)
        if place < 0:
            continue
        last = data.rfind(b"OggS")
        page = data[last : last + 27]
        if len(page) < 27:
            raise HeaderFault("an Ogg file that ends with a whole page", f"{len(data)} bytes: truncated")
        segments = bytes(data[last + 27 : last + 27 + page[26]])
        if len(segments) < page[26] or last + 27 + page[26] + sum(segments) > len(data):
            raise HeaderFault("an Ogg file that ends with a whole page", f"{len(data)} bytes: truncated")
        (granule,) = unpack("<q", page[6:14])
        if magic == b"\x01vorbis":
            channels, rate = unpack("<BI", head[place + 11 : place + 16])
            return SoundHeader(name, rate, channels, granule if granule > 0 else None)
        if magic == b"OpusHead":
            # Opus always decodes at 48 kHz; the first `skip` frames only warm the decoder up.
            channels, skip = unpack("<BH", head[place + 9 : place + 12])
            return SoundHeader(name, 48000, channels, max(granule - skip, 0) if granule > 0 else None)
        return SoundHeader(name, None, None, None)
    raise HeaderFault("an Ogg file with Vorbis, Opus or FLAC in it", "another stream")


def _aiff(data: Any) -> SoundHeader:
    chunks = riff_chunks(data, ">")
    if b"COMM" not in chunks or b"SSND" not in chunks:
        raise HeaderFault("an AIFF with its chunks COMM and SSND", f"{len(data)} bytes without them: truncated")
    place, _ = chunks[b"COMM"]
    body = data[place : place + 18]
    start, size = chunks[b"SSND"]
    if len(body) < 18 or start + size > len(data):
        raise HeaderFault(f"an AIFF of {start + size} bytes", f"{len(data)} bytes: truncated")
    channels, frames, _, exponent, mantissa = unpack(">hIhHQ", body)
    shift = 16383 + 63 - exponent  # the rate is an 80-bit float
    rate = mantissa >> shift if 0 <= shift < 64 else 0
    return SoundHeader("aiff", rate or None, channels, frames)


def _m4a(data: Any) -> SoundHeader:
    if data[8:12] not in {b"M4A ", b"M4B ", b"mp42", b"mp41", b"isom", b"iso2", b"dash"}:
        raise HeaderFault("encoded sound", f"an ISO media file of brand {bytes(data[8:12])!r}")
    for name, start, end in iso_boxes(data, 0, len(data)):
        if end > len(data):
            raise HeaderFault(f"an M4A of at least {end} bytes", f"{len(data)} bytes: truncated")
        if name == b"moov":
            moov = bytes(data[start : min(end, start + (4 << 20))])
            if b"hdlr" in moov and b"soun" not in moov:
                raise HeaderFault("encoded sound", "an ISO media file without a sound track")
            rate = channels = frames = None
            place = moov.find(b"mp4a")
            if place > 0 and len(moov) >= place + 32:
                channels, rate = unpack(">H6xI", moov[place + 20 : place + 32])
                rate >>= 16
            media = moov.find(b"mdhd", max(moov.find(b"trak"), 0))
            if media > 0 and len(moov) >= media + 36:
                wide = moov[media + 4]  # version 1 has 64-bit times
                scale, duration = (
                    unpack(">IQ", moov[media + 24 : media + 36])
                    if wide
                    else unpack(">II", moov[media + 16 : media + 24])
                )
                frames = duration if scale == rate else None
            return SoundHeader("m4a", rate, channels, frames)
    raise HeaderFault("an M4A with its index (moov)", f"{len(data)} bytes without it: truncated")


_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SYNC = re.compile(rb"\xff[\xe2-\xff]")


def _mp3(data: Any) -> SoundHeader:
    place = 0
    tag = bytes(data[:10])
    if tag[:3] == b"ID3":
        if len(tag) < 10:
            raise HeaderFault("an MP3 with a whole ID3 tag", f"{len(data)} bytes: truncated")
        place = 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9])
    window = bytes(data[place : place + 8192])
    for hit in _SYNC.finditer(window):
        start = hit.start()
        if start + 4 > len(window):
            break
        second, third, fourth = window[start + 1 : start + 4]
        version, layer, rate_index = second >> 3 & 3, second >> 1 & 3, third >> 2 & 3
        if version == 1 or layer == 0 or rate_index == 3 or third >> 4 == 15:
            continue
        rate = _RATES[version][rate_index]
        channels = 1 if fourth >> 6 == 3 else 2
        # Encoders of variable rate leave the number of blocks in the first one.
        frames = None
        for word in (b"Xing", b"Info"):
            at = window.find(word, start, start + 64)
            if at > 0 and len(window) >= at + 12 and window[at + 7] & 1:
                blocks = int.from_bytes(window[at + 8 : at + 12], "big")
                frames = blocks * (1152 if version == 3 else 576)
        return SoundHeader("mp3", rate, channels, frames)
    raise HeaderFault("an MP3 with a frame of sound", f"{len(data)} bytes without one")

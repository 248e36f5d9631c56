"""WAV for arrays: nothing is scaled, the samples that went in come out."""

from __future__ import annotations

from struct import pack, unpack
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tableformat.errors import MediaError, message
from tableformat.format.media.header_sound import riff_chunks

__all__ = ["decode_wav", "encode_wav"]

_PCM: Final = 1
_FLOAT: Final = 3
_EXTENSIBLE: Final = 0xFFFE
_CODES: Final = {"uint8": _PCM, "int16": _PCM, "int32": _PCM, "float32": _FLOAT, "float64": _FLOAT}
_MAX_CHANNELS: Final = 64
"""More are refused: an array of channels × frames that was given the wrong way round."""


def encode_wav(samples: npt.NDArray[Any], sample_rate: int) -> bytes:
    """The WAV of frames, or frames × channels, of int16 (PCM), float32 (float WAV), uint8, int32 or float64.

    Raises `MediaError` for other types and shapes, for no frames, and past 4 GiB, where WAV ends.
    """
    doing = "encoding an array as WAV"
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= _MAX_CHANNELS:
        todo = "transpose it: frames come first" if samples.ndim == 2 else None
        raise MediaError(
            message(
                doing,
                expected=f"frames, or frames × 1–{_MAX_CHANNELS} channels",
                got=f"shape {samples.shape}",
                todo=todo,
            )
        )
    code = _CODES.get(str(samples.dtype.newbyteorder("=")))
    if code is None:
        raise MediaError(
            message(doing, expected="int16, float32, uint8, int32 or float64", got=str(samples.dtype),
                    todo="convert it: nothing is scaled here")
        )  # fmt: skip
    if not 0 < sample_rate < 2**31:
        raise MediaError(message(doing, expected="a sample rate from 1 Hz", got=sample_rate))
    frames, channels = samples.shape
    if not frames:
        raise MediaError(message(doing, expected="at least one frame", got=f"shape {samples.shape}"))
    block = channels * samples.dtype.itemsize
    size = frames * block
    if size > 2**32 - 64:
        raise MediaError(message(doing, expected="at most 4 GiB of samples", got=f"{size} bytes", todo="store FLAC"))
    form = pack("<HHIIHH", code, channels, sample_rate, sample_rate * block % 2**32, block, 8 * samples.dtype.itemsize)
    fact: bytes = b"" if code == _PCM else b"fact" + pack("<II", 4, min(frames, 2**32 - 1))
    form = b"fmt " + pack("<I", len(form)) + form
    little = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("<"))
    body = b"data" + pack("<I", size) + little.tobytes() + b"\0" * (size & 1)
    length = pack("<I", 4 + len(form) + len(fact) + len(body))
    return b"".join((b"RIFF", length, b"WAVE", form, fact, body))


def decode_wav(data: bytes) -> tuple[npt.NDArray[Any], int]:
    """The samples and the sample rate: frames for one channel, else frames × channels; 24-bit PCM as int32, unscaled.

    Raises `MediaError` for compressed WAV and for damage.
    """
    doing = "decoding a WAV"
    chunks = riff_chunks(data)
    if data[8:12] != b"WAVE" or b"fmt " not in chunks or b"data" not in chunks or chunks[b"fmt "][1] < 16:
        raise MediaError(message(doing, expected="a WAV", got=f"{len(data)} bytes that start with {data[:12]!r}"))
    place, length = chunks[b"fmt "]
    head = data[place : place + 40]
    if len(head) < 16:
        raise MediaError(message(doing, expected="a whole format chunk", got=f"{len(head)} bytes: truncated"))
    code, channels, rate, _, block, bits = unpack("<HHIIHH", head[:16])
    if code == _EXTENSIBLE and length >= 26 and len(head) >= 26:
        code = int.from_bytes(head[24:26], "little")
    types = {
        (_PCM, 8): "u1",
        (_PCM, 16): "<i2",
        (_PCM, 24): "",
        (_PCM, 32): "<i4",
        (_FLOAT, 32): "<f4",
        (_FLOAT, 64): "<f8",
    }
    word = types.get((code, bits))
    if word is None or not channels or block != channels * bits // 8:
        raise MediaError(message(doing, expected="PCM or float samples", got=f"code {code} of {bits} bits"))
    start, size = chunks[b"data"]
    size = len(data) - start if size in {0, 0xFFFFFFFF} else size
    if start + size > len(data):
        raise MediaError(message(doing, expected=f"{start + size} bytes", got=f"{len(data)}: truncated"))
    count = size // block * channels
    if word:
        dtype = np.dtype(word)
        samples: npt.NDArray[Any] = np.frombuffer(data, dtype, count, start).astype(dtype.newbyteorder("="))
    else:
        triples = np.frombuffer(data, np.uint8, 3 * count, start).reshape(-1, 3).astype(np.int32)
        samples = (triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16) << 8 >> 8
    return (samples if channels == 1 else samples.reshape(-1, channels)), rate

"""Sound: encoded bytes kept verbatim, arrays as WAV without scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tableformat.errors import MediaError, message
from tableformat.format.media.arrays import is_array, to_array
from tableformat.format.media.base import Media
from tableformat.format.media.wav import decode_wav, encode_wav

__all__ = ["Audio"]


class Audio(Media):
    """A sound.

    `data`: encoded bytes, a path or a URL (stored verbatim), or an array or tensor of frames, or frames × channels,
    with its `sample_rate`: int16 becomes PCM16, float32 a float WAV (uint8, int32 and float64 likewise), and nothing is
    scaled. To point at bytes without owning them: `Audio.refer(url)`.
    """

    __slots__ = ("_rate",)

    kind = "audio"

    _rate: int | None

    def __init__(
        self,
        data: Any,
        sample_rate: int | None = None,
        *,
        caption: str | None = None,
        format: str | None = None,  # noqa: A002
        copy: bool = False,
    ) -> None:
        if sample_rate is not None and (isinstance(sample_rate, bool) or int(sample_rate) != sample_rate):
            raise MediaError(message("making Audio", expected="a whole number as sample_rate", got=repr(sample_rate)))
        self._rate = None if sample_rate is None else int(sample_rate)
        super().__init__(data, caption=caption, format=format, copy=copy)

    def _encode(self, value: Any) -> bytes:
        if isinstance(value, list | tuple):
            raise MediaError(
                message("making Audio", expected="an array", got=type(value).__name__,
                        todo="np.asarray(samples, dtype=np.float32), or np.int16")
            )  # fmt: skip
        if not is_array(value):
            return super()._encode(value)
        if self._rate is None:
            raise MediaError(message("making Audio of an array", expected="sample_rate=", got="none"))
        return encode_wav(to_array(value), self._rate)

    @property
    def sample_rate(self) -> int | None:
        """Frames per second; None where unknown."""
        return self.fields.get("sample_rate")

    @property
    def channels(self) -> int | None:
        """Channels; None where unknown."""
        return self.fields.get("channels")

    @property
    def frames(self) -> int | None:
        """Samples of each channel; None where only decoding would tell."""
        return self.fields.get("frames")

    @property
    def duration_seconds(self) -> float | None:
        """Its length; None where only decoding would tell."""
        frames, rate = self.frames, self.sample_rate
        return frames / rate if frames is not None and rate else None

    def to_numpy(self) -> npt.NDArray[Any]:
        """The samples of a WAV as they are stored: frames, or frames × channels. Reads its bytes.

        Raises `MediaError` for other formats, which this library does not decode: give `bytes()` to one that does.
        """
        data = self.bytes()
        if data[:4] != b"RIFF":
            raise MediaError(
                message(
                    "decoding audio", expected="WAV", got=self.format, todo="decode audio.bytes() with another library"
                )
            )
        return np.asarray(decode_wav(data)[0])

    def _decode(self, data: bytes, path: str | None) -> None:  # noqa: ARG002 - the signature is shared
        if data[:4] == b"RIFF":
            decode_wav(data)

"""Moving pictures: encoded bytes kept verbatim."""

from __future__ import annotations

from typing import Any

from tableformat.errors import MediaError, message
from tableformat.format.media.arrays import is_array
from tableformat.format.media.base import Media

__all__ = ["Video"]


class Video(Media):
    """A video: encoded bytes, a path or a URL, stored verbatim. To point at bytes without owning them:
    `Video.refer(url)`."""

    __slots__ = ()

    kind = "video"

    def _encode(self, value: Any) -> bytes:
        if is_array(value):
            raise MediaError(
                message("making a Video", expected="an encoded video", got=f"an array of shape {value.shape}",
                        todo="encode it first (PyAV, imageio, ffmpeg): there is no lossless format that all players open")
            )  # fmt: skip
        return super()._encode(value)

    @property
    def width(self) -> int | None:
        """Pixels across; None where unknown."""
        return self.fields.get("width")

    @property
    def height(self) -> int | None:
        """Pixels down; None where unknown."""
        return self.fields.get("height")

    @property
    def duration_us(self) -> int | None:
        """Microseconds; None where unknown."""
        return self.fields.get("duration_us")

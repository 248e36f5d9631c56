"""Blobs stored as zstd frames: made only where that really saves, opened only within bounds.

The stored bytes are then a frame that `zstd -d` unpacks; the cell's `digest` says what comes out. A frame must tell how
long that is, since a decoder that finds out by decoding can be made to fill the memory by a few hundred bytes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, cast

import pyarrow as pa

from tableformat.digest import Bytes
from tableformat.errors import CorruptError, LimitError, message
from tableformat.format.pack import MAX_BLOB_BYTES

__all__ = ["FRAME_EXT", "decode_frame", "encode_frame", "frame_content_size"]

FRAME_EXT: Final = "zst"
"""Ends the name of an encoded blob in a pack, after the extension of what comes out: `html.zst`."""
_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LEVEL: Final = 3


def encode_frame(data: Bytes) -> bytes | None:
    """A zstd frame of `data`, or None where it would not save an eighth, or `data` has more than 8 MiB."""
    if not 64 <= len(data) <= MAX_BLOB_BYTES:
        return None
    frame = cast("bytes", pa.Codec("zstd", _LEVEL).compress(data, asbytes=True))
    return frame if len(frame) * 8 <= len(data) * 7 else None


def frame_content_size(frame: Bytes, path: str) -> int:
    """How long the content of the zstd `frame` says it is; raises `CorruptError` where it does not say, or is no frame."""
    doing = "reading a zstd frame"
    head = bytes(frame[:18])
    if len(head) < 6 or head[:4] != _MAGIC:
        raise CorruptError(message(doing, path=path, expected="a frame that begins with 28b52ffd", got=head[:4].hex()))
    flags = head[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    if flags & 0b1011 or not width:  # reserved bit, dictionary
        raise CorruptError(
            message(
                doing,
                path=path,
                expected="a frame without a dictionary that tells its content size",
                got=f"flags {flags:#04x}",
            )
        )
    start = 5 + (1 - single)
    field = head[start : start + width]
    if len(field) != width:
        raise CorruptError(message(doing, path=path, expected=f"{width} bytes of content size", got=f"{len(field)}"))
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)


def decode_frame(frame: Bytes, digest: bytes | None, path: str, *, max_bytes: int = MAX_BLOB_BYTES) -> bytes:
    """What the zstd `frame` from `path` holds: exactly as many bytes as it says, with the SHA-256 `digest` if given.

    Raises `LimitError` before any memory is taken where it says more than `max_bytes`, `CorruptError` for a frame that is
    damaged, and for content of another length or digest.
    """
    doing = "decoding a zstd frame"
    size = frame_content_size(frame, path)
    if size > max_bytes:
        raise LimitError(message(doing, path=path, expected=f"at most {max_bytes} bytes", got=f"{size} bytes"))
    try:
        # Decoded in one call into exactly that much memory, so a frame that holds more fails instead of growing.
        data = cast("bytes", pa.Codec("zstd").decompress(frame, decompressed_size=size, asbytes=True)) if size else b""
    except (pa.ArrowException, OSError) as error:
        raise CorruptError(
            message(doing, path=path, expected=f"{size} bytes of content", got=str(error)[:200])
        ) from error
    if len(data) != size:
        raise CorruptError(message(doing, path=path, expected=f"{size} bytes of content", got=f"{len(data)}"))
    if digest is not None and sha256(data).digest() != digest:
        raise CorruptError(
            message(
                doing, path=path, expected=f"content sha256:{digest.hex()}", got=f"sha256:{sha256(data).hexdigest()}"
            )
        )
    return data

"""Blobs stored as zstd frames: made where they save, opened within bounds."""

from __future__ import annotations

import random
from hashlib import sha256

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import CorruptError, FormatError, LimitError
from tableformat.format.frame import decode_frame, encode_frame, frame_content_size
from tableformat.format.pack import MAX_BLOB_BYTES

TEXT = b"<p>the same words again and again</p>\n" * 50


def test_a_frame_gives_back_its_content() -> None:
    """Text becomes a shorter frame that tells the length of its content and decodes to it [PACK-17]."""
    frame = encode_frame(TEXT)
    assert frame is not None
    assert len(frame) < len(TEXT) // 5
    assert frame_content_size(frame, "blob") == len(TEXT)
    assert decode_frame(frame, sha256(TEXT).digest(), "blob") == TEXT


def test_what_does_not_shrink_is_not_encoded() -> None:
    """Noise, a few bytes and blobs above 8 MiB stay as they are [PACK-17]."""
    noise = random.Random(1).randbytes(5000)
    assert [encode_frame(data) for data in (noise, b"aaaa", bytes(MAX_BLOB_BYTES + 1))] == [None, None, None]


@pytest.mark.parametrize("size", [64, 255, 256, 300, 65_535, 65_791, 65_792, 70_000, 1 << 20])
def test_content_sizes_of_every_width(size: int) -> None:
    """The size of the content is read from headers of one, two and four bytes."""
    frame = encode_frame(bytes(size))
    assert frame is not None
    assert (frame_content_size(frame, "blob"), len(decode_frame(frame, None, "blob"))) == (size, size)


def test_a_frame_that_says_too_much_takes_no_memory() -> None:
    """A frame that claims 4 TiB, or one byte above the bound, is refused before it is decoded [PACK-18]."""
    huge = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + (4 << 40).to_bytes(8, "little") + b"\x01\x00\x00"
    with pytest.raises(LimitError):
        decode_frame(huge, None, "blob")
    with pytest.raises(LimitError):
        decode_frame(encode_frame(TEXT) or b"", None, "blob", max_bytes=len(TEXT) - 1)


def test_a_frame_that_holds_more_than_it_says_is_refused() -> None:
    """A header that tells less than the frame holds is corrupt, and decoding stops at what it told [PACK-18]."""
    frame = bytearray(encode_frame(bytes(1 << 20)) or b"")
    assert frame[4] >> 6 == 2
    frame[5:9] = (1000).to_bytes(4, "little")
    with pytest.raises(CorruptError):
        decode_frame(bytes(frame), None, "blob")


def test_frames_without_a_size_are_refused() -> None:
    """A frame whose content size is unknown cannot be bounded [PACK-18]."""
    stream = pa.BufferOutputStream()
    with pa.CompressedOutputStream(stream, "zstd") as out:
        out.write(TEXT)
    with pytest.raises(CorruptError, match="content size"):
        decode_frame(stream.getvalue().to_pybytes(), None, "blob")


def test_content_of_another_digest_is_refused() -> None:
    """What comes out is compared with the digest of the cell [PACK-19]."""
    with pytest.raises(CorruptError, match="sha256"):
        decode_frame(encode_frame(TEXT) or b"", sha256(b"other").digest(), "blob")


@given(st.binary(max_size=60), st.integers(0, 80))
def test_damaged_frames_give_errors_of_ours(noise: bytes, place: int) -> None:
    """Whatever is written over a frame, decoding gives the content or an error of the library."""
    frame = encode_frame(TEXT) or b""
    try:
        data = decode_frame(frame[:place] + noise + frame[place + len(noise) :], sha256(TEXT).digest(), "blob")
    except (FormatError, LimitError):
        return
    assert data == TEXT

"""PNG: what the writer writes, it and Pillow read back exactly; the reader refuses damage and bombs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PillowImage

from tableformat.errors import LimitError, MediaError
from tableformat.format.media.png import decode_png, encode_png, png_header
from tests.format.media.samples import PNG, bomb

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 40), st.sampled_from([0, 1, 3, 4])).map(
    lambda shape: shape[:2] if shape[2] == 0 else shape
)


@given(st.data())
def test_arrays_come_back(data: st.DataObject) -> None:
    """uint8, uint16 and bool arrays of every shape come back as they were; one channel loses its axis."""
    array = data.draw(
        st.one_of(
            hnp.arrays(np.uint8, SHAPES),
            hnp.arrays(np.uint16, SHAPES),
            hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2)),
        )
    )
    encoded = encode_png(array)
    again = decode_png(encoded, fast_only=True)
    assert again is not None
    assert again.dtype == array.dtype
    assert np.array_equal(again, array[:, :, 0] if array.shape[2:] == (1,) else array)
    assert encode_png(array) == encoded


@given(hnp.arrays(np.uint8, SHAPES))
def test_pillow_reads_what_we_write(array: np.ndarray) -> None:
    """Pillow decodes the same pixels."""
    image = PillowImage.open(io.BytesIO(encode_png(array)))
    assert np.array_equal(np.asarray(image), array[:, :, 0] if array.shape[2:] == (1,) else array)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_we_read_what_pillow_writes(mode: str) -> None:
    """All colour types and filters that Pillow writes are decoded to the pixels that it decodes."""
    rng = np.random.default_rng(7)
    ramp = np.add.outer(np.arange(40), np.arange(33)) * 2
    if mode == "I;16":
        image = PillowImage.fromarray((ramp * 300).astype(np.uint16))
    else:
        photo = np.stack([ramp + rng.integers(0, 4, ramp.shape) for _ in range(4)], axis=2).astype(np.uint8)
        image = PillowImage.fromarray(photo).convert("RGB" if mode == "P" else mode)
        image = image.quantize(9) if mode == "P" else image
    out = io.BytesIO()
    image.save(out, "PNG")
    pixels = decode_png(out.getvalue())
    assert pixels is not None
    assert np.array_equal(pixels, np.asarray(image.convert("RGB") if mode == "P" else image))
    if mode == "P":
        assert np.array_equal(decode_png(out.getvalue(), indices=True), np.asarray(image))


def test_smooth_arrays_are_filtered() -> None:
    """A ramp compresses far below its raw size, which no filter but Sub or Up does; flat masks stay unfiltered."""
    ramp = np.add.outer(np.arange(200), np.arange(200)).astype(np.uint16)
    assert len(encode_png(ramp)) < 1500
    assert len(encode_png(np.zeros((200, 200), np.uint8))) < 150


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((0, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((2, 2, 3), np.bool_),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    """Types and shapes that PNG has no form for raise."""
    with pytest.raises(MediaError, match="expected"):
        encode_png(array)


def test_every_cut_and_flip_is_a_media_error() -> None:
    """A PNG cut or changed in any byte raises MediaError: chunks have checksums."""
    for end in range(len(PNG)):
        with pytest.raises(MediaError):
            decode_png(PNG[:end])
    for place in range(len(PNG)):
        damaged = bytearray(PNG)
        damaged[place] ^= 0x55
        with pytest.raises(MediaError):
            decode_png(bytes(damaged))


def test_bombs_are_refused_before_memory_is_taken() -> None:
    """A few bytes that claim many pixels raise LimitError."""
    data = bomb(2000)
    assert len(data) < 10_000
    with pytest.raises(LimitError, match="2000×2000"):
        decode_png(data, max_pixels=1_000_000)


def test_interlacing_is_told() -> None:
    """An interlaced PNG is recognised, and refused with the way out."""
    data = bytearray(PNG)
    data[28] = 1
    assert png_header(bytes(data)).interlaced
    assert decode_png(bytes(data), fast_only=True) is None
    with pytest.raises(MediaError, match="Pillow"):
        decode_png(bytes(data))

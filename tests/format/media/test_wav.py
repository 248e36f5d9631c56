"""WAV: samples come back bit for bit."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tableformat.errors import MediaError
from tableformat.format.media.header_sound import sound_header
from tableformat.format.media.wav import decode_wav, encode_wav

SHAPES = st.one_of(st.tuples(st.integers(1, 9)), st.tuples(st.integers(1, 9), st.integers(2, 4)))


@given(
    st.sampled_from([np.int16, np.float32, np.uint8, np.int32, np.float64]).flatmap(
        lambda dtype: hnp.arrays(dtype, SHAPES)
    ),
    st.integers(1, 192_000),
)
def test_samples_come_back(samples: np.ndarray, rate: int) -> None:
    """Frames, channels, values and type survive, and the header tells them."""
    data = encode_wav(samples, rate)
    again, again_rate = decode_wav(data)
    assert again_rate == rate
    assert again.dtype == samples.dtype
    assert again.tobytes() == samples.tobytes()
    assert sound_header(data) == ("wav", rate, 1 if samples.ndim == 1 else samples.shape[1], len(samples))


def test_standard_library_reads_it() -> None:
    """Python's own reader finds the same PCM."""
    samples = np.arange(-6, 6, dtype=np.int16).reshape(6, 2)
    with wave.open(io.BytesIO(encode_wav(samples, 16000))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 16000, 6)
        assert file.readframes(6) == samples.tobytes()


def test_24_bit_samples_are_widened() -> None:
    """PCM of 24 bits comes as int32 without scaling, with its sign."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 3, 8000, 0, "NONE", ""))
        file.writeframes(b"\x01\x00\x00\xff\xff\xff\x00\x00\x80")
    assert decode_wav(out.getvalue())[0].tolist() == [1, -1, -(2**23)]


@pytest.mark.parametrize(
    ("samples", "rate", "why"),
    [
        (np.zeros((2, 8000), np.int16), 8000, "transpose"),
        (np.zeros(4, np.float16), 8000, "convert"),
        (np.zeros((1, 2, 3), np.int16), 8000, "shape"),
        (np.zeros(0, np.int16), 8000, "at least one frame"),
        (np.zeros(4, np.int16), 0, "sample rate"),
    ],
)
def test_what_is_no_sound_is_refused(samples: np.ndarray, rate: int, why: str) -> None:
    """Channels first, other types, no frames and no rate raise, each with its reason."""
    with pytest.raises(MediaError, match=why):
        encode_wav(samples, rate)


def test_damage_is_refused() -> None:
    """Compressed and truncated files raise MediaError."""
    data = encode_wav(np.zeros(4, np.int16), 8000)
    for bad in (data[:-1], data[:20], b"RIFF", data[:20] + b"\x02" + data[21:]):
        with pytest.raises(MediaError):
            decode_wav(bad)

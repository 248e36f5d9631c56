"""COCO masks: run lengths of both kinds, and polygons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tableformat.errors import LimitError, MediaError
from tableformat.format.media.rle import decode_rle, encode_rle, fill_polygons

GRIDS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def compress(counts: list[int]) -> str:
    """COCO's text for run lengths, written from its description."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
            if not more:
                break
    return text


@given(GRIDS)
def test_masks_come_back(mask: np.ndarray) -> None:
    """Plain and compressed run lengths give the mask that they were made of."""
    rle = encode_rle(mask)
    assert np.array_equal(decode_rle(rle), mask)
    for counts in (compress(rle["counts"]), compress(rle["counts"]).encode()):
        assert np.array_equal(decode_rle({"size": rle["size"], "counts": counts}), mask)


def test_runs_go_down_columns() -> None:
    """Three zeros, then two ones, in a mask of two rows: column by column."""
    assert decode_rle({"size": [2, 3], "counts": [3, 2, 1]}).astype(int).tolist() == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 2], "counts": [5]}, {"size": [2, 2], "counts": [3]}, {"size": [2, 2], "counts": [5, -1]}, {"size": [2], "counts": [2]},
        {"size": [2, 2], "counts": 4}, {"size": [2, 2], "counts": "\xff"}, {"size": [2, 2], "counts": "P"}, {"size": [2, 2], "counts": [True, 3]},
        {"counts": [4]}, {"size": "22", "counts": [4]}, {"size": [0, 2], "counts": []}, {"size": [2, 2], "counts": "o" * 40}, [1, 2],
    ],
)  # fmt: skip
def test_bad_run_lengths_are_media_errors(rle: dict) -> None:
    """Runs that do not fill the size, and what is no run length, raise."""
    with pytest.raises(MediaError):
        decode_rle(rle)


def test_huge_sizes_are_refused() -> None:
    """A size that a few bytes claim is bounded before memory is taken."""
    with pytest.raises(LimitError):
        decode_rle({"size": [1 << 20, 1 << 20], "counts": [1 << 40]})


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_rectangles_fill_their_pixels(x1: int, y1: int, x2: int, y2: int) -> None:
    """A polygon along pixel edges fills exactly the pixels inside."""
    mask = fill_polygons([[x1, y1, x2, y1, x2, y2, x1, y2]], (5, 4))
    expected = np.zeros((5, 4), bool)
    expected[min(y1, y2) : max(y1, y2), min(x1, x2) : max(x1, x2)] = True
    assert np.array_equal(mask, expected)


@given(hnp.arrays(np.float64, st.tuples(st.integers(3, 6), st.just(2)), elements=st.floats(-3, 12)))
def test_polygons_hold_the_centres_inside(points: np.ndarray) -> None:
    """A pixel is inside where a ray from its centre crosses the outline an odd number of times."""
    mask = fill_polygons([points], (8, 8))
    for row in range(8):
        for column in range(8):
            x, y = column + 0.5, row + 0.5
            inside = False
            for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
                if y1 > y2:
                    x1, y1, x2, y2 = x2, y2, x1, y1
                inside ^= bool(y1 <= y < y2 and x1 + (y - y1) * ((x2 - x1) / (y2 - y1)) <= x)
            assert mask[row, column] == inside


@pytest.mark.parametrize("polygon", [[0, 0, 1, 1], [0, 0, 1], [[0, 0, 0]] * 3, [0, 0, 1, 1, float("nan"), 2], "abc"])
def test_bad_polygons_are_media_errors(polygon: object) -> None:
    """Fewer than three points and numbers that are not finite raise."""
    with pytest.raises(MediaError):
        fill_polygons([polygon], (4, 4))

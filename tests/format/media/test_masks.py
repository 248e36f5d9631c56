"""Masks: ids come back, whatever they were made of."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image as PillowImage

from tableformat.errors import InvalidInputError, MediaError
from tableformat.format.media import Mask
from tableformat.format.media.masks import layer_of_mask
from tableformat.format.media.png import encode_png, png_header
from tests.format.media.samples import IMAGES, PNG

GRIDS = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
IDS = np.array([[0, 1, 1], [2, 2, 300]])


@given(hnp.arrays(np.uint8, GRIDS) | hnp.arrays(np.uint16, GRIDS) | hnp.arrays(np.bool_, GRIDS))
def test_arrays_come_back(ids: np.ndarray) -> None:
    """Ids survive, and which occur is known without decoding. [MEDIA-17]"""
    mask = Mask(ids)
    assert np.array_equal(mask.to_numpy(), ids)
    assert mask.known_class_ids == mask.class_ids == set(np.unique(ids).tolist())
    assert (mask.width, mask.height) == (ids.shape[1], ids.shape[0])


def test_wide_integers_are_narrowed_exactly() -> None:
    """int64 ids become the narrowest PNG that holds them; what does not fit raises."""
    assert png_header(Mask(IDS).bytes()).depth == 16
    assert png_header(Mask(IDS % 256).bytes()).depth == 8
    assert np.array_equal(Mask(IDS.tolist()).to_numpy(), IDS)
    for bad in (IDS - 1, IDS * 1000, IDS * 0.5, IDS[0], np.zeros((2, 2, 3), np.uint8), np.zeros((0, 3), np.uint8)):
        with pytest.raises(MediaError):
            Mask(bad)


def test_png_is_kept_verbatim(tmp_path: Path) -> None:
    """Bytes and paths of PNG are stored as they are; a palette's indices are the ids."""
    image = PillowImage.new("P", (3, 2))
    image.putdata([0, 1, 1, 2, 2, 5])
    image.putpalette([9, 9, 9] * 6)
    out = io.BytesIO()
    image.save(out, "PNG", bits=8)
    (tmp_path / "m.png").write_bytes(out.getvalue())
    for mask in (Mask(out.getvalue()), Mask(tmp_path / "m.png")):
        assert mask.prepare(check="decode").data == out.getvalue()
        assert mask.to_numpy().tolist() == [[0, 1, 1], [2, 2, 5]]
        assert mask.known_class_ids is None
    assert Mask(image).to_numpy().tolist() == [[0, 1, 1], [2, 2, 5]]


@pytest.mark.parametrize("data", [PNG, IMAGES["jpeg"], b"x"], ids=["rgb", "jpeg", "text"])
def test_other_images_are_no_masks(data: bytes) -> None:
    """Colours and lossy formats have no ids. [MEDIA-18]"""
    with pytest.raises(MediaError):
        Mask(data).prepare()


def test_run_lengths_and_polygons_become_masks() -> None:
    """Both take the id that their inside stands for."""
    rle = Mask({"size": [2, 3], "counts": [3, 2, 1]}, class_id=7)
    assert rle.to_numpy().tolist() == [[0, 0, 7], [0, 7, 0]]
    assert rle.to_rle(7) == {"size": [2, 3], "counts": [3, 2, 1]}
    assert Mask.from_polygons(
        [[0, 0, 2, 0, 2, 1, 0, 1], [1, 0, 3, 0, 3, 1, 1, 1]], (2, 3), class_id=300
    ).to_numpy().tolist() == [[300] * 3, [0] * 3]
    assert Mask.from_polygons([], (1, 2)).to_numpy().tolist() == [[0, 0]]
    with pytest.raises(InvalidInputError, match="65535"):
        Mask(IDS, class_id=70000)


def test_old_layers_are_read(tmp_path: Path) -> None:
    """mask_data, path and run lengths, with labels or without."""
    (tmp_path / "m.png").write_bytes(encode_png(IDS.astype(np.uint16)))
    for value in (
        {"mask_data": IDS, "class_labels": {1: "a"}},
        {"path": str(tmp_path / "m.png"), "class_labels": {1: "a"}},
    ):
        mask, labels = layer_of_mask(value, "a")
        assert np.array_equal(mask.to_numpy(), IDS)
        assert labels == {1: "a"}
    assert layer_of_mask({"size": [1, 1], "counts": [1]}, "a")[0].to_numpy().tolist() == [[0]]
    assert layer_of_mask(IDS, "a")[0] == layer_of_mask(Mask(IDS), "a")[0]
    with pytest.raises(InvalidInputError, match="mask_data"):
        layer_of_mask({"data": IDS}, "a")

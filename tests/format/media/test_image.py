"""Images: arrays, pictures of other libraries, annotations."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tableformat.errors import InvalidInputError, LimitError, MediaError, MissingExtraError
from tableformat.format.media import Box, Classes, Image, Mask
from tests.format.media.samples import IMAGES, PNG, RED, bomb

BOX = Box(1, xyxy=(0, 0, 2, 2))


class Tensor:
    """A tensor as torch has them: detached and moved before it becomes an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.steps: list[str] = []

    def detach(self) -> Tensor:
        self.steps.append("detach")
        return self

    def cpu(self) -> Tensor:
        self.steps.append("cpu")
        return self

    def numpy(self) -> np.ndarray:
        return self.array


@pytest.mark.parametrize(
    "array",
    [
        RED,
        RED[:, :, 0],
        RED[:, :, :1],
        RED.astype(np.uint16) * 257,
        RED[:, :, 0] > 0,
        np.dstack([RED, RED[:, :, :1]]),
        RED.astype(">u2"),
    ],
)
def test_arrays_come_back(array: np.ndarray) -> None:
    """Arrays of each shape and type are stored as PNG and come back."""
    image = Image(array)
    assert image.format == "png"
    assert np.array_equal(image.to_numpy(), array[:, :, 0] if array.shape[2:] == (1,) else array)


def test_changing_an_array_later_does_not_matter() -> None:
    """Arrays are encoded at once."""
    array = RED.copy()
    image = Image(array)
    array[:] = 0
    assert np.array_equal(image.to_numpy(), RED)


@pytest.mark.parametrize(
    ("array", "options", "why"),
    [
        (np.zeros((3, 5, 7), np.uint8), {}, 'layout="CHW"'), (RED / 255, {}, r"scale=\(0, 1\)"), (RED.astype(int), {}, "scale"), (RED, {"layout": "HW"}, "2 axes"),
        (RED, {"layout": "WHC"}, "layout"), (RED / 1.0, {"scale": (0, 1)}, "0 to 255"), (RED * np.nan, {"scale": (0, 1)}, "nan"), (RED, {"scale": (1, 1)}, "low < high"),
        (np.zeros((0, 2)), {}, "one pixel"), (np.zeros(4, np.uint8), {}, "shape"), (np.zeros((2, 2), "U1"), {"scale": (0, 1)}, "numbers"), (PNG, {"layout": "CHW"}, "array"), ("a.png", {"scale": (0, 1)}, "array"),
    ],
)  # fmt: skip
def test_unclear_arrays_are_refused(array: object, options: dict[str, object], why: str) -> None:
    """Channels first and floats raise, naming the argument that says how. [MEDIA-19]"""
    with pytest.raises(MediaError, match=why):
        Image(array, **options)


def test_layout_and_scale_say_how() -> None:
    """Channels first are moved, ranges are mapped to 0–255."""
    assert np.array_equal(Image(RED.transpose(2, 0, 1), layout="CHW").to_numpy(), RED)
    assert np.array_equal(Image(RED / 255, scale=(0, 1)).to_numpy(), RED)
    assert np.array_equal(Image(RED / 127.5 - 1, scale=(-1, 1)).to_numpy(), RED)
    assert np.array_equal(Image(RED.astype(np.int64), scale=(0, 255)).to_numpy(), RED)


def test_tensors_are_detached() -> None:
    """A tensor is brought to the CPU, then taken as an array."""
    tensor = Tensor(RED.transpose(2, 0, 1))
    assert Image(tensor, layout="CHW") == Image(RED)
    assert tensor.steps == ["detach", "cpu"]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "I;16"])
def test_pillow_images_are_taken(mode: str) -> None:
    """Pictures of Pillow come back as their pixels; palettes as colours."""
    picture = (
        PillowImage.fromarray(RED[:, :, 0].astype(np.uint16))
        if mode == "I;16"
        else PillowImage.fromarray(RED).convert(mode)
    )
    assert np.array_equal(Image(picture).to_numpy(), np.asarray(picture.convert("RGB") if mode == "P" else picture))


def test_lossy_pillow_modes_are_refused() -> None:
    """A mode that PNG has no form for raises with the way out."""
    with pytest.raises(MediaError, match="convert"):
        Image(PillowImage.fromarray(RED).convert("CMYK"))


def test_figures_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matplotlib figure, or an axes of one, is drawn to its pixels."""
    agg = types.ModuleType("matplotlib.backends.backend_agg")

    class FigureCanvasAgg:
        def __init__(self, figure: object) -> None:
            self.drawn = False

        def draw(self) -> None:
            self.drawn = True

        def buffer_rgba(self) -> np.ndarray:
            assert self.drawn
            return np.dstack([RED, RED[:, :, :1]])

    agg.FigureCanvasAgg = FigureCanvasAgg
    for name in ("matplotlib", "matplotlib.backends"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", agg)
    figure = type("Figure", (), {"canvas": None, "__module__": "matplotlib.figure"})()
    axes = type("Axes", (), {"figure": figure, "__module__": "matplotlib.axes"})()
    assert Image(figure) == Image(axes) == Image(np.dstack([RED, RED[:, :, :1]]))


def test_other_formats_need_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG is decoded without Pillow; JPEG names the extra to install."""
    assert np.asarray(Image(IMAGES["gif"]).to_numpy()).shape == (2, 3, 3)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert np.array_equal(Image(PNG).to_numpy(), RED)
    with pytest.raises(MissingExtraError, match=r"tableformat\[image\]"):
        Image(IMAGES["jpeg"]).to_pil()


def test_bombs_are_refused() -> None:
    """An image of too many pixels raises before it is decoded."""
    image = Image(bomb(1500))
    for decode in (image.to_numpy, image.to_pil):
        with pytest.raises(LimitError):
            decode(max_pixels=10_000)


def test_undecodable_images_are_media_errors() -> None:
    """Damage that only decoding finds raises MediaError."""
    with pytest.raises(MediaError):
        Image(IMAGES["webp"][:30] + b"\xff" * len(IMAGES["webp"][30:])).to_pil()


def test_annotations_are_kept() -> None:
    """Boxes, masks, caption and classes are there as given."""
    image = Image(PNG, boxes={"truth": [BOX]}, masks={"truth": RED[:, :, 0]}, caption="cat", classes=["a", "b"])
    assert image.boxes == {"truth": (BOX,)}
    assert np.array_equal(image.masks["truth"].to_numpy(), RED[:, :, 0])
    assert image.caption == "cat"
    assert image.classes == Classes(["a", "b"])
    assert image.classes_digest == Classes(["a", "b"]).digest
    again = pickle.loads(pickle.dumps(image))
    assert again == image != Image(PNG)
    assert (Image(PNG).has_boxes, Image(PNG, boxes={}).has_boxes, Image(PNG, masks={}).has_masks) == (False, True, True)


def test_snippets_of_2020_run(tmp_path: Path) -> None:
    """Paths in mask dictionaries, class sets as lists of dictionaries, and an image made of another."""
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "m.png").write_bytes(Mask(RED[:, :, 0] // 255).bytes())
    class_set = Classes([{"name": c, "id": i} for i, c in enumerate(["dog", "cat"])])
    example = Image(
        str(tmp_path / "a.png"), classes=class_set, masks={"ground_truth": {"path": str(tmp_path / "m.png")}}
    )
    predicted = Image(example, masks={"predictions": {"path": str(tmp_path / "m.png")}})
    assert example.prepare().data == predicted.prepare().data == PNG
    assert list(predicted.masks) == ["predictions"]
    assert predicted.classes == class_set


def test_old_labels_become_classes() -> None:
    """Class labels beside boxes and masks are joined; two names for one id raise."""
    old = {"box_data": [], "class_labels": {0: "cat"}}
    image = Image(PNG, boxes={"a": old}, masks={"b": {"mask_data": RED[:, :, 0] // 255, "class_labels": {1: "dog"}}})
    assert image.classes == Classes(["cat", "dog"])
    with pytest.raises(InvalidInputError, match="'cat' for id 0"):
        Image(PNG, boxes={"a": old, "b": {"box_data": [], "class_labels": {0: "dog"}}})


def test_masks_have_the_size_of_their_image() -> None:
    """A mask of another size raises when the image is prepared. [MEDIA-18]"""
    with pytest.raises(MediaError, match=r"3×2.*2×2"):
        Image(PNG, masks={"a": np.zeros((2, 2), np.uint8)}).prepare()
    assert Image(PNG, masks={"a": np.zeros((2, 3), np.uint8)}).prepare().fields["width"] == 3
    assert Image.refer("s3://b/a.png").prepare().refer is not None


def test_ids_outside_of_the_classes_raise() -> None:
    """Ids of boxes and of masks are looked up, unless that is declined. [MEDIA-21]"""
    options = {"boxes": {"a": [BOX, Box(9, xyxy=(0, 0, 1, 1))]}, "masks": {"b": RED[:, :, 0]}, "classes": ["x", "y"]}
    with pytest.raises(InvalidInputError) as caught:
        Image(PNG, **options).prepare()
    assert [problem.place for problem in caught.value.problems] == ["boxes 'a'", "masks 'b'"]
    assert Image(PNG, **options, strict=False).prepare().data == PNG


@pytest.mark.parametrize("options", [{"boxes": [BOX]}, {"boxes": {1: [BOX]}}, {"masks": {"a": {}}}, {"masks": [1]}])
def test_layers_need_names(options: dict[str, object]) -> None:
    """Annotations are a mapping of layer to content."""
    with pytest.raises(InvalidInputError):
        Image(PNG, **options)

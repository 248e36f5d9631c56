"""Boxes: three forms, two units, and the dictionaries of old."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import InvalidInputError
from tableformat.format.media import Box
from tableformat.format.media.boxes import layer_of_boxes

NUMBER = st.floats(-1e6, 1e6)
SIZE = st.floats(0, 1e6)


@given(NUMBER, NUMBER, SIZE, SIZE, st.sampled_from(["xywh", "cxcywh"]))
def test_given_numbers_come_back_exactly(x: float, y: float, width: float, height: float, form: str) -> None:
    """Whatever form a box came in, its numbers are kept to the last bit, also through its stored struct. [MEDIA-14]"""
    box = Box(1, unit="pixel", **{form: (x, y, width, height)})
    assert getattr(box, form) == (x, y, width, height)
    again = Box.from_fields(box.to_fields())
    assert again == box
    assert getattr(again, form) == (x, y, width, height)
    assert pickle.loads(pickle.dumps(box)) == box


def test_forms_agree() -> None:
    """One rectangle in three forms has the same edges."""
    boxes = [Box(1, xyxy=(2, 4, 6, 10)), Box(1, xywh=(2, 4, 4, 6)), Box(1, cxcywh=(4, 7, 4, 6))]
    assert {box.xyxy for box in boxes} == {(2, 4, 6, 10)}
    assert {box.xywh for box in boxes} == {(2, 4, 4, 6)}
    assert [box.form for box in boxes] == ["xyxy", "xywh", "cxcywh"]
    assert {box.unit for box in boxes} == {"pixel"}


def test_fractions_scale_to_pixels() -> None:
    """A box in fractions tells its pixels for a size; one in pixels tells them always."""
    assert Box(0, xyxy=(0.25, 0.5, 1, 1), unit="fraction").to_pixels(8, 4) == (2, 2, 8, 4)
    assert Box(0, xyxy=(2, 2, 8, 4)).to_pixels(1, 1) == (2, 2, 8, 4)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "one of"), ({"xyxy": (0, 0, 1, 1), "xywh": (0, 0, 1, 1)}, "one of"), ({"xyxy": (5, 0, 1, 1)}, "xmin ≤ xmax"), ({"xywh": (0, 0, -1, 1)}, "xmin ≤ xmax"),
        ({"xyxy": (0, 0, math.nan, 1)}, "finite"), ({"xyxy": (0, 0, 1)}, "four"), ({"xyxy": (0.1, 0.2, 0.3, 0.4)}, 'unit="fraction"'), ({"xyxy": (0, 0, 1, 1), "unit": "mm"}, "pixel | fraction"),
        ({"xyxy": (0, 0, 1, 1), "scores": [1]}, "scores"), ({"xyxy": (0, 0, 1, 1), "class_id": 1.5}, "class_id"), ({"xyxy": (0, 0, 1, 1), "caption": 3}, "caption"),
        ({"xyxy": (0, 0, 1, 1), "extra": {"x": object()}}, "JSON"),
    ],
)  # fmt: skip
def test_bad_boxes_are_refused(options: dict[str, object], why: str) -> None:
    """Each mistake raises with its reason. [MEDIA-15]"""
    with pytest.raises(InvalidInputError, match=why):
        Box(**options)


def test_old_dictionaries_are_read() -> None:
    """Both positions, both domains, scores, captions and unknown keys are kept. [MEDIA-16]"""
    old = {
        "position": {"minX": 0.1, "maxX": 0.3, "minY": 0.2, "maxY": 0.5},
        "class_id": 2,
        "scores": {"iou": math.nan},
        "box_caption": "car",
        "track": {"id": 7, "x": math.inf},
    }
    box = Box.from_dict(old)
    assert (box.xyxy, box.unit, box.form, box.class_id, box.caption) == (
        (0.1, 0.2, 0.3, 0.5),
        "fraction",
        "xyxy",
        2,
        "car",
    )
    assert math.isnan(box.scores["iou"])
    assert dict(box.extra) == {"track": {"id": 7, "x": "Infinity"}}
    middle = Box.from_dict({"position": {"middle": [0.2, 0.3], "width": 0.1, "height": 0.7}, "domain": "pixel"})
    assert (middle.cxcywh, middle.unit, middle.form, middle.class_id) == ((0.2, 0.3, 0.1, 0.7), "pixel", "cxcywh", None)


def test_old_edges_out_of_order_are_told_or_kept() -> None:
    """Edges in the wrong order raise; converters put them in order and keep what was given."""
    old = {"position": {"minX": 5, "maxX": 3, "minY": 2, "maxY": 4}, "domain": "pixel"}
    with pytest.raises(InvalidInputError, match="minX ≤ maxX"):
        Box.from_dict(old)
    box = Box.from_dict(old, strict=False)
    assert (box.xyxy, box.extra["given"]) == ((3, 2, 5, 4), [5, 2, 3, 4])


@pytest.mark.parametrize(
    "old",
    [
        {},
        {"position": {}},
        {"position": {"minX": 1}},
        {"position": {"minX": 1, "maxX": "a", "minY": 1, "maxY": 2}},
        {"position": {"middle": [1, 2], "width": 1, "height": 1}, "domain": "mm"},
    ],
)
def test_bad_dictionaries_are_refused(old: dict[str, object]) -> None:
    """A dictionary that is no box raises."""
    with pytest.raises(InvalidInputError):
        Box.from_dict(old)


@pytest.mark.parametrize(
    "change",
    [
        {"xmin": None},
        {"xmin": 9.0},
        {"unit": "mm"},
        {"form": "ltrb"},
        {"extra": "[1]"},
        {"extra": "{"},
        {"class_id": "a"},
    ],
)
def test_bad_structs_are_refused(change: dict[str, object]) -> None:
    """A stored box against the specification raises."""
    with pytest.raises(InvalidInputError):
        Box.from_fields({**Box(1, xyxy=(0, 0, 2, 2)).to_fields(), **change})


def test_layers_come_in_both_forms() -> None:
    """A list of boxes and dictionaries, or an old layer with its labels."""
    box = Box(1, xyxy=(0, 0, 2, 2))
    old = {"position": {"minX": 0, "maxX": 2, "minY": 0, "maxY": 2}, "domain": "pixel", "class_id": 1}
    assert layer_of_boxes([box, old], "a") == ((box, box), None)
    assert layer_of_boxes({"box_data": [old], "class_labels": {1: "cat"}}, "a") == ((box,), {1: "cat"})
    for bad in (box, "abc", [3], {"boxes": []}, 3):
        with pytest.raises(InvalidInputError, match="reading"):
            layer_of_boxes(bad, "a")


def test_repr_is_how_it_was_given() -> None:
    """The form and numbers as given."""
    assert (
        repr(Box(1, xywh=(1, 2, 3, 4), caption="a", scores={"p": 0.5}))
        == "Box(1, xywh=(1, 2, 3, 4), unit='pixel', caption='a', scores={'p': 0.5})"
    )

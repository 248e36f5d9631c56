"""The legacy fixtures: where they are, and how a converted cell is compared with what `expected.json` says."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import tableformat
from tableformat.convert.legacy import ConversionReport, convert_wandb

LEGACY = Path(__file__).resolve().parents[2] / "data" / "legacy"
CASES = sorted(path.name for path in LEGACY.iterdir() if path.is_dir())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def expected_of(case: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((LEGACY / case / "expected.json").read_text())
    return value


def identities_of(case: str) -> dict[str, str]:
    """The ids of the artifacts of a case, as a file of identities has them."""
    found = {}
    for one in expected_of(case)["artifacts"]:
        for name in ("id", "id_hex", "client_id"):
            if one[name]:
                found[one[name]] = f"{one['name']}:{one['version']}"
    return found


def convert_case(case: str, store: tableformat.Store, **options: Any) -> ConversionReport:
    folder = LEGACY / case / ("artifacts" if expected_of(case)["artifacts"] else "run-files")
    return convert_wandb(folder, store, progress=False, **{"identities": identities_of(case), **options})


class Wrong(AssertionError):
    """A cell that is not what it should be."""


def need(condition: Any, *told: Any) -> None:
    if not condition:
        raise Wrong(*told)


def check_cell(expected: Any, actual: Any, label: str = "", beside: dict[str, Any] | None = None) -> None:
    """Raise `Wrong` where `actual` is not the cell that `expected` stands for. `label` is the type of its column."""
    if "timestamp" in label:
        check_time(expected, actual)
    elif isinstance(expected, dict) and "$" in expected:
        check_tagged(expected, actual, beside or {})
    elif isinstance(actual, tableformat.Media) or (actual is None and isinstance(expected, dict)):
        check_undecoded(expected, actual, beside or {})
    elif label == "binary" and expected is not None:
        need(type(actual) is bytes and actual == expected.encode(), expected, actual)
    elif isinstance(expected, list):
        need(isinstance(actual, list) and len(actual) == len(expected), expected, actual)
        for one, other in zip(expected, actual, strict=True):
            check_cell(one, other, label.removeprefix("list<"), beside)
    elif isinstance(expected, dict):
        need(isinstance(actual, dict) and actual.keys() == expected.keys(), expected, actual)
        for key, one in expected.items():
            check_cell(one, actual[key], "", beside)
    elif type(expected) is int and type(actual) is float:
        need(label.endswith("float64>") or "float64" in label, expected, actual)
        need(actual == expected, expected, actual)
    elif type(expected) is int and isinstance(actual, Decimal):
        need(int(actual) == expected and actual == int(actual), expected, actual)
    else:
        need(type(actual) is type(expected) and actual == expected, expected, actual)
        need(
            not isinstance(expected, float) or math.copysign(1, expected) == math.copysign(1, actual), expected, actual
        )


def check_tagged(expected: dict[str, Any], actual: Any, beside: dict[str, Any]) -> None:
    tag = expected["$"]
    if tag == "int":
        need(isinstance(actual, int | Decimal) and int(actual) == int(expected["v"]), expected, actual)
    elif tag == "float":
        names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
        if isinstance(actual, dict):
            need(actual == {"$float": names[expected["v"]]}, expected, actual)
        else:
            need(type(actual) is float and str(actual) == expected["v"], expected, actual)
    elif tag in ("key", "index"):
        need(actual == expected["v"] and type(actual) is type(expected["v"]), expected, actual)
    elif tag == "npscalar":
        need(type(actual) is float and actual == expected["v"], expected, actual)
    elif tag == "ndarray":
        check_array(expected, actual)
    elif tag == "media":
        check_media(expected, actual, beside)
    elif tag == "datetime":
        check_time(expected, actual)
    else:
        raise Wrong("unknown tag", tag)


def check_time(expected: Any, actual: Any) -> None:
    if expected is None:
        need(actual is None, actual)
        return
    if isinstance(expected, list):
        for one, other in zip(expected, actual, strict=True):
            check_time(one, other)
        return
    exact = (
        int(actual.astype("M8[ns]").astype(np.int64))
        if isinstance(actual, np.datetime64)
        else (actual - EPOCH) // timedelta(microseconds=1) * 1000
    )
    if isinstance(expected, dict) and expected["$"] == "datetime":
        told = (datetime.fromisoformat(expected["v"]) - EPOCH) // timedelta(microseconds=1) * 1000
        need(abs(exact - told) <= 500, expected, actual)
        return
    if isinstance(expected, str):
        told = (datetime.fromisoformat(expected).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1000
    else:
        value = Fraction(int(expected["v"]) if isinstance(expected, dict) else expected)
        while not -62135596800000 <= value <= 253402300799999:
            value /= 1000
        told = round(value * 1_000_000)
    need(abs(exact - told) < 1000, expected, actual)


def check_array(expected: dict[str, Any], actual: Any) -> None:
    need(isinstance(actual, np.ndarray), expected, actual)
    values, dtype, shape = expected["v"], expected["dtype"], expected["shape"]
    if dtype.startswith("complex"):
        dtype, shape = {"complex64": "float32", "complex128": "float64"}[dtype], [*shape, 2]
    need(str(actual.dtype) == dtype and list(actual.shape) == shape, expected, actual.dtype, actual.shape)
    wanted = np.array(_plain(values), dtype).reshape(shape)
    need(np.array_equal(actual, wanted, equal_nan=actual.dtype.kind == "f"), expected, actual)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return value["v"] if value["$"] == "complex" else float(value["v"])
    return value


def check_undecoded(expected: Any, actual: Any, beside: dict[str, Any]) -> None:
    """Media that the old reader did not open: the object as it stood in the file."""
    need(isinstance(expected, dict) and isinstance(expected.get("_type"), str), expected, actual)
    more = dict(beside.get("more") or {})
    if actual is None:  # nothing to hold or to point at
        need({**more, "path": beside["path"]} == expected, expected, more)
        return
    need(beside["path"] == expected["path"], expected, beside)
    need(actual.digest == "sha256:" + expected["sha256"] or more.get("sha256") == expected["sha256"], expected, actual)
    need(actual.caption == expected.get("caption"), expected, actual.caption)


def check_media(expected: dict[str, Any], actual: Any, beside: dict[str, Any]) -> None:
    if expected["type"] == "table":
        need(actual["columns"] == expected["columns"] and actual["data"] == expected["rows"], expected, actual)
        return
    if isinstance(actual, dict):  # among other values: the object as it stood
        need(actual["_type"] == expected["type"] and actual["path"] == expected["path"], expected, actual)
        need(actual.get("sha256", expected["sha256"]) == expected["sha256"], expected, actual)
        return
    need(isinstance(actual, tableformat.Media), expected, actual)
    paths = beside["path"] if isinstance(beside["path"], list) else [beside["path"]]
    need(expected["path"] in paths, expected, beside)
    if actual.reference is None:
        need(actual.digest == "sha256:" + expected["sha256"], expected, actual.digest)
    size = len(actual.bytes()) if actual.size is None else actual.size  # compressed media know it when they are read
    need(size == expected["size"], expected, size)
    more = beside["more"] or {} if not isinstance(beside["path"], list) else {}
    need("caption" not in expected or actual.caption == expected["caption"], expected, actual.caption)
    if expected["type"] == "image-file":
        check_image(expected, actual, more)
    elif expected["type"] == "html-file":
        need(actual.text() == expected["html"], expected, actual)


def check_image(expected: dict[str, Any], actual: Any, more: dict[str, Any]) -> None:
    need((actual.width, actual.height) == (expected["width"], expected["height"]), expected, actual)
    need(more.get("format", expected["path"].rpartition(".")[2]) == expected["format"], expected, more)
    need(more.get("grouping") == expected.get("grouping"), expected, more)
    if actual.reference is None:
        check_pixels(expected, actual.to_pil())
    if expected.get("classes") is not None:
        need(class_list(actual.classes) == by_id(expected["classes"]), expected["classes"], actual.classes)
    boxes = expected.get("boxes") or {}
    need(actual.boxes.keys() == boxes.keys(), boxes, actual.boxes)
    for layer, told in boxes.items():
        for one, box in zip(told["box_data"], actual.boxes[layer], strict=True):
            check_box(one, box)
    masks = expected.get("masks") or {}
    need(actual.masks.keys() == masks.keys(), masks, actual.masks)
    for layer, told in masks.items():
        mask = actual.masks[layer]
        need(mask.digest == "sha256:" + told["sha256"] and [mask.width, mask.height] == told["size"], told, mask)
        need(more["masks"][layer]["path"] == told["path"], told, more)


def check_pixels(expected: dict[str, Any], image: Any) -> None:
    told = f"{image.mode}|{image.width}x{image.height}|".encode() + image.tobytes()
    need(
        image.mode == expected["mode"] and hashlib.sha256(told).hexdigest() == expected["pixels_sha256"],
        expected,
        image,
    )


def by_id(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: item["id"])


def class_list(classes: Any) -> list[dict[str, Any]]:
    """A class set as the old documents have it; ours are in the order of their ids."""
    found = []
    for id_, name in classes.names.items():
        extra = dict(classes.extra_of(id_))
        found.append({"id": extra.pop("legacy_id", id_), "name": name, **extra})
    return found


def check_box(expected: dict[str, Any], box: tableformat.Box) -> None:
    position = expected["position"]
    if "minX" in position:
        need(box.xyxy == tuple(position[key] for key in ("minX", "minY", "maxX", "maxY")), expected, box)
    else:
        need(box.cxcywh == (*position["middle"], position["width"], position["height"]), expected, box)
    need(box.unit == ("pixel" if expected.get("domain") == "pixel" else "fraction"), expected, box)
    need(box.class_id == expected.get("class_id") and box.caption == expected.get("box_caption"), expected, box)
    scores = {
        name: float(value["v"]) if isinstance(value, dict) else value
        for name, value in (expected.get("scores") or {}).items()
    }
    need(
        box.scores.keys() == scores.keys()
        and all(str(box.scores[name]) == str(float(scores[name])) for name in scores),
        expected,
        box,
    )
    known = {"position", "domain", "class_id", "box_caption", "scores"}
    extra = {key: value for key, value in box.extra.items() if key != "given"}
    need(extra == {key: value for key, value in expected.items() if key not in known}, expected, box.extra)

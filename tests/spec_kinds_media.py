"""The kinds of cases of spec/media.md: class sets, boxes, cells, links, headers, arrays and run lengths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tableformat.errors import FormatError
from tableformat.format.media import Box, Cell, Classes, Mask
from tableformat.format.media.headers import check_header
from tableformat.format.media.links import check_url
from tableformat.format.media.png import decode_png, encode_png
from tableformat.format.media.rle import decode_rle, encode_rle
from tableformat.format.media.wav import decode_wav, encode_wav
from tests.spec_runner import CaseKind


def _object(data: bytes) -> dict[str, Any]:
    value = json.loads(data)
    assert isinstance(value, dict)
    return value


def _array(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array(value["values"], dtype=value["dtype"]).reshape(value["shape"])


def read_box(data: bytes) -> object:
    """A box as `Box` takes it, or the dictionary of old, as its stored struct; scores as an object."""
    value = _object(data)
    box = Box.from_dict(value) if "position" in value else Box(value.pop("class_id", None), **value)
    return {**box.to_fields(), "scores": dict(box.scores)}


def read_stored_box(data: bytes) -> object:
    """The struct of a stored box, read and written again."""
    return Box.from_fields(_object(data)).to_fields()


def read_cell(data: bytes) -> object:
    """The fields of a stored cell with its `kind`; `inline` as text. The value is the digest of the media."""
    value = _object(data)
    file = value.get("file")
    if isinstance(file, dict) and "inline" in file:
        file["inline"] = file["inline"].encode("utf-8")
    cell = Cell.from_fields(value["kind"], value)
    if cell.inline is not None:
        cell.read()
    return cell.media_digest


def read_array(data: bytes) -> object:
    """An array as `dtype`, `shape` and flat `values`, through PNG and back."""
    array = _array(_object(data))
    pixels = decode_png(encode_png(array))
    assert pixels is not None
    assert pixels.dtype == array.dtype
    assert pixels.reshape(array.shape).tolist() == array.tolist()
    return pixels.tolist()


def read_mask(data: bytes) -> object:
    """The same for the ids of a mask."""
    array = _array(_object(data))
    assert Mask(array).to_numpy().tolist() == array.tolist()
    return array.tolist()


def read_samples(data: bytes) -> object:
    """The same for samples, through WAV."""
    array = _array(_object(data))
    samples, rate = decode_wav(encode_wav(array, 8000))
    assert (samples.dtype, samples.tolist(), rate) == (array.dtype, array.tolist(), 8000)
    return samples.tolist()


def read_rle(data: bytes) -> object:
    """Run lengths, as plain ones."""
    return encode_rle(decode_rle(_object(data)))


def read_classes(data: bytes) -> Mapping[str, Any]:
    """A class set from its document."""
    return Classes.decode(data).to_json()


def read_url(data: bytes) -> str:
    """A URL to refer to, on a line of its own."""
    try:
        return check_url(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FormatError("not text") from error


CASE_KINDS: dict[str, CaseKind] = {
    "classes": CaseKind(read_classes, lambda document: Classes.from_json(document).encode()),
    "box": CaseKind(read_box),
    "stored-box": CaseKind(read_stored_box),
    "media-cell": CaseKind(read_cell),
    "image": CaseKind(lambda data: check_header("image", data).fields),
    "audio": CaseKind(lambda data: check_header("audio", data).fields),
    "png-array": CaseKind(read_array),
    "mask-array": CaseKind(read_mask),
    "wav-array": CaseKind(read_samples),
    "rle": CaseKind(read_rle),
    "url": CaseKind(read_url),
}
"""Name of a kind → how to run its cases."""

"""Single values as JSON come back as they were, and JSON of another shape is refused by name."""

import json
import math

import pyarrow as pa
import pytest

from tableformat.errors import FormatError
from tableformat.format.media.kinds import MEDIA_KINDS, cell_type
from tableformat.format.storage_json import from_storage_json, to_storage_json

BOX = pa.struct({"xmin": pa.float64(), "scores": pa.map_(pa.string(), pa.float64()), "b": pa.binary()})


def there_and_back(array):
    type_ = array.type
    texts = [json.dumps(to_storage_json(value, type_), allow_nan=False) for value in array.to_pylist()]
    return pa.array([from_storage_json(json.loads(text), type_, "here") for text in texts], type_)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([{"xmin": math.nan, "scores": [("a", 1.5), ("b", -0.0)], "b": b"\x00\xff"}, None], BOX),
        pa.array([[[1.0, math.inf]], None, []], pa.list_(pa.list_(pa.float32()))),
        pa.array([[b"ab", b"cd"]], pa.list_(pa.binary(2), 2)),
        pa.array([2**62, -1, None]),
        pa.array([True, None]),
        pa.array(["ä\x00", ""]),
    ],
    ids=lambda array: str(array.type),
)
def test_values_come_back(array):
    """Bytes, NaN, infinities, maps and nulls survive JSON as their type says."""
    assert str(there_and_back(array).to_pylist()) == str(array.to_pylist())


@pytest.mark.parametrize("kind", sorted(MEDIA_KINDS))
def test_cells_come_back(kind):
    """A cell of each kind of media survives, inline bytes and all."""
    type_ = cell_type(kind)
    cell = {field.name: None for field in type_} | {"file": {field.name: None for field in type_.field("file").type}}
    cell["file"] |= {"inline": bytes(range(256)), "size": 256, "checksum": "SHA-256:00"}
    array = pa.array([cell, None], type_)
    assert there_and_back(array).equals(array)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (1, pa.string()), ("x", pa.int64()), (1.5, pa.float64()), ("x", pa.float64()), ("??", pa.binary()), (3, pa.binary()),
        ("ab", pa.list_(pa.string())), ({"a": 1}, pa.struct({"b": pa.int64()})), ([["a"]], pa.map_(pa.string(), pa.int64())),
        ([1], pa.struct({"a": pa.int64()})), (1.0, pa.int64()),
    ],
)  # fmt: skip
def test_other_shapes_are_refused(value, type_):
    """JSON that is not a value of the type is a format error that names the entry."""
    with pytest.raises(FormatError, match="here"):
        from_storage_json(value, type_, "here")

"""Media cells are found at any depth and replaced there, with everything around them as it was."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tableformat.format.cells import CellRewriter, has_cells, is_cell
from tableformat.format.media.cells import build_cells
from tableformat.format.media.kinds import FILE_TYPE, MEDIA_KINDS, cell_type

IMAGE = cell_type("image")


def cells(count, nulls=()):
    return build_cells(
        "image", count, valid=[i not in nulls for i in range(count)], uri=[f"u{i}" for i in range(count)]
    )


def wrapped(shape):
    """Five cells, one of them null, inside `shape`, with nulls above them too."""
    inner = cells(5, nulls=[1])
    offsets = pa.array([0, 2, 2, 3, 5], pa.int32())
    masks = pa.array([False, True, False, False])
    keys = pa.array(["a", "b", "c", "d", "e"])
    return {
        "cell": inner,
        "struct": pa.StructArray.from_arrays([inner, keys], ["c", "k"], mask=pa.array([True, False, False, False, False])),
        "list": pa.ListArray.from_arrays(offsets, inner, mask=masks),
        "map": pa.MapArray.from_arrays(offsets, keys, inner, mask=masks),
        "fixed": pa.FixedSizeListArray.from_arrays(inner.slice(1, 4), 2, mask=pa.array([False, True])),
        "deep": pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays([pa.ListArray.from_arrays(pa.array([0, 0, 1, 2, 3, 5], pa.int32()), inner)], ["l"])),
    }[shape]  # fmt: skip


SHAPES = ["cell", "struct", "list", "map", "fixed", "deep"]


def same_cells(array, type_):
    return array.cast(type_)


def prefixed(array, type_):
    """The cells with another uri; what is below a null struct may be anything."""
    file = array.field("file")
    uri = pc.binary_join_element_wise("x", file.field("uri"), "/")
    fields = [uri if name == "uri" else file.field(name) for name in FILE_TYPE.names]
    whole = pa.StructArray.from_arrays(fields, fields=list(FILE_TYPE), mask=file.is_null())
    rest = [array.field(index) for index in range(1, type_.num_fields)]
    return pa.StructArray.from_arrays([whole, *rest], fields=list(type_), mask=array.is_null())


def uris(value):
    """Every uri inside a Python value, in order."""
    if isinstance(value, dict):
        return [value["uri"]] if "uri" in value else [uri for one in value.values() for uri in uris(one)]
    return [uri for one in value for uri in uris(one)] if isinstance(value, list | tuple) else []


@pytest.mark.parametrize("kind", sorted(MEDIA_KINDS))
def test_cells_are_known_by_type(kind):
    """The type of a cell tells that it is one; other structs are none."""
    assert is_cell(cell_type(kind))
    assert has_cells(pa.map_(pa.string(), pa.list_(pa.struct({"a": cell_type(kind)}))))
    assert not is_cell(pa.struct({"file": pa.struct({"uri": pa.string()})}))
    assert not has_cells(pa.struct({"file": pa.string(), "x": pa.list_(pa.int64())}))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("part", [(0, None), (1, None), (1, 1), (0, 0)])
def test_only_cells_change(shape, part):
    """In whole arrays and slices of them, each cell is rewritten and nulls, lists and neighbours stay."""
    array = wrapped(shape).slice(*part)
    rewriter = CellRewriter.plan(array.type, lambda type_: type_, prefixed)
    after = rewriter.convert(array)
    after.validate(full=True)
    assert after.type == array.type
    assert uris(after.to_pylist()) == [f"x/{uri}" for uri in uris(array.to_pylist())]
    identity = CellRewriter.plan(array.type, lambda type_: type_, same_cells).convert(array)
    assert identity.to_pylist() == array.to_pylist()


def test_types_without_cells_need_no_rewriter():
    """Columns without media are left alone."""
    assert (
        CellRewriter.plan(pa.struct({"a": pa.list_(pa.map_(pa.string(), pa.int8()))}), lambda type_: type_, same_cells)
        is None
    )

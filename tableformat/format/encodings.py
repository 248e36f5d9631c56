"""How the leaf columns of a part are encoded, and which of them are compressed (spec/part.md, "Encodings").

Scores, embeddings and weights are noise but for their exponents: of uniform float32 zstd saves a tenth, and to decode that tenth
takes a fifth of the time of reading a table of them. So floats that would shrink by less than an eighth are stored as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tableformat.format.sizes import struct_children
from tableformat.format.types.arrays import list_parts, one_chunk

__all__ = ["ParquetLeaf", "parquet_leaves", "writer_options"]

_RUNS: Final = 4
_RUN_VALUES: Final = 1024
_SAVING: Final = 8


@dataclass(frozen=True, slots=True)
class ParquetLeaf:
    """A leaf column of a Parquet file."""

    path: str
    """Its name in Parquet: those of the nodes above it and its own, with dots between."""
    type: pa.DataType
    steps: tuple[int, ...]
    """Which field of each node leads to it, from the column of the table on; of a list 0, of a map 0 for keys and 1 for values."""


def parquet_leaves(schema: pa.Schema) -> Iterator[ParquetLeaf]:
    """The leaf columns in the order of the file."""
    for place, field in enumerate(schema):
        yield from _leaves(field.name, field.type, (place,))


def _leaves(path: str, type_: pa.DataType, steps: tuple[int, ...]) -> Iterator[ParquetLeaf]:
    if pa.types.is_struct(type_):
        for place, field in enumerate(type_):
            yield from _leaves(f"{path}.{field.name}", field.type, (*steps, place))
    elif pa.types.is_map(type_):
        yield from _leaves(f"{path}.key_value.key", type_.key_type, (*steps, 0))
        yield from _leaves(f"{path}.key_value.value", type_.item_type, (*steps, 1))
    elif pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        yield from _leaves(f"{path}.list.element", type_.value_type, (*steps, 0))
    else:
        yield ParquetLeaf(path, type_, steps)


def writer_options(group: pa.Table, codec: str, level: int) -> dict[str, Any]:
    """What `pyarrow.parquet.ParquetWriter` is told for a file whose first row group is `group`."""
    dictionary: list[str] = []
    statistics: list[str] = []
    encodings: dict[str, str] = {}
    codecs: dict[str, str] = {}
    for leaf in parquet_leaves(group.schema):
        path, type_, is_top = leaf.path, leaf.type, len(leaf.steps) == 1
        codecs[path] = codec
        if pa.types.is_string(type_):
            if path.rsplit(".", 1)[-1] in ("checksum", "digest") and not is_top:
                encodings[path] = "PLAIN"  # 64 hex digits a row, all different
            else:
                dictionary.append(path)
                if is_top:
                    statistics.append(path)
        elif pa.types.is_boolean(type_):
            statistics.append(path)
        elif pa.types.is_integer(type_) or pa.types.is_temporal(type_):
            statistics.append(path)
            encodings[path] = "DELTA_BINARY_PACKED"
        elif pa.types.is_decimal(type_):
            statistics.append(path)
            encodings[path] = "PLAIN"
        else:
            encodings[path] = "PLAIN"  # floats and binary: a dictionary costs time and gains nothing
            if pa.types.is_floating(type_) and type_.bit_width > 16:
                if is_top:
                    statistics.append(path)
                if _is_incompressible(_values(group, leaf), codec, level):
                    codecs[path] = "none"
    return {
        "use_dictionary": dictionary or False,
        "column_encoding": encodings or None,
        "write_statistics": statistics or False,
        "compression": codecs,
        "compression_level": {path: level for path, found in codecs.items() if found == codec},
        "version": "2.6",
        "data_page_version": "1.0",
        "write_page_index": True,
        "write_page_checksum": True,
        "store_schema": True,
    }


def _values(group: pa.Table, leaf: ParquetLeaf) -> pa.Array:
    """The values of a leaf, without those of lists that are null."""
    array = one_chunk(group.column(leaf.steps[0]))
    for step in leaf.steps[1:]:
        if pa.types.is_struct(array.type):
            array = struct_children(array)[step]
        elif pa.types.is_map(array.type):
            array = list_parts(array)[1].field(step)
        else:
            array = array.flatten()
    return array


def _is_incompressible(values: pa.Array, codec: str, level: int) -> bool:
    """Whether four runs of 1,024 floats, from the first, a quarter, half and three quarters on, shrink by less than an eighth.

    Of up to 4,096 values all are tried; nulls are left out.
    """
    count = len(values)
    runs = [values]
    if count > _RUNS * _RUN_VALUES:
        runs = [values.slice(number * count // _RUNS, _RUN_VALUES) for number in range(_RUNS)]
    sample = b"".join(np.asarray(run.drop_null()).tobytes() for run in runs)
    shrunk = pa.Codec(codec, compression_level=level).compress(sample, asbytes=True)
    return len(sample) - len(shrunk) < len(sample) // _SAVING

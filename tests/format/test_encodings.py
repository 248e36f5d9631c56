"""How leaf columns are encoded, and which floats are not worth compressing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tableformat.format.encodings import parquet_leaves, writer_options

RNG = np.random.default_rng(1)
NOISE = RNG.random(20_000)
ROUND = np.round(NOISE, 1)
LISTS = pa.ListArray.from_arrays(np.arange(0, 20_001, 10, dtype=np.int32), pa.array(NOISE.astype("f4")))


def codecs(table: pa.Table) -> dict[str, str]:
    """The codec of each leaf of a file that was written with the options for `table`."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, **writer_options(table, "zstd", 1)) as writer:
        writer.write_table(table)
    group = pq.read_metadata(sink).row_group(0)
    return {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}


@pytest.mark.parametrize("type_", [pa.float32(), pa.float64()])
def test_noise_is_not_compressed_and_what_repeats_is(type_: pa.DataType) -> None:
    """Floats that shrink by less than an eighth have no codec; those that repeat, and all other types, have it. [PART-1]"""
    table = pa.table({
        "noise": pa.array(NOISE).cast(type_, safe=False), "round": pa.array(ROUND).cast(type_, safe=False),
        "id": np.arange(20_000), "text": [str(value) for value in NOISE], "bytes": [value.tobytes() for value in NOISE],
        "half": pa.array(NOISE.astype("f2")),
    })  # fmt: skip
    found = codecs(table)
    assert found.pop("noise") == "UNCOMPRESSED"
    assert set(found.values()) == {"ZSTD"}


def test_leaves_of_nested_columns_are_tried_each_for_itself() -> None:
    """Floats in lists, structs and maps are tried by their own values; lists that are null hold none."""
    holes = pa.array([None if row % 3 else [float(row)] * 3 for row in range(2000)], pa.list_(pa.float32()))
    table = pa.table({
        "lists": LISTS, "fixed": pa.FixedSizeListArray.from_arrays(pa.array(NOISE), 10), "holes": holes,
        "struct": pa.StructArray.from_arrays([pa.array(NOISE[:2000]), pa.array(ROUND[:2000])], ["noise", "round"]),
        "map": pa.MapArray.from_arrays(
            np.arange(2001, dtype=np.int32), pa.array(ROUND[:2000]), pa.array(NOISE[:2000].astype("f4"))
        ),
    })  # fmt: skip
    raw = {path for path, codec in codecs(table).items() if codec == "UNCOMPRESSED"}
    assert raw == {"lists.list.element", "fixed.list.element", "struct.noise", "map.key_value.value"}
    assert [leaf.path for leaf in parquet_leaves(table.schema)] == list(codecs(table))


def test_samples_are_taken_throughout() -> None:
    """Four runs decide, so that a column of zeros with noise at its start is compressed, and slices count as what they show."""
    start = np.zeros(40_000)
    start[:2000] = NOISE[:2000]
    assert codecs(pa.table({"x": start})) == {"x": "ZSTD"}
    table = pa.table({"x": np.concatenate([np.zeros(10_000), NOISE[:6000]])})
    assert codecs(table) == {"x": "ZSTD"}
    assert codecs(table.slice(10_000)) == {"x": "UNCOMPRESSED"}


@pytest.mark.parametrize("values", [[], [None, None], [None, 1.5] * 4000, [float("nan")] * 4000])
def test_nulls_and_nans_are_no_noise(values: list[Any]) -> None:
    """A column without values, of nulls or of one value can be written, and reads back."""
    table = pa.table({"x": pa.array(values, pa.float64())})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, **writer_options(table, "zstd", 1)) as writer:
        writer.write_table(table)
    assert pq.read_table(sink).column("x").null_count == table.column("x").null_count


def test_the_same_rows_have_the_same_options() -> None:
    """How rows stand in memory, in chunks or slices of more, changes nothing."""
    whole = pa.table({"x": NOISE, "y": ROUND})
    parts = pa.concat_tables([whole.slice(0, 7000), whole.slice(7000)])
    assert writer_options(parts, "zstd", 1) == writer_options(whole, "zstd", 1)

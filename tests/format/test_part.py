"""Parts: plain Parquet of one layout, the same bytes for the same rows, and a footer that is checked before it is used."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tableformat
from tableformat.digest import digest_of
from tableformat.errors import CorruptError, FormatError, LimitError, TableformatError
from tableformat.format.encodings import parquet_leaves
from tableformat.format.media.kinds import cell_type
from tableformat.format.part import (
    FOOTER_KEY,
    MAX_FOOTER_BYTES,
    Footer,
    Layout,
    PartEncoder,
    parse_footer,
    plan_group_rows,
    split_footer,
)
from tableformat.format.schema import Schema
from tableformat.format.stats import ColumnStats, stats_columns, stats_value
from tableformat.format.types import ImageType, TensorType
from tableformat.format.value_digest import value_digest

LAYOUT = Layout(256, 4096)
SCHEMA = Schema.from_user({
    "id": pa.int64(), "name": pa.string(), "score": pa.float32(), "ok": pa.bool_(), "price": pa.decimal128(7, 2), "raw": pa.binary(),
    "half": pa.float16(), "when": pa.timestamp("us", "UTC"), "tags": pa.list_(pa.string()), "image": ImageType(), "vector": TensorType("float32", (3,)),
})  # fmt: skip


def rows(count: int, start: int = 0) -> pa.Table:
    columns: dict[str, Any] = {
        "id": range(start, start + count), "name": [f"n{row % 7}" for row in range(count)], "score": np.arange(count, dtype="f4"), "tags": [["a", "b"]] * count,
    }  # fmt: skip
    arrow = SCHEMA.arrow_schema()
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in arrow
    ]
    return pa.Table.from_arrays(arrays, schema=arrow)


def open_part(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)


def whole(*groups: pa.Table) -> tuple[bytes, Footer]:
    written = bytearray()
    encoder = PartEncoder(SCHEMA.arrow_schema(), LAYOUT, {"schema": SCHEMA.to_json()}, written.extend)
    for group in groups:
        encoder.write(group)
    footer = encoder.close()
    return bytes(written), footer


def file_of(*groups: pa.Table) -> pq.ParquetFile:
    return open_part(whole(*groups)[0])


def test_parts_are_parquet_of_the_stated_sort() -> None:
    """Format 2.6, data pages 1, the codec of the layout but where floats do not shrink, one row group for each write. [PART-1]"""
    file = file_of(rows(256), rows(44, 256))
    assert file.metadata.format_version == "2.6"
    assert [file.metadata.row_group(i).num_rows for i in range(2)] == [256, 44]
    columns = [file.metadata.row_group(0).column(i) for i in range(file.metadata.num_columns)]
    assert {column.compression for column in columns if column.physical_type not in ("FLOAT", "DOUBLE")} == {"ZSTD"}
    assert (
        file.read()
        .select(["id", "name", "tags"])
        .equals(pa.concat_tables([rows(256), rows(44, 256)]).select(["id", "name", "tags"]), check_metadata=False)
    )


def test_pages_have_checksums_and_an_index() -> None:
    """A flipped byte in any page is found by Parquet's own checksum, and each chunk has a page index. [PART-2]"""
    data, _ = whole(rows(50))
    chunk = open_part(data).metadata.row_group(0).column(0)
    assert chunk.has_offset_index
    at = chunk.data_page_offset + chunk.total_compressed_size - 3
    broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        open_part(broken).read()


def test_columns_and_ids_are_those_of_the_schema() -> None:
    """Names, order, storage types and the id of each node stand in the file. [PART-3]"""
    found = file_of(rows(3)).schema_arrow
    assert found.equals(SCHEMA.arrow_schema(), check_metadata=False)
    assert [field.metadata[b"PARQUET:field_id"] for field in found] == [
        str(column.id).encode() for column in SCHEMA.columns
    ]
    tags = SCHEMA["tags"].type.fields[0]
    assert found.field("tags").type.value_field.metadata[b"PARQUET:field_id"] == str(tags.id).encode()
    assert not any(b"ARROW:extension" in key for field in found for key in field.metadata)


def test_a_part_explains_itself() -> None:
    """The footer has one key of ours, the schema as JSON, and readers do not need it. [PART-5]"""
    file = file_of(rows(3))
    assert json.loads(file.metadata.metadata[FOOTER_KEY]) == {"schema": SCHEMA.to_json()}
    assert set(file.metadata.metadata) == {FOOTER_KEY, b"ARROW:schema"}


def test_the_same_rows_make_the_same_bytes() -> None:
    """A part follows from rows, schema and layout; arrays in other chunks change nothing."""
    table = rows(200)
    shifted = pa.concat_tables([rows(1, 900), table]).slice(1).combine_chunks()
    assert whole(table)[0] == whole(shifted)[0]


def test_encodings_follow_the_types() -> None:
    """Dictionaries for strings, deltas for integers, plain for floats; statistics where they serve."""
    image = pa.array(
        [{"file": {"uri": "packs/x", "offset": 1, "size": 2, "checksum": "SHA-256:1"}, "width": 3}] * 100,
        cell_type("image"),
    )
    table = rows(100)
    table = table.set_column(table.schema.get_field_index("image"), table.schema.field("image"), image)
    group = file_of(table).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert "RLE_DICTIONARY" in columns["name"].encodings
    assert "RLE_DICTIONARY" in columns["image.file.uri"].encodings
    assert "RLE_DICTIONARY" not in columns["image.file.checksum"].encodings
    assert "DELTA_BINARY_PACKED" in columns["id"].encodings
    assert "DELTA_BINARY_PACKED" in columns["image.file.offset"].encodings
    assert "DELTA_BINARY_PACKED" not in columns["score"].encodings
    with_statistics = {
        path for path, column in columns.items() if column.statistics is not None and column.statistics.has_min_max
    }
    assert {"id", "name", "score"} <= with_statistics
    assert not {"raw", "half", "image.file.checksum"} & with_statistics
    assert [leaf.path for leaf in parquet_leaves(SCHEMA.arrow_schema())] == list(columns)


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": True},
        {"compression": "snappy", "use_dictionary": False},
        {"column_encoding": {"id": "BYTE_STREAM_SPLIT"}, "use_dictionary": False},
    ],
)
def test_readers_take_any_encoding(options: dict[str, Any], tmp_path: Path) -> None:
    """Rows are what they are, however another writer of Parquet coded them. [PART-8]"""
    table = pa.table({"id": pa.array(range(9), pa.int64()), "name": ["a", "b", None] * 3})
    pq.write_table(table, tmp_path / "x.parquet", **options)
    read = tableformat.read_table(str(tmp_path / "x.parquet")).to_arrow()
    assert value_digest(read.column("id")) == value_digest(table.column("id"))
    assert read.column("name").to_pylist() == table.column("name").to_pylist()


@pytest.mark.parametrize(
    ("widest", "expected"),
    [(1, 65_536), (8, 65_536), (64, 32_768), (300, 4096), (8192, 256), (1 << 30, 256), (0, 65_536)],
)
def test_row_groups_follow_the_widest_column(widest: int, expected: int) -> None:
    """A row group has a power of two of rows for which the widest column comes to 2 MiB decoded. [PART-7]"""
    assert plan_group_rows(widest) == expected


def test_footers_are_compared_before_they_are_parsed() -> None:
    """Another length, another digest or no Parquet at all: an error that says so. [PART-6]"""
    data, footer = whole(rows(5))
    tail = data[-footer.size :]
    assert footer.file_size == len(data)
    assert footer.digest == digest_of(tail)
    assert parse_footer(tail, "x", size=footer.size, digest=footer.digest).num_rows == 5
    for broken in (tail[:-1] + b"2", bytes([tail[0] ^ 1]) + tail[1:], tail[1:], b""):
        with pytest.raises(CorruptError):
            parse_footer(broken, "x", size=footer.size, digest=footer.digest)
    with pytest.raises(FormatError):
        split_footer(b"PAR", "x")
    with pytest.raises(LimitError):
        split_footer((MAX_FOOTER_BYTES + 1).to_bytes(4, "little") + b"PAR1", "x")
    with pytest.raises(FormatError):
        parse_footer(b"\0" * 40 + (32).to_bytes(4, "little") + b"PAR1", "x")


@given(st.binary(max_size=64))
def test_any_bytes_are_a_footer_or_an_error(data: bytes) -> None:
    """Nothing but our errors comes out of bytes that are no footer."""
    with pytest.raises(TableformatError):
        parse_footer(data, "x")


@pytest.mark.parametrize(
    "change",
    [
        {"group_rows": 0},
        {"part_rows": 1 << 50},
        {"cut": "x"},
        {"group_rows": "1"},
        {"part_bytes": None},
        {"level": ...},
    ],
)
def test_layouts_are_checked(change: dict[str, Any]) -> None:
    """A layout gives itself again; a missing or impossible field is a format error."""
    value = LAYOUT.to_json()
    assert Layout.from_json(value, "x") == LAYOUT
    changed = {name: item for name, item in {**value, **change}.items() if item is not ...}
    with pytest.raises(FormatError, match="layout"):
        Layout.from_json(changed, "x")


STATS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)), (pa.uint64(), st.integers(0, 2**64 - 1)), (pa.float64(), st.floats()), (pa.float32(), st.floats(width=32)),
    (pa.bool_(), st.booleans()), (pa.date32(), st.integers(-9999, 9999)), (pa.timestamp("ns", "UTC"), st.integers(-(2**62), 2**62)),
    (pa.time64("us"), st.integers(0, 86_399_999_999)), (pa.duration("s"), st.integers(-(2**40), 2**40)), (pa.string(), st.text(max_size=4)),
]  # fmt: skip


@given(st.sampled_from(STATS), st.data())
def test_statistics_are_bounds(pair: tuple[pa.DataType, st.SearchStrategy[Any]], data: st.DataObject) -> None:
    """No value lies outside of min and max, whatever the slices; NaN does not count, nulls are counted. [PART-13]"""
    type_, strategy = pair
    values = data.draw(st.lists(st.none() | strategy, max_size=8))
    stats = ColumnStats(type_)
    for start in range(0, len(values), 3):
        stats.update(pa.array(values[start : start + 3], type_))
    told = stats.to_json()
    counted = [value for value in values if value is not None and value == value]
    assert told["nulls"] == values.count(None)
    assert (told["min"] is None) == (not counted)
    if counted:
        for value, bound in ((min(counted), told["min"]), (max(counted), told["max"])):
            assert stats_value(bound, type_) == pa.scalar(value, type_)


def test_statistics_are_kept_of_numbers_and_times() -> None:
    """Strings have none, being data, unless they are the key; nested columns have none."""
    assert [SCHEMA.columns[i].name for i in stats_columns(SCHEMA)] == ["id", "score", "ok", "when"]
    assert [SCHEMA.columns[i].name for i in stats_columns(SCHEMA, ["name"])] == ["id", "name", "score", "ok", "when"]

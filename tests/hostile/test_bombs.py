"""Few bytes that claim, or become, very many: Parquet footers and pages, zstd frames, images. Each ends in `LimitError`, or in little memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat.digest import digest_of
from tableformat.errors import FormatError, LimitError, TableformatError
from tableformat.format.deletions import Deletions, decode_deletions
from tableformat.format.footer import check_footer
from tableformat.format.frame import decode_frame
from tableformat.format.item_list import LeafDescriptor, decode_leaf
from tableformat.format.limits import Limits
from tableformat.format.media.png import encode_png
from tableformat.format.part import parse_footer
from tableformat.format.reference_leaf import LEAF_SCHEMA
from tableformat.format.reference_leaf import decode_leaf as decode_references
from tableformat.storage.location_table import decode_locations
from tests.figures import note
from tests.hostile.child import run
from tests.hostile.forging import forge
from tests.hostile.samples import items_of, store_part, write_small

PEAK = 512 << 20


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes(found + bytes([number]))


def with_claim(data: bytes, old: int, new: int) -> bytes:
    """The Parquet file with a number of its footer said to be another one, wherever it stands."""
    footer = footer_of(data)
    was = varint(old * 2)
    assert was in footer[:-8]
    made = footer[:-8].replace(was, varint(new * 2))
    return data[: -len(footer)] + made + len(made).to_bytes(4, "little") + b"PAR1"


def footer_of(data: bytes) -> bytes:
    return data[-int.from_bytes(data[-8:-4], "little") - 8 :]


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", **options)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def chunk_of(data: bytes, column: int = 0) -> Any:
    return pq.read_metadata(pa.BufferReader(data)).row_group(0).column(column)


def repeated_text(rows: int = 80, length: int = 4 << 20) -> bytes:
    """A file of a few hundred bytes, which says to have 300 decoded, and has one text of 4 MiB in every row."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * length]))
    data = parquet(pa.table({"text": text}), store_schema=False, dictionary_pagesize_limit=2 * length)
    return with_claim(data, chunk_of(data).total_uncompressed_size, 300)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tableformat.Store:
    return write_small(tmp_path_factory.mktemp("bombs") / "store")


def put_table(store: tableformat.Store, columns: dict[str, Any], data: bytes, rows: int) -> None:
    """A version whose table has the schema of `columns` and the one part `data`, whatever that is."""
    with store.draft("honest") as draft:
        draft.add(pa.table(columns), "t")
    [item] = items_of(store, "honest")
    part = store_part(store, data, rows, item["parts"]["items"][0]["values"])
    forge(store.context, "lies", [{**item, "rows": rows, "parts": {"count": 1, "items": [part]}}])


def test_text_that_a_footer_is_silent_about(store: tableformat.Store) -> None:
    """A part of 12 KB that becomes 320 MiB under a footer that tells of 300 bytes is refused, in four times the limit. [SECURITY-4]"""
    data = repeated_text()
    assert len(data) < 50_000
    put_table(store, {"text": ["a"]}, data, 80)
    found = run("text", store.root)
    assert found["peak"] < PEAK
    assert found["kinds"] == ["limit"]


def test_footers_that_claim_terabytes(store: tableformat.Store) -> None:
    """A footer that claims 2^45 decoded bytes is refused before any is read; what is large indeed is read when a limit is raised. [SECURITY-3]"""
    column = pa.table({"text": [f"{n:04}" * 5000 for n in range(500)]})
    large = parquet(column, use_dictionary=False)
    put_table(store, {"text": ["a"]}, with_claim(large, chunk_of(large).total_uncompressed_size, 1 << 45), 500)
    with pytest.raises(LimitError, match="limits=Limits"):
        tableformat.open_store(store.root)["lies"]["t"].to_arrow()
    put_table(store, {"text": ["a"]}, large, 500)
    with pytest.raises(LimitError, match="limits=Limits"):
        tableformat.open_store(store.root, limits=Limits(row_group_bytes=1 << 20))["lies"]["t"].to_arrow()
    enough = tableformat.open_store(store.root, limits=Limits(row_group_bytes=1 << 24))
    assert enough["lies"]["t"].to_arrow().equals(column)


def test_limits_go_where_the_store_goes(store: tableformat.Store) -> None:
    """A table that is pickled has the limits of the store that it came from; and so has one read by its address."""
    import pickle

    given = Limits(row_group_bytes=1 << 20, decoded_media_bytes=5)
    table = tableformat.open_store(store.root, limits=given)["a"]["t"]
    assert pickle.loads(pickle.dumps(table)).source.limits == given
    assert pickle.loads(pickle.dumps(tableformat.open_store(store.root, limits=given))).context.limits == given
    assert tableformat.read_table(f"{store.root}#a/t", limits=given).source.limits == given
    assert tableformat.read_table(f"{store.root}#a/t").source.limits == Limits()


def test_rows_that_a_footer_claims(store: tableformat.Store) -> None:
    """A footer that claims 2^40 rows of numbers for 100,000 is refused, and a manifest that claims them, too. [SECURITY-3]"""
    data = parquet(pa.table({"x": pa.array([7] * 100_000)}))
    for claim in (1 << 40, 1 << 52):
        put_table(store, {"x": [1]}, with_claim(data, 100_000, claim), claim)
        with pytest.raises(LimitError):
            tableformat.open_store(store.root)["lies"]["t"].to_arrow()
        put_table(store, {"x": [1]}, data, claim)
        with pytest.raises(FormatError):
            tableformat.open_store(store.root)["lies"]["t"].to_arrow()


SMALL_FILES: dict[str, Any] = {
    "leaf of items": (
        pa.schema([("key", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64()), ("item", pa.string())]),
        lambda data, rows: decode_leaf(data, LeafDescriptor(digest_of(data), len(data), rows, "a", "z"), "leaf"),
    ),
    "leaf of references": (LEAF_SCHEMA, lambda data, rows: decode_references(data, "leaf", rows)),
    "locations": (
        pa.schema([pa.field("digest", pa.binary(32), nullable=False), ("uri", pa.string()), ("offset", pa.int64()), ("size", pa.int64())]),
        lambda data, rows: decode_locations(data, "moved", erased=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sort", SMALL_FILES)
def test_small_files_do_not_become_large(sort: str) -> None:
    """A leaf or a moved/ file whose text is one of 64 MiB in each of 1,000 rows is refused before it is decoded. [SECURITY-8]"""
    schema, decode = SMALL_FILES[sort]
    rows = 1000
    columns = []
    for field in schema:
        if pa.types.is_string(field.type):
            text = pa.array(["a" * (64 << 20)] if field.name in ("item", "etag", "uri") else ["a"])
            columns.append(pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text))
        elif field.nullable or not pa.types.is_fixed_size_binary(field.type):
            columns.append(pa.nulls(rows, field.type))
        else:
            columns.append(pa.array([bytes(32)] * rows, field.type))
    table = pa.Table.from_arrays(columns, names=schema.names)
    data = parquet(table, use_dictionary=True, store_schema=False, dictionary_pagesize_limit=1 << 30)
    assert len(data) < 1 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(TableformatError):
        decode(data, rows)
    assert pa.total_allocated_bytes() - before < PEAK


def test_deletions_do_not_become_large() -> None:
    """A deletion file that claims more rows than its part has, or more than any may have, is refused before it is decoded."""
    data = parquet(pa.table({"row": pa.array([0] * 100_000)}, pa.schema([pa.field("row", pa.int64(), nullable=False)])))
    for rows, part_rows in ((100_000, 100_000), (1 << 40, 1 << 41), (7, 7)):
        with pytest.raises(TableformatError):
            decode_deletions(data, Deletions(digest_of(data), len(data), rows), part_rows, "deletions")


def test_footers_that_would_end_the_process() -> None:
    """Contradictions over which pyarrow ends the process when a column chunk is looked at are found before. [SECURITY-5]"""
    data = parquet(pa.table({"x": pa.array([1, 2, 3]), "s": ["a", "b", "c"]}), write_page_checksum=True)
    footer = footer_of(data)
    refused = 0
    for at in range(4, len(footer) - 8):
        for value in (footer[at] ^ 0x10, footer[at] ^ 1, 0xFF, 0):
            lie = footer[:at] + bytes([value]) + footer[at + 1 :]
            try:
                metadata = parse_footer(lie, "part")
            except FormatError:
                refused += 1
                continue
            except LimitError:
                continue
            for group in range(metadata.num_row_groups):
                for column in range(metadata.num_columns):
                    assert metadata.row_group(group).column(column) is not None
    assert refused > 100
    check_footer(footer, pq.read_metadata(pa.BufferReader(data)), "part")


@pytest.fixture(scope="module")
def bare(store: tableformat.Store) -> tableformat.Store:
    """The store with a version `bare`, whose table has one part without page checksums."""
    items = items_of(store, "a:v0")
    [item] = [item for item in items if item["name"] == "t"]
    part = item["parts"]["items"][0]
    rows = pq.read_table(pa.BufferReader(store.context.backend.read(f"data/{part['files'][0]['digest'][7:]}.parquet")))
    told = store_part(store, parquet(rows, write_page_checksum=False), part["rows"], part["values"])
    classes = [one for one in items if one["name"] == "classes"]
    forge(store.context, "bare", [*classes, {**item, "parts": {"count": 1, "items": [told]}}])
    assert [row["id"] for row in store["bare"]["t"]] == list(range(6))
    return store


def test_pages_without_checksums(bare: tableformat.Store) -> None:
    """A part that carries no checksums and lies in its pages or its footer is read or refused; the process lives, in little memory."""
    assert run("pages", bare.root, 0, 30)["peak"] < 2 * PEAK


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 4_100, 500))
def test_pages_without_checksums_long(bare: tableformat.Store, first: int) -> None:
    """The same for 4,000 parts."""
    peak = run("pages", bare.root, first, 500, seconds=3600)["peak"]
    note(f"pages without checksums, from {first}", parts=500, peak_bytes=peak)
    assert peak < 2 * PEAK


def test_text_that_is_no_text(store: tableformat.Store) -> None:
    """Bytes that are no UTF-8 in a column of text, at any depth, never leave as text: other engines would not look again. [SECURITY-2]"""
    offsets = pa.array([0, 2, 3], pa.int32()).buffers()[1]
    bad = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"\xff\xfea"))
    good = pa.array(["a", "b"])
    for wrap in (
        lambda text: text,
        lambda text: pa.StructArray.from_arrays([text], ["s"]),
        lambda text: pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), text),
        lambda text: pa.MapArray.from_arrays(pa.array([0, 1, 2], pa.int32()), good, text),
    ):
        put_table(store, {"x": wrap(good)}, parquet(pa.table({"x": wrap(bad)})), 2)
        with pytest.raises(FormatError, match="UTF"):
            tableformat.open_store(store.root)["lies"]["t"].to_arrow()
        with pytest.raises(tableformat.errors.InvalidInputError, match="UTF"), store.draft("out") as draft:
            draft.add(pa.table({"x": wrap(bad)}), "t")


def frame(size: int, flags: int = 0b1110_0000) -> bytes:
    """The head of a zstd frame that says its content has `size` bytes, and a block of zeros."""
    return b"\x28\xb5\x2f\xfd" + bytes([flags]) + size.to_bytes(8, "little") + b"\x03\x00\x00\x00"


def test_frames_that_lie() -> None:
    """A zstd frame that claims 4 TiB, or none at all, or holds more than it claims, is refused before memory is taken. [SECURITY-6]"""
    for lie in (frame(1 << 42), frame((8 << 20) + 1)):
        with pytest.raises(LimitError):
            decode_frame(lie, None, "frame")
    gib = pa.Codec("zstd").compress(bytes(1 << 26), asbytes=True)
    with pytest.raises(LimitError):
        decode_frame(gib, None, "frame")
    small = bytearray(pa.Codec("zstd").compress(bytes(1 << 20), asbytes=True))
    for size in (1, 100, (1 << 20) - 1):
        lie = frame(size)[:13] + bytes(small[small.index(b"\x00\x00", 6) :])
        with pytest.raises(FormatError):
            decode_frame(lie, None, "frame")
    for cut in range(len(small)):
        with pytest.raises((FormatError, LimitError)):
            decode_frame(bytes(small[:cut]), None, "frame")


def png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body or bytes(100))) + chunk(b"IEND", b"")


def test_images_that_claim_pixels(tmp_path: Path) -> None:
    """Images of 2^62 claimed pixels are stored and shown undecoded; decoding one raises, unless a larger bound was given. [SECURITY-7]"""
    store = tableformat.open_store(tmp_path / "store")
    bombs = [png(2**31 - 1, 2**31 - 1), png(100_000, 100_000, bytes(1 << 20)), png(60_000, 60_000)]
    with store.draft("a") as draft, draft.table("t", {"image": tableformat.ImageType()}) as table:
        for bomb in bombs:
            table.append(image=tableformat.Image(bomb))
    for row in store["a"]["t"]:
        image = row["image"]
        assert repr(image)
        assert image.width >= 60_000
        with pytest.raises(LimitError):
            image.to_numpy()
        with pytest.raises(TableformatError):
            image.to_pil()
    honest = tableformat.Image(encode_png(np.zeros((40, 50), np.uint8)))
    with pytest.raises(LimitError):
        honest.to_numpy(max_pixels=1999)
    assert honest.to_numpy(max_pixels=2000).shape == (40, 50)

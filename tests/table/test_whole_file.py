"""Files that are read in one go are checked by one sum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash

import tableformat
from tableformat.errors import CorruptError
from tableformat.format.manifest import Part
from tableformat.table.whole_file import read_whole


@pytest.fixture
def table(tmp_path: Path) -> tableformat.Table:
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft, draft.table("t", key="id") as writer:
        writer.extend(pa.table({"id": np.arange(3000), "x": np.random.default_rng(1).random(3000)}))
    return store["a"]["t"]


def part_of(table: tableformat.Table) -> Part:
    return table._reading.parts()[0]


def test_the_sum_is_that_of_the_file(table: tableformat.Table) -> None:
    """A part that is written tells the XXH3-64 of its file. [PART-19]"""
    file = part_of(table).files[0]
    data = Path(table.files()[0]).read_bytes()
    assert file.xxh3 == xxhash.xxh3_64_hexdigest(data)


@pytest.mark.parametrize("place", [0, 4, 5, 30, 5000, -9, -1])
def test_every_byte_is_under_it(table: tableformat.Table, place: int) -> None:
    """A change anywhere is found: in the magic words and in headers of pages, too, which page checksums leave out. [PART-6]"""
    path = Path(table.files()[0])
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=r"XXH3-64 [0-9a-f]{16}, got [0-9a-f]{16} · verify the store"):
        table.to_arrow()


def test_without_a_sum_pages_are_verified(table: tableformat.Table) -> None:
    """Where the writer told none, the checksum of each page is compared as it is decoded. [PART-6]"""
    part = part_of(table)
    bare = replace(part.files[0], xxh3=None)
    backend, path = table.source.backend, Path(table.files()[0])
    assert read_whole(backend, bare, None).opened.read().num_rows == part.rows
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        read_whole(backend, bare, None).opened.read()

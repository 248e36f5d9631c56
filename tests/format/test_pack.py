"""The pack layout: what other tools make of it, and that a reader takes nothing but what a writer makes."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import CorruptError, FormatError, InvalidInputError
from tableformat.format.pack import (
    END_BYTES,
    MAX_BLOB_BYTES,
    MAX_PACK_BLOBS,
    MAX_PACK_BYTES,
    PackBuilder,
    check_ext,
    decode_directory,
    decode_pack,
    directory_range,
    encode_pack,
)

EXTS = st.sampled_from(["png", "jpg", "html.zst", "bin", "mol2"])
BLOBS = st.lists(st.tuples(st.binary(max_size=200), EXTS), max_size=12, unique_by=lambda blob: blob[0])
SMALL = [(b"first", "png"), (b"", "bin"), (b"third blob", "html.zst")]


def positions(blobs: list[tuple[bytes, str]]) -> list[tuple[bytes, str, bytes]]:
    pack = encode_pack(blobs)
    return [(pack[b.offset : b.offset + b.size], b.ext, b.digest) for b in decode_pack(pack, "pack")]


@given(BLOBS)
def test_blobs_come_back_in_order(blobs: list[tuple[bytes, str]]) -> None:
    """A pack gives back its blobs, extensions and digests in the order of writing."""
    assert positions(blobs) == [(data, ext, sha256(data).digest()) for data, ext in blobs]


@given(BLOBS)
def test_python_unpacks_a_pack(blobs: list[tuple[bytes, str]]) -> None:
    """Python's own ZIP reader takes every pack, and its CRCs hold [PACK-1] [PACK-2]."""
    with zipfile.ZipFile(io.BytesIO(encode_pack(blobs))) as archive:
        assert archive.testzip() is None
        assert [(archive.read(i), i.filename) for i in archive.infolist()] == [
            (data, f"{sha256(data).hexdigest()}.{ext}") for data, ext in blobs
        ]


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_accepts_a_pack(tmp_path: Path) -> None:
    """`unzip -t` finds no error in a pack of blobs with several extensions."""
    path = tmp_path / "pack.zip"
    path.write_bytes(encode_pack(SMALL))
    done = subprocess.run(["unzip", "-t", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, "No errors detected" in done.stdout) == (0, True), done.stdout


def test_batches_make_the_same_pack_as_one_call() -> None:
    """How blobs were batched cannot be told from the pack, and a list of one extension is that extension."""
    builder = PackBuilder()
    pieces: list[bytes] = []
    for data, ext in SMALL:
        headers, _ = builder.add_many([sha256(data).digest()], np.array([len(data)]), [zlib.crc32(data)], ext)
        pieces += [*headers, data]
    assert b"".join([*pieces, builder.finish()]) == encode_pack(SMALL)


def test_every_cut_and_every_flipped_byte_is_found() -> None:
    """A pack that lacks bytes at the end, or has one byte changed anywhere, is corrupt [PACK-9]."""
    pack = encode_pack(SMALL)
    for length in range(len(pack)):
        with pytest.raises(CorruptError):
            decode_pack(pack[:length], "pack")
    for place in range(len(pack)):
        with pytest.raises(CorruptError):
            decode_pack(pack[:place] + bytes([pack[place] ^ 0x10]) + pack[place + 1 :], "pack")


def test_bytes_before_or_after_are_refused() -> None:
    """A pack begins with its first entry and ends with its end record, so nothing hides around it."""
    pack = encode_pack(SMALL)
    for data in (b"x" + pack, pack + b"x", pack + pack):
        with pytest.raises(CorruptError):
            decode_pack(data, "pack")


@given(st.binary(max_size=120), st.integers(0, 400))
def test_any_bytes_give_blobs_or_a_format_error(noise: bytes, place: int) -> None:
    """Whatever is written over a pack, a reader answers with a value or a `FormatError`."""
    pack = encode_pack(SMALL)
    data = pack[:place] + noise + pack[place + len(noise) :]
    for attempt in (data, noise, pack[:-END_BYTES] + noise[:END_BYTES]):
        try:
            decode_pack(attempt, "pack")
        except FormatError:
            continue
        assert attempt in (pack, b"PK\x05\x06" + b"\0" * 18)


def test_the_directory_is_enough_to_list_a_pack() -> None:
    """The end of the file alone tells all blobs, also when more than the directory was fetched."""
    pack = encode_pack(SMALL)
    start, length = directory_range(pack[-END_BYTES:], len(pack), "pack")
    whole = decode_pack(pack, "pack")
    assert start + length + END_BYTES == len(pack)
    assert decode_directory(pack[start:], len(pack), "pack") == whole
    assert decode_directory(pack[start - 5 :], len(pack), "pack") == whole
    with pytest.raises(CorruptError, match="bytes"):
        decode_directory(pack[start + 1 :], len(pack), "pack")


def test_room_is_bounded_by_count_and_bytes() -> None:
    """A builder says how many blobs still fit below 65,534 of them and 64 MiB [PACK-5]."""
    builder = PackBuilder()
    assert builder.room(np.full(70_000, 1)) == MAX_PACK_BLOBS
    assert builder.room(np.full(20, MAX_BLOB_BYTES)) == MAX_PACK_BYTES // MAX_BLOB_BYTES
    builder.add_many([b"\1" * 32], np.array([MAX_PACK_BYTES - 3]), [0], "bin")
    assert [builder.room(np.array([2, 1, 1])), builder.room(np.array([4])), builder.room(np.array([0]))] == [2, 0, 1]


def test_a_full_pack_is_listed() -> None:
    """65,534 blobs fit one pack and are read back; one more entry is the sign of zip64 and refused [PACK-5]."""
    blobs = [(number.to_bytes(3, "big"), "bin") for number in range(MAX_PACK_BLOBS)]
    pack = encode_pack(blobs)
    assert len(decode_directory(pack, len(pack), "pack")) == MAX_PACK_BLOBS
    with pytest.raises(InvalidInputError):
        encode_pack([*blobs, (b"one more", "bin")])
    end = bytearray(pack[-END_BYTES:])
    end[8:12] = b"\xff\xff\xff\xff"
    with pytest.raises(CorruptError, match="zip64"):
        directory_range(bytes(end), len(pack), "pack")


def test_one_digest_twice_is_refused() -> None:
    """Two entries of one name would unpack to one file, so no pack has them [PACK-6]."""
    with pytest.raises(CorruptError, match="twice"):
        decode_pack(encode_pack([(b"same", "png"), (b"same", "png")]), "pack")
    with pytest.raises(CorruptError, match="twice"):
        decode_pack(encode_pack([(b"same", "png"), (b"same", "jpg")]), "pack")


@pytest.mark.parametrize("ext", ["", ".", "PNG", "a/b", "../x", "a.b.c", "png ", "p\n", "é", "x" * 13, "a.", ".a"])
def test_extensions_are_plain(ext: str) -> None:
    """An extension that could be a path, or that some system reads otherwise, is refused [PACK-2]."""
    with pytest.raises(InvalidInputError):
        check_ext(ext)


def test_a_hostile_count_takes_no_memory() -> None:
    """A directory that claims more than its bytes allow is refused from its end record alone [PACK-9]."""
    end = b"PK\x05\x06" + b"\0" * 4 + (60_000).to_bytes(2, "little") * 2 + (100).to_bytes(4, "little") + b"\0" * 6
    with pytest.raises(CorruptError, match="60000 entries"):
        directory_range(end, 122, "pack")

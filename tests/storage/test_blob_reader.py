"""`BlobReader`: the right bytes or an error that says what is wrong, wherever the blob is now."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import CorruptError, NotFoundError, UsageError
from tableformat.format.pack import MAX_BLOB_BYTES
from tableformat.storage.backend import Backend, open_backend
from tableformat.storage.blob_reader import BlobReader, BlobRequest, read_pack_directory
from tableformat.storage.blobs import BlobWriter
from tableformat.storage.local import LocalBackend
from tableformat.storage.locations import DATA, MIB, Location, blob_uri, is_owned_uri, pack_uri
from tableformat.storage.moved import MAX_HOPS, encode_moved, moved_path, write_moved

RANDOM = random.Random(11)
LARGE = RANDOM.randbytes(MAX_BLOB_BYTES + MIB + 77)
FAR = "packs/00/" + "0" * 64 + ".zip"


def store(backend: Backend, datas: Sequence[bytes]) -> list[BlobRequest]:
    """Write `datas`; the requests that read them back."""
    writer = BlobWriter(backend, dedup="none")
    placed = writer.put_many(datas)
    writer.close()
    uris = writer.uris(placed.slot).to_pylist()
    return list(zip(uris, placed.offset.tolist(), placed.size.tolist(), placed.digests, strict=True))


def flip(backend: Backend, uri: str, place: int) -> None:
    data = bytearray(backend.read(DATA + uri))
    data[place] ^= 1
    backend.overwrite(DATA + uri, bytes(data))


def test_many_blobs_are_read_in_order(store_url: str) -> None:
    """Blobs of several files, repeated and out of order, come back as they were asked for."""
    backend = open_backend(store_url)
    datas = [RANDOM.randbytes(size) for size in (0, 1, 5000, 70_000)] + [LARGE]
    requests = store(backend, datas) + store(backend, [b"another pack"])
    order = [5, 3, 0, 4, 3, 1, 2]
    found = BlobReader(backend).read_many([requests[row] for row in order])
    assert found == [([*datas, b"another pack"])[row] for row in order]
    assert BlobReader(backend).read_many([]) == []


def test_changed_bytes_are_told_with_their_place(tmp_path: Path) -> None:
    """A blob that differs from its digest raises `CorruptError` with file and range; unchecked reads say so by asking [BLOB-4]."""
    backend = open_backend(str(tmp_path))
    requests = store(backend, [b"good", b"other"])
    uri, offset, size, _ = requests[1]
    flip(backend, uri, offset)
    reader = BlobReader(backend)
    assert reader.read_many(requests[:1]) == [b"good"]
    with pytest.raises(CorruptError, match=f"{uri} bytes {offset}–{offset + size}"):
        reader.read_many(requests)
    assert reader.read_many(requests, verify=False)[1] != b"other"
    assert reader.read_many([(uri, offset, size, None)])[0] != b"other"


def test_a_byte_lost_on_the_way_is_read_again(tmp_path: Path) -> None:
    """Bytes that were right where they lie and changed on their way are fetched a second time."""

    class Noisy(LocalBackend):
        def read_ranges(self, ranges):  # type: ignore[no-untyped-def]
            return [bytes([data[0] ^ 1]) + data[1:] for data in super().read_ranges(ranges)]

    backend = Noisy(str(tmp_path))
    requests = store(backend, [b"first", b"second"])
    assert BlobReader(backend).read_many(requests) == [b"first", b"second"]


@pytest.mark.parametrize(
    "uri",
    [
        "", "/etc/passwd", "../x", "packs/../../x", "packs/00/x.zip", "file:///etc/passwd", FAR + "/..", FAR.upper(), FAR + "\n",
        "packs/01/" + "0" * 64 + ".zip", "blobs/00/" + "0" * 64 + ".sums", "memory://x::" + FAR, "packs/00/" + "0" * 63 + "g.zip",
    ],
)  # fmt: skip
def test_uris_lead_nowhere_else(tmp_path: Path, uri: str) -> None:
    """A uri that is not exactly that of a pack or a large blob is refused before anything is opened [BLOB-3]."""
    assert not is_owned_uri(uri)
    with pytest.raises(CorruptError):
        BlobReader(open_backend(str(tmp_path))).read_many([(uri, 0, 1, None)])
    with pytest.raises(CorruptError):
        BlobReader(open_backend(str(tmp_path))).open_range(uri, 0, MAX_BLOB_BYTES + 1, None)


@given(st.binary(min_size=32, max_size=32).map(bytes.hex))
def test_uris_of_packs_and_blobs_are_owned(stem: str) -> None:
    """Every digest names one pack and one large blob."""
    assert is_owned_uri(pack_uri(stem))
    assert is_owned_uri(blob_uri(stem))


def test_hostile_ranges_take_no_memory(tmp_path: Path) -> None:
    """Negative places, and sizes that no file has, are refused before memory is taken for them."""
    backend = open_backend(str(tmp_path))
    (small, large) = store(backend, [b"small", LARGE])
    reader = BlobReader(backend)
    for offset, size in ((-1, 5), (0, -1), (0, 1 << 60), (0, MAX_BLOB_BYTES + 1)):
        with pytest.raises(CorruptError):
            reader.read_many([(small[0], offset, size, None)])
    for size in (1 << 60, len(LARGE) + 1):
        with pytest.raises(CorruptError):
            reader.read_many([(large[0], 0, size, None)])
        with pytest.raises(CorruptError):
            reader.open_range(large[0], 0, size, None)
    with pytest.raises(CorruptError):
        reader.read_many([(small[0], 0, 10_000, None)])


def test_moved_blobs_are_found(store_url: str) -> None:
    """Blobs of a pack that is gone are read where its moved/ file says, one hop after the other [BLOB-11]."""
    backend = open_backend(store_url)
    datas = [b"one", b"two", b"stays"]
    requests = [*store(backend, datas[:2]), *store(backend, datas[2:])]
    old = requests[:2]
    for round_number in range(MAX_HOPS):
        new = store(backend, [f"padding {round_number}".encode(), b"one", b"two"])[1:]
        write_moved(backend, old[0][0], {d: Location(u, o, s) for u, o, s, d in new if d is not None})
        backend.delete(DATA + old[0][0])
        old = new
        assert BlobReader(backend).read_many(requests) == datas
    last = store(backend, [b"once more", b"one", b"two"])[1:]
    write_moved(backend, old[0][0], {d: Location(u, o, s) for u, o, s, d in last if d is not None})
    backend.delete(DATA + old[0][0])
    with pytest.raises(NotFoundError, match="at most 4 moves"):
        BlobReader(backend).read_many(requests)


def test_moves_in_a_circle_end(tmp_path: Path) -> None:
    """Files that name each other as the new place end in an error, not in a loop [BLOB-11]."""
    backend = open_backend(str(tmp_path))
    digest = sha256(b"x").digest()
    other = "packs/11/" + "1" * 64 + ".zip"
    backend.put(moved_path(FAR), encode_moved({digest: Location(other, 0, 1)}))
    backend.put(moved_path(other), encode_moved({digest: Location(FAR, 0, 1)}))
    with pytest.raises(NotFoundError):
        BlobReader(backend).read_many([(FAR, 0, 1, digest)])


def test_blobs_that_are_gone_are_told(tmp_path: Path) -> None:
    """Without a moved/ file, without a digest to look for, or once erased, a blob is not found [BLOB-12]."""
    backend = open_backend(str(tmp_path))
    requests = store(backend, [b"one", b"two"])
    uri = requests[0][0]
    backend.delete(DATA + uri)
    reader = BlobReader(backend)
    with pytest.raises(NotFoundError, match="neither"):
        reader.read_many(requests)
    write_moved(backend, uri, {sha256(b"one").digest(): None})
    with pytest.raises(NotFoundError, match="erased"):
        reader.read_many(requests[:1])
    with pytest.raises(NotFoundError, match="nothing"):
        reader.read_many(requests[1:])
    with pytest.raises(NotFoundError, match="digest"):
        reader.read_many([(uri, 0, 1, None)])


def test_moved_bytes_are_always_checked(tmp_path: Path) -> None:
    """A moved/ file that leads to other bytes is found out, also where the caller does not verify."""
    backend = open_backend(str(tmp_path))
    ((uri, _, _, digest),) = store(backend, [b"true"])
    (wrong,) = store(backend, [b"fake"])
    assert digest is not None
    write_moved(backend, uri, {digest: Location(*wrong[:3])})
    backend.delete(DATA + uri)
    with pytest.raises(CorruptError):
        BlobReader(backend).read_many([(uri, 0, 4, digest)], verify=False)


def test_small_blobs_open_as_files(tmp_path: Path) -> None:
    """A blob of a pack is a file whose bytes were checked."""
    backend = open_backend(str(tmp_path))
    ((uri, offset, size, digest),) = store(backend, [b"0123456789"])
    file = BlobReader(backend).open_range(uri, offset, size, digest)
    assert (file.seek(4), file.read(3), file.read()) == (4, b"456", b"789")


def test_large_blobs_open_as_files(store_url: str) -> None:
    """A large blob reads like the file it was, at any place, and moves only what is asked for."""
    backend = open_backend(store_url)
    ((uri, offset, size, digest),) = store(backend, [LARGE])
    file = BlobReader(backend).open_range(uri, offset, size, digest)
    assert (file.readable(), file.seekable(), file.seek(0, io.SEEK_END)) == (True, True, len(LARGE))
    for start, count in ((0, 10), (MIB - 3, 6), (3 * MIB, 2 * MIB), (len(LARGE) - 5, 100), (len(LARGE) + 9, 1)):
        file.seek(start)
        assert file.read(count) == LARGE[start : start + count]
    file.seek(10)
    file.seek(-4, io.SEEK_CUR)
    assert (file.tell(), file.read()) == (6, LARGE[6:])
    with pytest.raises(UsageError):
        file.seek(-1)


def test_a_damaged_mib_of_a_large_blob_is_told(tmp_path: Path) -> None:
    """A MiB that differs from its sum is refused, the others are readable; sums that lack bytes are refused [PACK-16]."""
    backend = open_backend(str(tmp_path))
    ((uri, offset, size, digest),) = store(backend, [LARGE])
    flip(backend, uri, 2 * MIB + 5)
    reader = BlobReader(backend)
    file = reader.open_range(uri, offset, size, digest)
    assert file.read(MIB) == LARGE[:MIB]
    file.seek(2 * MIB)
    with pytest.raises(CorruptError, match=f"bytes {2 * MIB}–{3 * MIB}"):
        file.read(1)
    with pytest.raises(CorruptError):
        reader.read_many([(uri, offset, size, digest)])
    sums = f"{DATA}{uri}.sums"
    backend.overwrite(sums, backend.read(sums)[:-1])
    with pytest.raises(CorruptError, match="sums"):
        reader.open_range(uri, offset, size, digest)
    backend.delete(sums)
    with pytest.raises(CorruptError, match="sums"):
        reader.open_range(uri, offset, size, digest)


def test_moved_large_blobs_open(tmp_path: Path) -> None:
    """A large blob whose file is gone is opened where it went; one that is gone for good is not found."""
    backend = open_backend(str(tmp_path))
    ((uri, _, size, digest),) = store(backend, [LARGE])
    assert digest is not None
    gone = blob_uri("0" * 64)
    write_moved(backend, gone, {digest: Location(uri, 0, size)})
    file = BlobReader(backend).open_range(gone, 0, size, digest)
    assert file.read(9) == LARGE[:9]
    for name in (uri, uri + ".sums"):
        backend.delete(DATA + name)
    with pytest.raises(NotFoundError):
        BlobReader(backend).open_range(gone, 0, size, digest)


@pytest.mark.parametrize("count", [3, 2000])
def test_directories_are_read_from_the_end(store_url: str, count: int) -> None:
    """The directory of a pack tells its blobs, whether one read holds it or two are needed."""
    backend = open_backend(store_url)
    requests = store(backend, [number.to_bytes(4, "big") for number in range(count)])
    blobs = read_pack_directory(backend, requests[0][0])
    assert [(blob.offset, blob.size, blob.digest) for blob in blobs] == [request[1:] for request in requests]


def test_directories_that_cannot_be_read(tmp_path: Path) -> None:
    """A pack that is not there, or has no room for an end record, is told apart."""
    backend = open_backend(str(tmp_path))
    with pytest.raises(NotFoundError):
        read_pack_directory(backend, FAR)
    backend.put(DATA + FAR, b"short")
    with pytest.raises(CorruptError):
        read_pack_directory(backend, FAR)

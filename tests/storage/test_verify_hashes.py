"""Files of blobs hashed by several threads: what is found is what one thread would find, wherever the bytes lie."""

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tableformat.format.pack import decode_pack, encode_pack
from tableformat.storage import verify_hashes
from tableformat.storage.backend import open_backend
from tableformat.storage.verify_hashes import hash_pack, hash_single

BLOBS = [
    (os.urandom(size), ext) for size, ext in ((0, "bin"), (1, "png"), (5000, "png"), (700, "html.zst"), (9000, "png"))
]
PATH = "data/packs/x"


@pytest.fixture(params=["local", "memory"])
def backend(request, tmp_path, monkeypatch):
    """A place that is read in pieces of two kilobytes, and one that is read whole."""
    monkeypatch.setattr(verify_hashes, "_PIECE", 2048)
    return open_backend(str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def hashed(backend):
    """Hash these bytes as a pack, with a pool of one thread, from within and from without."""

    def hash_it(data):
        backend.put(PATH, data)
        read = []
        with ThreadPoolExecutor(1) as helpers:
            found = hash_pack(backend, PATH, len(data), helpers, read.append)
            assert (
                helpers.submit(hash_pack, backend, PATH, len(data), helpers, read.append).result().digest
                == found.digest
            )
        assert found.digest == hashlib.sha256(data).hexdigest()
        assert sum(read) == 2 * len(data) or not found.is_told
        return found

    return hash_it


def test_a_whole_pack(hashed):
    """All blobs of a pack are found, none is damaged, and every byte counts towards its digest."""
    data = encode_pack(BLOBS)
    found = hashed(data)
    assert found.blobs == decode_pack(data, PATH)
    assert (found.problem, found.is_told, found.damaged.any()) == (None, True, False)
    assert hashed(encode_pack([])).blobs == ()


def test_each_flip_is_found_where_it_is(hashed):
    """A flip in a blob damages that blob; one in a header or the directory is a problem; one anywhere changes the digest."""
    data = encode_pack(BLOBS)
    blobs = decode_pack(data, PATH)
    for place in [*range(0, len(data), 211), *range(len(data) - 150, len(data), 7)]:
        found = hashed(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        inside = [number for number, blob in enumerate(blobs) if blob.offset <= place < blob.offset + blob.size]
        assert found.problem is not None
        assert not found.is_told or not inside or found.damaged.nonzero()[0].tolist() == inside


def test_what_is_no_pack_has_a_digest(hashed):
    """Of a file without a directory the digest is told, and what is wrong."""
    for data in (b"", b"short", os.urandom(10_000)):
        found = hashed(data)
        assert not found.is_told
        assert found.problem is not None


def test_single_blobs_with_sums(backend, monkeypatch):
    """A blob of its own is hashed whole, and each of its MiBs compared with its sum; without sums only the whole."""
    monkeypatch.setattr(verify_hashes, "_PIECE", 2 << 20)
    monkeypatch.setattr(verify_hashes, "_LARGE_PIECE", 3 << 20)
    data = os.urandom((9 << 20) + 5)
    sums = b"".join(hashlib.sha256(data[at : at + (1 << 20)]).digest() for at in range(0, len(data), 1 << 20))
    hurt = bytearray(data)
    for place in (3 << 20, (7 << 20) + 9, len(data) - 1):
        hurt[place] ^= 1
    backend.put("data/a", data)
    backend.put("data/b", bytes(hurt))
    with ThreadPoolExecutor(2) as helpers:
        whole = hash_single(backend, "data/a", len(data), sums, helpers, lambda size: None)
        assert (whole.digest, whole.wrong) == (hashlib.sha256(data).hexdigest(), [])
        assert hash_single(backend, "data/b", len(data), sums, helpers, lambda size: None).wrong == [3, 7, 9]
        alone = hash_single(backend, "data/b", len(data), None, helpers, lambda size: None)
        assert (alone.digest, alone.wrong) == (hashlib.sha256(bytes(hurt)).hexdigest(), [])

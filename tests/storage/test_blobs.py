"""`BlobWriter`: every distinct blob once, places that are right, errors that stay."""

from __future__ import annotations

import hashlib
import io
import os
import random
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import BackendError, InvalidInputError, UsageError
from tableformat.format.pack import MAX_BLOB_BYTES, decode_pack
from tableformat.storage.backend import Backend, open_backend
from tableformat.storage.blobs import BlobReport, BlobWriter, Placed
from tableformat.storage.dedup import SeenBlobs
from tableformat.storage.local import LocalBackend
from tableformat.storage.locations import DATA, MIB, pack_uri

RANDOM = random.Random(7)


def noise(size: int) -> bytes:
    return RANDOM.randbytes(size)


def check_placed(backend: Backend, writer: BlobWriter, placed: Placed, datas: Sequence[bytes]) -> None:
    """Every blob lies where it is said to lie."""
    uris = writer.uris(placed.slot).to_pylist()
    assert placed.digests == [sha256(data).digest() for data in datas]
    assert placed.size.tolist() == [len(data) for data in datas]
    found = [backend.read(DATA + uri, o, len(d)) for uri, o, d in zip(uris, placed.offset.tolist(), datas, strict=True)]
    assert found == list(datas)


def put_all(backend: Backend, datas: Sequence[bytes], **options: object) -> BlobReport:
    """Write `datas` in one session, commit-like: close, then publish the index."""
    writer = BlobWriter(backend, **options)  # type: ignore[arg-type]
    placed = writer.put_many(datas, "png")
    report = writer.close()
    assert writer.publish_index()
    check_placed(backend, writer, placed, datas)
    return report


def test_blobs_lie_where_they_are_said_to(store_url: str) -> None:
    """A batch with repeats and an empty blob is stored once each, in one pack named by its digest [PACK-7]: Python's ZIP reader takes it."""
    backend = open_backend(store_url)
    datas = [b"", b"a", b"b" * 3000, b"a", *(noise(size) for size in range(1, 2000, 31)), b""]
    report = put_all(backend, datas)
    assert (report.blobs_new, report.blobs_shared) == (len(set(datas)), 2)
    assert (report.bytes_new, report.bytes_shared) == (sum(map(len, set(datas))), 1)
    (pack,) = report.packs
    data = backend.read(DATA + pack.uri)
    assert (pack.blob_count, pack.size, pack.digest) == (len(set(datas)), len(data), sha256(data).digest())
    assert pack.uri == pack_uri(sha256(data).hexdigest())
    assert len(decode_pack(data, pack.uri)) == pack.blob_count
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None


@given(
    st.lists(st.lists(st.binary(max_size=6), max_size=8), max_size=6), st.sampled_from(["store", "artifact", "none"])
)
def test_any_sequence_of_batches(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], dedup: str
) -> None:
    """However blobs are batched and repeated, places are right and no pack holds one twice [PACK-6]."""
    backend = open_backend(str(tmp_path_factory.mktemp("store")))
    writer = BlobWriter(backend, dedup=dedup)  # type: ignore[arg-type]
    placed = [writer.put_many(batch, "bin") for batch in batches]
    report = writer.close()
    for one, batch in zip(placed, batches, strict=True):
        check_placed(backend, writer, one, batch)
    every = [data for batch in batches for data in batch]
    assert report.blobs_new == len(set(every))
    for pack in report.packs:
        decode_pack(backend.read(DATA + pack.uri), pack.uri)


def test_the_same_blobs_make_the_same_pack(tmp_path: Path) -> None:
    """A pack depends on its blobs and their order, not on batches, threads or the kind of input."""
    datas = [noise(size) for size in (10, 70_000, 2_000_000, 3, 500_000)] * 2 + [noise(5)]
    uris = []
    for number in range(4):
        writer = BlobWriter(open_backend(str(tmp_path / str(number))))
        if number == 0:
            writer.put_many(datas, "png")
        elif number == 1:
            for data in datas:
                writer.put_many([data], ["png"])
        elif number == 2:
            writer.put_many([bytearray(data) for data in datas], "png")
        else:
            writer.put_binary(pa.array([b"x", *datas], pa.binary())[1:], "png")
        uris.append([pack.uri for pack in writer.close().packs])
    assert uris == [uris[0]] * 4
    assert len(uris[0]) == 1


def test_large_binary_arrays_are_taken(tmp_path: Path) -> None:
    """Slices of large binary arrays give the same places as lists; arrays of other types or with nulls are refused."""
    backend = open_backend(str(tmp_path))
    datas = [noise(size) for size in range(50)]
    writer = BlobWriter(backend)
    placed = writer.put_binary(pa.array(datas, pa.large_binary())[3:40])
    assert len(writer.put_binary(pa.array([], pa.binary()))) == 0
    for array in (pa.array([b"a", None], pa.binary()), pa.array(["a"])):
        with pytest.raises(InvalidInputError):
            writer.put_binary(array)
    writer.seal()
    check_placed(backend, writer, placed, datas[3:40])


def test_packs_are_cut_at_64_mib(tmp_path: Path) -> None:
    """No pack holds more than 64 MiB of blobs, and blobs up to 8 MiB stay in packs [PACK-5] [PACK-14]."""
    backend = open_backend(str(tmp_path))
    datas = [noise(MAX_BLOB_BYTES) for _ in range(9)]
    report = put_all(backend, datas, dedup="none")
    assert [pack.blob_count for pack in report.packs] == [8, 1]
    assert report.blobs == ()


def test_extensions_per_blob(tmp_path: Path) -> None:
    """Each blob of a batch may have its own extension; a repeat keeps the first."""
    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    writer.put_many([b"1", b"2", b"3", b"1"], ["png", "mol2", "html.zst", "jpg"])
    (pack,) = writer.close().packs
    assert [blob.ext for blob in decode_pack(backend.read(DATA + pack.uri), pack.uri)] == ["png", "mol2", "html.zst"]


def test_large_blobs_are_objects_with_sums(store_url: str) -> None:
    """A blob above 8 MiB becomes one object, with the SHA-256 of each MiB beside it [PACK-14] [PACK-15]."""
    backend = open_backend(store_url)
    writer = BlobWriter(backend)
    large, other = noise(MAX_BLOB_BYTES + 1), noise(MAX_BLOB_BYTES + MIB // 2)
    placed = writer.put_many([b"small", large, b"more"], ["txt", "mp4", "txt"])
    again = writer.put_stream(io.BytesIO(large), "mp4")
    streamed = writer.put_stream(io.BytesIO(other), "mp4")
    report = writer.close()
    check_placed(backend, writer, placed, [b"small", large, b"more"])
    check_placed(backend, writer, again, [large])
    check_placed(backend, writer, streamed, [other])
    assert [(blob.digest, blob.size) for blob in report.blobs] == [(sha256(d).digest(), len(d)) for d in (large, other)]
    for blob, data in zip(report.blobs, (large, other), strict=True):
        sums = b"".join(sha256(data[k : k + MIB]).digest() for k in range(0, len(data), MIB))
        assert backend.read(f"{DATA}{blob.uri}.sums") == sums
    assert (report.blobs_new, report.blobs_shared) == (4, 1)


def test_short_streams_go_into_packs(tmp_path: Path) -> None:
    """A file, or a raw stream that gives a few bytes at a time, of at most 8 MiB becomes a blob of a pack [PACK-14]."""

    class Slow(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.rest = data

        def read(self, size: int = -1) -> bytes:
            piece, self.rest = self.rest[: min(size, 1000)], self.rest[min(size, 1000) :]
            return piece

    backend = open_backend(str(tmp_path / "store"))
    data = noise(5000)
    (tmp_path / "file").write_bytes(data)
    writer = BlobWriter(backend)
    first, second = writer.put_stream(tmp_path / "file", "mp4"), writer.put_stream(Slow(data), "mp4")
    report = writer.close()
    check_placed(backend, writer, first, [data])
    assert (second.offset[0], report.blobs, report.blobs_shared) == (first.offset[0], (), 1)


def test_the_caller_may_reuse_its_memory(tmp_path: Path) -> None:
    """What was given as a view may change after the call."""
    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    buffer = bytearray(b"before")
    numbers = np.arange(3, dtype=np.int32)
    placed = writer.put_many([buffer, memoryview(numbers)], "bin")
    buffer[:] = b"after!"
    expected = numbers.tobytes()
    numbers[:] = 0
    writer.seal()
    check_placed(backend, writer, placed, [b"before", expected])


def test_uris_are_known_once_packs_are_sealed(tmp_path: Path) -> None:
    """While a pack is open its blobs have no uri; repeats of them share its slot."""
    writer = BlobWriter(open_backend(str(tmp_path)))
    first, repeat = writer.put_many([b"a", b"b"]), writer.put_many([b"b"])
    assert (writer.is_sealed(first), repeat.slot.tolist()) == (False, first.slot[1:].tolist())
    with pytest.raises(UsageError, match="seal"):
        writer.uris(first.slot)
    writer.seal()
    later = writer.put_many([b"c"])
    assert (writer.is_sealed(first), writer.is_sealed(repeat), writer.is_sealed(later)) == (True, True, False)
    writer.close()
    assert writer.is_sealed(later)
    assert len(set(writer.uris(np.concatenate([first.slot, later.slot])).to_pylist())) == 2


def test_a_writer_without_blobs_writes_nothing(tmp_path: Path) -> None:
    """No pack is empty, and a session that stored nothing leaves the store as it was [PACK-8]."""
    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    assert len(writer.put_many([])) == 0
    assert writer.close() == BlobReport() == writer.close()
    assert writer.publish_index()
    assert list(backend.list()) == []


def test_later_sessions_share_what_the_index_tells(store_url: str) -> None:
    """A second writer stores nothing that the index of the store tells, large blobs included [BLOB-2]."""
    backend = open_backend(store_url)
    datas = [noise(100) for _ in range(500)] + [noise(MAX_BLOB_BYTES + 5)]
    first = put_all(backend, datas)
    second = put_all(backend, [*datas, b"new"])
    assert (first.blobs_new, second.blobs_new, second.bytes_new) == (501, 1, 3)
    assert set(second.reused) == {first.packs[0].uri, first.blobs[0].uri}
    assert put_all(backend, datas, dedup="none").blobs_new == 501


def test_sharing_within_one_artifact(tmp_path: Path) -> None:
    """With `within`, only the files named there count; with `excluded`, those do not."""
    backend = open_backend(str(tmp_path))
    (one,) = put_all(backend, [b"1", b"2"]).packs
    put_all(backend, [b"3"])
    datas = [b"1", b"2", b"3"]
    assert put_all(backend, datas, dedup="artifact", within={one.uri}).blobs_new == 1
    assert put_all(backend, [b"1", b"2"], dedup="artifact").blobs_new == 2
    fresh = open_backend(str(tmp_path / "fresh"))
    (pack,) = put_all(fresh, [b"3"]).packs
    assert put_all(fresh, [b"3"], excluded={pack.uri}).blobs_new == 1


def test_files_that_are_gone_do_not_count(tmp_path: Path) -> None:
    """A hit of the index counts only while the file is there and long enough [BLOB-5]."""
    backend = open_backend(str(tmp_path))
    (pack,) = put_all(backend, [b"first", b"second"]).packs
    backend.overwrite(DATA + pack.uri, backend.read(DATA + pack.uri)[:60])
    assert put_all(backend, [b"first"]).blobs_new == 1
    backend.delete(DATA + pack.uri)
    assert put_all(backend, [b"second"]).blobs_new == 1


def test_memory_of_a_session_is_bounded_by_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs that left the dictionary are found again in runs, in memory and in temporary files."""
    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    monkeypatch.setattr(writer, "_seen", SeenBlobs(recent_blobs=10, spill_rows=30))
    datas = [number.to_bytes(4, "big") for number in range(300)]
    first = [writer.put_many(datas[k : k + 7]) for k in range(0, 300, 7)]
    again = writer.put_many(datas)
    report = writer.close()
    assert report.blobs_new == report.blobs_shared == 300
    assert np.concatenate([placed.offset for placed in first]).tolist() == again.offset.tolist()
    check_placed(backend, writer, again, datas)
    assert writer.publish_index()
    assert put_all(backend, datas).blobs_new == 0


@pytest.mark.parametrize("bad", ["text", 5, None, np.zeros((4, 4))[:, 1]])
def test_values_that_are_not_bytes_are_refused(tmp_path: Path, bad: object) -> None:
    """A value without contiguous bytes is named by its position, nothing is stored, and the writer stays usable."""
    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    with pytest.raises(InvalidInputError, match="item 1"):
        writer.put_many([b"good", bad])  # type: ignore[list-item]
    with pytest.raises(InvalidInputError):
        writer.put_many([b"good"], ["png", "jpg"])
    with pytest.raises(InvalidInputError):
        writer.put_many([b"good"], "PNG")
    with pytest.raises(InvalidInputError):
        writer.put_many([b"good"], digests=[])
    with pytest.raises(InvalidInputError, match="binary mode"):
        writer.put_stream(io.StringIO("text"))  # type: ignore[arg-type]
    assert writer.close().blobs_new == 0


def test_a_broken_source_leaves_the_writer_usable(tmp_path: Path) -> None:
    """An error of the caller's stream is the caller's: nothing of it is kept, and other blobs are stored."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > MAX_BLOB_BYTES:
                raise ConnectionResetError("the line dropped")
            return super().read(size)

    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    with pytest.raises(ConnectionResetError):
        writer.put_stream(Broken(bytes(MAX_BLOB_BYTES + 3 * MIB)))
    writer.put_many([b"fine"])
    assert [writer.close().blobs_new, len(list(backend.list("data/blobs")))] == [1, 0]


class FullDisk(LocalBackend):
    """A folder on a disk that is full after some chunks."""

    room = 2

    def writer(self, path_hint: str = "data"):  # type: ignore[no-untyped-def]
        sink = super().writer(path_hint)
        write = sink.write

        def write_until_full(chunk: bytes) -> None:
            self.room -= 1
            if self.room < 0:
                raise BackendError("no space left")
            write(chunk)

        sink.write = write_until_full  # type: ignore[method-assign]
        return sink


def test_a_failed_writer_stays_failed(tmp_path: Path) -> None:
    """An error in the background surfaces, is raised by every later call, and leaves no pack behind."""
    backend = FullDisk(str(tmp_path))
    writer = BlobWriter(backend)
    with pytest.raises(BackendError, match="no space"):
        for _ in range(40):
            writer.put_many([noise(MIB)])
    for call in (lambda: writer.put_many([b"x"]), writer.seal, writer.close, writer.publish_index):
        with pytest.raises(BackendError, match="no space"):
            call()
    writer.abort()
    assert [info.path for info in backend.list("data")] == []


def test_an_error_of_the_last_chunk_is_raised_by_close(tmp_path: Path) -> None:
    """What fails after the last put fails the close."""
    backend = FullDisk(str(tmp_path))
    backend.room = 0
    writer = BlobWriter(backend)
    writer.put_many([b"x"])
    with pytest.raises(BackendError, match="no space"):
        writer.close()


def test_aborted_and_closed_writers_refuse(tmp_path: Path) -> None:
    """After `abort` nothing works and no open pack stays; after `close` nothing can be added."""
    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    writer.put_many([noise(3 * MIB)])
    with pytest.raises(UsageError, match="closed"):
        writer.publish_index()
    writer.abort()
    writer.abort()
    with pytest.raises(UsageError, match="aborted"):
        writer.close()
    assert [info.path for info in backend.list("data")] == []
    closed = BlobWriter(backend)
    closed.close()
    closed.abort()
    with pytest.raises(UsageError, match="closed"):
        closed.put_many([b"x"])


def test_another_process_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that came along through a fork refuses, since its threads did not."""
    writer = BlobWriter(open_backend(str(tmp_path)))
    process = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: process + 1)
    with pytest.raises(UsageError, match="process"):
        writer.put_many([b"x"])
    monkeypatch.undo()
    writer.abort()


def test_identity_is_the_whole_sha256(tmp_path: Path) -> None:
    """Blobs are shared by all 32 bytes of their SHA-256, so digests that agree in 31 are two blobs [BLOB-1] [BLOB-2]."""
    writer = BlobWriter(open_backend(str(tmp_path)))
    digest = hashlib.sha256(b"x").digest()
    near = digest[:-1] + bytes([digest[-1] ^ 1])
    placed = writer.put_many([b"x", b"y", b"z"], digests=[digest, near, digest])
    assert placed.offset[0] == placed.offset[2] != placed.offset[1]
    assert writer.close().blobs_new == 2

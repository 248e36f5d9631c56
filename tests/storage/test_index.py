"""The index of a store and moved/ files: what they hold, how they grow, and that damage stops nobody from writing."""

from __future__ import annotations

import io
import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.document import encode_document
from tableformat.errors import CorruptError, FormatError, LimitError, NotFoundError, StoreUnavailableError
from tableformat.storage.backend import Backend, open_backend
from tableformat.storage.blobs import BlobReport, BlobWriter
from tableformat.storage.digest_runs import Run, digest_array
from tableformat.storage.index import IndexDocument, leaf_path, publish_index, read_leaf, read_newest_index
from tableformat.storage.local import LocalBackend
from tableformat.storage.location_table import decode_locations, encode_locations
from tableformat.storage.locations import Location
from tableformat.storage.moved import encode_moved, follow_moved, moved_path, write_moved
from tableformat.storage.store_blobs import StoreBlobs

URIS = ["packs/ab/ab" + "0" * 62 + ".zip", "blobs/cd/cd" + "1" * 62]
DIGESTS = [sha256(bytes([number])).digest() for number in range(40)]


def run_of(digests: list[bytes]) -> Run:
    number = np.arange(len(digests))
    return Run.from_arrays(digest_array(digests), (number % 2).astype(np.int32), number * 10, number)


def put_all(backend: Backend, datas: list[bytes]) -> BlobReport:
    writer = BlobWriter(backend)
    writer.put_many(datas)
    report = writer.close()
    writer.publish_index()
    return report


def all_digests(backend: Backend) -> list[bytes]:
    _, document = read_newest_index(backend)
    return sorted(bytes(d) for leaf in document.leaves for d in read_leaf(backend, leaf).run.digests())


def parquet(columns: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def columns_of(digests: list[bytes]) -> dict[str, Any]:
    count = len(digests)
    return {
        "digest": pa.array(digests, pa.binary(32)),
        "uri": pa.array([URIS[0]] * count, pa.string()),
        "offset": pa.array(range(count), pa.int64()),
        "size": pa.array(range(count), pa.int64()),
    }


# Tables of locations


@given(st.lists(st.sampled_from(DIGESTS), unique=True))
def test_locations_come_back_sorted(digests: list[bytes]) -> None:
    """A table of locations is sorted by digest and gives back every place [BLOB-7]."""
    table = decode_locations(encode_locations(run_of(digests), URIS), "leaf", erased=False)
    assert [bytes(digest) for digest in table.run.digests()] == sorted(digests)
    for digest, (_, offset, size, slot) in zip(sorted(digests), table.run.rows.tolist(), strict=True):
        number = digests.index(digest)
        assert (table.uris[slot], offset, size) == (URIS[number % 2], number * 10, number)


def test_any_engine_reads_locations() -> None:
    """A table of locations is plain Parquet with four columns [BLOB-7]."""
    table = pq.read_table(io.BytesIO(encode_locations(run_of(DIGESTS), URIS)))
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("digest", "fixed_size_binary[32]"), ("uri", "string"), ("offset", "int64"), ("size", "int64"),
    ]  # fmt: skip
    assert table["digest"].to_pylist() == sorted(DIGESTS)


def broken_tables() -> dict[str, bytes]:
    good = columns_of(sorted(DIGESTS))
    nulls = pa.array([None, *range(39)], pa.int64())
    return {
        "unsorted": parquet(columns_of(DIGESTS)),
        "twice": parquet(columns_of([DIGESTS[0], DIGESTS[0]])),
        "no size": parquet({name: good[name] for name in ("digest", "uri", "offset")}),
        "another type": parquet({**good, "size": good["size"].cast(pa.int32())}),
        "short digests": parquet({**good, "digest": pa.array([d[:8] for d in sorted(DIGESTS)], pa.binary(8))}),
        "negative": parquet({**good, "offset": pa.array(range(-1, 39), pa.int64())}),
        "a path": parquet({**good, "uri": pa.array(["../../etc/passwd"] * 40)}),
        "null places": parquet({**good, "uri": pa.array([None, *[URIS[0]] * 39]), "offset": nulls, "size": nulls}),
        "null size": parquet({**good, "size": nulls}),
        "null digest": parquet({**good, "digest": pa.array([None, *sorted(DIGESTS)[1:]], pa.binary(32))}),
        "not parquet": b"PAR1 and nothing else",
        "cut": encode_locations(run_of(DIGESTS), URIS)[:-9],
    }


@pytest.mark.parametrize("name", broken_tables())
def test_broken_locations_are_refused(name: str) -> None:
    """Columns, orders, places and uris that no writer makes are corrupt [BLOB-7] [BLOB-13]."""
    with pytest.raises(CorruptError):
        decode_locations(broken_tables()[name], "leaf", erased=False)


def test_tables_past_the_bounds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, bytes and decoded bytes of a table of locations are bounded before they are decoded."""
    data = encode_locations(run_of(DIGESTS), URIS)
    for name in ("MAX_TABLE_ROWS", "MAX_TABLE_BYTES", "_MAX_DECODED_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"tableformat.storage.location_table.{name}", 30)
            with pytest.raises(LimitError):
                decode_locations(data, "leaf", erased=False)


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=40))
def test_damaged_locations_give_errors_of_ours(place: int, noise: bytes) -> None:
    """Whatever is written over a table of locations, reading it gives a table or an error of the library."""
    data = encode_locations(run_of(DIGESTS), URIS)
    try:
        table = decode_locations(data[:place] + noise + data[place + len(noise) :], "leaf", erased=True)
    except (FormatError, LimitError):
        return
    assert len(table.run.digests()) == len(table.run.rows)


# The series


def test_the_index_of_an_empty_store(store_url: str) -> None:
    """A store without an index has an empty one."""
    assert read_newest_index(open_backend(store_url)) == (-1, IndexDocument())


def test_each_session_adds_a_leaf(store_url: str) -> None:
    """Sessions add to the series, and small leaves are merged once there are more than eight of a size [BLOB-6]."""
    backend = open_backend(store_url)
    counts = []
    for number in range(20):
        put_all(backend, [f"{number} {k}".encode() for k in range(3)])
        slot, document = read_newest_index(backend)
        assert slot == number
        counts.append(len(document.leaves))
    assert counts[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2]
    assert all_digests(backend) == sorted(sha256(f"{n} {k}".encode()).digest() for n in range(20) for k in range(3))


def test_a_hint_that_lies_is_harmless(tmp_path: Path) -> None:
    """The newest document is found whatever the hint says."""
    backend = open_backend(str(tmp_path))
    for number in range(7):
        put_all(backend, [bytes([number])])
    hints = [encode_document({"slot": slot}) for slot in (0, 3, 900, -4, True, "x")]
    for hint in (*hints, b"{}", b"broken", bytes(2000)):
        backend.overwrite("index/0/hint.json", hint)
        assert read_newest_index(backend)[0] == 6
    backend.delete("index/0/hint.json")
    assert read_newest_index(backend)[0] == 6


def test_the_loser_of_a_race_tries_again(tmp_path: Path) -> None:
    """Two writers that extend the index at once both end up in it [BLOB-14]."""
    backend = open_backend(str(tmp_path))

    class Raced(LocalBackend):
        raced = False

        def create(self, path, data):  # type: ignore[no-untyped-def]
            if not self.raced:
                self.raced = True
                put_all(backend, [b"the other writer"])
            return super().create(path, data)

    put_all(Raced(str(tmp_path)), [b"this writer"])
    assert all_digests(backend) == sorted(sha256(data).digest() for data in (b"the other writer", b"this writer"))


def test_one_who_always_loses_gives_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a few lost races the index is left alone with a warning: it is only an optimisation [BLOB-14]."""

    class Losing(LocalBackend):
        def create(self, path, data):  # type: ignore[no-untyped-def]
            return False

    with caplog.at_level(logging.WARNING, "tableformat"):
        assert not publish_index(Losing(str(tmp_path)), [run_of(DIGESTS)], URIS)
    assert "other writers were faster" in caplog.text


def test_troubles_of_the_store_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Publishing never raises what the store or its backend does [BLOB-14]."""

    class Away(LocalBackend):
        def put_chunks(self, path, chunks):  # type: ignore[no-untyped-def]
            raise StoreUnavailableError("the network is away")

    with caplog.at_level(logging.WARNING, "tableformat"):
        assert not publish_index(Away(str(tmp_path)), [run_of(DIGESTS)], URIS)
    assert "the network is away" in caplog.text


@pytest.mark.parametrize("damage", ["document", "leaf", "leaf gone", "leaf grown"])
def test_damage_costs_space_only(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged index makes a writer store blobs again and say so; it never stops one [BLOB-8] [BLOB-14]."""
    backend = open_backend(str(tmp_path))
    put_all(backend, [b"one", b"two"])
    slot, document = read_newest_index(backend)
    path = leaf_path(document.leaves[0])
    if damage == "document":
        backend.overwrite(f"index/0/{slot:020d}.json", b"{broken")
    elif damage == "leaf":
        backend.overwrite(path, backend.read(path)[:-1] + b"x")
    elif damage == "leaf gone":
        backend.delete(path)
    else:
        huge = IndexDocument((type(document.leaves[0])(document.leaves[0].digest, 1 << 40, 2, "0" * 64, "f" * 64),))
        backend.overwrite(f"index/0/{slot:020d}.json", huge.encode())
    with caplog.at_level(logging.WARNING, "tableformat"):
        report = put_all(backend, [b"one"])
    assert (report.blobs_new, report.dedup_capped) == (1, True)
    assert "may be stored again" in caplog.text


def test_the_index_mends_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a damaged document the series begins anew, and a damaged leaf is left out when its group is merged."""
    backend = open_backend(str(tmp_path))
    put_all(backend, [b"lost"])
    backend.overwrite("index/0/00000000000000000000.json", b"{broken")
    put_all(backend, [b"0"])
    assert all_digests(backend) == [sha256(b"0").digest()]
    backend.delete(leaf_path(read_newest_index(backend)[1].leaves[0]))
    for number in range(1, 10):
        put_all(backend, [f"{number}".encode()])
    assert all_digests(backend) == sorted(sha256(f"{number}".encode()).digest() for number in range(1, 10))
    assert ("begins anew" in caplog.text, "without a leaf" in caplog.text) == (True, True)


def test_the_memory_of_the_index_is_bounded(tmp_path: Path) -> None:
    """Leaves that do not fit the bound are left out, the newest are used, and that is told."""
    backend = open_backend(str(tmp_path))
    for number in range(3):
        put_all(backend, [bytes([number])])
    slots: dict[str, int] = {}
    blobs = StoreBlobs(backend, lambda uri: slots.setdefault(uri, len(slots)), limit_bytes=2 * 52)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as helper:
        hit, _ = blobs.find(digest_array([sha256(bytes([number])).digest() for number in range(3)]), helper)
    assert (hit.tolist(), blobs.is_capped) == ([False, True, True], True)


def test_nothing_is_in_the_index_before_it_is_published(tmp_path: Path) -> None:
    """Closing a writer tells nobody of its blobs: that is for after the commit [BLOB-9]."""
    backend = open_backend(str(tmp_path))
    writer = BlobWriter(backend)
    writer.put_many([b"one"])
    writer.close()
    assert read_newest_index(backend) == (-1, IndexDocument())
    assert writer.publish_index()
    assert all_digests(backend) == [sha256(b"one").digest()]


# moved/ files


def test_new_places_have_to_be_there(tmp_path: Path) -> None:
    """A moved/ file is not written while a new place is absent or too short [BLOB-10]."""
    backend = open_backend(str(tmp_path))
    for length in (None, 8):
        if length is not None:
            backend.put(f"data/{URIS[1]}", bytes(length))
        with pytest.raises(NotFoundError, match="at least 9 bytes"):
            write_moved(backend, URIS[0], {DIGESTS[0]: Location(URIS[1], 0, 9), DIGESTS[1]: Location(URIS[1], 1, 2)})
    assert backend.read_or_none(moved_path(URIS[0])) is None


def test_moved_files_tell_new_places(store_url: str) -> None:
    """Each digest of a moved/ file has its new place, or is told to be erased [BLOB-12] [BLOB-13]."""
    backend = open_backend(store_url)
    backend.put(f"data/{URIS[1]}", bytes(9))
    places = {DIGESTS[0]: Location(URIS[1], 0, 9), DIGESTS[1]: None, DIGESTS[2]: Location(URIS[1], 4, 5)}
    write_moved(backend, URIS[0], places)
    write_moved(backend, URIS[0], places)
    assert follow_moved(backend, URIS[0], [DIGESTS[2], DIGESTS[0]]) == [places[DIGESTS[2]], places[DIGESTS[0]]]
    with pytest.raises(NotFoundError, match="erased"):
        follow_moved(backend, URIS[0], [DIGESTS[0], DIGESTS[1]])
    with pytest.raises(NotFoundError, match="nothing"):
        follow_moved(backend, URIS[0], [DIGESTS[3]])
    with pytest.raises(NotFoundError, match="neither"):
        follow_moved(backend, URIS[1], [DIGESTS[0]])
    assert moved_path(URIS[0]) == f"moved/ab{'0' * 62}.parquet"


def test_moved_files_are_determined_by_what_they_say() -> None:
    """The order in which places are given does not matter, so repeating a move writes the same bytes."""
    places = {digest: Location(URIS[0], number, 1) for number, digest in enumerate(DIGESTS)}
    assert encode_moved(places) == encode_moved(dict(reversed(places.items())))
    assert len(decode_locations(encode_moved({}), "moved", erased=True).run) == 0


def test_a_file_cannot_move_to_itself(tmp_path: Path) -> None:
    """A moved/ file that leads back to the file itself is refused [BLOB-15]."""
    with pytest.raises(CorruptError):
        write_moved(open_backend(str(tmp_path)), URIS[0], {DIGESTS[0]: Location(URIS[0], 0, 1)})

"""Verify finds every change of every byte of a version, names the file, and stops at nothing; reading never gives wrong data.

Left out are the files that belong to no version, by their place: `index/`, `sessions/`, `gc/` and other folders that a
reader does not know, and `.tmp-` files; and hints, which may name any slot. What is read is right whatever happens to those as well.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tableformat
from tableformat.context import StoreContext
from tableformat.digest import PREFIX, hex_of
from tableformat.errors import StoreUnavailableError, TableformatError
from tableformat.format.pack import decode_pack, encode_pack
from tableformat.storage.backend import open_backend
from tableformat.storage.locations import Location, pack_uri
from tableformat.storage.moved import write_moved
from tableformat.testing import FaultBackend
from tableformat.verify import VerifyReport, verify_version
from tests.publishing import publish
from tests.sample_store import NAME, extend_sample, read_head, read_version, write_sample

OUTSIDE = ("index/", "sessions/", "gc/", "moved/")
SELECTIONS = (f"{NAME}:v0", f"{NAME}:v1", f"{NAME}:best", f"{NAME}:first", NAME)


@dataclass(frozen=True, slots=True)
class Sample:
    """A store of two versions that is not changed, and what it says."""

    root: Path
    files: tuple[str, ...]
    said: dict[str, Any]

    def copy(self, target: Path) -> Path:
        shutil.copytree(self.root, target)
        return target


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    root = tmp_path_factory.mktemp("verify") / "store"
    extend_sample(write_sample(root))
    files = tuple(sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()))
    return Sample(root, files, read_all(root))


@pytest.fixture
def damaged(sample: Sample, tmp_path: Path) -> Path:
    """A copy of the sample, to be damaged."""
    return sample.copy(tmp_path / "store")


def read_all(root: Path) -> dict[str, Any]:
    store = tableformat.open_store(root, create=False)
    return {selection: read_version(store, selection) for selection in SELECTIONS}


def verify(root: Path | str, slot: int) -> VerifyReport:
    return verify_version(open_backend(str(root)), NAME, slot, workers=1)


def verify_both(root: Path) -> list[str]:
    """The problems of both versions, as texts."""
    return [str(problem) for slot in (0, 1) for problem in verify(root, slot).problems]


def of_versions(files: tuple[str, ...]) -> list[str]:
    return [file for file in files if not file.startswith(OUTSIDE) and not file.endswith("hint.json")]


def flips(root: Path, files: list[str], count: int, seed: int) -> Iterator[tuple[str, int]]:
    """Flip one bit of one file, give file and position, and put it back; files as often as their size to the power ½."""
    rnd = random.Random(seed)
    weights = [(root / file).stat().st_size ** 0.5 for file in files]
    for file in rnd.choices(files, weights, k=count):
        path = root / file
        data = path.read_bytes()
        at = rnd.randrange(len(data))
        after = data[:at] + bytes([data[at] ^ 1 << rnd.randrange(8)]) + data[at + 1 :]
        path.write_bytes(after)
        yield file, at
        path.write_bytes(data)


def is_found(root: Path, file: str) -> bool:
    """Whether verifying one of the versions tells of the file."""
    return any(problem.place.startswith(file) for slot in (1, 0) for problem in verify(root, slot).problems)


def wrong_reads(root: Path, said: dict[str, Any]) -> list[str]:
    """What can be read from the store and is not what was written."""
    wrong = []
    for selection in SELECTIONS:
        try:
            store = tableformat.open_store(root, create=False)
            # Every way finds the version; two of them read it whole.
            found = read_version(store, selection) if ":v" in selection else read_head(store, selection)
        except TableformatError:
            continue
        wrong += [] if found.items() <= said[selection].items() else [selection]
    return wrong


def check_verify(root: Path, files: list[str], count: int, seed: int) -> None:
    changes = flips(root, files, count, seed)
    missed = [(file, at) for file, at in changes if not is_found(root, file)]
    assert missed == []


def check_reading(root: Path, files: list[str], said: dict[str, Any], count: int, seed: int) -> None:
    changes = flips(root, files, count, seed)
    wrong = [(file, at, read) for file, at in changes if (read := wrong_reads(root, said))]
    assert wrong == []


def test_a_whole_store_has_no_problems(sample: Sample) -> None:
    """Both versions verify clean, by slot and by digest, and the report says how much was looked at."""
    for slot in (0, 1):
        by_slot = verify(sample.root, slot)
        assert (by_slot.ok, by_slot.problems) == (True, ())
        assert by_slot.rows == {0: 48, 1: 53}[slot]
        assert by_slot.blobs > 30
        digest = tableformat.open_store(sample.root)[f"{NAME}:v{slot}"].digest
        assert verify_version(open_backend(str(sample.root)), NAME, digest=digest).rows == by_slot.rows


def test_every_file_of_the_versions_is_read(sample: Sample) -> None:
    """Every byte of every file that belongs to a version is read, and progress tells of each."""
    seen: set[str] = set()
    totals: list[tuple[int, int]] = []
    for slot in (0, 1):
        verify_version(
            open_backend(str(sample.root)),
            NAME,
            slot,
            progress=lambda done, files, path: totals.append((done, files)) or seen.add(path),
        )
    assert {path for path in seen if "hint" not in path} == set(of_versions(sample.files))
    assert max(totals)[1] == verify(sample.root, 1).files


def test_flips_are_found(sample: Sample, damaged: Path) -> None:
    """Each of 300 flipped bits is reported under the name of its file."""
    check_verify(damaged, of_versions(sample.files), 300, 1)


@pytest.mark.long
def test_a_thousand_flips_are_found(sample: Sample, damaged: Path) -> None:
    """Each of 2,000 flipped bits is reported under the name of its file."""
    check_verify(damaged, of_versions(sample.files), 2000, 2)


def test_reading_after_a_flip_is_right_or_raises(sample: Sample, damaged: Path) -> None:
    """After each of 200 flips every way to the data gives what was written, or one of our errors."""
    check_reading(damaged, list(sample.files), sample.said, 200, 3)


@pytest.mark.long
def test_reading_after_a_thousand_flips_is_right_or_raises(sample: Sample, damaged: Path) -> None:
    """The same for 1,500 flips."""
    check_reading(damaged, list(sample.files), sample.said, 1500, 4)


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "cut by a byte": lambda data: data[:-1],
    "cut in half": lambda data: data[: len(data) // 2],
    "longer by a byte": lambda data: data + b"\0",
    "zeros at its end": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_truncations_are_found(sample: Sample, damaged: Path, damage: str) -> None:
    """Files that are missing, cut, longer or full of zeros are reported, and reading raises or is right."""
    missed = []
    for file in of_versions(sample.files):
        path = damaged / file
        before = path.read_bytes()
        after = DAMAGES[damage](before)
        path.unlink() if after is None else path.write_bytes(after)
        # Without the highest number of a series the one before it is the newest: an alias that was moved back, a
        # version that was never made. Nothing can tell.
        is_last = after is None and ("/aliases/" in file or file.endswith("01.json"))
        if not is_last:
            missed += [] if is_found(damaged, file) else [file]
            missed += [f"{file} read as {selection}" for selection in wrong_reads(damaged, sample.said)]
        path.write_bytes(before)
    assert missed == []


def test_swapped_files_are_found(sample: Sample, damaged: Path) -> None:
    """Two whole files of one sort in each other's place are both reported, and reading raises or is right."""
    groups: dict[tuple[str, str], list[str]] = {}
    for file in of_versions(sample.files):
        sort = "packs" if "packs" in file else str(Path(file).parent)
        groups.setdefault((sort, Path(file).suffix), []).append(file)
    pairs = [
        (one, other)
        for files in groups.values()
        for one in files
        for other in files
        if one < other and "aliases" not in one
    ]
    assert len(pairs) > 6
    missed = []
    for pair in pairs:
        datas = [(damaged / file).read_bytes() for file in pair]
        for file, data in zip(pair, datas[::-1], strict=True):
            (damaged / file).write_bytes(data)
        found = verify_both(damaged)
        missed += [file for file in pair if not any(text.startswith(file) for text in found)]
        missed += wrong_reads(damaged, sample.said)
        for file, data in zip(pair, datas, strict=True):
            (damaged / file).write_bytes(data)
    assert missed == []


def test_damaged_blobs_are_told_with_their_rows(sample: Sample, damaged: Path) -> None:
    """A flip inside of a blob names the pack, the range and the rows that show it; other blobs are not blamed."""
    store = tableformat.open_store(damaged)
    cell = store[NAME]["media"][6]["image"].cell
    path = damaged / "data" / cell.uri
    data = bytearray(path.read_bytes())
    data[cell.offset + 700] ^= 1
    path.write_bytes(data)
    report = verify(damaged, 1)
    hits = [problem for problem in report.problems if "row" in problem.text]
    assert [problem.place for problem in hits] == [f"data/{cell.uri}"]
    assert f"{cell.offset}–{cell.offset + cell.size}" in hits[0].text
    assert "entry 'media' row 6, column 'image'" in hits[0].text
    assert "entry 'more' row 0, column 'image'" in hits[0].text
    assert "and" not in hits[0].text.split("seen in")[1]


def test_all_problems_are_told(sample: Sample, damaged: Path) -> None:
    """Damage in every file at once is reported file by file: the first stops nothing that can still be reached."""
    reached = [
        file
        for file in of_versions(sample.files)
        if "/packs/" in file or (file.endswith(".parquet") and file.startswith("data/"))
    ]
    for file in reached:
        data = bytearray((damaged / file).read_bytes())
        data[len(data) // 3] ^= 8
        (damaged / file).write_bytes(data)
    (damaged / "tableformat.json").write_bytes(b"{}")
    found = verify_both(damaged)
    assert [file for file in [*reached, "tableformat.json"] if not any(text.startswith(file) for text in found)] == []


def test_large_blobs_are_verified_with_their_sums(tmp_path: Path) -> None:
    """A blob of its own is compared with its name and each MiB with its sum; wrong sums of a whole blob are told as such."""
    write_sample(tmp_path / "store", large_bytes=(8 << 20) + 5)
    [path] = [path for path in (tmp_path / "store" / "data" / "blobs").rglob("*") if path.is_file() and not path.suffix]
    assert verify(tmp_path / "store", 0).ok
    for file, at in ((path, 3 << 20), (path, (8 << 20) + 2), (path.with_name(path.name + ".sums"), 40)):
        with file.open("r+b") as handle:
            handle.seek(at)
            byte = handle.read(1)[0]
            handle.seek(at)
            handle.write(bytes([byte ^ 4]))
        problems = [
            problem
            for problem in verify(tmp_path / "store", 0).problems
            if problem.place.startswith(str(file.relative_to(tmp_path / "store")))
        ]
        assert f"[{1 if file.suffix else at >> 20}]" in problems[0].text
        large = tableformat.open_store(tmp_path / "store")[NAME]["large"]
        with pytest.raises(TableformatError), large.open() as stream:
            stream.read()
        with file.open("r+b") as handle:
            handle.seek(at)
            handle.write(bytes([byte]))
    path.with_name(path.name + ".sums").unlink()
    assert [problem.kind for problem in verify(tmp_path / "store", 0).problems] == ["not-found"]


def test_moved_packs_are_verified_where_they_are(sample: Sample, damaged: Path) -> None:
    """Blobs of a pack that is gone are read where its moved/ file says; one that is lost there is told with its rows, and
    one that was erased is counted, and no problem."""
    store = tableformat.open_store(damaged)
    backend = open_backend(str(damaged))
    cell = store[NAME]["media"][6]["image"].cell
    old = damaged / "data" / cell.uri
    data = old.read_bytes()
    blobs = decode_pack(data, "x")
    joined = encode_pack([(data[blob.offset : blob.offset + blob.size], blob.ext) for blob in blobs[::-1]])
    uri = pack_uri(hex_of(joined))
    backend.put(f"data/{uri}", joined)
    places = {blob.digest: Location(uri, blob.offset, blob.size) for blob in decode_pack(joined, "x")}
    write_moved(backend, cell.uri, places)
    old.unlink()
    assert verify_both(damaged) == []
    assert read_all(damaged) == sample.said
    lost = bytes.fromhex(store[NAME]["media"][6]["image"].digest.removeprefix(PREFIX).removeprefix("SHA-256:"))
    write_moved(backend, cell.uri, {**places, lost: None})
    erased = verify(damaged, 0)
    assert (erased.problems, erased.erased) == ((), 1)
    del places[lost]
    write_moved(backend, cell.uri, places)
    [problem] = verify(damaged, 0).problems
    assert problem.place == f"data/{cell.uri}"
    assert "row 6" in problem.text


def test_missing_objects_are_told(tmp_path: Path) -> None:
    """A table whose list of objects lacks a pack that a cell names is incomplete, though all bytes are right."""
    store = write_sample(tmp_path / "store")
    items = [dict(item) for item in store[NAME].items_raw()]
    for item in items:
        if item["kind"] == "table" and item["name"] == "media":
            item["objects"] = {"count": 0, "items": []}
    publish(store, NAME, items)
    report = verify(tmp_path / "store", 1)
    assert len(report.problems) == 1
    assert "list of objects lacks packs/" in report.problems[0].text


def test_wrong_manifests_are_told(tmp_path: Path) -> None:
    """What a manifest says of rows, columns, bounds and contents is compared with what is there, its digest being right."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft(NAME) as draft, draft.table("t", key="id") as table:
        table.extend(pa.table({"id": range(5), "x": [1.5, 2.5, None, 0.5, 9.0]}))
    [item] = store[NAME].items_raw()
    part = item["parts"]["items"][0]
    [id_, x] = [str(column["id"]) for column in item["schema"]["columns"]]
    zero = f"sha256:{'0' * 64}"
    wrongs: dict[str, dict[str, Any]] = {
        "the entry says 6": {"rows": 6},
        "content digest": {"content": zero},
        "key digest": {"key_digest": zero},
        "the link of its full blocks": {"columns": {**item["columns"], x: {**item["columns"][x], "link": zero.replace("0", "1")}}},
        "have the digest": {"columns": {**item["columns"], x: {**item["columns"][x], "digest": zero}}},
        "not that in the manifest": {"parts": {"count": 1, "items": [{**part, "values": {**part["values"], id_: zero}}]}},
        "leave out rows": {"parts": {"count": 1, "items": [{**part, "stats": {**part["stats"], x: {"min": "0.6", "max": "9.0", "nulls": 1}}}]}},
        "rows where the manifest says": {"parts": {"count": 1, "items": [{**part, "rows": 4}]}},
        "bytes where the manifest says": {"parts": {"count": 1, "items": [{**part, "files": [{**part["files"][0], "size": part["files"][0]["size"] + 1}]}]}},
        "columns": {"schema": {"columns": [{**column, "type": "float32"} if column["name"] == "x" else column for column in item["schema"]["columns"]]}},
        "field ids": {"schema": {"columns": [{**column, "id": 77} if column["name"] == "x" else column for column in item["schema"]["columns"]]}, "columns": {**item["columns"], "77": item["columns"][x]}},
        "is not an object": {"parts": {"count": 1, "items": [{**part, "stats": 7}]}},
        "a name": {"key": "other"},
    }  # fmt: skip
    for slot, (text, wrong) in enumerate(wrongs.items(), start=1):
        publish(store, NAME, [{**item, **wrong}])
        assert any(text in str(problem) for problem in verify(tmp_path / "store", slot).problems), text


def test_class_sets_have_to_be_there(tmp_path: Path) -> None:
    """A version whose columns name a class set that is none of its entries is incomplete."""
    store = write_sample(tmp_path / "store")
    publish(store, NAME, [item for item in store[NAME].items_raw() if item["kind"] != "classes"])
    assert {"class set" in problem.text for problem in verify(tmp_path / "store", 1).problems} == {True}


def test_verifying_what_is_not_there(tmp_path: Path) -> None:
    """A store, a version or a digest that does not exist is a problem in the report; nothing is raised."""
    assert [problem.kind for problem in verify(tmp_path / "nowhere", 0).problems] == ["not-found", "not-found"]
    missing = verify_version(open_backend(str(tmp_path)), NAME, digest=f"sha256:{'0' * 64}")
    assert "manifests/000" in str(missing.problems[1])


def test_a_backend_that_fails_raises(sample: Sample) -> None:
    """Where bytes cannot be had for now the verification raises: it knows nothing then."""
    for operation in ("read", "read_or_none", "size"):
        backend = FaultBackend(open_backend(str(sample.root)))
        backend.fail(operation, 2)
        with pytest.raises(StoreUnavailableError):
            verify_version(backend, NAME, 1)


def test_remote_stores_are_verified_alike(store_url: str) -> None:
    """What lies in memory, or anywhere else that is no local file, is verified as well."""
    store = tableformat.open_store(store_url)
    with store.draft(NAME) as draft, draft.table("t") as table:
        table.extend(pa.table({"x": range(1000)}))
    backend = StoreContext.open(store_url).backend
    assert verify_version(backend, NAME, 0).rows == 1000
    [info] = [info for info in backend.list("data") if info.path.endswith(".parquet")]
    data = bytearray(backend.read(info.path))
    data[100] ^= 1
    backend.overwrite(info.path, data)
    assert verify_version(backend, NAME, 0).problems[0].place.startswith(info.path)

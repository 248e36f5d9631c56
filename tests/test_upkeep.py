"""A store is kept: garbage goes, old versions expire, what must be erased is gone, what is damaged comes back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat.errors import (
    ConflictError,
    ErasedError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
    UsageError,
)
from tableformat.format.documents import Requires
from tableformat.storage.collect.collector import GRACE_S
from tableformat.storage.collect.repack import Repacking
from tests.publishing import publish


def picture(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [
        {"id": number, "image": tableformat.Image(picture(number)), "name": f"person {number}"} for number in numbers
    ]


def write(store: tableformat.Store, name: str, *numbers: int) -> tableformat.Artifact:
    with store.draft(name) as draft, draft.table("t", key="id", mode="replace") as table:
        table.extend(rows(*numbers))
    assert draft.committed is not None
    return draft.committed


@pytest.fixture
def store(tmp_path: Path) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def files(store: tableformat.Store, pattern: str) -> list[Path]:
    return sorted(Path(store.root).glob(pattern))


def collect(store: tableformat.Store, **options: Any) -> tableformat.upkeep.GcReport:
    return store.gc(dry_run=False, grace=0, exclusive=True, **options)


def age(store: tableformat.Store) -> None:
    """Make everything in the store older than the time of grace."""
    for path in files(store, "**/*"):
        then = path.stat().st_mtime - GRACE_S - 100
        os.utime(path, (then, then))


def ids(store: tableformat.Store, selection: str) -> list[int]:
    return store[selection]["t"].to_arrow().column("id").to_pylist()


# Collection


def test_a_dry_run_tells_and_changes_nothing(store: tableformat.Store) -> None:
    """By default `gc` only says what it would do, by kind; nothing is written, and young garbage is told apart."""
    write(store, "a", 1, 2)
    write(store, "a", 3)
    store.expire("a", keep_last=1)
    before = {path: path.stat().st_mtime_ns for path in files(store, "**/*")}
    young = store.gc()
    assert (young.state, young.condemned) == ("clean", {})
    assert young.total("young").objects > 0
    found = store.gc(grace=0, exclusive=True)
    assert found.state == "planned"
    assert {"packs", "parts", "roots"} <= found.condemned.keys()
    assert found.total("condemned").bytes == young.total("young").bytes
    assert {path: path.stat().st_mtime_ns for path in files(store, "**/*")} == before


def test_what_no_version_reaches_goes(store: tableformat.Store) -> None:
    """Alone with a store, one call deletes all garbage and nothing else; strange files stay. [COLLECT-1] [COLLECT-2]"""
    write(store, "a", 1, 2)
    write(store, "a", 3)
    store.expire("a", keep_last=1)
    for strange in ("data/notes.txt", "elsewhere/x.parquet", f"more/{'0' * 64}.json"):
        Path(store.root, strange).parent.mkdir(exist_ok=True)
        Path(store.root, strange).write_text("mine")
    report = collect(store)
    assert (report.state, report.versions) == ("swept", 1)
    assert report.deleted["packs"].objects == 1
    assert len(files(store, "data/packs/*/*.zip")) == 1
    assert len(files(store, "elsewhere/*")) == len(files(store, "data/*.txt")) == len(files(store, "more/*")) == 1
    assert store.verify("a").ok
    assert collect(store).state == "clean"
    assert ids(store, "a") == [3]
    write(store, "a", 1, 2)  # the same bytes again
    assert store.verify("a").ok


def test_times_of_grace_are_kept_apart(store: tableformat.Store) -> None:
    """A time of grace that is no longer than a session takes is refused, but for a store that nobody else writes to. [COLLECT-3]"""
    with pytest.raises(InvalidInputError, match="exclusive"):
        store.gc(grace=3600)
    with pytest.raises(InvalidInputError):
        store.gc(grace=-1, exclusive=True)


def test_a_plan_waits_and_is_then_carried_out(store: tableformat.Store) -> None:
    """With others about, a plan is made, left alone for the time of grace, and then carried out in a later call. [COLLECT-4]"""
    write(store, "a", 1)
    write(store, "a", 2)
    store.expire("a", keep_last=1)
    age(store)
    assert store.gc(dry_run=False).state == "planned"
    assert store.gc(dry_run=False).state == "waiting"
    assert store.gc().state == "waiting"
    assert len(files(store, "data/packs/*/*.zip")) == 2
    age(store)
    report = store.gc(dry_run=False)
    assert (report.state, report.deleted["packs"].objects) == ("swept", 1)
    assert store.verify("a").ok


def test_writers_beside_a_plan(store: tableformat.Store) -> None:
    """While something is condemned, a writer that stores the same keeps it, and it stays. [COLLECT-6] [COLLECT-7]"""
    write(store, "a", 1)
    write(store, "a", 2)
    store.expire("a", keep_last=1)
    age(store)
    assert store.gc(dry_run=False).state == "planned"
    again = write(store, "b", 1)
    assert again.report["blobs_shared"] == 0
    assert len(files(store, "gc/*/keep-*.json")) >= 1
    age(store)
    assert store.gc(dry_run=False).state in ("swept", "planned")
    assert store.verify("b").ok
    assert store.verify("a").ok


def test_unknown_features_stop_a_collection(store: tableformat.Store) -> None:
    """A version that requires a feature which is not known may name objects in a way that is not known either. [COLLECT-5]"""
    write(store, "a", 1)
    publish(store, "b", [], Requires(write=("later",)))
    with pytest.raises(UnsupportedError, match="later"):
        store.gc()
    with pytest.raises(UnsupportedError, match="later"):
        collect(store)


def test_a_writer_past_its_deadline_is_refused(store: tableformat.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft of more than a week commits nothing. [COLLECT-8]"""
    from tableformat.storage import sessions

    with pytest.raises(UsageError, match="draft again"), store.draft("a") as draft:
        draft.add(tableformat.Classes(["x"]), "c")
        later = sessions.time.monotonic() + 8 * 24 * 3600
        monkeypatch.setattr(sessions.time, "monotonic", lambda: later)
    assert store.artifacts() == []


def test_a_rollback_beside_a_collection(store: tableformat.Store) -> None:
    """What a collection deleted cannot be rolled back to, and what stands can."""
    write(store, "a", 1)
    write(store, "a", 2)
    assert store.rollback("a", "v0").version == "v2"
    store.expire("a", versions=["v1"])
    collect(store)
    with pytest.raises(NotFoundError):
        store.rollback("a", "v1")
    assert ids(store, "a") == [1]


def test_packs_that_are_mostly_dead_are_written_again(store: tableformat.Store) -> None:
    """Of a pack of which little is needed, that little moves, behind moved/; no digest of a version changes. [COLLECT-12]"""
    write(store, "a", *range(20))
    with store.draft("b") as draft, draft.table("t", key="id") as table:
        table.extend(rows(3, 5))
    digest = store["b"].digest
    write(store, "a", 100)
    store.expire("a", keep_last=1)
    [pack] = Repacking(store.context.backend, 0.5).candidates()
    report = collect(store, repack=0.5)
    assert report.deleted["packs"].objects == 1
    assert not Path(store.root, pack).exists()
    assert len(files(store, "moved/*")) == 1
    reopened = tableformat.open_store(store.root)
    assert reopened["b"].digest == digest
    assert np.array_equal(reopened["b"]["t"][1]["image"].to_numpy(), picture(5))
    assert reopened.verify("b").ok
    assert collect(store, repack=0.5).state == "clean"
    with pytest.raises(InvalidInputError):
        collect(store, repack=2.0)


def test_tables_of_versions_that_went_are_not_taken_over(store: tableformat.Store) -> None:
    """A table that is held open while its version expires cannot be added to another artifact: its bytes may go at any time.
    [COLLECT-20]"""
    write(store, "a", 1)
    held = store["a"]["t"]
    write(store, "a", 2)
    store.expire("a", keep_last=1)
    with pytest.raises(NotFoundError, match="deleted"), store.draft("b") as draft:
        draft.add(held, "t")
    assert store.artifacts() == ["a"]


# Expiry


def test_expiry_keeps_what_is_pinned(store: tableformat.Store) -> None:
    """Versions with an alias, versions that a live join reads, and versions that a live one was made from stay. [COLLECT-13]"""
    for number in range(6):
        write(store, "a", number)
    store.set_alias("a", "best", "v1")
    with store.draft("joined") as draft:
        draft.add(tableformat.JoinedTable(store["a:v2"]["t"], store["a:v2"]["t"], on="id"), "j")
    with store.draft("made") as draft:
        draft.use("a:v3")
        draft.add(tableformat.Classes(["x"]), "c")
    told = store.expire("a", keep_last=1, dry_run=True)
    assert (told.expired, [slot for slot, _ in told.pinned]) == ((0, 4), [1, 2, 3])
    assert [why.split()[0] for _, why in told.pinned] == ["the", "a", "made:v0,"]
    assert len(store.versions("a")) == 6
    assert store.expire("a", keep_last=1).expired == (0, 4)
    assert [version.slot for version in store.versions("a")] == [1, 2, 3, 5]
    assert store.expire("a", versions=["v3"], force=True).expired == (3,)
    collect(store)
    for selection in ("a:v1", "a:v2", "a", "joined"):
        assert store.verify(selection).ok


def test_expired_versions_are_told(store: tableformat.Store) -> None:
    """A version that expired is not opened, and the error says since when; the newest version never expires. [COLLECT-14]"""
    write(store, "a", 1)
    write(store, "a", 2)
    store.expire("a", versions=["v0"])
    with pytest.raises(NotFoundError, match="deleted on"):
        store["a:v0"]
    for wrong in ({"keep_last": 0}, {"versions": ["v1"]}, {}, {"keep_last": 1, "versions": ["v1"]}):
        with pytest.raises(InvalidInputError):
            store.expire("a", **wrong)
    with pytest.raises(NotFoundError):
        store.expire("b", keep_last=1)


# Erasure


def test_erased_media_are_gone(store: tableformat.Store) -> None:
    """The bytes are in no file of the store any more, a reader is told so, others are as they were, and `verify` accepts it.
    [COLLECT-15] [COLLECT-16]"""
    write(store, "a", 1, 2, 3)
    digest = store["a"]["t"][1]["image"].digest
    data = store["a"]["t"][1]["image"].bytes()
    version = store["a"].digest
    report = store.erase(digest)
    assert (report.digests, report.packs, report.ok) == ((digest,), 1, True)
    assert report.unreached
    assert not any(data in path.read_bytes() for path in files(store, "**/*") if path.is_file())
    reopened = tableformat.open_store(store.root)
    with pytest.raises(ErasedError):
        reopened["a"]["t"][1]["image"].bytes()
    assert np.array_equal(reopened["a"]["t"][2]["image"].to_numpy(), picture(3))
    checked = reopened.verify("a")
    assert (checked.ok, checked.erased, reopened["a"].digest) == (True, 1, version)
    again = store.erase(digest)
    assert (again.digests, again.packs) == ((), 0)
    collect(store)
    assert reopened.verify("a").ok


def test_large_blobs_are_erased(store: tableformat.Store) -> None:
    """A blob of its own goes with its sums."""
    data = np.random.default_rng(0).bytes(9 << 20)
    with store.draft("a") as draft:
        draft.add(tableformat.File(data, name="x.bin"), "x")
    digest = store["a"]["x"].digest
    assert store.erase([digest]).files == 1
    assert files(store, "data/blobs/*/*") == []
    with pytest.raises(ErasedError):
        tableformat.open_store(store.root)["a"]["x"].bytes()
    assert store.verify("a").ok


def test_inline_media_are_told(store: tableformat.Store) -> None:
    """Bytes that stand in a part cannot be taken out of it: the report says where they are."""
    small = tableformat.Image(np.zeros((4, 4, 3), np.uint8))
    with store.draft("a") as draft, draft.table("t", key="id") as table:
        table.append(id=1, image=small)
    report = store.erase(store["a"]["t"][0]["image"].digest)
    assert not report.ok
    assert "a:v0/t" in report.left[0]
    with pytest.raises(InvalidInputError):
        store.erase(["sha256:abc"])
    with pytest.raises(InvalidInputError):
        store.erase()


def test_erased_rows_are_gone_from_every_version(store: tableformat.Store) -> None:
    """Rows go from all versions and copies with the media that they own: a new version has the others, older ones are tombstones,
    and no file holds a value of them. [COLLECT-17]"""
    write(store, "a", 1, 2, 3)
    old = store["a"]
    with store.draft("a", base="latest") as draft:
        draft.upsert("t", rows(4))
    with store.draft("copy") as draft:
        draft.add(store["a"]["t"], "mine")
    told = store.erase(table="a/t", keys=[2], dry_run=True)
    assert (told.rows, sorted(told.expired)) == (1, ["a:v0", "a:v1", "copy:v0"])
    assert len(store.versions("a")) == 2
    data = old["t"][1]["image"].bytes()
    report = store.erase(table="a/t", keys=[2])
    assert (sorted(report.committed), report.rows, report.ok) == (["a:v2", "copy:v1"], 1, True)
    assert sorted(report.expired) == ["a:v0", "a:v1", "copy:v0"]
    reopened = tableformat.open_store(store.root)
    assert ids(reopened, "a") == [1, 3, 4]
    assert reopened["copy"]["mine"].to_arrow().column("id").to_pylist() == [1, 3, 4]
    for selection in ("a", "copy"):
        assert reopened.verify(selection).ok
    assert not any(data in path.read_bytes() for path in files(store, "**/*") if path.is_file())
    for path in files(store, "data/*.parquet"):
        assert "person 2" not in str(pa.parquet.read_table(path).to_pydict())
    with pytest.raises(ErasedError):
        reopened[f"a@{old.digest}"]
    with pytest.raises(NotFoundError):
        store.erase(table="a/other", keys=[1])


def test_parts_stay_while_a_pack_cannot_be_read(store: tableformat.Store) -> None:
    """Rows name the media that go with them: they are not dropped before every pack was looked into, and a further run completes it.
    [COLLECT-22]"""
    write(store, "a", 1, 2, 3)
    (pack,) = files(store, "data/packs/*/*.zip")
    whole, image = pack.read_bytes(), store["a"]["t"][1]["image"].bytes()
    pack.write_bytes(whole[:-40] + bytes(40))
    report = store.erase(table="a/t", keys=[2])
    assert not report.ok
    assert "repair" in report.left[0]
    pack.write_bytes(whole)
    assert store.erase(table="a/t", keys=[2]).ok
    assert not any(image in path.read_bytes() for path in files(store, "data/**/*") if path.is_file())
    assert store.erase(table="a/t", keys=[2], dry_run=True).files == 0
    assert [row["id"] for row in store["a"]["t"]] == [1, 3]


def test_rows_of_deleted_versions_are_erased(store: tableformat.Store) -> None:
    """Versions that expired and were not collected yet hold rows as others do; so does what an erasure that broke off left. [COLLECT-17]"""
    write(store, "a", 1, 2)
    write(store, "a", 2, 3)
    write(store, "a", 3)
    store.expire("a", versions=["v0", "v1"])
    assert len(files(store, "data/*.parquet")) == 3
    told = store.erase(table="a/t", keys=[2], dry_run=True)
    assert (told.rows, told.expired) == (2, ())
    report = store.erase(table="a/t", keys=[2])
    assert (report.rows, report.committed, report.expired, report.ok) == (2, (), (), True)
    [part] = files(store, "data/*.parquet")
    assert pa.parquet.read_table(part).column("id").to_pylist() == [3]
    data = tableformat.Image(picture(2)).bytes()
    assert not any(data in path.read_bytes() for path in files(store, "**/*") if path.is_file())
    assert store.verify("a").ok
    assert store.erase(table="a/t", keys=[2], dry_run=True).files == 0


# Repair


@pytest.fixture
def copies(store: tableformat.Store, tmp_path: Path) -> tuple[tableformat.Store, tableformat.Store]:
    """A store with a bit of everything, and a copy of it."""
    write(store, "a", *range(10))
    with store.draft("a", base="latest") as draft:
        draft.upsert("t", rows(11))
        draft.add(tableformat.File(np.random.default_rng(0).bytes(9 << 20), name="x.bin"), "x")
    shutil.copytree(store.root, tmp_path / "copy")
    return store, tableformat.open_store(tmp_path / "copy")


@pytest.mark.parametrize("how", ["flip", "cut", "delete"])
@pytest.mark.parametrize(
    "pattern", ["data/*.parquet", "data/packs/*/*.zip", "data/blobs/*/*", "manifests/*", "artifacts/a/versions/*"]
)
def test_a_damaged_store_is_repaired_from_a_copy(
    copies: tuple[tableformat.Store, tableformat.Store], pattern: str, how: str
) -> None:
    """Whatever is damaged or missing comes back from another store, and all versions verify. [COLLECT-18]"""
    store, copy = copies
    damaged = files(store, pattern)
    if "versions" in pattern:
        damaged = damaged[:1]  # the newest one is found by asking, not by listing
    for path in damaged:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink() if how == "delete" else path.write_bytes(data if how == "flip" else data[: len(data) // 2])
    told = store.repair(copy, dry_run=True)
    assert told.repaired
    report = store.repair(copy)
    assert (
        report.lost,
        set(report.repaired) >= {str(path.relative_to(store.root)) for path in damaged if path.suffix != ".sums"},
    ) == ((), True)
    for slot in (0, 1):
        assert tableformat.open_store(store.root).verify(f"a:v{slot}").ok
    assert store.repair(copy).repaired == ()


def test_damage_without_a_copy_is_told(copies: tuple[tableformat.Store, tableformat.Store]) -> None:
    """What nobody has is told, each with its path; the rest is left as it was."""
    store, _ = copies
    pack = files(store, "data/packs/*/*.zip")[0]
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    report = store.repair()
    assert (report.ok, report.repaired) == (False, ())
    assert pack.name in report.lost[0]
    assert pack.read_bytes() == bytes(data)


def test_blobs_are_repaired_one_by_one(store: tableformat.Store, tmp_path: Path) -> None:
    """A store that has the blobs in other packs is a source as well: what is right moves with them to a new pack. [COLLECT-18]"""
    write(store, "a", *range(6))
    other = tableformat.open_store(tmp_path / "other")
    write(other, "b", 5, 2, 0, 40)
    [pack] = files(store, "data/packs/*/*.zip")
    data = bytearray(pack.read_bytes())
    at = bytes(data).index(store["a"]["t"][2]["image"].bytes())
    data[at + 50] ^= 1
    pack.write_bytes(data)
    assert not store.verify("a").ok
    assert store.repair(other).ok
    reopened = tableformat.open_store(store.root)
    assert reopened.verify("a").ok
    for row in range(6):
        assert np.array_equal(reopened["a"]["t"][row]["image"].to_numpy(), picture(row))


def test_packs_behind_moved_files_are_repaired(store: tableformat.Store, tmp_path: Path) -> None:
    """Packs that only moved/ files lead to come back blob by blob; what was erased does not, whoever has it still. [COLLECT-21]"""
    write(store, "a", *range(6))
    other = tableformat.open_store(tmp_path / "other")
    store.copy_to(other, "a", progress=False)
    erased = store["a"]["t"][1]["image"].digest
    assert store.erase(erased).packs == 1
    [pack] = files(store, "data/packs/*/*.zip")
    pack.unlink()
    assert not store.repair().ok
    report = store.repair(other)
    assert report.ok, report.lost
    reopened = tableformat.open_store(store.root)
    checked = reopened.verify("a")
    assert (checked.ok, checked.erased) == (True, 1)
    assert np.array_equal(reopened["a"]["t"][2]["image"].to_numpy(), picture(2))
    with pytest.raises(ErasedError):
        reopened["a"]["t"][1]["image"].bytes()


def test_media_come_back_from_where_they_were_owned(tmp_path: Path) -> None:
    """What was owned from a reference is read from there again, if that is allowed and still the same. [COLLECT-18]"""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"{number}.png").write_bytes(tableformat.Image(picture(number)).bytes())
    store = tableformat.open_store(tmp_path / "store", allow=[str(source)])
    schema = {"id": pa.int64(), "image": tableformat.ImageType()}
    with store.draft("a") as draft, draft.table("t", key="id", schema=schema, uris="refer") as table:
        for number in range(3):
            table.append(id=number, image=tableformat.Image.refer(str(source / f"{number}.png")))
    with store.draft("a", base="latest") as draft:
        draft.own("t", "image")
    [pack] = files(store, "data/packs/*/*.zip")
    pack.unlink()
    report = store.repair()
    assert report.ok, report.lost
    assert tableformat.open_store(store.root).verify("a").ok


def test_conflicts_are_commit_errors() -> None:
    """A writer that lost what it counted on is told to draft again, as one that lost a race is."""
    assert issubclass(ConflictError, tableformat.errors.CommitError)

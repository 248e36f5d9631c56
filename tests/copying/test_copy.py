"""Artifacts and versions copied between stores: the same digests, nothing moved twice, everything verified."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat import JoinedTable
from tableformat.context import StoreContext
from tableformat.copying.copy import Copied
from tableformat.errors import ConflictError, CorruptError, NotFoundError, StoreFullError, UnsupportedError, UsageError
from tableformat.storage.backend import open_backend
from tableformat.storage.collect.collector import Collector
from tableformat.storage.index import read_newest_index
from tableformat.store import Store
from tableformat.testing import FaultBackend
from tests.publishing import publish
from tests.sample_store import NAME, extend_sample, read_version, write_sample

IMAGES = {"id": pa.int64(), "image": tableformat.ImageType()}


def picture(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)


def add_images(draft: Any, name: str, ids: Any, **options: Any) -> None:
    with draft.table(name, IMAGES, key="id", **options) as table:
        for row in ids:
            table.append(id=row, image=picture(row))


def faulty(root: str | Path) -> tuple[Store, FaultBackend]:
    backend = FaultBackend(open_backend(str(root)))
    return Store(StoreContext(backend, None)), backend


def whole(store: tableformat.Store, name: str) -> bool:
    return all(store.verify(f"{name}:v{version.slot}", workers=1).ok for version in store.versions(name))


def roots(store: tableformat.Store, name: str) -> list[str]:
    return [version.root for version in store.versions(name)]


@pytest.fixture
def source(tmp_path: Path) -> tableformat.Store:
    """Two versions of `a`: ten images, then some rows deleted, some added and a column more."""
    store = tableformat.open_store(tmp_path / "source")
    with store.draft("a", message="first", producer={"run": "r1"}) as draft:
        add_images(draft, "t", range(10))
    with store.draft("a", base="latest", message="second") as draft:
        draft.delete("t", id=3)
        draft.add_column("t", "score", pa.float64(), 0.5)
        add_images(draft, "more", range(8, 14))
    store.set_alias("a", "best", "v0")
    return store


@pytest.fixture
def target(tmp_path: Path) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "target")


def test_artifacts_with_everything(tmp_path: Path, store_url: str) -> None:
    """Every kind of entry, column and medium is the same at the target, with messages, times, producers, aliases and slots. [COPY-1]"""
    here = write_sample(tmp_path / "source", large_bytes=9 << 20)
    extend_sample(here)
    there = tableformat.open_store(store_url)
    copied = here.copy_to(there, NAME)
    assert copied.created == 2
    assert there.verify(f"{NAME}:v0").ok
    assert there.verify(f"{NAME}:v1").ok
    for one, other in zip(here.versions(NAME), there.versions(NAME), strict=True):
        kept = ("slot", "root", "predecessor", "base", "time", "message", "producer", "report", "requires")
        assert [getattr(one, name) for name in kept] == [getattr(other, name) for name in kept]
        assert one.commit != other.commit
    assert there.aliases(NAME) == here.aliases(NAME)
    assert read_version(there, NAME) == read_version(here, NAME)


def test_second_run_moves_nothing(source: Any, target: Any) -> None:
    """What is there is not copied again, nor committed again; new versions alone are. [COPY-8]"""
    assert source.copy_to(target, "a").created == 2
    again = source.copy_to(target, "a")
    assert (again.created, again.files_moved, again.bytes_moved) == (0, 0, 0)
    assert [version.slot for version in again.versions] == [0, 1]
    with source.draft("a", base="latest") as draft:
        draft.delete("t", id=4)
    further = source.copy_to(target, "a")
    assert [version.created for version in further.versions] == [False, False, True]
    assert further.files_moved <= 3  # the deletions, the root
    assert roots(target, "a") == roots(source, "a")
    assert whole(target, "a")


def test_order_of_writing(source: Any, tmp_path: Path) -> None:
    """Blobs, parts, leaves, root and version file follow each other; the index and aliases come last. [COPY-4]"""
    there, backend = faulty(tmp_path / "target")
    source.copy_to(there, "a")
    changed = [
        path
        for name, path in backend.calls
        if name in ("put", "sink.commit", "create") and not path.startswith("tableformat")
    ]
    at = next(place for place, path in enumerate(changed) if path.endswith("versions/00000000000000000000.json"))
    kinds = ["data/packs", "data/", "manifests/", "artifacts/"]
    ranks = [next(rank for rank, kind in enumerate(kinds) if path.startswith(kind)) for path in changed[1 : at + 1]]
    assert changed[0].startswith("sessions/")
    assert ranks == sorted(ranks)
    assert not any(path.startswith("index/") for path in changed[:at])
    assert changed[-1].startswith("artifacts/a/aliases/")
    assert list(there.context.backend.list("sessions")) == []
    assert read_newest_index(there.context.backend)[1].leaves


def test_one_version(source: Any, target: Any) -> None:
    """By number, alias, digest or `latest`; its slot is the next one there, and it is copied once."""
    one = source.copy_to(target, "a:v1")
    assert [(version.source, version.slot, version.created) for version in one.versions] == [(1, 0, True)]
    assert target["a"].digest == source["a"].digest
    assert target.aliases("a") == {}
    for selection in ("a:v1", "a:latest", f"a@{source['a'].digest}"):
        assert source.copy_to(target, selection).created == 0
    assert source.copy_to(target, "a:best", "other").versions[0].digest == source["a:v0"].digest
    assert whole(target, "a")
    assert whole(target, "other")
    with pytest.raises(NotFoundError):
        source.copy_to(target, "a:v7")
    with pytest.raises(NotFoundError):
        source.copy_to(target, "none")


def test_within_one_store(source: Any) -> None:
    """Another name in the same store moves nothing; the same name is refused."""
    copied = source.copy_to(source, "a", "b")
    assert (copied.created, copied.bytes_moved) == (2, 0)
    assert roots(source, "a") == roots(source, "b")
    with pytest.raises(UsageError, match="another store, or another name"):
        source.copy_to(source, "a")


def test_shared_blobs_are_not_moved(source: Any, target: Any) -> None:
    """Where the target has some blobs of a pack elsewhere, the rest alone moves, and moved/ tells every place. [COPY-5]"""
    with target.draft("mine") as draft:
        add_images(draft, "t", range(0, 12, 2))
    copied = source.copy_to(target, "a")
    assert copied.blobs_there >= 6
    assert copied.bytes_there > 6 * 3000
    assert list(target.context.backend.list("moved"))
    assert roots(target, "a") == roots(source, "a")
    assert whole(target, "a")
    images = [row["image"].bytes() for row in target["a:v0"]["t"].rows()]
    assert images == [row["image"].bytes() for row in source["a:v0"]["t"].rows()]
    assert source.copy_to(target, "a", "again").bytes_moved == 0


def test_all_blobs_are_there(source: Any, target: Any) -> None:
    """Where the target has every blob, parts and manifests alone are moved."""
    with target.draft("mine") as draft:
        add_images(draft, "t", range(14))
    copied = source.copy_to(target, "a")
    packs = [info.path for info in target.context.backend.list("data/packs")]
    assert len(packs) == 1
    assert copied.blobs_there == 14
    assert whole(target, "a")


def test_copies_of_copies(source: Any, target: Any, tmp_path: Path) -> None:
    """A store that has blobs behind moved/ is copied on, and digests still stay."""
    with target.draft("mine") as draft:
        add_images(draft, "t", range(5))
    source.copy_to(target, "a")
    third = tableformat.open_store(tmp_path / "third")
    target.copy_to(third, "a")
    assert roots(third, "a") == roots(source, "a")
    assert whole(third, "a")
    assert third.aliases("a") == {"best": "v0"}


def test_erased_blobs_stay_erased(source: Any, target: Any, tmp_path: Path) -> None:
    """A blob that moved/ of the source calls erased is not looked for, and is erased at the target. [COPY-6]"""
    from tableformat.storage.blob_reader import read_pack_directory
    from tableformat.storage.locations import Location
    from tableformat.storage.moved import follow_moved, write_moved

    backend = source.context.backend
    row = source["a:v0"]["t"].select("image").to_arrow().column("image").combine_chunks().field("file")[0].as_py()
    uri = row["uri"].partition("data/")[2]
    blobs = read_pack_directory(backend, uri)
    spare = tableformat.open_store(tmp_path / "spare")
    with spare.draft("s") as draft, draft.table("t", {"image": tableformat.ImageType()}) as table:
        for blob in blobs[1:]:  # the same blobs in another pack, as a collection writes them
            table.append(image=backend.read(f"data/{uri}", blob.offset, blob.size))
    [pack] = [info.path for info in spare.context.backend.list("data/packs")]
    backend.put(pack, spare.context.backend.read(pack))
    new = pack.removeprefix("data/")
    places = {blob.digest: Location(new, blob.offset, blob.size) for blob in read_pack_directory(backend, new)}
    write_moved(backend, uri, {blobs[0].digest: None, **places})
    backend.delete(f"data/{uri}")
    copied = source.copy_to(target, "a:v0")
    assert copied.blobs_erased == 1
    assert [place.size for place in follow_moved(target.context.backend, uri, [blob.digest for blob in blobs[1:]])] == [
        blob.size for blob in blobs[1:]
    ]
    with pytest.raises(NotFoundError, match="erased"):
        follow_moved(target.context.backend, uri, [blobs[0].digest])


@pytest.mark.parametrize("folder", ["data/packs", "data", "manifests"])
def test_damaged_sources_are_found(source: Any, target: Any, folder: str) -> None:
    """A file of the source that is not its digest, or is gone, ends the copy before anything of that name is at the target. [COPY-3]"""
    backend = source.context.backend
    wanted = {source["a"].digest[7:]} if folder == "manifests" else None
    path = next(
        info.path for info in backend.list(folder) if wanted is None or any(stem in info.path for stem in wanted)
    )
    data = backend.read(path)
    backend.put(path, data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with pytest.raises(CorruptError) as caught:
        source.copy_to(target, "a")
    assert path in str(caught.value)
    assert target.context.backend.size(path) is None
    backend.delete(path)
    with pytest.raises(NotFoundError, match="verify"):
        source.copy_to(target, "a")
    backend.put(path, data)
    assert source.copy_to(target, "a").created >= 1
    assert whole(target, "a")


def test_short_files_of_the_target_are_written_again(source: Any, target: Any) -> None:
    """A part of another length than the manifest says is not taken for there."""
    source.copy_to(target, "a")
    path = next(info.path for info in target.context.backend.list("data") if info.path.endswith(".parquet"))
    data = target.context.backend.read(path)
    target.context.backend.put(path, data[:-1])
    source.copy_to(target, "a", "b")
    assert target.context.backend.read(path) == data


def test_targets_with_versions_of_their_own(source: Any, target: Any) -> None:
    """What others committed stays; the copies come next, once, and a version committed twice stands twice."""
    with target.draft("a", message="mine") as draft:
        add_images(draft, "own", range(2))
    assert [version.slot for version in source.copy_to(target, "a").versions] == [1, 2]
    source.rollback("a", "v0")
    with target.draft("a", message="mine again") as draft:
        add_images(draft, "own", range(3))
    copied = source.copy_to(target, "a")
    assert [(version.slot, version.created) for version in copied.versions] == [(1, False), (2, False), (4, True)]
    assert target["a"].digest == target["a:v1"].digest
    assert source.copy_to(target, "a").created == 0
    assert target.aliases("a") == {"best": "v1"}
    assert whole(target, "a")


def test_tombstones(source: Any, target: Any, tmp_path: Path) -> None:
    """A deleted version keeps its number at the target, and one that was deleted there is not brought back."""
    source.context.versions("a").expire(0)
    source.remove_alias("a", "best")
    source.copy_to(target, "a")
    assert [version.slot for version in target.versions("a")] == [1]
    assert target["a:v1"].digest == source["a:v1"].digest
    assert whole(target, "a")
    with source.draft("a", base="latest") as draft:
        draft.remove("more")
    target.context.versions("a").expire(1)
    copied = source.copy_to(target, "a")
    assert [version.slot for version in copied.versions] == [2]
    assert "deleted at the target" in copied.left[0]
    assert source.copy_to(target, "a").created == 0


def test_aliases(source: Any, target: Any) -> None:
    """An alias follows the source's; one that was set at the target to something else stays, and is told. [COPY-9]"""
    source.copy_to(target, "a")
    source.set_alias("a", "best", "v1")
    assert source.copy_to(target, "a").aliases == {"best": "v1"}
    with target.draft("a") as draft:
        add_images(draft, "own", range(2))
    target.set_alias("a", "best", "v2")
    copied = source.copy_to(target, "a")
    assert copied.aliases == {}
    assert "names v2, which is not from here" in copied.left[0]
    assert target.aliases("a") == {"best": "v2"}


def test_inputs_are_named_from_the_target(source: Any, target: Any) -> None:
    """What a version was made from is named by its address, and by its bare name back home. [COPY-2]"""
    with source.draft("b") as draft:
        draft.use("a:v0")
        draft.add(pa.table({"x": [1]}), "t")
    source.copy_to(target, "b")
    assert [one.artifact for one in target["b"].inputs()] == [f"{source.root}#a"]
    target.copy_to(source, "b", "home")
    assert [one.artifact for one in source["home"].inputs()] == ["a"]


@pytest.fixture
def joined(source: Any) -> Any:
    """`j` joins the images with scores that lie in two versions of `scores`."""
    with source.draft("scores") as draft:
        draft.add(pa.table({"id": [1, 2], "value": [0.1, 0.2]}), "s")
    with source.draft("scores") as draft:
        draft.add(pa.table({"id": [1, 2], "value": [0.3, 0.4]}), "s")
    with source.draft("j") as draft:
        draft.add(JoinedTable(source["a:v0"]["t"], source["scores"]["s"], on="id"), "joined")
    return source


def test_joined_tables_bring_their_sides(joined: Any, target: Any) -> None:
    """The versions that a joined table reads come along, as versions of artifacts of the same names."""
    copied = joined.copy_to(target, "j")
    assert {(version.name, version.slot, version.created) for version in copied.versions} == {
        ("j", 0, True),
        ("a", 0, True),
        ("scores", 0, True),
    }
    assert [row["1"]["value"] for row in target["j"]["joined"].rows()] == [0.3, 0.4]
    assert target["scores"].digest == joined["scores"].digest
    assert joined.copy_to(target, "j").files_moved == 0
    assert all(target.verify(name).ok for name in ("j", "a", "scores"))


def test_sides_that_meet_others(joined: Any, target: Any, tmp_path: Path) -> None:
    """An artifact of that name with versions of its own is not added to; sides may be left, and are told. [COPY-10]"""
    with target.draft("scores") as draft:
        draft.add(pa.table({"z": [1]}), "z")
    with pytest.raises(ConflictError, match="joins='leave'"):
        joined.copy_to(target, "j")
    assert "j" not in target
    other = tableformat.open_store(tmp_path / "other")
    copied = joined.copy_to(other, "j", joins="leave")
    assert [version.name for version in copied.versions] == ["j"]
    assert len(copied.left) == 2
    assert "scores@sha256:" in "".join(copied.left)


def test_unknown_kinds_are_refused(tmp_path: Path, target: Any) -> None:
    """An entry of a kind of later times is named, and nothing is copied. [COPY-7]"""
    here = tableformat.open_store(tmp_path / "here")
    publish(here, "a", [{"name": "h", "key": "h", "kind": "hologram", "content": "sha256:" + "0" * 64}])
    with pytest.raises(UnsupportedError, match="hologram"):
        here.copy_to(target, "a")
    assert "a" not in target


def test_leaves_and_references(tmp_path: Path, target: Any) -> None:
    """Long lists of parts, entries and references go with their leaves; what references lead to does not."""
    here = tableformat.open_store(tmp_path / "here")
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(80):
        (outside / f"{number:03}.bin").write_bytes(bytes([number]))
    with here.draft("a") as draft:
        for number in range(60):
            draft.add(pa.table({"x": [number]}), f"table-{number:02}")
        with draft.table("many", part_rows=1) as table:
            table.extend({"x": number} for number in range(60))
        draft.add_reference(f"file://{outside}", "outside")
    copied = here.copy_to(target, "a")
    assert target["a"].digest == here["a"].digest
    assert target.verify("a").ok
    assert [row["x"] for row in target["a"]["many"].rows()] == list(range(60))
    leaves = [info.path for info in here.context.backend.list("manifests") if info.path.endswith(".parquet")]
    assert leaves
    assert all(target.context.backend.size(path) is not None for path in leaves)
    assert isinstance(copied, Copied)


def test_runs_that_broke_off_are_gone_on_with(source: Any, tmp_path: Path) -> None:
    """Whatever a run moved before it failed is not moved again."""
    there, backend = faulty(tmp_path / "target")
    backend.fail("create", path="versions/00000000000000000001", error=lambda: StoreFullError("injected"))
    with pytest.raises(StoreFullError):
        source.copy_to(there, "a")
    backend.faults.clear()
    again = source.copy_to(tableformat.open_store(tmp_path / "target"), "a")
    assert again.created == 1
    assert again.files_moved == 0


def test_beside_another_copy(source: Any, tmp_path: Path) -> None:
    """Of two copies at once one commits a version, and the other finds it. [COPY-8]"""
    there, backend = faulty(tmp_path / "target")
    other = tableformat.open_store(tmp_path / "target")
    done: list[Copied] = []

    def meanwhile() -> BaseException:
        done.append(source.copy_to(other, "a"))
        return tableformat.errors.StoreUnavailableError("injected")

    backend.fail("create", path="versions/00000000000000000000", when="before", error=meanwhile)
    copied = source.copy_to(there, "a")
    assert (done[0].created, copied.created) == (2, 0)
    assert roots(other, "a") == roots(source, "a")
    assert whole(other, "a")


@pytest.mark.parametrize("shared", [0, 5])
def test_beside_collections(source: Any, tmp_path: Path, shared: int) -> None:
    """What a run left that broke off is condemned, with all moved/ files; the next run counts on none of it, and nothing is lost."""
    there, backend = faulty(tmp_path / "target")
    with there.draft("mine") as draft:
        add_images(draft, "t", range(shared))
    backend.fail("create", path="artifacts/a/versions/00000000000000000000", error=lambda: StoreFullError("injected"))
    with pytest.raises(StoreFullError):
        source.copy_to(there, "a")
    day = 24 * 3600
    now = [time.time() + 100 * day]
    plain = open_backend(str(tmp_path / "target"))
    planned = Collector(plain, clock=lambda: now[0], elapsed=lambda: now[0]).run()
    assert (planned.state, bool(planned.condemned)) == ("planned", True)
    target = tableformat.open_store(tmp_path / "target")
    assert source.copy_to(target, "a").bytes_moved > 0
    now[0] += 100 * day
    Collector(plain, clock=lambda: now[0], elapsed=lambda: now[0]).run()
    assert roots(target, "a") == roots(source, "a")
    assert whole(target, "a")


def test_progress_and_workers(source: Any, target: Any) -> None:
    """A function is told what is done, at the end all bytes; one worker does what several do."""
    told: list[tuple[int, int | None, str]] = []
    copied = source.copy_to(target, "a", workers=1, progress=lambda *said: told.append(said))
    assert told[-1] == (copied.bytes_moved, None, "copying a")

"""Collection, erasure, repair and copies on real servers: what buckets list, delete and date decides what stays."""

import itertools
import time

import numpy as np
import pytest

import tableformat
from tableformat.errors import ErasedError, StoreUnavailableError
from tableformat.storage.backend import open_backend
from tableformat.storage.collect.collector import GRACE_S, Collector
from tableformat.testing.proxy import Proxy


def picture(number):
    return tableformat.Image(np.random.default_rng(number).integers(0, 255, (24, 24, 3), np.uint8))


def write(store, name, *numbers):
    with store.draft(name) as draft, draft.table("t", key="id", mode="replace") as table:
        for number in numbers:
            table.append(id=number, image=picture(number))
    return draft.committed


def count(store, folder):
    return sum(1 for _ in store.context.backend.list(folder))


def holds(store, data):
    """Whether some object of the store has these bytes in it."""
    backend = store.context.backend
    return any(data in backend.read(info.path) for info in backend.list())


def collect_in(store, seconds):
    """A collector in whose eyes it is so many seconds later."""
    return Collector(store.context.backend, clock=lambda: time.time() + seconds).run()


@pytest.fixture
def store(server):
    """An empty store on each sort of server."""
    return tableformat.open_store(server.new_root(), storage_options=dict(server.options))


def test_garbage_goes(store):
    """One call of a collector that is alone deletes what nothing reaches, and nothing else; packs that are mostly dead are
    written again."""
    write(store, "a", *range(10))
    write(store, "b", 3)
    write(store, "a", 20)
    store.expire("a", keep_last=1)
    digest = store["b"].digest
    report = store.gc(dry_run=False, grace=0, exclusive=True, repack=0.5)
    assert (report.state, report.deleted["packs"].objects) == ("swept", 1)
    assert (count(store, "data/packs"), count(store, "moved")) == (2, 1)
    assert store.gc(grace=0, exclusive=True).state == "clean"
    assert all(store.verify(name).ok for name in "ab")
    assert store["b"].digest == digest
    assert store["b"]["t"][0]["image"].bytes() == picture(3).bytes()


def test_a_writer_beside_a_plan(store):
    """A writer that stores again what a plan condemns says that it keeps it, and the sweep leaves it there; what nobody needs goes."""
    for numbers in ((1, 2), (9,), (3,)):
        write(store, "a", *numbers)
    store.expire("a", keep_last=1)
    assert collect_in(store, GRACE_S + 60).state == "planned"
    assert collect_in(store, 0).state == "waiting"
    again = write(store, "b", 1, 2)
    assert again.report["blobs_shared"] == 0
    assert any("/keep-" in info.path for info in store.context.backend.list("gc"))
    report = collect_in(store, 3 * GRACE_S)
    assert (report.state, report.kept.objects > 0, report.deleted["packs"].objects) == ("swept", True, 1)
    assert all(store.verify(name).ok for name in "ab")
    assert store["b"]["t"][1]["image"].bytes() == picture(2).bytes()


def test_what_is_erased_is_gone(store):
    """Erased media and rows are in no object of the bucket; readers are told so, and verification accepts it."""
    write(store, "a", 1, 2, 3)
    with store.draft("a", base="latest") as draft:
        draft.upsert("t", [{"id": 4, "image": picture(4)}])
    digest = picture(1).digest
    assert store.erase(digest).digests == (digest,)
    assert not holds(store, picture(1).bytes())
    report = store.erase(table="a/t", keys=[2])
    assert (report.committed, sorted(report.expired), report.ok) == (("a:v2",), ["a:v0", "a:v1"], True)
    assert not holds(store, picture(2).bytes())
    assert store["a"]["t"].to_arrow().column("id").to_pylist() == [1, 3, 4]
    with pytest.raises(ErasedError):
        store["a"]["t"][0]["image"].bytes()
    assert store.verify("a").ok
    assert store.erase(table="a/t", keys=[2], dry_run=True).rows == 0


def test_copies_there_and_back(store, tmp_path, request):
    """An artifact is pushed, pulled, and copied from one bucket to another, with its digests; a second time nothing moves."""
    here = tableformat.open_store(tmp_path / "here")
    write(here, "a", 1, 2)
    write(here, "a", 2, 3)
    here.set_alias("a", "best", "v0")
    back = tableformat.open_store(tmp_path / "back")
    places = [here, store, back]
    if store.root.startswith("s3"):
        other = request.getfixturevalue("gcs")
        places.insert(2, tableformat.open_store(other.new_root(), storage_options=dict(other.options)))
    for source, target in itertools.pairwise(places):
        made = source.copy_to(target, "a", progress=False)
        assert [version.created for version in made.versions] == [True, True]
        assert target.aliases("a") == {"best": "v0"}
        assert [target[f"a:v{n}"].digest for n in (0, 1)] == [here[f"a:v{n}"].digest for n in (0, 1)]
        again = source.copy_to(target, "a", progress=False)
        assert (again.created, again.files_moved) == (0, 0)
        assert target.verify("a").ok


def test_what_is_lost_comes_back(store, tmp_path):
    """Objects that are missing in a bucket, or other than they were, are brought from a local copy."""
    write(store, "a", 1, 2, 3)
    copy = tableformat.open_store(tmp_path / "copy")
    store.copy_to(copy, "a", progress=False)
    backend = store.context.backend
    [pack] = [info.path for info in backend.list("data/packs")]
    [part] = [info.path for info in backend.list("data") if info.path.endswith(".parquet")]
    backend.delete(pack)
    backend.overwrite(part, backend.read(part)[:-9] + b"otherPAR1")
    assert not store.verify("a").ok
    assert {pack, part} <= set(store.repair(copy).repaired)
    again = tableformat.open_store(store.root, storage_options=dict(backend._options))
    assert again.verify("a").ok


def test_a_collection_whose_requests_fail(server, impatient):
    """A collector whose deletions and documents meet faults ends, or is ended by the next; nothing that is needed goes."""
    with Proxy(server.port) as proxy:
        root = server.new_root()
        store = tableformat.open_store(root, storage_options=server.options_at(proxy.port))
        write(store, "a", 1, 2)
        write(store, "a", 3)
        store.expire("a", keep_last=1)
        for action, path in (("lost", "plan"), ("status", "sweep"), ("reset", "delete"), ("status", "done")):
            proxy.fail(action, path=path, times=2, status=503)
        states = []
        while "swept" not in states:
            assert len(states) < 5, states
            try:
                states.append(store.gc(dry_run=False, grace=0, exclusive=True).state)
            except StoreUnavailableError:
                states.append("failed")
        proxy.heal()
        assert store.gc(grace=0, exclusive=True).state == "clean"
        assert store.verify("a").ok
        there = open_backend(root, dict(server.options))
        assert sum(1 for info in there.list("data/packs")) == 1

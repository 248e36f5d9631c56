"""Handles in other processes and threads: they read the same, carry no secrets, and writers lose nothing."""

import multiprocessing
import os
import pickle
import threading

import numpy as np
import pytest

from tableformat import File, Image, col, open_store
from tableformat.errors import UsageError
from tableformat.format.media.png import encode_png

ROWS = 400
METHODS = multiprocessing.get_all_start_methods()
CANARY = "s3cr3t-canary"

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def picture(number):
    return encode_png(np.random.default_rng(number).integers(0, 256, (30, 30), np.uint8))


def options():
    """Storage options that a worker gets by importing this function."""
    return {}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("store") / "store", storage_options=options, allow=["s3://bucket/"])
    with store.draft("a") as draft:
        with draft.table("t", part_rows=50) as writer:
            for n in range(ROWS):
                writer.append(n=n, img=Image(picture(n), caption=str(n)), tags=[File(b"%d" % n)])
        draft.add(Image(picture(0)), "single")
    return draft.committed


class Loader:
    """A data set in the way of training libraries: workers read the rows they are asked for."""

    def __init__(self, table):
        self.table = table

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        row = self.table[index]
        return row["n"], row["img"].bytes(), row["img"].caption, row["tags"][0].bytes()


def work(loader, indices, answers):
    try:
        answers.put([loader[index] for index in indices])
    except BaseException as error:
        answers.put(repr(error))


def loaded(loader, method):
    """What two workers read, in the order of the rows."""
    context = multiprocessing.get_context(method)
    queues = [context.Queue() for _ in range(2)]
    shares = [list(range(part, len(loader), 2)) for part in range(2)]
    workers = [
        context.Process(target=work, args=(loader, share, queue)) for share, queue in zip(shares, queues, strict=True)
    ]
    for worker in workers:
        worker.start()
    answers = [queue.get(timeout=60) for queue in queues]
    for worker in workers:
        worker.join(60)
    assert [type(answer) for answer in answers] == [list, list], answers
    found = dict(
        pair for share, answer in zip(shares, answers, strict=True) for pair in zip(share, answer, strict=True)
    )
    return [found[index] for index in range(len(loader))]


def expected(numbers):
    return [(n, picture(n), str(n), b"%d" % n) for n in numbers]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("warm", [False, True])
def test_two_workers_read_like_the_parent(artifact, method, warm):
    """Under every start method, with a handle that was used before and one that was not, workers read what the parent does."""
    table = open_store(artifact.context.root, storage_options=options)["a"]["t"]
    table = table.where(col("n") >= 100)[20:120]
    if warm:
        assert len(list(table.rows(media="bytes"))) == 100
    assert loaded(Loader(table), method) == expected(range(120, 220))
    assert table[0]["n"] == 120


def open_all(objects, answers):
    store, artifact, table, row, media, single = objects
    try:
        answers.put((
            store.artifacts(), artifact.version, len(table), row["n"], row["img"].bytes(), media.bytes(), single.bytes(),
            [row["n"] for row in table.take([3, 1])], artifact["t"][7]["img"].caption,
        ))  # fmt: skip
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_handle_travels(artifact, method):
    """Stores, artifacts, tables, rows, cells and single media work in another process."""
    store = open_store(artifact.context.root, storage_options=options)
    row = artifact["t"][5]
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(
        target=open_all, args=((store, artifact, artifact["t"], row, row["img"], artifact["single"]), answers)
    )
    child.start()
    assert answers.get(timeout=60) == (["a"], "v0", ROWS, 5, picture(5), picture(5), picture(0), [3, 1], "7")
    child.join(60)


def test_pickles_are_small_and_pinned(artifact):
    """A pickle holds a place and a digest, not rows; what comes back is the same version, whatever was committed since."""
    table = artifact["t"].select("n").where(col("n") < 10)
    for handle in (artifact, table, artifact["t"]):
        data = pickle.dumps(handle)
        assert len(data) < 3000
        assert picture(0)[:50] not in data
    data = pickle.dumps(table)
    store = open_store(artifact.context.root)
    with store.draft("a", message="later") as draft:
        draft.add([{"n": -1}], "t")
    again = pickle.loads(pickle.dumps(pickle.loads(data)))
    assert [row["n"] for row in again] == list(range(10))
    assert pickle.loads(pickle.dumps(artifact)) == artifact


def test_credentials_are_in_no_pickle(artifact):
    """Options that were given as values, and the user-info of a URL, are in no pickle; neither are they shown."""
    store = open_store(artifact.context.root, storage_options={"auto_mkdir": True, "canary": CANARY})
    table = store["a:v0"]["t"]
    row = table[0]
    for handle in (store, store["a"], table, table.where(n=1), row, row["img"], row["tags"][0]):
        assert CANARY.encode() not in pickle.dumps(handle)
        assert CANARY not in repr(handle)
    assert CANARY not in str(store.context.backend)


def test_the_allow_list_travels(artifact):
    """Prefixes that references may lead to are part of the pickle."""
    store = open_store(artifact.context.root, allow=["s3://bucket/"])
    assert pickle.loads(pickle.dumps(store)).context.allow == ("s3://bucket/",)
    assert pickle.loads(pickle.dumps(store["a"])).context.allow == ("s3://bucket/",)


def test_a_store_that_is_not_there_yet_travels(tmp_path):
    """A handle may be sent to a worker before the first commit."""
    store = open_store(tmp_path / "store")
    again = pickle.loads(pickle.dumps(store))
    with again.draft("a") as draft:
        draft.add([{"x": 1}], "t")
    assert store["a"].version == "v0"


def test_eight_threads_read_one_handle(artifact):
    """One table and its media are read from many threads at once, in random order, and each gets its own rows."""
    table = open_store(artifact.context.root)["a:v0"]["t"]
    failures = []

    def read(seed):
        order = np.random.default_rng(seed).permutation(ROWS)[:60].tolist()
        try:
            for index in order:
                row = table[index]
                assert (row["n"], row["img"].bytes(), row["tags"][0].bytes()) == (index, picture(index), b"%d" % index)
            picked = table.take(order)
            assert [row["n"] for row in picked] == order
            assert [row["img"] for row in picked.rows(media="bytes")] == [picture(n) for n in order]
            assert table.where(col("n") < seed + 5).num_rows == seed + 5
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []


def commit_many(root, who, rounds, barrier, answers):
    store = open_store(root)
    made = []
    try:
        for number in range(rounds):
            draft = store.draft("a", base="latest")
            draft.add([{"who": who, "n": number, "f": File(b"%d" % number * 2000)}], f"{who}-{number}")
            barrier.wait(60)
            made.append(draft.commit().slot)
        answers.put(made)
    except BaseException as error:
        barrier.abort()
        answers.put(repr(error))


def test_two_processes_that_commit_at_once_lose_nothing(tmp_path):
    """Twenty rounds in which both commit at the same moment: forty versions, each with all that was before it."""
    context = multiprocessing.get_context("spawn")
    barrier, queues = context.Barrier(2), [context.Queue(), context.Queue()]
    root = str(tmp_path / "store")
    workers = [
        context.Process(target=commit_many, args=(root, who, 20, barrier, queue))
        for who, queue in zip("ab", queues, strict=True)
    ]
    for worker in workers:
        worker.start()
    made = [queue.get(timeout=120) for queue in queues]
    for worker in workers:
        worker.join(60)
    assert sorted(slot for slots in made for slot in slots) == list(range(40)), made
    store = open_store(root)
    assert [version.slot for version in store.versions("a")] == list(range(40))
    assert sorted(store["a"]) == sorted(f"{who}-{number}" for who in "ab" for number in range(20))
    for slot in (0, 7, 39):
        artifact = store[f"a:v{slot}"]
        assert all(artifact[name][0]["f"].bytes() == b"%d" % int(name[2:]) * 2000 for name in artifact)
    assert list(store.context.backend.list("sessions")) == []


def test_writers_do_not_travel(tmp_path):
    """Drafts cannot be pickled, and neither can their writers."""
    with open_store(tmp_path / "store").draft("a") as draft:
        writer = draft.table("t")
        writer.append(x=1)
        for handle in (draft, writer):
            with pytest.raises((UsageError, TypeError)):
                pickle.dumps(handle)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_during_a_write_reads_what_is_there(tmp_path):
    """A child that is forked while a draft is written reads the versions before it, and its end harms nothing."""
    store = open_store(tmp_path / "store")
    with store.draft("a") as draft:
        draft.add([{"f": File(picture(1))}], "t")
    table = store["a"]["t"]
    with store.draft("a") as draft, draft.table("t", part_rows=10) as writer:
        for n in range(200):
            writer.append(f=File(picture(n)))
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        child = context.Process(target=lambda: answers.put((table[0]["f"].bytes(), store["a"].version)))
        child.start()
        assert answers.get(timeout=60) == (picture(1), "v0")
        child.join(60)
        assert child.exitcode == 0
    assert [row["f"].bytes() for row in store["a"]["t"]] == [picture(n) for n in range(200)]

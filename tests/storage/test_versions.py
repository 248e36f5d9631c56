"""Finding, committing and deleting versions, among other writers and on failing backends."""

import dataclasses
import itertools
import multiprocessing
import uuid

import pytest

from tableformat.digest import digest_of
from tableformat.document import encode_document
from tableformat.errors import (
    CommitStateUnknownError,
    ConflictError,
    CorruptError,
    FormatError,
    NotFoundError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
    UnsupportedError,
)
from tableformat.format.documents import Requires
from tableformat.storage.backend import open_backend
from tableformat.storage.versions import Tombstone, VersionFile, Versions
from tableformat.testing import FaultBackend

TIME = "2026-11-22T09:00:00.000000Z"
SLOT = "artifacts/animals/versions/{:020d}.json"


def body(content=0, **fields):
    root = {"content": content}
    data = encode_document(root)
    return VersionFile(root=digest_of(data), root_size=len(data), time=TIME, inline=root, **fields)


def content(version):
    return version.inline["content"]


@pytest.fixture(params=["memory", "local"])
def backend(request, tmp_path):
    """A failing backend around one in memory or in a folder."""
    inner = open_backend(f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path)
    return FaultBackend(inner)


@pytest.fixture
def versions(backend):
    """The versions of `animals`, without waiting."""
    return Versions(backend, "animals", sleep=lambda _: None)


def test_a_series(versions):
    """Commits take the slots in turn, and each names the one before."""
    assert versions.head() is None
    assert versions.newest() is None
    made = [versions.commit(body(n)).version for n in range(5)]
    assert [version.slot for version in made] == [0, 1, 2, 3, 4]
    assert [version.predecessor for version in made] == [None] + [version.root for version in made[:-1]]
    assert len({version.commit for version in made}) == 5
    assert versions.newest() == made[-1]
    assert list(versions.iterate()) == made[::-1]
    assert versions.read(2) == made[2]
    assert versions.read(5) is None
    with pytest.raises(NotFoundError):
        versions.require(5)


def test_cold_read_is_three_requests(backend, versions):
    """With a right hint the newest version costs the hint and two slots asked for together."""
    for n in range(9):
        versions.commit(body(n))
    backend.calls.clear()
    assert versions.newest().slot == 8
    assert backend.calls == [("read_or_none", "artifacts/animals/hint.json"), ("read_many_or_none", SLOT.format(8))]


@pytest.mark.parametrize(
    "hint", [None, b"", b"nonsense", b'{"slot":0}', b'{"slot":11}', b'{"slot":29}', b'{"slot":30}', b'{"slot":9007199254740991}', b'{"slot":-1}', b'{"slot":true}', b'{"slot":"7"}', b"[]", b"x" * 5000]
)  # fmt: skip
def test_hints_are_not_trusted(backend, versions, hint):
    """Whatever the hint says, and if there is none, the newest version is found, and not by a listing. [VERSIONS-16] [LAYOUT-14]"""
    for n in range(30):
        versions.commit(body(n))
    if hint is None:
        backend.inner.delete("artifacts/animals/hint.json")
    else:
        backend.inner.overwrite("artifacts/animals/hint.json", hint)
    assert versions.head().slot == 29
    assert backend.count("list") == backend.count("list_folders") == 0


def test_failing_hint_is_no_failure(backend, versions):
    """A commit stands though the hint could not be written."""
    backend.fail("overwrite", path="hint.json")
    assert versions.commit(body()).created
    assert versions.newest().slot == 0


# The three outcomes


def test_lost_reply_is_committed(backend, versions):
    """When the version was made and the answer was lost, the commit is reported as what it is, in one slot. [VERSIONS-10]"""
    versions.commit(body("first"))
    backend.fail("create", when="after")
    outcome = versions.commit(body("second"))
    assert outcome.created
    assert (outcome.version.slot, outcome.lost) == (1, 0)
    assert [content(version) for version in versions.iterate()] == ["second", "first"]


def test_lost_reply_and_failing_read_back(backend, versions):
    """When the read-back fails as well, the same bytes are sent again, and found to be there."""
    backend.fail("create", when="after")
    backend.fail("read_or_none", path="versions/", times=2)
    outcome = versions.commit(body("mine"))
    assert outcome.created
    assert content(versions.newest()) == "mine"
    assert versions.read(1) is None


def test_request_that_never_arrived_is_repeated(backend, versions):
    """A request that had no effect is sent again, to the same slot."""
    backend.fail("create", times=3)
    assert versions.commit(body()).version.slot == 0
    assert backend.count("create") == 4


def test_exists_answer_to_a_resent_request(backend, versions):
    """A client that sends a request twice hears "exists" about its own object: that is a commit."""
    create = backend.inner.create
    backend.inner.create = lambda path, data: create(path, data) and create(path, data)
    assert versions.commit(body("mine")).created
    assert content(versions.newest()) == "mine"
    assert versions.newest().slot == 0


def test_unknown(backend, versions):
    """When neither the request nor the read-back gets an answer, that is said, and nothing is deleted. [VERSIONS-12]"""
    versions.commit(body("first"))
    backend.inner.put("data/x", b"x")
    backend.fail("create", times=100)
    backend.fail("read_or_none", path="versions/", times=100)
    with pytest.raises(CommitStateUnknownError, match="nothing was deleted") as caught:
        versions.commit(body("second"))
    assert isinstance(caught.value.__cause__, StoreUnavailableError)
    assert backend.count("delete") == 0
    backend.faults.clear()
    assert content(versions.newest()) == "first"


def test_unknown_that_was_committed(backend, versions):
    """A commit of unknown state that did take place is there when the store can be asked again."""
    backend.fail("create", when="after", times=100)
    backend.fail("read_or_none", path="versions/", times=100)
    with pytest.raises(CommitStateUnknownError):
        versions.commit(body("mine"))
    backend.faults.clear()
    assert content(versions.newest()) == "mine"


def test_a_torn_object_in_the_slot(backend, versions):
    """A store that kept half of the request gives neither a commit nor a lost slot: unknown."""
    backend.fail("create", when="short")
    with pytest.raises(CommitStateUnknownError):
        versions.commit(body())
    assert backend.count("delete") == 0


def test_full_disk_is_said_at_once(tmp_path):
    """This machine's own refusal is an answer: nothing was made, and the caller hears why."""
    backend = FaultBackend(open_backend(tmp_path))
    versions = Versions(backend, "animals", sleep=lambda _: None)
    for kind in (StoreFullError, StorePermissionError):
        backend.fail("create", error=lambda kind=kind: kind("no"))
        with pytest.raises(kind):
            versions.commit(body())
    assert versions.commit(body()).version.slot == 0


def test_interrupted(backend, versions):
    """An interrupt in the middle of the request goes through, and nothing is deleted. [VERSIONS-13]"""
    backend.fail("create", when="after", error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        versions.commit(body("mine"))
    assert backend.count("delete") == 0
    assert content(versions.newest()) == "mine"


@pytest.mark.parametrize("operation", ["probe", "read_or_none", "read_many_or_none"])
def test_errors_before_the_request(backend, versions, operation):
    """An error while the slot is sought is passed on, and nothing was committed."""
    backend.fail(operation)
    with pytest.raises(StoreUnavailableError):
        versions.commit(body())
    assert versions.head() is None


# Among others


def race(backend, times=1, path="versions/"):
    """Let another writer take the slot just before ours is created, `times` times."""
    other, create, left = Versions(backend.inner, "animals"), backend.inner.create, itertools.count()

    def create_late(path, data):
        if "versions/" in path and next(left) < times:
            backend.inner.create = create
            other.commit(body("other"))
            backend.inner.create = create_late
        return create(path, data)

    backend.inner.create = create_late


def test_loser_takes_the_next_slot(backend, versions):
    """A writer that lost the slot goes after the winner, whose root it names. [VERSIONS-11]"""
    race(backend, times=3)
    outcome = versions.commit(body("mine"))
    assert (outcome.version.slot, outcome.lost, outcome.created) == (3, 3, True)
    assert [content(version) for version in versions.iterate()] == ["mine", "other", "other", "other"]
    assert outcome.version.predecessor == versions.read(2).root


def test_rebase_sees_each_head(backend, versions):
    """Before each attempt the body is rebased, from the first draft, on what is in the slot before. [VERSIONS-15]"""
    heads = []
    race(backend, times=2)

    def rebase(draft, head):
        heads.append(head and head.slot)
        assert draft == body("mine")
        return body(f"mine on {'nothing' if head is None else head.slot}")

    assert content(versions.commit(body("mine"), rebase).version) == "mine on 1"
    assert heads == [None, 0, 1]


def test_nothing_new(backend, versions):
    """A rebase that finds nothing new commits nothing and gives the newest version."""
    first = versions.commit(body("same")).version
    outcome = versions.commit(body("same"), lambda draft, head: None if head and head.root == draft.root else draft)
    assert (outcome.version, outcome.created) == (first, False)
    assert versions.read(1) is None


def test_conflict(backend, versions):
    """A conflict found by the rebase ends the commit without a slot."""

    def rebase(draft, head):
        if head is not None:
            raise ConflictError("both changed train")
        return draft

    race(backend)
    with pytest.raises(ConflictError, match="train"):
        versions.commit(body("mine"), rebase)
    assert [content(version) for version in versions.iterate()] == ["other"]


def _commit_50(root, worker, barrier):
    versions = Versions(open_backend(root), "animals")
    barrier.wait()
    for n in range(50):
        versions.commit(body(f"{worker}-{n}"))


def test_two_processes(tmp_path):
    """Two processes that commit 50 times each leave 100 versions in 100 slots, each one's own in order. [VERSIONS-9]"""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_commit_50, args=(str(tmp_path), n, barrier)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    found = list(Versions(open_backend(tmp_path), "animals").iterate())[::-1]
    assert [version.slot for version in found] == list(range(100))
    for worker in range(2):
        mine = [content(version) for version in found if content(version).startswith(f"{worker}-")]
        assert mine == [f"{worker}-{n}" for n in range(50)]
    assert [version.predecessor for version in found[1:]] == [version.root for version in found[:-1]]


# Tombstones, features, damage


def test_tombstones(versions):
    """A deleted version keeps its slot, its digest and its commit id; the newest version is the one below. [VERSIONS-19]"""
    made = [versions.commit(body(n)).version for n in range(20)]
    for slot in range(2, 20):
        versions.expire(slot)
    tombstone = versions.expire(19)
    assert (tombstone.slot, tombstone.root, tombstone.commit) == (19, made[19].root, made[19].commit)
    assert versions.head() == tombstone
    assert versions.newest() == made[1]
    with pytest.raises(NotFoundError, match="deleted"):
        versions.require(19)
    with pytest.raises(NotFoundError):
        versions.expire(20)
    after = versions.commit(body("after")).version
    assert (after.slot, after.predecessor) == (20, made[19].root)
    assert sum(isinstance(slot, Tombstone) for slot in versions.iterate()) == 18
    versions.expire(0), versions.expire(1), versions.expire(20)
    assert versions.newest() is None


def test_required_features(versions):
    """A version with an unknown feature is neither opened nor built upon; one for writers only is opened. [VERSIONS-20]"""
    versions.commit(body(requires=Requires((), ("newer",))))
    assert versions.require(0).slot == 0
    with pytest.raises(UnsupportedError, match="newer"):
        versions.commit(body())
    knowing = Versions(versions._backend, "animals", features={"newer"})
    knowing.commit(body(requires=Requires(("newest",), ())))
    with pytest.raises(UnsupportedError, match="newest"):
        knowing.require(1)


def test_a_missing_slot_is_damage(backend, versions):
    """A hole below a taken slot is reported, not skipped. [VERSIONS-17]"""
    for n in range(3):
        versions.commit(body(n))
    backend.inner.delete(SLOT.format(1))
    with pytest.raises(CorruptError):
        list(versions.iterate())


def test_swapped_files_are_found(backend, versions):
    """A version file under the number of another is refused. [VERSIONS-18]"""
    for n in range(2):
        versions.commit(body(n))
    backend.inner.overwrite(SLOT.format(1), backend.inner.read(SLOT.format(0)))
    with pytest.raises(FormatError):
        versions.read(1)


def test_what_readers_refuse_is_not_published(backend, versions):
    """A body that no reader would take raises before anything is sent. [VERSIONS-14]"""
    with pytest.raises(CorruptError):
        versions.commit(dataclasses.replace(body(), inline={"content": "another"}))
    assert backend.count("create") == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_call_failing_once(tmp_path, when):
    """Whichever call fails, before or after its effect: the commit returns a version that is there, or raises and
    everything committed before is unharmed and the next commit works."""
    for nth in itertools.count(1):
        backend = FaultBackend(open_backend(tmp_path / f"{when}{nth}"))
        versions = Versions(backend, "animals", sleep=lambda _: None)
        versions.commit(body("first"))
        fault = backend.fail("*", nth, when)
        try:
            outcome = versions.commit(body("second"))
            assert versions.read(outcome.version.slot) == outcome.version
        except (StoreUnavailableError, CommitStateUnknownError):
            pass
        met = fault not in backend.faults
        backend.faults.clear()
        assert content(versions.read(0)) == "first"
        versions.commit(body("third"))
        found = [content(version) for version in versions.iterate()]
        assert found in (["third", "second", "first"], ["third", "first"])
        if not met:
            break
    assert nth > 4

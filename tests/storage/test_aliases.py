"""Aliases: moves, races, lost replies."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tableformat.errors import CommitStateUnknownError, FormatError, IllegalNameError
from tableformat.storage.aliases import Aliases
from tableformat.storage.backend import open_backend
from tableformat.testing import FaultBackend

ONE, TWO = "sha256:" + "11" * 32, "sha256:" + "22" * 32


@pytest.fixture
def backend():
    return FaultBackend(open_backend(f"memory://{uuid.uuid4().hex}"))


@pytest.fixture
def aliases(backend):
    return Aliases(backend, "animals", sleep=lambda _: None)


def test_moves(aliases):
    """An alias names what it was last set to, and nothing once removed; then it can be set again."""
    assert aliases.read("best") is None
    aliases.set("best", 0, ONE)
    aliases.set("best", 1, TWO)
    aliases.set("Best", 0, ONE)
    assert (aliases.read("best").slot, aliases.read("best").root) == (1, TWO)
    assert aliases.read("Best").slot == 0
    assert aliases.names() == ["Best", "best"]
    aliases.remove("best")
    aliases.remove("best")
    aliases.remove("never")
    assert aliases.read("best") is None
    assert aliases.names() == ["Best"]
    assert aliases.set("best", 0, ONE) == aliases.read("best")


def test_a_move_to_the_same_writes_nothing(backend, aliases):
    """Setting an alias to what it names already makes no new move."""
    first = aliases.set("best", 0, ONE)
    assert aliases.set("best", 0, ONE) == first
    assert backend.count("create") == 1


@pytest.mark.parametrize("alias", ["latest", "v1", "..", "a/b", ""])
def test_reserved(aliases, alias):
    """`latest` and version numbers are no aliases, nor is anything that the grammar refuses."""
    for call in (lambda: aliases.set(alias, 0, ONE), lambda: aliases.read(alias), lambda: aliases.remove(alias)):
        with pytest.raises(IllegalNameError):
            call()


def test_lost_reply(backend, aliases):
    """A move whose answer was lost counts once."""
    backend.fail("create", when="after")
    aliases.set("best", 0, ONE)
    assert backend.count("create") == 1
    assert aliases.read("best").slot == 0


def test_unknown(backend, aliases):
    """When nothing can be learned about a move, that is said."""
    backend.fail("create", times=50)
    with pytest.raises(CommitStateUnknownError):
        aliases.set("best", 0, ONE)


def test_threads_racing(backend):
    """Of many moves at the same time all are kept in turn, and the last one counts. [VERSIONS-23]"""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: Aliases(backend, "animals").set("best", n, ONE), range(40)))
    paths = sorted(info.path for info in backend.list("artifacts/animals/aliases/best"))
    assert [int(path[-25:-5]) for path in paths] == list(range(40))
    assert f'"slot":{Aliases(backend, "animals").read("best").slot},'.encode() in backend.read(paths[-1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"kind":"alias","format":1,"slot":1,"root":null,"time":"2026-11-22T09:00:00.000000Z","commit":"00000000000000000000000000000000"}',
    ],
)
def test_damaged(backend, aliases, data):
    """A move that does not follow the format raises: it is not passed over for an older one."""
    backend.inner.put("artifacts/animals/aliases/best/00000000000000000000.json", data)
    with pytest.raises(FormatError):
        aliases.read("best")

"""The suite that every backend has to pass, as a class for pytest.

A new backend gets all of it from a subclass that says how to make one:

    class TestMine(BackendTests):
        @pytest.fixture
        def backend(self, tmp_path):
            return open_backend("mine://…")

Each test gets a backend with an empty root. A backend that cannot write (HTTP, a cache in front of a store) subclasses
`ReadOnlyBackendTests` and says with `origin` by which other backend the bytes got there.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from tableformat.errors import (
    CorruptError,
    IllegalNameError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    StorePermissionError,
    TableformatError,
    UsageError,
)
from tableformat.storage.backend import Backend

__all__ = ["BackendTests", "ReadOnlyBackendTests"]

ILLEGAL_PATHS = (
    "", ".", "..", "/", "/etc/passwd", "a/", "a//b", "a/./b", "a/../b", "../a", "a/..", "a\\b", "..\\a", "a\0b", "a\nb",
    "a\x1bb", "C:/a", "a:b", "a*", "a?b", "[a]", "a#b", "a%2e%2e", "ä", "a/\u202eb", "~\n", "x" * 700, "file://a", "s3://a/b",
)  # fmt: skip
"""What no backend takes for a path."""
HOSTILE_CONTENT = (
    b"before\n--==0==\nafter", b"--==0==", b"\r\n--==0==--\r\n", b"x\n--==0==--", b"--===============0==", b"\r\n\r\n", b"\n", b"\0" * 9,
    b"--batch_x--\r\n", b"0\r\n\r\n", b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", b'{"error": {"code": 404}}',
)  # fmt: skip
"""What a client or a server may take for its own."""


class _ReadingTests:
    """The promises of reading: what `origin` wrote comes through `backend`."""

    @pytest.fixture
    def backend(self) -> Backend:
        """A backend with an empty root; a subclass says which."""
        pytest.fail("a subclass has a fixture `backend`")

    @pytest.fixture
    def origin(self, backend: Backend) -> Backend:
        """What writes under the same root; itself where it can."""
        return backend

    def test_put_then_read(self, backend: Backend, origin: Backend) -> None:
        """What was put is read back, whole and in part."""
        origin.put("data/a.bin", b"0123456789")
        assert backend.read("data/a.bin") == b"0123456789"
        assert backend.read("data/a.bin", 3) == b"3456789"
        assert backend.read("data/a.bin", 3, 4) == b"3456"
        assert backend.read("data/a.bin", 10, 0) == b""
        assert backend.read("data/a.bin", 10) == b""
        assert backend.size("data/a.bin") == 10

    def test_empty_object(self, backend: Backend, origin: Backend) -> None:
        """An object without bytes is there all the same."""
        origin.put("data/empty", b"")
        assert backend.read("data/empty") == b""
        assert backend.read_or_none("data/empty") == b""
        assert backend.read_or_none("data/empty", limit=5) == b""
        assert backend.size("data/empty") == 0

    def test_reading_what_is_not_there(self, backend: Backend) -> None:
        """Absence is an error where bytes were asked for, and an answer where one asked whether."""
        with pytest.raises(NotFoundError):
            backend.read("data/none")
        with pytest.raises(NotFoundError):
            backend.read("data/none", 0, 4)
        with pytest.raises(NotFoundError):
            backend.read_ranges([("data/none", 0, 1)])
        assert backend.read_or_none("data/none") is None
        assert backend.size("data/none") is None

    def test_folders_are_not_objects(self, backend: Backend, origin: Backend) -> None:
        """A folder has neither bytes nor a size."""
        origin.put("data/packs/a", b"x")
        assert backend.read_or_none("data/packs") is None
        assert backend.size("data/packs") is None

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (9, 2), (10, 1), (500, 1), (0, 1 << 40)])
    def test_short_ranges_raise(self, backend: Backend, origin: Backend, offset: int, length: int) -> None:
        """A range that runs past the end is an error, never fewer bytes, and asks for no memory."""
        origin.put("data/a", b"0123456789")
        with pytest.raises(CorruptError):
            backend.read("data/a", offset, length)
        with pytest.raises(CorruptError):
            backend.read_ranges([("data/a", 0, 1), ("data/a", offset, length)])

    @pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
    def test_negative_ranges_raise(self, backend: Backend, origin: Backend, offset: int, length: int) -> None:
        """Offsets and lengths below zero are the caller's mistake."""
        origin.put("data/a", b"0123456789")
        with pytest.raises((InvalidInputError, CorruptError)):
            backend.read_ranges([("data/a", offset, length)])

    def test_limit(self, backend: Backend, origin: Backend) -> None:
        """A bounded read takes what fits and refuses what does not."""
        origin.put("a", b"12345")
        assert backend.read_or_none("a", limit=5) == b"12345"
        with pytest.raises(LimitError):
            backend.read_or_none("a", limit=4)

    def test_read_many(self, backend: Backend, origin: Backend) -> None:
        """Several small documents come in the order asked, absent ones as None."""
        origin.put("a", b"1")
        origin.put("c", b"3")
        assert backend.read_many_or_none(["c", "b", "a", "c"]) == [b"3", None, b"1", b"3"]
        assert backend.read_many_or_none([]) == []

    def test_read_ranges(self, backend: Backend, origin: Backend) -> None:
        """Ranges of several objects, overlapping, repeated and empty, come in the order asked."""
        first, second = bytes(range(256)) * 40, bytes(reversed(range(256))) * 600
        origin.put("data/one", first)
        origin.put("data/two", second)
        ranges = [("data/two", 90_000, 100), ("data/one", 5, 10), ("data/one", 0, 0), ("data/two", 0, 153_600)]
        ranges += [("data/one", 5, 10), ("data/one", 10, 3000), ("data/two", 153_599, 1)]
        content = {"data/one": first, "data/two": second}
        assert backend.read_ranges(ranges) == [content[path][start : start + size] for path, start, size in ranges]
        assert backend.read_ranges([]) == []

    def test_many_threads(self, backend: Backend, origin: Backend) -> None:
        """One object serves many threads at once."""
        origin.put("data/x", bytes(range(256)) * 16)

        def read(start: int) -> bytes:
            return backend.read_ranges([("data/x", start, 100), ("data/x", start + 200, 7)])[1]

        with ThreadPoolExecutor(8) as threads:
            for start, found in zip(range(400), threads.map(read, range(400)), strict=True):
                assert found == (bytes(range(256)) * 16)[start + 200 : start + 207]

    def test_pickles(self, backend: Backend) -> None:
        """A pickled backend names the same root and serves paths alike."""
        copy = pickle.loads(pickle.dumps(backend))  # noqa: S301 - our own
        assert copy.root == backend.root
        assert copy.uri("data/x") == backend.uri("data/x")

    def test_uri(self, backend: Backend) -> None:
        """The uri of an object begins with the root and ends with its path."""
        assert backend.uri("data/x") == f"{backend.root.rstrip('/')}/data/x"

    def test_errors_are_ours(self, backend: Backend) -> None:
        """Nothing that fails below comes out as another exception than this library's."""
        with pytest.raises(TableformatError) as caught:
            backend.read("no/such/object")
        assert "no/such/object" in str(caught.value)

    @pytest.mark.parametrize("path", ILLEGAL_PATHS)
    def test_illegal_paths(self, backend: Backend, path: str) -> None:
        """A path that the grammar refuses reaches no operation."""
        operations: list[Callable[[], object]] = [
            lambda: backend.read(path),
            lambda: backend.read_or_none(path),
            lambda: backend.read_many_or_none([path]),
            lambda: backend.read_ranges([(path, 0, 1)]),
            lambda: backend.size(path),
            lambda: backend.create(path, b"x"),
            lambda: backend.put(path, b"x"),
            lambda: backend.overwrite(path, b"x"),
            lambda: backend.delete(path),
            lambda: backend.delete_many([path]),
            lambda: backend.uri(path),
            lambda: backend.local_path(path),
        ]
        if not backend.is_read_only:
            operations.append(lambda: backend.writer().commit(path))
        for operation in operations:
            with pytest.raises(IllegalNameError):
                operation()


class ReadOnlyBackendTests(_ReadingTests):
    """Promises of `Backend` for one that only reads. A subclass has fixtures `backend` and `origin`."""

    def test_is_read_only(self, backend: Backend) -> None:
        """The backend says so."""
        assert backend.is_read_only

    def test_writes_are_refused(self, backend: Backend, origin: Backend) -> None:
        """Every way of writing is refused before anything is touched, and the refusal says what to do."""
        origin.put("data/a", b"there")
        operations: list[Callable[[], object]] = [
            lambda: backend.put("data/a", b"x"), lambda: backend.overwrite("data/a", b"x"), lambda: backend.create("b", b"x"),
            lambda: backend.put_chunks("c", [b"x"]), lambda: backend.writer(), lambda: backend.delete("data/a"),
            lambda: backend.delete_many(["data/a"]), lambda: backend.probe(),
        ]  # fmt: skip
        for operation in operations:
            with pytest.raises(StorePermissionError, match="open the store itself"):
                operation()
        assert [info.path for info in origin.list()] == ["data/a"]
        assert backend.read("data/a") == b"there"


class BackendTests(_ReadingTests):
    """Promises of `tableformat.storage.interface.Backend`, each asked of a real one."""

    race_rounds: ClassVar[int] = 20
    """How often 8 threads race to create the same object."""

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_kinds_of_bytes(self, backend: Backend, kind: Callable[[bytes], Any]) -> None:
        """Bytes, bytearrays and memory views are written alike."""
        backend.put("a", kind(b"put"))
        assert backend.create("b", kind(b"create"))
        backend.put_chunks("c", [kind(b"one "), kind(b""), kind(b"two")])
        assert [backend.read(path) for path in "abc"] == [b"put", b"create", b"one two"]

    @pytest.mark.parametrize("content", HOSTILE_CONTENT)
    def test_content_of_any_kind(self, backend: Backend, content: bytes) -> None:
        """Content that looks like the lines between which some client sends it arrives whole, by every way of writing."""
        backend.put("data/put", content)
        assert backend.create("data/create", content)
        backend.put_chunks("data/chunks", [content, content])
        with backend.writer() as sink:
            sink.write(content)
            sink.commit("data/sink")
        assert [backend.read(f"data/{name}") for name in ("put", "create", "sink")] == [content] * 3
        assert backend.read("data/chunks") == content * 2

    def test_put_replaces_as_a_whole(self, backend: Backend) -> None:
        """A second put of a name leaves the second bytes only, and a reader that read before sees them."""
        backend.put("data/x", b"first, and longer")
        assert backend.read_ranges([("data/x", 0, 5)]) == [b"first"]
        backend.put("data/x", b"second")
        assert backend.read("data/x") == b"second"
        assert backend.read_ranges([("data/x", 0, 6)]) == [b"second"]
        backend.overwrite("data/x", b"3")
        assert backend.read_or_none("data/x") == b"3"

    def test_create_once(self, backend: Backend) -> None:
        """The second creation of a name is refused and changes nothing."""
        assert backend.create("artifacts/a/versions/0.json", b"first") is True
        assert backend.create("artifacts/a/versions/0.json", b"second") is False
        assert backend.create("artifacts/a/versions/0.json", b"first") is False
        assert backend.read("artifacts/a/versions/0.json") == b"first"

    def test_probe(self, backend: Backend) -> None:
        """The backend proves that it refuses a second creation, and leaves nothing behind."""
        backend.probe()
        backend.probe()
        assert list(backend.list()) == []

    def test_create_race(self, backend: Backend) -> None:
        """Of 8 threads that create one name at the same time exactly one wins, and its bytes are there."""
        barrier = threading.Barrier(8)

        def attempt(round_: int, worker: int) -> bool:
            barrier.wait()
            return backend.create(f"race/{round_}", str(worker).encode())

        with ThreadPoolExecutor(8) as threads:
            for round_ in range(self.race_rounds):
                won = list(threads.map(attempt, [round_] * 8, range(8)))
                assert won.count(True) == 1
                assert backend.read(f"race/{round_}") == str(won.index(True)).encode()

    def test_sink(self, backend: Backend) -> None:
        """Chunks become one object under the name given at the end, and not before."""
        with backend.writer("data/packs") as sink:
            buffer = bytearray(b"one ")
            sink.write(buffer)
            buffer[:] = b"XXXX"
            sink.write(memoryview(b"two"))
            assert sink.size == 7
            assert list(backend.list("data")) == []
            sink.commit("data/packs/ab/x.zip")
        assert backend.read("data/packs/ab/x.zip") == b"one two"
        assert [info.path for info in backend.list()] == ["data/packs/ab/x.zip"]

    def test_sink_left_without_commit(self, backend: Backend) -> None:
        """A sink that is left leaves nothing, and takes nothing more."""
        with backend.writer() as sink:
            sink.write(b"lost")
        with pytest.raises(UsageError):
            sink.write(b"more")
        with pytest.raises(UsageError):
            sink.commit("data/x")
        sink.abort()
        assert list(backend.list()) == []

    def test_sink_commits_once(self, backend: Backend) -> None:
        """A committed sink is closed."""
        sink = backend.writer()
        sink.write(b"x")
        sink.commit("data/x")
        with pytest.raises(UsageError):
            sink.commit("data/y")
        sink.abort()
        assert backend.read("data/x") == b"x"

    def test_list(self, backend: Backend) -> None:
        """A listing tells path and size of all that lies below a folder, and nothing of its neighbours."""
        for path in ("a/one", "a/b/two", "a/b/c/three", "ab/four", "five"):
            backend.put(path, path.encode())
        assert {(info.path, info.size) for info in backend.list()} == {
            (path, len(path)) for path in ("a/one", "a/b/two", "a/b/c/three", "ab/four", "five")
        }
        assert _paths(backend.list("a")) == ["a/b/c/three", "a/b/two", "a/one"]
        assert _paths(backend.list("a/b")) == ["a/b/c/three", "a/b/two"]
        assert _paths(backend.list("none")) == []
        assert backend.list_folders("a") == ["b"]
        assert backend.list_folders("") == ["a", "ab"]
        assert backend.list_folders("none") == []

    def test_delete(self, backend: Backend) -> None:
        """What was deleted is gone for every way of reading, and deleting again is no error."""
        for path in ("data/a", "data/b", "data/c"):
            backend.put(path, b"x")
        assert backend.read_ranges([("data/a", 0, 1)]) == [b"x"]
        backend.delete("data/a")
        backend.delete("data/a")
        with pytest.raises(NotFoundError):
            backend.read_ranges([("data/a", 0, 1)])
        assert backend.read_or_none("data/a") is None
        backend.delete_many(["data/b", "data/c", "data/none"])
        assert list(backend.list()) == []
        assert backend.create("data/a", b"again")


def _paths(listing: Iterable[Any]) -> list[str]:
    return sorted(info.path for info in listing)

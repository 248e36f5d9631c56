"""The backend on this machine passes the suite, and keeps the promises that only a file system can break."""

import errno
import gc
import multiprocessing
import os
import threading

import pytest

from tableformat.errors import (
    AccessRefusedError,
    BackendError,
    CorruptError,
    NotFoundError,
    StoreFullError,
    StorePermissionError,
    UsageError,
)
from tableformat.storage import local as module
from tableformat.storage.backend import Backend, open_backend
from tableformat.testing import BackendTests


class TestLocal(BackendTests):
    """Folders."""

    race_rounds = 100

    @pytest.fixture
    def backend(self, tmp_path) -> Backend:
        """A folder that does not exist yet, below another that does not."""
        return open_backend(tmp_path / "not" / "yet")


@pytest.fixture
def backend(tmp_path):
    """A store in a folder."""
    return open_backend(str(tmp_path / "store"))


def temporaries(backend):
    return [info.path for info in backend.list() if info.path.rpartition("/")[2].startswith(".tmp-")]


def _create_many(root, worker, barrier, results):
    backend = open_backend(root)
    barrier.wait()
    results.put((worker, [n for n in range(200) if backend.create(f"race/{n}", str(worker).encode())]))


def test_processes_race(backend):
    """Of 4 processes that create the same 200 names each name has exactly one winner. [LAYOUT-11]"""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_create_many, args=(backend.root, n, barrier, results)) for n in range(4)]
    for worker in workers:
        worker.start()
    won = dict(results.get(timeout=20) for _ in workers)
    for worker in workers:
        worker.join()
    assert sorted(name for names in won.values() for name in names) == list(range(200))
    for worker, names in won.items():
        assert all(backend.read(f"race/{name}") == str(worker).encode() for name in names)
    assert temporaries(backend) == []


def test_readers_see_all_or_nothing(backend):
    """While one thread replaces an object again and again, another reads one whole object or the other. [LAYOUT-12]"""
    stop = threading.Event()
    contents = [bytes([n]) * 300_000 for n in (1, 2)]

    def write():
        while not stop.is_set():
            for content in contents:
                backend.put("data/x", content)

    backend.put("data/x", contents[0])
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            assert backend.read("data/x") in contents
            assert backend.read_ranges([("data/x", 0, 300_000)])[0] in contents
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StorePermissionError),
        (errno.EROFS, StorePermissionError),
        (errno.EIO, BackendError),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "link", "replace", "mkdir"])
def test_faults_of_the_file_system(backend, monkeypatch, call, number, expected):
    """A failed system call becomes the error of its kind, leaves no temporary file and no object, and the next write works."""
    real = getattr(os, call)

    def failing(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    def attempt():
        if call == "link":
            backend.create("data/x", b"x")
        else:
            backend.put("data/x", b"x")

    monkeypatch.setattr(module.os, call, failing)
    with pytest.raises(expected) as caught:
        attempt()
    monkeypatch.setattr(module.os, call, real)
    assert "data" in str(caught.value)
    assert list(backend.list()) == []
    attempt()
    assert backend.read("data/x") == b"x"


def test_no_hard_links_is_said(backend, monkeypatch):
    """A file system without links is refused with what to do, and nothing is made."""
    monkeypatch.setattr(module.os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EOPNOTSUPP, "no")))
    with pytest.raises(BackendError, match="hard links"):
        backend.create("a", b"x")
    assert list(backend.list()) == []


def test_a_failed_sink_stays_failed(backend, monkeypatch):
    """After a write failed, the sink commits nothing."""
    sink = backend.writer()
    real = os.write
    monkeypatch.setattr(module.os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(StoreFullError):
        sink.write(b"x")
    monkeypatch.setattr(module.os, "write", real)
    with pytest.raises(UsageError):
        sink.commit("data/x")
    sink.abort()
    assert list(backend.list()) == []


def test_a_forgotten_sink_removes_its_file(backend):
    """A sink that is dropped takes its temporary file along."""
    sink = backend.writer()
    sink.write(b"x")
    assert len(temporaries(backend)) == 1
    del sink
    gc.collect()
    assert temporaries(backend) == []


def test_everything_is_synced(backend, monkeypatch):
    """Each write syncs the file before it gets its name, and the folder after; folders that are new, too. [LAYOUT-16]"""
    log = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(fd):
        log.append(os.readlink(f"/proc/self/fd/{fd}"))
        real_fsync(fd)

    def link(source, target):
        log.append("link")
        real_link(source, target)

    monkeypatch.setattr(module.os, "fsync", fsync)
    monkeypatch.setattr(module.os, "link", link)
    assert backend.create("a/b/x", b"1")
    root = backend.root
    before, after = log[: log.index("link")], log[log.index("link") + 1 :]
    assert {os.path.dirname(root), root, f"{root}/a"} <= set(before)
    assert before[-1].startswith(f"{root}/a/b/.tmp-")
    assert after == [f"{root}/a/b"]
    log.clear()
    assert backend.create("a/b/y", b"1")
    assert [name.rpartition(".tmp-")[0] or name for name in log] == [f"{root}/a/b/", "link", f"{root}/a/b"]
    log.clear()
    assert not backend.create("a/b/y", b"2")
    assert log[-1] == f"{root}/a/b"


def test_links_out_of_the_root_are_refused(backend, tmp_path):
    """Neither a symlinked file nor a symlinked folder leads a reader or writer out of the root. [LAYOUT-17]"""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    backend.put("data/mine", b"mine")
    os.symlink(tmp_path / "outside" / "secret", f"{backend.root}/data/file")
    os.symlink(tmp_path / "outside", f"{backend.root}/folder")
    for path in ("data/file", "folder/secret"):
        for read in (backend.read, backend.read_or_none, lambda p: backend.read_ranges([(p, 0, 1)]), backend.size):
            with pytest.raises(AccessRefusedError):
                read(path)
    for write in (backend.create, backend.put):
        with pytest.raises(AccessRefusedError):
            write("folder/new", b"x")
    with pytest.raises(AccessRefusedError):
        backend.delete("folder/secret")
    assert [info.path for info in backend.list()] == ["data/mine"]
    assert sorted(os.listdir(tmp_path / "outside")) == ["secret"]


def test_links_within_the_root_are_followed(backend):
    """A symlink that stays inside is somebody's own arrangement."""
    backend.put("data/real", b"bytes")
    os.symlink("real", f"{backend.root}/data/link")
    assert backend.read("data/link") == b"bytes"
    assert backend.read_ranges([("data/link", 1, 2)]) == [b"yt"]


def test_a_root_that_is_a_link(tmp_path):
    """The root itself may be a symlink: the caller named it."""
    (tmp_path / "real").mkdir()
    os.symlink("real", tmp_path / "link")
    backend = open_backend(tmp_path / "link")
    backend.put("data/x", b"x")
    assert backend.read_ranges([("data/x", 0, 1)]) == [b"x"]


def test_descriptors_are_bounded(backend):
    """Reading from 400 files keeps at most 128 of them open."""
    backend.put("data/0", b"")
    for n in range(400):
        with open(f"{backend.root}/data/{n}", "wb") as file:
            file.write(str(n).encode())
    before = len(os.listdir("/proc/self/fd"))
    found = backend.read_ranges([(f"data/{n}", 0, 1) for n in range(400)])
    assert found == [str(n)[:1].encode() for n in range(400)]
    assert len(os.listdir("/proc/self/fd")) - before <= 130


def test_a_truncated_file_is_corrupt(backend):
    """A file cut in place after it was opened gives an error that names the range. [LAYOUT-13]"""
    backend.put("data/x", b"0123456789")
    assert backend.read_ranges([("data/x", 8, 2)]) == [b"89"]
    os.truncate(f"{backend.root}/data/x", 5)
    with pytest.raises(CorruptError, match="8–10"):
        backend.read_ranges([("data/x", 8, 2)])


def _child(backend, queue):
    try:
        queue.put(backend.read_ranges([("data/x", 0, 4)])[0])
        backend.put("data/y", b"from the child")
    finally:
        queue.put(b"end")


def test_after_a_fork(backend):
    """A forked child reads and writes through the object it inherited, and leaves its parent's sink alone."""
    backend.put("data/x", b"1234")
    assert backend.read_ranges([("data/x", 0, 4)]) == [b"1234"]
    sink = backend.writer()
    sink.write(b"parent")
    with backend._files._lock:  # as another thread of the parent might hold it
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_child, args=(backend, queue))
        child.start()
    assert queue.get(timeout=10) == b"1234"
    child.join()
    assert backend.read("data/y") == b"from the child"
    sink.commit("data/z")
    assert backend.read("data/z") == b"parent"


def test_a_folder_removed_under_us(backend):
    """When somebody removed a folder, the next write makes it again."""
    import shutil

    backend.put("data/packs/x", b"1")
    shutil.rmtree(backend.root)
    backend.put("data/packs/x", b"2")
    assert backend.read("data/packs/x") == b"2"
    with pytest.raises(NotFoundError):
        backend.read("data/packs/y")


def test_roots_as_paths_and_urls(tmp_path, monkeypatch):
    """Paths, `file://` URLs and relative paths name the same root."""
    monkeypatch.chdir(tmp_path)
    roots = {
        open_backend(root).root for root in ("s", tmp_path / "s", f"file://{tmp_path}/s/", f"local://{tmp_path}/s")
    }
    assert roots == {str(tmp_path / "s")}
    assert open_backend("s").local_path("a") == str(tmp_path / "s" / "a")


def test_permissions_follow_the_umask(backend):
    """Files are made with the rights that the umask leaves, not with those of a private temporary file."""
    old = os.umask(0o027)
    try:
        backend.put("data/x", b"x")
        backend.create("data/y", b"x")
    finally:
        os.umask(old)
    assert {os.stat(f"{backend.root}/data/{name}").st_mode & 0o777 for name in "xy"} == {0o640}

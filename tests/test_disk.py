"""Disks that are full, fail or may no longer be written: a clear error, nothing half there, and the next run goes on.

With real file systems where this machine lets us make them: a small one in memory, and one mounted read-only, each in a process with
mounts of its own.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tableformat
from tableformat.errors import (
    BackendError,
    CommitStateUnknownError,
    StoreFullError,
    StorePermissionError,
    TableformatError,
)
from tests.fault_jobs import JOBS, check_job, copy_folder, prepare, run_alone, state_of

CALLS = ("open", "write", "fsync", "link", "replace", "mkdir")
FAULTS = {
    errno.ENOSPC: StoreFullError,
    errno.EIO: BackendError,
    errno.EROFS: StorePermissionError,
    errno.EMFILE: TableformatError,
}
ROOT = Path(__file__).resolve().parent.parent


class Failing:
    """System calls that fail from some call on: once, or for good."""

    def __init__(self, patch: pytest.MonkeyPatch, root: Path, number: int, nth: int, *, for_good: bool) -> None:
        self._root, self._number, self._nth, self._for_good = str(root), number, nth, for_good
        self.calls = 0
        for name in CALLS:
            patch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Any) -> Any:
        def call(*args: Any, **rest: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else str(args[0])
            changes = name != "open" or args[1] & os.O_CREAT
            if path.startswith(self._root) and changes:
                self.calls += 1
                if self.calls == self._nth or (self._for_good and self.calls > self._nth > 0):
                    raise OSError(self._number, os.strerror(self._number))
            return real(*args, **rest)

        return call


@pytest.mark.parametrize("name", [name for name in JOBS if name != "pull"])
@pytest.mark.parametrize("for_good", [False, True])
def test_system_calls_may_fail(name: str, for_good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that changes something fails, once or from then on: our error by what went wrong, or success; and no loss."""
    prepare(name, tmp_path / "before")
    folder = copy_folder(tmp_path / "before", tmp_path / "after")
    with monkeypatch.context() as patch:
        counted = Failing(patch, folder / "store", 0, 0, for_good=False)
        run_alone(name, folder)
    before, after = state_of(tmp_path / "before"), state_of(folder)
    choice = random.Random(f"{name} {for_good}")
    for turn in range(2):
        number, nth = choice.choice(list(FAULTS)), choice.randint(1, counted.calls)
        again = copy_folder(tmp_path / "before", tmp_path / f"turn-{turn}")
        with monkeypatch.context() as patch:
            Failing(patch, again / "store", number, nth, for_good=for_good)
            try:
                run_alone(name, again)
                failure = None
            except TableformatError as error:
                failure = error
        assert failure is None or isinstance(failure, FAULTS[number] | CommitStateUnknownError)
        check_job(name, again, before, after, finished=failure is None)


def fill(store: tableformat.Store, count: int) -> None:
    """A version with that many incompressible pictures of 48 KB."""
    with store.draft("big") as draft, draft.table("t", {"image": tableformat.ImageType()}) as table:
        for seed in range(count):
            table.append(image=np.random.default_rng(seed).integers(0, 255, (128, 128, 3), np.uint8))


def check_in_mounts(mount: str, body: str, *arguments: object) -> None:
    """Run Python in a process that may mount; skip where this machine does not let us."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine gives no mounts of one's own")
    code = textwrap.dedent(body)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount + ' || exit 77; exec "$@"', "sh", sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip(f"this machine does not mount: {done.stderr}")
    assert done.returncode == 0, done.stderr


def test_full_disks(tmp_path: Path) -> None:
    """On a file system of 1 MB a large version fails as full, at any size of what fits before; small ones go on when space is back."""
    check_in_mounts(
        f"mount -t tmpfs -o size=1m tmpfs {tmp_path}",
        """
        import os, shutil, sys
        import tableformat
        from tableformat.errors import StoreFullError
        from tests.test_disk import fill
        root = sys.argv[1] + "/store"
        store = tableformat.open_store(root)
        fill(store, 2)
        source = tableformat.open_store(sys.argv[2])
        fill(source, 30)
        source.copy_to(source, "big", "copied")
        for job in (lambda: fill(store, 40), lambda: source.copy_to(store, "copied")):
            try:
                job()
                raise SystemExit("it fitted")
            except StoreFullError as error:
                assert sys.argv[1] in str(error), error
            assert store.artifacts() == ["big"], store.artifacts()
            assert store.verify("big").ok
        held = [os.path.join(f, n) for f, _, names in os.walk(root) for n in names if n.startswith(".tmp-")]
        assert held == [], held
        before = {p.slot for p in store.versions("big")}
        shutil.rmtree(root)
        store = tableformat.open_store(root)
        fill(store, 3)
        assert len(store["big"]["t"]) == 3 and before == {0}
        """,
        tmp_path, tmp_path.with_name(tmp_path.name + "-source"),
    )  # fmt: skip


def test_read_only_file_systems(tmp_path: Path) -> None:
    """A store mounted read-only can be read, verified and copied from; every way of writing says that it may not, and where."""
    store = tableformat.open_store(tmp_path / "store")
    fill(store, 2)
    check_in_mounts(
        f"mount --bind {tmp_path}/store {tmp_path}/store && mount -o remount,ro,bind {tmp_path}/store",
        """
        import sys
        import tableformat
        from tableformat.errors import StorePermissionError
        from tests.test_disk import fill
        root, other = sys.argv[1] + "/store", tableformat.open_store(sys.argv[1] + "/other")
        store = tableformat.open_store(root)
        assert len(list(store["big"]["t"].rows())) == 2
        assert store.verify("big").ok
        assert store.copy_to(other, "big").created == 1
        fill(other, 3)
        for job in (lambda: fill(store, 3), lambda: store.set_alias("big", "best"), lambda: other.copy_to(store, "big"),
                    lambda: store.rollback("big", "v0"), lambda: tableformat.open_store(root + "/below", create=True)):
            try:
                job()
            except StorePermissionError as error:
                assert root in str(error), error
            else:
                assert job.__code__.co_names[-1] == "rollback"  # there is nothing to do
        assert store.verify("big").ok
        """,
        tmp_path,
    )  # fmt: skip


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """A limit on the length of files is told as a full store, and nothing is visible."""
    code = """
        import resource, signal, sys
        import tableformat
        from tableformat.errors import StoreFullError
        from tests.test_disk import fill
        store = tableformat.open_store(sys.argv[1])
        fill(store, 1)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        try:
            fill(store, 10)
            raise SystemExit("it fitted")
        except StoreFullError:
            pass
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert len(store["big"]["t"]) == 1
        fill(store, 10)
        assert len(store["big"]["t"]) == 10
        assert store.verify("big").ok
    """
    assert resource.RLIMIT_FSIZE >= 0
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "store")], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

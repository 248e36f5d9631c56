"""Writing to and reading from S3 through the backend, beside s3fs's own `pipe_file` and `cat_ranges` with as many requests at a time.

The server is Ceph's gateway on this machine, which takes its share of the processors: ratios tell, seconds little.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import Size
from benchmarks.harness import Goal, Job, Run, main
from tableformat.storage.backend import Backend, open_backend
from tableformat.testing.servers import Server, rados_gateway

OURS = "backend"
OBSTORE = "backend + obstore"
LIMIT = "s3fs"
UPLOADS = 2
MIB = 1 << 20


@functools.cache
def _server() -> Server:
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(rados_gateway())


def _places(obstore: bool) -> tuple[Backend, Any, str]:
    """A backend, and the file system of s3fs for the same bucket as it comes, without its cache of listings."""
    import s3fs

    server = _server()
    os.environ["TABLEFORMAT_OBSTORE"] = "1" if obstore else "0"
    backend = open_backend(server.new_root(), server.options)
    backend.size("warm")
    fs = s3fs.S3FileSystem(
        **server.options, use_listings_cache=False, skip_instance_cache=True, config_kwargs={"max_pool_connections": 64}
    )
    return backend, fs, backend.root.removeprefix("s3://")


def put(size: Size, folder: Path) -> Job:
    """Packs of 64 MiB, two at a time, written in pieces of 1 MiB."""
    backend, fs, base = _places(obstore=False)
    length = 64 * MIB if size.pngs > 1_000 else 4 * MIB
    pieces = [np.random.default_rng(n).bytes(MIB) for n in range(length // MIB)]
    whole = b"".join(pieces)
    packs = 6 if size.pngs > 1_000 else 2

    def ours(number: int) -> None:
        with backend.writer() as sink:
            for piece in pieces:
                sink.write(piece)
            sink.commit(f"data/ours-{number}")

    def limit(number: int) -> None:
        fs.pipe_file(f"{base}/data/limit-{number}", whole)

    def turn(send: Callable[[int], None]) -> Callable[[Run], None]:
        def run_turn(run: Run) -> None:
            with ThreadPoolExecutor(UPLOADS) as threads, run.timed():
                list(threads.map(send, range(packs)))
            run.counts.update(rows=packs, bytes_in=packs * length)

        return run_turn

    goal = Goal(OURS, "seconds", 1.25, "at most", (LIMIT,))
    return Job("put", f"{packs} packs of {length // MIB} MiB, {UPLOADS} at a time", {LIMIT: turn(limit), OURS: turn(ours)}, [goal])  # fmt: skip


def ranges(size: Size, folder: Path) -> Job:
    """Ranges of 16 KiB far apart, so that none are merged."""
    backend, fs, base = _places(obstore=False)
    quick = open_backend(backend.root, _server().options)
    os.environ["TABLEFORMAT_OBSTORE"] = "1"
    quick.size("warm")
    count = 1_000 if size.pngs > 1_000 else 50
    backend.put("data/pack", np.random.default_rng(1).bytes(64 * MIB))
    step = 64 * MIB // count
    wanted = [("data/pack", number * step, 16 << 10) for number in np.random.default_rng(2).permutation(count).tolist()]
    starts = [offset for _, offset, _ in wanted]

    def read(source: Backend) -> Callable[[Run], None]:
        def turn(run: Run) -> None:
            with run.timed():
                found = source.read_ranges(wanted)
            run.counts.update(rows=len(found), bytes_in=sum(map(len, found)))

        return turn

    def limit(run: Run) -> None:
        with run.timed():
            found = fs.cat_ranges([f"{base}/data/pack"] * count, starts, [start + (16 << 10) for start in starts], on_error="raise")  # fmt: skip
        run.counts.update(rows=len(found), bytes_in=sum(map(len, found)))

    goals = [Goal(OURS, "seconds", 1.25, "at most", (LIMIT,)), Goal(OBSTORE, "seconds", 1.0, "at most", (LIMIT,))]
    return Job("ranges", f"{count:,} ranges of 16 KiB, far apart", {LIMIT: limit, OURS: read(backend), OBSTORE: read(quick)}, goals)  # fmt: skip


# Where Ceph's gateway is not installed there is nothing to run.
CAN_RUN = shutil.which("radosgw") is not None and importlib.util.find_spec("s3fs") is not None
JOBS = {"put": put, "ranges": ranges} if CAN_RUN else {}

if __name__ == "__main__":
    if not CAN_RUN:
        raise SystemExit("Ceph's gateway cannot be started here: apt-get install ceph-mon ceph-osd ceph-common radosgw")
    main("bench_remote", JOBS)

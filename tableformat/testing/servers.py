"""Object stores that a test starts for itself, on free ports of this machine, gone when it ends.

    with rados_gateway() as server:
        store = tableformat.open_store(server.new_root(), storage_options=server.options)

Each raises `ServerMissingError`, which says why, where what it needs is not installed. Data are in memory and go with it.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "KEY",
    "SECRET",
    "Server",
    "ServerMissingError",
    "free_port",
    "gcs_server",
    "http_server",
    "moto_server",
    "rados_gateway",
]

KEY: Final = "test"
SECRET: Final = "testsecret-7f3a9c"  # noqa: S105 - of a server that lives for one test run
"""What signs requests to the S3 servers."""
_START_SECONDS: Final = 30
_OSD_TRIES: Final = 10
_START_TRIES: Final = 4


class ServerMissingError(Exception):
    """A server cannot be started here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    name: str
    """What it is, for the names of tests."""
    port: int
    """Its port on 127.0.0.1."""
    scheme: str
    """`s3` or `gs`."""
    bucket: str
    """A bucket that is there."""
    options: Mapping[str, Any]
    """`storage_options` that reach it."""

    def new_root(self) -> str:
        """The URL of a place in the bucket where nothing lies."""
        return f"{self.scheme}://{self.bucket}/{uuid.uuid4().hex}/store"

    def options_at(self, port: int) -> dict[str, Any]:
        """The options that reach it through a proxy on another port."""
        return {**self.options, "endpoint_url": f"http://127.0.0.1:{port}"}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def gcs_server() -> Iterator[Server]:
    """The server of `gcs_server.py`: the JSON API of Google Cloud Storage. Checks no credentials."""
    _require("aiohttp", "google_crc32c", "gcsfs")
    port = free_port()
    with _running([sys.executable, "-m", "tableformat.testing.gcs_server", str(port)]) as process:
        _wait(port, process)
        bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        _post(port, "/storage/v1/b", {"name": bucket})
        yield Server("gcs", port, "gs", bucket, {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon", "project": "p"})  # fmt: skip


@contextlib.contextmanager
def moto_server() -> Iterator[Server]:
    """moto's S3. Checks no signatures."""
    _require("moto", "flask", "s3fs")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command) as process:
        _wait(port, process)
        yield _s3("moto", port)


@contextlib.contextmanager
def rados_gateway() -> Iterator[Server]:
    """Ceph's RADOS Gateway with one monitor and one object daemon, in memory: S3 that checks signatures and conditions.

    Needs Debian's packages ceph-mon, ceph-osd, ceph-common and radosgw. Ready in about a second.
    """
    _require("s3fs")
    for program in ("ceph-mon", "ceph-osd", "radosgw", "ceph", "radosgw-admin", "monmaptool"):
        if shutil.which(program) is None:
            raise ServerMissingError(
                f"{program} is not installed: apt-get install ceph-mon ceph-osd radosgw ceph-common"
            )
    for attempt in range(_START_TRIES):
        with contextlib.ExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="rgw-", ignore_cleanup_errors=True))
            port = free_port()
            try:
                _Ceph(place, port, free_port(), stack).start()
                server = _s3("rgw", port)
            except ServerMissingError:  # somebody else took the port, or the machine is busy
                if attempt == _START_TRIES - 1:
                    raise
                continue
            yield server
            return


@contextlib.contextmanager
def http_server(folder: str) -> Iterator[str]:
    """The URL of Python's own server of the files in `folder`. It knows no ranges and leads the names of folders to pages."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", folder]
    with _running(command) as process:
        _wait(port, process)
        yield f"http://127.0.0.1:{port}"


class _Ceph:
    """The three daemons. No manager: only statistics and orchestration would live there."""

    def __init__(self, folder: str, port: int, monitor_port: int, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._port = port
        self._monitor_port = monitor_port
        self._stack = stack

    def start(self) -> None:
        for name in ("mon", "osd", "log"):
            os.makedirs(f"{self._folder}/{name}", exist_ok=True)
        cluster = str(uuid.uuid4())
        with open(f"{self._folder}/ceph.conf", "w", encoding="utf-8") as file:
            file.write(_CEPH_CONF.format(folder=self._folder, cluster=cluster, port=self._port, monitor=self._monitor_port))  # fmt: skip
        monmap = f"{self._folder}/monmap"
        self._run("monmaptool", "--create", "--clobber", "--fsid", cluster, "--addv", "a", f"[v1:127.0.0.1:{self._monitor_port}]", monmap)  # fmt: skip
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, *self._conf)
        self._daemon("ceph-mon", "-f", "-i", "a")
        self._start_osd()
        gateway = self._daemon("radosgw", "-f", "-n", "client.rgw.a")
        _wait(self._port, gateway)
        self._run("radosgw-admin", *self._conf, "user", "create", "--uid", "test", "--display-name", "test", "--access-key", KEY, "--secret", SECRET)  # fmt: skip

    def _start_osd(self) -> None:
        """The object daemon loses a race against its monitor now and then ("wrong fsid") and ends: start it again."""
        identity = str(uuid.uuid4())
        number = self._run("ceph", "--connect-timeout", "20", *self._conf, "osd", "new", identity).strip()
        self._run("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", identity, *self._conf)
        for _ in range(_OSD_TRIES):
            daemon = self._daemon("ceph-osd", "-f", "-i", number)
            for _ in range(20):
                if "1 up" in self._run("ceph", "--connect-timeout", "5", *self._conf, "osd", "stat"):
                    return
                if daemon.poll() is not None:
                    break
                time.sleep(0.05)
            daemon.kill()
            daemon.wait()
        raise ServerMissingError(f"the object daemon of Ceph does not come up; see {self._folder}/log")

    @property
    def _conf(self) -> tuple[str, str]:
        return "-c", f"{self._folder}/ceph.conf"

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise ServerMissingError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _daemon(self, *command: str) -> subprocess.Popen[bytes]:
        return self._stack.enter_context(_running([*command, *self._conf]))


_CEPH_CONF: Final = """[global]
fsid = {cluster}
mon host = v1:127.0.0.1:{monitor}
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/log/$name.log
pid file = {folder}/$name.pid
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail warn = 2
mon data avail crit = 1
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd memory target = 939524096
debug rgw = 0
# Twelve seconds of start-up are waits of the monitors' vote, of which there is one.
paxos propose interval = 0.02
paxos min wait = 0.01
[client.rgw.a]
# Without tcp_nodelay every small range costs 40 ms.
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw dns name = localhost
"""


def _s3(name: str, port: int) -> Server:
    import botocore.config
    import botocore.session

    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    client = botocore.session.get_session().create_client(
        "s3", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    client.create_bucket(Bucket=bucket)
    client.close()
    options = {"endpoint_url": f"http://127.0.0.1:{port}", "key": KEY, "secret": SECRET, "client_kwargs": {"region_name": "us-east-1"}}  # fmt: skip
    return Server(name, port, "s3", bucket, options)


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process, killed at the end: politely asked, an object daemon waits for a monitor that is gone."""
    # Where the test run is killed, nobody comes back to end its servers: the kernel does.
    tied = ["setpriv", "--pdeathsig", "KILL", "--", *command] if shutil.which("setpriv") else list(command)
    process = subprocess.Popen(tied, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until something answers HTTP on the port."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerMissingError(f"{process.args!r} ended with {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.02)
        else:
            return
        finally:
            connection.close()
    raise ServerMissingError(f"{process.args!r} does not answer on port {port}")


def _post(port: int, path: str, document: Mapping[str, Any]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()


def _require(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ServerMissingError(f"not installed: {', '.join(missing)}")

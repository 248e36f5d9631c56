"""Commits on real servers: every one lands once whatever becomes of its requests, and a server that would lose one is found out."""

import multiprocessing
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

import tableformat
from tableformat.errors import BackendError, CommitStateUnknownError, StoreUnavailableError
from tableformat.storage.backend import open_backend
from tableformat.storage.series import Series
from tableformat.testing.proxy import Proxy
from tests.figures import note

WRITERS = 8


def _series(root, options):
    return Series(open_backend(root, options), "race/series", limit=1000)


def _race(root, options, writer, rounds, barrier, results):
    """Append `rounds` documents of one's own to a series that all the others append to."""
    series = _series(root, options)
    series.read(0)  # the client is ready before the race begins
    barrier.wait()
    number, landed = 0, []
    for turn in range(rounds):
        data = f"{writer} {turn}".encode()
        while series.create(number, data, data.__eq__) is not None:
            number += 1
        landed.append(number)
        number += 1
    results.put((writer, landed))


def run_race(root, options, rounds):
    """What each of 8 processes says where its documents landed, and what is in the series."""
    context = multiprocessing.get_context("forkserver")  # spares each of them the imports
    context.set_forkserver_preload(["tableformat", "fsspec.asyn", "s3fs", "gcsfs", "tests.backend.test_commits"])
    barrier, results = context.Barrier(WRITERS), context.Queue()
    arguments = [(root, dict(options), writer, rounds, barrier, results) for writer in range(WRITERS)]
    workers = [context.Process(target=_race, args=one) for one in arguments]
    for worker in workers:
        worker.start()
    landed = dict(results.get(timeout=900) for _ in workers)
    for worker in workers:
        worker.join()
    return landed, _series(root, options).read_many(0, WRITERS * rounds)


def expect_each_once(landed, documents, rounds):
    """Every document is in the series once, where its writer says, and nothing else is."""
    assert documents[-1] is None
    expected = sorted(f"{writer} {turn}".encode() for writer in range(WRITERS) for turn in range(rounds))
    assert sorted(documents[:-1]) == expected
    for writer, numbers in landed.items():
        assert [documents[number] for number in numbers] == [f"{writer} {turn}".encode() for turn in range(rounds)]


def test_processes_race(any_server):
    """Of 8 processes that commit 10 times each to one series every commit lands once, none is lost, none doubled. [LAYOUT-11]"""
    landed, documents = run_race(any_server.new_root(), any_server.options, 10)
    expect_each_once(landed, documents, 10)


@pytest.mark.long
def test_processes_race_for_long(any_server, request):
    """The same with 200 commits of each process."""
    landed, documents = run_race(any_server.new_root(), any_server.options, 200)
    expect_each_once(landed, documents, 200)
    server = request.node.callspec.params["any_server"]
    note(f"races on {server}", processes=WRITERS, commits=200 * WRITERS, landed_once=len(documents) - 1)


@pytest.fixture(params=["rgw", "gcs"])
def committing(request, impatient):
    """A proxy, and a series whose requests go through it, which waits for nothing between its tries."""
    server = request.getfixturevalue(request.param)
    with Proxy(server.port) as proxy:
        backend = open_backend(server.new_root(), server.options_at(proxy.port))
        yield proxy, Series(backend, "s", limit=1000, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("action", "status"),
    [("lost", 0), ("status", 409), ("status", 503), ("status", 412), ("status", 500), ("reset", 0), ("reset-half", 0), ("truncate", 0)],
)  # fmt: skip
@pytest.mark.parametrize("times", [1, 2])
def test_every_answer_ends_in_the_truth(committing, action, status, times):
    """Whatever answer comes to the request that decides a commit, the commit lands once and its writer knows. [VERSIONS-10]"""
    proxy, series = committing
    method = "PUT" if series.backend.root.startswith("s3") else "POST"
    proxy.fail(action, method=method, times=times, status=status)
    assert series.create(0, b"ours", b"ours".__eq__) is None
    assert series.create(0, b"theirs", b"theirs".__eq__) == b"ours"
    assert series.read_many(0, 1) == [b"ours", None]


def test_no_answer_at_all_is_unknown(committing):
    """Where neither the request nor the look is answered the outcome is unknown, and nothing is deleted. [VERSIONS-12]"""
    proxy, series = committing
    proxy.fail("lost", method="PUT" if series.backend.root.startswith("s3") else "POST", times=99)
    proxy.fail("status", method="GET", times=999)
    with pytest.raises(CommitStateUnknownError):
        series.create(0, b"ours", b"ours".__eq__)
    assert proxy.count("DELETE") == 0
    proxy.heal()
    assert series.read(0) == b"ours"


def test_stores_commit_through_faults(committing):
    """Whole commits whose deciding request meets a fault each are all there afterwards, in order."""
    proxy, series = committing
    root = series.backend.root
    options = {**series.backend._options}
    store = tableformat.open_store(root + "/whole", storage_options=options)
    for number, action in enumerate(["lost", "status", "reset", "truncate"]):
        with store.draft("a", base="latest" if number else None) as draft:
            with draft.table(f"t{number}") as table:
                table.append(n=number)
            if root.startswith("s3"):
                proxy.fail(action, method="PUT", path=r"versions/\d+")
            else:  # the name stands in the body
                proxy.fail(action, method="POST", path="ifGenerationMatch=0")
    assert [store[f"a:v{n}"].slot for n in range(4)] == [0, 1, 2, 3]
    assert sorted(store["a"]) == ["t0", "t1", "t2", "t3"]


class _Forgetful(BaseHTTPRequestHandler):
    """Enough of S3 to put, get and delete, which does not know `If-None-Match`."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict] = {}

    def _answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            data = data.split(b"\r\n")[1]
        self.objects[self.path] = data
        self._answer(200, ETag='"x"')

    def do_GET(self):
        data = self.objects.get(self.path)
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", Content_Type="application/xml")
        else:
            self._answer(206, data, Content_Range=f"bytes 0-{len(data) - 1}/{len(data)}")

    do_HEAD = do_GET

    def do_DELETE(self):
        self.objects.pop(self.path, None)
        self._answer(204)

    def log_message(self, *_):
        pass


@pytest.fixture
def forgetful(monkeypatch):
    """A server that takes every conditional creation, and its objects."""
    pytest.importorskip("s3fs")
    monkeypatch.setenv("TABLEFORMAT_OBSTORE", "0")
    monkeypatch.setattr(_Forgetful, "objects", {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Forgetful)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "key": "k", "secret": "s"}, _Forgetful.objects
    server.shutdown()
    server.server_close()


def test_a_server_without_conditions_is_found_out(forgetful):
    """A server that creates what is there is refused before the first commit, with the reason, and nothing is left. [LAYOUT-15]"""
    options, objects = forgetful
    with pytest.raises(BackendError, match=r"second creation.*it succeeded"):
        open_backend("s3://bucket/store", options).probe()
    assert objects == {}


def test_a_session_is_the_first_half_of_the_proof(server, forgetful):
    """The object of a session serves to prove the place, with two requests; where it is refused nothing is left. [LAYOUT-15]"""
    with Proxy(server.port) as proxy:
        backend = open_backend(server.new_root(), server.options_at(proxy.port))
        backend.create_proven("sessions/a/begin.json", b"first")
        assert len(proxy.requests) == 3
        assert backend.read("sessions/a/begin.json") == b"first"
        proxy.clear()
        backend.probe()
        backend.create_proven("sessions/b/begin.json", b"first")
        assert len(proxy.requests) == 1
    again = open_backend(backend.root, server.options)
    again.create_proven("sessions/a/begin.json", b"written by an attempt whose answer was lost")
    assert again.read("sessions/a/begin.json") == b"first"
    options, objects = forgetful
    with pytest.raises(BackendError, match=r"second creation.*it succeeded"):
        open_backend("s3://bucket/store", options).create_proven("sessions/a/begin.json", b"first")
    assert objects == {}


def test_a_multipart_creation_is_never_used(server):
    """A creation is one request however long the document, up to the bound, and above it is refused. [LAYOUT-18]"""
    with Proxy(server.port) as proxy:
        backend = open_backend(server.new_root(), server.options_at(proxy.port))
        assert backend.create("a", os.urandom(8 << 20))
        assert not backend.create("a", b"x")
        assert [request.method for request in proxy.requests] in (["PUT", "PUT"], ["POST", "POST"])
        with pytest.raises(tableformat.errors.LimitError):
            backend.create("b", bytes((8 << 20) + 1))


def test_the_probe_survives_faults(committing):
    """A fault while the place is probed is an error of the network or nothing, never a verdict on the place."""
    proxy, series = committing
    method = "PUT" if series.backend.root.startswith("s3") else "POST"
    for action in ("lost", "status", "reset"):
        backend = open_backend(series.backend.root + f"/{action}", series.backend._options)
        proxy.fail(action, method=method)
        try:
            backend.probe()
        except StoreUnavailableError:
            continue
        assert backend.create("x", b"1")

"""What clients of object stores do unasked, each met: caches that lie, retries that multiply, answers cut short, secrets that travel."""

import logging
import os
import pickle
import subprocess
import sys
import time

import pytest

import tableformat
from tableformat.errors import CorruptError, NotFoundError, StorePermissionError, StoreUnavailableError
from tableformat.storage.backend import open_backend
from tableformat.storage.remote import fsspec_backend as backend_module
from tableformat.storage.remote import sink as sink_module
from tableformat.testing.proxy import Proxy
from tableformat.testing.servers import KEY, SECRET


@pytest.fixture(params=["s3fs", "obstore", "gcsfs"])
def through(request, monkeypatch, impatient):
    """A proxy in front of a server, and a backend that reads and writes through it, by each client."""
    server = request.getfixturevalue("gcs" if request.param == "gcsfs" else "rgw")
    if request.param == "obstore":
        pytest.importorskip("obstore")
    monkeypatch.setenv("TABLEFORMAT_OBSTORE", "1" if request.param == "obstore" else "0")
    with Proxy(server.port) as proxy:
        yield proxy, open_backend(server.new_root(), server.options_at(proxy.port))


@pytest.fixture(params=["s3fs", "obstore"])
def by(request, monkeypatch):
    """Who reads from S3."""
    if request.param == "obstore":
        pytest.importorskip("obstore")
    monkeypatch.setenv("TABLEFORMAT_OBSTORE", "1" if request.param == "obstore" else "0")


def test_no_listing_is_stale(any_server):
    """What one backend wrote or deleted, another that looked before sees at once, by every way of looking."""
    root = any_server.new_root()
    one, two = (open_backend(root, any_server.options) for _ in range(2))
    assert (two.read_or_none("a/x"), two.size("a/x"), list(two.list()), two.list_folders("")) == (None, None, [], [])
    one.put("a/x", b"12345")
    assert (two.read_or_none("a/x"), two.size("a/x"), two.list_folders("")) == (b"12345", 5, ["a"])
    assert [(info.path, info.size) for info in two.list()] == [("a/x", 5)]
    one.put("a/x", b"1")
    assert (two.size("a/x"), [info.size for info in two.list("a")]) == (1, [1])
    one.delete("a/x")
    assert (two.read_or_none("a/x"), two.size("a/x"), list(two.list()), two.create("a/x", b"2")) == (
        None,
        None,
        [],
        True,
    )


def test_listings_tell_the_time_of_writing(any_server):
    """A listing tells when an object was written, by the clock of the server."""
    backend = open_backend(any_server.new_root(), any_server.options)
    backend.put("a", b"x")
    (info,) = backend.list()
    assert info.modified is not None
    assert abs(info.modified - time.time()) < 60


def test_a_busy_server_is_asked_a_few_times(through):
    """A server that is busy for good is asked at most 9 times in 25 seconds, not 25 times, and the error says to try again."""
    proxy, backend = through
    backend.put("a", b"x")
    proxy.clear()
    proxy.fail("status", status=503, times=1000)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="try again"):
        backend.read("a", 0, 1)
    assert proxy.count() <= 9
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("action", ["status", "reset", "truncate", "reset-half"])
def test_one_fault_is_healed(through, action):
    """A read or a write that fails once succeeds, with the bytes that are there."""
    proxy, backend = through
    content = os.urandom(100_000)
    proxy.fail(action, method="PUT" if backend.root.startswith("s3") else "POST")
    backend.put("data/a", content)
    if action != "reset-half":
        proxy.fail(action, method="GET")
    assert backend.read_ranges([("data/a", 10, 50_000)]) == [content[10:50_010]]
    assert backend.read_or_none("data/a") == content


def test_short_answers_of_many(through):
    """Of several ranges one that fails is an error of the whole, and none is passed on as an exception or cut short."""
    proxy, backend = through
    for name in "abc":
        backend.put(f"data/{name}", b"0123456789")
    proxy.fail("status", status=403, path="data(/|%2F)b", times=9)
    with pytest.raises(StorePermissionError, match="data/b"):
        backend.read_ranges([("data/a", 0, 5), ("data/b", 0, 5), ("data/c", 0, 5)])
    proxy.heal()
    with pytest.raises(CorruptError, match="expected 5 bytes, got 2 bytes"):
        backend.read_ranges([("data/a", 0, 5), ("data/b", 8, 5), ("data/c", 0, 5)])


def test_whole_objects_are_one_request(through):
    """Reading an object whole asks for nothing but it."""
    proxy, backend = through
    backend.put("data/a", b"0123456789")
    proxy.clear()
    assert backend.read("data/a") == b"0123456789"
    assert backend.read_many_or_none(["data/a", "data/b"]) == [b"0123456789", None]
    assert proxy.count() == 3


def test_many_ranges_travel_together(through):
    """Of 64 ranges that lie far apart at least 16 are under way at a time; ranges that lie together are one request."""
    proxy, backend = through
    proxy.latency = 0.02
    backend.put("data/a", bytes(64 << 17))
    proxy.clear()
    backend.read_ranges([("data/a", n << 17, 100) for n in range(64)])
    assert (proxy.count(), proxy.received()) == (64, 6400)
    assert proxy.most_in_flight() >= 16
    proxy.clear()
    backend.read_ranges([("data/a", n << 10, 100) for n in range(64)])
    assert proxy.count() == 1


WRITING = pytest.mark.parametrize("through", ["s3fs", "gcsfs"], indirect=True)
"""The clients that write; obstore reads only."""


@WRITING
def test_a_pack_is_one_request(through):
    """64 MiB are sent in one request, by every way of writing."""
    proxy, backend = through
    content = bytes(64 << 20)
    backend.put_chunks("data/a", [content[: 1 << 20], content[1 << 20 :]])
    with backend.writer() as sink:
        for start in range(0, len(content), 8 << 20):
            sink.write(content[start : start + (8 << 20)])
        sink.commit("data/b")
    assert [(request.method in ("PUT", "POST"), request.sent >= len(content)) for request in proxy.requests] == [(True, True)] * 2  # fmt: skip
    assert [backend.size("data/a"), backend.size("data/b")] == [len(content)] * 2


@WRITING
def test_long_objects_go_by_way_of_a_file(through, monkeypatch, tmp_path):
    """Beyond a bound a sink holds its bytes in a file of this machine and sends them in pieces; the file is gone after."""
    proxy, backend = through
    monkeypatch.setattr(sink_module, "SPOOL_BYTES", 1 << 20)
    monkeypatch.setattr(backend_module, "_PIECE_BYTES", 5 << 20)
    monkeypatch.setattr(sink_module.tempfile, "tempdir", str(tmp_path))
    content = os.urandom(11 << 20)
    with backend.writer() as sink:
        for start in range(0, len(content), 600_000):
            sink.write(content[start : start + 600_000])
        assert sink._held.tell() <= 1 << 20
        sink.commit("data/long")
    assert backend.read("data/long") == content
    assert max(request.sent for request in proxy.requests) <= 6 << 20
    with backend.writer() as sink:
        sink.write(content)
    assert os.listdir(tmp_path) == []


def test_uploads_of_dead_writers_are_given_up(rgw):
    """A collection gives up uploads below its own root that were begun before its time of grace and never completed."""
    import s3fs

    fs = s3fs.S3FileSystem(**rgw.options, skip_instance_cache=True)
    root, other = rgw.new_root(), rgw.new_root()

    def uploads():
        return sorted(one["Key"] for one in fs.call_s3("list_multipart_uploads", Bucket=rgw.bucket).get("Uploads", []))

    for place in (f"{root}/data/packs/ab/a.zip", f"{root}/data/b.parquet", f"{root}x/data/c", f"{other}/data/d"):
        bucket, _, key = place.removeprefix("s3://").partition("/")
        begun = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
        fs.call_s3("upload_part", Bucket=bucket, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=bytes(5 << 20))
    before = uploads()
    store = tableformat.open_store(root, storage_options=rgw.options)
    with store.draft("a") as draft, draft.table("t") as rows:
        rows.append(n=1)
    store.gc(dry_run=False)
    assert uploads() == before
    store.gc(dry_run=False, grace=0, exclusive=True)
    assert uploads() == [key for key in before if not key.startswith(root.partition(rgw.bucket + "/")[2] + "/")]
    assert len(before) - len(uploads()) == 2
    for upload in fs.call_s3("list_multipart_uploads", Bucket=rgw.bucket)["Uploads"]:
        fs.call_s3("abort_multipart_upload", Bucket=rgw.bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def test_an_upload_that_fails_leaves_nothing(rgw, monkeypatch):
    """A client that cannot send one of the pieces gives the upload up before it raises."""
    monkeypatch.setattr(sink_module, "SPOOL_BYTES", 1 << 20)
    monkeypatch.setattr(backend_module, "_PIECE_BYTES", 5 << 20)
    with Proxy(rgw.port) as proxy:
        backend = open_backend(rgw.new_root(), rgw.options_at(proxy.port))
        proxy.fail("status", method="PUT", path="partNumber=2", times=50, status=403)
        with pytest.raises(tableformat.errors.BackendError), backend.writer() as sink:
            sink.write(bytes(11 << 20))
            sink.commit("data/long")
        assert backend.size("data/long") is None
        assert backend.abort_uploads(time.time() + 3600) == 0
        assert proxy.count("DELETE", "uploadId") == 1


def test_gcs_would_cut_content_at_its_boundary(gcs):
    """The client cuts content that holds its boundary, and the server stores what came; through the backend it arrives whole."""
    backend = open_backend(gcs.new_root(), gcs.options)
    content = b"before\n--==0==\nafter"
    fs, base = backend._fs()
    fs.pipe_file(f"{base}/raw", content)
    assert backend.read("raw") == b"before"
    backend.put("whole", content)
    assert backend.read("whole") == content


def test_gcs_waits_for_nobody(gcs):
    """The first request to a bucket goes to the JSON API at once, not to a service that must time out before."""
    began = time.monotonic()
    open_backend(gcs.new_root(), gcs.options).put("a", b"x")
    assert time.monotonic() - began < 5


def test_stalls_end(rgw, by):
    """A server that takes a request and says nothing is given up when its time is over."""
    with Proxy(rgw.port) as proxy:
        config = {"read_timeout": 0.3, "retries": {"total_max_attempts": 2}}
        backend = open_backend(rgw.new_root(), {**rgw.options_at(proxy.port), "config_kwargs": config})
        backend.put("a", b"x")
        proxy.fail("stall", times=99, method="GET")
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            backend.read("a", 0, 1)
        assert time.monotonic() - began < 10
        proxy.heal()
        assert backend.read("a", 0, 1) == b"x"


def test_wrong_credentials(rgw):
    """A wrong key is an error of rights, which does not repeat the key."""
    backend = open_backend(rgw.new_root(), {**rgw.options, "secret": "wrong-secret-value"})
    for operation in (
        lambda: backend.read("a", 0, 1),
        lambda: backend.put("a", b"x"),
        lambda: backend.create("a", b"x"),
    ):
        with pytest.raises(StorePermissionError) as caught:
            operation()
        assert "wrong-secret-value" not in str(caught.value)


def test_anonymous_access(rgw, by):
    """A public bucket is read without credentials; writing to it is refused."""
    owner = open_backend(rgw.new_root(), {**rgw.options, "s3_additional_kwargs": {"ACL": "public-read"}})
    owner.put("a", b"for all")
    anybody = open_backend(owner.root, {"endpoint_url": rgw.options["endpoint_url"], "anon": True})
    assert anybody.read("a") == b"for all"
    assert anybody.read_ranges([("a", 4, 3)]) == [b"all"]
    with pytest.raises(StorePermissionError):
        anybody.put("b", b"x")


_CHILD = """
import sys, tableformat
store = tableformat.open_store(sys.argv[1])
with store.draft("a") as draft, draft.table("t") as table:
    table.append(n=1)
print(store["a"]["t"].to_arrow().num_rows)
"""


def test_credentials_from_the_environment(rgw):
    """Endpoint and credentials may come from the environment alone."""
    environment = {
        **os.environ, "AWS_ENDPOINT_URL": rgw.options["endpoint_url"], "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", _CHILD, rgw.new_root()], env=environment, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_secrets_stay_where_they_are(rgw, caplog):
    """No pickle, text, log line or stored byte holds what signs requests."""
    caplog.set_level(logging.DEBUG, "tableformat")
    store = tableformat.open_store(rgw.new_root(), storage_options=rgw.options)
    with store.draft("a") as draft, draft.table("t") as table:
        table.append(n=1)
    rows = store["a"]["t"]
    backend = open_backend(store.root, rgw.options)
    for thing in (backend, store, store["a"], rows):
        assert SECRET.encode() not in pickle.dumps(thing)
        assert SECRET not in repr(thing) + str(thing)
    for info in backend.list():
        assert SECRET.encode() not in backend.read(info.path)
    with pytest.raises(NotFoundError) as caught:
        open_backend("s3://no-such-bucket-at-all/x", rgw.options).put("a", b"x")
    assert SECRET not in str(caught.value) + caplog.text


def _child_reads(root, options, queue):
    try:
        queue.put(open_backend(root, options).read("a"))
    except BaseException as error:
        queue.put(repr(error))


def _inherited(backend, queue):
    try:
        queue.put(backend.read("a"))
    except BaseException as error:
        queue.put(repr(error))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(server, method):
    """A child reads, forked with a backend in use or started afresh."""
    import multiprocessing

    backend = open_backend(server.new_root(), server.options)
    backend.put("a", b"bytes")
    assert backend.read("a") == b"bytes"
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    target, arguments = (_inherited, (backend, queue)) if method == "fork" else (_child_reads, (backend.root, dict(server.options), queue))  # fmt: skip
    child = context.Process(target=target, args=arguments)
    child.start()
    assert queue.get(timeout=30) == b"bytes"
    child.join()
    assert backend.read("a") == b"bytes"

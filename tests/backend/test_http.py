"""HTTP, read only: from a server without ranges, and from a bucket that anybody may read."""

import uuid

import pytest

import tableformat
from tableformat.errors import BackendError, NotFoundError
from tableformat.storage.backend import Backend, open_backend
from tableformat.testing import ReadOnlyBackendTests
from tableformat.testing.proxy import Proxy
from tableformat.testing.servers import http_server


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder, and the URL under which Python's own server shows it: without ranges, with pages for folders."""
    folder = tmp_path_factory.mktemp("served")
    with http_server(str(folder)) as url:
        yield folder, url


class TestWithoutRanges(ReadOnlyBackendTests):
    """Python's own server."""

    @pytest.fixture
    def origin(self, served) -> Backend:
        """A folder, by its path."""
        return open_backend(served[0] / uuid.uuid4().hex / "store")

    @pytest.fixture
    def backend(self, served, origin) -> Backend:
        """The folder, by its URL."""
        return open_backend(served[1] + origin.root.removeprefix(str(served[0])))


class TestPublicBucket(ReadOnlyBackendTests):
    """Ceph's gateway as a web server: with ranges."""

    @pytest.fixture
    def origin(self, rgw) -> Backend:
        """A bucket whose objects anybody may read, as its owner sees it."""
        origin = open_backend(rgw.new_root(), {**rgw.options, "s3_additional_kwargs": {"ACL": "public-read"}})
        origin.put("warm", b"")
        fs, _ = origin._fs()
        fs.call_s3("put_bucket_acl", Bucket=rgw.bucket, ACL="public-read")
        origin.delete("warm")
        return origin

    @pytest.fixture
    def backend(self, rgw, origin) -> Backend:
        """The bucket, as anybody sees it."""
        return open_backend(f"http://127.0.0.1:{rgw.port}/" + origin.root.removeprefix("s3://"))


def test_a_store_is_read_over_http(served):
    """A store in a folder that somebody serves is opened, read and verified by its URL."""
    root = served[0] / "whole"
    with tableformat.open_store(root).draft("numbers") as draft, draft.table("rows") as rows:
        rows.extend([{"n": n, "text": f"row {n}"} for n in range(1000)])
    store = tableformat.open_store(f"{served[1]}/whole")
    table = store["numbers"]["rows"]
    assert [row["n"] for row in table.head(3)] == [0, 1, 2]
    assert table.to_arrow().num_rows == 1000
    assert store["numbers:v0"].digest == store["numbers"].digest


def test_where_no_store_is(served):
    """An address without a store is told so, though nothing can be listed there."""
    with pytest.raises(NotFoundError, match=r"no tableformat\.json"):
        tableformat.open_store(f"{served[1]}/none")
    with pytest.raises(BackendError, match="no listings"):
        list(open_backend(f"{served[1]}/none").list())


def test_server_errors(served):
    """A server that fails is told from one that has nothing."""
    (served[0] / "data").mkdir(exist_ok=True)
    (served[0] / "data" / "a").write_bytes(b"0123456789")
    with Proxy(int(served[1].rpartition(":")[2])) as proxy:
        backend = open_backend(f"http://127.0.0.1:{proxy.port}")
        assert backend.read("data/a", 2, 3) == b"234"
        proxy.fail("status", status=503, times=9)
        with pytest.raises(tableformat.errors.StoreUnavailableError):
            backend.read_or_none("data/a")
        proxy.heal()
        proxy.fail("truncate")
        assert backend.read("data/a", 0, 10) == b"0123456789"

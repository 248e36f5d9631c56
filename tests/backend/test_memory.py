"""The backend in memory, through fsspec, passes the suite."""

import uuid

import pytest

from tableformat.errors import InvalidInputError
from tableformat.storage.backend import Backend, open_backend
from tableformat.testing import BackendTests


class TestMemory(BackendTests):
    """`memory://` roots."""

    @pytest.fixture
    def backend(self) -> Backend:
        """A root of its own for each test."""
        return open_backend(f"memory://{uuid.uuid4().hex}/store")


def test_two_backends_share_bytes():
    """Two backends of one process on one root see each other's objects."""
    root = f"memory://{uuid.uuid4().hex}"
    open_backend(root).put("a", b"x")
    assert open_backend(root + "/").read("a") == b"x"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "simplecache://x",
        "simplecache::dir://x",
        "s3://b/c?X-Amz-Signature=abc",
        "s3://b#x",
        "a\0b",
        "reference://",
    ],
)
def test_refused_roots(url):
    """Wrappers without a target and roots with a query are refused, and the query is not repeated."""
    with pytest.raises(InvalidInputError) as caught:
        open_backend(url)
    assert "Signature" not in str(caught.value)


def test_credentials_in_a_url_are_not_shown_or_pickled():
    """User-info of a URL stands in no text and no pickle."""
    import pickle

    backend = open_backend("ftp://user:secret@host/dir", {"password": "secret"})
    assert "secret" not in repr(backend) + backend.root + backend.uri("a")
    assert b"secret" not in pickle.dumps(backend)


def _options():
    return {"global_store": True}


def test_importable_options_are_pickled():
    """Options given as a function are called at the first use and travel by name."""
    import pickle

    root = f"memory://{uuid.uuid4().hex}"
    backend = open_backend(root, _options)
    backend.put("a", b"x")
    assert pickle.loads(pickle.dumps(backend)).read("a") == b"x"


def test_unknown_file_systems_are_not_written_to_by_two():
    """A file system of which atomic creation is not known is refused for commits unless trusted."""
    from tableformat.errors import BackendError

    with pytest.raises(BackendError, match="trust_create"):
        open_backend("ftp://host/dir").probe()


class _Overwriting:
    """A file system that ignores the condition of `mode="create"`, as some wrappers do."""

    def __init__(self):
        self.objects = {}

    def pipe_file(self, path, data, mode="overwrite", chunksize=0):
        self.objects[path] = data

    def cat_file(self, path, start=None, end=None):
        return self.objects[path][start:end]

    def cat_ranges(self, paths, starts, ends, on_error):
        return [self.objects[p][s:e] for p, s, e in zip(paths, starts, ends, strict=True)]

    def rm_file(self, path):
        del self.objects[path]

    def _strip_protocol(self, url):
        return url.removeprefix("s3://")


def test_the_probe_finds_a_client_that_overwrites(monkeypatch):
    """A client that overwrites where it should create is found out before the first commit, and nothing is left. [LAYOUT-15]"""
    import fsspec.core

    from tableformat.errors import BackendError

    client = _Overwriting()
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **options: (client, "bucket"))
    with pytest.raises(BackendError, match="succeeded"):
        open_backend("s3://bucket", {"told": object()}).probe()  # what cannot be compared is not shared
    assert client.objects == {}

"""S3, by s3fs alone and with obstore reading, passes the suite on Ceph's gateway and on moto."""

import pytest

from tableformat.storage.backend import Backend, open_backend
from tableformat.testing import BackendTests


class TestRadosGateway(BackendTests):
    """Ceph's gateway, read by s3fs."""

    @pytest.fixture
    def backend(self, rgw, monkeypatch) -> Backend:
        """A root of its own for each test."""
        monkeypatch.setenv("TABLEFORMAT_OBSTORE", "0")
        return open_backend(rgw.new_root(), rgw.options)


class TestRadosGatewayByObstore(BackendTests):
    """Ceph's gateway, read by obstore."""

    race_rounds = 2

    @pytest.fixture
    def backend(self, rgw) -> Backend:
        """A root of its own for each test."""
        pytest.importorskip("obstore")
        backend = open_backend(rgw.new_root(), rgw.options)
        backend.put("warm", b"x")
        assert backend.read("warm", 0, 1) == b"x"
        assert backend._accelerator._failures == 0
        backend.delete("warm")
        return backend


class TestMoto(BackendTests):
    """moto."""

    race_rounds = 5

    @pytest.fixture
    def backend(self, moto, monkeypatch) -> Backend:
        """A root of its own for each test."""
        monkeypatch.setenv("TABLEFORMAT_OBSTORE", "0")
        return open_backend(moto.new_root(), moto.options)

"""Google Cloud Storage, by gcsfs, passes the suite."""

import pytest

from tableformat.storage.backend import Backend, open_backend
from tableformat.testing import BackendTests


class TestGcs(BackendTests):
    """The JSON API."""

    @pytest.fixture
    def backend(self, gcs) -> Backend:
        """A root of its own for each test."""
        return open_backend(gcs.new_root(), gcs.options)

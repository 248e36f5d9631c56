"""Caches on this machine in front of a store, for reading."""

import os

import pytest

import tableformat
from tableformat.errors import StorePermissionError
from tableformat.storage.backend import Backend, open_backend
from tableformat.testing import ReadOnlyBackendTests


class TestSimpleCache(ReadOnlyBackendTests):
    """`simplecache::s3://…`."""

    @pytest.fixture
    def origin(self, rgw) -> Backend:
        """The bucket."""
        return open_backend(rgw.new_root(), rgw.options)

    @pytest.fixture
    def backend(self, rgw, origin, tmp_path) -> Backend:
        """The bucket behind a cache."""
        options = {"s3": rgw.options, "simplecache": {"cache_storage": str(tmp_path / "cache")}}
        return open_backend(f"simplecache::{origin.root}", options)


def test_what_changes_is_never_cached(rgw, tmp_path):
    """A reader behind a cache sees each new version at once, while parts and packs are fetched once. [LAYOUT-19]"""
    root = rgw.new_root()
    writer = tableformat.open_store(root, storage_options=rgw.options)
    options = {"s3": rgw.options, "simplecache": {"cache_storage": str(tmp_path / "cache")}}
    reader = None
    for number in range(3):
        with writer.draft("a") as draft, draft.table("t") as rows:
            rows.append(n=number)
        reader = reader or tableformat.open_store(f"simplecache::{root}", storage_options=options)
        assert [row["n"] for row in reader["a"]["t"].head(5)] == [number]
        assert len(os.listdir(tmp_path / "cache")) == number + 1
    with (
        pytest.raises(StorePermissionError, match="open the store itself"),
        reader.draft("a") as draft,
        draft.table("t") as rows,
    ):
        rows.append(n=9)

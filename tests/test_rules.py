"""Rules of the specification that take a whole store to show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat.context import StoreContext
from tableformat.document import encode_document
from tableformat.errors import ExistsError, KeyValueError, UnsupportedError
from tableformat.format.documents import Requires
from tableformat.format.documents import Requires as VersionRequires
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Manifest
from tableformat.storage.backend import open_backend
from tableformat.storage.manifests import write_root
from tableformat.storage.versions import VersionFile
from tableformat.store import Store
from tableformat.testing import FaultBackend
from tests.publishing import TIME, publish


@pytest.fixture
def store(tmp_path: Path) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def part_files(store: tableformat.Store) -> Iterator[pq.ParquetFile]:
    for path in sorted(Path(store.root, "data").glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            yield file


def parts_of(store: tableformat.Store, name: str, table: str) -> list[dict[str, Any]]:
    [item] = [item for item in store[name].items_raw() if item["name"] == table]
    return list(item["parts"]["items"])


def test_parts_of_one_call_have_one_schema(store: tableformat.Store) -> None:
    """A column that is widened after parts were sealed is the same in all parts that the call wrote. [PART-4]"""
    with store.draft("a") as draft, draft.table("t", part_rows=100) as table:
        table.extend({"x": row} for row in range(250))
        table.extend({"x": row + 0.5} for row in range(250))
    paths = [f"{store.root}/data/{part['files'][0]['digest'][7:]}.parquet" for part in parts_of(store, "a", "t")]
    assert len(paths) == 5
    schemas = [pq.read_schema(path) for path in paths]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
    assert schemas[0].field("x").type == pa.float64()


def test_row_groups_end_before_their_bound(store: tableformat.Store) -> None:
    """Rows of 3 MiB come 21 to a row group of at most 64 MiB; a larger row stands alone. [PART-7]"""
    fat = [bytes(3 << 20)] * 30 + [bytes(70 << 20)] + [b"x"]
    with store.draft("a") as draft, draft.table("t", schema={"x": pa.binary()}) as table:
        for value in fat:
            table.append(x=value)
    sizes = [file.metadata.row_group(i).num_rows for file in part_files(store) for i in range(file.num_row_groups)]
    assert sorted(sizes) == [1, 1, 9, 21]


def test_keys_that_stand_twice_are_refused(store: tableformat.Store) -> None:
    """Equal keys in one table raise when it is closed, with both rows; nothing becomes visible. [PART-10]"""
    with pytest.raises(KeyValueError, match="7"), store.draft("a") as draft, draft.table("t", key="id") as table:
        table.extend(pa.table({"id": [*range(9000), 7]}))
    assert store.artifacts() == []


def test_readers_do_not_rely_on_cuts(store: tableformat.Store) -> None:
    """The same rows in parts cut elsewhere are the same table. [PART-12]"""
    rows = pa.table({"id": np.arange(3000), "x": np.arange(3000) * 0.5})
    for name, part_rows in (("a", 300), ("b", 1000), ("c", None)):
        with store.draft(name) as draft, draft.table("t", part_rows=part_rows) as table:
            table.extend(rows)
    assert len({len(parts_of(store, name, "t")) for name in "abc"}) == 3
    assert len({store[name].content_digest for name in "abc"}) == 1
    assert all(store[name]["t"].to_arrow().equals(rows) for name in "abc")


def test_names_of_entries_differ_by_more_than_case(store: tableformat.Store) -> None:
    """Two entries whose names are equal but for case or Unicode form are refused. [MANIFEST-5]"""
    draft = store.draft("a")
    draft.add(pa.table({"x": [1]}), "Größe")
    for name in ("größe", "Größe", "Gro\u0308ße"):
        with pytest.raises(ExistsError):
            draft.add(pa.table({"x": [1]}), name)
    draft.discard()


def test_nothing_is_committed_after_what_is_not_understood(store: tableformat.Store) -> None:
    """A version that asks writers for an unknown feature is read, and not followed by another. [FORMAT-2]"""
    publish(store, "a", [], VersionRequires((), ("spells",)))
    assert len(store["a"]) == 0
    with pytest.raises(UnsupportedError, match="spells"), store.draft("a") as draft:
        draft.add(pa.table({"x": [1]}), "t")
    assert [version.slot for version in store.versions("a")] == [0]


def test_versions_that_need_an_unknown_feature_are_refused_by_name(store: tableformat.Store) -> None:
    """A feature that readers must know, in the version file or in the root, is named in the refusal. [FORMAT-1]"""
    publish(store, "a", [], VersionRequires(("time-travel",), ()))
    with pytest.raises(UnsupportedError, match="time-travel"):
        store["a"]
    context = store.context
    digest, data = write_root(
        context.backend, Manifest("dataset", "{}", f"sha256:{'0' * 64}", ItemList(0), Requires(("spells",)))
    )
    context.versions("b").commit(VersionFile(digest, len(data), TIME))
    with pytest.raises(UnsupportedError, match="spells"):
        store["b"]


def test_unknown_entries_and_fields_are_carried(store: tableformat.Store) -> None:
    """Entries of a reserved or unknown kind go into the next version byte by byte, and do not open. [FORMAT-3]"""
    strange = {"key": "later", "kind": "view", "name": "later", "sql": "select 1", "nested": [{"a": None}]}
    publish(store, "a", [strange])
    with store.draft("a", base="latest") as draft:
        draft.add(pa.table({"x": [1]}), "t")
    carried = {item["name"]: item for item in store["a"].items_raw()}
    assert encode_document(carried["later"]) == encode_document(strange)
    with pytest.raises(UnsupportedError, match="view"):
        store["a"]["later"]
    assert store["a"]["t"].to_arrow().to_pylist() == [{"x": 1}]


def test_everything_named_is_durable_before_its_name(tmp_path: Path) -> None:
    """Packs and blobs come first, then parts, then the root, then the version file; index and hint come after. [VERSIONS-8]"""
    backend = FaultBackend(open_backend(str(tmp_path / "store")))
    store = Store(StoreContext(backend, None))
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(9 << 20))
    with store.draft("a") as draft:
        draft.add(big, "big")
        with draft.table("t", schema={"id": pa.int64(), "image": tableformat.ImageType()}, key="id") as table:
            for row in range(20):
                table.append(id=row, image=np.random.default_rng(row).integers(0, 255, (40, 40, 3), np.uint8))
    written = [path for operation, path in backend.calls if operation in ("create", "put", "overwrite", "sink.commit")]
    sorts = ("data/packs/", "data/blobs/", ".parquet", "manifests/", "/versions/", "index/", "hint.json")
    places = {sort: [number for number, path in enumerate(written) if sort in path] for sort in sorts}
    parts = [number for number, path in enumerate(written) if path.startswith("data/") and path.endswith(".parquet")]
    assert (
        max(places["data/packs/"] + places["data/blobs/"])
        < max(parts)
        < min(places["manifests/"])
        < min(places["/versions/"])
    )
    assert max(places["data/packs/"]) < min(parts)
    assert min(places["/versions/"]) < min(places["index/"] + places["hint.json"])
    assert any(path.endswith(".sums") for path in written)

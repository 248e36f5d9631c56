"""What sessions name is marked, whatever their documents are; a document that cannot be read stops a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat.errors import CorruptError, LimitError, TableformatError
from tableformat.storage.collect import marks

HEX = "ab" * 32


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, use_dictionary=False, compression="zstd", **options)
    data: bytes = sink.getvalue().to_pybytes()
    return data


@pytest.fixture
def store(tmp_path: Path) -> tableformat.Store:
    """A store with one version."""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft:
        draft.add(tableformat.Classes(["cat"]), "classes")
    return store


def reached(store: tableformat.Store, data: bytes, name: str) -> list[bool]:
    """Whether the part and the leaf of the digest `HEX` are marked, where a session has such a document."""
    store.context.backend.put(f"sessions/later/{name}", data)
    made = marks.mark(store.context.backend, now=0.0, deadline=1.0)
    assert made.sessions == 1
    found: list[bool] = made.reached.contains([f"data/{HEX}.parquet", f"manifests/{HEX}.parquet"]).tolist()
    return found


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (f'{{"any":["sha256:{HEX}"]}}'.encode(), "begin.json"),
        (parquet({"any": ["x", f"sha256:{HEX}"], "n": [1, None]}), "later.parquet"),
        (parquet({"any": [None, bytes.fromhex(HEX)]}), "later.parquet"),
    ],
)
def test_what_a_session_names_is_reached(store: tableformat.Store, data: bytes, name: str) -> None:
    """A digest anywhere in a document of a session protects what it may be the digest of; without one nothing is."""
    assert reached(store, data, name) == [True, True]
    assert reached(
        store, data.replace(HEX.encode(), b"0" * 64) if name == "begin.json" else parquet({"n": [1]}), name
    ) == [False, False]


def test_a_document_of_a_session_does_not_become_large(
    store: tableformat.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few bytes that become very many, or are no Parquet at all, stop a collection with an error of ours, in little memory.
    [COLLECT-5] [SECURITY-8]"""
    monkeypatch.setattr(marks, "_MAX_SESSION_FILE", 1 << 20)
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["a" * (1 << 20)]))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"any": repeated}), sink, compression="zstd", store_schema=False)
    before = pa.total_allocated_bytes()
    for data, error in (
        (parquet({"any": ["a" * (2 << 20)]}), LimitError),
        (sink.getvalue().to_pybytes(), LimitError),
        (b"PAR1" + bytes(40) + b"PAR1", CorruptError),
    ):
        assert len(data) < 1 << 20
        with pytest.raises(error):
            reached(store, data, "later.parquet")
        with pytest.raises(TableformatError):
            store.gc()
    assert pa.total_allocated_bytes() - before < 16 << 20

"""Embeddings in tables: the same rows whether they are read as they lie or by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat import col
from tableformat.errors import CorruptError
from tableformat.table import part_reader

ROWS, WIDTH = 3000, 24


@pytest.fixture
def as_lies(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each column that was looked at, whether it was read as it lies."""
    found: list[bool] = []
    original = part_reader.read_raw

    def counted(*arguments: Any, **options: Any) -> pa.Array | None:
        made = original(*arguments, **options)
        found.append(made is not None)
        return made

    monkeypatch.setattr(part_reader, "read_raw", counted)
    return found


def rows(count: int = ROWS) -> pa.Table:
    random = np.random.default_rng(3)
    floats = random.standard_normal(count * WIDTH).astype(np.float32)
    lengths = random.integers(0, 4, count)
    ends = np.append(0, np.cumsum(lengths)).astype(np.int32)
    return pa.table({
        "id": np.arange(count), "scores": pa.ListArray.from_arrays(np.arange(0, len(floats) + 1, WIDTH, dtype=np.int32), floats),
        "text": [f"row {n % 50}" for n in range(count)], "embedding": pa.FixedSizeListArray.from_arrays(floats[::-1], WIDTH),
        "boxes": pa.ListArray.from_arrays(ends, random.random(int(ends[-1]))),
    })  # fmt: skip


def stored(tmp_path: Path, data: pa.Table, **options: Any) -> tableformat.Store:
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft, draft.table("t", **options) as writer:
        writer.extend(data)
    return store


@pytest.mark.parametrize("options", [{}, {"key": "id"}, {"part_rows": 700}], ids=["one part", "keyed", "small parts"])
def test_rows_with_embeddings_come_back(tmp_path: Path, as_lies: list[bool], options: dict[str, Any]) -> None:
    """All columns, a few in another order, only one: lists of one length are read as they lie, others are not."""
    data = rows()
    table = stored(tmp_path, data, **options)["a"]["t"]
    assert table.to_arrow().equals(data.cast(table.to_arrow().schema))
    assert True in as_lies
    assert False in as_lies
    for names in (["embedding", "id", "scores"], ["scores"], ["embedding"], ["boxes", "embedding"]):
        found = table.select(*names).to_arrow()
        assert found.to_pydict() == data.select(names).to_pydict()
    assert table.where(col("id") < 10).to_arrow().to_pydict() == data.slice(0, 10).to_pydict()
    assert [row["embedding"][0] for row in table.take([2999, 5])] == [
        data["embedding"][n][0].as_py() for n in (2999, 5)
    ]


def test_parts_of_both_kinds_are_one_column(tmp_path: Path, as_lies: list[bool]) -> None:
    """A column whose lists are of one length in some parts, and of several, or null, in others."""
    lists: list[list[float | None] | None] = np.random.default_rng(5).random((2000, 2)).tolist()
    lists[700] = None
    lists[1200] = [1.5]
    lists[1201] = [1.5, None, 2.5]
    data = pa.table({"id": np.arange(2000), "x": pa.array(lists, pa.list_(pa.float64()))})
    table = stored(tmp_path, data, part_rows=500)["a"]["t"]
    assert table.to_arrow().to_pydict() == data.to_pydict()
    assert sum(as_lies) == 2
    assert next(iter(table.batches(batch_rows=2000))).to_pydict() == data.to_pydict()
    assert table[490:1210].select("x").to_arrow().to_pydict() == {"x": lists[490:1210]}


def test_large_parts_are_read_so_too(tmp_path: Path, as_lies: list[bool]) -> None:
    """Parts that are read row group by row group, with checksums of pages, and with rows that are deleted."""
    data = rows(90_000)
    store = stored(tmp_path, data, key="id", part_rows=90_000)
    assert store["a"]["t"].to_arrow().to_pydict() == data.to_pydict()
    assert True in as_lies
    with store.draft("a", base="latest") as draft:
        draft.delete("t", where=col("id").is_in([0, 7, 50_000]))
    kept = np.flatnonzero(~np.isin(np.arange(90_000), [0, 7, 50_000]))
    assert store["a"]["t"].to_arrow().to_pydict() == data.take(kept).to_pydict()


def test_embeddings_of_an_older_schema(tmp_path: Path, as_lies: list[bool]) -> None:
    """Beside a column that was added, and under another name."""
    data = rows()
    store = stored(tmp_path, data, key="id")
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", pa.table({"id": data["id"], "more": data["embedding"]}))
        draft.rename_columns("t", {"embedding": "vector"})
    found = store["a"]["t"].select("more", "vector", "scores").to_arrow()
    wanted = data.select(["embedding", "embedding", "scores"]).rename_columns(["more", "vector", "scores"])
    assert [found.column(n).to_pylist() for n in range(3)] == [wanted.column(n).to_pylist() for n in range(3)]
    assert True in as_lies


@pytest.mark.parametrize("part_rows", [3000, 90_000], ids=["whole", "by row group"])
def test_damage_among_embeddings_is_found(tmp_path: Path, part_rows: int) -> None:
    """One bit of a float, of its levels or of the header of its page: reading raises, whichever way the file is read."""
    table = stored(tmp_path, rows(part_rows), part_rows=part_rows)["a"]["t"]
    path = Path(table.files()[0])
    metadata = pq.read_metadata(path)
    chunk = next(c for c in (metadata.row_group(0).column(n) for n in range(metadata.num_columns)) if "embedding" in c.path_in_schema)  # fmt: skip
    whole = path.read_bytes()
    path.chmod(0o600)
    for place in (chunk.data_page_offset + 40, chunk.data_page_offset + 60, chunk.data_page_offset + 5000):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(CorruptError):
            tableformat.open_store(table.source.backend.root)["a"]["t"].to_arrow()

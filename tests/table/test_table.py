"""`Table`: selections of selections beside plain Python lists, what leaves as Arrow data, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tableformat.errors import (
    CorruptError,
    IllegalNameError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    SchemaError,
    UsageError,
)
from tableformat.format.expr import col
from tableformat.format.limits import Limits
from tableformat.format.media.classes import Classes
from tableformat.format.reference import Reach
from tableformat.format.types import ClassType, ImageType, JsonType, TensorType
from tableformat.storage.interface import Backend
from tableformat.table.bare import read_bare
from tableformat.table.selection import as_positions
from tableformat.table.source import TableSource
from tableformat.table.table import Table
from tests.table.reading_tables import store_table, without_statistics

ROWS = 1000
MODEL = [
    {"id": n, "group": f"g{n % 7}", "score": None if n % 11 == 0 else float("nan") if n % 13 == 0 else n / 10}
    for n in range(ROWS)
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """1,000 rows in parts of 300."""
    columns = {name: [row[name] for row in MODEL] for name in MODEL[0]}
    return store_table(
        tmp_path_factory.mktemp("store"), {"id": int, "group": str, "score": float}, columns, part_rows=300
    )


def ids(table: Table) -> list[int]:
    return [row.index for row in table.select("id").rows()]


Rows = list[dict[str, Any]]
SLICES = st.builds(
    slice,
    st.none() | st.integers(-1200, 1200),
    st.none() | st.integers(-1200, 1200),
    st.sampled_from([None, 1, 2, 7, 400, -1, -3]),
)
PREDICATES: list[tuple[Any, Callable[[dict[str, Any]], bool]]] = [
    (col("id") < 450, lambda row: row["id"] < 450),
    (col("id").between(290, 310), lambda row: 290 <= row["id"] <= 310),
    (col("group").is_in(["g1", "g2"]), lambda row: row["group"] in ("g1", "g2")),
    (col("score") > 20, lambda row: row["score"] is not None and row["score"] > 20),
    (~(col("score") > 20), lambda row: row["score"] is not None and not row["score"] > 20),
    (col("score").is_null() | (col("id") == 5), lambda row: row["score"] is None or row["id"] == 5),
    (col("id") > 5000, lambda row: False),
]
STEPS = st.one_of(
    st.tuples(st.just("slice"), SLICES),
    st.tuples(st.just("where"), st.sampled_from(PREDICATES)),
    st.tuples(st.just("take"), st.lists(st.integers(0, 10**6), max_size=6)),
    st.tuples(st.just("head"), st.integers(0, 50)),
    st.tuples(st.just("select"), st.sampled_from([["id"], ["score", "id"], ["group"]])),
)


def applied(table: Table, model: Rows, steps: list[tuple[str, Any]]) -> tuple[Table, Rows]:
    """A table and a list of rows after the same steps."""
    for kind, value in steps:
        if kind == "slice":
            table, model = table[value], model[value]
        elif kind == "where":
            table, model = table.where(value[0]), [row for row in model if value[1](row)]
        elif kind == "head":
            table, model = table.head(value), model[:value]
        elif kind == "select":
            if set(value) <= set(table.columns):
                table = table.select(*value)
        elif model:
            places = [place % len(model) for place in value]
            table, model = table.take(places), [model[place] for place in places]
    return table, model


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=5))
def test_selections_of_selections(table: Table, steps: list[tuple[str, Any]]) -> None:
    """Any chain of selections gives the rows that the same chain gives on a Python list, in that order. [READ-5] [READ-7]"""
    chosen, model = applied(table, MODEL, steps)
    numbers = [row["id"] for row in model]
    rows = list(chosen.rows())
    assert [row.index for row in rows] == numbers
    for row, expected in zip(rows, model, strict=True):
        assert repr(list(row.values())) == repr([expected[name] for name in chosen.columns])
    assert len(chosen) == len(model)
    assert chosen.to_arrow().num_rows == len(model)
    if model:
        place = len(model) // 2
        assert chosen[place].index == numbers[place]
        assert chosen[-1].index == numbers[-1]
        assert bool(chosen)
    with pytest.raises(IndexError):
        chosen[len(model)]
    assert [index for i in range(3) for index in ids_of(chosen.shard(i, 3))] == numbers


@given(st.sampled_from(PREDICATES), SLICES)
def test_statistics_change_no_answer(table: Table, predicate: tuple[Any, Any], chosen: slice) -> None:
    """A filter keeps the same rows with the manifest's statistics and without them. [READ-6]"""
    assert ids(table[chosen].where(predicate[0])) == ids(without_statistics(table)[chosen].where(predicate[0]))


def test_reading_is_lazy_and_skips_parts(tmp_path: Path) -> None:
    """Selections read nothing, and a filter on sorted ids opens only the parts that may hold them."""
    table = store_table(tmp_path, {"id": int}, {"id": list(range(1000))}, part_rows=100)
    for path in table.files()[:-1]:
        Path(path).unlink()
    late = table.where(col("id") >= 900).select("id")
    assert len(late) == 100
    assert table[-1]["id"] == 999
    assert [row["id"] for row in table.take([950, 901])] == [950, 901]


def test_equal_values_and_null(table: Table) -> None:
    """`where(name=value)` keeps equal values, and None keeps nulls."""
    assert len(table.where(group="g3")) == sum(row["group"] == "g3" for row in MODEL)
    assert len(table.where(score=None)) == sum(row["score"] is None for row in MODEL)
    assert len(table.where(col("id") < 100, group="g1")) == sum(
        row["id"] < 100 and row["group"] == "g1" for row in MODEL
    )
    assert table.where() is table


def test_columns_behind_a_selection(table: Table) -> None:
    """A filter may test a column that is not selected; selecting again takes from what was selected."""
    chosen = table.select("id").where(group="g1")
    assert chosen.columns == ["id"]
    assert ids(chosen)[:2] == [1, 8]
    with pytest.raises(NotFoundError):
        chosen.select("score")


def test_batches(table: Table) -> None:
    """Batches hold all rows in order, of the length asked for, with the columns asked for."""
    batches = list(table.batches(columns=["score", "id"], batch_rows=64))
    assert [batch.num_rows for batch in batches] == [64] * 15 + [40]
    assert batches[0].schema.names == ["score", "id"]
    assert [number for batch in batches for number in batch.column("id").to_pylist()] == list(range(ROWS))
    assert sum(batch.num_rows for batch in table.batches()) == ROWS
    assert table.select().to_arrow().num_rows == ROWS


def test_other_libraries_take_the_table(table: Table) -> None:
    """Arrow, pandas, polars and DuckDB read the table through the stream that it offers."""
    import duckdb

    assert pa.table(table).num_rows == ROWS
    assert len(table.head(5).to_pandas()) == 5
    assert table.head(5).to_polars().shape == (5, 3)
    arrow = pa.RecordBatchReader.from_stream(table.where(group="g1"))  # noqa: F841 - DuckDB finds it by its name
    assert duckdb.sql("select count(*) from arrow").fetchall() == [(143,)]


def test_shards_are_contiguous_and_complete(table: Table) -> None:
    """Shards are runs of rows that together, in order, are the table, and there may be more shards than rows."""
    assert [index for i in range(7) for index in ids(table.shard(i, 7))] == list(range(ROWS))
    assert sum(len(table.head(3).shard(i, 5)) for i in range(5)) == 3
    with pytest.raises(UsageError, match="i < n"):
        table.shard(3, 3)


def test_sample(table: Table) -> None:
    """A sample has different rows in the order of the table, and the same seed draws the same ones."""
    drawn = ids(table.sample(50, seed=1))
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 50
    assert drawn == ids(table.sample(50, seed=1)) != ids(table.sample(50, seed=2))
    assert len(table.where(group="g1").sample(10)) == 10
    assert len(table.head(3).sample(10)) == 3


def test_single_rows(table: Table) -> None:
    """A row is looked up by its number; numbers outside raise `IndexError`, names an error that tells what to use."""
    assert table[3]["id"] == 3
    assert table[-1].index == ROWS - 1
    assert table[np.int64(5)].index == 5
    with pytest.raises(IndexError):
        table[ROWS]
    with pytest.raises(UsageError, match="select"):
        table["id"]  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="whole number"):
        table[1.5]  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="step"):
        table[::0]


def test_take(table: Table) -> None:
    """Rows come in the order asked for, twice where asked twice; masks and arrays are taken, positions outside refused."""
    assert ids(table.take([5, 3, 5, -1])) == [5, 3, 5, ROWS - 1]
    assert ids(table.take(np.arange(ROWS) % 500 == 1)) == [1, 501]
    assert ids(table.take(pa.array([2, 1]))) == [2, 1]
    assert ids(table.take(range(4, 0, -2))) == [4, 2]
    assert ids(table.take([0, 0, 2])) == [0, 0, 2]
    with pytest.raises(IndexError):
        table.take([ROWS])
    with pytest.raises(IndexError):
        list(table.where(group="g1").take([500]))
    with pytest.raises(UsageError):
        table.take([1.5])
    with pytest.raises(UsageError):
        table.take(np.array([True]))
    assert as_positions([], 3).tolist() == []


def test_get_column_and_iterrows(table: Table) -> None:
    """A column comes as a list of values, rows as pairs of number and tuple."""
    assert table[2:4].get_column("id") == [2, 3]
    assert list(table[2:3].iterrows()) == [(2, (2, "g2", 0.2))]
    with pytest.raises(NotFoundError, match="did you mean 'group'"):
        table.get_column("grup")


def test_refused_selections(table: Table) -> None:
    """What cannot be selected is refused at once, with the nearest name or both types."""
    with pytest.raises(NotFoundError, match="did you mean 'score'"):
        table.select("scor")
    with pytest.raises(SchemaError, match="int64"):
        table.where(id="x")
    with pytest.raises(InvalidInputError):
        table.where("id > 3")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="twice"):
        table.select("id", "id")
    with pytest.raises(UsageError, match="whole table"):
        _ = table.head(3).content_digest
    with pytest.raises(UsageError, match="whole table"):
        table.select("id").files()
    with pytest.raises(UsageError, match="media"):
        table.rows(media="all")  # type: ignore[arg-type]
        list(table.rows(media="all"))  # type: ignore[arg-type]


def test_whole_table(table: Table) -> None:
    """The content digest and the files are those of the whole table."""
    assert table.content_digest == table.source.entry.content
    assert [pq.read_metadata(path).num_rows for path in table.files()] == [300, 300, 300, 100]
    assert table.whole_entry(table.source.backend.root) is table.source.entry
    assert table.head(2).whole_entry(table.source.backend.root) is None


def test_logical_types(tmp_path: Path) -> None:
    """Arrow data have the types of users: tensors, JSON and durations, at any depth; and the schema comes back from them."""
    schema = {
        "t": TensorType("float32", (2, 2)),
        "j": JsonType(),
        "d": pa.list_(pa.duration("ms")),
        "v": TensorType("int8"),
    }
    columns: dict[str, Any] = {
        "t": [[1.0, 2, 3, 4], None],
        "j": ['{"a":1}', None],
        "d": [[5], None],
        "v": [{"data": [1, 2], "shape": [2]}, None],
    }
    table = store_table(tmp_path, schema, columns)
    arrow = table.to_arrow()
    assert arrow.schema.field("t").type == pa.fixed_shape_tensor(pa.float32(), (2, 2))
    assert arrow.schema.field("j").type == pa.json_()
    assert arrow.schema.field("d").type == pa.list_(pa.field("element", pa.duration("ms")))
    assert table[1:].to_arrow().to_pylist() == [{"t": None, "j": None, "d": None, "v": None}]
    assert all(
        one.same_shape(other)
        for one, other in zip(type(table.schema).from_user(arrow.schema), table.schema, strict=True)
    )
    row = table[0]
    assert row["t"].tolist() == [[1, 2], [3, 4]]
    assert row["j"] == {"a": 1}
    assert row["v"].tolist() == [1, 2]
    assert table.to_polars().shape == (2, 4)


def test_classes(tmp_path: Path) -> None:
    """Names of classes stand for ids in filters, and the sets of columns and layers are found by digest."""
    animals, boxes = Classes({0: "cat", 1: "dog"}), Classes({5: "ear"})
    sets = {animals.digest: animals, boxes.digest: boxes}
    schema = {"label": ClassType(animals), "image": ImageType(classes={"": animals, "parts": boxes})}
    table = store_table(
        tmp_path, schema, {"label": [0, 1, 1, None], "image": [None] * 4}, load_classes=sets.__getitem__
    )
    assert ids_of(table.where(label="dog")) == [1, 2]
    assert ids_of(table.where(label=0)) == [0]
    assert table.classes_of("label") == animals
    assert table.classes_of("image") == animals
    assert table.classes_of("image", "parts") == boxes
    assert set(table.class_sets()) == {animals, boxes}
    with pytest.raises(NotFoundError, match="class"):
        table.where(label="bird")


def ids_of(table: Table) -> list[int]:
    return [row.index for row in table]


PICKLED: dict[str, TableSource] = {}


def reopen(backend: Backend, artifact: str, name: str, reach: Reach) -> TableSource:
    """Stands for the store that opens a table again."""
    assert isinstance(backend, Backend)
    return PICKLED[f"{artifact}/{name}/{reach.allow}"]


def test_pickle(tmp_path: Path) -> None:
    """A selection pickles as where its table lies and what is selected, and small."""
    table = store_table(
        tmp_path,
        {"id": int},
        {"id": list(range(100))},
        opener=reopen,
        artifact="a@sha256:0",
        name="t",
        allow=("s3://x/",),
    )
    PICKLED["a@sha256:0/t/('s3://x/',)"] = table.source
    chosen = table.where(col("id") > 50).take([3, 1]).select("id")
    data = pickle.dumps(chosen)
    assert len(data) < 2000
    assert ids(pickle.loads(data)) == [54, 52]
    with pytest.raises(UsageError, match="pickling"):
        pickle.dumps(store_table(tmp_path, {"id": int}, {"id": [1]}))


def test_memory_store() -> None:
    """Parts that lie elsewhere are read by ranges, with the same rows and the same checks. [READ-4]"""
    columns = {"id": list(range(500)), "text": [str(n) for n in range(500)]}
    url = "memory://reading-tests"
    table = store_table(url, {"id": int, "text": str}, columns, part_rows=100)
    assert table.to_arrow().to_pydict() == columns
    assert [row["text"] for row in table.take([499, 3]).select("text")] == ["499", "3"]
    fsspec.filesystem("memory").rm("/reading-tests", recursive=True)


def test_many_threads(table: Table) -> None:
    """One handle serves many threads at once."""
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda n: table[n].index == n, range(0, ROWS, 5))) == {True}
        assert list(pool.map(lambda n: len(list(table.shard(n, 8))), range(8))) == [125] * 8


def test_a_reader_that_stops_early(table: Table) -> None:
    """Leaving a scan in the middle leaves nothing behind that would hang or raise."""
    for _ in range(5):
        stream = table.rows()
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert len(ids(table)) == ROWS


def flipped(path: str, at: int) -> None:
    data = bytearray(Path(path).read_bytes())
    data[at] ^= 1
    Path(path).unlink()
    Path(path).write_bytes(data)


def test_damaged_footer(tmp_path: Path) -> None:
    """A footer that is not the one in the manifest is refused before it is parsed, by its digest or by the sum of a file that is
    read whole. [READ-1]"""
    rows = {"id": list(range(50)), "text": ["x" * 50] * 50, "other": ["x" * 50] * 50}
    table = store_table(tmp_path, {"id": int, "text": str, "other": str}, rows)
    flipped(table.files()[0], -60)
    with pytest.raises(CorruptError, match="XXH3"):
        table.to_arrow()
    with pytest.raises(CorruptError, match="sha256"):
        table.select("id").to_arrow()


def test_damaged_page(tmp_path: Path) -> None:
    """A flipped bit in a page is found by its checksum. [READ-2]"""
    table = store_table(
        tmp_path, {"id": int, "text": str}, {"id": list(range(50)), "text": ["x" * n for n in range(50)]}
    )
    flipped(table.files()[0], 120)
    with pytest.raises(CorruptError):
        table.to_arrow()


def test_file_of_another_table(tmp_path: Path) -> None:
    """A part with other columns than the entry's is refused, and both are named. [READ-3]"""
    one = store_table(tmp_path, {"id": int}, {"id": [1, 2]})
    other = store_table(tmp_path, {"name": str}, {"name": ["a", "b"]})
    mixed = Table(TableSource(one.source.backend, one.source.entry, other.source.load_parts, one.source.blobs, "mixed"))
    with pytest.raises(CorruptError, match=r"id: int64.*name: string"):
        mixed.to_arrow()


def test_limit_on_row_groups(tmp_path: Path) -> None:
    """A row group that asks for more than the limit is refused, by its footer or, under a dictionary, while it is decoded. [READ-8]"""
    table = store_table(
        tmp_path, {"id": int}, {"id": list(range(1000))}, part_rows=1000, limits=Limits(row_group_bytes=4000)
    )
    with pytest.raises(LimitError, match="row_group_bytes"):
        table.to_arrow()
    text = store_table(
        tmp_path, {"t": str}, {"t": ["x" * 10_000] * 1000}, part_rows=1000, limits=Limits(row_group_bytes=1 << 20)
    )
    with pytest.raises(LimitError, match="row_group_bytes"):
        text.to_arrow()
    enough = store_table(
        tmp_path, {"t": str}, {"t": ["x" * 100] * 1000}, part_rows=1000, limits=Limits(row_group_bytes=1 << 20)
    )
    assert enough.to_arrow().num_rows == 1000


def test_bare_files(tmp_path: Path) -> None:
    """A Parquet file, or a folder of them in the order of their names, is a table, whatever Arrow types it was written from."""
    rows = pa.table({"id": [1, 2], "label": pa.array(["a", "b"]).dictionary_encode(), "big": pa.array(["x", None], pa.large_string()), "d": pa.array([1, 2], pa.duration("ms")), "t": pa.array([1, 2], pa.timestamp("s"))})  # fmt: skip
    (tmp_path / "sub").mkdir()
    pq.write_table(rows, tmp_path / "sub" / "b.parquet")
    pq.write_table(rows, tmp_path / "a.parquet")
    (tmp_path / "_hidden.parquet").write_bytes(b"no")
    table = read_bare(str(tmp_path))
    assert len(table) == 4
    assert table.where(label="b").get_column("id") == [2, 2]
    assert table.get_column("d")[0].total_seconds() == 0.001
    assert table.to_arrow().schema.field("label").type == pa.string()
    assert ids(pickle.loads(pickle.dumps(read_bare(str(tmp_path / "a.parquet"))[1:]))) == [1]
    with pytest.raises(UsageError, match="bare"):
        _ = table.content_digest
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "c.parquet")
    with pytest.raises(SchemaError, match=r"a\.parquet and c\.parquet"):
        read_bare(str(tmp_path))
    with pytest.raises(NotFoundError):
        read_bare(str(tmp_path / "none"))


def test_truncated_part(tmp_path: Path) -> None:
    """A part that ends sooner than the manifest says is refused, and gives no rows. [READ-4]"""
    table = store_table(tmp_path, {"id": int}, {"id": list(range(50))})
    path = Path(table.files()[0])
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1])
    with pytest.raises(CorruptError):
        table.to_arrow()


def test_bare_files_of_other_names_are_told(tmp_path: Path) -> None:
    """A Parquet file whose name cannot be addressed is named in an error, not left out of the table."""
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [2]}), tmp_path / "donn\u00e9es.parquet")
    with pytest.raises(IllegalNameError, match="rename the file"):
        read_bare(str(tmp_path))


def test_filters_that_keep_rows_of_some_row_groups(tmp_path: Path) -> None:
    """Of several row groups that are read together, the rows of those in which a filter keeps some come out, and no others."""
    count = 300_000
    values = np.random.default_rng(2).permutation(count)
    table = store_table(
        tmp_path, {"k": pa.int32(), "v": pa.int32()}, {"k": values, "v": np.arange(count)}, part_rows=count
    )
    for wanted in ([5], [0, 150_000, 299_999], [1, 2, 70_000, 70_001, 200_000], list(range(0, count, 50_000))):
        kept = table.where(col("k").is_in(values[wanted].tolist()))
        assert kept.to_arrow().column("v").to_pylist() == wanted
        assert kept.select("v").to_arrow().column("v").to_pylist() == wanted
        assert [row.index for row in kept] == wanted
        within = table[100_000:].where(col("k").is_in(values[wanted].tolist()))
        assert within.to_arrow().column("v").to_pylist() == [row for row in wanted if row >= 100_000]

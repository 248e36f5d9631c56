"""Columns added from data or by a function: one small file beside each part, and nothing that is there is touched."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import tableformat
from tableformat import Classes, ClassType, Image, ImageType, col
from tableformat.errors import ExistsError, InvalidInputError, KeyValueError, NotFoundError, SchemaError
from tableformat.table.edit.columns import add_columns
from tests.table.edit.tables import entry_of, files_of, fresh_digest, parts_of, rows_of, sample, write
from tests.table.inline_placer import TINY_PNG


@pytest.fixture
def store(tmp_path: Any) -> tableformat.Store:
    return tableformat.open_store(tmp_path / "store")


def column(table: tableformat.Table, name: str = "p") -> list[Any]:
    return table.to_arrow().column(name).to_pylist()


def test_a_file_stands_beside_each_part(store: tableformat.Store) -> None:
    """Each part gets one file with the new column alone; the files that were there are the same. [EDIT-12]"""
    write(store)
    before = files_of(store)
    with store.draft("a", base="latest") as draft:
        done = draft.add_columns("t", {"p": np.arange(20) * 0.1})
    assert done.columns == ("p",)
    table = store["a"]["t"]
    assert before <= files_of(store)
    new = files_of(store) - before
    assert len(new) == len(parts_of(table)) == 3
    assert all(pq.read_schema(f"{store.root}/data/{name}").names == ["p"] for name in new)
    assert [len(part.files) for part in parts_of(table)] == [2, 2, 2]
    assert column(table) == (np.arange(20) * 0.1).tolist()
    assert table.content_digest == fresh_digest(store, table)
    assert entry_of(table).requires.read == ("column-files",)
    assert store.verify("a").problem_count == 0


NUMBERS = list(range(20))
FORMS: dict[str, Any] = {
    "numpy": lambda: {"p": np.arange(20)},
    "lists": lambda: {"p": NUMBERS},
    "arrow": lambda: pa.table({"p": NUMBERS}),
    "polars": lambda: polars.DataFrame({"p": NUMBERS}),
    "batches": lambda: (pa.record_batch({"p": [number]}) for number in NUMBERS),
    "rows": lambda: ({"p": number} for number in NUMBERS),
    "reader": lambda: pa.table({"p": NUMBERS}).to_reader(3),
    "keys": lambda: pa.table({"p": NUMBERS[::-1], "id": NUMBERS[::-1]}),
    "function": lambda: lambda batch: {"p": batch.column("id")},
    "function of rows": lambda: lambda batch: {"p": batch.column("id").to_pylist()},
    "function of batches": lambda: lambda batch: pa.record_batch({"p": batch.column("id")}),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_in_any_form(store: tableformat.Store, form: str) -> None:
    """Arrays, frames, streams, rows in the order of the table, rows by key in any order, and functions do the same. [EDIT-13]"""
    write(store, key="id")
    with store.draft("a", base="latest") as draft:
        draft.delete("t", col("id") == -1)
        draft.add_columns("t", FORMS[form]())
        assert column(draft["t"]) == NUMBERS


def test_a_table_as_data(store: tableformat.Store) -> None:
    """Predictions that stand in another artifact become columns; the version says what it was made from."""
    write(store, key="id")
    with store.draft("run") as draft, draft.table("out", key="id") as table:
        table.extend({"id": number, "p": number % 3, "note": "x"} for number in reversed(range(20)))
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", store["run"]["out"], columns=["p"])
    assert column(store["a"]["t"]) == [number % 3 for number in range(20)]
    assert "note" not in store["a"]["t"].columns


def test_rows_without_a_key_get_null_and_are_counted(store: tableformat.Store) -> None:
    """Joined by key, rows for which nothing was given get null; `on` may name any column, and then rows share a value. [EDIT-14]"""
    write(store, pa.table({"id": range(6), "kind": ["a", "b", "c", "a", "b", "c"]}), key="id")
    with store.draft("a", base="latest") as draft:
        assert draft.add_columns("t", {"id": [5, 0], "p": ["five", "zero"]}).missing == 4
        done = draft.add_columns("t", pa.table({"kind": ["b", "a"], "weight": [2.0, 1.0]}), on="kind")
        assert done.missing == 2
        assert column(draft["t"], "p") == ["zero", None, None, None, None, "five"]
        assert column(draft["t"], "weight") == [1.0, 2.0, None, 1.0, 2.0, None]
    assert store.verify("a").problem_count == 0


def test_parts_with_deletions(store: tableformat.Store) -> None:
    """Rows are those that are visible; what stands in a file in place of deleted ones is nothing that shows."""
    write(store)
    schema = {"p": pa.field("p", pa.int64(), False), "q": pa.string()}
    with store.draft("a", base="latest") as draft:
        draft.delete("t", col("id").is_in([0, 3, 9, 10, 19]))
        left = [row["id"] for row in rows_of(draft["t"])]
        draft.add_columns("t", {"p": left, "q": [str(number) for number in left]}, schema=schema)
        assert column(draft["t"]) == left
        assert column(draft["t"], "q") == [str(number) for number in left]
        draft.delete("t", col("p") == 5)
    table = store["a"]["t"]
    assert len(table) == 14
    assert table.content_digest == fresh_digest(store, table)
    assert store.verify("a").problem_count == 0


def test_values_are_replaced(store: tableformat.Store) -> None:
    """New values of a column take its place and its id; an earlier file of which nothing is read any more is left out. [EDIT-15]"""
    write(store)
    with store.draft("a", base="latest") as draft:
        old = draft["t"].schema["score"].id
        draft.add_columns("t", {"score": [1.5] * 20}, replace=True)
        assert draft["t"].schema["score"].id == old
        draft.add_columns("t", {"score": [f"{i}" for i in range(20)]}, replace=True)
        assert draft["t"].schema["score"].id != old
        assert old in draft["t"].schema.retired
        assert draft["t"].columns == ["id", "name", "score"]
        assert [len(part.files) for part in parts_of(draft["t"])] == [2, 2, 2]
        draft.add_columns("t", {name: [1] * 20 for name in ("id", "name", "score")}, replace=True)
        assert [len(part.files) for part in parts_of(draft["t"])] == [1, 1, 1]
        assert entry_of(draft["t"]).requires.read == ()
    table = store["a"]["t"]
    assert rows_of(table) == [{"id": 1, "name": 1, "score": 1}] * 20
    assert store.verify("a").problem_count == 0


def test_embeddings_keep_their_shape(store: tableformat.Store) -> None:
    """An array of two dimensions is a column of tensors, stored without a Python object for each."""
    write(store)
    vectors = np.arange(80, dtype=np.float32).reshape(20, 4)
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", {"v": vectors})
        draft.add_columns("t", lambda batch: {"w": np.ones((len(batch), 2, 2), np.float32)}, columns=["id"])
    table = store["a"]["t"]
    assert (np.stack([row["v"] for row in table]) == vectors).all()
    assert table[3]["w"].shape == (2, 2)


def test_media_and_classes(store: tableformat.Store) -> None:
    """Columns of images go to packs, columns of classes bring their class set."""
    write(store)
    images = np.random.default_rng(1).integers(0, 255, (20, 24, 24, 3), np.uint8)
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", ({"image": Image(pixels)} for pixels in images), schema={"image": ImageType()})
        draft.add_columns("t", {"label": [0, 1] * 10}, schema={"label": ClassType(Classes({0: "cat", 1: "dog"}))})
        draft.add_columns("t", ({"thumb": TINY_PNG} for _ in range(20)), schema={"thumb": ImageType()})
    table = store["a"]["t"]
    assert all((np.asarray(row["image"].to_pil()) == pixels).all() for row, pixels in zip(table, images, strict=True))
    assert entry_of(table).objects.count == 1
    assert len(table.where(label="dog")) == 10
    assert store.verify("a").problem_count == 0


BAD: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "too few": ({"p": [1]}, {}, SchemaError, "expected 20 rows, one for each row of the table, got 1"),
    "too many": (({"p": number} for number in itertools.count()), {}, SchemaError, "got 21 or more"),
    "too many batches": (pa.table({"p": range(30)}), {}, SchemaError, "got 30 or more"),
    "unequal": ({"p": np.arange(20), "q": np.arange(19)}, {}, SchemaError, "one length"),
    "taken": ({"name": ["x"] * 20}, {}, ExistsError, "replace=True"),
    "the key": ({"id": [1] * 20}, {"replace": True, "on": "name"}, SchemaError, "not of the key"),
    "key twice": ({"id": [1, 1], "p": [1, 2]}, {}, KeyValueError, "id=1 stands in row 0"),
    "key null": ({"id": [1, None], "p": [1, 2]}, {}, KeyValueError, "null"),
    "keys unknown": (
        {"id": [1, 77, 78], "p": [1, 2, 3]},
        {},
        KeyValueError,
        "(?s)2 that it does not have.*id=77.*id=78",
    ),
    "keys of another type": ({"id": ["1"], "p": [1]}, {}, SchemaError, "id"),
    "only the key": ({"id": [1]}, {}, SchemaError, "at least one column"),
    "join column unknown": ({"idd": [1], "p": [1]}, {"on": "idd"}, NotFoundError, "id"),
    "function too short": (lambda batch: {"p": [1]}, {}, SchemaError, "rows from the function"),
    "function of nothing": (lambda batch: 3, {}, SchemaError, "a mapping of new column"),
    "function with on": (lambda batch: {}, {"on": "id"}, InvalidInputError, "on="),
    "function of no column": (lambda batch: {"p": batch["id"]}, {"columns": ["idd"]}, SchemaError, "id"),
    "what is no data": (3, {}, InvalidInputError, "int"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_change_nothing(store: tableformat.Store, case: str) -> None:
    """Data of another length, with other keys, or under names that are taken raise, and nothing has changed."""
    write(store, key="id")
    data, options, kind, text = BAD[case]
    with store.draft("a", base="latest") as draft:
        with pytest.raises(kind, match=text):
            draft.add_columns("t", data, **options)
        assert rows_of(draft["t"]) == sample().to_pylist()
    assert draft.created is False


def test_functions_see_what_they_ask_for(store: tableformat.Store) -> None:
    """A function gets Arrow batches of the columns that it names, or of all, in row order."""
    write(store)
    seen: list[Any] = []

    def double(batch: pa.RecordBatch) -> dict[str, Any]:
        seen.append((batch.schema.names, batch.num_rows))
        return {"p": pc.multiply(batch["score"], 2)}

    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", double, columns=["score"])
        draft.add_columns("t", lambda batch: {"q": pa.array([",".join(batch.schema.names)] * len(batch))})
    assert {tuple(names) for names, _ in seen} == {("score",)}
    assert sum(rows for _, rows in seen) == 20
    assert set(column(store["a"]["t"], "q")) == {"id,name,score,p"}


def test_row_groups_end_together(store: tableformat.Store) -> None:
    """Row groups of a column file end where those of the part end, and sooner where the column is fat."""
    rows = 70_000
    write(store, pa.table({"id": np.arange(rows)}), part_rows=None)
    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", {"p": np.arange(rows)})
        draft.add_columns("t", {"v": np.ones((rows, 64), np.float32)})
    [part] = parts_of(store["a"]["t"])

    def ends(number: int) -> list[int]:
        file = pq.ParquetFile(f"{store.root}/{part.files[number].path}").metadata
        return list(itertools.accumulate(file.row_group(i).num_rows for i in range(file.num_row_groups)))

    assert ends(0) == ends(1) == [65_536, rows]
    assert set(ends(0)) < set(ends(2))


def test_a_stream_is_read_once_and_in_pieces(store: tableformat.Store) -> None:
    """A stream is taken batch by batch, never asked for again."""
    write(store)
    asked: list[int] = []

    def stream() -> Iterator[pa.RecordBatch]:
        for number in range(4):
            asked.append(number)
            yield pa.record_batch({"p": range(number * 5, number * 5 + 5)})

    with store.draft("a", base="latest") as draft:
        draft.add_columns("t", stream())
    assert asked == [0, 1, 2, 3]
    assert column(store["a"]["t"]) == NUMBERS
    assert add_columns.__doc__ is not None

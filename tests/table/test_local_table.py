"""Tables that are filled by hand: `Table(columns=…, data=…, dataframe=…)`."""

import gc
import os
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tableformat import Image, Table, open_store
from tableformat.errors import InvalidInputError, NotFoundError, SchemaError
from tableformat.table.local_table import LocalTable


def picture(value):
    return Image(np.full((24, 24, 3), value, np.uint8))


def test_rows_come_back_in_order():
    """Rows that were added one by one are read as of any other table."""
    table = Table(columns=["id", "image", "label"])
    for number in range(5):
        table.add_data(number, picture(number), f"class {number}")
    assert (len(table), isinstance(table, LocalTable), table.columns) == (5, True, ["id", "image", "label"])
    assert table.get_column("label") == [f"class {number}" for number in range(5)]
    assert [index for index, _ in table.iterrows()] == [0, 1, 2, 3, 4]
    assert [row["image"].to_numpy()[0, 0, 0] for row in table] == [0, 1, 2, 3, 4]
    assert [row["id"] for row in table.where(label="class 3")] == [3]


def test_columns_may_be_given_without_a_name():
    """The old way of writing it works: a tuple of names, and nothing else."""
    table = Table(("image", "label"))
    table.add_data(picture(1), "cat")
    assert table[0]["label"] == "cat"


@pytest.mark.parametrize(
    "data",
    [[[1, "a"], [2, "b"]], [{"x": 1, "y": "a"}, {"y": "b", "x": 2}], iter([(1, "a"), (2, "b")])],
    ids=["lists", "mappings", "iterator"],
)
def test_data_are_rows(data):
    """`data` is rows as sequences or as mappings."""
    assert [dict(row) for row in Table(columns=["x", "y"], data=data)] == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]


def test_arrays_are_rows():
    """A NumPy array of two dimensions is rows; without names the columns are numbered."""
    assert [tuple(row.values()) for row in Table(data=np.arange(6).reshape(3, 2))] == [(0, 1), (2, 3), (4, 5)]
    assert Table(data=[[1, 2]]).columns == ["0", "1"]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_frames_are_tables(make):
    """A data frame of pandas or polars gives its columns and rows."""
    table = Table(dataframe=make({"x": [1, 2], "y": ["a", None]}))
    assert [dict(row) for row in table] == [{"x": 1, "y": "a"}, {"x": 2, "y": None}]
    table.add_data(3, "c")
    assert len(table) == 3


def test_rows_may_be_added_after_reading():
    """Reading does not end the adding."""
    table = Table(columns=["x"])
    table.add_data(1)
    assert table[0]["x"] == 1
    table.add_row(2.5)
    assert [row["x"] for row in table] == [1.0, 2.5]


def test_a_column_is_added_to_the_rows():
    """A new column stands behind the others, a value for each row."""
    table = Table(columns=["x"], data=[[1], [2]])
    table.add_column("y", ["a", "b"])
    table.add_data(3, "c")
    assert [tuple(row.values()) for row in table] == [(1, "a"), (2, "b"), (3, "c")]


def test_a_column_may_be_the_first():
    """A table without rows takes its rows from its first column."""
    table = Table()
    table.add_column("x", [1, 2, 3])
    assert table.get_column("x") == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda table: table.add_data(1), "2 values"),
        (lambda table: table.add_data("text", "b"), "int64"),
        (lambda table: table.add_column("x", [1, 2]), "new name"),
        (lambda table: table.add_column("z", [1]), "one for each row"),
    ],
    ids=["too few", "type", "column twice", "column too short"],
)
def test_what_does_not_fit_is_refused(wrong, message):
    """Rows and columns that do not fit raise, and change nothing."""
    table = Table(columns=["x", "y"], data=[[1, "a"], [2, "b"]])
    with pytest.raises(SchemaError, match=message):
        wrong(table)
    assert [tuple(row.values()) for row in table] == [(1, "a"), (2, "b")]


def test_names_and_sources_are_checked():
    """A text is no list of names, data and dataframe exclude each other, and unknown columns are told with the nearest."""
    with pytest.raises(InvalidInputError, match="list of column names"):
        Table("image")
    with pytest.raises(InvalidInputError, match="data or dataframe"):
        Table(data=[[1]], dataframe=pd.DataFrame({"x": [1]}))
    with pytest.raises(NotFoundError, match="label"):
        Table(columns=["label"], data=[["a"]]).get_column("lable")


@pytest.mark.parametrize("rows", [0, 3])
def test_a_draft_stores_it(tmp_path, rows):
    """Added to a draft it is a table of the version, images and all, or one without rows."""
    table = Table(columns=["id", "image"], data=[[number, picture(number)] for number in range(rows)])
    with open_store(tmp_path / "store").draft("a") as draft:
        draft.add(table, "dataset")
    stored = draft.committed.get("dataset.table.json")
    assert (stored.columns, len(stored)) == (["id", "image"], rows)
    assert [row["image"].to_numpy()[0, 0, 0] for row in stored] == list(range(rows))


def test_its_folder_goes_away_with_it():
    """What it wrote lies in a temporary folder, which is removed with the last object that reads from it."""
    table = Table(columns=["x"], data=[[1]])
    assert len(table.to_arrow()) == 1
    folder = table.source.backend.root
    assert os.path.isdir(folder)
    part = table.select("x")
    del table
    gc.collect()
    assert [row["x"] for row in part] == [1]
    del part
    gc.collect()
    assert not os.path.exists(folder)


def test_it_does_not_pickle():
    """Its bytes are on this machine only until it goes: pickling says to store it first."""
    with pytest.raises(InvalidInputError, match="add it to a draft"):
        pickle.dumps(Table(columns=["x"], data=[[1]]))

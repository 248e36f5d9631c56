"""Rows in, a table out: every form that rows come in, what does not fit, and how a writer ends."""

import datetime
import multiprocessing
import threading
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tableformat import File, Image, ImageType, JsonType, open_store
from tableformat.errors import (
    InvalidInputError,
    KeyValueError,
    MediaError,
    SchemaError,
    StoreFullError,
    TableformatError,
    UsageError,
)
from tableformat.storage.backend import open_backend
from tableformat.table import evolving_stream
from tableformat.table.media_placer import MediaPlacer
from tableformat.table.writer import TableOptions, TableWriter
from tableformat.testing.faults import FaultBackend
from tests.table.inline_placer import TINY_PNG
from tests.threads import no_thread_stays

ROWS = [{"id": 1, "name": "a", "score": 0.5}, {"id": 2, "name": None, "score": 1.5}]
BROKEN_PNG = TINY_PNG[:-6]


@pytest.fixture
def draft(tmp_path):
    draft = open_store(tmp_path / "store").draft("set")
    yield draft
    draft.discard()


def rows_of(draft, name="t"):
    """The rows of a closed table, as dicts."""
    return [row.to_dict() for row in draft[name]]


def written(draft, data, *, schema=None, **options):
    """The rows after `extend(data)`."""
    extend = {"index": options.pop("index")} if "index" in options else {}
    with draft.table("t", schema, **options) as writer:
        writer.extend(data, **extend)
    return rows_of(draft)


ARROW = pa.table({"id": [1, 2], "name": ["a", None], "score": [0.5, 1.5]})
SOURCES = {
    "arrow table": lambda: ARROW,
    "chunked table": lambda: pa.concat_tables([ARROW.slice(0, 1), ARROW.slice(1)]),
    "record batch": lambda: ARROW.to_batches()[0],
    "reader": lambda: ARROW.to_reader(max_chunksize=1),
    "polars": lambda: pl.from_arrow(ARROW),
    "pandas": lambda: pd.DataFrame({"id": [1, 2], "name": ["a", None], "score": [0.5, 1.5]}),
    "duckdb": lambda: duckdb.connect().sql("select * from (values (1::bigint, 'a', 0.5::double), (2, null, 1.5)) t(id, name, score)"),
    "mapping of columns": lambda: {"id": [1, 2], "name": ["a", None], "score": np.array([0.5, 1.5])},
    "list of dicts": lambda: ROWS,
    "generator of dicts": lambda: (dict(row) for row in ROWS),
    "list of batches": lambda: [ARROW.slice(0, 1).to_batches()[0], ARROW.slice(1)],
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_extend_takes_every_form_of_rows(draft, source):
    """The same rows come out whatever held them."""
    assert written(draft, SOURCES[source]()) == ROWS


@pytest.mark.parametrize("form", ["keywords", "mapping", "both"])
def test_append_takes_names_and_values(draft, form):
    """A row is given as keywords, as a mapping, or as a mapping with more beside it."""
    with draft.table("t") as writer:
        for row in ROWS:
            if form == "keywords":
                writer.append(**row)
            elif form == "mapping":
                writer.append(row)
            else:
                writer.append({"id": row["id"], "score": None}, name=row["name"], score=row["score"])
    assert rows_of(draft) == ROWS


def test_extend_takes_a_table_of_a_store(draft):
    """Rows of another table go in as they are, selections too."""
    written(draft, ROWS)
    with draft.table("copy") as writer:
        writer.extend(draft["t"].where(id=2))
    assert rows_of(draft, "copy") == ROWS[1:]


@pytest.mark.parametrize("source", ["sliced", "empty", "reader", "polars"])
def test_no_rows_still_give_columns(draft, source):
    """Arrow data without rows leave their schema behind, with the types that they say."""
    empty = {
        "sliced": ARROW.slice(0, 0),
        "empty": ARROW.schema.empty_table(),
        "reader": pa.RecordBatchReader.from_batches(ARROW.schema, []),
        "polars": pl.from_arrow(ARROW).clear(),
    }
    with draft.table("t") as writer:
        writer.extend(empty[source])
    assert draft["t"].arrow_schema.types == ARROW.schema.types
    assert len(draft["t"]) == 0


def test_pandas_nan_is_null_in_objects_and_nan_in_floats(draft):
    """NaN stands for nothing in a column of objects, and for itself in one of floats; the index is dropped."""
    frame = pd.DataFrame(
        {"f": [1.0, np.nan], "o": pd.Series(["a", np.nan], dtype=object), "n": pd.array([1, None], dtype="Int64")},
        index=[7, 8],
    )
    rows = written(draft, frame)
    assert list(rows[0]) == ["f", "o", "n"]
    assert np.isnan(rows[1]["f"])
    assert (rows[1]["o"], rows[1]["n"]) == (None, None)


def test_pandas_index_is_kept_when_asked_for(draft):
    """With `index=True` the index is a column under its name."""
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="who"))
    assert written(draft, frame, index=True) == [{"who": "a", "x": 1}, {"who": "b", "x": 2}]


def test_mixed_pandas_objects_are_refused_by_column(draft):
    """A column of objects that share no type is an error that names it."""
    with draft.table("t") as writer, pytest.raises(SchemaError, match="'mixed'"):
        writer.extend(pd.DataFrame({"mixed": pd.Series([1, "a"], dtype=object)}))


@pytest.mark.parametrize("data", [3, "text", b"bytes", [1, 2], [["a"]], object()])
def test_what_holds_no_rows_is_refused(draft, data):
    """Anything that is neither a table nor rows is an error that names its type; nothing is taken."""
    with draft.table("t") as writer:
        with pytest.raises(InvalidInputError, match="extending table 't'"):
            writer.extend(data)
        assert writer.rows_written == 0


def test_columns_of_different_lengths_are_refused(draft):
    """A mapping of columns needs one length; the error tells each."""
    with draft.table("t") as writer, pytest.raises(SchemaError, match=r"'a': 2, 'b': 1"):
        writer.extend({"a": [1, 2], "b": [1]})


# What does not fit


@pytest.mark.parametrize("how", ["append", "extend rows", "extend arrow"])
def test_an_unknown_column_names_the_nearest(draft, how):
    """A column that was not there at first is refused with the one that was probably meant, and the writer goes on."""
    with draft.table("t") as writer:
        writer.append(label=1)
        with pytest.raises(SchemaError, match=r"lable.*label"):
            if how == "append":
                writer.append(lable=2)
            else:
                writer.extend([{"lable": 2}] if how == "extend rows" else pa.table({"lable": [2]}))
        writer.append(label=3)
    assert rows_of(draft) == [{"label": 1}, {"label": 3}]


@pytest.mark.parametrize("arrow", [False, True])
def test_new_columns_when_asked_for(draft, arrow):
    """With `new_columns=True` a column may come late, and is null before."""
    with draft.table("t", new_columns=True) as writer:
        writer.append(a=1)
        writer.extend(pa.table({"b": ["x"]}) if arrow else [{"b": "x"}])
    assert rows_of(draft) == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


@pytest.mark.parametrize("arrow", [False, True])
def test_missing_values_are_null_where_they_may_be(draft, arrow):
    """What a row does not give is null, or an error that names row and column where null is not allowed."""
    schema = pa.schema([pa.field("must", pa.int64(), nullable=False), pa.field("may", pa.string())])
    with draft.table("t", schema) as writer:
        writer.append(must=1)
        with pytest.raises(SchemaError, match=r"'must', row 1 .*never null"):
            writer.extend(pa.table({"may": ["x"]}) if arrow else [{"may": "x"}])
        writer.append(must=2, may="y")
    assert rows_of(draft) == [{"must": 1, "may": None}, {"must": 2, "may": "y"}]


@pytest.mark.parametrize(
    ("first", "then", "types"),
    [
        (1, "a", ("int64", "string")), (True, 1, ("bool", "int64")), ("a", b"a", ("string", "binary")), ([1], ["a"], ("int64", "string")),
        ({"x": 1}, {"x": "a"}, ("int64", "string")), (datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), ("date", "timestamp")),  # noqa: DTZ001
        (Decimal("1.5"), 1.5, ("decimal", "float64")), (1, [1], ("int64", "list")),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_that_fits_nothing_names_row_column_and_types(draft, first, then, types):
    """The error tells the column, the row of the table, the type there and the type given; that row alone is not taken."""
    with draft.table("t") as writer:
        for _ in range(3):
            writer.append(ok=0, value=first)
        with pytest.raises(SchemaError) as caught:
            writer.append(ok=1, value=then)
            writer.append(ok=2, value=first)
            writer.close()
        writer.append(ok=3, value=first)
    said = str(caught.value)
    assert "value" in said
    assert "row 3" in said
    assert types[0] in said
    assert types[1] in said
    assert [row["ok"] for row in rows_of(draft)] in ([0, 0, 0, 3], [0, 0, 0, 2, 3])


def test_a_fault_inside_a_nested_value_loses_no_other_row(draft):
    """What is found only when a batch is settled raises for that row; the rows before and behind it are kept."""
    with draft.table("t") as writer:
        for number in range(100):
            writer.append(n=number, tags=["a"] if number != 40 else ["a", 1])
        with pytest.raises(SchemaError, match="row 40"):
            writer.close()
        writer.append(n=100, tags=None)
    assert [row["n"] for row in rows_of(draft)] == [n for n in range(101) if n != 40]


@pytest.mark.parametrize("stored", [1, 5000])
@pytest.mark.parametrize("large", [2**53 + 1, -(2**53) - 1])
def test_a_float_after_an_integer_that_none_holds_is_the_fault_of_its_row(draft, stored, large):
    """Widening is refused where it would change an earlier value; the row that asks for it is not taken, the rest is."""
    with draft.table("t") as writer:
        for _ in range(stored):
            writer.append(x=large)
        with pytest.raises(SchemaError, match=rf"'x', row 0 .*float64.*int64.*row {stored} "):
            writer.append(x=0.5)
        writer.append(x=3)
    assert [row["x"] for row in rows_of(draft)] == [large] * stored + [3]


def test_a_nested_widening_that_fails_loses_no_other_row(draft):
    """The same inside lists, where it is found when the batch is settled."""
    with draft.table("t") as writer:
        for number in range(3000):
            writer.append(n=number, x=[2**53 + 1])
        with pytest.raises(SchemaError, match="float64"):
            for number in range(3000, 3010):
                writer.append(n=number, x=[0.5] if number == 3004 else [1])
            writer.close()
    assert [row["n"] for row in rows_of(draft)] == [n for n in range(3010) if n != 3004]


def test_integers_become_floats_in_all_rows(draft):
    """Where every integer is exact, a late float makes the column one of floats, stored parts too."""
    with draft.table("t", part_rows=500) as writer:
        writer.extend(pa.table({"x": range(3000)}))
        writer.append(x=0.5)
    table = draft["t"].to_arrow()
    assert table.schema.field("x").type == pa.float64()
    assert table["x"].to_pylist() == [*map(float, range(3000)), 0.5]


@pytest.mark.parametrize("arrow", [False, True])
@pytest.mark.parametrize("mode", ["null", "skip", "collect"])
def test_rows_that_do_not_fit_are_told(draft, mode, arrow):
    """With `null` the value is stored as null, else the row is left out; `rejected` says row, column and reason."""
    schema = {"n": pa.int64(), "img": ImageType()}
    images = [TINY_PNG, BROKEN_PNG, TINY_PNG, b"no image", TINY_PNG]
    with draft.table("t", schema, on_error=mode) as writer:
        if arrow:
            writer.extend(pa.table({"n": range(5), "img": images}))
        else:
            writer.extend([{"n": n, "img": Image(data)} for n, data in enumerate(images)])
        rejected = writer.rejected
    assert [(row, column) for row, column, _ in rejected] == [(1, "img"), (3, "img")]
    assert "trunc" in rejected[0][2] or "end" in rejected[0][2]
    rows = rows_of(draft)
    assert [row["n"] for row in rows] == ([0, 1, 2, 3, 4] if mode == "null" else [0, 2, 4])
    assert [row["img"] is None for row in rows] == (
        [False, True, False, True, False] if mode == "null" else [False] * 3
    )
    draft.commit()
    assert draft.report.rejected == {"t": rejected}


def test_rejected_arrow_rows_keep_the_meaning_of_texts(draft, tmp_path):
    """With `uris="refer"` the rows beside one that does not fit are references still, and nothing is read."""
    urls = ["s3://bucket/a.png", "relative/b.png", "s3://bucket/c.png"]
    with draft.table("t", {"img": ImageType()}, uris="refer", on_error="skip") as writer:
        writer.extend(pa.table({"img": urls}))
    assert [row["img"].reference.uri for row in rows_of(draft)] == ["s3://bucket/a.png", "s3://bucket/c.png"]


def test_too_many_errors_are_an_error(draft):
    """Past `max_errors` the next row that does not fit raises, with the first of them listed."""
    writer = draft.table("t", {"n": pa.int64()}, on_error="skip", max_errors=2)
    writer.append(n="a")
    writer.append(n="b")
    with pytest.raises(InvalidInputError, match="max_errors=2") as caught:
        writer.append(n="c")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "options",
    [{"on_error": "ignore"}, {"uris": "copy"}, {"part_rows": 0}, {"check": "deep"}, {"colour": 1}, {"mode": "upsert"}],
    ids=str,
)
def test_unknown_options_are_refused(draft, options):
    """An option that is none, or has no such value, is an error when the table is opened, and the name stays free."""
    with pytest.raises(InvalidInputError):
        draft.table("t", **options)
    assert "t" not in draft
    assert written(draft, ROWS) == ROWS


# Media


def test_media_errors_belong_to_the_append(draft, tmp_path):
    """A file that is missing or broken fails the call that gave it, and the writer goes on."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(BROKEN_PNG)
    with draft.table("t") as writer:
        for number, source in enumerate([TINY_PNG, tmp_path / "none.png", broken, TINY_PNG]):
            if number in (1, 2):
                with pytest.raises(MediaError, match=r"none\.png" if number == 1 else r"broken\.png"):
                    writer.append(n=number, img=Image(source))
            else:
                writer.append(n=number, img=Image(source))
    assert [row["n"] for row in rows_of(draft)] == [0, 3]


def test_media_of_a_rejected_row_are_never_taken_for_others(draft):
    """Objects of rows that raised are gone: no later object at the same address gets their bytes."""
    from tableformat.format.media.png import encode_png

    pictures = [encode_png(np.full((4, 4), number, np.uint8)) for number in range(200)]
    with draft.table("t") as writer:
        writer.append(n=0, img=Image(pictures[0]), more=[Image(pictures[0])])
        for number in range(1, 200):
            with pytest.raises(SchemaError):
                writer.append(n="no", img=Image(pictures[0]), more=None)
            writer.append(n=number, img=None, more=[Image(pictures[number])])
    found = [row["more"][0].bytes() for row in rows_of(draft)]
    assert found == pictures


def test_one_object_in_many_rows_and_columns(draft, tmp_path):
    """The same media object may stand in several rows and columns; each time its bytes of then are stored."""
    path = tmp_path / "a.bin"
    file = File(path)
    with draft.table("t") as writer:
        for number in range(3):
            path.write_bytes(b"%d" % number)
            writer.append(a=file, b=file)
        path.unlink()
    assert [(row["a"].bytes(), row["b"].bytes()) for row in rows_of(draft)] == [
        (b"0", b"0"),
        (b"1", b"1"),
        (b"2", b"2"),
    ]


# Keys


def test_keys_hold_across_batches(draft):
    """Equal keys are found at the end, with their rows; the table is then no part of the draft."""
    writer = draft.table("t", key="id")
    writer.extend(pa.table({"id": [5, 3, 1]}))
    writer.append(id=3)
    with pytest.raises(KeyValueError) as caught:
        writer.close()
    assert str(caught.value.problems[0]) == "row 3: id=3 stands in row 1 already"
    with pytest.raises(UsageError, match="remove"):
        draft.commit()
    draft.remove("t")
    draft.add(ROWS, "other")
    assert list(draft.commit()) == ["other"]


@pytest.mark.parametrize("how", ["append", "arrow"])
def test_null_keys_are_refused_at_their_row(draft, how):
    """A row without a value in the key is not taken, and says which row and column."""
    with draft.table("t", key=["a", "b"]) as writer:
        writer.append(a=1, b="x")
        with pytest.raises(KeyValueError, match="row 1, column 'b'"):
            if how == "append":
                writer.append(a=1, b=None)
            else:
                writer.extend(pa.table({"a": [2], "b": pa.array([None], pa.string())}))
        writer.append(a=1, b="y")
    assert len(rows_of(draft)) == 2


@pytest.mark.parametrize(
    "value", [1.5, [1], {"a": 1}, np.zeros(2), Image(TINY_PNG)], ids=lambda value: type(value).__name__
)
def test_values_that_cannot_be_keys(draft, value):
    """Floats, nested values and media are no keys; the error says what is."""
    with draft.table("t", key="k") as writer:
        with pytest.raises(InvalidInputError, match="'k'"):
            writer.append(k=value)
        writer.append(k=1)


def test_a_key_column_must_come(draft):
    """A key that names no column is an error at the first row, or at the end where there is none."""
    with pytest.raises(KeyValueError, match="'id'"), draft.table("t", key="id") as writer:
        writer.append(x=1)
    with pytest.raises(KeyValueError, match="'id'"), draft.table("t", key="id", mode="replace"):
        pass


# States


def test_a_closed_writer_takes_no_rows(draft):
    """After `close`, or the end of `with`, every row is refused, of shapes that were seen before too."""
    with draft.table("t") as writer:
        for _ in range(3):
            writer.append(x=1)
    writer.close()
    assert writer.is_closed
    for call in (
        lambda: writer.append(x=1),
        lambda: writer.append(x="a"),
        lambda: writer.extend([{"x": 1}]),
        lambda: writer.extend(pa.table({"x": [1]})),
    ):
        with pytest.raises(UsageError, match="closed"):
            call()
    assert len(draft["t"]) == 3


def test_an_exception_drops_the_table(draft):
    """Leaving `with` by an exception ends the writer; its name can be used again."""
    with pytest.raises(ZeroDivisionError), draft.table("t") as writer:
        writer.append(x=1)
        _ = 1 / 0
    assert writer.has_failed
    with pytest.raises(UsageError, match="failed"):
        writer.append(x=1)
    assert written(draft, ROWS) == ROWS


@pytest.mark.parametrize("operation", ["writer", "sink.write", "sink.commit", "put"])
def test_a_store_that_fails_fails_the_writer_for_good(tmp_path, operation):
    """The error of the store surfaces, every later call is refused, and no thread stays."""
    before = threading.active_count()
    backend = FaultBackend(open_backend(str(tmp_path / "store")))
    backend.fail(operation, 2, times=1000, error=lambda: StoreFullError("no space"))
    from tableformat.storage.blobs import BlobWriter

    blobs = BlobWriter(backend)
    placer = MediaPlacer(lambda: blobs, backend.root)
    writer = TableWriter(backend, "t", placer, options=TableOptions(part_rows=200))
    noise = np.random.default_rng(0)
    if operation != "put":
        with pytest.raises(StoreFullError, match="no space"):
            for number in range(2000):
                writer.append(n=number, file=File(noise.bytes(5000)))
            writer.close()
        for call in (lambda: writer.append(n=1, file=None), writer.close):
            with pytest.raises(TableformatError):
                call()
    writer.abort()
    blobs.abort()
    assert no_thread_stays(before)


def append_in_fork(writer, seen, answers):
    for row in ({"x": 1}, {"y": "new"}) if seen else ({"y": "new"},):
        try:
            writer.append(row)
        except UsageError as error:
            answers.put(str(error))
        else:
            answers.put("taken")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_cannot_write(draft):
    """A writer refuses rows in a child process, of shapes that it knows too, and goes on in its own."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with draft.table("t", new_columns=True) as writer:
        writer.append(x=0)
        writer.append(x=1)
        child = context.Process(target=append_in_fork, args=(writer, True, answers))
        child.start()
        assert all("fork" in answers.get(timeout=30) for _ in range(2))
        child.join(30)
        writer.append(x=2)
    assert [row["x"] for row in rows_of(draft)] == [0, 1, 2]


# Shapes and sizes


def test_thousands_of_shapes(draft):
    """Four thousand rows of four thousand different sets of columns go in, and come out."""
    names = [f"c{i}" for i in range(64)]
    rows = [{names[n % 64]: n, names[n // 64 % 64]: n, "n": n} for n in range(4000)]
    with draft.table("t", {name: pa.int64() for name in [*names, "n"]}) as writer:
        for row in rows:
            writer.append(row)
    assert [{name: value for name, value in row.items() if value is not None} for row in rows_of(draft)] == rows


def test_interleaved_shapes_keep_their_order(draft):
    """Rows of different columns and types that take turns are stored as they came."""
    rows = [[{"a": n, "b": None}, {"b": float(n)}, {"a": n, "b": n, "c": "x"}][n % 3] for n in range(6000)]
    with draft.table("t", new_columns=True) as writer:
        for row in rows:
            writer.append(row)
    expected = [{"a": row.get("a"), "b": row.get("b"), "c": row.get("c")} for row in rows]
    assert rows_of(draft) == expected


def test_a_huge_row_works(draft):
    """A row of more than 64 MiB is stored and read like any other."""
    huge = bytes(65 << 20)
    with draft.table("t") as writer:
        writer.append(n=0, data=b"a")
        writer.append(n=1, data=huge)
        writer.append(n=2, data=b"b")
    assert [len(row["data"]) for row in draft["t"]] == [1, len(huge), 1]
    assert draft["t"][1]["data"] == huge


def test_json_takes_what_is_mixed(draft):
    """A column declared as JSON holds values of any type."""
    values = [1, "a", [1, "b"], {"x": None}, None, True]
    with draft.table("t", {"j": JsonType()}) as writer:
        writer.extend([{"j": value} for value in values])
    assert [row["j"] for row in rows_of(draft)] == values


@pytest.mark.parametrize("replay_rows", [0, 1 << 18])
def test_batching_does_not_matter(tmp_path, monkeypatch, replay_rows):
    """The same rows by `append`, by Arrow in any batches, and widened on the way give the same content and the same parts."""
    monkeypatch.setattr(evolving_stream, "_REPLAY_ROWS", replay_rows)
    store = open_store(tmp_path / "store")
    rows = [
        {"id": n, "x": n if n < 3000 else n + 0.5, "s": None if n % 3 else str(n), "l": [n] * (n % 3)}
        for n in range(5000)
    ]
    table = pa.Table.from_pylist([{**row, "x": float(row["x"])} for row in rows])
    seen = set()
    for way in ("append", "extend", "one by one", "thirds"):
        with store.draft(way.replace(" ", "")) as draft, draft.table("t", part_rows=1000) as writer:
            if way == "append":
                for row in rows:
                    writer.append(row)
            elif way == "extend":
                writer.extend(table)
            elif way == "thirds":
                writer.extend(table.slice(0, 1700))
                writer.extend(rows[1700:3400])
                writer.extend(table.slice(3400))
            else:
                writer.extend(table.to_reader(max_chunksize=17))
        artifact = draft.committed
        seen.add((artifact.content_digest, tuple(artifact["t"].files())))
    assert len(seen) == 1

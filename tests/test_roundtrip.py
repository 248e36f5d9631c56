"""What is written is read back, equal by value and type, however it was written and however it is read."""

import math
import uuid

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat import Audio, Box, File, Html, Image, Schema, col, open_store
from tableformat.format.media.png import encode_png
from tableformat.format.schema import Column
from tableformat.format.types import Field, ListType, MediaType, StructType
from tests.table.type_strategies import SCALARS, TEXT, same, typed_fields

PNGS = [encode_png(np.random.default_rng(n).integers(0, 256, (n, n), np.uint8)) for n in (1, 2, 20, 60)]
FILES = [b"", b"a", b"b" * 1024, b"c" * 1025, bytes(range(256)) * 40]
MEDIA = {
    "image": st.sampled_from(PNGS).map(Image),
    "file": st.sampled_from(FILES).map(File),
    "html": st.sampled_from([b"<p>", b"<p>x</p>" * 900]).map(Html),
    "audio": st.integers(1, 900).map(lambda n: Audio(np.arange(n, dtype=np.int16), 8000)),
}
ANNOTATED = st.builds(
    lambda data, caption, boxes: Image(data, caption=caption, boxes=boxes),
    st.sampled_from(PNGS),
    st.none() | TEXT,
    st.none() | st.just({"truth": [Box(1, xyxy=(0, 0, 1, 1), scores={"s": 0.5})], "guess": []}),
)


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    """A function that gives a fresh place for a store."""
    made = []

    def fresh():
        name = uuid.uuid4().hex
        made.append(name)
        return str(tmp_path / name) if request.param == "local" else f"memory://roundtrip-{name}"

    yield fresh
    memory = fsspec.filesystem("memory")
    for name in made:
        if memory.exists(f"/roundtrip-{name}"):
            memory.rm(f"/roundtrip-{name}", recursive=True)


@st.composite
def media_fields(draw, name):
    kind = draw(st.sampled_from(sorted(MEDIA)))
    values = st.none() | MEDIA[kind]
    type_ = MediaType(kind)
    shape = draw(st.sampled_from(["plain", "list", "struct"]))
    if shape == "list":
        return Field(name, ListType(Field("element", type_))), st.none() | st.lists(values, max_size=3)
    if shape == "struct":
        return Field(name, StructType((Field("m", type_),))), st.none() | st.fixed_dictionaries({"m": values})
    return Field(name, type_), values


@st.composite
def tables(draw, media=True):
    """A schema and up to forty rows of it."""
    fields = [draw(typed_fields(f"c{n}")) for n in range(draw(st.integers(1, 3)))]
    fields += [(Field("nan", SCALARS[10][0]), st.none() | st.sampled_from([math.nan, 1.5, -0.0, math.inf]))]
    if media:
        fields += [draw(media_fields(f"m{n}")) for n in range(draw(st.integers(0, 2)))]
    schema = [Column(field.name, field.type, field.nullable) for field, _ in fields]
    row = st.fixed_dictionaries({"i": st.integers(-5, 5), **{field.name: values for field, values in fields}})
    rows = draw(st.lists(row, max_size=40))
    return Schema((Column("i", SCALARS[3][0]), *schema)), rows


def alike(left, right):
    """Whether a value that was read equals the one that was written; media by their bytes and what is said beside them."""
    if isinstance(left, Image):
        return isinstance(right, Image) and left == right and left.caption == right.caption
    if hasattr(left, "bytes") and hasattr(left, "kind"):
        return type(left) is type(right) and left.bytes() == right.bytes()
    if isinstance(left, list | tuple) and not isinstance(left, pa.MonthDayNano):
        return isinstance(right, list | tuple) and len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(alike(left[key], right[key]) for key in left)
        )
    return same(left, right)


def check_rows(found, rows):
    found = [row.to_dict() for row in found]
    assert len(found) == len(rows)
    for read, written in zip(found, rows, strict=True):
        assert read.keys() == written.keys()
        for name in written:
            assert alike(written[name], read[name]), (name, written[name], read[name])


@given(tables(), st.sampled_from(["append", "extend", "pieces"]), st.sampled_from([None, 7]), st.data())
def test_rows_come_back(root, table, way, part_rows, data):
    """Every type, nested, null and NaN: by `append` or `extend`, in one part or many, after opening the store again."""
    schema, rows = table
    url = root()
    with open_store(url).draft("a") as draft, draft.table("t", schema, part_rows=part_rows) as writer:
        if way == "append":
            for row in rows:
                writer.append(row)
        elif way == "extend":
            writer.extend(rows)
        else:
            cut = data.draw(st.integers(0, len(rows)))
            writer.extend(iter(rows[:cut]))
            writer.extend({name: [row[name] for row in rows[cut:]] for name in schema.names})
    found = open_store(url)["a"]["t"]
    assert [column.without_ids() for column in found.schema.columns] == [
        column.without_ids() for column in schema.columns
    ]
    check_rows(found, rows)
    check_selections(found, rows, data)


def check_selections(table, rows, data):
    """Selections agree with a list of dicts."""
    bound = st.none() | st.integers(-45, 45)
    start, stop, step = data.draw(bound), data.draw(bound), data.draw(st.sampled_from([None, 1, 3, -1, -2]))
    check_rows(table[start:stop:step], rows[start:stop:step])
    picked = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=6)) if rows else []
    check_rows(table.take(picked), [rows[index] for index in picked])
    for index in picked[:2]:
        check_rows([table[index]], [rows[index]])
    number = data.draw(st.integers(-5, 5))
    kept = [row for row in rows if row["i"] > number]
    check_rows(table.where(col("i") > number), kept)
    check_rows(table.where(i=number)[1:], [row for row in rows if row["i"] == number][1:])
    nans = [row for row in rows if row["nan"] is None]
    check_rows(table.where(col("nan").is_null()), nans)
    names = data.draw(st.permutations(list(rows[0]) if rows else ["i"]))[:2]
    check_rows(table.select(*names), [{name: row[name] for name in names} for row in rows])
    shards = [table.shard(part, 3) for part in range(3)]
    assert [row.index for shard in shards for row in shard] == list(range(len(rows)))


@given(tables(media=False), st.integers(1, 40))
def test_arrow_out_and_in_again(root, table, batch_rows):
    """`to_arrow` and `batches` hold the same, and a table made of them has the same content."""
    schema, rows = table
    store = open_store(root())
    with store.draft("a") as draft, draft.table("t", schema) as writer:
        writer.extend(rows)
    found = draft.committed["t"]
    arrow = found.to_arrow()
    arrow.validate(full=True)
    assert arrow.num_rows == len(rows)
    batches = list(found.batches(batch_rows=batch_rows))
    assert all(batch.num_rows == batch_rows for batch in batches[:-1])
    assert str(pa.Table.from_batches(batches, arrow.schema).to_pylist()) == str(arrow.to_pylist())
    with store.draft("b") as draft, draft.table("t", schema) as writer:
        writer.extend(arrow)
    assert draft.committed["t"].content_digest == found.content_digest
    check_rows(draft.committed["t"], rows)


@given(tables(), st.lists(st.integers(0, 40), max_size=4).map(sorted), st.sampled_from([3, 1000]))
def test_content_depends_on_rows_alone(root, table, cuts, part_rows):
    """Equal rows have equal content digests, however they were batched, cut into parts, or tiered into packs; and a draft that
    is equal to its parent makes no version."""
    schema, rows = table
    store = open_store(root())
    with store.draft("a") as draft, draft.table("t", schema) as writer:
        writer.extend(rows)
    first = draft.committed
    with store.draft("a") as draft, draft.table("t", schema, part_rows=part_rows) as writer:
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            writer.extend(rows[start:stop])
    assert (draft.created, draft.committed) == (False, first)
    if rows:
        with store.draft("a") as draft, draft.table("t", schema) as writer:
            writer.extend(rows[1:])
        assert draft.created
        assert draft.committed.content_digest != first.content_digest


@given(st.lists(st.fixed_dictionaries({"n": st.integers(0, 9), "img": st.none() | ANNOTATED}), max_size=12))
def test_annotated_images_come_back(root, rows):
    """Captions and boxes of images stay with them, through columns of their own."""
    store = open_store(root())
    with store.draft("a") as draft, draft.table("t") as writer:
        writer.extend(rows)
    if rows:
        check_rows(store["a"]["t"], rows)
        for row, found in zip(rows, store["a"]["t"], strict=True):
            assert row["img"] is None or (found["img"].boxes or None) == (row["img"].boxes or None)


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=300, unique=True),
    st.lists(st.integers(0, 299), max_size=5).map(sorted),
    st.sampled_from([None, 16]),
)
def test_keyed_tables_come_back(root, keys, cuts, part_rows):
    """A keyed table keeps its order of insertion, its key and its parts, however it was batched."""
    store = open_store(root())
    seen = set()
    for name, ends in (("a", []), ("b", cuts)):
        with store.draft(name) as draft, draft.table("t", key="k", part_rows=part_rows) as writer:
            for start, stop in zip([0, *ends], [*ends, len(keys)], strict=True):
                writer.extend(
                    pa.table(
                        {
                            "k": pa.array(keys[start:stop], pa.int64()),
                            "v": pa.array(map(str, keys[start:stop]), pa.string()),
                        }
                    )
                )
        table = draft.committed["t"]
        assert [row["k"] for row in table] == keys
        assert table.key == ("k",)
        assert table.source.entry.sorted == (keys == sorted(keys))
        seen.add(tuple(table.files()))
    assert len(seen) == 1
    for key in keys[:3]:
        assert [row["v"] for row in store["a"]["t"].where(k=key)] == [str(key)]

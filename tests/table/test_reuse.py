"""Parts of an earlier version are found by the values of their columns, in the types in which they would be written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Deletions, Part, PartFile, TableEntry, needs_of
from tableformat.format.part import Layout
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.storage.backend import open_backend
from tableformat.storage.interface import Backend
from tableformat.table import reuse
from tableformat.table.part_stream import PartStream, StreamResult
from tableformat.table.reuse import Mixing, Reuse, Reused, kept_files, kept_objects

SCHEMA = Schema.from_user(pa.schema({"id": pa.int64(), "text": pa.string(), "score": pa.float64()}))
ID, TEXT, SCORE = (column.id for column in SCHEMA.columns)
ROWS: dict[str, list[Any]] = {
    "id": list(range(600)),
    "text": [f"t{at % 17}" for at in range(600)],
    "score": [at * 0.5 for at in range(600)],
}


@pytest.fixture
def backend(tmp_path: Any) -> Backend:
    return open_backend(str(tmp_path / "store"))


def write(
    backend: Backend, schema: Schema = SCHEMA, before: TableEntry | None = None, **columns: list[Any]
) -> StreamResult:
    stream = PartStream(backend, schema, part_rows=200, before=before)
    given = {**ROWS, **columns}
    stream.write([pa.array(given[field.name], field.type) for field in schema.arrow_schema()])
    return stream.finish()


def entry_of(parts: tuple[Part, ...], schema: Schema = SCHEMA, **fields: Any) -> TableEntry:
    plain, requires = needs_of(schema, parts)
    items = ItemList(len(parts), items=tuple(part.to_json() for part in parts))
    rows = sum(part.visible_rows for part in parts)
    return TableEntry(rows, schema, Layout(256, 200), parts=items, plain=plain, requires=requires, **fields)


def reuse_of(backend: Backend, parts: tuple[Part, ...], schema: Schema = SCHEMA, old: Schema = SCHEMA) -> Reuse:
    return Reuse(backend, entry_of(parts, old), schema)


def test_a_part_is_found_whole(backend: Backend) -> None:
    """The digests of all columns find the part that has them, and it is what would be written."""
    parts = write(backend).parts
    asked = reuse_of(backend, parts)
    for part in parts:
        found = asked.find(part.rows, part.values)
        assert found is not None
        assert (found.part, found.is_whole, found.is_same) == (part, True, True)
    assert asked.find(199, parts[0].values) is None
    assert asked.find(200, dict.fromkeys(parts[0].values, "sha256:" + "0" * 64)) is None


def test_the_part_with_most_equal_columns_is_found(backend: Backend) -> None:
    """Where several parts share columns, the one that shares most is taken."""
    one = write(backend, text=["same"] * 600).parts
    wanted = {**one[2].values, str(SCORE): "sha256:" + "0" * 64}
    found = reuse_of(backend, one).find(200, wanted)
    assert found is not None
    assert (found.part, found.columns, found.is_whole) == (one[2], {ID, TEXT}, False)


def test_equal_digests_of_other_types_are_not_taken(backend: Backend) -> None:
    """An int64 and a timestamp of equal bits have one digest; a file with the one is not used for the other. [PART-40]"""
    times = Schema((SCHEMA.columns[0], SCHEMA.columns[1], Schema.from_user({"score": pa.timestamp("us")}).columns[0]))
    numbers = Schema((*SCHEMA.columns[:2], Schema.from_user({"score": pa.int64()}).columns[0]))
    assert times.columns[2].id == numbers.columns[2].id
    old = write(backend, numbers, score=list(range(600))).parts
    new = write(backend, times, score=list(range(600))).parts
    assert old[0].values == new[0].values
    found = reuse_of(backend, old, times, numbers).find(200, new[0].values)
    assert found is not None
    assert found.columns == {ID, TEXT}


def test_types_of_files_that_are_older_than_the_schema_are_looked_up(backend: Backend) -> None:
    """Where a column was widened and its files were not, their own footers say what they hold. [PART-40]"""
    narrow = Schema.from_user(pa.schema({"id": pa.int64(), "text": pa.string(), "score": pa.float32()}))
    parts = write(backend, narrow).parts
    entry = entry_of(parts, SCHEMA)
    assert entry.requires.read == ("field-ids",)
    found = Reuse(backend, entry, SCHEMA).find(200, parts[0].values)
    assert found is not None
    assert found.columns == {ID, TEXT}
    found = Reuse(backend, entry, narrow).find(200, parts[0].values)
    assert found is not None
    assert found.is_same


def test_parts_of_several_files_are_found(backend: Backend) -> None:
    """A part whose columns lie in several files is found whole, and column by column, with the files that hold them."""
    first, second = write(backend).parts, write(backend, score=[1.0] * 600).parts
    file, other = first[0].files[0], second[0].files[0]
    mixed = replace(
        first[0], files=(replace(file, columns=(ID, TEXT)), replace(other, columns=(SCORE,))), values=second[0].values
    )
    asked = reuse_of(backend, (mixed,))
    found = asked.find(200, second[0].values)
    assert found is not None
    assert (found.is_whole, found.is_same, found.part) == (True, False, mixed)
    found = asked.find(200, first[0].values)
    assert found is not None
    assert found.columns == {ID, TEXT}
    assert kept_files(mixed, [TEXT, SCORE]) == (replace(file, columns=(TEXT,)), replace(other, columns=(SCORE,)))


def test_parts_with_deletions_are_left_out(backend: Backend) -> None:
    """Stored values of a part say nothing of the rows that are visible. [PART-41]"""
    parts = write(backend).parts
    holed = replace(parts[0], deletions=Deletions("sha256:" + "0" * 64, 100, 3))
    assert reuse_of(backend, (holed, *parts[1:])).find(200, parts[0].values) is None


def test_parts_of_an_older_library_have_the_schema_of_their_entry(backend: Backend) -> None:
    """Where a file does not say what its columns are, they are those of the entry, and the item says so from then on."""
    parts = write(backend).parts
    old = tuple(replace(part, files=(replace(part.files[0], schema=None),)) for part in parts)
    entry = replace(entry_of(old), plain=True, requires=entry_of(parts).requires)
    found = Reuse(backend, entry, SCHEMA).find(200, parts[0].values)
    assert found is not None
    assert (found.is_same, found.part) == (True, parts[0])


def test_a_part_does_not_come_to_have_many_files(backend: Backend) -> None:
    """Columns are not picked from eight files to be put beside a ninth."""
    schema = Schema.from_user(pa.schema({f"c{at}": pa.int64() for at in range(10)}))
    digest = schema_digest(schema.arrow_schema())
    ids = [column.id for column in schema.columns]
    files = tuple(
        PartFile(f"sha256:{at:064}", 9, 9, "sha256:" + "0" * 64, (number,), digest)
        for at, number in enumerate(ids)
        if number
    )
    part = Part(5, 5, files, {str(number): f"sha256:{at:064}" for at, number in enumerate(ids)})
    asked = Reuse(_NoFiles(backend), entry_of((part,), schema), schema)
    found = asked.find(5, part.values)
    assert found is not None
    assert found.is_whole
    assert asked.find(5, {**part.values, str(ids[0]): "sha256:" + "f" * 64}) is None


class _NoFiles:
    """A backend of which no file is asked."""

    is_local = False

    def __init__(self, backend: Backend) -> None:
        self.root = backend.root


def found_of(*, whole: bool, files: int = 1, same: bool = False) -> reuse.Found:
    file = PartFile("sha256:" + "0" * 64, 9, 9, "sha256:" + "0" * 64)
    return reuse.Found(Part(1, 1, (file,) * files, {}), frozenset({1}), whole, same)


def test_columns_are_shared_when_it_is_worth_while() -> None:
    """More than a 64th of a table is not stored again for the sake of plainness; little, or few bytes of a part, is."""
    mixing = Mixing(256 << 20)
    verdicts = [mixing.judge(found_of(whole=False), 2 << 20, 1 << 20) for _ in range(6)]
    assert verdicts == ["wait"] * 4 + ["take"] * 2
    assert mixing.judge(found_of(whole=False), 100 << 20, 1 << 20) == "store"
    assert mixing.judge(found_of(whole=False), 2 << 10, 1 << 10) == "store"


def test_what_waits_is_bounded() -> None:
    """No more than 32 MiB wait, however large the table is."""
    mixing = Mixing(1 << 40)
    assert [mixing.judge(found_of(whole=False), 10 << 20, 9 << 20) for _ in range(4)] == ["wait"] * 3 + ["take"]


def test_a_table_that_is_not_plain_shares_at_once() -> None:
    """Equal parts of one file decide nothing; the first part of several files that is taken over does."""
    mixing = Mixing(1 << 40)
    assert mixing.judge(found_of(whole=True, same=True), 9 << 20, 9 << 20) == "take"
    assert not mixing.is_on
    assert mixing.judge(found_of(whole=True, files=2), 9 << 20, 9 << 20) == "take"
    assert mixing.judge(found_of(whole=False), 1 << 20, 1 << 19) == "take"


def test_objects_of_parts_that_were_taken_over_are_kept(backend: Backend) -> None:
    """All parts: the earlier list as it is. Some: both. None: those of the new cells. [PART-42]"""
    earlier = ItemList(2, items=({"key": "packs/a"}, {"key": "packs/b"}))
    before = entry_of(write(backend).parts, objects=earlier)

    def keys(reused: Reused, parts: int) -> list[str]:
        return [str(item["key"]) for item in kept_objects(backend, before, reused, parts, ["packs/b", "packs/c"]).items]

    assert keys(Reused(3, 600, 99), 3) == ["packs/a", "packs/b"]
    assert keys(Reused(2, 400, 66), 3) == keys(Reused(0, 0, 66), 3) == ["packs/a", "packs/b", "packs/c"]
    assert keys(Reused(), 3) == ["packs/b", "packs/c"]

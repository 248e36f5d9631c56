"""Verification of tables that were edited: every file of every part, and the rows as they are shown."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tableformat
from tableformat.format.deletions import encode_deletions
from tableformat.format.documents import Requires
from tableformat.format.item_list import ItemList
from tableformat.format.manifest import Part
from tableformat.storage.backend import open_backend
from tableformat.table.table import Table
from tableformat.verify import verify_version
from tests.publishing import publish
from tests.table.edited_tables import SAMPLES, item_of, sample


def problems(root: Path, slot: int = 0) -> list[str]:
    return [str(one) for one in verify_version(open_backend(str(root)), "a", slot, workers=1).problems]


def stored(root: Path, name: str) -> tuple[tableformat.Store, Table]:
    store = tableformat.open_store(root)
    table, _ = sample(name, store.context.backend)
    publish(store, "a", [item_of(table, "t")])
    return store, table


@pytest.mark.parametrize("name", SAMPLES)
def test_edited_tables_verify(name: str, tmp_path: Path) -> None:
    """All files are read, and the digests of stored values and of shown columns both hold. [PART-15] [PART-16] [PART-18]"""
    store, table = stored(tmp_path, name)
    report = verify_version(open_backend(str(tmp_path)), "a", 0, workers=1)
    assert report.problems == ()
    assert report.rows == len(table)
    assert report.files >= 1 + len({path for part in table.source.parts() for path in part.paths})
    assert store["a"]["t"].to_arrow().equals(table.to_arrow())


@pytest.mark.parametrize("name", ["everything", "row_deleted"])
def test_every_bit_is_covered(name: str, tmp_path: Path) -> None:
    """A flipped bit in a column file or a deletion file is told with the path of the file. [READ-13]"""
    _, table = stored(tmp_path, name)
    rnd = random.Random(3)
    for path in {path for part in table.source.parts() for path in part.paths}:
        file = tmp_path / path
        data = file.read_bytes()
        for _ in range(3):
            at = rnd.randrange(len(data))
            file.write_bytes(data[:at] + bytes([data[at] ^ 1 << rnd.randrange(8)]) + data[at + 1 :])
            assert any(path in problem for problem in problems(tmp_path)), (path, at)
        file.unlink()
        assert any(path in problem and "no such file" in problem for problem in problems(tmp_path))
        file.write_bytes(data)
    assert problems(tmp_path) == []


def changed(table: Table, number: int, **change: Any) -> dict[str, Any]:
    """The entry of the table with one part that is described otherwise."""
    parts = [replace(part, **change) if at == number else part for at, part in enumerate(table.source.parts())]
    entry = replace(table.source.entry, parts=ItemList(len(parts), tuple(part.to_json() for part in parts)))
    return item_of(Table(replace(table.source, entry=entry)), "t")


def test_wrong_descriptions_are_told(tmp_path: Path) -> None:
    """Other value digests, narrower statistics, another schema of a file, other deletions, features that are not named. [MANIFEST-10]"""
    store, table = stored(tmp_path, "everything")
    part: Part = table.source.parts()[0]
    [number] = part.files[1].columns or ()
    score = str(number)
    other = replace(part.files[1], schema=part.files[0].schema)
    data, fewer = encode_deletions([0])
    store.context.backend.put(fewer.path, data)
    entry = table.source.entry
    thinned = sample("row_deleted", store.context.backend)[0].source
    plain = Table(replace(thinned, entry=replace(thinned.entry, plain=True)))
    silent = replace(entry, requires=Requires(("column-files", "field-ids")))
    wrongs: dict[str, dict[str, Any]] = {
        "its values have the digest": changed(table, 0, values={**part.values, score: part.files[0].digest}),
        "leave out rows": changed(table, 0, stats={score: {"min": "1.0", "max": "2.0", "nulls": 0}}),
        "the manifest says sha256": changed(table, 0, files=(part.files[0], other, part.files[2])),
        "rows, the entry says": changed(table, 0, deletions=fewer),
        "have the digest": changed(table, 1, deletions=replace(fewer)),
        "it says to be plain": item_of(plain, "t"),
        "which it does not require": item_of(Table(replace(table.source, entry=replace(silent, requires=Requires()))), "t"),
        "need deletions, which": item_of(Table(replace(table.source, entry=silent)), "t"),
    }  # fmt: skip
    for slot, (text, item) in enumerate(wrongs.items(), start=1):
        publish(store, "a", [item])
        assert any(text in problem for problem in problems(tmp_path, slot)), (text, problems(tmp_path, slot))

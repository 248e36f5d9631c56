"""Digests of columns taken up again: from the last link, for columns that come later, and after a change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat.format.manifest import TableEntry
from tableformat.format.value_digest import BLOCK_ROWS, ColumnChain
from tableformat.storage.interface import Backend
from tableformat.table.edit import chain
from tableformat.table.edit.chain import (
    chain_digests,
    continued,
    end_chains,
    iter_rows,
    last_parts,
    parts_of,
    rechained,
)

ROWS = BLOCK_ROWS + 700


@pytest.fixture(autouse=True)
def _forget() -> None:
    chain._REMEMBERED.clear()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: Any) -> tuple[Backend, TableEntry]:
    """A table of two columns, a little longer than a block, in parts of 16,384 rows."""
    store = tableformat.open_store(tmp_path_factory.mktemp("s"))
    with store.draft("a") as draft, draft.table("t", part_rows=1 << 14) as table:
        table.extend(pa.table({"x": np.arange(ROWS), "s": [str(number % 7) for number in range(ROWS)]}))
    return store.context.backend, store["a"]["t"].source.entry


def test_chains_stand_at_the_end(stored: tuple[Backend, TableEntry]) -> None:
    """The chains have the digests of the entry, read its last part alone, and go on with further rows."""
    backend, entry = stored
    chains = end_chains(backend, entry)
    assert chain_digests(chains) == entry.columns
    whole = ColumnChain(pa.int64())
    whole.update(pa.array(np.arange(ROWS + 5)))
    chains[str(entry.schema["x"].id)].update(pa.array(np.arange(ROWS, ROWS + 5)))
    assert chains[str(entry.schema["x"].id)].digest() == whole.digest()
    assert len(last_parts(backend, entry, ROWS - BLOCK_ROWS)) == 1
    assert len(last_parts(backend, entry, 0)) == 0


@pytest.mark.parametrize("default", [None, 3])
def test_a_later_column_counts_from_the_first_row(stored: tuple[Backend, TableEntry], default: int | None) -> None:
    """A column that the entry lacks is its default, or null, in every row so far."""
    backend, entry = stored
    schema = entry.schema.with_added("y", pa.int16(), default=default)
    expected = ColumnChain(pa.int16())
    expected.update(pa.array([default] * ROWS, pa.int16()))
    assert end_chains(backend, entry, schema)[str(schema["y"].id)].digest() == expected.digest()


def test_remembered_chains_read_nothing(stored: tuple[Backend, TableEntry]) -> None:
    """What is remembered is taken without reading, is not changed by who takes it, and only fits the table that it is of."""
    _, entry = stored
    backend: Any = None
    chain.remember(entry, end_chains(stored[0], entry))
    first = end_chains(backend, entry)
    first[str(entry.schema["x"].id)].update(pa.array([1]))
    assert chain_digests(end_chains(backend, entry)) == entry.columns
    chain._REMEMBERED.clear()
    chain.remember(entry, first)
    assert chain._REMEMBERED == {}
    for number in range(100):
        chain.remember(replace(entry, rows=number), end_chains(*stored))
    assert len(chain._REMEMBERED) == 64


@pytest.mark.parametrize("first_row", [0, 5, BLOCK_ROWS, ROWS])
def test_a_change_is_digested_from_its_block_on(stored: tuple[Backend, TableEntry], first_row: int) -> None:
    """The digests of the same rows come out again, from row 0 or from the link, for all columns or some."""
    backend, entry = stored
    assert rechained(backend, replace(entry, columns={}), entry, first_row) == entry.columns
    number = entry.schema["s"].id
    assert number is not None
    assert rechained(backend, replace(entry, columns={}), entry, first_row, [number]) == entry.columns
    assert rechained(backend, replace(entry, columns={})) == entry.columns


def test_parts_behind_are_added(stored: tuple[Backend, TableEntry]) -> None:
    """`continued` is the digest of the rows and those of the parts that follow."""
    backend, entry = stored
    parts = list(parts_of(backend, entry))
    some = replace(entry, rows=parts[0].rows, columns={})
    first = replace(
        some,
        columns=rechained(backend, replace(some, parts=replace(entry.parts, count=1, items=entry.parts.items[:1]))),
    )
    first = replace(first, parts=replace(entry.parts, count=1, items=entry.parts.items[:1]))
    assert continued(backend, first, parts[1:]) == entry.columns
    rows = [row for batch in iter_rows(backend, entry, ROWS - 3, ["x"]) for row in batch.column("x").to_pylist()]
    assert rows == [ROWS - 3, ROWS - 2, ROWS - 1]

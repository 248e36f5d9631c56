"""Merges of sorted sides: text that comes as numbers of a dictionary goes out as text, and rows as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tableformat
from tableformat.format.limits import Limits
from tableformat.table.batches import decoded
from tableformat.table.join.pairs import KINDS

ROWS = 30_000


def few(number: int) -> str | None:
    return None if number % 11 == 5 else f"class {number % 7}"


def many(number: int) -> str | None:
    """All different where numbers are even in thousands, too many for a dictionary; the same elsewhere."""
    return f"{number:0400d}" if number // 10_000 % 2 == 0 else "same"


def table(ids: np.ndarray[Any, Any], name: str) -> pa.Table:
    return pa.table({
        "id": ids, f"few {name}": [few(n) for n in ids.tolist()], "a.b": [few(n + 1) for n in ids.tolist()],
        f"many {name}": [many(n) for n in ids.tolist()], f"nested {name}": [{"b": many(n)} for n in ids.tolist()],
        f"scores {name}": pa.array([[n / 7, 0.1 * n] for n in ids.tolist()], pa.list_(pa.float64())),
    })  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tableformat.Store:
    made = tableformat.open_store(tmp_path_factory.mktemp("merge") / "store")
    ids = np.arange(ROWS)
    with made.draft("a") as draft:
        for name, kept in (("left", ids % 3 > 0), ("right", ids % 10 < 9)):
            with draft.table(name, key="id", part_rows=4000) as writer:
                writer.extend(table(ids[kept], name))
    return made


@pytest.mark.parametrize("how", KINDS)
def test_text_is_text_however_it_was_read(store: tableformat.Store, how: Any) -> None:
    """Columns of few texts, of many, with nulls and in structs come out of a merge as they went in, for each kind of join."""
    left, right = store["a"]["left"], store["a"]["right"]
    joined = tableformat.JoinedTable(left, right, on="id", how=how)
    assert "merge" in joined.explain()
    own, other = (set(one.select("id").to_arrow().column("id").to_pylist()) for one in (left, right))
    wanted = {
        "inner": own & other, "left": own, "right": own & other, "outer": own, "semi": own & other, "anti": own - other,
    }[how]  # fmt: skip
    rows = joined.to_arrow().to_pylist()
    if how in ("right", "outer"):
        assert [row["id_1"] for row in rows[len(wanted) :]] == sorted(other - own)
        rows = rows[: len(wanted)]
    if how in ("semi", "anti"):
        assert rows == [_row(n, "left", "") for n in sorted(wanted)]
        return
    nothing = dict.fromkeys(_row(0, "right", "_1"))
    assert rows == [_row(n, "left", "_0") | (_row(n, "right", "_1") if n in other else nothing) for n in sorted(wanted)]


def _row(number: int, name: str, side: str) -> dict[str, Any]:
    row = {"id": number, f"few {name}": few(number), "a.b": few(number + 1), f"many {name}": many(number), f"nested {name}": {"b": many(number)}, f"scores {name}": [number / 7, 0.1 * number]}  # fmt: skip
    return {f"{key}{side}" if key in ("id", "a.b") else key: value for key, value in row.items()}


def test_only_text_of_dictionaries_is_read_as_their_numbers(store: tableformat.Store) -> None:
    """Text that could be longer than a limit is decoded by pieces, and comes as text, as does a column from then on that was seen to
    have text outside of its dictionary."""
    left = store["a"]["left"]
    pieces = list(left._reading.pieces([], left.schema.names, ["few left", "many left"]))
    types = [[piece.batch.schema.field(name).type for name in ("few left", "many left")] for piece in pieces]
    assert types[0] == [pa.string(), pa.string()]
    assert pa.types.is_dictionary(types[-1][0])
    assert types[-1][1] == pa.string()
    assert pa.Table.from_batches(decoded(piece.batch) for piece in pieces).to_pydict() == left.to_arrow().to_pydict()


def test_dictionaries_do_not_count_more_than_once(store: tableformat.Store) -> None:
    """Under a limit that holds a part, but not the dictionary of each of its pieces, the part is read."""
    left = tableformat.open_store(store.root, limits=Limits(row_group_bytes=6 << 20))["a"]["left"]
    pieces = left._reading.pieces([], left.schema.names, ["few left", "many left"])
    found = [value for piece in pieces for value in decoded(piece.batch).column("many left").to_pylist()]
    assert found == left.select("many left").to_arrow().column(0).to_pylist()

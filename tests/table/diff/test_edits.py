"""Diffs of versions that were edited in place: deletions, column files, older types. What manifests tell is what reading tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import tableformat

ROWS = 3000
EDITS: dict[str, tuple[Callable[[tableformat.Draft], object], list[tuple[str, int, list[str] | None]]]] = {
    "upsert": (
        lambda draft: draft.upsert("t", pa.table({"id": [5, 777, ROWS], "x": [1.0, 2.0, 3.0], "s": ["t5", "v", "w"]})),
        [("changed", 5, ["x"]), ("changed", 777, ["x", "s"]), ("added", ROWS, None)],
    ),
    "delete": (lambda draft: draft.delete("t", id=9), [("removed", 9, None)]),
    "add a column": (lambda draft: draft.add_column("t", "n", pa.int64(), default=3), []),
    "rename a column": (lambda draft: draft.rename_columns("t", {"s": "text"}), []),
    "widen a column": (lambda draft: draft.widen_columns("t", {"n": pa.float64()}), []),
    "add a row": (
        lambda draft: draft.upsert("t", pa.table({"id": [ROWS + 9], "x": [1.0], "text": ["q"], "n": [1.5]})),
        [("added", ROWS + 9, None)],
    ),
    "compact": (lambda draft: draft.compact("t", plain=True), []),
}  # fmt: skip
"""What is done, one after the other, and which rows differ then."""


def changes(diff: tableformat.Diff) -> list[tuple[str, int, list[str] | None]]:
    return [(row["change"], row["id"], row["changed"]) for row in diff.rows()]


@pytest.mark.parametrize("part_rows", [100, None])
def test_edits_in_place(tmp_path: Path, part_rows: int | None) -> None:
    """After each edit the diff of the two versions is what was edited, read by the manifest and without it. [DIFF-2]"""
    store = tableformat.open_store(tmp_path / "store")
    with store.draft("a") as draft, draft.table("t", key="id", part_rows=part_rows) as table:
        table.extend(
            pa.table(
                {"id": range(ROWS), "x": [row * 0.5 for row in range(ROWS)], "s": [f"t{row}" for row in range(ROWS)]}
            )
        )
    before = store["a"]["t"]
    for what, (edit, wanted) in EDITS.items():
        with store.draft("a", base="latest") as draft:
            edit(draft)
        after = store["a"]["t"]
        everything = tableformat.col("id") >= 0
        for tables in ((before, after), (before.where(everything), after.where(everything))):
            assert changes(tableformat.diff(*tables)) == wanted, what
        before = after
    assert len(tableformat.diff(store["a:v0"]["t"], store["a"]["t"])) == 5

"""`compact`: a new version with the same rows in fewer files, or nothing where there is nothing to do."""

from __future__ import annotations

import json
from pathlib import Path

import tableformat
from tableformat import col
from tests.cli.conftest import Run


def edited(root: Path) -> tableformat.Store:
    store = tableformat.open_store(root)
    with store.draft("a") as draft, draft.table("t", part_rows=8) as table:
        table.extend({"id": number} for number in range(20))
    with store.draft("a", base="latest") as draft:
        draft.delete("t", col("id") == 3)
    return store


def test_compact_makes_a_version_with_the_same_content(run: Run, tmp_path: Path) -> None:
    """`--plain` mends a table with deletions; a second time there is nothing to do."""
    store = edited(tmp_path / "s")
    before = store["a"]
    done = run("compact", f"{tmp_path / 's'}#a/t", "--plain")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("a:v2: the same rows, ")
    assert store["a"].content_digest == before.content_digest
    assert store["a"]["t"].source.entry.plain
    again = run("compact", f"{tmp_path / 's'}#a", "--plain", "--json")
    assert json.loads(again.out) == {
        "name": "a", "version": "v2", "digest": store["a"].digest, "content": before.content_digest, "created": False, "bytes_new": 0,
    }  # fmt: skip
    assert "nothing to do" in again.err


def test_compact_does_what_is_worth_it(run: Run, tmp_path: Path) -> None:
    """Without `--plain`, one deleted row in eight is a reason; a version that is not the newest is refused."""
    store = edited(tmp_path / "s")
    assert run("compact", f"{tmp_path / 's'}#a:v0/t").code == 2
    assert run("compact", f"{tmp_path / 's'}#a/t").out.startswith("a:v2: ")
    assert run("compact", f"{tmp_path / 's'}#a/u").code != 0
    assert len(store.versions("a")) == 3

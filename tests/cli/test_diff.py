"""`diff`: what is printed of the changes between two tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tableformat
from tests.cli.conftest import Run


@pytest.fixture
def versions(tmp_path: Path) -> list[str]:
    """Two versions of a table with a key: one row changed, one removed, one added."""
    store = tableformat.open_store(tmp_path / "store")
    for rows in (
        {"id": [1, 2, 3], "text": ["a", "b", "c"], "score": [0.5, 1.0, 1.5]},
        {"id": [1, 3, 4], "text": ["a", "c", "d"], "score": [0.5, 2.0, float("nan")]},
    ):
        with store.draft("a") as draft, draft.table("t", key="id") as table:
            table.extend(pa.table(rows))
    return [f"{store.root}#a:v{number}/t" for number in (0, 1)]


def test_diff_prints_counts_and_rows(run: Run, versions: list[str]) -> None:
    """A line of counts, a line for each column that changed, and a line for each row."""
    done = run("diff", *versions)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "rows by id: 1 added, 1 removed, 1 changed, 1 the same",
        "  score: 1 changed, mean +0.5, largest +0.5",
        "~ id=3  score: 1.5 → 2",
        "+ id=4  text=d, score=nan",
        "- id=2  text=b, score=1",
    ]


def test_diff_as_json(run: Run, versions: list[str]) -> None:
    """`--json` gives the summary and as many rows as asked for; numbers that JSON does not have are texts."""
    told = run("diff", *versions, "--json", "--limit", "2").json
    assert told["summary"]["rows"] == {"added": 1, "removed": 1, "changed": 1, "same": 1}
    assert told["total"] == 3
    assert [(row["change"], row["id"], row["changed"]) for row in told["rows"]] == [
        ("changed", 3, ["score"]),
        ("added", 4, None),
    ]
    assert told["rows"][1]["after"] == {"id": 4, "text": "d", "score": "nan"}
    assert "rows" not in run("diff", *versions, "--json", "--summary").json


def test_diff_keeps_what_is_asked_for(run: Run, versions: list[str]) -> None:
    """`--keep all` shows the same rows, `--on` another key, `--limit` fewer rows and how many there are."""
    lines = run("diff", *versions, "--keep", "all", "--on", "text").out.splitlines()
    assert lines[0] == "rows by text: 1 added, 1 removed, 1 changed, 1 the same"
    assert lines[2:] == [
        "= text=a  id=1, score=0.5",
        "~ text=c  score: 1.5 → 2",
        "+ text=d  id=4, score=nan",
        "- text=b  id=2, score=1",
    ]
    assert run("diff", *versions, "--limit", "1").out.splitlines()[-1] == "… 1 of 3 rows"


def test_diff_of_parquet_files(run: Run, tmp_path: Path) -> None:
    """Files without a key are counted."""
    for name, values in (("a.parquet", [1, 1, 2]), ("b.parquet", [2, 3])):
        pq.write_table(pa.table({"x": values}), tmp_path / name)
    done = run("diff", tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert done.out.splitlines() == ["multisets of rows: 1 added, 2 removed, 1 the same", "+ 1 × x=3", "- 2 × x=1"]


def test_diff_tells_what_is_wrong(run: Run, versions: list[str], tmp_path: Path) -> None:
    """A key that is not there, one that stands twice, and a bound that is too low have exit codes and one line or more."""
    pq.write_table(pa.table({"id": [7, 7]}), tmp_path / "twice.parquet")
    assert run("diff", *versions, "--on", "idd").code == 3
    assert run("diff", *versions, "--memory", "1 MB").code == 8
    assert run("diff", *versions, "--limit", "-1").code == 2
    done = run("diff", versions[0], tmp_path / "twice.parquet", "--on", "id")
    assert done.code == 4
    assert "id=7 stands in row 0 already" in done.err

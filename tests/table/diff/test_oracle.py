"""Random tables and random edits of them, in every budget of memory, against a dict, a counter and DuckDB."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings

from tests.table.diff.diff_tables import (
    MEMORIES,
    Case,
    cases,
    counted_rows,
    diff,
    expected_counts,
    keyed_rows,
    same,
)

_PLAIN = ("int32", "int64", "string", "bool")
_LONG = settings(max_examples=1000, deadline=None, derandomize=False, suppress_health_check=list(HealthCheck))


def check_keyed(case: Case) -> None:
    """Compare rows, their order, slices and counts with what a dict finds."""
    everything = keyed_rows(case, "all")
    counts = expected_counts(everything)
    with tempfile.TemporaryDirectory() as folder:
        tables = case.tables(Path(folder))
        for name, memory in MEMORIES.items():
            for keep in ("changed", "all"):
                wanted = keyed_rows(case, keep)
                with memory():
                    found = diff(tables, case, keep)
                    got = found.to_arrow().to_pylist()
                    assert same(got, wanted), (name, keep)
                    assert len(found) == len(wanted)
                    summary = found.summary()
                    assert {word: getattr(summary, word) for word in ("added", "removed", "changed", "same")} == {
                        word: counts[word] for word in ("added", "removed", "changed", "same")
                    }
                    changed = [row["changed"] or [] for row in everything]
                    assert {one.name: one.changed for one in summary.columns} == {
                        one.name: sum(one.name in names for names in changed) for one in summary.columns
                    }
                    middle = len(wanted) // 2
                    assert same(found[middle : middle + 3].to_arrow().to_pylist(), wanted[middle : middle + 3])
        rows = [plain(row) for row in diff(tables, case, "all").rows()]
        assert [(row["change"], row["changed"]) for row in rows] == [
            (row["change"], row["changed"]) for row in everything
        ]


def plain(row: Any) -> dict[str, Any]:
    return {name: value.to_dict() if hasattr(value, "to_dict") else value for name, value in row.items()}


def check_counted(case: Case) -> None:
    """The same of tables without a key; without the rows that are the same, equal parts may have been left out, and the order
    is that of the others."""
    everything = counted_rows(case)
    with tempfile.TemporaryDirectory() as folder:
        tables = case.tables(Path(folder))
        for name, memory in MEMORIES.items():
            with memory():
                found = diff(tables, case, "all")
                assert same(found.to_arrow().to_pylist(), everything), name
                counts = expected_counts(everything)
                assert (found.summary().added, found.summary().removed, found.summary().same) == (
                    counts["added"], counts["removed"], counts["same"],
                )  # fmt: skip
                only = diff(tables, case, "changed").to_arrow().to_pylist()
                assert sorted(map(repr, only)) == sorted(repr(row) for row in everything if row["change"] != "same")


@settings(max_examples=60, deadline=None)
@given(cases())
def test_random_edits_agree_with_a_dict(case: Case) -> None:
    """Keys of one and two columns, of the table and named, rows in any order: rows, order and counts are those of a dict."""
    check_keyed(case)


@settings(max_examples=40, deadline=None)
@given(cases(keyed=False))
def test_random_multisets_agree_with_a_counter(case: Case) -> None:
    """Without a key, rows are counted."""
    check_counted(case)


@settings(max_examples=20, deadline=None)
@given(cases())
def test_duckdb_finds_the_same_rows(case: Case) -> None:
    """A full outer join in SQL, with `is distinct from`, has as many rows of each sort; NaN is equal there, and 0.0 to -0.0."""
    fields = case.before.schema
    flat = [name for name in fields.names if name in case.keys or str(fields.field(name).type) in _PLAIN]
    case = Case(case.before.select(flat), case.after.select(flat), case.keys, case.part_rows, case.keyed)
    on = " and ".join(f"l.{name} = r.{name}" for name in case.keys)
    differs = " or ".join(f"l.{name} is distinct from r.{name}" for name in flat if name not in case.keys) or "false"
    first = case.keys[0]
    with duckdb.connect() as connection, tempfile.TemporaryDirectory() as folder:
        connection.register("l", case.before)
        connection.register("r", case.after)
        found = connection.execute(
            f"select count(*) filter (l.{first} is null), count(*) filter (r.{first} is null), "
            f"count(*) filter (l.{first} is not null and r.{first} is not null and ({differs})) from l full join r on {on}"
        ).fetchone()
        summary = diff(case.tables(Path(folder)), case, "changed").summary()
    assert (summary.added, summary.removed, summary.changed) == found


@pytest.mark.long
@_LONG
@given(cases())
def test_a_thousand_random_edits_agree_with_a_dict(case: Case) -> None:
    """The same, a thousand times, at random."""
    check_keyed(case)


@pytest.mark.long
@_LONG
@given(cases(keyed=False))
def test_a_thousand_random_multisets_agree_with_a_counter(case: Case) -> None:
    """The same, a thousand times, at random."""
    check_counted(case)

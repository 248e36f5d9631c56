"""Random joins, in every way in which this library reads them, against DuckDB."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.table.join.join_tables import MEMORY, Case, cases, expected, oracle, read, same

_LONG = settings(max_examples=1000, deadline=None, derandomize=False, suppress_health_check=list(HealthCheck))


def check(case: Case, strategies: tuple[str, ...]) -> None:
    """Compare every way of reading a case with what DuckDB finds."""
    numbers = [tuple(pair) for pair in oracle(case)]
    rows = expected(case, numbers)
    with tempfile.TemporaryDirectory() as folder:
        joined = case.joined(Path(folder))
        for strategy in strategies:
            found = read(joined, strategy)  # type: ignore[arg-type]
            assert found[0] == numbers, strategy
            assert same(found[1], rows), strategy
        loose = read(joined, "spill", ordered=False)
        assert sorted(loose[0]) == sorted(numbers)
        assert sorted(map(repr, loose[1])) == sorted(map(repr, rows))
        assert len(joined) == len(numbers)
        assert [row.index for row in joined.rows()] == list(range(len(numbers)))
        middle = len(numbers) // 2
        page = joined.chosen.slice(middle, middle + 3)
        assert [number for _, found in page.run([], MEMORY) for number in found.tolist()] == list(range(len(numbers)))[
            middle : middle + 3
        ]


@settings(max_examples=50)
@given(cases())
def test_random_joins_agree_with_duckdb(case: Case) -> None:
    """Keys of all types, nulls, duplicates, all kinds: held, by pages and spilled, the rows are DuckDB's, in the stated order."""
    check(case, ("lookup", "pages", "spill"))


@settings(max_examples=25)
@given(cases(table_key=True))
def test_random_joins_of_sorted_tables_agree_with_duckdb(case: Case) -> None:
    """Tables in the order of unique keys are merged where both have one order; the rows are DuckDB's."""
    with tempfile.TemporaryDirectory() as folder:
        plan = case.joined(Path(folder)).chosen.join.plan([], 512 << 20)
    check(case, ("merge", "lookup") if plan.strategy in ("merge", "aligned") else ("lookup",))


@pytest.mark.long
@_LONG
@given(cases())
def test_a_thousand_random_joins_agree_with_duckdb(case: Case) -> None:
    """The same, a thousand times, at random."""
    check(case, ("lookup", "pages", "spill"))


@pytest.mark.long
@_LONG
@given(cases(table_key=True))
def test_a_thousand_random_joins_of_sorted_tables_agree_with_duckdb(case: Case) -> None:
    """The same of sorted tables."""
    with tempfile.TemporaryDirectory() as folder:
        plan = case.joined(Path(folder)).chosen.join.plan([], 512 << 20)
    check(case, ("merge", "lookup", "pages") if plan.strategy in ("merge", "aligned") else ("lookup",))

"""Single rows of tables that lie elsewhere: few requests, and the rows that a table of this machine gives."""

import uuid

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tableformat.format.limits import Limits
from tableformat.storage.backend import open_backend
from tableformat.table.distant_rows import Extent, plan_runs
from tableformat.testing import FaultBackend
from tests.table.reading_tables import store_table

MIB = 1 << 20
ROWS = 40_000
COLUMNS = {"n": pa.array(range(ROWS), pa.int64()), "text": pa.array([f"row {n * 7919 % ROWS}" for n in range(ROWS)])}


def runs(*extents):
    """The runs of row groups that lie so: (start, end, wanted, decoded), in MiB."""
    made = [Extent(*(int(value * MIB) for value in extent)) for extent in extents]
    return [list(run) for run in plan_runs(made)]


def test_neighbours_are_fetched_together():
    """Row groups that follow each other are a run, up to 8 MiB of a file or 24 MiB decoded."""
    assert runs() == []
    assert runs((0, 1, 1, 2), (1, 2, 1, 2), (2, 3, 1, 2)) == [[0, 1, 2]]
    assert runs(*((n, n + 1, 1, 2) for n in range(10))) == [list(range(8)), [8, 9]]
    assert runs(*((n, n + 1, 1, 10) for n in range(5))) == [[0, 1], [2, 3], [4]]
    assert runs((0, 20, 20, 90), (20, 40, 20, 90)) == [[0], [1]]


def test_gaps_are_bridged_where_they_are_few():
    """What is not wanted is fetched with the rest while it is at most a quarter; few columns of many are not."""
    assert runs((0, 1, 1, 1), (1, 2, 1, 1), (2, 3, 1, 1), (4, 5, 1, 1)) == [[0, 1, 2, 3]]
    assert runs((0, 1, 1, 1), (2, 3, 1, 1), (4, 5, 1, 1)) == [[0], [1], [2]]
    assert runs((0, 1, 0.1, 1), (1, 2, 0.1, 1)) == [[0], [1]]


def test_places_that_are_lies_are_not_joined():
    """Row groups that overlap, or stand in another order, are runs of their own."""
    assert runs((0, 2, 2, 1), (1, 3, 2, 1)) == [[0], [1]]
    assert runs((5, 6, 1, 1), (0, 1, 1, 1)) == [[0], [1]]


@given(st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(1, 12 * MIB), st.floats(0, 1)), max_size=30))
def test_every_row_group_is_in_one_run(drawn):
    """Whatever they are like, each row group is in one run, and no run of several is long or mostly unwanted."""
    extents, at = [], 0
    for gap, length, share in drawn:
        extents.append(Extent(at + gap, at + gap + length, int(length * share), length * 2))
        at += gap + length
    found = list(plan_runs(extents))
    assert [place for run in found for place in run] == list(range(len(extents)))
    for run in found:
        span = extents[run[-1]].end - extents[run[0]].start
        assert len(run) == 1 or (span <= 8 * MIB and 3 * span <= 4 * sum(extents[place].wanted for place in run))


def distant(**options):
    """A table of 40,000 rows in 40 parts, read through a backend that counts."""
    url = f"memory://{uuid.uuid4().hex}"
    backend = FaultBackend(open_backend(url))
    table = store_table(url, {"n": int, "text": str}, COLUMNS, part_rows=1000, backend=backend, **options)
    return backend, table


def test_rows_of_many_parts_cost_two_calls_and_one_for_each_part():
    """The footers of the parts come together, then each part's rows at once; the second time nothing is asked for."""
    backend, table = distant()
    rows = np.random.default_rng(3).permutation(ROWS)[:500]
    assert table.take(rows).to_arrow()["n"].to_pylist() == rows.tolist()
    assert len(backend.calls) <= 1 + 40
    backend.calls.clear()
    assert table.take(rows[::-1]).to_arrow()["text"].to_pylist() == [
        f"row {n * 7919 % ROWS}" for n in rows[::-1].tolist()
    ]
    assert backend.calls == []


def test_rows_are_right_where_nothing_is_kept():
    """With no room to keep row groups, and with little, rows come in the order asked, with repetitions."""
    rng = np.random.default_rng(5)
    for kept in (0, 20_000):
        _, table = distant(limits=Limits(cache_bytes=kept))
        for _ in range(3):
            rows = rng.integers(0, ROWS, 300)
            taken = table.take(rows).to_arrow()
            assert taken["n"].to_pylist() == rows.tolist()
            assert taken["text"].to_pylist() == [f"row {n * 7919 % ROWS}" for n in rows.tolist()]

"""Models of dicts and lists, driven together with real stores: whatever is done, in whatever order, they agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.figures import note
from tests.machine.fault_machine import FaultMachine
from tests.machine.store_machine import StoreMachine

_QUIET = list(HealthCheck)
SEQUENCES = 2000
SHARDS = 8


def run_long(machine: Any, shard: int, what: str) -> None:
    """A shard of the sequences, the same ones each time."""
    machine.ended = 0
    long = settings(
        max_examples=SEQUENCES // SHARDS,
        stateful_step_count=20,
        deadline=None,
        derandomize=False,
        database=None,
        suppress_health_check=_QUIET,
    )
    run_state_machine_as_test(seed(shard)(machine), settings=long)  # type: ignore[no-untyped-call]
    assert machine.ended >= SEQUENCES // SHARDS
    note(f"sequences of {what}, shard {shard}", sequences=machine.ended)


def test_edits_of_two_writers() -> None:
    """Drafts, edits, commits that meet, rollbacks, compactions, reads and diffs end as those of dicts and lists."""
    few = settings(max_examples=25, stateful_step_count=15, suppress_health_check=_QUIET)
    run_state_machine_as_test(StoreMachine, settings=few)  # type: ignore[no-untyped-call]


def test_failures_of_writers_and_collectors() -> None:
    """Lost answers, deaths, wrong clocks and weeks that pass, in the midst of commits and collections, lose nothing that was committed."""
    few = settings(max_examples=25, stateful_step_count=15, suppress_health_check=_QUIET)
    run_state_machine_as_test(FaultMachine, settings=few)  # type: ignore[no-untyped-call]


@pytest.mark.long
@pytest.mark.parametrize("shard", range(SHARDS))
def test_edits_of_two_writers_for_long(shard: int) -> None:
    """2,000 sequences without a difference, in eight shards."""
    run_long(StoreMachine, shard, "edits")
    assert StoreMachine.ended >= SEQUENCES // SHARDS


@pytest.mark.long
@pytest.mark.parametrize("shard", range(SHARDS))
def test_failures_of_writers_and_collectors_for_long(shard: int) -> None:
    """2,000 sequences in which everything fails and nothing is lost, in eight shards."""
    run_long(FaultMachine, shard, "failures")
    assert FaultMachine.ended >= SEQUENCES // SHARDS

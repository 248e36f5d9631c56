"""Any bytes at all give a value or an error of ours, soon and in little memory: every sort of file that a store holds."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tableformat
from tableformat.errors import TableformatError
from tests.figures import note
from tests.hostile.child import peak
from tests.hostile.forging import encodable, forge, mutate_cells, mutate_json
from tests.hostile.reading import read_store
from tests.hostile.samples import items_of, reference_item, with_rows, write_small
from tests.hostile.targets import Target, targets_of

SORTS = (
    "marker", "version file", "tombstone", "alias", "manifest", "table entry", "joined table", "class set", "references", "references in leaves",
    "leaf of references", "leaf of items", "index", "leaf of the index", "moved", "pack", "deletions", "session", "session record", "seal",
    "plan", "keep", "sweep", "done", "list of a plan",
)  # fmt: skip
FEW, MANY = 18, 760
"""Inputs for each sort: about 500 in all, and about 20,000 in the long form."""
FEW_STORES, MANY_STORES = 12, 500
SECONDS = 20
BYTES = 768 << 20
SEEDS = st.integers(0, 2**40)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tableformat.Store:
    return write_small(tmp_path_factory.mktemp("fuzz") / "store")


@pytest.fixture(scope="module")
def targets(sample: tableformat.Store) -> dict[str, Target]:
    return targets_of(sample)


def check_bounded(action: Any) -> None:
    """`action` ends in a value or an error of ours, in bounded time, and the process has not grown much by it."""
    before, began = peak(), time.monotonic()
    with contextlib.suppress(TableformatError):
        action()
    assert time.monotonic() - began < SECONDS
    assert peak() - before < BYTES


def many(what: str, count: int, check: Callable[[int], None]) -> int:
    """`check` with `count` seeds at random; how many they were is kept with the figures of long tests."""
    tried = 0

    @settings(max_examples=count, derandomize=False)
    @given(seed=SEEDS)
    def each(seed: int) -> None:
        nonlocal tried
        tried += 1
        check(seed)

    each()
    note(f"fuzz, {what}", inputs=tried)
    return tried


def check_target(target: Target, seed: int) -> None:
    data = target.mutate(random.Random(seed))
    check_bounded(lambda: target.decode(data))


def check_manifest(store: tableformat.Store, seed: int) -> None:
    items = sorted([*items_of(store, "a:v1"), reference_item(store, 3)], key=lambda item: item["name"])
    changed = mutate_json(items, random.Random(seed))
    if encodable(changed):
        forge(store.context, "lies", changed)
        check_bounded(lambda: read_store(store.root, Path(store.root, "..", "target"), selection="lies"))


def check_cells(store: tableformat.Store, seed: int) -> None:
    chance = random.Random(seed)
    name = chance.choice(("t", "t", "e"))
    [item] = [item for item in items_of(store, "a:v0") if item["name"] == name]
    changed = with_rows(
        store, item, lambda values, field: mutate_cells(values, field, chance) if chance.random() < 0.35 else values
    )
    if changed is not None:
        others = [one for one in items_of(store, "a:v0") if one["name"] not in (name, "join")]
        forge(store.context, "cells", sorted([*others, changed], key=lambda one: one["name"]))
        check_bounded(lambda: read_store(store.root, selection="cells"))


def test_all_sorts_are_tried(targets: dict[str, Target]) -> None:
    """Each sort of file has a sample that the reader takes, and is in the list of those that are changed."""
    assert set(SORTS) == set(targets)
    assert [
        name for name, target in targets.items() if target.decode(target.right) is None and name != "session record"
    ] == []


@pytest.mark.parametrize("sort", SORTS)
@settings(max_examples=FEW)
@given(seed=SEEDS)
def test_any_bytes_give_a_value_or_an_error(targets: dict[str, Target], sort: str, seed: int) -> None:
    """A file of any sort, changed anywhere and sealed again, is read, or refused with an error of ours. [SECURITY-12]"""
    check_target(targets[sort], seed)


@pytest.mark.long
@pytest.mark.parametrize("sort", SORTS)
def test_any_bytes_give_a_value_or_an_error_long(targets: dict[str, Target], sort: str) -> None:
    """The same for 20,000 inputs."""
    assert many(f"a changed {sort}", MANY, partial(check_target, targets[sort])) >= MANY


@settings(max_examples=FEW_STORES)
@given(seed=SEEDS)
def test_any_manifest_can_be_read(sample: tableformat.Store, seed: int) -> None:
    """A version whose entries lie is listed, opened, read, downloaded and verified, or refused with an error of ours."""
    check_manifest(sample, seed)


@pytest.mark.long
def test_any_manifest_can_be_read_long(sample: tableformat.Store) -> None:
    """The same for 500 versions."""
    assert many("entries that lie", MANY_STORES, partial(check_manifest, sample)) >= MANY_STORES


@settings(max_examples=FEW_STORES)
@given(seed=SEEDS)
def test_any_cells_can_be_read(sample: tableformat.Store, seed: int) -> None:
    """A table whose media cells and other values lie, under right digests, is read, or refused with an error of ours."""
    check_cells(sample, seed)


@pytest.mark.long
def test_any_cells_can_be_read_long(sample: tableformat.Store) -> None:
    """The same for 500 tables."""
    assert many("cells that lie", MANY_STORES, partial(check_cells, sample)) >= MANY_STORES

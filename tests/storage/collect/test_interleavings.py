"""No order of the steps of writers and collectors loses anything that was committed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from tableformat.errors import CommitError, StoreUnavailableError
from tableformat.storage.collect.collections import Collection
from tableformat.storage.collect.collector import GRACE_S, Collector, GcReport
from tests.figures import note
from tests.storage.collect.scenes import Writer, collect, damage, has_blob, old_garbage, planned
from tests.storage.collect.scripted import Killed, ScriptedBackend, Turns, World, matters, orders

Choose = Callable[[int, int, list[int]], int]


def play(world: World, actors: Sequence[Callable[[], object]], choose: Choose) -> Turns:
    """Run the actors in an order, and check what always holds: every version that is there is whole, and a writer that was not
    refused has one."""
    turns = Turns(world, [lambda actor=actor: actor() for actor in actors], choose)  # type: ignore[misc]
    writers = [actor for actor in actors if isinstance(actor, Writer)]
    for writer in writers:
        writer.sleeps_with(turns.sleep)
    turns.run()
    for error in turns.errors:
        assert error is None or isinstance(error, CommitError | StoreUnavailableError), (error, turns.trace)
    assert damage(world) == [], turns.trace
    for writer in writers:
        there = [name for name in world.objects if name.startswith(f"artifacts/{writer.name}/versions/")]
        assert len(there) == 1 or not writer.committed, turns.trace
        assert not writer.committed or b'"version"' in world.objects[there[0]][0], turns.trace
    return turns


def every_order(
    start: World, make: Callable[[World], Sequence[Callable[[], object]]], preemptions: int, refused: bool = False,
    share: float = 0.05,
) -> int:  # fmt: skip
    """Play all orders with at most so many preemptions, or a share of them; without `refused` every actor succeeds in each."""

    def run(choose: Choose) -> int:
        world = start.copy()
        turns = play(world, make(world), choose)
        assert refused or turns.errors == [None] * len(turns.errors), (turns.errors, turns.trace)
        return turns.steps

    return orders(run, 2, preemptions, share)


@pytest.mark.parametrize("looks", [True, False, None])
def test_a_writer_that_knows_the_plan_beside_its_sweep(looks: bool | None) -> None:
    """A writer that begins after the plan and needs what it condemns gets it, whatever the collector does meanwhile: it looks for
    the blob, or writes it again under the same name. One that takes it over from an earlier version gets it, or is refused.
    [COLLECT-6] [COLLECT-7] [COLLECT-9]"""
    refused = looks is None
    count = every_order(
        planned(), lambda world: [Writer(world, looks=looks), lambda: collect(world)], 2, refused=refused
    )
    assert count > 100


@pytest.mark.parametrize("looks", [True, False])
def test_a_writer_that_sleeps_through_everything(looks: bool) -> None:
    """A writer that began before the plan, and comes back at any step of the sweep, past every deadline: what it commits is
    whole, or it is refused and its version withdrawn. [COLLECT-8]"""
    began = old_garbage()
    made: list[Writer] = []

    def make(world: World) -> Sequence[Callable[[], object]]:
        def collect_twice() -> None:
            collect(world)
            world.now += GRACE_S + 10
            collect(world)

        writer = Writer(world, looks=looks)
        made.append(writer)
        return [writer, collect_twice]

    assert every_order(began, make, 2, refused=True) > 100
    assert not looks or any(not writer.committed for writer in made)
    assert any(writer.committed for writer in made)


class Careless(Collector):
    """Asks who needs what before it announces the sweep, and not after."""

    def _takes_on(self, collection: Collection, now: float) -> bool:
        marks, kept = self._mark(now), self._collections.kept(collection.plan)
        self._mark = lambda _: marks  # type: ignore[method-assign]
        self._collections.kept = lambda *_: kept  # type: ignore[method-assign]
        return super()._takes_on(collection, now)


def test_the_order_of_announcing_and_asking_matters() -> None:
    """A collector that looks first and announces then loses what was committed, in some order, and these tests find it."""

    def careless(world: World) -> GcReport:
        return Careless(ScriptedBackend(world), clock=lambda: world.now, elapsed=lambda: world.now).run()

    with pytest.raises(AssertionError, match="new:v0"):
        every_order(planned(), lambda world: [Writer(world, looks=None), lambda: careless(world)], 2, refused=True)


def test_two_collectors() -> None:
    """Two collectors at once: one plans and one sweeps, the other one says that it is busy, and nothing but garbage goes."""
    for start in (old_garbage(), planned()):
        assert every_order(start, lambda world: [lambda: collect(world), lambda: collect(world)], 2) > 50


def test_a_collector_that_dies_anywhere() -> None:
    """A collector killed at any of its steps leaves a store that is whole; a later one ends what it began, and the garbage is
    gone. [COLLECT-10]"""
    points = 0
    while True:
        world = planned()
        if not kill_at(world, points, lambda world=world: collect(world)):
            break
        points += 1
        assert damage(world) == []
        later = Writer(world)
        later.sleeps_with(lambda _: None)
        try:
            later()
        except StoreUnavailableError:
            later = Writer(world, "other", data=b"something else")
            later()
        assert later.committed
        for _ in range(4):
            world.now += GRACE_S + 10
            collect(world)
        assert damage(world) == []
        assert has_blob(world) == (later.name == "new")
    assert points > 10


def kill_at(world: World, point: int, actor: Callable[[], object]) -> bool:
    """Run an actor that dies before its step `point`; False where it came to its end."""
    left = [point]

    def step(operation: str, path: str) -> None:
        if matters(operation, path):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    world.step = step
    try:
        actor()
    except Killed:
        return True
    finally:
        world.step = lambda operation, path: None
    return False


def test_a_collector_that_died_is_left_alone_for_a_while() -> None:
    """While a sweep may still be going on nobody takes it over; after the time of grace somebody does. [COLLECT-11]"""
    world = planned()
    steps = 0
    while not any(path.endswith("sweep.json") for path in world.objects):
        world = planned()
        steps += 1
        kill_at(world, steps, lambda world=world: collect(world))
    assert collect(world).state == "busy"
    world.now += GRACE_S + 10
    assert collect(world).state in ("swept", "planned")
    assert not has_blob(world)


@pytest.mark.parametrize("seed", range(40))
def test_many_actors_in_any_order(seed: int) -> None:
    """Writers that know of the plan, one that does not, and two collectors, in orders drawn at random."""
    random_ = random.Random(seed)
    world = planned() if seed % 2 else old_garbage()

    def collect_on() -> None:
        collect(world)
        world.now += GRACE_S + 10
        collect(world)

    actors = [
        Writer(world, "one"),
        Writer(world, "two", looks=False),
        collect_on,
        lambda: collect(world),
        Writer(world, "three"),
    ]
    turns = play(
        world,
        actors,
        lambda step, current, awake: current if current in awake and random_.random() < 0.7 else random_.choice(awake),
    )
    assert turns.steps > len(actors)


@pytest.mark.long
@pytest.mark.parametrize("sleeper", [True, False])
@pytest.mark.parametrize("looks", [True, False])
def test_more_preemptions(looks: bool, sleeper: bool) -> None:
    """The same with three preemptions: some ten thousand orders."""

    def make(world: World) -> Sequence[Callable[[], object]]:
        def collector() -> None:
            collect(world)
            if sleeper:
                world.now += GRACE_S + 10
                collect(world)

        return [Writer(world, looks=looks), collector]

    count = every_order(old_garbage() if sleeper else planned(), make, 3, refused=sleeper, share=0.5)
    how = f"{'looks' if looks else 'rewrites'}, {'sleeps' if sleeper else 'knows the plan'}"
    note(f"orders of a collector and a writer that {how}", orders=count, preemptions=3)
    assert count > 2000

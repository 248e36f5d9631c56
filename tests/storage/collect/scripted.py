"""A store in memory whose every step is scripted: actors take turns at each call, in any order that a test asks for.

The orders are tried systematically: an actor runs on until it is done or is preempted, and all orders with a few preemptions
are tried, which is where such faults show (two are enough for a race, three for most that were ever found).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from tableformat.digest import Bytes
from tableformat.errors import CorruptError, NotFoundError
from tableformat.storage.interface import Backend, Names, ObjectInfo, Sink
from tableformat.storage.ranges import Range


class Killed(BaseException):
    """The actor died at this step."""


@dataclass
class World:
    """The objects of a store, and the clock by which they are written."""

    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    now: float = 1_000_000.0
    step: Callable[[str, str], None] = lambda operation, path: None

    def copy(self) -> World:
        return World(dict(self.objects), self.now)


class ScriptedBackend(Backend):
    """A backend over a world; asks for its turn before each call takes effect."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def root(self) -> str:
        return "scripted://store"

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.world.step("read", path)
        if path not in self.world.objects:
            raise NotFoundError(path)
        data = self.world.objects[path][0]
        piece = data[offset:] if length is None else data[offset : offset + length]
        if length is not None and len(piece) != length:
            raise CorruptError(path)
        return piece

    def read_or_none(self, path: str, *, limit: int | None = None) -> bytes | None:
        self.world.step("read", path)
        return self.world.objects.get(path, (None, 0.0))[0]

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self.read(*one) for one in ranges]

    def size(self, path: str) -> int | None:
        self.world.step("size", path)
        return len(self.world.objects[path][0]) if path in self.world.objects else None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self.world.step("list", prefix)
        start = f"{prefix}/" if prefix else ""
        found = [
            ObjectInfo(path, len(data), time)
            for path, (data, time) in self.world.objects.items()
            if path.startswith(start)
        ]
        return iter(sorted(found, key=lambda info: info.path))

    def list_folders(self, prefix: str) -> Names:
        self.world.step("list", prefix)
        inside = [path.removeprefix(f"{prefix}/") for path in self.world.objects if path.startswith(f"{prefix}/")]
        return sorted({path.split("/")[0] for path in inside if "/" in path})

    def create(self, path: str, data: Bytes) -> bool:
        self.world.step("create", path)
        if path in self.world.objects:
            return False
        self.world.objects[path] = (bytes(data), self.world.now)
        return True

    def put_chunks(self, path: str, chunks: Sequence[Bytes]) -> None:
        self.world.step("put", path)
        self.world.objects[path] = (b"".join(bytes(chunk) for chunk in chunks), self.world.now)

    def writer(self, path_hint: str = "data") -> Sink:
        raise AssertionError("not used")

    def delete(self, path: str) -> None:
        self.world.step("delete", path)
        self.world.objects.pop(path, None)

    def probe(self) -> None:
        pass

    def uri(self, path: str) -> str:
        return f"scripted://store/{path}"


WRITES = ("create", "put", "delete")


def matters(operation: str, path: str) -> bool:
    """Whether the order of this step and those of others can make a difference: hints and a session's own object cannot."""
    if path.endswith(("hint.json", "clock.json")) or path.startswith(("sessions/", "moved", "index")):
        return False
    return operation in WRITES or path.startswith(("gc", "artifacts")) or operation in ("size", "list")


class Turns:
    """Runs actors in threads, one at a time; `plan` names the steps, counted over all, at which the running one is preempted."""

    def __init__(
        self, world: World, actors: Sequence[Callable[[], None]], choose: Callable[[int, int, list[int]], int]
    ) -> None:
        self._world = world
        self._actors = actors
        self._choose = choose
        self._turn = [threading.Semaphore(0) for _ in actors]
        self._back = threading.Semaphore(0)
        self._of: dict[int, int] = {}
        self._ended = [False] * len(actors)
        self._sleeping = [False] * len(actors)
        self.errors: list[BaseException | None] = [None] * len(actors)
        self.steps = 0
        self.trace: list[str] = []

    def sleep(self, _: float) -> None:
        """What an actor calls instead of sleeping: others go first."""
        me = self._of[threading.get_ident()]
        self._sleeping[me] = True
        self._back.release()
        self._turn[me].acquire()

    def run(self) -> None:
        self._world.step = self._step
        threads = [
            threading.Thread(target=self._body, args=(index,), daemon=True) for index in range(len(self._actors))
        ]
        for thread in threads:
            thread.start()
        current = 0
        while not all(self._ended):
            alive = [index for index, ended in enumerate(self._ended) if not ended]
            awake = [index for index in alive if not self._sleeping[index]] or alive
            current = self._choose(self.steps, current, awake)
            self.steps += 1
            others = [index for index in alive if index != current]
            self._turn[current].release()
            self._back.acquire()
            for index in others:  # something happened: who waits looks again
                self._sleeping[index] = False
        for thread in threads:
            thread.join()
        self._world.step = lambda operation, path: None

    def _body(self, index: int) -> None:
        self._of[threading.get_ident()] = index
        self._turn[index].acquire()
        try:
            self._actors[index]()
        except BaseException as error:
            self.errors[index] = error
        self._ended[index] = True
        self._back.release()

    def _step(self, operation: str, path: str) -> None:
        me = self._of.get(threading.get_ident())
        if me is None or not matters(operation, path):
            return
        self.trace.append(f"{me} {operation} {path[-60:]}")
        self._back.release()
        self._turn[me].acquire()


def preempted_at(first: int, points: Sequence[int]) -> Callable[[int, int, list[int]], int]:
    """Begin with actor `first`, and hand on to the next one at these steps, or where the running one cannot go on."""

    def choose(step: int, current: int, awake: list[int]) -> int:
        if step == 0:
            return first if first in awake else awake[0]
        if current not in awake or step in points:
            later = [index for index in awake if index > current]
            return (later or awake)[0] if current not in awake or len(awake) > 1 else current
        return current

    return choose


def orders(
    run: Callable[[Callable[[int, int, list[int]], int]], int], actors: int, preemptions: int, share: float = 1.0
) -> int:
    """Call `run` with every order of at most so many preemptions; it returns how many steps it took. Returns how many there were.

    Of those with two preemptions and more a `share` is drawn, always the same.
    """
    random = Random(7)
    count = 0
    waiting: list[tuple[int, tuple[int, ...]]] = [(first, ()) for first in range(actors)]
    while waiting:
        first, points = waiting.pop()
        steps = run(preempted_at(first, points))
        count += 1
        if len(points) < preemptions:
            further = range(points[-1] + 1 if points else 1, steps)
            waiting += [(first, (*points, point)) for point in further if not points or random.random() < share]
    return count

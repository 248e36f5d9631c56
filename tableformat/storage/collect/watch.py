"""A writer's side of the protocol of collections: what it must not count on, and how it says that it needs it after all.

Each of the two sides first writes and then looks: a writer its keep, or its version, and then for a sweep; a collector its
sweep, and then for keeps and versions. So at least one of them sees the other (spec/collection.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import compress, islice
from typing import Final

from tableformat.errors import CommitError, ConflictError, NotFoundError, StoreUnavailableError, message
from tableformat.format.documents import utc_text
from tableformat.storage.collect.collections import Collection, Collections
from tableformat.storage.collect.documents import Keep
from tableformat.storage.collect.path_set import PathSet
from tableformat.storage.collect.paths import kind_of
from tableformat.storage.interface import Backend
from tableformat.storage.locations import DATA
from tableformat.storage.moved import moved_path

__all__ = ["CollectionWatch"]

_KEPT_TOGETHER: Final = 10_000
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 20.0
_WAIT_S: Final = 900.0
_ALL: Final = 256


class CollectionWatch:
    """What one session knows of collections. `begin` comes before the first look-up; `need` may come from several threads.

    Holds 8 bytes for each object that is condemned while it writes.
    """

    def __init__(self, backend: Backend, session: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._backend = backend
        self._session = session
        self._sleep = sleep
        self._collections = Collections(backend)
        self._known: Collection | None = None
        self._is_over = True
        self._condemned = PathSet()
        self._kept: set[str] = set()
        self._keeps = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Read the newest plan, after the session's object was created. One round trip where nothing was ever collected."""
        self._known = self._collections.newest()
        self._is_over = self._known is None or self._known.state == "done"
        if self._known is not None and not self._is_over:
            self._condemned = self._collections.condemned(self._known.plan)

    def is_condemned(self, path: str) -> bool:
        """Whether the object is to be treated as absent: it is condemned, and was not kept by this session."""
        return not self._is_over and path not in self._kept and path in self._condemned

    def need(self, paths: Iterable[str]) -> None:
        """Before objects of these names are written, or counted on: if one is condemned, see to it that it stays.

        While it is being deleted this waits for the end, up to a quarter of an hour; the object is gone then, and is to be
        written. Raises `StoreUnavailableError` where the end does not come.
        """
        if self._is_over or self._known is None:
            return
        wanted = sorted({path for path in paths if self.is_condemned(path)})
        if wanted:
            with self._lock:
                for start in range(0, len(wanted), _KEPT_TOGETHER):
                    self._keep(wanted[start : start + _KEPT_TOGETHER])
                if self._collections.state_of(self._known.number) != "planned":
                    self._wait(self._known.number)
                    self._is_over = True
                self._kept.update(wanted)

    def secure(self, paths: Iterable[str]) -> None:
        """Before a commit: keep what the version names and the plan condemns, and see that it is there.

        Raises `ConflictError` where some of it was collected: what was written must be written again.
        """
        if not self._condemned:
            return
        wanted = _common(paths, self._condemned)
        if wanted:
            self.need(wanted)
            self._check(wanted, "committing a version")

    def settle(self, paths: Callable[[], Iterable[str]]) -> None:
        """After a commit: look whether a sweep began that this session did not reckon with; then see that all is there.

        `paths` gives what the version names. Waits for the end of such a sweep if it condemns some of it. Raises `ConflictError` where
        objects are gone, `CommitError` where the end does not come.
        """
        first = 0 if self._known is None else self._known.number + (self._known.state == "done")
        for number in range(first, first + _ALL):
            found = self._collections.read(number)
            if found is None:
                return
            is_reckoned = self._known is not None and number == self._known.number
            if found.state == "planned" or is_reckoned:
                continue  # what was reckoned with was kept, or not used
            try:
                wanted = self._condemned_by(found, paths())
            except NotFoundError as error:
                raise ConflictError(str(error)) from error
            if wanted and found.state != "done":
                try:
                    self._wait(number)
                except StoreUnavailableError as error:
                    raise CommitError(str(error)) from error
            self._check(wanted, "looking after a commit whether all of the version is there")

    def _condemned_by(self, collection: Collection, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that a collection condemned; all, where its lists are gone, as they are some time after its end."""
        try:
            condemned = self._collections.condemned(collection.plan)
        except NotFoundError:
            return list(dict.fromkeys(paths))
        return _common(paths, condemned)

    def end(self) -> None:
        """The session is over: everything that is there is there."""
        self._condemned, self._is_over = PathSet(), True

    def _may_lack(self, path: str) -> bool:
        """Whether an object need not be there: a moved/ file, or a pack or blob in whose place there is one."""
        kind = kind_of(path)
        uri = path.removeprefix(DATA).removesuffix(".sums")
        return kind == "moved" or (
            kind in ("packs", "blobs", "sums") and self._backend.size(moved_path(uri)) is not None
        )

    def _keep(self, paths: Sequence[str]) -> None:
        assert self._known is not None
        document = Keep(self._session, utc_text(datetime.now(UTC)), tuple(paths))
        path = f"{self._known.folder}/keep-{self._session}-{self._keeps}.json"
        self._keeps += 1
        self._backend.put(path, document.encode())

    def _wait(self, number: int) -> None:
        waited, pause = 0.0, _FIRST_WAIT
        while self._collections.state_of(number) != "done":
            if waited >= _WAIT_S:
                raise StoreUnavailableError(
                    message("waiting for a collection to end", path=f"{self._backend.root}/gc/{number:020d}",
                            expected="done.json", got="none after a quarter of an hour",
                            todo="look whether its collector still runs; if it died, gc ends it, and then write again")
                )  # fmt: skip
            self._sleep(pause)
            waited += pause
            pause = min(pause * 1.5, _LONGEST_WAIT)

    def _check(self, paths: Sequence[str], doing: str) -> None:
        gone = [path for path in paths if self._backend.size(path) is None and not self._may_lack(path)]
        if gone:
            raise ConflictError(
                message(doing, path=self._backend.root, expected=f"{gone[0]} and {len(paths) - 1} more",
                        got=f"{len(gone)} that a collection deleted meanwhile",
                        todo="draft again: what is written anew will stay")
            )  # fmt: skip


def _common(paths: Iterable[str], condemned: PathSet) -> list[str]:
    """Those of `paths`, each once, that are condemned."""
    found: dict[str, None] = {}
    source = iter(paths)
    while some := list(islice(source, 4096)):
        found.update(dict.fromkeys(compress(some, condemned.contains(some).tolist())))
    return list(found)

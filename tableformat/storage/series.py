"""Numbered series of create-only documents: `<folder>/00000000000000000000.json` and on, without gaps.

Versions, moves of an alias and indexes are such series. What stands in one is settled by who creates the next number
first; which number is the highest is found by asking for numbers, never by listing: numbers have no gaps, so the
existing ones are those below some bound, which is galloped to and then searched.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from random import Random
from typing import Final

from tableformat.errors import (
    CommitStateUnknownError,
    InvalidInputError,
    NotFoundError,
    StoreFullError,
    StorePermissionError,
    TableformatError,
    message,
)
from tableformat.storage.interface import Backend

__all__ = ["MAX_NUMBER", "Series", "new_commit_id", "slot_name", "slot_number"]

MAX_NUMBER: Final = 2**53 - 1
"""Highest number: documents hold no larger integers."""
_STRIDE: Final = 4
"""Requests that are sent together while galloping and searching."""
_TRIES: Final = 6
_FIRST_WAIT: Final = 0.05
_FILE = re.compile(r"([0-9]{20})\.json")


def new_commit_id() -> str:
    """A fresh nonce of 32 hex digits, by which a writer knows its own document again."""
    return secrets.token_hex(16)


def slot_name(number: int) -> str:
    """The file name of `number`: 20 digits, so that listings sort."""
    if not 0 <= number <= MAX_NUMBER:
        raise InvalidInputError(message("numbering a document", expected=f"0 to {MAX_NUMBER}", got=number))
    return f"{number:020d}.json"


def slot_number(name: str) -> int | None:
    """The number in a file name; None for a name that `slot_name` never makes."""
    match = _FILE.fullmatch(name)
    return int(match[1]) if match and int(match[1]) <= MAX_NUMBER else None


class Series:
    """The documents of one folder, as bytes. Holds no state, so it may be shared.

    `sleep` and `random` are for tests: they pace the repetition of a request whose answer was lost.
    """

    def __init__(
        self,
        backend: Backend,
        folder: str,
        *,
        limit: int,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        self.backend = backend
        """Where the folder is."""
        self.folder = folder
        """Path of the folder in the store."""
        self._limit = limit
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - spreads waits, guards nothing

    def path(self, number: int) -> str:
        """Path of document `number`."""
        return f"{self.folder}/{slot_name(number)}"

    def read(self, number: int) -> bytes | None:
        """The bytes of document `number`; None if there is none. Raises `LimitError` above the limit of the series."""
        return self.backend.read_or_none(self.path(number), limit=self._limit)

    def read_many(self, first: int, last: int) -> list[bytes | None]:
        """Documents `first` to `last` inclusive, asked for together."""
        return self.backend.read_many_or_none(
            [self.path(number) for number in range(first, last + 1)], limit=self._limit
        )

    def newest(self, near: int = 0) -> tuple[int, bytes] | None:
        """The highest number and its bytes; None for an empty series.

        `near` is a guess, which may be wrong in any way: right, it costs two requests sent together; too low by d,
        about log d rounds more; too high, as much as no guess.
        """
        near = max(0, min(near, MAX_NUMBER - 1))
        low, above = self._ask([near, near + 1])
        if low is None:
            return self.newest() if near else None
        if above is None:
            return near, low
        return self._gallop(near + 1, above)

    def create(self, number: int, data: bytes, is_ours: Callable[[bytes], bool]) -> bytes | None:
        """Create document `number`: None if it is now there and ours, else the bytes of the other that is there.

        After every error of the request the number is read back: `is_ours` (which sees nothing but the bytes there)
        decides whether the answer alone was lost. Where nothing can be read back the same bytes are sent again, a few
        times with growing waits. Raises `CommitStateUnknownError` when it stays unknown; deletes nothing, ever.
        """
        path = self.path(number)
        problem: TableformatError | None = None
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(_FIRST_WAIT * 2**attempt * (0.5 + self._random.random()))
            refusal: TableformatError | None = None
            try:
                if self.backend.create(path, data):
                    return None
            except TableformatError as error:
                refusal = problem = error
            try:
                found = self.backend.read_or_none(path, limit=self._limit)
                if found is not None:
                    return None if found == data or is_ours(found) else found
            except TableformatError as error:  # unreadable is unknown, too
                problem = problem or error
                continue
            if self.backend.is_local and isinstance(refusal, StoreFullError | StorePermissionError):
                raise refusal  # this machine said no, and nothing is there: that is an answer
        raise CommitStateUnknownError(
            message("creating a document that decides a commit", path=self._shown(path), expected="an answer, or to read it back",
                    got=str(problem) if problem else "it was said to exist, and cannot be found",
                    todo="look later whether it is there: nothing was deleted, and the same data can be committed again")
        ) from problem  # fmt: skip

    def require(self, number: int) -> bytes:
        """`read`, raising `NotFoundError` where there is none."""
        data = self.read(number)
        if data is None:
            raise NotFoundError(
                message("reading a document of a series", path=self._shown(self.path(number)), got="nothing there")
            )
        return data

    def _ask(self, numbers: list[int]) -> list[bytes | None]:
        return self.backend.read_many_or_none([self.path(number) for number in numbers], limit=self._limit)

    def _gallop(self, known: int, data: bytes) -> tuple[int, bytes]:
        """The newest, given that `known` exists: ever longer steps, then ever shorter ones, a few at a time."""
        step, absent = 1, MAX_NUMBER + 1
        while known + step < absent:
            numbers = [known + step * 2**i for i in range(_STRIDE) if known + step * 2**i < absent]
            known, data, absent = _narrow(numbers, self._ask(numbers), known, data, absent)
            if absent <= MAX_NUMBER:
                break
            step *= 2**_STRIDE
        while absent - known > 1:
            width = max(1, (absent - known) // (_STRIDE + 1))
            numbers = [known + width * i for i in range(1, _STRIDE + 1) if known + width * i < absent]
            known, data, absent = _narrow(numbers, self._ask(numbers), known, data, absent)
        return known, data

    def _shown(self, path: str) -> str:
        return f"{self.backend.root}/{path}"


def _narrow(
    numbers: list[int], answers: list[bytes | None], known: int, data: bytes, absent: int
) -> tuple[int, bytes, int]:
    """The highest known, its bytes, and the lowest absent number, after `answers` to `numbers` (ascending)."""
    for number, answer in zip(numbers, answers, strict=True):
        if answer is None:
            return known, data, number
        known, data = number, answer
    return known, data, absent

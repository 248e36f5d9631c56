"""What a verification found: `VerifyReport`, and `Findings`, which gathers it while threads read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import pyarrow as pa

from tableformat.errors import BackendError, CorruptError, ErasedError, FormatError, Problem, TableformatError

__all__ = ["MAX_PROBLEMS", "Findings", "Progress", "VerifyReport"]

MAX_PROBLEMS: Final = 10_000
"""Problems that are told one by one; a store with more of them is lost, and the report says how many there are."""
_SHOWN_ROWS: Final = 10
_MALFORMED: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
# What a document raises whose digest is right and whose fields are not what the specification says.
_MAX_HITS: Final = 100_000

Progress = Callable[[int, int, str], None]
"""Called as bytes are checked with the bytes and files done so far, and the path at hand; from several threads, one at a time."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The outcome of a verification."""

    bytes: int
    """Bytes that were read and compared."""
    files: int
    """Files that were."""
    rows: int
    """Rows whose values were compared with the digests of their columns."""
    blobs: int
    """Blobs whose bytes were compared with their digest."""
    references: int
    """Cells that point at bytes outside of the store, which are not looked at."""
    problem_count: int
    """How many problems were found; more than `problems` lists where there are very many."""
    problems: tuple[Problem, ...]
    """What is wrong, each with the file and, for media, the rows that show it. Empty: every byte is what it was."""
    erased: int = 0
    """Cells and entries whose bytes were erased on purpose. That is no damage."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem_count


class Findings:
    """Gathers counts and problems; safe from many threads. Holds at most `MAX_PROBLEMS` problems and 100,000 damaged blobs."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._bytes = self._files = self._rows = self._blobs = self._references = self._count = self._erased = 0
        self._problems: list[Problem] = []
        self._told: set[tuple[str, str]] = set()
        self._hits: OrderedDict[tuple[str, str], list[str]] = OrderedDict()
        self._hit_counts: dict[tuple[str, str], int] = {}

    def read(self, path: str, size: int, *, files: int = 0) -> None:
        """`size` more bytes of the file at `path` were compared, and it was the last of them where `files` is 1."""
        with self._lock:
            self._bytes += size
            self._files += files
            if self._progress is not None:
                self._progress(self._bytes, self._files, path)

    def count(self, *, rows: int = 0, blobs: int = 0, references: int = 0, erased: int = 0) -> None:
        """So many more were checked."""
        with self._lock:
            self._rows += rows
            self._blobs += blobs
            self._references += references
            self._erased += erased

    def add(self, place: str, text: str, kind: str = "corrupt") -> None:
        """Something is wrong at `place`, a path in the store with more behind it; told once."""
        with self._lock:
            if (place, text) in self._told:
                return
            self._count += 1
            if len(self._problems) < MAX_PROBLEMS:
                self._told.add((place, text))
                self._problems.append(Problem(place, text, kind))

    def hit(self, place: str, text: str, row: str, rows: int = 1) -> None:
        """The damage `text` at `place` shows in `rows` rows, of which `row` is the first; told once for all rows."""
        with self._lock:
            key = (place, text)
            if key not in self._hits and len(self._hits) >= _MAX_HITS:
                self._count += 1
                return
            shown = self._hits.setdefault(key, [])
            if len(shown) < _SHOWN_ROWS:
                shown.append(row)
            self._hit_counts[key] = self._hit_counts.get(key, 0) + rows

    def guard(self, place: str) -> _Guard:
        """In a `with` statement: whatever is wrong inside becomes a problem at `place`, and the verification goes on behind
        the block. A backend that fails raises."""
        return _Guard(self, place)

    def report(self) -> VerifyReport:
        """All of it; damaged blobs with the rows that show them come last."""
        with self._lock:
            problems, count = list(self._problems), self._count
            for (place, text), rows in self._hits.items():
                total = self._hit_counts[place, text]
                more = f" and {total - len(rows)} more" if total > len(rows) else ""
                count += 1
                problems.append(Problem(place, f"{text} · seen in {'; '.join(rows)}{more}", CorruptError.kind))
            return VerifyReport(
                self._bytes,
                self._files,
                self._rows,
                self._blobs,
                self._references,
                count,
                tuple(problems[:MAX_PROBLEMS]),
                self._erased,
            )


class _Guard:
    """See `Findings.guard`. A class, since only so a checker sees that it swallows exceptions."""

    __slots__ = ("_findings", "_place")

    def __init__(self, findings: Findings, place: str) -> None:
        self._findings = findings
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, BackendError):
            return False
        if isinstance(error, ErasedError):
            self._findings.count(erased=1)
            return True
        if isinstance(error, TableformatError):
            self._findings.add(self._place, str(error), error.kind)
        elif isinstance(error, pa.ArrowException | OSError):  # of a Parquet file
            self._findings.add(self._place, str(error)[:300], CorruptError.kind)
        elif isinstance(error, _MALFORMED):
            self._findings.add(self._place, f"not what the format says: {error!r}"[:300], FormatError.kind)
        else:
            return False
        return True

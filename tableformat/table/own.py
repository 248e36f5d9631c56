"""Owning references: their bytes are fetched, compared with what was known, and stored; where they came from is kept.

The cells of one column change; beside it stands `<column>_origin`, which says of each owned cell what it pointed at before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tableformat.errors import (
    BackendError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    Problem,
    ReferenceChangedError,
    SchemaError,
    message,
)
from tableformat.format.expr import Predicate
from tableformat.format.media import Cell, File, Media
from tableformat.format.media.prepared import CHECKSUM_PREFIX
from tableformat.format.reference import HTTP, LOCAL, NOTHING, known_of_cell, scheme_of, shown
from tableformat.format.schema import Schema
from tableformat.format.types import MediaType
from tableformat.progress import Meter, Progress
from tableformat.storage.outside.reader import MAX_BYTES, Outside, Wanted
from tableformat.table.media_placer import MEDIA_CLASSES
from tableformat.table.reading import Reading
from tableformat.table.selection import Filter
from tableformat.table.table import Table

__all__ = ["ORIGIN_TYPE", "OnChanged", "Owned", "Owning", "origin_name"]

OnChanged = Literal["raise", "collect"]
ORIGIN_TYPE: Final = pa.struct(
    [
        pa.field("uri", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("checksum", pa.string()),
        pa.field("version_id", pa.string()),
    ]
)
"""The column beside an owned one: what each cell pointed at."""
_GROUP_BYTES: Final = 32 << 20
_GROUP_ROWS: Final = 512
_GUESSED_BYTES: Final = 1 << 20  # of a reference whose size is not known
_THREADS: Final = 16
_MAX_PROBLEMS: Final = 10_000


def origin_name(column: str) -> str:
    """The column that says where the media of `column` came from."""
    return f"{column}_origin"


@dataclass(frozen=True, slots=True)
class Owned:
    """What owning did, or would do."""

    references: int
    """References among the rows that were chosen."""
    owned: int
    """Of them, those whose bytes are now owned; of a dry run, all that would be."""
    requests: int
    """Requests to the places where they lie, at least; redirects and repetitions come on top."""
    bytes: int
    """Bytes fetched; of a dry run, the sum of the sizes that are known."""
    unknown_sizes: int = 0
    """References whose size nobody knows before they are read."""
    problems: tuple[Problem, ...] = ()
    """With `on_changed="collect"`, references that stay what they are: row and URL, and why; at most 10,000."""
    failed: int = 0
    """How many there are of these."""


class _Row(NamedTuple):
    media: Media | None
    origin: Any
    wanted: Wanted | None


class Owning:
    """One run over one column of a table. `plan` tells what it costs, `rows` carries it out once; `report` says what was done."""

    def __init__(
        self,
        table: Table,
        column: str,
        predicate: Predicate | None,
        outside: Outside,
        *,
        limit: int | None = None,
        on_changed: OnChanged = "raise",
        progress: Progress = True,
    ) -> None:
        doing = f"owning references of table {table.source.name!r}"
        if on_changed not in ("raise", "collect"):
            raise InvalidInputError(
                message(doing, expected="on_changed 'raise' or 'collect'", got=repr(on_changed)[:40])
            )
        field = table.schema[column]
        if not isinstance(field.type, MediaType):
            raise SchemaError(message(doing, expected="a column of media", got=f"{column!r} of type {field.type}"))
        self._table, self._column, self._kind, self._outside = table, column, field.type.media, outside
        self._limit, self._collects, self._progress = limit, on_changed == "collect", progress
        self._doing = doing
        self._chosen = None if predicate is None else _chosen(table, predicate)
        self._problems: list[Problem] = []
        self._references = self._owned = self._requests = self._bytes = self._unknown = self._failed = 0

    @property
    def schema(self) -> Schema:
        """The columns that `rows` gives."""
        origin = Schema.from_user({origin_name(self._column): ORIGIN_TYPE})
        return Schema((self._table.schema[self._column].without_ids(), *origin.columns))

    @property
    def report(self) -> Owned:
        """What was counted so far."""
        return Owned(
            self._references,
            self._owned,
            self._requests,
            self._bytes,
            self._unknown,
            tuple(self._problems),
            self._failed,
        )

    def plan(self) -> Owned:
        """What owning would take; reads the cells, and nothing outside of the store. Raises `AccessRefusedError` as owning would."""
        for row in self._iterate():
            if row.wanted is not None:
                self._outside.where(row.wanted.url)
                self._owned += 1
                self._requests += _requests(row.wanted)
                self._bytes += row.wanted.size or 0
        return self.report

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each row of the table: its media, owned or as they were, and where they came from.

        Holds 32 MiB of what is fetched, or 16 references that are larger. With `on_changed="raise"` the first reference that
        changed, or is gone, ends it.
        """
        for group in self.groups():
            for row, _ in group:
                yield row

    def groups(self, start: int = 0) -> Iterator[list[tuple[dict[str, Any], Problem | None]]]:
        """`rows` from row `start` on, in the groups in which they are fetched, each with why it stays a reference, if it does."""
        with (
            Meter(self._doing, None, "bytes", self._progress) as meter,
            ThreadPoolExecutor(_THREADS, "own") as threads,
        ):
            for group in _groups(self._iterate(start)):
                yield [self._row(row, data) for row, data in zip(group, threads.map(self._fetch, group), strict=True)]
                meter.at(self._bytes)

    @property
    def collects(self) -> bool:
        """Whether references that changed or are gone stay what they are, and are told."""
        return self._collects

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of `report`, by name: where a run that was broken off goes on."""
        report = self.report
        names = ("references", "owned", "requests", "bytes", "unknown_sizes", "failed")
        return {name: getattr(report, name) for name in names}

    def go_on(self, counts: Mapping[str, int], problems: Iterable[Problem]) -> None:
        """Count on from where another run of the same was broken off."""
        self._references, self._owned, self._requests = counts["references"], counts["owned"], counts["requests"]
        self._bytes, self._unknown, self._failed = counts["bytes"], counts["unknown_sizes"], counts["failed"]
        self._problems = list(itertools.islice(problems, _MAX_PROBLEMS))

    def _iterate(self, start: int = 0) -> Iterator[_Row]:
        """The rows of the table from `start` on, those that are to be owned with what to read."""
        origin = origin_name(self._column)
        names = [self._column, *([origin] if origin in self._table.schema else [])]
        rows = self._table.select(*names)
        for number, row in enumerate((rows[start:] if start else rows).rows(), start):
            # Boxes, masks and captions stand in columns of their own, which stay as they are.
            media = None if row[self._column] is None else row[self._column].bare()
            wanted = None
            if media is not None and (self._chosen is None or self._chosen[number]) and media.reference is not None:
                self._references += 1
                if self._limit is None or self._references <= self._limit:
                    wanted = _wanted(media.cell)
                    self._unknown += wanted.size is None
            yield _Row(media, row.get(origin), wanted)

    def _fetch(self, row: _Row) -> bytes | Exception | None:
        if row.wanted is None:
            return None
        try:
            return self._outside.read(row.wanted, MAX_BYTES)
        except (ReferenceChangedError, NotFoundError) as error:
            return error
        except (BackendError, LimitError) as error:
            if not self._collects:
                raise
            return error

    def _row(self, row: _Row, data: bytes | Exception | None) -> tuple[dict[str, Any], Problem | None]:
        media, origin, problem = row.media, row.origin, None
        if row.wanted is not None:
            self._requests += _requests(row.wanted)
        if isinstance(data, Exception):
            if not self._collects:
                raise data
            self._failed += 1
            assert row.wanted is not None
            problem = Problem(shown(row.wanted.url), str(data), getattr(data, "kind", "invalid"))
            if len(self._problems) < _MAX_PROBLEMS:
                self._problems.append(problem)
        elif data is not None:
            assert media is not None
            self._owned += 1
            self._bytes += len(data)
            cell = media.cell
            assert cell is not None
            origin = {name: getattr(cell, name) for name in ("uri", "offset", "size", "checksum", "version_id")}
            media = File(data, media.name) if isinstance(media, File) else MEDIA_CLASSES[self._kind](data)
        return {self._column: media, origin_name(self._column): origin}, problem


def _wanted(cell: Cell | None) -> Wanted:
    assert cell is not None
    assert cell.uri is not None
    known = known_of_cell(cell.checksum, cell.version_id, cell.size, cell.offset)
    checksum = cell.checksum or ""
    digest = bytes.fromhex(checksum[len(CHECKSUM_PREFIX) :]) if checksum.startswith(CHECKSUM_PREFIX) else None
    return Wanted(cell.uri, cell.offset, cell.size, known, digest)


def _requests(wanted: Wanted) -> int:
    """Requests for one: two where a bucket is first asked whether the object is the same."""
    scheme = scheme_of(wanted.url)
    if scheme in LOCAL:
        return 0
    asks = wanted.size is None or (wanted.digest is None and wanted.known != NOTHING)
    return 1 if scheme in HTTP or not asks else 2


def _groups(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Rows whose bytes are fetched together."""
    group: list[_Row] = []
    held = 0
    for row in rows:
        group.append(row)
        held += 0 if row.wanted is None else row.wanted.size if row.wanted.size is not None else _GUESSED_BYTES
        if held >= _GROUP_BYTES or len(group) >= _GROUP_ROWS:
            yield group
            group, held = [], 0
    if group:
        yield group


def _chosen(table: Table, predicate: Predicate) -> npt.NDArray[np.bool_]:
    """Which rows a predicate is true for; a byte for each."""
    found = np.zeros(table.num_rows, np.bool_)
    for piece in Reading(table.source).pieces([Filter(predicate)], []):
        found[np.asarray(piece.rows, np.int64)] = True
    return found

"""What became of the references of a version: each is ok, changed, missing, or nobody can tell.

Nothing is read but what listings and heads tell. Entries of references are compared with one listing; cells of tables are looked
up by listing, too, where many lie together, and else one by one, 16 at the same time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import pyarrow as pa

from tableformat.errors import (
    AccessRefusedError,
    BackendError,
    InvalidInputError,
    NotFoundError,
    TableformatError,
    message,
)
from tableformat.format.cells import CellRewriter, fields_of
from tableformat.format.media import Media
from tableformat.format.media.prepared import Reference
from tableformat.format.reference import HTTP, Known, State, known_of_cell, scheme_of
from tableformat.format.reference_leaf import Listed
from tableformat.progress import Meter, Progress
from tableformat.storage.outside.reader import Outside
from tableformat.table.references import References
from tableformat.table.table import Table

__all__ = ["DRIFT_SCHEMA", "Drift", "drift_of", "iter_drift"]

DRIFT_SCHEMA: Final = pa.schema(
    [
        pa.field("entry", pa.string(), nullable=False),
        pa.field("column", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("expected", pa.string()),
        pa.field("found", pa.string()),
    ]
)
"""The table of `verify --references`: where a reference stands, what it points at, its state, and both sides."""
_BATCH: Final = 8192
_THREADS: Final = 16
_LISTED_FROM: Final = 512
"""URLs of one folder from which on they are looked up by a listing, unless that holds far more than them."""
_LISTED_EXCESS: Final = 8


@dataclass(frozen=True, slots=True)
class Drift:
    """What became of the references of a version."""

    counts: Mapping[str, int]
    """How many are `ok`, `changed`, `missing`, `unknown`."""
    table: pa.Table
    """A line for each, or for each that is not ok; of `DRIFT_SCHEMA`."""

    @property
    def ok(self) -> bool:
        """Whether none changed or is missing."""
        return not self.counts["changed"] and not self.counts["missing"]


class _Line(NamedTuple):
    entry: str
    column: str | None
    row: int | None
    uri: str
    expected: Known


def drift_of(
    entries: Mapping[str, Any],
    outside: Outside,
    *,
    keep: Literal["problems", "all"] = "problems",
    progress: Progress = True,
) -> Drift:
    """The state of every reference in `entries`, a version. Holds the lines that it keeps."""
    if keep not in ("problems", "all"):
        raise InvalidInputError(
            message("looking at references", expected="keep 'problems' or 'all'", got=repr(keep)[:40])
        )
    counts = dict.fromkeys(("ok", "changed", "missing", "unknown"), 0)
    kept = []
    with Meter("looking at references", None, "files", progress) as meter:
        for batch in iter_drift(entries, outside):
            states = batch.column("state").to_pylist()
            for state in states:
                counts[state] += 1
            chosen = batch if keep == "all" else batch.filter(pa.array([state != "ok" for state in states], pa.bool_()))
            kept.append(chosen)
            meter.step(batch.num_rows)
    return Drift(counts, pa.Table.from_batches(kept, schema=DRIFT_SCHEMA))


def iter_drift(entries: Mapping[str, Any], outside: Outside) -> Iterator[pa.RecordBatch]:
    """The state of every reference, in batches of `DRIFT_SCHEMA`; holds a batch, and a page of a listing."""
    with ThreadPoolExecutor(_THREADS, "drift") as threads:
        for name in entries:
            found = entries[name]
            if isinstance(found, References):
                yield from _of_list(name, found, outside)
            elif isinstance(found, Media) and found.reference is not None:
                yield _of_cells([_line(name, None, None, found.reference)], outside, threads)
            elif type(found) is Table:
                for lines in _in_batches(_of_table(name, found)):
                    yield _of_cells(lines, outside, threads)


def _in_batches(lines: Iterable[_Line]) -> Iterator[list[_Line]]:
    source = iter(lines)
    while batch := list(itertools.islice(source, _BATCH)):
        yield batch


# Entries of references: two sorted lists


def _of_list(name: str, references: References, outside: Outside) -> Iterator[pa.RecordBatch]:
    prefix = references.prefix
    problem: str | None = None
    now: Iterator[Listed] = iter(())
    try:
        now = iter(_checked(outside.list(prefix)))
        first = next(now, None)
    except NotFoundError:
        first = None
    except (AccessRefusedError, BackendError) as error:
        first, problem = None, str(error)
    rows: list[tuple[Any, ...]] = []
    head = first
    for one in references.listed():
        try:
            while head is not None and head.path < one.path and problem is None:
                head = next(now, None)
        except BackendError as error:  # the listing broke off: nobody can tell of the rest
            problem = str(error)
        line = _Line(name, None, None, prefix + one.path, one.known)
        if problem is not None:
            rows.append(_told(line, "unknown", problem))
        elif head is not None and head.path == one.path:
            rows.append(_told(line, outside.compare(line.uri, one.known, head.known), head.known.told()))
        else:
            rows.append(_told(line, "missing", None))
        if len(rows) >= _BATCH:
            yield _arrow(rows)
            rows = []
    if rows:
        yield _arrow(rows)


def _checked(listed: Iterator[Listed]) -> Iterator[Listed]:
    """A listing, whose complaint about names at its end concerns no reference."""
    try:
        yield from listed
    except InvalidInputError:
        return


# Cells


def _of_table(name: str, table: Table) -> Iterator[_Line]:
    """The references in the cells of a table, at any depth."""
    own = table.source.backend.uri("data") + "/"
    columns = [column.name for column in table.schema.columns]
    first = 0
    for batch in table.batches() if columns else ():
        for column in columns:
            array = batch.column(column)
            array = array.storage if isinstance(array, pa.ExtensionArray) else array
            for cells in _cells_in(array):
                yield from _of_array(name, column, cells, own, first if len(cells) == batch.num_rows else None)
        first += batch.num_rows


def _cells_in(array: pa.Array) -> list[pa.StructArray]:
    """Every array of cells inside of an array, at any depth."""
    found: list[pa.StructArray] = []

    def note(cells: pa.StructArray, _: pa.DataType) -> pa.StructArray:
        found.append(cells)
        return cells

    rewriter = CellRewriter.plan(array.type, lambda type_: type_, note)
    if rewriter is not None:
        rewriter.convert(array)
    return found


def _of_array(name: str, column: str, cells: pa.StructArray, own: str, first: int | None) -> Iterator[_Line]:
    file = fields_of(cells.field("file"))
    names = ("uri", "offset", "size", "checksum", "inline")
    values = zip(
        *(file[one].to_pylist() for one in names),
        cells.field("version_id").to_pylist(),
        cells.is_valid().to_pylist(),
        strict=True,
    )
    for row, (uri, offset, size, checksum, inline, version, valid) in enumerate(values):
        if valid and inline is None and uri is not None and "://" in uri and not uri.startswith(own):
            yield _line(
                name, column, None if first is None else first + row, Reference(uri, offset, size, checksum, version)
            )


def _line(name: str, column: str | None, row: int | None, reference: Reference) -> _Line:
    known = known_of_cell(reference.checksum, reference.version_id, reference.size, reference.offset)
    return _Line(name, column, row, reference.uri, known)


def _of_cells(lines: list[_Line], outside: Outside, threads: ThreadPoolExecutor) -> pa.RecordBatch:
    urls = sorted({line.uri for line in lines})
    found: dict[str, Known | TableformatError | None] = {}
    if len(urls) >= _LISTED_FROM:
        found = _by_listing(urls, outside)
    rest = [url for url in urls if url not in found]
    found.update(zip(rest, threads.map(lambda url: _look(url, outside), rest), strict=True))
    rows = []
    for line in lines:
        now = found[line.uri]
        if now is None:
            rows.append(_told(line, "missing", None))
        elif isinstance(now, Known):
            rows.append(_told(line, outside.compare(line.uri, line.expected, now), now.told()))
        else:
            rows.append(_told(line, "unknown", str(now)))
    return _arrow(rows)


def _look(url: str, outside: Outside) -> Known | TableformatError | None:
    """What is told of an object; None where it is gone, the error where that cannot be said."""
    try:
        return outside.info(url)
    except NotFoundError:
        return None
    except TableformatError as error:
        return error


def _by_listing(urls: list[str], outside: Outside) -> dict[str, Known | TableformatError | None]:
    """What is told of `urls` (sorted) by a listing of the folder that holds them all; of those it reaches before it has
    passed by far more others."""
    first, last = urls[0], urls[-1]
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    folder = first[: first.rfind("/", 0, same) + 1]
    found: dict[str, Known | TableformatError | None] = {}
    if scheme_of(folder) in HTTP or folder.count("/") < 3 or not folder.partition("://")[2].strip("/"):
        return found
    at = 0
    try:
        for seen, one in enumerate(_checked(outside.list(folder, after=first[len(folder) : -1]))):
            url = folder + one.path
            while at < len(urls) and urls[at] < url:
                found[urls[at]] = None
                at += 1
            if at == len(urls) or seen > _LISTED_EXCESS * len(urls):
                return found
            if urls[at] == url:
                found[url] = one.known
                at += 1
    except TableformatError:
        return found  # the others are asked for one by one, and tell what is wrong themselves
    found.update(dict.fromkeys(urls[at:]))
    return found


def _told(line: _Line, state: State, found: str | None) -> tuple[Any, ...]:
    return (*line[:4], state, line.expected.told(), found)


def _arrow(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), DRIFT_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=DRIFT_SCHEMA)

"""`TableWriter`: rows and batches in, parts and blobs out, in memory that does not grow with the rows.

Rows are kept as they come until there is a batch of them; then their types are settled, media placed, and the arrays
handed on. A batch whose media lie in a pack that has no name yet waits until it has one.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self

import pyarrow as pa

from tableformat.errors import InvalidInputError, KeyValueError, MediaError, SchemaError, UsageError, message
from tableformat.format.defaults import default_array
from tableformat.format.keys import check_key_type
from tableformat.format.manifest import TableEntry
from tableformat.format.media import Media
from tableformat.format.part import Layout
from tableformat.format.schema import Evolution, Schema, unknown_column
from tableformat.format.types import MediaType, Where
from tableformat.log import logger
from tableformat.storage.blobs import Placed
from tableformat.storage.interface import Backend
from tableformat.table.adopt import adopt, adopt_columns, schema_of_arrow
from tableformat.table.build import build_columns
from tableformat.table.dry_placer import DryPlacer
from tableformat.table.evolving_stream import EvolvingStream
from tableformat.table.faults import with_all_faults
from tableformat.table.inference import Observed, TableInference
from tableformat.table.key_sort import KeySort
from tableformat.table.media_placer import MEDIA_CLASSES, MediaPlacer
from tableformat.table.part_stream import Continuation, StreamResult
from tableformat.table.rejects import OnError, Rejects
from tableformat.table.sealing import NO_CHECKPOINT, Sealer, Sealing
from tableformat.table.sources import RowBatch, iter_source

__all__ = ["TableOptions", "TableWriter", "WrittenTable"]

_BATCH_ROWS: Final = 8192
_FIRST_ROWS: Final = 256  # rows of the first batch: after it the bytes of a row are known
_BATCH_BYTES: Final = 4 << 20
_HELD_BYTES: Final = 16 << 20  # of batches that wait for the name of a pack; beyond, the open pack is ended early
_MAX_SHAPES: Final = 1024


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a table is written."""

    unique: bool = True
    """Whether the key is proven unique when the writer closes."""
    new_columns: bool = False
    """Whether columns may appear after the first batch; without, an unknown one raises."""
    on_error: OnError = "raise"
    """A row that does not fit raises; or (`null`) is stored with null in place of the value; or (`skip`, `collect`) is left out."""
    max_errors: int = 1000
    """How many rows may not fit before that is an error."""
    uris: Literal["own", "refer"] | None = None
    """What texts in media columns of Arrow data mean: files to store, or to point at; there is no default. With `refer`, media of tables of
    another store that are given as they are become references to it, too; they are copied else."""
    part_rows: int | None = None
    """Rows of a part; the default suits all but special needs (spec/part.md, "Layout")."""
    sort_by_key: bool = False
    """Whether rows are stored in ascending order of the key, not as they come; what does not fit in memory is spilled."""

    def __post_init__(self) -> None:
        if self.uris not in (None, "own", "refer"):
            raise InvalidInputError(
                message("opening a table", expected="uris 'own' or 'refer'", got=repr(self.uris)[:40])
            )
        if self.part_rows is not None and not 1 <= self.part_rows <= 1 << 30:
            raise InvalidInputError(message("opening a table", expected="part_rows from 1 to 2^30", got=self.part_rows))


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """What a closed writer made."""

    schema: Schema
    key: tuple[str, ...]
    unique: bool
    stream: StreamResult
    objects: tuple[str, ...]
    """Relative uris of the packs and single blobs its cells point at."""
    sources: tuple[Any, ...]
    """Readers of the tables whose cells were copied."""
    rejected: tuple[tuple[int, str, str], ...]
    """Rows that were not stored as given: position among the rows given, column, reason."""


@dataclass(slots=True)
class _Held:
    """A batch that waits for the names of its packs."""

    schema: Schema
    arrays: list[pa.Array]
    token: list[Placed]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(array.nbytes for array in self.arrays)


class TableWriter(Sealing):
    """Streams rows into one table of a draft. Made by `Draft.table`; belongs to one thread of one process.

    Holds at most 4 MiB of rows, 16 MiB that wait for a pack, and what is in flight (`part_stream.FLIGHT_BYTES`); where the
    table replaces an earlier one, two parts more, and with `sort_by_key` what `key_sort.KeySort` holds. `close`
    ends it, or the `with` block does; an exception in the block drops what was written.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        placer: MediaPlacer,
        *,
        schema: Schema | None = None,
        previous: Schema | None = None,
        before: TableEntry | None = None,
        key: Sequence[str] = (),
        layout: Layout | None = None,
        options: TableOptions = TableOptions(),
        after: Continuation | None = None,
        begin: Callable[[], None] = lambda: None,
        done: Callable[[WrittenTable], None] = lambda written: None,  # noqa: ARG005
        sealer: Sealer | None = None,
    ) -> None:
        self._name, self._placer, self._begin, self._done = name, placer, begin, done
        self._declared = frozenset() if schema is None else frozenset(schema.names)
        self._previous = previous
        self._inference = TableInference(schema, declared=True, new_columns=options.new_columns)
        self._options = options
        self._key, placer.refers = list(key), options.uris == "refer"
        self._rejects = Rejects(options.on_error, options.max_errors, name)
        self._dry = DryPlacer(placer.known_ids)
        stream = EvolvingStream(
            backend, name, key=key, unique=options.unique, part_rows=options.part_rows, layout=layout, before=before, after=after,
        )  # fmt: skip
        if options.sort_by_key and not key:
            todo = "name its key, or leave out sort_by_key"
            raise InvalidInputError(
                message(f"opening table {name!r}", expected="a key to sort by", got="none", todo=todo)
            )
        self._stream: EvolvingStream | KeySort = (
            KeySort(stream, key, unique=options.unique) if options.sort_by_key else stream
        )
        self._appends = after is not None
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._rows: list[dict[str, Any]] = []
        self._rows_bytes = 0
        self._batch_rows = _FIRST_ROWS
        self._shapes: dict[tuple[Any, ...], tuple[str, ...]] = {}
        self._media: dict[str, type[Media]] = {}
        self._taken = 0
        self._state: Literal["open", "closed", "failed"] = "open"
        self._pid = os.getpid()
        self._note_schema(self._inference.schema)
        self._resume(sealer)
        _WRITERS.add(self)

    # What it is

    @property
    def name(self) -> str:
        """Name of the table in the draft."""
        return self._name

    @property
    def schema(self) -> Schema:
        """The schema of the batches that were settled; a column without values has no type yet."""
        return self._inference.schema

    @property
    def rows_written(self) -> int:
        """Rows taken, those in memory included."""
        return self._taken + len(self._rows)

    @property
    def rejected(self) -> tuple[tuple[int, str, str], ...]:
        """Rows that were not stored as given: position among the rows given, column, reason."""
        return self._rejects.rows

    @property
    def is_closed(self) -> bool:
        """Whether `close` has succeeded."""
        return self._state == "closed"

    @property
    def has_failed(self) -> bool:
        """Whether it was aborted, or failed for good."""
        return self._state == "failed"

    # Rows

    def append(self, row: Mapping[str, Any] | None = None, /, **columns: Any) -> None:
        """Append one row, given as a mapping, as keyword arguments, or both.

        Media are read and checked here, and so are the types of values. What depends on the values themselves (what is inside
        nested ones, a number too large for its column, an id outside of its class set) is checked when its batch is
        settled, at most 8,192 rows later, with an error that names this row. A row that raises is not taken, and the writer
        goes on. Raises `SchemaError`, `MediaError`, `KeyValueError`.
        """
        if row is not None:
            columns = {**row, **columns}
        media = self._shapes.get((*columns, *map(type, columns.values())))
        if media is None:
            self._append_new_shape(columns)
            return
        if media:
            try:
                self._prepare(columns, media)
            except InvalidInputError as error:
                self._reject(columns, error)
                return
        self._rows.append(columns)
        if len(self._rows) >= self._batch_rows or self._rows_bytes >= _BATCH_BYTES:
            self._flush()

    def _prepare(self, columns: dict[str, Any], media: tuple[str, ...]) -> None:
        """Read and check the media of a row; where one of them fails, those before it are forgotten."""
        for place, name in enumerate(media):
            value = columns[name]
            try:
                if not isinstance(value, Media):
                    value = self._media[name](value)
                columns[name], size = self._placer.prepare(value)
            except BaseException as error:
                self._placer.forget(columns[other] for other in media[:place])
                if isinstance(error, MediaError):
                    raise MediaError(f"{error} · row {self.rows_written}, column {name!r}") from error
                raise
            self._rows_bytes += size

    def _append_new_shape(self, columns: dict[str, Any]) -> None:
        """A row of names and types that were not seen before: see whether it fits, if need be with the rows before it."""
        self._check()
        if not columns or not all(isinstance(name, str) for name in columns):
            raise SchemaError(
                message(
                    f"appending to table {self._name!r}",
                    expected="names of columns and their values",
                    got=repr(columns)[:100],
                )
            )
        shape = (*columns, *map(type, columns.values()))
        row = dict(columns)
        media = tuple(
            name
            for name, value in row.items()
            if isinstance(value, Media) or (name in self._media and value is not None)
        )
        try:
            self._prepare(row, media)
        except InvalidInputError as error:
            self._reject(columns, error)
            return
        if self._taken and self._fits_as_it_is(row):
            self._rows.append(row)
        elif not self._take_alone(row, columns):
            return
        if len(self._shapes) < _MAX_SHAPES:
            self._shapes[shape] = tuple(name for name in row if name in self._media and row[name] is not None)
        if len(self._rows) >= self._batch_rows or self._rows_bytes >= _BATCH_BYTES:
            self._flush()

    def _fits_as_it_is(self, row: dict[str, Any]) -> bool:
        """Whether the row fits the schema of the rows taken, so that it can wait with those in memory."""
        columns = {name: [value] for name, value in row.items()}
        try:
            observed = self._inference.observe(columns, self._taken)
            if observed.evolution.changes:
                return False
            schema = self._inference.schema
            if any(
                column.name not in row and not column.nullable and column.annotates is None and column.default is None
                for column in schema.columns
            ):
                return False
            given = [
                column
                for column in schema.columns
                if column.name in row or (column.annotates and column.annotates[0] in row)
            ]
            some = Schema(tuple(given))
            self._check_keys(some, build_columns(some, columns, self._dry, self._taken, observed.ready))
        except InvalidInputError:
            return False
        return True

    def _take_alone(self, row: dict[str, Any], given: Mapping[str, Any]) -> bool:
        """Settle the rows in memory, then this one as a batch of its own; False where it was left out."""
        try:
            self._flush()
        except BaseException:
            self._placer.forget(row.values())
            raise
        try:
            if (error := self._try([row])) is not None:
                raise error
            self._take_rows([row])
        except InvalidInputError as error:
            self._check()
            self._placer.forget(row.values())
            self._reject(given, error)
            return False
        self._rows_bytes = 0
        return True

    def _reject(self, columns: Mapping[str, Any], error: InvalidInputError) -> None:
        """A row that cannot be taken as it is: raise, leave it out, or store it with a null."""
        if self._rejects.raises:
            names = [*columns, *self._missing(columns)]
            raise with_all_faults(error, names, lambda name: self._misfit(name, columns.get(name)), self._name)
        column = next((name for name, value in columns.items() if self._is_misfit(name, value)), "")
        if self._rejects.add(self.rows_written + self._rejects.left_out, column, error):
            self._append_new_shape({name: None if name == column else value for name, value in columns.items()})

    def _is_misfit(self, name: str, value: Any) -> bool:
        return self._misfit(name, value) is not None and value is not None

    def _misfit(self, name: str, value: Any) -> InvalidInputError | None:
        """The error that a value would give by itself, or None."""
        one = {name: value}
        try:
            if isinstance(value, Media) or (name in self._media and value is not None):
                self._prepare(one, (name,))
            observed = self._inference.observe({name: [one[name]]}, self._taken)
            own = [c for c in observed.schema.columns if name in (c.name, c.annotates and c.annotates[0])]
            build_columns(Schema(tuple(own)), {name: [one[name]]}, self._dry, self._taken, observed.ready)
            self._check_widening(observed)
        except InvalidInputError as error:
            return error
        finally:
            self._placer.forget(one.values())
        return None

    # Batches

    def extend(self, data: Any, *, index: bool = False, checkpoint: Any = NO_CHECKPOINT) -> None:
        """Append many rows: an Arrow table, batch or reader, anything with `__arrow_c_stream__`, a pandas or polars frame, a
        `Table`, a mapping of column to values, or an iterable of mappings or of Arrow batches.

        Reads a stream batch by batch. An error in a batch leaves the batches before it taken; with an `on_error` other than
        `raise`, the rows of a batch that does not fit are taken one by one. `index` keeps the index of a pandas frame.
        `checkpoint` is the position of the caller behind these rows, see `checkpoint`.
        """
        self._check()
        if checkpoint is not NO_CHECKPOINT:
            self._use_checkpoints("extending")
        for batch in iter_source(data, self._name, index=index):
            if isinstance(batch, RowBatch):
                for row in batch.rows:
                    self.append(row)
            else:
                self._flush()
                self._extend_arrow(batch)
        if checkpoint is not NO_CHECKPOINT:
            self.checkpoint = checkpoint

    def _extend_arrow(self, batch: pa.RecordBatch) -> None:
        # Media are read from a slice at a time, so that a batch of large images is not hashed as one piece.
        step = max(1, int(batch.num_rows * 4 * _BATCH_BYTES / max(batch.nbytes, 1)))
        for start in range(0, max(batch.num_rows, 1), step):
            self._extend_piece(batch.slice(start, step))

    def _extend_piece(self, piece: pa.RecordBatch) -> None:
        try:
            self._take_arrow(piece)
        except InvalidInputError as error:
            if self._rejects.raises:
                found = with_all_faults(error, *self._columns_alone(piece), self._name)
                if found is error:
                    raise
                raise found from error
            self._check()
            if piece.num_rows > 1:
                middle = piece.num_rows // 2
                self._extend_piece(piece.slice(0, middle))
                self._extend_piece(piece.slice(middle))
            elif piece.num_rows:
                self._reject_arrow(piece, error)

    def _reject_arrow(self, row: pa.RecordBatch, error: InvalidInputError) -> None:
        """A batch of one row that cannot be taken as it is: leave it out, or store it with a null."""
        index = next((index for index in range(row.num_columns) if self._is_arrow_misfit(row.select([index]))), None)
        column = "" if index is None else row.schema.names[index]
        if self._rejects.add(self.rows_written + self._rejects.left_out, column, error):
            self._extend_piece(row.set_column(index, column, pa.nulls(1)))

    def _columns_alone(self, piece: pa.RecordBatch) -> tuple[list[str], Callable[[str], InvalidInputError | None]]:
        """The columns of a batch that does not fit, those that it lacks and needs, and what is wrong with each by itself."""
        given = piece.schema.names
        missing = [name for name in self._missing(given) if piece.num_rows]

        def fault_of(name: str) -> InvalidInputError | None:
            nulls = pa.RecordBatch.from_arrays([pa.nulls(piece.num_rows)], [name])
            return self._arrow_misfit(nulls if name in missing else piece.select([name]))

        return ([] if len(set(given)) < len(given) else [*given, *missing]), fault_of

    def _missing(self, given: Iterable[str]) -> list[str]:
        """Columns that have to have a value, and are not among those given."""
        known = set(given)
        columns = self._inference.schema.columns
        return [c.name for c in columns if not c.nullable and c.default is None and c.name not in known]

    def _is_arrow_misfit(self, one: pa.RecordBatch) -> bool:
        return self._arrow_misfit(one) is not None and not one.column(0).null_count

    def _arrow_misfit(self, one: pa.RecordBatch) -> InvalidInputError | None:
        """The error that a column would give by itself, or None."""
        [name], [array] = one.schema.names, one.columns
        try:
            field = self._evolve(one.schema).schema[name]
            adopt(field, array, self._placer, Where(name, self._taken), self._options.uris)
        except InvalidInputError as error:
            return error
        return None

    def _take_arrow(self, batch: pa.RecordBatch) -> None:
        with self._placing():
            evolution = self._evolve(batch.schema)
            arrays = adopt_columns(evolution.schema, batch, self._placer, self._taken, self._options.uris)
        self._accept(Observed(evolution), arrays, batch.num_rows)

    def _evolve(self, given: pa.Schema) -> Evolution:
        """The schema with the columns of Arrow data; raises `SchemaError` where they do not fit."""
        current = self._inference.schema
        free = [column for column in schema_of_arrow(given).columns if column.name not in self._declared]
        if self._is_settled and not self._options.new_columns:
            for column in free:
                if column.name not in current:
                    raise unknown_column(column.name, current.names)
        return current.unify(Schema(tuple(free)).with_ids() if not current.columns else Schema(tuple(free)))

    @property
    def _is_settled(self) -> bool:
        return bool(self._declared) or self._taken > 0

    def _flush(self) -> None:
        """Settle the rows in memory."""
        if not self._rows:
            return
        rows, self._rows, self._rows_bytes = self._rows, [], 0
        try:
            self._take_rows(rows)
        except InvalidInputError as error:
            self._check()
            self._salvage(rows, error)

    def _take_rows(self, rows: list[dict[str, Any]]) -> None:
        columns = _columns_of(rows, self._defaults)
        with self._placing():
            observed = self._inference.observe(columns, self._taken)
            arrays = build_columns(observed.schema, columns, self._placer, self._taken, observed.ready)
        self._accept(observed, arrays, len(rows))

    @contextmanager
    def _placing(self) -> Iterator[None]:
        """Inside, rows may not fit; any other error fails the writer for good."""
        try:
            yield
        except InvalidInputError:
            raise
        except BaseException:
            self._fail()
            raise

    def _salvage(self, rows: list[dict[str, Any]], error: InvalidInputError) -> None:
        """Take the rows of a batch that failed but for those that do not fit.

        With `on_error="raise"`, the first of them raises; it is dropped, and the rows behind it stay in memory.
        """
        while rows:
            fitting, stop = 0, len(rows) + 1  # rows[:fitting] fit, rows[:stop] do not
            while stop - fitting > 1:
                middle = (fitting + stop) // 2
                if self._try(rows[:middle]) is None:
                    fitting = middle
                else:
                    stop = middle
            if fitting:
                self._take_rows(rows[:fitting])
            if fitting == len(rows):
                return
            bad, rows = rows[fitting], rows[fitting + 1 :]
            self._placer.forget(bad.values())
            try:
                self._reject(bad, self._try([bad]) or error)
            except InvalidInputError:
                self._rows = rows
                raise

    def _try(self, rows: list[dict[str, Any]]) -> InvalidInputError | None:
        """The error that these rows would give, or None; takes nothing."""
        if not rows:
            return None
        columns = _columns_of(rows, self._defaults)
        try:
            observed = self._inference.observe(columns, self._taken)
            arrays = build_columns(observed.schema, columns, self._dry, self._taken, observed.ready)
            self._check_keys(observed.schema, arrays)
            self._check_widening(observed)
        except InvalidInputError as error:
            self._check()
            return error
        return None

    def _check_keys(self, schema: Schema, arrays: Sequence[pa.Array] = ()) -> None:
        """Raise `KeyValueError` where a column of the key is missing, or null in `arrays`."""
        doing = f"writing table {self._name!r}"
        for name in self._key:
            if name not in schema:
                raise KeyValueError(
                    message(doing, expected=f"the key column {name!r}", got=f"the columns {schema.names[:20]}")
                )
            if not arrays:
                continue
            array = arrays[schema.names.index(name)]
            if array.null_count:
                row = self._taken + array.is_null().to_pylist().index(True)
                place = f"row {row}, column {name!r}"
                raise KeyValueError(
                    message(doing, path=place, expected="a value in every key column", got="null or nothing")
                )
            check_key_type(name, array.type)

    def _accept(self, observed: Observed, arrays: list[pa.Array], count: int) -> None:
        """Take a batch: from here on an error is no longer the fault of a row."""
        self._check_keys(observed.schema, arrays)
        self._check_widening(observed)
        self._inference.accept(observed)
        if observed.evolution.changes:
            self._note_schema(observed.schema)
        try:
            self._begin()
            held = _Held(observed.schema, arrays, self._placer.take_pending())
            self._held.append(held)
            self._held_bytes += held.size
            self._taken += count
            if count:
                self._batch_rows = min(max(int(_BATCH_BYTES / max(held.size / count, 1)), 16), _BATCH_ROWS)
            self._drain(seal=self._held_bytes > _HELD_BYTES)
        except BaseException:
            self._fail()
            raise

    def _check_widening(self, observed: Observed) -> None:
        """Raise `SchemaError` where the schema widens to what values of earlier rows do not fit."""
        if not observed.evolution.value_checked or not self._taken:
            return
        try:
            self._drain(seal=True)
        except BaseException:
            self._fail()
            raise
        try:
            self._stream.check(self._with_old_ids(observed.schema))
        except SchemaError as error:
            raise SchemaError(f"{error} · row {self._taken} asks for the wider type") from error

    def _drain(self, *, seal: bool) -> None:
        """Hand on, in order, the batches whose packs have names."""
        if seal and any(held.token for held in self._held):
            self._placer.seal()
        while self._held and self._placer.is_ready(self._held[0].token):
            held = self._held.popleft()
            self._held_bytes -= held.size
            self._stream.write(self._with_old_ids(held.schema), [self._placer.resolved(array) for array in held.arrays])
        if self._sealer is not None:
            self._poll()

    def _with_old_ids(self, schema: Schema) -> Schema:
        return schema if self._previous is None else schema.inherit(self._previous)

    def _note_schema(self, schema: Schema) -> None:
        self._defaults = {c.name: default_array(c, 1).to_pylist()[0] for c in schema.columns if c.default is not None}
        for column in schema.columns:
            if isinstance(column.type, MediaType):
                self._media[column.name] = MEDIA_CLASSES[column.type.media]
                self._shapes = {
                    shape: media
                    for shape, media in self._shapes.items()
                    if column.name in media or column.name not in shape
                }

    # The end

    def close(self) -> None:
        """Store what is left, prove the key, and wait until all is durable. May be called again.

        Raises `KeyValueError` where keys are equal; then the table is not part of the draft.
        """
        if self._state == "closed":
            return
        self._check()
        self._flush()
        try:
            self._check_keys(self._inference.schema)
            self._begin()
            self._drain(seal=True)
            open_schema = self._with_old_ids(self._inference.schema)
            settled, undecided = open_schema.settled()
            if undecided:
                logger.info("table %r: no value in %s, which became text", self._name, ", ".join(undecided))
            result = self._stream.finish(open_schema)
            self._note_end(open_schema, result)
            self._done(
                WrittenTable(
                    settled, tuple(self._key), self._options.unique, result, tuple(self._placer.objects()),
                    tuple(self._placer.sources.values()), self._rejects.rows,
                )
            )  # fmt: skip
        except BaseException:
            self._fail()
            raise
        self._state = "closed"
        self._shapes = {}  # so that a row after the end is seen

    def abort(self) -> None:
        """Drop what was written; it stays as garbage for a collection. May be called twice, and after `close`."""
        if self._state == "open":
            self._seal_last()
            self._fail()

    def _fail(self) -> None:
        self._state = "failed"
        self._stream.abort()
        self._rows, self._shapes = [], {}
        self._held.clear()

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise UsageError(
                message(
                    f"writing table {self._name!r}", expected="the process that made the writer", got="a fork of it"
                )
            )
        if self._state != "open":
            raise UsageError(
                message(f"writing table {self._name!r}", expected="an open writer", got=f"one that is {self._state}")
            )

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __repr__(self) -> str:
        return f"<TableWriter {self._name!r}, {self._state}: {self.rows_written} rows>"


def _columns_of(rows: list[dict[str, Any]], defaults: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Rows as columns; a name that a row lacks is its default there, or None."""
    names = list(rows[0])
    try:
        columns = {name: [row[name] for row in rows] for name in names}
        if sum(map(len, rows)) == len(names) * len(rows):
            return columns
    except KeyError:
        pass
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name, defaults.get(name)) for row in rows] for name in names}


_WRITERS: Final[weakref.WeakSet[TableWriter]] = weakref.WeakSet()


def _after_fork() -> None:
    """In a fork, the next row of a writer takes the way on which the process is checked."""
    for writer in _WRITERS:
        writer._shapes = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

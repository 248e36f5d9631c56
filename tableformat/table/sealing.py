"""When a writer in a session seals: notes in the log of the session how far its rows are safe, so that another can go on there.

Nothing is sealed that is not durable, and nothing waits for it: a seal tells of parts that the lanes have finished meanwhile.
A caller who gives checkpoints gets seals at checkpoints alone, since both have to mean the same row; a part is ended there
for it, when it is worth it (`_is_due`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tableformat.document import JsonObject
from tableformat.errors import UsageError, message
from tableformat.table.evolving_stream import EvolvingStream
from tableformat.table.resume import Sealed, SealPoint, Segment, decode_checkpoint, encode_checkpoint

if TYPE_CHECKING:
    from tableformat.format.schema import Schema
    from tableformat.table.inference import TableInference
    from tableformat.table.key_sort import KeySort
    from tableformat.table.media_placer import MediaPlacer
    from tableformat.table.part_stream import StreamResult
    from tableformat.table.rejects import Rejects

__all__ = ["LEAST_S", "LEAST_S_REMOTE", "MOST_S", "NO_CHECKPOINT", "Sealer", "Sealing"]

LEAST_S: Final = 1.0
"""Seconds between two seals of one writer, at least; where the backend is remote `LEAST_S_REMOTE`."""
LEAST_S_REMOTE: Final = 10.0
MOST_S: Final = 60.0
"""After so many seconds the open part is ended, so that there is something to seal."""
_WORTH: Final = 0.75
"""A checkpoint ends a part that is so full."""
_REST: Final = 0.25
"""A checkpoint that comes just after a part has ended does not make a part of less than this."""
NO_CHECKPOINT: Final[Any] = object()


@dataclass(slots=True)
class Sealer:
    """What a writer in a session knows of it."""

    sealed: Sealed
    """How far the rows were safe when the writer was opened, and are by now."""
    write: Callable[[Sealed, Iterable[Any]], None]
    """Put a seal into the log; with it go the readers that cells were copied from."""
    check: Callable[[], None]
    """Raise `UsageError` where the session was taken by another process."""
    least_s: float = LEAST_S


class Sealing:
    """The part of a `TableWriter` that resumes and seals. Without a session it does nothing."""

    _name: str
    _inference: TableInference
    _placer: MediaPlacer
    _rejects: Rejects
    _stream: EvolvingStream | KeySort
    _taken: int
    _begin: Callable[[], None]
    _sealer: Sealer | None = None
    _sealed_at = 0.0
    _cut_at = 0.0
    _given: str | None = None  # the last checkpoint
    _given_at = 0  # and the row that it stands before
    _end: SealPoint | None = None
    _behind: tuple[str, ...] = ()  # digests of the files of a table that cannot be gone on with
    _has_checkpoints = False
    _parts_sealed = 0

    if TYPE_CHECKING:

        @property
        def rows_written(self) -> int: ...
        def _flush(self) -> None: ...
        def _drain(self, *, seal: bool) -> None: ...
        def _check(self) -> None: ...
        def _fail(self) -> None: ...
        def _note_schema(self, schema: Any) -> None: ...

    # What a caller says

    @property
    def checkpoint(self) -> Any:
        """The position that the caller gave last, at any type that JSON has (tuples come back as lists); None at the beginning.

        In a draft with `session=` it is kept with the rows: when the session is opened again, `rows_written` and `checkpoint` are of
        the same moment, and the rows given after it are to be given again. Set it, or pass `checkpoint=` to `extend`, after any rows: it says
        that all rows so far stand before that position. Raises `UsageError` without a session, and where rows were sealed without one.
        """
        return decode_checkpoint(self._given)

    @checkpoint.setter
    def checkpoint(self, value: Any) -> None:
        self._check()
        self._use_checkpoints("taking a checkpoint")
        self._given, self._given_at = encode_checkpoint(value), self.rows_written
        if self._is_due():
            self._take_mark(wait=False)

    def seal(self, checkpoint: Any = NO_CHECKPOINT) -> None:
        """In a draft with `session=`: make all rows so far durable, and note it, so that no crash can lose them. Waits for that, and ends a part:
        for now and then, not for every batch. Done by itself as parts fill, and at least about every minute while rows come."""
        self._check()
        sealer = self._in_session("sealing")
        if checkpoint is not NO_CHECKPOINT:
            self._use_checkpoints("sealing")
            self._given, self._given_at = encode_checkpoint(checkpoint), self.rows_written
        elif self._has_checkpoints:
            raise UsageError(
                message(f"sealing table {self._name!r}", expected="a checkpoint, as with the rows before", got="none",
                        todo="pass checkpoint= to seal()")
            )  # fmt: skip
        if isinstance(self._stream, EvolvingStream) and self.rows_written > sealer.sealed.rows:
            self._take_mark(wait=True)

    # Within

    def _in_session(self, doing: str) -> Sealer:
        if self._sealer is None:
            raise UsageError(
                message(f"{doing} in table {self._name!r}", expected="a draft that can be resumed", got="one without a session",
                        todo="pass session= to store.draft()")
            )  # fmt: skip
        return self._sealer

    def _use_checkpoints(self, doing: str) -> None:
        sealer = self._in_session(doing)
        if not self._has_checkpoints and sealer.sealed.rows:
            raise UsageError(
                message(f"{doing} in table {self._name!r}", expected="a checkpoint with the first rows, too",
                        got=f"{sealer.sealed.rows} rows that were sealed without",
                        todo="go on by rows_written, or discard the session")
            )  # fmt: skip
        self._has_checkpoints = True

    def _resume(self, sealer: Sealer | None) -> None:
        """The end of making a writer: go on where the last one of the session was safe."""
        self._sealer = sealer
        self._marks: dict[
            int, tuple[str | None, int]
        ] = {}  # by row: checkpoint, and how many rows were rejected before
        if sealer is None:
            return
        self._sealed_at = self._cut_at = time.monotonic()
        if not isinstance(self._stream, EvolvingStream):
            return  # sorted: nothing is stored before the end
        self._stream.watch()
        sealed = sealer.sealed
        if sealed.rows or sealed.checkpoint is not None:
            self._given, self._has_checkpoints = sealed.checkpoint, sealed.checkpoint is not None
            self._given_at = sealed.rows
        if not sealed.rows:
            return
        self._begin()
        self._inference.restore(sealed.segments[-1].schema)
        self._note_schema(self._inference.schema)
        self._taken = sealed.rows
        self._rejects.restore(sealed.rejected, sealed.left_out)
        self._placer.restore(sealed.objects)
        self._stream.go_on(SealPoint(sealed.rows, sealed.segments, sealed.links))
        self._parts_sealed = self._stream.fill[0]

    def _is_due(self) -> bool:
        """Whether a checkpoint is worth a seal: about as often as parts fill, and after `MOST_S`."""
        stream, since = self._stream, time.monotonic() - self._cut_at
        if self._sealer is None or not isinstance(stream, EvolvingStream) or since < self._sealer.least_s:
            return False
        self._poll()
        parts, fill = stream.fill
        ended = parts > self._parts_sealed
        return since >= MOST_S or fill >= _WORTH or (ended and (not fill or fill >= _REST))

    def _take_mark(self, *, wait: bool) -> None:
        """End the open part behind the rows so far, and seal there when it is durable."""
        assert isinstance(self._stream, EvolvingStream)
        self._flush()
        try:
            self._begin()
            self._drain(seal=True)
            self._stream.cut(wait=wait)
            self._marks[self._taken] = self._given, len(self._rejects.rows)
            self._cut_at, self._parts_sealed = time.monotonic(), self._stream.fill[0]
            if wait:
                self._poll(at_once=True)
        except BaseException:
            self._fail()
            raise

    def _poll(self, *, at_once: bool = False) -> None:
        """Seal what has become durable, if the last seal is some time ago."""
        sealer, now = self._sealer, time.monotonic()
        if sealer is None or not isinstance(self._stream, EvolvingStream):
            return
        sealer.check()
        if not at_once and now - self._sealed_at < sealer.least_s:
            return
        wanted = self._marks.keys() if self._has_checkpoints else None
        point = self._stream.safe(wanted)
        if point is not None and point.rows > sealer.sealed.rows:
            self._seal_at(point)
        elif not self._has_checkpoints and now - self._cut_at >= MOST_S and self._stream.rows > sealer.sealed.rows:
            self._cut_at = now
            self._stream.cut(wait=False)

    def _seal_last(self) -> None:
        """The writer is given up: seal what is durable by now. What fails is passed over, for another error is on its way."""
        if self._sealer is not None:
            with contextlib.suppress(Exception):
                self._poll(at_once=True)

    def _seal_at(self, point: SealPoint) -> None:
        assert self._sealer is not None
        if self._has_checkpoints:
            checkpoint, count = self._marks[point.rows]
        else:
            checkpoint, count = None, self._rejects.count_before(point.rows)
        self._marks = {row: mark for row, mark in self._marks.items() if row > point.rows}
        self._write_seal(
            self._sealer.sealed.at(
                point, checkpoint=checkpoint, objects=tuple(self._placer.named_objects()), rejected=self._rejects.rows[:count],
                left_out=self._rejects.left_out_of(count),
            )
        )  # fmt: skip
        self._sealed_at = time.monotonic()
        if not self._has_checkpoints:
            self._cut_at = self._sealed_at

    def _write_seal(self, sealed: Sealed) -> None:
        assert self._sealer is not None
        self._sealer.write(sealed, self._placer.sources.values())
        self._sealer.sealed = sealed

    def _note_end(self, schema: Schema, result: StreamResult) -> None:
        """The stream is finished, with `schema`, in which columns may have no type yet: the end of its rows is a place to go on from, unless rows came
        behind the last checkpoint, or they were sorted."""
        if isinstance(self._stream, EvolvingStream) and (not self._has_checkpoints or self._given_at == self._taken):
            links = {number: str(column["link"]) for number, column in result.columns.items()}
            segments = (Segment(schema, result.layout, result.parts),) if result.parts else ()
            self._end = SealPoint(result.rows, segments, links)
        else:
            self._behind = tuple(file.digest for part in result.parts for file in part.files)

    def seal_entry(self, entry: JsonObject, new_bytes: int) -> None:
        """The writer has closed, and its table is `entry`. For the draft."""
        if self._sealer is None:
            return
        sealed = replace(self._sealer.sealed, objects=tuple(self._placer.named_objects()), reaches=self._behind)
        if self._end is not None:
            sealed = sealed.at(
                self._end, checkpoint=self._given, rejected=self._rejects.rows, left_out=self._rejects.left_out
            )
        self._write_seal(replace(sealed, entry=entry, entry_rows=self._taken, entry_bytes=new_bytes))

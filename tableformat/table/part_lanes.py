"""Behind a stream of parts: the lanes that digest, encode, hash, write and make durable what the stream has cut.

Where there is no earlier version of the table, row groups are encoded while their part is still being filled. Where there
is one, a part is held as Arrow data until it is whole and its columns are digested; then it is taken from the earlier
version, or from it in some columns, or encoded, and only what is new is compressed (spec/part.md, "Writing again").

What is in flight stays within `FLIGHT_BYTES`; a part that is held counts `part_bytes` more at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa
import xxhash

from tableformat.digest import PREFIX
from tableformat.format.manifest import Part, PartFile
from tableformat.format.part import Footer, Layout, PartEncoder
from tableformat.format.physical import schema_digest
from tableformat.format.schema import Schema
from tableformat.format.sizes import decoded_bytes
from tableformat.format.stats import ColumnStats, stats_columns
from tableformat.format.types.arrays import one_chunk
from tableformat.format.value_digest import ColumnChain, UnitDigest
from tableformat.storage.interface import Backend, Sink
from tableformat.table.lanes import Budget, Failure, Lane
from tableformat.table.reuse import Found, Mixing, Reuse, Reused, kept_files

__all__ = ["FLIGHT_BYTES", "CutPart", "PartLanes"]

FLIGHT_BYTES: Final = 32 << 20
"""Decoded bytes of row groups on their way, besides the one that is being filled."""
_FILE_BYTES: Final = 16 << 20  # encoded bytes that wait to be hashed and written


class CutPart:
    """A part while the lanes work on it. Its fields belong to the lane that is named beside them."""

    __slots__ = (
        "bytes", "chosen", "encoder", "found", "groups", "hash", "held", "index", "rows", "sink", "stats", "values", "xxh3",
    )  # fmt: skip

    def __init__(self, arrow: pa.Schema, stats_at: Sequence[int], index: int) -> None:
        self.index = index
        self.held = 0  # caller: decoded bytes in `groups`
        self.groups: list[tuple[pa.Table, int]] = []  # caller, and then the store lane: what waits for the decision
        self.values = [UnitDigest(field.type) for field in arrow]  # store lane, as what follows
        self.stats = {at: ColumnStats(arrow.field(at).type) for at in stats_at}
        self.rows = 0
        self.bytes = 0
        self.found: Found | None = None  # columns that an earlier part has; None where all are stored
        self.chosen: list[int] | None = None  # positions of the columns that are stored; None for all
        self.encoder: PartEncoder | None = None  # encode lane
        self.hash, self.xxh3 = hashlib.sha256(), xxhash.xxh3_64()  # store lane
        self.sink: Sink | None = None


class PartLanes:
    """The lanes of one stream. `add`, `end`, `close` and `abort` are called by one thread."""

    def __init__(self, backend: Backend, schema: Schema, failure: Failure, reuse: Reuse | None = None) -> None:
        self._backend, self._schema, self._failure, self._reuse = backend, schema, failure, reuse
        self.arrow: Final = schema.arrow_schema()
        """The physical schema."""
        self.layout: Layout | None = None
        """Set before the first row group comes."""
        self.parts: list[Part | None] = []
        """The parts that were ended, in order; None while the lanes work on one."""
        self.chains: Final = [ColumnChain(field.type) for field in self.arrow]
        """The digest of each column so far."""
        self.reused = Reused()
        """What was taken from the earlier version."""
        self.new_bytes = 0
        """Bytes of the files that were written."""
        self._unfinished: set[int] = set()  # parts that were ended, and are not durable yet
        self._ids = [column.id or 0 for column in schema.columns]
        self._stats_at = stats_columns(schema)
        self._schema_digest = schema_digest(self.arrow)
        self._rows_budget, self._file_budget = Budget(FLIGHT_BYTES, failure), Budget(_FILE_BYTES, failure)
        self._held_budget: Budget | None = None
        self._encode, self._store, self._sync, self._chain = (
            Lane(name, failure) for name in ("encode", "store", "sync", "chain")
        )
        self._mixing: Mixing | None = None
        self._waiting: list[CutPart] = []
        self._sinks: set[Sink] = set()

    # The caller's thread

    def open_part(self) -> CutPart:
        """The next part."""
        return CutPart(self.arrow, self._stats_at, len(self.parts))

    def take_up(self, parts: Sequence[Part]) -> None:
        """Before the first: parts that an earlier stream has stored stand before those of this one."""
        self.parts.extend(parts)
        known = set() if self._reuse is None else self._reuse.files
        for part in parts:
            kept = [file.size for file in part.files if file.digest in known]
            self.new_bytes += sum(file.size for file in part.files) - sum(kept)
            if kept:
                is_whole = len(kept) == len(part.files)
                self.reused = self.reused.plus(is_whole, part.rows * is_whole, sum(kept))

    def add(self, part: CutPart, group: pa.Table, size: int) -> None:
        """A row group of `size` decoded bytes, of which no more memory is shared than its own rows."""
        if self._reuse is None:
            self._encode.submit(lambda: self._encode_group(part, group), self._rows_budget, size)
            self._store.submit(lambda: self._digest_group(part, group, size, chain=True), self._rows_budget, size)
            return
        if self._held_budget is None:
            assert self.layout is not None
            self._held_budget = Budget(self.layout.part_bytes + FLIGHT_BYTES, self._failure)
        self._held_budget.wait(part.held + size)
        part.held += size
        part.groups.append((group, size))
        self._store.submit(lambda: self._digest_group(part, group, size))
        self._chain.submit(lambda: self._chain_group(group), self._rows_budget, size)

    def end(self, part: CutPart) -> None:
        """The part has all its rows."""
        self._unfinished.add(part.index)
        self.parts.append(None)
        if self._reuse is None:
            self._encode.submit(lambda: self._finish_encoding(part))
            return
        assert self._held_budget is not None
        self._held_budget.take(part.held)
        self._store.submit(lambda: self._decide(part))

    def mark(self, take: Callable[[list[bytes]], object]) -> None:
        """Call `take` with the links of the chains when they stand behind the rows so far."""
        lane = self._store if self._reuse is None else self._chain
        lane.submit(lambda: take([chain.link for chain in self.chains]))

    @property
    def finished(self) -> int:
        """How many of the first parts are durable."""
        return min(list(self._unfinished), default=len(self.parts))

    def flush(self) -> None:
        """Wait until all parts that were ended are durable; raises the first error of a lane."""
        if self._reuse is not None:
            self._store.submit(self._store_waiting)
        for lane in (self._store, self._encode, self._store, self._sync, self._chain):
            lane.flush()
        self._failure.check()

    def close(self) -> None:
        """Wait until all is durable; raises the first error of a lane."""
        if self._reuse is not None:
            self._store.submit(self._store_waiting)
        self._end_lanes()
        self._failure.check()

    def abort(self) -> None:
        """End the lanes, whose failure is set, and drop what they hold."""
        self._end_lanes()
        self._waiting.clear()
        for sink in self._sinks:
            sink.abort()

    def _end_lanes(self) -> None:
        # Decisions, in the store lane, give jobs to the encode lane, which gives back files; after them it only gives.
        self._store.flush()
        for lane in (self._encode, self._store, self._sync, self._chain):
            lane.close()

    # The store lane: values, decisions, and the bytes of files

    def _digest_group(self, part: CutPart, group: pa.Table, size: int, *, chain: bool = False) -> None:
        for index, column in enumerate(group.columns):
            array = one_chunk(column)
            part.values[index].update(array)
            if chain:
                self.chains[index].update(array)
                if index in part.stats:
                    part.stats[index].update(array)
        part.rows += group.num_rows
        part.bytes += size

    def _chain_group(self, group: pa.Table) -> None:
        for chain, column in zip(self.chains, group.columns, strict=True):
            chain.update(one_chunk(column))

    def _values(self, part: CutPart) -> dict[str, str]:
        return {str(number): unit.digest() for number, unit in zip(self._ids, part.values, strict=True)}

    def _decide(self, part: CutPart) -> None:
        """A part that was held: take it from the earlier version, or some of its columns, or store it."""
        assert self._reuse is not None
        found = self._reuse.find(part.rows, self._values(part))
        if found is None:
            self._encode_held(part)
            return
        if self._mixing is None:
            self._mixing = Mixing(self._reuse.bytes)
        part.found = found
        spared = sum(
            decoded_bytes(one_chunk(group.column(at)))
            for group, _ in part.groups
            for at, number in enumerate(self._ids)
            if number in found.columns
        )
        verdict = self._mixing.judge(found, part.bytes, spared)
        if verdict == "store":
            part.found = None
            self._encode_held(part)
        elif verdict == "wait":
            self._waiting.append(part)
            self._give(part, part.held)
        else:
            if self._mixing.is_on:
                self._store_waiting()
            self._take_over(part)

    def _store_waiting(self) -> None:
        """Settle the parts of which it was not known whether sharing columns is worth while."""
        waiting, self._waiting = self._waiting, []
        for part in waiting:
            if self._mixing is None or not self._mixing.is_on:
                part.found = None
                self._encode_held(part)
            else:
                self._take_over(part)

    def _take_over(self, part: CutPart) -> None:
        """Use what `part.found` has, and store the columns that it lacks."""
        assert part.found is not None
        before = part.found.part
        missing = [at for at, number in enumerate(self._ids) if number not in part.found.columns]
        if missing:
            part.chosen = missing
            self._encode_held(part)
            files, rows = kept_files(before, part.found.columns), 0
        else:
            self.parts[part.index] = before
            self._unfinished.discard(part.index)
            part.groups = []
            self._give(part, part.held)
            files, rows = before.files, part.rows
        self.reused = self.reused.plus(not missing, rows, sum(file.size for file in files))

    def _give(self, part: CutPart, size: int) -> None:
        """So many bytes of the part do not count as held any more."""
        assert self._held_budget is not None
        size = min(size, part.held)  # nothing, of a part that has waited
        part.held -= size
        if size:
            self._held_budget.give(size)

    def _encode_held(self, part: CutPart) -> None:
        """Encode the columns of a part that no earlier one has."""
        groups, part.groups = part.groups, []
        for group, size in groups:
            for at, stats in part.stats.items():
                stats.update(one_chunk(group.column(at)))
            self._submit_held(part, group if part.chosen is None else group.select(part.chosen), size)
        self._encode.submit(lambda: self._finish_encoding(part))

    def _submit_held(self, part: CutPart, group: pa.Table, size: int) -> None:
        def encode() -> None:
            self._encode_group(part, group)
            self._give(part, size)

        self._encode.submit(encode)

    def _store_bytes(self, part: CutPart, piece: bytes) -> None:
        if part.sink is None:
            part.sink = self._backend.writer("data")
            self._sinks.add(part.sink)
        part.hash.update(piece)
        part.xxh3.update(piece)
        part.sink.write(piece)

    def _finish_storing(self, part: CutPart, footer: Footer, schema: str) -> None:
        sink = part.sink
        assert sink is not None
        columns = None if part.chosen is None else tuple(sorted(self._ids[at] for at in part.chosen))
        file = PartFile(
            PREFIX + part.hash.hexdigest(), footer.file_size, footer.size, footer.digest, columns, schema=schema,
            xxh3=part.xxh3.hexdigest(),
        )  # fmt: skip
        kept = () if part.found is None else kept_files(part.found.part, part.found.columns)
        stats = {str(self._ids[at]): found.to_json() for at, found in part.stats.items()}
        self.parts[part.index] = Part(part.rows, part.bytes, (*kept, file), self._values(part), stats)
        part.sink = None
        self.new_bytes += file.size
        self._sync.submit(lambda: self._commit(sink, file.path, part.index))

    # The encode lane

    def _encode_group(self, part: CutPart, group: pa.Table) -> None:
        if part.encoder is None:

            def keep(piece: bytes) -> None:
                self._store.submit(lambda: self._store_bytes(part, piece), self._file_budget, len(piece))

            assert self.layout is not None
            told = {"schema": self._schema.to_json()} if part.chosen is None else None
            part.encoder = PartEncoder(group.schema, self.layout, told, keep)
        part.encoder.write(group)

    def _finish_encoding(self, part: CutPart) -> None:
        assert part.encoder is not None
        footer, schema = part.encoder.close(), part.encoder.schema
        digest = self._schema_digest if part.chosen is None else schema_digest(schema)
        part.encoder = None
        self._store.submit(lambda: self._finish_storing(part, footer, digest))

    # The sync lane

    def _commit(self, sink: Sink, path: str, index: int) -> None:
        sink.commit(path)
        self._sinks.discard(sink)
        self._unfinished.discard(index)

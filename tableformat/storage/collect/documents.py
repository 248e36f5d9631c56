"""The documents of one collection: plan, keep, sweep, done. Each is created once, under `gc/<n>/`, and sealed.

What a plan condemns is listed in Parquet files beside it, with the columns `path` and `size`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tableformat.digest import Bytes, check_digest, digest_of
from tableformat.document import JsonObject, decode_document
from tableformat.errors import CorruptError, FormatError, message
from tableformat.format.documents import Fields, encode_sealed, unsealed
from tableformat.format.pages import check_pages
from tableformat.storage.interface import check_path

__all__ = ["LIST_ROWS", "Amount", "Done", "Keep", "ListFile", "Plan", "Sweep", "decode_list", "encode_list"]

LIST_ROWS: Final = 1 << 18
"""Objects of one list of a plan."""
_MAX_LIST_DECODED: Final = 512 << 20
_SCHEMA: Final = pa.schema(
    [pa.field("path", pa.string(), nullable=False), pa.field("size", pa.int64(), nullable=False)]
)


@dataclass(frozen=True, slots=True)
class Amount:
    """So many objects, and their bytes."""

    objects: int = 0
    bytes: int = 0

    def plus(self, size: int) -> Amount:
        """One object more."""
        return Amount(self.objects + 1, self.bytes + size)

    def to_json(self) -> JsonObject:
        return {"bytes": self.bytes, "objects": self.objects}


Amounts = Mapping[str, Amount]
"""Amounts by kind of object."""


def _amounts(fields: Fields, name: str) -> dict[str, Amount]:
    found = {}
    for kind, value in fields.object(name).items():
        if not isinstance(value, dict) or not all(isinstance(value.get(one), int) for one in ("objects", "bytes")):
            raise fields.bad(name, "objects and bytes for each kind", value)
        found[str(kind)] = Amount(value["objects"], value["bytes"])
    return found


@dataclass(frozen=True, slots=True)
class ListFile:
    """One list of condemned objects, `gc/<n>/<hex>.parquet`."""

    digest: str
    """SHA-256 of the file."""
    size: int
    """Its bytes."""
    count: int
    """Objects in it."""

    def path(self, folder: str) -> str:
        """Where it lies, in the folder of its collection."""
        return f"{folder}/{self.digest.removeprefix('sha256:')}.parquet"

    def to_json(self) -> JsonObject:
        return {"count": self.count, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Plan:
    """The beginning of a collection: what is condemned, and since when it was written."""

    number: int
    """Which collection."""
    commit: str
    """Nonce, 32 hex digits."""
    time: str
    """By the clock of the collector, for people."""
    older_than: int
    """Seconds since 1970 by the clock of the backend: everything condemned was written before."""
    grace: int
    """Seconds from the plan to the earliest sweep."""
    lists: tuple[ListFile, ...]
    counts: Amounts
    """What is condemned, by kind."""
    repack: tuple[str, ...] = ()
    """Packs that are condemned although some of their blobs are needed: those move to other packs."""
    extra: JsonObject = field(default_factory=dict)

    def encode(self) -> bytes:
        """Its sealed bytes."""
        return encode_sealed({
            **self.extra, "kind": "plan", "format": 1, "gc": self.number, "commit": self.commit, "time": self.time,
            "older_than": self.older_than, "grace": self.grace, "lists": [one.to_json() for one in self.lists],
            "counts": {kind: amount.to_json() for kind, amount in self.counts.items()}, "repack": list(self.repack),
        })  # fmt: skip

    @classmethod
    def decode(cls, data: Bytes, path: str) -> Plan:
        """The plan in `data`; raises `FormatError`, `CorruptError` or `UnsupportedError`."""
        fields = Fields(unsealed(decode_document(data, path), path), path, "plan")
        lists = []
        for one in fields.objects("lists"):
            count, size = one.get("count"), one.get("size")
            if not isinstance(count, int) or not isinstance(size, int) or count < 0 or size < 0:
                raise fields.bad("lists", "digest, size and count", one)
            lists.append(ListFile(check_digest(one.get("digest"), f"reading {path}"), size, count))
        repack = fields.take("repack")
        if not isinstance(repack, list) or not all(isinstance(one, str) for one in repack):
            raise fields.bad("repack", "a list of paths", repack)
        return cls(
            fields.integer("gc"), fields.id("commit"), fields.time("time"), fields.integer("older_than"),
            fields.integer("grace"), tuple(lists), _amounts(fields, "counts"), tuple(check_path(one) for one in repack),
            fields.rest(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Keep:
    """What one session needs of what is condemned."""

    session: str
    time: str
    paths: tuple[str, ...]

    def encode(self) -> bytes:
        return encode_sealed(
            {"kind": "keep", "format": 1, "session": self.session, "time": self.time, "paths": list(self.paths)}
        )

    @classmethod
    def decode(cls, data: Bytes, path: str) -> Keep:
        fields = Fields(unsealed(decode_document(data, path), path), path, "keep")
        paths = fields.take("paths")
        if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
            raise fields.bad("paths", "a list of paths", paths)
        return cls(fields.text("session"), fields.time("time"), tuple(check_path(one) for one in paths))


@dataclass(frozen=True, slots=True)
class Sweep:
    """Deletion begins. Nobody counts any more on what is condemned and not kept."""

    number: int
    commit: str
    time: str

    def encode(self) -> bytes:
        return encode_sealed(
            {"kind": "sweep", "format": 1, "gc": self.number, "commit": self.commit, "time": self.time}
        )

    @classmethod
    def decode(cls, data: Bytes, path: str) -> Sweep:
        fields = Fields(unsealed(decode_document(data, path), path), path, "sweep")
        return cls(fields.integer("gc"), fields.id("commit"), fields.time("time"))


@dataclass(frozen=True, slots=True)
class Done:
    """Deletion has ended."""

    number: int
    time: str
    counts: Amounts
    """What was deleted, by kind; of a sweep that was taken over, by its last collector."""

    def encode(self) -> bytes:
        counts = {kind: amount.to_json() for kind, amount in self.counts.items()}
        return encode_sealed({"kind": "done", "format": 1, "gc": self.number, "time": self.time, "counts": counts})

    @classmethod
    def decode(cls, data: Bytes, path: str) -> Done:
        fields = Fields(unsealed(decode_document(data, path), path), path, "done")
        return cls(fields.integer("gc"), fields.time("time"), _amounts(fields, "counts"))


def encode_list(paths: Sequence[str], sizes: Sequence[int]) -> tuple[ListFile, bytes]:
    """The Parquet file of one list, and what the plan says of it."""
    sink = pa.BufferOutputStream()
    table = pa.table([pa.array(paths, pa.string()), pa.array(sizes, pa.int64())], schema=_SCHEMA)
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_page_checksum=True, store_schema=False)
    data: Any = sink.getvalue().to_pybytes()
    return ListFile(digest_of(data), len(data), len(paths)), data


def decode_list(data: Bytes, listed: ListFile, path: str) -> pa.Table:
    """The condemned objects of one list; raises `CorruptError` where it is not the one that the plan names."""
    doing = "reading a list of condemned objects"
    if (found := digest_of(data)) != listed.digest:
        raise CorruptError(message(doing, path=path, expected=listed.digest, got=found))
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        decoded = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if decoded > _MAX_LIST_DECODED or file.metadata.num_rows != listed.count:
            raise CorruptError(
                message(doing, path=path, expected=f"{listed.count} objects", got=file.metadata.num_rows)
            )
        check_pages(data, file.metadata, _MAX_LIST_DECODED, path)
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise CorruptError(message(doing, path=path, expected="a Parquet file", got=str(error)[:200])) from error
    if not table.schema.equals(_SCHEMA, check_metadata=False):
        raise FormatError(message(doing, path=path, expected="the columns path and size", got=table.column_names))
    return table


def split_lists(condemned: Iterable[tuple[str, int]], rows: int = LIST_ROWS) -> Iterator[tuple[list[str], list[int]]]:
    """Condemned objects, a list at a time."""
    paths: list[str] = []
    sizes: list[int] = []
    for path, size in condemned:
        paths.append(path)
        sizes.append(size)
        if len(paths) == rows:
            yield paths, sizes
            paths, sizes = [], []
    if paths:
        yield paths, sizes


def with_number(plan: Plan, number: int) -> Plan:
    """The same plan under another number."""
    return dataclasses.replace(plan, number=number)

"""How far the rows of a writer are safe: its parts up to some row, and what it takes to go on behind them.

A seal in the log of a session tells what came since the one before; put together, the seals of a writer give a `Sealed`.
The parts may be of several segments, one for each schema that the table had while it was written: such rows are stored
again when the table is closed, in the schema that it has then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tableformat.digest import digest_of
from tableformat.document import JsonObject
from tableformat.errors import (
    CorruptError,
    FormatError,
    InvalidInputError,
    NotFoundError,
    Problem,
    TableformatError,
    message,
)
from tableformat.format.manifest import Part, PartFile
from tableformat.format.part import Layout
from tableformat.format.schema import Schema
from tableformat.format.types import Field, NullType
from tableformat.storage.interface import Backend

__all__ = ["SealPoint", "Sealed", "Segment", "check_stored", "decode_checkpoint", "encode_checkpoint"]

_REQUESTS: Final = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """Parts that were written in one schema."""

    schema: Schema
    """As it was then: columns without a value yet may have no type."""
    layout: Layout
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of its parts."""
        return sum(part.rows for part in self.parts)

    def to_json(self) -> JsonObject:
        """The object in a seal; parts are told beside it."""
        settled = self.schema.settled()[0]
        return {
            "layout": self.layout.to_json(), "open": list(_open_nodes(self.schema)), "parts": len(self.parts), "schema": settled.to_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Any, parts: Sequence[Part], path: str) -> Segment:
        """Read the object; raises `FormatError`, `KeyError`, `TypeError` or `ValueError` where it is malformed."""
        schema = _reopened(Schema.from_json(value["schema"]), value["open"])
        return cls(schema, Layout.from_json(value["layout"], path), tuple(parts))


def _open_nodes(schema: Schema) -> Iterable[JsonObject]:
    """The nodes without a type: where they stand, as indexes from the columns down, and whether empty dicts were seen there."""

    def walk(node: Field, at: list[int]) -> Iterable[JsonObject]:
        if isinstance(node.type, NullType):
            yield {"at": at, "empty": node.type.empty}
        for index, child in enumerate(node.type.fields):
            yield from walk(child, [*at, index])

    for index, column in enumerate(schema.columns):
        yield from walk(column, [index])


def _reopened(schema: Schema, nodes: Any) -> Schema:
    """`schema` with nodes that have no type again: the reverse of `Schema.settled`."""

    def change(node: Field, at: Sequence[int], empty: str) -> Field:
        if not at:
            return replace(node, type=NullType(empty))
        fields = list(node.type.fields)
        fields[at[0]] = change(fields[at[0]], at[1:], empty)
        return replace(node, type=node.type.with_fields(fields))

    columns = list(schema.columns)
    for one in nodes:
        first, *rest = (int(index) for index in one["at"])
        columns[first] = change(columns[first], rest, str(one["empty"]))
    return replace(schema, columns=tuple(columns))


@dataclass(frozen=True, slots=True)
class SealPoint:
    """A row of a stream up to which all is durable."""

    rows: int
    """Rows before it."""
    segments: tuple[Segment, ...]
    links: Mapping[str, str]
    """By column id, the chain over the full blocks before it; empty where there are several segments."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is safe of the rows that one writer took."""

    table: str
    writer: int
    """Which writer of that table in its draft: 0 for the first."""
    shape: Mapping[str, Any]
    """How it was opened: what has to be the same when it is opened again."""
    rows: int = 0
    checkpoint: str | None = None
    """What the caller said of this row, as JSON text; None where nothing was said."""
    segments: tuple[Segment, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    """Packs and single blobs that the cells of its rows point at, and perhaps others."""
    rejected: tuple[tuple[int, str, str], ...] = ()
    left_out: int = 0
    """Rows among those that are in no part."""
    entry: JsonObject | None = None
    """The entry of the table, where the writer has closed. It may hold more rows than `rows`: those behind the last checkpoint."""
    entry_rows: int = 0
    """Rows that the writer had taken when it closed."""
    entry_bytes: int = 0
    """Bytes of new parts at that time."""
    reaches: tuple[str, ...] = ()
    """Digests of files that the entry names and that are none of its parts: for collections."""

    @property
    def parts(self) -> list[Part]:
        """Its parts in order, of all segments."""
        return [part for segment in self.segments for part in segment.parts]

    def at(self, point: SealPoint, **changes: Any) -> Sealed:
        """The same writer further on."""
        return replace(self, rows=point.rows, segments=point.segments, links=point.links, **changes)

    def to_delta(self, before: Sealed | None) -> JsonObject:
        """The object in a seal that leads from `before` to this."""
        known = [] if before is None else before.parts
        parts = self.parts
        kept = 0
        while kept < min(len(known), len(parts)) and (known[kept] is parts[kept] or known[kept] == parts[kept]):
            kept += 1
        told = () if before is None else before.objects
        rejected = 0 if before is None else len(before.rejected)
        return {
            "checkpoint": self.checkpoint, "entry": self.entry, "entry_bytes": self.entry_bytes, "entry_rows": self.entry_rows, "kept": kept,
            "left_out": self.left_out, "links": dict(self.links), "objects": sorted(set(self.objects) - set(told)),
            "parts": [part.to_json() for part in parts[kept:]], "reaches": list(self.reaches), "rejected": [list(one) for one in self.rejected[rejected:]], "rows": self.rows,
            "segments": [segment.to_json() for segment in self.segments], "shape": dict(self.shape), "table": self.table, "writer": self.writer,
        }  # fmt: skip

    @classmethod
    def from_delta(cls, value: Any, before: Sealed | None, told: Sequence[Any], path: str) -> Sealed:
        """Where the object in a seal at `path` leads; `told` are new parts that records before it told. Raises `FormatError`."""
        try:
            return cls._from_delta(value, before, told, path)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, TableformatError):
                raise
            raise FormatError(
                message("reading a seal", path=path, got=f"a malformed table: {error!r}"[:300])
            ) from error

    @classmethod
    def _from_delta(cls, value: Any, last: Sealed | None, told: Sequence[Any], path: str) -> Sealed:
        items = [*told, *value["parts"]]
        parts = [
            *([] if last is None else last.parts)[: value["kept"]],
            *(Part.from_json(item, path) for item in items),
        ]
        segments, at = [], 0
        for one in value["segments"]:
            segments.append(Segment.from_json(one, parts[at : at + one["parts"]], path))
            at += one["parts"]
        objects = () if last is None else last.objects
        rejected = () if last is None else last.rejected
        sealed = cls(
            value["table"], int(value["writer"]), dict(value["shape"]), int(value["rows"]), value["checkpoint"], tuple(segments),
            dict(value["links"]), (*objects, *value["objects"]),
            (*rejected, *((int(row), str(column), str(reason)) for row, column, reason in value["rejected"])), int(value["left_out"]),
            value["entry"], int(value["entry_rows"]), int(value["entry_bytes"]), tuple(value["reaches"]),
        )  # fmt: skip
        if at != len(parts) or sum(segment.rows for segment in segments) != sealed.rows:
            raise ValueError(f"{sealed.rows} rows in {len(parts)} parts do not agree with its segments")
        return sealed


def encode_checkpoint(value: Any) -> str:
    """A caller's position as JSON text. Raises `InvalidInputError` for what JSON cannot hold."""
    try:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            message("taking a checkpoint", expected="a value that JSON can hold", got=str(error)[:200])
        ) from error


def decode_checkpoint(text: str | None) -> Any:
    """The value of `encode_checkpoint`'s text: tuples have become lists. None for None."""
    return None if text is None else json.loads(text)


def check_stored(backend: Backend, name: str, tables: Iterable[Sealed], packs: Mapping[str, int]) -> None:
    """Compare the files that a session counts on with what its seals say: the length of each, and the footers of parts.

    Raises `CorruptError` naming all that are missing or differ. Reads a footer for each part; sixteen requests at a time.
    """
    files: dict[str, tuple[PartFile, str]] = {}
    for sealed in tables:
        for part in sealed.parts:
            files.update({file.path: (file, sealed.table) for file in part.files})

    def fault_of_part(path: str) -> Problem | None:
        file, table = files[path]
        return _fault(backend, path, file.size, f"a part of table {table!r}", file)

    def fault_of_pack(uri: str) -> Problem | None:
        return _fault(backend, f"data/{uri}", packs[uri], "media")

    with ThreadPoolExecutor(1 if backend.is_local else _REQUESTS) as helpers:
        found = [*helpers.map(fault_of_part, files), *helpers.map(fault_of_pack, packs)]
    problems = [problem for problem in found if problem is not None]
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems[:100])
        raise CorruptError(
            message(
                f"resuming the session {name!r}", path=backend.root, expected="the files that it has sealed",
                got=f"{len(problems)} of {len(files) + len(packs)} missing or damaged",
                todo=f"put them back from a copy of the store, or begin anew after store.session({name!r}).discard()",
            ) + listed
        )  # fmt: skip


def _fault(backend: Backend, path: str, size: int, what: str, file: PartFile | None = None) -> Problem | None:
    found = backend.size(path)
    if found is None:
        return Problem(path, f"{what} is missing", "missing")
    if found != size:
        return Problem(path, f"{what} has {found} bytes, not {size}", "length")
    if file is not None:
        try:
            data = backend.read(path, file.size - file.footer_size, file.footer_size)
        except (NotFoundError, CorruptError) as error:
            return Problem(path, f"{what} cannot be read: {error}", "unreadable")
        if digest_of(data) != file.footer_digest:
            return Problem(path, f"the footer of {what} is not the one that was written", "digest")
    return None
